//! `/api/guide`.
//!
//! Owns the window of programmes that one request may ask for. Must not enter: reading guides' files. Invariant: files are read
//! and channels counted off the control threads.

use yagi_api::{ApiError, ChannelId, ErrorCode};

use super::{Answer, Ask, aside, input, ok};
use crate::clock::epoch_now;

/// Programmes of one reply at most.
const MOST: usize = 2000;
/// Seconds shown when `until` is not given.
const DAY: i64 = 86_400;

pub async fn status(ask: &Ask<'_>) -> Answer {
    input::only(&ask.request.query, &[])?;
    let (guide, catalog) = (ask.app.guide.clone(), ask.app.library.catalog());
    ok(&aside(move || guide.status(&catalog)).await?)
}

pub async fn programmes(ask: &Ask<'_>) -> Answer {
    let params = &ask.request.query;
    input::only(params, &["from", "until"])?;
    let id: ChannelId = input::id("channel", &ask.id)?;
    let now = epoch_now();
    let from = input::number(params, "from", "epoch seconds")?.unwrap_or(now);
    let until = input::number(params, "until", "epoch seconds")?.unwrap_or_else(|| i64::saturating_add(from, DAY));
    if until <= from {
        return Err(ApiError::invalid("until", "must be after from"));
    }
    let (guide, catalog) = (ask.app.guide.clone(), ask.app.library.catalog());
    let channel = catalog.channel(id).cloned().ok_or_else(|| input::missing("channel", &ask.id))?;
    let found = aside(move || guide.programmes(&channel, now, from, until, MOST)).await?;
    ok(&found.map_err(|e| {
        ApiError::new(ErrorCode::Unavailable, format!("the guide's file cannot be read: {e}"))
            .with_hint("refresh the guide's source")
    })?)
}
