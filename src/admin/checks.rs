//! `/api/checks`, and `/api/channels/{id}/explain`.
//!
//! Owns which channels a request names. Must not enter: how a check is made, how guides match. Invariant: asking for a check answers at
//! once; results are read later.

use std::sync::Arc;

use yagi_api::{AddressCheck, ApiError, Channel, ChannelId, CheckRequest, Explain, Query};

use super::{Answer, Ask, aside, channels, input, ok, query};
use crate::{library::Library, playlist::identity, secret::redact};

const MOST: usize = 1000;

pub fn list(ask: &Ask<'_>) -> Answer {
    let params = &ask.request.query;
    input::only(params, &["offset", "limit"])?;
    let number = |key| input::number::<usize>(params, key, "a whole number");
    ok(&ask.app.checker.status(number("offset")?.unwrap_or(0), number("limit")?.unwrap_or(100).min(MOST)))
}

/// Queues the named channels, or those that a search finds, or every listed one.
pub async fn start(ask: Ask<'_>) -> Answer {
    let CheckRequest { ids, q, all } =
        if ask.request.body.is_empty() { CheckRequest::default() } else { input::body(ask.request)? };
    if ids.is_some() && q.is_some() {
        return Err(ApiError::invalid("q", "expected ids or q, not both"));
    }
    let catalog = ask.app.library.catalog();
    let chosen: Vec<ChannelId> = match (ids, q) {
        (Some(ids), _) => ids.into_iter().map(ChannelId).filter(|id| catalog.channel(*id).is_some()).collect(),
        (None, q) => {
            let query = Query { q: q.unwrap_or_default(), limit: u32::MAX, ..Query::default() };
            let listed = move || {
                let found =
                    query::page::<Channel, Arc<Channel>>(&catalog, channels::COLUMNS, catalog.channels(), &query)?;
                Ok::<_, ApiError>(found.rows.into_iter().filter(|c| c.is_listed()).map(|c| c.id).collect())
            };
            aside(listed).await??
        }
    };
    let (queued, job) = ask.app.checker.queue(chosen, all, &ask.actor);
    tracing::info!(actor = ask.actor, queued, "checks asked for");
    ok(&serde_json::json!({"queued": queued, "job": job}))
}

pub fn cancel(ask: &Ask<'_>) -> Answer {
    let gone = ask.app.checker.cancel(&ask.actor);
    tracing::info!(actor = ask.actor, gone, "waiting checks were cancelled");
    ok(&serde_json::json!({"cancelled": gone}))
}

pub fn known(library: &Library, url: &str) -> AddressCheck {
    AddressCheck { url: redact(url), check: library.checks().get(&identity::address(url)).cloned() }
}

pub async fn explain(ask: &Ask<'_>) -> Answer {
    let id: ChannelId = input::id("channel", &ask.id)?;
    let catalog = ask.app.library.catalog();
    let channel = catalog.channel(id).cloned().ok_or_else(|| input::missing("channel", &ask.id))?;
    let (guide, library) = (ask.app.guide.clone(), ask.app.library.clone());
    let row = aside(move || {
        let origin = channel.origin.and_then(|o| catalog.source(o)).map(|s| s.name.clone());
        let addresses: Vec<AddressCheck> = channel.sources.iter().map(|s| known(&library, &s.url)).collect();
        let check = addresses.first().and_then(|a| a.check.clone());
        let edited = library.edited(channel.id)?;
        let with = |c: &&Arc<Channel>| c.merged_into == Some(channel.id);
        Ok::<_, ApiError>(Explain {
            id: channel.id,
            name: channel.name.clone(),
            quality: yagi_api::Quality::of(&channel.name).words(),
            output_id: catalog.output_id(&channel).into_owned(),
            origin,
            edited,
            merged: catalog.channels().iter().filter(with).map(|c| c.id).collect(),
            merged_into: channel.merged_into,
            guide: guide.sources_of(&catalog, &channel),
            shift_min: channel.guide_shift_min,
            check,
            addresses,
        })
    });
    ok(&row.await??)
}
