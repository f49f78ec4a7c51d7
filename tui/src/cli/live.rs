//! Verbs about what happens now: status, streams, clients, guide, logs, events.
//!
//! Owns their tables. Must not enter: changes of rows. Invariant: `--watch` and `-f` end with an error when the
//! daemon goes, so that a script notices.

use yagi_api::{ClientRow, ClientState, Event, GuideStatus, LogRecord, Programme, Status, StreamRow, paths};

use super::output::{Out, json, json_line, line_out};
use crate::{
    client::{Client, Fault},
    text::printable,
    when,
};

pub(super) async fn status(client: &Client, out: Out) -> Result<(), Fault> {
    let status: Status = client.get(paths::STATUS).await?;
    out.object(&status, || {
        vec![
            ("version", status.version.clone()),
            ("uptime", when::uptime(status.uptime_s)),
            ("listening on", status.listen.join(", ")),
            ("streams", format!("{} for {} clients", status.streams, status.clients)),
            ("in", when::rate(status.in_bits_per_s)),
            (
                "out",
                format!("{}, {} since the start", when::rate(status.out_bits_per_s), when::bytes(status.out_bytes)),
            ),
            ("channels", status.channels.to_string()),
            ("users", status.users.to_string()),
            ("sources", status.sources.to_string()),
            ("memory", when::bytes(status.rss_bytes)),
            ("panics", status.panics.to_string()),
            ("revision", status.rev.to_string()),
        ]
    })
}

pub(super) async fn streams(client: &Client, out: Out) -> Result<(), Fault> {
    stream_table(out, &client.all(paths::STREAMS, "").await?)
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

pub(super) async fn watch(client: &Client, out: Out) -> Result<(), Fault> {
    let mut events = client.events().await?;
    let show = |rows: &[StreamRow]| -> Result<(), Fault> {
        if !out.json {
            line_out(&format!("{}  {} streams", when::clock(when::now()), rows.len()))?;
        }
        stream_table(out, rows)?;
        out.say("")
    };
    show(&client.all(paths::STREAMS, "").await?)?;
    loop {
        if let Event::Tick { streams, .. } = events.next().await? {
            show(&streams)?;
        }
    }
}

pub(super) async fn clients(client: &Client, out: Out, stream: Option<u64>) -> Result<(), Fault> {
    let query = stream.map_or_else(String::new, |id| format!("stream={id}"));
    let rows: Vec<ClientRow> = client.all(paths::CLIENTS, &query).await?;
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
    out.rows(&rows, &columns, |c: &ClientRow| {
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

pub(super) async fn kick(client: &Client, out: Out, who: &[String]) -> Result<(), Fault> {
    let mut ids = Vec::new();
    let mut by_name = 0;
    let mut rows: Option<Vec<ClientRow>> = None;
    for word in who {
        if let Ok(id) = word.parse::<u64>() {
            ids.push(id);
            continue;
        }
        if rows.is_none() {
            rows = Some(client.all(paths::CLIENTS, "").await?);
        }
        let hit: Vec<u64> =
            rows.iter().flatten().filter(|c| c.name == *word || c.ip == *word).map(|c| c.id.0).collect();
        if hit.is_empty() {
            return Err(Fault::own(3, format!("no client has the id, name or address {word}")));
        }
        by_name += hit.len();
        ids.extend(hit);
    }
    // An id says exactly what is hit; a name may hit many.
    if by_name > 1 {
        out.confirm(&format!("cut {} clients?", ids.len()))?;
    }
    for id in ids {
        client.delete(&format!("{}/{id}", paths::CLIENTS)).await?;
        out.say(format!("cut client {id}"))?;
    }
    if out.json { json(&serde_json::json!({"kicked": who})) } else { Ok(()) }
}

pub(super) async fn stop(client: &Client, out: Out, which: &[String]) -> Result<(), Fault> {
    let rows: Vec<StreamRow> = client.all(paths::STREAMS, "").await?;
    let mut hit = Vec::new();
    for word in which {
        let before = hit.len();
        hit.extend(rows.iter().filter(|s| s.id.to_string() == *word || s.name == *word));
        if hit.len() == before {
            return Err(Fault::own(3, format!("no stream has the id or name {word}")));
        }
    }
    let clients: u32 = hit.iter().map(|s| s.clients).sum();
    if clients > 1 {
        out.confirm(&format!("stop {} streams and cut {clients} clients?", hit.len()))?;
    }
    for stream in &hit {
        client.delete(&format!("{}/{}", paths::STREAMS, stream.id)).await?;
        out.say(format!("stopped {}", printable(&stream.name, 80)))?;
    }
    if out.json { json(&serde_json::json!({"stopped": hit.iter().map(|s| s.id).collect::<Vec<_>>()})) } else { Ok(()) }
}

pub(super) async fn guide(client: &Client, out: Out, channel: Option<&str>) -> Result<(), Fault> {
    if let Some(word) = channel {
        let channel = super::channels::find(client, word).await?;
        let rows: Vec<Programme> = client.get(&format!("{}/{}", paths::GUIDE, channel.id)).await?;
        return out.rows(&rows, &[("START", false), ("STOP", false), ("TITLE", false)], |p: &Programme| {
            vec![when::minute(p.start), when::minute(p.stop), p.title.clone()]
        });
    }
    let guide: GuideStatus = client.get(paths::GUIDE).await?;
    out.object(&guide, || {
        let time = |at: Option<i64>| at.map_or_else(|| "-".into(), when::minute);
        vec![
            ("channels in the guides", guide.channels.to_string()),
            ("programmes", guide.programmes.to_string()),
            ("our channels with programmes", guide.matched.to_string()),
            ("our channels without", guide.unmatched.to_string()),
            ("from", time(guide.from)),
            ("until", time(guide.until)),
            ("built", time(guide.built_at)),
        ]
    })
}

pub(super) async fn logs(client: &Client, out: Out, follow: bool, n: u32, level: Option<&str>) -> Result<(), Fault> {
    // Subscribed before the tail is read: a line may come twice (told apart by its number), none is lost.
    let mut events = if follow { Some(client.events().await?) } else { None };
    let level = level.unwrap_or("trace");
    let rows: Vec<LogRecord> = client.get(&format!("{}?n={n}&level={level}", paths::LOGS)).await?;
    if out.json && !follow {
        return json(&rows);
    }
    let print = |record: &LogRecord| if out.json { json(record) } else { line_out(&log_line(record)) };
    let mut last = 0;
    for record in &rows {
        print(record)?;
        last = last.max(record.seq);
    }
    while let Some(events) = &mut events {
        if let Event::Log { record } = events.next().await?
            && record.seq > last
            && severity(&record.level) <= severity(level)
        {
            print(&record)?;
        }
    }
    Ok(())
}

/// 1 is the worst.
#[must_use]
pub fn severity(level: &str) -> u8 {
    match level.to_ascii_lowercase().as_str() {
        "error" => 1,
        "warn" => 2,
        "info" => 3,
        "debug" => 4,
        _ => 5,
    }
}

fn log_line(record: &LogRecord) -> String {
    let mut line = format!(
        "{} {:5} {}: {}",
        when::clock(record.at_ms.div_euclid(1000)),
        record.level,
        record.target,
        record.message
    );
    for (key, value) in &record.fields {
        line.push_str(&format!(" {key}={value}"));
    }
    printable(&line, 4000).into_owned()
}

pub(super) async fn events(client: &Client) -> Result<(), Fault> {
    let mut events = client.events().await?;
    loop {
        let line = events.line().await?;
        line_out(&json_line(&String::from_utf8_lossy(&line)))?;
    }
}
