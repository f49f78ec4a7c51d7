//! What can be done with the rows of each view, and which rows have to be fetched.
//!
//! Owns the verbs on rows. Must not enter: keys, drawing. Invariant: whatever takes something away asks first.

use serde_json::json;
use yagi_api::paths;

use crate::{
    form::Form,
    keys::Action,
    model::{Confirm, Mode, Model, View},
    msg::{Ask, Change, Effect, Verb},
    text::printable,
};

/// Lines above and below the rows: title, tabs, filter, heading, two of detail, message, hints.
const AROUND: u16 = 8;
/// On a low screen the detail goes.
const AROUND_LOW: u16 = 6;
pub const LOW: u16 = 16;
/// From this width on the detail stands beside the list.
pub const WIDE: u16 = 120;

/// Rows of a list on the screen.
#[must_use]
pub fn height(model: &Model) -> usize {
    let (width, height) = model.size;
    let around = if height < LOW || width >= WIDE { AROUND_LOW } else { AROUND };
    usize::from(height.saturating_sub(around).max(1))
}

/// The daemon's names of the columns a list can be sorted by.
fn columns(view: View) -> &'static [&'static str] {
    match view {
        View::Channels => &["number", "name", "category", "enabled"],
        View::Categories => &["position", "name"],
        View::Users => &["name", "expires_at", "max_connections"],
        View::Sources => &["name", "kind"],
        _ => &[],
    }
}

/// How many orders a view has.
#[must_use]
pub fn sorts(view: View) -> usize {
    match view {
        View::Streams | View::Clients => 6,
        view => columns(view).len().max(1),
    }
}

/// The name of the order in force.
#[must_use]
pub fn sort_name(model: &Model) -> &'static str {
    let sort = model.list().sort;
    match model.view {
        View::Streams => ["name", "state", "clients", "in", "out", "uptime"][sort % 6],
        View::Clients => ["user", "ip", "channel", "out", "lag", "since"][sort % 6],
        view => columns(view).get(sort).copied().unwrap_or(""),
    }
}

/// Live tables are replaced as a whole: the cursor stays on its row, wherever the new order puts it.
pub fn keep_cursor(model: &mut Model, replace: impl FnOnce(&mut Model)) {
    let stream = model.selected_stream().map(|s| s.id);
    let client = model.selected_client().map(|c| c.id);
    replace(model);
    if let Some(at) = model.shown_streams().iter().position(|s| Some(s.id) == stream) {
        model.lists[View::Streams.index()].selected = at;
    }
    if let Some(at) = model.shown_clients().iter().position(|c| Some(c.id) == client) {
        model.lists[View::Clients.index()].selected = at;
    }
}

/// Pages that are on the screen and not here.
pub fn needed(model: &mut Model) -> impl Iterator<Item = Ask> + use<> {
    let height = height(model);
    let view = model.view;
    let mut asks = Vec::new();
    let order = |model: &Model, view: View| {
        let list = &model.lists[view.index()];
        let name = columns(view).get(list.sort).copied().unwrap_or_default();
        if list.descending { format!("-{name}") } else { name.to_owned() }
    };
    // Names of categories are shown with channels.
    let wanted = |other| view == other || other == View::Categories && view == View::Channels;
    let lists = model.lists.clone();
    for other in [View::Channels, View::Categories, View::Users, View::Sources] {
        if !wanted(other) {
            continue;
        }
        let sort = order(model, other);
        let list = &lists[other.index()];
        let query = match other {
            View::Channels => model.channels.need(list, &sort, height),
            View::Categories => model.categories.need(list, &sort, height),
            View::Users => model.users.need(list, &sort, height),
            _ => model.sources.need(list, &sort, height),
        };
        asks.extend(query.map(|q| Ask::Page(other, q)));
    }
    asks.into_iter()
}

pub fn stale(model: &mut Model, view: View) {
    match view {
        View::Channels => (model.channels.stale, model.categories.stale) = (true, true),
        View::Categories => (model.channels.stale, model.categories.stale) = (true, true),
        View::Users => model.users.stale = true,
        View::Sources => model.sources.stale = true,
        _ => {}
    }
}

pub fn all_stale(model: &mut Model) {
    page_failed(model, View::Channels);
    page_failed(model, View::Categories);
    page_failed(model, View::Users);
    page_failed(model, View::Sources);
    for view in [View::Channels, View::Users, View::Sources] {
        stale(model, view);
    }
}

/// A page that was asked for will not come.
pub fn page_failed(model: &mut Model, view: View) {
    match view {
        View::Channels => model.channels.failed(),
        View::Categories => model.categories.failed(),
        View::Users => model.users.failed(),
        View::Sources => model.sources.failed(),
        _ => {}
    }
}

