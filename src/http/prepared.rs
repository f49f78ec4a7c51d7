//! Answers that are made once and given often.
//!
//! Owns a bounded set of packed bodies. Must not enter: what an answer depends on; the key says it, whole. Invariants: at most
//! [`MOST`] bytes are kept, what was used longest ago goes first, what belongs to an older edition goes at once; only whole
//! answers are kept, and one at a time is gathered for packing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

/// Packed, a list of 50,000 channels is one to two megabytes.
pub const MOST: usize = 32 << 20;
/// One that is larger would push out all others.
const LARGEST: usize = MOST / 2;
/// What is longer unpacked is not gathered: it is made anew each time, unless somebody asks for it packed.
const GATHERED: usize = 32 << 20;

/// Cheap to clone.
#[derive(Clone, Default)]
pub struct Prepared(Arc<Mutex<Shelf>>);

#[derive(Default)]
struct Shelf {
    edition: (u64, u64),
    bodies: HashMap<Box<str>, Body>,
    bytes: usize,
    /// Counts uses.
    clock: u64,
    /// Something is being gathered.
    gathering: bool,
}

struct Body {
    packed: Bytes,
    used: u64,
}

impl Prepared {
    /// The packed body of this key.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.clock += 1;
        let now = shelf.clock;
        let body = shelf.bodies.get_mut(key)?;
        body.used = now;
        Some(body.packed.clone())
    }

    /// The packed pieces, kept under the key once all of them were taken. `edition` is what all keys have in common: of the
    /// line-up and of the guide.
    pub fn keep(
        &self,
        key: String,
        edition: (u64, u64),
        mut packed: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> impl Iterator<Item = Bytes> + Send + 'static {
        let (shelf, mut kept) = (self.clone(), Some((key, Vec::new())));
        std::iter::from_fn(move || {
            let piece = packed.next();
            match &piece {
                Some(piece) => {
                    if let Some((_, bytes)) = &mut kept {
                        bytes.extend_from_slice(piece);
                    }
                    kept = kept.take().filter(|(_, bytes)| bytes.len() <= LARGEST);
                }
                None => {
                    if let Some((key, bytes)) = kept.take() {
                        shelf.put(key, edition, bytes);
                    }
                }
            }
            piece
        })
    }

    /// The same for pieces that are not packed: they are packed behind the answer's back when all of them were taken.
    pub fn gather(
        &self,
        key: String,
        edition: (u64, u64),
        mut pieces: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> impl Iterator<Item = Bytes> + Send + 'static {
        let mut gathered = self.claim().map(|claim| (claim, Vec::new(), 0));
        let mut key = Some(key);
        std::iter::from_fn(move || {
            let piece = pieces.next();
            match &piece {
                Some(piece) => {
                    if let Some((_, held, bytes)) = &mut gathered {
                        *bytes += piece.len();
                        held.push(piece.clone());
                    }
                    gathered = gathered.take().filter(|(_, _, bytes)| *bytes <= GATHERED);
                }
                None => {
                    if let (Some((claim, held, _)), Some(key)) = (gathered.take(), key.take()) {
                        let pack = move || {
                            let packed: Vec<Bytes> = super::gzip::pack(held.into_iter()).collect();
                            claim.0.put(key, edition, packed.concat());
                        };
                        match tokio::runtime::Handle::try_current() {
                            Ok(runtime) => drop(runtime.spawn_blocking(pack)),
                            Err(_) => pack(),
                        }
                    }
                }
            }
            piece
        })
    }

    fn claim(&self) -> Option<Claim> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!std::mem::replace(&mut shelf.gathering, true)).then(|| Claim(self.clone()))
    }

    fn put(&self, key: String, edition: (u64, u64), mut bytes: Vec<u8>) {
        bytes.shrink_to_fit();
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if edition.0 < shelf.edition.0 || edition.1 < shelf.edition.1 {
            return;
        }
        if edition != shelf.edition {
            shelf.bodies.clear();
            (shelf.edition, shelf.bytes) = (edition, 0);
        }
        shelf.clock += 1;
        shelf.bytes += bytes.len();
        let body = Body { packed: bytes.into(), used: shelf.clock };
        if let Some(old) = shelf.bodies.insert(key.into(), body) {
            shelf.bytes -= old.packed.len();
        }
        while shelf.bytes > MOST
            && let Some(oldest) = shelf.bodies.iter().min_by_key(|(_, b)| b.used).map(|(k, _)| k.clone())
        {
            if let Some(old) = shelf.bodies.remove(&oldest) {
                shelf.bytes -= old.packed.len();
            }
        }
    }
}

/// Held by the one who gathers; also a client that leaves amid the answer gives it back.
struct Claim(Prepared);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).gathering = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(prepared: &Prepared, key: &str, edition: u64, size: usize) {
        let pieces = std::iter::repeat_n(Bytes::from(vec![7; 1 << 20]), size >> 20);
        assert_eq!(prepared.keep(key.to_owned(), (edition, 0), pieces).map(|p| p.len()).sum::<usize>(), size);
    }

    #[test]
    fn only_whole_answers_of_this_edition_are_kept_and_the_bound_holds() {
        let prepared = Prepared::default();
        let mut left = prepared.keep("left".into(), (1, 0), std::iter::repeat_n(Bytes::from_static(b"x"), 3));
        left.next();
        drop(left);
        assert!(prepared.get("left").is_none());
        for n in 0..10 {
            put(&prepared, &n.to_string(), 1, 4 << 20);
            assert!(prepared.get("0").is_some(), "it is used all the time");
        }
        let held: Vec<usize> = (0..10).filter(|n| prepared.get(&n.to_string()).is_some()).collect();
        assert_eq!(held, [0, 3, 4, 5, 6, 7, 8, 9]);
        put(&prepared, "huge", 1, LARGEST + (1 << 20));
        assert!(prepared.get("huge").is_none() && prepared.get("9").is_some());
        put(&prepared, "new", 2, 1 << 20);
        assert!(prepared.get("9").is_none() && prepared.get("new").is_some());
        put(&prepared, "late", 1, 1 << 20);
        assert!(prepared.get("late").is_none());
    }

    #[test]
    fn plain_answers_are_packed_behind_their_back_one_at_a_time() {
        let prepared = Prepared::default();
        let pieces = || std::iter::repeat_n(Bytes::from_static(b"piece"), 3);
        let mut first = prepared.gather("first".into(), (1, 0), pieces());
        first.next();
        assert_eq!(prepared.gather("second".into(), (1, 0), pieces()).count(), 3);
        assert!(prepared.get("second").is_none(), "another is gathered");
        drop(first);
        assert!(prepared.get("first").is_none(), "it was not taken whole");
        assert_eq!(prepared.gather("second".into(), (1, 0), pieces()).count(), 3);
        let packed = prepared.get("second").unwrap();
        assert_eq!(super::super::gzip::unpack(packed).collect::<Vec<_>>().concat(), b"piecepiecepiece");
        let long = std::iter::repeat_n(Bytes::from(vec![7; 1 << 20]), (GATHERED >> 20) + 1);
        assert_eq!(prepared.gather("long".into(), (1, 0), long).count(), 33);
        assert!(prepared.get("long").is_none());
    }
}
