//! `GET /api/events`: one event a line.

use serde::{Deserialize, Serialize};

use crate::{
    job::Job,
    status::Status,
    stream::{ClientRow, StreamRow},
};

/// Which list changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Noun {
    Channels,
    Categories,
    Users,
    Sources,
    Settings,
    Guide,
    Rules,
    /// Generations of the line-up, and what is held back.
    Lineup,
    /// Addresses that are refused.
    Blocks,
}

impl Noun {
    pub const ALL: [Self; 9] = [
        Self::Channels,
        Self::Categories,
        Self::Users,
        Self::Sources,
        Self::Settings,
        Self::Guide,
        Self::Rules,
        Self::Lineup,
        Self::Blocks,
    ];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Channels => "channels",
            Self::Categories => "categories",
            Self::Users => "users",
            Self::Sources => "sources",
            Self::Settings => "settings",
            Self::Guide => "guide",
            Self::Rules => "rules",
            Self::Lineup => "lineup",
            Self::Blocks => "blocks",
        }
    }
}

/// What happened to the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Created,
    Updated,
    Deleted,
    /// Many rows at once (a refresh): fetch the list again.
    Bulk,
}

impl Change {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Bulk => "bulk",
        }
    }
}

/// One line. Receiving one twice does no harm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// First line of each connection.
    Hello { rev: u64, boot_id: String },
    /// A list changed. `row` is the new row (absent for `deleted` and `bulk`), in the noun's own type.
    Change {
        rev: u64,
        noun: Noun,
        change: Change,
        #[serde(default)]
        id: Option<u32>,
        #[serde(default)]
        row: Option<serde_json::Value>,
        actor: String,
    },
    /// The live tables as a whole, once a second while anything moves.
    Tick { status: Status, streams: Vec<StreamRow>, clients: Vec<ClientRow> },
    /// A log record.
    Log { record: LogRecord },
    /// A job began, went on or ended; at most four a second of each.
    Job { job: Job },
    /// Nothing happened for 15 s.
    Heartbeat,
    /// Some events were lost because this reader was slow: fetch everything again.
    Resync,
}

/// One log line as kept in the daemon's ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogRecord {
    /// Counts up from 1 at each start.
    pub seq: u64,
    /// Epoch milliseconds.
    pub at_ms: i64,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE`.
    pub level: String,
    pub target: String,
    pub message: String,
    /// Further fields, in order.
    #[serde(default)]
    pub fields: Vec<(String, String)>,
}
