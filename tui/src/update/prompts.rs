//! One line that is typed: a filter, a command, a file's name, a number, a category.

use crossterm::event::{Event as TermEvent, KeyCode, KeyEvent};
use serde_json::{Value, json};
use tui_input::{Input, backend::crossterm::EventHandler as _};
use yagi_api::{paths, rules};

use crate::{
    model::{Mode, Model, Prompt, PromptKind, View},
    msg::{Change, Effect, Export, Verb},
    palette,
    rows::{channels, marks, pages},
};

/// The filter of the current view; marks belong to what is seen.
pub fn narrow(model: &mut Model, filter: String) {
    if model.list().filter != filter {
        marks::clear(model);
    }
    let list = model.list_mut();
    list.filter = filter;
    list.selected = 0;
    if model.view == View::Logs && model.follow {
        model.list_mut().selected = usize::MAX;
    }
}

pub fn key(model: &mut Model, key: &KeyEvent, mut prompt: Prompt, effects: &mut Vec<Effect>) {
    match key.code {
        KeyCode::Esc => {
            if prompt.kind == PromptKind::Filter {
                narrow(model, prompt.before);
            }
            return;
        }
        KeyCode::Enter => match enter(model, &prompt, effects) {
            Ok(()) => return,
            Err(why) => prompt.fault = Some(why),
        },
        KeyCode::Up => recall(model, &mut prompt, 1),
        KeyCode::Down => recall(model, &mut prompt, -1),
        KeyCode::Tab => complete(model, &mut prompt),
        _ => {
            prompt.fault = None;
            prompt.input.handle_event(&TermEvent::Key(*key));
        }
    }
    if prompt.kind == PromptKind::Filter {
        narrow(model, prompt.input.value().to_owned());
    }
    model.mode = Mode::Prompt(prompt);
}

fn recall(model: &Model, prompt: &mut Prompt, by: isize) {
    let past = match prompt.kind {
        PromptKind::Filter => &model.list().history,
        PromptKind::Command => &model.commands,
        _ => return,
    };
    prompt.back = prompt.back.saturating_add_signed(by).min(past.len());
    let text = past.len().checked_sub(prompt.back).and_then(|at| past.get(at)).cloned().unwrap_or_default();
    prompt.input = Input::new(text);
}

fn complete(model: &Model, prompt: &mut Prompt) {
    let text = prompt.input.value();
    let full = match prompt.kind {
        PromptKind::Command => palette::complete(model, text),
        PromptKind::Move => categories(model, text).first().map(|n| (*n).to_owned()),
        _ => None,
    };
    if let Some(full) = full {
        prompt.input = Input::new(full);
    }
}

/// Categories that a text may mean.
#[must_use]
pub fn categories<'a>(model: &'a Model, text: &str) -> Vec<&'a str> {
    let text = text.to_lowercase();
    model.tree.iter().map(|c| c.name.as_str()).filter(|n| n.to_lowercase().contains(&text)).take(8).collect()
}

fn enter(model: &mut Model, prompt: &Prompt, effects: &mut Vec<Effect>) -> Result<(), String> {
    let text = prompt.input.value().trim();
    match prompt.kind {
        PromptKind::Filter => {
            model.list_mut().remember();
            Ok(())
        }
        PromptKind::Command => {
            if !text.is_empty() {
                model.commands.retain(|c| c != text);
                model.commands.push(text.to_owned());
                let over = model.commands.len().saturating_sub(50);
                model.commands.drain(..over);
            }
            palette::run(model, text, effects)
        }
        PromptKind::Save => save(model, text).map(|effect| effects.push(effect)),
        PromptKind::Renumber => {
            let number: u32 = text.parse().map_err(|_| "expected a whole number".to_owned())?;
            let from = rules::number(number).map_err(|e| e.message)?;
            effects.extend(channels::renumber(model, from));
            Ok(())
        }
        PromptKind::Move => {
            let name = rules::name("category", text).map_err(|e| e.message)?;
            effects.extend(channels::move_to(model, &name));
            Ok(())
        }
        PromptKind::LogFilter => {
            let text = rules::name("filter", text).map_err(|e| e.message)?;
            let change = Change::new(Verb::Put, paths::LOG_FILTER, View::Logs, format!("the daemon logs {text} now"));
            effects.push(Effect::Send(change.body(json!({"filter": text}))));
            Ok(())
        }
    }
}

/// The list of the view into a file of this machine.
///
/// # Errors
/// When the name says neither CSV nor JSON.
pub fn save(model: &Model, text: &str) -> Result<Effect, String> {
    if ![".csv", ".json"].iter().any(|end| text.to_lowercase().ends_with(end) && text.len() > end.len()) {
        return Err("expected a name that ends in .csv or .json".into());
    }
    let rows = |rows: Vec<Value>| Export::Rows(rows);
    let export = match model.view {
        View::Streams => rows(model.shown_streams().iter().map(|r| json!(r)).collect()),
        View::Clients => rows(model.shown_clients().iter().map(|r| json!(r)).collect()),
        View::Logs => rows(model.shown_logs().iter().map(|r| json!(r)).collect()),
        View::Settings => rows(model.shown_settings().iter().map(|r| json!(r)).collect()),
        view => Export::List(view, model.query(view), pages::order(model, view)),
    };
    Ok(Effect::Save(text.into(), export))
}
