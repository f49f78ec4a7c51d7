//! Rows of `channels`.
//!
//! Owns their SQL, and how sources and catch-up facts are spelt in a column. Must not enter: rules, numbering. Invariant:
//! writing functions run inside the caller's transaction, with prepared statements: an import runs them 200,000 times.

use rusqlite::{Connection, Row, params};
use yagi_api::{CategoryId, Channel, ChannelId, SourceId};

/// What a playlist's entry is recognised by: digests of its path, and of its guide id and name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Keys {
    pub path: u64,
    pub name: u64,
}

/// A row of one playlist, as much as matching needs.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub id: ChannelId,
    pub keys: Keys,
    pub retired: bool,
}

const COLUMNS: &str = "id, version, number, name, category, logo, guide_id, sources, enabled, radio, catchup, added_at, \
                       origin, retired_at, edited, merge_key, guide_shift_min";

fn read(row: &Row<'_>) -> rusqlite::Result<(Channel, u16)> {
    let channel = Channel {
        id: ChannelId(row.get(0)?),
        version: row.get(1)?,
        number: row.get(2)?,
        name: row.get(3)?,
        category: CategoryId(row.get(4)?),
        logo: row.get(5)?,
        guide_id: row.get(6)?,
        sources: from_json(7, row.get_ref(7)?.as_str()?)?,
        enabled: row.get(8)?,
        radio: row.get(9)?,
        catchup: row.get_ref(10)?.as_str_or_null()?.map(|text| from_json(10, text)).transpose()?,
        added_at: row.get(11)?,
        origin: row.get::<_, Option<u32>>(12)?.map(SourceId),
        retired_at: row.get(13)?,
        merge_key: row.get(15)?,
        merged_into: None,
        guide_shift_min: row.get(16)?,
    };
    Ok((channel, row.get(14)?))
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e)))
}

pub(super) fn to_json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

pub(super) fn last_id(tx: &Connection) -> rusqlite::Result<u32> {
    let id = tx.last_insert_rowid();
    // Xtream clients read ids as int32.
    u32::try_from(id).ok().filter(|id| *id < 1 << 31).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, id))
}

/// Calls `each` with every channel and the bits of its edited fields.
pub fn load(conn: &Connection, mut each: impl FnMut(Channel, u16)) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(&format!("SELECT {COLUMNS} FROM channels ORDER BY number"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (channel, edited) = read(row)?;
        each(channel, edited);
    }
    Ok(())
}

/// All rows of one playlist, also retired ones.
pub fn known(conn: &Connection, origin: SourceId) -> rusqlite::Result<Vec<Known>> {
    conn.prepare_cached("SELECT id, path_key, name_key, retired_at IS NOT NULL FROM channels WHERE origin = ?1")?
        .query_map([origin.0], |row| {
            let key = |i| row.get::<_, Option<i64>>(i).map(|k| k.unwrap_or_default().cast_unsigned());
            Ok(Known { id: ChannelId(row.get(0)?), keys: Keys { path: key(1)?, name: key(2)? }, retired: row.get(3)? })
        })?
        .collect()
}

/// Gives the row its id, unless it has one already: a channel that comes back.
pub fn insert(tx: &Connection, c: &mut Channel, edited: u16, keys: Option<Keys>) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO channels (version, number, name, category, logo, guide_id, sources, enabled, radio, catchup, added_at, \
         origin, retired_at, edited, path_key, name_key, merge_key, guide_shift_min, id) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
    )?
    .execute(params![
        c.version,
        c.number,
        c.name,
        c.category.0,
        c.logo,
        c.guide_id,
        to_json(&c.sources)?,
        c.enabled,
        c.radio,
        c.catchup.as_ref().map(to_json).transpose()?,
        c.added_at,
        c.origin.map(|o| o.0),
        c.retired_at,
        edited,
        keys.map(|k| k.path.cast_signed()),
        keys.map(|k| k.name.cast_signed()),
        c.merge_key,
        c.guide_shift_min,
        (c.id.0 > 0).then_some(c.id.0),
    ])?;
    c.id = ChannelId(last_id(tx)?);
    Ok(())
}

/// Everything but the id, origin and keys.
pub fn update(tx: &Connection, c: &Channel, edited: u16) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE channels SET version = ?2, number = ?3, name = ?4, category = ?5, logo = ?6, guide_id = ?7, sources = ?8, \
         enabled = ?9, radio = ?10, catchup = ?11, retired_at = ?12, edited = ?13, merge_key = ?14, guide_shift_min = ?15 WHERE id = ?1",
    )?
    .execute(params![
        c.id.0,
        c.version,
        c.number,
        c.name,
        c.category.0,
        c.logo,
        c.guide_id,
        to_json(&c.sources)?,
        c.enabled,
        c.radio,
        c.catchup.as_ref().map(to_json).transpose()?,
        c.retired_at,
        edited,
        c.merge_key,
        c.guide_shift_min,
    ])
    .map(drop)
}

pub fn set_keys(tx: &Connection, id: ChannelId, keys: Keys) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE channels SET path_key = ?2, name_key = ?3 WHERE id = ?1")?
        .execute(params![id.0, keys.path.cast_signed(), keys.name.cast_signed()])
        .map(drop)
}

/// What the row's entry is recognised by; none for a channel made by hand.
pub fn keys(conn: &Connection, id: ChannelId) -> rusqlite::Result<Option<Keys>> {
    conn.prepare_cached("SELECT path_key, name_key FROM channels WHERE id = ?1")?.query_row([id.0], |row| {
        let (path, name): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(path.zip(name).map(|(path, name)| Keys { path: path.cast_unsigned(), name: name.cast_unsigned() }))
    })
}

/// Makes its number free within the transaction: rows that swap numbers would else collide on the way.
pub fn park(tx: &Connection, id: ChannelId) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE channels SET number = -id WHERE id = ?1")?.execute([id.0]).map(drop)
}

pub fn delete(tx: &Connection, id: ChannelId) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM channels WHERE id = ?1")?.execute([id.0]).map(drop)
}
