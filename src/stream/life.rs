//! The life of one stream, from its opening to its end: opening → live → (retrying) → lingering → gone.
//!
//! Owns the feed, the intake and the audience of one stream, on one thread. Must not enter: accounts, other streams.
//! Invariant: every wait has a bound, and between taking a chunk and its last write to a viewer there is no await.

use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use tokio::{sync::mpsc, task::JoinSet, time};
use yagi_api::{Fault, StreamState};

use super::{
    Join, OpenError, Phase, STOPPED, Shared, Stream,
    asked::Asked,
    audience::Audience,
    cutter::Cutter,
    failover::{Failover, Plan},
    gather::{FLUSH_BYTES, Gather},
    intake::Intake,
    opening::{Opening, Outcome, open},
    subscriber::Subscriber,
};
use crate::upstream::{Feed, Piece, UpstreamError};
use repair::Leaving;

mod repair;

const TICK: Duration = Duration::from_secs(1);

struct Life {
    stream: Arc<Stream>,
    shared: Arc<Shared>,
    joins: mpsc::Receiver<Join>,
    intake: Intake,
    cutter: Cutter,
    audience: Audience,
    feed: Option<Feed>,
    opening: Option<Opening>,
    /// Index of the source in use.
    source: usize,
    failover: Failover,
    /// The source that is being left, until another one has given something.
    leaving: Option<Leaving>,
    /// A source that was left while another one was opened, on its way to its end.
    closing: JoinSet<()>,
    /// Since when there has been no working source.
    failing_since: Option<Instant>,
    last_data: Instant,
    feed_since: Instant,
    first_packet: Option<Instant>,
    gather: Gather,
    idle_since: Option<Instant>,
    tick: Tick,
    /// When the source's health is looked at next, and what was wrong with it.
    review_at: Instant,
    fault: Option<Fault>,
    /// Set when a stream that never became live has no source left.
    verdict: Option<Phase>,
}

/// What the last second's figures are measured against.
struct Tick {
    last: Instant,
    in_bytes: u64,
    out_bytes: u64,
    history: (u32, u64),
}

/// What woke the stream.
enum Wake {
    Chunk(Result<Piece, UpstreamError>),
    Sockets(std::io::Result<Vec<crate::platform::Ready>>),
    Join(Option<Join>),
    Asked,
    Opened(Outcome),
    Time,
}

/// Runs a stream to its end.
pub(super) async fn run(stream: Arc<Stream>, shared: Arc<Shared>, joins: mpsc::Receiver<Join>) {
    let made = Audience::new(shared.pumps.len()).and_then(|audience| Ok((audience, Intake::new(shared.ring_bytes)?)));
    let (audience, intake) = match made {
        Ok(made) => made,
        Err(e) => {
            let e = UpstreamError::Unreachable(format!("no file descriptor or memory is left for a new stream: {e}"));
            shared.retire(&stream, Phase::Failed(OpenError::Upstream(Arc::new(e))));
            return;
        }
    };
    let now = Instant::now();
    let sources = stream.origins.len();
    let first = Plan { pause: Duration::ZERO, order: (0..sources).collect() };
    let mut life = Life {
        intake,
        cutter: Cutter::new(shared.ring_bytes),
        audience,
        feed: None,
        opening: Some(Box::pin(open(stream.clone(), shared.clone(), first, None))),
        source: 0,
        failover: Failover::new(sources),
        leaving: None,
        closing: JoinSet::new(),
        failing_since: None,
        last_data: now,
        feed_since: now,
        first_packet: None,
        gather: Gather::new(now),
        idle_since: None,
        tick: Tick { last: now, in_bytes: 0, out_bytes: 0, history: (0, 0) },
        review_at: now,
        fault: None,
        verdict: None,
        stream,
        shared,
        joins,
    };
    let end = life.live().await;
    // Who asks from here on waits until the upstream is closed, so that a source never has two.
    life.stream.phase.send_replace(Phase::Closing);
    life.audience.close(STOPPED);
    life.joins.close();
    while life.joins.try_recv().is_ok() {}
    life.opening = None;
    if let Some(feed) = life.feed.take() {
        feed.close().await;
    }
    while life.closing.join_next().await.is_some() {}
    life.shared.retire(&life.stream, end);
}

