//! The stream engine: one upstream, any number of viewers, every byte written straight to their sockets.
//!
//! Owns the registry of running streams and the [`Ticket`] that admits a viewer to one. Must not enter: accounts, SQL,
//! routes, JSON. Invariants: a first source has at most one stream, and that keeps its place until its upstream is closed; a stream
//! closes only when, under the registry's lock, nobody holds a ticket for it and no join waits in its inbox, so that a viewer
//! either joins a live stream or starts a new one.

mod asked;
mod audience;
mod cutter;
mod failover;
mod gather;
pub mod health;
mod index;
pub mod intake;
mod life;
pub mod look;
mod meter;
mod opening;
mod psi;
mod pump;
mod reel;
mod ring;
mod subscriber;
mod sweep;
#[cfg(test)]
mod tests;
pub mod ts;
mod versions;

use std::{
    collections::HashMap,
    fmt,
    net::TcpStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, watch};
use yagi_api::{ChannelId, Locator, Settings, SourceId};

use crate::{
    seats::{End, Seat},
    upstream::{Claim, Reach, Status, UpstreamError, Upstreams},
};
use asked::Asked;
pub use asked::FailoverError;
use meter::Meter;
use pump::Pump;
pub use reel::{Reel, Segment, Watch};

/// Joins that wait for a pump; more wait in their connection's task.
const INBOX: usize = 1024;
/// Content ids whose infohash is remembered.
const KNOWN_HASHES: usize = 4096;

/// All running streams; cheap to clone.
#[derive(Clone)]
pub struct Streams(Arc<Shared>);

struct Shared {
    registry: Mutex<Registry>,
    pumps: Vec<Pump>,
    upstreams: Upstreams,
    settings: ArcSwap<Settings>,
    ring_bytes: usize,
    next_id: AtomicU64,
    panics: AtomicU64,
    /// Bytes sent by streams that have ended.
    past_out_bytes: AtomicU64,
    /// Told whenever a stream is gone.
    gone: Notify,
}

#[derive(Default)]
struct Registry {
    streams: HashMap<Key, Arc<Stream>>,
    /// AceStream content id → infohash, as engines told: the same content under two names is one stream.
    hashes: HashMap<String, String>,
    closed: bool,
}

/// What a stream is the stream of.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    locator: Locator,
    headers: Vec<(String, String)>,
}

/// One place to take a stream from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub locator: Locator,
    pub headers: Vec<(String, String)>,
    /// The provider's account whose slot it takes.
    pub account: Option<SourceId>,
    /// How far the address may lead.
    pub reach: Reach,
}

/// What a viewer asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The channel's name, for tables and logs.
    pub name: String,
    pub channel: Option<ChannelId>,
    /// Best first; the first one names the stream.
    pub origins: Vec<Origin>,
}

/// Why there is no stream; each has an HTTP status.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the channel has no source")]
    NoSource,
    #[error("{0}")]
    Upstream(Arc<UpstreamError>),
    #[error("the stream was stopped")]
    Stopped,
    #[error("too many streams are being opened; try again in a moment")]
    Busy,
}

impl OpenError {
    pub fn http_status(&self) -> u16 {
        match self {
            Self::NoSource => 404,
            Self::Upstream(e) => e.http_status(),
            Self::Stopped | Self::Busy => 503,
        }
    }
}

/// Where a stream stands, for those that wait for it.
#[derive(Clone)]
enum Phase {
    Opening,
    Live,
    /// It takes nobody any more but still holds its upstream; a new stream of the same source has to wait.
    Closing,
    /// It is no longer in the registry; ask again.
    Gone,
    Failed(OpenError),
}

/// The shared side of one stream: everything that is not its pump's own.
struct Stream {
    id: u64,
    name: String,
    channel: Option<ChannelId>,
    origins: Vec<Origin>,
    since: Instant,
    inbox: mpsc::Sender<Join>,
    phase: watch::Sender<Phase>,
    /// Counted, never read: each ticket and each waiting join holds a clone.
    interest: Arc<()>,
    /// Counted, never read: each watch of the segments holds a clone.
    reels: Arc<()>,
    reel: watch::Sender<Arc<Reel>>,
    /// Wakes the pump: a viewer was asked to go, or the stream to stop.
    wake: Arc<Notify>,
    stop: AtomicBool,
    /// The source that an administrator wants.
    asked: Mutex<Option<Asked>>,
    meter: Meter,
    /// What the upstream in use says of itself.
    engine: Mutex<Option<Status>>,
}

struct Join {
    socket: TcpStream,
    seat: Seat,
    _interest: Arc<()>,
}

/// The right to join a live stream; keeps it from ending.
pub struct Ticket {
    stream: Arc<Stream>,
    interest: Arc<()>,
}

