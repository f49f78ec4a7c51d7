//! The AceStream engines: chooses one for each session, watches their health, and ends every session.
//!
//! Owns the choice and the life of sessions. Must not enter: who shares a session (the stream room keys them by infohash).
//! Invariants: each session that an engine opened is told `method=stop` exactly once, by a task of the daemon's runtime
//! that takes at most three seconds: after a close, a drop, an open that nobody waited for any more, or
//! [`Engines::drain`]; an engine that hangs is waited for only by those that have no other.

mod answer;
mod misses;
mod node;
mod session;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use url::Url;
use yagi_api::{EngineRow, text::clean};

use self::{
    answer::{MAX_JSON, on_engine, response_of, version_of},
    misses::Misses,
    node::{Node, Place},
};
use super::{Purpose, Status, UpstreamError, dial, outbound::Outbound};

pub use answer::below;
pub use session::Session;

const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How often an engine with sessions is asked for its version, and one without.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(20));
/// Time for its answer; it is asked twice before it counts as down.
const LOOK_LIMIT: Duration = Duration::from_millis(1500);

/// The configured engines. Cheap to clone.
#[derive(Clone)]
pub struct Engines {
    shared: Arc<Shared>,
}

struct Shared {
    nodes: Vec<Arc<Node>>,
    misses: Misses,
    open_timeout: Duration,
    outbound: Arc<Outbound>,
    runtime: OnceLock<Handle>,
    watched: AtomicBool,
    /// Held while an engine is chosen, so that two that ask at once see each other.
    choice: Mutex<()>,
    open: Mutex<HashMap<u64, Arc<Live>>>,
    /// Tasks that still talk with an engine.
    pending: watch::Sender<usize>,
    closing: AtomicBool,
    next: AtomicU64,
    /// Makes a `pid` that no other start of the daemon has used.
    run: u64,
}

/// What is needed to end a session.
struct Live {
    number: u64,
    base: Url,
    stop: Option<Url>,
    stopped: AtomicBool,
}

impl Engines {
    pub(super) fn new(config: &crate::config::Engine, outbound: Arc<Outbound>) -> Self {
        let runtime = OnceLock::new();
        if let Ok(handle) = Handle::try_current() {
            let _ = runtime.set(handle);
        }
        let nodes = config.all().into_iter().zip(1..).map(|(url, id)| {
            let base = dial::Ask::new(url).map(|ask| ask.url);
            Arc::new(Node::new(id, url, base, config.capacity, config.checks))
        });
        Self {
            shared: Arc::new(Shared {
                nodes: nodes.collect(),
                misses: Misses::default(),
                open_timeout: Duration::from_secs(u64::from(config.open_timeout_s.max(1))),
                outbound,
                runtime,
                watched: AtomicBool::new(false),
                choice: Mutex::default(),
                open: Mutex::default(),
                pending: watch::Sender::new(0),
                closing: AtomicBool::new(false),
                next: AtomicU64::new(1),
                run: getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())),
            }),
        }
    }

    /// The engines as they stand. Who looks makes their health be looked at.
    pub fn rows(&self) -> Vec<EngineRow> {
        self.shared.watch_all();
        let now = Instant::now();
        self.shared.nodes.iter().map(|node| node.row(now)).collect()
    }

    /// Opens a session of the content that `key` (`id` or `infohash`) names, on the least loaded engine that works.
    pub(super) async fn open(&self, key: &'static str, id: &str, purpose: Purpose) -> Result<Session, UpstreamError> {
        let shared = &self.shared;
        shared.watch_all();
        let (mut tried, mut fault) = (Vec::new(), None);
        while let Some(place) = shared.choose(&tried, id, purpose) {
            let node = place.node.clone();
            tried.push(node.id);
            let (give, get) = oneshot::channel();
            let (own, content) = (Arc::clone(shared), id.to_owned());
            // A task of its own: when nobody waits any more, the engine may already have opened the session, so the answer
            // must still be read. The session that nobody takes is dropped, and thereby stopped.
            shared.spawn(async move {
                let _ = give.send(own.getstream(place, key, &content).await);
            });
            let mut down = node.watch();
            let others = shared.nodes.len() > tried.len();
            let answer = tokio::select! {
                answer = get => answer
                    .unwrap_or_else(|_| Err(UpstreamError::Refused("the daemon is shutting down".to_owned()))),
                _ = down.wait_for(|down| *down), if others => {
                    Err(UpstreamError::Unreachable(format!("the AceStream engine {} does not answer", node.name)))
                }
            };
            match answer {
                Err(error @ (UpstreamError::Unreachable(_) | UpstreamError::Timeout(_))) => {
                    node.failed(&error, false, Instant::now());
                    node.look.notify_one();
                    fault.get_or_insert(error);
                }
                answer => {
                    if matches!(answer, Err(UpstreamError::Engine(_))) {
                        shared.misses.note(id, node.id, Instant::now());
                    }
                    return answer;
                }
            }
        }
        Err(fault.unwrap_or_else(|| shared.busy(purpose)))
    }

    /// Stops what is still open and waits for everything that is pending, at most `limit`.
    pub(super) async fn drain(&self, limit: Duration) {
        let shared = &self.shared;
        shared.closing.store(true, Ordering::SeqCst);
        let mut pending = shared.pending.subscribe();
        let all = async {
            loop {
                let open: Vec<_> = shared.lives().values().cloned().collect();
                if open.is_empty() && *pending.borrow_and_update() == 0 {
                    return;
                }
                for live in &open {
                    drop(shared.stop(live));
                }
                if pending.wait_for(|n| *n == 0).await.is_err() {
                    return;
                }
            }
        };
        if timeout(limit, all).await.is_err() {
            let left = *shared.pending.borrow();
            tracing::warn!(left, "an engine did not answer every stop in time");
        }
    }
}

