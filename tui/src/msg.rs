//! What can happen, and what `update` asks for in return.
//!
//! Must not enter: how effects are carried out.

use crossterm::event::KeyEvent;
use serde_json::Value;
use yagi_api::{
    Category, Channel, ClientRow, Event, GuideStatus, Hello, LogRecord, Page, Query, Setting, Source, Status,
    StreamRow, User, UserUrls,
};

use crate::{
    client::Fault,
    model::{Link, View},
};

#[derive(Clone, Debug)]
pub enum Msg {
    Key(KeyEvent),
    Paste(String),
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
    /// What was copied, or why not.
    Said(String),
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
    Guide,
    Settings,
    Logs,
    Urls { user: String, fresh: bool },
}

#[derive(Clone, Debug)]
pub enum Answer {
    Hello(Hello),
    Status(Status),
    Streams(Vec<StreamRow>),
    Clients(Vec<ClientRow>),
    Channels(Query, Page<Channel>),
    Categories(Query, Page<Category>),
    Users(Query, Page<User>),
    Sources(Query, Page<Source>),
    Guide(GuideStatus),
    Settings(Vec<Setting>),
    Logs(Vec<LogRecord>),
    Urls(UserUrls, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Post,
    Patch,
    Delete,
}

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub verb: Verb,
    pub path: String,
    pub body: Option<Value>,
    /// What to say when it has been done.
    pub said: String,
    /// It takes away something that an undo could not bring back.
    pub destructive: bool,
    /// The list that shows the result.
    pub view: View,
    /// Show the addresses of this user afterwards.
    pub urls: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Fetch(Ask),
    Send(Change),
    Copy { what: String, text: String },
    Suspend,
    Repaint,
    Quit,
}
