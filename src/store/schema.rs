//! Tables and their history.
//!
//! Owns the numbered, forward-only migrations (`PRAGMA user_version`). Must not enter: rows. Invariant: a file has either the
//! schema before a step or the one after it; a newer file is refused before it is opened for writing; an older one is copied
//! first.

use std::{fs::File, path::Path};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{StoreError, sync_dir};

/// "Yagi" in the header of the file.
const APPLICATION_ID: i32 = 0x5961_6769;

/// Step n leads from version n to n + 1. Never edit one that was released.
pub const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    rev INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES (1, 0);

CREATE TABLE categories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER NOT NULL,
    name TEXT NOT NULL UNIQUE,
    position INTEGER NOT NULL
) STRICT;
-- Where channels without a category are; last in order.
INSERT INTO categories VALUES (1, 1, 'Uncategorised', 1000000);

CREATE TABLE sources (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER NOT NULL,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('playlist', 'guide')),
    url TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    interval_s INTEGER NOT NULL,
    last TEXT,
    etag TEXT,
    last_modified TEXT,
    digest BLOB
) STRICT;

CREATE TABLE channels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER NOT NULL,
    number INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL,
    category INTEGER NOT NULL REFERENCES categories (id),
    logo TEXT NOT NULL,
    guide_id TEXT NOT NULL,
    -- JSON of the ordered sources.
    sources TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    radio INTEGER NOT NULL,
    catchup TEXT,
    added_at INTEGER NOT NULL,
    origin INTEGER REFERENCES sources (id) ON DELETE CASCADE,
    retired_at INTEGER,
    -- Bits of the fields that an administrator edited: a refresh leaves them alone.
    edited INTEGER NOT NULL,
    -- What the playlist's entry is recognised by at the next refresh.
    path_key INTEGER,
    name_key INTEGER
) STRICT;
CREATE INDEX channels_origin ON channels (origin) WHERE origin IS NOT NULL;

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER NOT NULL,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    sealed BLOB NOT NULL,
    enabled INTEGER NOT NULL,
    expires_at INTEGER,
    trial INTEGER NOT NULL,
    max_connections INTEGER NOT NULL,
    formats TEXT NOT NULL,
    all_categories INTEGER NOT NULL,
    note TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE user_categories (
    user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    category INTEGER NOT NULL REFERENCES categories (id) ON DELETE CASCADE,
    PRIMARY KEY (user, category)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
",
    "
-- Sealed like the password; NULL: none.
ALTER TABLE users ADD COLUMN token BLOB;
ALTER TABLE users ADD COLUMN player TEXT NOT NULL DEFAULT '\"auto\"';
",
    "
ALTER TABLE sources ADD COLUMN max_upstreams INTEGER NOT NULL DEFAULT 0;
",
    "
-- HLS is new: who had every format has it too.
UPDATE users SET formats = '[\"ts\",\"m3u8\"]' WHERE formats = '[\"ts\"]';
",
    "
CREATE TABLE rules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER NOT NULL,
    position INTEGER NOT NULL,
    source INTEGER REFERENCES sources (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    -- JSON of the conditions and the action.
    body TEXT NOT NULL
) STRICT;
CREATE TABLE generations (
    source INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (source, number)
) STRICT, WITHOUT ROWID;
-- What channels were before a generation changed them; packed.
CREATE TABLE generation_rows (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL,
    number INTEGER NOT NULL,
    rows BLOB NOT NULL,
    FOREIGN KEY (source, number) REFERENCES generations (source, number) ON DELETE CASCADE
) STRICT;
CREATE INDEX generation_rows_of ON generation_rows (source, number);
CREATE TABLE held (
    source INTEGER PRIMARY KEY REFERENCES sources (id) ON DELETE CASCADE,
    held TEXT NOT NULL
) STRICT;
ALTER TABLE channels ADD COLUMN merge_key TEXT NOT NULL DEFAULT '';
ALTER TABLE channels ADD COLUMN guide_shift_min INTEGER NOT NULL DEFAULT 0;
-- What checks found, by the digest of an address's path.
CREATE TABLE checks (
    path_key INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    result TEXT NOT NULL
) STRICT;
CREATE INDEX checks_at ON checks (at);
-- JSON of what else is said of a source.
ALTER TABLE sources ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
",
    "
-- The audit trail.
CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    noun TEXT NOT NULL,
    change TEXT NOT NULL,
    row INTEGER,
    name TEXT NOT NULL,
    rows INTEGER NOT NULL,
    summary TEXT NOT NULL,
    -- Rows before and after, packed and sealed; NULL: a summary only.
    items BLOB,
    undo_of INTEGER,
    undone_by INTEGER
) STRICT;
CREATE INDEX changes_at ON changes (at);

-- The last reports of each source.
CREATE TABLE refreshes (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    report TEXT NOT NULL
) STRICT;
CREATE INDEX refreshes_source ON refreshes (source);
-- What the last refresh that changed anything changed.
ALTER TABLE sources ADD COLUMN diff TEXT;

