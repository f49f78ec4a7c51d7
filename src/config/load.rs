//! Reads the configuration: defaults, file, environment, flags; the last wins.
//!
//! Owns merging, the origin of each value, and the report of everything that is wrong at once. Must not enter: what a key
//! means. Invariant: no input makes it panic; a configuration is loaded whole or not at all.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize as _, Serialize};
use toml::{Table, Value, de::DeTable};
use yagi_api::Setting;

use super::{Config, keys};

/// Environment variables that begin so: `YAGI__SERVER__LISTEN=0.0.0.0:8080,[::1]:8081`.
const ENV: &str = "YAGI__";

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Default,
    File,
    Env,
    Flag,
}

impl Origin {
    pub fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Env => "env",
            Self::Flag => "flag",
        }
    }
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// A file that must exist.
    pub config: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub socket: Option<PathBuf>,
    pub listen: Vec<String>,
    pub no_demo: bool,
}

/// A configuration that can be used, with the origin of each key.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub origins: BTreeMap<String, Origin>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `yagid.toml:12`, `YAGI__SERVER__LISTEN` or `--listen`.
    pub place: String,
    pub key: String,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl Loaded {
    /// The keys as rows of the settings list.
    pub fn rows(&self) -> Vec<Setting> {
        let values = serde_json::to_value(&self.config).unwrap_or_default();
        keys::KEYS
            .iter()
            .map(|k| Setting {
                key: k.name.to_owned(),
                value: values.pointer(&format!("/{}", k.name.replace('.', "/"))).cloned().unwrap_or_default(),
                origin: self.origins.get(k.name).copied().unwrap_or(Origin::Default).word().to_owned(),
                applies_now: false,
                editable: false,
                help: k.help.to_owned(),
            })
            .collect()
    }
}

/// Loads the configuration of this process.
///
/// # Errors
/// Everything that is wrong, in the order of the sources.
pub fn load(flags: &Flags, env: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, Vec<Fault>> {
    let env: BTreeMap<String, String> = env.into_iter().collect();
    let mut merge = Merge::default();
    let file = flags.config.clone().or_else(|| default_file(&env).filter(|f| f.exists()));
    if let Some(file) = &file {
        merge.file(file);
    }
    for (name, value) in env.iter().filter(|(name, _)| name.starts_with(ENV)) {
        let key = name[ENV.len()..].to_ascii_lowercase().replace("__", ".");
        merge.text(&key, value, Origin::Env, name);
    }
    let path = |p: &PathBuf| p.to_string_lossy().into_owned();
    for (key, value, flag) in [
        ("paths.state_dir", flags.state_dir.as_ref().map(path), "--state-dir"),
        ("paths.socket", flags.socket.as_ref().map(path), "--socket"),
        ("server.listen", (!flags.listen.is_empty()).then(|| flags.listen.join(",")), "--listen"),
        ("demo.enabled", flags.no_demo.then(|| "false".to_owned()), "--no-demo"),
    ] {
        if let Some(value) = value {
            merge.text(key, &value, Origin::Flag, flag);
        }
    }
    merge.finish(file, &env)
}

#[derive(Default)]
struct Merge {
    values: Table,
    origins: BTreeMap<String, Origin>,
    faults: Vec<Fault>,
}

impl Merge {
    fn fault(&mut self, place: &str, key: &str, message: impl Into<String>) {
        self.faults.push(Fault { place: place.to_owned(), key: key.to_owned(), message: message.into() });
    }

    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.fault(&name, "", "there is no such file"),
            Err(e) => return self.fault(&name, "", format!("cannot be read: {e}")),
        };
        let line = |at: usize| 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
        let (spans, table) = match (DeTable::parse(&text), text.parse::<Table>()) {
            (Ok(spans), Ok(table)) => (spans, table),
            (Err(e), _) | (_, Err(e)) => {
                let place = format!("{name}:{}", e.span().map_or(1, |s| line(s.start)));
                return self.fault(&place, "", format!("not TOML: {}", e.message()));
            }
        };
        for (section, body) in spans.get_ref() {
            let place = format!("{name}:{}", line(section.span().start));
            let section = section.get_ref().as_ref();
            let Some(Value::Table(values)) = table.get(section) else {
                let hint = format!("expected a section such as [{}]", section.split('.').next().unwrap_or("server"));
                self.fault(&place, section, hint);
                continue;
            };
            let Some(body) = body.get_ref().as_table() else { continue };
            for (key, _) in body {
                let place = format!("{name}:{}", line(key.span().start));
                let full = format!("{section}.{}", key.get_ref());
                if let Some(value) = values.get(key.get_ref().as_ref()) {
                    self.value(&full, value.clone(), Origin::File, &place);
                }
            }
        }
    }

    fn text(&mut self, key: &str, text: &str, origin: Origin, place: &str) {
        match keys::find(key).map(|k| k.kind.read(text)) {
            Some(Ok(value)) => self.value(key, value, origin, place),
            Some(Err(why)) => self.fault(place, key, why),
            None => self.unknown(key, place),
        }
    }

    fn unknown(&mut self, key: &str, place: &str) {
        let hint = keys::nearest(key).map_or(String::new(), |n| format!("; did you mean {n}?"));
        self.fault(place, key, format!("there is no such key{hint}"));
    }

    fn value(&mut self, key: &str, value: Value, origin: Origin, place: &str) {
        let Some(known) = keys::find(key) else { return self.unknown(key, place) };
        if let Err(why) = known.kind.check(&value) {
            return self.fault(place, key, why);
        }
        let Some((section, name)) = key.split_once('.') else { return };
        if let Value::Table(section) = self.values.entry(section).or_insert_with(|| Value::Table(Table::new())) {
            section.insert(name.to_owned(), value);
            self.origins.insert(key.to_owned(), origin);
        }
    }

    fn finish(mut self, file: Option<PathBuf>, env: &BTreeMap<String, String>) -> Result<Loaded, Vec<Fault>> {
        let mut config = match Config::deserialize(Value::Table(self.values.clone())) {
            Ok(config) => config,
            Err(e) => {
                self.fault("configuration", "", e.to_string());
                Config::default()
            }
        };
        if config.server.listen.is_empty() {
            self.fault("configuration", "server.listen", "expected at least one address");
        }
        let places = Places::of(env);
        for (path, default, key) in [
            (&mut config.paths.state_dir, places.state_dir(), "paths.state_dir"),
            (&mut config.paths.socket, places.socket(), "paths.socket"),
        ] {
            if path.as_os_str().is_empty() {
                match default {
                    Some(default) => *path = default,
                    None => self.fault("configuration", key, "expected a path, because HOME is not set"),
                }
            } else if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
        if self.faults.is_empty() { Ok(Loaded { config, origins: self.origins, file }) } else { Err(self.faults) }
    }
}

