//! Keys in a view.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::prompts;
use crate::{
    keys::Action,
    model::{Digit, Mode, Model, Pane, Prompt, PromptKind, View, Wizard},
    msg::Effect,
    rows::{self, marks, pages},
    screens::columns,
};

/// Two digits within this time are a count; slower they are two views.
const COUNT_MS: u64 = 300;
const MAX_COUNT: usize = 1_000_000;

pub fn key(model: &mut Model, key: &KeyEvent, at_ms: u64, effects: &mut Vec<Effect>) {
    if digit(model, key, at_ms) {
        return;
    }
    let count = model.count.take();
    // The start card has one thing to do.
    let starts = model.view == View::Streams && model.is_new_house();
    if starts && key.code == KeyCode::Enter {
        match model.write_fault() {
            Some(fault) => model.complain(fault),
            None => model.mode = Mode::Wizard(Box::new(Wizard::new(true))),
        }
        return;
    }
    let Some(binding) = model.keymap.find(model.view, key) else { return };
    if binding.action != Action::Leave {
        model.quit_asked = false;
    }
    if binding.writes
        && let Some(fault) = model.write_fault()
    {
        model.complain(fault);
        return;
    }
    let undoes = matches!(binding.action, Action::Undo | Action::Redo);
    if let Some(fault) = model.write_fault().filter(|_| undoes) {
        model.complain(fault);
        return;
    }
    act(model, binding.action, count, effects);
}

/// Digits are views, and counts when they follow each other quickly. Says whether the key is spent.
fn digit(model: &mut Model, key: &KeyEvent, at_ms: u64) -> bool {
    let last = model.digit.take();
    let KeyCode::Char(c) = key.code else { return false };
    let Some(value) = c.to_digit(10).filter(|_| key.modifiers == KeyModifiers::NONE) else { return false };
    let value = value as usize;
    if let Some(count) = model.count {
        model.count = Some((count * 10 + value).min(MAX_COUNT));
        return true;
    }
    if let Some(last) = last
        && at_ms.saturating_sub(last.at_ms) < COUNT_MS
    {
        model.view = last.view;
        model.count = Some(last.value * 10 + value);
        return true;
    }
    model.digit = Some(Digit { value, view: model.view, at_ms });
    value == 0
}

