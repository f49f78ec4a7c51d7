//! Which channels have programmes, and the suggestions for those that have none.

use serde_json::json;
use yagi_api::{GuideChannel, Suggestion, paths};

use super::{ask, live::choose_copy};
use crate::{
    keys::Action,
    model::{Choose, Mode, Model, Pick, Target, View},
    msg::{Ask, Change, Effect, Verb},
    text::printable,
};

/// What `A` takes without looking at each.
const SURE: f32 = 0.9;

pub fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    match action {
        Action::Refresh => {
            let change = Change::new(Verb::Post, paths::GUIDE_REFRESH, View::Guide, "the guides are being refreshed");
            return effects.push(Effect::Send(change));
        }
        Action::AcceptAll => {
            let mut change = Change::new(Verb::Post, paths::GUIDE_ACCEPT, View::Guide, "suggestions taken")
                .body(json!({"min_score": SURE}));
            change.undoable = true;
            let lines = vec![
                format!("Each channel without programmes gets its best suggestion of {SURE} and more."),
                "u takes it back.".into(),
            ];
            return ask(model, "Take all good suggestions?", lines, vec![change], 1);
        }
        _ => {}
    }
    let Some(row) = model.selected_guide().cloned() else { return };
    match action {
        Action::Enter => effects.push(Effect::Fetch(Ask::Detail(row.id.0))),
        Action::Accept if model.marked() > 0 => {
            let Some(target) = model.target() else { return };
            let mut body = json!({"min_score": 0.5});
            if let Target::Ids(ids) = target {
                body["ids"] = json!(ids);
            }
            let mut change = Change::new(Verb::Post, paths::GUIDE_ACCEPT, View::Guide, "suggestions taken").body(body);
            change.undoable = true;
            effects.push(Effect::Send(change));
        }
        Action::Accept => match row.suggestions.as_slice() {
            [] => model.complain("there is no suggestion for this channel; e in Channels sets its guide id by hand"),
            [one] => effects.push(Effect::Send(take(&row, one))),
            many => {
                let items = many
                    .iter()
                    .map(|s| {
                        let label =
                            format!("{:.2}  {}  ({})", s.score, printable(&s.name, 40), printable(&s.guide_id, 30));
                        (label, Pick::Send(take(&row, s)))
                    })
                    .collect();
                let title = format!("Guide of {}", printable(&row.name, 40));
                model.mode = Mode::Choose(Box::new(Choose { title, items, at: 0 }));
            }
        },
        Action::Copy => effects.push(Effect::Copy { what: "the guide id".into(), text: row.guide_id }),
        Action::CopyOther => choose_copy(
            model,
            vec![
                ("guide id", row.guide_id.clone()),
                ("name", row.name.clone()),
                ("row as JSON", json!(row).to_string()),
            ],
        ),
        _ => {}
    }
}

fn take(row: &GuideChannel, suggestion: &Suggestion) -> Change {
    let said = format!("{} has the guide {}", row.name, suggestion.guide_id);
    let mut change = Change::new(Verb::Patch, format!("{}/{}", paths::CHANNELS, row.id), View::Guide, said)
        .body(json!({"guide_id": suggestion.guide_id, "version": row.version}));
    change.undoable = true;
    change
}
