//! Reads XMLTV as a stream of channels and programmes.
//!
//! Owns the shape of XMLTV, what makes a programme unusable, and the caps that make XML bombs cheap. Must not enter: files,
//! windows, the line-up. Invariants: entities of a DOCTYPE are never expanded (a document that declares any is refused) and nothing is ever fetched; memory is
//! bounded by one token; a document that does not end well is an error as a whole.

use std::io::{self, BufRead};

use quick_xml::{
    Reader,
    escape::{resolve_html5_entity, unescape_with},
    events::{BytesRef, BytesStart, Event},
};
use yagi_api::{Programme, text::clean};

use super::{decode::Text, time::Clock};

const MAX_DEPTH: u32 = 32;
/// Elements in the wrong place, or unknown ones between programmes.
const MAX_STRAYS: u32 = 1_000_000;
const MAX_NOTES: usize = 20;
const MAX_NAMES: usize = 4;
/// Bytes of an element's text that are gathered before it is cleaned.
const MAX_RAW: usize = 8192;

/// What is in a guide, in the document's order.
pub enum Item<'a> {
    Channel {
        id: &'a str,
        names: &'a [String],
    },
    /// `stop` is 0 when the document names none.
    Programme {
        channel: &'a str,
        programme: &'a Programme,
    },
}

/// What a whole document held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Usable programmes.
    pub programmes: u32,
    pub skipped: u32,
    /// `line 12: …`, the first twenty.
    pub notes: Vec<String>,
}

/// Why a document is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("line {line}: {reason}")]
    Document { line: u64, reason: String },
    #[error("{0}")]
    Io(#[from] io::Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    Channel,
    Programme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    None,
    Name,
    Title,
    Subtitle,
    Description,
    Category,
}

struct State {
    depth: u32,
    inside: Inside,
    field: Field,
    text: String,
    channel: String,
    names: Vec<String>,
    programme: Programme,
    /// Why the programme that is being read cannot be used.
    fault: Option<&'static str>,
    began: u64,
    strays: u32,
    root_seen: bool,
    counts: Counts,
}

