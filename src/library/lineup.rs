//! Generations of a playlist's channels: remembered, held back, rolled back.
//!
//! Owns what a channel was before a refresh changed it, and its restoration. Must not enter: downloads, thresholds. Invariant: a
//! rollback gives ids, numbers, names, groups, addresses and marks as they were; fields that an administrator edited since stay
//! his; and it is a generation itself, so nothing is lost by it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use yagi_api::{
    ApiError, Channel, ChannelId, ErrorCode, Generation, Held, Lineup, LineupDone, Noun, RefreshReport, SourceId,
    SourceKind,
};

use super::{
    Answer, Library,
    channels::edited,
    edit::{Edit, Fault, Mode},
    image::Fields,
    trail::Item,
};
use crate::store::{self, categories::UNCATEGORISED, generations::Former};

impl Library {
    /// Held while a playlist's channels are changed as a whole, by a thread that may block.
    pub fn import_lock(&self, source: SourceId) -> Arc<Mutex<()>> {
        let mut locks = self.imports.lock().unwrap_or_else(PoisonError::into_inner);
        // Of sources that are gone nobody holds one.
        locks.retain(|id, lock| *id == source || Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(source).or_default())
    }

    /// Keeps (or with `None` forgets) what is told of a held download.
    pub fn set_held(&self, source: SourceId, held: Option<Held>) -> Answer<()> {
        self.write_blocking("refresh", move |edit| {
            if edit.state().sources.contains_key(&source) {
                put_held(edit, source, held)?;
            }
            Ok(())
        })
    }

    /// Goes back to what generation `to` left, or to the one before the present one. From a thread that may block.
    pub fn rollback(&self, actor: &str, source: SourceId, to: Option<u32>) -> Answer<LineupDone> {
        let lock = self.import_lock(source);
        let _alone = alone(&lock)?;
        self.step_begun(actor, Mode::Edit, move |edit| roll_back(edit, source, to)).wait()
    }
}

/// No rollback while a refresh writes the same channels; who asks does not wait for it.
pub(super) fn alone(lock: &Mutex<()>) -> Result<MutexGuard<'_, ()>, ApiError> {
    match lock.try_lock() {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(broken)) => Ok(broken.into_inner()),
        Err(TryLockError::WouldBlock) => {
            Err(ApiError::new(ErrorCode::Conflict, "a refresh of this playlist is being applied")
                .with_hint("wait for its end, or cancel it, and roll back then"))
        }
    }
}

/// The generation in force; 0 before the first.
fn present(edit: &Edit<'_>, source: SourceId) -> u32 {
    edit.state().lineups.get(&source).map_or(0, |l| l.generation)
}

/// Begins the next generation of a source.
pub(super) fn begin(edit: &mut Edit<'_>, source: SourceId, cause: &str) -> Result<u32, Fault> {
    let number = present(edit, source) + 1;
    put(edit, source, Generation { number, at: edit.now, cause: cause.to_owned(), ..Generation::default() })?;
    Ok(number)
}

/// Writes the facts of the present generation and drops the oldest ones.
pub(super) fn put(edit: &mut Edit<'_>, source: SourceId, mut generation: Generation) -> Result<(), Fault> {
    let mine = |r: &&super::state::Row| r.channel.origin == Some(source) && r.channel.retired_at.is_none();
    generation.listed = edit.state().channels.values().filter(mine).count() as u32;
    store::generations::put(edit.tx, source, &generation)?;
    let keep = edit.state().settings.lineup_generations;
    store::generations::prune(edit.tx, source, keep)?;
    let name = edit.state().sources.get(&source).map(|s| s.name.clone()).unwrap_or_default();
    let lineups = Arc::make_mut(&mut edit.change().lineups);
    let lineup = lineups.entry(source).or_insert_with(|| Lineup { source, name, ..Lineup::default() });
    lineup.generation = generation.number;
    lineup.generations.retain(|g| g.number != generation.number);
    lineup.generations.insert(0, generation);
    lineup.generations.truncate(keep as usize);
    Ok(())
}

pub(super) fn put_held(edit: &mut Edit<'_>, source: SourceId, held: Option<Held>) -> Result<(), Fault> {
    let had = edit.state().lineups.get(&source).is_some_and(|l| l.held.is_some());
    if held.is_none() && !had {
        return Ok(());
    }
    store::generations::set_held(edit.tx, source, held.as_ref())?;
    let name = edit.state().sources.get(&source).map(|s| s.name.clone()).unwrap_or_default();
    let lineups = Arc::make_mut(&mut edit.change().lineups);
    lineups.entry(source).or_insert_with(|| Lineup { source, name, ..Lineup::default() }).held = held;
    edit.tell_bulk(Noun::Lineup);
    Ok(())
}

