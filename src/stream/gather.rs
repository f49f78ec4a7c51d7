//! When what has come is sent on: at once for few viewers, gathered for many, because system calls are what costs.
//!
//! Owns the window of a stream and the mark at which the kernel wakes it for its upstream. Must not enter: sockets, the
//! ring, clocks (it is told the time). Invariant: no byte waits longer than two windows, and only now and then longer than one.

use std::time::{Duration, Instant};

/// Pending bytes that are sent at once.
pub const FLUSH_BYTES: u64 = 64 << 10;
/// Pending bytes that are sent at once when the upstream has no more and the window is short.
const DRAINED_BYTES: u64 = 16 << 10;
const SHORT_WINDOW: Duration = Duration::from_millis(10);
/// A smaller mark saves no wake-up.
const LEAST_MARK: u32 = 2 * 1316;
/// Sockets hold so much without growing, and more at a time saves nothing.
const MOST_MARK: u32 = 30 << 10;

/// What a stream gathers, and since when.
pub struct Gather {
    window: Duration,
    /// Since when there is something that has not been sent.
    pending_since: Option<Instant>,
    /// When the upstream was last read.
    read: Instant,
    /// So much comes in a window; the kernel may gather it.
    wanted: u32,
    /// What the kernel has been told. 1: it wakes at any byte.
    mark: u32,
    /// What comes next has waited in the kernel already.
    is_late: bool,
    /// This upstream knows no marks.
    refused: bool,
}

impl Gather {
    pub fn new(now: Instant) -> Self {
        Self {
            window: Duration::ZERO,
            pending_since: None,
            read: now,
            wanted: 1,
            mark: 1,
            is_late: false,
            refused: true,
        }
    }

    /// The time that is gathered: none for up to three viewers, then half a millisecond more with each, at most `most`.
    pub fn fit(&mut self, viewers: usize, most: Duration) {
        let viewers = u32::try_from(viewers).unwrap_or(u32::MAX);
        self.window = (Duration::from_micros(500) * viewers.saturating_sub(3).min(1000)).min(most);
    }

    /// Once a second: plans by the upstream's rate how much the kernel gathers.
    pub fn plan(&mut self, bits_per_s: u64) {
        if self.refused {
            return;
        }
        let bytes = u128::from(bits_per_s) * self.window.as_micros() / (8 * 1_000_000);
        let bytes = u32::try_from(bytes).unwrap_or(MOST_MARK).min(MOST_MARK);
        let bytes = if bytes < LEAST_MARK { 1 } else { bytes };
        // Rates wobble; the kernel need not hear of it.
        if self.wanted.abs_diff(bytes) > self.wanted / 8 {
            self.wanted = bytes;
        }
    }

    /// Another upstream, whose socket wakes at any byte; `has_mark`: whether it knows of marks.
    pub fn begin(&mut self, has_mark: bool, now: Instant) {
        (self.read, self.mark, self.wanted, self.refused) = (now, 1, 1, !has_mark);
    }

    /// The kernel refused a mark.
    pub fn refuse(&mut self) {
        (self.mark, self.wanted, self.refused) = (1, 1, true);
    }

    /// The upstream was read.
    pub fn came(&mut self, is_pending: bool, now: Instant) {
        self.read = now;
        self.pending_since = self.pending_since.or(is_pending.then_some(now));
    }

    pub fn is_due(&self, pending: u64, now: Instant) -> bool {
        let waited = self.pending_since.map_or(Duration::ZERO, |t| now.saturating_duration_since(t));
        pending > 0
            && (pending >= FLUSH_BYTES
                // The kernel has gathered it.
                || self.wanted > 1
                || self.is_late
                || waited >= self.window
                || self.window < SHORT_WINDOW && pending >= DRAINED_BYTES)
    }

    pub fn sent(&mut self) {
        (self.pending_since, self.is_late) = (None, false);
    }

    /// What the kernel is to be told now, if anything. A source that pauses longer than two windows gathers by itself: until the next
    /// plan it has no mark.
    pub fn mark(&mut self, now: Instant) -> Option<u32> {
        if self.mark > 1 && now.saturating_duration_since(self.read) >= self.window * 2 {
            (self.wanted, self.is_late) = (1, true);
        }
        let mark = self.wanted;
        (std::mem::replace(&mut self.mark, mark) != mark).then_some(mark)
    }

    /// When something is due by itself.
    pub fn deadline(&self) -> Option<Instant> {
        let read = (self.mark > 1).then(|| self.read + self.window * 2);
        let sent = self.pending_since.map(|t| t + self.window);
        read.into_iter().chain(sent).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A stream of so many viewers at 8 Mbit/s, planned.
    fn gather(viewers: usize, now: Instant) -> Gather {
        let mut gather = Gather::new(now);
        gather.begin(true, now);
        gather.fit(viewers, MS * 40);
        gather.plan(8_000_000);
        gather
    }

    #[test]
    fn few_viewers_wait_for_nothing() {
        let now = Instant::now();
        for viewers in 0..=3 {
            let mut gather = gather(viewers, now);
            gather.came(true, now);
            assert!(gather.is_due(188, now) && !gather.is_due(0, now));
            gather.sent();
            assert_eq!((gather.mark(now), gather.deadline()), (None, None));
        }
    }

    #[test]
    fn the_kernel_gathers_for_many() {
        let now = Instant::now();
        let mut gather = gather(23, now);
        // 10 ms at 1 MB/s.
        assert_eq!(gather.mark(now), Some(10_000));
        assert_eq!((gather.mark(now), gather.deadline()), (None, Some(now + MS * 20)));
        let read = now + MS * 10;
        gather.came(true, read);
        assert!(gather.is_due(10_528, read));
        gather.sent();
        assert_eq!((gather.mark(read), gather.deadline()), (None, Some(read + MS * 20)));
        // Less came in time: the kernel tells what there is, and each byte until the next plan.
        let late = read + MS * 20;
        assert_eq!((gather.mark(late), gather.deadline()), (Some(1), None));
        gather.came(true, late);
        assert!(gather.is_due(188, late));
        gather.sent();
        gather.came(true, late);
        assert!(!gather.is_due(188, late) && gather.is_due(188, late + MS * 10));
        gather.sent();
        assert_eq!(gather.mark(late + MS * 70), None);
        gather.plan(8_000_000);
        gather.came(true, late + MS * 90);
        assert_eq!(gather.mark(late + MS * 90), Some(10_000));
    }

    #[test]
    fn without_marks_time_decides() {
        let now = Instant::now();
        let mut gather = gather(23, now);
        gather.refuse();
        gather.plan(8_000_000);
        gather.came(true, now);
        assert_eq!((gather.mark(now), gather.deadline()), (None, Some(now + MS * 10)));
        gather.came(true, now + MS * 9);
        assert!(!gather.is_due(9000, now + MS * 9) && gather.is_due(9000, now + MS * 10));
        assert!(gather.is_due(FLUSH_BYTES, now));
    }

    #[test]
    fn rates_that_wobble_move_no_mark() {
        let now = Instant::now();
        let mut gather = gather(23, now);
        assert_eq!(gather.mark(now), Some(10_000));
        gather.plan(8_500_000);
        assert_eq!(gather.mark(now), None);
        gather.plan(16_000_000);
        assert_eq!(gather.mark(now), Some(20_000));
        gather.plan(900_000_000);
        assert_eq!(gather.mark(now), Some(MOST_MARK));
        gather.plan(1_000_000);
        assert_eq!(gather.mark(now), Some(1));
    }
}
