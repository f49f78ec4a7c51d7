//! Changes of channels.
//!
//! Owns drafts and patches of channels and the bits of hand-edited fields. Must not enter: playlists (`merge`). Invariant: a
//! number belongs to one channel; a field that was patched stays the administrator's.

use std::collections::HashSet;
use std::sync::Arc;

use yagi_api::{ApiError, CategoryId, Change, Channel, ChannelDraft, ChannelId, ChannelPatch, Noun};

use super::{
    Answer, Library,
    edit::{Edit, Fault},
    image, rules,
    state::Row,
    trail::Item,
};
use crate::store::{self, categories::UNCATEGORISED, channels::Keys};

/// Bits of `edited`. Stored: never change one.
pub mod edited {
    pub const NUMBER: u16 = 1;
    pub const NAME: u16 = 2;
    pub const CATEGORY: u16 = 4;
    pub const LOGO: u16 = 8;
    pub const GUIDE_ID: u16 = 16;
    pub const SOURCES: u16 = 32;
    pub const ENABLED: u16 = 64;
    pub const RADIO: u16 = 128;
    pub const SHIFT: u16 = 256;
    pub const NAMES: &[(u16, &str)] = &[
        (NUMBER, "number"),
        (NAME, "name"),
        (CATEGORY, "category"),
        (LOGO, "logo"),
        (GUIDE_ID, "guide_id"),
        (SOURCES, "sources"),
        (ENABLED, "enabled"),
        (RADIO, "radio"),
        (SHIFT, "guide_shift_min"),
    ];
}

impl Library {
    pub async fn create_channel(&self, actor: &str, draft: ChannelDraft) -> Answer<Arc<Channel>> {
        self.write(actor, move |edit| create(edit, &draft)).await
    }

    pub async fn update_channel(&self, actor: &str, id: ChannelId, patch: ChannelPatch) -> Answer<Arc<Channel>> {
        self.write(actor, move |edit| update(edit, id, &patch)).await
    }

    pub async fn delete_channel(&self, actor: &str, id: ChannelId) -> Answer<()> {
        self.write(actor, move |edit| delete(edit, id, None)).await
    }
}

pub(super) fn create(edit: &mut Edit<'_>, draft: &ChannelDraft) -> Result<Arc<Channel>, Fault> {
    let number = match draft.number {
        Some(number) => {
            free(edit, rules::number(number)?)?;
            number
        }
        None => edit.state().free_number(1, &HashSet::new()),
    };
    let channel = drafted(edit, ChannelId(0), number, draft)?;
    insert(edit, channel, 0, None)
}

/// A row as a draft asks for it; `id` 0: the next one.
pub(super) fn drafted(edit: &mut Edit<'_>, id: ChannelId, number: u32, draft: &ChannelDraft) -> Result<Channel, Fault> {
    let mut channel = Channel {
        id,
        version: 1,
        number,
        name: rules::name("name", &draft.name)?,
        category: UNCATEGORISED,
        logo: rules::logo(&draft.logo)?,
        guide_id: rules::text(&draft.guide_id),
        sources: rules::sources(&draft.sources)?,
        enabled: draft.enabled.unwrap_or(true),
        radio: draft.radio,
        catchup: None,
        added_at: edit.now,
        origin: None,
        retired_at: None,
        merge_key: String::new(),
        merged_into: None,
        guide_shift_min: 0,
    };
    channel.category = super::categories::by_name(edit, draft.category.as_deref().unwrap_or_default())?;
    Ok(channel)
}

/// A new row, or a deleted one that comes back under its id.
pub(super) fn insert(
    edit: &mut Edit<'_>,
    mut channel: Channel,
    bits: u16,
    keys: Option<Keys>,
) -> Result<Arc<Channel>, Fault> {
    store::channels::insert(edit.tx, &mut channel, bits, keys)?;
    let channel = edit.change().put(channel, bits);
    let after = image::channel(edit.state(), &channel, bits, keys);
    edit.trail.record(Item {
        noun: Noun::Channels,
        row: channel.id.0,
        name: channel.name.clone(),
        before: None,
        after: Some(after),
    })?;
    edit.tell(Noun::Channels, Change::Created, channel.id.0, Some(&channel));
    Ok(channel)
}

