//! The one key table: it drives dispatch, the hint line and the help.
//!
//! Must not enter: what an action does. Invariant: nothing destructive on a lone lower-case letter, on Backspace or on
//! a key that moves.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::{model::View, msg::Effect};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Up,
    Down,
    HalfUp,
    HalfDown,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Go(View),
    NextView,
    PreviousView,
    Enter,
    Back,
    Leave,
    Quit,
    Filter,
    Help,
    New,
    Edit,
    Toggle,
    Delete,
    Stop,
    Password,
    Extend,
    Urls,
    Refresh,
    Copy,
    Follow,
    Level,
    Wrap,
    SortNext,
    SortPrevious,
    Reverse,
    Freeze,
    Repaint,
    Suspend,
}

#[derive(Debug)]
pub struct Binding {
    pub keys: &'static [&'static str],
    /// Empty: all.
    pub views: &'static [View],
    pub action: Action,
    /// For the hint line; empty: only in the help.
    pub hint: &'static str,
    pub help: &'static str,
    pub writes: bool,
}

const fn key(keys: &'static [&'static str], action: Action, hint: &'static str, help: &'static str) -> Binding {
    Binding { keys, views: &[], action, hint, help, writes: false }
}

const fn on(
    views: &'static [View],
    keys: &'static [&'static str],
    action: Action,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding { keys, views, action, hint, help, writes: false }
}

const fn write(
    views: &'static [View],
    keys: &'static [&'static str],
    action: Action,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding { keys, views, action, hint, help, writes: true }
}

use Action as A;
use View as V;

/// The first binding that fits wins, and the hint line follows this order.
pub static KEYS: &[Binding] = &[
    key(&["?", "F1"], A::Help, "help", "this help"),
    on(
        &[V::Streams, V::Clients, V::Channels, V::Categories, V::Users, V::Sources, V::Logs, V::Settings],
        &["/"],
        A::Filter,
        "filter",
        "filter the list: terms must all match, !term must not",
    ),
    on(&[V::Streams], &["Enter"], A::Enter, "clients", "the stream's clients"),
    on(&[V::Categories], &["Enter"], A::Enter, "channels", "its channels"),
    on(&[V::Users], &["U"], A::Urls, "urls", "addresses and QR code for players"),
    on(
        &[V::Clients, V::Channels, V::Users, V::Sources, V::Logs, V::Settings],
        &["Enter"],
        A::Enter,
        "detail",
        "all that is known of the row",
    ),
    write(&[V::Streams], &["X"], A::Stop, "stop", "stop the stream; asks when more than one client is hit"),
    write(&[V::Clients], &["X"], A::Stop, "kick", "cut the client"),
    write(&[V::Channels, V::Categories, V::Users, V::Sources], &["n"], A::New, "new", "make a new one"),
    write(&[V::Channels, V::Categories, V::Users, V::Sources, V::Settings], &["e"], A::Edit, "edit", "edit the row"),
    write(&[V::Channels, V::Users, V::Sources], &["t"], A::Toggle, "on/off", "enable or disable"),
    write(&[V::Sources], &["r", "F5"], A::Refresh, "refresh", "fetch the source again now"),
    write(&[V::Users], &["x"], A::Extend, "+30 d", "extend by 30 days"),
    write(&[V::Users], &["P"], A::Password, "password", "give it a new password; asks first"),
    write(
        &[V::Channels, V::Categories, V::Users, V::Sources],
        &["D", "Delete"],
        A::Delete,
        "delete",
        "delete; asks first",
    ),
    on(&[V::Logs], &["f"], A::Follow, "follow", "follow new lines"),
    on(&[V::Logs], &["L"], A::Level, "level", "which level and worse"),
    on(&[V::Logs], &["w"], A::Wrap, "wrap", "wrap long lines"),
    on(
        &[V::Streams, V::Clients, V::Channels, V::Categories, V::Users, V::Sources],
        &[">"],
        A::SortNext,
        "sort",
        "sort by the next column",
    ),
    on(
        &[V::Streams, V::Clients, V::Channels, V::Categories, V::Users, V::Sources],
        &["<"],
        A::SortPrevious,
        "",
        "sort by the previous column",
    ),
    on(
        &[V::Streams, V::Clients, V::Channels, V::Categories, V::Users, V::Sources],
        &["R"],
        A::Reverse,
        "",
        "reverse the order",
    ),
    on(
        &[V::Streams, V::Clients, V::Channels, V::Categories, V::Users, V::Sources, V::Logs, V::Settings],
        &["y"],
        A::Copy,
        "copy",
        "copy the row's main value",
    ),
    on(&[V::Streams, V::Clients], &["p"], A::Freeze, "freeze", "freeze the display"),
    key(&["q"], A::Leave, "back", "back; at the top it asks once, then quits"),
    key(&["Esc"], A::Back, "", "close, clear the filter, go back; never quits"),
    key(&["C-c"], A::Quit, "", "quit at once (the daemon is not affected)"),
    key(&["j", "Down"], A::Down, "", "down"),
    key(&["k", "Up"], A::Up, "", "up"),
    key(&["C-d"], A::HalfDown, "", "half a page down"),
    key(&["C-u"], A::HalfUp, "", "half a page up"),
    key(&["PageDown", "C-f"], A::PageDown, "", "a page down"),
    key(&["PageUp", "C-b"], A::PageUp, "", "a page up"),
    key(&["g", "Home"], A::Top, "", "to the first row"),
    key(&["G", "End"], A::Bottom, "", "to the last row"),
    key(&["1"], A::Go(V::Streams), "", "Streams: what is streamed now"),
    key(&["2"], A::Go(V::Clients), "", "Clients: who watches now"),
    key(&["3"], A::Go(V::Channels), "", "Channels"),
    key(&["4"], A::Go(V::Categories), "", "Categories"),
    key(&["5"], A::Go(V::Users), "", "Users: viewers' accounts"),
    key(&["6"], A::Go(V::Sources), "", "Sources: playlists and guides"),
    key(&["7"], A::Go(V::Guide), "", "Guide: state of the programme guide"),
    key(&["8"], A::Go(V::Logs), "", "Logs"),
    key(&["9"], A::Go(V::Settings), "", "Settings"),
    key(&["]", "Tab"], A::NextView, "", "next view"),
    key(&["[", "BackTab"], A::PreviousView, "", "previous view"),
    key(&["r", "F5"], A::Refresh, "", "fetch the list again"),
    key(&["C-l"], A::Repaint, "", "draw the screen anew"),
    key(&["C-z"], A::Suspend, "", "suspend; fg brings it back"),
];

