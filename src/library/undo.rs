//! Taking a step of the trail back, and making it again.
//!
//! Owns the order in which rows of a step are put back. Must not enter: how steps are kept (`trail`). Invariant: all or
//! nothing; a field that was changed again since is never overwritten, and the later step is named; ids come back as they were.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::DeserializeOwned;
use serde_json::Value;
use yagi_api::{
    ApiError, Applied, Category, CategoryId, ChangeRow, Channel, ChannelId, ErrorCode, Noun, Rule, RuleId, Source,
    SourceId, User, UserId,
};

use super::{
    Answer, Library,
    bulk::applied,
    categories, channels,
    edit::{Edit, Fault, Mode},
    image::{self, Fields},
    lineup, rulerows, settings, sources,
    state::Row,
    trail::{self, Item, Packed, SHOWN},
    users,
};
use crate::{
    secret::Secret,
    store::{self, channels::Keys},
};

/// Later steps that are looked through for the one that stands in the way.
const LOOK: u32 = 500;

impl Library {
    /// All steps, newest first.
    pub async fn changes(&self) -> Answer<Vec<ChangeRow>> {
        self.step("read", Mode::Refresh, |edit| Ok(store::changes::load(edit.tx)?)).await.map(|(found, _)| found)
    }

    /// One step with its rows.
    pub async fn change(&self, id: u64) -> Answer<ChangeRow> {
        self.step("read", Mode::Refresh, move |edit| {
            let mut row = store::changes::one(edit.tx, id)?.ok_or_else(|| ApiError::not_found("change", id))?;
            if let Some(sealed) = store::changes::items(edit.tx, id)? {
                // One that cannot be read any more is shown as the summary it still is.
                let items = trail::open(edit.sealer, &sealed, SHOWN).unwrap_or_default();
                row.items = items.iter().map(Item::shown).collect();
            }
            Ok(row)
        })
        .await
        .map(|(found, _)| found)
    }

    /// Takes back a step: the one of this id, else the actor's own last.
    pub async fn undo(&self, actor: &str, id: Option<u64>) -> Answer<Applied> {
        self.revert(actor, id, true).await
    }

    /// Makes a step again that was taken back.
    pub async fn redo(&self, actor: &str, id: Option<u64>) -> Answer<Applied> {
        self.revert(actor, id, false).await
    }

    async fn revert(&self, actor: &str, id: Option<u64>, back: bool) -> Answer<Applied> {
        let library = self.clone();
        let done = self.step(actor, Mode::Many, move |edit| {
            let step = choose(edit, id, back)?;
            let sealed = store::changes::items(edit.tx, step.id)?.ok_or_else(|| summary_only(&step))?;
            let packed = Packed::open(edit.sealer, &sealed)?;
            drop(sealed);
            // Only a rollback is told of a source and has one row that is none of it.
            let turns_back = step.noun == Noun::Sources && step.rows == 1;
            let lock = match packed.items()?.next().filter(|_| turns_back).transpose()? {
                Some(item) if item.noun == Noun::Lineup => Some(library.import_lock(SourceId(item.row))),
                _ => None,
            };
            let _alone = lock.as_deref().map(lineup::alone).transpose()?;
            apply(edit, step.id, &packed, back)?;
            let word = if back { "undo" } else { "redo" };
            edit.trail.undo_of = Some(step.id);
            edit.trail.about = Some((step.noun, step.row.unwrap_or(0), step.name));
            edit.trail.summary = Some(format!("{word} of {}: {}", step.id, step.summary));
            Ok(applied(edit, step.rows as usize))
        });
        let (mut applied, change) = done.await?;
        applied.change = change;
        Ok(applied)
    }
}

