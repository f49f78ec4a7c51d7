//! `/api/channels`.
//!
//! Owns the fields that lists of channels are searched and sorted by. Must not enter: rules of channels. Invariant: a channel
//! that is deleted or disabled is not streamed on.

use std::sync::Arc;

use yagi_api::{Channel, ChannelDraft, ChannelId, ChannelPatch, Page, Role};

use super::{
    Answer, Ask, aside, created, done, input, ok,
    query::{self, Cell, Column},
    rights,
};

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
    let query = query::parse(&ask.request.query, &[])?;
    let catalog = ask.app.library.catalog();
    let columns = if ask.role == Role::Admin { COLUMNS } else { &COLUMNS[..COLUMNS.len() - 1] };
    let page =
        aside(move || query::page::<Channel, Arc<Channel>>(&catalog, columns, catalog.channels(), &query)).await??;
    if ask.role == Role::Admin {
        return ok(&page);
    }
    let rows: Vec<Channel> = page.rows.iter().map(|c| ask.shown(c)).collect();
    ok(&Page { rev: page.rev, total: page.total, rows })
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
