//! One engine: what is known of its health, and how loaded it is.
//!
//! Owns the judgement whether an engine gets sessions. Must not enter: sockets, sessions. Invariants: the load is the number of
//! places that exist, never a counter; an engine that fails rests, longer each time, and is forgiven after a good while.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use url::Url;
use yagi_api::{EngineRow, EngineState};

use super::super::UpstreamError;
use crate::secret::redact;

/// The rest after the first failure; it doubles with each further one.
const REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(300);
/// After so long without a failure it begins anew.
const FORGIVE: Duration = Duration::from_secs(60);

pub struct Node {
    pub id: u32,
    pub name: String,
    pub base: Result<Url, UpstreamError>,
    shown: String,
    capacity: u32,
    checks: u32,
    /// Counted, never read: each open session, and each that is being opened, holds a clone.
    load: Arc<()>,
    check_load: Arc<()>,
    health: Mutex<Health>,
    down: watch::Sender<bool>,
    /// Told when its health should be looked at now.
    pub look: Notify,
}

#[derive(Default)]
struct Health {
    answered: bool,
    version: Option<String>,
    last_error: Option<String>,
    failures: u32,
    failed_at: Option<Instant>,
    rests_until: Option<Instant>,
}

/// A session's place on an engine; it ends with this value.
pub struct Place {
    pub node: Arc<Node>,
    _load: Arc<()>,
    _check: Option<Arc<()>>,
}

impl Node {
    pub fn new(id: u32, url: &str, base: Result<Url, UpstreamError>, capacity: u32, checks: u32) -> Self {
        let name =
            base.as_ref().ok().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
        Self {
            id,
            name: name.unwrap_or_else(|| format!("engine {id}")),
            shown: redact(url),
            base,
            capacity,
            checks,
            load: Arc::default(),
            check_load: Arc::default(),
            health: Mutex::default(),
            down: watch::Sender::new(false),
            look: Notify::new(),
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sessions that are open or being opened.
    pub fn load(&self) -> usize {
        Arc::strong_count(&self.load) - 1
    }

    pub fn is_full(&self, check: bool) -> bool {
        (self.capacity > 0 && self.load() >= self.capacity as usize)
            || (check && Arc::strong_count(&self.check_load) > self.checks as usize)
    }

    /// Whether it should get sessions only if no other can have them.
    pub fn is_doubtful(&self, now: Instant) -> bool {
        self.is_down() || self.health().rests_until.is_some_and(|until| until > now)
    }

    pub fn is_down(&self) -> bool {
        *self.down.borrow()
    }

    /// Tells when it goes down and comes up.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.down.subscribe()
    }

    pub fn take(self: &Arc<Self>, check: bool) -> Place {
        Place { node: self.clone(), _load: self.load.clone(), _check: check.then(|| self.check_load.clone()) }
    }

    /// It answered.
    pub fn answered(&self, version: Option<String>, now: Instant) {
        let mut health = self.health();
        health.answered = true;
        health.version = version.or(health.version.take());
        let resting = health.rests_until.is_some_and(|until| until > now);
        if !resting && health.failed_at.is_some_and(|at| now.saturating_duration_since(at) >= FORGIVE) {
            (health.failures, health.failed_at, health.rests_until) = (0, None, None);
        }
        drop(health);
        if self.down.send_replace(false) {
            tracing::info!(engine = self.name, "the AceStream engine answers again");
        }
    }

    /// It could not be reached or did not answer. `down`: nothing of it works.
    pub fn failed(&self, error: &UpstreamError, down: bool, now: Instant) {
        let mut health = self.health();
        health.last_error = Some(error.to_string());
        // What fails while it rests is the same failure.
        if health.rests_until.is_none_or(|until| until <= now) {
            health.failures = health.failures.saturating_add(1);
            health.rests_until = Some(now + rest(health.failures));
        }
        health.failed_at = Some(now);
        let (failures, known) = (health.failures, health.answered);
        drop(health);
        if down && !self.down.send_replace(true) {
            // One that never answered is told once, without alarm: many run without an engine.
            if known {
                tracing::warn!(engine = self.name, %error, failures, "the AceStream engine does not answer");
            } else {
                tracing::debug!(engine = self.name, %error, "the AceStream engine does not answer");
            }
        }
    }

    pub fn row(&self, now: Instant) -> EngineRow {
        let health = self.health();
        let rests = health.rests_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        EngineRow {
            id: self.id,
            name: self.name.clone(),
            url: self.shown.clone(),
            state: match () {
                () if self.is_down() => EngineState::Down,
                () if !rests.is_zero() => EngineState::Resting,
                () if health.answered => EngineState::Up,
                () => EngineState::Unknown,
            },
            version: health.version.clone(),
            sessions: u32::try_from(self.load()).unwrap_or(u32::MAX),
            capacity: self.capacity,
            last_error: health.last_error.clone(),
            failures: health.failures,
            resting_s: u32::try_from(rests.as_millis().div_ceil(1000)).unwrap_or(u32::MAX),
        }
    }
}

fn rest(failures: u32) -> Duration {
    REST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(capacity: u32) -> Arc<Node> {
        Arc::new(Node::new(
            1,
            "http://u:canary@box:6878",
            Ok(Url::parse("http://u:canary@box:6878").unwrap()),
            capacity,
            1,
        ))
    }

    #[test]
    fn the_load_is_what_exists() {
        let node = node(2);
        let one = node.take(false);
        assert!(!node.is_full(true));
        let check = node.take(true);
        assert_eq!((node.load(), node.is_full(false)), (2, true));
        drop(one);
        assert_eq!((node.load(), node.is_full(false), node.is_full(true)), (1, false, true));
        drop(check);
        assert_eq!((node.load(), node.is_full(true)), (0, false));
    }

    #[tokio::test]
    async fn failures_make_it_rest_longer_and_longer() {
        let node = node(0);
        let error = UpstreamError::Timeout("answering");
        let mut now = Instant::now();
        assert_eq!(node.row(now).state, EngineState::Unknown);
        node.answered(Some("3.2".to_owned()), now);
        assert_eq!(node.row(now).state, EngineState::Up);
        for expected in [5, 10, 20] {
            node.failed(&error, true, now);
            node.failed(&error, true, now);
            let row = node.row(now);
            assert_eq!((row.state, row.resting_s), (EngineState::Down, expected));
            node.answered(None, now);
            assert_eq!((node.row(now).state, node.is_doubtful(now)), (EngineState::Resting, true));
            now += Duration::from_secs(expected.into());
            assert!(!node.is_doubtful(now));
        }
        node.answered(None, now + FORGIVE);
        let row = node.row(now);
        assert_eq!((row.failures, row.version.as_deref(), row.state), (0, Some("3.2"), EngineState::Up));
        assert!(!row.url.contains("canary") && row.name == "box:6878");
        assert_eq!((rest(7), rest(u32::MAX)), (LONGEST_REST, LONGEST_REST));
    }
}
