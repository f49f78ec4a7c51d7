//! Makes MPEG-TS of every shape that sources have: codecs, clocks of their own, several programmes, long tables.
//!
//! Shares no code with the daemon. Pictures are not pictures, but begin like them; all else is legal by construction, which
//! the tests check with the strict reader before they trust it.

use std::collections::HashMap;

const PACKET: usize = 188;

#[derive(Clone, Debug)]
pub struct Shape {
    /// Stream type of the picture; none: sound alone.
    pub video: Option<u8>,
    pub audio: u8,
    /// Random-access points are flagged.
    pub flags: bool,
    /// The clock is on a PID of its own, and the picture's packets have no adaptation field unless flagged.
    pub clock_apart: bool,
    pub programmes: u16,
    pub pmt_pid: u16,
    pub first_pid: u16,
    pub version: u8,
    /// Bytes of descriptors in each PMT: beyond 150 it takes more than one packet.
    pub descriptors: usize,
    /// Where its clock begins, in seconds.
    pub begins_s: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            video: Some(0x1b),
            audio: 0x0f,
            flags: true,
            clock_apart: false,
            programmes: 1,
            pmt_pid: 0x1000,
            first_pid: 0x100,
            version: 0,
            descriptors: 0,
            begins_s: 10,
        }
    }
}

/// Writes groups of pictures, 40 ms each.
#[derive(Clone, Debug)]
pub struct Mux {
    pub shape: Shape,
    counters: HashMap<u16, u8>,
    /// In 27 MHz ticks.
    clock: u64,
    /// Bytes that differ from packet to packet.
    noise: u64,
    /// From now on: no packets of the picture, none of the sound, a time that stands still.
    pub blind: bool,
    pub mute: bool,
    pub frozen: bool,
    out: Vec<u8>,
}

fn section(table: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let len = body.len() + 9;
    let mut s = vec![table, 0xb0 | (len >> 8) as u8, len as u8, (extension >> 8) as u8, extension as u8];
    s.extend([0xc1 | version << 1, 0, 0]);
    s.extend_from_slice(body);
    let crc = s.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    });
    s.extend(crc.to_be_bytes());
    s
}

impl Mux {
    pub fn new(shape: Shape, noise: u64) -> Self {
        let (blind, mute, frozen) = (false, false, false);
        let clock = shape.begins_s * 27_000_000;
        Self { clock, shape, counters: HashMap::new(), noise, blind, mute, frozen, out: Vec::new() }
    }

    /// Tables, then a group of so many pictures with sound, each picture of so many packets.
    pub fn group(&mut self, pictures: usize, packets: usize) -> Vec<u8> {
        self.tables();
        for n in 0..pictures {
            self.picture(n == 0, packets);
        }
        std::mem::take(&mut self.out)
    }

    /// At least so many bytes, in groups of eight pictures.
    pub fn bytes(&mut self, least: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < least {
            all.extend(self.group(8, 5));
        }
        all
    }

    fn pids(&self, programme: u16) -> (u16, u16, u16) {
        let base = self.shape.first_pid + 0x10 * programme;
        let clock = match self.shape {
            Shape { clock_apart: true, .. } => base + 2,
            Shape { video: None, .. } => base + 1,
            _ => base,
        };
        (base, base + 1, clock)
    }

    fn tables(&mut self) {
        let shape = self.shape.clone();
        let mut pat = Vec::new();
        for n in 0..shape.programmes {
            let pid = shape.pmt_pid + n;
            pat.extend([(n + 1).to_be_bytes(), (0xe000 | pid).to_be_bytes()].concat());
        }
        self.table(0, &section(0, 1, shape.version, &pat));
        for n in 0..shape.programmes {
            let (video, audio, clock) = self.pids(n);
            let mut body = (0xe000 | clock).to_be_bytes().to_vec();
            body.extend((0xf000 | shape.descriptors as u16).to_be_bytes());
            body.extend((0..shape.descriptors).map(|i| {
                if i % 50 == 0 {
                    0xc0
                } else if i % 50 == 1 {
                    48
                } else {
                    7
                }
            }));
            for (kind, pid) in shape.video.map(|kind| (kind, video)).into_iter().chain([(shape.audio, audio)]) {
                body.push(kind);
                body.extend((0xe000 | pid).to_be_bytes());
                body.extend(if kind == 6 { &[0xf0, 3, 0x6a, 1, 0][..] } else { &[0xf0, 0] });
            }
            self.table(shape.pmt_pid + n, &section(2, n + 1, shape.version, &body));
        }
    }

