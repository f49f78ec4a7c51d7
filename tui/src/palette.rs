//! Commands that are typed after a colon: their names, their completion, what they do.
//!
//! Must not enter: keys, drawing. Invariant: what is destructive asks as its key does.

use serde_json::json;
use yagi_api::paths;

use crate::{
    filter::exact,
    keys::Action,
    model::{Mode, Model, View, Wizard},
    msg::{Aside, Ask, Change, Effect, Verb},
    rows::{self, live},
    theme::Palette,
    update::{go, narrow, save},
};

pub struct Command {
    pub name: &'static str,
    pub takes: &'static str,
    pub help: &'static str,
}

const fn command(name: &'static str, takes: &'static str, help: &'static str) -> Command {
    Command { name, takes, help }
}

pub const COMMANDS: &[Command] = &[
    command("user", "NAME", "shows a user"),
    command("channel", "TEXT", "shows channels with that text"),
    command("category", "NAME", "shows the channels of a category"),
    command("source", "NAME", "shows a source"),
    command("client", "TEXT", "shows clients: a user, an address, an agent"),
    command("urls", "USER", "addresses and QR code of a user"),
    command("kick", "WHO", "cuts the clients of a user or address; asks"),
    command("block", "WHO", "cuts them and blocks their addresses for 10 minutes; asks"),
    command("stop", "CHANNEL", "stops the stream of a channel; asks"),
    command("refresh", "NAME or all", "fetches a source again"),
    command("failover", "CHANNEL", "moves a stream to its next source; its viewers stay"),
    command("blocks", "", "addresses that are refused; Enter lets one in again"),
    command("rules", "", "rules of playlists; Enter switches one on or off"),
    command("lineup", "", "what refreshes made of playlists; Enter accepts or rolls back"),
    command("jobs", "", "refreshes and checks that wait, run or ended; Enter cancels one"),
    command("engines", "", "the AceStream engines"),
    command("changes", "", "who changed what; Enter takes a step back"),
    command("undo", "", "takes back your last change"),
    command("redo", "", "makes it again"),
    command("filter", "TEXT", "filters this list"),
    command("save", "FILE", "saves this list as .csv or .json"),
    command("level", "error warn info debug trace", "which log lines are shown"),
    command("log", "FILTER", "what the daemon logs, such as debug or info,yagid::upstream=debug"),
    command("reload", "", "the daemon reads its configuration file again"),
    command("backup", "", "the daemon copies its database"),
    command("start", "", "the start card: a source, a user, a link"),
    command("theme", "ansi mono dark light", "other colours"),
    command("tick", "1s 2s 5s 10s", "how often live figures change"),
    command("mouse", "", "mouse on or off"),
    command("help", "", "the keys"),
    command("q", "", "quits"),
];

/// The word that is completed next, in full.
#[must_use]
pub fn complete(model: &Model, text: &str) -> Option<String> {
    let found = candidates(model, text).into_iter().next()?;
    match text.split_once(' ') {
        Some((verb, _)) => Some(format!("{verb} {found}")),
        None => Some(format!("{found} ")),
    }
}

/// What a text may become: commands, or the values that one takes.
#[must_use]
pub fn candidates(model: &Model, text: &str) -> Vec<String> {
    const MOST: usize = 12;
    let Some((verb, argument)) = text.split_once(' ') else {
        let views = View::ALL.iter().map(|v| v.name().to_lowercase());
        let mut all: Vec<String> = COMMANDS.iter().map(|c| c.name.to_owned()).chain(views).collect();
        all.retain(|name| is_like(name, text));
        // What begins so comes first.
        all.sort_by_key(|name| !name.starts_with(text));
        all.truncate(MOST);
        return all;
    };
    let argument = argument.trim_start().to_lowercase();
    let mut values: Vec<String> = match verb {
        "theme" => Palette::ALL.iter().map(|(n, _)| (*n).to_owned()).collect(),
        "tick" => ["1s", "2s", "5s", "10s"].map(str::to_owned).to_vec(),
        "level" => ["error", "warn", "info", "debug", "trace"].map(str::to_owned).to_vec(),
        "category" => model.tree.iter().map(|c| c.name.clone()).collect(),
        "stop" | "failover" => model.streams.iter().map(|s| s.name.clone()).collect(),
        "kick" | "block" | "client" => model.clients.iter().flat_map(|c| [c.name.clone(), c.ip.clone()]).collect(),
        "user" | "urls" => model.users.rows.iter().map(|u| u.name.clone()).collect(),
        "source" => model.sources.rows.iter().map(|s| s.name.clone()).collect(),
        "refresh" => {
            std::iter::once("all".to_owned()).chain(model.sources.rows.iter().map(|s| s.name.clone())).collect()
        }
        _ => Vec::new(),
    };
    values.retain(|v| !v.is_empty() && v.to_lowercase().contains(&argument));
    values.sort();
    values.dedup();
    values.truncate(MOST);
    values
}

/// The letters of the text, in order.
fn is_like(name: &str, text: &str) -> bool {
    let mut letters = name.chars();
    text.chars().all(|c| letters.any(|l| l == c))
}

