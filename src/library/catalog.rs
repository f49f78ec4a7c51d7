//! The line-up as one immutable snapshot: what every player's request is answered from.
//!
//! Owns [`Catalog`] and [`Viewer`]. Must not enter: SQL, sockets, locks, clocks. Invariant: a snapshot never changes; it is
//! built whole by the door (`library::Library`) after a commit and swapped in one step, so that two answers made from one
//! snapshot always agree.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jiff::tz::TimeZone;
use yagi_api::{
    Category, CategoryId, Channel, ChannelId, ChannelSource, Lineup, LogoPolicy, Rule, Settings, Source, SourceId,
    User, UserId, UserStatus,
};

use crate::{secret::Secret, store::sources::Validators};

/// A user with the password opened and the allowed categories resolved.
#[derive(Clone, Debug)]
pub struct Viewer {
    pub user: User,
    /// What links carry: the password, or for a login by token that token.
    pub password: Secret,
    /// Stands for name and password where players give them.
    pub token: Option<Secret>,
    /// Sorted ids of the categories this viewer may see; none: all.
    pub(super) allowed: Option<Box<[CategoryId]>>,
}

impl Viewer {
    /// State of the account at `now` (epoch seconds).
    pub fn status(&self, now: i64) -> UserStatus {
        self.user.status(now)
    }

    /// Whether the text is the password or the token; takes the same time for both.
    pub fn accepts(&self, guess: &str) -> bool {
        let by_token = self.token.as_ref().is_some_and(|t| t.matches(guess));
        self.password.matches(guess) || by_token
    }

    /// The same viewer as one that came with the token: no link made for it shows the password.
    pub fn by_token(&self) -> Option<Self> {
        Some(Self { password: self.token.clone()?, ..self.clone() })
    }

    /// Ids of the categories that it may see; none: all. Viewers that see the same have the same line-up.
    pub fn class(&self) -> Option<&[CategoryId]> {
        self.allowed.as_deref()
    }

    /// Whether this viewer may see the category. An allow-list whose categories are all gone allows nothing.
    pub fn sees(&self, category: CategoryId) -> bool {
        self.allowed.as_ref().is_none_or(|ids| ids.binary_search(&category).is_ok())
    }
}

/// The snapshot. Lists are sorted: channels by number, categories by position, the others by id.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Grows with every committed change, also over restarts.
    pub rev: u64,
    /// `rev` of the last change of channels, categories or settings: what players are listed depends on nothing later but
    /// their own accounts.
    pub edition: u64,
    /// When that was; epoch seconds.
    pub edited_at: i64,
    /// None: UTC.
    zone: Option<TimeZone>,
    channels: Box<[Arc<Channel>]>,
    /// Those of the built-in source.
    cards: Box<[Arc<Channel>]>,
    /// Whether the channel of the same index puts out its provider's guide id unchanged.
    owns_guide_id: Box<[bool]>,
    /// (channel id, index into `channels`), sorted.
    by_id: Box<[(ChannelId, u32)]>,
    categories: Box<[Arc<Category>]>,
    category_index: HashMap<CategoryId, u32>,
    viewers: BTreeMap<UserId, Arc<Viewer>>,
    names: HashMap<Box<str>, Arc<Viewer>>,
    /// By digest: how long a look-up takes tells nothing of a token.
    tokens: HashMap<[u8; 32], Arc<Viewer>>,
    sources: Box<[Arc<Source>]>,
    validators: HashMap<SourceId, Validators>,
    settings: Arc<Settings>,
    set_keys: Arc<BTreeSet<String>>,
    rules: Box<[Arc<Rule>]>,
    lineups: Arc<BTreeMap<SourceId, Lineup>>,
    taught: Box<[Arc<Channel>]>,
    /// Channels whose addresses, and those whose logo an administrator gave; sorted.
    by_hand: ByHand,
    /// Whose addresses a channel shows beside its own: indices into `channels`.
    members: HashMap<ChannelId, Vec<u32>>,
}

