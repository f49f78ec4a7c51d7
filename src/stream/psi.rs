//! Programme tables (ISO 13818-1 §2.4.4): PAT and PMT sections out of packets, and packets out of sections.
//!
//! Owns what a viewer must be told before the first picture. Must not enter: rings, viewers. Invariant: a table that is
//! kept has a correct checksum; memory per stream is bounded by [`MAX_PROGRAMS`] sections of 1,024 bytes.

use std::sync::Arc;

use super::ts::{PACKET, Packet};

/// Programmes of a multiplex that are followed.
pub const MAX_PROGRAMS: usize = 32;
const MAX_SECTION: usize = 1024;

/// Elementary stream of a programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elementary {
    pub pid: u16,
    pub kind: u8,
    pub audio: bool,
}

/// Kinds of picture that can be told by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Mpeg2,
    H264,
    Hevc,
    OtherVideo,
    NotVideo,
}

/// ISO 13818-1 table 2-34 and its amendments.
pub fn codec(stream_type: u8) -> Codec {
    match stream_type {
        0x01 | 0x02 => Codec::Mpeg2,
        0x1b => Codec::H264,
        0x24 => Codec::Hevc,
        0x10 | 0x33 | 0x42 | 0xd1 | 0xea => Codec::OtherVideo,
        _ => Codec::NotVideo,
    }
}

fn is_audio(stream_type: u8) -> bool {
    matches!(stream_type, 0x03 | 0x04 | 0x0f | 0x11 | 0x1c | 0x81 | 0x82 | 0x84 | 0x87 | 0x88)
}

/// The tables in force: what precedes every start. Many of these stand beside the ring, so what did not change between two of them is
/// shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    pub pat: Arc<[u8]>,
    /// In the PAT's order; sections that have come.
    pub pmts: Vec<(u16, Arc<[u8]>)>,
}

/// The programme map of one PAT: number and PID of each PMT, in order.
pub fn programmes(pat: &[u8]) -> Vec<(u16, u16)> {
    let body = pat.get(8..pat.len().saturating_sub(4)).unwrap_or_default();
    body.chunks_exact(4)
        .map(|e| (u16::from(e[0]) << 8 | u16::from(e[1]), u16::from(e[2] & 0x1f) << 8 | u16::from(e[3])))
        .filter(|(number, _)| *number != 0)
        .take(MAX_PROGRAMS)
        .collect()
}

/// The programme number of a PMT section.
pub fn number(pmt: &[u8]) -> u16 {
    u16::from(pmt[3]) << 8 | u16::from(pmt[4])
}

/// PCR PID and elementary streams of a PMT section.
pub fn programme(pmt: &[u8]) -> (u16, Vec<Elementary>) {
    let end = pmt.len().saturating_sub(4);
    let Some(head) = pmt.get(..12) else { return (0x1fff, Vec::new()) };
    let pcr = u16::from(head[8] & 0x1f) << 8 | u16::from(head[9]);
    let mut at = 12 + (usize::from(head[10] & 0x0f) << 8 | usize::from(head[11]));
    let mut found = Vec::new();
    while at + 5 <= end {
        let e = &pmt[at..at + 5];
        let next = at + 5 + (usize::from(e[3] & 0x0f) << 8 | usize::from(e[4]));
        let descriptors = pmt.get(at + 5..next.min(end)).unwrap_or_default();
        let audio = is_audio(e[0]) || e[0] == 0x06 && describes_audio(descriptors);
        found.push(Elementary { kind: e[0], pid: u16::from(e[1] & 0x1f) << 8 | u16::from(e[2]), audio });
        at = next;
    }
    (pcr, found)
}

/// Private data that its descriptors say to be sound (ETSI EN 300 468, and registrations).
fn describes_audio(mut descriptors: &[u8]) -> bool {
    while let [tag, len, rest @ ..] = descriptors {
        let (body, others) = rest.split_at(rest.len().min(usize::from(*len)));
        let registered = [&b"AC-3"[..], b"EAC3", b"AC-4", b"DTS1", b"DTS2", b"DTS3", b"Opus"];
        if matches!(tag, 0x6a | 0x7a | 0x7b | 0x7c) || *tag == 5 && registered.iter().any(|r| body.starts_with(r)) {
            return true;
        }
        descriptors = others;
    }
    false
}

