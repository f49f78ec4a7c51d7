//! Where files are when nobody says where.
//!
//! Owns the defaults of paths: systemd's own directories, else root's, else the user's (XDG base directories). Must not
//! enter: reading or making them. Invariant: the same environment gives the same places, and the client looks for the
//! socket in the same ones.

use std::{collections::BTreeMap, path::PathBuf};

pub(super) struct Places<'a> {
    root: bool,
    uid: u32,
    env: &'a BTreeMap<String, String>,
}

impl<'a> Places<'a> {
    pub fn of(env: &'a BTreeMap<String, String>) -> Self {
        let uid = rustix::process::geteuid();
        Self { root: uid.is_root(), uid: uid.as_raw(), env }
    }

    /// The default configuration file.
    pub fn file(&self) -> Option<PathBuf> {
        let dir = self.unit("CONFIGURATION_DIRECTORY").or_else(|| self.root.then(|| "/etc/yagid".into()));
        dir.or_else(|| self.user("XDG_CONFIG_HOME", ".config")).map(|d| d.join("yagid.toml"))
    }

    pub fn state_dir(&self) -> Option<PathBuf> {
        let dir = self.unit("STATE_DIRECTORY").or_else(|| self.root.then(|| "/var/lib/yagid".into()));
        dir.or_else(|| self.user("XDG_STATE_HOME", ".local/state"))
    }

    pub fn socket(&self) -> PathBuf {
        self.unit("RUNTIME_DIRECTORY")
            .or_else(|| self.root.then(|| "/run/yagid".into()))
            .or_else(|| self.dir("XDG_RUNTIME_DIR").map(|d| d.join("yagid")))
            .unwrap_or_else(|| format!("/tmp/yagid-{}", self.uid).into())
            .join("admin.sock")
    }

    /// A directory that a variable names; the rule of XDG and systemd is that it is absolute.
    fn dir(&self, name: &str) -> Option<PathBuf> {
        self.env.get(name).filter(|v| v.starts_with('/')).map(PathBuf::from)
    }

    /// A directory that systemd made for this unit; one that a shell inherited from another unit is not ours.
    fn unit(&self, name: &str) -> Option<PathBuf> {
        self.dir(name).filter(|d| d.ends_with("yagid"))
    }

    fn user(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        self.dir(name).or_else(|| Some(self.dir("HOME")?.join(below_home))).map(|d| d.join("yagid"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_user_has_its_places() {
        let env: BTreeMap<String, String> = [
            ("HOME", "/home/a"),
            ("XDG_STATE_HOME", "relative/is/ignored"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
            ("CONFIGURATION_DIRECTORY", "/etc/yagid"),
            ("STATE_DIRECTORY", "/var/lib/terminal"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
        let all =
            |p: Places<'_>| [p.file().unwrap(), p.state_dir().unwrap(), p.socket()].map(|p| p.display().to_string());
        let user = Places { root: false, uid: 7, env: &env };
        assert_eq!(all(user), ["/etc/yagid/yagid.toml", "/home/a/.local/state/yagid", "/run/user/7/yagid/admin.sock"]);
        let root = Places { root: true, uid: 0, env: &env };
        assert_eq!(all(root), ["/etc/yagid/yagid.toml", "/var/lib/yagid", "/run/yagid/admin.sock"]);
        let env = BTreeMap::new();
        let bare = Places { root: false, uid: 7, env: &env };
        assert_eq!((bare.file(), bare.state_dir()), (None, None));
        assert_eq!(bare.socket(), PathBuf::from("/tmp/yagid-7/admin.sock"));
    }
}
