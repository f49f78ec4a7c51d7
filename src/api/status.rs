//! The daemon in one look.

use serde::{Deserialize, Serialize};

/// `GET /api/hello`: first request of every client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version: String,
    /// Major version of this API; clients refuse another.
    pub api: u32,
    /// Differs after each start of the daemon.
    pub boot_id: String,
    /// Whether this connection may change things.
    pub write: bool,
    pub host: String,
}

/// `GET /api/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub uptime_s: u64,
    pub listen: Vec<String>,
    pub streams: u32,
    pub clients: u32,
    pub in_bits_per_s: u64,
    pub out_bits_per_s: u64,
    pub out_bytes: u64,
    pub channels: u32,
    pub users: u32,
    pub sources: u32,
    /// Streams that ended by a panic since the start.
    pub panics: u64,
    pub rss_bytes: u64,
    /// Revision of the line-up; grows with every change.
    pub rev: u64,
}
