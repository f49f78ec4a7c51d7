//! Long work: what is done, what is left, and how it ended.

use serde::{Deserialize, Serialize};

use crate::{ids::SourceId, source::RefreshReport};

/// One refresh of a playlist or guide, or a run of checks. Finished ones are kept for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Job {
    /// Unique while the daemon runs.
    pub id: u64,
    /// Name of the source, or `checks`.
    pub name: String,
    /// None: it is a run of checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceId>,
    pub state: JobState,
    /// What it does at this moment: `waiting`, `downloading`, `reading`, `applying`, `checking`.
    pub step: String,
    /// Of the step, in `unit`.
    pub done: u64,
    /// When it is known.
    #[serde(default)]
    pub total: Option<u64>,
    /// `bytes`, `entries`, `programmes` or `addresses`.
    pub unit: String,
    /// Epoch seconds.
    pub started_at: i64,
    pub elapsed_ms: u64,
    /// Who asked: `name(uid)`, or `schedule`.
    pub actor: String,
    /// When it ended; not of checks.
    #[serde(default)]
    pub report: Option<RefreshReport>,
    /// What it found so far, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub told: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

impl JobState {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}
