//! Every key of the file: what it takes, and what it is for.
//!
//! Owns the table that reading, checking and showing share. Must not enter: files, the environment. Invariant: the table
//! names exactly the fields of [`super::Config`]; a test compares the two.

use std::net::SocketAddr;

use toml::Value;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::http::{Base, Network};

/// What a key takes.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text(fn(&str) -> Result<(), String>),
    Number(i64, i64),
    Switch,
    /// Texts, each checked.
    List(fn(&str) -> Result<(), String>),
    /// A program and its arguments.
    Argv,
}

pub(super) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

const fn key(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, help }
}

const DAY: i64 = 86_400;

pub(super) const KEYS: &[Key] = &[
    key("server.listen", Kind::List(address), "where players connect; [::]:8080 serves IPv4 too; empty: over TLS only"),
    key("server.tls_listen", Kind::List(address), "where players connect over TLS"),
    key("server.tls_cert", Kind::Text(any), "certificate for tls_listen: a PEM file, the server's own first"),
    key("server.tls_key", Kind::Text(any), "the certificate's key: a PEM file"),
    key("server.public_url", Kind::Text(base), "address to put into links instead of the request's Host"),
    key(
        "server.trusted_proxies",
        Kind::List(network),
        "networks whose Forwarded and X-Forwarded-* headers are believed",
    ),
    key("server.proxy_headers", Kind::Text(proxy_headers), "which of them they write: both, x-forwarded or forwarded"),
    key("server.max_connections", Kind::Number(16, 1_000_000), "connections at once on the public listeners"),
    key("server.header_timeout_s", Kind::Number(1, 60), "seconds for a request's head, and between requests"),
    key("server.login_tries", Kind::Number(1, 10_000), "failed logins of an address within a minute"),
    key("paths.state_dir", Kind::Text(any), "database and guide; empty: the default for this user"),
    key("paths.socket", Kind::Text(any), "admin socket; empty: the default for this user"),
    key("log.filter", Kind::Text(log_filter), "level, or a list such as info,yagid::upstream=debug"),
    key("log.format", Kind::Text(format), "text or json"),
    key("engine.url", Kind::Text(base), "the AceStream engine, unless engine.urls names several"),
    key("engine.urls", Kind::List(base), "several AceStream engines; the least loaded one gets a session"),
    key("engine.capacity", Kind::Number(0, 10_000), "sessions that one engine may have; 0: no limit"),
    key("engine.checks", Kind::Number(0, 1_000), "sessions of one engine that may be tests at once"),
    key("engine.open_timeout_s", Kind::Number(1, 600), "seconds until an AceStream stream's first byte"),
    key("upstream.connect_timeout_s", Kind::Number(1, 120), "seconds to connect to an upstream"),
    key("upstream.first_byte_timeout_s", Kind::Number(1, 600), "seconds until an HTTP stream's first byte"),
    key("upstream.user_agent", Kind::Text(agent), "User-Agent for upstreams and downloads"),
    key("upstream.hls_max_kbit_per_s", Kind::Number(0, 10_000_000), "best HLS variant up to this; 0: the best"),
    key(
        "upstream.multicast_interface",
        Kind::Text(interface),
        "interface that joins groups; empty: the kernel's choice",
    ),
    key("upstream.multicast_rejoin_s", Kind::Number(0, 3600), "seconds until a group is joined anew; 0: never"),
    key("upstream.file_roots", Kind::List(directory), "directories below which file: sources may lie"),
    key(
        "upstream.private_networks",
        Kind::List(network),
        "private networks that public hosts may lead to, by redirects and playlists",
    ),
    key("stream.pumps", Kind::Number(0, 64), "pump threads; 0: one for each core, at most 4"),
    key("stream.ring_mib", Kind::Number(1, 1024), "ring of a running stream, in MiB"),
    key("import.max_download_mib", Kind::Number(1, 16_384), "bytes of a download over the wire, in MiB"),
    key("import.max_playlist_mib", Kind::Number(1, 16_384), "bytes of an unpacked playlist, in MiB"),
    key("import.max_guide_mib", Kind::Number(1, 65_536), "bytes of an unpacked guide, in MiB"),
    key("import.max_entries", Kind::Number(1, 10_000_000), "entries of a playlist"),
    key("import.max_seconds", Kind::Number(1, DAY), "seconds for a download and its reading"),
    key("import.trusted_sources", Kind::List(any), "sources whose entries may be udp:, rtp:, file: and exec:"),
    key("ace.open_networks", Kind::List(network), "networks that need no credentials at /ace"),
    key(
        "hdhr.announce",
        Kind::Text(viewer),
        "viewer whose network tuner answers searches of the local network; empty: none",
    ),
    key("hdhr.networks", Kind::List(network), "networks that may use network tuners"),
    key("hdhr.tuners", Kind::Number(0, 255), "streams of a network tuner at once; 0: the viewer's limit, or 4"),
    key("metrics.listen", Kind::Text(own_address), "where /metrics is answered, e.g. 127.0.0.1:9465; empty: nowhere"),
    key("demo.enabled", Kind::Switch, "test-card channel and first viewer on the first start"),
    key("admin.admins", Kind::List(who), "accounts and @groups that may do everything"),
    key("admin.operators", Kind::List(who), "accounts and @groups that may act on streams, clients and refreshes"),
    key("admin.viewers", Kind::List(who), "accounts and @groups that may read"),
    key(
        "admin.group",
        Kind::Text(group),
        "group whose members may open the admin socket; empty: the daemon's own, if it has one",
    ),
    key("admin.listen", Kind::Text(own_address), "where the admin API is served over TCP; empty: nowhere"),
    key("admin.token_file", Kind::Text(any), "file with the token of callers over TCP"),
    key("admin.allow_plaintext", Kind::Switch, "serve admin.listen beyond this machine without TLS"),
];