/// Carries out a command.
///
/// # Errors
/// Says what was expected.
pub fn run(model: &mut Model, text: &str, effects: &mut Vec<Effect>) -> Result<(), String> {
    let (verb, argument) = text.split_once(' ').map_or((text, ""), |(v, a)| (v, a.trim()));
    if let Some(view) = View::ALL.into_iter().find(|v| v.name().eq_ignore_ascii_case(verb)) {
        go(model, view);
        return Ok(());
    }
    let known = COMMANDS.iter().find(|c| c.name == verb);
    let writes = matches!(
        verb,
        "kick" | "block" | "stop" | "failover" | "refresh" | "undo" | "redo" | "log" | "reload" | "backup" | "start"
    );
    match known {
        None if text.is_empty() => return Ok(()),
        None if verb == "quit" => {
            effects.push(Effect::Quit);
            return Ok(());
        }
        None => return Err(format!("there is no command `{verb}`; Tab shows them")),
        Some(c) if argument.is_empty() && !c.takes.is_empty() && verb != "filter" => {
            return Err(format!("expected {verb} {}", c.takes));
        }
        Some(_) => {}
    }
    if let Some(fault) = model.write_fault().filter(|_| writes) {
        return Err(fault.into());
    }
    let find = |model: &mut Model, view: View, filter: String| {
        go(model, view);
        narrow(model, filter);
    };
    match verb {
        "user" => find(model, View::Users, exact("name", argument)),
        "channel" => {
            model.narrow_to(None);
            find(model, View::Channels, argument.to_owned());
        }
        "source" => find(model, View::Sources, exact("name", argument)),
        "client" => find(model, View::Clients, argument.to_owned()),
        "category" => {
            go(model, View::Channels);
            model.narrow_to(Some(argument.to_owned()));
            narrow(model, String::new());
        }
        "urls" => effects.push(Effect::Fetch(Ask::Urls {
            user: argument.to_owned(),
            fresh: false,
            base: None,
            channel: None,
        })),
        "kick" | "block" => {
            let hit: Vec<_> =
                model.clients.iter().filter(|c| c.name == argument || c.ip == argument).cloned().collect();
            if hit.is_empty() {
                return Err(format!("nobody called {argument} watches, and nobody from there"));
            }
            let (title, lines, changes) = live::kick(&hit, verb == "block");
            rows::ask(model, title, lines, changes, hit.len());
        }
        "stop" => {
            let Some(row) = model.streams.iter().find(|s| s.name.eq_ignore_ascii_case(argument)).cloned() else {
                return Err(format!("{argument} is not being streamed"));
            };
            let path = format!("{}/{}", paths::STREAMS, row.id);
            let stop = Change::new(Verb::Delete, path, View::Streams, format!("{} stopped", row.name));
            let lines = vec![live::cut(&row.name, row.clients)];
            rows::ask(model, "Stop the stream?", lines, vec![stop], 1);
        }
        "failover" => {
            let Some(row) = model.streams.iter().find(|s| s.name.eq_ignore_ascii_case(argument)) else {
                return Err(format!("{argument} is not being streamed"));
            };
            effects.push(Effect::Send(live::failover(row)));
        }
        "refresh" => {
            let q = if argument == "all" { "enabled:yes".to_owned() } else { exact("name", argument) };
            let path = format!("{}{}", paths::SOURCES, paths::BULK);
            let change = Change::new(Verb::Post, path, View::Sources, format!("{argument}: being refreshed"));
            effects.push(Effect::Send(change.body(json!({"q": q, "refresh": true})).for_good()));
        }
        "undo" => rows::act(model, Action::Undo, effects),
        "redo" => rows::act(model, Action::Redo, effects),
        "filter" => narrow(model, argument.to_owned()),
        "blocks" | "rules" | "lineup" | "jobs" | "engines" | "changes" => {
            effects.extend(Aside::ALL.into_iter().find(|a| a.word() == verb).map(|a| Effect::Fetch(Ask::Aside(a))));
        }
        "save" => effects.push(save(model, argument)?),
        "level" => {
            model.level = match crate::cli::severity(&argument.to_uppercase()) {
                level @ 1..=5 if ["error", "warn", "info", "debug", "trace"].contains(&argument) => level,
                _ => return Err("expected error, warn, info, debug or trace".into()),
            };
            go(model, View::Logs);
        }
        "log" => {
            let change =
                Change::new(Verb::Put, paths::LOG_FILTER, View::Logs, format!("the daemon logs {argument} now"));
            effects.push(Effect::Send(change.body(json!({"filter": argument}))));
        }
        "reload" | "backup" => {
            let action = if verb == "reload" { Action::Reload } else { Action::Backup };
            go(model, View::Settings);
            rows::act(model, action, effects);
        }
        "start" => model.mode = Mode::Wizard(Box::new(Wizard::new(true))),
        "theme" => {
            let palette = Palette::named(argument).ok_or("expected ansi, mono, dark or light")?;
            model.theme = model.config.theme(palette, model.theme.ascii).with_plain_lines(model.theme.plain_lines);
            effects.push(Effect::Repaint);
        }
        "tick" => {
            let seconds = argument.trim_end_matches('s').parse().ok().filter(|n| [1, 2, 5, 10].contains(n));
            model.tick_s = seconds.ok_or("expected 1s, 2s, 5s or 10s")?;
        }
        "mouse" => {
            model.mouse = !model.mouse;
            effects.push(Effect::Mouse(model.mouse));
        }
        "help" => model.mode = Mode::Help(crate::model::Help::default()),
        _ => effects.push(Effect::Quit),
    }
    Ok(())
}
