//! All viewers of one stream, and the sweep that writes to them.
//!
//! Owns the subscribers, the list of those that keep up, and the watch that tells which of the others can take more or have
//! gone. Must not enter: upstreams, timers, accounts. Invariant: one system call per viewer and flush while all keep up; a
//! viewer that is behind costs nothing until its socket has room.

use std::{
    io,
    time::{Duration, Instant},
};

use slab::Slab;
use yagi_api::{ClientState, LagPolicy};

use super::{
    intake::Intake,
    readiness::{Readiness, Ready},
    subscriber::{Subscriber, Wrote},
};
use crate::seats::End;

pub struct Audience {
    subscribers: Slab<Subscriber>,
    /// Keys of those that have everything up to `flushed`.
    keeping_up: Vec<usize>,
    /// Offset up to which those that keep up have been served.
    flushed: u64,
    readiness: Readiness,
    pub figures: Figures,
}

/// Totals since the stream began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub out_bytes: u64,
    /// System calls of sweeps over those that keep up.
    pub sends: u64,
    /// Viewers cut because they made no progress or could not keep up.
    pub dropped: u64,
}

impl Audience {
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            subscribers: Slab::new(),
            keeping_up: Vec::new(),
            flushed: 0,
            readiness: Readiness::new()?,
            figures: Figures::default(),
        })
    }

    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// Bytes that those that keep up have not been given yet.
    pub fn pending(&self, intake: &Intake) -> u64 {
        intake.ring().head() - self.flushed
    }

    /// Takes a viewer in and gives it what there is from its entry on.
    pub fn admit(&mut self, subscriber: Subscriber, intake: &Intake, now: Instant) {
        let key = self.subscribers.insert(subscriber);
        let subscriber = &self.subscribers[key];
        if let Err(e) = self.readiness.add(&subscriber.socket, key) {
            tracing::warn!(error = %e, "a client's socket cannot be watched; it is closed");
            self.remove(key, End::StreamEnded);
            return;
        }
        subscriber.seat.set_state(ClientState::Lagging);
        self.serve(key, intake, now);
    }

    /// One pass over all that keep up: the heart of the daemon.
    pub fn flush(&mut self, intake: &Intake, now: Instant) {
        let head = intake.ring().head();
        if head == self.flushed {
            return;
        }
        let mut i = 0;
        while let Some(&key) = self.keeping_up.get(i) {
            let subscriber = &mut self.subscribers[key];
            let before = subscriber.sent();
            let wrote = subscriber.write(intake.ring(), now, &mut self.figures.sends);
            self.figures.out_bytes += subscriber.sent() - before;
            match wrote {
                Wrote::All => i += 1,
                Wrote::Blocked => {
                    subscriber.behind = Some(now);
                    subscriber.seat.set_state(ClientState::Lagging);
                    self.fall_behind(key);
                }
                Wrote::Gone => self.remove(key, End::Left),
            }
        }
        self.flushed = head;
    }

    /// Waits until the kernel names viewers to [`answer`](Self::answer). Cancelling loses nothing.
    ///
    /// # Errors
    /// When the sockets cannot be watched any more.
    pub async fn ready(&self) -> io::Result<Vec<Ready>> {
        self.readiness.ready().await
    }

    /// Serves those that the kernel named, and lets go of those that left.
    pub fn answer(&mut self, ready: Vec<Ready>, intake: &Intake, policy: LagPolicy, now: Instant) {
        for Ready { key, gone } in ready {
            match self.subscribers.get(key) {
                Some(_) if gone => self.remove(key, End::Left),
                Some(subscriber) if subscriber.place.is_none() => self.resume(key, intake, policy, now),
                _ => {}
            }
        }
    }

    /// A viewer that was behind may go on; one that the ring has lapped is moved or closed.
    fn resume(&mut self, key: usize, intake: &Intake, policy: LagPolicy, now: Instant) {
        let subscriber = &mut self.subscribers[key];
        if subscriber.is_lapped(intake.ring()) {
            match policy {
                LagPolicy::Skip => subscriber.skip_to(intake.skip()),
                LagPolicy::Drop => {
                    self.drop_stalled(key, End::Lagged);
                    return;
                }
            }
        }
        self.serve(key, intake, now);
    }

    /// Writes to one that is behind; it joins those that keep up when it has all they have.
    fn serve(&mut self, key: usize, intake: &Intake, now: Instant) {
        let subscriber = &mut self.subscribers[key];
        let before = subscriber.sent();
        let wrote = subscriber.write(intake.ring(), now, &mut 0);
        self.figures.out_bytes += subscriber.sent() - before;
        match wrote {
            // It may be ahead of the last flush; the next one gives it the rest.
            Wrote::All => {
                subscriber.behind = None;
                subscriber.place = Some(self.keeping_up.len());
                subscriber.seat.set_state(ClientState::Live);
                self.keeping_up.push(key);
            }
            Wrote::Blocked => {}
            Wrote::Gone => self.remove(key, End::Left),
        }
    }

    fn fall_behind(&mut self, key: usize) {
        let Some(place) = self.subscribers[key].place.take() else { return };
        self.keeping_up.swap_remove(place);
        if let Some(moved) = self.keeping_up.get(place) {
            self.subscribers[*moved].place = Some(place);
        }
    }

    fn remove(&mut self, key: usize, why: End) {
        self.fall_behind(key);
        let subscriber = self.subscribers.remove(key);
        subscriber.seat.end(why);
    }

    fn drop_stalled(&mut self, key: usize, why: End) {
        // Without this the kernel keeps what was queued for minutes.
        let _ = self.subscribers[key].cut();
        self.figures.dropped += 1;
        self.remove(key, why);
    }

    /// Ends those whom somebody asked to go.
    pub fn dismiss(&mut self) {
        let asked: Vec<usize> =
            self.subscribers.iter().filter(|(_, s)| s.seat.ending().is_some()).map(|(key, _)| key).collect();
        for key in asked {
            // A reset frees the place and the kernel's memory at once, even if the player does not read.
            let _ = self.subscribers[key].cut();
            self.remove(key, End::Kicked);
        }
    }

    /// Once a second: cuts those without progress, publishes the figures of all.
    pub fn inspect(&mut self, intake: &Intake, stall_cut: Duration, since_last: Duration, now: Instant) {
        let stalled: Vec<usize> = self
            .subscribers
            .iter()
            .filter(|(_, s)| s.behind.is_some() && now.saturating_duration_since(s.progress) >= stall_cut)
            .map(|(key, _)| key)
            .collect();
        for key in stalled {
            self.drop_stalled(key, End::Stalled);
        }
        for (_, subscriber) in &mut self.subscribers {
            let lag = if subscriber.behind.is_some() { intake.span(subscriber.cursor()) } else { Duration::ZERO };
            subscriber.publish(since_last, lag);
        }
    }

    /// Ends everybody; the sockets close in order, after what the kernel still holds.
    pub fn close(&mut self, why: End) {
        for subscriber in self.subscribers.drain() {
            subscriber.seat.end(why);
        }
        self.keeping_up.clear();
    }
}
