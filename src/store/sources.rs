//! Rows of `sources`.
//!
//! Owns their SQL and the columns of what a server said of its last download. Must not enter: schedules, rules. Invariant:
//! writing functions run inside the caller's transaction.

use rusqlite::{Connection, Row, params};
use yagi_api::{RefreshReport, RefreshState, Source, SourceId, SourceKind};

use super::channels::{from_json, last_id, to_json};

/// What a server said of a download, to ask for changes only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// Digest of the unpacked content that was applied last.
    pub digest: Option<Vec<u8>>,
    /// That content came through a public host.
    pub public: bool,
}

fn read(row: &Row<'_>) -> rusqlite::Result<(Source, Validators)> {
    let kind = match row.get_ref(3)?.as_str()? {
        "guide" => SourceKind::Guide,
        _ => SourceKind::Playlist,
    };
    let source = Source {
        id: SourceId(row.get(0)?),
        version: row.get(1)?,
        name: row.get(2)?,
        kind,
        url: row.get(4)?,
        enabled: row.get(5)?,
        interval_s: row.get(6)?,
        last: row.get_ref(7)?.as_str_or_null()?.map(|text| from_json(7, text)).transpose()?,
        max_upstreams: row.get(11)?,
        upstreams: 0,
        state: RefreshState::Idle,
        options: from_json(12, row.get_ref(12)?.as_str()?)?,
    };
    let validators =
        Validators { etag: row.get(8)?, last_modified: row.get(9)?, digest: row.get(10)?, public: row.get(13)? };
    Ok((source, validators))
}

pub fn load(conn: &Connection) -> rusqlite::Result<Vec<(Source, Validators)>> {
    conn.prepare(
        "SELECT id, version, name, kind, url, enabled, interval_s, last, etag, last_modified, digest, \
         max_upstreams, options, public FROM sources ORDER BY id",
    )?
    .query_map([], read)?
    .collect()
}

/// Gives the row its id, unless it has one: a deleted row that comes back.
pub fn insert(tx: &Connection, source: &mut Source) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO sources (id, version, name, kind, url, enabled, interval_s, max_upstreams, options) \
         VALUES (?9, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            source.version,
            source.name,
            source.kind.word(),
            source.url,
            source.enabled,
            source.interval_s,
            source.max_upstreams,
            to_json(&source.options)?,
            (source.id.0 != 0).then_some(source.id.0)
        ],
    )?;
    source.id = SourceId(last_id(tx)?);
    Ok(())
}

pub fn update(tx: &Connection, source: &Source) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE sources SET version = ?2, name = ?3, kind = ?4, url = ?5, enabled = ?6, interval_s = ?7, max_upstreams = ?8, \
         options = ?9 WHERE id = ?1",
        params![
            source.id.0,
            source.version,
            source.name,
            source.kind.word(),
            source.url,
            source.enabled,
            source.interval_s,
            source.max_upstreams,
            to_json(&source.options)?,
        ],
    )
    .map(drop)
}

pub fn record(tx: &Connection, id: SourceId, report: &RefreshReport) -> rusqlite::Result<()> {
    tx.execute("UPDATE sources SET last = ?2 WHERE id = ?1", params![id.0, to_json(report)?]).map(drop)
}

pub fn set_validators(tx: &Connection, id: SourceId, v: &Validators) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE sources SET etag = ?2, last_modified = ?3, digest = ?4, public = ?5 WHERE id = ?1",
        params![id.0, v.etag, v.last_modified, v.digest, v.public],
    )
    .map(drop)
}

/// Its channels go with it.
pub fn delete(tx: &Connection, id: SourceId) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM sources WHERE id = ?1", [id.0]).map(drop)
}