impl Ticket {
    pub fn stream_id(&self) -> u64 {
        self.stream.id
    }

    /// Hands a viewer's socket to the pump. The head of the reply must have been written. Dropping the future closes the
    /// socket and frees the seat.
    pub async fn join(self, socket: tokio::net::TcpStream, seat: Seat) {
        let socket = match socket.into_std() {
            Ok(socket) => socket,
            Err(e) => {
                tracing::warn!(error = %e, "a client's socket could not be handed over");
                return;
            }
        };
        let join = Join { socket, seat, _interest: self.interest };
        // A full inbox is a herd of joins: the pump empties it in milliseconds.
        if tokio::time::timeout(Duration::from_secs(5), self.stream.inbox.send(join)).await.is_err() {
            tracing::warn!(stream = self.stream.name, "the stream's pump did not take a client within 5 s");
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Streams({})", self.0.lock().streams.len())
    }
}

impl Streams {
    /// Starts the pump threads; 0 means one for each core, at most 4.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(
        upstreams: Upstreams,
        config: &crate::config::Stream,
        settings: Arc<Settings>,
    ) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        let wanted = if config.pumps == 0 { cores } else { config.pumps as usize };
        let pumps = (0..wanted).map(Pump::start).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Shared {
            registry: Mutex::default(),
            pumps,
            upstreams,
            settings: ArcSwap::new(settings),
            ring_bytes: (config.ring_mib as usize) << 20,
            next_id: AtomicU64::new(1),
            panics: AtomicU64::new(0),
            past_out_bytes: AtomicU64::new(0),
            gone: Notify::new(),
        })))
    }

    /// Settings that apply from now on, to running streams too.
    pub fn configure(&self, settings: Arc<Settings>) {
        self.0.settings.store(settings);
    }

    /// A ticket for the stream of `wanted`: the running one, or a new one once a viewer could begin to watch it.
    ///
    /// # Errors
    /// When no source of the channel gives a stream within its time.
    pub async fn open(&self, wanted: &Wanted) -> Result<Ticket, OpenError> {
        // A stream can turn out to be another one's twin, or end while we wait; both are rare and short.
        for _ in 0..4 {
            let (stream, interest) = self.0.find_or_start(wanted)?;
            let mut phase = stream.phase.subscribe();
            let settled = phase.wait_for(|p| !matches!(p, Phase::Opening | Phase::Closing)).await.map(|p| p.clone());
            match settled {
                Ok(Phase::Live) => return Ok(Ticket { stream, interest }),
                Ok(Phase::Failed(e)) => return Err(e),
                Ok(Phase::Gone | Phase::Opening | Phase::Closing) | Err(_) => {}
            }
        }
        Err(OpenError::Stopped)
    }

    /// Streams that ended by a panic since the start.
    pub fn panics(&self) -> u64 {
        self.0.panics.load(Relaxed)
    }

    /// Input and output bits per second, and bytes sent since the start.
    pub fn totals(&self) -> (u64, u64, u64) {
        let past = self.0.past_out_bytes.load(Relaxed);
        self.0.lock().streams.values().map(|s| &s.meter).fold((0, 0, past), |(i, o, b), m| {
            (i + m.in_bits_per_s.load(Relaxed), o + m.out_bits_per_s.load(Relaxed), b + m.all_out_bytes())
        })
    }

    /// Ends everything in order: viewers by FIN, engine sessions by their stop call. Bounded by `grace`.
    pub async fn shutdown(&self, grace: Duration) {
        let deadline = tokio::time::Instant::now() + grace;
        loop {
            let gone = self.0.gone.notified();
            {
                let mut registry = self.0.lock();
                registry.closed = true;
                registry.streams.values().for_each(|s| s.stop());
                if registry.streams.is_empty() {
                    break;
                }
            }
            if tokio::time::timeout_at(deadline, gone).await.is_err() {
                tracing::warn!("some streams did not end in time");
                break;
            }
        }
        self.0.upstreams.drain(deadline.saturating_duration_since(tokio::time::Instant::now())).await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream of `wanted`, with interest taken in it under the lock.
    fn find_or_start(self: &Arc<Self>, wanted: &Wanted) -> Result<(Arc<Stream>, Arc<()>), OpenError> {
        let key = wanted.origins.first().ok_or(OpenError::NoSource)?;
        let mut registry = self.lock();
        if registry.closed {
            return Err(OpenError::Stopped);
        }
        let key = registry.canonical(key);
        if let Some(stream) = registry.streams.get(&key) {
            return Ok((stream.clone(), stream.interest.clone()));
        }
        let (inbox, joins) = mpsc::channel(INBOX);
        let stream = Arc::new(Stream {
            id: self.next_id.fetch_add(1, Relaxed),
            name: wanted.name.clone(),
            channel: wanted.channel,
            origins: wanted.origins.clone(),
            since: Instant::now(),
            inbox,
            phase: watch::Sender::new(Phase::Opening),
            interest: Arc::new(()),
            reels: Arc::new(()),
            reel: watch::Sender::default(),
            wake: Arc::default(),
            stop: AtomicBool::new(false),
            asked: Mutex::default(),
            meter: Meter::default(),
            engine: Mutex::default(),
        });
        let pump = self.pumps.iter().min_by_key(|p| p.load()).ok_or(OpenError::Busy)?;
        let (own, shared) = (stream.clone(), self.clone());
        if !pump.adopt(move || life::run(own, shared, joins), stream.clone(), self.clone()) {
            return Err(OpenError::Busy);
        }
        let interest = stream.interest.clone();
        registry.streams.insert(key, stream.clone());
        Ok((stream, interest))
    }

    /// An engine told the infohash of a stream that is being opened. False: that content is another stream already.
    fn claim(&self, stream: &Stream, infohash: &str) -> bool {
        let mut registry = self.lock();
        let Some(origin) = stream.origins.first() else { return true };
        if let Locator::AceContent(id) = &origin.locator {
            if registry.hashes.len() >= KNOWN_HASHES {
                registry.hashes.clear();
            }
            registry.hashes.insert(id.clone(), infohash.to_owned());
        }
        let key = registry.canonical(origin);
        match registry.streams.get(&key) {
            Some(other) => other.id == stream.id,
            None => {
                let own = registry.streams.iter().find(|(_, s)| s.id == stream.id).map(|(k, _)| k.clone());
                if let Some(entry) = own.and_then(|k| registry.streams.remove(&k)) {
                    registry.streams.insert(key, entry);
                }
                true
            }
        }
    }

    /// Closes a stream to newcomers if nobody is interested in it. The rule that makes join and close exclusive.
    fn close_if_unwanted(&self, stream: &Stream, joins: &mpsc::Receiver<Join>) -> bool {
        let _registry = self.lock();
        // The stream itself holds one.
        let unwanted = Arc::strong_count(&stream.interest) == 1 && joins.is_empty();
        if unwanted {
            stream.phase.send_replace(Phase::Closing);
        }
        unwanted
    }

    /// Takes a stream whose upstream is closed out of the registry and tells those that wait for it.
    fn retire(&self, stream: &Stream, phase: Phase) {
        self.lock().streams.retain(|_, s| s.id != stream.id);
        stream.phase.send_replace(phase);
        stream.reel.send_replace(Arc::new(Reel { ended: true, ..Reel::default() }));
        self.past_out_bytes.fetch_add(stream.meter.all_out_bytes(), Relaxed);
        self.gone.notify_waiters();
    }

    /// A stream's task panicked: its sockets and seats are gone with it, the others go on.
    fn bury(&self, stream: &Stream, cause: &str) {
        self.panics.fetch_add(1, Relaxed);
        tracing::error!(stream = stream.name, cause, "the stream ended by a panic; other streams are not affected");
        self.retire(stream, Phase::Failed(OpenError::Stopped));
    }
}

