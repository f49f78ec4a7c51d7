//! The Unix socket's file: who may find it, and that it is one daemon's.
//!
//! Owns the directory, the lock file and the mode of the socket. Must not enter: requests. Invariant: nobody can connect who
//! could not with the final mode, at no moment; the file is never taken from a daemon that lives; nothing but a socket is ever
//! replaced.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write as _},
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
        net,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

const ACCOUNTS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";
/// Longest path that fits into a socket's address.
const LONGEST: usize = 107;

/// Keeps the lock; removes the socket when dropped.
#[derive(Debug)]
pub struct Held {
    /// Locked as long as it is open. The file itself stays: removing it would let two daemons lock two files of one name.
    _lock: File,
    path: PathBuf,
    /// Device and inode of our socket: the file of this name may be another's by then.
    own: (u64, u64),
}

impl Drop for Held {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.own) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the admin socket. It is for the group that is named; else for the daemon's own group, if that is its account's alone (as
/// the user and group `yagid` are); else for its account.
///
/// # Errors
/// When another daemon has it, the path holds something else, the group is not known, or the directory is not to be trusted; says
/// what to do.
pub fn bind(path: &Path, group: &str) -> anyhow::Result<(UnixListener, Held)> {
    let gid = if group.is_empty() { None } else { Some(known_group(group)?) };
    let (Some(dir), Some(name)) = (path.parent().filter(|d| d.is_absolute()), path.file_name()) else {
        bail!(
            "the admin socket {} is not an absolute path of a file; see --socket and the key paths.socket",
            path.display()
        );
    };
    fits(path)?;
    let private = prepare(dir)?;
    let mut lock_name = name.to_owned();
    lock_name.push(".lock");
    let lock = lock(&path.with_file_name(lock_name), path)?;
    vacant(path)?;
    // In a directory that only we may enter it gets its mode, and then its place: nobody can connect in between.
    let cell = tempfile::Builder::new()
        .prefix(".y")
        .rand_bytes(5)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(dir)
        .with_context(|| format!("the admin socket cannot be made in {}", dir.display()))?;
    let born = cell.path().join("s");
    let socket = net::UnixListener::bind(&born).with_context(|| format!("the admin socket in {}", dir.display()))?;
    if let Some(gid) = gid {
        std::os::unix::fs::chown(&born, None, Some(gid)).with_context(|| {
            format!("the admin socket cannot be given to the group {group} (the key admin.group): is the daemon in it?")
        })?;
    }
    let shared = gid.is_some() || !private && owns_its_group();
    fs::set_permissions(&born, Permissions::from_mode(if shared { 0o660 } else { 0o600 }))?;
    let own = fs::symlink_metadata(&born).map(|m| (m.dev(), m.ino()))?;
    fs::rename(&born, path).with_context(|| format!("the admin socket cannot be put to {}", path.display()))?;
    let held = Held { _lock: lock, path: path.to_owned(), own };
    socket.set_nonblocking(true)?;
    Ok((UnixListener::from_std(socket)?, held))
}

/// The number of a group of this machine.
fn known_group(group: &str) -> anyhow::Result<u32> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    let groups = fs::read_to_string(GROUPS).with_context(|| GROUPS.to_owned())?;
    numbered(group, &groups).ok_or_else(|| anyhow!("there is no group {group} (the key admin.group); see {GROUPS}"))
}

/// In the form that accounts and groups share: `name:x:number:…`.
fn numbered(name: &str, table: &str) -> Option<u32> {
    table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.split(':').nth(1)?.parse().ok())
}

/// Whether the daemon's group bears its account's name: one that was made for it. Root's never is.
fn owns_its_group() -> bool {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    is_own(uid, gid, &read(ACCOUNTS), &read(GROUPS))
}

fn is_own(uid: u32, gid: u32, accounts: &str, groups: &str) -> bool {
    let named = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    };
    uid != 0 && gid != 0 && accounts.lines().find_map(named).is_some_and(|name| numbered(&name, groups) == Some(gid))
}

/// Whether the kernel takes so long a name.
///
/// # Errors
/// Says how long it may be.
pub fn fits(path: &Path) -> anyhow::Result<()> {
    if path.as_os_str().len() > LONGEST {
        bail!(
            "the path of the admin socket is longer than {LONGEST} bytes: {}; choose a shorter one with --socket",
            path.display()
        );
    }
    Ok(())
}

/// Makes the directory, or looks whether the one that is there can be trusted. True: nobody else may enter it.
fn prepare(dir: &Path) -> anyhow::Result<bool> {
    let uid = rustix::process::geteuid().as_raw();
    let shared_tmp = dir == Path::new(&format!("/tmp/yagid-{uid}"));
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|runtime| dir.starts_with(runtime));
    let mode = if shared_tmp || runtime { 0o700 } else { 0o750 };
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("the directory {} of the admin socket", parent.display()))?;
    }
    match DirBuilder::new().mode(mode).create(dir) {
        // The mode above is cut by the umask; this one is not.
        Ok(()) => fs::set_permissions(dir, Permissions::from_mode(mode))?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e).with_context(|| format!("the directory {} of the admin socket", dir.display())),
    }
    // A link at a place where everybody may write is somebody's trap.
    let found = if shared_tmp { fs::symlink_metadata(dir) } else { fs::metadata(dir) };
    let found = found.with_context(|| format!("the directory {} of the admin socket", dir.display()))?;
    if !found.is_dir() {
        bail!(
            "{} is not a directory, but the admin socket is to be in it; move it away or choose another place with --socket",
            dir.display()
        );
    }
    if (shared_tmp || uid != 0) && found.uid() != uid && found.uid() != 0 {
        bail!(
            "{} belongs to another user (uid {}), who could replace the admin socket; choose another place with --socket",
            dir.display(),
            found.uid()
        );
    }
    let mut bits = found.mode() & 0o7777;
    if (shared_tmp || runtime) && found.uid() == uid && bits & 0o077 != 0 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        bits = 0o700;
    }
    if bits & 0o1002 == 0o002 {
        bail!(
            "everybody may write to {}, and could replace the admin socket; mend it with: chmod o-w {}",
            dir.display(),
            dir.display()
        );
    }
    Ok(found.uid() == uid && bits & 0o077 == 0)
}

