//! Verbs about categories.
//!
//! Owns their table and the finding of one by name or id. Invariant: an edit carries the version that was read.

use serde_json::json;
use yagi_api::{Applied, Category, CategoryDraft, CategoryMerge, CategoryOrder, CategoryPatch, paths};

use super::{
    args::CategoryVerb,
    bulk::{self, Chosen},
    output::Out,
};
use crate::{
    client::{self, Client, Fault},
    text::printable,
};

pub(super) async fn run(client: &Client, out: Out, verb: CategoryVerb) -> Result<(), Fault> {
    let all = || async { client.all::<Category>(paths::CATEGORIES, "").await };
    let find = |rows: &[Category], word: &str| {
        let hit = super::named(rows, word, |c| (c.id.0.into(), &c.name));
        hit.cloned().ok_or_else(|| Fault::own(3, format!("there is no category {word}")))
    };
    let facts =
        |c: &Category| vec![("id", c.id.to_string()), ("name", c.name.clone()), ("position", c.position.to_string())];
    match verb {
        CategoryVerb::List => {
            let columns = [("ID", true), ("POSITION", true), ("NAME", false), ("CHANNELS", true)];
            out.rows(&all().await?, &columns, |c: &Category| {
                vec![c.id.to_string(), c.position.to_string(), c.name.clone(), c.channels.to_string()]
            })
        }
        CategoryVerb::Add { name, position } => {
            let row: Category = client.post(paths::CATEGORIES, &CategoryDraft { name, position }).await?;
            out.object(&row, || facts(&row))
        }
        CategoryVerb::Edit { category, name, position } => {
            let row = find(&all().await?, &category)?;
            let patch = CategoryPatch { version: Some(row.version), name, position };
            let row: Category = client.patch(&client::row(paths::CATEGORIES, row.id), &patch).await?;
            out.object(&row, || facts(&row))
        }
        CategoryVerb::Order { categories } => {
            let rows = all().await?;
            let ids = categories.iter().map(|w| Ok(find(&rows, w)?.id.0)).collect::<Result<Vec<u32>, Fault>>()?;
            bulk::applied(out, &client.post::<Applied>(paths::CATEGORY_ORDER, &CategoryOrder { ids }).await?)
        }
        CategoryVerb::Merge { categories, into } => {
            let rows = all().await?;
            let into = find(&rows, &into)?;
            let from = categories.iter().map(|w| find(&rows, w)).collect::<Result<Vec<Category>, Fault>>()?;
            let names: Vec<&str> = from.iter().map(|c| c.name.as_str()).collect();
            out.confirm(&format!("merge {} into {}?", names.join(", "), into.name))?;
            let mut row = into.clone();
            for category in &from {
                let path = format!("{}/merge", client::row(paths::CATEGORIES, category.id));
                row = client.post(&path, &CategoryMerge { into: into.id }).await?;
                out.say(format!("merged {}", printable(&category.name, 80)))?;
            }
            out.object(&row, || facts(&row))
        }
        CategoryVerb::Rm { category, dry_run } => {
            let row = find(&all().await?, &category)?;
            if dry_run {
                let chosen = Chosen::Ids(vec![row.id.0]);
                return bulk::run(client, out, paths::CATEGORIES, &chosen, json!({"delete": true}), true).await;
            }
            out.confirm(&format!("delete the category {}?", row.name))?;
            client.delete(&client::row(paths::CATEGORIES, row.id)).await?;
            out.say(format!("deleted {}", printable(&row.name, 80)))?;
            out.done("deleted", &[row.name])
        }
    }
}