impl Registry {
    fn canonical(&self, key: &Origin) -> Key {
        match &key.locator {
            Locator::AceContent(id) if self.hashes.contains_key(id) => {
                Key { locator: Locator::AceInfohash(self.hashes[id].clone()), headers: key.headers.clone() }
            }
            _ => Key { locator: key.locator.clone(), headers: key.headers.clone() },
        }
    }
}

impl Stream {
    fn stop(&self) {
        self.stop.store(true, Relaxed);
        self.wake.notify_one();
    }

    /// Shows what this upstream says of itself; gives what was shown before.
    fn say_engine(&self, status: Option<Status>) -> Option<Status> {
        std::mem::replace(&mut *self.engine.lock().unwrap_or_else(PoisonError::into_inner), status)
    }

    /// Under what name a place of the account is taken, and how its holder is asked to give it back.
    fn claim(&self, origin: &Origin) -> Claim {
        let Origin { account, reach, .. } = *origin;
        Claim { account, reach, holder: self.name.clone(), wake: self.wake.clone(), ..Claim::default() }
    }

    /// Those who take it in segments.
    fn watchers(&self) -> usize {
        Arc::strong_count(&self.reels) - 1
    }

    fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.interest) > 1
    }

    /// The accounts whose places it may hold.
    fn accounts(&self) -> impl Iterator<Item = SourceId> {
        self.origins.iter().filter_map(|origin| origin.account)
    }
}

/// The reason viewers are given when their stream is stopped.
const STOPPED: End = End::StreamEnded;
