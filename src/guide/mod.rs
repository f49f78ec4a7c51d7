//! The programme guide: XMLTV in, one generation file per source, one merged view out.
//!
//! Owns the generations on disk, their small index in memory and the matching of channels to them. Must not enter: SQL,
//! sockets (the download is `upstream::fetch`'s), accounts beyond the viewer whose line-up is written. Invariant: readers
//! see one whole merged guide or the next one, never a mixture and never a half-read file.

mod build;
mod coming;
mod decode;
mod file;
mod likeness;
mod matching;
mod merge;
mod record;
pub mod refresh;
mod shelf;
pub mod testcard;
#[cfg(test)]
mod tests;
pub mod time;
pub mod write;
mod xmltv;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use yagi_api::{Channel, ExplainGuide, GuideChannel, GuideMatch, GuideStatus, Programme, SourceId};

use self::{
    coming::Coming,
    file::{Generation, Walk},
    matching::Policy,
    shelf::Shelf,
};
use crate::{library::Catalog, names};

/// Names that are less alike are not suggested.
const LEAST_ALIKE: f32 = 0.55;

/// Handle to the merged guide; cheap to clone.
#[derive(Clone)]
pub struct Guide(Arc<Room>);

struct Room {
    dir: PathBuf,
    shelf: ArcSwap<Shelf>,
    /// Held while the shelf is rebuilt, so that two refreshes do not lose one another.
    swap: Mutex<()>,
    matched: Mutex<Option<Matched>>,
    coming: Coming,
    /// Tells the answers of this process from those of another.
    salt: u64,
}

/// The last count of channels with and without programmes, and what it was counted from.
#[derive(Clone)]
struct Matched {
    generation: u64,
    rev: u64,
    how: Arc<[GuideMatch]>,
    with: u32,
    without: u32,
}