/// `[exec.NAME] argv`, under whatever name: the one key that stands below a name of the operator's.
pub(super) const ARGV: Key = key("argv", Kind::Argv, "program and arguments of an exec: source");

/// Keys that a reload applies; the others wait for the next start.
const LIVE: &[&str] = &[
    "server.public_url",
    "server.trusted_proxies",
    "server.proxy_headers",
    "server.login_tries",
    "log.filter",
    "import.max_download_mib",
    "import.max_playlist_mib",
    "import.max_guide_mib",
    "import.max_entries",
    "import.max_seconds",
    "import.trusted_sources",
    "ace.open_networks",
    "admin.admins",
    "admin.operators",
    "admin.viewers",
];

pub(super) fn is_live(name: &str) -> bool {
    LIVE.contains(&name)
}

pub(super) fn find(name: &str) -> Option<&'static Key> {
    if command_of(name).is_some() {
        return Some(&ARGV);
    }
    KEYS.iter().find(|k| k.name == name)
}

/// The command that `exec.NAME.argv` belongs to.
pub(super) fn command_of(name: &str) -> Option<&str> {
    let name = name.strip_prefix("exec.")?.strip_suffix(".argv")?;
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (!name.is_empty() && name.len() <= 40 && name.bytes().all(fine)).then_some(name)
}

pub(super) fn is_section(name: &str) -> bool {
    name == "exec" || KEYS.iter().any(|k| k.name.split_once('.').is_some_and(|(section, _)| section == name))
}

/// All sections, as they stand in a file.
pub(super) fn sections() -> String {
    let mut names: Vec<&str> = KEYS.iter().filter_map(|k| k.name.split('.').next()).collect();
    names.dedup();
    format!("[{}], [exec.NAME]", names.join("], ["))
}

/// The known key that was probably meant: the same word in another section, else one that is spelled nearly so.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let word = name.rsplit('.').next()?;
    let same = KEYS.iter().map(|k| k.name).find(|n| n.rsplit('.').next() == Some(word));
    let near = || KEYS.iter().map(|k| (distance(name, k.name), k.name)).min().filter(|(d, _)| *d <= word.len() / 3);
    same.or_else(|| near().map(|(_, n)| n))
}

/// Edits between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl Key {
    /// Everything that is wrong with a value and what was expected; for a list with the item's index.
    pub fn check(&self, value: &Value) -> Vec<(Option<usize>, String)> {
        let (Kind::List(check), Value::Array(items)) = (self.kind, value) else {
            return self.kind.check(value).err().map(|why| (None, why)).into_iter().collect();
        };
        let fault = |(i, item): (usize, &Value)| {
            let why = match item {
                Value::String(text) if items[..i].contains(item) => format!("{text:?} stands in the list twice"),
                Value::String(text) => format!("{text:?}: {}", check(text).err()?),
                other => format!("expected a list of texts, found {} in it", word(other)),
            };
            Some((Some(i), why))
        };
        items.iter().enumerate().filter_map(fault).collect()
    }
}

impl Kind {
    fn check(self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Self::Text(check), Value::String(text)) => check(text),
            (Self::Text(_), _) => Err(format!("expected text in quotes, found {}", word(value))),
            (Self::Number(low, high), Value::Integer(n)) if (low..=high).contains(n) => Ok(()),
            (Self::Number(low, high), Value::Integer(n)) => {
                Err(format!("{n} is out of range: expected {low} to {high}"))
            }
            (Self::Number(low, high), _) => {
                Err(format!("expected a number from {low} to {high}, found {}", word(value)))
            }
            (Self::Switch, Value::Boolean(_)) => Ok(()),
            (Self::Switch, _) => Err(format!("expected true or false, found {}", word(value))),
            (Self::Argv, value) => argv(value),
            (Self::List(_), _) => Err(format!("expected a list such as [\"…\"], found {}", word(value))),
        }
    }

    /// A value from the environment or a flag: lists are separated by commas.
    pub fn read(self, text: &str) -> Result<Value, String> {
        Ok(match self {
            Self::Text(_) => Value::String(text.to_owned()),
            Self::Number(low, high) => Value::Integer(
                text.trim().parse().map_err(|_| format!("expected a number from {low} to {high}, found {text:?}"))?,
            ),
            Self::Switch => {
                Value::Boolean(text.trim().parse().map_err(|_| format!("expected true or false, found {text:?}"))?)
            }
            Self::List(_) | Self::Argv => {
                let items = text.split(',').map(str::trim).filter(|t| !t.is_empty());
                Value::Array(items.map(|t| Value::String(t.to_owned())).collect())
            }
        })
    }
}