/// The same, times as the document names them.
#[cfg_attr(not(test), allow(dead_code, reason = "for looks at a document that is not kept"))]
pub fn read<R: BufRead>(input: Text<R>, sink: impl FnMut(Item<'_>) -> Result<(), Refusal>) -> Result<Counts, Refusal> {
    read_in(input, &Clock::default(), sink)
}

/// Reads `input` to its end and gives every usable item to `sink`.
pub fn read_in<R: BufRead>(
    input: Text<R>,
    clock: &Clock,
    mut sink: impl FnMut(Item<'_>) -> Result<(), Refusal>,
) -> Result<Counts, Refusal> {
    let mut reader = Reader::from_reader(input);
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.allow_unmatched_ends = true;
    config.check_end_names = false;
    config.expand_empty_elements = false;
    let mut buf = Vec::new();
    let mut state = State::new();
    loop {
        buf.clear();
        reader.get_mut().next_token();
        let event = match reader.read_event_into(&mut buf) {
            Ok(event) => event,
            Err(quick_xml::Error::Io(e)) if e.kind() != io::ErrorKind::InvalidData => {
                return Err(io::Error::new(e.kind(), e.to_string()).into());
            }
            Err(e) => return Err(refuse(reader.get_ref().line(), format!("the XML is broken: {e}"))),
        };
        let step = match event {
            Event::Start(tag) => state.open(&tag, reader.get_ref().line(), clock),
            Event::Empty(tag) => match state.open(&tag, reader.get_ref().line(), clock) {
                Ok(()) => state.close(tag.name().as_ref(), &mut sink),
                other => other,
            },
            Event::End(tag) => state.close(tag.name().as_ref(), &mut sink),
            Event::Text(text) => state.add(&text),
            Event::CData(text) => state.add(&text),
            Event::GeneralRef(entity) => state.entity(&entity),
            Event::Eof => break,
            // No guide declares entities; who does wants them expanded, which never happens here.
            Event::DocType(text) if text.contains("<!ENTITY") => {
                reason("its DOCTYPE declares entities, expected plain XMLTV")
            }
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => Ok(()),
        };
        step.map_err(|fault| match fault {
            Fault::Reason(reason) => refuse(reader.get_ref().line(), reason),
            Fault::Sink(refusal) => refusal,
        })?;
    }
    let line = reader.get_ref().line();
    if !state.root_seen {
        return Err(refuse(line, "there is no <tv> element: this is no XMLTV file".to_owned()));
    }
    if state.depth > 0 {
        return Err(refuse(line, "the file ends before </tv>: it is cut off".to_owned()));
    }
    Ok(state.counts)
}

fn refuse(line: u64, reason: String) -> Refusal {
    Refusal::Document { line, reason }
}

enum Fault {
    Reason(String),
    Sink(Refusal),
}

type Step = Result<(), Fault>;

fn reason(text: impl Into<String>) -> Step {
    Err(Fault::Reason(text.into()))
}

impl State {
    fn new() -> Self {
        Self {
            depth: 0,
            inside: Inside::Nothing,
            field: Field::None,
            text: String::new(),
            channel: String::new(),
            names: Vec::new(),
            programme: Programme::default(),
            fault: None,
            began: 0,
            strays: 0,
            root_seen: false,
            counts: Counts::default(),
        }
    }

    fn open(&mut self, tag: &BytesStart<'_>, line: u64, clock: &Clock) -> Step {
        let name = tag.name();
        let name: &str = name.as_ref();
        if self.depth == 0 {
            if self.root_seen || name != "tv" {
                let shown = name;
                return reason(format!("the root element is <{}>, expected one <tv>", clean(shown, 40)));
            }
            self.root_seen = true;
        } else if matches!(name, "programme" | "channel") && self.inside != Inside::Nothing {
            return reason("a <programme> or <channel> begins inside another one");
        } else if self.depth == 1 {
            match name {
                "programme" => self.open_programme(tag, line, clock),
                "channel" => {
                    self.inside = Inside::Channel;
                    self.names.clear();
                    self.channel = attribute(tag, "id", 256).unwrap_or_default();
                }
                _ => self.stray()?,
            }
        } else if self.depth == 2 {
            self.open_field(name, tag);
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH { reason(format!("elements are nested deeper than {MAX_DEPTH}")) } else { Ok(()) }
    }

    fn stray(&mut self) -> Step {
        self.strays += 1;
        if self.strays > MAX_STRAYS { reason("too many elements that are no part of a guide") } else { Ok(()) }
    }

    fn open_programme(&mut self, tag: &BytesStart<'_>, line: u64, clock: &Clock) {
        self.inside = Inside::Programme;
        self.began = line;
        self.fault = None;
        self.programme = Programme::default();
        self.channel.clear();
        let (mut start, mut stop) = (None, None);
        for attribute in tag.attributes().with_checks(false).flatten() {
            match attribute.key.as_ref() {
                "channel" => self.channel = clean(&unescape(&attribute.value), 256).into_owned(),
                "start" => start = Some(clock.read(&unescape(&attribute.value))),
                "stop" => stop = Some(clock.read(&unescape(&attribute.value))),
                _ => {}
            }
        }
        match (start, stop) {
            _ if self.channel.is_empty() => self.fault = Some("it names no channel"),
            (None, _) => self.fault = Some("it has no start"),
            (Some(None), _) => self.fault = Some("its start is no time, expected YYYYMMDDhhmmss +hhmm"),
            (_, Some(None)) => self.fault = Some("its stop is no time, expected YYYYMMDDhhmmss +hhmm"),
            (Some(Some(start)), Some(Some(stop))) if stop <= start => self.fault = Some("it stops before it starts"),
            (Some(Some(start)), stop) => {
                self.programme.start = start;
                self.programme.stop = stop.flatten().unwrap_or(0);
            }
        }
    }

    fn open_field(&mut self, name: &str, tag: &BytesStart<'_>) {
        let p = &mut self.programme;
        // The first of several (languages, categories) is kept.
        self.field = match (self.inside, name) {
            (Inside::Channel, "display-name") if self.names.len() < MAX_NAMES => Field::Name,
            (Inside::Programme, _) if self.fault.is_some() => Field::None,
            (Inside::Programme, "title") if p.title.is_empty() => {
                p.lang = attribute(tag, "lang", 16).unwrap_or_default();
                Field::Title
            }
            (Inside::Programme, "sub-title") if p.subtitle.is_empty() => Field::Subtitle,
            (Inside::Programme, "desc") if p.description.is_empty() => Field::Description,
            (Inside::Programme, "category") if p.category.is_empty() => Field::Category,
            (Inside::Programme, "icon") if p.icon.is_empty() => {
                let url = attribute(tag, "src", 1024).unwrap_or_default();
                if url.starts_with("http://") || url.starts_with("https://") {
                    p.icon = url;
                }
                Field::None
            }
            _ => Field::None,
        };
        self.text.clear();
    }

    fn close(&mut self, name: &str, sink: &mut impl FnMut(Item<'_>) -> Result<(), Refusal>) -> Step {
        match (name, self.inside) {
            // HTML in a description may be left open: the end of the whole is what counts.
            ("programme", Inside::Programme) | ("channel", Inside::Channel) => {
                if self.depth == 3 {
                    self.take_field();
                }
                self.depth = 1;
                self.field = Field::None;
                self.emit(sink).map_err(Fault::Sink)?;
                self.inside = Inside::Nothing;
                return Ok(());
            }
            ("tv", Inside::Programme | Inside::Channel) => return reason("</tv> comes inside an open element"),
            ("title" | "sub-title" | "desc" | "category" | "display-name", Inside::Programme | Inside::Channel) => {
                self.take_field();
                self.depth = 2;
                return Ok(());
            }
            _ => {}
        }
        if self.depth == 3 {
            self.take_field();
        }
        // A stray end tag closes nothing that matters.
        let floor = match (self.inside, name) {
            (Inside::Nothing, "tv") => 0,
            (Inside::Nothing, _) => 1.min(self.depth),
            _ => 2.min(self.depth),
        };
        self.depth = self.depth.saturating_sub(1).max(floor);
        Ok(())
    }

    fn take_field(&mut self) {
        let target = match std::mem::replace(&mut self.field, Field::None) {
            Field::None => return,
            Field::Name => {
                let name = clean(&self.text, 128);
                if !name.is_empty() {
                    self.names.push(name.into_owned());
                }
                return;
            }
            Field::Title => (&mut self.programme.title, 512),
            Field::Subtitle => (&mut self.programme.subtitle, 512),
            Field::Description => (&mut self.programme.description, 4096),
            Field::Category => (&mut self.programme.category, 128),
        };
        target.0.push_str(&clean(&self.text, target.1));
    }

    fn emit(&mut self, sink: &mut impl FnMut(Item<'_>) -> Result<(), Refusal>) -> Result<(), Refusal> {
        if self.inside == Inside::Channel {
            if self.channel.is_empty() {
                return Ok(());
            }
            return sink(Item::Channel { id: &self.channel, names: &self.names });
        }
        let fault = self.fault.or(self.programme.title.is_empty().then_some("it has no title"));
        if let Some(fault) = fault {
            self.counts.skipped = self.counts.skipped.saturating_add(1);
            if self.counts.notes.len() < MAX_NOTES {
                self.counts.notes.push(format!("line {}: a programme was skipped, {fault}", self.began));
            }
            return Ok(());
        }
        self.counts.programmes = self.counts.programmes.saturating_add(1);
        sink(Item::Programme { channel: &self.channel, programme: &self.programme })
    }

    fn add(&mut self, text: &str) -> Step {
        if self.depth == 0 && !text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n', '\0']).is_empty() {
            return reason("there is text outside of <tv>: this is no XMLTV file");
        }
        if self.field != Field::None {
            push_capped(&mut self.text, text);
        }
        Ok(())
    }

    fn entity(&mut self, entity: &BytesRef<'_>) -> Step {
        if self.field == Field::None {
            return Ok(());
        }
        let name: &str = entity;
        if let Ok(Some(c)) = entity.resolve_char_ref() {
            push_capped(&mut self.text, c.encode_utf8(&mut [0; 4]));
        } else if let Some(text) = resolve_html5_entity(name) {
            push_capped(&mut self.text, text);
        } else {
            for part in ["&", name, ";"] {
                push_capped(&mut self.text, part);
            }
        }
        Ok(())
    }
}

fn push_capped(to: &mut String, text: &str) {
    let room = MAX_RAW.saturating_sub(to.len());
    to.push_str(&text[..text.floor_char_boundary(room)]);
}

fn attribute(tag: &BytesStart<'_>, name: &str, max: usize) -> Option<String> {
    let found = tag.attributes().with_checks(false).flatten().find(|a| a.key.as_ref() == name)?;
    Some(clean(&unescape(&found.value), max).into_owned())
}

/// Entities resolved; text that has unknown ones is kept as it is.
fn unescape(raw: &str) -> std::borrow::Cow<'_, str> {
    if !raw.contains('&') {
        return raw.into();
    }
    unescape_with(raw, resolve_html5_entity).unwrap_or(raw.into())
}

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod tests;
