//! Everything the screen shows.
//!
//! Owns the state; `update` changes it, `view` reads it. Must not enter: I/O, clocks (the time is a message).
//! Invariant: it holds no truth: all rows come from the daemon and are fetched again when in doubt.

use std::collections::VecDeque;

use tui_input::Input;
use yagi_api::{
    Category, Channel, ClientRow, GuideStatus, Hello, LogRecord, Setting, Source, Status, StreamRow, User, UserUrls,
};

use crate::{
    client::Fault,
    form::Form,
    list::{List, Paged},
    msg::Change,
    theme::Theme,
};

/// As many log lines as the daemon's ring.
pub const MAX_LOGS: usize = 2000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Streams,
    Clients,
    Channels,
    Categories,
    Users,
    Sources,
    Guide,
    Logs,
    Settings,
}

impl View {
    pub const ALL: [Self; 9] = [
        Self::Streams,
        Self::Clients,
        Self::Channels,
        Self::Categories,
        Self::Users,
        Self::Sources,
        Self::Guide,
        Self::Logs,
        Self::Settings,
    ];

    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Streams => "Streams",
            Self::Clients => "Clients",
            Self::Channels => "Channels",
            Self::Categories => "Categories",
            Self::Users => "Users",
            Self::Sources => "Sources",
            Self::Guide => "Guide",
            Self::Logs => "Logs",
            Self::Settings => "Settings",
        }
    }

    /// For 80 columns.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Self::Categories => "Categ",
            Self::Settings => "Conf",
            other => other.name(),
        }
    }
}

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

/// What keys go to. One explicit enum, so that no mode lingers.
#[derive(Clone, Debug)]
pub enum Mode {
    Browse,
    /// Typing a filter; the old one comes back with Esc.
    Filter {
        input: Input,
        before: String,
    },
    Form(Box<Form>),
    Confirm(Confirm),
    Urls(Box<UrlDialog>),
    /// All facts of the selected row.
    Detail {
        scroll: u16,
    },
    Help {
        scroll: u16,
    },
}

/// A question before something destructive. Cancel has the focus.
#[derive(Clone, Debug)]
pub struct Confirm {
    pub title: String,
    /// What is hit.
    pub lines: Vec<String>,
    pub changes: Vec<Change>,
    pub on_yes: bool,
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
}

impl UrlDialog {
    /// What can be chosen: label and the exact text that is copied.
    #[must_use]
    pub fn choices(&self) -> Vec<(&'static str, &str)> {
        let urls = &self.urls;
        let mut all = vec![
            ("Playlist", urls.playlist.as_str()),
            ("Guide", &urls.guide),
            ("Server", &urls.server),
            ("User", &urls.name),
            ("Password", &urls.password),
            ("API", &urls.player_api),
        ];
        if let Some(stream) = &urls.stream {
            all.push(("Stream", stream));
        }
        all
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    pub text: String,
    pub bad: bool,
    /// Epoch seconds.
    pub until: i64,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub view: View,
    /// Where Back goes.
    pub trail: Vec<View>,
    pub mode: Mode,
    pub lists: [List; 9],

    pub streams: Vec<StreamRow>,
    pub clients: Vec<ClientRow>,
    pub channels: Paged<Channel>,
    pub categories: Paged<Category>,
    pub users: Paged<User>,
    pub sources: Paged<Source>,
    pub guide: Option<GuideStatus>,
    pub logs: VecDeque<LogRecord>,
    pub settings: Vec<Setting>,
    /// The Clients view shows only those of this stream.
    pub only_stream: Option<(u64, String)>,

    pub link: Link,
    pub hello: Option<Hello>,
    pub status: Option<Status>,
    /// Epoch seconds of the newest live data.
    pub fresh_at: i64,

    pub toast: Option<Toast>,
    /// `q` was pressed at the top once.
    pub quit_asked: bool,
    pub read_only: bool,
    pub frozen: bool,
    pub follow: bool,
    pub wrap: bool,
    /// 1 errors … 5 everything.
    pub level: u8,

    pub theme: Theme,
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
        lists[View::Streams.index()].sort = 2;
        lists[View::Streams.index()].descending = true;
        Self {
            view: View::Streams,
            trail: Vec::new(),
            mode: Mode::Browse,
            lists,
            streams: Vec::new(),
            clients: Vec::new(),
            channels: Paged::default(),
            categories: Paged::default(),
            users: Paged::default(),
            sources: Paged::default(),
            guide: None,
            logs: VecDeque::new(),
            settings: Vec::new(),
            only_stream: None,
            link: Link::Opening,
            hello: None,
            status: None,
            fresh_at: now,
            toast: None,
            quit_asked: false,
            read_only: false,
            frozen: false,
            follow: true,
            wrap: false,
            level: 4,
            theme,
            size,
            now,
            dirty: true,
        }
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

    pub fn complain(&mut self, text: impl Into<String>) {
        self.toast = Some(Toast { text: text.into(), bad: true, until: self.now + 12 });
    }

    /// Why nothing can be changed now, if so.
    #[must_use]
    pub fn write_fault(&self) -> Option<&'static str> {
        if self.link != Link::Live {
            Some("offline: nothing can be changed now")
        } else if self.read_only || self.hello.as_ref().is_some_and(|h| !h.write) {
            Some("read-only: nothing can be changed")
        } else {
            None
        }
    }

