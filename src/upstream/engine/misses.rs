//! Which engine gave nothing of which content: the next session of it is opened on another one, if there is any.
//!
//! Must not enter: health, load. Invariants: it is a preference and excludes no engine; memory is bounded by [`MOST`] contents for [`KEPT`].

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const MOST: usize = 256;
const KEPT: Duration = Duration::from_secs(120);

struct Miss {
    content: String,
    engine: u32,
    at: Instant,
}

#[derive(Default)]
pub struct Misses(Mutex<VecDeque<Miss>>);

impl Misses {
    /// The engine gave nothing of the content.
    pub fn note(&self, content: &str, engine: u32, now: Instant) {
        let mut list = self.list();
        list.retain(|m| now.saturating_duration_since(m.at) < KEPT && (m.content != content || m.engine != engine));
        if list.len() == MOST {
            list.pop_front();
        }
        list.push_back(Miss { content: content.to_owned(), engine, at: now });
    }

    /// How recently it did, of all that did: 0 if it did not.
    pub fn rank(&self, content: &str, engine: u32, now: Instant) -> usize {
        let list = self.list();
        let mut recent = list.iter().filter(|m| m.content == content && now.saturating_duration_since(m.at) < KEPT);
        recent.position(|m| m.engine == engine).map_or(0, |place| place + 1)
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<Miss>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_missed_last_is_asked_last_and_all_is_forgotten() {
        let (misses, now) = (Misses::default(), Instant::now());
        let ranks = |now| [1, 2, 3].map(|engine| misses.rank("a", engine, now));
        misses.note("a", 2, now);
        misses.note("b", 1, now);
        assert_eq!(ranks(now), [0, 1, 0]);
        misses.note("a", 1, now);
        assert_eq!(ranks(now), [2, 1, 0]);
        misses.note("a", 2, now);
        assert_eq!(ranks(now), [1, 2, 0]);
        assert_eq!(ranks(now + KEPT), [0; 3]);
        (0..1000).for_each(|n| misses.note(&n.to_string(), 1, now));
        assert_eq!(misses.list().len(), MOST);
    }
}
