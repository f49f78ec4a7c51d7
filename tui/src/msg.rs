//! What can happen, and what `update` asks for in return.
//!
//! Must not enter: how effects are carried out.

use std::path::PathBuf;

use crossterm::event::{KeyEvent, MouseEvent};
use serde_json::Value;
use yagi_api::{
    AddressCheck, Category, ChannelDetail, ChannelRow, ClientRow, Event, GuideChannel, GuideStatus, Hello, Job,
    LogFilter, LogRecord, Page, Probe, Query, Setting, Source, SourceDiff, Status, StreamRow, User, UserUrls,
};

use crate::{
    client::Fault,
    model::{Desk, Link, View},
    sheet::Sheet,
};

#[derive(Clone, Debug)]
pub enum Msg {
    /// A key, and when: milliseconds of a clock that only goes forward.
    Key(KeyEvent, u64),
    Paste(String),
    Mouse(MouseEvent),
    Resize(u16, u16),
    /// Once a second: epoch seconds.
    Clock(i64),
    Link(Link),
    Event(Box<Event>),
    Answer(Box<Answer>),
    /// A read failed.
    Failed(Ask, Fault),
    /// A change was made or refused.
    Changed(Box<Change>, Result<Value, Fault>),
    /// What came back from the editor.
    Edited(View, Box<Sheet>, String),
    /// A password that was made up.
    Password(String),
    /// What was copied or saved.
    Said(String),
    /// Why something here did not work.
    Complained(String),
    /// Drawing is slow: so many milliseconds.
    SlowTerminal(u64),
}

/// A read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Status,
    Streams,
    Clients,
    Page(View, Query),
    Tree,
    Guide,
    Settings,
    Logs,
    LogFilter,
    Jobs,
    Urls {
        user: String,
        fresh: bool,
        base: Option<String>,
        /// The channel whose stream is meant.
        channel: Option<u32>,
    },
    /// Users, one of whom a channel's address is for.
    Viewers(u32),
    /// What the last check of a channel found, for a test that runs.
    Tested(u32),
    /// A list without a view of its own.
    Aside(Aside),
    Probe(String),
    Detail(u32),
    Diff(u32),
    History(u32),
    /// A row as it is now, to be edited.
    Edit(View, u32),
    /// The row whose change was refused, as it is now.
    Theirs(String),
    /// Rows for an editor.
    Desk(Desk),
}

/// Lists without a view of their own; `:` and their name shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    Blocks,
    Rules,
    Lineup,
    Jobs,
    Engines,
    Changes,
}

impl Aside {
    pub const ALL: [Self; 6] = [Self::Blocks, Self::Rules, Self::Lineup, Self::Jobs, Self::Engines, Self::Changes];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Rules => "rules",
            Self::Lineup => "lineup",
            Self::Jobs => "jobs",
            Self::Engines => "engines",
            Self::Changes => "changes",
        }
    }
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "boxed as a whole wherever it goes")]
pub enum Answer {
    Hello(Hello),
    Status(Status),
    Streams(Vec<StreamRow>),
    Clients(Vec<ClientRow>),
    Channels(Query, Page<ChannelRow>),
    Categories(Query, Page<Category>),
    Users(Query, Page<User>),
    Sources(Query, Page<Source>),
    GuideRows(Query, Page<GuideChannel>),
    Tree(Vec<Category>),
    Guide(GuideStatus),
    Settings(Vec<Setting>),
    Logs(Vec<LogRecord>),
    LogFilter(LogFilter),
    Jobs(Vec<Job>),
    /// Whether the password is new, and the channel that was meant.
    Urls(UserUrls, bool, Option<u32>),
    Viewers(u32, Vec<User>),
    Tested(u32, Vec<AddressCheck>),
    /// The rows as the daemon tells them.
    Aside(Aside, Value),
    /// What is at an address.
    Probe(String, Probe),
    Detail(ChannelDetail),
    Diff(SourceDiff),
    History(Vec<yagi_api::RefreshReport>),
    Edit(View, Value),
    Theirs(String, Value),
    Desk(View, Sheet),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Post,
    Put,
    Patch,
    Delete,
}

/// What follows a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    #[default]
    Nothing,
    /// The form that sent it closes, or shows why not.
    Form,
    /// The same, and then the addresses of the row are shown.
    FormAndUrls,
    /// The addresses of the row are shown.
    Urls,
    /// The next step of the wizard.
    Wizard,
    /// The review shows what it would do, or did.
    Review,
    /// The answer is shown.
    Page,
}

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub verb: Verb,
    pub path: String,
    pub body: Option<Value>,
    /// What to say when it has been done.
    pub said: String,
    /// It takes something away: it is sent after a question only.
    pub destructive: bool,
    /// The daemon's trail has it: `u` takes it back.
    pub undoable: bool,
    /// The list that shows the result.
    pub view: View,
    pub then: Then,
}

impl Change {
    #[must_use]
    pub fn new(verb: Verb, path: impl Into<String>, view: View, said: impl Into<String>) -> Self {
        Self {
            verb,
            path: path.into(),
            body: None,
            said: said.into(),
            destructive: verb == Verb::Delete,
            undoable: view.noun().is_some(),
            view,
            then: Then::Nothing,
        }
    }

    #[must_use]
    pub fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    #[must_use]
    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    #[must_use]
    pub fn destructive(self) -> Self {
        Self { destructive: true, ..self }
    }

    #[must_use]
    pub fn for_good(self) -> Self {
        Self { undoable: false, ..self }
    }
}

/// What is written to a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Export {
    /// Rows that are here.
    Rows(Vec<Value>),
    /// All rows of a list that match.
    List(View, String, String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Fetch(Ask),
    Send(Change),
    Copy {
        what: String,
        text: String,
    },
    Save(PathBuf, Export),
    /// The table is opened in an editor.
    Edit(View, Box<Sheet>, String),
    /// A password is made up, for the form that is open.
    Password,
    Mouse(bool),
    Suspend,
    Repaint,
    Quit,
}
