//! The mouse, when it is on: rows, headings, tabs, the wheel. It never changes anything in the daemon.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use super::browse;
use crate::{
    keys::Action,
    model::{Mode, Model, View},
    msg::Effect,
    rows::pages,
    screens::{TREE_WIDTH, columns, side_left, tab_at},
    widgets::table::picked,
};

/// Lines above the first row: title, tabs, filter, heading.
const TITLE: u16 = 0;
const TABS: u16 = 1;
const HEADING: u16 = 3;

pub fn on(model: &mut Model, event: MouseEvent, effects: &mut Vec<Effect>) {
    if !model.mouse || !matches!(model.mode, Mode::Browse) {
        return;
    }
    model.dirty = true;
    match event.kind {
        MouseEventKind::ScrollDown => browse::act(model, Action::Down, Some(3), effects),
        MouseEventKind::ScrollUp => browse::act(model, Action::Up, Some(3), effects),
        MouseEventKind::Down(MouseButton::Left) => click(model, event.column, event.row),
        _ => {}
    }
}

fn click(model: &mut Model, x: u16, y: u16) {
    match y {
        TITLE => {}
        TABS => {
            if let Some(view) = tab_at(model, x) {
                browse::go(model, view);
            }
        }
        HEADING if model.view != View::Logs => sort(model, x),
        _ => {
            let tree = if pages::has_tree(model) { TREE_WIDTH } else { 0 };
            if x < tree {
                return;
            }
            let first = if model.view == View::Logs { HEADING } else { HEADING + 1 };
            let Some(row) = y.checked_sub(first).map(usize::from) else { return };
            if row < pages::height(model) {
                let list = model.list_mut();
                list.selected = list.top + row;
                model.follow &= model.view != View::Logs;
            }
        }
    }
}

fn sort(model: &mut Model, x: u16) {
    let left = if pages::has_tree(model) { TREE_WIDTH } else { 0 };
    let Some(x) = x.checked_sub(left) else { return };
    let shown: Vec<_> = picked(model, model.view).into_iter().map(|(_, c)| c).collect();
    let room = if pages::has_side(model) { side_left(model.size.0) } else { model.size.0 - left };
    let widths = columns::widths(&shown, room.into(), model.list().shift);
    let Some(column) = columns::under(&widths, x.into()).map(|at| shown[at]) else { return };
    let Some(at) = columns::sorts(model.view).iter().position(|c| c.sort == column.sort) else { return };
    let list = model.list_mut();
    if list.sort == at {
        list.descending ^= true;
    } else {
        list.sort = at;
        list.descending = false;
    }
}
