//! Writes a viewer's line-up as XMLTV, piece by piece.
//!
//! Owns the shape of `xmltv.php`: DTD order, escaping, gzip, ETag. Must not enter: HTTP, logins, what programmes there are.
//! Invariants: whatever the guide holds, the output is well-formed XML 1.0; all channels come before all programmes; one
//! piece and one programme are in memory, not the guide.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use bytes::Bytes;
use yagi_api::{Channel, Programme};

use super::{Guide, Programmes, shelf::Shelf, testcard, time, walk};
use crate::library::{Catalog, Viewer};

const PIECE: usize = 32 << 10;
const DAY: i64 = 24 * 3600;

/// Which programmes are wanted: epoch seconds, moved by whole hours so that an answer stays the same for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    from: i64,
    until: i64,
}

impl Window {
    /// Days before and after `now`, as `prev_days` and `next_days` of panels; none: all.
    pub fn new(before: Option<u16>, after: Option<u16>, now: i64) -> Self {
        let hour = now.div_euclid(3600) * 3600;
        Self {
            from: before.map_or(i64::MIN, |days| hour - i64::from(days) * DAY),
            until: after.map_or(i64::MAX, |days| hour + 3600 + i64::from(days) * DAY),
        }
    }

    pub const ALL: Self = Self { from: i64::MIN, until: i64::MAX };
}

/// What of the guide is asked for, and from where.
#[derive(Clone, Debug)]
pub struct Asked {
    /// For the test card.
    pub now: i64,
    pub window: Window,
    /// The daemon's address as this player reaches it, for logos.
    pub base: String,
}

/// `xmltv.php` for a viewer.
pub fn pieces(
    guide: &Guide,
    catalog: Arc<Catalog>,
    viewer: Arc<Viewer>,
    asked: Asked,
) -> impl Iterator<Item = Bytes> + Send + 'static {
    Writer {
        shelf: guide.0.shelf.load_full(),
        catalog,
        viewer,
        asked,
        part: Part::Head,
        next: 0,
        id: String::new(),
        open: None,
        out: Vec::with_capacity(PIECE + 8192),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Channels,
    Programmes,
    End,
}

struct Writer {
    shelf: Arc<Shelf>,
    catalog: Arc<Catalog>,
    viewer: Arc<Viewer>,
    asked: Asked,
    part: Part,
    /// Index of the next channel of the catalog.
    next: usize,
    /// The channel whose programmes are open.
    id: String,
    open: Option<Programmes>,
    out: Vec<u8>,
}

impl Writer {
    /// With its id in the guide.
    fn next_channel(&mut self) -> Option<(Arc<Channel>, String)> {
        let index = self.catalog.next_of(&self.viewer, self.next)?;
        self.next = index + 1;
        let channel = Arc::clone(&self.catalog.channels()[index]);
        let id = self.catalog.output_id_at(index, &channel).into_owned();
        Some((channel, id))
    }

    /// Writes something more; false when all is written.
    fn step(&mut self) -> bool {
        match self.part {
            Part::Head => {
                self.out.extend_from_slice(
                    b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE tv SYSTEM \"xmltv.dtd\">\n\
                      <tv generator-info-name=\"Yagi\">\n",
                );
                self.part = Part::Channels;
            }
            Part::Channels => match self.next_channel() {
                Some((c, id)) => {
                    let logo = self.catalog.logo(&c, &self.asked.base);
                    channel(&mut self.out, &id, &c.name, &logo);
                }
                None => (self.part, self.next) = (Part::Programmes, 0),
            },
            Part::Programmes => self.programmes(),
            Part::End => return false,
        }
        true
    }

    fn programmes(&mut self) {
        if let Some(open) = &mut self.open {
            match open.next() {
                Some(Ok(p)) if p.start < self.asked.window.until => return programme(&mut self.out, &self.id, &p),
                Some(Ok(_)) => {}
                Some(Err(e)) => tracing::warn!(channel = %self.id, error = %e, "the guide of a channel cannot be read"),
                None => {}
            }
            self.open = None;
        }
        match self.next_channel() {
            Some((c, id)) => {
                self.id = id;
                self.open = Some(walk(&self.shelf, &c, self.asked.now, self.asked.window.from));
            }
            None => {
                self.out.extend_from_slice(b"</tv>\n");
                self.part = Part::End;
            }
        }
    }
}

