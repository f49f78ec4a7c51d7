//! MPEG-TS for tests: a generator whose every packet is numbered, and a strict reader of what arrived.
//!
//! The generator shares no code with the daemon. Packet `n` of the generator carries `n` and the time of its making, so
//! that the reader tells loss, doubling, tearing and delay. PAT and PMT come before every random-access point.

use std::{
    collections::HashMap,
    sync::LazyLock,
    time::{Duration, Instant},
};

pub const PACKET: usize = 188;
pub const PMT_PID: u16 = 0x1000;
pub const VIDEO_PID: u16 = 0x100;
/// Ahead of the number and the time in the payload.
const MARK: &[u8; 4] = b"YAGI";

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Makes an endless valid stream.
#[derive(Clone, Debug)]
pub struct Generator {
    number: u64,
    counters: HashMap<u16, u8>,
    /// Video packets from one random-access point to the next.
    gop: u64,
    /// Bits per second that the clocks assume.
    bitrate: u64,
    packets: u64,
}

impl Generator {
    pub fn new(gop: u64, bitrate: u64) -> Self {
        Self { number: 0, counters: HashMap::new(), gop: gop.max(1), bitrate, packets: 0 }
    }

    /// The next `n` packets.
    pub fn packets(&mut self, n: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity((n + 2) * PACKET);
        while out.len() < n * PACKET {
            if self.number.is_multiple_of(self.gop) {
                self.table(&mut out, 0, &[0x00, 0xb0, 0x0d, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0x00]);
                let pmt = [0x02, 0xb0, 0x12, 0, 1, 0xc1, 0, 0, 0xe1, 0x00, 0xf0, 0, 0x1b, 0xe1, 0x00, 0xf0, 0];
                self.table(&mut out, PMT_PID, &pmt);
            }
            self.video(&mut out);
        }
        out
    }

    fn head(&mut self, out: &mut Vec<u8>, pid: u16, start: bool, control: u8) {
        let counter = self.counters.entry(pid).or_insert(0);
        out.extend([0x47, (u8::from(start) << 6) | (pid >> 8) as u8, pid as u8, control | *counter]);
        *counter = (*counter + 1) & 15;
        self.packets += 1;
    }

    fn table(&mut self, out: &mut Vec<u8>, pid: u16, section: &[u8]) {
        let begin = out.len();
        self.head(out, pid, true, 0x10);
        out.push(0);
        out.extend(section);
        out.extend(crc(section).to_be_bytes());
        out.resize(begin + PACKET, 0xff);
    }

    fn video(&mut self, out: &mut Vec<u8>) {
        let begin = out.len();
        let random_access = self.number.is_multiple_of(self.gop);
        let clock = self.packets * (PACKET as u64) * 8 * 27_000_000 / self.bitrate;
        self.head(out, VIDEO_PID, random_access, 0x30);
        let (base, rest) = (clock / 300 % (1 << 33), clock % 300);
        out.extend([7, if random_access { 0x50 } else { 0x10 }]);
        out.extend(((base >> 1) as u32).to_be_bytes());
        out.extend([((base & 1) as u8) << 7 | 0x7e | (rest >> 8) as u8, rest as u8]);
        if random_access {
            let pts = base + 45_000;
            out.extend([0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21 | ((pts >> 30 & 7) as u8) << 1]);
            out.extend([(pts >> 22) as u8, (pts >> 14) as u8 | 1, (pts >> 7) as u8, (pts as u8) << 1 | 1]);
        }
        out.extend(MARK);
        out.extend(self.number.to_be_bytes());
        out.extend((START.elapsed().as_micros() as u64).to_be_bytes());
        out.resize(begin + PACKET, 0x55);
        self.number += 1;
    }
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}

/// Reads what a player received, in pieces of any size.
#[derive(Debug, Default)]
pub struct Checker {
    rest: Vec<u8>,
    counters: HashMap<u16, u8>,
    pub bytes: u64,
    pub packets: u64,
    pub random_access: u64,
    /// The generator's number of the first and last packet that came.
    pub first: Option<u64>,
    pub last: Option<u64>,
    /// Numbered packets that are missing, without and with an announced skip before them.
    pub lost: u64,
    pub skipped: u64,
    /// Numbered packets that came twice or too late.
    pub doubled: u64,
    /// Packets that do not begin with a sync byte.
    pub torn: u64,
    /// Continuity counters that jumped without a discontinuity indicator.
    pub jumps: u64,
    /// PIDs in the order in which they appeared.
    pub order: Vec<u16>,
    /// Whether the first video packet was a random-access point.
    pub starts_at_access: Option<bool>,
    pub worst_age: Duration,
    pub worst_gap: Duration,
    before: Option<Instant>,
}

