//! Changes of viewers' accounts.
//!
//! Owns drafts and patches of users and the making of passwords. Must not enter: logins, seats. Invariant: a password leaves
//! here sealed (to the store), in a [`Viewer`], or in the [`NewUser`] that exists to show it; never in an event or a log line.

use std::sync::Arc;

use yagi_api::{
    ApiError, CategoryId, Change, ErrorCode, NewUser, Noun, OutputFormat, User, UserDraft, UserId, UserPatch,
};

use super::{
    Answer, Library,
    catalog::Viewer,
    edit::{Edit, Fault},
    rules,
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
        self.write(actor, move |edit| {
            edit.state().viewers.get(&id).ok_or_else(|| ApiError::not_found("user", id))?;
            store::users::delete(edit.tx, id)?;
            edit.change().viewers.remove(&id);
            edit.tell(Noun::Users, Change::Deleted, id.0, None::<&()>);
            Ok(())
        })
        .await
    }
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

fn seal(edit: &Edit<'_>, password: &Secret) -> Result<Vec<u8>, ApiError> {
    edit.sealer.seal(password).map_err(|e| ApiError::new(ErrorCode::Internal, format!("cannot seal the password: {e}")))
}

/// Players compare names in their own ways: two that differ in case only would be one to some of them.
fn name(edit: &Edit<'_>, name: &str, own: Option<UserId>) -> Result<String, ApiError> {
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
    let mut account = Account { user, sealed: seal(edit, &password)?, token: Some(seal(edit, &token)?), allowed };
    store::users::insert(edit.tx, &mut account)?;
    let viewer = put(edit, account, password, Some(token), Change::Created);
    Ok(shown(&viewer))
}

fn update(edit: &mut Edit<'_>, id: UserId, patch: &UserPatch) -> Result<Arc<Viewer>, Fault> {
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
    store_again(edit, user, password, old.token.clone(), allowed)
}

fn set_token(edit: &mut Edit<'_>, id: UserId, token: Option<Secret>) -> Result<Arc<Viewer>, Fault> {
    let old = Arc::clone(edit.state().viewers.get(&id).ok_or_else(|| ApiError::not_found("user", id))?);
    let allowed = old.allowed.as_ref().map(|ids| ids.to_vec());
    store_again(edit, old.user.clone(), old.password.clone(), token, allowed)
}

/// The row in its next version.
fn store_again(
    edit: &mut Edit<'_>,
    mut user: User,
    password: Secret,
    token: Option<Secret>,
    allowed: Option<Vec<CategoryId>>,
) -> Result<Arc<Viewer>, Fault> {
    user.version += 1;
    let sealed = token.as_ref().map(|t| seal(edit, t)).transpose()?;
    let account = Account { user, sealed: seal(edit, &password)?, token: sealed, allowed };
    store::users::update(edit.tx, &account)?;
    Ok(put(edit, account, password, token, Change::Updated))
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
