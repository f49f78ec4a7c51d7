//! Builds a generation file from a document.
//!
//! Owns the window, the mending of missing and overlapping stops, and the way to the disk: temporary file, fsync, rename,
//! fsync of the directory. Must not enter: downloads, the merged view. Invariants: 16 bytes of memory a programme; the file
//! has its name only when it is whole; in a channel no two programmes overlap.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufRead, BufWriter, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use yagi_api::Programme;

use super::{
    decode::Text,
    file::{Facts, Generation, Index, Listing, MAGIC},
    record,
    time::Clock,
    xmltv::{self, Counts, Item, Refusal},
};

const MAX_PROGRAMMES: usize = 2_000_000;
/// Bytes of all ids and names that are held in memory.
const MAX_NAMES: usize = 16 << 20;
/// What a programme without a stop lasts when another follows, at most, and when none does.
const LONGEST_GUESS: u32 = 6 * 3600;
const LAST_GUESS: u32 = 3600;

/// Which programmes are kept: those that stop after `from` and start before `until`.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from: i64,
    pub until: i64,
}

/// Where the file of a source is.
pub fn path(dir: &Path, source: u32) -> PathBuf {
    dir.join(format!("source-{source}.guide"))
}

struct Entry {
    channel: u32,
    start: u32,
    /// 0: none was named.
    stop: u32,
    at: u32,
}

#[derive(Default)]
struct Draft {
    entries: Vec<Entry>,
    ids: HashMap<Box<str>, u32>,
    channels: Vec<(String, Vec<String>)>,
    name_bytes: usize,
    clipped: bool,
}

/// Reads `input` into a new generation file of `facts.source` and gives it its name when `accept` agrees.
pub fn build(
    dir: &Path,
    input: impl BufRead,
    deadline: Instant,
    window: Window,
    mut facts: Facts,
    accept: impl FnOnce(&Facts) -> Result<(), String>,
) -> Result<(Generation, Counts), Refusal> {
    let temporary = tempfile::Builder::new().prefix(".build-").tempfile_in(dir)?;
    let mut out = BufWriter::with_capacity(64 << 10, temporary.as_file());
    out.write_all(MAGIC)?;
    let mut at = MAGIC.len() as u64;
    let mut draft = Draft::default();
    let mut bytes = Vec::with_capacity(record::MAX);
    let clock = Clock::new(&facts.zone, facts.shift_min);
    let counts = xmltv::read_in(Text::new(input, deadline), &clock, |item| match item {
        Item::Channel { id, names } => draft.name(id, names),
        Item::Programme { channel, programme } => {
            bytes.clear();
            if draft.add(channel, programme, window, at)? {
                record::encode(&mut bytes, programme);
                out.write_all(&bytes)?;
                at += bytes.len() as u64;
            }
            Ok(())
        }
    })?;
    if counts.programmes == 0 {
        return Err(refuse(format!("the file has no usable programme ({} were skipped)", counts.skipped)));
    }
    facts.seen = counts.programmes;
    facts.clipped = draft.clipped;
    accept(&facts).map_err(refuse)?;
    let mut crc = flate2::Crc::new();
    let (rows, channels) = draft.write_table(window, &mut facts, |row| {
        crc.update(row);
        out.write_all(row)
    })?;
    if rows == 0 {
        return Err(refuse(format!("none of its {} programmes lies in the guide's window", counts.programmes)));
    }
    let index = serde_json::to_vec(&Index { facts, channels }).map_err(io::Error::from)?;
    let index_len = u32::try_from(index.len()).map_err(|_| refuse("its channels' names are too long".to_owned()))?;
    crc.update(&index);
    out.write_all(&index)?;
    out.write_all(&at.to_le_bytes())?;
    for number in [rows, index_len, crc.sum()] {
        out.write_all(&number.to_le_bytes())?;
    }
    out.write_all(MAGIC)?;
    out.flush()?;
    drop(out);
    drop(index);
    temporary.as_file().sync_all()?;
    // What cannot be read back must not replace what can.
    let generation = Generation::from_file(temporary.reopen()?)?;
    temporary.persist(path(dir, generation.facts.source)).map_err(|e| e.error)?;
    File::open(dir)?.sync_all()?;
    Ok((generation, counts))
}

