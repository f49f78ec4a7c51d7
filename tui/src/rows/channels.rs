//! Channels.

use serde_json::json;
use yagi_api::{AddressCheck, Channel, User, paths};

use super::{bulk, delete, live::choose_copy, page, place, prompt, toggle};
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
    if action == Action::CancelJob {
        return stop_checks(model, effects);
    }
    let Some(row) = model.channels.at(place(model, action)).map(|r| r.channel.clone()) else { return };
    match action {
        Action::Enter => effects.push(Effect::Fetch(Ask::Detail(row.id.0))),
        // Fetched again: lists may hide the credentials of its addresses.
        Action::Edit => effects.push(Effect::Fetch(Ask::Edit(View::Channels, row.id.0))),
        Action::Urls => effects.push(Effect::Fetch(Ask::Viewers(row.id.0))),
        Action::Test => test(model, &row, effects),
        Action::Toggle => toggle(model, &row.name, row.enabled, row.id.0, row.version, effects),
        Action::Move => prompt(model, PromptKind::Move, ""),
        Action::Renumber => prompt(model, PromptKind::Renumber, row.number.to_string()),
        Action::Delete => {
            let many = model.marked() > 1;
            let loses =
                if many { "their streams stop; u brings them back" } else { "its stream stops; u brings it back" };
            delete(model, &row.name, loses);
        }
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

/// One channel is looked at until the results of all its addresses are there; many are queued.
fn test(model: &mut Model, row: &Channel, effects: &mut Vec<Effect>) {
    if model.marked() > 1 {
        let marked = model.marked();
        let said = format!("{marked} channels are being checked; c stops it");
        let change =
            model.target().map(|t| Change::new(Verb::Post, paths::CHECKS, View::Channels, said).body(t.body()));
        effects.extend(change.map(|c| Effect::Send(c.for_good())));
        return;
    }
    // One that runs is the best test there is; the daemon would not open its source twice.
    if let Some(s) = model.streams.iter().find(|s| s.channel == Some(row.id)) {
        let mut facts = facts::stream(s);
        if row.sources.len() > 1 {
            facts.push(facts::fact("others", "its other addresses are tested when nobody watches it"));
        }
        return page(model, format!("{} is streamed now", row.name), facts);
    }
    model.test = Some(Test { id: row.id.0, name: row.name.clone(), since: model.now, before: None, done: 0 });
    effects.push(Effect::Fetch(Ask::Tested(row.id.0)));
    model.say(format!("{} is being opened ...", row.name));
}

/// Stops the checks that run.
fn stop_checks(model: &mut Model, effects: &mut Vec<Effect>) {
    let running = model.jobs.iter().find(|j| j.source.is_none() && !j.state.is_over());
    let Some(job) = running else { return model.say("no checks are running") };
    let said = "the checks were stopped; what was found stays";
    let mut change = Change::new(Verb::Delete, format!("{}/{}", paths::JOBS, job.id), View::Channels, said).for_good();
    // It takes nothing away.
    change.destructive = false;
    effects.push(Effect::Send(change));
    model.test = None;
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

/// What is known of each address, before or while they are tested.
pub fn tested(model: &mut Model, id: u32, addresses: &[AddressCheck], effects: &mut Vec<Effect>) {
    let now = model.now;
    let Some(test) = model.test.as_mut().filter(|t| t.id == id) else { return };
    let title = test.title();
    if test.before.is_none() {
        // The clocks of two machines differ: the former result's time is what the new one is known by.
        test.before = Some(addresses.iter().map(|a| a.check.as_ref().map_or(0, |c| c.at)).collect());
        let said = format!("{} is being opened ...", test.name);
        let change =
            Change::new(Verb::Post, paths::CHECKS, View::Channels, said).body(json!({"ids": [id], "all": true}));
        effects.push(Effect::Send(change.for_good()));
        let lines = reading::test(test, addresses);
        if matches!(model.mode, Mode::Browse) {
            page(model, title, lines);
        }
        return;
    }
    let done = addresses.iter().enumerate().filter(|(at, a)| test.is_new(*at, a)).count();
    if done == test.done {
        return;
    }
    (test.done, test.since) = (done, now);
    let lines = reading::test(test, addresses);
    let over = done == addresses.len();
    let open = match &mut model.mode {
        Mode::Page(reading) if reading.title == title => {
            reading.lines = lines;
            true
        }
        _ => false,
    };
    if over {
        model.test = None;
        model.toast = None;
        if !open {
            let alive = addresses.iter().filter(|a| a.check.as_ref().is_some_and(|c| c.alive)).count();
            model.say(format!("{title}: {alive} of {} addresses play; T shows more", addresses.len()));
        }
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
