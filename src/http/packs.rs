//! Long answers packed piece by piece, each piece once.
//!
//! Owns a bounded set of compressed pieces, found by what is in them, or by what they are made of. Must not enter: what an answer is
//! made of. Invariants: what is found by its content or its causes is never out of date, whoever changes what; at most so many bytes are kept,
//! and what was used longest ago goes first. After a change only the pieces that it touched are packed anew.

use std::{
    collections::{HashMap, VecDeque},
    hash::BuildHasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use crate::abreast;

/// A list of 50,000 channels has one to two megabytes.
const MOST: usize = 16 << 20;
/// What is kept beside the bytes of a piece, about.
const OVERHEAD: usize = 160;
/// A run that is longer, packed, is made anew each time.
const LONGEST: usize = 1 << 20;
/// What is shorter is packed as fast as it is found.
const SHORTEST: usize = 4 << 10;
/// Pieces that are looked at together.
const BATCH: usize = 24;
/// So many of them must be unknown for a second thread to be worth its start.
const WORTH: usize = 8;
/// A member that says nothing of file or time.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty last block.
const LAST: [u8; 2] = [3, 0];

/// How causes and contents are told apart: seeded by chance, so that nobody can make two that look the same.
pub type Hasher = foldhash::quality::RandomState;

/// Cheap to clone.
#[derive(Clone)]
pub struct Packs(Arc<Shared>);

struct Shared {
    hasher: Hasher,
    most: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// Hash, checksum, length.
    Content(u64, u32, usize),
    /// Hash of the causes.
    Run(u64),
}

#[derive(Default)]
struct Shelf {
    kept: HashMap<Key, Kept>,
    bytes: usize,
    /// Counts uses.
    clock: u64,
}

struct Kept {
    pieces: Arc<[Packed]>,
    used: u64,
}

/// A piece that can stand in any member, and the checksum of its text.
struct Packed {
    bytes: Bytes,
    crc: Crc,
}

/// Text that need not be made if it was made of the same causes before.
pub struct Run {
    /// By [`Packs::hasher`]; none: it is not worth keeping.
    pub causes: Option<u64>,
    pub text: Box<dyn Iterator<Item = Bytes> + Send>,
}

/// Whether a piece of a list ends behind the row of this number: one in 128, of numbers in sequence each 110th or so.
pub fn ends_piece(number: u32) -> bool {
    number.wrapping_mul(0x9e37_79b1) >> 25 == 0
}

impl Kept {
    fn bytes(&self) -> usize {
        OVERHEAD + self.pieces.iter().map(|p| p.bytes.len()).sum::<usize>()
    }
}

impl Shelf {
    fn get(&mut self, key: Key) -> Option<Arc<[Packed]>> {
        self.clock += 1;
        let kept = self.kept.get_mut(&key)?;
        kept.used = self.clock;
        Some(Arc::clone(&kept.pieces))
    }

    fn put(&mut self, key: Key, pieces: Arc<[Packed]>, most: usize) {
        let kept = Kept { pieces, used: self.clock };
        self.bytes += kept.bytes();
        if let Some(old) = self.kept.insert(key, kept) {
            self.bytes -= old.bytes();
        }
        if self.bytes > most {
            // The older half at once: to look for the oldest each time would cost more than it saves.
            let mut uses: Vec<u64> = self.kept.values().map(|k| k.used).collect();
            let half = uses.len() / 2;
            let (_, median, _) = uses.select_nth_unstable(half);
            self.kept.retain(|_, k| k.used > *median);
            self.bytes = self.kept.values().map(Kept::bytes).sum();
        }
    }
}

impl Default for Packs {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl Packs {
    /// A set of at most so many bytes.
    pub fn of(most: usize) -> Self {
        Self(Arc::new(Shared { hasher: Hasher::default(), most, shelf: Mutex::default() }))
    }

    pub fn hasher(&self) -> Hasher {
        self.0.hasher.clone()
    }

    /// Whether anybody has asked for something yet.
    pub fn is_used(&self) -> bool {
        self.shelf().clock > 0
    }

    fn get(&self, key: Key) -> Option<Arc<[Packed]>> {
        self.shelf().get(key)
    }

    fn put(&self, key: Key, pieces: Vec<Packed>) {
        self.shelf().put(key, pieces.into(), self.0.most);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pieces as one gzip member, packed as they are taken or earlier.
    pub fn pack(
        &self,
        mut pieces: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> impl Iterator<Item = Bytes> + Send + 'static {
        let packs = self.clone();
        let (mut packers, mut whole) = ([None, None], Some(Crc::new()));
        let mut ready: VecDeque<Bytes> = VecDeque::new();
        // The first goes alone, so that the answer begins at once.
        let mut batch = 1;
        let body = std::iter::from_fn(move || {
            if let Some(piece) = ready.pop_front() {
                return Some(piece);
            }
            let sum = whole.as_mut()?;
            let taken: Vec<Piece> = pieces
                .by_ref()
                .take(std::mem::replace(&mut batch, BATCH))
                .map(|piece| {
                    let mut crc = Crc::new();
                    crc.update(&piece);
                    sum.combine(&crc);
                    packs.find(piece, crc)
                })
                .collect();
            let packed = if taken.iter().filter(|piece| matches!(piece, Piece::Plain(..))).count() < WORTH {
                taken.into_iter().map(|piece| packs.packed(&mut packers[0], piece)).collect()
            } else {
                abreast::two(&mut packers, taken, |packer, piece| packs.packed(packer, piece))
            };
            ready.extend(packed);
            ready.pop_front().or_else(|| whole.take().map(|whole| tail(&whole)))
        });
        std::iter::once(Bytes::from_static(&HEAD)).chain(body)
    }

    fn find(&self, piece: Bytes, crc: Crc) -> Piece {
        if piece.len() < SHORTEST {
            return Piece::Plain(piece, crc, None);
        }
        let key = Key::Content(self.0.hasher.hash_one(&*piece), crc.sum(), piece.len());
        match self.get(key).as_deref() {
            Some([known, ..]) => Piece::Packed(known.bytes.clone()),
            _ => Piece::Plain(piece, crc, Some(key)),
        }
    }

    fn packed(&self, packer: &mut Option<Compress>, piece: Piece) -> Bytes {
        match piece {
            Piece::Packed(packed) => packed,
            Piece::Plain(piece, crc, key) => {
                let bytes = deflate(&piece, packer);
                if let Some(key) = key {
                    self.put(key, vec![Packed { bytes: bytes.clone(), crc }]);
                }
                bytes
            }
        }
    }

    /// The runs one behind the other: as one gzip member, or unpacked. Those that are not known are packed in either case, for the next.
    pub fn runs(
        &self,
        mut runs: impl Iterator<Item = Run> + Send + 'static,
        packed: bool,
    ) -> impl Iterator<Item = Bytes> + Send + 'static {
        let packs = self.clone();
        let (mut packer, mut unpacker, mut whole) = (None, Decompress::new(false), Some(Crc::new()));
        let mut known: Option<(Arc<[Packed]>, usize)> = None;
        let mut fresh: Option<Fresh> = None;
        let body = std::iter::from_fn(move || {
            loop {
                if let Some((pieces, at)) = &mut known {
                    if let Some(piece) = pieces.get(*at) {
                        *at += 1;
                        whole.as_mut()?.combine(&piece.crc);
                        return Some(if packed { piece.bytes.clone() } else { inflate(piece, &mut unpacker) });
                    }
                    known = None;
                } else if let Some(run) = &mut fresh {
                    if let Some(text) = run.text.next() {
                        let mut crc = Crc::new();
                        crc.update(&text);
                        whole.as_mut()?.combine(&crc);
                        let bytes = deflate(&text, &mut packer);
                        let given = if packed { bytes.clone() } else { text };
                        run.keep(Packed { bytes, crc });
                        return Some(given);
                    }
                    if let Some(Fresh { causes: Some(causes), made: Some(made), .. }) = fresh.take() {
                        packs.put(Key::Run(causes), made);
                    }
                } else if let Some(Run { causes, text }) = runs.next() {
                    known = causes.and_then(|causes| packs.get(Key::Run(causes))).map(|pieces| (pieces, 0));
                    if known.is_none() {
                        fresh = Some(Fresh { causes, text, made: causes.map(|_| Vec::new()), bytes: 0 });
                    }
                } else {
                    let whole = whole.take()?;
                    return packed.then(|| tail(&whole));
                }
            }
        });
        packed.then(|| Bytes::from_static(&HEAD)).into_iter().chain(body)
    }
}

/// A piece on its way.
enum Piece {
    Packed(Bytes),
    Plain(Bytes, Crc, Option<Key>),
}

/// A run that is made just now.
struct Fresh {
    causes: Option<u64>,
    text: Box<dyn Iterator<Item = Bytes> + Send>,
    /// None: it is not kept.
    made: Option<Vec<Packed>>,
    bytes: usize,
}

impl Fresh {
    fn keep(&mut self, piece: Packed) {
        self.bytes += piece.bytes.len();
        match &mut self.made {
            Some(made) if self.bytes <= LONGEST => made.push(piece),
            made => *made = None,
        }
    }
}

fn tail(whole: &Crc) -> Bytes {
    [&LAST[..], &whole.sum().to_le_bytes(), &whole.amount().to_le_bytes()].concat().into()
}

/// The text of a piece that [`deflate`] made.
fn inflate(piece: &Packed, unpacker: &mut Decompress) -> Bytes {
    unpacker.reset(false);
    let mut out = Vec::with_capacity(piece.crc.amount() as usize + 16);
    let done = unpacker.decompress_vec(&piece.bytes, &mut out, FlushDecompress::Sync);
    if done.is_err() || out.len() != piece.crc.amount() as usize {
        tracing::error!("a piece that was packed cannot be unpacked");
    }
    out.into()
}

/// A run of deflate blocks that refers to nothing before it and ends at a whole byte, so that runs can follow one another.
fn deflate(piece: &[u8], packer: &mut Option<Compress>) -> Bytes {
    let packer = packer.get_or_insert_with(|| Compress::new(Compression::fast(), false));
    packer.reset();
    let mut out = Vec::with_capacity(piece.len() / 4 + 64);
    loop {
        let taken = usize::try_from(packer.total_in()).unwrap_or(piece.len());
        let done = packer.compress_vec(&piece[taken..], &mut out, FlushCompress::Sync);
        // It has written all when it leaves room.
        if !matches!(done, Ok(Status::Ok)) || (packer.total_in() == piece.len() as u64 && out.len() < out.capacity()) {
            break;
        }
        out.reserve(piece.len() / 8 + 64);
    }
    out.shrink_to_fit();
    out.into()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn unpacked(packed: Vec<Bytes>) -> Vec<u8> {
        let (packed, mut out) = (packed.concat(), Vec::new());
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut out).unwrap();
        out
    }

    fn text(n: usize) -> Bytes {
        (0..2000).map(|i| format!("row {} of {n};", i * n)).collect::<String>().into()
    }

    #[test]
    fn only_pieces_that_changed_are_packed_anew() {
        let packs = Packs::default();
        let first: Vec<Bytes> = packs.pack((0..5).map(text)).collect();
        let again: Vec<Bytes> = packs.pack([0, 1, 9, 3, 4].into_iter().map(text)).collect();
        let same = |n: usize| first[n].as_ptr() == again[n].as_ptr();
        // The head, five pieces, the tail.
        assert_eq!((1..6).map(same).collect::<Vec<_>>(), [true, true, false, true, true]);
        assert_eq!(unpacked(first), (0..5).map(text).collect::<Vec<_>>().concat());
        assert_eq!(unpacked(again), [0, 1, 9, 3, 4].map(text).concat());
    }

    #[test]
    fn the_bound_holds_and_what_is_used_stays() {
        let mut shelf = Shelf::default();
        for n in 0..200 {
            let piece = Packed { bytes: Bytes::from(vec![0; 200 << 10]), crc: Crc::new() };
            shelf.put(Key::Run(n), vec![piece].into(), MOST);
            shelf.clock += 1;
            assert!(shelf.bytes <= MOST && shelf.get(Key::Run(0)).is_some(), "{n}");
        }
        assert!(shelf.kept.len() > 30 && shelf.get(Key::Run(1)).is_none() && shelf.get(Key::Run(199)).is_some());
    }

    /// Runs of so many pieces each; who makes the text of one counts it.
    fn runs(lengths: &[usize], made: &Arc<std::sync::atomic::AtomicUsize>) -> std::vec::IntoIter<Run> {
        let run = |(n, length): (usize, &usize)| {
            let (made, length) = (Arc::clone(made), *length);
            let text = (0..length).map(move |i| {
                made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                text(n * 100 + i)
            });
            Run { causes: (n > 0).then_some((n * 1000 + length) as u64), text: Box::new(text) }
        };
        lengths.iter().enumerate().map(run).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn only_runs_of_other_causes_are_made_anew() {
        let packs = Packs::default();
        let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let took = || made.swap(0, std::sync::atomic::Ordering::Relaxed);
        let whole =
            |lengths: &[usize]| runs(lengths, &Arc::default()).flat_map(|run| run.text).collect::<Vec<_>>().concat();
        let first = [1, 3, 0, 2];
        let plain: Vec<Bytes> = packs.runs(runs(&first, &made), false).collect();
        assert_eq!((plain.concat(), took()), (whole(&first), 6), "packed behind the answer's back");
        assert_eq!((unpacked(packs.runs(runs(&first, &made), true).collect()), took()), (whole(&first), 1));
        let plain: Vec<Bytes> = packs.runs(runs(&first, &made), false).collect();
        assert_eq!((plain.concat(), took()), (whole(&first), 1));
        let other = [1, 3, 1, 2];
        assert_eq!((unpacked(packs.runs(runs(&other, &made), true).collect()), took()), (whole(&other), 2));
        // Who leaves amid a run leaves nothing half.
        let mut left = packs.runs(runs(&[1, 5], &made), true);
        assert!(left.by_ref().take(4).count() == 4 && took() == 3);
        drop(left);
        assert_eq!((unpacked(packs.runs(runs(&[1, 5], &made), true).collect()), took()), (whole(&[1, 5]), 6));
    }

    #[test]
    fn pieces_end_often_enough() {
        let ends: Vec<u32> = (1..100_000).filter(|n| ends_piece(*n)).collect();
        assert!(ends.windows(2).all(|w| w[1] - w[0] < 512) && (700..900).contains(&ends.len()));
    }

    proptest! {
        #[test]
        fn whatever_the_pieces_are_they_are_found_again(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20_000), 0..6),
        ) {
            let packs = Packs::default();
            let pieces: Vec<Bytes> = pieces.into_iter().map(Bytes::from).collect();
            for _ in 0..2 {
                prop_assert_eq!(unpacked(packs.pack(pieces.clone().into_iter()).collect()), pieces.concat());
            }
        }
    }
}
