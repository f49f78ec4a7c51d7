//! Rules that a playlist's entries pass on their way to channels.

use serde::{Deserialize, Serialize};

use crate::ids::{RuleId, SourceId};

/// A rule as stored. Rules run in the order of `position`, those of one source among those for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rule {
    pub id: RuleId,
    /// Counts edits; a PATCH with an older one is refused (409).
    pub version: u32,
    pub position: u32,
    pub name: String,
    /// The playlist whose entries it sees; none: every playlist's.
    #[serde(default)]
    pub source: Option<SourceId>,
    pub enabled: bool,
    /// All must hold; none: every entry.
    #[serde(default)]
    pub when: Vec<Condition>,
    pub then: Action,
}

/// `field` and a regular expression that must (or with `not` must not) be found in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// `name`, `group`, `guide_id`, `logo`, `url`, `number`, `radio`, `quality`, `check`, or `attr:NAME` for an attribute of the
    /// playlist. `quality` holds the words read out of the name (`fhd hevc`), `check` those of the last check (`alive h264 1080`).
    pub field: String,
    /// Case is ignored; `(?-i)` heeds it.
    pub matches: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not: bool,
}

/// What a rule does with an entry on which its conditions hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Action {
    /// Keeps it, whatever later rules exclude. Where there is an include rule, entries that none includes are left out.
    Include,
    /// Leaves it out, unless an earlier rule included it.
    Exclude,
    /// Another name: `find` (a regular expression) replaced by `to`; without `find` the whole name is `to`. `$1` and `$name`
    /// are captures: of `find`, or without it of the first condition.
    Rename {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        find: Option<String>,
        to: String,
    },
    /// Another group, in the same way.
    Regroup {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        find: Option<String>,
        to: String,
    },
    /// Numbers from here on: a channel that has one of the block keeps it, others get the next free one.
    Renumber {
        from: u32,
        /// Last number of the block; absent: `from` + 9999.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<u32>,
    },
    /// One channel of all that have the same key, whatever playlist they come from: their addresses become its sources, the
    /// best picture first, then by the playlists' priority. Without `key` it is the name without case, accents and words of quality.
    Merge {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
}

impl Action {
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Include => "include",
            Self::Exclude => "exclude",
            Self::Rename { .. } => "rename",
            Self::Regroup { .. } => "regroup",
            Self::Renumber { .. } => "renumber",
            Self::Merge { .. } => "merge",
        }
    }
}

/// What a POST carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleDraft {
    /// Made of the action when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Behind the others when absent.
    #[serde(default)]
    pub position: Option<u32>,
    #[serde(default)]
    pub source: Option<SourceId>,
    #[serde(default)]
    pub enabled: Option<bool>,
    #[serde(default)]
    pub when: Vec<Condition>,
    pub then: Action,
}

/// What a PATCH carries: absent fields stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RulePatch {
    /// The version that was read; checked when present.
    pub version: Option<u32>,
    pub name: Option<String>,
    pub position: Option<u32>,
    /// `null`: every playlist.
    #[serde(deserialize_with = "crate::user::present", skip_serializing_if = "Option::is_none")]
    pub source: Option<Option<SourceId>>,
    pub enabled: Option<bool>,
    pub when: Option<Vec<Condition>>,
    pub then: Option<Action>,
}

/// Body of `POST /api/rules/preview`: runs the stored rules, or these in their place, over the playlists' entries as they were
/// last downloaded, and changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RulePreview {
    /// Instead of all stored ones, in this order.
    pub rules: Option<Vec<RuleDraft>>,
    /// One more, behind the others (or at its `position`).
    pub add: Option<RuleDraft>,
    /// Only this playlist; absent: each of them.
    pub source: Option<SourceId>,
    /// Rows to show of each rule (5, at most 100).
    pub limit: Option<u32>,
}

/// What a preview found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PreviewDone {
    pub entries: u32,
    pub kept: u32,
    pub excluded: u32,
    pub changed: u32,
    /// Channels that merging would leave.
    pub channels: u32,
    pub rules: Vec<PreviewRule>,
    /// Playlists whose text is not there: they were not refreshed since rules exist, or it was too large to keep.
    pub missing: Vec<SourceId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PreviewRule {
    /// None for a rule that is not stored.
    #[serde(default)]
    pub id: Option<RuleId>,
    pub name: String,
    /// Entries on which its conditions held.
    pub matched: u32,
    /// Entries that it changed, left out or, for an include, kept.
    pub touched: u32,
    pub rows: Vec<PreviewRow>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PreviewRow {
    pub source: SourceId,
    pub line: u32,
    /// Name, group and number before and after this rule; empty `after`: left out.
    pub before: String,
    pub after: String,
}
