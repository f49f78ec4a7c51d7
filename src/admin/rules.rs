//! `/api/rules`.
//!
//! Owns when a changed rule is run over the playlists that it sees. Must not enter: what a rule means. Invariant: a rule is stored
//! before it is run, and a run that fails leaves channels as they were and is told in the source's report.

use std::sync::Arc;

use yagi_api::{Rule, RuleDraft, RuleId, RulePatch, RulePreview, SourceId};

use super::{
    Answer, Ask, aside, created, done, input, ok,
    query::{self, Cell, Column},
    rights,
};
use crate::{app::App, playlist};

const COLUMNS: &[Column<Rule>] = &[
    Column { names: &["position"], searched: false, cell: |_, r| Cell::some(Some(r.position)) },
    Column { names: &["name"], searched: true, cell: |_, r| Cell::text(&r.name) },
    Column { names: &["do", "action"], searched: true, cell: |_, r| Cell::text(r.then.word()) },
    Column { names: &["source"], searched: false, cell: |_, r| Cell::some(r.source.map(|s| s.0)) },
    Column { names: &["enabled", "on"], searched: false, cell: |_, r| Cell::Flag(r.enabled) },
    Column { names: &["id"], searched: false, cell: |_, r| Cell::some(Some(r.id.0)) },
];

pub fn list(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &[])?;
    let catalog = ask.app.library.catalog();
    ok(&query::page::<Rule, Arc<Rule>>(&catalog, COLUMNS, catalog.rules(), &query)?)
}

fn id(ask: &Ask<'_>) -> Result<RuleId, yagi_api::ApiError> {
    input::id("rule", &ask.id)
}

pub fn show(ask: &Ask<'_>) -> Answer {
    let id = id(ask)?;
    let catalog = ask.app.library.catalog();
    ok(catalog.rules().iter().find(|r| r.id == id).ok_or_else(|| input::missing("rule", &ask.id))?)
}

pub async fn create(ask: Ask<'_>) -> Answer {
    let wait = input::flag(&ask.request.query, "wait")?;
    let draft: RuleDraft = input::body(ask.request)?;
    let rule = ask.app.library.create_rule(&ask.actor, draft).await?;
    run(ask.app, rule.source, wait).await;
    created(&rule)
}

pub async fn update(ask: Ask<'_>) -> Answer {
    let wait = input::flag(&ask.request.query, "wait")?;
    let (id, patch): (_, RulePatch) = (id(&ask)?, input::body(ask.request)?);
    let old = ask.app.library.catalog().rules().iter().find(|r| r.id == id).cloned();
    let rule = ask.app.library.update_rule(&ask.actor, id, patch).await?;
    // Those of one source that it left too.
    let scope = if old.is_some_and(|o| o.source != rule.source) { None } else { rule.source };
    run(ask.app, scope, wait).await;
    ok(&rule)
}

pub async fn delete(ask: Ask<'_>) -> Answer {
    let wait = input::flag(&ask.request.query, "wait")?;
    let old = ask.app.library.delete_rule(&ask.actor, id(&ask)?).await?;
    run(ask.app, old.source, wait).await;
    done()
}

pub async fn preview(ask: Ask<'_>) -> Answer {
    let body: RulePreview =
        if ask.request.body.is_empty() { RulePreview::default() } else { input::body(ask.request)? };
    let (library, caps) = (ask.app.library.clone(), ask.app.config.load().config.import.clone());
    ok(&aside(move || playlist::lineup::preview(&library, &caps, &body)).await??)
}

/// Runs the rules over the texts of the playlists they see; in the background, or to its end.
pub async fn run(app: &Arc<App>, scope: Option<SourceId>, wait: bool) {
    let app = app.clone();
    let work = tokio::spawn(async move {
        for id in playlist::lineup::seen_by(&app.library, scope) {
            if let Err(error) = playlist::lineup::reapply(&app.library, id, &app.config.load().config.import).await {
                tracing::warn!(source = %id, %error, "rules were not applied; the next refresh tries again");
            }
        }
        rights::enforce(&app);
    });
    if wait && let Err(error) = work.await {
        tracing::error!(%error, "the run of rules ended by a panic");
    }
}