/// What a key does in a view.
#[must_use]
pub fn find(view: View, event: &KeyEvent) -> Option<&'static Binding> {
    let name = name(event)?;
    KEYS.iter().find(|b| b.applies(view) && b.keys.contains(&name.as_str()))
}

/// Repaint and suspend: they work in prompts and dialogs too.
#[must_use]
pub fn of_terminal(event: &KeyEvent) -> Option<Effect> {
    match KEYS.iter().find(|b| name(event).is_some_and(|n| b.keys.contains(&n.as_str())))?.action {
        A::Repaint => Some(Effect::Repaint),
        A::Suspend => Some(Effect::Suspend),
        _ => None,
    }
}

impl Binding {
    #[must_use]
    pub fn applies(&self, view: View) -> bool {
        self.views.is_empty() || self.views.contains(&view)
    }
}

/// `j`, `C-d`, `Enter`, `F5`.
#[must_use]
pub fn name(event: &KeyEvent) -> Option<String> {
    let base = match event.code {
        KeyCode::Char(' ') => "Space".to_owned(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::F(n) => format!("F{n}"),
        KeyCode::Enter => "Enter".into(),
        KeyCode::Esc => "Esc".into(),
        KeyCode::Tab => "Tab".into(),
        KeyCode::BackTab => "BackTab".into(),
        KeyCode::Backspace => "Backspace".into(),
        KeyCode::Delete => "Delete".into(),
        KeyCode::Up => "Up".into(),
        KeyCode::Down => "Down".into(),
        KeyCode::Left => "Left".into(),
        KeyCode::Right => "Right".into(),
        KeyCode::Home => "Home".into(),
        KeyCode::End => "End".into(),
        KeyCode::PageUp => "PageUp".into(),
        KeyCode::PageDown => "PageDown".into(),
        _ => return None,
    };
    if event.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    Some(if event.modifiers.contains(KeyModifiers::CONTROL) { format!("C-{}", base.to_lowercase()) } else { base })
}

/// The hint line's words for a view, most useful first.
pub fn hints(view: View) -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS.iter().filter(move |b| b.applies(view) && !b.hint.is_empty()).map(|b| (b.keys[0], b.hint))
}

/// The help's lines for a view: those of the view first.
#[must_use]
pub fn help(view: View) -> Vec<(String, &'static str)> {
    let line = |b: &'static Binding| (b.keys.join(" "), b.help);
    let own = KEYS.iter().filter(|b| !b.views.is_empty() && b.applies(view)).map(line);
    own.chain(KEYS.iter().filter(|b| b.views.is_empty()).map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_destructive_lies_on_an_easy_key() {
        for binding in KEYS.iter().filter(|b| matches!(b.action, A::Delete | A::Stop | A::Password)) {
            for key in binding.keys {
                assert!(*key == "Delete" || key.chars().all(char::is_uppercase), "{key}");
            }
        }
    }

    #[test]
    fn every_view_key_is_bound_once_in_each_view() {
        for view in View::ALL {
            let mut seen = std::collections::BTreeSet::new();
            for key in KEYS.iter().filter(|b| b.applies(view) && !b.views.is_empty()).flat_map(|b| b.keys) {
                assert!(seen.insert(key), "{key} twice in {view:?}");
            }
        }
    }
}
