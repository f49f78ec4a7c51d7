//! Everything the screen shows.
//!
//! Owns the state; `update` changes it, the screens read it. Must not enter: I/O, clocks (the time is a message).
//! Invariant: it holds no truth: all rows come from the daemon and are fetched again when in doubt.

mod mode;
mod shown;
mod view;

use std::collections::{BTreeMap, VecDeque};

use yagi_api::{
    AddressCheck, Category, ChannelRow, ClientRow, GuideChannel, GuideStatus, Hello, Job, LogRecord, Noun, Role,
    Setting, Source, Status, StreamRow, User,
};

use crate::{
    client::Fault,
    config::Config,
    keys::Keymap,
    list::{List, Paged},
    screens::columns,
    theme::Theme,
};

pub use mode::{
    Choose, Confirm, Desk, Help, Mode, Pane, Pick, Plan, Prompt, PromptKind, Reading, Review, Step, Target, UrlDialog,
    Wizard,
};
pub use view::View;

/// As many log lines as the daemon's ring.
pub const MAX_LOGS: usize = 2000;
/// Input rates kept of each stream, one each 5 s: ten minutes.
pub const MAX_RATES: usize = 120;
/// Rows whose last author is known.
const MAX_AUTHORS: usize = 256;

/// The connection as the badge shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    Opening,
    Live,
    /// Since and until: epoch seconds. `attempt` counts from 1.
    Down {
        since: i64,
        retry_at: i64,
        attempt: u32,
        fault: Fault,
    },
}

/// A channel that is being tested.
#[derive(Clone, Debug)]
pub struct Test {
    pub id: u32,
    pub name: String,
    /// Epoch seconds of the key, or of the last result since.
    pub since: i64,
    /// When its addresses were checked before: another time is a result. None: not known yet.
    pub before: Option<Vec<i64>>,
    /// Addresses that have their result.
    pub done: usize,
}

impl Test {
    #[must_use]
    pub fn title(&self) -> String {
        format!("Test of {}", self.name)
    }

    /// Whether an address has a result of this test.
    #[must_use]
    pub fn is_new(&self, at: usize, address: &AddressCheck) -> bool {
        let before = self.before.as_ref().map(|all| all.get(at).copied().unwrap_or(0));
        address.check.as_ref().is_some_and(|c| before.is_some_and(|before| before != c.at))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    pub text: String,
    pub bad: bool,
    /// Epoch seconds.
    pub until: i64,
}

/// What a stream's input was, in bits per second.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    pub values: VecDeque<u64>,
    /// Epoch seconds of the newest.
    pub at: i64,
}

/// Digits that are a view, and perhaps the first of a count.
#[derive(Clone, Copy, Debug)]
pub struct Digit {
    pub value: usize,
    /// The view before it.
    pub view: View,
    pub at_ms: u64,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub view: View,
    /// Where Back goes.
    pub trail: Vec<View>,
    pub mode: Mode,
    pub lists: [List; 9],
    /// All rows that match the filter are marked.
    pub all_marked: [bool; 9],
    pub pane: Pane,

    pub streams: Vec<StreamRow>,
    pub clients: Vec<ClientRow>,
    pub channels: Paged<ChannelRow>,
    pub categories: Paged<Category>,
    pub users: Paged<User>,
    pub sources: Paged<Source>,
    pub guide_rows: Paged<GuideChannel>,
    pub guide: Option<GuideStatus>,
    pub logs: VecDeque<LogRecord>,
    pub settings: Vec<Setting>,
    /// Categories in their order, for names and the tree.
    pub tree: Vec<Category>,
    pub tree_stale: bool,
    pub tree_asked: bool,
    /// Place in the tree; 0 is all.
    pub tree_at: usize,
    /// The category that Channels is narrowed to.
    pub only_category: Option<String>,
    /// The Clients view shows only those of this stream.
    pub only_stream: Option<(u64, String)>,
    pub jobs: Vec<Job>,
    pub test: Option<Test>,
    pub rates: BTreeMap<u64, Rates>,
    /// Who changed a row last, as far as it was seen.
    pub authors: VecDeque<(Noun, u32, String)>,
    /// How many rows a list has without a filter.
    pub totals: [usize; 9],

    pub link: Link,
    pub hello: Option<Hello>,
    pub status: Option<Status>,
    /// Epoch seconds of the newest live data.
    pub fresh_at: i64,
    /// Seconds between two pictures of live data; and of the last one.
    pub tick_s: i64,
    pub ticked_at: i64,

    pub toast: Option<Toast>,
    /// `q` was pressed at the top once.
    pub quit_asked: bool,
    pub digit: Option<Digit>,
    pub count: Option<usize>,
    pub commands: Vec<String>,
    pub read_only: bool,
    pub frozen: bool,
    pub mouse: bool,
    pub follow: bool,
    pub wrap: bool,
    /// 1 errors … 5 everything.
    pub level: u8,

