//! What a caller of the admin API may do, and addresses that may not ask anything for a while.

use serde::{Deserialize, Serialize};

/// Each may do what those before it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads, and sees no password.
    Viewer,
    /// Acts on streams, clients and refreshes.
    Operator,
    /// Everything.
    #[default]
    Admin,
}

/// An address that is refused on every public path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Block {
    pub ip: String,
    /// Epoch seconds.
    pub since: i64,
    pub until: i64,
    pub reason: String,
    pub actor: String,
    /// Requests that were refused since.
    pub refused: u64,
}

/// Body of `POST /api/blocks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BlockDraft {
    pub ip: String,
    /// 1 to 604800; 600 when absent.
    #[serde(default)]
    pub seconds: Option<u32>,
    #[serde(default)]
    pub reason: String,
}

/// Body of `POST /api/clients/{id}/block`: ends the client and blocks its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ClientBlock {
    /// 1 to 604800; 600 when absent.
    pub seconds: Option<u32>,
    pub reason: String,
}