/// Gathers the sections of one PID.
#[derive(Default)]
pub struct Gatherer {
    buf: Vec<u8>,
    counter: Option<u8>,
    /// A section has begun.
    inside: bool,
}

impl Gatherer {
    /// A section has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.inside && !self.buf.is_empty()
    }

    /// The complete, sound sections of `table` that end in this packet.
    pub fn push(&mut self, packet: Packet<'_>, table: u8) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let payload = packet.payload();
        let Some(pointer) = payload.first() else { return found };
        let before = self.counter.replace(packet.counter());
        if before == Some(packet.counter()) && !packet.starts_unit() {
            return found; // a repeated packet
        }
        if before.is_some_and(|c| (c + 1) & 15 != packet.counter()) {
            self.inside = false;
        }
        if packet.starts_unit() {
            let (tail, fresh) = payload[1..].split_at(usize::from(*pointer).min(payload.len() - 1));
            self.take(tail, table, &mut found);
            self.buf.clear();
            self.inside = true;
            self.take(fresh, table, &mut found);
        } else {
            self.take(payload, table, &mut found);
        }
        found
    }

    fn take(&mut self, bytes: &[u8], table: u8, found: &mut Vec<Vec<u8>>) {
        if self.inside {
            self.buf.extend_from_slice(bytes);
        }
        while self.inside && self.buf.len() >= 3 {
            let len = 3 + (usize::from(self.buf[1] & 0x0f) << 8 | usize::from(self.buf[2]));
            if self.buf[0] == 0xff || len > MAX_SECTION {
                // Stuffing until the next section's packet, or none of ours.
                self.inside = false;
                return;
            }
            let Some(section) = self.buf.get(..len) else { return };
            // current_next_indicator: a table that is not in force yet is not ours.
            if section[0] == table && len >= 12 && section[5] & 1 == 1 && crc32(section) == 0 {
                found.push(section.to_vec());
            }
            self.buf.drain(..len);
        }
    }
}

/// Packets that carry a section, with counters from 0 on. With `jump`, the first is flagged as a discontinuity.
pub fn packetize(pid: u16, section: &[u8], jump: bool, out: &mut Vec<u8>) {
    let mut rest = section;
    let mut counter = 0u8;
    while counter == 0 || !rest.is_empty() {
        let start = out.len();
        let begins = counter == 0;
        out.extend_from_slice(&[
            0x47,
            (pid >> 8) as u8 & 0x1f | if begins { 0x40 } else { 0 },
            pid as u8,
            0x10 | counter & 15,
        ]);
        if begins && jump {
            out[start + 3] |= 0x20;
            out.extend_from_slice(&[1, 0x80]);
        }
        if begins {
            out.push(0);
        }
        let (now, later) = rest.split_at(rest.len().min(start + PACKET - out.len()));
        out.extend_from_slice(now);
        out.resize(start + PACKET, 0xff);
        rest = later;
        counter += 1;
    }
}

/// Counts packets of one PID so that the last has the counter `last`: the stream's own next one continues it.
pub fn count_towards(last: u8, packets: &mut [u8]) {
    let mut counter = last;
    for packet in packets.chunks_exact_mut(PACKET).rev() {
        packet[3] = packet[3] & 0xf0 | counter & 15;
        counter = counter.wrapping_sub(1);
    }
}

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut c = (i as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 0x8000_0000 != 0 { c << 1 ^ 0x04c1_1db7 } else { c << 1 };
            bit += 1;
        }
        table[i] = c;
        i += 1;
    }
    table
};

fn crc_step(crc: u32, byte: u8) -> u32 {
    crc << 8 ^ CRC[usize::from((crc >> 24) as u8 ^ byte)]
}

/// CRC-32/MPEG-2 (annex A); 0 over a section that includes its checksum.
pub fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| crc_step(crc, *byte))
}

