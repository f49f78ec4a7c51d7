//! Lists: the daemon pages, filters and sorts, so that 200,000 channels cost a client one screen.

use serde::{Deserialize, Serialize};

/// Reply to a list request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Page<T> {
    /// Revision of the line-up that the rows are from.
    pub rev: u64,
    /// Rows that match, on all pages.
    pub total: u32,
    pub rows: Vec<T>,
}

/// Query of a list request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Terms separated by blanks, all must match: `text`, `!text`, `field:text`. Case is ignored.
    pub q: String,
    /// A field's name, descending with a leading `-`.
    pub sort: String,
    pub offset: u32,
    /// At most 1000; 100 when absent.
    pub limit: u32,
}

impl Default for Query {
    fn default() -> Self {
        Self { q: String::new(), sort: String::new(), offset: 0, limit: 100 }
    }
}
