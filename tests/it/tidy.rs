//! The rules of the house that a compiler does not know: who imports whom, heads, lengths, words.
//!
//! Reads the sources as text. A rule that is broken is told with file, line and what to do.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Room, and the rooms that it may name besides itself and the toolbox. docs/ARCHITECTURE.md says why.
const IMPORTS: &[(&str, &[&str])] = &[
    (
        "daemon",
        &[
            "admin", "app", "archive", "auth", "check", "guide", "hdhr", "hls", "library", "lists", "logos", "metrics",
            "refresh", "routes", "stream", "tuner", "upstream",
        ],
    ),
    ("metrics", &["app"]),
    ("offline", &["admin", "guide", "library", "refresh", "store", "upstream"]),
    (
        "admin",
        &["app", "auth", "guide", "hdhr", "library", "playlist", "probe", "refresh", "stream", "upstream", "xtream"],
    ),
    ("routes", &["app", "auth", "library", "lists", "live", "logos", "stream", "tuner", "xtream"]),
    ("tuner", &["app", "hdhr", "library", "lists", "live"]),
    ("lists", &["app", "auth", "guide", "library", "live", "playlist", "xtream"]),
    ("check", &["library", "playlist", "stream", "upstream"]),
    ("moving", &["library"]),
    ("logos", &["library", "upstream"]),
    ("live", &["app", "archive", "auth", "hls", "library", "stream", "upstream"]),
    // Of `admin` only the set of its watchers, which is a handle.
    (
        "app",
        &["admin", "archive", "auth", "check", "guide", "hls", "library", "logos", "refresh", "stream", "upstream"],
    ),
    ("refresh", &["guide", "library", "playlist", "upstream"]),
    ("probe", &["guide", "library", "playlist", "upstream"]),
    ("archive", &["library", "upstream"]),
    ("xtream", &["guide", "library"]),
    ("hdhr", &["library"]),
    ("playlist", &["library", "upstream"]),
    ("guide", &["library", "upstream"]),
    ("auth", &["library"]),
    ("hls", &["stream"]),
    ("library", &["store"]),
    ("stream", &["upstream"]),
    ("store", &[]),
    ("upstream", &[]),
];
/// Leaves: they name each other at most.
const TOOLBOX: &[&str] = &[
    "abreast", "aside", "blocks", "charset", "cli", "clock", "config", "events", "http", "jobs", "logs", "mutation",
    "names", "progress", "platform", "seats", "secret", "seen", "systemd",
];
const FORBIDDEN: &[&str] =
    &["util", "utils", "helper", "helpers", "manager", "service", "common", "dto", "impl", "info"];
const MAX_LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below the root that belong to the project, with their paths from it.
fn files() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut open = vec![root().to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !matches!(name.as_str(), "target" | ".git") {
                open.push(path);
            } else if kind.is_file() {
                found.push((path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), path));
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|(name, _)| name.ends_with(".rs"));
    rust.map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect()
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The room that a file of the daemon is in: its directory or its own name below `src`.
fn room(name: &str) -> Option<&str> {
    let below = name.strip_prefix("src/")?;
    let room = below.split('/').next()?.trim_end_matches(".rs");
    (!matches!(room, "api" | "lib" | "main")).then_some(room)
}

/// Rooms that the text names: `crate::a` and the first words in `crate::{a::b, c}`, with the line of each.
fn named(text: &str) -> Vec<(usize, String)> {
    let word = |s: &str| s.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let mut out = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let (line, rest) = (text[..at].lines().count().max(1), &text[at + 7..]);
        let Some(group) = rest.strip_prefix('{') else {
            out.push((line, word(rest)));
            continue;
        };
        let (mut depth, mut fresh) = (0, true);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => fresh = true,
                c if fresh && c.is_alphabetic() => {
                    out.push((line, word(&group[i..])));
                    fresh = false;
                }
                _ => {}
            }
        }
    }
    out.retain(|(_, word)| !word.is_empty());
    out
}

/// Tests may reach further than the room that they test.
fn is_test(name: &str) -> bool {
    let stem = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".rs");
    stem == "tests" || stem.ends_with("_tests") || stem == "measure" || stem == "sample"
}

#[test]
fn rooms_import_downwards_only() {
    let mut faults = Vec::new();
    for (name, text) in sources() {
        let Some(room) = room(&name).filter(|_| !is_test(&name)) else { continue };
        let own = IMPORTS.iter().find(|(r, _)| *r == room).map(|(_, may)| *may);
        if own.is_none() && !TOOLBOX.contains(&room) {
            faults.push(format!("{name}: the room {room} is not in the table of tests/it/tidy.rs"));
        }
        let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (line, other) in named(text) {
            let may = other == room || TOOLBOX.contains(&&*other) || own.is_some_and(|may| may.contains(&&*other));
            if !may {
                faults.push(format!("{name}:{line}: {room} must not name {other}"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn the_reader_of_imports_reads_them() {
    let names = |text: &str| named(text).into_iter().map(|(_, n)| n).collect::<Vec<_>>();
    assert_eq!(names("use crate::{\n    a::{B, c},\n    d,\n};\nuse crate::e::F;"), ["a", "d", "e"]);
    assert_eq!(names("fn f() { crate::g::h(); $crate::i } // notcrate::j"), ["g"]);
    assert_eq!(
        (room("src/http/base.rs"), room("src/live.rs"), room("src/api/ids.rs")),
        (Some("http"), Some("live"), None)
    );
}

#[test]
fn every_file_has_a_head_and_an_end_in_sight() {
    let mut faults = Vec::new();
    for (name, text) in sources() {
        if !text.starts_with("//! ") {
            faults.push(format!("{name}:1: begin with //! lines: what it owns, what must not enter, its invariant"));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{name}: {lines} lines, {MAX_LINES} at most; split it by noun"));
        }
    }
    assert_none(&faults);
}

#[test]
fn files_are_named_by_what_they_own() {
    let mut faults = Vec::new();
    for (name, _) in files() {
        let words: BTreeSet<&str> = name.split(['/', '.', '_', '-']).collect();
        for word in FORBIDDEN.iter().filter(|w| words.contains(**w)) {
            // A unit of systemd is called so.
            if !(*word == "service" && name.starts_with("config/")) {
                faults.push(format!("{name}: {word} says nothing; name it by the noun it owns"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn nothing_is_unsafe_unfinished_or_private() {
    // Written so that this file does not hold them itself.
    let unfinished = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    let guarded = format!("{}safe ", "un");
    let places = ["work", "root", "builddir"].map(|dir| format!("/{dir}/"));
    let mut faults = Vec::new();
    for (name, path) in files() {
        let Ok(text) = fs::read_to_string(path) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            let mut fault = |what: &str| faults.push(format!("{name}:{number}: {what}: {}", line.trim()));
            if name.ends_with(".rs") {
                let code = line.split("//").next().unwrap_or_default();
                if unfinished.iter().any(|w| code.contains(w)) {
                    fault("unfinished");
                }
                if code.contains(&guarded) && name != "src/platform.rs" {
                    fault("only src/platform.rs may be so");
                }
            }
            if places.iter().any(|p| line.contains(p)) && !name.starts_with("tests/data/") {
                fault("a path of one machine");
            }
            if name == "Cargo.lock"
                && line.starts_with("source = ")
                && !line.contains("github.com/rust-lang/crates.io-index")
            {
                fault("a package from elsewhere than crates.io");
            }
        }
    }
    assert_none(&faults);
}