fn taken(path: &Path, pid: &str) -> anyhow::Error {
    let who = if pid.is_empty() { String::new() } else { format!(" (process {pid})") };
    anyhow!(
        "another yagid{who} serves the admin socket {}; stop it, or choose another socket with --socket",
        path.display()
    )
}

/// Takes the lock that a daemon holds as long as it lives.
fn lock(file: &Path, socket: &Path) -> anyhow::Result<File> {
    let what = || format!("the lock file {}", file.display());
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    let mut lock = options.open(file).with_context(what)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(file).unwrap_or_default();
            let pid: String = pid.chars().take_while(char::is_ascii_digit).take(10).collect();
            return Err(taken(socket, &pid));
        }
        Err(TryLockError::Error(e)) => return Err(e).with_context(what),
    }
    // For people; the lock does not depend on it.
    let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    Ok(lock)
}

/// Whether the place is free, or held by a socket that nobody listens to any more.
fn vacant(path: &Path) -> anyhow::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).with_context(|| format!("the admin socket {}", path.display())),
    };
    if !found.file_type().is_socket() {
        bail!(
            "{} is there and is not a socket; it is left alone: move it away or choose another place with --socket",
            path.display()
        );
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A daemon that hangs must not hang this one.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(()) => Err(taken(path, "")),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(taken(path, "")),
        Err(e) => {
            Err(e).with_context(|| format!("whether the admin socket {} is in use cannot be told", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/admin.sock");
        (dir, path)
    }

    fn words(path: &Path) -> String {
        format!("{:#}", bind(path, "").unwrap_err())
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[tokio::test]
    async fn the_socket_is_for_its_group_at_most_and_goes_with_the_daemon() {
        let (_dir, path) = place();
        let group = rustix::process::getegid().as_raw();
        let (_listener, held) = bind(&path, &group.to_string()).unwrap();
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o750, 0o660));
        assert_eq!(fs::symlink_metadata(&path).unwrap().gid(), group);
        net::UnixStream::connect(&path).unwrap();
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "the socket and its lock: {left:?}");
        drop(held);
        assert!(!path.exists());
        drop(bind(&path, "").unwrap());
    }

    #[tokio::test]
    async fn without_a_group_of_its_own_it_is_for_its_account() {
        let (_dir, path) = place();
        let _held = bind(&path, "").unwrap();
        let expected = if owns_its_group() { 0o660 } else { 0o600 };
        assert_eq!(mode(&path), expected);
        let (accounts, groups) =
            ("root:x:0:0::/:\nyagid:x:990:980::/:\n", "root:x:0:\nyagid:x:980:ada\nusers:x:100:\n");
        assert!(is_own(990, 980, accounts, groups));
        assert!(!is_own(990, 100, accounts, groups), "a group of many");
        assert!(!is_own(0, 0, accounts, groups), "whoever has root's group is not root");
        assert_eq!(numbered("yag", groups), None);
        let refusal = format!("{:#}", bind(&path, "no-such-group").unwrap_err());
        assert!(refusal.contains("admin.group"), "{refusal}");
    }

    #[tokio::test]
    async fn in_a_private_directory_it_is_private() {
        let (_dir, path) = place();
        DirBuilder::new().mode(0o700).create(path.parent().unwrap()).unwrap();
        let _held = bind(&path, "").unwrap();
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
    }

    #[tokio::test]
    async fn a_live_socket_refuses_a_second_daemon() {
        let (_dir, path) = place();
        let _first = bind(&path, "").unwrap();
        let refusal = words(&path);
        assert!(refusal.contains("another yagid") && refusal.contains(&std::process::id().to_string()), "{refusal}");
        net::UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_live_socket_without_a_lock_is_left_alone_too() {
        let (_dir, path) = place();
        fs::create_dir(path.parent().unwrap()).unwrap();
        let other = net::UnixListener::bind(&path).unwrap();
        assert!(words(&path).contains("another yagid"));
        drop(other);
        let _held = bind(&path, "").expect("a stale one is replaced");
        net::UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn what_is_no_socket_is_never_replaced() {
        let (_dir, path) = place();
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(words(&path).contains("not a socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(words(&path).contains("not a socket"));
    }

    #[tokio::test]
    async fn bad_places_are_refused_with_what_to_do() {
        let (dir, path) = place();
        assert!(words(Path::new("admin.sock")).contains("absolute"));
        assert!(words(&dir.path().join("x".repeat(120))).contains("longer"));
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(!words(&dir.path().join("file/admin.sock")).is_empty());
        let open = path.parent().unwrap();
        fs::create_dir(open).unwrap();
        fs::set_permissions(open, Permissions::from_mode(0o777)).unwrap();
        assert!(words(&path).contains("chmod o-w"));
        fs::set_permissions(open, Permissions::from_mode(0o1777)).unwrap();
        bind(&path, "").unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_replaced_ours_is_not_removed() {
        let (_dir, path) = place();
        let (_listener, held) = bind(&path, "").unwrap();
        fs::remove_file(&path).unwrap();
        let _other = net::UnixListener::bind(&path).unwrap();
        drop(held);
        assert!(path.exists());
    }
}
