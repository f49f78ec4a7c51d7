//! Who changed what: the audit trail, undo and redo.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Change, Noun};

/// One step of the trail: an edit, a bulk edit, an apply, an undo, or the summary of a refresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangeRow {
    pub id: u64,
    /// Epoch seconds.
    pub at: i64,
    /// `name(uid)`, or `refresh`.
    pub actor: String,
    /// The noun of the first row.
    pub noun: Noun,
    /// `bulk` when more than one row was touched.
    pub change: Change,
    /// The row, when it is one.
    #[serde(default)]
    pub row: Option<u32>,
    /// Name of the first row, or of the setting.
    pub name: String,
    /// Rows that were touched.
    pub rows: u32,
    /// One sentence for people: `number 7 → 12`.
    pub summary: String,
    /// Whether `POST /api/undo {"id":…}` can be tried.
    pub undoable: bool,
    /// The step that took this one back.
    #[serde(default)]
    pub undone_by: Option<u64>,
    /// The step that this one took back or, for a redo, made again.
    #[serde(default)]
    pub undo_of: Option<u64>,
    /// What changed, row by row; only in `GET /api/changes/{id}`, at most 1000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ChangeItem>,
}

/// What happened to one row. Passwords and credentials in URLs are masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangeItem {
    pub noun: Noun,
    /// `created`, `updated` or `deleted`.
    pub change: Change,
    /// None for a setting, and for a row that a dry run would make.
    #[serde(default)]
    pub row: Option<u32>,
    pub name: String,
    pub fields: Vec<FieldChange>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldChange {
    pub field: String,
    /// `null` in a row that was created.
    pub before: Value,
    /// `null` in a row that was deleted.
    pub after: Value,
}

/// Body of `POST /api/undo` and `POST /api/redo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UndoRequest {
    /// Absent: the caller's own last step that can be taken back (or made again).
    pub id: Option<u64>,
}
