//! Moving in: the replaced system's database and environment file become rows and a report.
//!
//! Owns what of the old system means what here. Must not enter: SQL of ours, sockets. Invariant: the old files are only read; channels
//! keep their ids, because favourites and recordings of players know them; passwords were stored as hashes, so viewers get new ones
//! or those of a list.

mod read;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    path::Path,
};

use anyhow::Context as _;
use serde_json::json;
use yagi_api::{ChannelDraft, ChannelSource, Locator, SettingsPatch, SourceDraft, SourceKind, UserDraft};

use self::read::{Old, Row};
use crate::{
    events::Events,
    library::{
        Library,
        moving::{Load, Taken},
    },
    secret::redact,
};

/// What is asked for.
pub struct Request<'a> {
    pub database: &'a Path,
    pub env: Option<&'a Path>,
    /// CSV of `name,password`.
    pub passwords: Option<&'a Path>,
    pub dry_run: bool,
}

/// Takes the old system's rows into the state directory and returns the report; passwords stand in it, once.
///
/// # Errors
/// When a file cannot be read, or the state directory is in use.
pub fn run(state_dir: &Path, request: &Request<'_>) -> anyhow::Result<String> {
    let old = read::database(request.database)?;
    let text = |path: Option<&Path>| -> anyhow::Result<String> {
        path.map_or(Ok(String::new()), |p| std::fs::read_to_string(p).with_context(|| p.display().to_string()))
    };
    let env = read::environment(&text(request.env)?);
    let passwords = passwords(&text(request.passwords)?)?;
    let mut notes = Vec::new();
    let load = plan(&old, &env, &passwords, &mut notes);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let library = Library::open(state_dir, Events::default())
        .with_context(|| format!("the state directory {} (the daemon must not run meanwhile)", state_dir.display()))?
        .library;
    let taken = runtime.block_on(library.move_in("import", load, request.dry_run));
    runtime.block_on(library.close());
    let taken = taken.map_err(|e| anyhow::anyhow!("nothing was imported: {e}"))?;
    Ok(report(&old, &env, taken, notes, request.dry_run))
}

fn passwords(csv: &str) -> anyhow::Result<HashMap<String, String>> {
    let mut out = HashMap::new();
    for (number, line) in (1..).zip(csv.lines()).filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')) {
        let (name, password) = line
            .split_once([',', ';', '\t'])
            .with_context(|| format!("line {number} of the passwords: expected name,password"))?;
        out.insert(name.trim().to_owned(), password.trim().to_owned());
    }
    Ok(out)
}

fn get<'a>(row: &'a Row, key: &str) -> &'a str {
    row.get(key).map_or("", |v| v.trim())
}

fn plan(
    old: &Old,
    env: &BTreeMap<String, String>,
    passwords: &HashMap<String, String>,
    notes: &mut Vec<String>,
) -> Load {
    let names: HashMap<&str, &str> = old.categories.iter().map(|c| (get(c, "id"), get(c, "name"))).collect();
    let mut categories: Vec<&Row> = old.categories.iter().collect();
    categories.sort_by_key(|c| get(c, "display_order").parse::<i64>().unwrap_or(0));
    let mut channels: Vec<&Row> = old.channels.iter().collect();
    channels.sort_by_key(|c| {
        (get(c, "display_order").parse::<i64>().unwrap_or(0), get(c, "id").parse::<i64>().unwrap_or(0))
    });
    let mut load =
        Load { categories: categories.iter().map(|c| get(c, "name").to_owned()).collect(), ..Load::default() };
    load.categories.retain(|name| !name.is_empty());
    for row in channels {
        let (id, name) = (get(row, "id"), get(row, "name"));
        let mut sources = Vec::new();
        let ace = get(row, "acestream_id");
        for text in [ace, get(row, "stream_url")].into_iter().filter(|t| !t.is_empty()) {
            match Locator::parse(text) {
                // The old system knew nothing else, and files and commands are not for a foreign database to name.
                Ok(locator @ (Locator::Http(_) | Locator::AceContent(_) | Locator::AceInfohash(_))) => {
                    let source = ChannelSource { url: locator.to_string(), headers: Vec::new() };
                    if !sources.contains(&source) {
                        sources.push(source);
                    }
                }
                Ok(_) => notes.push(format!("channel {id} ({name}): {} is not of the web or AceStream", redact(text))),
                Err(why) => notes.push(format!("channel {id} ({name}): {} {why}", redact(text))),
            }
        }
        let logo = get(row, "logo_url");
        let web = logo.starts_with("http://") || logo.starts_with("https://");
        if !logo.is_empty() && !web {
            notes.push(format!("channel {id} ({name}): its logo is no address of the web and was left out"));
        }
        let draft = ChannelDraft {
            name: if name.is_empty() { format!("Channel {id}") } else { name.to_owned() },
            sources,
            category: names.get(get(row, "category_id")).map(|n| (*n).to_owned()),
            logo: if web { logo.to_owned() } else { String::new() },
            guide_id: get(row, "epg_id").to_owned(),
            enabled: Some(read::flag(row, "is_active", true)),
            ..ChannelDraft::default()
        };
        load.channels.push((id.parse().unwrap_or(0), draft));
    }
    for row in &old.users {
        let name = get(row, "username");
        load.users.push(UserDraft {
            name: name.to_owned(),
            password: passwords.get(name).cloned(),
            enabled: Some(read::flag(row, "is_active", true)),
            expires_at: row.get("expiry_date").and_then(|t| read::time(t)),
            trial: read::flag(row, "is_trial", false),
            max_connections: get(row, "max_connections").parse().ok(),
            note: get(row, "notes").to_owned(),
            ..UserDraft::default()
        });
        if read::flag(row, "is_admin", false) {
            notes.push(format!(
                "user {name} was an administrator: here it is a viewer like others; who may open the admin socket administers"
            ));
        }
    }
    for name in passwords.keys().filter(|n| !load.users.iter().any(|u| u.name == **n)) {
        notes.push(format!("passwords: there is no user {name}"));
    }
    let listed = |key: &str| env.get(key).map_or("", String::as_str).split(',').map(|u| u.trim().to_owned());
    let lists = old.playlists.iter().map(|r| (get(r, "url").to_owned(), read::flag(r, "is_enabled", true)));
    let guides = old.guides.iter().map(|r| (get(r, "url").to_owned(), read::flag(r, "is_enabled", true)));
    let lists = lists.chain(listed("SCRAPER_URLS").map(|u| (u, true))).map(|u| (u, SourceKind::Playlist));
    let guides = guides.chain(listed("EPG_SOURCES").map(|u| (u, true))).map(|u| (u, SourceKind::Guide));
    let mut seen = std::collections::HashSet::new();
    for ((url, enabled), kind) in lists.chain(guides) {
        if !url.is_empty() && seen.insert(url.clone()) {
            load.sources.push(SourceDraft { url, kind: Some(kind), enabled: Some(enabled), ..SourceDraft::default() });
        }
    }
    load.settings = settings(env, notes);
    load
}

