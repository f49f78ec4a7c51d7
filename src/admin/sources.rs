//! `/api/sources`.
//!
//! Owns live rows of playlists and guides, and when an edit asks for a refresh. Must not enter: fetching, schedules. Invariant:
//! only the reply to a GET of one source shows the credentials of its URL.

use std::sync::Arc;

use yagi_api::{ApiError, Page, Probe, ProbeRequest, Role, Source, SourceDraft, SourceId, SourcePatch};

use super::{
    Answer, Ask, aside, created, done, input, ok,
    query::{self, Cell, Column},
    rights,
};
use crate::{
    app::App,
    library::{self, masked, rules},
    probe,
    secret::redact,
};

pub const COLUMNS: &[Column<Source>] = &[
    Column { names: &["name"], searched: true, cell: |_, s| Cell::text(&s.name) },
    Column { names: &["url"], searched: true, cell: |_, s| Cell::text(&s.url) },
    Column { names: &["kind"], searched: false, cell: |_, s| Cell::text(s.kind.word()) },
    Column { names: &["enabled", "on"], searched: false, cell: |_, s| Cell::Flag(s.enabled) },
    Column { names: &["interval_s", "interval"], searched: false, cell: |_, s| Cell::some(Some(s.interval_s)) },
    Column {
        names: &["ok"],
        searched: false,
        cell: |_, s| s.last.as_ref().map_or(Cell::Nothing, |last| Cell::Flag(last.ok)),
    },
    Column { names: &["at", "last"], searched: false, cell: |_, s| Cell::some(s.last.as_ref().map(|last| last.at)) },
    Column { names: &["id"], searched: false, cell: |_, s| Cell::some(Some(s.id.0)) },
];

/// The source as it is at this moment, with its credentials.
fn live(app: &App, source: &Source) -> Source {
    let upstreams = u32::try_from(app.upstreams.of_account(source.id)).unwrap_or(u32::MAX);
    Source { state: app.refresher.state(source.id), upstreams, ..source.clone() }
}

pub fn list(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &[])?;
    let catalog = ask.app.library.catalog();
    let rows: Vec<Source> = catalog.sources().iter().map(|s| masked(&live(ask.app, s))).collect();
    ok(&query::page::<Source, Source>(&catalog, COLUMNS, &rows, &query)?)
}

/// The row that the path names.
pub fn find(ask: &Ask<'_>) -> Result<Arc<Source>, ApiError> {
    let catalog = ask.app.library.catalog();
    let by_name = |name: &str| catalog.sources().iter().find(|s| s.name == name);
    input::row("source", &ask.id, |id: SourceId| catalog.source(id), by_name).cloned()
}

pub fn show(ask: &Ask<'_>) -> Answer {
    let source = find(ask)?;
    let source = live(ask.app, &source);
    ok(&if ask.role == Role::Admin { source } else { masked(&source) })
}

/// The row after an edit or a refresh.
fn row(ask: &Ask<'_>, id: SourceId) -> Result<Source, ApiError> {
    let catalog = ask.app.library.catalog();
    let source = catalog.source(id).ok_or_else(|| ApiError::not_found("source", id))?;
    Ok(masked(&live(ask.app, source)))
}

/// Queues a refresh, and waits for its end when asked to.
async fn start_refresh(ask: &Ask<'_>, id: SourceId, wait: bool) {
    if wait {
        ask.app.refresher.request_and_wait(id, &ask.actor).await;
    } else {
        ask.app.refresher.request(id, &ask.actor);
    }
}

pub async fn create(ask: Ask<'_>) -> Answer {
    let wait = input::flag(&ask.request.query, "wait")?;
    let draft: SourceDraft = input::body(ask.request)?;
    let source = ask.app.library.create_source(&ask.actor, draft).await?;
    if source.enabled || wait {
        start_refresh(&ask, source.id, wait).await;
    }
    created(&row(&ask, source.id)?)
}

pub async fn update(ask: Ask<'_>) -> Answer {
    let old = find(&ask)?;
    let mut patch: SourcePatch = input::body(ask.request)?;
    // A form that was filled from a masked row sends the mask back.
    if patch.url.as_deref().is_some_and(|url| url != old.url && url == redact(&old.url)) {
        patch.url = None;
    }
    let source = ask.app.library.update_source(&ask.actor, old.id, patch).await?;
    if source.enabled && (source.url != old.url || !old.enabled || source.options != old.options) {
        ask.app.refresher.request(source.id, &ask.actor);
    }
    ok(&row(&ask, source.id)?)
}

pub async fn delete(ask: Ask<'_>) -> Answer {
    ask.app.library.delete_source(&ask.actor, find(&ask)?.id).await?;
    rights::enforce(ask.app);
    let (guide, catalog) = (ask.app.guide.clone(), ask.app.library.catalog());
    aside(move || guide.retain(&catalog)).await?;
    done()
}

pub async fn refresh(ask: Ask<'_>) -> Answer {
    let wait = input::flag(&ask.request.query, "wait")?;
    let source = find(&ask)?;
    tracing::info!(actor = ask.actor, source = source.name, "refresh asked for");
    start_refresh(&ask, source.id, wait).await;
    ok(&row(&ask, source.id)?)
}

/// A look at a URL before it becomes a source.
pub async fn probe(ask: Ask<'_>) -> Answer {
    let asked: ProbeRequest = input::body(ask.request)?;
    let url = rules::location(&asked.url)?;
    let catalog = ask.app.library.catalog();
    let caps = ask.app.config.load().config.import.clone();
    let found = probe::look(&ask.app.fetcher, &caps, &url).await;
    let exists = catalog.sources().iter().find(|s| s.url == url).map(|s| s.id);
    ok(&Probe { name: library::name_of(&url), exists, ..found })
}

pub async fn diff(ask: Ask<'_>) -> Answer {
    let (_, diff) = ask.app.library.reports(find(&ask)?.id).await?;
    ok(&diff.unwrap_or_default())
}

/// The last reports, newest first.
pub async fn history(ask: Ask<'_>) -> Answer {
    input::only(&ask.request.query, &[])?;
    let (rows, _) = ask.app.library.reports(find(&ask)?.id).await?;
    ok(&Page { rev: ask.app.library.catalog().rev, total: u32::try_from(rows.len()).unwrap_or(u32::MAX), rows })
}
