//! Categories: their order, and merging them.

use serde_json::json;
use yagi_api::paths;

use super::{ask, delete, live::choose_copy, names, place};
use crate::{
    client,
    form::Form,
    keys::Action,
    model::{Mode, Model, View},
    msg::{Change, Effect, Verb},
    text::printable,
};

pub fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    if action == Action::New {
        model.mode = Mode::Form(Box::new(Form::category(None)));
        return;
    }
    let Some(row) = model.categories.at(place(model, action)).cloned() else { return };
    match action {
        Action::Enter => {
            model.trail.push(View::Categories);
            model.view = View::Channels;
            model.narrow_to(Some(row.name));
            crate::update::narrow(model, String::new());
        }
        Action::Edit => model.mode = Mode::Form(Box::new(Form::category(Some(&row)))),
        Action::MoveUp => shift(model, row.id.0, -1, effects),
        Action::MoveDown => shift(model, row.id.0, 1, effects),
        Action::Merge => merge(model, &row),
        Action::Delete => {
            let loses = if model.marked() > 1 {
                "their channels become uncategorised".to_owned()
            } else {
                format!("its {} channels become uncategorised", row.channels)
            };
            delete(model, &row.name, &loses);
        }
        Action::Copy => effects.push(Effect::Copy { what: "the name".into(), text: row.name }),
        Action::CopyOther => choose_copy(
            model,
            vec![("name", row.name.clone()), ("id", row.id.to_string()), ("row as JSON", json!(row).to_string())],
        ),
        _ => {}
    }
}

/// One place up or down. The daemon is told the beginning of the new order; the others follow in theirs.
fn shift(model: &mut Model, id: u32, by: isize, effects: &mut Vec<Effect>) {
    let list = model.list();
    if list.sort != 0 || list.descending || !list.filter.is_empty() {
        return model.complain("order: sort by ORDER, without a filter, to move categories");
    }
    let Some(at) = model.tree.iter().position(|c| c.id.0 == id) else { return };
    let Some(to) = at.checked_add_signed(by).filter(|to| *to < model.tree.len()) else { return };
    // Shown at once; the daemon's answer puts it right.
    model.tree.swap(at, to);
    let ids: Vec<u32> = model.tree.iter().take(at.max(to) + 1).map(|c| c.id.0).collect();
    let offset = model.categories.offset;
    if let (Some(a), Some(b)) = (at.checked_sub(offset), to.checked_sub(offset))
        && a.max(b) < model.categories.rows.len()
    {
        model.categories.rows.swap(a, b);
    }
    model.list_mut().selected = to;
    let change = Change::new(Verb::Post, paths::CATEGORY_ORDER, View::Categories, "moved").body(json!({"ids": ids}));
    effects.push(Effect::Send(change));
}

fn merge(model: &mut Model, into: &yagi_api::Category) {
    if model.all_marked[View::Categories.index()] {
        return model.complain("mark the categories one by one to merge them");
    }
    let marks: Vec<u64> = model.list().marks.iter().copied().filter(|id| *id != u64::from(into.id.0)).collect();
    if marks.is_empty() {
        return model.complain("mark what is to be merged with Space, then M on the one that stays");
    }
    let changes: Vec<Change> = marks
        .iter()
        .map(|id| {
            Change::new(
                Verb::Post,
                format!("{}/merge", client::row(paths::CATEGORIES, id)),
                View::Categories,
                format!("merged into {}", into.name),
            )
            .body(json!({"into": into.id}))
        })
        .collect();
    let mut lines = names(model);
    lines.push(format!("Their channels go to {}, and they are deleted.", printable(&into.name, 40)));
    let count = changes.len();
    ask(model, format!("Merge {count} into {}?", printable(&into.name, 30)), lines, changes, count);
}