impl Life {
    /// Goes on until the stream ends; says how.
    async fn live(&mut self) -> Phase {
        let mut timer = pin!(time::sleep_until(self.next_deadline().into()));
        loop {
            let deadline = self.next_deadline().into();
            // Setting a timer takes a lock of the runtime; most wakes do not move it.
            if timer.deadline() != deadline || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            let wake = {
                let Self { feed, audience, joins, stream, opening, .. } = self;
                tokio::select! {
                    chunk = next(feed) => Wake::Chunk(chunk),
                    sockets = audience.ready() => Wake::Sockets(sockets),
                    join = joins.recv() => Wake::Join(join),
                    () = stream.wake.notified() => Wake::Asked,
                    opened = opened(opening) => Wake::Opened(opened),
                    () = timer.as_mut() => Wake::Time,
                }
            };
            let now = Instant::now();
            match wake {
                Wake::Chunk(Ok(piece)) => self.take(piece, now).await,
                Wake::Chunk(Err(e)) => self.repair(e, now),
                Wake::Sockets(Ok(ready)) => {
                    let policy = self.shared.settings.load().lag_policy;
                    self.audience.answer(ready, &self.intake, policy, now);
                }
                Wake::Sockets(Err(e)) => {
                    tracing::error!(stream = self.stream.name, error = %e, "the clients' sockets cannot be watched; the stream ends");
                    return Phase::Gone;
                }
                Wake::Join(Some(join)) => self.admit(join, now),
                Wake::Join(None) => return Phase::Gone,
                Wake::Asked => {
                    if self.stream.stop.load(Relaxed) {
                        return Phase::Failed(OpenError::Stopped);
                    }
                    self.audience.dismiss();
                    if let Some(Asked(to)) = self.stream.asked() {
                        self.oblige(to, now);
                    }
                }
                Wake::Opened(outcome) => {
                    if let Some(end) = self.arrive(outcome, now) {
                        return end;
                    }
                }
                Wake::Time => {}
            }
            if let Some(end) = self.attend_time(now) {
                return end;
            }
            if let Some(reel) = self.cutter.publish(self.intake.ring(), self.stream.watchers() > 0) {
                self.stream.reel.send_replace(Arc::new(reel));
            }
        }
    }

    fn is_live(&self) -> bool {
        !matches!(*self.stream.phase.borrow(), Phase::Opening)
    }

    /// Takes a chunk and all else that the upstream has ready, then flushes if it is time.
    async fn take(&mut self, piece: Piece, now: Instant) {
        self.put(piece, now);
        while self.audience.pending(&self.intake) < FLUSH_BYTES {
            match ready_now(next(&mut self.feed)).await {
                Some(Ok(more)) => self.put(more, now),
                Some(Err(e)) => {
                    self.repair(e, now);
                    break;
                }
                None => break,
            }
        }
        self.flush_if_due(now);
    }

    fn put(&mut self, piece: Piece, now: Instant) {
        match piece {
            Piece::Bytes(chunk) => self.push(&chunk, now),
            Piece::Seam => self.seam(),
        }
    }

    /// What follows does not continue what came.
    fn seam(&mut self) {
        // Before the first byte there is nothing to be continued.
        if self.stream.meter.in_bytes.load(Relaxed) > 0 {
            self.cutter.seam(&self.intake);
            self.intake.seam();
        }
    }

