//! The programme guide.

use serde::{Deserialize, Serialize};

/// One programme. Times are epoch seconds, `start < stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
