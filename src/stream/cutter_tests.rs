//! The cutter on streams made by hand. Must not enter: sockets. Invariant: each test makes its own stream.

use std::time::Instant;

use super::{super::psi, *};
use crate::stream::psi::tests as tables;

const VIDEO: u16 = 0x100;
const TARGET: Duration = Duration::from_secs(2);
const RING: usize = 2000 * PACKET;

/// When each stream begins to come.
fn began() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(ERA)
}

/// `rate` packets a second of media time, a random-access point at each whole one of `gop` packets.
struct Source {
    rate: u64,
    gop: u64,
    made: u64,
    ticks: u64,
    counters: [u8; 2],
}

impl Source {
    fn new(gop: u64) -> Self {
        Self { rate: 20, gop, made: 0, ticks: 0, counters: [0; 2] }
    }

    fn packets(&mut self, n: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..n {
            let access = self.made.is_multiple_of(self.gop);
            if access || self.made == 0 {
                let from = out.len();
                psi::packetize(0, &tables::pat(0x42), false, &mut out);
                psi::packetize(0x42, &tables::pmt(VIDEO, &[(0x1b, VIDEO)]), false, &mut out);
                psi::count_towards(self.counters[0], &mut out[from..from + PACKET]);
                psi::count_towards(self.counters[0], &mut out[from + PACKET..]);
                self.counters[0] = (self.counters[0] + 1) & 15;
            }
            let base = self.ticks / 300;
            let mut p = vec![0x47, 0x41, 0x00, 0x30 | self.counters[1], 7, if access { 0x50 } else { 0x10 }];
            p.extend(((base >> 1) as u32).to_be_bytes());
            p.extend([((base & 1) as u8) << 7 | 0x7e, 0]);
            p.extend(self.made.to_be_bytes());
            p.resize(PACKET, 0x11);
            out.extend(p);
            self.counters[1] = (self.counters[1] + 1) & 15;
            self.made += 1;
            self.ticks += 27_000_000 / self.rate;
        }
        out
    }
}

struct Bench {
    intake: Intake,
    cutter: Cutter,
    now: Instant,
    wall: SystemTime,
}

impl Bench {
    fn new(ring: usize) -> Self {
        Self { intake: Intake::new(ring).unwrap(), cutter: Cutter::new(ring), now: Instant::now(), wall: began() }
    }

    fn feed(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(7 * PACKET) {
            self.intake.push(chunk, self.now);
            self.cutter.follow(&self.intake, TARGET, self.wall);
        }
    }

    fn reel(&mut self) -> Reel {
        self.cutter.publish(self.intake.ring(), true).expect("another reel")
    }
}

/// Numbers that the source wrote into the packets of a segment's picture.
fn pictures(segment: &Segment) -> Vec<u64> {
    assert_eq!(segment.bytes.len() % PACKET, 0);
    let packets = segment.bytes.chunks(PACKET).map(Packet).filter(|p| p.pid() == VIDEO);
    packets.map(|p| u64::from_be_bytes(p.0[12..20].try_into().unwrap())).collect()
}

fn starts_well(segment: &Segment) -> bool {
    let pids: Vec<u16> = segment.bytes.chunks(PACKET).take(3).map(|p| Packet(p).pid()).collect();
    pids == [0, 0x42, VIDEO] && Packet(&segment.bytes[2 * PACKET..3 * PACKET]).is_random_access()
}

#[test]
fn segments_begin_at_random_access_points_and_lose_nothing() {
    let mut bench = Bench::new(RING);
    bench.feed(&Source::new(20).packets(20 * 9 + 1));
    let reel = bench.reel();
    assert_eq!((reel.listed().len(), reel.target_s), (4, 2));
    let seen: Vec<u64> = reel.listed().iter().flat_map(|s| pictures(s)).collect();
    assert_eq!(seen, (0..160).collect::<Vec<_>>());
    assert!(reel.listed().iter().all(|s| starts_well(s) && s.duration == TARGET && !s.is_break));
    let first = reel.listed()[0].number;
    assert!(reel.listed().iter().zip(first..).all(|(s, n)| s.number == n));
    assert!(bench.cutter.publish(bench.intake.ring(), true).is_none(), "nothing new");
}

/// Segments of less than a second, the shortest that can be set: whenever the stream ends and begins again, numbers go on.
#[test]
fn numbers_grow_over_a_restart() {
    let mut bench = Bench::new(RING);
    let first = first_number(began());
    (bench.cutter.next_number, bench.cutter.breaks) = (first, first);
    let mut source = Source { rate: 100, ..Source::new(45) };
    for n in 1..=20 {
        bench.intake.push(&source.packets(90), bench.now);
        bench.cutter.follow(&bench.intake, Duration::from_millis(500), bench.wall);
        bench.cutter.publish(bench.intake.ring(), true);
        let last = bench.cutter.cut.back().map_or(first, |cut| cut.number);
        assert!(first_number(began() + Duration::from_millis(900 * n)) > last, "{n}");
    }
    assert!(bench.cutter.next_number - first >= 30, "short ones");
}

