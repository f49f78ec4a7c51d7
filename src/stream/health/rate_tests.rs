//! Bit rates of sources of every manner, with a clock that is told.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{super::Limits, Rate};

const MS: Duration = Duration::from_millis(1);

fn limits(span_ms: u32) -> Limits {
    Limits {
        rate: MS * span_ms,
        rate_percent: 20,
        video: MS * 5000,
        audio: MS * 8000,
        frozen: MS * 5000,
        stray: MS * 2000,
    }
}

/// A source by the millisecond: how many bytes come in each. It is looked at as a stream does it, from `phase` on; the first alarm.
fn alarm(limits: Limits, phase: u32, ms: u32, bytes: impl Fn(u32) -> u64) -> Option<u32> {
    let (begun, pace) = (Instant::now(), limits.pace().as_millis() as u32);
    let mut rate = Rate::default();
    for at in 0..ms {
        let now = begun + MS * at;
        let came = bytes(at);
        if came > 0 {
            rate.came(came as usize, now);
        }
        if (at + phase).is_multiple_of(pace) && rate.collapsed(&limits, now) {
            return Some(at);
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From a steady rate to a share below the limit, wherever in a part and between two looks it happens: told within the time and a quarter, and
    /// not before half of it.
    #[test]
    fn a_collapse_is_told_in_its_time(
        span in prop_oneof![Just(800u32), Just(2000), Just(10_000)],
        phase in 0u32..2000,
        offset in 0u32..1000,
        steps in 1u64..40,
        percent in 1u64..19,
    ) {
        let limits = limits(span);
        let at = span * 3 + limits.pace().as_millis() as u32 + span * offset / 1000;
        // What comes comes every `steps` milliseconds.
        let kept = |ms: u32| u64::from(u64::from(ms).is_multiple_of(steps)) * steps;
        let told = alarm(limits, phase, at + 2 * span, |ms| if ms < at { kept(ms) * 1000 } else { kept(ms) * 10 * percent });
        let after = told.and_then(|told| told.checked_sub(at));
        prop_assert!(after.is_some_and(|ms| ms >= span / 2 && ms <= span * 5 / 4), "{after:?} of {span}");
    }

    /// It begins with a burst, and is entered anywhere; it varies as 4:1 from scene to scene; it comes as segments, at once or spread.
    #[test]
    fn what_varies_as_sources_do_is_no_collapse(
        phase in 0u32..2000,
        burst in 0u64..30_000,
        scene in 500u32..40_000,
        segment in prop_oneof![Just(1u32), Just(40), Just(500), Just(2000), Just(4000), Just(6000), Just(10_000)],
        jitter in 0u32..1500,
    ) {
        let limits = limits(10_000);
        let low = |ms: u32| (ms / scene).is_multiple_of(2);
        // Of long segments there are one or two in that time, or two or three: that varies it already.
        let least = if segment > 3000 { 520 } else { 260 };
        let bytes = |ms: u32| {
            let start = if ms == 1 { burst * 1000 } else { 0 };
            // Each segment comes whole, some late.
            let late = (ms / segment).wrapping_mul(2_654_435_761) % (jitter.min(segment / 4) + 1);
            let due = (ms % segment) == late;
            start + u64::from(due) * u64::from(segment) * if low(ms) { least } else { 1000 }
        };
        let told = alarm(limits, phase, 240_000, bytes);
        // Segments as long as the time itself are one or none in it; with scenes of 4:1 the mean is what it is.
        prop_assert!(told.is_none(), "{told:?}");
    }

    /// An encoder that pauses is silent, not low, and is what it was when it goes on.
    #[test]
    fn a_pause_is_no_collapse(phase in 0u32..2000, at in 0u32..20_000, pause in 0u32..9_900, share in 6u64..10) {
        let at = 45_000 + at;
        let bytes = |ms: u32| if (at..at + pause).contains(&ms) { 0 } else if ms < at { 1000 } else { share * 100 };
        prop_assert_eq!(alarm(limits(10_000), phase, 120_000, bytes), None);
    }
}

#[test]
fn segments_that_become_small_are_a_collapse() {
    for segment in [1000, 2000, 4000, 6000] {
        let bytes = |ms: u32| match (ms % segment, ms < 60_000) {
            (0, true) => u64::from(segment) * 1000,
            (0, false) => u64::from(segment) * 60,
            _ => 0,
        };
        let told = alarm(limits(10_000), 0, 100_000, bytes).unwrap();
        assert!((60_000..60_000 + 12_500 + segment).contains(&told), "{segment}: {told}");
    }
}

/// A source that collapses before it is known is told when it is, if it had been good for as long as a collapse takes.
#[test]
fn a_rate_that_is_not_yet_known() {
    for good in [10_000, 13_000, 18_000, 20_000] {
        let told = alarm(limits(10_000), 7, 60_000, |ms| if ms < good { 1000 } else { 60 });
        assert!(told.is_some_and(|told| told <= 32_500), "{good}: {told:?}");
    }
    // One that never was more is not.
    assert_eq!(alarm(limits(10_000), 7, 60_000, |_| 60), None);
    assert_eq!(alarm(limits(10_000), 7, 60_000, |ms| if ms < 2000 { 5000 } else { 60 }), None);
}

#[test]
fn it_is_off_and_changed_while_it_runs() {
    let begun = Instant::now();
    let mut rate = Rate::default();
    let mut told = Vec::new();
    for at in 0..90_000_u32 {
        let now = begun + MS * at;
        rate.came(if at < 30_000 { 1000 } else { 50 }, now);
        let limits = match at {
            ..40_000 => limits(10_000),
            40_000..50_000 => Limits { rate: Duration::MAX, ..limits(10_000) },
            _ => limits(1000),
        };
        if at.is_multiple_of(100) && rate.collapsed(&limits, now) {
            told.push(at);
        }
    }
    assert!(told.iter().all(|at| (38_000..40_000).contains(at)), "{told:?}");
    // The low rate is what is usual by now.
    assert_eq!(rate.usual().map(|bits| bits / 10_000), Some(40));
    assert_eq!(rate.lately() / 10_000, 40);
}
