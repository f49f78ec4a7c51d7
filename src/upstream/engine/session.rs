//! One session of an engine, from its opening to its one stop.
//!
//! Must not enter: which engine. Invariant: dropped or closed, it is stopped exactly once.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep, sleep_until},
};
use url::Url;

use super::{
    super::{Status, UpstreamError, dial, http_ts, outbound::Outbound},
    Live, Shared,
    answer::in_words,
    node::Place,
};
use crate::secret::redact;

const STAT_EVERY: Duration = Duration::from_secs(2);
const STAT_LIMIT: Duration = Duration::from_secs(5);
/// A stream of an engine that does not answer, and that gave nothing for so long, is over.
const STARVED: Duration = Duration::from_millis(1500);

/// An open session. It ends with this value.
pub struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) live: Arc<Live>,
    pub(super) place: Place,
    pub(super) down: watch::Receiver<bool>,
    pub(super) base: Url,
    pub(super) playback: Option<Url>,
    pub(super) stat: Option<Url>,
    /// As it was asked for.
    pub(super) content: String,
    pub(super) infohash: Option<String>,
    pub(super) deadline: Instant,
    pub(super) last: Instant,
    /// It has given something.
    pub(super) gave: bool,
    pub(super) status: Status,
}

impl Session {
    pub fn infohash(&self) -> Option<&str> {
        self.infohash.as_deref()
    }

    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Waits for the first bytes, asking the engine meanwhile how it gets on.
    pub(in crate::upstream) async fn play(&self, outbound: &Outbound) -> Result<http_ts::Body, UpstreamError> {
        let Some(url) = &self.playback else { return Err(UpstreamError::Ended) };
        let mut ask = dial::Ask::new(url.as_str())?;
        ask.only = Some(self.base.clone());
        let mut down = self.down.clone();
        tokio::select! {
            feed = http_ts::open(ask, outbound, self.deadline) => feed.and_then(http_ts::Answer::media),
            () = self.watch() => Err(UpstreamError::Ended),
            // With nowhere else to go the engine gets all its time.
            () = gone(&mut down), if self.shared.nodes.len() > 1 => Err(self.dead()),
        }
    }

    async fn watch(&self) {
        let Some(stat) = &self.stat else { return std::future::pending().await };
        loop {
            sleep(STAT_EVERY).await;
            match self.shared.json(&self.base, stat.clone(), Instant::now() + STAT_LIMIT).await {
                Ok(response) => self.status.set(in_words(&response)),
                Err(error) => tracing::debug!(url = redact(stat.as_str()), %error, "no status from the engine"),
            }
        }
    }

    /// The next bytes of the stream. An engine that hangs is told by its silence together with its failed health.
    pub(in crate::upstream) async fn read(&mut self, body: &mut http_ts::Body) -> Result<Bytes, UpstreamError> {
        let last = self.last;
        let down = &mut self.down;
        let dead = async {
            gone(down).await;
            sleep_until(last + STARVED).await;
        };
        tokio::select! {
            biased;
            piece = body.next() => {
                self.last = Instant::now();
                self.gave = true;
                if piece.is_err() {
                    // Whether the engine died is known before it is chosen again.
                    self.place.node.look.notify_one();
                }
                piece
            }
            () = dead => Err(self.dead()),
        }
    }

    fn dead(&self) -> UpstreamError {
        UpstreamError::Unreachable(format!("the AceStream engine {} does not answer", self.place.node.name))
    }

    /// Stops the session; waits for the engine's answer at most three seconds, and not at all when it gives none.
    pub(in crate::upstream) async fn close(self) {
        let stopping = self.shared.stop(&self.live);
        if let Some(stopping) = stopping.filter(|_| !self.place.node.is_down()) {
            let _ = stopping.await;
        }
    }
}

/// Until the engine is down.
async fn gone(down: &mut watch::Receiver<bool>) {
    if down.wait_for(|down| *down).await.is_err() {
        std::future::pending().await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let now = Instant::now();
        // Until its time is over, an engine may gather peers; a viewer that leaves meanwhile says nothing of it.
        if now >= if self.gave { self.last + STARVED } else { self.deadline } {
            self.shared.misses.note(&self.content, self.place.node.id, now);
        }
        drop(self.shared.stop(&self.live));
    }
}