/// Stores changed rows. Those that change their number step aside first, so that rows may swap.
pub(super) fn save(edit: &mut Edit<'_>, rows: Vec<(Row, Channel, u16)>) -> Result<Vec<Arc<Channel>>, Fault> {
    for (old, new, _) in &rows {
        if old.channel.number != new.number {
            store::channels::park(edit.tx, new.id)?;
            edit.change().remove(new.id);
        }
    }
    let mut saved = Vec::with_capacity(rows.len());
    for (old, mut new, bits) in rows {
        new.version = old.channel.version + 1;
        store::channels::update(edit.tx, &new, bits)?;
        let new = edit.change().put(new, bits);
        if edit.trail.is_on() {
            let (before, after) = image::channel_diff(edit.state(), (&old.channel, old.edited), (&new, bits));
            edit.trail.record(Item {
                noun: Noun::Channels,
                row: new.id.0,
                name: old.channel.name.clone(),
                before: Some(before),
                after: Some(after),
            })?;
        }
        edit.tell(Noun::Channels, Change::Updated, new.id.0, Some(&new));
        saved.push(new);
    }
    Ok(saved)
}

pub(super) fn delete(edit: &mut Edit<'_>, id: ChannelId, version: Option<u32>) -> Result<(), Fault> {
    let row = edit.state().channel(id).ok_or_else(|| ApiError::not_found("channel", id))?.clone();
    rules::version(version, row.channel.version)?;
    record_gone(edit, &row)?;
    store::channels::delete(edit.tx, id)?;
    edit.change().remove(id);
    edit.tell(Noun::Channels, Change::Deleted, id.0, None::<&()>);
    Ok(())
}

/// Notes a row that is about to go, with what brings it back.
pub(super) fn record_gone(edit: &mut Edit<'_>, row: &Row) -> Result<(), Fault> {
    let keys = store::channels::keys(edit.tx, row.channel.id)?;
    let before = image::channel(edit.state(), &row.channel, row.edited, keys);
    edit.trail.record(Item {
        noun: Noun::Channels,
        row: row.channel.id.0,
        name: row.channel.name.clone(),
        before: Some(before),
        after: None,
    })
}

pub(super) fn free(edit: &Edit<'_>, number: u32) -> Result<(), ApiError> {
    match edit.state().channels.get(&number) {
        Some(row) => {
            let other = &row.channel;
            let gone = if other.retired_at.is_some() { ", which its playlist no longer lists" } else { "" };
            Err(rules::taken(
                "number",
                format!("{number} is the number of channel {} ({}){gone}", other.id, other.name),
            ))
        }
        None => Ok(()),
    }
}

fn update(edit: &mut Edit<'_>, id: ChannelId, patch: &ChannelPatch) -> Result<Arc<Channel>, Fault> {
    let (old, new, bits) = patched(edit, id, patch)?;
    if new.number != old.channel.number {
        free(edit, new.number)?;
    }
    let saved = save(edit, vec![(old, new, bits)])?;
    saved.into_iter().next().ok_or_else(|| ApiError::not_found("channel", id).into())
}

/// The row as it is, and as the patch makes it; whether its number is free is another question.
pub(super) fn patched(edit: &mut Edit<'_>, id: ChannelId, patch: &ChannelPatch) -> Result<(Row, Channel, u16), Fault> {
    let old = edit.state().channel(id).ok_or_else(|| ApiError::not_found("channel", id))?.clone();
    let (mut channel, mut bits) = ((*old.channel).clone(), old.edited);
    rules::version(patch.version, channel.version)?;
    if let Some(number) = patch.number {
        channel.number = rules::number(number)?;
        bits |= edited::NUMBER;
    }
    if let Some(name) = &patch.name {
        channel.name = rules::name("name", name)?;
        bits |= edited::NAME;
    }
    if let Some(logo) = &patch.logo {
        channel.logo = rules::logo(logo)?;
        bits |= edited::LOGO;
    }
    if let Some(guide_id) = &patch.guide_id {
        channel.guide_id = rules::text(guide_id);
        bits |= edited::GUIDE_ID;
    }
    if let Some(sources) = &patch.sources {
        channel.sources = rules::sources(sources)?;
        bits |= edited::SOURCES;
    }
    if let Some(enabled) = patch.enabled {
        channel.enabled = enabled;
        bits |= edited::ENABLED;
    }
    if let Some(radio) = patch.radio {
        channel.radio = radio;
        bits |= edited::RADIO;
    }
    if let Some(minutes) = patch.guide_shift_min {
        channel.guide_shift_min = rules::shift("guide_shift_min", minutes.into())? as i16;
        bits |= edited::SHIFT;
    }
    if let Some(category) = &patch.category {
        channel.category = super::categories::by_name(edit, category)?;
        bits |= edited::CATEGORY;
    }
    Ok((old, channel, bits))
}

/// Moves every channel of a category to another one; says whether there was any.
pub(super) fn move_all(edit: &mut Edit<'_>, from: CategoryId, to: CategoryId, bit: u16) -> Result<bool, Fault> {
    let rows: Vec<_> = edit
        .state()
        .channels
        .values()
        .filter(|row| row.channel.category == from)
        .map(|row| (row.clone(), Channel { category: to, ..(*row.channel).clone() }, row.edited | bit))
        .collect();
    Ok(!save(edit, rows)?.is_empty())
}