impl Iterator for Writer {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while self.out.len() < PIECE && self.step() {}
        if self.out.is_empty() {
            return None;
        }
        Some(std::mem::replace(&mut self.out, Vec::with_capacity(PIECE + 8192)).into())
    }
}

fn channel(out: &mut Vec<u8>, id: &str, name: &str, logo: &str) {
    out.extend_from_slice(b"<channel id=\"");
    escape(out, id);
    out.extend_from_slice(b"\">");
    element(out, "display-name", "", if name.is_empty() { id } else { name });
    icon(out, logo);
    out.extend_from_slice(b"</channel>\n");
}

fn programme(out: &mut Vec<u8>, id: &str, p: &Programme) {
    out.extend_from_slice(b"<programme start=\"");
    time::xmltv(out, p.start);
    out.extend_from_slice(b"\" stop=\"");
    time::xmltv(out, p.stop);
    out.extend_from_slice(b"\" channel=\"");
    escape(out, id);
    out.extend_from_slice(b"\">");
    element(out, "title", &p.lang, &p.title);
    for (name, text) in [("sub-title", &p.subtitle), ("desc", &p.description), ("category", &p.category)] {
        if !text.is_empty() {
            element(out, name, &p.lang, text);
        }
    }
    icon(out, &p.icon);
    out.extend_from_slice(b"</programme>\n");
}

fn element(out: &mut Vec<u8>, name: &str, lang: &str, text: &str) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    if !lang.is_empty() {
        out.extend_from_slice(b" lang=\"");
        escape(out, lang);
        out.push(b'"');
    }
    out.push(b'>');
    escape(out, text);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

fn icon(out: &mut Vec<u8>, url: &str) {
    if !url.is_empty() {
        out.extend_from_slice(b"<icon src=\"");
        escape(out, url);
        out.extend_from_slice(b"\"/>");
    }
}

/// Text for elements and attributes; characters that XML 1.0 has no room for, and those that forge lines, are left out.
fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    // What needs no look at its characters is most of it, and copied in one go.
    while let Some(at) = rest.bytes().position(|b| LOOKED_AT[usize::from(b)]) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut chars = from.chars();
        match chars.next() {
            Some('&') => out.extend_from_slice(b"&amp;"),
            Some('<') => out.extend_from_slice(b"&lt;"),
            Some('>') => out.extend_from_slice(b"&gt;"),
            Some('"') => out.extend_from_slice(b"&quot;"),
            Some('\'') => out.extend_from_slice(b"&apos;"),
            Some(c) if yagi_api::text::is_foul(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {}
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Bytes that are markup or control, or begin a character that may be foul.
const LOOKED_AT: [bool; 256] = {
    let mut looked_at = [false; 256];
    let mut b = 0;
    while b < 256 {
        looked_at[b] = matches!(b as u8, b'&' | b'<' | b'>' | b'"' | b'\'')
            || b < 0x20
            || matches!(b, 0x7f | 0xc2 | 0xd8 | 0xe2 | 0xef);
        b += 1;
    }
    looked_at
};

/// What the bytes of [`pieces`] depend on, beside the edition of line-up and guide.
pub fn key(catalog: &Catalog, viewer: &Viewer, asked: &Asked) -> String {
    let card = catalog.has_testcard(viewer).then(|| testcard::edition(asked.now));
    let logos = catalog.serves_logos(&asked.base).then_some(&asked.base);
    format!("{:?} {card:?} {:?} {logos:?}", viewer.class(), asked.window)
}

/// When the bytes last changed; epoch seconds.
pub fn changed_at(guide: &Guide, catalog: &Catalog, viewer: &Viewer, asked: &Asked) -> i64 {
    let moves = asked.window != Window::ALL || catalog.has_testcard(viewer);
    let card = moves.then(|| testcard::edition(asked.now) * 3600);
    let built = guide.0.shelf.load().generations.iter().map(|g| g.facts.built_at).max();
    [Some(catalog.edited_at), card, built].into_iter().flatten().max().unwrap_or(0)
}

/// Changes whenever the bytes of [`pieces`] would; strong, with its quotes.
pub fn etag(guide: &Guide, catalog: &Catalog, viewer: &Viewer, asked: &Asked, gzip: bool) -> String {
    let mut hash = DefaultHasher::new();
    (guide.0.salt, guide.generation(), catalog.edition, key(catalog, viewer, asked), gzip).hash(&mut hash);
    format!("\"{:016x}\"", hash.finish())
}
