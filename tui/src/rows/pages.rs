//! Which rows have to be fetched, and how many fit.
//!
//! Invariant: what is on the screen is here or asked for; nothing else is.

use crate::{
    model::{Mode, Model, View},
    msg::Ask,
    screens::columns,
};

/// From this height on there is room for two lines of detail.
pub const LOW: u16 = 16;
/// From this width on the detail stands beside the list.
pub const WIDE: u16 = 120;
/// Rows of a list that is taken as a whole for names.
pub const TREE: u32 = 5000;

/// Whether the facts of the row stand beside the list.
#[must_use]
pub fn has_side(model: &Model) -> bool {
    model.size.0 >= WIDE && !matches!(model.view, View::Channels | View::Categories | View::Logs | View::Settings)
}

/// Whether the categories stand beside the channels.
#[must_use]
pub fn has_tree(model: &Model) -> bool {
    model.size.0 >= WIDE && model.view == View::Channels
}

/// Lines of detail below the list.
#[must_use]
pub fn detail_lines(model: &Model) -> u16 {
    if model.size.1 < LOW || has_side(model) || model.view == View::Logs { 0 } else { 2 }
}

/// Rows of a list on the screen: without title, tabs, filter, heading, detail, message, hints.
#[must_use]
pub fn height(model: &Model) -> usize {
    let heading = u16::from(model.view != View::Logs);
    usize::from(model.size.1.saturating_sub(5 + heading + detail_lines(model)).max(1))
}

/// Live tables are replaced as a whole: the cursor stays on its row, wherever the new order puts it.
pub fn keep_cursor(model: &mut Model, replace: impl FnOnce(&mut Model)) {
    let stream = model.selected_stream().map(|s| s.id);
    let client = model.selected_client().map(|c| c.id);
    replace(model);
    // Marks of what has gone would come back with nobody.
    let streams: std::collections::BTreeSet<u64> = model.streams.iter().map(|s| s.id).collect();
    let clients: std::collections::BTreeSet<u64> = model.clients.iter().map(|c| c.id.0).collect();
    model.lists[View::Streams.index()].marks.retain(|id| streams.contains(id));
    model.lists[View::Clients.index()].marks.retain(|id| clients.contains(id));
    if let Some(at) = model.shown_streams().iter().position(|s| Some(s.id) == stream) {
        model.lists[View::Streams.index()].selected = at;
    }
    if let Some(at) = model.shown_clients().iter().position(|c| Some(c.id) == client) {
        model.lists[View::Clients.index()].selected = at;
    }
}

/// The daemon's word for the order of a view.
#[must_use]
pub fn order(model: &Model, view: View) -> String {
    let list = &model.lists[view.index()];
    let (name, _) = columns::sorted(view, list.sort);
    if list.descending && !name.is_empty() { format!("-{name}") } else { name.to_owned() }
}

/// Pages that are on the screen and not here.
pub fn needed(model: &mut Model) -> Vec<Ask> {
    let height = height(model);
    let view = model.view;
    let mut asks = Vec::new();
    for other in View::PAGED {
        // Names of sources are shown with channels.
        if view != other && !(other == View::Sources && view == View::Channels) {
            continue;
        }
        let (sort, q) = (order(model, other), model.query(other));
        let list = &model.lists[other.index()];
        let query = match other {
            View::Channels => model.channels.need(list, &q, &sort, height),
            View::Categories => model.categories.need(list, &q, &sort, height),
            View::Users => model.users.need(list, &q, &sort, height),
            View::Guide => model.guide_rows.need(list, &q, &sort, height),
            _ => model.sources.need(list, &q, &sort, height),
        };
        asks.extend(query.map(|q| Ask::Page(other, q)));
    }
    let names = matches!(view, View::Channels | View::Categories | View::Users) || matches!(model.mode, Mode::Form(_));
    if names && model.tree_stale && !model.tree_asked {
        (model.tree_stale, model.tree_asked) = (false, true);
        asks.push(Ask::Tree);
    }
    asks
}

pub fn stale(model: &mut Model, view: View) {
    match view {
        View::Channels | View::Categories => {
            (model.channels.stale, model.categories.stale, model.tree_stale) = (true, true, true);
            model.guide_rows.stale = true;
        }
        View::Users => model.users.stale = true,
        View::Sources => model.sources.stale = true,
        View::Guide => (model.guide_rows.stale, model.channels.stale) = (true, true),
        _ => {}
    }
}

pub fn all_stale(model: &mut Model) {
    for view in View::PAGED {
        failed(model, view);
        stale(model, view);
    }
    model.tree_asked = false;
}

/// A page that was asked for will not come.
pub fn failed(model: &mut Model, view: View) {
    match view {
        View::Channels => model.channels.failed(),
        View::Categories => model.categories.failed(),
        View::Users => model.users.failed(),
        View::Sources => model.sources.failed(),
        View::Guide => model.guide_rows.failed(),
        _ => {}
    }
}
