//! Health on made streams with a clock that is told.

use std::time::{Duration, Instant};

use yagi_api::Fault;

use super::{
    super::{
        intake::{
            Intake,
            tests::mux::{Mux, Shape},
        },
        ts::PACKET,
    },
    *,
};

const LIMITS: Limits = Limits {
    rate: Duration::from_secs(4),
    rate_percent: 20,
    video: Duration::from_secs(2),
    audio: Duration::from_secs(3),
    frozen: Duration::from_secs(2),
    stray: Duration::from_secs(1),
};
/// A group of eight pictures.
const GROUP: Duration = Duration::from_millis(320);

struct Bench {
    intake: Intake,
    mux: Mux,
    now: Instant,
}

impl Bench {
    fn of(shape: Shape) -> Self {
        Self { intake: Intake::new(4000 * PACKET).unwrap(), mux: Mux::new(shape, 1), now: Instant::now() }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.now += GROUP;
        self.intake.push(bytes, self.now);
    }

    fn review(&mut self) -> Option<Fault> {
        self.intake.health().review(&LIMITS, self.now)
    }

    /// So many groups at their pace; the first fault, and after how many.
    fn run(&mut self, groups: usize) -> Option<(Fault, usize)> {
        (0..groups).find_map(|n| {
            let bytes = self.mux.group(8, 5);
            self.push(&bytes);
            self.review().map(|fault| (fault, n + 1))
        })
    }

    fn report(&mut self) -> StreamHealth {
        self.intake.health().report(None, self.now)
    }
}

#[test]
fn a_good_stream_has_no_fault_and_tells_its_figures() {
    for shape in [
        Shape::default(),
        Shape { video: None, ..Shape::default() },
        Shape { clock_apart: true, flags: false, programmes: 2, ..Shape::default() },
    ] {
        let mut bench = Bench::of(shape.clone());
        assert_eq!(bench.run(100), None, "{shape:?}");
        bench.report();
        bench.run(10);
        let health = bench.report();
        assert_eq!((health.continuity_errors, health.scrambled, health.stray_bytes), (0, 0, 0));
        assert!(
            health.pcr_jitter_worst_us.unwrap() < 330_000 && health.usual_bits_per_s.unwrap() > 50_000,
            "{health:?}"
        );
        let all: u64 = health.pids.iter().map(|p| p.bits_per_s).sum();
        assert!(all.abs_diff(health.bits_per_s) < all / 5, "{health:?}");
        let kinds: Vec<&str> = health.pids.iter().map(|p| p.kind.as_str()).collect();
        assert!(kinds.contains(&"PAT") && kinds.contains(&"PMT") && kinds.contains(&"aac"), "{kinds:?}");
        assert_eq!(health.video_age_ms, shape.video.map(|_| 0));
        assert_eq!((health.audio_age_ms, health.pts_age_ms), (Some(0), Some(0)));
        if shape.video.is_some() {
            assert_eq!((health.access_ms, health.access_longest_ms), (Some(320), Some(320)));
            assert_eq!((health.pids[0].stream_type, &*health.pids[0].kind), (0x1b, "h264"));
        }
    }
}

#[test]
fn what_stops_is_told_after_its_time_and_what_never_was_is_not_missed() {
    // Limits over the length of a group, and one more.
    for (fault, change, groups) in [
        (Fault::Video, (|m: &mut Mux| m.blind = true) as fn(&mut Mux), 7),
        (Fault::Audio, |m| m.mute = true, 10),
        (Fault::Frozen, |m| m.frozen = true, 7),
    ] {
        let mut bench = Bench::of(Shape { clock_apart: true, ..Shape::default() });
        assert_eq!(bench.run(20), None);
        change(&mut bench.mux);
        let (seen, after) = bench.run(40).unwrap();
        assert_eq!(seen, fault);
        assert!(after.abs_diff(groups) <= 1, "{fault:?} after {after} groups");
        // A new source begins without blame.
        bench.intake.health().change_source();
        bench.intake.seam();
        bench.mux = Mux::new(Shape { first_pid: 0x200, ..Shape::default() }, 2);
        assert_eq!(bench.run(40), None, "{fault:?}");
        let mut never = Bench::of(Shape { clock_apart: true, ..Shape::default() });
        change(&mut never.mux);
        if fault != Fault::Frozen {
            assert_eq!(never.run(60), None, "{fault:?} that never was");
        }
    }
}

