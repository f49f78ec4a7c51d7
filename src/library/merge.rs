//! A playlist's entries into rows of channels.
//!
//! Owns the matching of entries with known rows ([`plan`]) and their application in bounded transactions. Must not enter: M3U,
//! downloads. Invariant: a row that matched keeps its id, number and hand-edited fields; a row that is missing is retired, not
//! deleted; an entry that comes back finds its row again.

use std::{collections::HashSet, sync::Arc};

use yagi_api::{Catchup, Channel, ChannelId, ChannelSource, Noun, RefreshReport, SourceId};

use super::{
    Answer, Library,
    channels::edited,
    edit::{Edit, Fault},
    rules,
};
pub use crate::store::channels::{Keys, Known};
use crate::store::{self, sources::Validators};

/// Rows of one transaction: about 40 ms, the longest that an administrator's change waits behind an import.
pub const BATCH: usize = 5000;
/// A retired row that nobody edited is forgotten after this time, so that a churning playlist does not grow for ever.
const FORGET_S: i64 = 30 * 86_400;

/// One channel as a playlist tells it: clean and valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// Empty: "Uncategorised".
    pub category: String,
    pub logo: String,
    pub guide_id: String,
    /// The wanted number; 0: any.
    pub number: u32,
    pub sources: Vec<ChannelSource>,
    pub radio: bool,
    pub catchup: Option<Catchup>,
    pub keys: Keys,
}

/// Which row an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    New,
    /// Recognised by everything.
    Same(ChannelId),
    /// Recognised by a part: the row learns the entry's keys.
    Moved(ChannelId),
}

/// Which row each entry is.
#[derive(Debug, Default)]
pub struct Plan {
    /// By index of the entry.
    pub places: Vec<Place>,
    /// Listed rows that no entry matched.
    pub gone: Vec<ChannelId>,
    /// Rows that were listed before.
    pub listed: usize,
    /// Numbers that new entries ask for: not given to others meanwhile.
    pub wanted: HashSet<u32>,
}

/// Matches entries (keys and wanted number) with rows, in three passes of falling certainty: same path, guide id and name;
/// same path, where no other has it (renamed); same guide id and name (moved, or a new token in the path). Among equals the
/// first entry takes the oldest row that is still listed.
pub fn plan(known: &[Known], entries: &[(Keys, u32)]) -> Plan {
    let mut plan = Plan {
        places: vec![Place::New; entries.len()],
        listed: known.iter().filter(|k| !k.retired).count(),
        ..Plan::default()
    };
    let mut rows: Vec<Known> = known.to_vec();
    let mut open: Vec<usize> = (0..entries.len()).collect();
    let mut pass = |lone, place, key| join(&mut plan.places, &mut rows, &mut open, entries, lone, place, key);
    pass(false, Place::Same, |k| (k.path, k.name));
    pass(true, Place::Moved, |k| (k.path, 0));
    pass(false, Place::Moved, |k| (k.name, 0));
    plan.gone = rows.iter().filter(|r| !r.retired).map(|r| r.id).collect();
    plan.wanted = open.iter().map(|i| entries[*i].1).filter(|n| *n > 0).collect();
    plan
}

/// Joins rows and open entries of one key; what matched leaves both lists.
fn join(
    places: &mut [Place],
    rows: &mut Vec<Known>,
    open: &mut Vec<usize>,
    entries: &[(Keys, u32)],
    lone: bool,
    place: fn(ChannelId) -> Place,
    key: fn(Keys) -> (u64, u64),
) {
    rows.sort_unstable_by_key(|r| (key(r.keys), r.retired, r.id));
    open.sort_unstable_by_key(|i| (key(entries[*i].0), *i));
    let mut rest = Vec::new();
    let mut next = open.as_slice();
    for group in rows.chunk_by(|a, b| key(a.keys) == key(b.keys)) {
        let wanted = key(group[0].keys);
        let from = next.partition_point(|i| key(entries[*i].0) < wanted);
        let len = next[from..].iter().take_while(|i| key(entries[**i].0) == wanted).count();
        let same = &next[from..from + len];
        next = &next[from + len..];
        let pairs = if lone && (group.len() != 1 || len != 1) { 0 } else { group.len().min(len) };
        for (row, entry) in group.iter().zip(same).take(pairs) {
            places[*entry] = place(row.id);
        }
        rest.extend_from_slice(&group[pairs..]);
    }
    *rows = rest;
    open.retain(|i| places[*i] == Place::New);
}

/// What a refresh did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub added: u32,
    pub changed: u32,
    pub retired: u32,
}

/// An import under way; lives on a blocking thread.
pub struct Import<'a> {
    library: &'a Library,
    source: SourceId,
    wanted: Arc<HashSet<u32>>,
    /// No number below it is free.
    cursor: u32,
    pub tally: Tally,
}

impl Library {
    /// Rows that `source` made, for [`plan`].
    pub fn known(&self, source: SourceId) -> Answer<Vec<Known>> {
        self.write_blocking("refresh", move |edit| Ok(store::channels::known(edit.tx, source)?))
    }

    pub fn import(&self, source: SourceId, wanted: HashSet<u32>) -> Import<'_> {
        Import { library: self, source, wanted: Arc::new(wanted), cursor: 1, tally: Tally::default() }
    }
}

