//! The log: lines on stderr, the last records in memory, and a way to watch them.
//!
//! Owns the tracing subscriber, the ring of records and the thread that writes. Must not enter: what is logged. Invariant: no
//! value can forge a line or move a cursor: control characters are escaped on every way out; memory is bounded; whoever logs
//! never waits, though nobody reads stderr.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    io::{self, IsTerminal as _},
    os::unix::net::UnixDatagram,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
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
/// Lines that may wait for stderr; more are lost and counted.
const WAITING: usize = 1024;

/// Handle to the log; cheap to clone.
#[derive(Clone)]
pub struct Logs {
    ring: Arc<Ring>,
    filter: Option<reload::Handle<Targets, Registry>>,
    filter_text: Arc<Mutex<String>>,
}

struct Ring {
    records: Mutex<VecDeque<LogRecord>>,
    seq: AtomicU64,
    events: Events,
    form: Form,
    /// None: nothing is written.
    out: Option<Out>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text {
        colour: bool,
    },
    /// Text with the priority in front and without the time, which the journal adds.
    Journal,
    /// The journal's own protocol, with our fields as fields: `journalctl -u yagid F_USER=alice`.
    Fields,
    Json,
}

impl Logs {
    /// Makes this process log: to stderr and into the ring. Panics are logged too, each with its thread and place.
    ///
    /// # Errors
    /// When the process has a subscriber already.
    pub fn install(config: &config::Log, events: Events) -> anyhow::Result<Self> {
        let journal = if is_journal() && config.format == config::LogFormat::Text { Datagrams::open() } else { None };
        let form = match config.format {
            config::LogFormat::Json => Form::Json,
            config::LogFormat::Text if journal.is_some() => Form::Fields,
            config::LogFormat::Text if is_journal() => Form::Journal,
            config::LogFormat::Text => {
                Form::Text { colour: io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
            }
        };
        let out = match journal {
            Some(journal) => Out::start(journal, form)?,
            None => Out::start(io::stderr(), form)?,
        };
        let ring = Arc::new(Ring::new(events, form, Some(out)));
        let (filter, handle) = reload::Layer::new(config::filter(&config.filter).map_err(anyhow::Error::msg)?);
        tracing_subscriber::registry().with(Sink(ring.clone()).with_filter(filter)).try_init()?;
        let hooked = ring.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = thread::current();
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let words = panic.payload_as_str().unwrap_or("no message");
            tracing::error!(thread = thread.name().unwrap_or("unnamed"), place, "panic: {words}");
            // It ends the process, and what waits with it.
            if let (Some("main"), Some(out)) = (thread.name(), &hooked.out) {
                out.flush(Duration::from_millis(500));
            }
        }));
        Ok(Self { ring, filter: Some(handle), filter_text: Arc::new(Mutex::new(config.filter.clone())) })
    }

    /// A log of its own that nothing writes to: for tests that run several daemons in one process.
    pub fn silent(events: Events) -> Self {
        let ring = Arc::new(Ring::new(events, Form::Json, None));
        Self { ring, filter: None, filter_text: Arc::new(Mutex::new("info".to_owned())) }
    }

    /// Waits until what was logged is written, at most `limit`: for the end of the process.
    pub fn flush(&self, limit: Duration) {
        if let Some(out) = &self.ring.out {
            out.flush(limit);
        }
    }

    /// The last `n` records at `level` or above (`ERROR` … `TRACE`), oldest first.
    pub fn tail(&self, n: usize, level: Option<&str>) -> Vec<LogRecord> {
        self.find(n, level, |_| true)
    }

    /// The same of those that `wanted` lets through.
    pub fn find(&self, n: usize, level: Option<&str>, wanted: impl Fn(&LogRecord) -> bool) -> Vec<LogRecord> {
        let least = level.and_then(|l| l.parse::<Level>().ok());
        let records = self.ring.records.lock().unwrap_or_else(PoisonError::into_inner);
        let loud = |r: &LogRecord| least.is_none_or(|least| r.level.parse::<Level>().is_ok_and(|l| l <= least));
        let mut found: Vec<LogRecord> =
            records.iter().rev().filter(|r| loud(r) && wanted(r)).take(n).cloned().collect();
        found.reverse();
        found
    }

    /// What is logged at this moment, as it was written.
    pub fn filter(&self) -> String {
        self.filter_text.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        filter.clone_into(&mut self.filter_text.lock().unwrap_or_else(PoisonError::into_inner));
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
            at_ms: now_ms(),
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
    fn new(events: Events, form: Form, out: Option<Out>) -> Self {
        Self { records: Mutex::default(), seq: AtomicU64::new(0), events, form, out }
    }

    fn write(&self, record: &LogRecord) {
        let Some(out) = &self.out else { return };
        out.say(line(record, self.form));
    }
}

/// The way to stderr. A terminal that is paused, a pipe that nobody reads or a journal that hangs must not hold up streams,
/// so lines wait here and not in who logs.
struct Out {
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
}

enum Line {
    Text(String),
    /// Everything before it is written.
    Mark(SyncSender<()>),
}

