//! Answers that are made once and given often.
//!
//! Owns a bounded set of packed bodies. Must not enter: what an answer depends on; the key says it, whole. Invariants: at most
//! [`MOST`] bytes are kept, what was used longest ago goes first, what belongs to an older edition goes at once; only whole
//! answers are kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

/// Packed, a list of 50,000 channels is one to two megabytes.
pub const MOST: usize = 32 << 20;
/// One that is larger would push out all others.
const LARGEST: usize = MOST / 2;

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
}