fn argv(value: &Value) -> Result<(), String> {
    let words: Option<Vec<&str>> = value.as_array().and_then(|a| a.iter().map(Value::as_str).collect());
    match words.as_deref() {
        None => Err(format!("expected a list such as [\"ffmpeg\", \"-i\", \"{{url}}\"], found {}", word(value))),
        Some([] | ["", ..]) => Err("expected a program and its arguments".to_owned()),
        Some(words) if words.iter().any(|w| w.contains('\0')) => Err("contains a NUL character".to_owned()),
        Some([program, ..]) if program.contains('{') => {
            Err("the program itself cannot be a placeholder; its arguments can".to_owned())
        }
        Some(_) => Ok(()),
    }
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

fn any(_: &str) -> Result<(), String> {
    Ok(())
}

fn address(text: &str) -> Result<(), String> {
    text.parse::<SocketAddr>()
        .map(drop)
        .map_err(|_| "expected ADDRESS:PORT such as 0.0.0.0:8080 or [::]:8080".to_owned())
}

/// An address, or none.
fn own_address(text: &str) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { address(text) }
}

fn who(text: &str) -> Result<(), String> {
    let name = text.strip_prefix('@').unwrap_or(text);
    let fine = !name.is_empty() && !name.bytes().any(|b| b.is_ascii_whitespace() || b":,@".contains(&b));
    if fine { Ok(()) } else { Err("expected the name or number of an account, or @ and that of a group".to_owned()) }
}

fn group(text: &str) -> Result<(), String> {
    let fine = !text.bytes().any(|b| b.is_ascii_whitespace() || b":,@".contains(&b));
    if fine { Ok(()) } else { Err("expected the name or number of a group".to_owned()) }
}

fn network(text: &str) -> Result<(), String> {
    text.parse::<Network>().map(drop).map_err(str::to_owned)
}

fn viewer(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Ok(());
    }
    yagi_api::text::user_name_fault(name).map_or(Ok(()), |why| Err(format!("the name of a viewer {why}")))
}

fn base(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    text.parse::<Base>().map(drop).map_err(str::to_owned)
}

fn directory(text: &str) -> Result<(), String> {
    let fine = text.starts_with('/') && !text.split('/').any(|part| part == "..");
    if fine { Ok(()) } else { Err("expected an absolute directory without `..`".to_owned()) }
}

fn interface(text: &str) -> Result<(), String> {
    let fine = text.len() <= 40 && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
    if fine { Ok(()) } else { Err("expected the name or IPv4 address of an interface".to_owned()) }
}

fn log_filter(text: &str) -> Result<(), String> {
    filter(text).map(drop)
}

/// Reads a log filter. A bare word must be a level: as the name of a target, which it could be as well, a mistyped level
/// would end all logging in silence.
///
/// # Errors
/// Says what was expected.
pub fn filter(text: &str) -> Result<Targets, String> {
    // The empty word is taken for a level by its own reader.
    let level = |word: &str| !word.trim().is_empty() && word.trim().parse::<LevelFilter>().is_ok();
    let fine = |part: &str| match part.split_once('=') {
        Some((target, word)) => !target.trim().is_empty() && level(word),
        None => level(part),
    };
    if text.split(',').all(fine) {
        let spaceless: String = text.split_whitespace().collect();
        if let Ok(targets) = spaceless.parse() {
            return Ok(targets);
        }
    }
    Err("expected a level (off, error, warn, info, debug, trace) or a list such as info,yagid::upstream=debug"
        .to_owned())
}

fn format(text: &str) -> Result<(), String> {
    if matches!(text, "text" | "json") { Ok(()) } else { Err("expected \"text\" or \"json\"".to_owned()) }
}

fn proxy_headers(text: &str) -> Result<(), String> {
    let fine = matches!(text, "both" | "x-forwarded" | "forwarded");
    if fine { Ok(()) } else { Err("expected \"both\", \"x-forwarded\" or \"forwarded\"".to_owned()) }
}

fn agent(text: &str) -> Result<(), String> {
    let fine = !text.is_empty() && text.len() <= 256 && text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if fine { Ok(()) } else { Err("expected 1 to 256 printable ASCII characters".to_owned()) }
}
