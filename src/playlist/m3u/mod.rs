//! Our own streaming reader of channel lists in M3U.
//!
//! Owns the meaning of lines: entries, directives, the header's defaults, orphans. Must not enter: rows, downloads. Invariant:
//! foreign text never fails it and never panics it; what cannot be used is counted, the first cases with line and reason. It
//! fails only for what is no channel list at all, or cannot be read to its end.

mod attributes;
mod catchup;
mod headers;
mod lines;

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    fmt,
    io::{self, BufRead},
};

use yagi_api::{
    Catchup, ChannelSource, Locator,
    text::{MAX_TEXT, clean},
};

use self::{catchup::Attributes, headers::Headers, lines::Lines};
use crate::{library::rules::MAX_SOURCES, secret::redact};

/// Reasons that are kept; the others are only counted.
const MAX_NOTES: usize = 20;
const MAX_URL: usize = 2048;
const MAX_ATTRIBUTES: usize = 64;

/// One channel of a list. All text is clean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Line of its `#EXTINF`, or of its URL where there is none.
    pub line: u32,
    pub name: String,
    pub guide_id: String,
    /// Absolute URL or empty.
    pub logo: String,
    /// First of the groups, or empty.
    pub group: String,
    /// 0: none.
    pub number: u32,
    pub radio: bool,
    pub catchup: Option<Catchup>,
    /// In canonical spelling; at least one.
    pub sources: Vec<ChannelSource>,
    /// Minutes of `tvg-shift`.
    pub shift_min: i16,
    /// All attributes of the line, if the reader keeps them.
    pub attributes: Vec<(String, String)>,
}

/// Something that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub line: u32,
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Why a text cannot be taken as a channel list.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot be read to its end: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    NotPlaylist(String),
}

/// What reading found beside the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub entries: u32,
    pub skipped: u32,
    pub notes: Vec<Skipped>,
    /// Guides that the header names.
    pub guides: Vec<String>,
}

impl Summary {
    fn skip(&mut self, line: u32, reason: impl Into<String>) {
        self.skipped += 1;
        if self.notes.len() < MAX_NOTES {
            self.notes.push(Skipped { line, reason: reason.into() });
        }
    }
}

/// Reads entries one after the other; memory does not grow with the list.
pub struct Reader {
    lines: Lines,
    max_entries: u32,
    /// What the lines so far say of the next entry.
    open: Open,
    /// The entry that was given out last; its buffers are used again.
    entry: Entry,
    /// The current line belongs to the next entry.
    held: bool,
    /// `#EXTGRP` holds for the following entries until one has a group of its own.
    sticky: String,
    defaults: Attributes,
    begun: bool,
    seen_info: bool,
    first: String,
    /// Its text may name files, commands and groups of this machine.
    local: bool,
    /// Entries carry all their attributes.
    pub keep_attributes: bool,
    pub summary: Summary,
}

#[derive(Default)]
struct Open {
    entry: Entry,
    /// `tvg-name`, for entries without a name.
    name: String,
    attributes: Attributes,
    headers: Headers,
    /// There was an `#EXTINF`.
    info: bool,
    /// There was a line in the place of the URL.
    target: bool,
}

impl Open {
    fn clear(&mut self) {
        let Entry { name, guide_id, logo, group, sources, .. } = &mut self.entry;
        for text in [name, guide_id, logo, group, &mut self.name] {
            text.clear();
        }
        sources.clear();
        self.entry.number = 0;
        self.entry.radio = false;
        self.entry.shift_min = 0;
        self.entry.attributes.clear();
        self.entry.catchup = None;
        self.attributes = Attributes::default();
        self.headers.clear();
        self.info = false;
        self.target = false;
    }
}

impl Reader {
    /// Entries over `max_entries` are counted as skipped.
    pub fn new(input: Box<dyn BufRead + Send>, max_entries: u32) -> io::Result<Self> {
        Ok(Self {
            lines: Lines::new(input)?,
            max_entries,
            open: Open::default(),
            entry: Entry::default(),
            held: false,
            sticky: String::new(),
            defaults: Attributes::default(),
            begun: false,
            seen_info: false,
            first: String::new(),
            local: false,
            keep_attributes: false,
            summary: Summary::default(),
        })
    }

    /// The text comes from somebody who may name files, commands and groups of this machine.
    pub fn trusting(self, local: bool) -> Self {
        Self { local, ..self }
    }

    /// The next entry; none at the end.
    #[allow(clippy::should_implement_trait)] // Lends its buffer.
    pub fn next(&mut self) -> Result<Option<&Entry>, ReadError> {
        loop {
            if !std::mem::take(&mut self.held) && !self.lines.advance()? {
                return self.end();
            }
            if self.lines.is_cut() {
                self.summary.skip(self.lines.number(), "is longer than 64 KiB");
                continue;
            }
            let Some(kind) = Kind::of(self.lines.text()) else { continue };
            if !self.begun {
                self.begin()?;
            }
            match kind {
                // A further URL of the same entry; in a plain list it is the next one.
                Kind::Url if !self.open.target || self.open.info => self.url(),
                // The open entry is complete: this line belongs to the next one.
                _ if self.open.target => {
                    self.held = true;
                    if self.complete() {
                        return Ok(Some(&self.entry));
                    }
                }
                Kind::Info => self.info(),
                Kind::Header => self.header(),
                Kind::Directive => self.directive()?,
                Kind::Url => {}
            }
        }
    }

