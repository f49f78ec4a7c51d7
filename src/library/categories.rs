//! Changes of categories.
//!
//! Owns drafts and patches of categories and the making of one by its name. Must not enter: channels' fields. Invariant: names
//! are unique; "Uncategorised" (the first one, whatever it is called now) always exists.

use std::{collections::HashSet, sync::Arc};

use yagi_api::{ApiError, Applied, Category, CategoryDraft, CategoryId, CategoryPatch, Change, ErrorCode, Noun};

use super::{
    Answer, Library, channels,
    edit::{Edit, Fault, Mode},
    image, rules,
    trail::Item,
    users,
};
use crate::store::{self, categories::UNCATEGORISED};

const MAX_POSITION: u32 = 1_000_000;

impl Library {
    pub async fn create_category(&self, actor: &str, draft: CategoryDraft) -> Answer<Arc<Category>> {
        self.write(actor, move |edit| self::draft(edit, &draft)).await
    }

    pub async fn update_category(&self, actor: &str, id: CategoryId, patch: CategoryPatch) -> Answer<Arc<Category>> {
        self.write(actor, move |edit| update(edit, id, &patch)).await
    }

    /// Its channels move to "Uncategorised"; viewers who were allowed it lose it.
    pub async fn delete_category(&self, actor: &str, id: CategoryId) -> Answer<()> {
        self.step(actor, Mode::Many, move |edit| delete(edit, id, None, UNCATEGORISED)).await.map(|_| ())
    }

    /// Its channels, and the permission to see it, go to another one.
    pub async fn merge_category(&self, actor: &str, id: CategoryId, into: CategoryId) -> Answer<()> {
        self.step(actor, Mode::Many, move |edit| {
            if !edit.state().categories.contains_key(&into) {
                return Err(ApiError::invalid("into", format!("there is no category {into}")).into());
            }
            if id == into {
                return Err(ApiError::invalid("into", "is the category itself").into());
            }
            delete(edit, id, None, into)
        })
        .await
        .map(|_| ())
    }

    /// These come first, in this order; the others follow in theirs, "Uncategorised" last.
    pub async fn order_categories(&self, actor: &str, ids: Vec<CategoryId>) -> Answer<Applied> {
        let (mut applied, change) = self
            .step(actor, Mode::Many, move |edit| {
                order(edit, &ids)?;
                Ok(super::bulk::applied(edit, ids.len()))
            })
            .await?;
        applied.change = change;
        Ok(applied)
    }
}

fn order(edit: &mut Edit<'_>, ids: &[CategoryId]) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for (i, id) in ids.iter().enumerate() {
        let field = format!("ids[{i}]");
        if !edit.state().categories.contains_key(id) {
            return Err(ApiError::invalid(&field, format!("there is no category {id}")).into());
        }
        if !seen.insert(*id) {
            return Err(ApiError::invalid(&field, format!("{id} is named twice")).into());
        }
    }
    let mut rest: Vec<Category> = edit.state().categories.values().filter(|c| !seen.contains(&c.id)).cloned().collect();
    rest.sort_by_key(|c| (c.position, c.id));
    let last = rest.iter().any(|c| c.id == UNCATEGORISED);
    let all = ids.iter().copied().chain(rest.iter().map(|c| c.id).filter(|id| *id != UNCATEGORISED));
    for (at, id) in (1..).zip(all.collect::<Vec<_>>()) {
        move_to(edit, id, at)?;
    }
    if last {
        move_to(edit, UNCATEGORISED, MAX_POSITION)?;
    }
    Ok(())
}

fn move_to(edit: &mut Edit<'_>, id: CategoryId, at: u32) -> Result<(), Fault> {
    if edit.state().categories.get(&id).is_some_and(|c| c.position != at) {
        update(edit, id, &CategoryPatch { position: Some(at), ..CategoryPatch::default() })?;
    }
    Ok(())
}

