//! How much two channels' names are alike.
//!
//! Owns the score and the index that finds candidates. Must not enter: the line-up, files. Invariant: a score is from 0 to 1, and
//! names that differ in a number are never very alike: `Sport 1` is not `Sport 2`.

use std::collections::HashMap;

use crate::names;

type Pair = [char; 2];

/// A name, made ready for comparing.
#[derive(Clone, Debug)]
struct Shape {
    pairs: Vec<Pair>,
    numbers: Vec<String>,
}

impl Shape {
    fn of(plain: &str) -> Self {
        let spaced: Vec<char> =
            std::iter::once(' ').chain(plain.chars().take(64)).chain(std::iter::once(' ')).collect();
        let mut pairs: Vec<Pair> = spaced.windows(2).map(|w| [w[0], w[1]]).collect();
        pairs.sort_unstable();
        let mut numbers: Vec<String> =
            plain.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).map(str::to_owned).collect();
        numbers.sort();
        Self { pairs, numbers }
    }

    /// Dice's coefficient over pairs of letters.
    fn score(&self, other: &Self) -> f32 {
        let (mut a, mut b, mut common) = (self.pairs.as_slice(), other.pairs.as_slice(), 0_u16);
        while let (Some(x), Some(y)) = (a.first(), b.first()) {
            match x.cmp(y) {
                std::cmp::Ordering::Less => a = &a[1..],
                std::cmp::Ordering::Greater => b = &b[1..],
                std::cmp::Ordering::Equal => {
                    common += 1;
                    (a, b) = (&a[1..], &b[1..]);
                }
            }
        }
        let all = u16::try_from(self.pairs.len() + other.pairs.len()).unwrap_or(u16::MAX).max(1);
        let dice = 2.0 * f32::from(common) / f32::from(all);
        if self.numbers == other.numbers { dice } else { dice * 0.6 }
    }
}

/// The plain name without a country in front: `it rai 1` is `rai 1` too.
fn without_country(plain: &str) -> Option<&str> {
    let (first, rest) = plain.split_once(' ')?;
    ((2..=3).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_lowercase()) && rest.len() > 2).then_some(rest)
}

/// Names of a guide's channels, to be searched.
#[derive(Debug, Default)]
pub struct Likeness {
    shapes: Vec<(Shape, u32)>,
    by_pair: HashMap<Pair, Vec<u32>>,
}

impl Likeness {
    /// Adds a name of the thing that `owner` stands for.
    pub fn add(&mut self, name: &str, owner: u32) {
        let plain = names::plain(&names::fold(name));
        for text in std::iter::once(plain.as_str()).chain(without_country(&plain)) {
            if text.is_empty() {
                continue;
            }
            let (shape, at) = (Shape::of(text), u32::try_from(self.shapes.len()).unwrap_or(u32::MAX));
            let mut pairs = shape.pairs.clone();
            pairs.dedup();
            for pair in pairs {
                self.by_pair.entry(pair).or_default().push(at);
            }
            self.shapes.push((shape, owner));
        }
    }

    /// Owners of the names most like this one, best first.
    pub fn find(&self, name: &str, most: usize, least: f32) -> Vec<(u32, f32)> {
        let plain = names::plain(&names::fold(name));
        let mut best: HashMap<u32, f32> = HashMap::new();
        for text in std::iter::once(plain.as_str()).chain(without_country(&plain)) {
            if text.is_empty() {
                continue;
            }
            let shape = Shape::of(text);
            let mut shared: HashMap<u32, u16> = HashMap::new();
            let mut pairs = shape.pairs.clone();
            pairs.dedup();
            // Rare pairs tell most; the commonest ones would bring in every name of the guide.
            pairs.sort_by_key(|pair| self.by_pair.get(pair).map_or(0, Vec::len));
            let telling = (pairs.len() * 2).div_ceil(3);
            for pair in &pairs[..telling] {
                for at in self.by_pair.get(pair).into_iter().flatten() {
                    *shared.entry(*at).or_default() += 1;
                }
            }
            let enough = u16::try_from(telling / 4).unwrap_or(u16::MAX);
            for (at, _) in shared.into_iter().filter(|(_, n)| *n >= enough) {
                let Some((other, owner)) = self.shapes.get(at as usize) else { continue };
                let score = shape.score(other);
                if score >= least {
                    let kept = best.entry(*owner).or_default();
                    *kept = kept.max(score);
                }
            }
        }
        let mut found: Vec<(u32, f32)> = best.into_iter().collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(most);
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn best(guide: &[&str], name: &str) -> Option<(usize, f32)> {
        let mut all = Likeness::default();
        for (i, name) in guide.iter().enumerate() {
            all.add(name, i as u32);
        }
        all.find(name, 1, 0.5).first().map(|(at, score)| (*at as usize, *score))
    }

    #[test]
    fn names_alike_are_found_and_numbers_keep_them_apart() {
        let guide = ["Rai 1", "Rai 2", "BBC One London", "Sky Sport Uno", "Sky Sport Arena", "Das Erste"];
        assert_eq!(best(&guide, "IT: Rai 1 HD").map(|b| b.0), Some(0));
        assert_eq!(best(&guide, "Rai2").map(|b| b.0), Some(1));
        assert_eq!(best(&guide, "BBC One Lond.").map(|b| b.0), Some(2));
        assert_eq!(best(&guide, "|DE| Das Erste").unwrap(), (5, 1.0));
        assert!(best(&guide, "Sky Sports Uno").unwrap().1 > 0.85);
        let (_, score) = best(&["Sky Sport 1"], "Sky Sport 2").unwrap();
        assert!(score < 0.7, "{score}");
        assert_eq!(best(&guide, "Al Jazeera"), None);
        assert_eq!(best(&guide, ""), None);
    }

    proptest! {
        #[test]
        fn a_score_is_a_share(a in "\\PC{0,30}", b in "\\PC{0,30}") {
            let mut all = Likeness::default();
            all.add(&b, 0);
            for (_, score) in all.find(&a, 9, 0.0) {
                prop_assert!((0.0..=1.0).contains(&score));
            }
        }
    }
}
