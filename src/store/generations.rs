//! Rows of `generations`, what their channels were before, and held downloads.
//!
//! Owns their SQL and the packing of channels' former states. Must not enter: what a rollback means. Invariant: a generation and
//! the former states of what it changed are written by the transactions that make the change, so that no crash parts them.

use std::io::{self, Read as _};

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use yagi_api::{Channel, ChannelId, Generation, Held, SourceId};

use super::channels::{Keys, from_json, to_json};

/// What a channel was before a generation changed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Former {
    pub id: ChannelId,
    /// None: it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Channel>,
    #[serde(default)]
    pub edited: u16,
    /// Only when the generation changed them, or deleted the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<(u64, u64)>,
}

impl Former {
    pub fn keys(&self) -> Option<Keys> {
        self.keys.map(|(path, name)| Keys { path, name })
    }
}

/// Newest first.
pub fn of_source(conn: &Connection, source: SourceId) -> rusqlite::Result<Vec<Generation>> {
    conn.prepare_cached("SELECT report FROM generations WHERE source = ?1 ORDER BY number DESC")?
        .query_map([source.0], |row| from_json(0, row.get_ref(0)?.as_str()?))?
        .collect()
}

pub fn load(conn: &Connection) -> rusqlite::Result<Vec<(SourceId, Generation)>> {
    conn.prepare("SELECT source, report FROM generations ORDER BY source, number DESC")?
        .query_map([], |row| Ok((SourceId(row.get(0)?), from_json(1, row.get_ref(1)?.as_str()?)?)))?
        .collect()
}

/// Writes or overwrites its facts.
pub fn put(tx: &Connection, source: SourceId, generation: &Generation) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO generations (source, number, report) VALUES (?1, ?2, ?3) \
         ON CONFLICT (source, number) DO UPDATE SET report = excluded.report",
    )?
    .execute(params![source.0, generation.number, to_json(generation)?])
    .map(drop)
}

/// Drops all but the newest `keep`.
pub fn prune(tx: &Connection, source: SourceId, keep: u32) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "DELETE FROM generations WHERE source = ?1 AND number <= (SELECT max(number) FROM generations WHERE source = ?1) - ?2",
    )?
    .execute(params![source.0, keep])
    .map(drop)
}

/// Adds former states to a generation.
pub fn remember(tx: &Connection, source: SourceId, number: u32, formers: &[Former]) -> rusqlite::Result<()> {
    if formers.is_empty() {
        return Ok(());
    }
    let packed = pack(formers).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    tx.prepare_cached("INSERT INTO generation_rows (source, number, rows) VALUES (?1, ?2, ?3)")?
        .execute(params![source.0, number, packed])
        .map(drop)
}

/// Former states of all generations after `after`, in the order in which they were written.
pub fn formers(conn: &Connection, source: SourceId, after: u32, mut each: impl FnMut(Former)) -> rusqlite::Result<()> {
    let mut statement =
        conn.prepare_cached("SELECT rows FROM generation_rows WHERE source = ?1 AND number > ?2 ORDER BY number, seq")?;
    let mut rows = statement.query(params![source.0, after])?;
    while let Some(row) = rows.next()? {
        let list: Vec<Former> = unpack(row.get_ref(0)?.as_blob()?)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(e)))?;
        list.into_iter().for_each(&mut each);
    }
    Ok(())
}

fn pack(formers: &[Former]) -> io::Result<Vec<u8>> {
    let mut out = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
    serde_json::to_writer(&mut out, formers)?;
    out.finish()
}

fn unpack(bytes: &[u8]) -> io::Result<Vec<Former>> {
    let mut text = Vec::new();
    // A batch of rows of 10 kB each; our own file, but a damaged one must not take the memory.
    zstd::stream::read::Decoder::new(bytes)?.take(256 << 20).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

pub fn held(conn: &Connection) -> rusqlite::Result<Vec<(SourceId, Held)>> {
    conn.prepare("SELECT source, held FROM held ORDER BY source")?
        .query_map([], |row| Ok((SourceId(row.get(0)?), from_json(1, row.get_ref(1)?.as_str()?)?)))?
        .collect()
}

/// `None` forgets it; says whether there was one.
pub fn set_held(tx: &Connection, source: SourceId, held: Option<&Held>) -> rusqlite::Result<bool> {
    match held {
        Some(held) => tx
            .execute("INSERT OR REPLACE INTO held (source, held) VALUES (?1, ?2)", params![source.0, to_json(held)?])
            .map(|_| true),
        None => {
            let had: Option<u32> =
                tx.query_row("SELECT source FROM held WHERE source = ?1", [source.0], |r| r.get(0)).optional()?;
            tx.execute("DELETE FROM held WHERE source = ?1", [source.0])?;
            Ok(had.is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_states_come_back() {
        let formers = vec![
            Former { id: ChannelId(1), row: None, edited: 0, keys: None },
            Former { id: ChannelId(2), row: None, edited: 3, keys: Some((u64::MAX, 1)) },
        ];
        assert_eq!(unpack(&pack(&formers).unwrap()).unwrap(), formers);
        assert!(unpack(b"nonsense").is_err());
    }
}
