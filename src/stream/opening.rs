//! The opening of a stream's sources: one after the other, with pauses that grow.
//!
//! Owns the trying itself and the length of pauses. Must not enter: the ring, viewers, the order (see `failover`), what follows
//! from a failure. Invariant: each try is bounded by its upstream's own limits, and one that is dropped leaves nothing behind.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::time;

use super::{Shared, Stream, failover::Plan};
use crate::upstream::{Feed, UpstreamError};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How an attempt to open ended.
pub(super) enum Opened {
    Feed(Feed, usize),
    /// The content is a running stream under another name.
    Twin,
    Failed(UpstreamError),
}

/// An opening that has ended, and the sources that failed before.
pub(super) struct Outcome {
    pub opened: Opened,
    pub failed: Vec<(usize, UpstreamError)>,
}

pub(super) type Opening = Pin<Box<dyn Future<Output = Outcome>>>;

/// Opens the first source of the plan that works; `before` is closed first. Its own time limits bound each try.
pub(super) async fn open(stream: Arc<Stream>, shared: Arc<Shared>, plan: Plan, before: Option<Feed>) -> Outcome {
    if let Some(before) = before {
        before.close().await;
    }
    time::sleep(plan.pause).await;
    let mut failed = Vec::new();
    for index in plan.order {
        match attempt(&stream, &shared, index).await {
            Ok(Some(feed)) => return Outcome { opened: Opened::Feed(feed, index), failed },
            Ok(None) => return Outcome { opened: Opened::Twin, failed },
            Err(e) => {
                tracing::warn!(stream = stream.name, source = index + 1, error = %e, "a source could not be opened");
                failed.push((index, e));
            }
        }
    }
    // The first source's own failure tells most; the others are what was tried instead.
    let fault = failed.first().map_or(UpstreamError::Ended, |(_, e)| e.clone());
    Outcome { opened: Opened::Failed(fault), failed }
}

/// None: the content is a running stream.
async fn attempt(stream: &Stream, shared: &Shared, index: usize) -> Result<Option<Feed>, UpstreamError> {
    let origin = stream.origins.get(index).ok_or(UpstreamError::Ended)?;
    let claim = stream.claim(origin);
    let prepared = shared.upstreams.prepare(&origin.locator, &origin.headers, &claim).await?;
    let before = stream.say_engine(prepared.status());
    let twin = index == 0 && prepared.infohash().is_some_and(|hash| !shared.claim(stream, hash));
    if twin {
        prepared.abandon().await;
        return Ok(None);
    }
    let started = prepared.start().await;
    if started.is_err() {
        stream.say_engine(before);
    }
    started.map(Some)
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
