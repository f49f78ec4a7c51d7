//! Changes of viewers' accounts.
//!
//! Owns drafts and patches of users and the making of passwords. Must not enter: logins, seats. Invariant: a password leaves
//! here sealed (to the store), in a [`Viewer`], or in the [`NewUser`] that exists to show it; never in an event or a log line.

use std::sync::Arc;

use yagi_api::{
    ApiError, CategoryId, Change, ErrorCode, NewUser, Noun, OutputFormat, User, UserDraft, UserExtend, UserId,
    UserPatch,
};

use super::{
    Answer, Library,
    catalog::Viewer,
    edit::{Edit, Fault, Mode},
    image, rules,
    trail::Item,
};
use crate::{
    secret::Secret,
    store::{self, users::Account},
};

/// Without look-alikes: no 0 O o, 1 l I i, 2 Z z, 5 S s, 8 B, U V u v.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrtwxyACDEFGHJKLMNPQRTWXY34679";
const LENGTH: usize = 12;
/// A token is guessed at without a name: about 108 bits.
const TOKEN_LENGTH: usize = 20;

impl Library {
    pub async fn create_user(&self, actor: &str, draft: UserDraft) -> Answer<NewUser> {
        self.write(actor, move |edit| create(edit, &draft)).await
    }

    /// A new generated password; the old one stops working at once.
    pub async fn reset_password(&self, actor: &str, id: UserId) -> Answer<NewUser> {
        self.write(actor, move |edit| {
            let password = generate(LENGTH)?;
            let patch = UserPatch { password: Some(password.expose().to_owned()), ..UserPatch::default() };
            let viewer = update(edit, id, &patch)?;
            Ok(shown(&viewer))
        })
        .await
    }

    /// A new token; links with the old one stop working at once.
    pub async fn reset_token(&self, actor: &str, id: UserId) -> Answer<Arc<Viewer>> {
        self.write(actor, move |edit| {
            let token = generate(TOKEN_LENGTH)?;
            set_token(edit, id, Some(token))
        })
        .await
    }

    /// No token: only name and password let this viewer in.
    pub async fn revoke_token(&self, actor: &str, id: UserId) -> Answer<Arc<Viewer>> {
        self.write(actor, move |edit| set_token(edit, id, None)).await
    }

    pub async fn update_user(&self, actor: &str, id: UserId, patch: UserPatch) -> Answer<Arc<Viewer>> {
        self.write(actor, move |edit| update(edit, id, &patch)).await
    }

    pub async fn delete_user(&self, actor: &str, id: UserId) -> Answer<()> {
        self.write(actor, move |edit| delete(edit, id, None)).await
    }

    /// Days behind the present end, or behind now when that is over.
    pub async fn extend_user(&self, actor: &str, id: UserId, extend: UserExtend) -> Answer<Arc<Viewer>> {
        self.write(actor, move |edit| {
            let user = &edit.state().viewers.get(&id).ok_or_else(|| ApiError::not_found("user", id))?.user;
            let Some(at) = extended(user, extend.days, edit.now)? else {
                return Err(ApiError::new(ErrorCode::Conflict, format!("{} never expires", user.name)).into());
            };
            let patch = UserPatch { version: extend.version, expires_at: Some(Some(at)), ..UserPatch::default() };
            update(edit, id, &patch)
        })
        .await
    }

    /// Keeps when users were seen: no change that anybody is told of.
    pub async fn record_seen(&self, seen: Vec<(UserId, i64, String, String)>) -> Answer<()> {
        self.step("seen", Mode::Refresh, move |edit| {
            for (id, at, agent, ip) in &seen {
                store::users::set_seen(edit.tx, *id, *at, agent, ip)?;
            }
            Ok(())
        })
        .await
        .map(|_| ())
    }
}

/// The whole row for the trail.
pub(super) fn whole(edit: &Edit<'_>, viewer: &Viewer) -> Result<image::Fields, ApiError> {
    let token = viewer.token.as_ref().map(|t| seal(edit, t)).transpose()?;
    Ok(image::user(viewer, &seal(edit, &viewer.password)?, token.as_deref()))
}

/// The new end; none for an account that has none.
pub(super) fn extended(user: &User, days: u32, now: i64) -> Result<Option<i64>, ApiError> {
    if !(1..=3650).contains(&days) {
        return Err(ApiError::invalid("days", "expected 1 to 3650"));
    }
    let Some(end) = user.expires_at else { return Ok(None) };
    rules::expires_at(Some(end.max(now) + i64::from(days) * 86_400))
}

pub(super) fn delete(edit: &mut Edit<'_>, id: UserId, version: Option<u32>) -> Result<(), Fault> {
    let viewer = Arc::clone(edit.state().viewers.get(&id).ok_or_else(|| ApiError::not_found("user", id))?);
    rules::version(version, viewer.user.version)?;
    let before = whole(edit, &viewer)?;
    edit.trail.record(Item {
        noun: Noun::Users,
        row: id.0,
        name: viewer.user.name.clone(),
        before: Some(before),
        after: None,
    })?;
    store::users::delete(edit.tx, id)?;
    edit.change().viewers.remove(&id);
    edit.tell(Noun::Users, Change::Deleted, id.0, None::<&()>);
    Ok(())
}

