//! MPEG-TS packets (ISO 13818-1 §2.4.3): header fields, and whole packets out of a byte stream.
//!
//! Owns what can be said of one 188-byte packet and the [`Framer`]. Must not enter: tables, rings, sockets. Invariant:
//! any input is accepted; what leaves the framer is whole packets that begin with the sync byte.

/// Bytes of a packet.
pub const PACKET: usize = 188;
/// The null PID, stuffing.
pub const NULL_PID: u16 = 0x1fff;
const SYNC: u8 = 0x47;
/// Packet distances met in the wild: plain, M2TS (4-byte time stamp before), with Reed-Solomon bytes behind.
const STRIDES: [usize; 3] = [188, 192, 204];
/// Sync bytes in a row that make a lock.
const PROOF: usize = 3;

/// One packet, read in place.
#[derive(Clone, Copy)]
pub struct Packet<'a>(pub &'a [u8]);

impl<'a> Packet<'a> {
    pub fn pid(self) -> u16 {
        u16::from(self.0[1] & 0x1f) << 8 | u16::from(self.0[2])
    }

    /// A section or PES packet begins in it.
    pub fn starts_unit(self) -> bool {
        self.0[1] & 0x40 != 0
    }

    pub fn is_faulty(self) -> bool {
        self.0[1] & 0x80 != 0
    }

    pub fn is_scrambled(self) -> bool {
        self.0[3] & 0xc0 != 0
    }

    pub fn counter(self) -> u8 {
        self.0[3] & 0x0f
    }

    pub fn has_payload(self) -> bool {
        self.0[3] & 0x10 != 0
    }

    /// Flags byte of the adaptation field.
    fn adaptation(self) -> Option<u8> {
        (self.0[3] & 0x20 != 0 && self.0[4] > 0).then_some(self.0[5])
    }

    /// Has an adaptation field that can hold flags.
    pub fn has_flags(self) -> bool {
        self.adaptation().is_some()
    }

    pub fn is_discontinuous(self) -> bool {
        self.adaptation().is_some_and(|flags| flags & 0x80 != 0)
    }

    pub fn is_random_access(self) -> bool {
        self.adaptation().is_some_and(|flags| flags & 0x40 != 0)
    }

    /// The programme clock reference in 27 MHz ticks.
    pub fn pcr(self) -> Option<u64> {
        let flags = self.adaptation()?;
        if flags & 0x10 == 0 || self.0[4] < 7 {
            return None;
        }
        let b = &self.0[6..12];
        let base = u64::from(b[0]) << 25
            | u64::from(b[1]) << 17
            | u64::from(b[2]) << 9
            | u64::from(b[3]) << 1
            | u64::from(b[4] >> 7);
        // An extension of 300 and more is none: what counts beyond the wrap would lie in no clock.
        Some(base * 300 + (u64::from(b[4] & 1) << 8 | u64::from(b[5])) % 300)
    }

    /// The time stamp of the PES packet that begins here, in 90 kHz ticks; of a scrambled one nothing is known.
    pub fn pts(self) -> Option<u64> {
        let p = self.payload().get(..14).filter(|p| p[..3] == [0, 0, 1] && p[7] & 0x80 != 0 && !self.is_scrambled())?;
        let bits = |at: usize| u64::from(p[at]) << 7 | u64::from(p[at + 1] >> 1);
        Some(u64::from(p[9] >> 1 & 7) << 30 | bits(10) << 15 | bits(12))
    }

    /// Bytes behind the header and the adaptation field; empty when the field claims more than the packet.
    pub fn payload(self) -> &'a [u8] {
        if !self.has_payload() {
            return &[];
        }
        let skip = if self.0[3] & 0x20 != 0 { 5 + usize::from(self.0[4]) } else { 4 };
        self.0.get(skip..PACKET).unwrap_or_default()
    }
}

/// Sets `discontinuity_indicator` in a copy of a packet that has an adaptation field to hold it.
pub fn flagged(packet: &[u8]) -> Option<[u8; PACKET]> {
    let mut copy: [u8; PACKET] = packet.try_into().ok()?;
    (copy[3] & 0x20 != 0 && copy[4] > 0).then(|| {
        copy[5] |= 0x80;
        copy
    })
}

