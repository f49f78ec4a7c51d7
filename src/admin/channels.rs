//! `/api/channels`.
//!
//! Owns the fields that lists of channels are searched and sorted by. Must not enter: rules of channels. Invariant: a channel
//! that is deleted or disabled is not streamed on.

use std::{collections::HashMap, sync::Arc};

use yagi_api::{
    Channel, ChannelDraft, ChannelFacts, ChannelId, ChannelPatch, ChannelRow, Page, Role, StreamRow, StreamState,
};

use super::{
    Answer, Ask, aside, created, done, input, ok,
    query::{self, Cell, Column},
    rights,
};
use crate::{app::App, clock::epoch_now, library::Catalog, playlist::identity};

pub const COLUMNS: &[Column<Channel>] = &[
    Column { names: &["number", "num"], searched: false, cell: |_, c| Cell::some(Some(c.number)) },
    Column { names: &["name"], searched: true, cell: |_, c| Cell::text(&c.name) },
    Column { names: &["category", "group"], searched: true, cell: |all, c| Cell::text(all.category_name(c)) },
    Column { names: &["guide_id", "epg"], searched: true, cell: |_, c| Cell::text(&c.guide_id) },
    Column { names: &["id"], searched: false, cell: |_, c| Cell::some(Some(c.id.0)) },
    Column { names: &["logo"], searched: false, cell: |_, c| Cell::text(&c.logo) },
    Column { names: &["enabled", "on"], searched: false, cell: |_, c| Cell::Flag(c.enabled) },
    Column { names: &["retired"], searched: false, cell: |_, c| Cell::Flag(c.retired_at.is_some()) },
    Column { names: &["listed"], searched: false, cell: |_, c| Cell::Flag(c.is_listed()) },
    Column {
        names: &["quality"],
        searched: false,
        cell: |_, c| Cell::Text(yagi_api::Quality::of(&c.name).words().into()),
    },
    Column { names: &["merge_key", "merge"], searched: false, cell: |_, c| Cell::text(&c.merge_key) },
    Column { names: &["merged_into"], searched: false, cell: |_, c| Cell::some(c.merged_into.map(|m| m.0)) },
    Column { names: &["radio"], searched: false, cell: |_, c| Cell::Flag(c.radio) },
    Column { names: &["origin"], searched: false, cell: |_, c| Cell::some(c.origin.map(|o| o.0)) },
    Column { names: &["added_at", "added"], searched: false, cell: |_, c| Cell::Number(c.added_at) },
    // Last: not for those who may not see the credentials of URLs, who would find them out by searching.
    Column {
        names: &["source", "sources", "url"],
        searched: false,
        cell: |_, c| match c.sources.as_slice() {
            [only] => Cell::text(&only.url),
            many => Cell::Text(many.iter().map(|s| s.url.as_str()).collect::<Vec<_>>().join(" ").into()),
        },
    },
];

pub async fn list(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &["facts"])?;
    let with_facts = input::flag(&ask.request.query, "facts")?;
    let catalog = ask.app.library.catalog();
    let columns = if ask.role == Role::Admin { COLUMNS } else { &COLUMNS[..COLUMNS.len() - 1] };
    let pages = Arc::clone(&catalog);
    let page = aside(move || query::page::<Channel, Arc<Channel>>(&pages, columns, pages.channels(), &query)).await??;
    if with_facts {
        return facts(ask, catalog, page).await;
    }
    if ask.role == Role::Admin {
        return ok(&page);
    }
    let rows: Vec<Channel> = page.rows.iter().map(|c| ask.shown(c)).collect();
    ok(&Page { rev: page.rev, total: page.total, rows })
}

/// Only of the page's rows, however many channels there are.
async fn facts(ask: &Ask<'_>, catalog: Arc<Catalog>, page: Page<Arc<Channel>>) -> Answer {
    let rows = page.rows.iter().map(|c| ask.shown(c)).collect::<Vec<Channel>>();
    let streams: HashMap<ChannelId, StreamRow> =
        ask.app.streams.rows().into_iter().filter_map(|s| Some((s.channel?, s))).collect();
    let app = Arc::clone(ask.app);
    let rows = aside(move || {
        let now = epoch_now();
        let pairs = rows.into_iter().zip(&page.rows);
        let row = |(shown, channel): (Channel, &Arc<Channel>)| {
            let told = app.guide.explain(&catalog, channel, 0);
            let key = channel.sources.first().map(|s| identity::address(&s.url));
            let check = key.and_then(|key| app.library.checks().get(&key).cloned());
            let stream = streams.get(&channel.id);
            let checked_ok = check.as_ref().filter(|c| c.alive).map(|c| c.at);
            let facts = ChannelFacts {
                how: told.how,
                score: told.score,
                matched_id: told.matched_id,
                // A guide that cannot be read is told by the guide's own routes.
                now: app.guide.now_next(channel, now).ok().and_then(|(now, _)| now),
                check,
                stream: stream.map(|s| s.state),
                clients: stream.map_or(0, |s| s.clients),
                last_ok_at: last_ok(&app, channel.id, stream).max(checked_ok),
            };
            ChannelRow { channel: shown, facts: Some(facts) }
        };
        pairs.map(row).collect::<Vec<ChannelRow>>()
    });
    ok(&Page { rev: page.rev, total: page.total, rows: rows.await? })
}

/// When viewers saw it last, as far as this run of the daemon knows.
pub fn last_ok(app: &App, id: ChannelId, stream: Option<&StreamRow>) -> Option<i64> {
    match stream {
        Some(s) if s.last_error.is_none() && s.state == StreamState::Live => Some(epoch_now()),
        _ => app.seen.fate(id).ok_at,
    }
}

fn id(ask: &Ask<'_>) -> Result<ChannelId, yagi_api::ApiError> {
    input::id("channel", &ask.id)
}

pub fn show(ask: &Ask<'_>) -> Answer {
    let id = id(ask)?;
    let catalog = ask.app.library.catalog();
    let channel = catalog.channel(id).ok_or_else(|| input::missing("channel", &ask.id))?;
    if ask.role == Role::Admin { ok(channel) } else { ok(&ask.shown(channel)) }
}

pub async fn create(ask: Ask<'_>) -> Answer {
    let draft: ChannelDraft = input::body(ask.request)?;
    created(&ask.app.library.create_channel(&ask.actor, draft).await?)
}

pub async fn update(ask: Ask<'_>) -> Answer {
    let (id, patch): (_, ChannelPatch) = (id(&ask)?, input::body(ask.request)?);
    let narrows = patch.enabled == Some(false) || patch.category.is_some();
    let channel = ask.app.library.update_channel(&ask.actor, id, patch).await?;
    if narrows {
        rights::enforce(ask.app);
    }
    ok(&channel)
}

pub async fn delete(ask: Ask<'_>) -> Answer {
    let id = id(&ask)?;
    ask.app.library.delete_channel(&ask.actor, id).await?;
    ask.app.streams.stop_channel(id);
    rights::enforce(ask.app);
    done()
}
