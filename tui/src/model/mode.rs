//! What keys go to: one explicit enum, so that no mode lingers.

use tui_input::Input;
use yagi_api::{Applied, Probe, UserUrls};

use super::View;
use crate::{form::Form, msg::Change, sheet::Sheet};

#[derive(Clone, Debug)]
pub enum Mode {
    Browse,
    Prompt(Prompt),
    Form(Box<Form>),
    Confirm(Box<Confirm>),
    Urls(Box<UrlDialog>),
    Choose(Box<Choose>),
    /// All facts of the selected row, as they are at this moment.
    Detail {
        scroll: u16,
    },
    /// An answer to read: a difference, a channel's detail, what a reload changed.
    Page(Box<Reading>),
    Help(Help),
    Review(Box<Review>),
    Wizard(Box<Wizard>),
}

/// One line that is typed at the foot or over the list.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub kind: PromptKind,
    pub input: Input,
    /// What comes back with Esc.
    pub before: String,
    /// How far back in the history.
    pub back: usize,
    /// Why the last Enter was no good.
    pub fault: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptKind {
    Filter,
    Command,
    /// A file on this machine.
    Save,
    /// The first of the new numbers.
    Renumber,
    /// The category that channels move to.
    Move,
    /// What the daemon writes to its log.
    LogFilter,
}

impl PromptKind {
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Filter => "filter: ",
            Self::Command => ":",
            Self::Save => "save as (.csv or .json): ",
            Self::Renumber => "numbers from: ",
            Self::Move => "move to category: ",
            Self::LogFilter => "log filter of the daemon: ",
        }
    }
}

impl Prompt {
    #[must_use]
    pub fn new(kind: PromptKind, text: impl Into<String>) -> Self {
        let before = text.into();
        Self { kind, input: Input::new(before.clone()), before, back: 0, fault: None }
    }
}

/// A question before something destructive. Cancel has the focus.
#[derive(Clone, Debug)]
pub struct Confirm {
    pub title: String,
    /// What is hit.
    pub lines: Vec<String>,
    pub changes: Vec<Change>,
    pub on_yes: bool,
    /// So many rows are hit that their number has to be typed.
    pub number: Option<usize>,
    pub input: Input,
}

#[derive(Clone, Debug)]
pub struct UrlDialog {
    pub urls: UserUrls,
    pub choice: usize,
    /// Secrets shown (Ctrl-t).
    pub shown: bool,
    /// The code alone, as large as the screen allows.
    pub large: bool,
    /// The password has just been made.
    pub fresh: bool,
    /// Addresses that the links can begin with; the first is the daemon's own.
    pub bases: Vec<String>,
    pub base: usize,
    /// The channel whose stream is meant; none: the first that the user sees.
    pub channel: Option<u32>,
}

impl UrlDialog {
    #[must_use]
    pub fn new(urls: UserUrls, fresh: bool, bases: Vec<String>, channel: Option<u32>) -> Self {
        let mut dialog = Self { urls, choice: 0, shown: fresh, large: false, fresh, bases, base: 0, channel };
        if channel.is_some() {
            dialog.choice = dialog.choices().iter().position(|(label, _)| *label == "Stream").unwrap_or(0);
        }
        dialog
    }

    /// What can be chosen: label and the exact text that is copied.
    #[must_use]
    pub fn choices(&self) -> Vec<(&'static str, &str)> {
        let urls = &self.urls;
        // A short link makes the code small; it comes first.
        let mut all: Vec<(&str, &str)> = urls.short.iter().map(|short| ("Short", short.as_str())).collect();
        all.extend([
            ("Playlist", urls.playlist.as_str()),
            ("Guide", &urls.guide),
            ("Server", &urls.server),
            ("User", &urls.name),
            ("Password", &urls.password),
            ("API", &urls.player_api),
        ]);
        if let Some(tuner) = &urls.hdhr {
            all.push(("HDHR", tuner));
        }
        if let Some(stream) = &urls.stream {
            all.push(("Stream", stream));
        }
        all
    }

    /// For an e-mail, or a note.
    #[must_use]
    pub fn letter(&self) -> String {
        let urls = &self.urls;
        format!(
            "Playlist: {}\nGuide:    {}\n\nXtream player:\n  server   {}\n  user     {}\n  password {}\n",
            urls.playlist, urls.guide, urls.server, urls.name, urls.password
        )
    }
}

/// One of a few things.
#[derive(Clone, Debug)]
pub struct Choose {
    pub title: String,
    pub items: Vec<(String, Pick)>,
    pub at: usize,
}

#[derive(Clone, Debug)]
pub enum Pick {
    Copy {
        what: String,
        text: String,
    },
    Send(Change),
    /// Asks first: title, what is hit.
    Ask(String, Vec<String>, Change),
    /// The addresses of a channel for this user.
    Urls {
        user: String,
        channel: u32,
    },
    /// Only to be read.
    Nothing,
}

#[derive(Clone, Debug)]
pub struct Reading {
    pub title: String,
    /// Label and text; an empty label goes on.
    pub lines: Vec<(String, String)>,
    pub scroll: u16,
}

#[derive(Clone, Debug, Default)]
pub struct Help {
    pub scroll: u16,
    pub search: Input,
    /// The search is being typed.
    pub typing: bool,
}

/// What an edited table would change: nothing has been changed yet.
#[derive(Clone, Debug)]
pub struct Review {
    pub view: View,
    pub sheet: Sheet,
    /// The text as it came back from the editor: nothing of it is lost.
    pub text: String,
    pub plan: Plan,
    pub scroll: u16,
}

#[derive(Clone, Debug)]
pub enum Plan {
    /// The daemon is asked what it would do.
    Asked(Change),
    /// It may be applied.
    Ready(Change, Applied),
    /// Line and what is wrong with it.
    Faulty(Vec<String>),
    Applying(Change),
}

/// From nothing to a playlist link, or only to a new source.
#[derive(Clone, Debug)]
pub struct Wizard {
    pub step: Step,
    pub input: Input,
    pub probe: Option<Probe>,
    /// Guides that the playlist names are added too.
    pub guides: bool,
    /// A viewer and its links follow.
    pub whole: bool,
    /// Something was asked and the answer is awaited.
    pub waits: bool,
    pub fault: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Address,
    Found,
    User,
}

impl Wizard {
    #[must_use]
    pub fn new(whole: bool) -> Self {
        Self {
            step: Step::Address,
            input: Input::default(),
            probe: None,
            guides: true,
            whole,
            waits: false,
            fault: None,
        }
    }
}

/// Which rows an action is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Ids(Vec<u64>),
    /// All rows of the view that match.
    Query(String),
}

impl Target {
    #[must_use]
    pub fn body(&self) -> serde_json::Value {
        match self {
            Self::Ids(ids) => serde_json::json!({"ids": ids}),
            Self::Query(q) => serde_json::json!({"q": q}),
        }
    }
}

/// Where focus is when there are two panes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    #[default]
    List,
    /// Categories beside channels, clients beside streams.
    Side,
}

/// What rows of a view are edited in an editor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desk {
    pub view: View,
    pub target: Target,
}
