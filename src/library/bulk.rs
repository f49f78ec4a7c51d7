//! The same change to many rows, in one step.
//!
//! Owns bulk edits of each noun and the numbering of many channels. Must not enter: how rows are found (`admin` searches).
//! Invariant: all rows or none; a dry run changes nothing.

use std::collections::HashSet;

use yagi_api::{
    ApiError, Applied, CategoryId, Channel, ChannelId, ChannelPatch, ChannelSet, SourceId, SourcePatch, SourceSet,
    UserId, UserPatch, UserSet,
};

use super::{
    Answer, Library, categories, channels,
    channels::edited,
    edit::{Edit, Fault, Mode},
    rules, sources,
    state::Row,
    users,
};
use crate::store::categories::UNCATEGORISED;

/// Which rows, and whether they must all exist still: those that were found by a search need not.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    pub ids: Vec<u32>,
    pub found: bool,
}

/// What is done to channels.
#[derive(Clone, Debug)]
pub enum ChannelsDo {
    Set(ChannelSet),
    Renumber(u32),
    /// Each its own guide id, in the order of the chosen.
    GuideIds(Vec<String>),
    Delete,
}

#[derive(Clone, Debug)]
pub enum UsersDo {
    Set(UserSet),
    Extend(u32),
    Delete,
}

#[derive(Clone, Debug)]
pub enum SourcesDo {
    Set(SourceSet),
    Delete,
}

/// What the change did so far, for its answer.
pub(super) fn applied(edit: &mut Edit<'_>, matched: usize) -> Applied {
    let tally = &edit.trail.tally;
    Applied {
        matched: u32::try_from(matched).unwrap_or(u32::MAX),
        created: tally.created,
        updated: tally.updated,
        deleted: tally.deleted,
        items: tally.items.clone(),
        ..Applied::default()
    }
}