/// A packet of nothing but an adaptation field with `discontinuity_indicator`: announces that the counter of `pid` goes
/// on behind `counter`. It carries no payload, so its own counter is the one before the next (§2.4.3.3).
pub fn announcement(pid: u16, counter: u8) -> [u8; PACKET] {
    let mut packet = [0xff; PACKET];
    packet[0] = SYNC;
    packet[1] = (pid >> 8) as u8 & 0x1f;
    packet[2] = pid as u8;
    packet[3] = 0x20 | counter & 0x0f;
    packet[4] = (PACKET - 5) as u8;
    packet[5] = 0x80;
    packet
}

/// Cuts a byte stream into whole packets, whatever its packet size, and finds its way back after garbage.
#[derive(Default)]
pub struct Framer {
    /// Distance of sync bytes; 0 while not locked.
    stride: usize,
    carry: Vec<u8>,
    /// Bytes thrown away because they belonged to no packet.
    pub garbage: u64,
    /// Those of them that came behind the last packet.
    pub stray: u64,
}

impl Framer {
    /// Hands out every whole packet of what has come so far: runs of packets, each a multiple of 188 bytes.
    pub fn push(&mut self, mut chunk: &[u8], mut emit: impl FnMut(&[u8])) {
        if !self.carry.is_empty() && self.stride == PACKET {
            // The usual case: complete the packet that the last chunk began, then go on in place.
            let need = PACKET.saturating_sub(self.carry.len()).min(chunk.len());
            self.carry.extend_from_slice(&chunk[..need]);
            chunk = &chunk[need..];
            if self.carry.len() < PACKET {
                return;
            }
            if self.carry.len() == PACKET && self.carry[0] == SYNC && chunk.first().is_none_or(|b| *b == SYNC) {
                emit(&self.carry);
                self.carry.clear();
                self.stray = 0;
            }
        }
        if self.carry.is_empty() {
            let used = self.frame(chunk, &mut emit);
            self.carry.extend_from_slice(&chunk[used..]);
        } else {
            let mut joined = std::mem::take(&mut self.carry);
            joined.extend_from_slice(chunk);
            let used = self.frame(&joined, &mut emit);
            joined.drain(..used);
            self.carry = joined;
        }
    }

    /// Says how many bytes it is done with; the rest, less than four strides, waits for more.
    fn frame(&mut self, bytes: &[u8], emit: &mut impl FnMut(&[u8])) -> usize {
        let mut at = 0;
        loop {
            if self.stride == 0 {
                match lock(&bytes[at..]) {
                    Lock::At(skip, stride) => {
                        self.garbage += skip as u64;
                        self.stray += skip as u64;
                        at += skip;
                        self.stride = stride;
                    }
                    Lock::Nowhere(skip) => {
                        self.garbage += skip as u64;
                        self.stray += skip as u64;
                        return at + skip;
                    }
                }
            }
            let stride = self.stride;
            let start = at;
            while at + stride <= bytes.len() && bytes[at] == SYNC {
                at += stride;
                if stride != PACKET {
                    emit(&bytes[at - stride..at - stride + PACKET]);
                }
            }
            if at > start {
                self.stray = 0;
                if stride == PACKET {
                    emit(&bytes[start..at]);
                }
            }
            if at + stride > bytes.len() {
                return at;
            }
            // Out of step: look for a new lock from here.
            self.stride = 0;
        }
    }

    /// Forgets the partial packet and the lock: the next bytes are of another source.
    pub fn reset(&mut self) {
        self.stride = 0;
        self.stray = 0;
        self.carry.clear();
    }
}

enum Lock {
    At(usize, usize),
    /// So many bytes can be thrown away; the rest is too short to tell.
    Nowhere(usize),
}

