//! The one key table: it drives dispatch, the hint line and the help.
//!
//! Must not enter: what an action does. Invariant: nothing destructive on a lone lower-case letter, on Backspace or on
//! a key that moves.

mod map;

pub use map::Keymap;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::model::View;

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
    ScrollLeft,
    ScrollRight,
    Go(View),
    NextView,
    PreviousView,
    NextPane,
    Enter,
    Back,
    Leave,
    Quit,
    Filter,
    Command,
    Help,
    Mark,
    MarkRange,
    MarkInvert,
    MarkAll,
    New,
    Edit,
    Editor,
    Toggle,
    Move,
    Renumber,
    MoveUp,
    MoveDown,
    Merge,
    Delete,
    Stop,
    Failover,
    Test,
    Block,
    Password,
    Extend,
    Urls,
    Refresh,
    CancelJob,
    Difference,
    Accept,
    AcceptAll,
    Reload,
    Backup,
    Undo,
    Redo,
    Copy,
    CopyOther,
    Save,
    Follow,
    Level,
    DaemonLevel,
    Wrap,
    SortNext,
    SortPrevious,
    Reverse,
    Freeze,
    Mouse,
    Repaint,
    Suspend,
}

impl Action {
    /// As the configuration spells it: `half-down`, `go-streams`.
    #[must_use]
    pub fn name(self) -> String {
        let mut out = String::new();
        for c in format!("{self:?}").chars().filter(char::is_ascii_alphanumeric) {
            if c.is_ascii_uppercase() && !out.is_empty() {
                out.push('-');
            }
            out.push(c.to_ascii_lowercase());
        }
        out
    }
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

const fn on(
    views: &'static [View],
    keys: &'static [&'static str],
    action: Action,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding { keys, views, action, hint, help, writes: false }
}