    fn end(&mut self) -> Result<Option<&Entry>, ReadError> {
        if self.open.target {
            if self.complete() {
                return Ok(Some(&self.entry));
            }
        } else if self.open.info {
            self.summary.skip(self.open.entry.line, "has no URL: the list ends");
            self.open.clear();
        }
        if self.summary.entries == 0 {
            let first = redact(&clean(&self.first, 80));
            return Err(ReadError::NotPlaylist(match self.summary.notes.first() {
                Some(note) => format!("holds no channel that can be used; {note}"),
                None if self.first.is_empty() => "is empty".to_owned(),
                None if self.first.starts_with('#') => "holds no channel".to_owned(),
                None => format!("holds no channel; it begins with \"{first}\""),
            }));
        }
        Ok(None)
    }

    /// The first line that is not empty tells most of what is no list.
    fn begin(&mut self) -> Result<(), ReadError> {
        self.begun = true;
        let line = self.lines.text().trim();
        let head: String = line.chars().take(256).collect::<String>().to_ascii_lowercase();
        let fault = if head.starts_with("<!doctype html") || head.starts_with("<html") {
            "is an HTML page, not a playlist: check the URL, and whether the account is still valid"
        } else if head.starts_with("<?xml") || head.starts_with("<tv") || head.starts_with("<!doctype tv") {
            "is an XML document, perhaps a guide: add it as a source of kind guide"
        } else if head.starts_with('<') {
            "is a document with markup, not a playlist: check the URL"
        } else if head.starts_with('{') || (head.starts_with('[') && !head.starts_with("[playlist]")) {
            "is a JSON answer, not a playlist: check the URL (type=m3u_plus), and whether the account is still valid"
        } else if head.contains('\0') {
            "is binary data, not a playlist"
        } else {
            self.first = head;
            return Ok(());
        };
        Err(ReadError::NotPlaylist(fault.to_owned()))
    }

    /// Moves the open entry to its place for giving it out; false if nothing of it can be used.
    fn complete(&mut self) -> bool {
        let Open { entry, name, attributes, .. } = &mut self.open;
        if entry.sources.is_empty() {
            // The reason was noted at the URL's line.
            self.open.clear();
            return false;
        }
        if self.summary.entries >= self.max_entries {
            self.summary
                .skip(entry.line, format!("is over the limit of {} entries (import.max_entries)", self.max_entries));
            self.open.clear();
            return false;
        }
        self.summary.entries += 1;
        if entry.name.is_empty() {
            std::mem::swap(&mut entry.name, name);
        }
        if entry.name.is_empty() {
            entry.name = name_of(&entry.sources[0].url);
        }
        if entry.group.is_empty() {
            entry.group.push_str(&self.sticky);
        }
        entry.catchup = attributes.catchup(&self.defaults, entry.sources.first().map_or("", |s| &s.url));
        std::mem::swap(&mut self.entry, entry);
        self.open.clear();
        true
    }

    fn info(&mut self) {
        if self.open.info {
            self.summary.skip(self.open.entry.line, "has no URL before the next #EXTINF");
            self.open.clear();
        }
        self.seen_info = true;
        self.open.info = true;
        self.open.entry.line = self.lines.number();
        let Self { lines, open: Open { entry, name, attributes, headers, .. }, sticky, keep_attributes, .. } = self;
        let shown = attributes::split(&lines.text().trim_start()[8..], |key, value| {
            if *keep_attributes && entry.attributes.len() < MAX_ATTRIBUTES {
                entry.attributes.push((lower(key).into_owned(), clean(value, MAX_TEXT).into_owned()));
            }
            match lower(key).as_ref() {
                "tvg-id" => put(&mut entry.guide_id, value),
                "tvg-name" => put(name, value),
                "tvg-logo" | "logo" => put_url(&mut entry.logo, value),
                "group-title" => {
                    // Kodi's lists of groups; we keep one.
                    let first = value.split(';').map(str::trim).find(|g| !g.is_empty()).unwrap_or_default();
                    put(&mut entry.group, first);
                    sticky.clear();
                }
                "tvg-chno" | "ch-number" | "channel-number" => entry.number = value.parse().unwrap_or(0),
                "tvg-shift" => entry.shift_min = hours(value),
                "radio" => entry.radio = ["true", "1", "yes"].iter().any(|w| w.eq_ignore_ascii_case(value)),
                "http-user-agent" | "user-agent" | "http-referrer" | "http-referer" => {
                    headers::set(headers, key, value)
                }
                key => attributes.set(key, value),
            }
        });
        put(&mut entry.name, shown);
    }

