//! Many rows of another system in one transaction.
//!
//! Owns keeping of foreign ids and what is told of rows that cannot be taken. Must not enter: the other system's shape. Invariant: all
//! or nothing; a dry run changes nothing and tells the same.

use std::sync::{Arc, Mutex, PoisonError};

use yagi_api::{ApiError, ChannelDraft, ChannelId, ErrorCode, NewUser, Noun, SettingsPatch, SourceDraft, UserDraft};

use super::{
    Answer, Library,
    edit::{Edit, Fault},
    rules,
};
use crate::store;

/// What is to be taken in, in this order.
#[derive(Clone, Debug, Default)]
pub struct Load {
    pub categories: Vec<String>,
    /// With the ids that players know.
    pub channels: Vec<(u32, ChannelDraft)>,
    pub users: Vec<UserDraft>,
    pub sources: Vec<SourceDraft>,
    pub settings: SettingsPatch,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Taken {
    pub categories: u32,
    pub channels: u32,
    pub users: Vec<NewUser>,
    pub sources: u32,
    pub settings: u32,
    /// What was not taken, or not as it was, and why.
    pub notes: Vec<String>,
}

impl Library {
    /// Takes rows in, or with `dry_run` tells what would be taken.
    pub async fn move_in(&self, actor: &str, load: Load, dry_run: bool) -> Answer<Taken> {
        let cell = Arc::new(Mutex::new(Taken::default()));
        let result = Arc::clone(&cell);
        let done = self
            .write(actor, move |edit| {
                let taken = take(edit, load)?;
                *result.lock().unwrap_or_else(PoisonError::into_inner) = taken;
                // An error takes the transaction back.
                if dry_run { Err(ApiError::new(ErrorCode::Conflict, "dry run").into()) } else { Ok(()) }
            })
            .await;
        match done {
            Err(error) if !(dry_run && error.message == "dry run") => Err(error),
            _ => Ok(std::mem::take(&mut *cell.lock().unwrap_or_else(PoisonError::into_inner))),
        }
    }
}

/// A row that is refused by the rules is told and left out; the disk's faults end everything.
fn noted<T>(notes: &mut Vec<String>, what: &str, result: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Fault::Api(error)) if error.code != ErrorCode::Internal => {
            let field = error.field.map(|f| format!("{f} ")).unwrap_or_default();
            notes.push(format!("{what}: {field}{}", error.message));
            Ok(None)
        }
        Err(fault) => Err(fault),
    }
}

fn take(edit: &mut Edit<'_>, load: Load) -> Result<Taken, Fault> {
    let mut taken = Taken::default();
    let mut notes = Vec::new();
    for name in load.categories {
        let before = edit.state().categories.len();
        let made = super::categories::by_name(edit, &name);
        noted(&mut notes, &format!("category {name}"), made)?;
        taken.categories += (edit.state().categories.len() - before) as u32;
    }
    for (id, draft) in load.channels {
        let what = format!("channel {id} ({})", draft.name);
        if edit.state().channel(ChannelId(id)).is_some() {
            notes.push(format!("{what}: there is a channel with this id already; it was left as it is"));
            continue;
        }
        let made = channel(edit, id, &draft);
        taken.channels += u32::from(noted(&mut notes, &what, made)?.is_some());
    }
    for draft in load.users {
        let made = super::users::create(edit, &draft);
        taken.users.extend(noted(&mut notes, &format!("user {}", draft.name), made)?);
    }
    for draft in load.sources {
        let what = format!("source {}", crate::secret::redact(&draft.url));
        let made = super::sources::create(edit, &draft);
        taken.sources += u32::from(noted(&mut notes, &what, made)?.is_some());
    }
    for (key, value) in load.settings {
        let patch = SettingsPatch::from_iter([(key.clone(), value)]);
        let made = super::settings::update(edit, patch);
        taken.settings += u32::from(noted(&mut notes, &format!("setting {key}"), made)?.is_some());
    }
    edit.tell_bulk(Noun::Channels);
    edit.tell_bulk(Noun::Categories);
    taken.notes = notes;
    Ok(taken)
}

fn channel(edit: &mut Edit<'_>, id: u32, draft: &ChannelDraft) -> Result<ChannelId, Fault> {
    if id == 0 || id >= 1 << 31 {
        return Err(ApiError::invalid("id", "is no id that players can read").into());
    }
    let number = match draft.number {
        Some(number) if !edit.state().channels.contains_key(&number) => rules::number(number)?,
        _ => edit.state().free_number(1, &std::collections::HashSet::new()),
    };
    let mut channel = super::channels::drafted(edit, ChannelId(id), number, draft)?;
    store::channels::insert(edit.tx, &mut channel, 0, None)?;
    let id = channel.id;
    edit.change().put(channel, 0);
    Ok(id)
}
