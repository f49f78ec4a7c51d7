//! Rows of `settings`, and the revision of the whole.
//!
//! Owns their SQL. Must not enter: meanings, ranges. Invariant: a key that is not here has its default.

use rusqlite::{Connection, params};

pub fn load(conn: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    conn.prepare("SELECT key, value FROM settings ORDER BY key")?
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect()
}

/// `value` is JSON.
pub fn set(tx: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO settings VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        params![key, value],
    )
    .map(drop)
}

pub fn unset(tx: &Connection, key: &str) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM settings WHERE key = ?1", [key]).map(drop)
}

pub fn rev(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row("SELECT rev FROM meta", [], |r| r.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// Counts a change; part of the transaction that makes it.
pub fn next_rev(tx: &Connection) -> rusqlite::Result<u64> {
    tx.prepare_cached("UPDATE meta SET rev = rev + 1 RETURNING rev")?
        .query_row([], |r| r.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}
