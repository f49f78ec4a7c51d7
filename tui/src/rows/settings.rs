//! Settings and log lines.

use serde_json::json;
use yagi_api::paths;

use super::live::choose_copy;
use crate::{
    form::Form,
    keys::Action,
    model::{Mode, Model, View},
    msg::{Ask, Change, Effect, Then, Verb},
};

pub fn setting(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    match action {
        Action::Reload => {
            let change = Change::new(Verb::Post, paths::RELOAD, View::Settings, "the configuration was read again");
            return effects.push(Effect::Send(change.then(Then::Page)));
        }
        Action::Backup => {
            let change = Change::new(Verb::Post, paths::BACKUP, View::Settings, "the database was copied");
            return effects.push(Effect::Send(change.body(json!({})).then(Then::Page)));
        }
        _ => {}
    }
    let Some(row) = model.selected_setting().cloned() else { return };
    match action {
        Action::Edit if row.editable => model.mode = Mode::Form(Box::new(Form::setting(&row))),
        Action::Edit => model.complain(format!(
            "{} is a key of the configuration file: change it there, then {}",
            row.key,
            if row.applies_now { "r reads the file again" } else { "restart the daemon" }
        )),
        Action::Copy => effects.push(Effect::Copy { what: row.key, text: crate::cli::plain(&row.value) }),
        Action::CopyOther => choose_copy(
            model,
            vec![
                ("value", crate::cli::plain(&row.value)),
                ("key", row.key.clone()),
                ("row as JSON", json!(row).to_string()),
            ],
        ),
        _ => {}
    }
}

pub fn log(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    if action == Action::DaemonLevel {
        return effects.push(Effect::Fetch(Ask::LogFilter));
    }
    let Some(row) = model.selected_log().cloned() else { return };
    match action {
        Action::Enter => model.mode = Mode::Detail { scroll: 0 },
        Action::Copy => {
            let text = format!("{} {}: {}", row.level, row.target, row.message);
            effects.push(Effect::Copy { what: "the line".into(), text });
        }
        Action::CopyOther => {
            choose_copy(model, vec![("message", row.message.clone()), ("row as JSON", json!(row).to_string())]);
        }
        _ => {}
    }
}
