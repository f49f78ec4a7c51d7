//! Cuts a stream into segments at its random-access points, while it goes through the ring.
//!
//! Owns where segments begin and end, their numbers, and how many are kept. Must not enter: sockets, viewers, HTTP. Invariants:
//! the cuts do not depend on who watches; bytes are copied once for a segment, and only while somebody takes segments; what is
//! kept has a cap in number and in bytes.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{
    index::{Access, CLOCK_WRAP, MOST_BACK, MOST_FORWARD},
    intake::{Intake, lead},
    reel::{Reel, Segment},
    ring::Ring,
    ts::{PACKET, Packet},
};

/// Segments of a playlist, and older ones that can still be fetched.
const LISTED: usize = 6;
const GRACE: usize = 3;
/// Seconds of 2026-01-01: numbers begin at the quarters of a second since, so that they grow over every restart (no segment that is
/// cut by time is as short as that) and stay below 2^31 until 2043.
const ERA: u64 = 1_767_225_600;
const QUARTER_US: u64 = 250_000;

pub struct Cutter {
    ring_bytes: u64,
    open: Option<Open>,
    cut: VecDeque<Cut>,
    next_number: u64,
    /// Breaks so far.
    breaks: u64,
    /// The next segment does not continue the one before.
    broken: bool,
    /// Random-access points before this offset have been looked at.
    seen: u64,
    longest: Duration,
    target: Duration,
    changed: bool,
    /// When what follows the last segment was sent, in epoch microseconds.
    date_us: Option<u64>,
    now_us: u64,
}

/// The segment that is being filled.
struct Open {
    from: u64,
    at_us: u64,
    /// When it was sent, in epoch microseconds.
    date_us: u64,
    jumps: u32,
    lead: Bytes,
    is_break: bool,
}

/// A finished segment.
struct Cut {
    number: u64,
    is_break: bool,
    breaks: u64,
    duration: Duration,
    date_us: u64,
    from: u64,
    to: u64,
    lead: Bytes,
    /// Its bytes, while somebody takes segments.
    kept: Option<Arc<Segment>>,
}

impl Cut {
    fn len(&self) -> u64 {
        self.to - self.from + self.lead.len() as u64
    }
}

impl Cutter {
    pub fn new(ring_bytes: usize) -> Self {
        let start = first_number(SystemTime::now());
        Self {
            ring_bytes: ring_bytes as u64,
            open: None,
            cut: VecDeque::new(),
            next_number: start,
            breaks: start,
            broken: false,
            seen: 0,
            longest: Duration::ZERO,
            target: Duration::ZERO,
            changed: false,
            date_us: None,
            now_us: 0,
        }
    }

    /// Looks at what went into the ring since the last call. `now` dates what nothing came before; what follows is dated by the
    /// media's own clock until that breaks.
    pub fn follow(&mut self, intake: &Intake, target: Duration, now: SystemTime) {
        (self.target, self.now_us) = (target, epoch_us(now));
        let index = intake.index();
        for access in index.accesses_from(self.seen) {
            self.seen = access.offset + 1;
            self.meet(access, intake);
        }
        // No random-access point for too long: cut where we are, before the ring forgets the beginning.
        let (head, now_us) = (intake.ring().head(), index.clock_us());
        let overdue = self.open.as_ref().is_some_and(|open| {
            let patience = if self.seen == 0 { target } else { target * 6 };
            let long = now_us.saturating_sub(open.at_us) >= micros(patience);
            head - open.from >= self.ring_bytes / 4 * 3 || (long && head > open.from)
        });
        let adrift = self.open.is_none() && self.seen == 0 && intake.is_adrift();
        if overdue {
            self.close(head, now_us, intake.ring());
        }
        if overdue || adrift {
            self.begin(&index.here(super::ts::NULL_PID), head);
        }
    }

    fn meet(&mut self, access: &Access, intake: &Intake) {
        if let Some(open) = &self.open {
            if access.jumps != open.jumps {
                let (end, duration) = before_jump(intake.ring(), open.from, access.offset, intake.index().clock_pid());
                let end_us = open.at_us + duration;
                self.close(end, end_us, intake.ring());
                self.broken = true;
            } else {
                let long = access.at_us.saturating_sub(open.at_us) >= micros(self.target) / 8 * 7;
                if !long && access.offset - open.from < self.ring_bytes / 4 {
                    return;
                }
                self.close(access.offset, access.at_us, intake.ring());
            }
        }
        self.begin(access, access.offset);
    }

    fn begin(&mut self, access: &Access, from: u64) {
        let is_break = std::mem::take(&mut self.broken);
        let lead = lead(access, false).into();
        let date_us = match self.date_us {
            Some(end) if !is_break => end,
            // A source that was ahead of the clock does not make dates go back.
            end => self.now_us.max(end.unwrap_or(0)),
        };
        self.open = Some(Open { from, at_us: access.at_us, date_us, jumps: access.jumps, lead, is_break });
    }

