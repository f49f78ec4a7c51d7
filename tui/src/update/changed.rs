//! What follows a change that was made, or refused.
//!
//! Invariant: a refusal loses nothing that was typed.

use serde_json::Value;
use yagi_api::{Applied, Backup, ErrorCode, Reload, paths};

use super::wizard;
use crate::{
    client::Fault,
    model::{Mode, Model, Plan, View},
    msg::{Ask, Change, Effect, Then},
    rows::{self, pages},
    text::printable,
    when,
};

pub fn on(model: &mut Model, change: Change, result: Result<Value, Fault>, effects: &mut Vec<Effect>) {
    model.dirty = true;
    match result {
        Ok(row) => made(model, &change, row, effects),
        Err(fault) => refused(model, &change, &fault, effects),
    }
}

fn made(model: &mut Model, change: &Change, row: Value, effects: &mut Vec<Effect>) {
    pages::stale(model, change.view);
    let trail = change.path == paths::UNDO || change.path == paths::REDO;
    if trail || change.path == paths::APPLY {
        View::PAGED.into_iter().for_each(|view| pages::stale(model, view));
    }
    if change.view == View::Settings || trail {
        effects.push(Effect::Fetch(Ask::Settings));
    }
    let applied: Option<Applied> = row.get("matched").and_then(|_| serde_json::from_value(row.clone()).ok());
    match change.then {
        Then::Review => return reviewed(model, change, applied.unwrap_or_default()),
        Then::Form | Then::FormAndUrls => match &model.mode {
            Mode::Form(form) if form.sent && form.path == change.path => model.mode = Mode::Browse,
            Mode::Wizard(_) => model.mode = Mode::Browse,
            _ => {}
        },
        Then::Wizard => wizard::added(model),
        Then::Page => answered(model, change, &row),
        Then::Nothing | Then::Urls => {}
    }
    if matches!(change.then, Then::Urls | Then::FormAndUrls)
        && let Some(user) = row["name"].as_str()
    {
        // A short link is another address; the password stays.
        let fresh = !change.path.ends_with("/token");
        effects.push(Effect::Fetch(Ask::Urls { user: user.to_owned(), fresh, base: None, channel: None }));
    }
    match applied {
        Some(applied) if trail => model.say(format!("{}: {}", change.said, summary(&applied))),
        Some(applied) if applied.change.is_none() => {
            let said =
                if applied.matched == 0 { "no row was chosen: nothing was changed" } else { "nothing was changed" };
            // A refresh of many makes no step.
            model.say(if change.undoable { said } else { &change.said });
        }
        Some(applied) => {
            let count = applied.created + applied.updated + applied.deleted;
            model.say_undoable(&format!("{} ({count} rows)", change.said));
        }
        None if change.undoable => model.say_undoable(&change.said),
        None => model.say(change.said.clone()),
    }
}

/// The first row and how many more.
fn summary(applied: &Applied) -> String {
    let count = applied.created + applied.updated + applied.deleted;
    let Some(first) = applied.items.first() else { return format!("{count} rows") };
    let fields: Vec<&str> = first.fields.iter().map(|f| f.field.as_str()).take(4).collect();
    let what = format!("{} ({})", printable(&first.name, 40), fields.join(", "));
    if count > 1 { format!("{what} and {} more", count - 1) } else { what }
}

fn reviewed(model: &mut Model, change: &Change, applied: Applied) {
    let asked = matches!(&model.mode, Mode::Review(review) if matches!(review.plan, Plan::Asked(_)));
    let Mode::Review(review) = &mut model.mode else {
        // Dropped meanwhile; only what was really applied is told.
        if !applied.dry_run {
            model.say_undoable(&change.said);
        }
        return;
    };
    if !asked {
        model.mode = Mode::Browse;
        rows::marks::clear(model);
        return model.say_undoable(&change.said);
    }
    let Plan::Asked(change) = review.plan.clone() else { return };
    review.plan = if applied.errors.is_empty() {
        Plan::Ready(change, applied)
    } else {
        let line = |e: &yagi_api::ItemError| {
            let field = e.field.as_deref().map_or(String::new(), |f| format!("{f}: "));
            let row = e.index.and_then(|i| named(&change, i));
            format!("{}{field}{}", row.map_or(String::new(), |r| format!("row {r}: ")), e.message)
        };
        Plan::Faulty(applied.errors.iter().map(line).collect())
    };
}

/// The id of the row that an operation is for.
fn named(change: &Change, index: u32) -> Option<String> {
    let operation = change.body.as_ref()?["operations"].get(index as usize)?;
    Some(operation["id"].as_u64().map_or_else(|| "new".to_owned(), |id| id.to_string()))
}

fn answered(model: &mut Model, change: &Change, row: &Value) {
    if let Ok(backup) = serde_json::from_value::<Backup>(row.clone()) {
        let lines = vec![
            ("file".to_owned(), backup.path),
            ("size".to_owned(), when::bytes(backup.bytes)),
            ("took".to_owned(), format!("{} ms", backup.millis)),
        ];
        return rows::page(model, "The database was copied", lines);
    }
    if change.path == paths::RELOAD
        && let Ok(reload) = serde_json::from_value::<Reload>(row.clone())
    {
        let mut lines = vec![("file".to_owned(), reload.file.unwrap_or_else(|| "there is none".into()))];
        if reload.changed.is_empty() {
            lines.push((String::new(), "nothing has changed".into()));
        }
        for key in reload.changed {
            let when = if key.applied { "now" } else { "after a restart" };
            let plain = crate::cli::plain;
            lines.push((key.key, format!("{} -> {}  ({when})", plain(&key.before), plain(&key.after))));
        }
        rows::page(model, "The configuration was read again", lines);
    }
}

fn refused(model: &mut Model, change: &Change, fault: &Fault, effects: &mut Vec<Effect>) {
    // The row is fetched again, so that a conflict shows its new state.
    pages::stale(model, change.view);
    let details: Vec<String> = match fault {
        Fault::Api(e) => {
            e.errors.iter().map(|e| format!("{}: {}", e.field.as_deref().unwrap_or("-"), e.message)).collect()
        }
        _ => Vec::new(),
    };
    match (&mut model.mode, change.then) {
        (Mode::Form(form), Then::Form | Then::FormAndUrls) if form.sent && form.path == change.path => {
            form.sent = false;
            form.refused = Some(fault.to_string());
            if let Fault::Api(e) = fault {
                let named = |f: &crate::form::Field| {
                    e.field.as_deref().is_some_and(|k| k == f.key || k.starts_with(&format!("{}[", f.key)))
                };
                if let Some(at) = form.fields.iter().position(named) {
                    form.focus = at;
                }
                if e.code == ErrorCode::Conflict && e.field.as_deref() == Some("version") {
                    effects.push(Effect::Fetch(Ask::Theirs(form.path.clone())));
                }
            }
        }
        (Mode::Wizard(_), Then::Wizard | Then::FormAndUrls) => wizard::failed(model, fault.to_string()),
        (Mode::Review(review), Then::Review) => {
            review.plan = Plan::Faulty(if details.is_empty() { vec![fault.to_string()] } else { details });
        }
        (_, Then::Page) if !details.is_empty() => {
            let lines = details.into_iter().map(|d| (String::new(), d)).collect();
            rows::page(model, fault.to_string(), lines);
        }
        _ => {
            let hint = fault.hint().map_or(String::new(), |h| format!("; {h}"));
            model.complain(format!("{fault}{hint}"));
        }
    }
}