fn rollback_to(number: u32) -> String {
    format!("rollback to {number}")
}

/// Takes a rollback of the trail back, or makes it again, unless the line-up is not what the step left.
pub(super) fn turn_back(edit: &mut Edit<'_>, source: SourceId, from: u32, to: u32) -> Result<(), Fault> {
    let Some(lineup) = edit.state().lineups.get(&source) else {
        return Err(ApiError::not_found("line-up of source", source).into());
    };
    // A step that was taken back is followed by a generation that is like the one it names.
    let present = lineup.generations.iter().find(|g| g.number == lineup.generation);
    if lineup.generation == from || present.is_some_and(|g| g.cause == rollback_to(from)) {
        return roll_back(edit, source, Some(to)).map(drop);
    }
    let cause = present.map_or("unknown", |g| &g.cause);
    let since = format!("the line-up of {} is generation {} ({cause}) by now", lineup.name, lineup.generation);
    Err(ApiError::new(ErrorCode::Conflict, format!("{since}; nothing was changed"))
        .with_hint(format!("yagi lineup rollback {} N goes back to any generation", lineup.name))
        .into())
}

fn roll_back(edit: &mut Edit<'_>, source: SourceId, to: Option<u32>) -> Result<LineupDone, Fault> {
    let row = edit.state().sources.get(&source).ok_or_else(|| ApiError::not_found("source", source))?;
    if row.kind == SourceKind::Guide {
        return Err(ApiError::invalid("source", "is a guide; only playlists have a line-up").into());
    }
    let last = row.last.clone();
    let lineup = edit.state().lineups.get(&source).cloned().unwrap_or_default();
    let oldest = lineup.generations.iter().map(|g| g.number).min().unwrap_or(1);
    let to = to.unwrap_or_else(|| lineup.generation.saturating_sub(1));
    if to >= lineup.generation || to + 1 < oldest {
        let error = match lineup.generation {
            0 => ApiError::new(ErrorCode::Conflict, "this playlist has no generation yet: nothing to go back to"),
            n => ApiError::invalid("to", format!("expected a generation from {} to {}", oldest - 1, n - 1))
                .with_hint(format!("the present one is {n}; the setting lineup_generations says how many are kept")),
        };
        return Err(error.into());
    }
    let cause = rollback_to(to);
    // What the oldest of them found is what there was.
    let mut formers: BTreeMap<ChannelId, Former> = BTreeMap::new();
    store::generations::formers(edit.tx, source, to, |former| {
        let known = formers.entry(former.id).or_insert_with(|| former.clone());
        // Keys are told only by the generation that changed them first.
        if known.keys.is_none() && known.row.is_some() {
            known.keys = former.keys;
        }
    })?;
    let number = begin(edit, source, &cause)?;
    let name = edit.state().sources.get(&source).map(|s| s.name.clone()).unwrap_or_default();
    // Its channels are in the generations already: the trail needs to know only which ones.
    let of = |number: u32| Some(Fields::from_iter([("generation".to_owned(), number.into())]));
    let item =
        Item { noun: Noun::Lineup, row: source.0, name: name.clone(), before: of(number - 1), after: of(number) };
    edit.trail.record(item)?;
    edit.trail.tells(Noun::Sources, source.0, &name, &format!("line-up: {cause}"));
    let mut report = RefreshReport { at: edit.now, ok: true, ..RefreshReport::default() };
    let mut undone = Vec::new();
    for former in formers.into_values() {
        restore(edit, source, former, &mut report, &mut undone)?;
    }
    for batch in undone.chunks(super::merge::BATCH) {
        store::generations::remember(edit.tx, source, number, batch)?;
    }
    let RefreshReport { added, changed, retired, .. } = report;
    put(edit, source, Generation { number, at: edit.now, cause, added, changed, retired, listed: 0 })?;
    report.seen = edit.state().lineups.get(&source).map_or(0, |l| l.generations[0].listed);
    // What the server sent last stays known: the same bytes are not applied again by themselves.
    if let Some(last) = last {
        let notes = vec![format!("generation {number}: rolled back to {to}")];
        let kept = RefreshReport { seen: report.seen, notes, ..last };
        super::sources::record(edit, source, kept, None)?;
    }
    edit.tell_bulk(Noun::Channels);
    edit.tell_bulk(Noun::Categories);
    edit.tell_bulk(Noun::Lineup);
    Ok(LineupDone { source, generation: number, report })
}

