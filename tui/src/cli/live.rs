//! Verbs about what runs now: status, streams, clients.
//!
//! Owns their tables. Must not enter: changes of rows. Invariant: what is cut or stopped was asked for by name, id or filter.

use serde_json::json;
use yagi_api::{Block, ClientRow, ClientState, EngineRow, Status, StreamRow, paths};

use super::{args::Pick, output::Out};
use crate::{
    client::{Client, Fault, encode},
    text::{count, printable},
    when,
};

pub(super) async fn status(client: &Client, out: Out) -> Result<(), Fault> {
    show_status(out, &client.get(paths::STATUS).await?)
}

fn show_status(out: Out, status: &Status) -> Result<(), Fault> {
    out.object(status, || {
        vec![
            ("version", status.version.clone()),
            ("uptime", when::uptime(status.uptime_s)),
            ("listening on", status.listen.join(", ")),
            ("streams", format!("{} for {}", status.streams, count(status.clients, "client"))),
            ("in", when::rate(status.in_bits_per_s)),
            (
                "out",
                format!("{}, {} since the start", when::rate(status.out_bits_per_s), when::bytes(status.out_bytes)),
            ),
            ("channels", status.channels.to_string()),
            ("users", status.users.to_string()),
            ("sources", status.sources.to_string()),
            ("cpu", format!("{:.1} % of a core", f64::from(status.cpu_permille) / 10.0)),
            ("memory", when::bytes(status.rss_bytes)),
            ("panics", status.panics.to_string()),
            ("revision", status.rev.to_string()),
        ]
    })
}

pub(super) async fn streams(client: &Client, out: Out, pick: &Pick) -> Result<(), Fault> {
    stream_table(out, &client.all(paths::STREAMS, &pick.query()).await?)
}

fn stream_table(out: Out, rows: &[StreamRow]) -> Result<(), Fault> {
    let columns = [
        ("ID", true),
        ("CHANNEL", false),
        ("STATE", false),
        ("CLIENTS", true),
        ("IN Mb/s", true),
        ("OUT Mb/s", true),
        ("BUFFER", true),
        ("UP", true),
        ("SOURCE", false),
        ("ERROR", false),
    ];
    out.rows(rows, &columns, |s: &StreamRow| {
        vec![
            s.id.to_string(),
            s.name.clone(),
            s.state.word().into(),
            s.clients.to_string(),
            when::mbps(s.in_bits_per_s),
            when::mbps(s.out_bits_per_s),
            format!("{}.{} s", s.buffer_ms / 1000, s.buffer_ms % 1000 / 100),
            when::uptime(s.uptime_s),
            s.source.clone(),
            s.last_error.clone().unwrap_or_default(),
        ]
    })
}

pub(super) async fn clients(client: &Client, out: Out, pick: &Pick, stream: Option<u64>) -> Result<(), Fault> {
    let stream = stream.map_or_else(String::new, |id| format!("&stream={id}"));
    client_table(out, &client.all(paths::CLIENTS, &format!("{}{stream}", pick.query())).await?)
}

fn client_table(out: Out, rows: &[ClientRow]) -> Result<(), Fault> {
    let columns = [
        ("ID", true),
        ("USER", false),
        ("IP", false),
        ("CHANNEL", false),
        ("STATE", false),
        ("OUT Mb/s", true),
        ("SENT", true),
        ("LAG", true),
        ("SINCE", true),
        ("AGENT", false),
    ];
    out.rows(rows, &columns, |c: &ClientRow| {
        vec![
            c.id.to_string(),
            c.name.clone(),
            c.ip.clone(),
            c.channel_name.clone(),
            client_word(c.state).into(),
            when::mbps(c.out_bits_per_s),
            when::bytes(c.out_bytes),
            format!("{} ms", c.lag_ms),
            when::uptime(c.since_s),
            c.agent.clone(),
        ]
    })
}

fn client_word(state: ClientState) -> &'static str {
    match state {
        ClientState::Waiting => "wait",
        ClientState::Live => "ok",
        ClientState::Lagging => "lag",
    }
}

