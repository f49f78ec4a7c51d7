//! A list of operations over nouns, all or nothing.
//!
//! Owns the order in which they take effect, so that they need no order of their own: what frees names and numbers first, what
//! others stand on before them. Must not enter: rules of single nouns. Invariant: one fault and nothing is changed; every fault
//! is told with the index of its operation.

use std::collections::{HashMap, HashSet};

use serde::de::DeserializeOwned;
use yagi_api::{
    ApiError, Applied, Apply, CategoryId, CategoryPatch, Channel, ChannelId, ChannelPatch, ErrorCode, ItemError,
    NewPassword, Noun, Op, Operation, SourceId, SourcePatch, UserDraft, UserId, UserPatch,
};

use super::{
    Answer, Library,
    bulk::applied,
    categories, channels,
    edit::{Edit, Fault},
    sources,
    state::Row,
    users,
};
use crate::store::categories::UNCATEGORISED;

/// Operations of one list.
pub const MOST: usize = 50_000;
/// Faults that are told.
const TOLD: usize = 100;

impl Library {
    pub async fn apply(&self, actor: &str, list: Apply) -> Answer<Applied> {
        if list.operations.len() > MOST {
            return Err(ApiError::invalid("operations", format!("expected at most {MOST} operations")));
        }
        let dry_run = list.dry_run;
        self.many(actor, dry_run, move |edit| {
            let mut work = Work { edit, errors: Vec::new(), passwords: Vec::new() };
            work.run(&list.operations)?;
            let Work { edit, mut errors, passwords } = work;
            errors.sort_by_key(|e| e.index);
            errors.truncate(TOLD);
            if !errors.is_empty() && !dry_run {
                return Err(refused(errors).into());
            }
            // Those of a dry run will never be anybody's.
            let passwords = if dry_run { Vec::new() } else { passwords };
            Ok(Applied { errors, passwords, ..applied(edit, list.operations.len()) })
        })
        .await
    }
}

/// The first fault speaks for all.
fn refused(errors: Vec<ItemError>) -> ApiError {
    let first = &errors[0];
    let more = if errors.len() > 1 { format!(" (and {} more)", errors.len() - 1) } else { String::new() };
    let place = first.index.map_or_else(String::new, |i| format!("operation {i}: "));
    ApiError {
        field: first.field.clone(),
        errors: errors.clone(),
        ..ApiError::new(first.code, format!("{place}{}{more}; nothing was changed", first.message))
    }
}

struct Work<'a, 'e> {
    edit: &'a mut Edit<'e>,
    errors: Vec<ItemError>,
    passwords: Vec<NewPassword>,
}

/// An operation and where it stands in the list.
type At<'o> = (usize, &'o Operation);