impl Checker {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let now = Instant::now();
        if let Some(before) = self.before.replace(now) {
            self.worst_gap = self.worst_gap.max(now - before);
        }
        self.bytes += bytes.len() as u64;
        self.rest.extend(bytes);
        let rest = std::mem::take(&mut self.rest);
        let mut packets = rest.chunks_exact(PACKET);
        for packet in &mut packets {
            self.packet(packet);
        }
        self.rest = packets.remainder().to_vec();
    }

    fn packet(&mut self, p: &[u8]) {
        self.packets += 1;
        if p[0] != 0x47 {
            self.torn += 1;
            return;
        }
        let pid = u16::from(p[1] & 0x1f) << 8 | u16::from(p[2]);
        if !self.order.contains(&pid) {
            self.order.push(pid);
        }
        let has_field = p[3] & 0x20 != 0 && p[4] > 0;
        let announced = has_field && p[5] & 0x80 != 0;
        let access = has_field && p[5] & 0x40 != 0;
        let counter = p[3] & 15;
        if announced && p[3] & 0x10 == 0 {
            // A packet of nothing but the announcement: the next one continues its counter.
            self.counters.insert(pid, counter);
        }
        if pid != 0x1fff && p[3] & 0x10 != 0 {
            let before = self.counters.insert(pid, counter);
            if before.is_some_and(|c| (c + 1) & 15 != counter) && !announced {
                self.jumps += 1;
            }
        }
        if pid == VIDEO_PID && self.starts_at_access.is_none() {
            self.starts_at_access = Some(access);
        }
        self.random_access += u64::from(access);
        let Some(at) = p.windows(4).position(|w| w == MARK) else { return };
        let word = |i: usize| u64::from_be_bytes(p[at + i..at + i + 8].try_into().unwrap());
        let (number, made) = (word(4), Duration::from_micros(word(12)));
        self.worst_age = self.worst_age.max(START.elapsed().saturating_sub(made));
        self.first.get_or_insert(number);
        match self.last {
            Some(last) if number <= last => {
                self.doubled += 1;
                return;
            }
            // A skip lands on a random-access point.
            Some(last) if access => self.skipped += number - last - 1,
            Some(last) => self.lost += number - last - 1,
            None => {}
        }
        self.last = Some(number);
    }

    /// What a player must find at a start: PAT, PMT, then a random-access point.
    #[track_caller]
    pub fn assert_good_start(&self) {
        assert_eq!(self.order.first(), Some(&0), "PAT first: {self:?}");
        assert_eq!(self.order.get(1), Some(&PMT_PID), "then the PMT: {self:?}");
        assert_eq!(self.starts_at_access, Some(true), "then a random-access point: {self:?}");
    }

    /// Nothing lost, doubled, torn or skipped, and the counters continuous.
    #[track_caller]
    pub fn assert_continuous(&self) {
        let faults = (self.lost, self.skipped, self.doubled, self.torn, self.jumps);
        assert_eq!(faults, (0, 0, 0, 0, 0), "(lost, skipped, doubled, torn, jumps) of {} packets", self.packets);
        assert!(self.last.is_some(), "no numbered packet came");
    }
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let stream = Generator::new(10, 1_000_000).packets(100);
    let whole = |bytes: &[u8]| {
        let mut checker = Checker::new();
        bytes.chunks(1000).for_each(|b| checker.feed(b));
        checker
    };
    let good = whole(&stream);
    good.assert_good_start();
    good.assert_continuous();
    assert!(good.random_access >= 8);
    let cut = [&stream[..PACKET * 5], &stream[PACKET * 6..]].concat();
    assert_eq!((whole(&cut).lost, whole(&cut).jumps), (1, 1));
    let twice = [&stream[..PACKET * 6], &stream[PACKET * 5..]].concat();
    assert_eq!((whole(&twice).doubled, whole(&twice).jumps), (1, 1));
    assert!(whole(&[&stream[..PACKET * 3 + 7], &stream[PACKET * 4..]].concat()).torn > 0);
    assert_eq!(whole(&stream[PACKET * 3..]).starts_at_access, Some(false));
}
