//! Verbs about what was said and what happens: the log and the events.
//!
//! Owns how a log line is written. Must not enter: where records come from. Invariant: `-f` ends with an error when the daemon
//! goes, so that a script notices.

use yagi_api::{Event, LogRecord, Noun, paths};

use super::output::{Out, json, json_line, line_out};
use crate::{
    client::{Client, Fault},
    text::printable,
    when,
};

/// Which lines.
pub(super) struct Lines<'a> {
    pub follow: bool,
    pub n: u32,
    pub level: Option<&'a str>,
    pub since: Option<&'a str>,
    pub filter: Option<&'a str>,
}

pub(super) async fn logs(client: &Client, out: Out, ask: Lines<'_>) -> Result<(), Fault> {
    let since_ms = ask.since.map(since).transpose()?.map(|at| at.saturating_mul(1000));
    let text = ask.filter.map(str::to_lowercase);
    let wanted = |record: &LogRecord| {
        since_ms.is_none_or(|at| record.at_ms >= at)
            && text.as_ref().is_none_or(|text| log_line(record).to_lowercase().contains(text))
    };
    // Subscribed before the tail is read: a line may come twice (told apart by its number), none is lost.
    let mut events = if ask.follow { Some(client.events().await?) } else { None };
    let level = ask.level.unwrap_or("trace");
    // What is left out here must not count there.
    let n = if since_ms.is_some() || text.is_some() { 2000 } else { ask.n };
    let mut rows: Vec<LogRecord> = client.get(&format!("{}?n={n}&level={level}", paths::LOGS)).await?;
    rows.retain(|record| wanted(record));
    rows.drain(..rows.len().saturating_sub(ask.n as usize));
    if !ask.follow && !out.is_table() {
        return out.rows(&rows, &[], |_| Vec::new());
    }
    let print = |record: &LogRecord| if out.is_table() { line_out(&log_line(record)) } else { json(record) };
    let mut last = 0;
    for record in &rows {
        print(record)?;
        last = last.max(record.seq);
    }
    while let Some(events) = &mut events {
        if let Event::Log { record } = events.next().await?
            && record.seq > last
            && severity(&record.level) <= severity(level)
            && wanted(&record)
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

/// `90s`, `2h` ago, or a time.
fn since(text: &str) -> Result<i64, Fault> {
    if let Ok(seconds) = super::sources::seconds(text) {
        return Ok(when::now() - i64::from(seconds));
    }
    let at = when::expiry(text, when::now()).ok().flatten();
    at.ok_or_else(|| {
        Fault::own(4, format!("since: `{text}` is no time: expected 90s, 15m, 2h, 1d or an RFC 3339 time"))
    })
}

/// Kinds of events, and nouns whose changes may be asked for alone.
fn topics() -> impl Iterator<Item = &'static str> {
    ["tick", "change", "log", "job", "heartbeat"].into_iter().chain(Noun::ALL.into_iter().map(Noun::word))
}

/// `hello` and `resync` are never left out: without them a reader cannot know what it has missed.
pub(super) async fn events(client: &Client, wanted: &[String]) -> Result<(), Fault> {
    if let Some(other) = wanted.iter().find(|t| !topics().any(|topic| topic == t.as_str())) {
        return Err(Fault::own(
            2,
            format!("`{other}` is no topic: expected {}", topics().collect::<Vec<_>>().join(", ")),
        ));
    }
    let of = wanted;
    let wanted = |line: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        let is = |key: &str| value[key].as_str().is_some_and(|v| of.iter().any(|t| t == v));
        of.is_empty() || is("type") || is("noun") || matches!(value["type"].as_str(), Some("hello" | "resync"))
    };
    let mut events = client.events().await?;
    loop {
        let line = events.line().await?;
        if !wanted(&line) {
            continue;
        }
        line_out(&json_line(&String::from_utf8_lossy(&line)))?;
    }
}
