//! `/api/engines`: the AceStream engines.
//!
//! Owns the columns of their list. Must not enter: their health. Invariant: no URL shows its credentials.

use yagi_api::EngineRow;

use super::{
    Answer, Ask, ok,
    query::{self, Cell, Column},
};

const COLUMNS: &[Column<EngineRow>] = &[
    Column { names: &["id"], searched: false, cell: |_, e| Cell::some(Some(e.id)) },
    Column { names: &["name"], searched: true, cell: |_, e| Cell::text(&e.name) },
    Column { names: &["url"], searched: true, cell: |_, e| Cell::text(&e.url) },
    Column { names: &["state"], searched: true, cell: |_, e| Cell::text(e.state.word()) },
    Column { names: &["sessions"], searched: false, cell: |_, e| Cell::some(Some(e.sessions)) },
    Column { names: &["failures"], searched: false, cell: |_, e| Cell::some(Some(e.failures)) },
];

pub fn list(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &[])?;
    let rows = ask.app.upstreams.engines();
    ok(&query::page::<EngineRow, EngineRow>(&ask.app.library.catalog(), COLUMNS, &rows, &query)?)
}