    pub theme: Theme,
    pub config: Config,
    pub keymap: Keymap,
    pub columns: [Option<Vec<String>>; 9],
    pub size: (u16, u16),
    /// Epoch seconds.
    pub now: i64,
    /// Something changed since the last draw.
    pub dirty: bool,
}

impl Model {
    #[must_use]
    pub fn new(theme: Theme, size: (u16, u16), now: i64) -> Self {
        let mut lists: [List; 9] = Default::default();
        // The busiest first.
        let busiest = columns::sorts(View::Streams).iter().position(|c| c.sort == "clients");
        lists[View::Streams.index()].sort = busiest.unwrap_or(0);
        lists[View::Streams.index()].descending = true;
        Self {
            view: View::Streams,
            trail: Vec::new(),
            mode: Mode::Browse,
            lists,
            all_marked: [false; 9],
            pane: Pane::List,
            streams: Vec::new(),
            clients: Vec::new(),
            channels: Paged::default(),
            categories: Paged::default(),
            users: Paged::default(),
            sources: Paged::default(),
            guide_rows: Paged::default(),
            guide: None,
            logs: VecDeque::new(),
            settings: Vec::new(),
            tree: Vec::new(),
            tree_stale: true,
            tree_asked: false,
            tree_at: 0,
            only_category: None,
            only_stream: None,
            jobs: Vec::new(),
            test: None,
            rates: BTreeMap::new(),
            authors: VecDeque::new(),
            totals: [0; 9],
            link: Link::Opening,
            hello: None,
            status: None,
            fresh_at: now,
            tick_s: 1,
            ticked_at: 0,
            toast: None,
            quit_asked: false,
            digit: None,
            count: None,
            commands: Vec::new(),
            read_only: false,
            frozen: false,
            mouse: false,
            follow: true,
            wrap: false,
            level: 4,
            theme,
            config: Config::default(),
            keymap: Keymap::default(),
            columns: Default::default(),
            size,
            now,
            dirty: true,
        }
    }

    /// With what a configuration says.
    #[must_use]
    pub fn with(mut self, config: Config) -> Self {
        self.keymap = config.keymap.clone();
        self.columns = config.columns.clone();
        if let Some(fault) = &config.fault {
            self.complain(fault.clone());
        }
        self.config = config;
        self
    }

    #[must_use]
    pub fn list(&self) -> &List {
        &self.lists[self.view.index()]
    }

    pub fn list_mut(&mut self) -> &mut List {
        &mut self.lists[self.view.index()]
    }

    pub fn say(&mut self, text: impl Into<String>) {
        self.toast = Some(Toast { text: text.into(), bad: false, until: self.now + 8 });
    }

    /// Something that can be undone stands longer.
    pub fn say_undoable(&mut self, text: &str) {
        self.toast = Some(Toast { text: format!("{text}; u to undo"), bad: false, until: self.now + 30 });
    }

    pub fn complain(&mut self, text: impl Into<String>) {
        self.toast = Some(Toast { text: text.into(), bad: true, until: self.now + 12 });
    }

    /// Why nothing can be changed now, if so.
    #[must_use]
    pub fn write_fault(&self) -> Option<&'static str> {
        if self.link != Link::Live {
            Some("offline: nothing can be changed now")
        } else if self.is_read_only() {
            Some("read-only: nothing can be changed")
        } else {
            None
        }
    }

    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only || self.hello.as_ref().is_some_and(|h| !h.write || h.role == Role::Viewer)
    }

    /// What this caller may do, for the title.
    #[must_use]
    pub fn rights(&self) -> &'static str {
        match &self.hello {
            _ if self.is_read_only() => "read-only",
            Some(hello) if hello.role == Role::Operator => "operator",
            Some(_) => "read-write",
            None => "",
        }
    }

    /// Nothing has been put into the daemon yet.
    #[must_use]
    pub fn is_new_house(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.channels == 0 && s.sources == 0 && s.users == 0 && s.streams == 0)
    }

    /// The name of a category, as far as it is here.
    #[must_use]
    pub fn category_name(&self, id: yagi_api::CategoryId) -> &str {
        let named = self.tree.iter().chain(&self.categories.rows).find(|c| c.id == id);
        named.map_or("", |c| c.name.as_str())
    }

    /// The name of a source, as far as it is here.
    #[must_use]
    pub fn source_name(&self, id: yagi_api::SourceId) -> Option<&str> {
        self.sources.rows.iter().find(|s| s.id == id).map(|s| s.name.as_str())
    }

    /// The refresh of a source that waits or runs.
    #[must_use]
    pub fn job_of(&self, source: yagi_api::SourceId) -> Option<&Job> {
        self.jobs.iter().find(|j| j.source == Some(source) && !j.state.is_over())
    }

    pub fn wrote(&mut self, noun: Noun, id: u32, actor: String) {
        self.authors.retain(|(n, i, _)| (*n, *i) != (noun, id));
        if self.authors.len() == MAX_AUTHORS {
            self.authors.pop_front();
        }
        self.authors.push_back((noun, id, actor));
    }
}
