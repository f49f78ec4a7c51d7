//! One source's generation as a file: opened, checked, read.
//!
//! Layout: magic, records in the order of the document, table (12 bytes a programme, sorted by channel and start), index
//! (JSON), trailer. Only the index is held in memory. Must not enter: XML, matching. Invariants: a file that is not whole
//! is never opened; whatever its bytes, reading gives programmes or an error, never a panic.

use std::{
    fs::File,
    io::{self, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use yagi_api::{Programme, SourceId};

use super::record;

pub const MAGIC: &[u8; 8] = b"YAGIGDE1";
/// start u32, stop u32, place of the record u32.
pub const ROW: usize = 12;
/// table_at u64, rows u32, index_len u32, CRC-32 of table and index u32, magic.
pub const TRAILER: usize = 28;
const MAX_INDEX: u32 = 64 << 20;

/// What is known of a generation beside its programmes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub source: u32,
    /// Digest of where it came from: another place may be of another size.
    pub place: u64,
    /// Usable programmes of the document, also those outside the window.
    pub seen: u32,
    /// Programmes were left out because they lie too far ahead: the same document will give more later.
    pub clipped: bool,
    /// Epoch seconds.
    pub built_at: i64,
    pub from: i64,
    pub until: i64,
    /// How its times were read: see `SourceOptions`.
    #[serde(default)]
    pub zone: String,
    #[serde(default)]
    pub shift_min: i32,
}

/// A channel that has programmes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    pub id: String,
    pub names: Vec<String>,
    /// Its rows of the table.
    pub row: u32,
    pub rows: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Index {
    pub facts: Facts,
    pub channels: Vec<Listing>,
}

pub struct Generation {
    file: File,
    table_at: u64,
    pub facts: Facts,
    pub channels: Vec<Listing>,
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the guide's file is damaged: {what}"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

impl Generation {
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::from_file(File::open(path)?)
    }

    /// Checks the file from its trailer backwards.
    pub fn from_file(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let trailer_at = size.checked_sub(TRAILER as u64).ok_or_else(|| damaged("too short"))?;
        let mut trailer = [0; TRAILER];
        file.read_exact_at(&mut trailer, trailer_at)?;
        if &trailer[20..] != MAGIC {
            return Err(damaged("no trailer"));
        }
        let table_at = u64::from(u32_at(&trailer, 0)) | u64::from(u32_at(&trailer, 4)) << 32;
        let (rows, index_len, sum) = (u32_at(&trailer, 8), u32_at(&trailer, 12), u32_at(&trailer, 16));
        let table_len = u64::from(rows) * ROW as u64;
        let whole = table_at.checked_add(table_len).and_then(|n| n.checked_add(index_len.into()));
        if whole != Some(trailer_at) || index_len > MAX_INDEX || table_at < MAGIC.len() as u64 {
            return Err(damaged("lengths do not add up"));
        }
        let mut crc = flate2::Crc::new();
        let mut reader = BufReader::with_capacity(64 << 10, &file);
        reader.seek(SeekFrom::Start(table_at))?;
        let mut left = table_len;
        let mut chunk = [0; 8192];
        while left > 0 {
            let n = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            reader.read_exact(&mut chunk[..n])?;
            crc.update(&chunk[..n]);
            left -= n as u64;
        }
        let mut text = vec![0; index_len as usize];
        reader.read_exact(&mut text)?;
        crc.update(&text);
        if crc.sum() != sum {
            return Err(damaged("the check sum differs"));
        }
        let Index { facts, channels } = serde_json::from_slice(&text).map_err(|e| damaged(&e.to_string()))?;
        if channels.iter().any(|c| c.row.checked_add(c.rows).is_none_or(|end| end > rows)) {
            return Err(damaged("a channel lies outside of the table"));
        }
        Ok(Self { file, table_at, facts, channels })
    }

    pub fn source(&self) -> SourceId {
        SourceId(self.facts.source)
    }

    pub fn programmes(&self) -> u32 {
        self.channels.iter().map(|c| c.rows).sum()
    }

    /// (start, stop, place) of a row.
    fn row(&self, row: u32) -> io::Result<(u32, u32, u32)> {
        let mut bytes = [0; ROW];
        self.file.read_exact_at(&mut bytes, self.table_at + u64::from(row) * ROW as u64)?;
        Ok((u32_at(&bytes, 0), u32_at(&bytes, 4), u32_at(&bytes, 8)))
    }

    /// The first of a channel's rows that stops after `from`.
    fn first_after(&self, listing: &Listing, from: i64) -> io::Result<u32> {
        let (mut low, mut high) = (listing.row, listing.row + listing.rows);
        while low < high {
            let middle = low + (high - low) / 2;
            if i64::from(self.row(middle)?.1) > from {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }
}

/// A walk over one channel's programmes, oldest first; holds two small buffers, whatever the channel's size.
pub struct Walk {
    generation: Arc<Generation>,
    row: u32,
    end: u32,
    rows: Vec<u8>,
    rows_at: u32,
    data: Vec<u8>,
    data_at: u64,
}

impl Walk {
    /// From the first programme that stops after `from`.
    pub fn new(generation: &Arc<Generation>, channel: usize, from: i64) -> io::Result<Self> {
        let listing = generation.channels.get(channel).ok_or_else(|| damaged("no such channel"))?;
        let row = generation.first_after(listing, from)?;
        Ok(Self {
            generation: Arc::clone(generation),
            row,
            end: listing.row + listing.rows,
            rows: Vec::new(),
            rows_at: 0,
            data: Vec::new(),
            data_at: 0,
        })
    }

    fn step(&mut self) -> io::Result<Programme> {
        const BATCH: u32 = 64;
        let file = &self.generation.file;
        let mut at = (self.row.wrapping_sub(self.rows_at)) as usize * ROW;
        if self.row < self.rows_at || at >= self.rows.len() {
            let n = (self.end - self.row).min(BATCH) as usize;
            self.rows.resize(n * ROW, 0);
            file.read_exact_at(&mut self.rows, self.generation.table_at + u64::from(self.row) * ROW as u64)?;
            (self.rows_at, at) = (self.row, 0);
        }
        let (start, stop) = (u32_at(&self.rows, at), u32_at(&self.rows, at + 4));
        let place = u64::from(u32_at(&self.rows, at + 8));
        if stop <= start || place >= self.generation.table_at {
            return Err(damaged("a row of the table makes no sense"));
        }
        // The neighbours are usually the next records of the file: a window of 32 KiB saves most reads.
        let room = usize::try_from(self.generation.table_at - place).unwrap_or(usize::MAX);
        let inside =
            place.checked_sub(self.data_at).and_then(|n| usize::try_from(n).ok()).filter(|n| *n < self.data.len());
        let have = inside.map_or(0, |n| self.data.len() - n);
        let offset = if have >= record::MAX.min(room) {
            inside.unwrap_or(0)
        } else {
            self.data.resize((32 << 10).min(room), 0);
            file.read_exact_at(&mut self.data, place)?;
            self.data_at = place;
            0
        };
        let programme = record::decode(&self.data[offset..])?;
        self.row += 1;
        Ok(Programme { start: start.into(), stop: stop.into(), ..programme })
    }
}

impl Iterator for Walk {
    type Item = io::Result<Programme>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.row >= self.end {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.row = self.end;
        }
        Some(step)
    }
}