fn lock(bytes: &[u8]) -> Lock {
    let mut from = 0;
    while let Some(at) = memchr::memchr(SYNC, &bytes[from..]).map(|i| i + from) {
        for stride in STRIDES {
            if (1..PROOF).all(|n| bytes.get(at + n * stride).is_some_and(|b| *b == SYNC)) {
                return Lock::At(at, stride);
            }
        }
        if at + STRIDES[2] * (PROOF - 1) >= bytes.len() {
            // The longest stride cannot be ruled out before more has come.
            return Lock::Nowhere(at);
        }
        from = at + 1;
    }
    Lock::Nowhere(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packets(n: usize) -> Vec<u8> {
        (0..n)
            .flat_map(|i| {
                let mut p = [i as u8 | 0x80; PACKET];
                p[0] = SYNC;
                p[3] = 0x10 | (i as u8 & 15);
                p
            })
            .collect()
    }

    fn run(framer: &mut Framer, chunks: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in chunks {
            framer.push(chunk, |p| {
                assert!(p.len() % PACKET == 0 && p.iter().step_by(PACKET).all(|b| *b == SYNC));
                out.extend_from_slice(p);
            });
        }
        out
    }

    #[test]
    fn garbage_before_and_between_packets_is_dropped() {
        let clean = packets(20);
        let mut dirty = b"HTTP junk \x47\x47 ".to_vec();
        dirty.extend_from_slice(&clean[..PACKET * 10]);
        dirty.extend_from_slice(b"lost sync");
        dirty.extend_from_slice(&clean[PACKET * 10..]);
        let mut framer = Framer::default();
        assert_eq!(run(&mut framer, &[&dirty]), clean);
        assert_eq!(framer.garbage, dirty.len() as u64 - clean.len() as u64);
    }

    #[test]
    fn longer_packets_lose_their_extra_bytes() {
        let clean = packets(12);
        let m2ts: Vec<u8> =
            clean.chunks(PACKET).flat_map(|p| [&[1, 2, 3, 4], p].concat()).chain([1, 2, 3, 4]).collect();
        let rs: Vec<u8> = clean.chunks(PACKET).flat_map(|p| [p, &[9; 16]].concat()).collect();
        assert_eq!(run(&mut Framer::default(), &[&m2ts]), clean);
        assert_eq!(run(&mut Framer::default(), &[&rs]), clean);
    }

    #[test]
    fn clock_and_flags_are_read() {
        let mut p = [0xff; PACKET];
        p[..12].copy_from_slice(&[SYNC, 0x41, 0x00, 0x37, 7, 0x50, 0x00, 0x00, 0x00, 0x01, 0xfe, 0x05]);
        let packet = Packet(&p);
        assert_eq!(
            (packet.pid(), packet.counter(), packet.starts_unit(), packet.is_random_access()),
            (0x100, 7, true, true)
        );
        assert_eq!(packet.pcr(), Some(3 * 300 + 5));
        assert_eq!(packet.payload().len(), PACKET - 12);
        let mut last = p;
        last[6..12].fill(0xff);
        assert_eq!(Packet(&last).pcr(), Some(((1 << 33) - 1) * 300 + 211), "never beyond the wrap");
        assert!(flagged(&p).unwrap()[5] & 0x80 != 0);
        let a = announcement(0x123, 5);
        assert_eq!((Packet(&a).pid(), Packet(&a).counter(), Packet(&a).has_payload()), (0x123, 5, false));
    }

    proptest! {
        #[test]
        fn cutting_the_input_anywhere_changes_nothing(cuts in proptest::collection::vec(1usize..400, 0..40)) {
            let clean = packets(30);
            let mut rest = &clean[..];
            let mut chunks = Vec::new();
            for cut in cuts {
                let (a, b) = rest.split_at(cut.min(rest.len()));
                chunks.push(a);
                rest = b;
            }
            chunks.push(rest);
            prop_assert_eq!(run(&mut Framer::default(), &chunks), clean);
        }

        #[test]
        fn anything_is_accepted(bytes in proptest::collection::vec(prop_oneof![Just(SYNC), any::<u8>()], 0..3000), cut in 0usize..3000) {
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            let mut framer = Framer::default();
            run(&mut framer, &[a, b]);
            prop_assert!(framer.carry.len() < 4 * 204);
            for p in bytes.chunks_exact(PACKET) {
                let p = Packet(p);
                let _ = (p.pcr(), p.payload(), p.is_random_access());
            }
        }
    }
}
