//! Categories: ordered groups of channels, shown to players as `group-title` and `category_name`.

use serde::{Deserialize, Serialize};

use crate::ids::CategoryId;

/// A category as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Category {
    pub id: CategoryId,
    /// Counts edits; a PATCH with an older one is refused (409).
    pub version: u32,
    /// Unique, case-sensitive.
    pub name: String,
    /// Ascending; ties are broken by id.
    pub position: u32,
    /// Channels that are enabled and not retired. Filled by the daemon, ignored on input.
    #[serde(default)]
    pub channels: u32,
}

/// What a POST carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CategoryDraft {
    pub name: String,
    /// Last when absent.
    #[serde(default)]
    pub position: Option<u32>,
}

/// What a PATCH carries: absent fields stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CategoryPatch {
    /// The version that was read; checked when present.
    pub version: Option<u32>,
    pub name: Option<String>,
    pub position: Option<u32>,
}

/// Body of `POST /api/categories/order`: these come first, in this order; the others follow in theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CategoryOrder {
    pub ids: Vec<u32>,
}

/// Body of `POST /api/categories/{id}/merge`: its channels and the permission to see it go to `into`, and it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CategoryMerge {
    pub into: CategoryId,
}