fn change(verb: Verb, path: String, body: Option<serde_json::Value>, said: String, view: View) -> Change {
    Change { verb, path, body, said, destructive: verb == Verb::Delete, view, urls: false }
}

fn ask(model: &mut Model, title: String, lines: Vec<String>, changes: Vec<Change>) {
    model.mode = Mode::Confirm(Confirm { title, lines, changes, on_yes: false });
}

/// Carries out an action on the selected row.
pub fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    match (model.view, action) {
        (_, Action::New) => new(model),
        (View::Streams, _) => stream(model, action),
        (View::Clients, _) => client(model, action, effects),
        (View::Channels, _) => channel(model, action, effects),
        (View::Categories, _) => category(model, action),
        (View::Users, _) => user(model, action, effects),
        (View::Sources, _) => source(model, action, effects),
        (View::Settings, Action::Edit) => setting(model),
        (View::Logs | View::Settings, Action::Enter) => model.mode = Mode::Detail { scroll: 0 },
        (View::Guide, Action::Refresh) => effects.push(Effect::Fetch(Ask::Guide)),
        (View::Logs, Action::Copy) => {
            let line = model.selected_log().map(|r| format!("{} {}: {}", r.level, r.target, r.message));
            effects.extend(line.map(|text| Effect::Copy { what: "the line".into(), text }));
        }
        _ => {}
    }
    if action == Action::Refresh {
        stale(model, model.view);
    }
}

fn new(model: &mut Model) {
    let form = match model.view {
        View::Channels => Form::channel(None, ""),
        View::Categories => Form::category(None),
        View::Users => Form::user(None),
        View::Sources => Form::source(None),
        _ => return,
    };
    model.mode = Mode::Form(Box::new(form));
}

fn stream(model: &mut Model, action: Action) {
    let Some(row) = model.selected_stream().cloned() else { return };
    match action {
        Action::Enter => {
            model.only_stream = Some((row.id, row.name));
            model.trail.push(View::Streams);
            model.view = View::Clients;
            model.lists[View::Clients.index()].selected = 0;
        }
        Action::Stop => {
            let stop = change(
                Verb::Delete,
                format!("{}/{}", paths::STREAMS, row.id),
                None,
                format!("{} stopped", row.name),
                View::Streams,
            );
            let lines = vec![format!("{}: {} clients are cut", printable(&row.name, 60), row.clients)];
            ask(model, "Stop the stream?".into(), lines, vec![stop]);
        }
        _ => {}
    }
}

fn client(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    let Some(row) = model.selected_client().cloned() else { return };
    match action {
        Action::Enter => model.mode = Mode::Detail { scroll: 0 },
        Action::Copy => effects.push(Effect::Copy { what: "the address".into(), text: row.ip }),
        Action::Stop => {
            let kick = change(
                Verb::Delete,
                format!("{}/{}", paths::CLIENTS, row.id),
                None,
                format!("{} kicked", row.name),
                View::Clients,
            );
            let lines =
                vec![format!("{} on {} from {}", printable(&row.name, 30), printable(&row.channel_name, 40), row.ip)];
            ask(model, "Kick the client?".into(), lines, vec![kick]);
        }
        _ => {}
    }
}

fn channel(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    let Some(row) = model.selected_channel().cloned() else { return };
    let path = format!("{}/{}", paths::CHANNELS, row.id);
    match action {
        Action::Enter => model.mode = Mode::Detail { scroll: 0 },
        Action::Edit => {
            let category = category_name(model, row.category);
            model.mode = Mode::Form(Box::new(Form::channel(Some(&row), &category)));
        }
        Action::Toggle => {
            let body = json!({"enabled": !row.enabled, "version": row.version});
            let said = format!("{} is {}", row.name, if row.enabled { "off" } else { "on" });
            effects.push(Effect::Send(change(Verb::Patch, path, Some(body), said, View::Channels)));
        }
        Action::Delete => {
            let delete = change(Verb::Delete, path, None, format!("{} deleted", row.name), View::Channels);
            ask(model, "Delete the channel?".into(), vec![printable(&row.name, 60).into_owned()], vec![delete]);
        }
        Action::Copy => effects
            .extend(row.sources.first().map(|s| Effect::Copy { what: "the address".into(), text: s.url.clone() })),
        _ => {}
    }
}

/// The name of a category, as far as it is here.
#[must_use]
pub fn category_name(model: &Model, id: yagi_api::CategoryId) -> String {
    model.categories.rows.iter().find(|c| c.id == id).map_or_else(String::new, |c| c.name.clone())
}

