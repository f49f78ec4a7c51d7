//! Generations of the line-up: what a refresh changes, what is held back, and the way back.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ChannelId, SourceId},
    source::RefreshReport,
};

/// One row of `GET /api/lineup`: a playlist and its generations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lineup {
    pub source: SourceId,
    pub name: String,
    /// The generation that is in force; 0 before the first.
    pub generation: u32,
    /// Newest first; each can be left by a rollback to the one before.
    pub generations: Vec<Generation>,
    /// A download that was not applied because it looks broken.
    #[serde(default)]
    pub held: Option<Held>,
}

/// What one refresh, accept or rollback made of a playlist's channels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Generation {
    pub number: u32,
    /// Epoch seconds.
    pub at: i64,
    /// `refresh`, `accept` or `rollback to N`.
    pub cause: String,
    /// Channels that were listed afterwards.
    pub listed: u32,
    pub added: u32,
    pub changed: u32,
    pub retired: u32,
}

/// A download that waits for somebody's decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Held {
    /// Epoch seconds of the download.
    pub at: i64,
    /// Which threshold was passed, and by how much.
    pub reason: String,
    /// Whether the text was kept: `accept` applies just that. Else `accept` downloads again.
    pub kept: bool,
    /// It came through a public host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
}

/// `GET /api/lineup/{source}/plan`: what applying the held download, or with `?fetch=true` a fresh one, would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LineupPlan {
    pub source: SourceId,
    /// Of the held download; false: of a fresh one.
    pub held: bool,
    /// Which threshold it passes, if any: a refresh would hold it back.
    #[serde(default)]
    pub reason: Option<String>,
    /// Channels that are listed now, and that would be.
    pub before: u32,
    pub after: u32,
    pub added: u32,
    pub removed: u32,
    /// Another category or number.
    pub moved: u32,
    pub renamed: u32,
    /// Other addresses of the picture.
    pub resourced: u32,
    /// Only a logo, guide id, catch-up fact or the like.
    pub touched: u32,
    /// Left out by rules.
    pub excluded: u32,
    /// At most 1000 of them.
    pub rows: Vec<PlanRow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PlanChange {
    Added,
    Removed,
    Moved,
    Renamed,
    Resourced,
    Touched,
}

impl PlanChange {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Moved => "moved",
            Self::Renamed => "renamed",
            Self::Resourced => "resourced",
            Self::Touched => "touched",
        }
    }
}

/// One channel and everything that would happen to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanRow {
    pub changes: Vec<PlanChange>,
    /// None for a new one.
    #[serde(default)]
    pub id: Option<ChannelId>,
    #[serde(default)]
    pub number: Option<u32>,
    /// As it is now; empty for a new one.
    pub before: String,
    /// As it would be; empty for a removed one.
    pub after: String,
    pub group_before: String,
    pub group_after: String,
}

/// Body of `POST /api/lineup/{source}/rollback`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Rollback {
    /// The generation to go back to; absent: the one before the present one.
    pub to: Option<u32>,
}

/// What an accept or a rollback did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LineupDone {
    pub source: SourceId,
    /// The generation that is in force now.
    pub generation: u32,
    pub report: RefreshReport,
}
