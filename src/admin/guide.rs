//! `/api/guide`.
//!
//! Owns the window of programmes that one request may ask for. Must not enter: reading guides' files. Invariant: files are read
//! and channels counted off the control threads.

use std::{collections::HashSet, sync::Arc};

use yagi_api::{ApiError, Channel, ChannelDetail, ChannelId, ErrorCode, GuideAccept, GuideChannel, GuideMatch, Page};

use super::{
    Answer, Ask, aside, bulk, channels, checks, input, ok,
    query::{self, Cell, Column},
};
use crate::{
    clock::epoch_now,
    guide::Guide,
    library::{Catalog, ChannelsDo, Chosen},
};

/// Suggestions for one channel.
const SUGGESTIONS: usize = 5;

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
    ok(&found.map_err(unreadable)?)
}

/// A listed channel and how it finds its programmes.
#[derive(Clone)]
struct Row {
    channel: Arc<Channel>,
    how: GuideMatch,
}

const COLUMNS: &[Column<Row>] = &[
    Column { names: &["number", "num"], searched: false, cell: |_, r| Cell::some(Some(r.channel.number)) },
    Column { names: &["name"], searched: true, cell: |_, r| Cell::text(&r.channel.name) },
    Column { names: &["category", "group"], searched: true, cell: |all, r| Cell::text(all.category_name(&r.channel)) },
    Column { names: &["guide_id", "epg"], searched: true, cell: |_, r| Cell::text(&r.channel.guide_id) },
    Column { names: &["how", "match"], searched: false, cell: |_, r| Cell::text(r.how.word()) },
    Column { names: &["id"], searched: false, cell: |_, r| Cell::some(Some(r.channel.id.0)) },
];

fn listed(guide: &Guide, catalog: &Catalog) -> Vec<Row> {
    let how = guide.matches(catalog);
    let rows = catalog.channels().iter().zip(how.iter()).filter(|(c, _)| c.is_listed());
    rows.map(|(channel, how)| Row { channel: Arc::clone(channel), how: *how }).collect()
}

pub async fn channels(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &["now"])?;
    let with_now = input::flag(&ask.request.query, "now")?;
    let (guide, catalog) = (ask.app.guide.clone(), ask.app.library.catalog());
    let page = aside(move || {
        let page = query::page::<Row, Row>(&catalog, COLUMNS, &listed(&guide, &catalog), &query)?;
        let now = epoch_now();
        let row = |row: Row| {
            let mut told = guide.explain(&catalog, &row.channel, SUGGESTIONS);
            if with_now {
                (told.now, told.next) = guide.now_next(&row.channel, now).map_err(unreadable)?;
            }
            Ok(told)
        };
        let rows = page.rows.into_iter().map(row).collect::<Result<Vec<GuideChannel>, ApiError>>()?;
        Ok::<_, ApiError>(Page { rev: page.rev, total: page.total, rows })
    })
    .await??;
    ok(&page)
}

/// Gives unmatched channels the id of their best suggestion, if it is good enough.
pub async fn accept(ask: Ask<'_>) -> Answer {
    let GuideAccept { min_score, ids, q, dry_run } = input::body(ask.request)?;
    if !(0.5..=1.0).contains(&min_score) {
        return Err(ApiError::invalid("min_score", "expected 0.5 to 1"));
    }
    if ids.is_some() && q.is_some() {
        return Err(ApiError::invalid("q", "expected ids or q, not both"));
    }
    let (guide, catalog) = (ask.app.guide.clone(), ask.app.library.catalog());
    let (chosen, guide_ids) = aside(move || {
        let only: Option<HashSet<u32>> = ids.map(|ids| ids.into_iter().collect());
        let wanted = |row: &Row| {
            row.how == GuideMatch::None && only.as_ref().is_none_or(|only| only.contains(&row.channel.id.0))
        };
        let best = |row: &Row| {
            let best = guide.explain(&catalog, &row.channel, 1).suggestions.into_iter().next()?;
            (best.score >= min_score).then_some((row.channel.id.0, best.guide_id))
        };
        let rows = listed(&guide, &catalog);
        let rows = query::select::<Row, Row>(&catalog, COLUMNS, &rows, q.as_deref().unwrap_or_default().trim())?;
        let taken = rows.into_iter().filter(|row| wanted(row)).filter_map(best);
        Ok::<_, ApiError>(taken.unzip::<_, _, Vec<u32>, Vec<String>>())
    })
    .await??;
    let chosen = Chosen { ids: chosen, found: false };
    let what = ChannelsDo::GuideIds(guide_ids);
    let applied = ask.app.library.bulk_channels(&ask.actor, chosen, what, dry_run).await?;
    bulk::settle(&ask, &applied).await?;
    ok(&applied)
}

/// Everything that a detail pane shows of one channel.
pub async fn detail(ask: &Ask<'_>) -> Answer {
    let id: ChannelId = input::id("channel", &ask.id)?;
    let (guide, catalog) = (ask.app.guide.clone(), ask.app.library.catalog());
    let channel = catalog.channel(id).cloned().ok_or_else(|| input::missing("channel", &ask.id))?;
    let stream = ask.app.streams.rows().into_iter().find(|s| s.channel == Some(id));
    let fate = ask.app.seen.fate(id);
    let told = stream.as_ref().and_then(|s| s.last_error.clone());
    let last_error_at = if told.is_some() { Some(epoch_now()) } else { fate.error_at };
    let last_ok_at = channels::last_ok(ask.app, id, stream.as_ref());
    let (shown, library) = (ask.shown(&channel), ask.app.library.clone());
    let detail = aside(move || {
        let (now, next) = guide.now_next(&channel, epoch_now()).unwrap_or_default();
        ChannelDetail {
            category_name: catalog.category_name(&channel).to_owned(),
            origin_name: channel.origin.and_then(|o| catalog.source(o)).map(|s| s.name.clone()),
            guide: guide.explain(&catalog, &channel, SUGGESTIONS),
            now,
            next,
            last_error: told.or(fate.error),
            last_error_at,
            last_ok_at,
            addresses: channel.sources.iter().map(|s| checks::known(&library, &s.url)).collect(),
            stream,
            channel: shown,
        }
    })
    .await?;
    ok(&detail)
}

fn unreadable(e: std::io::Error) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, format!("the guide's file cannot be read: {e}"))
        .with_hint("refresh the guide's source")
}