impl Out {
    fn start(to: impl io::Write + Send + 'static, form: Form) -> io::Result<Self> {
        let (lines, waiting) = mpsc::sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = lost.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&waiting, &counted, to, form))?;
        Ok(Self { lines, lost })
    }

    fn say(&self, line: String) {
        if self.lines.try_send(Line::Text(line)).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    fn flush(&self, limit: Duration) {
        let (tell, told) = mpsc::sync_channel(1);
        let lines = self.lines.clone();
        // The queue may be full: a thread of its own waits for a place in it.
        let waits = thread::Builder::new().spawn(move || lines.send(Line::Mark(tell)));
        if waits.is_ok() {
            // Late, or the writer has gone: there is nothing left to do.
            let _ = told.recv_timeout(limit);
        }
    }
}

fn write_all(lines: &Receiver<Line>, lost: &AtomicU64, mut to: impl io::Write, form: Form) {
    for next in lines {
        // One write, so that nothing comes between; a closed stderr is nobody's concern.
        let _ = match next {
            Line::Text(line) => to.write_all(format!("{line}\n").as_bytes()),
            Line::Mark(done) => {
                let _ = done.send(());
                continue;
            }
        };
        let missing = lost.swap(0, Relaxed);
        if missing > 0 {
            let message = format!("{missing} log lines are missing: nobody read them in time");
            let (level, target) = ("WARN".to_owned(), module_path!().to_owned());
            let record = LogRecord { seq: 0, at_ms: now_ms(), level, target, message, fields: Vec::new() };
            let _ = to.write_all(format!("{}\n", line(&record, form)).as_bytes());
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(0))
}

/// Whether stderr is the journal's: systemd names its device and inode.
fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// The journal's socket: each write is one record.
struct Datagrams(UnixDatagram);

impl Datagrams {
    /// None: then stderr, which the journal reads too.
    fn open() -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect("/run/systemd/journal/socket").ok()?;
        Some(Self(socket))
    }
}

impl io::Write for Datagrams {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.0.send(record)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn priority(level: &str) -> u8 {
    match level {
        "ERROR" => 3,
        "WARN" => 4,
        "INFO" => 6,
        _ => 7,
    }
}

/// One `NAME=value` a line. Values hold no line breaks: they were escaped when the record was made.
fn journal_fields(record: &LogRecord) -> String {
    let text = line(record, Form::Journal);
    let text = text.split_once('>').map_or(text.as_str(), |(_, text)| text);
    let mut out = format!(
        "PRIORITY={}\nSYSLOG_IDENTIFIER=yagid\nTARGET={}\nMESSAGE={text}",
        priority(&record.level),
        record.target
    );
    for (key, value) in &record.fields {
        let name: String = key
            .chars()
            .take(60)
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        let _ = write!(out, "\nF_{name}={value}");
    }
    out
}

fn line(record: &LogRecord, form: Form) -> String {
    if form == Form::Json {
        return serde_json::to_string(record).unwrap_or_default();
    }
    if form == Form::Fields {
        return journal_fields(record);
    }
    let level = record.level.as_str();
    let target = record.target.strip_prefix("yagid::").unwrap_or(&record.target);
    let mut out = if form == Form::Journal {
        format!("<{}>{target}: {}", priority(level), record.message)
    } else {
        let at = jiff::Timestamp::from_millisecond(record.at_ms).map_or_else(|_| String::new(), |t| format!("{t:.3}"));
        let (on, off) = match level {
            "ERROR" if form == (Form::Text { colour: true }) => ("\x1b[31m", "\x1b[0m"),
            "WARN" if form == (Form::Text { colour: true }) => ("\x1b[33m", "\x1b[0m"),
            _ => ("", ""),
        };
        format!("{at} {on}{level:5}{off} {target}: {}", record.message)
    };
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
    use std::io::Read as _;

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
        let plain = Form::Text { colour: false };
        assert_eq!(line(&record, Form::Journal), "<6>live: client started agent=\"a b\" ip=::1");
        assert_eq!(
            line(&record, Form::Fields).lines().skip(3).collect::<Vec<_>>(),
            ["MESSAGE=live: client started agent=\"a b\" ip=::1", "F_AGENT=a b", "F_IP=::1"]
        );
        assert_eq!(line(&record, plain), "1970-01-01T00:00:00.000Z INFO  live: client started agent=\"a b\" ip=::1");
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

    #[test]
    fn whoever_logs_never_waits_and_losses_are_told() {
        let (mut reader, writer) = io::pipe().unwrap();
        let out = Out::start(writer, Form::Journal).unwrap();
        // Far more than the pipe and the queue take while nobody reads.
        let said = WAITING * 4;
        for n in 0..said {
            out.say(format!("{n} {}", "x".repeat(200)));
        }
        out.flush(Duration::ZERO);
        let read = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        out.flush(Duration::from_secs(60));
        // The line that tells of losses comes with the next one.
        out.say("last".to_owned());
        drop(out);
        let text = read.join().unwrap().unwrap();
        let missing: usize =
            text.lines().filter_map(|l| l.strip_prefix("<4>logs: ")?.split(' ').next()?.parse::<usize>().ok()).sum();
        let written = text.lines().filter(|l| l.ends_with("xx")).count();
        assert!(missing > 0 && text.contains("last\n"));
        assert_eq!(written + missing, said);
    }
}
