//! Channels.

use serde_json::json;
use yagi_api::{Channel, Check, User, paths};

use super::{bulk, delete, live::choose_copy, page, prompt, toggle};
use crate::{
    form::Form,
    keys::Action,
    model::{Choose, Mode, Model, Pane, Pick, PromptKind, Test, View},
    msg::{Ask, Change, Effect, Verb},
    screens::{facts, reading},
};

pub fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    if action == Action::New {
        let category = model.only_category.clone().unwrap_or_default();
        let mut form = Form::channel(None, &category);
        form.fields.iter_mut().find(|f| f.key == "category").into_iter().for_each(|f| f.before.clear());
        model.mode = Mode::Form(Box::new(form));
        return;
    }
    if action == Action::Enter && model.pane == Pane::Side {
        model.pane = Pane::List;
        return;
    }
    let Some(row) = model.selected_channel().cloned() else { return };
    match action {
        Action::Enter => effects.push(Effect::Fetch(Ask::Detail(row.id.0))),
        // Fetched again: lists may hide the credentials of its addresses.
        Action::Edit => effects.push(Effect::Fetch(Ask::Edit(View::Channels, row.id.0))),
        Action::Urls => effects.push(Effect::Fetch(Ask::Viewers(row.id.0))),
        Action::Test => test(model, &row, effects),
        Action::Toggle => toggle(model, &row.name, row.enabled, row.id.0, row.version, effects),
        Action::Move => prompt(model, PromptKind::Move, ""),
        Action::Renumber => prompt(model, PromptKind::Renumber, row.number.to_string()),
        Action::Delete => delete(model, &row.name, "its stream stops; u brings it back"),
        Action::Copy => effects
            .extend(row.sources.first().map(|s| Effect::Copy { what: "the address".into(), text: s.url.clone() })),
        Action::CopyOther => {
            let url = row.sources.first().map(|s| s.url.clone()).unwrap_or_default();
            let texts = vec![
                ("address", url),
                ("name", row.name.clone()),
                ("guide id", row.guide_id.clone()),
                ("id", row.id.to_string()),
                ("row as JSON", json!(row).to_string()),
            ];
            choose_copy(model, texts);
        }
        _ => {}
    }
}

/// One channel is looked at until its result is there; many are queued.
fn test(model: &mut Model, row: &Channel, effects: &mut Vec<Effect>) {
    if model.marked() > 1 {
        let marked = model.marked();
        let said = format!("{marked} channels are being checked; yagi check --list tells what was found");
        let change =
            model.target().map(|t| Change::new(Verb::Post, paths::CHECKS, View::Channels, said).body(t.body()));
        effects.extend(change.map(|c| Effect::Send(c.for_good())));
        return;
    }
    // One that runs is the best test there is; the daemon would not open its source twice.
    if let Some(s) = model.streams.iter().find(|s| s.channel == Some(row.id)) {
        let facts = facts::stream(s);
        return page(model, format!("{} is streamed now", row.name), facts);
    }
    model.test = Some(Test { id: row.id.0, name: row.name.clone(), since: model.now, before: None });
    effects.push(Effect::Fetch(Ask::Tested(row.id.0)));
    model.say(format!("{} is being opened ...", row.name));
}

/// Whose address of a channel is meant.
pub fn viewers(model: &mut Model, channel: u32, users: Vec<User>, effects: &mut Vec<Effect>) {
    match users.as_slice() {
        [] => model.complain("no user may watch anything yet: 5 n makes one"),
        [only] => {
            let (user, channel) = (only.name.clone(), Some(channel));
            effects.push(Effect::Fetch(Ask::Urls { user, fresh: false, base: None, channel }));
        }
        _ => {
            let items = users.into_iter().map(|u| (u.name.clone(), Pick::Urls { user: u.name, channel })).collect();
            model.mode = Mode::Choose(Box::new(Choose { title: "For which user?".into(), items, at: 0 }));
        }
    }
}

/// What is known of the last check, before or while one runs.
pub fn tested(model: &mut Model, id: u32, check: Option<&Check>, effects: &mut Vec<Effect>) {
    let Some(test) = model.test.as_mut().filter(|t| t.id == id) else { return };
    let at = check.map_or(0, |c| c.at);
    match (test.before, check) {
        (None, _) => {
            // The clocks of two machines differ: the former result's time is what the new one is known by.
            test.before = Some(at);
            let said = format!("{} is being opened ...", test.name);
            let change = Change::new(Verb::Post, paths::CHECKS, View::Channels, said).body(json!({"ids": [id]}));
            effects.push(Effect::Send(change.for_good()));
        }
        (Some(before), Some(check)) if check.at != before => {
            let title = format!("Test of {}", test.name);
            model.test = None;
            model.toast = None;
            if matches!(model.mode, Mode::Browse) {
                page(model, title, reading::check(check));
            } else {
                model.say(format!("{title}: {}", check.words()));
            }
        }
        _ => {}
    }
}

/// Moves the marked channels, or the selected one, to a category.
pub fn move_to(model: &Model, category: &str) -> Option<Effect> {
    let count = model.marked().max(1);
    let said = format!("{count} moved to {category}");
    Some(Effect::Send(bulk(View::Channels, &model.target()?, &json!({"set": {"category": category}}), said)))
}

/// New numbers from one on.
pub fn renumber(model: &Model, from: u32) -> Option<Effect> {
    let count = model.marked().max(1);
    let said = format!("{count} renumbered from {from}");
    Some(Effect::Send(bulk(View::Channels, &model.target()?, &json!({"renumber_from": from}), said)))
}
