//! Checks: whether a channel's picture comes, and what it is.

use serde::{Deserialize, Serialize};

/// What a check of one address found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// Epoch seconds of its end.
    pub at: i64,
    pub alive: bool,
    /// Why not; empty when alive.
    #[serde(default)]
    pub error: String,
    /// `h264`, `hevc`, `mpeg2`, or empty.
    #[serde(default)]
    pub video: String,
    /// `aac`, `mp2`, `ac3`, `eac3`, or empty.
    #[serde(default)]
    pub audio: String,
    /// Pixels; 0 when the stream did not tell in time.
    #[serde(default)]
    pub width: u16,
    #[serde(default)]
    pub height: u16,
    #[serde(default)]
    pub bits_per_s: u64,
    #[serde(default)]
    pub first_byte_ms: u32,
}

impl Check {
    /// What rules see: `alive h264 aac 1080`, `dead`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = vec![if self.alive { "alive" } else { "dead" }.to_owned()];
        words.extend([&self.video, &self.audio].into_iter().filter(|w| !w.is_empty()).cloned());
        if self.height > 0 {
            words.push(self.height.to_string());
        }
        words.join(" ")
    }
}

/// Body of `POST /api/checks`: which channels to check; neither: every listed one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CheckRequest {
    pub ids: Option<Vec<u32>>,
    /// The same as of lists of channels.
    pub q: Option<String>,
    /// Every address of them, one after another, not only the first.
    pub all: bool,
}

/// One row of `GET /api/checks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckRow {
    pub id: crate::ids::ChannelId,
    pub name: String,
    /// Which of its addresses; 0 is the first.
    #[serde(default)]
    pub address: u32,
    pub check: Check,
}

/// What is known of one address of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AddressCheck {
    /// Without credentials.
    pub url: String,
    /// None: it was never checked, or long ago.
    #[serde(default)]
    pub check: Option<Check>,
}

/// `GET /api/checks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Checks {
    /// Addresses that wait for their check, and those that are checked just now.
    pub waiting: u32,
    pub running: u32,
    pub total: u64,
    pub rows: Vec<CheckRow>,
}