fn choose(edit: &Edit<'_>, id: Option<u64>, back: bool) -> Result<ChangeRow, Fault> {
    let nothing = |what: &str| ApiError::new(ErrorCode::Conflict, what);
    let id = match id {
        Some(id) => id,
        None if back => store::changes::last(edit.tx, edit.actor)?.ok_or_else(|| {
            nothing("there is nothing of yours to undo")
                .with_hint("steps of others are undone by their id: GET /api/changes")
        })?,
        None => store::changes::last_undone(edit.tx, edit.actor)?.ok_or_else(|| nothing("there is nothing to redo"))?,
    };
    let step = store::changes::one(edit.tx, id)?.ok_or_else(|| ApiError::not_found("change", id))?;
    if step.undo_of.is_some() {
        return Err(nothing("this step is an undo or redo itself")
            .with_hint("undo or redo the step that it names")
            .into());
    }
    match (back, step.undone_by) {
        (true, Some(by)) => Err(nothing(&format!("step {id} is undone already, by step {by}")).into()),
        (false, None) => Err(nothing(&format!("step {id} is not undone")).into()),
        _ => Ok(step),
    }
}

/// One row on its way: what it must be now, and what it becomes.
struct Turn {
    noun: Noun,
    row: u32,
    name: String,
    from: Option<Fields>,
    to: Option<Fields>,
}

impl Turn {
    fn new(item: Item, back: bool) -> Self {
        let Item { noun, row, name, before, after } = item;
        let (from, to) = if back { (after, before) } else { (before, after) };
        Self { noun, row, name, from, to }
    }
}

/// What a refresh did has no rows in the trail.
fn summary_only(step: &ChangeRow) -> ApiError {
    let error = ApiError::new(ErrorCode::Conflict, format!("step {} is only a summary and cannot be undone", step.id));
    match step.noun {
        Noun::Sources => {
            error.with_hint(format!("a playlist's channels go back by generations: yagi lineup rollback {}", step.name))
        }
        _ => error,
    }
}

/// What must exist for others comes first and goes last. Of channels there may be very many: they are read from the packed rows
/// when it is their turn.
fn apply(edit: &mut Edit<'_>, step: u64, packed: &Packed, back: bool) -> Result<(), Fault> {
    let mut turns = Vec::new();
    for item in packed.items()? {
        let item = item?;
        if item.noun != Noun::Channels {
            turns.push(Turn::new(item, back));
        }
    }
    let mut take = |wanted: &dyn Fn(&Turn) -> bool| -> Vec<Turn> {
        let (taken, rest) = std::mem::take(&mut turns).into_iter().partition(|t| wanted(t));
        turns = rest;
        taken
    };
    let kept_categories = take(&|t| t.noun == Noun::Categories && t.to.is_some());
    let kept_sources = take(&|t| t.noun == Noun::Sources && t.to.is_some());
    let users = take(&|t| t.noun == Noun::Users);
    let settings = take(&|t| t.noun == Noun::Settings);
    let rules = take(&|t| t.noun == Noun::Rules);
    let gives_name = |t: &&Turn| t.to.as_ref().is_none_or(|to| to.contains_key("name"));
    let leaving = turns.iter().filter(|t| t.noun == Noun::Categories);
    for turn in kept_categories.iter().chain(leaving).filter(gives_name) {
        let id = CategoryId(turn.row);
        if edit.state().categories.contains_key(&id) {
            categories::step_aside(edit, id)?;
        }
    }
    for turn in kept_categories {
        category(edit, step, turn)?;
    }
    for turn in kept_sources {
        source(edit, step, turn)?;
    }
    channel_rows(edit, step, packed, back)?;
    for turn in users {
        user(edit, step, turn)?;
    }
    for turn in settings {
        let now = settings::image(edit, &turn.name);
        if now != turn.from {
            return Err(changed(edit, step, &turn, "value"));
        }
        let value = turn.to.and_then(|mut to| to.remove("value")).unwrap_or(Value::Null);
        settings::update(edit, [(turn.name, value)].into_iter().collect())?;
    }
    for turn in rules {
        rule(edit, step, turn)?;
    }
    for turn in turns {
        match turn.noun {
            Noun::Lineup => turn_back(edit, &turn)?,
            Noun::Sources => source(edit, step, turn)?,
            _ => category(edit, step, turn)?,
        }
    }
    Ok(())
}

