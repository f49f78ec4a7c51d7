//! Changes of many rows, and the trail of changes: undo and redo.
//!
//! Owns how a selection becomes ids or a filter, and the words about what was or would be applied. Must not enter: the nouns'
//! own fields. Invariant: many rows change in one step, all or none; `--dry-run` asks the daemon, never guesses.

use serde::Serialize;
use serde_json::{Value, json};
use yagi_api::{Applied, Change, ChangeItem, ChangeRow, Noun, Page, paths};

use super::{args::Select, output::Out, settings::plain};
use crate::{
    client::{Client, Fault, encode},
    text::printable,
    when,
};

/// Rows that a verb is about.
pub(super) enum Chosen {
    Ids(Vec<u32>),
    Filter(String),
}

impl Chosen {
    /// The members `ids` or `q` of a bulk edit.
    pub(super) fn with(&self, mut body: Value) -> Value {
        match self {
            Self::Ids(ids) => body["ids"] = json!(ids),
            Self::Filter(q) => body["q"] = json!(q),
        }
        body
    }
}

impl Select {
    /// A filter without terms would be every row, which nobody means who types `--filter ""`.
    pub(super) fn filter(&self) -> Result<Option<String>, Fault> {
        match self.filter.as_deref().map(str::trim) {
            Some("") => Err(Fault::Own {
                exit: 2,
                message: "the filter is empty".into(),
                hint: Some("for all rows: --filter 'id:>0'".into()),
            }),
            other => Ok(other.map(str::to_owned)),
        }
    }
}

/// One bulk edit. What deletes asks first, with the number of rows and their names.
pub(super) async fn run(
    client: &Client,
    out: Out,
    noun: &str,
    chosen: &Chosen,
    what: Value,
    dry_run: bool,
) -> Result<(), Fault> {
    let path = format!("{noun}{}", paths::BULK);
    let send = |dry_run: bool| {
        let mut body = chosen.with(what.clone());
        body["dry_run"] = dry_run.into();
        let path = path.clone();
        async move { client.post::<Applied>(&path, &body).await }
    };
    if dry_run {
        return applied(out, &send(true).await?);
    }
    let deletes = what["delete"] == true;
    if deletes || matches!(chosen, Chosen::Filter(_)) {
        let look = send(true).await?;
        refuse(&look)?;
        if look.matched == 0 {
            return Err(Fault::own(3, "nothing matches"));
        }
        // A change that can be undone asks only when it hits many by a filter.
        if deletes || look.matched > 1 {
            let verb = if deletes { "delete" } else { "change" };
            out.confirm(&format!("{verb} {}?", listed(&look)))?;
        }
    }
    applied(out, &send(false).await?)
}

/// `12 rows: One, Two, Three and 9 more`.
fn listed(look: &Applied) -> String {
    let shown: Vec<&str> = look.items.iter().take(5).map(|i| i.name.as_str()).collect();
    let total = (look.deleted + look.updated + look.created) as usize;
    let more = total.saturating_sub(shown.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let rows = if total == 1 { "row" } else { "rows" };
    format!("{total} {rows}: {}{rest}", shown.join(", "))
}

/// A dry run that found faults is a refusal.
pub(super) fn refuse(look: &Applied) -> Result<(), Fault> {
    let Some(first) = look.errors.first() else { return Ok(()) };
    let mut message = first.field.as_ref().map_or_else(|| first.message.clone(), |f| format!("{f}: {}", first.message));
    if look.errors.len() > 1 {
        message += &format!(" (and {} more)", look.errors.len() - 1);
    }
    Err(Fault::own(4, message))
}

/// What was, or would be, applied.
pub(super) fn applied(out: Out, done: &Applied) -> Result<(), Fault> {
    told(out, done, |id| format!("yagi undo {id} takes it back"))
}

/// The same; `next` says how the step that it is can be turned.
fn told(out: Out, done: &Applied, next: impl Fn(u64) -> String) -> Result<(), Fault> {
    if !out.is_table() {
        return out.object(done, Vec::new).and_then(|()| refuse(done));
    }
    for item in &done.items {
        out.say(item_line(item))?;
    }
    let total = done.created + done.updated + done.deleted;
    let left = (total as usize).saturating_sub(done.items.len());
    if left > 0 {
        out.say(format!("… and {left} more"))?;
    }
    let counts: Vec<String> = [("created", done.created), ("updated", done.updated), ("deleted", done.deleted)]
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(word, n)| format!("{n} {word}"))
        .collect();
    let counts = if counts.is_empty() { "nothing changes".to_owned() } else { counts.join(", ") };
    for new in &done.passwords {
        out.say(format!("password of {}: {}", printable(&new.name, 60), new.password))?;
    }
    match (done.dry_run, done.change) {
        (true, _) => out.say(format!("would be: {counts}")),
        (false, Some(id)) => out.say(format!("{counts}; {}", next(id))),
        (false, None) => out.say(counts),
    }?;
    refuse(done)
}