#[test]
fn numbers_do_not_depend_on_who_watches() {
    let (mut alone, mut watched) = (Bench::new(RING), Bench::new(RING));
    watched.cutter.next_number = alone.cutter.next_number;
    let (mut a, mut b) = (Source::new(20), Source::new(20));
    let mut last = Reel::default();
    for _ in 0..60 {
        alone.feed(&a.packets(20));
        assert!(alone.cutter.publish(alone.intake.ring(), false).is_none(), "nothing is kept for nobody");
        watched.feed(&b.packets(20));
        last = watched.cutter.publish(watched.intake.ring(), true).unwrap_or(last);
    }
    let late = alone.reel();
    let shown = |reel: &Reel| reel.listed().iter().map(|s| (s.number, s.bytes.clone())).collect::<Vec<_>>();
    assert_eq!(shown(&late), shown(&last));
    assert_eq!(last.listed().len(), LISTED);
    assert_eq!(last.segments.len(), LISTED + GRACE);
    let oldest = last.segments[0].number;
    assert!(last.segment(oldest).is_some() && last.segment(oldest - 1).is_none());
    assert!(last.segment(oldest + 9).is_none() && last.segment(u64::MAX).is_none());
    // Nobody takes segments any more: their memory goes.
    assert!(watched.cutter.publish(watched.intake.ring(), false).is_some_and(|reel| reel.listed().is_empty()));
    assert!(watched.cutter.cut.iter().all(|c| c.kept.is_none()));
}

#[test]
fn a_jump_of_the_clock_ends_a_segment_and_is_told() {
    let mut bench = Bench::new(RING);
    let mut source = Source::new(20);
    bench.feed(&source.packets(20 * 4 + 30));
    source.ticks += 3600 * 27_000_000;
    bench.feed(&source.packets(20 * 4));
    let reel = bench.reel();
    let told: Vec<_> = reel.listed().iter().map(|s| (s.is_break, s.breaks - reel.listed()[0].breaks)).collect();
    assert_eq!(told, [(false, 0), (false, 0), (false, 0), (true, 0)]);
    // 30 packets until the jump; those until the next random-access point belong to no segment.
    assert_eq!(pictures(&reel.listed()[2]), (80..110).collect::<Vec<_>>());
    assert_eq!(reel.listed()[2].duration, Duration::from_millis(1450));
    assert_eq!(pictures(&reel.listed()[3])[0], 120);
    bench.feed(&source.packets(40));
    let next = bench.reel();
    let after = next.listed().last().unwrap();
    assert_eq!((after.is_break, after.breaks), (false, reel.listed()[0].breaks + 1));
}

#[test]
fn another_source_begins_a_segment_of_its_own() {
    let mut bench = Bench::new(RING);
    bench.feed(&Source::new(20).packets(20 * 4 + 10));
    bench.cutter.seam(&bench.intake);
    bench.intake.seam();
    let mut other = Source::new(20);
    other.ticks = 77 * 27_000_000;
    other.made = 5;
    bench.feed(&other.packets(20 * 4));
    let reel = bench.reel();
    let told: Vec<_> = reel.listed().iter().map(|s| (s.is_break, pictures(s)[0], pictures(s).len())).collect();
    assert_eq!(told, [(false, 0, 40), (false, 40, 40), (false, 80, 10), (true, 20, 40)]);
    assert!(starts_well(&reel.listed()[3]));
}

#[test]
fn segments_are_dated_once_and_then_by_the_media_until_it_breaks() {
    let mut bench = Bench::new(RING);
    let (mut source, t) = (Source::new(20), began() + Duration::from_secs(60));
    bench.wall = t;
    bench.feed(&source.packets(20 * 4 + 10));
    // What comes late was sent in time all the same.
    bench.wall = t + Duration::from_secs(9);
    bench.feed(&source.packets(20 * 2));
    source.ticks += 3600 * 27_000_000;
    bench.feed(&source.packets(20 * 3));
    // Another source; the clock was set back meanwhile.
    bench.wall = t;
    bench.cutter.seam(&bench.intake);
    bench.intake.seam();
    bench.feed(&Source::new(20).packets(20 * 3));
    let reel = bench.reel();
    let epoch = epoch_us(t);
    let dates: Vec<_> =
        reel.listed().iter().map(|s| (s.is_break, (s.date_us - epoch) / 1000, s.duration.as_millis())).collect();
    let told = [
        (false, 2000, 2000),
        (false, 4000, 2000),
        (false, 6000, 450),
        (true, 9000, 2000),
        (false, 11000, 450),
        (true, 11450, 2000),
    ];
    assert_eq!(dates, told);
}

#[test]
fn a_stream_without_random_access_points_is_cut_all_the_same() {
    let mut bench = Bench::new(RING);
    let mut source = Source::new(u64::MAX);
    source.made = 1;
    let mut bytes = Vec::new();
    psi::packetize(0, &tables::pat(0x42), false, &mut bytes);
    psi::packetize(0x42, &tables::pmt(VIDEO, &[(0x1b, VIDEO)]), false, &mut bytes);
    bytes.extend(source.packets(20 * 20));
    bench.feed(&bytes);
    let reel = bench.reel();
    assert!(reel.listed().len() >= 3, "{}", reel.listed().len());
    assert!(reel.listed().iter().all(|s| Packet(&s.bytes).pid() == 0));
    let seen: Vec<u64> = reel.listed().iter().flat_map(|s| pictures(s)).collect();
    assert!(seen.windows(2).all(|w| w[1] == w[0] + 1), "{seen:?}");
}

#[test]
fn memory_has_its_bound_however_large_pictures_are() {
    // A second of this stream is more than a quarter of the ring.
    let ring = 64 * PACKET;
    let mut bench = Bench::new(ring);
    let mut source = Source::new(20);
    let mut reel = Reel::default();
    for _ in 0..100 {
        bench.feed(&source.packets(10));
        reel = bench.cutter.publish(bench.intake.ring(), true).unwrap_or(reel);
        assert!(reel.segments.iter().map(|s| s.bytes.len()).sum::<usize>() <= ring * 4);
    }
    assert!(reel.listed().len() >= 3 && reel.listed < reel.segments.len());
    // A picture that alone overflows the ring.
    let mut bench = Bench::new(ring);
    bench.feed(&Source::new(500).packets(1000));
    let reel = bench.reel();
    assert!(reel.segments.iter().all(|s| s.bytes.len() < ring));
}
