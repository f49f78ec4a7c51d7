//! One channel's programmes out of several sources.
//!
//! Owns what a source of lower priority adds: programmes in gaps, and fields that are empty. Must not enter: matching, files.
//! Invariant: the result depends on the order of the walks alone, never on when they were fetched; programmes stay in order and do
//! not overlap; one programme of each walk is in memory.

use std::{io, iter::Peekable};

use yagi_api::Programme;

use super::Programmes;

/// Two sources mean the same programme when their starts are so near, in seconds.
const SAME_START: i64 = 300;

/// `walks` by falling priority.
pub fn merged(walks: Vec<Programmes>) -> Programmes {
    let both = |first: Programmes, second: Programmes| -> Programmes {
        Box::new(Both { first: first.peekable(), second: second.peekable(), covered: i64::MIN })
    };
    walks.into_iter().reduce(both).unwrap_or_else(|| Box::new(std::iter::empty()))
}

struct Both {
    first: Peekable<Programmes>,
    second: Peekable<Programmes>,
    /// Everything before is told.
    covered: i64,
}

impl Both {
    /// The second's next programme; a source that cannot be read adds nothing more.
    fn peek_second(&mut self) -> Option<(i64, i64)> {
        match self.second.peek() {
            Some(Ok(p)) => Some((p.start, p.stop)),
            None => None,
            Some(Err(error)) => {
                tracing::warn!(%error, "a guide of lower priority cannot be read");
                self.second = (Box::new(std::iter::empty()) as Programmes).peekable();
                None
            }
        }
    }

    fn take_second(&mut self) -> Option<Programme> {
        self.second.next().and_then(Result::ok)
    }
}

impl Iterator for Both {
    type Item = io::Result<Programme>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let first = match self.first.peek() {
                Some(Err(_)) => return self.first.next(),
                Some(Ok(p)) => Some((p.start, p.stop)),
                None => None,
            };
            let second = self.peek_second();
            match (first, second) {
                (None, None) => return None,
                // A programme in a gap of the first; what reaches into a programme of the first is left out.
                (first, Some((start, stop))) if first.is_none_or(|(next, _)| stop <= next) => {
                    let gap = self.take_second()?;
                    if start >= self.covered {
                        self.covered = stop;
                        return Some(Ok(gap));
                    }
                }
                (Some((next, _)), Some((start, _))) if start + SAME_START < next => drop(self.take_second()),
                (Some((next, stop)), second) => {
                    let Some(Ok(mut programme)) = self.first.next() else { return None };
                    self.covered = stop;
                    if second.is_some_and(|(start, _)| (start - next).abs() <= SAME_START)
                        && let Some(other) = self.take_second()
                    {
                        fill(&mut programme, other);
                    }
                    return Some(Ok(programme));
                }
                (None, Some(_)) => drop(self.take_second()),
            }
        }
    }
}

fn fill(programme: &mut Programme, other: Programme) {
    for (field, value) in [
        (&mut programme.subtitle, other.subtitle),
        (&mut programme.description, other.description),
        (&mut programme.category, other.category),
        (&mut programme.icon, other.icon),
    ] {
        if field.is_empty() {
            *field = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(start: i64, stop: i64, title: &str, description: &str) -> Programme {
        Programme { start, stop, title: title.into(), description: description.into(), ..Programme::default() }
    }

    fn walk(list: Vec<Programme>) -> Programmes {
        Box::new(list.into_iter().map(Ok))
    }

    fn told(walks: Vec<Vec<Programme>>) -> Vec<Programme> {
        merged(walks.into_iter().map(walk).collect()).map(Result::unwrap).collect()
    }

    #[test]
    fn gaps_and_empty_fields_are_filled_from_below() {
        let first = vec![one(1000, 2000, "A", ""), one(4000, 5000, "B", "own")];
        let second = vec![
            one(0, 1000, "before", "x"),
            one(1100, 2000, "a", "more of A"),
            one(2000, 3000, "gap", ""),
            one(3000, 4500, "reaches in", ""),
            one(4000, 5000, "b", "other"),
            one(5000, 6000, "after", ""),
        ];
        let all = told(vec![first, second]);
        let words: Vec<_> = all.iter().map(|p| (p.title.as_str(), p.description.as_str())).collect();
        assert_eq!(words, [("before", "x"), ("A", "more of A"), ("gap", ""), ("B", "own"), ("after", "")]);
    }

    #[test]
    fn a_broken_source_below_costs_only_itself() {
        let broken: Programmes = Box::new(std::iter::once(Err(io::Error::other("x"))));
        let all: Vec<_> = merged(vec![walk(vec![one(1, 2, "A", "")]), broken]).map(Result::unwrap).collect();
        assert_eq!(all.len(), 1);
        assert_eq!(merged(Vec::new()).count(), 0);
    }

    proptest! {
        /// Nothing of the first is lost, and nothing overlaps.
        #[test]
        fn the_first_is_whole_and_in_order(
            lists in prop::collection::vec(prop::collection::vec((1i64..2000, 0i64..500), 0..20), 0..4),
        ) {
            let lists: Vec<Vec<Programme>> = lists.iter().enumerate().map(|(n, list)| {
                let mut at = 0;
                list.iter().map(|(len, gap)| {
                    let start = at + gap;
                    at = start + len;
                    one(start, at, &n.to_string(), "")
                }).collect()
            }).collect();
            let all = told(lists.clone());
            prop_assert!(all.windows(2).all(|w| w[0].stop <= w[1].start));
            let first: Vec<_> = all.iter().filter(|p| p.title == "0").map(|p| (p.start, p.stop)).collect();
            let own: Vec<_> = lists.first().map(|l| l.iter().map(|p| (p.start, p.stop)).collect()).unwrap_or_default();
            prop_assert_eq!(first, own);
        }
    }
}
