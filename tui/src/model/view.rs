//! The nine views and their names.

use yagi_api::{Noun, paths};

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
    /// Lists that the daemon pages.
    pub const PAGED: [Self; 5] = [Self::Channels, Self::Categories, Self::Users, Self::Sources, Self::Guide];

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

    /// One row, and many.
    #[must_use]
    pub fn nouns(self) -> (&'static str, &'static str) {
        match self {
            Self::Streams => ("stream", "streams"),
            Self::Clients => ("client", "clients"),
            Self::Channels | Self::Guide => ("channel", "channels"),
            Self::Categories => ("category", "categories"),
            Self::Users => ("user", "users"),
            Self::Sources => ("source", "sources"),
            Self::Logs => ("line", "lines"),
            Self::Settings => ("setting", "settings"),
        }
    }

    /// Where its rows are in the API.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Streams => paths::STREAMS,
            Self::Clients => paths::CLIENTS,
            Self::Channels => paths::CHANNELS,
            Self::Categories => paths::CATEGORIES,
            Self::Users => paths::USERS,
            Self::Sources => paths::SOURCES,
            Self::Guide => paths::GUIDE_CHANNELS,
            Self::Logs => paths::LOGS,
            Self::Settings => paths::SETTINGS,
        }
    }

    /// What the daemon calls the rows that can be edited as a table.
    #[must_use]
    pub fn noun(self) -> Option<Noun> {
        match self {
            Self::Channels => Some(Noun::Channels),
            Self::Categories => Some(Noun::Categories),
            Self::Users => Some(Noun::Users),
            Self::Sources => Some(Noun::Sources),
            _ => None,
        }
    }
}
