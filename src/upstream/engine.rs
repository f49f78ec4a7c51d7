//! The AceStream engine: opens sessions, plays them, and ends every one of them.
//!
//! Owns the engine's JSON and the life of its sessions. Must not enter: who shares a session (the stream room keys them
//! by infohash). Invariant: each session that the engine opened is told `method=stop` exactly once, by a task of the
//! daemon's runtime that takes at most three seconds: after a close, a drop, an open that nobody waited for any more,
//! or [`Engine::drain`]. Every URL that the engine gives is put on the engine's configured address.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
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
use yagi_api::text::clean;

use super::{UpstreamError, dial, http_ts, outbound::Outbound};
use crate::secret::redact;

const STOP_LIMIT: Duration = Duration::from_secs(3);
const STAT_EVERY: Duration = Duration::from_secs(2);
const STAT_LIMIT: Duration = Duration::from_secs(5);
const MAX_JSON: usize = 64 * 1024;

/// What the engine last said about a session; a handle that stays valid.
#[derive(Clone, Debug, Default)]
pub struct EngineStatus(Arc<Mutex<String>>);

impl EngineStatus {
    /// `prebuf, 12 peers, 300 KB/s`; empty while nothing is known.
    pub fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// The configured engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    base: Result<Url, UpstreamError>,
    open_timeout: Duration,
    outbound: Arc<Outbound>,
    runtime: OnceLock<Handle>,
    open: Mutex<HashMap<u64, Arc<Live>>>,
    /// Tasks that still talk with the engine.
    pending: watch::Sender<usize>,
    closing: AtomicBool,
    next: AtomicU64,
    /// Makes a `pid` that no other start of the daemon has used.
    run: u64,
}

/// What is needed to end a session.
struct Live {
    number: u64,
    stop: Option<Url>,
    stopped: AtomicBool,
}

impl Engine {
    pub(super) fn new(config: &crate::config::Engine, outbound: Arc<Outbound>) -> Self {
        let runtime = OnceLock::new();
        if let Ok(handle) = Handle::try_current() {
            let _ = runtime.set(handle);
        }
        Self {
            shared: Arc::new(Shared {
                base: dial::Ask::new(&config.url).map(|ask| ask.url),
                open_timeout: Duration::from_secs(u64::from(config.open_timeout_s.max(1))),
                outbound,
                runtime,
                open: Mutex::default(),
                pending: watch::Sender::new(0),
                closing: AtomicBool::new(false),
                next: AtomicU64::new(1),
                run: getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())),
            }),
        }
    }

    /// Opens a session of the content that `key` (`id` or `infohash`) names.
    pub(super) async fn open(&self, key: &'static str, id: &str) -> Result<Session, UpstreamError> {
        let (give, get) = oneshot::channel();
        let (shared, id) = (Arc::clone(&self.shared), id.to_owned());
        // A task of its own: when nobody waits any more, the engine may already have opened the session, so the answer
        // must still be read. The session that nobody takes is dropped, and thereby stopped.
        self.shared.spawn(async move {
            let _ = give.send(shared.getstream(key, &id).await);
        });
        get.await.unwrap_or_else(|_| Err(UpstreamError::Refused("the daemon is shutting down".to_owned())))
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
            tracing::warn!(left, "the engine did not answer every stop in time");
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

    fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) -> Option<JoinHandle<()>> {
        let handle = match self.runtime.get() {
            Some(handle) => handle,
            None => {
                let now = Handle::try_current().ok()?;
                self.runtime.get_or_init(|| now)
            }
        };
        self.pending.send_modify(|n| *n += 1);
        let pending = Pending(Arc::clone(self));
        Some(handle.spawn(async move {
            let _pending = pending;
            work.await;
        }))
    }

    async fn getstream(self: Arc<Self>, key: &'static str, id: &str) -> Result<Session, UpstreamError> {
        let base = self.base.clone()?;
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
        let answer = self.json(url, deadline).await?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).filter(|s| !s.is_empty());
        let place = |key: &str| text(key).and_then(|u| on_engine(&base, u));
        let stop = place("command_url").map(|mut url| {
            url.query_pairs_mut().append_pair("method", "stop");
            url
        });
        let live = Arc::new(Live { number, stop, stopped: AtomicBool::new(false) });
        self.lives().insert(number, Arc::clone(&live));
        // From here on a return without the session stops it.
        let session = Session {
            infohash: text("infohash").map(|h| clean(h, 64).to_ascii_lowercase()),
            playback: place("playback_url"),
            stat: place("stat_url"),
            base,
            live,
            deadline,
            status: EngineStatus::default(),
            shared: Arc::clone(&self),
        };
        if session.playback.is_none() {
            return Err(UpstreamError::Engine("its answer has no usable playback_url".to_owned()));
        }
        tracing::debug!(session = number, infohash = session.infohash(), "engine session opened");
        Ok(session)
    }

    /// The `response` of an answer of the engine.
    async fn json(&self, url: Url, deadline: Instant) -> Result<Value, UpstreamError> {
        let mut ask = dial::Ask::new(url.as_str())?;
        ask.only = self.base.clone().ok();
        let mut answer = ask.send(&self.outbound, deadline).await?;
        let body = answer.body.read(MAX_JSON, deadline).await?;
        response_of(answer.status.as_u16(), &body)
    }

    fn stop(self: &Arc<Self>, live: &Arc<Live>) -> Option<JoinHandle<()>> {
        if live.stopped.swap(true, Ordering::SeqCst) {
            return None;
        }
        let (shared, session) = (Arc::clone(self), live.number);
        let url = live.stop.clone();
        let task = self.spawn(async move {
            let Some(url) = url else {
                tracing::warn!(session, "the engine gave no command_url: this session ends when the engine sees fit");
                return;
            };
            match timeout(STOP_LIMIT, shared.json(url, Instant::now() + STOP_LIMIT)).await {
                Ok(Ok(_)) => tracing::debug!(session, "engine session stopped"),
                Ok(Err(error)) => tracing::warn!(session, %error, "the engine did not confirm a stop"),
                Err(_) => tracing::warn!(session, "the engine did not answer a stop"),
            }
        });
        self.lives().remove(&live.number);
        task
    }
}

