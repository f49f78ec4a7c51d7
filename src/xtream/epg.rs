//! The programmes of one channel.
//!
//! Owns how many rows an answer has and where it starts. Must not enter: JSON types, the guide's files. Invariant: a channel
//! that the viewer may not see answers like one that does not exist: with no rows.

use std::sync::Arc;

use yagi_api::{Channel, ChannelId, Programme};

use super::{Ask, Pieces, Row, rows, wire};
use crate::guide::Programmes;

const SHORT: usize = 4;
const SHORT_MOST: usize = 1000;

/// `get_short_epg`: from the current programme on.
pub fn short(ask: &Ask<'_>) -> Pieces {
    let limit = ask.params.get("limit").and_then(|n| n.trim().parse().ok()).filter(|n| *n > 0).unwrap_or(SHORT);
    let limit = limit.min(SHORT_MOST);
    let found = channel(ask).map(|channel| ask.guide.coming(&channel, ask.now, limit));
    let rows: Programmes = match found {
        Some(Ok(rows)) => Box::new(rows.into_iter().map(Ok)),
        Some(Err(e)) => Box::new(std::iter::once(Err(e))),
        None => Box::new(std::iter::empty()),
    };
    listings(ask, rows, ask.quirks().short_end_is_epoch)
}

/// `get_simple_data_table`: all there is.
pub fn whole(ask: &Ask<'_>) -> Pieces {
    listings(ask, from(ask, i64::MIN), false)
}

fn listings(ask: &Ask<'_>, programmes: Programmes, end_is_epoch: bool) -> Pieces {
    let (now, catalog) = (ask.now, Arc::clone(ask.catalog));
    let archive_days = channel(ask).map_or(0, |c| catalog.archive_days(&c));
    each(ask, programmes, br#"{"epg_listings":["#, "]}", move |out, channel, id, programme| {
        let clock = wire::Clock { now, zone: catalog.zone(), end_is_epoch, archive_days };
        wire::put(out, &wire::EpgRow::new(channel, id, programme, clock));
    })
}

/// `panel_api.php?action=get_epg`: a bare array; with `from_now` from the current programme on.
pub fn panel(ask: &Ask<'_>) -> Pieces {
    let from_now = ask.params.get("from_now").is_some_and(|v| !matches!(v.trim(), "" | "0"));
    let programmes = from(ask, if from_now { ask.now } else { i64::MIN });
    each(ask, programmes, b"[", "]", |out, channel, id, programme| {
        wire::put(out, &wire::PanelEpgRow::new(channel, id, programme));
    })
}

/// All from then on.
fn from(ask: &Ask<'_>, from: i64) -> Programmes {
    match channel(ask) {
        Some(channel) => ask.guide.walk(&channel, ask.now, from),
        None => Box::new(std::iter::empty()),
    }
}

fn each(
    ask: &Ask<'_>,
    mut programmes: Programmes,
    head: &[u8],
    tail: &'static str,
    put: impl Fn(&mut Vec<u8>, &Channel, &str, &Programme) + Send + 'static,
) -> Pieces {
    let channel = channel(ask);
    let id = channel.as_ref().map(|c| ask.catalog.output_id(c).into_owned()).unwrap_or_default();
    rows(head.to_vec(), tail, move |out| {
        let Some(channel) = &channel else { return Row::Missing };
        match programmes.next() {
            Some(Ok(programme)) => put(out, channel, &id, &programme),
            Some(Err(e)) => {
                tracing::warn!(channel = %channel.id, error = %e, "the guide of a channel cannot be read");
                return Row::Missing;
            }
            None => return Row::Missing,
        }
        Row::Written
    })
}

fn channel(ask: &Ask<'_>) -> Option<Arc<Channel>> {
    let id = ask.params.get("stream_id")?.trim().parse().ok().map(ChannelId)?;
    ask.catalog.channel(id).filter(|c| ask.catalog.may_watch(ask.viewer, c)).cloned()
}