impl Guide {
    /// Opens the generations of an earlier run; damaged ones are dropped with a warning.
    pub fn open(state_dir: &Path) -> io::Result<Guide> {
        let dir = state_dir.join("guide");
        fs::create_dir_all(&dir)?;
        build::sweep(&dir)?;
        let mut generations = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let source = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix("source-"));
            let Some(source) = source.and_then(|n| n.strip_suffix(".guide")).and_then(|n| n.parse().ok()) else {
                continue;
            };
            match Generation::open(&path) {
                Ok(generation) if generation.source() == SourceId(source) => generations.push(Arc::new(generation)),
                Ok(_) => drop_file(&path, "it belongs to another source"),
                Err(e) if e.kind() == io::ErrorKind::InvalidData || e.kind() == io::ErrorKind::UnexpectedEof => {
                    drop_file(&path, &e.to_string());
                }
                Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
            }
        }
        let number = u64::from(!generations.is_empty());
        Ok(Guide(Arc::new(Room {
            dir,
            shelf: ArcSwap::from_pointee(Shelf::new(number, generations, Arc::default())),
            swap: Mutex::default(),
            matched: Mutex::default(),
            coming: Coming::default(),
            salt: std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
        })))
    }

    /// Counts swaps; 0 before the first guide.
    pub fn generation(&self) -> u64 {
        self.0.shelf.load().number
    }

    /// For `GET /api/guide`.
    pub fn status(&self, catalog: &Catalog) -> GuideStatus {
        let (shelf, counted) = (self.0.shelf.load_full(), self.matched(catalog));
        GuideStatus { matched: counted.with, unmatched: counted.without, ..shelf.status() }
    }

    /// How each channel of the catalog finds its programmes, in the catalog's order. Channels that are not listed do not look.
    pub fn matches(&self, catalog: &Catalog) -> Arc<[GuideMatch]> {
        self.matched(catalog).how
    }

    fn matched(&self, catalog: &Catalog) -> Matched {
        let shelf = self.0.shelf.load_full();
        let known = self.0.matched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|m| (m.generation, m.rev) == (shelf.number, catalog.rev)) {
            return known;
        }
        let how = |c: &Arc<Channel>| match c.is_listed() {
            false => GuideMatch::None,
            true if c.is_testcard() => GuideMatch::Testcard,
            true => shelf.find_how(c).map_or(GuideMatch::None, |(how, ..)| how),
        };
        let how: Arc<[GuideMatch]> = catalog.channels().iter().map(how).collect();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let with = how.iter().filter(|h| **h != GuideMatch::None).count();
        let listed = catalog.channels().iter().filter(|c| c.is_listed()).count();
        let matched = Matched {
            generation: shelf.number,
            rev: catalog.rev,
            how,
            with: count(with),
            without: count(listed - with),
        };
        *self.0.matched.lock().unwrap_or_else(PoisonError::into_inner) = Some(matched.clone());
        matched
    }

    /// Where one channel's programmes come from, and names like its own when it has none.
    pub fn explain(&self, catalog: &Catalog, channel: &Channel, suggestions: usize) -> GuideChannel {
        let shelf = self.0.shelf.load_full();
        let mut row = GuideChannel {
            id: channel.id,
            version: channel.version,
            number: channel.number,
            name: channel.name.clone(),
            category: catalog.category_name(channel).to_owned(),
            guide_id: channel.guide_id.clone(),
            how: GuideMatch::None,
            score: 0.0,
            matched_id: None,
            matched_name: None,
            source: None,
            suggestions: Vec::new(),
            now: None,
            next: None,
        };
        if channel.is_testcard() {
            (row.how, row.score) = (GuideMatch::Testcard, 1.0);
        } else if let Some((how, generation, at)) = shelf.find_how(channel) {
            (row.how, row.score, row.source) = (how, matching::score(how), Some(generation.source()));
            if let Some(listing) = generation.channels.get(at) {
                row.matched_id = Some(listing.id.clone());
                row.matched_name = listing.names.first().cloned();
            }
        } else if suggestions > 0 {
            row.suggestions = shelf.alike(&channel.name, suggestions, LEAST_ALIKE);
        }
        row
    }

    /// What is on at `now`, and what follows.
    pub fn now_next(&self, channel: &Channel, now: i64) -> io::Result<(Option<Programme>, Option<Programme>)> {
        let mut coming = self.coming(channel, now, 2)?.into_iter().peekable();
        Ok((coming.next_if(|p| p.start <= now), coming.next()))
    }

    /// The current programme and the next ones, at most `most`: from memory, where somebody asked before.
    pub fn coming(&self, channel: &Channel, now: i64, most: usize) -> io::Result<Vec<Programme>> {
        let shelf = self.0.shelf.load();
        let read = |most: usize| walk(&shelf, channel, now, now).take(most).collect::<io::Result<Vec<_>>>();
        if most > coming::WINDOW || channel.is_testcard() {
            return read(most);
        }
        if let Some(known) = self.0.coming.get(shelf.number, channel, now, most) {
            return Ok(known);
        }
        let mut rows = read(coming::WINDOW)?;
        self.0.coming.put(shelf.number, channel, now, &rows);
        rows.truncate(most);
        Ok(rows)
    }

    /// The channel's programmes that overlap `from..until`, oldest first, at most `limit`. `now` is for the test card only.
    pub fn programmes(
        &self,
        channel: &Channel,
        now: i64,
        from: i64,
        until: i64,
        limit: usize,
    ) -> io::Result<Vec<Programme>> {
        self.walk(channel, now, from).take_while(|p| p.as_ref().map_or(true, |p| p.start < until)).take(limit).collect()
    }

    /// The channel's programmes that stop after `from`, oldest first, read as they are taken. Keeps the generation it began
    /// with.
    pub fn walk(&self, channel: &Channel, now: i64, from: i64) -> Programmes {
        walk(&self.0.shelf.load(), channel, now, from)
    }

    /// Follows the line-up: drops the generations of sources that are gone, takes new priorities and what was taught. Call it when
    /// a source or a guide id was edited.
    pub fn retain(&self, catalog: &Catalog) {
        let _swap = self.0.swap.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = self.0.shelf.load_full();
        let (kept, gone): (Vec<_>, Vec<_>) =
            shelf.generations.iter().cloned().partition(|g| catalog.source(g.source()).is_some());
        let policy = Policy::of(catalog);
        if gone.is_empty() && policy == *shelf.policy {
            return;
        }
        self.0.shelf.store(Arc::new(Shelf::new(shelf.number + 1, kept, Arc::new(policy))));
        for generation in gone {
            let path = build::path(&self.0.dir, generation.facts.source);
            if let Err(e) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), error = %e, "the guide of a deleted source could not be removed");
            }
        }
    }

    /// Everything that the channel matches, first what its programmes come from.
    pub fn sources_of(&self, catalog: &Catalog, channel: &Channel) -> Vec<ExplainGuide> {
        let shelf = self.0.shelf.load_full();
        let row = |found: &matching::Found<'_>| {
            let listing = &found.generation.channels[found.channel];
            let source = found.generation.source();
            ExplainGuide {
                source,
                source_name: catalog.source(source).map(|s| s.name.clone()).unwrap_or_default(),
                priority: found.priority,
                guide_id: listing.id.clone(),
                name: listing.names.first().cloned().unwrap_or_default(),
                how: found.how,
                score: matching::score(found.how),
                programmes: listing.rows,
            }
        };
        shelf.all(channel).iter().map(row).collect()
    }

    fn of_source(&self, source: SourceId) -> Option<Arc<Generation>> {
        self.0.shelf.load().generations.iter().find(|g| g.source() == source).cloned()
    }

    /// Puts a source's new generation in the place of its old one.
    fn publish(&self, generation: Generation) {
        let _swap = self.0.swap.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = self.0.shelf.load_full();
        let mut all: Vec<_> = shelf.generations.iter().filter(|g| g.source() != generation.source()).cloned().collect();
        all.push(Arc::new(generation));
        self.0.shelf.store(Arc::new(Shelf::new(shelf.number + 1, all, Arc::clone(&shelf.policy))));
    }
}

