//! Changes of categories.
//!
//! Owns drafts and patches of categories and the making of one by its name. Must not enter: channels' fields. Invariant: names
//! are unique; "Uncategorised" (the first one, whatever it is called now) always exists.

use std::sync::Arc;

use yagi_api::{ApiError, Category, CategoryDraft, CategoryId, CategoryPatch, Change, ErrorCode, Noun};

use super::{
    Answer, Library, channels,
    edit::{Edit, Fault},
    rules,
};
use crate::store::{self, categories::UNCATEGORISED};

const MAX_POSITION: u32 = 1_000_000;

impl Library {
    pub async fn create_category(&self, actor: &str, draft: CategoryDraft) -> Answer<Arc<Category>> {
        self.write(actor, move |edit| {
            let name = rules::name("name", &draft.name)?;
            free(edit, &name)?;
            let at = draft.position.unwrap_or_else(|| last(edit));
            create(edit, name, position(at)?)
        })
        .await
    }

    pub async fn update_category(&self, actor: &str, id: CategoryId, patch: CategoryPatch) -> Answer<Arc<Category>> {
        self.write(actor, move |edit| update(edit, id, &patch)).await
    }

    /// Its channels move to "Uncategorised"; viewers who were allowed it lose it.
    pub async fn delete_category(&self, actor: &str, id: CategoryId) -> Answer<()> {
        self.write(actor, move |edit| {
            let name =
                edit.state().categories.get(&id).ok_or_else(|| ApiError::not_found("category", id))?.name.clone();
            if id == UNCATEGORISED {
                return Err(ApiError::new(
                    ErrorCode::Conflict,
                    format!("{name} takes the channels that belong nowhere; it cannot be deleted"),
                )
                .with_hint("it can be renamed")
                .into());
            }
            let moved = channels::orphan(edit, id)?;
            store::categories::delete(edit.tx, id)?;
            let state = edit.change();
            state.category_ids.remove(&name);
            state.categories.remove(&id);
            state.rename_allowed();
            edit.tell(Noun::Categories, Change::Deleted, id.0, None::<&()>);
            edit.tell_bulk(Noun::Users);
            if moved {
                edit.tell_bulk(Noun::Channels);
            }
            Ok(())
        })
        .await
    }
}

fn position(at: u32) -> Result<u32, ApiError> {
    if at <= MAX_POSITION {
        Ok(at)
    } else {
        Err(ApiError::invalid("position", format!("expected 0 to {MAX_POSITION}")))
    }
}

fn free(edit: &Edit<'_>, name: &str) -> Result<(), ApiError> {
    if edit.state().category_ids.contains_key(name) {
        return Err(rules::taken("name", format!("there is a category {name} already")));
    }
    Ok(())
}

/// After all others but "Uncategorised".
fn last(edit: &Edit<'_>) -> u32 {
    let others = edit.state().categories.values().filter(|c| c.id != UNCATEGORISED);
    others.map(|c| c.position + 1).max().unwrap_or(1).min(MAX_POSITION)
}

fn create(edit: &mut Edit<'_>, name: String, position: u32) -> Result<Arc<Category>, Fault> {
    let mut category = Category { id: CategoryId(0), version: 1, name, position, channels: 0 };
    store::categories::insert(edit.tx, &mut category)?;
    let state = edit.change();
    state.category_ids.insert(category.name.clone(), category.id);
    state.categories.insert(category.id, category.clone());
    edit.tell(Noun::Categories, Change::Created, category.id.0, Some(&category));
    Ok(Arc::new(category))
}

/// The category of that name, made if there is none; "Uncategorised" for an empty name.
pub(super) fn by_name(edit: &mut Edit<'_>, name: &str) -> Result<CategoryId, Fault> {
    if let Some(id) = edit.state().category_ids.get(name) {
        return Ok(*id);
    }
    let name = rules::text(name);
    if name.is_empty() {
        return Ok(UNCATEGORISED);
    }
    if let Some(id) = edit.state().category_ids.get(&name) {
        return Ok(*id);
    }
    let at = last(edit);
    Ok(create(edit, name, at)?.id)
}

fn update(edit: &mut Edit<'_>, id: CategoryId, patch: &CategoryPatch) -> Result<Arc<Category>, Fault> {
    let mut category = edit.state().categories.get(&id).ok_or_else(|| ApiError::not_found("category", id))?.clone();
    rules::version(patch.version, category.version)?;
    let old = category.name.clone();
    if let Some(name) = &patch.name {
        category.name = rules::name("name", name)?;
        if category.name != old {
            free(edit, &category.name)?;
        }
    }
    if let Some(at) = patch.position {
        category.position = position(at)?;
    }
    category.version += 1;
    store::categories::update(edit.tx, &category)?;
    let renamed = category.name != old;
    let state = edit.change();
    state.category_ids.remove(&old);
    state.category_ids.insert(category.name.clone(), id);
    state.categories.insert(id, category.clone());
    if renamed {
        state.rename_allowed();
    }
    edit.tell(Noun::Categories, Change::Updated, id.0, Some(&category));
    if renamed {
        edit.tell_bulk(Noun::Users);
    }
    Ok(Arc::new(category))
}
