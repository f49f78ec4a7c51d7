//! What can be done with the rows of each view.
//!
//! Owns the verbs on rows. Must not enter: keys, drawing. Invariant: whatever takes something away asks first.

pub mod asides;
mod categories;
pub mod channels;
mod guide;
pub mod live;
pub mod marks;
pub mod pages;
mod settings;
mod sources;
mod users;

use serde_json::{Value, json};
use tui_input::Input;
use yagi_api::paths;

use crate::{
    client,
    form::Form,
    keys::Action,
    model::{Confirm, Desk, Mode, Model, Pane, Prompt, PromptKind, Reading, Target, View, Wizard},
    msg::{Ask, Change, Effect, Verb},
    text::printable,
};

/// From so many rows on their number has to be typed before they are destroyed.
const MANY: usize = 20;

/// Carries out an action on the selected row, or on the marked ones.
pub fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    let no_row = match action {
        Action::New | Action::Undo | Action::Redo => true,
        Action::Refresh => model.view != View::Sources,
        Action::CancelJob => model.view == View::Channels,
        Action::Enter => model.pane == Pane::Side,
        _ => false,
    };
    if !no_row && !is_settled(model) {
        return;
    }
    if model.meant().is_none() && for_marks(action) {
        return model.complain("the marked rows are not here: go to them, or Esc clears the marks");
    }
    match (model.view, action) {
        (View::Streams, Action::New) => model.mode = Mode::Wizard(Box::new(Wizard::new(true))),
        (_, Action::Undo | Action::Redo) => trail(model, action, effects),
        (View::Channels | View::Categories | View::Users | View::Sources, Action::Editor) => editor(model, effects),
        (View::Channels | View::Users | View::Sources | View::Categories, Action::Edit) if model.marked() > 1 => {
            bulk_form(model);
        }
        (View::Streams, _) => live::stream(model, action, effects),
        (View::Clients, _) => live::client(model, action, effects),
        (View::Channels, _) => channels::act(model, action, effects),
        (View::Categories, _) => categories::act(model, action, effects),
        (View::Users, _) => users::act(model, action, effects),
        (View::Sources, _) => sources::act(model, action, effects),
        (View::Guide, _) => guide::act(model, action, effects),
        (View::Settings, _) => settings::setting(model, action, effects),
        (View::Logs, _) => settings::log(model, action, effects),
    }
    if action == Action::Refresh {
        pages::stale(model, model.view);
        // What comes by itself can be asked for too.
        effects.extend(match model.view {
            View::Streams => Some(Effect::Fetch(Ask::Streams)),
            View::Clients => Some(Effect::Fetch(Ask::Clients)),
            View::Logs => Some(Effect::Fetch(Ask::Logs)),
            _ => None,
        });
    }
}

/// Whether what a key is meant for is here; else says that it comes.
pub fn is_settled(model: &mut Model) -> bool {
    let settled = model.is_settled();
    if !settled {
        model.say("the list is being fetched: once more when it is here");
    }
    settled
}

/// Whether an action is for the marked rows, if there are any, rather than for the one under the cursor.
fn for_marks(action: Action) -> bool {
    use Action as A;
    matches!(
        action,
        A::Edit | A::Toggle | A::Delete | A::Move | A::Renumber | A::Extend | A::Password | A::Test | A::Accept
    )
}

/// Place of the row that an action is about.
fn place(model: &Model, action: Action) -> usize {
    let selected = model.list().selected;
    if for_marks(action) { model.meant().unwrap_or(selected) } else { selected }
}

fn trail(model: &Model, action: Action, effects: &mut Vec<Effect>) {
    let (path, said) = if action == Action::Undo { (paths::UNDO, "undone") } else { (paths::REDO, "made again") };
    effects.push(Effect::Send(Change::new(Verb::Post, path, model.view, said).body(json!({})).for_good()));
}

fn editor(model: &Model, effects: &mut Vec<Effect>) {
    if let Some(target) = model.target() {
        effects.push(Effect::Fetch(Ask::Desk(Desk { view: model.view, target })));
    }
}

fn bulk_form(model: &mut Model) {
    let Some(target) = model.target() else { return };
    match Form::bulk(model.view, &target, model.marked()) {
        Some(form) => model.mode = Mode::Form(Box::new(form)),
        None => model.complain("these rows are edited one by one, or with E as a table"),
    }
}

