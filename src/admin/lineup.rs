//! `/api/lineup`: generations of playlists' channels, plans, accept and rollback.
//!
//! Owns the routes of line-ups. Must not enter: what a plan is, how rows come back. Invariant: whoever loses a channel by it is
//! not streamed on.

use yagi_api::{Lineup, Rollback, Source, SourceKind};

use super::{Answer, Ask, aside, input, ok, rights, sources::find};
use crate::playlist;

fn row(ask: &Ask<'_>, source: &Source) -> Lineup {
    let catalog = ask.app.library.catalog();
    let known = catalog.lineups().get(&source.id).cloned().unwrap_or_default();
    // The name may have changed since.
    Lineup { source: source.id, name: source.name.clone(), ..known }
}

pub fn list(ask: &Ask<'_>) -> Answer {
    input::only(&ask.request.query, &[])?;
    let catalog = ask.app.library.catalog();
    let lists = catalog.sources().iter().filter(|s| s.kind == SourceKind::Playlist);
    let rows: Vec<Lineup> = lists.map(|s| row(ask, s)).collect();
    ok(&serde_json::json!({"rev": catalog.rev, "total": rows.len(), "rows": rows}))
}

pub fn show(ask: &Ask<'_>) -> Answer {
    ok(&row(ask, &*find(ask)?))
}

pub async fn plan(ask: Ask<'_>) -> Answer {
    input::only(&ask.request.query, &["fetch"])?;
    let (source, fresh) = (find(&ask)?, input::flag(&ask.request.query, "fetch")?);
    let app = ask.app;
    ok(&playlist::lineup::plan(&app.library, &app.fetcher, source.id, &app.config.load().config.import, fresh).await?)
}

pub async fn accept(ask: Ask<'_>) -> Answer {
    let source = find(&ask)?;
    tracing::info!(actor = ask.actor, source = source.name, "the held line-up was accepted");
    let done = playlist::lineup::accept(&ask.app.library, source.id, &ask.app.config.load().config.import).await?;
    rights::enforce(ask.app);
    ok(&done)
}

pub async fn rollback(ask: Ask<'_>) -> Answer {
    let source = find(&ask)?;
    let Rollback { to } = if ask.request.body.is_empty() { Rollback::default() } else { input::body(ask.request)? };
    let (library, actor) = (ask.app.library.clone(), ask.actor.clone());
    let done = aside(move || library.rollback(&actor, source.id, to)).await??;
    rights::enforce(ask.app);
    ok(&done)
}
