//! `/api/changes`, `/api/undo`, `/api/redo`: the trail of edits.
//!
//! Owns the fields that steps are searched and sorted by. Must not enter: how steps are kept or taken back. Invariant: what an
//! undo brings about has the same consequences for viewers and refreshes as the edit itself.

use yagi_api::{ApiError, Applied, ChangeRow, Noun, UndoRequest};

use super::{
    Answer, Ask, aside, bulk, input, ok,
    query::{self, Cell, Column},
    rules,
};

const COLUMNS: &[Column<ChangeRow>] = &[
    Column { names: &["actor", "who"], searched: true, cell: |_, c| Cell::text(&c.actor) },
    Column { names: &["name"], searched: true, cell: |_, c| Cell::text(&c.name) },
    Column { names: &["summary", "what"], searched: true, cell: |_, c| Cell::text(&c.summary) },
    Column { names: &["noun"], searched: false, cell: |_, c| Cell::text(c.noun.word()) },
    Column { names: &["change"], searched: false, cell: |_, c| Cell::text(c.change.word()) },
    Column { names: &["id"], searched: false, cell: |_, c| Cell::big(c.id) },
    Column { names: &["at"], searched: false, cell: |_, c| Cell::Number(c.at) },
    Column { names: &["row"], searched: false, cell: |_, c| Cell::some(c.row) },
    Column { names: &["rows"], searched: false, cell: |_, c| Cell::some(Some(c.rows)) },
    Column { names: &["undoable"], searched: false, cell: |_, c| Cell::Flag(c.undoable) },
];

pub async fn list(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &[])?;
    let (catalog, rows) = (ask.app.library.catalog(), ask.app.library.changes().await?);
    let page = aside(move || query::page::<ChangeRow, ChangeRow>(&catalog, COLUMNS, &rows, &query)).await??;
    ok(&page)
}

pub async fn show(ask: &Ask<'_>) -> Answer {
    let id: u64 = input::id("change", &ask.id)?;
    ok(&ask.app.library.change(id).await?)
}

/// An empty body asks for the last step.
fn wanted(ask: &Ask<'_>) -> Result<Option<u64>, ApiError> {
    if ask.request.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    input::body(ask.request).map(|asked: UndoRequest| asked.id)
}

pub async fn undo(ask: Ask<'_>) -> Answer {
    let applied = ask.app.library.undo(&ask.actor, wanted(&ask)?).await?;
    settle(&ask, &applied).await?;
    ok(&applied)
}

pub async fn redo(ask: Ask<'_>) -> Answer {
    let applied = ask.app.library.redo(&ask.actor, wanted(&ask)?).await?;
    settle(&ask, &applied).await?;
    ok(&applied)
}

async fn settle(ask: &Ask<'_>, applied: &Applied) -> Result<(), ApiError> {
    bulk::settle(ask, applied).await?;
    if applied.items.iter().any(|item| item.noun == Noun::Rules) {
        // Over the playlists that they see, as after an edit.
        rules::run(ask.app, None, false).await;
    }
    Ok(())
}
