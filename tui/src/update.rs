//! What messages do to the model.
//!
//! Owns every transition. Must not enter: I/O, drawing, clocks. Invariant: nothing destructive is sent without a
//! confirmation, and no key of a view works while a prompt is open.

use crossterm::event::{Event as TermEvent, KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, backend::crossterm::EventHandler as _};
use yagi_api::{Event, Noun};

use crate::{
    form,
    keys::{self, Action},
    model::{Link, MAX_LOGS, Mode, Model, UrlDialog, View},
    msg::{Answer, Ask, Change, Effect, Msg},
    rows,
};

/// Applies a message; says what is to be done outside.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let mut effects = Vec::new();
    match msg {
        Msg::Key(key) => on_key(model, key, &mut effects),
        Msg::Paste(text) => paste(model, &text),
        Msg::Resize(width, height) => {
            model.size = (width, height);
            model.dirty = true;
        }
        Msg::Clock(now) => clock(model, now),
        Msg::Link(link) => on_link(model, link, &mut effects),
        Msg::Event(event) => on_event(model, *event, &mut effects),
        Msg::Answer(answer) => on_answer(model, *answer),
        Msg::Failed(ask, fault) => {
            if let Ask::Page(view, _) = ask {
                rows::page_failed(model, view);
            }
            if model.link == Link::Live && !fault.is_unreachable() {
                model.complain(fault.to_string());
            }
            model.dirty = true;
        }
        Msg::Changed(change, result) => on_changed(model, &change, result, &mut effects),
        Msg::Said(text) => {
            model.say(text);
            model.dirty = true;
        }
        Msg::SlowTerminal(ms) => model.say(format!("this terminal is slow: a frame took {ms} ms")),
    }
    let height = rows::height(model);
    let count = model.count();
    model.list_mut().settle(count, height);
    if model.link == Link::Live {
        effects.extend(rows::needed(model).map(Effect::Fetch));
    }
    effects
}

fn clock(model: &mut Model, now: i64) {
    model.now = now;
    let over = model.toast.as_ref().is_some_and(|t| t.until <= now);
    if over {
        model.toast = None;
        model.quit_asked = false;
    }
    // Offline the age of the data is on the screen.
    model.dirty |= over || model.link != Link::Live;
}

fn on_link(model: &mut Model, link: Link, effects: &mut Vec<Effect>) {
    model.dirty = true;
    if link == Link::Live && model.link != Link::Live {
        rows::all_stale(model);
        effects
            .extend([Ask::Status, Ask::Streams, Ask::Clients, Ask::Guide, Ask::Settings, Ask::Logs].map(Effect::Fetch));
    }
    model.link = link;
}

fn on_event(model: &mut Model, event: Event, effects: &mut Vec<Effect>) {
    match event {
        Event::Tick { status, streams, clients } => {
            model.fresh_at = model.now;
            model.status = Some(status);
            if !model.frozen {
                rows::keep_cursor(model, |model| (model.streams, model.clients) = (streams, clients));
            }
        }
        Event::Change { noun, .. } => match noun {
            Noun::Guide => effects.push(Effect::Fetch(Ask::Guide)),
            Noun::Settings => effects.push(Effect::Fetch(Ask::Settings)),
            Noun::Blocks => return,
            // Lists are fetched again as far as they are on the screen.
            Noun::Channels => model.channels.stale = true,
            Noun::Categories => model.categories.stale = true,
            Noun::Users => model.users.stale = true,
            Noun::Sources => {
                model.sources.stale = true;
                effects.push(Effect::Fetch(Ask::Guide));
            }
        },
        Event::Log { record } => {
            // The tail that was fetched may hold it already.
            if model.logs.back().is_some_and(|last| last.seq >= record.seq) {
                return;
            }
            if model.logs.len() == MAX_LOGS {
                model.logs.pop_front();
                let list = &mut model.lists[View::Logs.index()];
                list.selected = list.selected.saturating_sub(1);
            }
            model.logs.push_back(record);
            if model.view != View::Logs {
                return;
            }
            if model.follow {
                model.list_mut().selected = usize::MAX;
            }
        }
        Event::Resync => {
            rows::all_stale(model);
            effects.extend([Ask::Status, Ask::Streams, Ask::Clients, Ask::Logs].map(Effect::Fetch));
        }
        Event::Hello { .. } | Event::Heartbeat | Event::Job { .. } => return,
    }
    model.dirty = true;
}