/// Channels that a playlist made and somebody gave other addresses; sorted by id.
#[derive(Debug, Default)]
pub(super) struct ByHand {
    pub sources: Box<[ChannelId]>,
    pub logos: Box<[ChannelId]>,
}

/// Where an address of the line-up comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The playlist, whose account the address uses.
    pub account: Option<SourceId>,
    /// Nobody typed it: it stood in a playlist that came through a public host.
    pub found: bool,
}

/// What a snapshot is built from; channels come sorted by number.
pub(super) struct Parts {
    pub rev: u64,
    pub edition: u64,
    pub edited_at: i64,
    pub channels: Box<[Arc<Channel>]>,
    pub categories: Vec<Category>,
    pub viewers: BTreeMap<UserId, Arc<Viewer>>,
    pub sources: Box<[Arc<Source>]>,
    pub validators: HashMap<SourceId, Validators>,
    pub settings: Arc<Settings>,
    pub set_keys: Arc<BTreeSet<String>>,
    pub rules: Box<[Arc<Rule>]>,
    pub lineups: Arc<BTreeMap<SourceId, Lineup>>,
    pub taught: Box<[Arc<Channel>]>,
    pub by_hand: ByHand,
}

impl Catalog {
    pub(super) fn build(parts: Parts) -> Self {
        let Parts {
            rev,
            edition,
            edited_at,
            channels,
            mut categories,
            viewers,
            sources,
            validators,
            settings,
            set_keys,
            rules,
            lineups,
            taught,
            by_hand,
        } = parts;
        let mut by_id: Box<[_]> = channels.iter().enumerate().map(|(i, c)| (c.id, i as u32)).collect();
        by_id.sort_unstable();
        let mut counts: HashMap<CategoryId, u32> = HashMap::new();
        for channel in channels.iter().filter(|c| c.is_listed()) {
            *counts.entry(channel.category).or_default() += 1;
        }
        let mut members: HashMap<ChannelId, Vec<u32>> = HashMap::new();
        for (index, leader) in channels.iter().enumerate().filter_map(|(i, c)| Some((i, c.merged_into?))) {
            members.entry(leader).or_default().push(index as u32);
        }
        categories.sort_by_key(|c| (c.position, c.id));
        for category in &mut categories {
            category.channels = counts.get(&category.id).copied().unwrap_or(0);
        }
        Self {
            rev,
            edition,
            edited_at,
            zone: zone(&settings.timezone).filter(|z| *z != TimeZone::UTC),
            cards: channels.iter().filter(|c| c.is_testcard()).cloned().collect(),
            owns_guide_id: owners(&channels, &by_id),
            category_index: categories.iter().enumerate().map(|(i, c)| (c.id, i as u32)).collect(),
            categories: categories.into_iter().map(Arc::new).collect(),
            tokens: viewers
                .values()
                .filter_map(|v| Some((digest(v.token.as_ref()?.expose()), Arc::clone(v))))
                .collect(),
            names: viewers.values().map(|v| (v.user.name.as_str().into(), Arc::clone(v))).collect(),
            channels,
            by_id,
            viewers,
            sources,
            validators,
            settings,
            set_keys,
            rules,
            lineups,
            taught,
            by_hand,
            members,
        }
    }

    /// All channels by number: also disabled and retired ones.
    pub fn channels(&self) -> &[Arc<Channel>] {
        &self.channels
    }

