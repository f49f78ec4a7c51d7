//! Which channels have programmes, and the suggestions for those that have none.

use serde_json::json;
use yagi_api::{GuideChannel, Suggestion, paths};

use super::{ask, live::choose_copy, names, place};
use crate::{
    keys::Action,
    model::{Choose, Mode, Model, Pick, Target, View},
    msg::{Ask, Change, Effect, Verb},
    text::printable,
};

/// What `A` takes without looking at each.
const SURE: f32 = 0.9;

/// What `a` takes for rows that were marked.
const LIKELY: f32 = 0.5;

pub fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    match action {
        Action::Refresh => {
            let change = Change::new(Verb::Post, paths::GUIDE_REFRESH, View::Guide, "the guides are being refreshed");
            return effects.push(Effect::Send(change));
        }
        Action::AcceptAll => {
            let q = model.query(View::Guide);
            let of = if q.is_empty() { "Each channel" } else { "Each channel of this filter" };
            let lines = vec![
                format!("{of} without programmes gets its best suggestion of {SURE} and more."),
                "u takes it back.".into(),
            ];
            let change = accept(SURE, &Target::Query(q));
            return ask(model, "Take all good suggestions?", lines, vec![change], 1);
        }
        _ => {}
    }
    let Some(row) = model.guide_rows.at(place(model, action)).cloned() else { return };
    match action {
        Action::Enter => effects.push(Effect::Fetch(Ask::Detail(row.id.0))),
        Action::Accept if model.marked() > 0 => {
            let Some(target) = model.target() else { return };
            let (change, count) = (accept(LIKELY, &target), model.marked());
            if count == 1 {
                return effects.push(Effect::Send(change));
            }
            let mut lines = names(model);
            lines.push("Those without programmes get their best suggestion; u takes it back.".into());
            ask(model, format!("Take suggestions for {count} channels?"), lines, vec![change], count);
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

/// Suggestions for the chosen rows, in one step.
fn accept(min_score: f32, target: &Target) -> Change {
    let mut body = target.body();
    body["min_score"] = json!(min_score);
    let change = Change::new(Verb::Post, paths::GUIDE_ACCEPT, View::Guide, "suggestions taken").body(body);
    Change { undoable: true, ..change }
}

fn take(row: &GuideChannel, suggestion: &Suggestion) -> Change {
    let said = format!("{} has the guide {}", row.name, suggestion.guide_id);
    let mut change = Change::new(Verb::Patch, format!("{}/{}", paths::CHANNELS, row.id), View::Guide, said)
        .body(json!({"guide_id": suggestion.guide_id, "version": row.version}));
    change.undoable = true;
    change
}