    fn push(&mut self, chunk: &[u8], now: Instant) {
        let meter = &self.stream.meter;
        if meter.first_byte_ms.load(Relaxed) == 0 {
            let ms = now.saturating_duration_since(self.stream.since).as_millis();
            meter.first_byte_ms.store(u32::try_from(ms + 1).unwrap_or(u32::MAX), Relaxed);
        }
        meter.in_bytes.fetch_add(chunk.len() as u64, Relaxed);
        #[cfg(test)]
        super::tests::strike(&self.stream.name);
        if self.intake.push(chunk, now) > 0 {
            self.last_data = now;
            self.first_packet.get_or_insert(now);
            let target = Duration::from_secs(self.shared.settings.load().hls_segment_s.into());
            self.cutter.follow(&self.intake, target, SystemTime::now());
            if self.failing_since.take().is_some() {
                tracing::info!(stream = self.stream.name, "the stream goes on");
            }
            self.settle(now);
        }
        if !self.is_live() && self.intake.is_ready(self.first_packet, now) {
            self.stream.phase.send_replace(Phase::Live);
        }
        self.gather.came(self.audience.pending(&self.intake) > 0, now);
    }

    fn flush_if_due(&mut self, now: Instant) {
        self.gather.fit(self.audience.len(), Duration::from_millis(self.shared.settings.load().flush_max_ms.into()));
        if self.gather.is_due(self.audience.pending(&self.intake), now) {
            self.audience.flush(&self.intake, now);
            self.gather.sent();
            self.publish_sent();
        }
        if let Some(mark) = self.gather.mark(now)
            && let Some(feed) = &self.feed
            && let Err(e) = feed.wake_at(mark)
        {
            tracing::debug!(stream = self.stream.name, error = %e, "the kernel gathers nothing of this upstream");
            self.gather.refuse();
        }
    }

    fn publish_sent(&self) {
        let figures = self.audience.figures;
        self.stream.meter.out_bytes.store(figures.out_bytes, Relaxed);
        self.stream.meter.flushes.store(figures.flushes, Relaxed);
        self.stream.meter.sends.store(figures.sends, Relaxed);
    }

    fn admit(&mut self, join: Join, now: Instant) {
        let Join { socket, seat, _interest } = join;
        if seat.ending().is_some() {
            return;
        }
        seat.stream.store(self.stream.id, Relaxed);
        let burst = Duration::from_millis(self.shared.settings.load().join_burst_ms.into());
        let entry = self.intake.join(burst);
        let subscriber = Subscriber::new(socket, seat, entry, now);
        let client = Arc::clone(&subscriber.seat);
        self.audience.admit(subscriber, &self.intake, now);
        // From here on a kick wakes this stream; one that came before is seen at once.
        client.wake(self.stream.wake.clone());
        self.idle_since = None;
        self.publish_sent();
        self.publish_state();
    }

    /// Everything that happens because time passed. Some: the stream ends.
    fn attend_time(&mut self, now: Instant) -> Option<Phase> {
        let settings = self.shared.settings.load();
        self.flush_if_due(now);
        let silence = Duration::from_secs(settings.upstream_silence_s.into());
        if self.feed.is_some() && now.saturating_duration_since(self.last_data) >= silence {
            let error = if self.first_packet.is_some() || self.stream.meter.in_bytes.load(Relaxed) == 0 {
                UpstreamError::Timeout("the upstream fell silent")
            } else {
                UpstreamError::NotMedia("no MPEG-TS packets were found in what came".to_owned())
            };
            self.repair(error, now);
        }
        self.review(&settings, now);
        if let Some(verdict) = self.verdict.take() {
            return Some(verdict);
        }
        let hold = Duration::from_secs(settings.hold_s.into());
        // One that is not live yet holds nobody: it ends with its plan.
        if self.is_live() && self.failing_since.is_some_and(|t| now.saturating_duration_since(t) >= hold) {
            tracing::warn!(
                stream = self.stream.name,
                held_s = hold.as_secs(),
                "no source came back in time; the stream ends"
            );
            return Some(Phase::Gone);
        }
        if self.audience.is_empty() && !self.stream.is_wanted() {
            let idle = now.saturating_duration_since(*self.idle_since.get_or_insert(now));
            // Its place may be wanted by a viewer of the same account.
            let over = idle >= Duration::from_secs(settings.linger_s.into())
                || self.feed.as_ref().is_some_and(Feed::is_wanted_elsewhere)
                || self.opening.is_some() && self.stream.accounts().any(|id| self.shared.upstreams.is_wanted(id));
            // Nobody watches a stream that failed: it is not worth repairing.
            if (over || self.failing_since.is_some()) && self.shared.close_if_unwanted(&self.stream, &self.joins) {
                return Some(Phase::Gone);
            }
        } else {
            self.idle_since = None;
        }
        let since_last = now.saturating_duration_since(self.tick.last);
        if since_last >= TICK {
            self.audience.inspect(&self.intake, Duration::from_secs(settings.stall_cut_s.into()), since_last, now);
            self.publish_rates(since_last, now);
        }
        None
    }