/// Environment variables that are settings here.
fn settings(env: &BTreeMap<String, String>, notes: &mut Vec<String>) -> SettingsPatch {
    let mut patch = SettingsPatch::new();
    for (key, setting) in [
        ("SCRAPER_UPDATE_INTERVAL", "playlist_interval_s"),
        ("EPG_UPDATE_INTERVAL", "guide_interval_s"),
        ("ACESTREAM_EMPTY_TIMEOUT", "upstream_silence_s"),
    ] {
        let Some(text) = env.get(key).filter(|t| !t.is_empty()) else { continue };
        match text.parse::<f64>() {
            Ok(n) if n >= 0.0 => drop(patch.insert(setting.to_owned(), json!(n as u64))),
            _ => notes.push(format!("{key}: {text} is no number")),
        }
    }
    patch
}

fn report(old: &Old, env: &BTreeMap<String, String>, taken: Taken, plan_notes: Vec<String>, dry_run: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", if dry_run { "Dry run: nothing was changed." } else { "Imported." });
    for (what, found, took) in [
        ("categories", old.categories.len(), taken.categories as usize),
        ("channels", old.channels.len(), taken.channels as usize),
        ("users", old.users.len(), taken.users.len()),
        ("sources", old.playlists.len() + old.guides.len(), taken.sources as usize),
        ("settings", old.settings.len(), taken.settings as usize),
    ] {
        let _ = writeln!(out, "  {what:<11} {found:>7} found  {took:>7} taken");
    }
    if !taken.users.is_empty() {
        let _ = writeln!(
            out,
            "\nThe old system kept hashes of passwords, from which no password can be made. {}:",
            if dry_run {
                "Users would be"
            } else {
                "Users and their passwords (shown once; `yagi users passwd NAME` makes another)"
            }
        );
        for user in &taken.users {
            let _ = writeln!(out, "  {:<24} {}", user.user.name, if dry_run { "" } else { &user.password });
        }
    }
    let keys = file_keys(env);
    if !keys.is_empty() {
        let _ = writeln!(out, "\nFor the configuration file (yagid.toml):\n{keys}");
    }
    let notes: Vec<String> = plan_notes.into_iter().chain(taken.notes).collect();
    if !notes.is_empty() {
        let _ = writeln!(out, "\nTo look at ({}):", notes.len());
        for note in notes.iter().take(200) {
            let _ = writeln!(out, "  {}", yagi_api::text::clean(note, 300));
        }
    }
    out
}

/// Environment variables that are keys of the file here.
fn file_keys(env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let get = |key: &str| env.get(key).filter(|v| !v.is_empty());
    if let Some(port) = get("SERVER_PORT") {
        let host = get("SERVER_HOST").map_or("0.0.0.0", String::as_str);
        let _ = writeln!(out, "[server]\nlisten = [\"{host}:{port}\"]");
    }
    if let (Some(host), port) = (get("ACESTREAM_ENGINE_HOST"), get("ACESTREAM_ENGINE_PORT")) {
        let _ = writeln!(out, "[engine]\nurl = \"http://{host}:{}\"", port.map_or("6878", String::as_str));
    }
    out
}

#[cfg(test)]
mod tests;