/// Where this user's files are (XDG base directories; the system's for root).
struct Places<'a> {
    root: bool,
    uid: u32,
    env: &'a BTreeMap<String, String>,
}

impl<'a> Places<'a> {
    fn of(env: &'a BTreeMap<String, String>) -> Self {
        let uid = rustix::process::geteuid();
        Self { root: uid.is_root(), uid: uid.as_raw(), env }
    }

    fn dir(&self, name: &str) -> Option<PathBuf> {
        self.env.get(name).filter(|v| v.starts_with('/')).map(PathBuf::from)
    }

    fn home(&self, below: &str) -> Option<PathBuf> {
        self.dir("HOME").map(|h| h.join(below))
    }

    fn state_dir(&self) -> Option<PathBuf> {
        if self.root {
            return Some("/var/lib/yagid".into());
        }
        self.dir("XDG_STATE_HOME").or_else(|| self.home(".local/state")).map(|d| d.join("yagid"))
    }

    fn socket(&self) -> Option<PathBuf> {
        if self.root {
            return Some("/run/yagid/admin.sock".into());
        }
        let dir = self.dir("XDG_RUNTIME_DIR").map(|d| d.join("yagid"));
        Some(dir.unwrap_or_else(|| std::env::temp_dir().join(format!("yagid-{}", self.uid))).join("admin.sock"))
    }
}