/// A category goes: viewers who may see it lose it, or may see the other one from now on.
pub(super) fn replace_allowed(edit: &mut Edit<'_>, gone: CategoryId, by: Option<CategoryId>) -> Result<(), Fault> {
    let theirs = |v: &&Arc<Viewer>| v.allowed.as_ref().is_some_and(|ids| ids.contains(&gone));
    let viewers: Vec<Arc<Viewer>> = edit.state().viewers.values().filter(theirs).cloned().collect();
    for old in viewers {
        let mut ids: Vec<CategoryId> = old.allowed.iter().flatten().copied().filter(|id| *id != gone).collect();
        ids.extend(by.filter(|by| !ids.contains(by)));
        let mut user = old.user.clone();
        user.version += 1;
        save(edit, &old, user, old.password.clone(), old.token.clone(), Some(ids))?;
    }
    Ok(())
}

fn shown(viewer: &Viewer) -> NewUser {
    NewUser { user: viewer.user.clone(), password: viewer.password.expose().to_owned() }
}

/// Random, about 5.4 bits a letter. Bytes that would favour some letters are drawn again.
fn generate(length: usize) -> Result<Secret, ApiError> {
    let limit = 256 / ALPHABET.len() * ALPHABET.len();
    let mut text = String::with_capacity(length);
    let mut bytes = [0u8; 32];
    while text.len() < length {
        getrandom::fill(&mut bytes)
            .map_err(|e| ApiError::new(ErrorCode::Unavailable, format!("the system gives no random bytes: {e}")))?;
        let fair = bytes.iter().filter(|b| usize::from(**b) < limit);
        text.extend(fair.map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])).take(length - text.len()));
    }
    Ok(Secret::new(text))
}

pub(super) fn seal(edit: &Edit<'_>, password: &Secret) -> Result<Vec<u8>, ApiError> {
    edit.sealer.seal(password).map_err(|e| ApiError::new(ErrorCode::Internal, format!("cannot seal the password: {e}")))
}

/// Players compare names in their own ways: two that differ in case only would be one to some of them.
pub(super) fn name(edit: &Edit<'_>, name: &str, own: Option<UserId>) -> Result<String, ApiError> {
    if let Some(fault) = yagi_api::text::user_name_fault(name) {
        return Err(ApiError::invalid("name", fault));
    }
    let other =
        edit.state().viewers.values().find(|v| v.user.name.eq_ignore_ascii_case(name) && Some(v.user.id) != own);
    match other {
        Some(other) => Err(rules::taken("name", format!("there is a user {} already", other.user.name))),
        None => Ok(name.to_owned()),
    }
}

/// Allowed categories must exist: a misspelt one would hide channels without a word.
fn allowed(edit: &Edit<'_>, names: Option<&[String]>) -> Result<Option<Vec<CategoryId>>, ApiError> {
    let find = |(i, name): (usize, &String)| {
        edit.state().category_ids.get(name.trim()).copied().ok_or_else(|| {
            ApiError::invalid(&format!("categories[{i}]"), format!("there is no category {}", rules::text(name)))
        })
    };
    names.map(|names| names.iter().enumerate().map(find).collect()).transpose()
}

pub(super) fn create(edit: &mut Edit<'_>, draft: &UserDraft) -> Result<NewUser, Fault> {
    let password = match &draft.password {
        Some(text) => {
            rules::password(text)?;
            Secret::new(text.as_str())
        }
        None => generate(LENGTH)?,
    };
    let user = User {
        id: UserId(0),
        version: 1,
        name: name(edit, &draft.name, None)?,
        enabled: draft.enabled.unwrap_or(true),
        expires_at: rules::expires_at(draft.expires_at)?,
        trial: draft.trial,
        max_connections: rules::max_connections(
            draft.max_connections.unwrap_or(edit.state().settings.user_max_connections),
        )?,
        formats: rules::formats(draft.formats.as_deref().unwrap_or(&OutputFormat::ALL))?,
        categories: None,
        note: rules::text(&draft.note),
        player: draft.player,
        created_at: edit.now,
        active: 0,
        last_seen: None,
        last_agent: String::new(),
        last_ip: String::new(),
    };
    let allowed = allowed(edit, draft.categories.as_deref())?;
    let token = generate(TOKEN_LENGTH)?;
    let viewer = insert(edit, user, password, Some(token), allowed)?;
    Ok(shown(&viewer))
}