/// Silence of everything is no fault of a part, and a table that lists no sound any more says that none is missing.
#[test]
fn only_what_is_listed_and_missing_alone_is_blamed() {
    let mut bench = Bench::of(Shape::default());
    bench.run(60);
    bench.now += Duration::from_secs(30);
    assert_eq!(bench.review(), None);
    let mut bench = Bench::of(Shape::default());
    bench.run(60);
    bench.mux.shape = Shape { audio: 0x05, version: 1, ..Shape::default() };
    bench.mux.mute = true;
    assert_eq!(bench.run(60), None);
}

#[test]
fn a_collapse_is_relative_to_the_sources_own_rate() {
    let mut bench = Bench::of(Shape::default());
    // It begins with a burst of ten seconds.
    for _ in 0..30 {
        let bytes = bench.mux.group(8, 5);
        bench.intake.push(&bytes, bench.now);
    }
    assert_eq!(bench.run(120), None);
    // Half the rate is not a collapse; a tenth is one, after the time over which it is judged.
    let groups = |bench: &mut Bench, every: usize, n: usize| {
        (0..n).find_map(|i| {
            let bytes = if i % every == 0 { bench.mux.group(8, 5) } else { bench.mux.group(1, 1) };
            bench.push(&bytes);
            bench.review().map(|fault| (fault, i))
        })
    };
    assert_eq!(groups(&mut bench, 2, 60), None);
    bench.run(60);
    let (fault, after) = groups(&mut bench, 1000, 60).unwrap();
    assert_eq!(fault, Fault::Rate);
    assert!((8..=16).contains(&after), "{after}");
    // What lasts becomes usual.
    let faults: Vec<bool> = (0..200)
        .map(|_| {
            let bytes = bench.mux.group(1, 1);
            bench.push(&bytes);
            bench.review().is_some()
        })
        .collect();
    assert!(faults[0] && !faults[199], "{faults:?}");
}

#[test]
fn counters_scrambling_and_strays_are_counted() {
    let mut bench = Bench::of(Shape::default());
    bench.run(5);
    let mut bytes = bench.mux.group(8, 5);
    // Lost: a packet in the middle of a picture. Sent twice: legal. Scrambled: one.
    bytes.drain(5 * PACKET..6 * PACKET);
    let twice = bytes[20 * PACKET..21 * PACKET].to_vec();
    bytes.splice(20 * PACKET..20 * PACKET, twice);
    bytes[30 * PACKET + 3] |= 0x80;
    bench.push(&bytes);
    let health = bench.report();
    assert_eq!((health.continuity_errors, health.scrambled), (1, 1), "{health:?}");
    // A web page in the middle of a stream, then nothing: told when it has had its time.
    let page = "<html><body>your subscription has ended</body></html>".repeat(3);
    bench.push(page.as_bytes());
    assert!(!bench.intake.health().is_stray(&LIMITS, bench.now));
    assert!(bench.intake.health().is_stray(&LIMITS, bench.now + LIMITS.stray));
    bench.run(1);
    assert!(!bench.intake.health().is_stray(&LIMITS, bench.now + LIMITS.stray));
    // Half a packet is none.
    let bytes = bench.mux.group(1, 1);
    bench.push(&bytes[..bytes.len() - 100]);
    bench.push(&[0x80; 90]);
    assert!(!bench.intake.health().is_stray(&LIMITS, bench.now + Duration::from_secs(60)));
    // Rubbish that goes on is none either, whatever it looks like.
    for _ in 0..6 {
        bench.push(&[0x01; 1000]);
    }
    assert!(bench.intake.health().is_stray(&LIMITS, bench.now) && bench.report().stray_bytes > 5000);
}

#[test]
fn memory_is_bounded_and_what_is_shown_too() {
    let mut bench = Bench::of(Shape::default());
    bench.run(2);
    for pid in 0x400u16..0x600 {
        let mut packet = [0xff; PACKET];
        packet[..4].copy_from_slice(&[0x47, (pid >> 8) as u8, pid as u8, 0x10]);
        bench.intake.health().look(Packet(&packet), bench.now);
    }
    assert!(bench.intake.health().pids.len() <= MOST);
    assert_eq!(bench.report().pids.len(), SHOWN);
}
