//! Long answers packed piece by piece, each piece once.
//!
//! Owns a bounded set of compressed pieces, found by what is in them. Must not enter: what an answer is made of. Invariants: what is
//! found by its content is never out of date, whoever changes what; at most [`MOST`] bytes are kept, and what was used longest
//! ago goes first. After a change only the pieces that it touched are packed anew.

use std::{
    collections::HashMap,
    hash::BuildHasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// A list of 50,000 channels has one to two megabytes.
const MOST: usize = 16 << 20;
/// What is shorter is packed as fast as it is found.
const SHORTEST: usize = 4 << 10;
/// A member that says nothing of file or time.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty last block.
const LAST: [u8; 2] = [3, 0];

/// Cheap to clone.
#[derive(Clone, Default)]
pub struct Packs(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Seeded by chance, so that nobody can make two pieces that look the same.
    hasher: foldhash::quality::RandomState,
    shelf: Mutex<Shelf>,
}

/// Of a piece: hash, checksum, length.
type Key = (u64, u32, usize);

#[derive(Default)]
struct Shelf {
    kept: HashMap<Key, Kept>,
    bytes: usize,
    /// Counts uses.
    clock: u64,
}

struct Kept {
    packed: Bytes,
    used: u64,
}

/// Whether a piece of a list ends behind the row of this number: one in 128, of numbers in sequence each 110th or so.
pub fn ends_piece(number: u32) -> bool {
    number.wrapping_mul(0x9e37_79b1) >> 25 == 0
}

impl Shelf {
    fn get(&mut self, key: Key) -> Option<Bytes> {
        self.clock += 1;
        let kept = self.kept.get_mut(&key)?;
        kept.used = self.clock;
        Some(kept.packed.clone())
    }

    fn put(&mut self, key: Key, packed: Bytes) {
        self.bytes += packed.len();
        if let Some(old) = self.kept.insert(key, Kept { packed, used: self.clock }) {
            self.bytes -= old.packed.len();
        }
        if self.bytes > MOST {
            // The older half at once: to look for the oldest each time would cost more than it saves.
            let mut uses: Vec<u64> = self.kept.values().map(|k| k.used).collect();
            let half = uses.len() / 2;
            let (_, median, _) = uses.select_nth_unstable(half);
            self.kept.retain(|_, k| k.used > *median);
            self.bytes = self.kept.values().map(|k| k.packed.len()).sum();
        }
    }
}

impl Packs {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pieces as one gzip member, packed as they are taken or earlier.
    pub fn pack(
        &self,
        mut pieces: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> impl Iterator<Item = Bytes> + Send + 'static {
        let packs = self.clone();
        let (mut packer, mut whole) = (None, Some(Crc::new()));
        let body = std::iter::from_fn(move || {
            if let (Some(piece), Some(whole)) = (pieces.next(), &mut whole) {
                let mut crc = Crc::new();
                crc.update(&piece);
                whole.combine(&crc);
                return Some(packs.piece(&piece, crc.sum(), &mut packer));
            }
            let whole = whole.take()?;
            Some([&LAST[..], &whole.sum().to_le_bytes(), &whole.amount().to_le_bytes()].concat().into())
        });
        std::iter::once(Bytes::from_static(&HEAD)).chain(body)
    }

    fn piece(&self, piece: &Bytes, crc: u32, packer: &mut Option<Compress>) -> Bytes {
        if piece.len() < SHORTEST {
            return deflate(piece, packer);
        }
        let key = (self.0.hasher.hash_one(&**piece), crc, piece.len());
        if let Some(packed) = self.shelf().get(key) {
            return packed;
        }
        let packed = deflate(piece, packer);
        self.shelf().put(key, packed.clone());
        packed
    }
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
            shelf.put((n, 0, 0), Bytes::from(vec![0; 200 << 10]));
            shelf.clock += 1;
            assert!(shelf.bytes <= MOST && shelf.get((0, 0, 0)).is_some(), "{n}");
        }
        assert!(shelf.kept.len() > 30 && shelf.get((1, 0, 0)).is_none() && shelf.get((199, 0, 0)).is_some());
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