pub fn act(model: &mut Model, action: Action, count: Option<usize>, effects: &mut Vec<Effect>) {
    let page = isize::try_from(pages::height(model)).unwrap_or(1);
    let times = isize::try_from(count.unwrap_or(1)).unwrap_or(1);
    match action {
        Action::Up => step(model, -times),
        Action::Down => step(model, times),
        Action::HalfUp => step(model, -(page / 2).max(1) * times),
        Action::HalfDown => step(model, (page / 2).max(1) * times),
        Action::PageUp => step(model, -page * times),
        Action::PageDown => step(model, page * times),
        Action::Top => step(model, isize::MIN + 1),
        Action::Bottom => match count {
            // 10G: the tenth row.
            Some(row) => {
                step(model, isize::MIN + 1);
                step(model, isize::try_from(row.saturating_sub(1)).unwrap_or(0));
            }
            None => {
                model.list_mut().selected = usize::MAX;
                model.follow |= model.view == View::Logs;
            }
        },
        Action::ScrollRight if pages::has_tree(model) && model.pane == Pane::Side => model.pane = Pane::List,
        Action::ScrollLeft if pages::has_tree(model) && model.list().shift == 0 => model.pane = Pane::Side,
        Action::ScrollRight => {
            let can_go = columns::of(model.view).iter().filter(|c| c.goes > 0).count();
            let list = model.list_mut();
            list.shift = (list.shift + 1).min(can_go.saturating_sub(1));
        }
        Action::ScrollLeft => {
            let list = model.list_mut();
            list.shift = list.shift.saturating_sub(1);
        }
        Action::NextPane => {
            if pages::has_tree(model) || pages::has_side(model) {
                model.pane = if model.pane == Pane::List { Pane::Side } else { Pane::List };
            }
        }
        Action::Go(view) => go(model, view),
        Action::NextView => go(model, View::ALL[(model.view.index() + 1) % 9]),
        Action::PreviousView => go(model, View::ALL[(model.view.index() + 8) % 9]),
        Action::Back => back(model),
        Action::Leave => leave(model, effects),
        Action::Quit => effects.push(Effect::Quit),
        Action::Filter => {
            let filter = model.list().filter.clone();
            model.mode = Mode::Prompt(Prompt::new(PromptKind::Filter, filter));
        }
        Action::Command => model.mode = Mode::Prompt(Prompt::new(PromptKind::Command, "")),
        Action::Save => {
            let name = format!("yagi-{}-{}.csv", model.view.name().to_lowercase(), crate::when::date(model.now));
            model.mode = Mode::Prompt(Prompt::new(PromptKind::Save, name));
        }
        Action::Help => model.mode = Mode::Help(crate::model::Help::default()),
        Action::Mark | Action::MarkRange | Action::MarkInvert | Action::MarkAll => {
            if rows::is_settled(model) {
                marks::act(model, action);
            }
        }
        Action::Freeze => model.frozen = !model.frozen,
        Action::Mouse => {
            model.mouse = !model.mouse;
            model.say(if model.mouse {
                "the mouse is on; m switches it off"
            } else {
                "the mouse is off: the terminal selects text"
            });
            effects.push(Effect::Mouse(model.mouse));
        }
        Action::Follow => {
            model.follow = !model.follow;
            if model.follow {
                model.list_mut().selected = usize::MAX;
            }
        }
        Action::Level => {
            model.level = model.level % 5 + 1;
            if model.follow {
                model.list_mut().selected = usize::MAX;
            }
        }
        Action::Wrap => model.wrap = !model.wrap,
        Action::SortNext => sort(model, 1),
        Action::SortPrevious => sort(model, columns::sorts(model.view).len().saturating_sub(1)),
        Action::Reverse => model.list_mut().descending ^= true,
        Action::Repaint => effects.push(Effect::Repaint),
        Action::Suspend => effects.push(Effect::Suspend),
        other => rows::act(model, other, effects),
    }
}

fn step(model: &mut Model, by: isize) {
    if model.pane == Pane::Side && pages::has_tree(model) {
        let most = model.tree.len();
        let at = model.tree_at.saturating_add_signed(by).min(most);
        model.narrow_to(at.checked_sub(1).and_then(|at| model.tree.get(at)).map(|c| c.name.clone()));
        model.list_mut().selected = 0;
        return;
    }
    let list = model.list_mut();
    list.selected = list.selected.saturating_add_signed(by);
    model.follow &= model.view != View::Logs;
}

fn sort(model: &mut Model, by: usize) {
    let count = columns::sorts(model.view).len();
    model.list_mut().sort = (model.list().sort + by) % count.max(1);
}

pub fn go(model: &mut Model, view: View) {
    model.trail.clear();
    model.narrow_to_stream(None);
    if model.view != view {
        model.pane = Pane::List;
    }
    model.view = view;
    if view == View::Logs && model.follow {
        model.list_mut().selected = usize::MAX;
    }
}

fn leave(model: &mut Model, effects: &mut Vec<Effect>) {
    let top = model.trail.is_empty()
        && model.list().filter.is_empty()
        && model.only_stream.is_none()
        && model.marked() == 0
        && (model.only_category.is_none() || model.view != View::Channels);
    if !top {
        return back(model);
    }
    if model.quit_asked {
        effects.push(Effect::Quit);
    } else {
        model.quit_asked = true;
        model.say("q again quits; the daemon goes on");
    }
}

/// Clears the marks, else the filter, else goes where the view was entered from.
fn back(model: &mut Model) {
    if marks::clear(model) {
        return;
    }
    if !model.list().filter.is_empty() {
        prompts::narrow(model, String::new());
        return;
    }
    model.narrow_to_stream(None);
    if model.view == View::Channels {
        model.narrow_to(None);
    }
    if let Some(view) = model.trail.pop() {
        model.view = view;
    }
}