    fn header(&mut self) {
        let Self { lines, defaults, summary, .. } = self;
        attributes::split(&lines.text().trim_start()[7..], |key, value| match lower(key).as_ref() {
            "x-tvg-url" | "url-tvg" | "tvg-url" => {
                for url in value.split(',').map(str::trim).filter(|u| !u.is_empty()).take(8) {
                    if url.len() <= MAX_URL && !summary.guides.iter().any(|g| g == url) {
                        summary.guides.push(url.to_owned());
                    }
                }
            }
            key => defaults.set(key, value),
        });
    }

    fn directive(&mut self) -> Result<(), ReadError> {
        let line = self.lines.text().trim();
        if let Some(group) = strip_word(line, "#EXTGRP:") {
            let first = group.split(';').map(str::trim).find(|g| !g.is_empty()).unwrap_or_default();
            put(&mut self.sticky, first);
        } else if ["#EXT-X-STREAM-INF", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE"]
            .iter()
            .any(|w| line.starts_with(w))
        {
            return Err(ReadError::NotPlaylist(
                "is the playlist of one HLS stream, not a list of channels: add its URL as a channel instead"
                    .to_owned(),
            ));
        } else {
            headers::directive(&mut self.open.headers, line);
        }
        Ok(())
    }

    fn url(&mut self) {
        let number = self.lines.number();
        if !self.open.info && !self.open.target {
            if self.seen_info {
                self.summary.skip(number, "is a URL without #EXTINF");
                self.open.clear();
                return;
            }
            // A plain list: each line is a channel.
            self.open.entry.line = number;
        }
        let line = self.lines.text().trim();
        let (url, options) = match line.split_once('|') {
            Some((url, options)) if is_http(line) => (url, options),
            _ => (line, ""),
        };
        let url =
            if is_http(url) && url.contains(' ') { Cow::Owned(url.trim().replace(' ', "%20")) } else { url.into() };
        self.open.target = true;
        match Locator::parse(&url) {
            Ok(locator) if locator.is_local() && !self.local => {
                let kind = locator.kind();
                self.summary
                    .skip(number, format!("{kind}: is taken only from sources that import.trusted_sources names"));
            }
            Ok(locator) => {
                let mut headers = match locator {
                    Locator::Http(_) => self.open.headers.clone(),
                    _ => Headers::new(),
                };
                headers::pairs(&mut headers, options);
                let source = ChannelSource { url: locator.to_string(), headers };
                let sources = &mut self.open.entry.sources;
                // Further URLs are other places of the same channel.
                if sources.len() < MAX_SOURCES && !sources.contains(&source) {
                    sources.push(source);
                }
            }
            Err(reason) => {
                let shown = redact(&clean(&url, 80));
                self.summary.skip(number, format!("{shown}: {reason}"));
            }
        }
    }
}

enum Kind {
    Header,
    Info,
    Directive,
    Url,
}

impl Kind {
    /// None for an empty line.
    fn of(line: &str) -> Option<Self> {
        let line = line.trim();
        Some(if line.is_empty() {
            return None;
        } else if !line.starts_with('#') {
            Self::Url
        } else if strip_word(line, "#EXTINF:").is_some() {
            Self::Info
        } else if strip_word(line, "#EXTM3U").is_some() {
            Self::Header
        } else {
            Self::Directive
        })
    }
}

fn strip_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = line.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

fn lower(key: &str) -> Cow<'_, str> {
    if key.bytes().any(|b| b.is_ascii_uppercase()) { key.to_ascii_lowercase().into() } else { key.into() }
}

/// `+2`, `-1.5` hours as minutes; what is no number, or more than a day, is none.
fn hours(text: &str) -> i16 {
    let minutes = text.parse::<f32>().map_or(0.0, |h| h * 60.0);
    if minutes.abs() <= 1440.0 { minutes.round() as i16 } else { 0 }
}

fn put(field: &mut String, value: &str) {
    field.clear();
    field.push_str(&clean(value, MAX_TEXT));
}

fn is_http(text: &str) -> bool {
    strip_word(text, "http://").or_else(|| strip_word(text, "https://")).is_some_and(|host| !host.is_empty())
}

/// Only absolute URLs without blanks: others would be asked of the wrong host, or shift a line.
fn put_url(field: &mut String, value: &str) {
    field.clear();
    let value = value.trim();
    if is_http(value) && value.len() <= MAX_URL && !value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        field.push_str(&clean(value, MAX_URL));
    }
}

/// May be relative or hold placeholders.
fn put_url_like(field: &mut String, value: &str) {
    field.clear();
    field.push_str(&clean(value, MAX_URL));
}

/// The last part of a path, for entries without any name.
fn name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let last = path.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let name = clean(last, 80).into_owned();
    if name.is_empty() { "Channel".to_owned() } else { name }
}
