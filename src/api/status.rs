//! The daemon in one look.

use serde::{Deserialize, Serialize};

use crate::access::Role;

/// `GET /api/hello`: first request of every client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hello {
    pub version: String,
    /// Major version of this API; clients refuse another.
    pub api: u32,
    /// Differs after each start of the daemon.
    pub boot_id: String,
    /// Whether this connection may change things.
    pub write: bool,
    pub host: String,
    /// What this caller may do.
    #[serde(default)]
    pub role: Role,
    /// Who the daemon takes the caller for: `name(uid)`.
    #[serde(default)]
    pub actor: String,
}

/// `GET /api/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status {
    pub version: String,
    pub uptime_s: u64,
    /// Addresses and ports; those of TLS as `https://ADDRESS:PORT`.
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
    /// Time on a processor, of a core's, in the last second: 1000 is one core.
    #[serde(default)]
    pub cpu_permille: u32,
    /// Revision of the line-up; grows with every change.
    pub rev: u64,
}

/// `POST /api/reload`, and what SIGHUP logs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reload {
    /// The file that was read; none: there is none.
    pub file: Option<String>,
    pub changed: Vec<ReloadedKey>,
}

/// A key of the configuration whose value is another one now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReloadedKey {
    pub key: String,
    pub before: serde_json::Value,
    pub after: serde_json::Value,
    /// False: takes effect at the next start.
    pub applied: bool,
}

/// Body of `POST /api/backup`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BackupRequest {
    /// Absolute path of a new file on the daemon's machine; absent: `backups/yagid-DATE.db` in the state directory.
    pub path: Option<String>,
}

/// Reply to `POST /api/backup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Backup {
    pub path: String,
    pub bytes: u64,
    pub millis: u32,
}

/// `GET` and `PUT /api/logs/filter`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogFilter {
    /// A level, or a list such as `info,yagid::upstream=debug`.
    pub filter: String,
    /// The configuration's, which comes back at the next start; ignored on input.
    #[serde(default)]
    pub configured: String,
}
