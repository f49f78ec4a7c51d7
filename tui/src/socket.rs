//! Where the daemon's admin socket is.
//!
//! Owns the search order: `--socket`, `YAGI_SOCKET`, `$XDG_RUNTIME_DIR/yagid/admin.sock` if it exists,
//! `/run/yagid/admin.sock`; without `XDG_RUNTIME_DIR` and not as root also `/tmp/yagid-UID/admin.sock`.
//! Invariant: a socket below /tmp is only believed when its directory belongs to us.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

pub const SYSTEM: &str = "/run/yagid/admin.sock";

/// What the search looks at; a struct so that tests need no environment.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `--socket`, or `YAGI_SOCKET`.
    pub given: Option<PathBuf>,
    pub runtime_dir: Option<PathBuf>,
    pub uid: u32,
}

impl Surroundings {
    /// Of this process. Clap has already put `YAGI_SOCKET` under `--socket`.
    #[must_use]
    pub fn of_process(given: Option<PathBuf>) -> Self {
        Self {
            given,
            runtime_dir: std::env::var_os("XDG_RUNTIME_DIR").filter(|d| !d.is_empty()).map(PathBuf::from),
            uid: rustix::process::getuid().as_raw(),
        }
    }

    /// The socket to try. It may not exist: then the error of connecting says what to do.
    #[must_use]
    pub fn find(&self) -> PathBuf {
        if let Some(path) = self.given.as_ref().filter(|p| !p.as_os_str().is_empty()) {
            return path.clone();
        }
        let system = PathBuf::from(SYSTEM);
        match &self.runtime_dir {
            Some(dir) => {
                let own = dir.join("yagid/admin.sock");
                if own.exists() { own } else { system }
            }
            None if self.uid != 0 && !system.exists() => {
                let own = PathBuf::from(format!("/tmp/yagid-{}/admin.sock", self.uid));
                if own.exists() && own.parent().is_some_and(|d| is_ours(d, self.uid)) { own } else { system }
            }
            None => system,
        }
    }
}

fn is_ours(dir: &Path, uid: u32) -> bool {
    dir.symlink_metadata().is_ok_and(|m| m.is_dir() && m.uid() == uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_given_path_wins_then_the_runtime_directory_if_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut here = Surroundings { given: None, runtime_dir: Some(dir.path().into()), uid: 1000 };
        assert_eq!(here.find(), Path::new(SYSTEM));
        std::fs::create_dir(dir.path().join("yagid")).unwrap();
        std::fs::write(dir.path().join("yagid/admin.sock"), "").unwrap();
        assert_eq!(here.find(), dir.path().join("yagid/admin.sock"));
        here.given = Some("/x/y.sock".into());
        assert_eq!(here.find(), Path::new("/x/y.sock"));
        here.given = Some("".into());
        assert_eq!(here.find(), dir.path().join("yagid/admin.sock"));
    }
}
