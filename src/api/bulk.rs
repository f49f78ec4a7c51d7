//! Many rows in one step: bulk edits of one noun, and lists of operations over all of them. All or nothing, one undo step.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{change::ChangeItem, error::ErrorCode, event::Noun};

/// `POST /api/channels/bulk`. Rows are chosen by `ids` or by `q` (an empty `q` is every row); exactly one of `set`,
/// `renumber_from` and `delete` says what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ChannelBulk {
    pub ids: Option<Vec<u32>>,
    pub q: Option<String>,
    pub set: Option<ChannelSet>,
    /// Gives the chosen channels this number and the following ones, in the order of `ids`, else of their numbers. Channels
    /// that are not chosen and stand in the way move behind the last of them, keeping their order.
    pub renumber_from: Option<u32>,
    pub delete: bool,
    /// Tells what would happen and changes nothing.
    pub dry_run: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ChannelSet {
    pub enabled: Option<bool>,
    /// Name of the category, made if there is none of that name.
    pub category: Option<String>,
    pub logo: Option<String>,
    pub radio: Option<bool>,
}

/// `POST /api/users/bulk`; see [`ChannelBulk`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UserBulk {
    pub ids: Option<Vec<u32>>,
    pub q: Option<String>,
    pub set: Option<UserSet>,
    /// Days behind the present end, or behind now when that is over; users without an end stay so.
    pub extend_days: Option<u32>,
    pub delete: bool,
    pub dry_run: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UserSet {
    pub enabled: Option<bool>,
    /// `null`: never expires.
    #[serde(deserialize_with = "crate::user::present", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Option<i64>>,
    pub trial: Option<bool>,
    pub max_connections: Option<u32>,
    /// `null`: all categories.
    #[serde(deserialize_with = "crate::user::present", skip_serializing_if = "Option::is_none")]
    pub categories: Option<Option<Vec<String>>>,
}

/// `POST /api/sources/bulk`; see [`ChannelBulk`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SourceBulk {
    pub ids: Option<Vec<u32>>,
    pub q: Option<String>,
    pub set: Option<SourceSet>,
    /// Queues a refresh of each.
    pub refresh: bool,
    pub delete: bool,
    pub dry_run: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SourceSet {
    pub enabled: Option<bool>,
    pub interval_s: Option<u32>,
}

/// `POST /api/categories/bulk`: deletes the chosen ones; their channels become "Uncategorised".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CategoryBulk {
    pub ids: Option<Vec<u32>>,
    pub q: Option<String>,
    pub delete: bool,
    pub dry_run: bool,
}

/// `POST /api/apply`: a list of operations over nouns, all or nothing. They take effect together: channels may swap their
/// numbers, and a category may be deleted whose channels move away in the same list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// At most 50,000.
    pub operations: Vec<Operation>,
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Operation {
    pub op: Op,
    /// `channels`, `categories`, `users` or `sources`.
    pub noun: Noun,
    /// For `update` and `delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// The version that was read; checked when present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The noun's draft for `create`, its patch for `update`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Op {
    Create,
    Update,
    Delete,
}

/// What a bulk edit, an apply, an undo or a redo did, or with `dry_run` would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Applied {
    pub dry_run: bool,
    /// Rows that were chosen, or operations.
    pub matched: u32,
    pub created: u32,
    pub updated: u32,
    pub deleted: u32,
    /// The step of the audit trail, for undo; none when nothing changed.
    #[serde(default)]
    pub change: Option<u64>,
    /// What changed, row by row, at most 1000; the others are counted above.
    pub items: Vec<ChangeItem>,
    /// Only of a dry run; what else has errors is refused with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ItemError>,
    /// Passwords of users that were made, in the order of their operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passwords: Vec<NewPassword>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewPassword {
    pub id: u32,
    pub name: String,
    pub password: String,
}

/// What is wrong with one of many: an operation, or a key of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ItemError {
    /// Index of the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    pub code: ErrorCode,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}
