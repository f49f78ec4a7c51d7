//! What is on now and what follows, in memory.
//!
//! Owns the window of each channel that somebody asked for: its current programme and the next ones. Must not enter: files, matching (the
//! caller reads what is missing). Invariants: it holds what the files say and nothing of another generation; at most [`HALF`] bytes
//! twice; as time passes a window is read anew when it has too little left.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    mem::size_of,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use yagi_api::{Channel, Programme};

/// Programmes of a window. Players ask for four.
pub const WINDOW: usize = 6;
/// Bytes after which what nobody asked for of late is forgotten.
const HALF: usize = 4 << 20;

#[derive(Default)]
pub struct Coming {
    /// Makes the keys; nobody outside can make two channels share one.
    hash: RandomState,
    halves: Mutex<Halves>,
}

/// What was asked for of late, and what before that.
#[derive(Default)]
struct Halves {
    generation: u64,
    young: HashMap<u64, Held>,
    old: HashMap<u64, Held>,
    bytes: usize,
}

#[derive(Clone)]
struct Held {
    rows: Arc<[Programme]>,
    /// From when on the rows are all there is.
    since: i64,
    /// Nothing comes after them.
    whole: bool,
}

impl Held {
    /// The rows at `now`, if there are as many as are wanted, or all.
    fn at(&self, now: i64, most: usize) -> Option<&[Programme]> {
        let rows = &self.rows[self.rows.partition_point(|p| p.stop <= now)..];
        (now >= self.since && (self.whole || rows.len() >= most)).then(|| &rows[..rows.len().min(most)])
    }
}

impl Coming {
    /// Channels that find the same programmes have the same key.
    fn key(&self, channel: &Channel) -> u64 {
        self.hash.hash_one((&channel.guide_id, &channel.name, channel.guide_shift_min))
    }

    fn halves(&self, generation: u64) -> MutexGuard<'_, Halves> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.generation != generation {
            *halves = Halves { generation, ..Halves::default() };
        }
        halves
    }

    /// The current programme and the next ones, at most `most`; none when they are not known.
    pub fn get(&self, generation: u64, channel: &Channel, now: i64, most: usize) -> Option<Vec<Programme>> {
        let key = self.key(channel);
        let mut halves = self.halves(generation);
        let held = match halves.young.get(&key) {
            Some(held) => held.clone(),
            None => {
                let held = halves.old.remove(&key)?;
                halves.put(key, held.clone());
                held
            }
        };
        drop(halves);
        held.at(now, most).map(<[Programme]>::to_vec)
    }

    /// Keeps a window that was read at `now`; fewer rows than a window has are all there is.
    pub fn put(&self, generation: u64, channel: &Channel, now: i64, rows: &[Programme]) {
        let held = Held { rows: rows.into(), since: now, whole: rows.len() < WINDOW };
        let key = self.key(channel);
        self.halves(generation).put(key, held);
    }
}

impl Halves {
    fn put(&mut self, key: u64, held: Held) {
        let texts = |p: &Programme| {
            [&p.title, &p.subtitle, &p.description, &p.category, &p.icon, &p.lang]
                .map(|t| t.len())
                .iter()
                .sum::<usize>()
        };
        let bytes = held.rows.iter().map(|p| size_of::<Programme>() + texts(p)).sum::<usize>() + size_of::<Held>() + 64;
        if self.bytes + bytes > HALF {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.young.insert(key, held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::sample::channel;

    fn rows(from: i64, n: i64) -> Vec<Programme> {
        (from..from + n).map(|i| Programme { start: i * 10, stop: i * 10 + 10, ..Programme::default() }).collect()
    }

    fn starts(found: Option<Vec<Programme>>) -> Option<Vec<i64>> {
        found.map(|all| all.iter().map(|p| p.start).collect())
    }

    #[test]
    fn a_window_serves_while_it_has_enough() {
        let (coming, a) = (Coming::default(), channel(1, "A", "a"));
        assert!(coming.get(1, &a, 5, 2).is_none());
        coming.put(1, &a, 5, &rows(0, 6));
        assert_eq!(starts(coming.get(1, &a, 5, 2)), Some(vec![0, 10]));
        assert_eq!(starts(coming.get(1, &a, 10, 2)), Some(vec![10, 20]));
        assert_eq!(starts(coming.get(1, &a, 45, 2)), Some(vec![40, 50]));
        // One is left, and there may be more; a clock that went back; another generation; another channel.
        assert!(coming.get(1, &a, 50, 2).is_none());
        assert!(coming.get(1, &a, 4, 2).is_none());
        assert!(coming.get(1, &channel(1, "A", "b"), 5, 2).is_none());
        assert!(coming.get(2, &a, 5, 2).is_none());
        // All there is.
        coming.put(2, &a, 5, &rows(0, 3));
        assert_eq!(starts(coming.get(2, &a, 20, 4)), Some(vec![20]));
        assert_eq!(starts(coming.get(2, &a, 99, 4)), Some(vec![]));
    }

    #[test]
    fn memory_is_bounded_and_what_is_asked_for_stays() {
        let (coming, hot) = (Coming::default(), channel(0, "hot", "hot"));
        let long = [Programme { stop: 10, description: "x".repeat(4000), ..Programme::default() }];
        coming.put(1, &hot, 0, &long);
        for id in 1..5000 {
            coming.put(1, &channel(id, "c", &id.to_string()), 0, &long);
            assert!(coming.get(1, &hot, 0, 1).is_some(), "{id}");
        }
        let halves = coming.halves(1);
        assert!(halves.young.len() + halves.old.len() <= 2 * HALF / 4000);
        drop(halves);
        assert!(coming.get(1, &channel(1, "c", "1"), 0, 1).is_none());
    }
}
