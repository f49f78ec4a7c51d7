//! Rows of `changes`, the audit trail, and of `refreshes`, the results of sources' refreshes.
//!
//! Owns their SQL and the bounds of what is kept. Must not enter: what an item means. Invariant: what rows held is sealed;
//! writing functions run inside the caller's transaction.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use yagi_api::{Change, ChangeRow, Noun, RefreshReport, SourceDiff, SourceId};

use super::channels::{from_json, to_json};

/// Bytes of all items together; the oldest lose theirs first, and can be read but not undone then.
const MAX_BYTES: i64 = 256 << 20;
/// Reports that are kept for each source.
const REPORTS: u32 = 50;

/// A step to be kept.
pub struct Step<'a> {
    pub at: i64,
    pub actor: &'a str,
    pub noun: Noun,
    pub change: Change,
    pub row: Option<u32>,
    pub name: &'a str,
    pub rows: u32,
    pub summary: &'a str,
    /// Sealed; none: cannot be undone.
    pub items: Option<Vec<u8>>,
    pub undo_of: Option<u64>,
}

fn word<T: serde::Serialize>(value: T) -> rusqlite::Result<String> {
    Ok(to_json(&value)?.trim_matches('"').to_owned())
}

fn read(row: &Row<'_>) -> rusqlite::Result<ChangeRow> {
    let quoted = |i: usize| -> rusqlite::Result<String> { Ok(format!("\"{}\"", row.get_ref(i)?.as_str()?)) };
    let (undo_of, undone_by): (Option<i64>, Option<i64>) = (row.get(9)?, row.get(10)?);
    Ok(ChangeRow {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        at: row.get(1)?,
        actor: row.get(2)?,
        noun: from_json(3, &quoted(3)?)?,
        change: from_json(4, &quoted(4)?)?,
        row: row.get(5)?,
        name: row.get(6)?,
        rows: row.get(7)?,
        summary: row.get(8)?,
        undoable: row.get::<_, bool>(11)? && undo_of.is_none() && undone_by.is_none(),
        undo_of: undo_of.map(i64::cast_unsigned),
        undone_by: undone_by.map(i64::cast_unsigned),
        items: Vec::new(),
    })
}

const COLUMNS: &str =
    "id, at, actor, noun, change, row, name, rows, summary, undo_of, undone_by, items IS NOT NULL AS undoable";

/// All steps, newest first.
pub fn load(conn: &Connection) -> rusqlite::Result<Vec<ChangeRow>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM changes ORDER BY id DESC"))?.query_map([], read)?.collect()
}

pub fn one(conn: &Connection, id: u64) -> rusqlite::Result<Option<ChangeRow>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM changes WHERE id = ?1"))?
        .query_row([id.cast_signed()], read)
        .optional()
}

/// The step's items as they were sealed.
pub fn items(conn: &Connection, id: u64) -> rusqlite::Result<Option<Vec<u8>>> {
    conn.prepare_cached("SELECT items FROM changes WHERE id = ?1")?
        .query_row([id.cast_signed()], |r| r.get(0))
        .optional()
        .map(Option::flatten)
}

/// The actor's last step that can be taken back.
pub fn last(conn: &Connection, actor: &str) -> rusqlite::Result<Option<u64>> {
    conn.prepare_cached(
        "SELECT max(id) FROM changes WHERE actor = ?1 AND items IS NOT NULL AND undo_of IS NULL AND undone_by IS NULL",
    )?
    .query_row([actor], |r| r.get::<_, Option<i64>>(0))
    .map(|id| id.map(i64::cast_unsigned))
}

/// The step that the actor took back last.
pub fn last_undone(conn: &Connection, actor: &str) -> rusqlite::Result<Option<u64>> {
    conn.prepare_cached(
        "SELECT c.id FROM changes c JOIN changes u ON u.id = c.undone_by WHERE u.actor = ?1 AND c.items IS NOT NULL \
         ORDER BY c.undone_by DESC LIMIT 1",
    )?
    .query_row([actor], |r| r.get::<_, i64>(0))
    .optional()
    .map(|id| id.map(i64::cast_unsigned))
}