/// Makes one channel what it was.
fn restore(
    edit: &mut Edit<'_>,
    source: SourceId,
    former: Former,
    report: &mut RefreshReport,
    undone: &mut Vec<Former>,
) -> Result<(), Fault> {
    let id = former.id;
    let keys = former.keys();
    let now = edit.state().channel(id).map(|row| ((*row.channel).clone(), row.edited));
    let Some(mut row) = former.row else {
        // It was not there: hidden, and found again if it returns.
        if let Some((mut channel, bits)) = now.filter(|(c, _)| c.retired_at.is_none()) {
            undone.push(Former { id, row: Some(channel.clone()), edited: bits, keys: None });
            channel.retired_at = Some(edit.now);
            channel.version += 1;
            store::channels::update(edit.tx, &channel, bits)?;
            edit.change().put(channel, bits);
            report.retired += 1;
        }
        return Ok(());
    };
    row.origin = Some(source);
    if !edit.state().categories.contains_key(&row.category) {
        row.category = UNCATEGORISED;
    }
    let Some((channel, bits)) = now else {
        make_room(edit, row.number, id)?;
        undone.push(Former { id, row: None, edited: 0, keys: None });
        store::channels::insert(edit.tx, &mut row, former.edited, Some(keys.unwrap_or_default()))?;
        edit.change().put(row, former.edited);
        report.added += 1;
        return Ok(());
    };
    keep_edits(&mut row, &channel, bits);
    row.version = channel.version;
    let rekeyed =
        keys.map(|keys| Ok::<_, Fault>((keys, store::channels::keys(edit.tx, id)?.unwrap_or_default()))).transpose()?;
    if row == channel && rekeyed.is_none() {
        return Ok(());
    }
    let old_keys = rekeyed.map(|(_, old)| (old.path, old.name));
    if row.retired_at.is_some() && channel.retired_at.is_none() {
        report.retired += 1;
    } else if row.retired_at.is_none() && channel.retired_at.is_some() {
        report.added += 1;
    } else {
        report.changed += 1;
    }
    undone.push(Former { id, row: Some(channel.clone()), edited: bits, keys: old_keys });
    if row.number != channel.number {
        make_room(edit, row.number, id)?;
    }
    row.version += 1;
    store::channels::update(edit.tx, &row, bits)?;
    if let Some((keys, _)) = rekeyed {
        store::channels::set_keys(edit.tx, id, keys)?;
    }
    edit.change().put(row, bits);
    Ok(())
}

/// What an administrator edited is his, whenever that was.
fn keep_edits(row: &mut Channel, now: &Channel, bits: u16) {
    let keeps = |bit: u16| bits & bit != 0;
    row.enabled = now.enabled;
    if keeps(edited::NUMBER) {
        row.number = now.number;
    }
    if keeps(edited::NAME) {
        row.name.clone_from(&now.name);
    }
    if keeps(edited::CATEGORY) {
        row.category = now.category;
    }
    if keeps(edited::LOGO) {
        row.logo.clone_from(&now.logo);
    }
    if keeps(edited::GUIDE_ID) {
        row.guide_id.clone_from(&now.guide_id);
    }
    if keeps(edited::SOURCES) {
        row.sources.clone_from(&now.sources);
    }
    if keeps(edited::RADIO) {
        row.radio = now.radio;
    }
    if keeps(edited::SHIFT) {
        row.guide_shift_min = now.guide_shift_min;
    }
}

/// Moves whoever has the number, unless it is the channel itself, behind all others.
pub(super) fn make_room(edit: &mut Edit<'_>, number: u32, mine: ChannelId) -> Result<(), Fault> {
    let Some(row) = edit.state().channels.get(&number).filter(|r| r.channel.id != mine) else { return Ok(()) };
    let (mut other, bits) = ((*row.channel).clone(), row.edited);
    let last = edit.state().channels.last_key_value().map_or(0, |(n, _)| *n);
    other.number = edit.state().free_number(last + 1, &std::collections::HashSet::new());
    other.version += 1;
    store::channels::update(edit.tx, &other, bits)?;
    edit.change().put(other, bits);
    Ok(())
}