/// A bulk edit of the marked rows, else of the selected one. `extra` is what is done.
fn bulk(view: View, target: &Target, extra: &Value, said: impl Into<String>) -> Change {
    let mut body = target.body();
    if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
        body.extend(extra.clone());
    }
    Change::new(Verb::Post, format!("{}{}", view.path(), paths::BULK), view, said).body(body)
}

/// A question before changes. Many rows ask for their number.
pub fn ask(model: &mut Model, title: impl Into<String>, lines: Vec<String>, changes: Vec<Change>, rows: usize) {
    let changes = changes.into_iter().map(Change::destructive).collect();
    let number = (rows > MANY).then_some(rows);
    let title = title.into();
    model.mode =
        Mode::Confirm(Box::new(Confirm { title, lines, changes, on_yes: false, number, input: Input::default() }));
}

/// Asks before the marked rows, or the selected one, are deleted.
fn delete(model: &mut Model, name: &str, loses: &str) {
    let Some(target) = model.target() else { return };
    let (one, many) = model.view.nouns();
    let count = model.marked().max(1);
    let marked = model.marked() > 0;
    if marked {
        let mut lines = names(model);
        lines.push(loses.to_owned());
        let change = bulk(model.view, &target, &json!({"delete": true}), format!("{count} {many} deleted"));
        let what = if count == 1 { one } else { many };
        return ask(model, format!("Delete {count} {what}?"), lines, vec![change], count);
    }
    let Target::Ids(ids) = target else { return };
    let changes = ids
        .iter()
        .map(|id| Change::new(Verb::Delete, client::row(model.view.path(), id), model.view, format!("{name} deleted")))
        .collect();
    ask(model, format!("Delete the {one}?"), vec![format!("{}: {loses}", printable(name, 60))], changes, 1);
}

/// The first names of the marked rows, as far as they are here.
fn names(model: &Model) -> Vec<String> {
    const SHOWN: usize = 5;
    let marked = |id: u64| model.is_marked(model.view, id);
    let all: Vec<&str> = match model.view {
        View::Channels => model
            .channels
            .rows
            .iter()
            .map(|r| &r.channel)
            .filter(|c| marked(c.id.0.into()))
            .map(|c| c.name.as_str())
            .collect(),
        View::Categories => {
            model.categories.rows.iter().filter(|r| marked(r.id.0.into())).map(|r| r.name.as_str()).collect()
        }
        View::Users => model.users.rows.iter().filter(|r| marked(r.id.0.into())).map(|r| r.name.as_str()).collect(),
        View::Sources => model.sources.rows.iter().filter(|r| marked(r.id.0.into())).map(|r| r.name.as_str()).collect(),
        View::Guide => {
            model.guide_rows.rows.iter().filter(|r| marked(r.id.0.into())).map(|r| r.name.as_str()).collect()
        }
        View::Streams => model.streams.iter().filter(|r| marked(r.id)).map(|r| r.name.as_str()).collect(),
        View::Clients => model.clients.iter().filter(|r| marked(r.id.0)).map(|r| r.name.as_str()).collect(),
        _ => Vec::new(),
    };
    let mut lines: Vec<String> = all.iter().take(SHOWN).map(|n| printable(n, 60).into_owned()).collect();
    let more = model.marked().saturating_sub(lines.len());
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// Enables or disables: the marked rows as one step, or the selected one.
fn toggle(model: &Model, name: &str, enabled: bool, id: u32, version: u32, effects: &mut Vec<Effect>) {
    let word = if enabled { "off" } else { "on" };
    let marked = model.marked();
    let change = match model.target() {
        Some(target) if marked > 0 => {
            bulk(model.view, &target, &json!({"set": {"enabled": !enabled}}), format!("{marked} rows are {word}"))
        }
        _ => Change::new(Verb::Patch, client::row(model.view.path(), id), model.view, format!("{name} is {word}"))
            .body(json!({"enabled": !enabled, "version": version})),
    };
    effects.push(Effect::Send(change));
}

fn prompt(model: &mut Model, kind: PromptKind, text: impl Into<String>) {
    model.mode = Mode::Prompt(Prompt::new(kind, text));
}

/// Shows what was answered.
pub fn page(model: &mut Model, title: impl Into<String>, lines: Vec<(String, String)>) {
    model.mode = Mode::Page(Box::new(Reading { title: title.into(), lines, scroll: 0 }));
}
