//! The rows as the writer thread knows them: the database's mirror, from which snapshots are built.
//!
//! Owns [`State`]. Must not enter: policy, SQL text. Invariant: after each job it equals the database; a job that failed after
//! it touched the state makes it be loaded anew.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use rusqlite::Connection;
use yagi_api::{Category, CategoryId, Channel, ChannelId, Lineup, Rule, RuleId, Settings, Source, SourceId, UserId};

use super::{
    catalog::{ByHand, Catalog, Parts, Viewer},
    merging::merged,
    numbers::Gaps,
};
use crate::{
    secret::Secret,
    store::{self, Sealer, sources::Validators, users::Account},
};

/// A channel and the bits of the fields that an administrator edited (see [`super::channels`]).
#[derive(Clone)]
pub struct Row {
    pub channel: Arc<Channel>,
    pub edited: u16,
}

#[derive(Clone, Default)]
pub struct State {
    pub rev: u64,
    /// See [`Catalog::edition`].
    pub edition: u64,
    pub edited_at: i64,
    /// By number: the order of the snapshot, and the uniqueness of numbers.
    pub channels: BTreeMap<u32, Row>,
    gaps: Gaps,
    pub numbers: HashMap<ChannelId, u32>,
    pub categories: BTreeMap<CategoryId, Category>,
    pub category_ids: HashMap<String, CategoryId>,
    pub viewers: BTreeMap<UserId, Arc<Viewer>>,
    pub sources: BTreeMap<SourceId, Arc<Source>>,
    pub validators: HashMap<SourceId, Validators>,
    pub settings: Arc<Settings>,
    pub rules: BTreeMap<RuleId, Arc<Rule>>,
    pub lineups: Arc<BTreeMap<SourceId, Lineup>>,
    pub set_keys: Arc<BTreeSet<String>>,
    /// Differs from the database: a job failed half-way.
    pub stale: bool,
}

/// Why rows cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    Sql(rusqlite::Error),
    /// The key does not open a stored password.
    Key,
}

impl From<rusqlite::Error> for Unreadable {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Sql(cause)
    }
}

impl State {
    pub fn load(conn: &Connection, sealer: &Sealer) -> Result<Self, Unreadable> {
        let rev = store::settings::rev(conn)?;
        // What was changed since is not known: everything may have been.
        let mut state = Self { rev, edition: rev, edited_at: super::now(), ..Self::default() };
        store::channels::load(conn, |channel, edited| {
            state.numbers.insert(channel.id, channel.number);
            state.gaps.take(channel.number);
            state.channels.insert(channel.number, Row { channel: Arc::new(tight(channel)), edited });
        })?;
        for category in store::categories::load(conn)? {
            state.category_ids.insert(category.name.clone(), category.id);
            state.categories.insert(category.id, category);
        }
        for account in store::users::load(conn)? {
            let password = sealer.unseal(&account.sealed).ok_or(Unreadable::Key)?;
            let token =
                account.token.as_deref().map(|sealed| sealer.unseal(sealed).ok_or(Unreadable::Key)).transpose()?;
            let viewer = state.viewer(account, password, token);
            state.viewers.insert(viewer.user.id, viewer);
        }
        for (source, validators) in store::sources::load(conn)? {
            state.validators.insert(source.id, validators);
            state.sources.insert(source.id, Arc::new(source));
        }
        state.rules = store::rules::load(conn)?.into_iter().map(|r| (r.id, Arc::new(r))).collect();
        state.lineups = Arc::new(lineups(conn, &state.sources)?);
        state.load_settings(store::settings::load(conn)?);
        Ok(state)
    }

    /// A key of another version of this program, or a value that no longer fits, counts as unset.
    fn load_settings(&mut self, rows: Vec<(String, String)>) {
        for (key, text) in rows {
            let Ok(value) = serde_json::from_str(&text) else { continue };
            match super::settings::with(&self.settings, &key, Some(value)) {
                Ok(settings) => {
                    self.settings = Arc::new(settings);
                    Arc::make_mut(&mut self.set_keys).insert(key);
                }
                Err(error) => tracing::warn!(%key, %error, "stored setting ignored: its default is used"),
            }
        }
    }

    /// Resolves the names of allowed categories.
    pub fn viewer(&self, account: Account, password: Secret, token: Option<Secret>) -> Arc<Viewer> {
        let Account { mut user, allowed, .. } = account;
        let allowed = allowed.map(|mut ids| {
            ids.sort_unstable();
            ids.dedup();
            ids.into_boxed_slice()
        });
        user.categories = allowed.as_ref().map(|ids| {
            ids.iter().filter_map(|id| self.categories.get(id)).map(|category| category.name.clone()).collect()
        });
        Arc::new(Viewer { user, password, token, allowed })
    }