fn on_answer(model: &mut Model, answer: Answer) {
    model.dirty = true;
    match answer {
        Answer::Hello(hello) => {
            if hello.api != yagi_api::paths::API {
                model.complain(format!(
                    "the daemon speaks version {} of the API, this client {}",
                    hello.api,
                    yagi_api::paths::API
                ));
            }
            if model.hello.as_ref().is_some_and(|h| h.boot_id != hello.boot_id) {
                // Its counters begin anew: what was numbered by the old one means nothing now.
                model.only_stream = None;
                model.logs.clear();
                model.streams.clear();
                model.clients.clear();
                model.say("the daemon was restarted");
            }
            model.hello = Some(hello);
        }
        Answer::Status(status) => model.status = Some(status),
        Answer::Streams(rows) => rows::keep_cursor(model, |model| model.streams = rows),
        Answer::Clients(rows) => rows::keep_cursor(model, |model| model.clients = rows),
        Answer::Channels(query, page) => model.channels.take(&query, page),
        Answer::Categories(query, page) => model.categories.take(&query, page),
        Answer::Users(query, page) => model.users.take(&query, page),
        Answer::Sources(query, page) => model.sources.take(&query, page),
        Answer::Guide(guide) => model.guide = Some(guide),
        Answer::Settings(rows) => model.settings = rows,
        Answer::Logs(rows) => {
            // Lines that came by the events meanwhile.
            let newest = rows.last().map_or(0, |r| r.seq);
            let later: Vec<_> = model.logs.drain(..).filter(|r| r.seq > newest).collect();
            model.logs = rows.into_iter().chain(later).collect();
            if model.view == View::Logs && model.follow {
                model.list_mut().selected = usize::MAX;
            }
        }
        // Whatever was opened meanwhile keeps the keys, and what was typed.
        Answer::Urls(..) if !matches!(model.mode, Mode::Browse) => {}
        Answer::Urls(urls, fresh) => {
            model.mode = Mode::Urls(Box::new(UrlDialog { urls, choice: 0, shown: fresh, large: false, fresh }));
        }
    }
}

fn on_changed(
    model: &mut Model,
    change: &Change,
    result: Result<serde_json::Value, crate::client::Fault>,
    effects: &mut Vec<Effect>,
) {
    model.dirty = true;
    match result {
        Ok(row) => {
            if matches!(&model.mode, Mode::Form(form) if form.sent) {
                model.mode = Mode::Browse;
            }
            model.say(change.said.clone());
            rows::stale(model, change.view);
            if change.view == View::Settings {
                effects.push(Effect::Fetch(Ask::Settings));
            }
            if change.urls
                && let Some(user) = row["name"].as_str()
            {
                effects.push(Effect::Fetch(Ask::Urls { user: user.to_owned(), fresh: true }));
            }
        }
        Err(fault) => {
            // What was typed stays; the row is fetched again, so that a conflict shows its new state.
            rows::stale(model, change.view);
            if let Mode::Form(form) = &mut model.mode
                && form.sent
            {
                form.sent = false;
                form.refused = Some(fault.to_string());
                if let crate::client::Fault::Api(e) = &fault
                    && let Some(at) = form.fields.iter().position(|f| Some(f.key) == e.field.as_deref())
                {
                    form.focus = at;
                }
            } else {
                model.complain(fault.to_string());
            }
        }
    }
}

fn paste(model: &mut Model, text: &str) {
    match &mut model.mode {
        Mode::Filter { input, .. } => {
            form::insert(input, text);
            let filter = input.value().to_owned();
            model.list_mut().filter = filter;
        }
        Mode::Form(form) => form.paste(text),
        // In a view, pasted text is no row of commands.
        _ => return,
    }
    model.dirty = true;
}

