//! A look at a URL before it becomes a source, and what a source's last refresh changed.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ChannelId, SourceId},
    source::SourceKind,
};

/// Body of `POST /api/sources/probe`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    pub url: String,
}

/// What was found. A URL that cannot be read is a success of the request with `ok` false and `error` in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Probe {
    pub ok: bool,
    /// By its content, not by its name.
    pub kind: Option<SourceKind>,
    /// The name that a source of this URL would get.
    pub name: String,
    /// Bytes over the wire.
    pub bytes: u64,
    /// Channels of a playlist.
    pub entries: u32,
    pub skipped: u32,
    /// Groups of a playlist with their channels, largest first, at most 100; `group_total` counts them all.
    pub groups: Vec<ProbeGroup>,
    pub group_total: u32,
    /// Guides that the playlist's header names, credentials included: they can be added as sources.
    pub guide_urls: Vec<String>,
    /// Of a guide.
    pub guide_channels: u32,
    pub programmes: u32,
    /// Names of the first channels, at most 10.
    pub sample: Vec<String>,
    /// The first things that were passed over, each with its line.
    pub notes: Vec<String>,
    /// What went wrong and what to do.
    pub error: Option<String>,
    /// A source that has this URL already.
    pub exists: Option<SourceId>,
    pub millis: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProbeGroup {
    pub name: String,
    pub channels: u32,
}

/// `GET /api/sources/{id}/diff`: what the last refresh that changed anything changed. Each list has at most 500 rows; the
/// totals count all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SourceDiff {
    /// Epoch seconds of its end; none before the first.
    pub at: Option<i64>,
    pub added_total: u32,
    pub changed_total: u32,
    pub retired_total: u32,
    pub added: Vec<DiffRow>,
    pub changed: Vec<DiffRow>,
    pub retired: Vec<DiffRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DiffRow {
    pub id: ChannelId,
    pub name: String,
    /// Of a changed row the fields: `name`, `sources`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}
