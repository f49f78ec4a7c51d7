//! What is usual for the bit rate of a source, and whether it has collapsed.
//!
//! Owns the short history that tells it. Must not enter: packets, PIDs. Invariant: a source is measured by itself alone, never by another
//! one, and a change that lasts becomes usual.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Limits;

/// Parts of the time over which a collapse of the bit rate is judged.
const PARTS: usize = 4;
/// So many times that time is what is usual measured over.
const HISTORY: usize = 10;

/// Bytes by part of the time over which a collapse is judged.
#[derive(Default)]
pub(super) struct Rate {
    parts: VecDeque<u64>,
    /// What came since the last part ended.
    pub bytes: u64,
    begun: Option<Instant>,
    /// How long each is.
    part: Duration,
}

impl Rate {
    /// Brings the parts up to now; says whether the last ones are far below what is usual.
    pub fn collapsed(&mut self, limits: &Limits, now: Instant) -> bool {
        let span = if limits.rate == Duration::MAX { Duration::from_secs(10) } else { limits.rate };
        let part = span / PARTS as u32;
        let begun = *self.begun.get_or_insert(now);
        let passed = now.saturating_duration_since(begun).as_nanos() / part.as_nanos().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX).min((PARTS * HISTORY) as u32);
        if passed > 0 {
            // What was looked at late is spread evenly: where in that time it came is not known.
            let each = self.bytes / u64::from(passed);
            self.parts.extend((0..passed).map(|_| each));
            self.bytes = 0;
            let whole = part * passed;
            self.begun = Some(if now.saturating_duration_since(begun) < whole + part { begun + whole } else { now });
            while self.parts.len() > PARTS * HISTORY {
                self.parts.pop_front();
            }
            self.part = part;
        }
        let Some(usual) = self.usual() else { return false };
        limits.rate != Duration::MAX && self.lately() * 100 < usual * limits.rate_percent
    }

    fn per_second(&self, bytes: u64) -> u64 {
        let us = u64::try_from(self.part.as_micros()).unwrap_or(u64::MAX).max(1);
        bytes.saturating_mul(8_000_000) / us
    }

    /// Bits per second of the last parts.
    pub fn lately(&self) -> u64 {
        let bytes: u64 = self.parts.iter().rev().take(PARTS).sum();
        self.per_second(bytes / self.parts.len().clamp(1, PARTS) as u64)
    }

    /// What came before them, without the largest eighth: sources begin with a burst. None before it is known.
    pub fn usual(&self) -> Option<u64> {
        let mut before: Vec<u64> = self.parts.iter().rev().skip(PARTS).copied().collect();
        if before.len() < 2 * PARTS {
            return None;
        }
        before.sort_unstable();
        before.truncate(before.len() - before.len().div_ceil(8));
        Some(self.per_second(before.iter().sum::<u64>() / before.len() as u64))
    }
}
