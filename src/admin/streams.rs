//! `/api/streams` and `/api/clients`.
//!
//! Owns the fields that the live tables are searched and sorted by, stopping and kicking. Must not enter: streams' insides.
//! Invariant: rows are what the streams and seats say at this moment; nothing is kept here.

use yagi_api::{ApiError, ClientId, ClientRow, ClientState, ErrorCode, FailoverRequest, StreamRow};

use super::{
    Answer, Ask, done, input, ok,
    query::{self, Cell, Column},
};
use crate::stream::FailoverError;

const STREAMS: &[Column<StreamRow>] = &[
    Column { names: &["name"], searched: true, cell: |_, s| Cell::text(&s.name) },
    Column { names: &["source"], searched: true, cell: |_, s| Cell::text(&s.source) },
    Column { names: &["state"], searched: false, cell: |_, s| Cell::text(s.state.word()) },
    Column { names: &["clients"], searched: false, cell: |_, s| Cell::some(Some(s.clients)) },
    Column { names: &["in_bits_per_s", "in"], searched: false, cell: |_, s| Cell::big(s.in_bits_per_s) },
    Column { names: &["out_bits_per_s", "out"], searched: false, cell: |_, s| Cell::big(s.out_bits_per_s) },
    Column { names: &["uptime_s", "uptime"], searched: false, cell: |_, s| Cell::big(s.uptime_s) },
    Column { names: &["reconnects"], searched: false, cell: |_, s| Cell::some(Some(s.reconnects)) },
    Column { names: &["switches"], searched: false, cell: |_, s| Cell::some(Some(s.switches)) },
    Column { names: &["channel"], searched: false, cell: |_, s| Cell::some(s.channel.map(|c| c.0)) },
    Column { names: &["id"], searched: false, cell: |_, s| Cell::big(s.id) },
];

const CLIENTS: &[Column<ClientRow>] = &[
    Column { names: &["name", "user"], searched: true, cell: |_, c| Cell::text(&c.name) },
    Column { names: &["channel_name", "channel"], searched: true, cell: |_, c| Cell::text(&c.channel_name) },
    Column { names: &["ip"], searched: true, cell: |_, c| Cell::text(&c.ip) },
    Column { names: &["agent"], searched: true, cell: |_, c| Cell::text(&c.agent) },
    Column {
        names: &["state"],
        searched: false,
        cell: |_, c| {
            Cell::text(match c.state {
                ClientState::Waiting => "waiting",
                ClientState::Live => "live",
                ClientState::Lagging => "lagging",
            })
        },
    },
    Column { names: &["stream"], searched: false, cell: |_, c| c.stream.map_or(Cell::Nothing, Cell::big) },
    Column { names: &["out_bits_per_s", "out"], searched: false, cell: |_, c| Cell::big(c.out_bits_per_s) },
    Column { names: &["out_bytes", "bytes"], searched: false, cell: |_, c| Cell::big(c.out_bytes) },
    Column { names: &["lag_ms", "lag"], searched: false, cell: |_, c| Cell::some(Some(c.lag_ms)) },
    Column { names: &["skips"], searched: false, cell: |_, c| Cell::some(Some(c.skips)) },
    Column { names: &["since_s", "since"], searched: false, cell: |_, c| Cell::big(c.since_s) },
    Column { names: &["id"], searched: false, cell: |_, c| Cell::big(c.id.0) },
];

pub fn list(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &[])?;
    ok(&query::page::<StreamRow, StreamRow>(&ask.app.library.catalog(), STREAMS, &ask.app.streams.rows(), &query)?)
}

pub fn show(ask: &Ask<'_>) -> Answer {
    let id: u64 = input::id("stream", &ask.id)?;
    let row = ask.app.streams.rows().into_iter().find(|s| s.id == id);
    ok(&row.ok_or_else(|| input::missing("stream", &ask.id))?)
}

pub fn stop(ask: &Ask<'_>) -> Answer {
    stop_stream(ask, input::id("stream", &ask.id)?)?;
    done()
}

/// Ends a stream and its clients.
pub fn stop_stream(ask: &Ask<'_>, id: u64) -> Result<(), ApiError> {
    if !ask.app.streams.stop(id) {
        return Err(ApiError::not_found("stream", id));
    }
    tracing::info!(actor = ask.actor, stream = id, "stream stopped by an administrator");
    Ok(())
}

/// To the source that the body names, else to the next one; the row is the stream as it stood when it was asked.
pub fn failover(ask: &Ask<'_>) -> Answer {
    let id: u64 = input::id("stream", &ask.id)?;
    let blank = ask.request.body.trim_ascii().is_empty();
    let wanted: FailoverRequest = if blank { FailoverRequest::default() } else { input::body(ask.request)? };
    let row = ask.app.streams.rows().into_iter().find(|s| s.id == id);
    let row = row.ok_or_else(|| input::missing("stream", &ask.id))?;
    ask.app.streams.failover(id, wanted.source.map(|n| n as usize)).map_err(|e| match e {
        FailoverError::NoStream => ApiError::not_found("stream", id),
        FailoverError::OneSource => ApiError::new(ErrorCode::Conflict, e.to_string())
            .with_hint("give the channel another source; a stream takes it when it starts the next time"),
        FailoverError::NoSource(n) => ApiError::invalid("source", format!("expected an index from 0 to {}", n - 1)),
    })?;
    tracing::info!(actor = ask.actor, stream = id, source = ?wanted.source, "another source asked for by an administrator");
    ok(&row)
}

pub fn clients(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &["stream", "user"])?;
    let user: Option<u32> = input::number(&ask.request.query, "user", "the id of a user")?;
    let stream: Option<u64> = input::number(&ask.request.query, "stream", "the id of a stream")?;
    let mut rows = ask.app.seats.rows();
    if stream.is_some() {
        rows.retain(|c| c.stream == stream);
    }
    if user.is_some() {
        rows.retain(|c| c.user.map(|u| u.0) == user);
    }
    ok(&query::page::<ClientRow, ClientRow>(&ask.app.library.catalog(), CLIENTS, &rows, &query)?)
}

pub fn client(ask: &Ask<'_>) -> Answer {
    let id: ClientId = input::id("client", &ask.id)?;
    let row = ask.app.seats.rows().into_iter().find(|c| c.id == id);
    ok(&row.ok_or_else(|| input::missing("client", &ask.id))?)
}

pub fn kick(ask: &Ask<'_>) -> Answer {
    let id: ClientId = input::id("client", &ask.id)?;
    if !ask.app.seats.kick(id) {
        return Err(input::missing("client", &ask.id));
    }
    tracing::info!(actor = ask.actor, client = %id, "client kicked by an administrator");
    done()
}
