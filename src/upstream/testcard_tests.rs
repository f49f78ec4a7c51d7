//! The test card under a strict reader that shares no code with it. Over many loops and over the wrap of the clocks,
//! nothing of the stream may jump.

use std::collections::HashMap;

use super::*;

#[derive(Default)]
struct Strict {
    counters: HashMap<u16, u8>,
    last_pts: HashMap<u16, u64>,
    last_pcr: Option<u64>,
    packets: u64,
    pcrs: u64,
    pictures: u64,
    keys: u64,
    order: Vec<u16>,
}

fn bits33(b: &[u8]) -> u64 {
    assert_eq!((b[0] & 1, b[2] & 1, b[4] & 1), (1, 1, 1), "marker bits");
    ((b[0] as u64 & 0x0e) << 29)
        | ((b[1] as u64) << 22)
        | ((b[2] as u64 & 0xfe) << 14)
        | ((b[3] as u64) << 7)
        | (b[4] as u64 >> 1)
}

impl Strict {
    fn feed(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len() % 188, 0, "whole packets");
        for p in bytes.chunks(188) {
            assert_eq!(p[0], 0x47);
            self.packets += 1;
            let pid = (p[1] as u16 & 0x1f) << 8 | p[2] as u16;
            if self.order.len() < 3 && !self.order.contains(&pid) {
                self.order.push(pid);
            }
            assert_ne!(p[3] & 0x10, 0, "the clip has payload in every packet");
            let cc = p[3] & 0x0f;
            if let Some(last) = self.counters.insert(pid, cc) {
                assert_eq!(cc, (last + 1) & 15, "counter of pid {pid} in packet {}", self.packets);
            }
            let mut at = 4;
            if p[3] & 0x20 != 0 {
                at = 5 + p[4] as usize;
                if p[4] > 0 && p[5] & 0x10 != 0 {
                    let base = (p[6] as u64) << 25
                        | (p[7] as u64) << 17
                        | (p[8] as u64) << 9
                        | (p[9] as u64) << 1
                        | (p[10] as u64) >> 7;
                    let pcr = base * 300 + ((p[10] as u64 & 1) << 8 | p[11] as u64);
                    if let Some(last) = self.last_pcr {
                        let step = (pcr + (1 << 33) * 300 - last) % ((1 << 33) * 300);
                        assert!(step > 0 && step <= 2_700_000, "PCR step of {step} ticks in packet {}", self.packets);
                    }
                    self.last_pcr = Some(pcr);
                    self.pcrs += 1;
                }
                if p[4] > 0 && p[5] & 0x40 != 0 {
                    self.keys += 1;
                }
            }
            if p[1] & 0x40 != 0 && p[at..].starts_with(&[0, 0, 1]) {
                let pts = bits33(&p[at + 9..]);
                if let Some(last) = self.last_pts.insert(pid, pts) {
                    let step = (pts + (1 << 33) - last) % (1 << 33);
                    if p[at + 3] == 0xe0 {
                        assert_eq!(step, 3600, "pictures are 1/25 s apart");
                    } else {
                        assert_eq!(step % 1920, 0, "sound comes in whole frames");
                        assert!(step > 0 && step <= 90_000);
                    }
                }
                self.pictures += u64::from(p[at + 3] == 0xe0);
            }
        }
    }
}

fn run(card: &mut TestCard, loops: u64) -> Strict {
    let mut strict = Strict::default();
    let until = card.loops + loops;
    while card.loops < until {
        let mut out = BytesMut::new();
        card.push(&mut out);
        strict.feed(&out);
    }
    strict
}

#[test]
fn many_loops_are_one_stream() {
    let strict = run(&mut TestCard::new(Instant::now()), 500);
    assert_eq!(strict.pictures, 500 * 400);
    assert!(strict.keys >= 500 * 16);
    assert_eq!(strict.order[0], 0, "PAT first");
    assert_eq!(strict.order[1..], [0x1000, 0x100], "then PMT, then the picture");
}

#[test]
fn the_clocks_wrap_without_a_jump() {
    // 2^33 / 90 kHz are 5965.2 loops of 16 s.
    let strict = run(&mut TestCard::aged(Instant::now(), 5960), 12);
    assert_eq!(strict.pictures, 12 * 400);
}

/// A reader on a clock of its own: what it got until `end`, in its order.
fn watch(card: &mut TestCard, now: &mut Instant, end: Instant, strict: &mut Strict) -> usize {
    let mut total = 0;
    while *now < end {
        if let Some(until) = card.wait(*now) {
            assert!(until > *now && until - *now < Duration::from_millis(150), "a wait of {:?}", until - *now);
            *now = until;
        }
        let bytes = card.take(*now);
        assert!(!bytes.is_empty() && bytes.len() <= 64 * 1024);
        strict.feed(&bytes);
        total += bytes.len();
    }
    total
}

#[test]
fn it_keeps_real_time_after_a_head_start() {
    let start = Instant::now();
    let (mut card, mut now, mut strict) = (TestCard::new(start), start, Strict::default());
    watch(&mut card, &mut now, start + Duration::from_secs(44), &mut strict);
    // 44 s and the head start of 4 s are three loops.
    let pictures = 3 * 400;
    assert!((pictures - 5..pictures + 10).contains(&strict.pictures), "{} pictures", strict.pictures);
}

#[test]
fn a_long_pause_is_not_caught_up_with() {
    let start = Instant::now();
    let (mut card, mut now, mut strict) = (TestCard::new(start), start, Strict::default());
    let first = watch(&mut card, &mut now, start + Duration::from_secs(1), &mut strict);
    now += Duration::from_secs(3600);
    let end = now + Duration::from_secs(1);
    let after = watch(&mut card, &mut now, end, &mut strict);
    assert!(after <= first, "{after} bytes within a second of the pause's end, {first} in the first second");
}

/// Writes three loops for an inspection with `ffmpeg -v warning -i FILE -f null -`, when it is told where.
#[test]
fn three_loops_for_a_decoder() {
    let Some(path) = std::env::var_os("YAGI_TESTCARD_OUT") else { return };
    let mut card = TestCard::new(Instant::now());
    let mut out = BytesMut::new();
    while card.loops < 3 {
        card.push(&mut out);
    }
    std::fs::write(path, out).unwrap();
}
