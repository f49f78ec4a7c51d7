//! What a line says of its channel's archive.
//!
//! Owns the spellings of the attributes and what holds where one is missing. Must not enter: addresses of archives
//! (`library::archive` makes them). Invariant: a word that switches the archive off counts more than all others.

use yagi_api::Catchup;

use super::{put, put_url_like};
use crate::library::archive::usual_mode;

/// Catch-up facts and such of one line.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    mode: String,
    days: u16,
    source: String,
}

impl Attributes {
    pub fn set(&mut self, key: &str, value: &str) {
        match key {
            "catchup" | "catchup-type" => put(&mut self.mode, value),
            "catchup-days" | "timeshift" | "tvg-rec" => self.days = value.parse().unwrap_or(self.days),
            "catchup-source" => put_url_like(&mut self.source, value),
            _ => {}
        }
    }

    /// The entry's own word, else the header's, else what is usual for such an address.
    pub fn catchup(&self, defaults: &Self, live: &str) -> Option<Catchup> {
        let mode = if self.mode.is_empty() { &defaults.mode } else { &self.mode };
        let days = if self.days == 0 { defaults.days } else { self.days };
        let source = if self.source.is_empty() { &defaults.source } else { &self.source };
        let off = ["0", "no", "none", "false", "disabled"].iter().any(|w| w.eq_ignore_ascii_case(mode));
        if off || (mode.is_empty() && self.days == 0) {
            return None;
        }
        let mode = if mode.is_empty() { usual_mode(live).to_owned() } else { mode.to_ascii_lowercase() };
        Some(Catchup { mode, days, source: source.clone() })
    }
}
