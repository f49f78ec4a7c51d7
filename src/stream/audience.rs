//! All viewers of one stream, and what becomes of each.
//!
//! Owns the subscribers, the row of those that keep up, and the watch that tells which of the others can take more or have
//! gone. Must not enter: upstreams, timers, accounts. Invariant: one system call per viewer and flush while all keep up, and
//! nothing else of a viewer is touched by it; a viewer that is behind costs nothing until its socket has room.

use std::{
    io,
    time::{Duration, Instant},
};

use rustix::io::Errno;
use slab::Slab;
use yagi_api::{ClientState, LagPolicy};

use super::{
    intake::Intake,
    subscriber::{Place, Subscriber, Wrote},
    sweep::{Level, Short, sweep},
};
use crate::{
    platform::{Readiness, Ready},
    seats::End,
};

pub struct Audience {
    subscribers: Slab<Subscriber>,
    /// Those that have had everything up to `flushed` and nothing beyond.
    row: Vec<Level>,
    /// Keys of those that have had more than that, because they were served since the last flush.
    ahead: Vec<usize>,
    flushed: u64,
    /// Threads that share a sweep over a long row.
    threads: usize,
    readiness: Readiness,
    pub figures: Figures,
}

/// Totals since the stream began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub out_bytes: u64,
    /// Sweeps, and the system calls of them.
    pub flushes: u64,
    pub sends: u64,
    /// Viewers cut because they made no progress or could not keep up.
    pub dropped: u64,
}

impl Audience {
    /// Sweeps over a long row are shared by up to `threads` threads.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new(threads: usize) -> io::Result<Self> {
        Ok(Self {
            subscribers: Slab::new(),
            row: Vec::new(),
            ahead: Vec::new(),
            flushed: 0,
            threads,
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
        let watched = subscriber.place.socket().map_or(Ok(()), |socket| self.readiness.add(socket, key));
        if let Err(e) = watched {
            tracing::warn!(error = %e, "a client's socket cannot be watched; it is closed");
            self.remove(key, End::StreamEnded);
            return;
        }
        subscriber.seat.set_state(ClientState::Lagging);
        self.serve(key, intake, now);
    }

    /// One pass over all that keep up: the heart of the daemon.
    pub fn flush(&mut self, intake: &Intake, now: Instant) {
        let ring = intake.ring();
        let head = ring.head();
        if head == self.flushed {
            return;
        }
        let (a, b) = ring.since(self.flushed);
        self.figures.sends += self.row.len() as u64;
        self.figures.flushes += 1;
        // From the last to the first: whoever leaves the row is replaced by its last one.
        for Short { place, wrote } in sweep(&self.row, self.threads, a, b).into_iter().rev() {
            match wrote {
                Ok(n) => self.fall_behind(place, n, intake, now),
                Err(Errno::AGAIN) => self.fall_behind(place, 0, intake, now),
                Err(_) => self.remove(self.row[place].key as usize, End::Left),
            }
        }
        self.figures.out_bytes += (head - self.flushed) * self.row.len() as u64;
        self.flushed = head;
        for key in std::mem::take(&mut self.ahead) {
            self.serve(key, intake, now);
        }
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
                Some(subscriber) if subscriber.behind.is_some() => self.resume(key, intake, policy, now),
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

    /// Writes to one that does not stand in the row; it does so when it has all there is.
    fn serve(&mut self, key: usize, intake: &Intake, now: Instant) {
        let subscriber = &mut self.subscribers[key];
        let before = subscriber.sent;
        let wrote = subscriber.write(intake.ring(), now);
        self.figures.out_bytes += subscriber.sent - before;
        match wrote {
            Wrote::All => {
                if subscriber.behind.take().is_some() {
                    subscriber.seat.set_state(ClientState::Live);
                }
                if intake.ring().head() > self.flushed {
                    // The next flush gives it what comes until then.
                    self.ahead.push(key);
                } else if let Some(socket) = subscriber.stand_in_row(self.row.len(), self.flushed) {
                    self.row.push(Level { socket, key: u32::try_from(key).unwrap_or(u32::MAX) });
                }
            }
            Wrote::Blocked => {
                if subscriber.behind.is_none() {
                    subscriber.behind = Some(now);
                    subscriber.seat.set_state(ClientState::Lagging);
                }
            }
            Wrote::Gone => self.remove(key, End::Left),
        }
    }

    /// One of the row could not take all of a flush, but `taken` bytes of it.
    fn fall_behind(&mut self, place: usize, taken: usize, intake: &Intake, now: Instant) {
        let key = self.leave_row(place);
        let subscriber = &mut self.subscribers[key];
        subscriber.behind = Some(now);
        subscriber.progress = now;
        subscriber.advance(taken, intake.ring());
        self.figures.out_bytes += taken as u64;
        subscriber.seat.set_state(ClientState::Lagging);
    }

    /// Gives a viewer of the row its own socket and cursor back.
    fn leave_row(&mut self, place: usize) -> usize {
        let Level { socket, key } = self.row.swap_remove(place);
        let key = key as usize;
        self.subscribers[key].leave_row(socket, self.flushed);
        if let Some(moved) = self.row.get(place) {
            self.subscribers[moved.key as usize].place = Place::Row(place);
        }
        key
    }

    fn remove(&mut self, key: usize, why: End) {
        match self.subscribers[key].place {
            Place::Row(place) => {
                self.leave_row(place);
            }
            Place::Own(_) => self.ahead.retain(|k| *k != key),
        }
        let subscriber = self.subscribers.remove(key);
        subscriber.seat.end(why);
    }

    /// Ends one with a reset: without it the kernel keeps what was queued for minutes.
    fn cut(&mut self, key: usize, why: End) {
        if let Place::Row(place) = self.subscribers[key].place {
            self.leave_row(place);
        }
        // Failing would mean that there is no connection any more.
        let _ = self.subscribers[key].reset_on_close();
        self.remove(key, why);
    }

    fn drop_stalled(&mut self, key: usize, why: End) {
        self.figures.dropped += 1;
        self.cut(key, why);
    }

    fn those(&self, which: impl Fn(&Subscriber) -> bool) -> Vec<usize> {
        self.subscribers.iter().filter(|(_, s)| which(s)).map(|(key, _)| key).collect()
    }

    /// Ends those whom somebody asked to go.
    pub fn dismiss(&mut self) {
        for key in self.those(|s| s.seat.ending().is_some()) {
            self.cut(key, End::Kicked);
        }
    }

    /// Once a second: cuts those without progress, publishes the figures of all.
    pub fn inspect(&mut self, intake: &Intake, stall_cut: Duration, since_last: Duration, now: Instant) {
        for key in self.those(|s| s.behind.is_some() && now.saturating_duration_since(s.progress) >= stall_cut) {
            self.drop_stalled(key, End::Stalled);
        }
        for (_, subscriber) in &mut self.subscribers {
            let mut lag = Duration::ZERO;
            if subscriber.behind.is_some() {
                subscriber.watch(stall_cut, now);
                lag = intake.span(subscriber.cursor());
            }
            subscriber.publish(since_last, lag, self.flushed);
        }
    }

    /// Ends everybody; the sockets close in order, after what the kernel still holds.
    pub fn close(&mut self, why: End) {
        while let Some(place) = self.row.len().checked_sub(1) {
            self.leave_row(place);
        }
        self.ahead.clear();
        for subscriber in self.subscribers.drain() {
            subscriber.seat.end(why);
        }
    }
}
