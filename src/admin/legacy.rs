//! Routes of the system that Yagi replaces, in its shapes, for the scripts that ask them.
//!
//! Owns the old names of figures. Must not enter: figures of its own. Invariant: the fields are those that its scripts read,
//! and what they say is true: clients are counted one by one, a health check names what is wrong, closing closes.

use std::{io::Read as _, time::Duration};

use serde_json::{Value, json};
use yagi_api::{ApiError, ClientRow, SourceKind, StreamRow, StreamState, UserStatus, text::clean};

use super::{Answer, Ask, aside, input, ok, streams};
use crate::{
    app::App,
    clock::epoch_now,
    upstream::fetch::{Caps, Conditions},
};

/// How long the engine may take to say its version.
const ENGINE: Duration = Duration::from_secs(2);

/// `2026-01-24T12:00:00`, the old system's way to write UTC.
fn iso(epoch_s: i64) -> String {
    jiff::Timestamp::from_second(epoch_s)
        .map_or_else(|_| String::new(), |t| t.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

fn ago(seconds: u64) -> String {
    iso(epoch_now().saturating_sub_unsigned(seconds))
}

/// The content id of an AceStream stream, else our own id.
fn stream_id(row: &StreamRow) -> String {
    let hex = |word: &&str| word.len() == 40 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let content = row.source.split(|c: char| !c.is_ascii_alphanumeric()).find(hex);
    content.map_or_else(|| row.id.to_string(), str::to_owned)
}

/// A stream by its old or its own id.
fn find(ask: &Ask<'_>) -> Result<StreamRow, ApiError> {
    let rows = ask.app.streams.rows();
    let found = rows.into_iter().find(|row| row.id.to_string() == ask.id || stream_id(row) == ask.id);
    found.ok_or_else(|| input::missing("stream", &ask.id))
}

fn is_active(row: &StreamRow) -> bool {
    matches!(row.state, StreamState::Live | StreamState::Lingering)
}

fn old_row(row: &StreamRow, clients: &[ClientRow]) -> Value {
    let clients: Vec<Value> = clients
        .iter()
        .filter(|c| c.stream == Some(row.id))
        .map(|c| {
            json!({"username": c.name, "ip": c.ip, "user_agent": c.agent, "connected_at": ago(c.since_s),
                   "connection_count": 1})
        })
        .collect();
    json!({"stream_id": stream_id(row), "channel_name": row.name, "client_count": clients.len(),
           "physical_connections": clients.len(), "clients": clients, "created_at": ago(row.uptime_s),
           "is_active": is_active(row)})
}

pub fn ace_streams(ask: &Ask<'_>) -> Answer {
    let clients = ask.app.seats.rows();
    let rows: Vec<Value> = ask.app.streams.rows().iter().map(|row| old_row(row, &clients)).collect();
    ok(&json!({"status": "success", "total_streams": rows.len(), "streams": rows}))
}

pub fn ace_stream(ask: &Ask<'_>) -> Answer {
    let row = find(ask)?;
    ok(&json!({"status": "success", "stream": {"stream_id": stream_id(&row), "clients": row.clients,
               "is_active": is_active(&row)}}))
}

pub fn stop(ask: &Ask<'_>) -> Answer {
    streams::stop_stream(ask, find(ask)?.id)?;
    ok(&json!({"status": "success", "message": "the stream is closed"}))
}

pub fn ace_stats(ask: &Ask<'_>) -> Answer {
    let app = ask.app;
    ok(
        &json!({"status": "success", "stats": {"total_streams": app.streams.rows().len(), "total_clients": app.seats.len(),
               "server_type": concat!("yagid ", env!("CARGO_PKG_VERSION")),
               "streaming_port": app.own.port}}),
    )
}

pub async fn stats(ask: &Ask<'_>) -> Answer {
    let app = ask.app;
    let engine = engine(app).await;
    let catalog = app.library.catalog();
    let streams = app.streams.rows();
    let now = epoch_now();
    let of = |kind: SourceKind| catalog.sources().iter().filter(move |s| s.kind == kind);
    ok(&json!({
        "total_channels": catalog.channels().len(),
        "online_channels": streams.iter().filter(|s| s.channel.is_some() && is_active(s)).count(),
        "active_channels": catalog.channels().iter().filter(|c| c.is_listed()).count(),
        "total_users": catalog.viewers().len(),
        "active_users": catalog.viewers().filter(|v| v.status(now) == UserStatus::Active).count(),
        "total_categories": catalog.categories().len(),
        "scraper_urls": of(SourceKind::Playlist).count(),
        "enabled_scraper_urls": of(SourceKind::Playlist).filter(|s| s.enabled).count(),
        "epg_sources": of(SourceKind::Guide).count(),
        "active_streams": streams.len(),
        "active_connections": app.seats.len(),
        "acestream_engine": engine,
    }))
}

/// What the engine says of itself now.
async fn engine(app: &App) -> Value {
    let url = format!(
        "{}/webui/api/service?method=get_version",
        app.config.load().config.engine.all().first().map_or("", |url| url).trim_end_matches('/')
    );
    let caps = Caps { bytes: 64 << 10, time: ENGINE };
    let unavailable = |why: &str| json!({"status": "unavailable", "available": false, "error": clean(why, 200)});
    let fetched = match app.fetcher.fetch(&url, &Conditions::default(), caps).await {
        Ok(fetched) => fetched,
        Err(e) => return unavailable(&e.to_string()),
    };
    let read = aside(move || {
        let mut text = Vec::new();
        let reader = fetched.body.reader(64 << 10).and_then(|mut r| r.read_to_end(&mut text));
        reader.ok().and_then(|_| serde_json::from_slice::<Value>(&text).ok())
    });
    let Ok(Some(said)) = read.await else { return unavailable("the engine's answer is not JSON") };
    let word = |key: &str| clean(said["result"][key].as_str().unwrap_or("unknown"), 64).into_owned();
    json!({"status": "healthy", "available": true, "version": word("version"), "platform": word("platform")})
}

/// Sources whose last refresh failed, and streams whose upstream is lost, are causes; the process answers, or nobody does.
pub fn health(ask: &Ask<'_>) -> Answer {
    let catalog = ask.app.library.catalog();
    let streams = ask.app.streams.rows();
    let failed = |kind: SourceKind| {
        let bad = move |s: &&std::sync::Arc<yagi_api::Source>| {
            s.kind == kind && s.enabled && s.last.as_ref().is_some_and(|last| !last.ok)
        };
        catalog.sources().iter().filter(bad).map(|s| format!("source {}: its last refresh failed", s.name))
    };
    let (scraper, epg): (Vec<_>, Vec<_>) =
        (failed(SourceKind::Playlist).collect(), failed(SourceKind::Guide).collect());
    let lost: Vec<String> = streams
        .iter()
        .filter(|s| s.state == StreamState::Retrying)
        .map(|s| format!("stream {}: {}", s.name, s.last_error.as_deref().unwrap_or("its upstream is lost")))
        .collect();
    let services = json!({"aceproxy": lost.is_empty(), "scraper": scraper.is_empty(), "epg": epg.is_empty()});
    let causes: Vec<String> = lost.into_iter().chain(scraper).chain(epg).collect();
    let status = if causes.is_empty() { "healthy" } else { "degraded" };
    ok(&json!({"status": status, "services": services, "aceproxy_streams": streams.len(), "causes": causes}))
}

pub fn log_tail(ask: &Ask<'_>) -> Answer {
    input::only(&ask.request.query, &["lines"])?;
    let n = input::number(&ask.request.query, "lines", "a whole number of lines")?.unwrap_or(100_usize);
    let records = ask.app.logs.tail(usize::MAX, None);
    let lines: Vec<String> = records[records.len().saturating_sub(n)..]
        .iter()
        .map(|r| {
            let fields: String = r.fields.iter().map(|(key, value)| format!(" {key}={value}")).collect();
            let at = jiff::Timestamp::from_millisecond(r.at_ms).unwrap_or_default();
            format!("{} - {} - {}{fields}\n", at.strftime("%Y-%m-%d %H:%M:%S"), r.level, r.message)
        })
        .collect();
    ok(&json!({"total_lines": records.len(), "returned_lines": lines.len(), "lines": lines}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(source: &str) -> StreamRow {
        serde_json::from_value(json!({"id": 7, "channel": 1, "name": "One", "state": "live", "clients": 2,
            "in_bits_per_s": 0, "out_bits_per_s": 0, "in_bytes": 0, "out_bytes": 0, "uptime_s": 5, "source": source,
            "source_index": 0, "first_byte_ms": null, "buffer_bytes": 0, "buffer_ms": 0, "reconnects": 0,
            "dropped_clients": 0, "last_error": null}))
        .unwrap()
    }

    #[test]
    fn old_ids_are_content_ids() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(stream_id(&row(&format!("acestream://{id}"))), id);
        assert_eq!(stream_id(&row(&format!("acestream:?infohash={id}"))), id);
        assert_eq!(stream_id(&row("http://h/live/****/****/1.ts")), "7");
    }

    #[test]
    fn every_connection_is_a_client_of_its_own() {
        let client = |id: u64, stream: u64| -> ClientRow {
            serde_json::from_value(json!({"id": id, "user": 1, "name": "ada", "ip": "10.0.0.1", "agent": "Kodi", "channel": 1,
                "channel_name": "One", "stream": stream, "state": "live", "out_bytes": 0, "out_bits_per_s": 0, "lag_ms": 0,
                "skips": 0, "since_s": 3}))
            .unwrap()
        };
        let old = old_row(&row("http://h/1.ts"), &[client(1, 7), client(2, 7), client(3, 8)]);
        assert_eq!((&old["client_count"], &old["is_active"]), (&json!(2), &json!(true)));
        assert_eq!(old["clients"][0]["username"], "ada");
        assert_eq!(old["created_at"].as_str().unwrap().len(), "2026-01-24T12:00:00".len());
    }
}
