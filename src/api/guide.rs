//! The programme guide.

use serde::{Deserialize, Serialize};

use crate::ids::{ChannelId, SourceId};

/// One programme. Times are epoch seconds, `start < stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Programme {
    pub start: i64,
    pub stop: i64,
    pub title: String,
    #[serde(default)]
    pub subtitle: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub category: String,
    #[serde(default)]
    pub icon: String,
    /// ISO 639 code of the title, or empty.
    #[serde(default)]
    pub lang: String,
}

/// `GET /api/guide`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GuideStatus {
    /// Counts swaps; 0 before the first guide.
    pub generation: u64,
    /// Channels in the guide's files.
    pub channels: u32,
    pub programmes: u32,
    /// Channels of the line-up that have programmes, and that have none.
    pub matched: u32,
    pub unmatched: u32,
    /// Epoch seconds of the first start and the last stop.
    pub from: Option<i64>,
    pub until: Option<i64>,
    /// Epoch seconds of the build.
    pub built_at: Option<i64>,
}

/// One row of `GET /api/guide/channels`: a listed channel and where its programmes come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GuideChannel {
    pub id: ChannelId,
    /// Of the channel's row, for a PATCH of `guide_id`.
    pub version: u32,
    pub number: u32,
    pub name: String,
    /// Name of the category.
    pub category: String,
    pub guide_id: String,
    pub how: GuideMatch,
    /// 1 for an id, and for a name that is the same; less for one that is only alike; 0 for none.
    pub score: f32,
    /// The guide's own id and name of the channel, and the source they come from.
    #[serde(default)]
    pub matched_id: Option<String>,
    #[serde(default)]
    pub matched_name: Option<String>,
    #[serde(default)]
    pub source: Option<SourceId>,
    /// For a channel without programmes, best first, at most 5.
    #[serde(default)]
    pub suggestions: Vec<Suggestion>,
    /// With `?now=true`.
    #[serde(default)]
    pub now: Option<Programme>,
    #[serde(default)]
    pub next: Option<Programme>,
}

/// How a channel found its programmes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum GuideMatch {
    /// It did not.
    #[default]
    None,
    /// By its `guide_id`.
    Id,
    /// By a guide id that was given by hand to a channel of the same name.
    Learned,
    /// By its name.
    Name,
    /// The daemon makes them itself.
    Testcard,
}

impl GuideMatch {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Id => "id",
            Self::Learned => "learned",
            Self::Name => "name",
            Self::Testcard => "testcard",
        }
    }
}

/// A channel of the guide whose name is like the channel's. Accepted by a PATCH of `guide_id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Suggestion {
    pub guide_id: String,
    pub name: String,
    pub source: SourceId,
    /// 0 to 1.
    pub score: f32,
}

/// Body of `POST /api/guide/accept`: gives unmatched channels the `guide_id` of their best suggestion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct GuideAccept {
    /// 0.5 to 1.
    pub min_score: f32,
    /// Only these, if they have no programmes; absent, and no `q`: all that have none.
    pub ids: Option<Vec<u32>>,
    /// Only those that these terms match, as in `GET /api/guide/channels`.
    pub q: Option<String>,
    pub dry_run: bool,
}

impl Default for GuideAccept {
    fn default() -> Self {
        Self { min_score: 0.9, ids: None, q: None, dry_run: false }
    }
}

/// `GET /api/channels/{id}/explain`: where a channel and its programmes come from, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explain {
    pub id: ChannelId,
    pub name: String,
    /// Words of quality that were read out of the name.
    pub quality: String,
    /// Id under which it appears in playlists and guides.
    pub output_id: String,
    /// Name of the playlist that made it.
    #[serde(default)]
    pub origin: Option<String>,
    /// Fields that an administrator edited: refreshes and rules leave them alone.
    pub edited: Vec<String>,
    /// Channels whose sources it shows too, or the one that shows its.
    pub merged: Vec<ChannelId>,
    #[serde(default)]
    pub merged_into: Option<ChannelId>,
    /// What its guide comes from, first the one whose programmes are shown; the others fill gaps and empty fields.
    pub guide: Vec<ExplainGuide>,
    /// Minutes that are added to the guide's times.
    pub shift_min: i16,
    /// What the last check of its first address found.
    #[serde(default)]
    pub check: Option<crate::check::Check>,
    /// The same of each address, in their order.
    #[serde(default)]
    pub addresses: Vec<crate::check::AddressCheck>,
}

/// One channel of one guide that a channel matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExplainGuide {
    pub source: SourceId,
    pub source_name: String,
    pub priority: u32,
    pub guide_id: String,
    pub name: String,
    pub how: GuideMatch,
    /// From 0 to 1.
    pub score: f32,
    pub programmes: u32,
}
