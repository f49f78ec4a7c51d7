//! Which of its sources a stream takes next, and when.
//!
//! Owns what is remembered of each source: its faults, and until when it rests. Must not enter: upstreams, packets, timers (the
//! time is told). Invariants: a source that was left for a fault is not gone back to before its rest is over, as long as any other
//! gives anything; where all have failed there is a pause, and it grows; a stream of one source is never moved.

use std::time::{Duration, Instant};

use yagi_api::Fault;

use super::opening::backoff;
use crate::upstream::UpstreamError;

/// A source that lasted this long starts again with the shortest pause.
const GOOD_RUN: Duration = Duration::from_secs(10);
/// The shortest rest, whatever is set: without any, sources that refuse would be asked in a circle.
const LEAST_REST: Duration = Duration::from_secs(1);
/// The longest rest: so many times the shortest one.
const MOST_RESTS: u32 = 16;

/// What to try, and how long to wait before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub pause: Duration,
    /// Indexes of sources, in order.
    pub order: Vec<usize>,
}

/// The sources of one stream.
pub struct Failover {
    sources: Vec<Standing>,
    /// Pauses since a source last ran well.
    pauses: u32,
}

#[derive(Clone, Copy, Default)]
struct Standing {
    /// Since it last ran well for as long as it had rested.
    faults: u32,
    rests_until: Option<Instant>,
    rested: Duration,
}

impl Standing {
    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }
}

/// What kind of fault an upstream's error is; `ran`: it had given something.
pub fn fault(error: &UpstreamError, ran: bool) -> Fault {
    match error {
        UpstreamError::NotFound | UpstreamError::Status(_) => Fault::Status,
        UpstreamError::Engine(_) | UpstreamError::NoEngine(_) => Fault::Engine,
        UpstreamError::Unreachable(_) if ran => Fault::Reset,
        UpstreamError::Unreachable(_) => Fault::Unreachable,
        UpstreamError::Timeout(_) => Fault::Silent,
        UpstreamError::NotMedia(_) => Fault::NotMedia,
        UpstreamError::Ended => Fault::Ended,
        UpstreamError::Refused(_) => Fault::Refused,
        UpstreamError::Command(_) => Fault::Command,
        UpstreamError::NoSlot(_) => Fault::NoPlace,
    }
}

impl Failover {
    pub fn new(sources: usize) -> Self {
        Self { sources: vec![Standing::default(); sources], pauses: 0 }
    }

    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// A source failed after it had run for so long: it rests for `rest`, twice as long each time it comes back and fails.
    pub fn blame(&mut self, source: usize, ran: Duration, rest: Duration, now: Instant) {
        if ran >= GOOD_RUN {
            self.pauses = 0;
        }
        let Some(standing) = self.sources.get_mut(source) else { return };
        if ran >= standing.rested.max(GOOD_RUN) {
            standing.faults = 0;
        }
        let times = (1 << standing.faults.min(8)).min(MOST_RESTS);
        standing.faults += 1;
        standing.rested = rest.max(LEAST_REST) * times;
        standing.rests_until = Some(now + standing.rested);
    }

    /// The source in use gives nothing any more: every source, the next ones first, those that rest last; with a pause where
    /// nothing but them is left.
    pub fn lost(&mut self, source: usize, now: Instant) -> Plan {
        let order = self.from(source, now);
        let rests = order.first().is_none_or(|i| self.sources[*i].rests(now));
        let mut pause = Duration::ZERO;
        if rests || order == [source] {
            pause = backoff(self.pauses);
            self.pauses += 1;
        }
        Plan { pause, order }
    }

    /// The source in use is bad but gives something. None: there is nothing better, it is kept.
    pub fn better(&self, source: usize, now: Instant) -> Option<Plan> {
        let mut order = self.from(source, now);
        order.retain(|i| *i != source && !self.sources[*i].rests(now));
        (!order.is_empty()).then_some(Plan { pause: Duration::ZERO, order })
    }

    /// Somebody wants another source: that one, or the next.
    pub fn asked(&self, source: usize, wanted: Option<usize>, now: Instant) -> Plan {
        let mut order = wanted.map_or_else(|| self.from(source, now), |wanted| vec![wanted]);
        order.retain(|i| *i != source && *i < self.len());
        Plan { pause: Duration::ZERO, order }
    }

