//! The replaced system's database and environment file, as they are.
//!
//! Owns its tables' columns and its spellings of time. Must not enter: our rows. Invariant: the file is opened for reading only; a
//! table or column that is missing is empty, a value of another kind is skipped.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, OpenFlags, types::ValueRef};

/// A row by the names of its columns, in lower case; NULL is absent.
pub type Row = BTreeMap<String, String>;

/// Everything of the old system that has a place here.
#[derive(Debug, Default)]
pub struct Old {
    pub categories: Vec<Row>,
    pub channels: Vec<Row>,
    pub users: Vec<Row>,
    pub playlists: Vec<Row>,
    pub guides: Vec<Row>,
    pub settings: Vec<Row>,
}

/// Reads the file.
///
/// # Errors
/// When it is no SQLite database, or has none of the tables.
pub fn database(path: &Path) -> anyhow::Result<Old> {
    let shown = path.display();
    anyhow::ensure!(path.is_file(), "{shown}: there is no such file");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    let tables: Vec<String> = conn
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
        .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
        .map_err(|e| anyhow::anyhow!("{shown}: this is no SQLite database ({e})"))?;
    anyhow::ensure!(
        tables.iter().any(|t| t == "channels") || tables.iter().any(|t| t == "users"),
        "{shown}: this is not the database of the replaced system: it has neither channels nor users"
    );
    let table = |name: &str| -> anyhow::Result<Vec<Row>> {
        if tables.iter().any(|t| t == name) { Ok(rows(&conn, name)?) } else { Ok(Vec::new()) }
    };
    Ok(Old {
        categories: table("categories")?,
        channels: table("channels")?,
        users: table("users")?,
        playlists: table("scraper_urls")?,
        guides: table("epg_sources")?,
        settings: table("settings")?,
    })
}

fn rows(conn: &Connection, table: &str) -> rusqlite::Result<Vec<Row>> {
    let mut statement = conn.prepare(&format!("SELECT * FROM {table} ORDER BY id"))?;
    let names: Vec<String> = statement.column_names().map(|n| n.to_ascii_lowercase()).collect();
    let mut found = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        let mut fields = Row::new();
        for (i, name) in names.iter().enumerate() {
            let text = match row.get_ref(i)? {
                ValueRef::Null | ValueRef::Blob(_) => continue,
                ValueRef::Integer(n) => n.to_string(),
                ValueRef::Real(n) => n.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            };
            fields.insert(name.clone(), text);
        }
        out.push(fields);
    }
    Ok(out)
}

/// `KEY=VALUE` lines, as python-dotenv reads them: quotes and `export` allowed, comments skipped.
pub fn environment(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let line = line.trim().trim_start_matches('\u{feff}');
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (key, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        let value = value.trim();
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split(quote).next().unwrap_or_default(),
            _ => value.split(" #").next().unwrap_or_default().trim(),
        };
        Some((key.trim().to_ascii_uppercase(), value.to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// `2026-01-24 12:00:00[.000000]`, in UTC as the old system wrote it, as epoch seconds.
pub fn time(text: &str) -> Option<i64> {
    let text = text.split('.').next()?.replace('T', " ");
    let text = if text.len() == 10 { format!("{text} 00:00:00") } else { text };
    let civil = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &text).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?.as_second())
}

pub fn flag(row: &Row, key: &str, absent: bool) -> bool {
    row.get(key).map_or(absent, |v| !matches!(v.as_str(), "0" | "false" | "False" | ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_files_are_read_as_the_old_system_read_them() {
        let env = environment(
            "# comment\nSERVER_PORT=6880\nexport EPG_SOURCES=\"http://a/x.xml,http://b/y.xml\"\nADMIN_PASSWORD='a # b'\nX = 1 # one\n\nBAD\n",
        );
        assert_eq!(env["SERVER_PORT"], "6880");
        assert_eq!(env["EPG_SOURCES"], "http://a/x.xml,http://b/y.xml");
        assert_eq!((env["ADMIN_PASSWORD"].as_str(), env["X"].as_str(), env.len()), ("a # b", "1", 4));
    }

    #[test]
    fn times_of_the_old_system() {
        assert_eq!(time("2026-01-01 00:00:00.000000"), Some(1_767_225_600));
        assert_eq!(time("2026-01-01T00:00:00"), Some(1_767_225_600));
        assert_eq!(time("2026-01-01"), Some(1_767_225_600));
        assert_eq!(time("soon"), None);
    }
}