impl Library {
    /// Runs a change of many rows.
    pub(super) async fn many<F>(&self, actor: &str, dry_run: bool, change: F) -> Answer<Applied>
    where
        F: FnOnce(&mut Edit<'_>) -> Result<Applied, Fault> + Send + 'static,
    {
        let mode = if dry_run { Mode::DryRun } else { Mode::Many };
        let (applied, change) = self.step(actor, mode, change).await?;
        Ok(Applied { dry_run, change, ..applied })
    }

    pub async fn bulk_channels(&self, actor: &str, chosen: Chosen, what: ChannelsDo, dry_run: bool) -> Answer<Applied> {
        self.many(actor, dry_run, move |edit| {
            let rows = channel_rows(edit, &chosen)?;
            let matched = rows.len();
            match what {
                ChannelsDo::Set(set) => set_channels(edit, rows, &set)?,
                ChannelsDo::Renumber(from) => renumber(edit, rows, from, chosen.found)?,
                ChannelsDo::GuideIds(ids) => {
                    let ids = ids.into_iter().zip(rows).map(|(id, row)| {
                        let new = Channel { guide_id: rules::text(&id), ..(*row.channel).clone() };
                        let bits = row.edited | edited::GUIDE_ID;
                        (row, new, bits)
                    });
                    let ids = ids.collect();
                    channels::save(edit, ids)?;
                }
                ChannelsDo::Delete => {
                    for row in rows {
                        channels::delete(edit, row.channel.id, None)?;
                    }
                }
            }
            Ok(applied(edit, matched))
        })
        .await
    }

    pub async fn bulk_users(&self, actor: &str, chosen: Chosen, what: UsersDo, dry_run: bool) -> Answer<Applied> {
        self.many(actor, dry_run, move |edit| {
            let ids = existing(&chosen, "user", |id| edit.state().viewers.contains_key(&UserId(id)))?;
            for id in &ids {
                let id = UserId(*id);
                match &what {
                    UsersDo::Delete => users::delete(edit, id, None)?,
                    UsersDo::Set(set) => {
                        let patch = UserPatch {
                            enabled: set.enabled,
                            expires_at: set.expires_at,
                            trial: set.trial,
                            max_connections: set.max_connections,
                            categories: set.categories.clone(),
                            ..UserPatch::default()
                        };
                        users::update(edit, id, &patch)?;
                    }
                    UsersDo::Extend(days) => {
                        let end = match edit.state().viewers.get(&id) {
                            Some(viewer) => users::extended(&viewer.user, *days, edit.now)
                                .map_err(|e| ApiError { field: Some("extend_days".to_owned()), ..e })?,
                            None => None,
                        };
                        if let Some(end) = end {
                            let patch = UserPatch { expires_at: Some(Some(end)), ..UserPatch::default() };
                            users::update(edit, id, &patch)?;
                        }
                    }
                }
            }
            Ok(applied(edit, ids.len()))
        })
        .await
    }

    pub async fn bulk_sources(&self, actor: &str, chosen: Chosen, what: SourcesDo, dry_run: bool) -> Answer<Applied> {
        self.many(actor, dry_run, move |edit| {
            let ids = existing(&chosen, "source", |id| edit.state().sources.contains_key(&SourceId(id)))?;
            for id in &ids {
                match &what {
                    SourcesDo::Delete => sources::delete(edit, SourceId(*id), None)?,
                    SourcesDo::Set(set) => {
                        let patch =
                            SourcePatch { enabled: set.enabled, interval_s: set.interval_s, ..SourcePatch::default() };
                        sources::update(edit, SourceId(*id), &patch)?;
                    }
                }
            }
            edit.trail.about = edit.trail.about.take().filter(|_| ids.len() == 1);
            Ok(applied(edit, ids.len()))
        })
        .await
    }

    /// Deletes categories; their channels become "Uncategorised".
    pub async fn delete_categories(&self, actor: &str, chosen: Chosen, dry_run: bool) -> Answer<Applied> {
        self.many(actor, dry_run, move |edit| {
            let mut ids = existing(&chosen, "category", |id| edit.state().categories.contains_key(&CategoryId(id)))?;
            if chosen.found {
                ids.retain(|id| *id != UNCATEGORISED.0);
            }
            for id in &ids {
                categories::delete(edit, CategoryId(*id), None, UNCATEGORISED)?;
            }
            edit.trail.about = edit.trail.about.take().filter(|_| ids.len() == 1);
            Ok(applied(edit, ids.len()))
        })
        .await
    }
}

fn existing(chosen: &Chosen, noun: &str, exists: impl Fn(u32) -> bool) -> Result<Vec<u32>, ApiError> {
    let mut seen = HashSet::with_capacity(chosen.ids.len());
    let mut ids = Vec::with_capacity(chosen.ids.len());
    for (i, id) in chosen.ids.iter().enumerate() {
        if !exists(*id) {
            if chosen.found {
                continue;
            }
            let field = Some(format!("ids[{i}]"));
            return Err(ApiError { field, ..ApiError::not_found(noun, id) });
        }
        if !seen.insert(*id) {
            return Err(ApiError::invalid(&format!("ids[{i}]"), format!("{id} is named twice")));
        }
        ids.push(*id);
    }
    Ok(ids)
}

fn channel_rows(edit: &Edit<'_>, chosen: &Chosen) -> Result<Vec<Row>, ApiError> {
    let state = edit.state();
    let ids = existing(chosen, "channel", |id| state.channel(ChannelId(id)).is_some())?;
    Ok(ids.into_iter().filter_map(|id| state.channel(ChannelId(id)).cloned()).collect())
}

fn set_channels(edit: &mut Edit<'_>, rows: Vec<Row>, set: &ChannelSet) -> Result<(), Fault> {
    let patch = ChannelPatch {
        enabled: set.enabled,
        category: set.category.clone(),
        logo: set.logo.clone(),
        radio: set.radio,
        ..ChannelPatch::default()
    };
    let mut changed = Vec::with_capacity(rows.len());
    for row in rows {
        let (old, new, bits) = channels::patched(edit, row.channel.id, &patch)?;
        // A row that is so already keeps its version.
        if *old.channel != new || old.edited != bits {
            changed.push((old, new, bits));
        }
    }
    channels::save(edit, changed).map(drop)
}

/// Gives `rows` the numbers from `from` on; others in the way move behind the last of them in their order.
fn renumber(edit: &mut Edit<'_>, mut rows: Vec<Row>, from: u32, by_number: bool) -> Result<(), Fault> {
    let invalid = |why: String| ApiError::invalid("renumber_from", why);
    if by_number {
        rows.sort_by_key(|row| row.channel.number);
    }
    let chosen: HashSet<ChannelId> = rows.iter().map(|row| row.channel.id).collect();
    let mut next = from;
    let mut moves: Vec<(Row, u32)> = Vec::with_capacity(rows.len());
    for row in rows {
        moves.push((row, next));
        next += 1;
    }
    let standing = edit.state().channels.range(from..).filter(|(_, row)| !chosen.contains(&row.channel.id));
    for (number, row) in standing {
        if *number >= next {
            break;
        }
        moves.push((row.clone(), next));
        next += 1;
    }
    if from == 0 || next > rules::MAX_NUMBER + 1 {
        return Err(invalid(format!("expected a number from 1 on that leaves room up to {}", rules::MAX_NUMBER)).into());
    }
    let moves = moves
        .into_iter()
        .filter(|(row, number)| row.channel.number != *number)
        .map(|(row, number)| {
            let new = Channel { number, ..(*row.channel).clone() };
            let bits = row.edited | edited::NUMBER;
            (row, new, bits)
        })
        .collect();
    channels::save(edit, moves).map(drop)
}
