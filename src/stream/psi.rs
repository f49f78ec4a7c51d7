//! Programme tables (ISO 13818-1 §2.4.4): PAT and PMT sections out of packets, and packets out of sections.
//!
//! Owns what a viewer must be told before the first picture. Must not enter: rings, viewers. Invariant: a table that is
//! kept has a correct checksum; memory per stream is bounded by [`MAX_PROGRAMS`] sections of 1,024 bytes.

use super::ts::{PACKET, Packet};

/// Programmes of a multiplex that are followed.
pub const MAX_PROGRAMS: usize = 32;
const MAX_SECTION: usize = 1024;

/// Elementary stream of a programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elementary {
    pub pid: u16,
    pub kind: u8,
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

pub fn is_audio(stream_type: u8) -> bool {
    matches!(stream_type, 0x03 | 0x04 | 0x0f | 0x11 | 0x81 | 0x84 | 0x87)
}

/// The tables in force: what precedes every start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    pub pat: Vec<u8>,
    /// In the PAT's order; sections that have come.
    pub pmts: Vec<(u16, Vec<u8>)>,
}

/// The programme map of one PAT: PIDs of the PMTs in order.
pub fn map_pids(pat: &[u8]) -> Vec<u16> {
    let body = pat.get(8..pat.len().saturating_sub(4)).unwrap_or_default();
    body.chunks_exact(4)
        .filter(|e| (e[0], e[1]) != (0, 0))
        .map(|e| u16::from(e[2] & 0x1f) << 8 | u16::from(e[3]))
        .take(MAX_PROGRAMS)
        .collect()
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
        found.push(Elementary { kind: e[0], pid: u16::from(e[1] & 0x1f) << 8 | u16::from(e[2]) });
        at += 5 + (usize::from(e[3] & 0x0f) << 8 | usize::from(e[4]));
    }
    (pcr, found)
}

/// Gathers the sections of one PID.
#[derive(Default)]
pub struct Gatherer {
    buf: Vec<u8>,
    counter: Option<u8>,
}

impl Gatherer {
    /// A complete, sound section of `table`, when this packet ends one.
    pub fn push(&mut self, packet: Packet<'_>, table: u8) -> Option<Vec<u8>> {
        let expected = self.counter.map(|c| (c + 1) & 15);
        if self.counter == Some(packet.counter()) && !packet.starts_unit() {
            return None; // a repeated packet
        }
        self.counter = Some(packet.counter());
        let payload = packet.payload();
        if packet.starts_unit() {
            let skip = 1 + usize::from(*payload.first()?);
            self.buf.clear();
            self.buf.extend_from_slice(payload.get(skip..)?);
        } else if self.buf.is_empty() || expected != Some(packet.counter()) {
            self.buf.clear();
            return None;
        } else {
            self.buf.extend_from_slice(payload);
        }
        let head = self.buf.get(..3)?;
        let len = 3 + (usize::from(head[1] & 0x0f) << 8 | usize::from(head[2]));
        if head[0] != table || !(12..=MAX_SECTION).contains(&len) {
            self.buf.clear();
            return None;
        }
        let section = self.buf.get(..len)?.to_vec();
        self.buf.clear();
        // current_next_indicator: a table that is not in force yet is not ours.
        (crc32(&section) == 0 && section[5] & 1 == 1).then_some(section)
    }
}

/// Packets that carry a section. The last one has the counter `last`, so that the stream's own next packet of that PID
/// continues it. With `jump`, the first is flagged as a discontinuity.
pub fn packetize(pid: u16, section: &[u8], last: u8, jump: bool, out: &mut Vec<u8>) {
    let room = PACKET - 4;
    let first = room - 1 - if jump { 2 } else { 0 };
    let count = 1 + section.len().saturating_sub(first).div_ceil(room);
    let mut counter = last.wrapping_sub(count as u8 - 1);
    let mut rest = section;
    for n in 0..count {
        let start = out.len();
        let begins = n == 0;
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
        counter = counter.wrapping_add(1);
    }
}

/// CRC-32/MPEG-2 (annex A); 0 over a section that includes its checksum.
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
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
    bytes.iter().fold(u32::MAX, |crc, b| crc << 8 ^ TABLE[usize::from((crc >> 24) as u8 ^ *b)])
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
                packetize(0x42, &section, 3, jump, &mut out);
                assert_eq!(out.len() % PACKET, 0);
                assert_eq!(Packet(&out[out.len() - PACKET..]).counter(), 3);
                let mut gather = Gatherer::default();
                let got = out.chunks(PACKET).find_map(|p| gather.push(Packet(p), 2));
                assert_eq!(got.as_ref(), Some(&section), "{streams} {jump}");
                assert_eq!(out[3] & 0x20 != 0, jump);
            }
            assert_eq!(programme(&section).1.len(), streams);
        }
    }

    #[test]
    fn a_broken_or_foreign_section_is_not_kept() {
        let mut bad = pat(0x42);
        bad[9] ^= 1;
        let mut out = Vec::new();
        packetize(0, &bad, 0, false, &mut out);
        assert_eq!(Gatherer::default().push(Packet(&out), 0), None);
        let mut out = Vec::new();
        packetize(0, &pat(0x42), 0, false, &mut out);
        assert_eq!(Gatherer::default().push(Packet(&out), 2), None);
        assert_eq!(map_pids(&pat(0x42)), [0x42]);
        assert_eq!(programme(&[2, 0]), (0x1fff, vec![]));
    }
}