/// `path` below the configured address, which may have a prefix.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// A URL that the engine gave, on the address that we know it by.
fn on_engine(base: &Url, given: &str) -> Option<Url> {
    let mut url = base.join(given).ok().filter(|u| matches!(u.scheme(), "http" | "https"))?;
    dial::move_to(&mut url, base);
    Some(url)
}

/// What the engine answered, or its complaint in its own words.
fn response_of(status: u16, body: &[u8]) -> Result<Value, UpstreamError> {
    let said = |text: &str| UpstreamError::Engine(clean(text, 200).into_owned());
    if body.len() > MAX_JSON {
        return Err(said("an answer longer than 64 KiB"));
    }
    let Ok(mut answer) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body);
        return Err(said(&format!("status {status}, {}", text.trim())));
    };
    match answer.get("error") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => return Err(said(text)),
        Some(other) => {
            let text = other.get("message").and_then(Value::as_str);
            return Err(said(&text.map_or_else(|| other.to_string(), str::to_owned)));
        }
    }
    match answer.get_mut("response").map(Value::take) {
        Some(response) if !response.is_null() && (200..300).contains(&status) => Ok(response),
        _ => Err(said(&format!("status {status} without a response"))),
    }
}

/// An open session. It ends with this value.
pub struct Session {
    shared: Arc<Shared>,
    live: Arc<Live>,
    base: Url,
    playback: Option<Url>,
    stat: Option<Url>,
    infohash: Option<String>,
    deadline: Instant,
    status: EngineStatus,
}

impl Session {
    pub fn infohash(&self) -> Option<&str> {
        self.infohash.as_deref()
    }

    pub fn status(&self) -> EngineStatus {
        self.status.clone()
    }

    /// Waits for the first bytes, asking the engine meanwhile how it gets on.
    pub(super) async fn play(&self, outbound: &Outbound) -> Result<http_ts::Body, UpstreamError> {
        let Some(url) = &self.playback else { return Err(UpstreamError::Ended) };
        let mut ask = dial::Ask::new(url.as_str())?;
        ask.only = Some(self.base.clone());
        tokio::select! {
            feed = http_ts::open(ask, outbound, self.deadline) => feed,
            () = self.watch() => Err(UpstreamError::Ended),
        }
    }

    async fn watch(&self) {
        let Some(stat) = &self.stat else { return std::future::pending().await };
        loop {
            sleep(STAT_EVERY).await;
            match self.shared.json(stat.clone(), Instant::now() + STAT_LIMIT).await {
                Ok(response) => self.status.set(in_words(&response)),
                Err(error) => tracing::debug!(url = redact(stat.as_str()), %error, "no status from the engine"),
            }
        }
    }

    /// Stops the session; waits for the engine's answer at most three seconds.
    pub(super) async fn close(self) {
        if let Some(stopping) = self.shared.stop(&self.live) {
            let _ = stopping.await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.shared.stop(&self.live));
    }
}

/// The figures come as numbers from some engines and as texts from others.
fn in_words(stat: &Value) -> String {
    let mut words = Vec::new();
    for (key, unit) in [("status", ""), ("peers", " peers"), ("speed_down", " KB/s")] {
        match stat.get(key) {
            Some(Value::String(text)) => words.push(format!("{}{unit}", clean(text, 40))),
            Some(Value::Number(n)) => words.push(format!("{n}{unit}")),
            _ => {}
        }
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_quoted() {
        let said = |status, body: &str| match response_of(status, body.as_bytes()) {
            Err(UpstreamError::Engine(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(200, r#"{"response":null,"error":"no\u001b such id"}"#), "no such id");
        assert_eq!(said(200, r#"{"error":{"message":"gone","code":3}}"#), "gone");
        assert!(said(500, "Internal Server Error, couldn't find resource").contains("couldn't find resource"));
        assert!(said(200, "{}").contains("without a response"));
        assert!(said(200, "").contains("status 200"));
        assert!(said(200, &" ".repeat(MAX_JSON + 1)).contains("64 KiB"));
        assert_eq!(response_of(200, br#"{"response":"ok","error":null}"#), Ok(Value::from("ok")));
    }

    #[test]
    fn its_urls_are_moved_to_where_we_reach_it() {
        let base = Url::parse("http://u:p@box:9000/").unwrap();
        let moved = |given| on_engine(&base, given).map(String::from);
        assert_eq!(moved("http://127.0.0.1:6878/ace/r/x?y=1").unwrap(), "http://u:p@box:9000/ace/r/x?y=1");
        assert_eq!(moved("https://169.254.169.254/latest").unwrap(), "http://u:p@box:9000/latest");
        assert_eq!(moved("/ace/cmd/1").unwrap(), "http://u:p@box:9000/ace/cmd/1");
        assert_eq!(moved("file:///etc/passwd"), None);
        assert_eq!(below(&Url::parse("http://h/x/").unwrap(), "ace/y").as_str(), "http://h/x/ace/y");
    }

    #[test]
    fn the_status_is_put_in_words() {
        let stat = serde_json::json!({"status": "prebuf", "peers": 12, "speed_down": "300"});
        assert_eq!(in_words(&stat), "prebuf, 12 peers, 300 KB/s");
        assert_eq!(in_words(&serde_json::json!({})), "");
    }
}