/// Counts as pending while it lives.
struct Pending(Arc<Shared>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.send_modify(|n| *n -= 1);
    }
}

impl Shared {
    fn lives(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Live>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runtime that lives longest.
    fn handle(&self) -> Option<&Handle> {
        match self.runtime.get() {
            Some(handle) => Some(handle),
            None => {
                let now = Handle::try_current().ok()?;
                Some(self.runtime.get_or_init(|| now))
            }
        }
    }

    fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) -> Option<JoinHandle<()>> {
        let handle = self.handle()?;
        self.pending.send_modify(|n| *n += 1);
        let pending = Pending(Arc::clone(self));
        Some(handle.spawn(async move {
            let _pending = pending;
            work.await;
        }))
    }

    /// A place on an engine that has not been tried: those that are well before the others, then those that have not just failed to
    /// give this content, the least loaded first.
    fn choose(&self, tried: &[u32], content: &str, purpose: Purpose) -> Option<Place> {
        let check = purpose == Purpose::Check;
        let now = Instant::now();
        let _one_at_a_time = self.choice.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.nodes.iter().filter(|n| !tried.contains(&n.id) && !n.is_full(check));
        open.min_by_key(|n| (n.is_doubtful(now), self.misses.rank(content, n.id, now), n.load(), n.id))
            .map(|n| n.take(check))
    }

    fn busy(&self, purpose: Purpose) -> UpstreamError {
        let sessions: usize = self.nodes.iter().map(|n| n.load()).sum();
        let what = if purpose == Purpose::Check { " or tests" } else { "" };
        UpstreamError::NoEngine(format!(
            "{sessions} sessions are open; engine.capacity allows no more{what} on {} engine{}",
            self.nodes.len(),
            if self.nodes.len() == 1 { "" } else { "s" }
        ))
    }

    /// Starts looking at the engines' health, once. Nobody who has no AceStream channel asks an engine.
    fn watch_all(self: &Arc<Self>) {
        let Some(handle) = self.handle() else { return };
        if !self.watched.swap(true, Ordering::SeqCst) {
            for node in &self.nodes {
                handle.spawn(watch_node(Arc::downgrade(self), Arc::clone(node)));
            }
        }
    }

    /// Whether an engine answers; asked twice, because a busy one may be late once.
    async fn look(&self, node: &Node) -> Result<Option<String>, UpstreamError> {
        let base = node.base.clone()?;
        let mut url = below(&base, "webui/api/service");
        url.query_pairs_mut().append_pair("method", "get_version");
        let once = || async {
            let deadline = Instant::now() + LOOK_LIMIT;
            let mut ask = dial::Ask::new(url.as_str())?;
            ask.only = Some(base.clone());
            let mut answer = ask.send(&self.outbound, deadline).await?;
            let body = answer.body.read(MAX_JSON, deadline).await?;
            // One that answers something else is alive all the same: there are stand-ins without a version.
            Ok(version_of(&body))
        };
        match once().await {
            Err(UpstreamError::Timeout(_)) => once().await,
            answer => answer,
        }
    }