/// Refuses when the row is not what the step left.
fn check(edit: &Edit<'_>, step: u64, turn: &Turn, now: Option<&Fields>) -> Result<(), Fault> {
    match (&turn.from, now) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(changed(edit, step, turn, "")),
        (Some(_), None) => Err(changed(edit, step, turn, "")),
        (Some(from), Some(now)) => {
            let aside = |key: &str| {
                matches!(key, "version" | "edited" | "keys" | "category_name" | "categories" | "retired_at")
            };
            for (key, value) in from.iter().filter(|(key, _)| !aside(key)) {
                let same = match key.as_str() {
                    "password" | "token" if value.is_string() => {
                        let open = |v: &Value| edit.sealer.unseal(&STANDARD.decode(v.as_str()?).ok()?);
                        let (a, b) = (open(value), now.get(key).and_then(open));
                        a.zip(b).is_some_and(|(a, b)| a.matches(b.expose()))
                    }
                    _ => now.get(key) == Some(value),
                };
                if !same {
                    return Err(changed(edit, step, turn, image::field(key).unwrap_or(key)));
                }
            }
            Ok(())
        }
    }
}

/// The refusal, naming the later step that touched the row.
fn changed(edit: &Edit<'_>, step: u64, turn: &Turn, field: &str) -> Fault {
    let later = || -> Option<ChangeRow> {
        for id in store::changes::later(edit.tx, step, LOOK).ok()? {
            let items = trail::open(edit.sealer, &store::changes::items(edit.tx, id).ok()??, usize::MAX).ok()?;
            let same = |i: &Item| i.noun == turn.noun && i.row == turn.row && (i.row != 0 || i.name == turn.name);
            if items.iter().any(same) {
                return store::changes::one(edit.tx, id).ok()?;
            }
        }
        None
    };
    let by = later()
        .map_or_else(|| "a refresh".to_owned(), |row| format!("{} (step {}: {})", row.actor, row.id, row.summary));
    let what = if field.is_empty() { turn.name.clone() } else { format!("{field} of {}", turn.name) };
    let error = ApiError::new(ErrorCode::Conflict, format!("{what} was changed since by {by}; nothing was changed"))
        .with_hint("undo the later step first, or edit the row");
    ApiError { field: (!field.is_empty()).then(|| field.to_owned()), ..error }.into()
}

/// A row with other values in some fields.
fn with<T: DeserializeOwned>(whole: Fields, to: &Fields) -> Result<T, Fault> {
    let mut whole = whole;
    whole.extend(to.iter().map(|(k, v)| (k.clone(), v.clone())));
    serde_json::from_value(Value::Object(whole)).map_err(|e| {
        ApiError::new(ErrorCode::Internal, format!("the trail holds a row that cannot be read: {e}")).into()
    })
}

