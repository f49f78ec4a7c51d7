//! Streams of every shape through the intake, read by viewers who join, fall behind and are moved, under the strict reader.

use proptest::prelude::*;

use super::*;

#[path = "../../tests/it/support/mux.rs"]
#[allow(dead_code, reason = "shared with the integration tests")]
pub mod mux;
#[path = "../../tests/it/support/strict.rs"]
#[allow(dead_code, reason = "shared with the integration tests")]
mod strict;

use mux::{Mux, Shape};
use strict::Strict;

/// A viewer as the sweep treats it, without a socket: takes a number of bytes, is moved when lapped.
struct Viewer {
    lead: Vec<u8>,
    cursor: u64,
    strict: Strict,
    skips: u32,
}

impl Viewer {
    fn join(intake: &Intake) -> Self {
        let entry = intake.join(Duration::from_millis(200));
        Self { lead: entry.lead.to_vec(), cursor: entry.offset, strict: Strict::default(), skips: 0 }
    }

    fn read(&mut self, intake: &Intake, most: usize) {
        let ring = intake.ring();
        if self.cursor < ring.tail() {
            let rest = self.lead.len() % PACKET;
            let entry = intake.skip();
            self.lead.truncate(rest);
            self.lead.extend_from_slice(&entry.lead);
            self.cursor = entry.offset;
            self.skips += 1;
        }
        let (a, b) = ring.since(self.cursor);
        let all = [&self.lead[..], a, b].concat();
        let n = most.min(all.len());
        self.strict.feed(&all[..n]);
        // What remains of a packet that was begun is kept apart.
        let from_lead = n.min(self.lead.len());
        self.lead.drain(..from_lead);
        let from_ring = n - from_lead;
        let begun = from_ring.next_multiple_of(PACKET);
        if from_ring > 0 {
            self.lead = all[n..n + begun - from_ring].to_vec();
            self.cursor += begun as u64;
        }
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let video = prop_oneof![Just(Some(0x1b)), Just(Some(0x24)), Just(Some(0x02)), Just(None)];
    let audio = prop_oneof![Just(0x0f), Just(0x03), Just(0x06)];
    let place = (prop_oneof![Just(0x1000u16), Just(0x42)], prop_oneof![Just(0x100u16), Just(0x400)], 0u8..32);
    let rest = (1u16..4, prop_oneof![Just(0usize), Just(20), Just(400)], 0u64..100_000);
    (video, audio, any::<(bool, bool)>(), place, rest).prop_map(
        |(video, audio, (flags, clock_apart), (pmt_pid, first_pid, version), (programmes, descriptors, begins_s))| {
            Shape { video, audio, flags, clock_apart, programmes, pmt_pid, first_pid, version, descriptors, begins_s }
        },
    )
}

/// The same bytes in packets of 192 or 204.
fn restride(bytes: &[u8], stride: usize) -> Vec<u8> {
    bytes
        .chunks_exact(PACKET)
        .flat_map(|p| match stride {
            192 => [&[0x11, 0x22, 0x33, 0x44], p].concat(),
            204 => [p, &[0x5a; 16]].concat(),
            _ => p.to_vec(),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Joins, skips and seams, in any order and between sources of any shape, are legal for every viewer.
    #[test]
    fn whatever_happens_is_legal(
        sources in proptest::collection::vec((shapes(), 1usize..12, any::<u64>()), 1..5),
        appetites in proptest::collection::vec(0usize..60_000, 2..6),
        strides in proptest::collection::vec(prop_oneof![Just(188usize), Just(192), Just(204)], 4),
        garbage in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut intake = Intake::new(160 * PACKET).unwrap();
        let now = Instant::now();
        let mut viewers: Vec<Viewer> = Vec::new();
        for (n, (shape, groups, noise)) in sources.into_iter().enumerate() {
            if n > 0 {
                intake.seam();
            }
            let mut mux = Mux::new(shape, noise);
            let mut source = Strict::default();
            intake.push(&garbage, now);
            for g in 0..groups {
                let bytes = mux.group(4, 4);
                source.feed(&bytes);
                let wire = restride(&bytes, strides[n % strides.len()]);
                for piece in wire.chunks(3000) {
                    intake.push(piece, now);
                    for (viewer, most) in viewers.iter_mut().zip(&appetites) {
                        viewer.read(&intake, *most);
                    }
                }
                if g >= 2 && viewers.len() < appetites.len() && intake.is_ready(Some(now), now) {
                    viewers.push(Viewer::join(&intake));
                }
            }
            source.assert_legal();
        }
        for viewer in &mut viewers {
            viewer.read(&intake, usize::MAX);
            viewer.strict.assert_legal();
            prop_assert_eq!(viewer.strict.entries > 0, true);
        }
    }

    /// A source that changes its programme midway, with a new version or without one.
    #[test]
    fn a_programme_that_changes_is_told(first in shapes(), counts in any::<bool>(), kind in prop_oneof![Just(0x81u8), Just(0x11)]) {
        let mut intake = Intake::new(4000 * PACKET).unwrap();
        let now = Instant::now();
        let mut mux = Mux::new(first, 1);
        let before: Vec<u8> = (0..3).flat_map(|_| mux.group(4, 4)).collect();
        intake.push(&before, now);
        let mut viewer = Viewer::join(&intake);
        mux.shape.audio = kind;
        mux.shape.version = (mux.shape.version + u8::from(counts)) & 31;
        let after: Vec<u8> = (0..3).flat_map(|_| mux.group(4, 4)).collect();
        intake.push(&after, now);
        viewer.read(&intake, usize::MAX);
        viewer.strict.assert_legal();
        prop_assert!(viewer.strict.bumps > 0);
        // Who joins now is told the new table under the same number.
        let mut late = Viewer::join(&intake);
        late.read(&intake, usize::MAX);
        late.strict.assert_legal();
    }
}

#[test]
fn what_is_legal_passes_byte_for_byte() {
    for shape in [
        Shape::default(),
        Shape { programmes: 3, descriptors: 400, ..Shape::default() },
        Shape { video: Some(0x24), clock_apart: true, version: 9, ..Shape::default() },
        Shape { video: None, flags: false, ..Shape::default() },
    ] {
        let bytes = Mux::new(shape, 7).bytes(300_000);
        let mut intake = Intake::new(8000 * PACKET).unwrap();
        for piece in bytes.chunks(1316) {
            intake.push(piece, Instant::now());
        }
        let (a, b) = intake.ring().since(0);
        assert!([a, b].concat() == bytes);
    }
}

/// Thirty-two programmes whose tables change again and again: what entries remember of them is no more than what came.
#[test]
fn tables_that_change_cost_what_they_are_long() {
    use super::super::psi::tests::section;
    let (mut intake, now) = (Intake::new(40_000 * PACKET).unwrap(), Instant::now());
    let (mut counters, mut came) = (std::collections::HashMap::new(), 0);
    let mut tell = |intake: &mut Intake, pid: u16, section: &[u8]| {
        let mut out = Vec::new();
        psi::packetize(pid, section, false, &mut out);
        for packet in out.chunks_exact_mut(PACKET) {
            let counter = counters.entry(pid).or_insert(0u8);
            packet[3] = packet[3] & 0xf0 | *counter;
            *counter = (*counter + 1) & 15;
        }
        came += out.len();
        intake.push(&out, now);
    };
    let mut pat = vec![0, 1, 0xc1, 0, 0];
    (0..32).for_each(|n| pat.extend([0, n + 1, 0xe1, n]));
    tell(&mut intake, 0, &section(0, &pat));
    for round in 0..20u8 {
        for n in 0..32 {
            let mut pmt = vec![0, n + 1, 0xc1 | round << 1, 0, 0, 0xe2, 0, 0xf3, 0x80];
            pmt.resize(9 + 0x380, round);
            pmt.extend([0x1b, 0xe2, n, 0xf0, 0]);
            tell(&mut intake, 0x100 + u16::from(n), &section(2, &pmt));
            let mut picture = [0xff; PACKET];
            picture[..6].copy_from_slice(&[0x47, 0x42, 0, 0x30 | n & 15, 7, 0x40]);
            intake.push(&[&picture[..], &[0x47, 0x1f, 0xff, 0x10].repeat(47).repeat(22)].concat(), now);
        }
    }
    let mut held: Vec<_> = intake.index().accesses_from(0).flat_map(|a| a.tables.pmts.iter().map(|(_, s)| s)).collect();
    assert!(held.len() > 10_000, "{} tables of entries", held.len());
    held.sort_by_key(|s| s.as_ptr());
    held.dedup_by_key(|s| s.as_ptr());
    let bytes: usize = held.iter().map(|s| s.len()).sum();
    assert!(bytes <= came, "{bytes} of {came}");
}

/// A source that is entered anywhere: what viewers miss of it ends with its first random-access point, and not a packet later.
#[test]
fn a_seam_costs_what_lies_before_the_first_random_access_point() {
    for begins in [1, 7, 30, 57] {
        let mut intake = Intake::new(8000 * PACKET).unwrap();
        let now = Instant::now();
        intake.push(&Mux::new(Shape::default(), 1).bytes(60_000), now);
        let seam = intake.ring().head();
        intake.seam();
        let mut next = Mux::new(Shape { first_pid: 0x200, ..Shape::default() }, 2);
        let (first, second) = (next.group(8, 5), next.group(8, 5));
        let bytes = [&first[begins * PACKET..], &second[..]].concat();
        for piece in bytes.chunks(1000) {
            intake.push(piece, now);
        }
        let (a, b) = intake.ring().since(seam);
        // PAT, PMT, and the group from its first picture on (its own tables come before that).
        let came = [a, b].concat();
        assert!(came.ends_with(&second[4 * PACKET..]), "{begins}");
        assert!(came.len() <= second.len() + 8 * PACKET, "{begins}: {} packets more", came.len() / PACKET);
    }
}

/// A loop in the source: the clock goes back without a word.
#[test]
fn a_clock_that_jumps_within_a_source_is_flagged() {
    let mut intake = Intake::new(8000 * PACKET).unwrap();
    let now = Instant::now();
    for begins_s in [5000, 10, 4000] {
        let bytes = Mux::new(Shape { begins_s, ..Shape::default() }, 7).bytes(60_000);
        intake.push(&bytes, now);
    }
    let mut strict = Strict::default();
    let (a, b) = intake.ring().since(0);
    strict.feed(a);
    strict.feed(b);
    assert!(!strict.faults.iter().any(|f| f.contains("clock")), "{:?}", strict.faults);
}

/// The strict reader is worth nothing if it passes what is wrong.
#[test]
fn the_strict_reader_sees_what_is_wrong() {
    let faults = |bytes: &[u8]| {
        let mut strict = Strict::default();
        bytes.chunks(1000).for_each(|b| strict.feed(b));
        strict.faults
    };
    let mut mux = Mux::new(Shape { programmes: 2, ..Shape::default() }, 3);
    let good: Vec<u8> = (0..4).flat_map(|_| mux.group(4, 4)).collect();
    assert_eq!(faults(&good), Vec::<String>::new());
    let sees = |bytes: &[u8], word: &str| {
        let found = faults(bytes);
        assert!(found.iter().any(|f| f.contains(word)), "{word}: {found:?}");
    };
    sees(&good[PACKET..], "before the PAT");
    sees(&[&good[..PACKET], &good[3 * PACKET..]].concat(), "before the PMT");
    sees(&[&good[..3 * PACKET], &good[4 * PACKET..]].concat(), "before a random-access point");
    sees(&[&good[..20 * PACKET], &good[21 * PACKET..]].concat(), "counter");
    sees(&[&good[..20 * PACKET + 5], &good[20 * PACKET..]].concat(), "sync");
    let mut bad = good.clone();
    bad[PACKET + 17] ^= 1;
    sees(&bad, "checksum");
    let other = Mux::new(Shape { begins_s: 9000, ..Shape::default() }, 3).group(4, 4);
    sees(&[&good[..], &other].concat(), "clock jumps");
    sees(&[&good[..], &other].concat(), "table");
}
