//! Keys in questions, lists of choices, addresses, and whatever is only read.

use crossterm::event::{Event as TermEvent, KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, backend::crossterm::EventHandler as _};

use yagi_api::paths;

use crate::{
    model::{Choose, Confirm, Help, Mode, Model, Pick, UrlDialog, View},
    msg::{Ask, Change, Effect, Then, Verb},
};

/// The new place, or none when it is closed.
pub fn scrolled(key: &KeyEvent, scroll: u16) -> Option<u16> {
    match key.code {
        KeyCode::Down | KeyCode::Char('j') => Some(scroll.saturating_add(1)),
        KeyCode::Up | KeyCode::Char('k') => Some(scroll.saturating_sub(1)),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(scroll.saturating_add(10)),
        KeyCode::PageUp => Some(scroll.saturating_sub(10)),
        KeyCode::Home | KeyCode::Char('g') => Some(0),
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?') | KeyCode::F(1) => None,
        _ => Some(scroll),
    }
}

pub fn help(model: &mut Model, key: &KeyEvent, mut help: Help) {
    if help.typing {
        match key.code {
            KeyCode::Enter => help.typing = false,
            KeyCode::Esc => (help.typing, help.search) = (false, Input::default()),
            _ => {
                help.search.handle_event(&TermEvent::Key(*key));
                help.scroll = 0;
            }
        }
    } else if key.code == KeyCode::Char('/') {
        help.typing = true;
    } else {
        match scrolled(key, help.scroll) {
            Some(scroll) => help.scroll = scroll,
            None => return,
        }
    }
    model.mode = Mode::Help(help);
}

pub fn confirm(model: &mut Model, key: &KeyEvent, mut confirm: Box<Confirm>, effects: &mut Vec<Effect>) {
    // The daemon may have gone while the question stood.
    let send = |model: &mut Model, confirm: Confirm, effects: &mut Vec<Effect>| match model.write_fault() {
        Some(fault) => model.complain(fault),
        None => {
            crate::rows::marks::clear(model);
            effects.extend(confirm.changes.into_iter().map(Effect::Send));
        }
    };
    if let Some(number) = confirm.number {
        match key.code {
            KeyCode::Esc => return,
            KeyCode::Enter if confirm.input.value().trim() == number.to_string() => {
                return send(model, *confirm, effects);
            }
            KeyCode::Enter => {}
            _ => {
                confirm.input.handle_event(&TermEvent::Key(*key));
            }
        }
        model.mode = Mode::Confirm(confirm);
        return;
    }
    match key.code {
        KeyCode::Char('y') if key.modifiers == KeyModifiers::NONE => send(model, *confirm, effects),
        KeyCode::Enter if confirm.on_yes => send(model, *confirm, effects),
        KeyCode::Left | KeyCode::Right | KeyCode::Tab | KeyCode::BackTab | KeyCode::Char('h' | 'l') => {
            confirm.on_yes = !confirm.on_yes;
            model.mode = Mode::Confirm(confirm);
        }
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('n' | 'q') => {}
        _ => model.mode = Mode::Confirm(confirm),
    }
}

pub fn choose(model: &mut Model, key: &KeyEvent, mut choose: Box<Choose>, effects: &mut Vec<Effect>) {
    let last = choose.items.len().saturating_sub(1);
    match key.code {
        KeyCode::Esc | KeyCode::Char('q') => return,
        KeyCode::Down | KeyCode::Char('j') | KeyCode::Tab => choose.at = (choose.at + 1).min(last),
        KeyCode::Up | KeyCode::Char('k') | KeyCode::BackTab => choose.at = choose.at.saturating_sub(1),
        KeyCode::Enter | KeyCode::Char('y') => {
            match choose.items.into_iter().nth(choose.at).map(|(_, pick)| pick) {
                Some(Pick::Copy { what, text }) => effects.push(Effect::Copy { what, text }),
                Some(Pick::Send(change)) => match model.write_fault() {
                    Some(fault) => model.complain(fault),
                    None => effects.push(Effect::Send(change)),
                },
                Some(Pick::Ask(title, lines, change)) => match model.write_fault() {
                    Some(fault) => model.complain(fault),
                    None => crate::rows::ask(model, title, lines, vec![change], 1),
                },
                Some(Pick::Urls { user, channel }) => {
                    let channel = Some(channel);
                    effects.push(Effect::Fetch(Ask::Urls { user, fresh: false, base: None, channel }));
                }
                Some(Pick::Nothing) | None => {}
            }
            return;
        }
        _ => {}
    }
    model.mode = Mode::Choose(choose);
}

pub fn urls(model: &mut Model, key: &KeyEvent, mut dialog: Box<UrlDialog>, effects: &mut Vec<Effect>) {
    let count = dialog.choices().len();
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Esc | KeyCode::Char('q') => return,
        KeyCode::Down | KeyCode::Char('j') | KeyCode::Tab => dialog.choice = (dialog.choice + 1) % count,
        KeyCode::Up | KeyCode::Char('k') | KeyCode::BackTab => dialog.choice = (dialog.choice + count - 1) % count,
        KeyCode::Char('t') => dialog.shown = !dialog.shown,
        KeyCode::Char('Q') => dialog.large = !dialog.large,
        KeyCode::Char('y') | KeyCode::Enter if !ctrl => {
            let (what, text) = dialog.choices()[dialog.choice];
            effects.push(Effect::Copy { what: format!("the {}", what.to_lowercase()), text: text.into() });
        }
        KeyCode::Char('Y' | 's') if !ctrl => {
            effects.push(Effect::Copy { what: "all addresses as text".into(), text: dialog.letter() });
        }
        KeyCode::Char('T') if dialog.urls.short.is_none() => match model.write_fault() {
            Some(fault) => model.complain(fault),
            None => {
                let path = format!("{}/{}/token", paths::USERS, crate::client::encode(&dialog.urls.name));
                let said = format!("{} has a short link", dialog.urls.name);
                effects
                    .push(Effect::Send(Change::new(Verb::Post, path, View::Users, said).then(Then::Urls).for_good()));
            }
        },
        KeyCode::Char('b') if dialog.bases.len() > 1 => {
            dialog.base = (dialog.base + 1) % dialog.bases.len();
            let base = (dialog.base > 0).then(|| dialog.bases[dialog.base].clone());
            let user = dialog.urls.name.clone();
            effects.push(Effect::Fetch(Ask::Urls { user, fresh: dialog.fresh, base, channel: dialog.channel }));
        }
        _ => {}
    }
    model.mode = Mode::Urls(dialog);
}