    /// All sources behind `source` in a circle, itself last; those that rest behind the others, the most rested first.
    fn from(&self, source: usize, now: Instant) -> Vec<usize> {
        let n = self.len();
        let mut order: Vec<usize> = (1..=n).map(|step| (source + step) % n).collect();
        order.sort_by_key(|i| self.sources[*i].rests_until.filter(|until| now < *until));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_next_source_at_once_and_a_pause_when_all_have_failed() {
        let mut f = Failover::new(3);
        let t = Instant::now();
        f.blame(0, SECOND, REST, t);
        assert_eq!(f.lost(0, t), Plan { pause: Duration::ZERO, order: vec![1, 2, 0] });
        f.blame(1, SECOND, REST, t + SECOND);
        assert_eq!(f.lost(1, t + SECOND), Plan { pause: Duration::ZERO, order: vec![2, 0, 1] });
        f.blame(2, SECOND, REST, t + 2 * SECOND);
        let mut last = Duration::ZERO;
        for n in 0..4 {
            let plan = f.lost(2, t + 2 * SECOND);
            assert_eq!(plan.order, [0, 1, 2], "the most rested first");
            assert!(plan.pause > last, "{n}: {:?}", plan.pause);
            last = plan.pause;
        }
    }

    #[test]
    fn a_single_source_is_opened_again_with_pauses_and_never_left_for_less() {
        let mut f = Failover::new(1);
        let t = Instant::now();
        assert_eq!(f.better(0, t), None);
        assert_eq!(f.asked(0, None, t).order, [0; 0]);
        for n in 0..8 {
            f.blame(0, Duration::ZERO, REST, t);
            let plan = f.lost(0, t);
            assert!(plan.order == [0] && !plan.pause.is_zero() && plan.pause <= 5 * SECOND, "{n}: {plan:?}");
            assert_eq!(f.better(0, t), None);
        }
        // After a good run it begins with the shortest pause again.
        f.blame(0, GOOD_RUN, REST, t);
        assert!(f.lost(0, t).pause <= Duration::from_millis(200));
    }

    /// Where no rest is wanted, sources that refuse at once are still not asked in a circle.
    #[test]
    fn without_a_rest_there_are_pauses_all_the_same() {
        let mut f = Failover::new(3);
        let (t, mut at, mut source, mut tries) = (Instant::now(), Duration::ZERO, 0, 0);
        while at < 60 * SECOND {
            f.blame(source, Duration::ZERO, Duration::ZERO, t + at);
            let plan = f.lost(source, t + at);
            (source, tries) = (plan.order[0], tries + 1);
            at += plan.pause + Duration::from_millis(1);
        }
        assert!(tries < 60, "{tries}");
    }

    /// Two bad sources: each move needs a rest that is over, and rests double.
    #[test]
    fn never_to_and_fro() {
        let mut f = Failover::new(2);
        let t = Instant::now();
        let (mut source, mut moves) = (0, Vec::new());
        for s in 0..3600 {
            let now = t + s * SECOND;
            // Whatever is in use is bad from its first second.
            if let Some(plan) = f.better(source, now) {
                f.blame(source, SECOND, REST, now);
                source = plan.order[0];
                moves.push(s);
            }
        }
        assert!(moves.len() <= 12, "{moves:?}");
        assert!(moves.windows(2).skip(1).all(|w| w[1] - w[0] >= 30), "{moves:?}");
    }

    #[test]
    fn what_failed_a_moment_ago_is_not_gone_back_to_for_less_than_silence() {
        let mut f = Failover::new(2);
        let t = Instant::now();
        f.blame(0, REST, REST, t);
        assert_eq!(f.better(1, t + SECOND), None);
        // What gives nothing at all is worse: but not without a pause.
        f.blame(1, SECOND, REST, t + SECOND);
        let plan = f.lost(1, t + SECOND);
        assert!(plan.order == [0, 1] && !plan.pause.is_zero(), "{plan:?}");
        assert_eq!(f.better(1, t + REST).unwrap().order, [0]);
        assert_eq!(f.asked(1, Some(0), t + SECOND).order, [0], "but an administrator may");
        assert_eq!(f.asked(1, Some(5), t).order, [0; 0]);
    }

    #[test]
    fn errors_have_their_kinds() {
        let reset = UpstreamError::Unreachable("reset".into());
        assert_eq!((fault(&reset, true), fault(&reset, false)), (Fault::Reset, Fault::Unreachable));
        assert_eq!(fault(&UpstreamError::Status(503), false), Fault::Status);
        assert_eq!(fault(&UpstreamError::Ended, true), Fault::Ended);
    }
}