/// A new row, or a deleted one that comes back under its id.
pub(super) fn insert(
    edit: &mut Edit<'_>,
    user: User,
    password: Secret,
    token: Option<Secret>,
    allowed: Option<Vec<CategoryId>>,
) -> Result<Arc<Viewer>, Fault> {
    let sealed_token = token.as_ref().map(|t| seal(edit, t)).transpose()?;
    let mut account = Account { user, sealed: seal(edit, &password)?, token: sealed_token, allowed };
    store::users::insert(edit.tx, &mut account)?;
    let (sealed, sealed_token) = (account.sealed.clone(), account.token.clone());
    let viewer = put(edit, account, password, token, Change::Created);
    edit.trail.record(Item {
        noun: Noun::Users,
        row: viewer.user.id.0,
        name: viewer.user.name.clone(),
        before: None,
        after: Some(image::user(&viewer, &sealed, sealed_token.as_deref())),
    })?;
    Ok(viewer)
}

/// Stores a changed row.
pub(super) fn save(
    edit: &mut Edit<'_>,
    old: &Arc<Viewer>,
    user: User,
    password: Secret,
    token: Option<Secret>,
    allowed: Option<Vec<CategoryId>>,
) -> Result<Arc<Viewer>, Fault> {
    let sealed_token = token.as_ref().map(|t| seal(edit, t)).transpose()?;
    let account = Account { user, sealed: seal(edit, &password)?, token: sealed_token, allowed };
    store::users::update(edit.tx, &account)?;
    let (sealed, sealed_token) = (account.sealed.clone(), account.token.clone());
    // Sealed twice, the same text looks different: what did not change keeps its look in the trail.
    let same_password = old.password.matches(password.expose());
    let same_token = match (&old.token, &token) {
        (Some(a), Some(b)) => a.matches(b.expose()),
        (a, b) => a.is_none() && b.is_none(),
    };
    let old_sealed = if same_password { sealed.clone() } else { seal(edit, &old.password)? };
    let old_token = match &old.token {
        Some(_) if same_token => sealed_token.clone(),
        Some(token) => Some(seal(edit, token)?),
        None => None,
    };
    let viewer = put(edit, account, password, token, Change::Updated);
    let before = image::user(old, &old_sealed, old_token.as_deref());
    let (before, after) = image::diff(before, image::user(&viewer, &sealed, sealed_token.as_deref()));
    edit.trail.record(Item {
        noun: Noun::Users,
        row: viewer.user.id.0,
        name: old.user.name.clone(),
        before: Some(before),
        after: Some(after),
    })?;
    Ok(viewer)
}

pub(super) fn update(edit: &mut Edit<'_>, id: UserId, patch: &UserPatch) -> Result<Arc<Viewer>, Fault> {
    let old = Arc::clone(edit.state().viewers.get(&id).ok_or_else(|| ApiError::not_found("user", id))?);
    rules::version(patch.version, old.user.version)?;
    let mut user = old.user.clone();
    let mut password = old.password.clone();
    if let Some(text) = &patch.name {
        user.name = name(edit, text, Some(id))?;
    }
    if let Some(text) = &patch.password {
        rules::password(text)?;
        password = Secret::new(text.as_str());
    }
    if let Some(at) = patch.expires_at {
        user.expires_at = rules::expires_at(at)?;
    }
    if let Some(n) = patch.max_connections {
        user.max_connections = rules::max_connections(n)?;
    }
    if let Some(formats) = &patch.formats {
        user.formats = rules::formats(formats)?;
    }
    user.enabled = patch.enabled.unwrap_or(user.enabled);
    user.trial = patch.trial.unwrap_or(user.trial);
    user.note = patch.note.as_deref().map_or(user.note, rules::text);
    user.player = patch.player.unwrap_or(user.player);
    let allowed = match &patch.categories {
        Some(names) => allowed(edit, names.as_deref())?,
        None => old.allowed.as_ref().map(|ids| ids.to_vec()),
    };
    user.version += 1;
    save(edit, &old, user, password, old.token.clone(), allowed)
}

fn set_token(edit: &mut Edit<'_>, id: UserId, token: Option<Secret>) -> Result<Arc<Viewer>, Fault> {
    let old = Arc::clone(edit.state().viewers.get(&id).ok_or_else(|| ApiError::not_found("user", id))?);
    let allowed = old.allowed.as_ref().map(|ids| ids.to_vec());
    let mut user = old.user.clone();
    user.version += 1;
    save(edit, &old, user, old.password.clone(), token, allowed)
}

fn put(edit: &mut Edit<'_>, account: Account, password: Secret, token: Option<Secret>, change: Change) -> Arc<Viewer> {
    let viewer = edit.state().viewer(account, password, token);
    edit.change().viewers.insert(viewer.user.id, Arc::clone(&viewer));
    edit.tell(Noun::Users, change, viewer.user.id.0, Some(&viewer.user));
    viewer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_can_be_read_aloud_and_pasted_into_urls() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let password = generate(LENGTH).unwrap();
            assert_eq!(password.expose().len(), LENGTH);
            assert!(rules::password(password.expose()).is_ok());
            assert!(!password.expose().contains(['0', 'O', 'o', '1', 'l', 'I', 'i', '5', 'S', 'B', '8']));
            assert!(seen.insert(password.expose().to_owned()));
        }
    }
}
