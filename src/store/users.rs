//! Rows of `users` and `user_categories`.
//!
//! Owns their SQL. Must not enter: opened passwords, rules. Invariant: writing functions run inside the caller's transaction.

use rusqlite::{Connection, Row, params};
use yagi_api::{CategoryId, User, UserId};

use super::channels::{from_json, last_id, to_json};

/// A row: the account (without names of categories), the sealed password, and the allowed categories.
pub struct Account {
    pub user: User,
    pub sealed: Vec<u8>,
    /// Sealed too.
    pub token: Option<Vec<u8>>,
    /// None: all.
    pub allowed: Option<Vec<CategoryId>>,
}

/// Whether anything is sealed with the key.
pub fn any(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM users)", [], |r| r.get(0))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Account> {
    let user = User {
        id: UserId(row.get(0)?),
        version: row.get(1)?,
        name: row.get(2)?,
        enabled: row.get(4)?,
        expires_at: row.get(5)?,
        trial: row.get(6)?,
        max_connections: row.get(7)?,
        formats: from_json(8, row.get_ref(8)?.as_str()?)?,
        categories: None,
        note: row.get(10)?,
        player: from_json(13, row.get_ref(13)?.as_str()?)?,
        created_at: row.get(11)?,
        active: 0,
        last_seen: row.get(14)?,
        last_agent: row.get(15)?,
        last_ip: row.get(16)?,
    };
    Ok(Account { user, sealed: row.get(3)?, token: row.get(12)?, allowed: (!row.get::<_, bool>(9)?).then(Vec::new) })
}

pub fn load(conn: &Connection) -> rusqlite::Result<Vec<Account>> {
    let mut accounts: Vec<Account> = conn
        .prepare(
            "SELECT id, version, name, sealed, enabled, expires_at, trial, max_connections, formats, all_categories, note, \
             created_at, token, player, last_seen, last_agent, last_ip FROM users ORDER BY id",
        )?
        .query_map([], read)?
        .collect::<Result<_, _>>()?;
    let mut statement = conn.prepare("SELECT category FROM user_categories WHERE user = ?1 ORDER BY category")?;
    for account in &mut accounts {
        if account.allowed.is_some() {
            let ids = statement.query_map([account.user.id.0], |r| r.get(0).map(CategoryId))?;
            account.allowed = Some(ids.collect::<Result<_, _>>()?);
        }
    }
    Ok(accounts)
}

/// Gives the row its id, unless it has one: a deleted row that comes back.
pub fn insert(tx: &Connection, account: &mut Account) -> rusqlite::Result<()> {
    let Account { user, sealed, token, allowed } = account;
    tx.prepare_cached(
        "INSERT INTO users (id, version, name, sealed, enabled, expires_at, trial, max_connections, formats, \
         all_categories, note, created_at, token, player) \
         VALUES (?14, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        user.version,
        user.name,
        &*sealed,
        user.enabled,
        user.expires_at,
        user.trial,
        user.max_connections,
        to_json(&user.formats)?,
        allowed.is_none(),
        user.note,
        user.created_at,
        &*token,
        to_json(&user.player)?,
        (user.id.0 != 0).then_some(user.id.0),
    ])?;
    user.id = UserId(last_id(tx)?);
    allow(tx, user.id, allowed.as_deref())
}

pub fn update(tx: &Connection, account: &Account) -> rusqlite::Result<()> {
    let Account { user, sealed, token, allowed } = account;
    tx.prepare_cached(
        "UPDATE users SET version = ?2, name = ?3, sealed = ?4, enabled = ?5, expires_at = ?6, trial = ?7, \
         max_connections = ?8, formats = ?9, all_categories = ?10, note = ?11, token = ?12, player = ?13 WHERE id = ?1",
    )?
    .execute(params![
        user.id.0,
        user.version,
        user.name,
        sealed,
        user.enabled,
        user.expires_at,
        user.trial,
        user.max_connections,
        to_json(&user.formats)?,
        allowed.is_none(),
        user.note,
        token,
        to_json(&user.player)?,
    ])?;
    tx.execute("DELETE FROM user_categories WHERE user = ?1", [user.id.0])?;
    allow(tx, user.id, allowed.as_deref())
}

fn allow(tx: &Connection, user: UserId, allowed: Option<&[CategoryId]>) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached("INSERT OR IGNORE INTO user_categories VALUES (?1, ?2)")?;
    for category in allowed.unwrap_or_default() {
        statement.execute([user.0, category.0])?;
    }
    Ok(())
}

pub fn delete(tx: &Connection, id: UserId) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM users WHERE id = ?1", [id.0]).map(drop)
}

/// When a user logged in last, with which player and from where.
pub fn set_seen(tx: &Connection, id: UserId, at: i64, agent: &str, ip: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE users SET last_seen = ?2, last_agent = ?3, last_ip = ?4 WHERE id = ?1")?
        .execute(params![id.0, at, agent, ip])
        .map(drop)
}