    /// After a category was renamed or deleted.
    pub fn rename_allowed(&mut self) {
        let viewers: Vec<_> = self
            .viewers
            .values()
            .filter_map(|v| {
                let ids = v.allowed.as_ref()?.iter().filter(|id| self.categories.contains_key(id)).copied().collect();
                let account = Account { user: v.user.clone(), sealed: Vec::new(), token: None, allowed: Some(ids) };
                Some(self.viewer(account, v.password.clone(), v.token.clone()))
            })
            .collect();
        for viewer in viewers {
            self.viewers.insert(viewer.user.id, viewer);
        }
    }

    pub fn channel(&self, id: ChannelId) -> Option<&Row> {
        self.channels.get(self.numbers.get(&id)?)
    }

    /// Puts a new or changed channel in its place.
    pub fn put(&mut self, channel: Channel, edited: u16) -> Arc<Channel> {
        if let Some(old) = self.numbers.insert(channel.id, channel.number)
            && old != channel.number
        {
            self.channels.remove(&old);
            self.gaps.give(old);
        }
        self.gaps.take(channel.number);
        let channel = Arc::new(tight(channel));
        self.channels.insert(channel.number, Row { channel: Arc::clone(&channel), edited });
        channel
    }

    pub fn remove(&mut self, id: ChannelId) {
        if let Some(number) = self.numbers.remove(&id) {
            self.channels.remove(&number);
            self.gaps.give(number);
        }
    }

    /// The smallest free number from `from` on that is not in `reserved`.
    pub fn free_number(&self, from: u32, reserved: &std::collections::HashSet<u32>) -> u32 {
        self.gaps.next(from, reserved)
    }

    pub fn catalog(&self) -> Catalog {
        let priority = |id: SourceId| self.sources.get(&id).map_or(u32::MAX, |s| s.options.priority);
        let mut rules: Vec<_> = self.rules.values().cloned().collect();
        rules.sort_by_key(|r| (r.position, r.id));
        let edited = |bit: u16| self.channels.values().filter(move |r| r.edited & bit != 0);
        let by_hand = |bit: u16| {
            let mut ids: Box<[ChannelId]> = edited(bit).map(|r| r.channel.id).collect();
            ids.sort_unstable();
            ids
        };
        let taught = edited(super::channels::edited::GUIDE_ID);
        Catalog::build(Parts {
            rev: self.rev,
            edition: self.edition,
            edited_at: self.edited_at,
            channels: merged(self.channels.values().map(|row| Arc::clone(&row.channel)).collect(), priority),
            rules: rules.into(),
            lineups: Arc::clone(&self.lineups),
            taught: taught.map(|r| Arc::clone(&r.channel)).collect(),
            by_hand: ByHand {
                sources: by_hand(super::channels::edited::SOURCES),
                logos: by_hand(super::channels::edited::LOGO),
            },
            categories: self.categories.values().cloned().collect(),
            viewers: self.viewers.clone(),
            sources: self.sources.values().cloned().collect(),
            validators: self.validators.clone(),
            settings: Arc::clone(&self.settings),
            set_keys: Arc::clone(&self.set_keys),
        })
    }
}

/// Generations and what is held, by source; names are those of the sources.
fn lineups(
    conn: &Connection,
    sources: &BTreeMap<SourceId, Arc<Source>>,
) -> rusqlite::Result<BTreeMap<SourceId, Lineup>> {
    let mut all: BTreeMap<SourceId, Lineup> = BTreeMap::new();
    let mut of = |source: SourceId, put: &mut dyn FnMut(&mut Lineup)| {
        let name = sources.get(&source).map(|s| s.name.clone()).unwrap_or_default();
        put(all.entry(source).or_insert_with(|| Lineup { source, name, ..Lineup::default() }));
    };
    for (source, generation) in store::generations::load(conn)? {
        of(source, &mut |lineup| {
            lineup.generation = lineup.generation.max(generation.number);
            lineup.generations.push(generation.clone());
        });
    }
    for (source, held) in store::generations::held(conn)? {
        of(source, &mut |lineup| lineup.held = Some(held.clone()));
    }
    Ok(all)
}

/// Spare capacity times 50,000 channels is megabytes.
fn tight(mut channel: Channel) -> Channel {
    channel.name.shrink_to_fit();
    channel.logo.shrink_to_fit();
    channel.guide_id.shrink_to_fit();
    channel.merge_key.shrink_to_fit();
    channel.sources.shrink_to_fit();
    for source in &mut channel.sources {
        source.url.shrink_to_fit();
        source.headers.shrink_to_fit();
    }
    channel
}
