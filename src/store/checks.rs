//! Rows of `checks`: what was found of an address, by its digest.
//!
//! Owns their SQL. Must not enter: addresses. Invariant: old results are dropped, so that a churning playlist does not grow the table
//! for ever.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use yagi_api::Check;

use super::channels::{from_json, to_json};

const KEPT_S: i64 = 90 * 86_400;

pub fn load(conn: &Connection) -> rusqlite::Result<HashMap<u64, Check>> {
    conn.prepare("SELECT path_key, result FROM checks")?
        .query_map([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), from_json(1, row.get_ref(1)?.as_str()?)?)))?
        .collect()
}

pub fn put(tx: &Connection, key: u64, check: &Check) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO checks (path_key, at, result) VALUES (?1, ?2, ?3)")?.execute(params![
        key.cast_signed(),
        check.at,
        to_json(check)?
    ])?;
    tx.prepare_cached("DELETE FROM checks WHERE at < ?1")?.execute([check.at - KEPT_S]).map(drop)
}