const fn key(keys: &'static [&'static str], action: Action, hint: &'static str, help: &'static str) -> Binding {
    on(&[], keys, action, hint, help)
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

/// Views whose rows can be marked and changed together.
const ROWS: &[View] = &[V::Channels, V::Categories, V::Users, V::Sources];
const MARKED: &[View] = &[V::Streams, V::Clients, V::Channels, V::Categories, V::Users, V::Sources, V::Guide];
const SORTED: &[View] = &[V::Streams, V::Clients, V::Channels, V::Categories, V::Users, V::Sources];

/// The first binding that fits wins, and the hint line follows this order.
pub static KEYS: &[Binding] = &[
    key(&["?", "F1"], A::Help, "help", "this help; / in it searches"),
    key(&["/"], A::Filter, "filter", "filter the list: terms must all match, !term must not, field:text"),
    on(&[V::Streams], &["Enter"], A::Enter, "clients", "the stream's clients"),
    on(&[V::Categories], &["Enter"], A::Enter, "channels", "its channels"),
    on(
        &[V::Clients, V::Channels, V::Users, V::Sources, V::Guide, V::Logs],
        &["Enter"],
        A::Enter,
        "detail",
        "all that is known of the row",
    ),
    write(&[V::Settings], &["Enter"], A::Edit, "edit", "change the setting"),
    write(&[V::Streams], &["X"], A::Stop, "stop", "stop the stream; asks first"),
    write(&[V::Streams], &["F"], A::Failover, "failover", "move the stream to its next source; its viewers stay"),
    write(&[V::Clients], &["X"], A::Stop, "kick", "cut the client; asks first"),
    write(&[V::Clients], &["B"], A::Block, "block", "cut the client and block its address for 10 minutes; asks first"),
    write(ROWS, &["n"], A::New, "new", "make a new one"),
    write(&[V::Streams], &["e"], A::Edit, "edit", "edit the stream's channel"),
    write(&[V::Clients], &["e"], A::Edit, "user", "edit the client's user"),
    write(ROWS, &["e"], A::Edit, "edit", "edit the row, or all marked rows at once"),
    write(&[V::Settings], &["e"], A::Edit, "", "change the setting"),
    on(&[V::Users], &["U"], A::Urls, "urls", "addresses and QR code for players"),
    on(&[V::Streams, V::Channels], &["U"], A::Urls, "urls", "the channel's address for a player, of a user to choose"),
    write(&[V::Channels, V::Users, V::Sources], &["t"], A::Toggle, "on/off", "enable or disable"),
    write(&[V::Channels], &["M"], A::Move, "move", "move to another category"),
    write(&[V::Channels], &["T"], A::Test, "test", "open each address and tell what comes; of marked ones the first"),
    write(&[V::Channels], &["c"], A::CancelJob, "", "stop the checks that run"),
    write(&[V::Channels], &["N"], A::Renumber, "number", "give new numbers, from one on"),
    write(&[V::Categories], &["J"], A::MoveDown, "down", "move the category one down"),
    write(&[V::Categories], &["K"], A::MoveUp, "up", "move the category one up"),
    write(&[V::Categories], &["M"], A::Merge, "merge", "merge the marked ones into this; asks first"),
    write(&[V::Sources], &["r", "F5"], A::Refresh, "refresh", "fetch the source again now"),
    write(&[V::Sources], &["c"], A::CancelJob, "cancel", "stop the refresh that runs"),
    on(&[V::Sources], &["d"], A::Difference, "diff", "what the last refresh changed"),
    write(&[V::Guide], &["r", "F5"], A::Refresh, "refresh", "fetch all guides again"),
    write(&[V::Guide], &["a"], A::Accept, "accept", "take the suggestion for this channel, or for the marked ones"),
    write(&[V::Guide], &["A"], A::AcceptAll, "accept all", "take every suggestion above 0.9; asks first"),
    write(&[V::Users], &["x"], A::Extend, "+30 d", "extend by 30 days"),
    write(&[V::Users], &["P"], A::Password, "password", "give it a new password; asks first"),
    write(ROWS, &["E"], A::Editor, "editor", "edit the marked rows as a table in $EDITOR"),
    write(ROWS, &["D", "Delete"], A::Delete, "delete", "delete; asks first"),
    on(&[V::Logs], &["f"], A::Follow, "follow", "follow new lines"),
    on(&[V::Logs], &["L"], A::Level, "level", "show this level and worse"),
    write(&[V::Logs], &["V"], A::DaemonLevel, "log level", "what the daemon writes, at once and until it restarts"),
    on(&[V::Logs], &["w"], A::Wrap, "wrap", "wrap long lines"),
    write(&[V::Settings], &["r", "F5"], A::Reload, "reload", "read the configuration file again"),
    write(&[V::Settings], &["B"], A::Backup, "backup", "copy the database now"),
    on(MARKED, &["Space"], A::Mark, "mark", "mark the row and go down"),
    on(MARKED, &["v"], A::MarkRange, "", "mark a range: once at its start, once at its end"),
    on(MARKED, &["*"], A::MarkInvert, "", "mark what is not marked, and the other way round"),
    on(MARKED, &["C-a"], A::MarkAll, "", "mark all rows that match the filter"),
    key(&["u"], A::Undo, "undo", "take back the last change (the daemon remembers it)"),
    key(&["C-r"], A::Redo, "", "make the change again"),
    on(SORTED, &[">"], A::SortNext, "sort", "sort by the next column"),
    on(SORTED, &["<"], A::SortPrevious, "", "sort by the previous column"),
    on(SORTED, &["R"], A::Reverse, "", "reverse the order"),
    key(&["y"], A::Copy, "copy", "copy the row's main value; of a user, one of its addresses"),
    key(&["Y"], A::CopyOther, "", "choose what to copy"),
    key(&["S"], A::Save, "save", "save the list to a file here, CSV or JSON"),
    key(&[":"], A::Command, "cmd", "type a command; Tab completes"),
    on(&[V::Streams, V::Clients], &["p"], A::Freeze, "freeze", "freeze the display"),
    on(&[V::Streams, V::Channels], &["Tab", "BackTab"], A::NextPane, "pane", "to the other pane, where there are two"),
    key(&["q"], A::Leave, "back", "back; at the top it asks once, then quits"),
    key(&["Esc"], A::Back, "", "close, clear the marks, clear the filter, go back; never quits"),
    key(&["C-c"], A::Quit, "", "quit at once (the daemon is not affected)"),
    key(&["j", "Down"], A::Down, "", "down; 10j ten rows"),
    key(&["k", "Up"], A::Up, "", "up"),
    key(&["C-d"], A::HalfDown, "", "half a page down"),
    key(&["C-u"], A::HalfUp, "", "half a page up"),
    key(&["PageDown", "C-f"], A::PageDown, "", "a page down"),
    key(&["PageUp", "C-b"], A::PageUp, "", "a page up"),
    key(&["g", "Home"], A::Top, "", "to the first row"),
    key(&["G", "End"], A::Bottom, "", "to the last row"),
    key(&["h", "Left"], A::ScrollLeft, "", "columns back"),
    key(&["l", "Right"], A::ScrollRight, "", "columns that have no room"),
    key(&["1"], A::Go(V::Streams), "", "Streams: what is streamed now"),
    key(&["2"], A::Go(V::Clients), "", "Clients: who watches now"),
    key(&["3"], A::Go(V::Channels), "", "Channels"),
    key(&["4"], A::Go(V::Categories), "", "Categories"),
    key(&["5"], A::Go(V::Users), "", "Users: viewers' accounts"),
    key(&["6"], A::Go(V::Sources), "", "Sources: playlists and guides"),
    key(&["7"], A::Go(V::Guide), "", "Guide: which channels have programmes"),
    key(&["8"], A::Go(V::Logs), "", "Logs"),
    key(&["9"], A::Go(V::Settings), "", "Settings"),
    key(&["]"], A::NextView, "", "next view"),
    key(&["["], A::PreviousView, "", "previous view"),
    key(&["r", "F5"], A::Refresh, "", "fetch the list again"),
    key(&["m"], A::Mouse, "", "mouse on or off (off: the terminal selects text)"),
    key(&["C-l"], A::Repaint, "", "draw the screen anew"),
    key(&["C-z"], A::Suspend, "", "suspend; fg brings it back"),
];

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
        KeyCode::Insert => "Insert".into(),
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

/// Whether a configuration may name such a key.
#[must_use]
pub fn is_name(text: &str) -> bool {
    const NAMED: [&str; 16] = [
        "Space",
        "Enter",
        "Esc",
        "Tab",
        "BackTab",
        "Backspace",
        "Delete",
        "Insert",
        "Up",
        "Down",
        "Left",
        "Right",
        "Home",
        "End",
        "PageUp",
        "PageDown",
    ];
    let base = text.strip_prefix("C-").unwrap_or(text);
    NAMED.iter().any(|n| *n == base || n.to_lowercase() == base && base.len() < text.len())
        || base.strip_prefix('F').is_some_and(|n| n.parse::<u8>().is_ok_and(|n| (1..=24).contains(&n)))
        || base.chars().count() == 1 && base.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_destructive_lies_on_an_easy_key() {
        let destroys = |a| matches!(a, A::Delete | A::Stop | A::Password | A::Block | A::Merge);
        for binding in KEYS.iter().filter(|b| destroys(b.action)) {
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
                assert!(is_name(key), "{key}");
            }
        }
    }

    #[test]
    fn actions_have_names_for_the_configuration() {
        assert_eq!(A::HalfDown.name(), "half-down");
        assert_eq!(A::Go(V::Streams).name(), "go-streams");
        assert!(is_name("C-d") && is_name("F12") && is_name("é") && is_name("C-left"));
        assert!(!is_name("F99") && !is_name("jj") && !is_name("") && !is_name("C-") && !is_name(" "));
    }
}
