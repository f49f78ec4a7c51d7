//! Channels: what viewers see and where the picture comes from.

use serde::{Deserialize, Serialize};

use crate::{
    check::{AddressCheck, Check},
    guide::{GuideChannel, GuideMatch, Programme},
    ids::{CategoryId, ChannelId, SourceId},
    stream::{StreamRow, StreamState},
};

/// A channel as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Channel {
    pub id: ChannelId,
    /// Counts edits; a PATCH with an older one is refused (409).
    pub version: u32,
    /// The number on the remote control; unique.
    pub number: u32,
    pub name: String,
    pub category: CategoryId,
    /// Absolute URL or empty.
    pub logo: String,
    /// Id of the channel in XMLTV guides (`tvg-id`), or empty.
    pub guide_id: String,
    /// Where the picture comes from, best first.
    pub sources: Vec<ChannelSource>,
    pub enabled: bool,
    #[serde(default)]
    pub radio: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catchup: Option<Catchup>,
    /// Epoch seconds.
    pub added_at: i64,
    /// The playlist that made it; none for a channel made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<SourceId>,
    /// Epoch seconds since when its playlist no longer lists it; it is hidden from viewers then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<i64>,
    /// Channels with the same key are one channel; empty: it stands alone. Given by rules.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub merge_key: String,
    /// The channel that shows this one's sources as its own; this one is hidden from viewers then. Filled by the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<ChannelId>,
    /// Minutes that its programmes are late (or, negative, early) in the guide.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub guide_shift_min: i16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's shape")]
fn is_zero(n: &i16) -> bool {
    *n == 0
}

impl Channel {
    /// Whether viewers may see it at all (their allowed categories aside).
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.enabled && self.retired_at.is_none() && self.merged_into.is_none()
    }

    /// Whether its picture is made by the daemon itself.
    #[must_use]
    pub fn is_testcard(&self) -> bool {
        self.sources.first().is_some_and(|s| s.url == "testcard:")
    }
}

/// One place a channel's picture can come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelSource {
    /// `http(s)://…`, `acestream://CONTENT_ID`, `acestream:?infohash=HASH` or `testcard:`.
    pub url: String,
    /// Request headers for HTTP upstreams, in order (`User-Agent`, `Referer`, …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}

/// Catch-up facts of a playlist, kept so that they can be written out again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Catchup {
    /// `default`, `append`, `shift`, `flussonic`, `xc`, …
    pub mode: String,
    pub days: u16,
    #[serde(default)]
    pub source: String,
}

/// What a POST carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelDraft {
    pub name: String,
    pub sources: Vec<ChannelSource>,
    /// The next free number when absent.
    #[serde(default)]
    pub number: Option<u32>,
    /// Name of the category, made if there is none of that name; "Uncategorised" when absent.
    #[serde(default)]
    pub category: Option<String>,
    #[serde(default)]
    pub logo: String,
    #[serde(default)]
    pub guide_id: String,
    #[serde(default)]
    pub enabled: Option<bool>,
    #[serde(default)]
    pub radio: bool,
}

/// What a PATCH carries: absent fields stay. A field set here is an administrator's edit and survives refreshes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ChannelPatch {
    /// The version that was read; checked when present.
    pub version: Option<u32>,
    pub number: Option<u32>,
    pub name: Option<String>,
    /// Name of the category, made if there is none of that name.
    pub category: Option<String>,
    pub logo: Option<String>,
    pub guide_id: Option<String>,
    pub sources: Option<Vec<ChannelSource>>,
    pub enabled: Option<bool>,
    pub radio: Option<bool>,
    /// Minutes to add to the guide's times.
    pub guide_shift_min: Option<i16>,
}

/// One row of `GET /api/channels`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChannelRow {
    #[serde(flatten)]
    pub channel: Channel,
    /// With `?facts=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<ChannelFacts>,
}

/// What is known of a channel beside what is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ChannelFacts {
    /// How it finds its programmes, and how sure that is, from 0 to 1.
    pub how: GuideMatch,
    pub score: f32,
    /// The guide's own id of it.
    pub matched_id: Option<String>,
    pub now: Option<Programme>,
    /// What the last check of its first address found.
    pub check: Option<Check>,
    /// Of its running stream.
    pub stream: Option<StreamState>,
    pub clients: u32,
    /// Epoch seconds when a picture came last: to viewers since the daemon's start, or to a check.
    pub last_ok_at: Option<i64>,
}

impl ChannelFacts {
    /// Whether nothing came when it was asked for last.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.stream.is_none()
            && self.check.as_ref().is_some_and(|c| !c.alive && self.last_ok_at.is_none_or(|ok| ok < c.at))
    }
}

/// `GET /api/channels/{id}/detail`: everything that a detail pane shows, in one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChannelDetail {
    pub channel: Channel,
    pub category_name: String,
    /// Name of the playlist that made it.
    #[serde(default)]
    pub origin_name: Option<String>,
    /// How it finds its programmes, and suggestions when it does not.
    pub guide: GuideChannel,
    #[serde(default)]
    pub now: Option<Programme>,
    #[serde(default)]
    pub next: Option<Programme>,
    /// Its running stream.
    #[serde(default)]
    pub stream: Option<StreamRow>,
    /// Why its stream could not be opened or ended last, since the daemon's start.
    #[serde(default)]
    pub last_error: Option<String>,
    /// Epoch seconds of that.
    #[serde(default)]
    pub last_error_at: Option<i64>,
    /// Epoch seconds when it was last seen streaming, since the daemon's start.
    #[serde(default)]
    pub last_ok_at: Option<i64>,
    /// What the last check of each of its addresses found, in their order.
    #[serde(default)]
    pub addresses: Vec<AddressCheck>,
}
