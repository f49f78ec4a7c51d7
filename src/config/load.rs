//! Reads the configuration: defaults, file, environment, flags; the last wins.
//!
//! Owns merging, the origin of each value, and the report of everything that is wrong at once. Must not enter: what a key
//! means. Invariant: no input makes it panic; a configuration is loaded whole or not at all.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize as _, Serialize, de::IntoDeserializer as _};
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};
use yagi_api::{ReloadedKey, Setting, text::is_foul};

use super::{Config, keys, places::Places};
use crate::http::tls::Certificate;

/// Environment variables that begin so: `YAGI__SERVER__LISTEN=0.0.0.0:8080,[::1]:8081`.
const ENV: &str = "YAGI__";
/// A configuration is some kilobytes: more is another file, or a device that never ends.
const MAX_BYTES: u64 = 1 << 20;

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
        write!(f, "{}: ", visible(&self.place))?;
        if !self.key.is_empty() {
            write!(f, "{}: ", visible(&self.key))?;
        }
        f.write_str(&visible(&self.message))
    }
}

/// Names and values of a file may hold anything; what reaches a terminal may not.
fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_foul) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if is_foul(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

impl Loaded {
    /// The keys as rows of the settings list.
    pub fn rows(&self) -> Vec<Setting> {
        let values = serde_json::to_value(&self.config).unwrap_or_default();
        let row = |name: &str, help: &str| Setting {
            key: name.to_owned(),
            value: values.pointer(&format!("/{}", name.replace('.', "/"))).cloned().unwrap_or_default(),
            origin: self.origins.get(name).copied().unwrap_or(Origin::Default).word().to_owned(),
            applies_now: keys::is_live(name),
            editable: false,
            help: help.to_owned(),
        };
        let commands = self.config.exec.keys().map(|name| row(&format!("exec.{name}.argv"), keys::ARGV.help));
        keys::KEYS.iter().map(|k| row(k.name, k.help)).chain(commands).collect()
    }
}

/// Where the file is looked for when no flag names one.
pub fn default_file(env: impl IntoIterator<Item = (String, String)>) -> Option<PathBuf> {
    Places::of(&env.into_iter().collect()).file()
}

/// Loads the configuration of this process.
///
/// # Errors
/// Everything that is wrong, in the order of the sources.
pub fn load(flags: &Flags, env: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, Vec<Fault>> {
    let env: BTreeMap<String, String> = env.into_iter().collect();
    let mut merge = Merge::default();
    let file = merge.sources(flags, &env);
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

/// Loads the configuration again: what flags said stays, the file and the environment are read anew.
///
/// # Errors
/// Everything that is wrong; `old` is in force then.
pub fn reload(old: &Loaded, env: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, Vec<Fault>> {
    let flags = Flags { config: old.file.clone(), ..Flags::default() };
    let mut merge = Merge::default();
    let env: BTreeMap<String, String> = env.into_iter().collect();
    let file = merge.sources(&flags, &env);
    let values = Value::try_from(&old.config).unwrap_or(Value::Table(Table::new()));
    for (key, _) in old.origins.iter().filter(|(_, origin)| **origin == Origin::Flag) {
        let value = key.split_once('.').and_then(|(section, name)| values.get(section)?.get(name));
        if let Some(value) = value {
            merge.value(key, value.clone(), Origin::Flag, |_| "flag".to_owned());
        }
    }
    merge.finish(file, &env)
}

/// What is in force after a reload: of keys that wait for a restart the old values.
pub fn in_force(old: &Loaded, new: &Loaded) -> Loaded {
    let mut out = old.clone();
    let (to, from) = (&mut out.config, &new.config);
    to.server.public_url.clone_from(&from.server.public_url);
    to.server.trusted_proxies.clone_from(&from.server.trusted_proxies);
    to.server.proxy_headers = from.server.proxy_headers;
    to.server.login_tries = from.server.login_tries;
    to.log.filter.clone_from(&from.log.filter);
    to.import = from.import.clone();
    to.ace = from.ace.clone();
    to.admin.admins.clone_from(&from.admin.admins);
    to.admin.operators.clone_from(&from.admin.operators);
    to.admin.viewers.clone_from(&from.admin.viewers);
    for key in keys::KEYS.iter().map(|k| k.name).filter(|name| keys::is_live(name)) {
        out.origins.remove(key);
        out.origins.extend(new.origins.get(key).map(|origin| (key.to_owned(), *origin)));
    }
    out.file.clone_from(&new.file);
    out
}

/// What differs, and whether a reload applies it.
pub fn differences(old: &Loaded, new: &Loaded) -> Vec<ReloadedKey> {
    let (mut before, after) = (BTreeMap::new(), new.rows());
    before.extend(old.rows().into_iter().map(|row| (row.key, row.value)));
    // Commands may come and go; the other keys are always there.
    let mut changed: Vec<ReloadedKey> = after
        .into_iter()
        .map(|row| ReloadedKey {
            before: before.remove(&row.key).unwrap_or_default(),
            after: row.value,
            applied: row.applies_now,
            key: row.key,
        })
        .filter(|key| key.before != key.after)
        .collect();
    let gone = before.into_iter().map(|(key, value)| ReloadedKey { key, before: value, ..ReloadedKey::default() });
    changed.extend(gone);
    changed
}

/// The environment variable of a key.
fn variable(key: &str, between: &str) -> String {
    format!("YAGI{between}{}", key.to_ascii_uppercase().replace('.', between))
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

    /// The file and the environment; the file that was read.
    fn sources(&mut self, flags: &Flags, env: &BTreeMap<String, String>) -> Option<PathBuf> {
        let file = flags.config.clone().or_else(|| Places::of(env).file().filter(|f| f.exists()));
        if let Some(file) = &file {
            self.file(file);
        }
        for (name, value) in env {
            if let Some(key) = name.strip_prefix(ENV) {
                self.text(&key.to_ascii_lowercase().replace("__", "."), value, Origin::Env, name);
            } else if let Some(key) = keys::KEYS.iter().map(|k| k.name).find(|k| *name == variable(k, "_")) {
                // Ignored silently, it would be looked for during an evening.
                self.fault(name, key, format!("expected two underscores: {}", variable(key, "__")));
            }
        }
        file
    }

    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let text = match read(path) {
            Ok(text) => text,
            Err(why) => return self.fault(&name, "", why),
        };
        let before = self.faults.len();
        // The reader goes on behind an error, so that one mistake does not hide the next.
        let (table, errors) = DeTable::parse_recoverable(&text);
        let mut file = File { name: &name, text: &text, broken: BTreeSet::new() };
        for e in &errors {
            let line = file.line(e.span().map_or(0, |s| s.start));
            // What follows from an error on the same line is noise.
            if file.broken.insert(line) {
                let what = e.message().lines().next().unwrap_or_default();
                self.fault(&format!("{name}:{line}"), "", format!("not TOML: {what}"));
            }
        }
        for (section, body) in table.into_inner() {
            self.section(&file, section, body);
        }
        self.faults[before..].sort_by_cached_key(|f| line_of(&f.place));
    }

    fn section(&mut self, file: &File<'_>, section: Spanned<Cow<'_, str>>, body: Spanned<DeValue<'_>>) {
        let Some(place) = file.place(section.span().start) else { return };
        let section = section.into_inner();
        let DeValue::Table(body) = body.into_inner() else {
            let home = keys::KEYS.iter().filter_map(|k| k.name.split_once('.')).find(|(_, key)| *key == section);
            let why = match home {
                Some((home, key)) => format!("stands in no section; did you mean {key} below [{home}]?"),
                None if keys::is_section(&section) => format!("expected a section: [{section}] and its keys below"),
                None => format!("there is no such key; sections are {}", keys::sections()),
            };
            return self.fault(&place, &section, why);
        };
        if !keys::is_section(&section) {
            return self.fault(&place, &section, format!("there is no such section; expected {}", keys::sections()));
        }
        if section == "exec" {
            for (name, command) in body {
                let Some(place) = file.place(name.span().start) else { continue };
                let full = format!("exec.{}", name.get_ref());
                match command.into_inner() {
                    _ if keys::command_of(&format!("{full}.argv")).is_none() => {
                        self.fault(&place, &full, "expected a name of at most 40 letters, digits, _ and -");
                    }
                    DeValue::Table(keys) => self.keys(file, &full, keys),
                    _ => self.fault(&place, &full, "expected a section: [exec.NAME] and argv = [\"…\"] below"),
                }
            }
            return;
        }
        self.keys(file, &section, body);
    }

    fn keys(&mut self, file: &File<'_>, section: &str, body: DeTable<'_>) {
        for (key, value) in body {
            let Some(place) = file.place(key.span().start) else { continue };
            let full = format!("{section}.{}", key.get_ref());
            let items: Vec<usize> =
                value.get_ref().as_array().map_or_else(Vec::new, |a| a.iter().map(|v| v.span().start).collect());
            match Value::deserialize(value.into_deserializer()) {
                Ok(value) => self.value(&full, value, Origin::File, |item| {
                    item.and_then(|i| file.place(*items.get(i)?)).unwrap_or_else(|| place.clone())
                }),
                // The reader of TOML takes longer numbers than a value can hold.
                Err(_) => self.fault(&place, &full, "is out of range: the number is too long"),
            }
        }
    }

    fn text(&mut self, key: &str, text: &str, origin: Origin, place: &str) {
        match keys::find(key).map(|k| k.kind.read(text)) {
            Some(Ok(value)) => self.value(key, value, origin, |_| place.to_owned()),
            Some(Err(why)) => self.fault(place, key, why),
            None => self.unknown(key, place),
        }
    }

    fn unknown(&mut self, key: &str, place: &str) {
        let hint = keys::nearest(key).map_or(String::new(), |n| format!("; did you mean {n}?"));
        self.fault(place, key, format!("there is no such key{hint}"));
    }

    /// Takes a value; `place` tells where it stands, or an item of its list.
    fn value(&mut self, key: &str, value: Value, origin: Origin, place: impl Fn(Option<usize>) -> String) {
        let Some(known) = keys::find(key) else { return self.unknown(key, &place(None)) };
        let wrong = known.check(&value);
        if !wrong.is_empty() {
            return wrong.into_iter().for_each(|(item, why)| self.fault(&place(item), key, why));
        }
        if let Some(name) = keys::command_of(key) {
            let commands = self.values.entry("exec").or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(commands) = commands {
                commands.insert(name.to_owned(), Value::Table(Table::from_iter([("argv".to_owned(), value)])));
                self.origins.insert(key.to_owned(), origin);
            }
            return;
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
        self.pair(&config.server);
        let places = Places::of(env);
        for (path, default, key) in [
            (&mut config.paths.state_dir, places.state_dir(), "paths.state_dir"),
            (&mut config.paths.socket, Some(places.socket()), "paths.socket"),
        ] {
            if path.as_os_str().is_empty() {
                match default {
                    Some(default) => *path = default,
                    None => self.fault(
                        "configuration",
                        key,
                        "expected a path, because neither HOME nor XDG_STATE_HOME is set",
                    ),
                }
            } else if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
        if self.faults.is_empty() { Ok(Loaded { config, origins: self.origins, file }) } else { Err(self.faults) }
    }
}

impl Merge {
    /// A certificate that cannot be used is better told before the start than by players.
    fn pair(&mut self, server: &super::Server) {
        if server.listen.is_empty() && server.tls_listen.is_empty() {
            self.fault(
                "configuration",
                "server.listen",
                "expected at least one ADDRESS:PORT here or in server.tls_listen",
            );
        }
        let (cert, key) = (&server.tls_cert, &server.tls_key);
        let absent = |path: &Path| path.as_os_str().is_empty();
        for (path, name) in [(cert, "server.tls_cert"), (key, "server.tls_key")] {
            if !server.tls_listen.is_empty() && absent(path) {
                self.fault("configuration", name, "expected a PEM file, because server.tls_listen is set");
            }
        }
        if !absent(cert)
            && !absent(key)
            && let Err(e) = Certificate::load(cert, key)
        {
            let name = if e.is_key { "server.tls_key" } else { "server.tls_cert" };
            self.fault("configuration", name, format!("{}: {}", e.file.display(), e.why));
        }
    }
}

/// The file that is being read.
struct File<'a> {
    name: &'a str,
    text: &'a str,
    /// Lines that are not TOML.
    broken: BTreeSet<usize>,
}

impl File<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|b| *b == b'\n').count()
    }

    /// `FILE:LINE`, unless the line has its fault already.
    fn place(&self, at: usize) -> Option<String> {
        let line = self.line(at);
        (!self.broken.contains(&line)).then(|| format!("{}:{line}", self.name))
    }
}

fn line_of(place: &str) -> usize {
    place.rsplit(':').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn read(path: &Path) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("cannot be read: {e}"),
    })?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("has more than 1 MiB: expected a configuration".to_owned());
    }
    String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("line {line} is not UTF-8: save the file as UTF-8")
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