    fn index(&self, id: ChannelId) -> Option<usize> {
        let at = self.by_id.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.by_id[at].1 as usize)
    }

    pub fn channel(&self, id: ChannelId) -> Option<&Arc<Channel>> {
        self.channels.get(self.index(id)?)
    }

    /// In their order.
    pub fn categories(&self) -> &[Arc<Category>] {
        &self.categories
    }

    pub fn category(&self, id: CategoryId) -> Option<&Arc<Category>> {
        self.categories.get(*self.category_index.get(&id)? as usize)
    }

    /// Name of the channel's category.
    pub fn category_name(&self, channel: &Channel) -> &str {
        self.category(channel.category).map_or("", |c| c.name.as_str())
    }

    pub fn viewers(&self) -> impl ExactSizeIterator<Item = &Arc<Viewer>> {
        self.viewers.values()
    }

    /// By exact name.
    pub fn viewer(&self, name: &str) -> Option<&Arc<Viewer>> {
        self.names.get(name)
    }

    pub fn viewer_by_token(&self, token: &str) -> Option<&Arc<Viewer>> {
        self.tokens.get(&digest(token)).filter(|v| v.token.as_ref().is_some_and(|t| t.matches(token)))
    }

    pub fn viewer_by_id(&self, id: UserId) -> Option<&Arc<Viewer>> {
        self.viewers.get(&id)
    }

    /// With their URLs unmasked: see [`super::masked`].
    pub fn sources(&self) -> &[Arc<Source>] {
        &self.sources
    }

    pub fn source(&self, id: SourceId) -> Option<&Arc<Source>> {
        self.sources.binary_search_by_key(&id, |s| s.id).ok().map(|i| &self.sources[i])
    }

    /// What the source's server said at the last refresh that was applied.
    pub fn validators(&self, id: SourceId) -> Validators {
        self.validators.get(&id).cloned().unwrap_or_default()
    }

    /// The zone of the settings; none: UTC.
    pub fn zone(&self) -> Option<&TimeZone> {
        self.zone.as_ref()
    }

    /// Whether this viewer's line-up has a channel that the daemon makes itself.
    pub fn has_testcard(&self, viewer: &Viewer) -> bool {
        self.cards.iter().any(|c| self.may_watch(viewer, c))
    }

    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Keys of the settings that the database holds; the others have their defaults.
    pub fn set_keys(&self) -> &BTreeSet<String> {
        &self.set_keys
    }

    /// In the order in which they run.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Generations of the playlists' channels, by source.
    pub fn lineups(&self) -> &BTreeMap<SourceId, Lineup> {
        &self.lineups
    }

    /// Channels whose guide id an administrator gave, by number.
    pub fn taught(&self) -> &[Arc<Channel>] {
        &self.taught
    }

    /// Channels whose addresses this one shows beside its own.
    pub(super) fn members<'a>(&'a self, channel: &Channel) -> impl Iterator<Item = &'a Channel> + use<'a> {
        self.members.get(&channel.id).into_iter().flatten().map(|i| &*self.channels[*i as usize])
    }

    /// Of one of the channel's addresses, which may be that of a channel that it shows as its own.
    pub fn provenance(&self, channel: &Channel, source: &ChannelSource) -> Provenance {
        self.provenance_of(self.members(channel).find(|m| m.sources.contains(source)).unwrap_or(channel))
    }

    /// Of the addresses that are the channel's own.
    pub(super) fn provenance_of(&self, owner: &Channel) -> Provenance {
        let typed = self.by_hand.sources.binary_search(&owner.id).is_ok();
        Provenance { account: owner.origin, found: !typed && self.is_found(owner) }
    }

    /// Whether nobody typed the address of the channel's logo, and it came through a public host.
    pub fn found_logo(&self, channel: &Channel) -> bool {
        self.by_hand.logos.binary_search(&channel.id).is_err() && self.is_found(channel)
    }

    fn is_found(&self, channel: &Channel) -> bool {
        self.is_found_through(channel.origin)
    }

    /// Whether this playlist came through a public host.
    pub(super) fn is_found_through(&self, playlist: Option<SourceId>) -> bool {
        playlist.and_then(|id| self.validators.get(&id)).is_some_and(|v| v.public)
    }

    /// Where a player finds the channel's logo: at its own address, or at ours where the setting says so, by default where the
    /// player reaches us by TLS and the logo has none.
    pub fn logo<'a>(&self, channel: &'a Channel, base: &str) -> Cow<'a, str> {
        let ours = !channel.logo.is_empty()
            && match self.settings.logos {
                LogoPolicy::Auto => base.starts_with("https://") && channel.logo.starts_with("http://"),
                LogoPolicy::Serve => true,
                LogoPolicy::Link => false,
            };
        if ours {
            format!("{base}/logo/{}/{}", channel.id, logo_tag(&channel.logo)).into()
        } else {
            (&*channel.logo).into()
        }
    }

    /// Whether some logo has our address for a player that reaches us so.
    pub fn serves_logos(&self, base: &str) -> bool {
        match self.settings.logos {
            LogoPolicy::Auto => base.starts_with("https://"),
            LogoPolicy::Serve => true,
            LogoPolicy::Link => false,
        }
    }

    /// Channels this viewer may see, by number.
    pub fn lineup<'a>(&'a self, viewer: &'a Viewer) -> impl Iterator<Item = &'a Arc<Channel>> {
        self.channels.iter().filter(move |c| self.may_watch(viewer, c))
    }

    /// Index of the first channel from there on that this viewer may see: for those who walk and hold no list.
    pub fn next_of(&self, viewer: &Viewer, from: usize) -> Option<usize> {
        let rest = self.channels.get(from..)?;
        rest.iter().position(|c| self.may_watch(viewer, c)).map(|n| from + n)
    }

    pub fn may_watch(&self, viewer: &Viewer, channel: &Channel) -> bool {
        channel.is_listed() && viewer.sees(channel.category)
    }

    /// The one id under which a channel appears as `tvg-id`, `epg_channel_id` and in the guide. Unique, and stable while the
    /// provider's id and the channel stay: some players show only the last of several channels with one id, and some
    /// refuse ids of other characters.
    pub fn output_id<'a>(&self, channel: &'a Channel) -> Cow<'a, str> {
        self.output_id_at(self.index(channel.id).unwrap_or(usize::MAX), channel)
    }

    /// The same of the channel at this index, for those who walk over all of them.
    pub fn output_id_at<'a>(&self, index: usize, channel: &'a Channel) -> Cow<'a, str> {
        let owns = self.owns_guide_id.get(index).is_some_and(|owns| *owns);
        if owns { Cow::Borrowed(&channel.guide_id) } else { Cow::Owned(own_id(channel.id)) }
    }
}

