//! `/api/{noun}/bulk` and `/api/apply`: many rows in one step.
//!
//! Owns how rows are chosen, and what a step of many rows means for viewers and refreshes. Must not enter: the changes
//! themselves. Invariant: a request says one thing; rows are chosen by ids or by a search, never by default.

use std::sync::Arc;

use yagi_api::{
    ApiError, Applied, Apply, Category, CategoryBulk, Change, Channel, ChannelBulk, ErrorCode, Noun, Source,
    SourceBulk, SourceId, User, UserBulk, UserId,
};

use super::{Answer, Ask, aside, categories, channels, input, ok, query, rights, sources, users};
use crate::library::{ChannelsDo, Chosen, SourcesDo, UsersDo, masked};

/// `set` that sets nothing would be a step without a change.
fn only_one(given: &[(&str, bool)]) -> Result<(), ApiError> {
    if given.iter().filter(|(_, is)| *is).count() == 1 {
        return Ok(());
    }
    let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
    let expected = if names.len() == 1 {
        format!("expected {}", names[0])
    } else {
        format!("expected exactly one of {}", names.join(", "))
    };
    Err(ApiError::new(ErrorCode::Invalid, expected))
}

fn choose(
    ids: Option<Vec<u32>>,
    q: Option<String>,
    search: impl FnOnce(&str) -> Result<Vec<u32>, ApiError>,
) -> Result<Chosen, ApiError> {
    match (ids, q) {
        (Some(ids), None) => Ok(Chosen { ids, found: false }),
        (None, Some(q)) => Ok(Chosen { ids: search(q.trim())?, found: true }),
        (Some(_), Some(_)) => Err(ApiError::invalid("q", "expected ids or q, not both")),
        (None, None) => Err(ApiError::invalid("ids", "expected ids or q").with_hint("an empty q chooses every row")),
    }
}

pub async fn channels(ask: Ask<'_>) -> Answer {
    let ChannelBulk { ids, q, set, renumber_from, delete, dry_run } = input::body(ask.request)?;
    only_one(&[("set", set.is_some()), ("renumber_from", renumber_from.is_some()), ("delete", delete)])?;
    let catalog = ask.app.library.catalog();
    let chosen = aside(move || {
        choose(ids, q, |q| {
            let found = query::select::<Channel, Arc<Channel>>(&catalog, channels::COLUMNS, catalog.channels(), q)?;
            Ok(found.into_iter().map(|c| c.id.0).collect())
        })
    })
    .await??;
    let what = match (set, renumber_from) {
        (Some(set), _) => ChannelsDo::Set(set),
        (None, Some(from)) => ChannelsDo::Renumber(from),
        (None, None) => ChannelsDo::Delete,
    };
    let applied = ask.app.library.bulk_channels(&ask.actor, chosen, what, dry_run).await?;
    settle(&ask, &applied).await?;
    ok(&applied)
}

pub async fn users(ask: Ask<'_>) -> Answer {
    let UserBulk { ids, q, set, extend_days, delete, dry_run } = input::body(ask.request)?;
    only_one(&[("set", set.is_some()), ("extend_days", extend_days.is_some()), ("delete", delete)])?;
    let chosen = choose(ids, q, |q| {
        let catalog = ask.app.library.catalog();
        let rows = users::rows(ask.app, &catalog);
        let found = query::select::<User, User>(&catalog, users::COLUMNS, &rows, q)?;
        Ok(found.into_iter().map(|u| u.id.0).collect())
    })?;
    let what = match (set, extend_days) {
        (Some(set), _) => UsersDo::Set(set),
        (None, Some(days)) => UsersDo::Extend(days),
        (None, None) => UsersDo::Delete,
    };
    let applied = ask.app.library.bulk_users(&ask.actor, chosen, what, dry_run).await?;
    settle(&ask, &applied).await?;
    ok(&applied)
}

pub async fn sources(ask: Ask<'_>) -> Answer {
    let SourceBulk { ids, q, set, refresh, delete, dry_run } = input::body(ask.request)?;
    only_one(&[("set", set.is_some()), ("refresh", refresh), ("delete", delete)])?;
    let catalog = ask.app.library.catalog();
    let chosen = choose(ids, q, |q| {
        let rows: Vec<Source> = catalog.sources().iter().map(|s| masked(s)).collect();
        let found = query::select::<Source, Source>(&catalog, sources::COLUMNS, &rows, q)?;
        Ok(found.into_iter().map(|s| s.id.0).collect())
    })?;
    if refresh {
        let missing = chosen.ids.iter().position(|id| catalog.source(SourceId(*id)).is_none());
        if let Some(at) = missing {
            let field = Some(format!("ids[{at}]"));
            return Err(ApiError { field, ..ApiError::not_found("source", chosen.ids[at]) });
        }
        if !dry_run {
            for id in &chosen.ids {
                ask.app.refresher.request(SourceId(*id), &ask.actor);
            }
        }
        let matched = u32::try_from(chosen.ids.len()).unwrap_or(u32::MAX);
        return ok(&Applied { dry_run, matched, ..Applied::default() });
    }
    let what = set.map_or(SourcesDo::Delete, SourcesDo::Set);
    let applied = ask.app.library.bulk_sources(&ask.actor, chosen, what, dry_run).await?;
    settle(&ask, &applied).await?;
    ok(&applied)
}

pub async fn categories(ask: Ask<'_>) -> Answer {
    let CategoryBulk { ids, q, delete, dry_run } = input::body(ask.request)?;
    only_one(&[("delete", delete)])?;
    let catalog = ask.app.library.catalog();
    let chosen = choose(ids, q, |q| {
        let found = query::select::<Category, Arc<Category>>(&catalog, categories::COLUMNS, catalog.categories(), q)?;
        Ok(found.into_iter().map(|c| c.id.0).collect())
    })?;
    let applied = ask.app.library.delete_categories(&ask.actor, chosen, dry_run).await?;
    settle(&ask, &applied).await?;
    ok(&applied)
}

pub async fn apply(ask: Ask<'_>) -> Answer {
    let list: Apply = input::body(ask.request)?;
    let applied = ask.app.library.apply(&ask.actor, list).await?;
    settle(&ask, &applied).await?;
    ok(&applied)
}

/// Fields of a source after whose change its text is read anew.
const READING: [&str; 5] = ["url", "enabled", "zone", "shift_min", "priority"];

/// What the step means for those who watch, and for the sources that it made, moved or took away.
pub async fn settle(ask: &Ask<'_>, applied: &Applied) -> Result<(), ApiError> {
    let app = ask.app;
    if applied.dry_run || applied.change.is_none() {
        return Ok(());
    }
    rights::enforce(app);
    let catalog = app.library.catalog();
    let mut guides_differ = false;
    for item in &applied.items {
        let touches = |field: &str| item.fields.iter().any(|f| f.field == field);
        match (item.noun, item.change, item.row) {
            (Noun::Users, Change::Updated, Some(id)) if touches("password") || touches("token") => {
                app.seats.kick_user(UserId(id));
            }
            (Noun::Sources, Change::Deleted, _) => guides_differ = true,
            (Noun::Channels, ..) if touches("guide_id") => guides_differ = true,
            (Noun::Sources, change, Some(id))
                if (change == Change::Created || READING.into_iter().any(touches))
                    && catalog.source(SourceId(id)).is_some_and(|s| s.enabled) =>
            {
                app.refresher.request(SourceId(id), &ask.actor);
            }
            _ => {}
        }
    }
    if guides_differ {
        let guide = app.guide.clone();
        aside(move || guide.retain(&catalog)).await?;
    }
    Ok(())
}
