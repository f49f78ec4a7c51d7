//! The opening of a stream's sources: one after the other, with pauses that grow.
//!
//! Owns the order in which sources are tried and how long is waited before. Must not enter: the ring, viewers, what follows
//! from a failure. Invariant: each try is bounded by its upstream's own limits, and one that is dropped leaves nothing behind.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time;

use super::{Shared, Stream};
use crate::upstream::{Feed, UpstreamError};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How an attempt to open ended.
pub(super) enum Opened {
    Feed(Feed, usize),
    /// The content is a running stream under another name.
    Twin,
    Failed(UpstreamError),
}

pub(super) type Opening = Pin<Box<dyn Future<Output = Opened>>>;

/// Opens the first source that works, from `first` on. Its own time limits bound each try.
pub(super) async fn open(stream: Arc<Stream>, shared: Arc<Shared>, first: usize, pause: Duration) -> Opened {
    time::sleep(pause).await;
    let mut fault = None;
    for n in 0..stream.origins.len() {
        let index = (first + n) % stream.origins.len();
        let origin = &stream.origins[index];
        let attempt = async {
            let claim = stream.claim(origin.account);
            let prepared = shared.upstreams.prepare(&origin.locator, &origin.headers, &claim).await?;
            *stream.engine.lock().unwrap_or_else(PoisonError::into_inner) = prepared.status();
            let twin = index == 0 && prepared.infohash().is_some_and(|hash| !shared.claim(&stream, hash));
            if twin {
                prepared.abandon().await;
                return Ok(None);
            }
            prepared.start().await.map(Some)
        };
        match attempt.await {
            Ok(Some(feed)) => return Opened::Feed(feed, index),
            Ok(None) => return Opened::Twin,
            Err(e) => {
                tracing::warn!(stream = stream.name, source = index + 1, error = %e, "a source could not be opened");
                // The first source's own failure tells most; the others are what was tried instead.
                fault.get_or_insert(e);
            }
        }
    }
    Opened::Failed(fault.unwrap_or(UpstreamError::Ended))
}

/// 0.2 s doubling to 5 s, a quarter of it random so that streams of one provider do not come back in step.
pub(super) fn backoff(attempts: u32) -> Duration {
    let whole = BACKOFF.0.saturating_mul(1 << attempts.min(8)).min(BACKOFF.1);
    let mut byte = [0];
    // Without randomness the pause is only less random.
    let _ = getrandom::fill(&mut byte);
    whole.mul_f64(0.75 + f64::from(byte[0]) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_at_five_seconds() {
        for (attempts, most) in [(0, 200), (1, 400), (4, 3200), (5, 5000), (30, 5000)] {
            let pause = backoff(attempts).as_millis();
            assert!(pause <= most && pause * 4 >= most * 3, "{attempts}: {pause}");
        }
    }
}
