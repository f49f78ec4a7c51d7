//! `/api/categories`.
//!
//! Owns the fields that lists of categories are searched and sorted by, and finding one by id or name. Must not enter: rules of
//! categories. Invariant: viewers who lose a category with it lose its streams too.

use std::sync::Arc;

use yagi_api::{ApiError, Category, CategoryDraft, CategoryId, CategoryMerge, CategoryOrder, CategoryPatch};

use super::{
    Answer, Ask, created, done, input, ok,
    query::{self, Cell, Column},
    rights,
};

pub const COLUMNS: &[Column<Category>] = &[
    Column { names: &["position"], searched: false, cell: |_, c| Cell::some(Some(c.position)) },
    Column { names: &["name"], searched: true, cell: |_, c| Cell::text(&c.name) },
    Column { names: &["channels"], searched: false, cell: |_, c| Cell::some(Some(c.channels)) },
    Column { names: &["id"], searched: false, cell: |_, c| Cell::some(Some(c.id.0)) },
];

pub fn list(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &[])?;
    let catalog = ask.app.library.catalog();
    ok(&query::page::<Category, Arc<Category>>(&catalog, COLUMNS, catalog.categories(), &query)?)
}

/// The row that the path names.
fn find(ask: &Ask<'_>) -> Result<Arc<Category>, ApiError> {
    let catalog = ask.app.library.catalog();
    let by_name = |name: &str| catalog.categories().iter().find(|c| c.name == name);
    input::row("category", &ask.id, |id: CategoryId| catalog.category(id), by_name).cloned()
}

/// With its count of channels, which the snapshot has.
fn row(ask: &Ask<'_>, stored: Arc<Category>) -> Arc<Category> {
    ask.app.library.catalog().category(stored.id).cloned().unwrap_or(stored)
}

pub fn show(ask: &Ask<'_>) -> Answer {
    ok(&find(ask)?)
}

pub async fn create(ask: Ask<'_>) -> Answer {
    let draft: CategoryDraft = input::body(ask.request)?;
    let stored = ask.app.library.create_category(&ask.actor, draft).await?;
    created(&row(&ask, stored))
}

pub async fn update(ask: Ask<'_>) -> Answer {
    let (id, patch): (_, CategoryPatch) = (find(&ask)?.id, input::body(ask.request)?);
    let stored = ask.app.library.update_category(&ask.actor, id, patch).await?;
    ok(&row(&ask, stored))
}

pub async fn delete(ask: Ask<'_>) -> Answer {
    ask.app.library.delete_category(&ask.actor, find(&ask)?.id).await?;
    rights::enforce(ask.app);
    done()
}

pub async fn order(ask: Ask<'_>) -> Answer {
    let order: CategoryOrder = input::body(ask.request)?;
    let ids = order.ids.into_iter().map(CategoryId).collect();
    ok(&ask.app.library.order_categories(&ask.actor, ids).await?)
}

pub async fn merge(ask: Ask<'_>) -> Answer {
    let (from, merge): (_, CategoryMerge) = (find(&ask)?.id, input::body(ask.request)?);
    ask.app.library.merge_category(&ask.actor, from, merge.into).await?;
    rights::enforce(ask.app);
    let catalog = ask.app.library.catalog();
    ok(catalog.category(merge.into).ok_or_else(|| ApiError::not_found("category", merge.into))?)
}
