//! Playlists and guides that are fetched on a schedule.

use serde::{Deserialize, Serialize};

use crate::ids::{RuleId, SourceId};

/// A source as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Source {
    pub id: SourceId,
    /// Counts edits; a PATCH with an older one is refused (409).
    pub version: u32,
    /// Unique; made from the host or file name when not given.
    pub name: String,
    pub kind: SourceKind,
    /// `http(s)://…`, an absolute path of a file on the daemon's machine, or `search:WORDS category:NAME` of what the AceStream
    /// engines find. Credentials are masked in replies to
    /// lists; the store keeps them.
    pub url: String,
    pub enabled: bool,
    /// Seconds between refreshes; 0: only by hand.
    pub interval_s: u32,
    /// Upstreams that its channels may have at once, as the provider's account allows; 0: no limit.
    #[serde(default)]
    pub max_upstreams: u32,
    /// How many of them are in use. Filled by the daemon.
    #[serde(default)]
    pub upstreams: u32,
    /// Result of the last refresh that ended.
    #[serde(default)]
    pub last: Option<RefreshReport>,
    /// A refresh that is under way. Filled by the daemon.
    #[serde(default)]
    pub state: RefreshState,
    #[serde(flatten)]
    pub options: SourceOptions,
}

/// What else is said of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct SourceOptions {
    /// Lower ones come first where several sources have the same channel or programme.
    pub priority: u32,
    /// Guides: the zone of times that name none, as `Europe/Rome`; with a leading `!` of all times, whatever offset they
    /// name. Empty: UTC.
    pub zone: String,
    /// Guides: minutes to add to every time.
    pub shift_min: i32,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self { priority: 100, zone: String::new(), shift_min: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    Playlist,
    Guide,
}

impl SourceKind {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Playlist => "playlist",
            Self::Guide => "guide",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RefreshState {
    #[default]
    Idle,
    Queued,
    Running,
}

/// What a refresh did. For a guide, `seen` counts programmes and `added` channels that have any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RefreshReport {
    /// Epoch seconds of its end.
    pub at: i64,
    pub ok: bool,
    /// What went wrong and what to do; none when ok.
    #[serde(default)]
    pub error: Option<String>,
    /// The server said that nothing changed (304), or the content is byte-identical.
    #[serde(default)]
    pub unchanged: bool,
    pub seen: u32,
    pub added: u32,
    pub changed: u32,
    pub retired: u32,
    pub skipped: u32,
    /// The first reasons for skipping, each with its line; at most 20.
    #[serde(default)]
    pub notes: Vec<String>,
    pub millis: u32,
    /// It was read well and held back, because it would change more than the thresholds allow: `error` says which.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Entries that rules left out.
    #[serde(default, skip_serializing_if = "zero")]
    pub excluded: u32,
    /// How many entries each rule touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<(RuleId, u32)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's shape")]
fn zero(n: &u32) -> bool {
    *n == 0
}

/// What a POST carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SourceDraft {
    pub url: String,
    /// When absent told by the address: `.xml` (also packed), `xmltv` and files called epg or guide make a guide, the rest are playlists.
    #[serde(default)]
    pub kind: Option<SourceKind>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub interval_s: Option<u32>,
    #[serde(default)]
    pub enabled: Option<bool>,
    #[serde(default)]
    pub max_upstreams: Option<u32>,
    /// See [`SourceOptions`].
    #[serde(default)]
    pub priority: Option<u32>,
    #[serde(default)]
    pub zone: Option<String>,
    #[serde(default)]
    pub shift_min: Option<i32>,
}

/// What a PATCH carries: absent fields stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SourcePatch {
    /// The version that was read; checked when present.
    pub version: Option<u32>,
    pub name: Option<String>,
    pub url: Option<String>,
    pub enabled: Option<bool>,
    pub interval_s: Option<u32>,
    pub max_upstreams: Option<u32>,
    /// See [`SourceOptions`].
    pub priority: Option<u32>,
    pub zone: Option<String>,
    pub shift_min: Option<i32>,
}