pub(super) async fn kick(
    client: &Client,
    out: Out,
    who: &[String],
    filter: Option<&str>,
    block: Option<&str>,
) -> Result<(), Fault> {
    let block = block.map(super::sources::seconds).transpose()?;
    let mut ids = Vec::new();
    let mut by_name = 0;
    let rows: Vec<ClientRow> = if who.is_empty() { Vec::new() } else { client.all(paths::CLIENTS, "").await? };
    for word in who {
        // Accounts may be called by a number: `id:7` is an id and nothing else.
        let only: Option<u64> = word.strip_prefix("id:").and_then(|id| id.parse().ok());
        let hit: Vec<u64> =
            rows.iter().filter(|c| only.is_none() && (c.name == *word || c.ip == *word)).map(|c| c.id.0).collect();
        if let Some(id) = only.or_else(|| word.parse().ok()).filter(|_| hit.is_empty()) {
            ids.push(id);
            continue;
        }
        if hit.is_empty() {
            return Err(Fault::own(3, format!("no client has the id, name or address {word}")));
        }
        by_name += hit.len();
        ids.extend(hit);
    }
    if let Some(filter) = filter {
        let rows: Vec<ClientRow> = client.all(paths::CLIENTS, &format!("q={}", encode(filter))).await?;
        if rows.is_empty() {
            return Err(Fault::own(3, "no client matches"));
        }
        by_name += rows.len();
        ids.extend(rows.iter().map(|c| c.id.0));
    }
    // An id says exactly what is hit; a name may hit many. An address may be shared by people who did nothing.
    if by_name > 1 || block.is_some() {
        let and =
            block.map_or_else(String::new, |s| format!(" and block their addresses for {}", when::span(s.into())));
        out.confirm(&format!("cut {}{and}?", count(ids.len(), "client")))?;
    }
    let mut gone = 0;
    for id in &ids {
        let path = format!("{}/{id}", paths::CLIENTS);
        let done = match block {
            Some(seconds) => {
                client.post::<Block>(&format!("{path}/block"), &json!({ "seconds": seconds })).await.map(drop)
            }
            None => client.delete(&path).await,
        };
        match done {
            // Of many some leave by themselves meanwhile, or with an address that was just blocked.
            Err(fault) if ids.len() > 1 && fault.exit_code() == 3 => gone += 1,
            done => {
                done?;
                out.say(format!("cut client {id}"))?;
            }
        }
    }
    if gone == ids.len() {
        return Err(Fault::own(3, "they have left already"));
    }
    if who.is_empty() { out.done("kicked", &ids) } else { out.done("kicked", who) }
}

/// Streams that a word names: `id:7` is an id and nothing else; of other words names come before an id.
fn hit<'a>(rows: &'a [StreamRow], word: &str) -> Vec<&'a StreamRow> {
    let named: Vec<&StreamRow> = rows.iter().filter(|s| s.name == word).collect();
    let id = word.strip_prefix("id:").unwrap_or(word);
    if named.is_empty() { rows.iter().filter(|s| s.id.to_string() == id).collect() } else { named }
}

/// Moves a stream to its next source, or to one that is named.
pub(super) async fn failover(client: &Client, out: Out, which: &str, to: Option<u32>) -> Result<(), Fault> {
    let rows: Vec<StreamRow> = client.all(paths::STREAMS, "").await?;
    let hits = hit(&rows, which);
    let [stream] = hits[..] else {
        return Err(Fault::own(3, format!("no stream, or more than one, has the id or name {which}")));
    };
    let body = match to {
        Some(0) => return Err(Fault::own(2, "to: sources are counted from 1")),
        Some(to) => json!({ "source": to - 1 }),
        None => json!({}),
    };
    let row: StreamRow = client.post(&format!("{}/{}/failover", paths::STREAMS, stream.id), &body).await?;
    if !out.is_table() {
        return out.object(&row, Vec::new);
    }
    let to = to.map_or_else(|| "its next source".to_owned(), |to| format!("source {to}"));
    out.say(format!("{} moves from source {} to {to}", printable(&row.name, 60), row.source_index + 1))
}

pub(super) async fn engines(client: &Client, out: Out) -> Result<(), Fault> {
    let rows: Vec<EngineRow> = client.all(paths::ENGINES, "").await?;
    let columns =
        [("ID", true), ("NAME", false), ("STATE", false), ("SESSIONS", true), ("VERSION", false), ("ERROR", false)];
    out.rows(&rows, &columns, |e: &EngineRow| {
        let most = if e.capacity == 0 { "any".to_owned() } else { e.capacity.to_string() };
        vec![
            e.id.to_string(),
            e.name.clone(),
            e.state.word().into(),
            format!("{}/{most}", e.sessions),
            e.version.clone().unwrap_or_default(),
            e.last_error.clone().unwrap_or_default(),
        ]
    })
}

pub(super) async fn stop(client: &Client, out: Out, which: &[String], filter: Option<&str>) -> Result<(), Fault> {
    let query = filter.map_or_else(String::new, |q| format!("q={}", encode(q)));
    let rows: Vec<StreamRow> = client.all(paths::STREAMS, &query).await?;
    let mut hits: Vec<&StreamRow> = if filter.is_some() { rows.iter().collect() } else { Vec::new() };
    if filter.is_some() && hits.is_empty() {
        return Err(Fault::own(3, "no stream matches"));
    }
    for word in which {
        let before = hits.len();
        hits.extend(hit(&rows, word));
        if hits.len() == before {
            return Err(Fault::own(3, format!("no stream has the id or name {word}")));
        }
    }
    let clients: u32 = hits.iter().map(|s| s.clients).sum();
    if clients > 1 {
        out.confirm(&format!("stop {} and cut {}?", count(hits.len(), "stream"), count(clients, "client")))?;
    }
    for stream in &hits {
        client.delete(&format!("{}/{}", paths::STREAMS, stream.id)).await?;
        out.say(format!("stopped {}", printable(&stream.name, 80)))?;
    }
    out.done("stopped", &hits.iter().map(|s| s.id).collect::<Vec<_>>())
}
