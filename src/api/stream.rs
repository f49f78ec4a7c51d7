//! What runs now: streams and the clients that hold seats.

use serde::{Deserialize, Serialize};

use crate::{
    health::{StreamHealth, Switch},
    ids::{ChannelId, ClientId, UserId},
};

/// Life cycle of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum StreamState {
    /// The upstream has not given its first bytes.
    Opening,
    Live,
    /// The upstream ended or fell silent; viewers are kept while it is reopened.
    Retrying,
    /// Nobody watches; kept for a moment so that a zap back costs nothing.
    Lingering,
}

impl StreamState {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Opening => "open",
            Self::Live => "ok",
            Self::Retrying => "retry",
            Self::Lingering => "idle",
        }
    }
}

/// One running stream. Rates are averages of the last second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StreamRow {
    /// Stable while the stream runs; the id in paths.
    pub id: u64,
    pub channel: Option<ChannelId>,
    /// The channel's name, or the content id of a stream asked for by `/ace/getstream`.
    pub name: String,
    pub state: StreamState,
    pub clients: u32,
    pub in_bits_per_s: u64,
    pub out_bits_per_s: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
    /// Since the stream was asked for, in seconds.
    pub uptime_s: u64,
    /// Where it comes from, without credentials.
    pub source: String,
    /// Index into the channel's ordered sources.
    pub source_index: u32,
    /// How many sources it can be taken from.
    #[serde(default)]
    pub sources: u32,
    /// Moves to another source since it began, and the last one.
    #[serde(default)]
    pub switches: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_switch: Option<Switch>,
    /// None before the first packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<StreamHealth>,
    /// Milliseconds from the request to the first bytes of the upstream.
    pub first_byte_ms: Option<u32>,
    /// Bytes between the oldest and the newest byte in the ring.
    pub buffer_bytes: u64,
    /// How much play time that is, at the current rate.
    pub buffer_ms: u32,
    pub reconnects: u32,
    /// Clients cut because they made no progress.
    pub dropped_clients: u64,
    /// Sweeps over the clients that keep up, and the system calls of them: one for each client and sweep.
    #[serde(default)]
    pub flushes: u64,
    #[serde(default)]
    pub sends: u64,
    pub last_error: Option<String>,
    /// For AceStream, what the engine says of itself (`status`, peers, speed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Input bits per second of the last 60 s, oldest first, one number per 5 s.
    #[serde(default)]
    pub history: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ClientState {
    /// Waits for the first bytes of the upstream.
    Waiting,
    /// Has been given everything there is.
    Live,
    /// Behind the head of the ring.
    Lagging,
}

/// One connection that holds a seat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientRow {
    pub id: ClientId,
    pub user: Option<UserId>,
    /// Name of the viewer; empty for anonymous ones of configured networks.
    pub name: String,
    pub ip: String,
    pub agent: String,
    pub channel: Option<ChannelId>,
    pub channel_name: String,
    /// It takes the channel's archive from then on (epoch seconds), and not what is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<i64>,
    /// The stream's id, once it has one.
    pub stream: Option<u64>,
    pub state: ClientState,
    pub out_bytes: u64,
    pub out_bits_per_s: u64,
    /// How far behind the head, in milliseconds at the current rate.
    pub lag_ms: u32,
    /// Times it was moved forward because the ring had lapped it.
    pub skips: u32,
    /// Seconds since its request.
    pub since_s: u64,
}
