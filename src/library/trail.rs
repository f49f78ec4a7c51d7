//! What a change did to each row, kept so that it can be read and taken back.
//!
//! Owns the recording of rows before and after, its packing, and how it is shown. Must not enter: applying it (`undo`).
//! Invariant: what is kept is sealed; what is shown holds no password and no login of a URL; memory is bounded however many
//! rows a change touches.

use std::io::{BufRead as _, Read as _, Write as _};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use yagi_api::{ApiError, Change, ChangeItem, ErrorCode, FieldChange, Noun, Settings};

use super::{edit::Fault, image};
use crate::store::{self, Sealer, changes::Step};

/// Rows that are shown of one step.
pub const SHOWN: usize = 1000;
/// Bytes of a step's rows before packing; a larger one is a summary only.
const MAX_BYTES: usize = 128 << 20;

/// One row before and after: the whole row when it was made or deleted, else the fields that differ.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    pub noun: Noun,
    /// 0 for a setting, whose key is its name.
    pub row: u32,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Map<String, Value>>,
}

impl Item {
    fn change(&self) -> Change {
        match (&self.before, &self.after) {
            (None, _) => Change::Created,
            (_, None) => Change::Deleted,
            _ => Change::Updated,
        }
    }

    pub fn shown(&self) -> ChangeItem {
        let keys = |map: &Option<Map<String, Value>>| map.iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
        let mut names = keys(&self.before);
        names
            .extend(keys(&self.after).into_iter().filter(|k| !self.before.as_ref().is_some_and(|b| b.contains_key(k))));
        let value = |map: &Option<Map<String, Value>>, key: &str| {
            map.as_ref().and_then(|m| m.get(key)).map_or(Value::Null, |v| image::shown(key, v))
        };
        let fields = names
            .iter()
            .filter_map(|key| {
                let field = image::field(key)?;
                Some(FieldChange {
                    field: field.to_owned(),
                    before: value(&self.before, key),
                    after: value(&self.after, key),
                })
            })
            .collect();
        ChangeItem {
            noun: self.noun,
            change: self.change(),
            row: (self.row != 0).then_some(self.row),
            name: self.name.clone(),
            fields,
        }
    }
}

/// Counts and first rows of a step.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub created: u32,
    pub updated: u32,
    pub deleted: u32,
    pub items: Vec<ChangeItem>,
}

impl Tally {
    fn rows(&self) -> u32 {
        self.created + self.updated + self.deleted
    }
}

/// The recording of one change.
pub struct Trail {
    on: bool,
    pub tally: Tally,
    packed: Option<zstd::stream::Encoder<'static, Vec<u8>>>,
    bytes: usize,
    /// Says it in other words than the rows do.
    pub summary: Option<String>,
    /// For a step without rows of its own: what it is about.
    pub about: Option<(Noun, u32, String)>,
    pub undo_of: Option<u64>,
}

impl Trail {
    pub fn new(on: bool) -> Self {
        Self { on, tally: Tally::default(), packed: None, bytes: 0, summary: None, about: None, undo_of: None }
    }

    pub fn is_on(&self) -> bool {
        self.on
    }

    /// The line to read of a step. Without rows of its own there is nothing to take back.
    pub fn tells(&mut self, noun: Noun, row: u32, name: &str, summary: &str) {
        self.about = Some((noun, row, name.to_owned()));
        self.summary = Some(summary.to_owned());
    }

    /// Keeps a row; one whose fields are all what they were is none.
    pub fn record(&mut self, item: Item) -> Result<(), Fault> {
        if !self.on || item.before == item.after {
            return Ok(());
        }
        match item.change() {
            Change::Created => self.tally.created += 1,
            Change::Deleted => self.tally.deleted += 1,
            _ => self.tally.updated += 1,
        }
        if self.tally.items.len() < SHOWN {
            self.tally.items.push(item.shown());
        }
        if self.bytes > MAX_BYTES {
            return Ok(());
        }
        let mut line = serde_json::to_vec(&item).map_err(|e| broken(&e.to_string()))?;
        line.push(b'\n');
        self.bytes += line.len();
        if self.bytes > MAX_BYTES {
            self.packed = None;
            return Ok(());
        }
        if self.packed.is_none() {
            self.packed = Some(zstd::stream::Encoder::new(Vec::new(), 1).map_err(|e| broken(&e.to_string()))?);
        }
        if let Some(packed) = &mut self.packed {
            packed.write_all(&line).map_err(|e| broken(&e.to_string()))?;
        }
        Ok(())
    }

