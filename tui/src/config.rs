//! The client's own configuration: `$XDG_CONFIG_HOME/yagi/config.toml` or `~/.config/yagi/config.toml`.
//!
//! Owns its shape and where it is. Must not enter: the daemon's configuration. Invariant: a fault in it is told and never
//! keeps anybody from the terminal.

use std::{collections::BTreeMap, path::PathBuf};

use ratatui::style::Color;
use serde::Deserialize;

use crate::{
    keys::Keymap,
    model::View,
    screens::columns,
    theme::{Palette, ROLES, Theme},
};

/// More than any hand writes.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    /// Action and its keys.
    keys: BTreeMap<String, Vec<String>>,
    theme: Look,
    /// View and the headings of its columns, in order.
    columns: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Look {
    name: Option<String>,
    ascii: Option<bool>,
    mouse: Option<bool>,
    #[serde(flatten)]
    roles: BTreeMap<String, String>,
}

/// What it says, as far as it can be used.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub keymap: Keymap,
    pub palette: Option<Palette>,
    pub ascii: Option<bool>,
    pub mouse: bool,
    pub columns: [Option<Vec<String>>; 9],
    colours: Vec<(&'static str, Color)>,
    /// The first thing that is wrong.
    pub fault: Option<String>,
}

impl Config {
    #[must_use]
    pub fn path() -> Option<PathBuf> {
        let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let base = var("XDG_CONFIG_HOME").or_else(|| Some(var("HOME")?.join(".config")))?;
        Some(base.join("yagi/config.toml"))
    }

    /// Reads the file, if there is one.
    #[must_use]
    pub fn load() -> Self {
        let Some(path) = Self::path() else { return Self::default() };
        let size = match std::fs::metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(e) => return Self::broken(format!("{}: {e}", path.display())),
            Ok(meta) => meta.len(),
        };
        if size > MAX_BYTES {
            return Self::broken(format!("{}: more than {MAX_BYTES} bytes", path.display()));
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let mut config = Self::read(&text);
                config.fault = config.fault.map(|f| format!("{}: {f}", path.display()));
                config
            }
            Err(e) => Self::broken(format!("{}: {e}", path.display())),
        }
    }

    fn broken(fault: String) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    /// What a text says. Each part that is right counts, whatever the others are.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(e) => return Self::broken(one_line(&e.to_string())),
        };
        let mut config = Self { ascii: file.theme.ascii, mouse: file.theme.mouse == Some(true), ..Self::default() };
        let mut faults = Vec::new();
        match config.keymap.with(&file.keys) {
            Ok(map) => config.keymap = map,
            Err(fault) => faults.push(fault),
        }
        if let Some(name) = &file.theme.name {
            config.palette = Palette::named(name);
            if config.palette.is_none() {
                faults.push(format!("theme.name: `{name}` is none of ansi, mono, dark, light"));
            }
        }
        for (role, colour) in &file.theme.roles {
            match (ROLES.iter().find(|r| **r == role.as_str()), colour.parse()) {
                (Some(role), Ok(colour)) => config.colours.push((*role, colour)),
                (None, _) => faults.push(format!("theme.{role}: expected one of {}", ROLES.join(", "))),
                (_, Err(_)) => {
                    faults.push(format!("theme.{role}: `{colour}` is no colour; expected one like red, 208, #ff8800"))
                }
            }
        }
        for (view, names) in &file.columns {
            let Some(view) = View::ALL.into_iter().find(|v| v.name().eq_ignore_ascii_case(view)) else {
                faults.push(format!("columns.{view}: there is no such view"));
                continue;
            };
            let known: Vec<&str> = columns::of(view).iter().map(|c| c.title).collect();
            match names.iter().find(|n| !known.iter().any(|k| k.eq_ignore_ascii_case(n))) {
                Some(name) => faults.push(format!(
                    "columns.{}: there is no column {name}; there are {}",
                    view.name().to_lowercase(),
                    known.join(", ")
                )),
                None if names.is_empty() => faults.push("columns: expected at least one column".into()),
                None => config.columns[view.index()] = Some(names.clone()),
            }
        }
        config.fault = faults.into_iter().next();
        config
    }

    /// The theme, with its own colours.
    #[must_use]
    pub fn theme(&self, palette: Palette, ascii: bool) -> Theme {
        let theme = Theme::new(palette, ascii);
        if palette == Palette::Mono {
            return theme;
        }
        self.colours.iter().fold(theme, |theme, (role, colour)| theme.with(role, *colour))
    }
}

/// The message of a TOML fault with its line, without the picture.
fn one_line(text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().trim();
    let last = lines.last().unwrap_or_default().trim();
    format!("{first}: {last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read() {
        let config = Config::read(
            "[keys]\ndelete = ['C-x']\n[theme]\nname = 'dark'\nmouse = true\ngood = '#00ff00'\nbad = 'magenta'\n[columns]\nstreams = ['channel', 'CLI']\n",
        );
        assert_eq!(config.fault, None);
        assert_eq!(config.palette, Some(Palette::Dark));
        assert!(config.mouse);
        assert_eq!(config.columns[0].as_deref().unwrap(), ["channel", "CLI"]);
        assert_ne!(config.theme(Palette::Ansi, false), Theme::new(Palette::Ansi, false));
        assert_eq!(config.theme(Palette::Mono, false), Theme::new(Palette::Mono, false));
    }

    #[test]
    fn faults_name_their_place_and_the_rest_counts() {
        for (text, what) in [
            ("[keys]\ndelete = 3", "line 2"),
            ("[key]\nx = 1", "key"),
            ("[keys]\ndelete = ['j']", "delete"),
            ("[theme]\nname = 'pink'", "pink"),
            ("[theme]\ngood = 'no colour'", "no colour"),
            ("[theme]\nfine = 'red'", "fine"),
            ("[columns]\nstreams = ['x']", "there is no column x"),
            ("[columns]\nnothing = ['x']", "nothing"),
        ] {
            let fault = Config::read(text).fault.unwrap_or_default();
            assert!(fault.contains(what), "{text}: {fault}");
        }
        assert_eq!(Config::read("[theme]\nname = 'light'\ngood = 'x'").palette, Some(Palette::Light));
    }
}
