//! A copy of the database while it is in use.
//!
//! Owns `yagid backup`. Must not enter: schedules. Invariant: the copy is whole or absent, readable by its owner alone; it
//! holds sealed passwords, so it is worth something only together with `secret.key`.

use std::{io, path::Path};

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