-- The last login.
ALTER TABLE users ADD COLUMN last_seen INTEGER;
ALTER TABLE users ADD COLUMN last_agent TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN last_ip TEXT NOT NULL DEFAULT '';
",
    "
-- Whether the content that was applied last came through a public host. The next refresh finds out.
ALTER TABLE sources ADD COLUMN public INTEGER NOT NULL DEFAULT 0;
UPDATE sources SET etag = NULL, last_modified = NULL, digest = NULL;
",
];

/// Looks at an existing file without changing it: refuses what is not ours or newer than this program.
pub fn inspect(path: &Path) -> Result<(), StoreError> {
    let foreign = |_| StoreError::Foreign(path.to_owned());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(foreign)?;
    let app: i32 = conn.pragma_query_value(None, "application_id", |r| r.get(0)).map_err(foreign)?;
    let found = version(&conn).map_err(foreign)?;
    if app != APPLICATION_ID && (app != 0 || found != 0) {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

fn version(conn: &Connection) -> rusqlite::Result<u32> {
    conn.pragma_query_value(None, "user_version", |r| r.get(0))
}

/// Runs the missing steps, each in one transaction. A file that has rows already is copied to `NAME.vN.bak` first.
pub fn migrate(conn: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let sql = |cause| StoreError::Sql { path: path.to_owned(), cause };
    let from = version(conn).map_err(sql)?;
    if from as usize >= steps.len() {
        return Ok(());
    }
    if from > 0 {
        back_up(conn, path, from)?;
    }
    for (step, text) in steps.iter().enumerate().skip(from as usize) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(sql)?;
        tx.execute_batch(text).map_err(sql)?;
        tx.pragma_update(None, "user_version", step as u32 + 1).map_err(sql)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql)?;
        tx.commit().map_err(sql)?;
        tracing::info!(schema = step + 1, "database schema brought up to date");
    }
    Ok(())
}

fn back_up(conn: &Connection, path: &Path, from: u32) -> Result<(), StoreError> {
    let copy = path.with_extension(format!("db.v{from}.bak"));
    if copy.exists() {
        // Of an earlier try of the same step: the older copy is the better one.
        return Ok(());
    }
    let part = copy.with_extension("part");
    let io = |cause| StoreError::Io { what: "cannot back up before the migration to", path: copy.clone(), cause };
    let _ = std::fs::remove_file(&part);
    // An empty file of our mode first: VACUUM INTO keeps it, and would else make a readable one.
    super::private().open(&part).map_err(io)?;
    conn.execute("VACUUM INTO ?1", [part.to_string_lossy()])
        .map_err(|cause| StoreError::Sql { path: copy.clone(), cause })?;
    File::open(&part).and_then(|f| f.sync_all()).map_err(io)?;
    std::fs::rename(&part, &copy).map_err(io)?;
    sync_dir(path.parent().unwrap_or(Path::new("."))).map_err(io)?;
    tracing::info!(copy = %copy.display(), "database copied before its migration");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [&str; 2] =
        ["CREATE TABLE t (a INTEGER) STRICT; INSERT INTO t VALUES (7);", "ALTER TABLE t ADD COLUMN b INTEGER;"];

    fn open(path: &Path) -> Connection {
        Connection::open(path).unwrap()
    }

    #[test]
    fn an_older_file_is_copied_before_it_is_migrated() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("yagid.db");
        let mut conn = open(&path);
        migrate(&mut conn, &path, &TWO[..1]).unwrap();
        assert!(!tmp.path().join("yagid.db.v1.bak").exists(), "a new file needs no copy");
        migrate(&mut conn, &path, &TWO).unwrap();
        assert_eq!(version(&conn).unwrap(), 2);
        let copy = tmp.path().join("yagid.db.v1.bak");
        let mode = std::os::unix::fs::MetadataExt::mode(&copy.metadata().unwrap()) & 0o777;
        assert_eq!(mode, 0o600);
        let old = open(&copy);
        assert_eq!(version(&old).unwrap(), 1);
        assert_eq!(old.query_row("SELECT a FROM t", [], |r| r.get::<_, i64>(0)).unwrap(), 7);
    }

    #[test]
    fn a_failing_step_leaves_the_schema_before_it() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("yagid.db");
        let mut conn = open(&path);
        let broken = [TWO[0], "ALTER TABLE t ADD COLUMN b INTEGER; CREATE NONSENSE"];
        assert!(migrate(&mut conn, &path, &broken).is_err());
        assert_eq!(version(&conn).unwrap(), 1);
        assert!(conn.prepare("SELECT b FROM t").is_err());
    }

    #[test]
    fn a_newer_file_is_refused_and_untouched() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("yagid.db");
        let mut conn = open(&path);
        migrate(&mut conn, &path, MIGRATIONS).unwrap();
        conn.pragma_update(None, "user_version", 99).unwrap();
        drop(conn);
        let before = std::fs::read(&path).unwrap();
        let error = super::super::open(tmp.path()).err().unwrap();
        assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
        assert!(error.to_string().contains("schema 99") && error.to_string().contains("untouched"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