fn category(model: &mut Model, action: Action) {
    let Some(row) = model.selected_category().cloned() else { return };
    match action {
        Action::Enter => {
            model.trail.push(View::Categories);
            model.view = View::Channels;
            let list = model.list_mut();
            list.filter = format!("category:=\"{}\"", row.name.replace('"', ""));
            list.selected = 0;
        }
        Action::Edit => model.mode = Mode::Form(Box::new(Form::category(Some(&row)))),
        Action::Delete => {
            let path = format!("{}/{}", paths::CATEGORIES, row.id);
            let delete = change(Verb::Delete, path, None, format!("{} deleted", row.name), View::Categories);
            let lines =
                vec![format!("{}: its {} channels become uncategorised", printable(&row.name, 40), row.channels)];
            ask(model, "Delete the category?".into(), lines, vec![delete]);
        }
        _ => {}
    }
}

fn user(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    let Some(row) = model.selected_user().cloned() else { return };
    let path = format!("{}/{}", paths::USERS, row.id);
    match action {
        Action::Enter => model.mode = Mode::Detail { scroll: 0 },
        Action::Edit => model.mode = Mode::Form(Box::new(Form::user(Some(&row)))),
        Action::Urls | Action::Copy => effects.push(Effect::Fetch(Ask::Urls { user: row.name, fresh: false })),
        Action::Toggle => {
            let body = json!({"enabled": !row.enabled, "version": row.version});
            let said = format!("{} is {}", row.name, if row.enabled { "disabled" } else { "enabled" });
            effects.push(Effect::Send(change(Verb::Patch, path, Some(body), said, View::Users)));
        }
        Action::Extend => {
            let Some(at) = row.expires_at else {
                return model.say(format!("{} never expires", row.name));
            };
            // An expired account gets 30 days from now on.
            let until = at.max(model.now) + 30 * 86_400;
            let body = json!({"expires_at": until, "version": row.version});
            let said = format!("{} may watch until {}", row.name, crate::when::date(until));
            effects.push(Effect::Send(change(Verb::Patch, path, Some(body), said, View::Users)));
        }
        Action::Password => {
            let said = format!("{} has a new password", row.name);
            let mut renew = change(Verb::Post, format!("{path}/password"), None, said, View::Users);
            renew.urls = true;
            renew.destructive = true;
            let lines = vec![format!(
                "{}: the old links stop working and its {} streams end",
                printable(&row.name, 40),
                row.active
            )];
            ask(model, "Give it a new password?".into(), lines, vec![renew]);
        }
        Action::Delete => {
            let delete = change(Verb::Delete, path, None, format!("{} deleted", row.name), View::Users);
            let lines = vec![format!("{}: its {} streams end", printable(&row.name, 40), row.active)];
            ask(model, "Delete the user?".into(), lines, vec![delete]);
        }
        _ => {}
    }
}

fn source(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    let Some(row) = model.selected_source().cloned() else { return };
    let path = format!("{}/{}", paths::SOURCES, row.id);
    match action {
        Action::Enter => model.mode = Mode::Detail { scroll: 0 },
        Action::Edit => model.mode = Mode::Form(Box::new(Form::source(Some(&row)))),
        Action::Copy => effects.push(Effect::Copy { what: "the address".into(), text: row.url }),
        Action::Refresh => {
            let said = format!("{} is being refreshed", row.name);
            effects.push(Effect::Send(change(Verb::Post, format!("{path}/refresh"), None, said, View::Sources)));
        }
        Action::Toggle => {
            let body = json!({"enabled": !row.enabled, "version": row.version});
            let said = format!("{} is {}", row.name, if row.enabled { "off" } else { "on" });
            effects.push(Effect::Send(change(Verb::Patch, path, Some(body), said, View::Sources)));
        }
        Action::Delete => {
            let delete = change(Verb::Delete, path, None, format!("{} deleted", row.name), View::Sources);
            let lines = vec![format!(
                "{}: the {}s that it made go with it",
                printable(&row.name, 40),
                match row.kind {
                    yagi_api::SourceKind::Playlist => "channel",
                    yagi_api::SourceKind::Guide => "programme",
                }
            )];
            ask(model, "Delete the source?".into(), lines, vec![delete]);
        }
        _ => {}
    }
}

fn setting(model: &mut Model) {
    let Some(row) = model.selected_setting().cloned() else { return };
    if row.editable {
        model.mode = Mode::Form(Box::new(Form::setting(&row)));
    } else {
        model.complain(format!("{} is a key of the configuration file: change it there, then restart", row.key));
    }
}
