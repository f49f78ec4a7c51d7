//! A playlist's entries into rows of channels.
//!
//! Owns the matching of entries with known rows ([`plan`]) and their application in bounded transactions. Must not enter: M3U,
//! downloads. Invariant: a row that matched keeps its id, number and hand-edited fields; a row that is missing is retired, not
//! deleted; an entry that comes back finds its row again.

use std::{collections::HashSet, sync::Arc};

use yagi_api::{
    Catchup, Channel, ChannelId, ChannelSource, DiffRow, Generation, Noun, RefreshReport, SourceDiff, SourceId,
};

use super::{
    Answer, Begun, Library,
    channels::edited,
    edit::{Edit, Fault},
    lineup, rules,
};
pub use crate::store::channels::{Keys, Known};
use crate::store::{self, generations::Former, sources::Validators};

/// Rows of one transaction: about 40 ms, the longest that an administrator's change waits behind an import.
pub const BATCH: usize = 5000;

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
    /// Numbers that a rule gives: first and last.
    pub block: Option<(u32, u32)>,
    /// See [`Channel::merge_key`].
    pub merge_key: String,
    /// The playlist's own word on the guide's times, in minutes.
    pub shift_min: i16,
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
    /// Why it runs; a word of the generation.
    cause: &'static str,
    so_far: SoFar,
    /// The batch that the writer is at.
    under_way: Option<Begun<SoFar>>,
}

/// What one batch hands to the next.
#[derive(Default)]
struct SoFar {
    /// No number below it is free.
    cursor: u32,
    /// The generation that it makes, once it changed anything.
    generation: Option<u32>,
    tally: Tally,
    diff: SourceDiff,
}

impl Library {
    /// Rows that `source` made, for [`plan`].
    pub fn known(&self, source: SourceId) -> Answer<Vec<Known>> {
        self.write_blocking("refresh", move |edit| Ok(store::channels::known(edit.tx, source)?))
    }

    /// Hold [`Library::import_lock`] from before [`Library::known`] until its end.
    pub fn import(&self, source: SourceId, wanted: HashSet<u32>, cause: &'static str) -> Import<'_> {
        let so_far = SoFar { cursor: 1, ..SoFar::default() };
        Import { library: self, source, wanted: Arc::new(wanted), cause, so_far, under_way: None }
    }
}

impl Import<'_> {
    /// Applies up to [`BATCH`] entries in one transaction. Viewers see them when [`Import::finish`] swaps the snapshot. Waits for the batch
    /// before, whose failure it tells, and not for this one: the list is read on meanwhile.
    pub fn apply(&mut self, entries: Vec<(Place, Entry)>) -> Answer<()> {
        self.settle()?;
        let (source, wanted) = (self.source, Arc::clone(&self.wanted));
        let cause = self.cause;
        // On a failure the import is over, and nobody asks for the diff.
        let SoFar { mut cursor, mut generation, mut tally, mut diff } = std::mem::take(&mut self.so_far);
        self.under_way = Some(self.library.write_begun("refresh", move |edit| {
            if !edit.state().sources.contains_key(&source) {
                return Err(yagi_api::ApiError::not_found("source", source).into());
            }
            let mut formers = Vec::new();
            for (place, entry) in entries {
                match place {
                    Place::Same(id) | Place::Moved(id) => {
                        let rekey = matches!(place, Place::Moved(_));
                        if let Some(row) = change(edit, id, entry, rekey, &mut formers)? {
                            tally.changed += 1;
                            note(&mut diff.changed, row);
                        }
                    }
                    Place::New => {
                        let row = add(edit, source, entry, &wanted, &mut cursor)?;
                        formers.push(Former { id: row.id, row: None, edited: 0, keys: None });
                        tally.added += 1;
                        note(&mut diff.added, row);
                    }
                }
            }
            remember(edit, source, cause, &mut generation, &formers)?;
            Ok(SoFar { cursor, generation, tally, diff })
        }));
        Ok(())
    }