impl Import<'_> {
    /// Applies up to [`BATCH`] entries in one transaction. Viewers see them when [`Import::finish`] swaps the snapshot.
    pub fn apply(&mut self, entries: Vec<(Place, Entry)>) -> Answer<()> {
        let (source, wanted) = (self.source, Arc::clone(&self.wanted));
        let (mut cursor, mut tally) = (self.cursor, self.tally);
        let (cursor, tally) = self.library.write_blocking("refresh", move |edit| {
            if !edit.state().sources.contains_key(&source) {
                return Err(yagi_api::ApiError::not_found("source", source).into());
            }
            for (place, entry) in entries {
                match place {
                    Place::Same(id) => tally.changed += u32::from(change(edit, id, entry, false)?),
                    Place::Moved(id) => tally.changed += u32::from(change(edit, id, entry, true)?),
                    Place::New => {
                        add(edit, source, entry, &wanted, &mut cursor)?;
                        tally.added += 1;
                    }
                }
            }
            Ok((cursor, tally))
        })?;
        (self.cursor, self.tally) = (cursor, tally);
        Ok(())
    }

    /// Retires the missing rows, forgets old ones, keeps the report, swaps the snapshot and tells.
    pub fn finish(self, gone: Vec<ChannelId>, report: RefreshReport, seen: Validators) -> Answer<RefreshReport> {
        let Self { library, source, mut tally, .. } = self;
        library.write_blocking("refresh", move |edit| {
            for id in gone {
                tally.retired += u32::from(retire(edit, id)?);
            }
            forget(edit, source)?;
            let report = RefreshReport { added: tally.added, changed: tally.changed, retired: tally.retired, ..report };
            if tally != Tally::default() {
                edit.tell_bulk(Noun::Channels);
                edit.tell_bulk(Noun::Categories);
            }
            super::sources::record(edit, source, report.clone(), Some(seen))?;
            Ok(report)
        })
    }
}

fn add(
    edit: &mut Edit<'_>,
    source: SourceId,
    entry: Entry,
    wanted: &HashSet<u32>,
    cursor: &mut u32,
) -> Result<(), Fault> {
    let asked = (1..=rules::MAX_NUMBER).contains(&entry.number) && !edit.state().channels.contains_key(&entry.number);
    let number = if asked {
        entry.number
    } else {
        *cursor = edit.state().free_number(*cursor, wanted);
        *cursor
    };
    let category = super::categories::by_name(edit, &entry.category)?;
    let mut channel = Channel {
        id: ChannelId(0),
        version: 1,
        number,
        name: entry.name,
        category,
        logo: entry.logo,
        guide_id: entry.guide_id,
        sources: entry.sources,
        enabled: true,
        radio: entry.radio,
        catchup: entry.catchup,
        added_at: edit.now,
        origin: Some(source),
        retired_at: None,
    };
    store::channels::insert(edit.tx, &mut channel, 0, Some(entry.keys))?;
    edit.change().put(channel, 0);
    Ok(())
}

/// Says whether the row differs now. Nothing is written for an entry that tells nothing new.
fn change(edit: &mut Edit<'_>, id: ChannelId, entry: Entry, rekey: bool) -> Result<bool, Fault> {
    // Deleted by an administrator while the refresh ran.
    let Some(row) = edit.state().channel(id) else { return Ok(false) };
    let (old, bits) = (Arc::clone(&row.channel), row.edited);
    if rekey {
        store::channels::set_keys(edit.tx, id, entry.keys)?;
    }
    let keeps = |bit: u16| bits & bit != 0;
    let category =
        if keeps(edited::CATEGORY) { old.category } else { super::categories::by_name(edit, &entry.category)? };
    let same = (keeps(edited::NAME) || old.name == entry.name)
        && (keeps(edited::LOGO) || old.logo == entry.logo)
        && (keeps(edited::GUIDE_ID) || old.guide_id == entry.guide_id)
        && (keeps(edited::SOURCES) || old.sources == entry.sources)
        && (keeps(edited::RADIO) || old.radio == entry.radio)
        && old.catchup == entry.catchup
        && old.category == category
        && old.retired_at.is_none();
    if same {
        return Ok(false);
    }
    let mut channel = Channel { category, catchup: entry.catchup, retired_at: None, ..(*old).clone() };
    channel.version += 1;
    if !keeps(edited::NAME) {
        channel.name = entry.name;
    }
    if !keeps(edited::LOGO) {
        channel.logo = entry.logo;
    }
    if !keeps(edited::GUIDE_ID) {
        channel.guide_id = entry.guide_id;
    }
    if !keeps(edited::SOURCES) {
        channel.sources = entry.sources;
    }
    if !keeps(edited::RADIO) {
        channel.radio = entry.radio;
    }
    store::channels::update(edit.tx, &channel, bits)?;
    edit.change().put(channel, bits);
    Ok(true)
}

fn retire(edit: &mut Edit<'_>, id: ChannelId) -> Result<bool, Fault> {
    let Some(row) = edit.state().channel(id).filter(|row| row.channel.retired_at.is_none()) else { return Ok(false) };
    let (mut channel, bits) = ((*row.channel).clone(), row.edited);
    channel.retired_at = Some(edit.now);
    channel.version += 1;
    store::channels::update(edit.tx, &channel, bits)?;
    edit.change().put(channel, bits);
    Ok(true)
}

fn forget(edit: &mut Edit<'_>, source: SourceId) -> Result<(), Fault> {
    let before = edit.now - FORGET_S;
    let old: Vec<ChannelId> = edit
        .state()
        .channels
        .values()
        .filter(|r| {
            r.edited == 0 && r.channel.origin == Some(source) && r.channel.retired_at.is_some_and(|at| at < before)
        })
        .map(|r| r.channel.id)
        .collect();
    for id in old {
        store::channels::delete(edit.tx, id)?;
        edit.change().remove(id);
        edit.tell_bulk(Noun::Channels);
    }
    Ok(())
}