    /// Another source follows at the head.
    pub fn seam(&mut self, intake: &Intake) {
        self.close(intake.ring().head(), intake.index().clock_us(), intake.ring());
        self.broken = true;
    }

    fn close(&mut self, to: u64, at_us: u64, ring: &Ring) {
        let Some(open) = self.open.take() else { return };
        let duration = Duration::from_micros(at_us.saturating_sub(open.at_us));
        self.date_us = Some(open.date_us + micros(duration));
        if open.from < ring.tail() || to <= open.from || duration.is_zero() {
            // Nothing whole is left of it.
            self.broken |= open.is_break || to > open.from;
            return;
        }
        let breaks = self.breaks;
        self.breaks += u64::from(open.is_break);
        self.cut.push_back(Cut {
            number: self.next_number,
            is_break: open.is_break,
            breaks,
            duration,
            date_us: open.date_us,
            from: open.from,
            to,
            lead: open.lead,
            kept: None,
        });
        self.next_number += 1;
        self.longest = self.longest.max(duration);
        self.changed = true;
    }

    /// The reel for those who take segments, if it is another one than before.
    pub fn publish(&mut self, ring: &Ring, wanted: bool) -> Option<Reel> {
        if !wanted {
            let held = self.cut.iter_mut().filter_map(|c| c.kept.take()).count() > 0;
            while self.cut.front().is_some_and(|c| c.from < ring.tail()) {
                self.cut.pop_front();
            }
            self.changed = false;
            return held.then(Reel::default);
        }
        if !self.changed && self.cut.iter().all(|c| c.kept.is_some()) {
            return None;
        }
        self.changed = false;
        for cut in &mut self.cut {
            if cut.kept.is_none() && cut.from >= ring.tail() {
                cut.kept = Some(Arc::new(Segment {
                    number: cut.number,
                    is_break: cut.is_break,
                    breaks: cut.breaks,
                    duration: cut.duration,
                    date_us: cut.date_us,
                    bytes: copy(ring, cut),
                }));
            }
        }
        // What the ring had forgotten before somebody wanted it; numbers have no gaps behind it.
        let lost = self.cut.iter().rposition(|c| c.kept.is_none()).map_or(0, |i| i + 1);
        self.cut.drain(..lost);
        let budget = self.ring_bytes * 4;
        let keep = fitting(&self.cut, LISTED + GRACE, budget);
        self.cut.drain(..self.cut.len() - keep);
        Some(Reel {
            segments: self.cut.iter().filter_map(|c| c.kept.clone()).collect(),
            listed: fitting(&self.cut, LISTED, budget / 3 * 2),
            target_s: seconds(self.longest.max(self.target)),
            ended: false,
        })
    }
}

/// How many of the newest there are within a number and a budget of bytes.
fn fitting(cut: &VecDeque<Cut>, most: usize, budget: u64) -> usize {
    let mut sum = 0;
    let within = |c: &&Cut| {
        sum += c.len();
        sum <= budget
    };
    cut.iter().rev().take(most).take_while(within).count()
}

fn copy(ring: &Ring, cut: &Cut) -> Bytes {
    let len = usize::try_from(cut.to - cut.from).unwrap_or(0);
    let mut out = Vec::with_capacity(cut.lead.len() + len);
    out.extend_from_slice(&cut.lead);
    let (a, b) = ring.since(cut.from);
    let first = len.min(a.len());
    out.extend_from_slice(&a[..first]);
    out.extend_from_slice(&b[..len - first]);
    out.into()
}

/// Where, between two offsets, the media clock jumps, and how long it ran until then, in microseconds.
fn before_jump(ring: &Ring, from: u64, to: u64, pcr_pid: u16) -> (u64, u64) {
    let (mut at, mut ran, mut last) = (from, 0, None);
    while at < to {
        let clock = ring.packet(at).map(Packet).filter(|p| p.pid() == pcr_pid).and_then(Packet::pcr);
        if let Some(clock) = clock {
            let step = last.map_or(0, |last| (clock + CLOCK_WRAP - last) % CLOCK_WRAP);
            if step > MOST_FORWARD && step < CLOCK_WRAP - MOST_BACK {
                return (at, ran / 27);
            }
            ran += if step > MOST_FORWARD { 0 } else { step };
            last = Some(clock);
        }
        at += PACKET as u64;
    }
    (to, ran / 27)
}

/// The number of the first segment of a stream that begins now.
fn first_number(now: SystemTime) -> u64 {
    (epoch_us(now) - ERA * 1_000_000) / QUARTER_US
}

fn epoch_us(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(ERA * 1_000_000, |t| micros(t).max(ERA * 1_000_000))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Rounded as HLS compares durations with the target.
fn seconds(time: Duration) -> u32 {
    u32::try_from((time + Duration::from_millis(500)).as_secs()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
#[path = "cutter_tests.rs"]
mod tests;
