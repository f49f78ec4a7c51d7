//! A list into a file of this machine: CSV or JSON.
//!
//! Invariants: a file that is there is never written over; the new one is readable by its owner alone, because addresses hold
//! credentials.

use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use serde_json::Value;

use crate::{
    cli::csv,
    client::{Client, encode},
    msg::Export,
};

/// More rows than any list has.
const MAX_ROWS: u32 = 1_000_000;

/// How many rows were saved.
pub async fn save(client: &Client, path: &Path, export: Export) -> Result<usize, String> {
    let rows: Vec<Value> = match export {
        Export::Rows(rows) => rows,
        Export::List(view, q, sort) => {
            let query = format!("q={}&sort={}", encode(&q), encode(&sort));
            client.some(view.path(), &query, 0, MAX_ROWS).await.map_err(|fault| fault.to_string())?
        }
    };
    let json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    let text = if json { serde_json::to_string_pretty(&rows).map(|t| t + "\n") } else { csv::write(&rows, true) };
    let text = text.map_err(|e| e.to_string())?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| e.to_string())?;
    file.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
    Ok(rows.len())
}