    /// Waits for the batch that the writer is at.
    fn settle(&mut self) -> Answer<()> {
        if let Some(batch) = self.under_way.take() {
            self.so_far = batch.wait()?;
        }
        Ok(())
    }

    /// Retires the missing rows, forgets old ones, keeps the report, swaps the snapshot and tells.
    pub fn finish(mut self, gone: Vec<ChannelId>, report: RefreshReport, seen: Validators) -> Answer<RefreshReport> {
        self.settle()?;
        let Self { library, source, cause, so_far, .. } = self;
        let SoFar { mut generation, mut tally, mut diff, .. } = so_far;
        library.write_blocking("refresh", move |edit| {
            let mut formers = Vec::new();
            for id in gone {
                if let Some(row) = retire(edit, id, &mut formers)? {
                    tally.retired += 1;
                    note(&mut diff.retired, row);
                }
            }
            forget(edit, source, &mut formers)?;
            for batch in formers.chunks(BATCH) {
                remember(edit, source, cause, &mut generation, batch)?;
            }
            if let Some(number) = generation {
                let Tally { added, changed, retired } = tally;
                let facts =
                    Generation { number, at: edit.now, cause: cause.to_owned(), listed: 0, added, changed, retired };
                lineup::put(edit, source, facts)?;
                edit.tell_bulk(Noun::Lineup);
            }
            lineup::put_held(edit, source, None)?;
            let report = RefreshReport { added: tally.added, changed: tally.changed, retired: tally.retired, ..report };
            if tally != Tally::default() {
                edit.tell_bulk(Noun::Channels);
                edit.tell_bulk(Noun::Categories);
            }
            diff = SourceDiff {
                at: Some(report.at),
                added_total: tally.added,
                changed_total: tally.changed,
                retired_total: tally.retired,
                ..diff
            };
            if tally != Tally::default() {
                store::changes::set_diff(edit.tx, source, &diff)?;
            }
            super::sources::record(edit, source, report.clone(), Some(seen))?;
            Ok(report)
        })
    }
}

/// Keeps former states with the generation, which begins with the first of them.
fn remember(
    edit: &mut Edit<'_>,
    source: SourceId,
    cause: &str,
    generation: &mut Option<u32>,
    formers: &[Former],
) -> Result<(), Fault> {
    if formers.is_empty() {
        return Ok(());
    }
    let number = match *generation {
        Some(number) => number,
        None => *generation.insert(lineup::begin(edit, source, cause)?),
    };
    Ok(store::generations::remember(edit.tx, source, number, formers)?)
}

/// Rows of one list of a diff.
const NOTED: usize = 500;

fn note(list: &mut Vec<DiffRow>, row: DiffRow) {
    if list.len() < NOTED {
        list.push(row);
    }
}

fn add(
    edit: &mut Edit<'_>,
    source: SourceId,
    entry: Entry,
    wanted: &HashSet<u32>,
    cursor: &mut u32,
) -> Result<DiffRow, Fault> {
    let asked = (1..=rules::MAX_NUMBER).contains(&entry.number) && !edit.state().channels.contains_key(&entry.number);
    let number = if let Some(number) = entry.block.and_then(|block| in_block(edit, block)) {
        number
    } else if asked {
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
        merge_key: entry.merge_key,
        merged_into: None,
        guide_shift_min: entry.shift_min,
    };
    store::channels::insert(edit.tx, &mut channel, 0, Some(entry.keys))?;
    let channel = edit.change().put(channel, 0);
    Ok(DiffRow { id: channel.id, name: channel.name.clone(), fields: Vec::new() })
}

/// The first free number of a rule's block; none when it is full.
fn in_block(edit: &Edit<'_>, (from, to): (u32, u32)) -> Option<u32> {
    let number = edit.state().free_number(from, &HashSet::new());
    (number <= to).then_some(number)
}