    fn head(&mut self, pid: u16, begins: bool, control: u8) {
        let counter = self.counters.entry(pid).or_insert((pid % 13) as u8);
        *counter = if control & 0x10 != 0 { (*counter + 1) & 15 } else { *counter };
        self.out.extend([0x47, u8::from(begins) << 6 | (pid >> 8) as u8, pid as u8, control | *counter]);
    }

    fn table(&mut self, pid: u16, section: &[u8]) {
        let bytes = [&[0], section].concat();
        for (n, piece) in bytes.chunks(PACKET - 4).enumerate() {
            let from = self.out.len();
            self.head(pid, n == 0, 0x10);
            self.out.extend_from_slice(piece);
            self.out.resize(from + PACKET, 0xff);
        }
    }

    fn clock_field(&self, flags: u8) -> [u8; 8] {
        let (base, rest) = (self.clock / 300 % (1 << 33), self.clock % 300);
        let high = ((base >> 1) as u32).to_be_bytes();
        [
            7,
            flags | 0x10,
            high[0],
            high[1],
            high[2],
            high[3],
            (base as u8 & 1) << 7 | 0x7e | (rest >> 8) as u8,
            rest as u8,
        ]
    }

    /// A packet of a PES packet: the first has a header and these bytes.
    fn unit(&mut self, pid: u16, first: Option<(u8, &[u8])>, field: &[u8]) {
        let from = self.out.len();
        self.head(pid, first.is_some(), if field.is_empty() { 0x10 } else { 0x30 });
        self.out.extend_from_slice(field);
        if let Some((stream, es)) = first {
            let pts = (self.clock / 300 + 45_000) % (1 << 33);
            self.out.extend([0, 0, 1, stream, 0, 0, 0x80, 0x80, 5, 0x21 | ((pts >> 30) as u8) << 1]);
            self.out.extend([(pts >> 22) as u8, (pts >> 14) as u8 | 1, (pts >> 7) as u8, (pts as u8) << 1 | 1]);
            self.out.extend_from_slice(es);
        }
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.out.extend(self.noise.to_be_bytes().map(|b| b | 0x80));
        self.out.resize(from + PACKET, 0x99);
    }

    fn picture(&mut self, access: bool, packets: usize) {
        let flag = if access && self.shape.flags { 0x40 } else { 0 };
        for n in 0..self.shape.programmes {
            let (video, audio, clock) = self.pids(n);
            if self.shape.clock_apart {
                let from = self.out.len();
                self.head(clock, false, 0x20);
                let mut field = self.clock_field(0);
                field[0] = 183;
                self.out.extend(field);
                self.out.resize(from + PACKET, 0xff);
            }
            let field = |pid: u16| match (pid == clock, flag) {
                (true, _) => self.clock_field(flag).to_vec(),
                (false, 0) => Vec::new(),
                (false, flag) => vec![1, flag],
            };
            let (first, sound) = (field(video), field(audio));
            if let Some(kind) = self.shape.video.filter(|_| !self.blind) {
                let es: &[u8] = match (kind, access) {
                    (0x1b, true) => &[0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x67],
                    (0x1b, false) => &[0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x41],
                    (0x24, true) => &[0, 0, 0, 1, 0x40, 1],
                    (0x24, false) => &[0, 0, 0, 1, 2, 1],
                    (_, true) => &[0, 0, 1, 0xb3],
                    (_, false) => &[0, 0, 1, 0],
                };
                self.unit(video, Some((0xe0, es)), &first);
                for _ in 1..packets {
                    self.unit(video, None, &[]);
                }
            }
            if !self.mute {
                self.unit(audio, Some((0xc0, &[0xff, 0xf1])), &sound);
                self.unit(audio, None, &[]);
            }
        }
        if !self.frozen {
            self.clock += 27_000_000 / 25;
        }
    }
}