fn drop_file(path: &Path, reason: &str) {
    tracing::warn!(path = %path.display(), reason, "a guide's file is dropped; the next refresh makes it anew");
    if let Err(e) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), error = %e, "the damaged file could not be removed");
    }
}

fn walk(shelf: &Shelf, channel: &Channel, now: i64, from: i64) -> Programmes {
    if channel.is_testcard() {
        return Box::new(testcard::programmes(now).filter(move |p| p.stop > from).map(Ok));
    }
    let shift = i64::from(channel.guide_shift_min) * 60;
    let from = from.saturating_sub(shift);
    let one = |found: &matching::Found<'_>| -> Programmes {
        match Walk::new(found.generation, found.channel, from) {
            Ok(walk) => Box::new(walk),
            Err(e) => Box::new(std::iter::once(Err(e))),
        }
    };
    let all = merge::merged(shelf.all(channel).iter().map(one).collect());
    if shift == 0 {
        return all;
    }
    Box::new(all.map(move |p| p.map(|p| Programme { start: p.start + shift, stop: p.stop + shift, ..p })))
}

/// Programmes, oldest first. An error is the last item.
pub type Programmes = Box<dyn Iterator<Item = io::Result<Programme>> + Send>;

/// What a document holds, for a look at it.
#[derive(Debug, Default)]
pub struct Counted {
    pub channels: u32,
    pub programmes: u32,
    pub skipped: u32,
    pub notes: Vec<String>,
    /// Names of the first channels.
    pub sample: Vec<String>,
}

/// Reads a document and keeps nothing of it but counts.
///
/// # Errors
/// Says why it is no guide.
pub fn count(input: impl io::BufRead, deadline: std::time::Instant, sample: usize) -> Result<Counted, String> {
    let mut counted = Counted::default();
    let counts = xmltv::read(decode::Text::new(input, deadline), |item| {
        if let xmltv::Item::Channel { id, names } = item {
            counted.channels += 1;
            if counted.sample.len() < sample {
                counted.sample.push(names.first().map_or(id, String::as_str).to_owned());
            }
        }
        Ok(())
    });
    let counts = counts.map_err(|e| format!("the guide: {e}"))?;
    Ok(Counted { programmes: counts.programmes, skipped: counts.skipped, notes: counts.notes, ..counted })
}