    async fn getstream(self: Arc<Self>, place: Place, key: &'static str, id: &str) -> Result<Session, UpstreamError> {
        let base = place.node.base.clone()?;
        if self.closing.load(Ordering::SeqCst) {
            return Err(UpstreamError::Refused("the daemon is shutting down".to_owned()));
        }
        let deadline = Instant::now() + self.open_timeout;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut url = below(&base, "ace/getstream");
        url.query_pairs_mut()
            .append_pair("format", "json")
            .append_pair(key, id)
            .append_pair("pid", &format!("{:016x}{number:x}", self.run));
        let answer = self.json(&base, url, deadline).await?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).filter(|s| !s.is_empty());
        let at = |key: &str| text(key).and_then(|u| on_engine(&base, u));
        let stop = at("command_url").map(|mut url| {
            url.query_pairs_mut().append_pair("method", "stop");
            url
        });
        let live = Arc::new(Live { number, base: base.clone(), stop, stopped: AtomicBool::new(false) });
        self.lives().insert(number, Arc::clone(&live));
        // From here on a return without the session stops it.
        let session = Session {
            content: id.to_owned(),
            infohash: text("infohash").map(|h| clean(h, 64).to_ascii_lowercase()),
            playback: at("playback_url"),
            stat: at("stat_url"),
            down: place.node.watch(),
            place,
            base,
            live,
            deadline,
            last: Instant::now(),
            gave: false,
            status: Status::default(),
            shared: Arc::clone(&self),
        };
        if session.playback.is_none() {
            return Err(UpstreamError::Engine("its answer has no usable playback_url".to_owned()));
        }
        tracing::debug!(
            session = number,
            engine = session.place.node.name,
            infohash = session.infohash(),
            "engine session opened"
        );
        Ok(session)
    }

    /// The `response` of an answer of the engine at `base`.
    async fn json(&self, base: &Url, url: Url, deadline: Instant) -> Result<Value, UpstreamError> {
        let mut ask = dial::Ask::new(url.as_str())?;
        ask.only = Some(base.clone());
        let mut answer = ask.send(&self.outbound, deadline).await?;
        let body = answer.body.read(MAX_JSON, deadline).await?;
        response_of(answer.status.as_u16(), &body)
    }

    fn stop(self: &Arc<Self>, live: &Arc<Live>) -> Option<JoinHandle<()>> {
        if live.stopped.swap(true, Ordering::SeqCst) {
            return None;
        }
        let (shared, session) = (Arc::clone(self), live.number);
        let (url, base) = (live.stop.clone(), live.base.clone());
        let task = self.spawn(async move {
            let Some(url) = url else {
                tracing::warn!(session, "the engine gave no command_url: this session ends when the engine sees fit");
                return;
            };
            match timeout(STOP_LIMIT, shared.json(&base, url, Instant::now() + STOP_LIMIT)).await {
                Ok(Ok(_)) => tracing::debug!(session, "engine session stopped"),
                Ok(Err(error)) => tracing::warn!(session, %error, "the engine did not confirm a stop"),
                Err(_) => tracing::warn!(session, "the engine did not answer a stop"),
            }
        });
        self.lives().remove(&live.number);
        task
    }
}

/// Looks at an engine's health until the pool is gone: often while it has sessions.
async fn watch_node(pool: Weak<Shared>, node: Arc<Node>) {
    loop {
        let Some(shared) = pool.upgrade() else { return };
        match shared.look(&node).await {
            Ok(version) => node.answered(version, Instant::now()),
            Err(error) => node.failed(&error, true, Instant::now()),
        }
        drop(shared);
        let began = Instant::now();
        loop {
            let every = if node.load() > 0 || node.is_down() { LOOK.0 } else { LOOK.1 };
            if began.elapsed() >= every {
                break;
            }
            tokio::select! {
                () = sleep(LOOK.0) => {}
                () = node.look.notified() => break,
            }
        }
    }
}
