//! The AceStream engines of the daemon.

use serde::{Deserialize, Serialize};

/// How an engine is thought of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum EngineState {
    /// Not asked yet.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It failed a moment ago and gets no new session before the given time, unless no other is left.
    Resting,
    /// It does not answer.
    Down,
}

impl EngineState {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Resting => "resting",
            Self::Down => "down",
        }
    }
}

/// One engine. `GET /api/engines`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EngineRow {
    /// Its place in the configuration, from 1.
    pub id: u32,
    /// `host:port`.
    pub name: String,
    /// Without credentials.
    pub url: String,
    pub state: EngineState,
    /// As the engine told it last.
    pub version: Option<String>,
    /// Sessions that are open or being opened.
    pub sessions: u32,
    /// Sessions it may have; 0: no limit.
    pub capacity: u32,
    pub last_error: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// Seconds until it gets new sessions again; 0 when it does now.
    pub resting_s: u32,
}
