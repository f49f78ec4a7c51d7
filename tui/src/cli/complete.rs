//! Names of rows for the shell's completion, asked of the daemon while Tab is pressed.
//!
//! Owns which argument stands for which rows. Must not enter: the scripts (clap_complete's engine has them). Invariant: a daemon
//! that is slow, absent or refuses costs half a second at most and completes nothing.

use std::{ffi::OsStr, time::Duration};

use clap::{Command, CommandFactory as _};
use clap_complete::{
    CompletionCandidate,
    engine::{ArgValueCompleter, ValueCompleter},
};
use serde_json::Value;
use yagi_api::paths;

use super::args::Cli;
use crate::{client::Client, socket::Surroundings, text::printable};

/// Names that are offered at most.
const MOST: u32 = 200;
/// Bash asks.
static BASH: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
const PATIENCE: Duration = Duration::from_millis(500);

/// Rows that an argument names.
#[derive(Clone, Copy)]
struct Names {
    path: &'static str,
    /// Members of a row that name it; the first that is no empty text.
    members: &'static [&'static str],
}

const CHANNELS: Names = Names { path: paths::CHANNELS, members: &["name"] };
const CATEGORIES: Names = Names { path: paths::CATEGORIES, members: &["name"] };
const USERS: Names = Names { path: paths::USERS, members: &["name"] };
const SOURCES: Names = Names { path: paths::SOURCES, members: &["name"] };
const STREAMS: Names = Names { path: paths::STREAMS, members: &["name"] };
const CLIENTS: Names = Names { path: paths::CLIENTS, members: &["name", "ip"] };
const BLOCKS: Names = Names { path: paths::BLOCKS, members: &["ip"] };
const JOBS: Names = Names { path: paths::JOBS, members: &["id"] };
const SETTINGS: Names = Names { path: paths::SETTINGS, members: &["key"] };

/// Verb, argument, rows; an empty verb: all below the noun.
const ARGUMENTS: &[(&str, &str, &str, Names)] = &[
    ("channels", "", "rows", CHANNELS),
    ("channels", "show", "channel", CHANNELS),
    ("channels", "edit", "channel", CHANNELS),
    ("channels", "", "category", CATEGORIES),
    ("categories", "", "category", CATEGORIES),
    ("categories", "", "categories", CATEGORIES),
    ("categories", "", "into", CATEGORIES),
    ("users", "", "rows", USERS),
    ("users", "show", "name", USERS),
    ("users", "edit", "name", USERS),
    ("users", "passwd", "name", USERS),
    ("url", "", "name", USERS),
    ("url", "", "channel", CHANNELS),
    ("sources", "", "source", SOURCES),
    ("sources", "", "sources", SOURCES),
    ("lineup", "", "source", SOURCES),
    ("explain", "", "channel", CHANNELS),
    ("epg", "", "channel", CHANNELS),
    ("guide", "", "channel", CHANNELS),
    ("streams", "failover", "stream", STREAMS),
    ("stop", "", "which", STREAMS),
    ("kick", "", "who", CLIENTS),
    ("blocks", "rm", "ips", BLOCKS),
    ("jobs", "cancel", "ids", JOBS),
    ("settings", "", "key", SETTINGS),
];

/// Answers the shell and ends the process, if it is a shell that asks.
pub fn answer() {
    // The engine takes the variable away before it asks for names.
    let bash = std::env::var("COMPLETE").is_ok_and(|shell| shell == "bash");
    BASH.store(bash, std::sync::atomic::Ordering::Relaxed);
    clap_complete::CompleteEnv::with_factory(command).complete();
}

/// The words of the command line with what completes their arguments.
#[must_use]
pub fn command() -> Command {
    let mut command = Cli::command().mut_subcommand("proxy-stdio", |c| c.hide(true));
    for (noun, verb, argument, names) in ARGUMENTS {
        command = command.mut_subcommand(noun, |noun| {
            let with = |c: Command| {
                c.mut_args(|a| if a.get_id() == argument { a.add(ArgValueCompleter::new(*names)) } else { a })
            };
            let noun = if verb.is_empty() { with(noun) } else { noun };
            let fits = |c: &Command| verb.is_empty() || c.get_name() == *verb;
            noun.mut_subcommands(|c| if fits(&c) { with(c) } else { c })
        });
    }
    command
}

impl ValueCompleter for Names {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let Some(typed) = current.to_str().map(unquoted) else { return Vec::new() };
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return Vec::new();
        };
        let given = std::env::var_os("YAGI_SOCKET").map(Into::into);
        let client = Client::new(Surroundings::of_process(given).find());
        let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, self.ask(&client, &typed)).await });
        // Nobody reads a complaint amid a command line.
        asked.unwrap_or_default()
    }
}

impl Names {
    async fn ask(&self, client: &Client, typed: &str) -> Vec<CompletionCandidate> {
        let q = crate::client::encode(&search(typed));
        let found: Value = match client.get(&format!("{}?q={q}&limit={MOST}", self.path)).await {
            Ok(found) => found,
            // Settings are a plain list, without a search.
            Err(_) => client.get(self.path).await.unwrap_or_default(),
        };
        let rows = found.get("rows").unwrap_or(&found).as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> = rows.iter().filter_map(|row| self.name(row)).collect();
        // What could steer the terminal or bears no command line is not offered.
        names.retain(|name| name.starts_with(typed) && printable(name, usize::MAX / 8) == name.as_str());
        names.sort();
        names.dedup();
        // The other shells' scripts quote by themselves.
        let bash = BASH.load(std::sync::atomic::Ordering::Relaxed);
        names.into_iter().map(|name| CompletionCandidate::new(if bash { escaped(&name) } else { name })).collect()
    }

    fn name(&self, row: &Value) -> Option<String> {
        let text = |member: &&'static str| match &row[*member] {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        self.members.iter().find_map(text)
    }
}

/// As bash wants a word that it puts into the line as it is.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_./+,:@%=".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// What was typed, without what a shell needs to keep it one word.
fn unquoted(typed: &str) -> String {
    let typed = typed.strip_prefix(['"', '\'']).unwrap_or(typed);
    typed.replace('\\', "")
}

/// What was typed so far as text to look for, whatever it holds.
fn search(typed: &str) -> String {
    if typed.is_empty() { String::new() } else { format!("\"{}\"", typed.replace('"', " ")) }
}