/// A zone by its name.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" { Some(TimeZone::UTC) } else { TimeZone::get(name).ok() }
}

fn digest(token: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, token.as_bytes()).as_ref());
    out
}

/// What stands in the link to a logo: it changes with the address, and who does not know the address does not know it.
pub fn logo_tag(url: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, url.as_bytes());
    digest.as_ref()[..12].iter().map(|b| format!("{b:02x}")).collect()
}

fn own_id(id: ChannelId) -> String {
    format!("c{id}.yagid")
}

/// Ids that may be put out as they are: plain characters, and none that could be one of our own.
fn is_portable(guide_id: &str) -> bool {
    !guide_id.is_empty()
        && guide_id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !guide_id.get(guide_id.len().saturating_sub(6)..).is_some_and(|end| end.eq_ignore_ascii_case(".yagid"))
}

/// Of the channels with one guide id (case ignored) the one with the lowest channel id owns it.
fn owners(channels: &[Arc<Channel>], by_id: &[(ChannelId, u32)]) -> Box<[bool]> {
    let mut owns = vec![false; channels.len()].into_boxed_slice();
    let mut taken = std::collections::HashSet::with_capacity(channels.len());
    for &(_, index) in by_id {
        let id = channels[index as usize].guide_id.as_str();
        if is_portable(id) {
            let folded = if id.bytes().any(|b| b.is_ascii_uppercase()) {
                Cow::Owned(id.to_ascii_lowercase())
            } else {
                id.into()
            };
            owns[index as usize] = taken.insert(folded);
        }
    }
    owns
}