fn item_line(item: &ChangeItem) -> String {
    let name = printable(&item.name, 60).into_owned();
    match item.change {
        Change::Created => format!("+ {name}"),
        Change::Deleted => format!("- {name}"),
        Change::Updated | Change::Bulk if item.fields.is_empty() => format!("~ {name}"),
        Change::Updated | Change::Bulk => {
            let fields = item.fields.iter().map(|f| {
                let (before, after) = (short(&f.before), short(&f.after));
                format!("{} {before} → {after}", f.field)
            });
            format!("~ {name}: {}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

fn short(value: &Value) -> String {
    let text = if value.is_null() { "none".to_owned() } else { plain(value) };
    if text.is_empty() { "\"\"".into() } else { printable(&text, 60).into_owned() }
}

#[must_use]
pub fn noun_word(noun: Noun) -> String {
    serde_json::to_value(noun).map_or_else(|_| String::new(), |v| plain(&v))
}

pub(super) async fn changes(client: &Client, out: Out, filter: &str, n: u32) -> Result<(), Fault> {
    let query = if filter.is_empty() { String::new() } else { format!("q={}", encode(filter)) };
    let rows: Vec<ChangeRow> = client.some(paths::CHANGES, &query, 0, n).await?;
    let columns = [("ID", true), ("WHEN", false), ("WHO", false), ("WHAT", false), ("NAME", false), ("CHANGE", false)];
    out.rows(&rows, &columns, |c: &ChangeRow| {
        let note = match (c.undone_by, c.undo_of) {
            (Some(by), _) => format!("{} (undone by {by})", c.summary),
            (_, Some(of)) => format!("{} (undo of {of})", c.summary),
            _ => c.summary.clone(),
        };
        vec![c.id.to_string(), when::minute(c.at), c.actor.clone(), noun_word(c.noun), c.name.clone(), note]
    })
}

pub(super) async fn undo(client: &Client, out: Out, id: Option<u64>, dry_run: bool) -> Result<(), Fault> {
    if dry_run {
        let id = match id {
            Some(id) => id,
            None => last_undoable(client).await?,
        };
        let row: ChangeRow = client.get(&format!("{}/{id}", paths::CHANGES)).await?;
        if !out.is_table() {
            return out.object(&row, Vec::new);
        }
        out.say(format!("change {} by {}: {}", row.id, row.actor, printable(&row.summary, 200)))?;
        for item in &row.items {
            out.say(item_line(item))?;
        }
        return out.say(if row.undoable { "this would be taken back" } else { "this cannot be taken back" });
    }
    step(client, out, paths::UNDO, id).await
}

/// The caller's own last step, as the daemon looks for it.
async fn last_undoable(client: &Client) -> Result<u64, Fault> {
    let hello: yagi_api::Hello = client.get(paths::HELLO).await?;
    let page: Page<ChangeRow> = client.get(&format!("{}?limit=200", paths::CHANGES)).await?;
    let own = page
        .rows
        .into_iter()
        .find(|c| c.actor == hello.actor && c.undoable && c.undone_by.is_none() && c.undo_of.is_none());
    own.map(|c| c.id).ok_or_else(|| Fault::own(3, "there is nothing of yours to take back"))
}

pub(super) async fn redo(client: &Client, out: Out, id: Option<u64>) -> Result<(), Fault> {
    step(client, out, paths::REDO, id).await
}

async fn step(client: &Client, out: Out, path: &str, id: Option<u64>) -> Result<(), Fault> {
    let body = id.map_or_else(|| json!({}), |id| json!({ "id": id }));
    // Steps of the trail are turned by the one that they name.
    let next = if path == paths::UNDO { "yagi redo makes it again" } else { "yagi undo takes it back" };
    told(out, &client.post::<Applied>(path, &body).await?, |_| next.to_owned())
}

/// A list of operations, looked at first.
pub(super) async fn apply(client: &Client, operations: &[impl Serialize], dry_run: bool) -> Result<Applied, Fault> {
    client.post(paths::APPLY, &json!({"operations": operations, "dry_run": dry_run})).await
}