/// What a checksum changes by when a byte with `behind` others behind it changes by the bits of `change`.
pub fn crc32_of_change(change: u8, behind: usize) -> u32 {
    (0..behind).fold(crc_step(0, change), |crc, _| crc_step(crc, 0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A section with its length and checksum filled in.
    pub fn section(table: u8, body: &[u8]) -> Vec<u8> {
        let len = body.len() + 4;
        let mut s = vec![table, 0xb0 | (len >> 8) as u8, len as u8];
        s.extend_from_slice(body);
        let crc = crc32(&s);
        s.extend_from_slice(&crc.to_be_bytes());
        s
    }

    pub fn pat(pmt_pid: u16) -> Vec<u8> {
        section(0, &[0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | (pmt_pid >> 8) as u8, pmt_pid as u8])
    }

    pub fn pmt(pcr: u16, streams: &[(u8, u16)]) -> Vec<u8> {
        let mut body = vec![0, 1, 0xc1, 0, 0, 0xe0 | (pcr >> 8) as u8, pcr as u8, 0xf0, 0];
        for (kind, pid) in streams {
            body.extend_from_slice(&[*kind, 0xe0 | (pid >> 8) as u8, *pid as u8, 0xf0, 0]);
        }
        section(2, &body)
    }

    #[test]
    fn sections_survive_packets_of_any_number() {
        for streams in [1usize, 40, 190] {
            let list: Vec<(u8, u16)> = (0..streams).map(|i| (0x1b, 0x100 + i as u16)).collect();
            let section = pmt(0x100, &list);
            for jump in [false, true] {
                let mut out = Vec::new();
                packetize(0x42, &section, jump, &mut out);
                count_towards(3, &mut out);
                assert_eq!(out.len() % PACKET, 0);
                assert_eq!(Packet(&out[out.len() - PACKET..]).counter(), 3);
                let mut gather = Gatherer::default();
                let got: Vec<_> = out.chunks(PACKET).flat_map(|p| gather.push(Packet(p), 2)).collect();
                assert_eq!(got.as_slice(), std::slice::from_ref(&section), "{streams} {jump}");
                assert_eq!(out[3] & 0x20 != 0, jump);
            }
            assert_eq!(programme(&section).1.len(), streams);
        }
    }

    /// Two sections in one packet, the second's rest before the pointer of the next packet.
    #[test]
    fn sections_may_share_packets() {
        let (a, b) = (pmt(0x100, &[(0x1b, 0x100)]), pmt(0x200, &[(0x1b, 0x200); 40]));
        let bytes = [&a[..], &b[..]].concat();
        let (first, rest) = bytes.split_at(PACKET - 5);
        let mut packets = [&[0x47, 0x40, 0x42, 0x10, 0], first].concat();
        packets.extend_from_slice(&[0x47, 0x40, 0x42, 0x11, rest.len() as u8]);
        packets.extend_from_slice(rest);
        packets.extend_from_slice(&a);
        packets.resize(2 * PACKET, 0xff);
        let mut gather = Gatherer::default();
        let got: Vec<_> = packets.chunks(PACKET).flat_map(|p| gather.push(Packet(p), 2)).collect();
        assert_eq!(got, [a.clone(), b, a]);
    }

    #[test]
    fn a_broken_or_foreign_section_is_not_kept() {
        let mut bad = pat(0x42);
        bad[9] ^= 1;
        let mut out = Vec::new();
        packetize(0, &bad, false, &mut out);
        assert!(Gatherer::default().push(Packet(&out), 0).is_empty());
        let mut out = Vec::new();
        packetize(0, &pat(0x42), false, &mut out);
        assert!(Gatherer::default().push(Packet(&out), 2).is_empty());
        assert_eq!(programmes(&pat(0x42)), [(1, 0x42)]);
        assert_eq!(programme(&[2, 0]), (0x1fff, vec![]));
    }

    #[test]
    fn sound_may_hide_in_private_data() {
        let private = |descriptors: &[u8]| {
            let mut body = vec![0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0x06, 0xe1, 0, 0xf0, descriptors.len() as u8];
            body.extend_from_slice(descriptors);
            programme(&section(2, &body)).1[0].audio
        };
        assert!(private(&[0x0a, 1, 0, 0x6a, 1, 0]) && private(b"\x05\x04Opus"));
        assert!(!private(&[0x59, 1, 0]) && !private(&[0x05, 200]) && !private(&[0x6a]));
    }
}
