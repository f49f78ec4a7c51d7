//! Keys in a form, and the way of an edited table from the editor to the daemon.

use crossterm::event::{Event as TermEvent, KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;
use tui_input::backend::crossterm::EventHandler as _;
use yagi_api::{Op, paths};

use crate::{
    form::{Form, Picker},
    model::{Mode, Model, Plan, Review, View},
    msg::{Ask, Change, Effect, Then, Verb},
    sheet::Sheet,
};

pub fn key(model: &mut Model, key: KeyEvent, mut form: Box<Form>, effects: &mut Vec<Effect>) {
    let ctrl = |c: char| key.code == KeyCode::Char(c) && key.modifiers.contains(KeyModifiers::CONTROL);
    if let Some(picker) = form.picker.take() {
        pick(&key, &mut form, picker);
        model.mode = Mode::Form(form);
        return;
    }
    let stops = form.stops();
    let fields = form.fields.len();
    let save = key.code == KeyCode::F(2) || ctrl('s') || key.code == KeyCode::Enter && form.focus == fields;
    // Whatever is done meanwhile, leaving is asked for twice in a row.
    let leaving = std::mem::take(&mut form.leaving);
    match key.code {
        _ if form.sent && key.code != KeyCode::Esc => {}
        KeyCode::Esc if form.is_touched() && !leaving => form.leaving = true,
        KeyCode::Esc => return,
        KeyCode::Enter if form.focus == fields + 1 => {
            if !form.is_touched() || leaving {
                return;
            }
            form.leaving = true;
        }
        _ if save => {
            if send(model, &mut form, effects) {
                return;
            }
        }
        _ if ctrl('g') => {
            if let Some(at) = form.fields.iter().position(crate::form::Field::is_secret) {
                form.focus = at;
                form.shown = true;
                effects.push(Effect::Password);
            }
        }
        _ if ctrl('t') => form.shown = !form.shown,
        _ if ctrl('u') && form.view == View::Users && form.row.is_some() && !form.is_touched() => {
            let user = form.row.as_ref().map(|(_, name)| name.clone()).unwrap_or_default();
            effects.push(Effect::Fetch(Ask::Urls { user, fresh: false, base: None, channel: None }));
            return;
        }
        KeyCode::Tab | KeyCode::Down => form.focus = (form.focus + 1) % stops,
        KeyCode::BackTab | KeyCode::Up => form.focus = (form.focus + stops - 1) % stops,
        KeyCode::Enter => {
            let names: Vec<String> = model.tree.iter().map(|c| c.name.clone()).collect();
            match form.focused() {
                Some(field) if field.is_picked() && !names.is_empty() => {
                    let picker = Picker::new(field, names);
                    form.picker = Some(picker);
                }
                _ => form.focus = (form.focus + 1) % stops,
            }
        }
        KeyCode::Left | KeyCode::Right if form.focus >= fields => form.focus = fields + (form.focus - fields + 1) % 2,
        KeyCode::Char(' ') if form.focused().is_some_and(|f| f.is_turned()) => {
            if let Some(field) = form.focused() {
                field.turn();
            }
        }
        // A switch that was turned by mistake in a bulk form is left alone again.
        KeyCode::Backspace | KeyCode::Delete if form.focused().is_some_and(|f| f.is_turned()) => {
            if let Some(field) = form.focused() {
                field.set(field.before.clone());
            }
        }
        _ => {
            if let Some(field) = form.focused().filter(|f| !f.is_turned()) {
                field.input.handle_event(&TermEvent::Key(key));
                form.refused = None;
            }
        }
    }
    model.mode = Mode::Form(form);
}

/// Says whether the form is done with.
fn send(model: &mut Model, form: &mut Form, effects: &mut Vec<Effect>) -> bool {
    if !form.is_touched() && form.is_edit() {
        model.say("nothing was changed");
        return true;
    }
    match (model.write_fault(), form.change(model.now)) {
        (Some(fault), _) => form.refused = Some(fault.into()),
        (None, Ok(change)) => {
            form.sent = true;
            form.refused = None;
            effects.push(Effect::Send(change));
        }
        (None, Err(at)) => {
            form.refused = Some(format!("to fix: {}", form.fields[at].label));
            form.focus = at;
        }
    }
    false
}

fn pick(key: &KeyEvent, form: &mut Form, mut picker: Picker) {
    let mut done = false;
    match key.code {
        KeyCode::Esc => return,
        KeyCode::Enter => {
            if !picker.is_many() {
                picker.turn();
            }
            done = true;
        }
        KeyCode::Down | KeyCode::Tab => picker.step(1),
        KeyCode::Up | KeyCode::BackTab => picker.step(-1),
        KeyCode::PageDown => picker.step(10),
        KeyCode::PageUp => picker.step(-10),
        KeyCode::Char(' ') => done = picker.turn(),
        KeyCode::Backspace => {
            picker.filter.pop();
            picker.at = 0;
        }
        KeyCode::Char(c) if key.modifiers == KeyModifiers::NONE || key.modifiers == KeyModifiers::SHIFT => {
            picker.filter.push(c);
            picker.at = 0;
        }
        _ => {}
    }
    if done {
        let text = picker.text();
        if let Some(field) = form.focused() {
            field.set(text);
        }
        form.leaving = false;
    } else {
        form.picker = Some(picker);
    }
}

/// The text came back from the editor: the daemon is asked what it would do.
pub fn edited(model: &mut Model, view: View, sheet: Sheet, text: String, effects: &mut Vec<Effect>) {
    model.dirty = true;
    let plan = match sheet.read(&text) {
        Err(faults) => Plan::Faulty(faults.iter().map(ToString::to_string).collect()),
        Ok(operations) if operations.is_empty() => return model.say("nothing was changed"),
        Ok(operations) => {
            let count = operations.len();
            let body = json!({"operations": operations, "dry_run": false});
            let mut change = Change::new(Verb::Post, paths::APPLY, view, format!("{count} rows changed"))
                .body(body)
                .then(Then::Review);
            let mut ask = change.clone();
            change.destructive = operations.iter().any(|o| o.op == Op::Delete);
            if let Some(body) = &mut ask.body {
                body["dry_run"] = json!(true);
            }
            effects.push(Effect::Send(ask));
            Plan::Asked(change)
        }
    };
    model.mode = Mode::Review(Box::new(Review { view, sheet, text, plan, scroll: 0 }));
}

pub fn review(model: &mut Model, key: &KeyEvent, mut review: Box<Review>, effects: &mut Vec<Effect>) {
    match key.code {
        KeyCode::Char('y') if matches!(review.plan, Plan::Ready(..)) => {
            if let Some(fault) = model.write_fault() {
                model.complain(fault);
            } else if let Plan::Ready(change, _) = &review.plan {
                let change = change.clone();
                effects.push(Effect::Send(change.clone()));
                review.plan = Plan::Applying(change);
            }
        }
        KeyCode::Char('e') => {
            let Review { view, sheet, text, .. } = *review;
            effects.push(Effect::Edit(view, Box::new(sheet), text));
            return;
        }
        KeyCode::Esc | KeyCode::Char('q') => {
            return model.say("dropped: nothing was changed");
        }
        _ => {
            if let Some(scroll) = super::dialogs::scrolled(key, review.scroll) {
                review.scroll = scroll;
            }
        }
    }
    model.mode = Mode::Review(review);
}
