//! A copy of the database while it is in use, and the way back.
//!
//! Owns `yagid backup` and `yagid restore`. Must not enter: schedules. Invariants: a restore keeps what it replaces; the copy is whole or absent, readable by its owner alone; it
//! holds sealed passwords, so it is worth something only together with `secret.key`.

use std::{
    io,
    path::{Path, PathBuf},
};

use std::os::unix::fs::DirBuilderExt as _;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// Copies the database of `state_dir` into the new file `to`.
///
/// # Errors
/// When there is no database, or `to` exists or cannot be written.
pub fn backup(state_dir: &Path, to: &Path) -> Result<(), StoreError> {
    let at = |what, cause| StoreError::Io { what, path: to.to_owned(), cause };
    if to.exists() {
        return Err(at("cannot back up into", io::Error::from(io::ErrorKind::AlreadyExists)));
    }
    let path = state_dir.join("yagid.db");
    let sql = |cause| StoreError::Sql { path: path.clone(), cause };
    let conn = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(sql)?;
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    let part = Path::new(&name);
    // An empty file of our mode first: SQLite keeps it, and would else make a readable one.
    let file = super::private().open(part).map_err(|cause| at("cannot back up into", cause))?;
    let copied = conn.execute("VACUUM INTO ?1", [part.to_string_lossy()]).map_err(sql).and_then(|_| {
        file.sync_all().and_then(|()| std::fs::rename(part, to)).map_err(|cause| at("cannot back up into", cause))
    });
    if copied.is_err() {
        let _ = std::fs::remove_file(part);
    }
    copied
}

/// Puts the copy `from` in the place of the database of `state_dir`, which no daemon may use. Answers where the replaced one is
/// kept, if there was one.
///
/// # Errors
/// When the directory is in use, or `from` is no whole database of a version that we know. Then nothing is changed.
pub fn restore(state_dir: &Path, from: &Path) -> Result<Option<PathBuf>, StoreError> {
    let at = |what, path: &Path| {
        let path = path.to_owned();
        move |cause| StoreError::Io { what, path, cause }
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state_dir)
        .map_err(at("cannot make the directory", state_dir))?;
    let lock_path = state_dir.join("yagid.lock");
    let lock = super::private().open(&lock_path).map_err(at("cannot open", &lock_path))?;
    lock.try_lock().map_err(|_| StoreError::Locked(state_dir.to_owned()))?;

    from.metadata().map_err(at("cannot read", from))?;
    super::schema::inspect(from)?;
    whole(from)?;
    let path = state_dir.join("yagid.db");
    let part = state_dir.join("yagid.db.part");
    let copied = copy(from, &part);
    if copied.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    copied.map_err(at("cannot copy into", &part))?;

    let kept = if path.exists() { Some(set_aside(&path).map_err(at("cannot move away", &path))?) } else { None };
    std::fs::rename(&part, &path).map_err(at("cannot move to", &path))?;
    super::sync_dir(state_dir).map_err(at("cannot write", state_dir))?;
    Ok(kept)
}

/// Every page can be read and means something.
fn whole(path: &Path) -> Result<(), StoreError> {
    let sql = |cause| StoreError::Sql { path: path.to_owned(), cause };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(sql)?;
    let said: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(sql)?;
    if said == "ok" {
        return Ok(());
    }
    let cause = io::Error::new(io::ErrorKind::InvalidData, said);
    Err(StoreError::Io { what: "the database is damaged:", path: path.to_owned(), cause })
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let _ = std::fs::remove_file(to);
    let mut source = std::fs::File::open(from)?;
    let mut file = super::private().open(to)?;
    io::copy(&mut source, &mut file)?;
    file.sync_all()
}

/// Moves a database with its log to a name that is free: what is not yet in the file is in the log.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let named = |n: u32, tail: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".before-restore.{n}{tail}"));
        PathBuf::from(name)
    };
    let free = (1..).find(|n| !named(*n, "").exists()).unwrap_or(u32::MAX);
    for tail in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(tail);
        if Path::new(&name).exists() {
            std::fs::rename(&name, named(free, tail))?;
        }
    }
    std::fs::rename(path, named(free, ""))?;
    Ok(named(free, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_comes_back_and_what_it_replaces_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let copy = dir.path().join("copy.db");
        drop(super::super::open(&state).unwrap());
        backup(&state, &copy).unwrap();
        let held = super::super::open(&state).unwrap();
        assert!(matches!(restore(&state, &copy), Err(StoreError::Locked(_))), "a daemon has it");
        held.conn.execute("INSERT INTO categories VALUES (7, 1, 'Later', 7)", []).unwrap();
        drop(held);

        let kept = restore(&state, &copy).unwrap().unwrap();
        let count = |path: &Path| {
            let conn = Connection::open(path).unwrap();
            conn.query_row("SELECT count(*) FROM categories", [], |r| r.get::<_, u32>(0)).unwrap()
        };
        assert_eq!((count(&state.join("yagid.db")), count(&kept)), (1, 2));
        assert_ne!(restore(&state, &copy).unwrap().unwrap(), kept, "an older one is not overwritten");
    }

    #[test]
    fn what_is_no_database_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        drop(super::super::open(&state).unwrap());
        let before = std::fs::read(state.join("yagid.db")).unwrap();
        let other = dir.path().join("list.m3u");
        std::fs::write(&other, "#EXTM3U\n").unwrap();
        assert!(matches!(restore(&state, &other), Err(StoreError::Foreign(_))));
        assert!(restore(&state, &dir.path().join("missing")).is_err());
        let copy = dir.path().join("copy.db");
        backup(&state, &copy).unwrap();
        let mut bytes = std::fs::read(&copy).unwrap();
        let half = bytes.len() / 2;
        bytes.truncate(half - half % 4096);
        std::fs::write(&copy, &bytes).unwrap();
        assert!(restore(&state, &copy).is_err(), "a file that was cut");
        assert_eq!(std::fs::read(state.join("yagid.db")).unwrap(), before);
    }
}
