//! Marks: which rows the next action is for.

use crate::{
    keys::Action,
    model::{Model, View},
};

pub fn act(model: &mut Model, action: Action) {
    let view = model.view.index();
    let at = model.list().selected;
    if action != Action::MarkAll && std::mem::take(&mut model.all_marked[view]) {
        // All were marked: what follows begins anew.
        model.list_mut().marks.clear();
    }
    match action {
        Action::Mark => {
            if let Some(id) = model.id_at(at) {
                model.list_mut().turn(id);
                model.list_mut().selected += 1;
            }
        }
        Action::MarkRange => match model.list_mut().anchor.take() {
            None => {
                model.list_mut().anchor = Some(at);
                model.say("v again marks from here to there");
            }
            Some(from) => {
                let range = from.min(at)..=from.max(at);
                let count = range.clone().count();
                let ids: Vec<u64> = range.filter_map(|i| model.id_at(i)).collect();
                if ids.len() < count {
                    model.complain("only the rows that are on the screen's pages were marked");
                }
                model.list_mut().marks.extend(ids);
            }
        },
        Action::MarkInvert => {
            let count = model.count();
            let ids: Vec<u64> = (0..count).filter_map(|i| model.id_at(i)).collect();
            if ids.len() < count {
                return model.complain("too many rows to invert: narrow the list with / first, or Ctrl-a for all");
            }
            let list = model.list_mut();
            for id in ids {
                list.turn(id);
            }
        }
        Action::MarkAll => {
            if View::PAGED.contains(&model.view) {
                model.all_marked[view] = !model.all_marked[view];
                model.list_mut().marks.clear();
            } else {
                let count = model.count();
                let ids: Vec<u64> = (0..count).filter_map(|i| model.id_at(i)).collect();
                let list = model.list_mut();
                if list.marks.len() == ids.len() {
                    list.marks.clear();
                } else {
                    list.marks.extend(ids);
                }
            }
        }
        _ => {}
    }
}

/// No row of the current view is marked any more; says whether any was.
pub fn clear(model: &mut Model) -> bool {
    let had = model.marked() > 0 || model.list().anchor.is_some();
    let view = model.view.index();
    model.all_marked[view] = false;
    model.list_mut().unmark();
    had
}
