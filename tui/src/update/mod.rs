//! What messages do to the model.
//!
//! Owns every transition. Must not enter: I/O, drawing, clocks. Invariant: nothing destructive is sent without a
//! confirmation, and no key of a view works while a prompt is open.

mod browse;
mod changed;
mod daemon;
mod dialogs;
mod editing;
mod mouse;
mod prompts;
mod wizard;

pub use browse::go;
pub use prompts::{categories, narrow, save};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::{
    form,
    keys::Action,
    model::{Link, Mode, Model, PromptKind, View},
    msg::{Ask, Effect, Msg},
    rows::pages,
};

/// Slower than this, in seconds, the picture is never.
const MAX_TICK: i64 = 10;
/// Seconds that a test is waited for: an engine gathers peers first.
const MAX_TEST: i64 = 75;

/// Applies a message; says what is to be done outside.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let mut effects = Vec::new();
    match msg {
        Msg::Key(key, at_ms) => on_key(model, key, at_ms, &mut effects),
        Msg::Paste(text) => paste(model, &text),
        Msg::Mouse(event) => mouse::on(model, event, &mut effects),
        Msg::Resize(width, height) => {
            model.size = (width, height);
            model.dirty = true;
        }
        Msg::Clock(now) => clock(model, now, &mut effects),
        Msg::Link(link) => on_link(model, link, &mut effects),
        Msg::Event(event) => daemon::on_event(model, *event, &mut effects),
        Msg::Answer(answer) => daemon::on_answer(model, *answer, &mut effects),
        Msg::Failed(ask, fault) => on_failed(model, &ask, &fault),
        Msg::Changed(change, result) => changed::on(model, *change, result, &mut effects),
        Msg::Edited(view, sheet, text) => editing::edited(model, view, *sheet, text, &mut effects),
        Msg::Password(text) => {
            if let Mode::Form(form) = &mut model.mode
                && let Some(field) = form.fields.iter_mut().find(|f| f.is_secret())
            {
                field.set(text);
                model.dirty = true;
            }
        }
        Msg::Said(text) => {
            model.say(text);
            model.dirty = true;
        }
        Msg::Complained(text) => {
            model.complain(text);
            model.dirty = true;
        }
        Msg::SlowTerminal(ms) => {
            model.tick_s = (model.tick_s * 2).min(MAX_TICK);
            let tick = model.tick_s;
            model.say(format!("this terminal is slow (a frame took {ms} ms): live figures every {tick} s; :tick 1s"));
        }
    }
    let height = pages::height(model);
    let count = model.count();
    model.list_mut().settle(count, height);
    if model.link == Link::Live {
        effects.extend(pages::needed(model).into_iter().map(Effect::Fetch));
    }
    effects
}

fn clock(model: &mut Model, now: i64, effects: &mut Vec<Effect>) {
    model.now = now;
    if let Some(test) = &model.test {
        if now - test.since > MAX_TEST {
            let said = format!("{}: no result in {MAX_TEST} s; what viewers watch comes first", test.title());
            model.complain(format!("{said}; c stops it"));
            model.test = None;
            model.dirty = true;
        } else if test.before.is_some() {
            effects.push(Effect::Fetch(Ask::Tested(test.id)));
        }
    }
    let over = model.toast.as_ref().is_some_and(|t| t.until <= now);
    if over {
        model.toast = None;
        model.quit_asked = false;
    }
    // Offline the age of the data is on the screen; a job shows how long it takes.
    let counts = model.link != Link::Live || model.jobs.iter().any(|j| !j.state.is_over());
    model.dirty |= over || counts;
}

fn on_link(model: &mut Model, link: Link, effects: &mut Vec<Effect>) {
    model.dirty = true;
    if link == Link::Live && model.link != Link::Live {
        pages::all_stale(model);
        effects.extend(everything());
    }
    model.link = link;
}

/// All that is fetched as a whole.
fn everything() -> impl Iterator<Item = Effect> {
    [Ask::Status, Ask::Streams, Ask::Clients, Ask::Guide, Ask::Settings, Ask::Logs, Ask::Jobs]
        .into_iter()
        .map(Effect::Fetch)
}

fn on_failed(model: &mut Model, ask: &Ask, fault: &crate::client::Fault) {
    model.dirty = true;
    match ask {
        Ask::Page(view, _) => pages::failed(model, *view),
        Ask::Tree => model.tree_asked = false,
        Ask::Tested(_) => model.test = None,
        Ask::Probe(url) => return wizard::unprobed(model, url, fault.to_string()),
        // An older daemon has none.
        Ask::Jobs => return,
        _ => {}
    }
    if model.link == Link::Live && !fault.is_unreachable() {
        model.complain(fault.to_string());
    }
}

fn paste(model: &mut Model, text: &str) {
    let starts = model.view == View::Streams && model.is_new_house() && model.write_fault().is_none();
    match &mut model.mode {
        Mode::Prompt(prompt) => {
            form::insert(&mut prompt.input, text);
            prompt.fault = None;
            if prompt.kind == PromptKind::Filter {
                let filter = prompt.input.value().to_owned();
                prompts::narrow(model, filter);
            }
        }
        Mode::Form(form) => form.paste(text),
        Mode::Wizard(wizard) if !wizard.waits => {
            form::insert(&mut wizard.input, text);
            wizard.fault = None;
        }
        // On the start card a pasted address is the first answer.
        Mode::Browse if starts => {
            let mut wizard = crate::model::Wizard::new(true);
            form::insert(&mut wizard.input, text);
            model.mode = Mode::Wizard(Box::new(wizard));
        }
        // In a view, pasted text is no row of commands.
        _ => return,
    }
    model.dirty = true;
}

fn on_key(model: &mut Model, key: KeyEvent, at_ms: u64, effects: &mut Vec<Effect>) {
    model.dirty = true;
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        effects.push(Effect::Quit);
        return;
    }
    // Whatever is open, the terminal's own keys work.
    for (action, effect) in [(Action::Repaint, Effect::Repaint), (Action::Suspend, Effect::Suspend)] {
        if key.modifiers.contains(KeyModifiers::CONTROL) && model.keymap.is(action, &key) {
            effects.push(effect);
            return;
        }
    }
    match std::mem::replace(&mut model.mode, Mode::Browse) {
        Mode::Browse => browse::key(model, &key, at_ms, effects),
        Mode::Prompt(prompt) => prompts::key(model, &key, prompt, effects),
        Mode::Form(form) => editing::key(model, key, form, effects),
        Mode::Confirm(confirm) => dialogs::confirm(model, &key, confirm, effects),
        Mode::Urls(dialog) => dialogs::urls(model, &key, dialog, effects),
        Mode::Choose(choose) => dialogs::choose(model, &key, choose, effects),
        Mode::Detail { scroll } => {
            model.mode = dialogs::scrolled(&key, scroll).map_or(Mode::Browse, |scroll| Mode::Detail { scroll });
        }
        Mode::Page(mut page) => {
            if let Some(scroll) = dialogs::scrolled(&key, page.scroll) {
                page.scroll = scroll;
                model.mode = Mode::Page(page);
            }
        }
        Mode::Help(help) => dialogs::help(model, &key, help),
        Mode::Review(review) => editing::review(model, &key, review, effects),
        Mode::Wizard(wizard) => wizard::key(model, key, wizard, effects),
    }
}