    /// Writes the step; none when there is nothing to tell.
    pub fn keep(
        self,
        tx: &Connection,
        sealer: &Sealer,
        actor: &str,
        now: i64,
        settings: &Settings,
    ) -> Result<Option<u64>, Fault> {
        let rows = self.tally.rows();
        if rows == 0 && self.about.is_none() {
            return Ok(None);
        }
        let items = match self.packed {
            Some(packed) => {
                let bytes = packed.finish().map_err(|e| broken(&e.to_string()))?;
                Some(sealer.seal_trail(bytes).map_err(|e| broken(&e.to_string()))?)
            }
            None => None,
        };
        let first = self.tally.items.first();
        let (noun, row, name) = match (self.about, first) {
            (Some((noun, row, name)), _) => (noun, Some(row).filter(|r| *r != 0), name),
            (None, Some(first)) => (first.noun, first.row.filter(|_| rows == 1), first.name.clone()),
            (None, None) => return Ok(None),
        };
        let change = match first {
            Some(first) if rows == 1 => first.change,
            _ => Change::Bulk,
        };
        let summary = self.summary.unwrap_or_else(|| sentence(&self.tally));
        let step = Step {
            at: now,
            actor,
            noun,
            change,
            row,
            name: &name,
            rows,
            summary: &summary,
            items,
            undo_of: self.undo_of,
        };
        let id = store::changes::insert(tx, &step)?;
        if let Some(undone) = self.undo_of {
            // A step that is made again is not undone any more.
            let was = store::changes::one(tx, undone)?.and_then(|s| s.undone_by);
            store::changes::set_undone(tx, undone, was.is_none().then_some(id))?;
        }
        store::changes::prune(tx, now - i64::from(settings.audit_days) * 86_400, settings.audit_rows)?;
        Ok(Some(id))
    }
}

/// `number 7 → 12, enabled yes → no`, or counts when there are many rows.
fn sentence(tally: &Tally) -> String {
    if let ([only], 1) = (tally.items.as_slice(), tally.rows()) {
        return match only.change {
            Change::Created => "created".to_owned(),
            Change::Deleted => "deleted".to_owned(),
            _ => {
                let field = |f: &FieldChange| format!("{} {} → {}", f.field, brief(&f.before), brief(&f.after));
                let text = only.fields.iter().map(field).collect::<Vec<_>>().join(", ");
                yagi_api::text::clean(&text, 300).into_owned()
            }
        };
    }
    let counts = [(tally.created, "created"), (tally.updated, "updated"), (tally.deleted, "deleted")];
    let said: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    said.join(", ")
}

fn brief(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.iter().all(|v| v.is_object()) => format!("{} of them", list.len()),
        other => other.to_string(),
    }
}

fn broken(why: &str) -> Fault {
    ApiError::new(ErrorCode::Internal, format!("the trail of this change cannot be kept: {why}")).into()
}

fn damaged() -> ApiError {
    ApiError::new(ErrorCode::Conflict, "what this step changed cannot be read any more: it was sealed with another key")
}

/// The rows of a step, still packed: 200,000 of them as maps are half a gigabyte.
pub struct Packed(Vec<u8>);

impl Packed {
    pub fn open(sealer: &Sealer, sealed: &[u8]) -> Result<Self, ApiError> {
        sealer.unseal_trail(sealed).map(Self).ok_or_else(damaged)
    }

    /// One after the other, as often as it takes.
    pub fn items(&self) -> Result<impl Iterator<Item = Result<Item, ApiError>> + use<'_>, ApiError> {
        let text = zstd::stream::Decoder::new(self.0.as_slice()).map_err(|_| damaged())?;
        let text = std::io::BufReader::new(text.take(MAX_BYTES as u64 + 1));
        let item = |line: std::io::Result<String>| {
            line.ok().and_then(|line| serde_json::from_str(&line).ok()).ok_or_else(damaged)
        };
        Ok(text.lines().map(item))
    }
}

/// The first rows of a step, as they were sealed.
pub fn open(sealer: &Sealer, sealed: &[u8], most: usize) -> Result<Vec<Item>, ApiError> {
    Packed::open(sealer, sealed)?.items()?.take(most).collect()
}
