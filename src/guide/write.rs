//! Writes a viewer's line-up as XMLTV, piece by piece.
//!
//! Owns the shape of `xmltv.php`: DTD order, escaping, ETag, and what a run of it depends on. Must not enter: HTTP, logins, what programmes there are.
//! Invariants: whatever the guide holds, the output is well-formed XML 1.0; all channels come before all programmes;
//! some pieces are in memory, not the guide.

use std::{
    hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use bytes::Bytes;
use yagi_api::{Channel, Programme};

use super::{Guide, Programmes, shelf::Shelf, testcard, time, walk};
use crate::{
    http::packs::{self, Hasher, ends_piece},
    library::{Catalog, Viewer},
};

const PIECE: usize = 48 << 10;
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

/// `xmltv.php` for a viewer, in runs: whoever knows what one was made of knows its text.
pub fn runs(
    guide: &Guide,
    catalog: Arc<Catalog>,
    viewer: Arc<Viewer>,
    asked: Asked,
    hasher: Hasher,
) -> impl Iterator<Item = packs::Run> + Send + 'static {
    const HEAD: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE tv SYSTEM \"xmltv.dtd\">\n\
                          <tv generator-info-name=\"Yagi\">\n";
    let whole = Arc::new(Whole { shelf: guide.0.shelf.load_full(), catalog, viewer, asked, hasher });
    let once = |text: &'static [u8]| {
        let text = Box::new(std::iter::once(Bytes::from_static(text)));
        std::iter::once(packs::Run { causes: None, text })
    };
    once(HEAD)
        .chain(Runs { whole: Arc::clone(&whole), part: Part::Channels, next: 0 })
        .chain(Runs { whole, part: Part::Programmes, next: 0 })
        .chain(once(b"</tv>\n"))
}

/// Its text.
#[cfg(test)]
pub fn pieces(
    guide: &Guide,
    catalog: Arc<Catalog>,
    viewer: Arc<Viewer>,
    asked: Asked,
) -> impl Iterator<Item = Bytes> + Send + 'static {
    runs(guide, catalog, viewer, asked, Hasher::default()).flat_map(|run| run.text)
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Channels,
    Programmes,
}

impl Part {
    /// Whether a run ends behind the channel of this number. It depends on nothing else, so that a change of one channel touches its
    /// own run alone.
    fn ends(self, number: u32) -> bool {
        match self {
            Self::Channels => ends_piece(number),
            // One in 16.
            Self::Programmes => number.wrapping_mul(0x9e37_79b1) >> 28 == 0,
        }
    }
}

/// What an answer is made of.
struct Whole {
    shelf: Arc<Shelf>,
    catalog: Arc<Catalog>,
    viewer: Arc<Viewer>,
    asked: Asked,
    hasher: Hasher,
}

/// One part of the document in runs of channels.
struct Runs {
    whole: Arc<Whole>,
    part: Part,
    /// Index of the first channel of the catalog that no run has.
    next: usize,
}

impl Iterator for Runs {
    type Item = packs::Run;

    fn next(&mut self) -> Option<packs::Run> {
        let Whole { shelf, catalog, viewer, asked, hasher } = &*self.whole;
        let from = self.next;
        let rest = catalog.channels().get(from..).filter(|rest| !rest.is_empty())?;
        let mut causes = hasher.build_hasher();
        (self.part, shelf.number, asked.window).hash(&mut causes);
        for (index, channel) in (from..).zip(rest) {
            self.next = index + 1;
            if catalog.may_watch(viewer, channel) {
                // A logo at its own address is part of the channel; one of ours depends on how the player reaches us.
                let logo = (self.part == Part::Channels).then(|| catalog.logo(channel, &asked.base));
                let card = channel.is_testcard().then(|| testcard::edition(asked.now));
                (channel.id, catalog.output_id_at(index, channel), logo, card).hash(&mut causes);
                (&channel.name, &channel.guide_id, channel.guide_shift_min).hash(&mut causes);
            }
            if self.part.ends(channel.id.0) {
                break;
            }
        }
        let text = Box::new(Run::of(self.part, &self.whole, from, self.next));
        Some(packs::Run { causes: Some(causes.finish()), text })
    }
}

/// A run of channels of one part.
struct Run {
    whole: Arc<Whole>,
    part: Part,
    /// Index of its next channel in the catalog, and that behind its last.
    next: usize,
    end: usize,
    /// The channel whose programmes are open.
    id: String,
    open: Option<Programmes>,
    out: Vec<u8>,
}

impl Run {
    fn of(part: Part, whole: &Arc<Whole>, next: usize, end: usize) -> Self {
        Self { whole: Arc::clone(whole), part, next, end, id: String::new(), open: None, out: Vec::new() }
    }

    /// With its id in the guide.
    fn next_channel(&mut self) -> Option<(Arc<Channel>, String)> {
        let catalog = &self.whole.catalog;
        let rest = catalog.channels().get(self.next..self.end)?;
        let found = rest.iter().position(|c| catalog.may_watch(&self.whole.viewer, c));
        let index = self.next + found.unwrap_or(rest.len());
        self.next = index + 1;
        let channel = Arc::clone(catalog.channels().get(index).filter(|_| found.is_some())?);
        let id = catalog.output_id_at(index, &channel).into_owned();
        Some((channel, id))
    }

    /// Writes something more; false when all is written.
    fn step(&mut self) -> bool {
        let (asked, shelf) = (&self.whole.asked, &self.whole.shelf);
        if let Some(open) = &mut self.open {
            match open.next() {
                Some(Ok(p)) if p.start < asked.window.until => {
                    programme(&mut self.out, &self.id, &p);
                    return true;
                }
                Some(Ok(_)) => {}
                Some(Err(e)) => tracing::warn!(channel = %self.id, error = %e, "the guide of a channel cannot be read"),
                None => {}
            }
            self.open = None;
            return true;
        }
        let (now, from) = (asked.now, asked.window.from);
        let shelf = Arc::clone(shelf);
        let Some((c, id)) = self.next_channel() else { return false };
        match self.part {
            Part::Channels => {
                let logo = self.whole.catalog.logo(&c, &self.whole.asked.base);
                channel(&mut self.out, &id, &c.name, &logo);
            }
            Part::Programmes => (self.id, self.open) = (id, Some(walk(&shelf, &c, now, from))),
        }
        true
    }
}

impl Iterator for Run {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.out.capacity() == 0 {
            self.out.reserve(PIECE + 8192);
        }
        while self.out.len() < PIECE && self.step() {}
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).into())
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
fn key(catalog: &Catalog, viewer: &Viewer, asked: &Asked) -> String {
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