fn refuse(reason: String) -> Refusal {
    Refusal::Io(io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// Removes what a killed build left behind.
pub fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".build-") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl Draft {
    fn channel(&mut self, id: &str) -> Result<u32, Refusal> {
        let folded = id.to_lowercase();
        if let Some(n) = self.ids.get(folded.as_str()) {
            return Ok(*n);
        }
        self.spend(2 * id.len() + 64)?;
        let n = self.channels.len() as u32;
        self.channels.push((id.to_owned(), Vec::new()));
        self.ids.insert(folded.into(), n);
        Ok(n)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.name_bytes += bytes;
        if self.name_bytes > MAX_NAMES { Err(refuse("it has too many channels".to_owned())) } else { Ok(()) }
    }

    fn name(&mut self, id: &str, names: &[String]) -> Result<(), Refusal> {
        let n = self.channel(id)? as usize;
        if self.channels[n].1.is_empty() {
            self.spend(names.iter().map(|n| n.len() + 48).sum())?;
            self.channels[n].1 = names.to_vec();
        }
        Ok(())
    }

    /// Whether the programme is kept; its record will be at `at`.
    fn add(&mut self, channel: &str, p: &Programme, window: Window, at: u64) -> Result<bool, Refusal> {
        let may_last_until = if p.stop == 0 { p.start + i64::from(LONGEST_GUESS) } else { p.stop };
        self.clipped |= p.start >= window.until;
        if may_last_until <= window.from || p.start >= window.until {
            return Ok(false);
        }
        if self.entries.len() >= MAX_PROGRAMMES {
            return Err(refuse(format!("it has more than {MAX_PROGRAMMES} programmes in the guide's window")));
        }
        let at = u32::try_from(at).map_err(|_| refuse("its programmes take more than 4 GiB".to_owned()))?;
        let channel = self.channel(channel)?;
        // Years 1970 to 2100 fit into 32 bits without a sign.
        self.entries.push(Entry { channel, start: p.start as u32, stop: p.stop as u32, at });
        Ok(true)
    }

    /// Sorts, mends the stops, writes the rows; returns their number and the channels that have any.
    fn write_table(
        mut self,
        window: Window,
        facts: &mut Facts,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<(u32, Vec<Listing>)> {
        self.ids = HashMap::new();
        self.entries.sort_unstable_by_key(|e| (e.channel, e.start, e.at));
        // Of several with one start the first of the document counts.
        self.entries.dedup_by_key(|e| (e.channel, e.start));
        let (mut rows, mut listings) = (0, Vec::<Listing>::new());
        (facts.from, facts.until) = (i64::MAX, i64::MIN);
        let mut current = u32::MAX;
        for (i, e) in self.entries.iter().enumerate() {
            let next = self.entries.get(i + 1).filter(|n| n.channel == e.channel).map(|n| n.start);
            let stop = match (e.stop, next) {
                (0, Some(next)) => next.min(e.start.saturating_add(LONGEST_GUESS)),
                (0, None) => e.start.saturating_add(LAST_GUESS),
                (stop, next) => stop.min(next.unwrap_or(stop)),
            };
            if i64::from(stop) <= window.from {
                continue;
            }
            if current != e.channel || listings.is_empty() {
                current = e.channel;
                let (id, names) = std::mem::take(&mut self.channels[e.channel as usize]);
                listings.push(Listing { id, names, row: rows, rows: 0 });
            }
            let mut row = [0; super::file::ROW];
            row[..4].copy_from_slice(&e.start.to_le_bytes());
            row[4..8].copy_from_slice(&stop.to_le_bytes());
            row[8..].copy_from_slice(&e.at.to_le_bytes());
            write(&row)?;
            rows += 1;
            if let Some(listing) = listings.last_mut() {
                listing.rows += 1;
            }
            facts.from = facts.from.min(e.start.into());
            facts.until = facts.until.max(stop.into());
        }
        Ok((rows, listings))
    }
}
