//! SQLite on disk: the line-up, the accounts and the settings.
//!
//! Owns the state directory's database, its lock and its key file, and the one writer thread. Must not enter: policy,
//! events, players' formats. Invariant: only `library` calls the writing functions here, always inside a transaction on the
//! writer thread; a commit is on the disk (`synchronous=FULL`) before anybody is answered.

mod backup;
pub mod categories;
pub mod changes;
pub mod channels;
pub mod checks;
pub mod generations;
pub mod rules;
mod schema;
mod seal;
pub mod settings;
pub mod sources;
pub mod users;
mod writer;

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

pub use self::{
    backup::{backup, restore},
    seal::Sealer,
    writer::{Begun, Closed, Writer},
};

/// Why the database cannot be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{what} {}: {cause}", path.display())]
    Io { what: &'static str, path: PathBuf, cause: io::Error },
    #[error("{} is in use by another yagid; stop it or give this one its own paths.state_dir", .0.display())]
    Locked(PathBuf),
    #[error("{}: this is not a database of yagid; move it away or set another paths.state_dir", .0.display())]
    Foreign(PathBuf),
    #[error(
        "{} has schema {found}, this yagid knows {known} at most; run the newer yagid again, or restore a backup. The file is untouched",
        path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error(
        "{}: {why}, but the database holds sealed passwords; put the old key file back, or delete the users' passwords by \
         removing the users",
        path.display()
    )]
    Key { path: PathBuf, why: &'static str },
    #[error("{}: {cause}; check free space, then restore a backup if it persists", path.display())]
    Sql { path: PathBuf, cause: rusqlite::Error },
}

/// Opened files, before the writer thread has them.
pub struct Store {
    pub conn: Connection,
    pub sealer: Sealer,
    pub path: PathBuf,
    /// The database was made by this start.
    pub fresh: bool,
    /// Held as long as the process uses the directory.
    pub lock: File,
}

/// Opens or makes the state directory (0700) with `yagid.db` and `secret.key` (0600), and brings the schema up to date.
pub fn open(dir: &Path) -> Result<Store, StoreError> {
    let at = |what, path: &Path| {
        let path = path.to_owned();
        move |cause| StoreError::Io { what, path, cause }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at("cannot make the directory", dir))?;
    warn_if_open(dir, 0o022, "chmod 700");
    let lock_path = dir.join("yagid.lock");
    let lock = private().open(&lock_path).map_err(at("cannot open", &lock_path))?;
    lock.try_lock().map_err(|_| StoreError::Locked(dir.to_owned()))?;

    let path = dir.join("yagid.db");
    let sql = |cause| StoreError::Sql { path: path.clone(), cause };
    let fresh = !path.metadata().is_ok_and(|m| m.len() > 0);
    if fresh {
        private().open(&path).map_err(at("cannot make", &path))?;
    } else {
        schema::inspect(&path)?;
        warn_if_open(&path, 0o077, "chmod 600");
    }
    let mut conn =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(sql)?;
    configure(&conn).map_err(sql)?;
    schema::migrate(&mut conn, &path, schema::MIGRATIONS)?;
    let sealed = users::any(&conn).map_err(sql)?;
    let sealer = Sealer::open(&dir.join("secret.key"), sealed)?;
    Ok(Store { conn, sealer, path, fresh, lock })
}

/// WAL lets a backup read while we write; FULL makes a commit outlive a power cut.
fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // Bounds what the log keeps on disk after a large import.
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

/// Tells who else can read or change it, and the command that mends it. Only our own files: others' are their owners' business.
fn warn_if_open(path: &Path, bits: u32, command: &str) {
    if let Ok(meta) = path.metadata()
        && meta.permissions().mode() & bits != 0
        && meta.uid() == rustix::process::geteuid().as_raw()
    {
        tracing::warn!(path = %path.display(), "other users can open this; run: {command} {}", path.display());
    }
}

/// Makes the entry of a new file in its directory outlive a power cut.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_state_directory_is_private_and_locked() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("a/state");
        let store = open(&dir).unwrap();
        assert!(store.fresh);
        assert_eq!((mode(&dir), mode(&dir.join("yagid.db")), mode(&dir.join("secret.key"))), (0o700, 0o600, 0o600));
        let second = open(&dir).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(second.contains("in use by another yagid"), "{second}");
        drop(store);
        assert!(!open(&dir).unwrap().fresh);
    }

    #[test]
    fn the_settings_of_sqlite_are_the_promised_ones() {
        let tmp = tempfile::tempdir().unwrap();
        let store = open(tmp.path()).unwrap();
        let number = |name: &str| store.conn.pragma_query_value(None, name, |r| r.get::<_, i64>(0)).unwrap();
        assert_eq!((number("synchronous"), number("foreign_keys")), (2, 1));
        let journal: String = store.conn.pragma_query_value(None, "journal_mode", |r| r.get(0)).unwrap();
        assert_eq!(journal, "wal");
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_kept() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("yagid.db");
        std::fs::write(&path, "hello, I am a text").unwrap();
        assert!(matches!(open(tmp.path()), Err(StoreError::Foreign(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"hello, I am a text");
    }
}
