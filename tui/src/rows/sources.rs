//! Playlists and guides.

use serde_json::json;
use yagi_api::{SourceKind, paths};

use super::{bulk, delete, live::choose_copy, place, toggle};
use crate::{
    client,
    keys::Action,
    model::{Mode, Model, View, Wizard},
    msg::{Ask, Change, Effect, Verb},
};

pub fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    if action == Action::New {
        model.mode = Mode::Wizard(Box::new(Wizard::new(false)));
        return;
    }
    let Some(row) = model.sources.at(place(model, action)).cloned() else { return };
    let path = client::row(View::Sources.path(), row.id);
    match action {
        Action::Enter => effects.push(Effect::Fetch(Ask::History(row.id.0))),
        Action::Difference => effects.push(Effect::Fetch(Ask::Diff(row.id.0))),
        // Fetched again: lists hide the login of an address.
        Action::Edit => effects.push(Effect::Fetch(Ask::Edit(View::Sources, row.id.0))),
        Action::Copy => effects.push(Effect::Copy { what: "the address".into(), text: row.url }),
        Action::CopyOther => choose_copy(
            model,
            vec![
                ("address", row.url.clone()),
                ("name", row.name.clone()),
                ("id", row.id.to_string()),
                ("row as JSON", json!(row).to_string()),
            ],
        ),
        Action::Refresh => {
            let marked = model.marked();
            let change = match model.target() {
                Some(target) if marked > 0 => bulk(
                    View::Sources,
                    &target,
                    &json!({"refresh": true}),
                    format!("{marked} sources are being refreshed"),
                ),
                _ => Change::new(
                    Verb::Post,
                    format!("{path}/refresh"),
                    View::Sources,
                    format!("{} is being refreshed", row.name),
                ),
            };
            effects.push(Effect::Send(change.for_good()));
        }
        Action::CancelJob => match model.job_of(row.id) {
            Some(job) => {
                let said = format!("the refresh of {} is cancelled", row.name);
                let mut cancel =
                    Change::new(Verb::Delete, format!("{}/{}", paths::JOBS, job.id), View::Sources, said).for_good();
                // What has not been applied is fetched again next time: nothing is lost.
                cancel.destructive = false;
                effects.push(Effect::Send(cancel));
            }
            None => model.say(format!("{} is not being refreshed", row.name)),
        },
        Action::Toggle => toggle(model, &row.name, row.enabled, row.id.0, row.version, effects),
        Action::Delete => {
            let loses = match row.kind {
                _ if model.marked() > 1 => "the channels and programmes that they made go with them",
                SourceKind::Playlist => "the channels that it made go with it",
                SourceKind::Guide => "the programmes that it made go with it",
            };
            delete(model, &row.name, loses);
        }
        _ => {}
    }
}