/// The row, if it differs now. Nothing is written for an entry that tells nothing new.
fn change(
    edit: &mut Edit<'_>,
    id: ChannelId,
    entry: Entry,
    rekey: bool,
    formers: &mut Vec<Former>,
) -> Result<Option<DiffRow>, Fault> {
    // Deleted by an administrator while the refresh ran.
    let Some(row) = edit.state().channel(id) else { return Ok(None) };
    let (old, bits) = (Arc::clone(&row.channel), row.edited);
    let former = |keys| Former { id, row: Some((*old).clone()), edited: bits, keys };
    let mut keys = None;
    if rekey {
        let Keys { path, name } = store::channels::keys(edit.tx, id)?.unwrap_or_default();
        keys = Some((path, name));
        store::channels::set_keys(edit.tx, id, entry.keys)?;
    }
    let keeps = |bit: u16| bits & bit != 0;
    let category =
        if keeps(edited::CATEGORY) { old.category } else { super::categories::by_name(edit, &entry.category)? };
    let number = match entry.block {
        Some((from, to)) if !keeps(edited::NUMBER) && !(from..=to).contains(&old.number) => {
            in_block(edit, (from, to)).unwrap_or(old.number)
        }
        _ => old.number,
    };
    let fields: Vec<String> = [
        ("name", !keeps(edited::NAME) && old.name != entry.name),
        ("logo", !keeps(edited::LOGO) && old.logo != entry.logo),
        ("guide_id", !keeps(edited::GUIDE_ID) && old.guide_id != entry.guide_id),
        ("sources", !keeps(edited::SOURCES) && old.sources != entry.sources),
        ("guide_shift_min", !keeps(edited::SHIFT) && old.guide_shift_min != entry.shift_min),
        ("merge_key", old.merge_key != entry.merge_key),
        ("number", number != old.number),
        ("radio", !keeps(edited::RADIO) && old.radio != entry.radio),
        ("catchup", old.catchup != entry.catchup),
        ("category", old.category != category),
        ("retired_at", old.retired_at.is_some()),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(field, _)| field.to_owned())
    .collect();
    if fields.is_empty() {
        formers.extend(keys.map(|keys| former(Some(keys))));
        return Ok(None);
    }
    formers.push(former(keys));
    let merge_key = entry.merge_key;
    let mut channel =
        Channel { number, category, catchup: entry.catchup, retired_at: None, merge_key, ..(*old).clone() };
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
    if !keeps(edited::SHIFT) {
        channel.guide_shift_min = entry.shift_min;
    }
    store::channels::update(edit.tx, &channel, bits)?;
    let channel = edit.change().put(channel, bits);
    Ok(Some(DiffRow { id, name: channel.name.clone(), fields }))
}

fn retire(edit: &mut Edit<'_>, id: ChannelId, formers: &mut Vec<Former>) -> Result<Option<DiffRow>, Fault> {
    let Some(row) = edit.state().channel(id).filter(|row| row.channel.retired_at.is_none()) else { return Ok(None) };
    let (mut channel, bits) = ((*row.channel).clone(), row.edited);
    formers.push(Former { id, row: Some(channel.clone()), edited: bits, keys: None });
    channel.retired_at = Some(edit.now);
    channel.version += 1;
    store::channels::update(edit.tx, &channel, bits)?;
    let channel = edit.change().put(channel, bits);
    Ok(Some(DiffRow { id, name: channel.name.clone(), fields: Vec::new() }))
}

fn forget(edit: &mut Edit<'_>, source: SourceId, formers: &mut Vec<Former>) -> Result<(), Fault> {
    let before = edit.now - i64::from(edit.state().settings.keep_retired_d) * 86_400;
    let old: Vec<Arc<Channel>> = edit
        .state()
        .channels
        .values()
        .filter(|r| {
            r.edited == 0 && r.channel.origin == Some(source) && r.channel.retired_at.is_some_and(|at| at < before)
        })
        .map(|r| Arc::clone(&r.channel))
        .collect();
    for channel in old {
        let id = channel.id;
        let Keys { path, name } = store::channels::keys(edit.tx, id)?.unwrap_or_default();
        formers.push(Former { id, row: Some((*channel).clone()), edited: 0, keys: Some((path, name)) });
        store::channels::delete(edit.tx, id)?;
        edit.change().remove(id);
        edit.tell_bulk(Noun::Channels);
    }
    Ok(())
}
