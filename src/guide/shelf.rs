//! The generations of all sources as one guide.
//!
//! Owns which source answers for a channel: by guide id, else by name. Must not enter: files' layout, accounts. Invariants:
//! it never changes once built; the source with the lowest id wins a channel that several have.

use std::{collections::HashMap, sync::Arc};

use yagi_api::{Channel, GuideStatus};

use super::{file::Generation, names};

/// (index of the generation, index of its channel).
type At = (u32, u32);

pub struct Shelf {
    pub number: u64,
    /// By source id.
    pub generations: Vec<Arc<Generation>>,
    ids: HashMap<Box<str>, At>,
    names: HashMap<Box<str>, At>,
}

impl Shelf {
    pub fn new(number: u64, mut generations: Vec<Arc<Generation>>) -> Self {
        generations.sort_by_key(|g| g.facts.source);
        let mut shelf = Self { number, generations, ids: HashMap::new(), names: HashMap::new() };
        for (g, generation) in generations_of(&shelf) {
            for (c, channel) in generation.channels.iter().enumerate() {
                let at = (g, c as u32);
                shelf.ids.entry(channel.id.to_lowercase().into()).or_insert(at);
                for name in &channel.names {
                    let folded = names::fold(name);
                    if !folded.is_empty() {
                        shelf.names.entry(folded.into()).or_insert(at);
                    }
                }
            }
        }
        // The bare name goes to whoever bears it as it is, else to the first with words of quality added.
        for (g, generation) in generations_of(&shelf) {
            for (c, channel) in generation.channels.iter().enumerate() {
                for name in &channel.names {
                    let plain = names::plain(&names::fold(name));
                    if !plain.is_empty() {
                        shelf.names.entry(plain.into()).or_insert((g, c as u32));
                    }
                }
            }
        }
        shelf
    }

    /// Where the channel's programmes are.
    pub fn find(&self, channel: &Channel) -> Option<(&Arc<Generation>, usize)> {
        let by_id = || {
            let id = channel.guide_id.trim();
            (!id.is_empty()).then(|| self.ids.get(id.to_lowercase().as_str()))?
        };
        let by_name = || {
            if self.names.is_empty() {
                return None;
            }
            let folded = names::fold(&channel.name);
            self.names.get(folded.as_str()).or_else(|| self.names.get(names::plain(&folded).as_str()))
        };
        let (g, c) = *by_id().or_else(by_name)?;
        Some((&self.generations[g as usize], c as usize))
    }

    /// All but the matched channels.
    pub fn status(&self) -> GuideStatus {
        let each = || self.generations.iter().map(|g| &g.facts);
        GuideStatus {
            generation: self.number,
            channels: u32::try_from(self.ids.len()).unwrap_or(u32::MAX),
            programmes: self.generations.iter().map(|g| g.programmes()).sum(),
            from: each().map(|f| f.from).min(),
            until: each().map(|f| f.until).max(),
            built_at: each().map(|f| f.built_at).max(),
            ..GuideStatus::default()
        }
    }
}

fn generations_of(shelf: &Shelf) -> Vec<(u32, Arc<Generation>)> {
    shelf.generations.iter().enumerate().map(|(g, generation)| (g as u32, Arc::clone(generation))).collect()
}
