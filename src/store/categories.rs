//! Rows of `categories`.
//!
//! Owns their SQL. Must not enter: rules, order. Invariant: writing functions run inside the caller's transaction.

use rusqlite::{Connection, Row, params};
use yagi_api::{Category, CategoryId};

/// Made with the schema; takes the channels that belong nowhere.
pub const UNCATEGORISED: CategoryId = CategoryId(1);

fn read(row: &Row<'_>) -> rusqlite::Result<Category> {
    Ok(Category {
        id: CategoryId(row.get(0)?),
        version: row.get(1)?,
        name: row.get(2)?,
        position: row.get(3)?,
        channels: 0,
    })
}

pub fn load(conn: &Connection) -> rusqlite::Result<Vec<Category>> {
    conn.prepare("SELECT id, version, name, position FROM categories ORDER BY id")?.query_map([], read)?.collect()
}

/// Gives the row its id, unless it has one: a deleted row that comes back.
pub fn insert(tx: &Connection, category: &mut Category) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO categories (id, version, name, position) VALUES (?4, ?1, ?2, ?3)")?.execute(
        params![category.version, category.name, category.position, (category.id.0 != 0).then_some(category.id.0)],
    )?;
    category.id = CategoryId(super::channels::last_id(tx)?);
    Ok(())
}

pub fn update(tx: &Connection, category: &Category) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE categories SET version = ?2, name = ?3, position = ?4 WHERE id = ?1")?
        .execute(params![category.id.0, category.version, category.name, category.position])
        .map(drop)
}

/// Makes its name free within the transaction; see [`super::channels::park`].
pub fn park(tx: &Connection, id: CategoryId) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE categories SET name = char(0) || id WHERE id = ?1")?.execute([id.0]).map(drop)
}

/// No channel may be in it.
pub fn delete(tx: &Connection, id: CategoryId) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM categories WHERE id = ?1", [id.0]).map(drop)
}
