//! Figures for Prometheus: `GET /metrics` on a listener of its own.
//!
//! Owns the names and labels. Must not enter: counting (the rooms do it). Invariants: no label names a viewer, an address of a
//! client or a URL; a channel's series exist while its stream runs; what ran for less than a second may be missing from the
//! series of streams, never from the totals.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use hyper::{Method, StatusCode, header};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};
use yagi_api::{Fault, SourceKind, StreamRow, StreamState, text::clean};

use crate::{
    app::App,
    http::{Reply, Request, reply},
    seats::End,
};

/// Bytes of a label's value.
const LABEL: usize = 120;
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Channel {
    channel: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Upstream {
    channel: String,
    /// Its place in the channel's list, from 0.
    source: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    source: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Op {
    op: &'static str,
}

/// What was last seen of a stream.
#[derive(Default)]
struct Seen {
    /// One for each source it has had.
    labels: HashSet<Upstream>,
    in_bytes: u64,
    reconnects: u32,
    switches: u32,
    continuity_errors: u64,
    scrambled: u64,
    opened: bool,
}

/// Handle to the figures; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Shared>);

struct Shared {
    registry: Registry,
    seen: Mutex<HashMap<u64, Seen>>,
    streams: Gauge,
    streams_failing: Gauge,
    clients: Gauge,
    stream_clients: Family<Channel, Gauge>,
    stream_in_bytes: Family<Upstream, Counter>,
    archives: Gauge,
    archive_out_bytes: Counter,
    out_bytes: Counter,
    dropped: Family<Reason, Counter>,
    reconnects: Counter,
    switches: Family<Cause, Counter>,
    degraded: Family<Cause, Gauge>,
    continuity_errors: Family<Channel, Counter>,
    scrambled: Counter,
    open_seconds: Histogram,
    auth: Family<Outcome, Counter>,
    source_channels: Family<Source, Gauge>,
    source_ok: Family<Source, Gauge>,
    source_at: Family<Source, Gauge>,
    programmes: Gauge,
    panics: Counter,
}

impl Metrics {
    pub fn new(app: &App) -> Self {
        let mut registry = Registry::with_prefix("yagid");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        registry.register(
            "first_byte_seconds",
            "From a viewer's request to its first picture",
            app.seats.waits().histogram(),
        );
        let db = app.library.seconds();
        let db_family = Family::<Op, Histogram, _>::new_with_constructor(move || db.clone());
        // One writer does everything, so there is one kind of work.
        drop(db_family.get_or_create(&Op { op: "write" }));
        registry.register("db_seconds", "Changes of the database, without their waiting", db_family);

        let shared = Shared {
            seen: Mutex::default(),
            streams: Gauge::default(),
            streams_failing: Gauge::default(),
            clients: Gauge::default(),
            stream_clients: Family::default(),
            stream_in_bytes: Family::default(),
            archives: Gauge::default(),
            archive_out_bytes: Counter::default(),
            out_bytes: Counter::default(),
            dropped: Family::default(),
            reconnects: Counter::default(),
            switches: Family::default(),
            degraded: Family::default(),
            continuity_errors: Family::default(),
            scrambled: Counter::default(),
            open_seconds: Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0]),
            auth: Family::default(),
            source_channels: Family::default(),
            source_ok: Family::default(),
            source_at: Family::default(),
            programmes: Gauge::default(),
            panics: Counter::default(),
            registry,
        };
        // A series that begins at 0 tells its first increase too.
        for fault in Fault::ALL {
            drop(shared.switches.get_or_create(&Cause { cause: fault.word() }));
        }
        Self(Arc::new(shared.registered()))
    }

    /// Takes what has changed since the last time; once a second, and before each answer.
    pub fn observe(&self, app: &App) {
        let rows = app.streams.rows();
        let m = &*self.0;
        m.streams(&rows);
        m.clients.set(count(app.seats.len()));
        m.archives.set(count(app.seats.archives()));
        raise(&m.out_bytes, app.streams.totals().2);
        raise(&m.archive_out_bytes, app.archive.out_bytes());
        raise(&m.panics, app.streams.panics());
        for (end, n) in app.seats.ended() {
            if let Some(reason) = reason(end) {
                raise(&m.dropped.get_or_create(&Reason { reason }), n);
            }
        }
        let tally = &app.auth.tally;
        for (result, n) in [("ok", &tally.accepted), ("denied", &tally.wrong), ("limited", &tally.limited)] {
            raise(&m.auth.get_or_create(&Outcome { result }), n.load(Relaxed));
        }
    }

    /// What is too much work for each second.
    fn survey(&self, app: &App) {
        let m = &*self.0;
        let catalog = app.library.catalog();
        let mut listed: HashMap<_, i64> = HashMap::new();
        for channel in catalog.channels() {
            if let Some(origin) = channel.origin.filter(|_| channel.is_listed()) {
                *listed.entry(origin).or_default() += 1;
            }
        }
        m.source_channels.clear();
        m.source_ok.clear();
        m.source_at.clear();
        for source in catalog.sources() {
            let label = Source { source: label(&source.name) };
            if source.kind == SourceKind::Playlist {
                m.source_channels.get_or_create(&label).set(listed.get(&source.id).copied().unwrap_or(0));
            }
            if let Some(last) = &source.last {
                m.source_ok.get_or_create(&label).set(last.ok.into());
                m.source_at.get_or_create(&label).set(last.at);
            }
        }
        m.programmes.set(app.guide.status(&catalog).programmes.into());
    }

    /// Answers a scraper.
    pub fn handle(&self, app: &App, request: &Request) -> Reply {
        if request.path != "/metrics" {
            return reply::text(StatusCode::NOT_FOUND, "there is only /metrics");
        }
        if request.method != Method::GET && request.method != Method::HEAD {
            let mut reply = reply::text(StatusCode::METHOD_NOT_ALLOWED, "this path answers GET");
            reply.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET"));
            return reply;
        }
        self.observe(app);
        self.survey(app);
        let mut text = String::new();
        match encode(&mut text, &self.0.registry) {
            Ok(()) => reply::reply(StatusCode::OK, OPENMETRICS, text),
            Err(e) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, e),
        }
    }

    /// Looks once a second, so that short streams are counted too.
    pub async fn follow(self, app: Arc<App>, mut stop: tokio::sync::watch::Receiver<bool>) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = second.tick() => self.observe(&app),
                _ = async { stop.wait_for(|s| *s).await.is_ok() } => return,
            }
        }
    }
}

