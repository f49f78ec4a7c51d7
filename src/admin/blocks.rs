//! `/api/blocks` and `/api/clients/{id}/block`: addresses that are refused for a while.
//!
//! Owns the bounds of a block. Must not enter: refusing (that is `routes`). Invariant: every block has an end and an author.

use std::net::IpAddr;

use yagi_api::{ApiError, Block, BlockDraft, Change, ClientBlock, ClientId, ErrorCode, Event, Noun, text::clean};

use super::{
    Answer, Ask, created, done, input, ok,
    query::{self, Cell, Column},
};
use crate::{blocks::MOST, clock::epoch_now};

const DEFAULT_S: u32 = 600;
const LONGEST_S: u32 = 7 * 86_400;

const COLUMNS: &[Column<Block>] = &[
    Column { names: &["ip"], searched: true, cell: |_, b| Cell::text(&b.ip) },
    Column { names: &["reason"], searched: true, cell: |_, b| Cell::text(&b.reason) },
    Column { names: &["actor"], searched: true, cell: |_, b| Cell::text(&b.actor) },
    Column { names: &["since"], searched: false, cell: |_, b| Cell::Number(b.since) },
    Column { names: &["until"], searched: false, cell: |_, b| Cell::Number(b.until) },
    Column { names: &["refused"], searched: false, cell: |_, b| Cell::big(b.refused) },
];

pub fn list(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &[])?;
    let rows = ask.app.blocks.rows(epoch_now());
    ok(&query::page::<Block, Block>(&ask.app.library.catalog(), COLUMNS, &rows, &query)?)
}

pub fn create(ask: &Ask<'_>) -> Answer {
    let draft: BlockDraft = input::body(ask.request)?;
    let ip = draft.ip.trim().parse().map_err(|_| ApiError::invalid("ip", "expected an IPv4 or IPv6 address"))?;
    let block = block(ask, ip, draft.seconds, &draft.reason)?;
    for client in ask.app.seats.rows() {
        if client.ip == block.ip {
            ask.app.seats.kick(client.id);
        }
    }
    created(&block)
}

/// Ends a client, and the others of its address with it.
pub fn client(ask: &Ask<'_>) -> Answer {
    let id: ClientId = input::id("client", &ask.id)?;
    let wanted: ClientBlock =
        if ask.request.body.is_empty() { ClientBlock::default() } else { input::body(ask.request)? };
    let rows = ask.app.seats.rows();
    let row = rows.iter().find(|c| c.id == id).ok_or_else(|| input::missing("client", &ask.id))?;
    let ip = row.ip.parse().map_err(|_| input::missing("client", &ask.id))?;
    let block = block(ask, ip, wanted.seconds, &wanted.reason)?;
    for client in rows.iter().filter(|c| c.ip == row.ip) {
        ask.app.seats.kick(client.id);
    }
    created(&block)
}

fn block(ask: &Ask<'_>, ip: IpAddr, seconds: Option<u32>, reason: &str) -> Result<Block, ApiError> {
    let seconds = seconds.unwrap_or(DEFAULT_S);
    if !(1..=LONGEST_S).contains(&seconds) {
        return Err(ApiError::invalid("seconds", format!("expected 1 to {LONGEST_S}")));
    }
    let now = epoch_now();
    let reason = clean(reason, 200);
    let block = ask.app.blocks.add(ip, now, now + i64::from(seconds), &reason, &ask.actor).ok_or_else(|| {
        ApiError::new(ErrorCode::Unavailable, format!("there are {MOST} blocks already"))
            .with_hint("remove some, or block networks in the firewall")
    })?;
    tracing::info!(actor = ask.actor, %ip, seconds, "address blocked by an administrator");
    tell(ask, Change::Created, Some(&block));
    Ok(block)
}

pub fn delete(ask: &Ask<'_>) -> Answer {
    let there = ask.id.parse().is_ok_and(|ip| ask.app.blocks.remove(ip));
    if !there {
        return Err(input::missing("block", &ask.id));
    }
    tracing::info!(actor = ask.actor, ip = ask.id, "block removed by an administrator");
    tell(ask, Change::Bulk, None);
    done()
}

fn tell(ask: &Ask<'_>, change: Change, row: Option<&Block>) {
    ask.app.events.publish(Event::Change {
        rev: ask.app.library.catalog().rev,
        noun: Noun::Blocks,
        change,
        id: None,
        row: row.and_then(|row| serde_json::to_value(row).ok()),
        actor: ask.actor.clone(),
    });
}