/// Deletes a category whose channels, and the viewers who may see it, go to `into`; "Uncategorised" is not given to viewers.
pub(super) fn delete(edit: &mut Edit<'_>, id: CategoryId, version: Option<u32>, into: CategoryId) -> Result<(), Fault> {
    let category = edit.state().categories.get(&id).ok_or_else(|| ApiError::not_found("category", id))?.clone();
    rules::version(version, category.version)?;
    if id == UNCATEGORISED {
        return Err(ApiError::new(
            ErrorCode::Conflict,
            format!("{} takes the channels that belong nowhere; it cannot be deleted", category.name),
        )
        .with_hint("it can be renamed")
        .into());
    }
    let bit = if into == UNCATEGORISED { 0 } else { channels::edited::CATEGORY };
    channels::move_all(edit, id, into, bit)?;
    users::replace_allowed(edit, id, (into != UNCATEGORISED).then_some(into))?;
    edit.trail.record(Item {
        noun: Noun::Categories,
        row: id.0,
        name: category.name.clone(),
        before: Some(image::category(&category)),
        after: None,
    })?;
    edit.trail.about = Some((Noun::Categories, id.0, category.name.clone()));
    store::categories::delete(edit.tx, id)?;
    forget_name(edit, id);
    let state = edit.change();
    state.categories.remove(&id);
    state.rename_allowed();
    edit.tell(Noun::Categories, Change::Deleted, id.0, None::<&()>);
    edit.tell_bulk(Noun::Users);
    Ok(())
}

fn position(at: u32) -> Result<u32, ApiError> {
    if at <= MAX_POSITION {
        Ok(at)
    } else {
        Err(ApiError::invalid("position", format!("expected 0 to {MAX_POSITION}")))
    }
}

pub(super) fn free(edit: &Edit<'_>, name: &str) -> Result<(), ApiError> {
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

pub(super) fn draft(edit: &mut Edit<'_>, draft: &CategoryDraft) -> Result<Arc<Category>, Fault> {
    let name = rules::name("name", &draft.name)?;
    free(edit, &name)?;
    let at = draft.position.unwrap_or_else(|| last(edit));
    create(edit, name, position(at)?)
}

fn create(edit: &mut Edit<'_>, name: String, position: u32) -> Result<Arc<Category>, Fault> {
    insert(edit, Category { id: CategoryId(0), version: 1, name, position, channels: 0 })
}

/// A new row, or a deleted one that comes back under its id.
pub(super) fn insert(edit: &mut Edit<'_>, mut category: Category) -> Result<Arc<Category>, Fault> {
    store::categories::insert(edit.tx, &mut category)?;
    let state = edit.change();
    state.category_ids.insert(category.name.clone(), category.id);
    state.categories.insert(category.id, category.clone());
    edit.trail.record(Item {
        noun: Noun::Categories,
        row: category.id.0,
        name: category.name.clone(),
        before: None,
        after: Some(image::category(&category)),
    })?;
    edit.tell(Noun::Categories, Change::Created, category.id.0, Some(&category));
    Ok(Arc::new(category))
}

/// Another category may have taken the name meanwhile, when rows step aside for each other.
fn forget_name(edit: &mut Edit<'_>, id: CategoryId) {
    let state = edit.change();
    if let Some(old) = state.categories.get(&id)
        && state.category_ids.get(&old.name) == Some(&id)
    {
        let name = old.name.clone();
        state.category_ids.remove(&name);
    }
}

/// Lets another category take its name before it gets its own new one, or goes.
pub(super) fn step_aside(edit: &mut Edit<'_>, id: CategoryId) -> Result<(), Fault> {
    store::categories::park(edit.tx, id)?;
    forget_name(edit, id);
    Ok(())
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

pub(super) fn update(edit: &mut Edit<'_>, id: CategoryId, patch: &CategoryPatch) -> Result<Arc<Category>, Fault> {
    let mut category = edit.state().categories.get(&id).ok_or_else(|| ApiError::not_found("category", id))?.clone();
    rules::version(patch.version, category.version)?;
    let (old, before) = (category.name.clone(), image::category(&category));
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
    let (before, after) = image::diff(before, image::category(&category));
    edit.trail.record(Item {
        noun: Noun::Categories,
        row: id.0,
        name: old.clone(),
        before: Some(before),
        after: Some(after),
    })?;
    forget_name(edit, id);
    let state = edit.change();
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