    fn publish_state(&self) {
        let meter = &self.stream.meter;
        meter.clients.store(u32::try_from(self.audience.len() + self.stream.watchers()).unwrap_or(u32::MAX), Relaxed);
        meter.set_state(match () {
            () if !self.is_live() => StreamState::Opening,
            () if self.feed.is_none() => StreamState::Retrying,
            () if self.audience.is_empty() && self.idle_since.is_some() => StreamState::Lingering,
            () => StreamState::Live,
        });
    }

    fn publish_rates(&mut self, since_last: Duration, now: Instant) {
        let meter = &self.stream.meter;
        let figures = self.audience.figures;
        let in_bytes = meter.in_bytes.load(Relaxed);
        let rate = |bytes: u64| bytes * 8 * 1000 / u64::try_from(since_last.as_millis()).unwrap_or(1000).max(1);
        let in_rate = rate(in_bytes - self.tick.in_bytes);
        meter.in_bits_per_s.store(in_rate, Relaxed);
        self.gather.plan(in_rate);
        let out_bytes = figures.out_bytes + meter.reel_bytes.load(Relaxed);
        meter.out_bits_per_s.store(rate(out_bytes - self.tick.out_bytes), Relaxed);
        let ring = self.intake.ring();
        meter.buffer_bytes.store(ring.head() - ring.tail(), Relaxed);
        meter.buffer_ms.store(u32::try_from(self.intake.span(ring.tail()).as_millis()).unwrap_or(u32::MAX), Relaxed);
        meter.dropped.store(figures.dropped, Relaxed);
        let (ticks, sum) = self.tick.history;
        self.tick.history = (ticks + 1, sum + in_rate);
        if ticks + 1 == 5 {
            meter.remember((sum + in_rate) / 5);
            self.tick.history = (0, 0);
        }
        self.tick = Tick { last: now, in_bytes, out_bytes, history: self.tick.history };
        let health = self.first_packet.map(|_| self.intake.health().report(self.fault, now));
        self.stream.meter.say(|w| w.health = health);
        self.publish_sent();
        self.publish_state();
    }

    /// When something happens by itself at the latest.
    fn next_deadline(&self) -> Instant {
        let tick = (self.tick.last + TICK).min(self.review_at);
        self.gather.deadline().map_or(tick, |due| due.min(tick))
    }
}

/// The next chunk of a feed; waits for ever where there is none.
async fn next(feed: &mut Option<Feed>) -> Result<Piece, UpstreamError> {
    match feed {
        Some(feed) => feed.next().await,
        None => pending().await,
    }
}

async fn opened(opening: &mut Option<Opening>) -> Outcome {
    match opening {
        Some(opening) => opening.await,
        None => pending().await,
    }
}

/// What a future gives without waiting.
async fn ready_now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}