impl Work<'_, '_> {
    /// Notes a caller's fault; one of the database ends everything.
    fn note<T>(&mut self, index: usize, done: Result<T, Fault>) -> Result<Option<T>, Fault> {
        match done {
            Ok(value) => Ok(Some(value)),
            Err(Fault::Api(e)) if e.code != ErrorCode::Internal => {
                self.errors.push(ItemError {
                    index: u32::try_from(index).ok(),
                    code: e.code,
                    message: e.message,
                    field: e.field,
                });
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    fn run(&mut self, list: &[Operation]) -> Result<(), Fault> {
        let mut rows: HashMap<(Noun, u32), usize> = HashMap::new();
        let mut fine = Vec::with_capacity(list.len());
        for (index, operation) in list.iter().enumerate() {
            let checked = check(operation, index, &mut rows).map_err(Fault::from);
            if self.note(index, checked)?.is_some() {
                fine.push((index, operation));
            }
        }
        let pick = |noun: Noun, op: Op| fine.iter().copied().filter(move |(_, o)| o.noun == noun && o.op == op);
        for at in pick(Noun::Channels, Op::Delete) {
            let done = channels::delete(self.edit, ChannelId(id(at)), at.1.version);
            self.note(at.0, done)?;
        }
        for at in pick(Noun::Users, Op::Delete) {
            let done = users::delete(self.edit, UserId(id(at)), at.1.version);
            self.note(at.0, done)?;
        }
        for at in pick(Noun::Sources, Op::Delete) {
            let done = sources::delete(self.edit, SourceId(id(at)), at.1.version);
            self.note(at.0, done)?;
        }
        for at in pick(Noun::Categories, Op::Update) {
            let done = patch(at).and_then(|p: CategoryPatch| {
                let p = CategoryPatch { version: at.1.version.or(p.version), ..p };
                categories::update(self.edit, CategoryId(id(at)), &p)
            });
            self.note(at.0, done)?;
        }
        for at in pick(Noun::Categories, Op::Create) {
            let done = patch(at).and_then(|draft| categories::draft(self.edit, &draft));
            self.note(at.0, done)?;
        }
        self.update_channels(pick(Noun::Channels, Op::Update))?;
        for at in pick(Noun::Channels, Op::Create) {
            let done = patch(at).and_then(|draft| channels::create(self.edit, &draft));
            self.note(at.0, done)?;
        }
        for at in pick(Noun::Users, Op::Update) {
            let done = patch(at).and_then(|p: UserPatch| {
                let p = UserPatch { version: at.1.version.or(p.version), ..p };
                users::update(self.edit, UserId(id(at)), &p)
            });
            self.note(at.0, done)?;
        }
        for at in pick(Noun::Users, Op::Create) {
            let done = patch(at).and_then(|draft: UserDraft| users::create(self.edit, &draft));
            if let Some(new) = self.note(at.0, done)? {
                self.passwords.push(NewPassword { id: new.user.id.0, name: new.user.name, password: new.password });
            }
        }
        for at in pick(Noun::Sources, Op::Update) {
            let done = patch(at).and_then(|p: SourcePatch| {
                let p = SourcePatch { version: at.1.version.or(p.version), ..p };
                sources::update_unmasked(self.edit, SourceId(id(at)), p)
            });
            self.note(at.0, done)?;
        }
        for at in pick(Noun::Sources, Op::Create) {
            let done = patch(at).and_then(|draft| sources::create(self.edit, &draft));
            self.note(at.0, done)?;
        }
        for at in pick(Noun::Categories, Op::Delete) {
            let done = categories::delete(self.edit, CategoryId(id(at)), at.1.version, UNCATEGORISED);
            self.note(at.0, done)?;
        }
        self.edit.trail.about = None;
        Ok(())
    }

    /// Together, because numbers may be swapped.
    fn update_channels<'o>(&mut self, list: impl Iterator<Item = At<'o>>) -> Result<(), Fault> {
        let mut rows: Vec<(usize, (Row, Channel, u16))> = Vec::new();
        for at in list {
            let done = patch(at).and_then(|p: ChannelPatch| {
                let p = ChannelPatch { version: at.1.version.or(p.version), ..p };
                channels::patched(self.edit, ChannelId(id(at)), &p)
            });
            if let Some(row) = self.note(at.0, done)? {
                rows.push((at.0, row));
            }
        }
        let moving: HashSet<ChannelId> = rows
            .iter()
            .filter(|(_, (old, new, _))| old.channel.number != new.number)
            .map(|(_, (_, new, _))| new.id)
            .collect();
        let mut wanted: HashMap<u32, ChannelId> = HashMap::new();
        let mut save = Vec::with_capacity(rows.len());
        for (index, (old, new, bits)) in rows {
            if moving.contains(&new.id) {
                let held = self.edit.state().channels.get(&new.number).is_some_and(|r| !moving.contains(&r.channel.id));
                let twice = wanted.insert(new.number, new.id);
                let free = match twice {
                    _ if held => channels::free(self.edit, new.number).map_err(Fault::from),
                    Some(other) => Err(super::rules::taken(
                        "number",
                        format!("{} is given to channel {other} in this list too", new.number),
                    )
                    .into()),
                    None => Ok(()),
                };
                if self.note(index, free)?.is_none() {
                    continue;
                }
            }
            if *old.channel != new || old.edited != bits {
                save.push((old, new, bits));
            }
        }
        // Where a number is taken the list fails anyway; what is left may collide on the way.
        if self.errors.is_empty() {
            channels::save(self.edit, save)?;
        }
        Ok(())
    }
}

fn id((_, operation): At<'_>) -> u32 {
    operation.id.unwrap_or_default()
}

/// What can be seen without the rows.
fn check(operation: &Operation, index: usize, rows: &mut HashMap<(Noun, u32), usize>) -> Result<(), ApiError> {
    if !matches!(operation.noun, Noun::Channels | Noun::Categories | Noun::Users | Noun::Sources) {
        return Err(ApiError::invalid("noun", "expected channels, categories, users or sources"));
    }
    match (operation.op, operation.id, &operation.row) {
        (Op::Create, None, Some(_)) | (Op::Delete, Some(_), None) | (Op::Update, Some(_), Some(_)) => {}
        (Op::Create, Some(_), _) => return Err(ApiError::invalid("id", "is given by the daemon")),
        (Op::Create | Op::Update, _, None) => return Err(ApiError::invalid("row", "is missing")),
        (Op::Delete, _, Some(_)) => return Err(ApiError::invalid("row", "a deletion has none")),
        (_, None, _) => return Err(ApiError::invalid("id", "is missing")),
    }
    if let Some(id) = operation.id
        && let Some(first) = rows.insert((operation.noun, id), index)
    {
        return Err(ApiError::invalid("id", format!("operation {first} is about this row too")));
    }
    Ok(())
}

/// The draft or patch of an operation.
fn patch<T: DeserializeOwned>((_, operation): At<'_>) -> Result<T, Fault> {
    let row = operation.row.clone().unwrap_or_default();
    if !row.is_object() {
        return Err(ApiError::invalid("row", "expected an object").into());
    }
    serde_path_to_error::deserialize(row).map_err(|e| {
        let path = e.path().to_string();
        let words = yagi_api::text::clean(&e.inner().to_string(), 300).into_owned();
        let field = match words.split('`').nth(1) {
            Some(name) if path == "." && words.contains(" field `") => name.to_owned(),
            _ if path == "." => "row".to_owned(),
            _ => path,
        };
        ApiError::invalid(&yagi_api::text::clean(&field, 128), words).into()
    })
}
