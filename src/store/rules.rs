//! Rows of `rules`.
//!
//! Owns their SQL, and how conditions and action are spelt in a column. Must not enter: what a rule does. Invariant: writing
//! functions run inside the caller's transaction.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use yagi_api::{Action, Condition, Rule, RuleId, SourceId};

use super::channels::{from_json, last_id, to_json};

#[derive(Serialize, Deserialize)]
struct Body {
    when: Vec<Condition>,
    then: Action,
}

impl Body {
    fn of(rule: &Rule) -> rusqlite::Result<String> {
        to_json(&Self { when: rule.when.clone(), then: rule.then.clone() })
    }
}

pub fn load(conn: &Connection) -> rusqlite::Result<Vec<Rule>> {
    conn.prepare("SELECT id, version, position, source, name, enabled, body FROM rules ORDER BY position, id")?
        .query_map([], |row| {
            let Body { when, then } = from_json(6, row.get_ref(6)?.as_str()?)?;
            Ok(Rule {
                id: RuleId(row.get(0)?),
                version: row.get(1)?,
                position: row.get(2)?,
                source: row.get::<_, Option<u32>>(3)?.map(SourceId),
                name: row.get(4)?,
                enabled: row.get(5)?,
                when,
                then,
            })
        })?
        .collect()
}

/// Gives the row its id, unless it has one: a deleted rule that comes back.
pub fn insert(tx: &Connection, rule: &mut Rule) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO rules (id, version, position, source, name, enabled, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            Some(rule.id.0).filter(|id| *id != 0),
            rule.version,
            rule.position,
            rule.source.map(|s| s.0),
            rule.name,
            rule.enabled,
            Body::of(rule)?
        ],
    )?;
    rule.id = RuleId(last_id(tx)?);
    Ok(())
}

pub fn update(tx: &Connection, rule: &Rule) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE rules SET version = ?2, position = ?3, source = ?4, name = ?5, enabled = ?6, body = ?7 WHERE id = ?1",
        params![
            rule.id.0,
            rule.version,
            rule.position,
            rule.source.map(|s| s.0),
            rule.name,
            rule.enabled,
            Body::of(rule)?
        ],
    )
    .map(drop)
}

pub fn delete(tx: &Connection, id: RuleId) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM rules WHERE id = ?1", [id.0]).map(drop)
}