/// Ids of steps behind `id` that have items, newest first.
pub fn later(conn: &Connection, id: u64, most: u32) -> rusqlite::Result<Vec<u64>> {
    conn.prepare_cached("SELECT id FROM changes WHERE id > ?1 AND items IS NOT NULL ORDER BY id DESC LIMIT ?2")?
        .query_map(params![id.cast_signed(), most], |r| r.get::<_, i64>(0).map(i64::cast_unsigned))?
        .collect()
}

pub fn insert(tx: &Connection, step: &Step<'_>) -> rusqlite::Result<u64> {
    tx.prepare_cached(
        "INSERT INTO changes (at, actor, noun, change, row, name, rows, summary, items, undo_of) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        step.at,
        step.actor,
        word(step.noun)?,
        word(step.change)?,
        step.row,
        step.name,
        step.rows,
        step.summary,
        step.items,
        step.undo_of.map(u64::cast_signed),
    ])?;
    Ok(tx.last_insert_rowid().cast_unsigned())
}

pub fn set_undone(tx: &Connection, id: u64, by: Option<u64>) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE changes SET undone_by = ?2 WHERE id = ?1")?
        .execute(params![id.cast_signed(), by.map(u64::cast_signed)])
        .map(drop)
}

/// Forgets what is too old or too much.
pub fn prune(tx: &Connection, before: i64, rows: u32) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM changes WHERE at < ?1 OR id <= (SELECT max(id) FROM changes) - ?2")?
        .execute(params![before, rows])?;
    let total: i64 = tx
        .prepare_cached("SELECT coalesce(sum(length(items)), 0) FROM changes WHERE items IS NOT NULL")?
        .query_row([], |r| r.get(0))?;
    if total > MAX_BYTES {
        tx.execute(
            "UPDATE changes SET items = NULL WHERE id IN (SELECT id FROM (SELECT id, sum(length(items)) OVER \
             (ORDER BY id DESC) AS kept FROM changes WHERE items IS NOT NULL) WHERE kept > ?1)",
            [MAX_BYTES],
        )?;
    }
    Ok(())
}

/// Keeps a report among the last ones.
pub fn add_report(tx: &Connection, source: SourceId, report: &RefreshReport) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO refreshes (source, report) VALUES (?1, ?2)")?
        .execute(params![source.0, to_json(report)?])?;
    tx.prepare_cached(
        "DELETE FROM refreshes WHERE source = ?1 AND id NOT IN \
         (SELECT id FROM refreshes WHERE source = ?1 ORDER BY id DESC LIMIT ?2)",
    )?
    .execute(params![source.0, REPORTS])
    .map(drop)
}

/// Keeps what a refresh changed.
pub fn set_diff(tx: &Connection, source: SourceId, diff: &SourceDiff) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE sources SET diff = ?2 WHERE id = ?1")?
        .execute(params![source.0, to_json(diff)?])
        .map(drop)
}

/// Newest first.
pub fn reports(conn: &Connection, source: SourceId) -> rusqlite::Result<Vec<RefreshReport>> {
    conn.prepare_cached("SELECT report FROM refreshes WHERE source = ?1 ORDER BY id DESC")?
        .query_map([source.0], |r| from_json(0, r.get_ref(0)?.as_str()?))?
        .collect()
}

pub fn diff(conn: &Connection, source: SourceId) -> rusqlite::Result<Option<SourceDiff>> {
    conn.prepare_cached("SELECT diff FROM sources WHERE id = ?1")?
        .query_row([source.0], |r| r.get_ref(0)?.as_str_or_null()?.map(|text| from_json(0, text)).transpose())
        .optional()
        .map(Option::flatten)
}
