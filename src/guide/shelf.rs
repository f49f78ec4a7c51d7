//! The generations of all sources as one guide.
//!
//! Owns the index of guide ids and names over all sources (what they mean is `matching`'s). Must not enter: files' layout, accounts.
//! Invariant: it never changes once built.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use yagi_api::{Channel, GuideMatch, GuideStatus, Suggestion};

use super::{file::Generation, likeness::Likeness, matching::Policy, names};

/// (index of the generation, index of its channel).
pub type At = (u32, u32);

pub struct Shelf {
    pub number: u64,
    /// By source id.
    pub generations: Vec<Arc<Generation>>,
    ids: HashMap<Box<str>, Box<[At]>>,
    names: HashMap<Box<str>, Box<[At]>>,
    pub policy: Arc<Policy>,
    /// Made when somebody asks for suggestions.
    likeness: OnceLock<Likeness>,
}

impl Shelf {
    pub fn new(number: u64, mut generations: Vec<Arc<Generation>>, policy: Arc<Policy>) -> Self {
        generations.sort_by_key(|g| g.facts.source);
        let mut shelf =
            Self { number, generations, ids: HashMap::new(), names: HashMap::new(), policy, likeness: OnceLock::new() };
        for (g, generation) in generations_of(&shelf) {
            for (c, channel) in generation.channels.iter().enumerate() {
                let at = (g, c as u32);
                push(&mut shelf.ids, channel.id.to_lowercase(), at);
                for name in &channel.names {
                    let folded = names::fold(name);
                    push(&mut shelf.names, folded, at);
                }
            }
        }
        // The bare name goes to whoever bears it as it is, else to the first with words of quality added.
        for (g, generation) in generations_of(&shelf) {
            for (c, channel) in generation.channels.iter().enumerate() {
                for name in &channel.names {
                    let plain = names::plain(&names::fold(name));
                    push(&mut shelf.names, plain, (g, c as u32));
                }
            }
        }
        shelf
    }

    /// Channels with that guide id (in lower case), one of each source that has it.
    pub fn by_id(&self, id: &str) -> &[At] {
        self.ids.get(id).map_or(&[], |at| at)
    }

    /// Channels with that folded name, one of each source that has it.
    pub fn by_name(&self, folded: &str) -> &[At] {
        self.names.get(folded).map_or(&[], |at| at)
    }

    /// Where the channel's programmes are, first of all, and how that was found.
    pub fn find_how(&self, channel: &Channel) -> Option<(GuideMatch, &Arc<Generation>, usize)> {
        self.all(channel).first().map(|f| (f.how, f.generation, f.channel))
    }

    /// Channels of the guide whose names are like this one, best first.
    pub fn alike(&self, name: &str, most: usize, least: f32) -> Vec<Suggestion> {
        let likeness = self.likeness.get_or_init(|| {
            let mut likeness = Likeness::default();
            for (g, generation) in self.generations.iter().enumerate() {
                for (c, channel) in generation.channels.iter().enumerate() {
                    let owner = (g << 24 | c) as u32;
                    channel.names.iter().for_each(|name| likeness.add(name, owner));
                }
            }
            likeness
        });
        let told = |(owner, score): (u32, f32)| {
            let generation = self.generations.get((owner >> 24) as usize)?;
            let channel = generation.channels.get((owner & 0xff_ffff) as usize)?;
            let name = channel.names.first().cloned().unwrap_or_default();
            Some(Suggestion { guide_id: channel.id.clone(), name, source: generation.source(), score })
        };
        likeness.find(name, most, least).into_iter().filter_map(told).collect()
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

/// One channel of each generation has a key: the first that came.
fn push(map: &mut HashMap<Box<str>, Box<[At]>>, key: String, at: At) {
    if key.is_empty() {
        return;
    }
    let known = map.entry(key.into()).or_default();
    if known.iter().all(|(g, _)| *g != at.0) {
        *known = known.iter().copied().chain([at]).collect();
    }
}

fn generations_of(shelf: &Shelf) -> Vec<(u32, Arc<Generation>)> {
    shelf.generations.iter().enumerate().map(|(g, generation)| (g as u32, Arc::clone(generation))).collect()
}
