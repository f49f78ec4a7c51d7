//! Viewers' accounts.

use serde_json::json;

use super::{ask, bulk, delete, live::choose_copy, place, toggle};
use crate::{
    client,
    form::Form,
    keys::Action,
    model::{Mode, Model, View},
    msg::{Ask, Change, Effect, Then, Verb},
    text::{count, printable},
};

/// What `x` extends by.
const DAYS: u32 = 30;

/// `1 stream ends`, `2 streams end`.
fn ends(streams: u32) -> String {
    format!("{} end{}", count(streams, "stream"), if streams == 1 { "s" } else { "" })
}

pub fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    if action == Action::New {
        model.mode = Mode::Form(Box::new(Form::user(None)));
        return;
    }
    let Some(row) = model.users.at(place(model, action)).cloned() else { return };
    let path = client::row(View::Users.path(), row.id);
    match action {
        Action::Enter => model.mode = Mode::Detail { scroll: 0 },
        Action::Edit => model.mode = Mode::Form(Box::new(Form::user(Some(&row)))),
        Action::Urls | Action::Copy => {
            effects.push(Effect::Fetch(Ask::Urls { user: row.name, fresh: false, base: None, channel: None }));
        }
        Action::CopyOther => choose_copy(
            model,
            vec![
                ("name", row.name.clone()),
                ("id", row.id.to_string()),
                ("note", row.note.clone()),
                ("row as JSON", json!(row).to_string()),
            ],
        ),
        Action::Toggle => toggle(model, &row.name, row.enabled, row.id.0, row.version, effects),
        Action::Extend => {
            let marked = model.marked();
            let change = match model.target() {
                Some(target) if marked > 0 => {
                    let said = format!("{marked} users extended by {DAYS} days");
                    bulk(View::Users, &target, &json!({"extend_days": DAYS}), said)
                }
                _ if row.expires_at.is_none() => return model.say(format!("{} never expires", row.name)),
                _ => Change::new(
                    Verb::Post,
                    format!("{path}/extend"),
                    View::Users,
                    format!("{} extended by {DAYS} days", row.name),
                )
                .body(json!({"days": DAYS, "version": row.version})),
            };
            effects.push(Effect::Send(change));
        }
        Action::Password if model.marked() > 1 => model.complain("one user at a time is given a new password"),
        Action::Password => {
            let said = format!("{} has a new password", row.name);
            let renew =
                Change::new(Verb::Post, format!("{path}/password"), View::Users, said).then(Then::Urls).for_good();
            let lines = vec![format!(
                "{}: the old links stop working and {} of it",
                printable(&row.name, 40),
                ends(row.active)
            )];
            ask(model, "Give it a new password?", lines, vec![renew], 1);
        }
        Action::Delete => {
            let loses =
                if model.marked() > 1 { "their streams end".to_owned() } else { format!("{} of it", ends(row.active)) };
            delete(model, &row.name, &loses);
        }
        _ => {}
    }
}