fn default_file(env: &BTreeMap<String, String>) -> Option<PathBuf> {
    let places = Places::of(env);
    if places.root {
        return Some("/etc/yagid/yagid.toml".into());
    }
    places.dir("XDG_CONFIG_HOME").or_else(|| places.home(".config")).map(|d| d.join("yagid/yagid.toml"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let home = [("HOME", "/home/x"), ("XDG_CONFIG_HOME", "/nonexistent")];
        home.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn with_file(text: &str) -> Result<Loaded, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("yagid.toml");
        fs::write(&file, text).unwrap();
        let shown = file.display().to_string();
        load(&Flags { config: Some(file), ..Flags::default() }, env(&[]))
            .map_err(|faults| faults.iter().map(|f| f.to_string().replace(&shown, "yagid.toml")).collect())
    }

    #[test]
    fn the_shipped_file_names_every_key_with_its_default() {
        let text = include_str!("../../config/yagid.toml");
        let loaded = with_file(text).unwrap();
        let expected = Config { paths: loaded.config.paths.clone(), ..Config::default() };
        assert_eq!(loaded.config, expected);
        let named: BTreeSet<&str> = loaded.origins.keys().map(String::as_str).collect();
        assert_eq!(named, keys::KEYS.iter().map(|k| k.name).collect());
        assert_eq!(text.parse::<Table>().unwrap()["paths"]["state_dir"].as_str(), Some(""));
    }

    #[test]
    fn the_key_table_is_the_config() {
        let value = serde_json::to_value(Config::default()).unwrap();
        let fields: BTreeSet<String> = value
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(s, v)| v.as_object().unwrap().keys().map(move |k| format!("{s}.{k}")))
            .collect();
        assert_eq!(fields, keys::KEYS.iter().map(|k| k.name.to_owned()).collect());
    }

    #[test]
    fn all_faults_are_told_at_once_with_key_line_and_expectation() {
        let faults = with_file(
            "[server]\nlisten = [\"here\"]\nmax_conections = 5\nheader_timeout_s = 0\n\n[log]\nformat = 3\n[nonsense]\nx = 1\n[ace]\nopen_networks = [\"10.0.0.0/40\"]\n",
        )
        .unwrap_err();
        assert_eq!(
            faults,
            [
                "yagid.toml:11: ace.open_networks: \"10.0.0.0/40\": the number of bits is at most 32 for IPv4 and 128 for IPv6",
                "yagid.toml:7: log.format: expected text in quotes, found a number",
                "yagid.toml:9: nonsense.x: there is no such key",
                "yagid.toml:4: server.header_timeout_s: 0 is out of range: expected 1 to 60",
                "yagid.toml:2: server.listen: \"here\": expected ADDRESS:PORT such as 0.0.0.0:8080 or [::]:8080",
                "yagid.toml:3: server.max_conections: there is no such key; did you mean server.max_connections?",
            ]
        );
        assert_eq!(with_file("[server\n").unwrap_err().len(), 1);
        assert!(with_file("server = 3\n").unwrap_err()[0].contains("expected a section such as [server]"));
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.toml");
        fs::write(&file, "[server]\nlisten = [\"127.0.0.1:1\"]\nlogin_tries = 5\n[stream]\nring_mib = 16\n").unwrap();
        let flags = Flags { config: Some(file), listen: vec!["127.0.0.1:3".into()], no_demo: true, ..Flags::default() };
        let loaded =
            load(&flags, env(&[("YAGI__SERVER__LISTEN", "127.0.0.1:2"), ("YAGI__SERVER__LOGIN_TRIES", "7")])).unwrap();
        assert_eq!(loaded.config.server.listen[0].port(), 3);
        assert_eq!(
            (loaded.config.server.login_tries, loaded.config.stream.ring_mib, loaded.config.demo.enabled),
            (7, 16, false)
        );
        let row = |key: &str| loaded.rows().into_iter().find(|r| r.key == key).unwrap().origin;
        assert_eq!(
            [row("server.listen"), row("server.login_tries"), row("stream.ring_mib"), row("log.filter")],
            ["flag", "env", "file", "default"]
        );
        let faults = load(&Flags::default(), env(&[("YAGI__SERVER__LISTEN", "x"), ("YAGI__NO", "1")])).unwrap_err();
        assert_eq!(faults.len(), 2);
        let missing = Flags { config: Some("/nonexistent/y.toml".into()), ..Flags::default() };
        assert!(load(&missing, env(&[])).unwrap_err()[0].message.contains("no such file"));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(text in "(\\[[a-z]{0,8}\\]\n|[a-z_.]{1,12} ?= ?[\"0-9a-z\\[\\]{},=]{0,12}\n|\\PC{0,20}\n){0,12}") {
            let _ = with_file(&text);
        }
    }
}