fn on_key(model: &mut Model, key: KeyEvent, effects: &mut Vec<Effect>) {
    model.dirty = true;
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        effects.push(Effect::Quit);
        return;
    }
    // Whatever is open, the terminal's own keys work.
    if let Some(effect) = keys::of_terminal(&key) {
        effects.push(effect);
        return;
    }
    match std::mem::replace(&mut model.mode, Mode::Browse) {
        Mode::Browse => browse(model, &key, effects),
        Mode::Filter { input, before } => filter(model, &key, input, before),
        Mode::Form(form) => edit(model, key, form, effects),
        Mode::Confirm(mut confirm) => match key.code {
            KeyCode::Char('y') => effects.extend(confirm.changes.into_iter().map(Effect::Send)),
            KeyCode::Enter if confirm.on_yes => effects.extend(confirm.changes.into_iter().map(Effect::Send)),
            KeyCode::Left | KeyCode::Right | KeyCode::Tab => {
                confirm.on_yes = !confirm.on_yes;
                model.mode = Mode::Confirm(confirm);
            }
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('n' | 'q') => {}
            _ => model.mode = Mode::Confirm(confirm),
        },
        Mode::Urls(dialog) => urls(model, &key, dialog, effects),
        Mode::Detail { scroll } => model.mode = scrolled(&key, scroll, |scroll| Mode::Detail { scroll }),
        Mode::Help { scroll } => model.mode = scrolled(&key, scroll, |scroll| Mode::Help { scroll }),
    }
}

fn scrolled(key: &KeyEvent, scroll: u16, mode: impl Fn(u16) -> Mode) -> Mode {
    match key.code {
        KeyCode::Down | KeyCode::Char('j') => mode(scroll.saturating_add(1)),
        KeyCode::Up | KeyCode::Char('k') => mode(scroll.saturating_sub(1)),
        KeyCode::PageDown | KeyCode::Char(' ') => mode(scroll.saturating_add(10)),
        KeyCode::PageUp => mode(scroll.saturating_sub(10)),
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?') | KeyCode::F(1) => Mode::Browse,
        _ => mode(scroll),
    }
}

fn filter(model: &mut Model, key: &KeyEvent, mut input: Input, before: String) {
    match key.code {
        KeyCode::Enter => {}
        KeyCode::Esc => model.list_mut().filter = before,
        _ => {
            input.handle_event(&TermEvent::Key(*key));
            model.list_mut().filter = input.value().to_owned();
            model.list_mut().selected = 0;
            model.mode = Mode::Filter { input, before };
        }
    }
}

fn edit(model: &mut Model, key: KeyEvent, mut form: Box<crate::form::Form>, effects: &mut Vec<Effect>) {
    let save =
        key.code == KeyCode::F(2) || key.code == KeyCode::Char('s') && key.modifiers.contains(KeyModifiers::CONTROL);
    let count = form.fields.len();
    match key.code {
        _ if form.sent && key.code != KeyCode::Esc => {}
        _ if save || key.code == KeyCode::Enter && form.focus + 1 == count => {
            if !form.is_touched() && form.is_edit() {
                model.say("nothing was changed");
                return;
            }
            match (model.write_fault(), form.change(model.now)) {
                (Some(fault), _) => form.refused = Some(fault.into()),
                (None, Ok(change)) => {
                    form.sent = true;
                    effects.push(Effect::Send(change));
                }
                (None, Err(at)) => form.focus = at,
            }
        }
        KeyCode::Esc if form.is_touched() && !form.leaving => form.leaving = true,
        KeyCode::Esc => return,
        KeyCode::Tab | KeyCode::Down | KeyCode::Enter => form.focus = (form.focus + 1) % count,
        KeyCode::BackTab | KeyCode::Up => form.focus = (form.focus + count - 1) % count,
        KeyCode::Char(' ') if form.fields[form.focus].is_flag() => form.fields[form.focus].turn(),
        _ if form.fields[form.focus].is_flag() => {}
        _ => {
            form.fields[form.focus].input.handle_event(&TermEvent::Key(key));
            form.leaving = false;
            form.refused = None;
        }
    }
    model.mode = Mode::Form(form);
}