fn number(fields: &Fields, key: &str) -> u32 {
    fields.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

/// Channels that are put back at once: what a batch takes as maps is gone before the next.
const BATCH: usize = 2000;

fn channel_rows(edit: &mut Edit<'_>, step: u64, packed: &Packed, back: bool) -> Result<(), Fault> {
    let turns = || packed.items().map(|items| items.filter(|i| i.as_ref().map_or(true, |i| i.noun == Noun::Channels)));
    // Those that go or change their number leave it before any comes back, so that rows may swap.
    let mut aside: HashMap<ChannelId, Row> = HashMap::new();
    for item in turns()? {
        let turn = Turn::new(item?, back);
        let id = ChannelId(turn.row);
        let row = edit.state().channel(id).cloned();
        match (&turn.to, row) {
            (None, row) => {
                let now = row.as_ref().map(|r| image::channel(edit.state(), &r.channel, r.edited, None));
                check(edit, step, &turn, now.as_ref())?;
                if row.is_some() {
                    channels::delete(edit, id, None)?;
                }
            }
            (Some(to), Some(row)) if to.contains_key("number") && number(to, "number") != row.channel.number => {
                store::channels::park(edit.tx, id)?;
                edit.change().remove(id);
                aside.insert(id, row);
            }
            _ => {}
        }
    }
    let mut saves = Vec::new();
    for item in turns()? {
        let turn = Turn::new(item?, back);
        if turn.to.is_none() {
            continue;
        }
        let id = ChannelId(turn.row);
        let row = aside.remove(&id).or_else(|| edit.state().channel(id).cloned());
        let now = row.as_ref().map(|r| image::channel(edit.state(), &r.channel, r.edited, None));
        check(edit, step, &turn, now.as_ref())?;
        // Others are made behind those that leave their numbers to them.
        let (Some(row), Some(to)) = (row, turn.to) else { continue };
        let old_bits = number(&to, "edited") as u16;
        // Only the bits that the step itself set or cleared.
        let flipped = match (&turn.from, to.contains_key("edited")) {
            (Some(from), true) => number(from, "edited") as u16 ^ old_bits,
            _ => 0,
        };
        let bits = (row.edited & !flipped) | (old_bits & flipped);
        let mut whole = now.unwrap_or_default();
        whole.insert("id".to_owned(), id.0.into());
        let new = known_category(edit, with(whole, &to)?, &turn.name)?;
        if new.number != row.channel.number {
            channels::free(edit, new.number)?;
        }
        saves.push((row, new, bits));
        if saves.len() == BATCH {
            channels::save(edit, std::mem::take(&mut saves))?;
        }
    }
    channels::save(edit, saves)?;
    for item in turns()? {
        let turn = Turn::new(item?, back);
        let id = ChannelId(turn.row);
        let (Some(to), None) = (turn.to, edit.state().channel(id)) else { continue };
        let keys = to.get("keys").and_then(Value::as_array).and_then(|list| {
            let key = |i: usize| list.get(i)?.as_str()?.parse().ok();
            Some(Keys { path: key(0)?, name: key(1)? })
        });
        let own = Fields::from_iter([("id".to_owned(), id.0.into())]);
        let mut channel: Channel = known_category(edit, with(own, &to)?, &turn.name)?;
        channel.version += 1;
        channels::free(edit, channel.number)?;
        if channel.origin.is_some_and(|origin| !edit.state().sources.contains_key(&origin)) {
            let error = format!("the source of {} is gone; undo its deletion first", channel.name);
            return Err(ApiError::new(ErrorCode::Conflict, error).into());
        }
        channels::insert(edit, channel, number(&to, "edited") as u16, keys)?;
    }
    Ok(())
}

/// A rollback of a playlist's channels, by its generations.
fn turn_back(edit: &mut Edit<'_>, turn: &Turn) -> Result<(), Fault> {
    let generation = |fields: &Option<Fields>| fields.as_ref().map_or(0, |f| number(f, "generation"));
    lineup::turn_back(edit, SourceId(turn.row), generation(&turn.from), generation(&turn.to))
}

fn rule(edit: &mut Edit<'_>, step: u64, turn: Turn) -> Result<(), Fault> {
    let id = RuleId(turn.row);
    let row = edit.state().rules.get(&id).cloned();
    let now = row.as_ref().map(|r| image::rule(r));
    check(edit, step, &turn, now.as_ref())?;
    match (row, turn.to) {
        (Some(old), Some(to)) => {
            let mut whole = now.unwrap_or_default();
            whole.insert("id".to_owned(), id.0.into());
            let rule = Rule { version: old.version + 1, ..with(whole, &to)? };
            rulerows::save(edit, &old, rule).map(drop)
        }
        (Some(old), None) => rulerows::remove(edit, &old),
        (None, Some(to)) => {
            let own = Fields::from_iter([("id".to_owned(), id.0.into())]);
            let mut rule: Rule = with(own, &to)?;
            rule.version += 1;
            rulerows::add(edit, rule).map(drop)
        }
        (None, None) => Ok(()),
    }
}

fn known_category(edit: &Edit<'_>, channel: Channel, name: &str) -> Result<Channel, Fault> {
    if edit.state().categories.contains_key(&channel.category) {
        return Ok(channel);
    }
    let error = format!("the category that {name} was in is gone; undo its deletion first");
    Err(ApiError::new(ErrorCode::Conflict, error).into())
}

fn category(edit: &mut Edit<'_>, step: u64, turn: Turn) -> Result<(), Fault> {
    let id = CategoryId(turn.row);
    let now = edit.state().categories.get(&id).map(image::category);
    check(edit, step, &turn, now.as_ref())?;
    match (now, turn.to) {
        (Some(_), Some(to)) => {
            let text = |key: &str| to.get(key).and_then(Value::as_str).map(str::to_owned);
            let patch = yagi_api::CategoryPatch {
                version: None,
                name: text("name"),
                position: to.contains_key("position").then(|| number(&to, "position")),
            };
            categories::update(edit, id, &patch).map(drop)
        }
        (Some(_), None) => {
            let used = edit.state().channels.values().any(|r| r.channel.category == id);
            if used {
                let error = format!("{} has channels by now", turn.name);
                return Err(ApiError::new(ErrorCode::Conflict, error).into());
            }
            categories::delete(edit, id, None, store::categories::UNCATEGORISED)
        }
        (None, Some(to)) => {
            let own = Fields::from_iter([("id".to_owned(), id.0.into())]);
            let mut category: Category = with(own, &to)?;
            categories::free(edit, &category.name)?;
            category.version += 1;
            categories::insert(edit, category).map(drop)
        }
        (None, None) => Ok(()),
    }
}

fn source(edit: &mut Edit<'_>, step: u64, turn: Turn) -> Result<(), Fault> {
    let id = SourceId(turn.row);
    let row = edit.state().sources.get(&id).cloned();
    let now = row.as_ref().map(|s| image::source(s));
    check(edit, step, &turn, now.as_ref())?;
    let taken = |edit: &Edit<'_>, source: &Source| {
        let other =
            edit.state().sources.values().find(|s| s.id != id && (s.name == source.name || s.url == source.url));
        other.map(|s| ApiError::new(ErrorCode::Conflict, format!("source {} has the name or the URL by now", s.name)))
    };
    match (row, turn.to) {
        (Some(row), Some(to)) => {
            let mut whole = now.unwrap_or_default();
            whole.insert("id".to_owned(), id.0.into());
            let source = Source { last: row.last.clone(), ..with(whole, &to)? };
            taken(edit, &source).map_or(Ok(()), Err)?;
            sources::save(edit, source).map(drop)
        }
        (Some(_), None) => sources::delete(edit, id, None),
        (None, Some(to)) => {
            let own = Fields::from_iter([("id".to_owned(), id.0.into())]);
            let mut source: Source = with(own, &to)?;
            taken(edit, &source).map_or(Ok(()), Err)?;
            source.version += 1;
            sources::restore(edit, source)
        }
        (None, None) => Ok(()),
    }
}

