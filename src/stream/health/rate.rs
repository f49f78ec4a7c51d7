//! What is usual for the bit rate of a source, and whether it has collapsed.
//!
//! Owns the short history that tells it. Must not enter: packets, PIDs. Invariants: a source is measured by itself alone, never by another
//! one; a change that lasts becomes usual; a collapse is told within the time of the setting and a quarter, a pause is none.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Limits;

/// Parts of the time over which a collapse of the bit rate is judged: with how often it is looked at (`Limits::pace`, a tenth of that time at most),
/// one more is less than a quarter.
const PARTS: usize = 8;
/// So many times that time is what is usual measured over, and so many at least.
const HISTORY: usize = 10;
const LEAST_HISTORY: usize = 2;

/// Bytes by part of the time over which a collapse is judged.
#[derive(Default)]
pub(super) struct Rate {
    parts: VecDeque<u64>,
    /// What came since the last part ended.
    bytes: u64,
    begun: Option<Instant>,
    /// How long each is.
    part: Duration,
    /// Bytes in the time of the setting, as is usual.
    usual: Option<u64>,
    came: Option<Instant>,
    /// The longest silence that ended in this part.
    gap: Duration,
    /// Parts until it is judged again after a silence.
    pardon: usize,
}

impl Rate {
    /// Bytes came.
    pub fn came(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes as u64;
        let last = self.came.replace(now).unwrap_or(now);
        self.gap = self.gap.max(now.saturating_duration_since(last));
    }

    /// Brings the parts up to now; says whether the last ones are far below what is usual.
    pub fn collapsed(&mut self, limits: &Limits, now: Instant) -> bool {
        let span = if limits.rate == Duration::MAX { Duration::from_secs(10) } else { limits.rate };
        let part = span / PARTS as u32;
        if part != self.part {
            // What was counted by other parts tells nothing in these.
            *self = Self { part, came: self.came, ..Self::default() };
        }
        // A silence that makes up most of that time is judged as one by who waits, not as a low rate.
        let silence = span * 2 / 3;
        if self.gap >= silence {
            self.pardon = PARTS + 1;
        }
        self.gap = Duration::ZERO;
        self.count(now);
        let silent = self.came.is_none_or(|came| now.saturating_duration_since(came) >= silence);
        let Some(usual) = self.usual else { return false };
        limits.rate != Duration::MAX
            && !silent
            && self.pardon == 0
            && u128::from(self.sum_lately()) * 100 < u128::from(usual) * u128::from(limits.rate_percent)
    }

    fn count(&mut self, now: Instant) {
        let begun = *self.begun.get_or_insert(now);
        let passed = now.saturating_duration_since(begun).as_nanos() / self.part.as_nanos().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX).min((PARTS * HISTORY) as u32);
        if passed == 0 {
            return;
        }
        // What was looked at late is spread evenly: where in that time it came is not known.
        let each = self.bytes / u64::from(passed);
        self.parts.extend((0..passed).map(|_| each));
        self.bytes = 0;
        self.pardon = self.pardon.saturating_sub(passed as usize);
        let whole = self.part * passed;
        self.begun = Some(if now.saturating_duration_since(begun) < whole + self.part { begun + whole } else { now });
        while self.parts.len() > PARTS * HISTORY {
            self.parts.pop_front();
        }
        self.usual = self.measure();
    }

    /// The median of what came in any such time before the last one: sources begin with a burst, and many bring segments.
    fn measure(&mut self) -> Option<u64> {
        let before = self.parts.len().checked_sub(PARTS).filter(|n| *n >= LEAST_HISTORY * PARTS)?;
        let parts = &self.parts.make_contiguous()[..before];
        let mut sums: Vec<u64> = parts.windows(PARTS).map(|w| w.iter().sum()).collect();
        let middle = sums.len() / 2;
        Some(*sums.select_nth_unstable(middle).1)
    }

    fn sum_lately(&self) -> u64 {
        self.parts.iter().rev().take(PARTS).sum()
    }

    fn per_second(&self, bytes: u64, parts: usize) -> u64 {
        let us = u64::try_from(self.part.as_micros()).unwrap_or(u64::MAX).saturating_mul(parts as u64).max(1);
        bytes.saturating_mul(8_000_000) / us
    }

    /// Bits per second of the last parts.
    pub fn lately(&self) -> u64 {
        self.per_second(self.sum_lately(), self.parts.len().clamp(1, PARTS))
    }

    /// Bits per second as is usual; none before it is known.
    pub fn usual(&self) -> Option<u64> {
        self.usual.map(|bytes| self.per_second(bytes, PARTS))
    }
}

#[cfg(test)]
#[path = "rate_tests.rs"]
mod tests;