fn urls(model: &mut Model, key: &KeyEvent, mut dialog: Box<UrlDialog>, effects: &mut Vec<Effect>) {
    let count = dialog.choices().len();
    match key.code {
        KeyCode::Esc | KeyCode::Char('q') => return,
        KeyCode::Down | KeyCode::Char('j') | KeyCode::Tab => dialog.choice = (dialog.choice + 1) % count,
        KeyCode::Up | KeyCode::Char('k') | KeyCode::BackTab => dialog.choice = (dialog.choice + count - 1) % count,
        KeyCode::Char('t') => dialog.shown = !dialog.shown,
        KeyCode::Char('Q') => dialog.large = !dialog.large,
        KeyCode::Char('y') | KeyCode::Enter => {
            let (what, text) = dialog.choices()[dialog.choice];
            effects.push(Effect::Copy { what: what.into(), text: text.into() });
        }
        _ => {}
    }
    model.mode = Mode::Urls(dialog);
}

fn browse(model: &mut Model, key: &KeyEvent, effects: &mut Vec<Effect>) {
    let Some(binding) = keys::find(model.view, key) else { return };
    if binding.action != Action::Leave {
        model.quit_asked = false;
    }
    if binding.writes
        && let Some(fault) = model.write_fault()
    {
        model.complain(fault);
        return;
    }
    let page = rows::height(model);
    let step = |model: &mut Model, by: isize| {
        let list = model.list_mut();
        list.selected = list.selected.saturating_add_signed(by);
        model.follow &= model.view != View::Logs;
    };
    let page = isize::try_from(page).unwrap_or(1);
    match binding.action {
        Action::Up => step(model, -1),
        Action::Down => step(model, 1),
        Action::HalfUp => step(model, -(page / 2)),
        Action::HalfDown => step(model, page / 2),
        Action::PageUp => step(model, -page),
        Action::PageDown => step(model, page),
        Action::Top => step(model, isize::MIN + 1),
        Action::Bottom => model.list_mut().selected = usize::MAX,
        Action::Go(view) => go(model, view),
        Action::NextView => go(model, View::ALL[(model.view.index() + 1) % 9]),
        Action::PreviousView => go(model, View::ALL[(model.view.index() + 8) % 9]),
        Action::Back => back(model),
        Action::Leave => {
            if model.trail.is_empty() && model.list().filter.is_empty() && model.only_stream.is_none() {
                if model.quit_asked {
                    effects.push(Effect::Quit);
                } else {
                    model.quit_asked = true;
                    model.say("q again quits; the daemon goes on");
                }
            } else {
                back(model);
            }
        }
        Action::Quit => effects.push(Effect::Quit),
        Action::Filter => {
            let before = model.list().filter.clone();
            model.mode = Mode::Filter { input: Input::new(before.clone()), before };
        }
        Action::Help => model.mode = Mode::Help { scroll: 0 },
        Action::Freeze => model.frozen = !model.frozen,
        Action::Follow => {
            model.follow = !model.follow;
            if model.follow {
                model.list_mut().selected = usize::MAX;
            }
        }
        Action::Level => model.level = model.level % 5 + 1,
        Action::Wrap => model.wrap = !model.wrap,
        Action::SortNext => sort(model, 1),
        Action::SortPrevious => sort(model, rows::sorts(model.view) - 1),
        Action::Reverse => model.list_mut().descending ^= true,
        Action::Repaint => effects.push(Effect::Repaint),
        Action::Suspend => effects.push(Effect::Suspend),
        other => rows::act(model, other, effects),
    }
}

fn sort(model: &mut Model, by: usize) {
    let count = rows::sorts(model.view);
    model.list_mut().sort = (model.list().sort + by) % count.max(1);
}

fn go(model: &mut Model, view: View) {
    model.trail.clear();
    model.only_stream = None;
    model.view = view;
}

/// Clears the filter, else goes where the view was entered from.
fn back(model: &mut Model) {
    if !model.list().filter.is_empty() {
        model.list_mut().filter.clear();
        return;
    }
    model.only_stream = None;
    if let Some(view) = model.trail.pop() {
        model.view = view;
    }
}
