//! Why streams leave their sources, and what is seen of a stream without decoding it.

use serde::{Deserialize, Serialize};

/// Why a stream left a source, or would leave it if it had a better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An administrator wanted another source.
    Asked,
    /// It ended in order.
    Ended,
    /// It broke off.
    Reset,
    /// Nothing came for too long.
    Silent,
    /// It could not be reached.
    Unreachable,
    /// It answered 4xx or 5xx.
    Status,
    /// What came is no MPEG-TS: a web page, text, rubbish.
    NotMedia,
    /// The AceStream engine refused, or none is free.
    Engine,
    /// The command failed.
    Command,
    /// The provider's account has no place left.
    NoPlace,
    /// The daemon's own rules refuse the address.
    Refused,
    /// Its bit rate fell far below what it had been.
    Rate,
    /// Its picture's packets stopped.
    Video,
    /// Its sound's packets stopped.
    Audio,
    /// Packets come, but their time stands still.
    Frozen,
}

impl Fault {
    pub const ALL: [Self; 15] = [
        Self::Asked,
        Self::Ended,
        Self::Reset,
        Self::Silent,
        Self::Unreachable,
        Self::Status,
        Self::NotMedia,
        Self::Engine,
        Self::Command,
        Self::NoPlace,
        Self::Refused,
        Self::Rate,
        Self::Video,
        Self::Audio,
        Self::Frozen,
    ];

    /// As it is in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Ended => "ended",
            Self::Reset => "reset",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::Status => "status",
            Self::NotMedia => "not_media",
            Self::Engine => "engine",
            Self::Command => "command",
            Self::NoPlace => "no_place",
            Self::Refused => "refused",
            Self::Rate => "rate",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Frozen => "frozen",
        }
    }

    /// For people: `video gone`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Asked => "asked for",
            Self::Ended => "ended",
            Self::Reset => "broke off",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::Status => "refused by the source",
            Self::NotMedia => "no MPEG-TS",
            Self::Engine => "engine",
            Self::Command => "command failed",
            Self::NoPlace => "no place left",
            Self::Refused => "not allowed",
            Self::Rate => "bit rate collapsed",
            Self::Video => "video gone",
            Self::Audio => "audio gone",
            Self::Frozen => "time stands still",
        }
    }
}

/// A stream's move from one source to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Switch {
    /// Epoch seconds of the first bytes of the new source.
    pub at: i64,
    /// Indexes into the channel's ordered sources.
    pub from: u32,
    pub to: u32,
    pub cause: Fault,
    /// The cause in words.
    #[serde(default)]
    pub detail: String,
    /// Milliseconds from the moment that the fault was seen (or the move asked for) to the new source's first picture.
    #[serde(default)]
    pub took_ms: u32,
}

/// The body of `POST /api/streams/{id}/failover`; it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FailoverRequest {
    /// Index into the channel's ordered sources, from 0; the next one when absent.
    pub source: Option<u32>,
}

/// What the packets of a stream say, read as they pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct StreamHealth {
    /// What is wrong with the source in use, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Bits per second of the source lately, and what is usual for it; none before it has run for a while.
    pub bits_per_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usual_bits_per_s: Option<u64>,
    /// Since the stream began: jumps of counters that nothing announced, scrambled packets, bytes that belong to no packet.
    pub continuity_errors: u64,
    pub scrambled: u64,
    pub stray_bytes: u64,
    /// How unevenly the clock's references arrive, in microseconds: smoothed as RTP receivers do, and the worst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcr_jitter_us: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcr_jitter_worst_us: Option<u32>,
    /// Milliseconds between random-access points: the last, and the longest of this source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_longest_ms: Option<u32>,
    /// Milliseconds since the last packet of the picture and of the sound, and since the media time moved; none: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_age_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_age_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pts_age_ms: Option<u32>,
    /// The largest ones, at most 32.
    pub pids: Vec<PidHealth>,
}

/// One PID of the source in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PidHealth {
    pub pid: u16,
    /// `stream_type` of its programme's table; 0: it is in none.
    pub stream_type: u8,
    /// `h264`, `aac`, `PAT`, `PMT`, `null`; empty when it is not known.
    pub kind: String,
    pub bits_per_s: u64,
    pub continuity_errors: u64,
    pub scrambled: u64,
}