impl Shared {
    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        r.register("streams", "Running streams", self.streams.clone());
        r.register("streams_failing", "Running streams whose upstream is lost", self.streams_failing.clone());
        r.register("clients", "Connections that hold a seat", self.clients.clone());
        r.register("stream_clients", "Viewers of a running stream", self.stream_clients.clone());
        r.register("stream_in_bytes", "Bytes from the upstream of a running stream", self.stream_in_bytes.clone());
        r.register("archives", "Connections that take an archive; they are clients too", self.archives.clone());
        r.register("archive_out_bytes", "Bytes of archives sent to viewers", self.archive_out_bytes.clone());
        r.register("out_bytes", "Bytes of streams sent to viewers", self.out_bytes.clone());
        r.register("clients_dropped", "Connections that ended otherwise than by leaving", self.dropped.clone());
        r.register("upstream_reconnects", "Upstreams that were opened again", self.reconnects.clone());
        r.register("upstream_switches", "Moves of streams to another source", self.switches.clone());
        r.register("streams_degraded", "Running streams whose source is bad and kept", self.degraded.clone());
        r.register(
            "stream_continuity_errors",
            "Unannounced jumps of counters in a running stream's source",
            self.continuity_errors.clone(),
        );
        r.register("upstream_scrambled_packets", "Scrambled packets of upstreams", self.scrambled.clone());
        r.register("upstream_open_seconds", "From asking an upstream to its first byte", self.open_seconds.clone());
        r.register("auth", "Logins by their result", self.auth.clone());
        r.register("source_channels", "Listed channels of a playlist", self.source_channels.clone());
        r.register("source_refresh_ok", "Whether the last refresh succeeded", self.source_ok.clone());
        r.register("source_refresh_timestamp_seconds", "End of the last refresh", self.source_at.clone());
        r.register("epg_programmes", "Programmes in the guide", self.programmes.clone());
        r.register("panics", "Streams that ended by a panic", self.panics.clone());
        self
    }

    fn streams(&self, rows: &[StreamRow]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.streams.set(count(rows.len()));
        self.streams_failing.set(count(rows.iter().filter(|r| r.state == StreamState::Retrying).count()));
        let mut clients: HashMap<String, i64> = HashMap::new();
        for row in rows {
            let name = label(&row.name);
            *clients.entry(name.clone()).or_default() += i64::from(row.clients);
            let channel = Channel { channel: name.clone() };
            let before = seen.entry(row.id).or_default();
            let upstream = Upstream { channel: name, source: row.source_index.to_string() };
            self.stream_in_bytes.get_or_create(&upstream).inc_by(row.in_bytes.saturating_sub(before.in_bytes));
            self.reconnects.inc_by(row.reconnects.saturating_sub(before.reconnects).into());
            let moves = row.switches.saturating_sub(before.switches);
            if let Some(last) = row.last_switch.as_ref().filter(|_| moves > 0) {
                // More than one within a second is rare: all count for the last cause.
                self.switches.get_or_create(&Cause { cause: last.cause.word() }).inc_by(moves.into());
            }
            if let Some(health) = &row.health {
                let errors = health.continuity_errors.saturating_sub(before.continuity_errors);
                self.continuity_errors.get_or_create(&channel).inc_by(errors);
                self.scrambled.inc_by(health.scrambled.saturating_sub(before.scrambled));
                before.continuity_errors = before.continuity_errors.max(health.continuity_errors);
                before.scrambled = before.scrambled.max(health.scrambled);
            }
            before.switches = before.switches.max(row.switches);
            if let (false, Some(ms)) = (before.opened, row.first_byte_ms) {
                self.open_seconds.observe(f64::from(ms) / 1000.0);
                before.opened = true;
            }
            before.in_bytes = before.in_bytes.max(row.in_bytes);
            before.reconnects = before.reconnects.max(row.reconnects);
            before.labels.insert(upstream);
        }
        let mut gone = Vec::new();
        seen.retain(|id, stream| {
            let runs = rows.iter().any(|r| r.id == *id);
            if !runs {
                gone.extend(stream.labels.drain());
            }
            runs
        });
        // Two channels may share a name: a series goes with the last of them.
        for label in gone.iter().filter(|label| !seen.values().any(|s| s.labels.contains(label))) {
            self.stream_in_bytes.remove(label);
            if !clients.contains_key(&label.channel) {
                self.continuity_errors.remove(&Channel { channel: label.channel.clone() });
            }
        }
        for cause in [Fault::Rate, Fault::Video, Fault::Audio, Fault::Frozen] {
            let bad = rows.iter().filter(|r| r.health.as_ref().and_then(|h| h.fault) == Some(cause)).count();
            self.degraded.get_or_create(&Cause { cause: cause.word() }).set(count(bad));
        }
        self.stream_clients.clear();
        for (channel, n) in clients {
            self.stream_clients.get_or_create(&Channel { channel }).set(n);
        }
    }
}

/// A counter whose owner counts.
fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn label(name: &str) -> String {
    clean(name, LABEL).into_owned()
}

/// None: it is how every viewing ends.
fn reason(end: End) -> Option<&'static str> {
    match end {
        End::Left => None,
        End::TakenOver => Some("taken_over"),
        End::Kicked => Some("kicked"),
        End::Stalled => Some("stalled"),
        End::Lagged => Some("lagged"),
        End::StreamEnded => Some("stream_ended"),
        End::Shutdown => Some("shutdown"),
    }
}
