//! Which numbers are free.
//!
//! Owns the gaps between the numbers of channels. Must not enter: channels. Invariant: gaps are disjoint, never touch each other and
//! hold exactly what is not taken; so a row of taken numbers, however long, is passed in one step.

use std::collections::{BTreeMap, HashSet};

/// First to last number of every gap, both free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gaps(BTreeMap<u32, u32>);

impl Default for Gaps {
    fn default() -> Self {
        Self(BTreeMap::from([(1, u32::MAX)]))
    }
}

impl Gaps {
    fn around(&self, number: u32) -> Option<(u32, u32)> {
        self.0.range(..=number).next_back().map(|(a, b)| (*a, *b)).filter(|(_, last)| number <= *last)
    }

    pub fn take(&mut self, number: u32) {
        let Some((first, last)) = self.around(number) else { return };
        self.0.remove(&first);
        if first < number {
            self.0.insert(first, number - 1);
        }
        if number < last {
            self.0.insert(number + 1, last);
        }
    }

    pub fn give(&mut self, number: u32) {
        if number == 0 || self.around(number).is_some() {
            return;
        }
        let (mut first, mut last) = (number, number);
        if let Some((before, _)) = self.around(number - 1) {
            first = before;
        }
        if let Some(after) = number.checked_add(1).and_then(|next| self.0.remove(&next)) {
            last = after;
        }
        self.0.insert(first, last);
    }

    /// The smallest free number from `from` on that is not in `reserved`.
    pub fn next(&self, from: u32, reserved: &HashSet<u32>) -> u32 {
        let from = from.max(1);
        let begun = self.around(from).map(|(_, last)| (from, last));
        let rest = self.0.range(from.saturating_add(1)..).map(|(first, last)| (*first, *last));
        let mut free = begun.into_iter().chain(rest).flat_map(|(first, last)| first..=last);
        free.find(|n| !reserved.contains(n)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn however_many_are_taken_one_gap_is_looked_at() {
        let mut gaps = Gaps::default();
        for expected in 1..=20_000 {
            let number = gaps.next(1, &HashSet::new());
            assert_eq!(number, expected);
            gaps.take(number);
            assert_eq!(gaps.0.len(), 1, "what was given out is no gap and is not walked over");
        }
        gaps.give(7);
        assert_eq!((gaps.next(1, &HashSet::new()), gaps.next(8, &HashSet::new())), (7, 20_001));
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_plain_way(steps in proptest::collection::vec((any::<bool>(), 1u32..30), 0..80), from in 0u32..35,
            reserved in proptest::collection::hash_set(1u32..35, 0..6)) {
            let (mut gaps, mut taken) = (Gaps::default(), BTreeSet::new());
            for (take, number) in steps {
                if take {
                    gaps.take(number);
                    taken.insert(number);
                } else {
                    gaps.give(number);
                    taken.remove(&number);
                }
            }
            let plain = (from.max(1)..).find(|n| !taken.contains(n) && !reserved.contains(n)).unwrap();
            prop_assert_eq!(gaps.next(from, &reserved), plain);
            for (a, b) in gaps.0.iter().zip(gaps.0.iter().skip(1)) {
                prop_assert!(*a.1 + 1 < *b.0, "they neither meet nor overlap");
            }
        }
    }
}