    /// Nothing has been put into the daemon yet.
    #[must_use]
    pub fn is_new_house(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.channels == 0 && s.sources == 0 && s.users == 0 && s.streams == 0)
    }

    /// The streams that the view shows, filtered and sorted.
    #[must_use]
    pub fn shown_streams(&self) -> Vec<&StreamRow> {
        let list = &self.lists[View::Streams.index()];
        let mut rows: Vec<&StreamRow> =
            self.streams.iter().filter(|s| list.passes(&[&s.name, s.state.word(), &s.source])).collect();
        rows.sort_by(|a, b| {
            let order = match list.sort {
                0 => a.name.cmp(&b.name),
                1 => a.state.word().cmp(b.state.word()),
                3 => a.in_bits_per_s.cmp(&b.in_bits_per_s),
                4 => a.out_bits_per_s.cmp(&b.out_bits_per_s),
                5 => a.uptime_s.cmp(&b.uptime_s),
                _ => a.clients.cmp(&b.clients),
            };
            list.directed(order).then(a.id.cmp(&b.id))
        });
        rows
    }

    #[must_use]
    pub fn shown_clients(&self) -> Vec<&ClientRow> {
        let list = &self.lists[View::Clients.index()];
        let only = self.only_stream.as_ref().map(|(id, _)| *id);
        let mut rows: Vec<&ClientRow> = self
            .clients
            .iter()
            .filter(|c| only.is_none_or(|id| c.stream == Some(id)))
            .filter(|c| list.passes(&[&c.name, &c.ip, &c.agent, &c.channel_name]))
            .collect();
        rows.sort_by(|a, b| {
            let order = match list.sort {
                1 => a.ip.cmp(&b.ip),
                2 => a.channel_name.cmp(&b.channel_name),
                3 => a.out_bits_per_s.cmp(&b.out_bits_per_s),
                4 => a.lag_ms.cmp(&b.lag_ms),
                5 => a.since_s.cmp(&b.since_s),
                _ => a.name.cmp(&b.name),
            };
            list.directed(order).then(a.id.cmp(&b.id))
        });
        rows
    }

    #[must_use]
    pub fn shown_logs(&self) -> Vec<&LogRecord> {
        let list = &self.lists[View::Logs.index()];
        self.logs
            .iter()
            .filter(|r| crate::cli::severity(&r.level) <= self.level)
            .filter(|r| list.passes(&[&r.message, &r.target, &r.level]))
            .collect()
    }

    #[must_use]
    pub fn shown_settings(&self) -> Vec<&Setting> {
        let list = &self.lists[View::Settings.index()];
        self.settings.iter().filter(|s| list.passes(&[&s.key, &s.help, &s.origin])).collect()
    }

    /// Rows of the current view, on all pages.
    #[must_use]
    pub fn count(&self) -> usize {
        match self.view {
            View::Streams => self.shown_streams().len(),
            View::Clients => self.shown_clients().len(),
            View::Channels => self.channels.total,
            View::Categories => self.categories.total,
            View::Users => self.users.total,
            View::Sources => self.sources.total,
            View::Guide => 0,
            View::Logs => self.shown_logs().len(),
            View::Settings => self.shown_settings().len(),
        }
    }

    #[must_use]
    pub fn selected_stream(&self) -> Option<&StreamRow> {
        self.shown_streams().get(self.lists[View::Streams.index()].selected).copied()
    }

    #[must_use]
    pub fn selected_client(&self) -> Option<&ClientRow> {
        self.shown_clients().get(self.lists[View::Clients.index()].selected).copied()
    }

    #[must_use]
    pub fn selected_channel(&self) -> Option<&Channel> {
        self.channels.at(self.lists[View::Channels.index()].selected)
    }

    #[must_use]
    pub fn selected_category(&self) -> Option<&Category> {
        self.categories.at(self.lists[View::Categories.index()].selected)
    }

    #[must_use]
    pub fn selected_user(&self) -> Option<&User> {
        self.users.at(self.lists[View::Users.index()].selected)
    }

    #[must_use]
    pub fn selected_source(&self) -> Option<&Source> {
        self.sources.at(self.lists[View::Sources.index()].selected)
    }

    #[must_use]
    pub fn selected_setting(&self) -> Option<&Setting> {
        self.shown_settings().get(self.lists[View::Settings.index()].selected).copied()
    }

    #[must_use]
    pub fn selected_log(&self) -> Option<&LogRecord> {
        self.shown_logs().get(self.lists[View::Logs.index()].selected).copied()
    }
}
