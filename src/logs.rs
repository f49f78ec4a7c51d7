//! The log: lines on stderr, the last records in memory, and a way to watch them.
//!
//! Owns the tracing subscriber and the ring of records. Must not enter: what is logged. Invariant: no value can forge a line or
//! move a cursor: control characters are escaped on every way out; memory is bounded.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::{
    Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::{Context, SubscriberExt as _},
    registry::Registry,
    reload,
    util::SubscriberInitExt as _,
};
use yagi_api::{Event, LogRecord, text};

use crate::{config, events::Events};

/// Records kept for the Logs view.
const KEPT: usize = 2000;
/// Bytes of one value.
const MAX_VALUE: usize = 2000;

/// Handle to the log; cheap to clone.
#[derive(Clone)]
pub struct Logs {
    ring: Arc<Ring>,
    filter: Option<reload::Handle<Targets, Registry>>,
}

struct Ring {
    records: Mutex<VecDeque<LogRecord>>,
    seq: AtomicU64,
    events: Events,
    out: Out,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Out {
    Text { colour: bool },
    Json,
    Nowhere,
}

impl Logs {
    /// Makes this process log: to stderr and into the ring. Panics are logged too, each with its thread and place.
    ///
    /// # Errors
    /// When the process has a subscriber already.
    pub fn install(config: &config::Log, events: Events) -> anyhow::Result<Self> {
        let out = match config.format {
            config::LogFormat::Json => Out::Json,
            config::LogFormat::Text => Out::Text { colour: io::stderr().is_terminal() },
        };
        let ring = Arc::new(Ring { records: Mutex::default(), seq: AtomicU64::new(0), events, out });
        let (filter, handle) = reload::Layer::new(config::filter(&config.filter).map_err(anyhow::Error::msg)?);
        tracing_subscriber::registry().with(Sink(ring.clone()).with_filter(filter)).try_init()?;
        std::panic::set_hook(Box::new(|panic| {
            let thread = std::thread::current();
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let words = panic.payload_as_str().unwrap_or("no message");
            tracing::error!(thread = thread.name().unwrap_or("unnamed"), place, "panic: {words}");
        }));
        Ok(Self { ring, filter: Some(handle) })
    }

    /// A log of its own that nothing writes to: for tests that run several daemons in one process.
    pub fn silent(events: Events) -> Self {
        let ring = Ring { records: Mutex::default(), seq: AtomicU64::new(0), events, out: Out::Nowhere };
        Self { ring: Arc::new(ring), filter: None }
    }

    /// The last `n` records at `level` or above (`ERROR` … `TRACE`), oldest first.
    pub fn tail(&self, n: usize, level: Option<&str>) -> Vec<LogRecord> {
        let least = level.and_then(|l| l.parse::<Level>().ok());
        let records = self.ring.records.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |r: &&LogRecord| least.is_none_or(|least| r.level.parse::<Level>().is_ok_and(|l| l <= least));
        let mut found: Vec<LogRecord> = records.iter().rev().filter(wanted).take(n).cloned().collect();
        found.reverse();
        found
    }

    /// Changes what is logged from now on.
    ///
    /// # Errors
    /// When the text is no filter.
    pub fn set_filter(&self, filter: &str) -> anyhow::Result<()> {
        let targets = config::filter(filter).map_err(anyhow::Error::msg)?;
        if let Some(handle) = &self.filter {
            handle.reload(targets)?;
        }
        Ok(())
    }
}

/// The layer that turns events into records.
struct Sink(Arc<Ring>);

impl<S: Subscriber> Layer<S> for Sink {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut values = Values::default();
        event.record(&mut values);
        let record = LogRecord {
            seq: self.0.seq.fetch_add(1, Relaxed) + 1,
            at_ms: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(0)),
            level: event.metadata().level().to_string(),
            target: event.metadata().target().to_owned(),
            message: values.message,
            fields: values.fields,
        };
        self.0.write(&record);
        let mut records = self.0.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() == KEPT {
            records.pop_front();
        }
        records.push_back(record.clone());
        drop(records);
        if self.0.events.is_watched() {
            self.0.events.publish(Event::Log { record });
        }
    }
}

impl Ring {
    fn write(&self, record: &LogRecord) {
        let line = match self.out {
            Out::Nowhere => return,
            Out::Json => serde_json::to_string(record).unwrap_or_default(),
            Out::Text { colour } => line(record, colour),
        };
        // One write, so that lines of several threads do not mix; a closed stderr is nobody's concern.
        let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
    }
}

fn line(record: &LogRecord, colour: bool) -> String {
    let at = jiff::Timestamp::from_millisecond(record.at_ms).map_or_else(|_| String::new(), |t| format!("{t:.3}"));
    let (on, off) = match (colour, record.level.as_str()) {
        (true, "ERROR") => ("\x1b[31m", "\x1b[0m"),
        (true, "WARN") => ("\x1b[33m", "\x1b[0m"),
        _ => ("", ""),
    };
    let target = record.target.strip_prefix("yagid::").unwrap_or(&record.target);
    let mut out = format!("{at} {on}{:5}{off} {target}: {}", record.level, record.message);
    for (key, value) in &record.fields {
        let quoted = value.is_empty() || value.contains([' ', '"', '=']);
        let _ = if quoted { write!(out, " {key}={value:?}") } else { write!(out, " {key}={value}") };
    }
    out
}

#[derive(Default)]
struct Values {
    message: String,
    fields: Vec<(String, String)>,
}

impl Values {
    fn put(&mut self, field: &Field, value: String) {
        let value = escaped(&value);
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push((field.name().to_owned(), value));
        }
    }
}

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

/// Text with every character that could forge a line, move a cursor or hide text written as an escape.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len().min(MAX_VALUE));
    for c in value.chars() {
        if out.len() >= MAX_VALUE {
            out.push('…');
            break;
        }
        if text::is_foul(c) {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_forge_lines() {
        assert_eq!(escaped("a\nERROR b\u{1b}[2J\u{202e}c"), "a\\nERROR b\\u{1b}[2J\\u{202e}c");
        assert!(escaped(&"x".repeat(9999)).len() <= MAX_VALUE + 3);
        let record = LogRecord {
            seq: 1,
            at_ms: 0,
            level: "INFO".into(),
            target: "yagid::live".into(),
            message: "client started".into(),
            fields: vec![("agent".into(), "a b".into()), ("ip".into(), "::1".into())],
        };
        assert_eq!(line(&record, false), "1970-01-01T00:00:00.000Z INFO  live: client started agent=\"a b\" ip=::1");
    }

    #[test]
    fn the_ring_keeps_the_newest_and_filters_by_level() {
        let logs = Logs::silent(Events::default());
        let subscriber = tracing_subscriber::registry().with(Sink(logs.ring.clone()));
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..KEPT {
                tracing::info!(n, "line");
            }
            tracing::error!("last");
        });
        let all = logs.tail(usize::MAX, None);
        assert_eq!((all.len(), all[0].fields[0].1.as_str()), (KEPT, "1"));
        assert_eq!(logs.tail(5, Some("warn")).len(), 1);
        assert_eq!(logs.tail(2, None)[1].message, "last");
    }
}
