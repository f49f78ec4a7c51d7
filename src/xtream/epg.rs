//! The programmes of one channel.
//!
//! Owns how many rows an answer has and where it starts. Must not enter: JSON types, the guide's files. Invariant: a channel
//! that the viewer may not see answers like one that does not exist: with no rows.

use std::sync::Arc;

use yagi_api::{Channel, ChannelId, Programme};

use super::{Ask, Pieces, rows, wire};
use crate::guide::Programmes;

const SHORT: usize = 4;
const SHORT_MOST: usize = 1000;

/// `get_short_epg`: from the current programme on.
pub fn short(ask: &Ask<'_>) -> Pieces {
    let limit = ask.params.get("limit").and_then(|n| n.trim().parse().ok()).filter(|n| *n > 0).unwrap_or(SHORT);
    listings(ask, ask.now, limit.min(SHORT_MOST), ask.quirks().short_end_is_epoch)
}

/// `get_simple_data_table`: all there is.
pub fn whole(ask: &Ask<'_>) -> Pieces {
    listings(ask, i64::MIN, usize::MAX, false)
}

fn listings(ask: &Ask<'_>, from: i64, limit: usize, end_is_epoch: bool) -> Pieces {
    let (now, catalog) = (ask.now, Arc::clone(ask.catalog));
    each(ask, from, limit, br#"{"epg_listings":["#, "]}", move |out, channel, id, programme| {
        wire::put(
            out,
            &wire::EpgRow::new(channel, id, programme, wire::Clock { now, zone: catalog.zone(), end_is_epoch }),
        );
    })
}

/// `panel_api.php?action=get_epg`: a bare array; with `from_now` from the current programme on.
pub fn panel(ask: &Ask<'_>) -> Pieces {
    let from_now = ask.params.get("from_now").is_some_and(|v| !matches!(v.trim(), "" | "0"));
    let from = if from_now { ask.now } else { i64::MIN };
    each(ask, from, usize::MAX, b"[", "]", |out, channel, id, programme| {
        wire::put(out, &wire::PanelEpgRow::new(channel, id, programme));
    })
}

fn each(
    ask: &Ask<'_>,
    from: i64,
    limit: usize,
    head: &[u8],
    tail: &'static str,
    put: impl Fn(&mut Vec<u8>, &Channel, &str, &Programme) + Send + 'static,
) -> Pieces {
    let channel = channel(ask);
    let mut programmes: Programmes = match &channel {
        Some(channel) => ask.guide.walk(channel, ask.now, from),
        None => Box::new(std::iter::empty()),
    };
    let id = channel.as_ref().map(|c| ask.catalog.output_id(c).into_owned()).unwrap_or_default();
    let mut left = limit;
    rows(head.to_vec(), tail, move |out| {
        let Some(channel) = channel.as_ref().filter(|_| left > 0) else { return false };
        left -= 1;
        match programmes.next() {
            Some(Ok(programme)) => put(out, channel, &id, &programme),
            Some(Err(e)) => {
                tracing::warn!(channel = %channel.id, error = %e, "the guide of a channel cannot be read");
                return false;
            }
            None => return false,
        }
        true
    })
}

fn channel(ask: &Ask<'_>) -> Option<Arc<Channel>> {
    let id = ask.params.get("stream_id")?.trim().parse().ok().map(ChannelId)?;
    ask.catalog.channel(id).filter(|c| ask.catalog.may_watch(ask.viewer, c)).cloned()
}
