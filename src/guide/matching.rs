//! Which channels of which sources a channel's programmes come from.
//!
//! Owns the order of what was found, and what administrators taught. Must not enter: files, time. Invariant: an empty guide id
//! matches nothing; the order is that of priorities, then of certainty, then of source ids, and of nothing else.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use yagi_api::{Channel, GuideMatch, SourceId};

use super::{file::Generation, shelf::Shelf};
use crate::{library::Catalog, names};

/// What the line-up says of guides: priorities of sources, and guide ids that were given by hand.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Policy {
    priorities: BTreeMap<u32, u32>,
    /// Plain names of channels with a guide id given by hand, and those ids.
    taught: HashMap<Box<str>, Box<str>>,
}

impl Policy {
    pub fn of(catalog: &Catalog) -> Self {
        let mut taught = HashMap::new();
        for channel in catalog.taught().iter().filter(|c| !c.guide_id.trim().is_empty()) {
            let plain = names::plain(&names::fold(&channel.name));
            if !plain.is_empty() {
                taught.entry(plain.into()).or_insert_with(|| channel.guide_id.trim().to_lowercase().into());
            }
        }
        let priorities = catalog.sources().iter().map(|s| (s.id.0, s.options.priority)).collect();
        Self { priorities, taught }
    }

    pub fn priority(&self, source: SourceId) -> u32 {
        self.priorities.get(&source.0).copied().unwrap_or(100)
    }

    /// The guide id that a name was taught.
    pub fn taught(&self, folded: &str) -> Option<&str> {
        if self.taught.is_empty() {
            return None;
        }
        self.taught.get(names::plain(folded).as_str()).map(|id| &**id)
    }
}

/// A channel of a source that a channel of the line-up is.
pub struct Found<'a> {
    pub how: GuideMatch,
    pub generation: &'a Arc<Generation>,
    pub channel: usize,
    pub priority: u32,
}

/// How sure a match is, from 0 to 1.
pub fn score(how: GuideMatch) -> f32 {
    match how {
        GuideMatch::Id | GuideMatch::Testcard => 1.0,
        GuideMatch::Learned => 0.95,
        GuideMatch::Name => 0.9,
        GuideMatch::None => 0.0,
    }
}

impl Shelf {
    /// Everything that the channel matches, at most one channel of each source, best first.
    pub fn all<'a>(&'a self, channel: &Channel) -> Vec<Found<'a>> {
        let mut found: Vec<Found<'a>> = Vec::new();
        let add = |found: &mut Vec<Found<'a>>, how, at: &[super::shelf::At]| {
            for (g, c) in at {
                let generation = &self.generations[*g as usize];
                if found.iter().any(|f| f.generation.source() == generation.source()) {
                    continue;
                }
                let priority = self.policy.priority(generation.source());
                found.push(Found { how, generation, channel: *c as usize, priority });
            }
        };
        let id = channel.guide_id.trim().to_lowercase();
        if !id.is_empty() {
            add(&mut found, GuideMatch::Id, self.by_id(&id));
        }
        // Who is found in each of them by id needs no name: to fold names is what costs.
        if found.len() < self.generations.len() {
            let folded = names::fold(&channel.name);
            if let Some(id) = self.policy.taught(&folded) {
                add(&mut found, GuideMatch::Learned, self.by_id(id));
            }
            add(&mut found, GuideMatch::Name, self.by_name(&folded));
            add(&mut found, GuideMatch::Name, self.by_name(&names::plain(&folded)));
        }
        found.sort_by_key(|f| (f.priority, std::cmp::Reverse((score(f.how) * 100.0) as u32), f.generation.source()));
        found
    }
}