fn user(edit: &mut Edit<'_>, step: u64, turn: Turn) -> Result<(), Fault> {
    let id = UserId(turn.row);
    let viewer = edit.state().viewers.get(&id).cloned();
    let now = match &viewer {
        Some(v) => Some(users::whole(edit, v)?),
        None => None,
    };
    check(edit, step, &turn, now.as_ref())?;
    let Some(to) = turn.to else {
        return if viewer.is_some() { users::delete(edit, id, None) } else { Ok(()) };
    };
    let open = |value: &Value| STANDARD.decode(value.as_str()?).ok().and_then(|s| edit.sealer.unseal(&s));
    let gone = || ApiError::new(ErrorCode::Conflict, "the password or token of then cannot be read any more");
    let password: Secret = match (to.get("password"), &viewer) {
        (Some(sealed), _) => open(sealed).ok_or_else(gone)?,
        (None, Some(viewer)) => viewer.password.clone(),
        (None, None) => return Err(gone().into()),
    };
    let token: Option<Secret> = match to.get("token") {
        Some(Value::Null) => None,
        Some(sealed) => Some(open(sealed).ok_or_else(gone)?),
        None => viewer.as_ref().and_then(|v| v.token.clone()),
    };
    let mut whole = now.unwrap_or_default();
    whole.insert("id".to_owned(), id.0.into());
    whole.extend(to.iter().map(|(k, v)| (k.clone(), v.clone())));
    let allowed: Option<Vec<CategoryId>> =
        whole.get("allowed").and_then(|v| serde_json::from_value(v.clone()).ok()).flatten();
    let allowed =
        allowed.map(|ids| ids.into_iter().filter(|id| edit.state().categories.contains_key(id)).collect::<Vec<_>>());
    let mut user: User = with(whole, &Fields::new())?;
    users::name(edit, &user.name, Some(id))?;
    user.version = viewer.as_ref().map_or(user.version, |v| v.user.version) + 1;
    match &viewer {
        Some(old) => users::save(edit, old, user, password, token, allowed).map(drop),
        None => users::insert(edit, user, password, token, allowed).map(drop),
    }
}
