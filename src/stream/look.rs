//! What a transport stream is, told by its tables and the headers of its first pictures.
//!
//! Owns the reading of sequence headers (H.264, HEVC, MPEG-2) and of the clock. Must not enter: decoding, sockets. Invariant: any bytes
//! give an answer; memory is bounded by the two tables and [`MAX_HEADER`] bytes of picture.

use super::{
    psi::{self, Codec, Gatherer},
    ts::{Framer, PACKET, Packet},
};

/// Bytes of a picture's begin that are gathered to find its headers.
const MAX_HEADER: usize = 64 << 10;
/// 90 kHz: the least span of the clock for a bit rate.
const LEAST_SPAN: u64 = 90_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// `h264`, `hevc`, `mpeg2`, `video`, or empty.
    pub video: &'static str,
    pub audio: &'static str,
    pub width: u16,
    pub height: u16,
    pub bits_per_s: u64,
}

#[derive(Default)]
pub struct Look {
    framer: Framer,
    pat: Gatherer,
    pmt: Gatherer,
    pmt_pid: Option<u16>,
    pcr_pid: u16,
    video: Option<(u16, Codec)>,
    header: Vec<u8>,
    bytes: u64,
    /// Clock and bytes at its first and last word.
    first: Option<(u64, u64)>,
    last: Option<(u64, u64)>,
    seen: Seen,
    /// A programme table came.
    known: bool,
}

impl Look {
    pub fn push(&mut self, chunk: &[u8]) {
        let mut framer = std::mem::take(&mut self.framer);
        framer.push(chunk, |run| run.chunks_exact(PACKET).for_each(|p| self.packet(Packet(p))));
        self.framer = framer;
    }

    /// Nothing more is to be learnt.
    pub fn is_done(&self) -> bool {
        let pictured = self.video.is_none() || self.seen.height > 0;
        self.known && pictured && self.span().is_some_and(|(ticks, _)| ticks >= 2 * LEAST_SPAN)
    }

    pub fn seen(&self) -> Seen {
        let rate = self.span().filter(|(ticks, _)| *ticks >= LEAST_SPAN / 2);
        Seen { bits_per_s: rate.map_or(0, |(ticks, bytes)| bytes * 8 * 90_000 / ticks), ..self.seen }
    }

    fn span(&self) -> Option<(u64, u64)> {
        let ((t0, b0), (t1, b1)) = (self.first?, self.last?);
        // A clock that went back tells nothing.
        (t1 > t0 && t1 - t0 < 90_000 * 3600).then(|| (t1 - t0, b1 - b0))
    }

    fn packet(&mut self, packet: Packet<'_>) {
        self.bytes += PACKET as u64;
        if packet.is_faulty() {
            return;
        }
        let pid = packet.pid();
        if pid == 0 {
            for pat in self.pat.push(packet, 0) {
                self.pmt_pid = psi::programmes(&pat).first().map(|(_, pid)| *pid).or(self.pmt_pid);
            }
        } else if self.pmt_pid == Some(pid) && !self.known {
            for pmt in self.pmt.push(packet, 2) {
                self.programme(&pmt);
            }
        }
        if self.known
            && pid == self.pcr_pid
            && let Some(clock) = packet.pcr()
        {
            // In units of 90 kHz.
            let here = (clock / 300, self.bytes);
            self.first.get_or_insert(here);
            self.last = Some(here);
        }
        if self.video.is_some_and(|(v, _)| v == pid) && self.seen.height == 0 {
            self.picture(packet);
        }
    }

    fn programme(&mut self, pmt: &[u8]) {
        let (pcr, streams) = psi::programme(pmt);
        self.pcr_pid = pcr;
        self.known = true;
        for e in streams {
            match psi::codec(e.kind) {
                Codec::NotVideo if self.seen.audio.is_empty() => self.seen.audio = kind(e.kind, e.audio),
                Codec::NotVideo => {}
                codec if self.video.is_none() => {
                    self.video = Some((e.pid, codec));
                    self.seen.video = kind(e.kind, false);
                }
                _ => {}
            }
        }
    }

    fn picture(&mut self, packet: Packet<'_>) {
        let Some((_, codec)) = self.video else { return };
        if packet.starts_unit() || self.header.len() > MAX_HEADER {
            self.header.clear();
        }
        self.header.extend_from_slice(packet.payload());
        if let Some((width, height)) = size(&self.header, codec) {
            (self.seen.width, self.seen.height) = (width, height);
            self.header = Vec::new();
        }
    }
}

/// A `stream_type` in one word; empty for what is neither picture nor sound.
pub fn kind(stream_type: u8, is_audio: bool) -> &'static str {
    match psi::codec(stream_type) {
        Codec::Mpeg2 => return "mpeg2",
        Codec::H264 => return "h264",
        Codec::Hevc => return "hevc",
        Codec::OtherVideo => return "video",
        Codec::NotVideo => {}
    }
    match stream_type {
        0x03 | 0x04 => "mp2",
        0x0f | 0x11 => "aac",
        0x81 => "ac3",
        0x84 | 0x87 => "eac3",
        0x06 if is_audio => "ac3",
        _ if is_audio => "audio",
        _ => "",
    }
}

/// Width and height from the first sequence header in these bytes that is there as a whole.
fn size(bytes: &[u8], codec: Codec) -> Option<(u16, u16)> {
    for at in memchr::memmem::find_iter(bytes, b"\0\0\x01") {
        let unit = &bytes[at + 3..];
        // Without the next start code the unit may not be whole.
        let len = memchr::memmem::find(unit, b"\0\0\x01");
        match (codec, unit.first()?) {
            (Codec::Mpeg2, 0xb3) if unit.len() >= 4 => {
                let (a, b, c) = (u16::from(unit[1]), u16::from(unit[2]), u16::from(unit[3]));
                return Some((a << 4 | b >> 4, (b & 0x0f) << 8 | c));
            }
            (Codec::H264, head) if head & 0x1f == 7 => return h264(&plain(&unit[1..len?])),
            (Codec::Hevc, head) if (head >> 1) & 0x3f == 33 => return hevc(&plain(unit.get(2..len?)?)),
            _ => {}
        }
    }
    None
}

/// Without the bytes that keep start codes out.
fn plain(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &b in unit {
        if zeros >= 2 && b == 3 {
            zeros = 0;
            continue;
        }
        zeros = if b == 0 { zeros + 1 } else { 0 };
        out.push(b);
    }
    out
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit.into())
    }

    fn take(&mut self, n: u32) -> Option<u32> {
        (0..n).try_fold(0u32, |word, _| Some(word << 1 | self.bit()?))
    }

    /// Exp-Golomb.
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.take(zeros)?)
    }

    fn se(&mut self) -> Option<i32> {
        let n = self.ue()?;
        let half = i32::try_from(n.div_ceil(2)).ok()?;
        Some(if n % 2 == 0 { -half } else { half })
    }
}

fn pixels(width: u32, height: u32) -> Option<(u16, u16)> {
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok().filter(|h| *h > 0)?))
}

/// ITU-T H.264 §7.3.2.1.1.
fn h264(sps: &[u8]) -> Option<(u16, u16)> {
    let mut b = Bits { bytes: sps, at: 0 };
    let profile = b.take(8)?;
    b.take(16)?;
    b.ue()?;
    let mut chroma = 1;
    if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        chroma = b.ue()?;
        if chroma == 3 {
            b.bit()?;
        }
        b.ue()?;
        b.ue()?;
        b.bit()?;
        if b.bit()? == 1 {
            for i in 0..if chroma == 3 { 12 } else { 8 } {
                if b.bit()? == 1 {
                    scaling(&mut b, if i < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    b.ue()?;
    match b.ue()? {
        0 => drop(b.ue()?),
        1 => {
            b.bit()?;
            b.se()?;
            b.se()?;
            for _ in 0..b.ue()?.min(255) {
                b.se()?;
            }
        }
        _ => {}
    }
    b.ue()?;
    b.bit()?;
    let (width, height) = (b.ue()?.checked_add(1)?, b.ue()?.checked_add(1)?);
    let frames = b.bit()?;
    if frames == 0 {
        b.bit()?;
    }
    b.bit()?;
    let (width, height) = (width.checked_mul(16)?, height.checked_mul(16)?.checked_mul(2 - frames)?);
    let (mut x, mut y) = (0, 0);
    if b.bit()? == 1 {
        let (unit_x, unit_y) =
            (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 } * (2 - frames));
        x = b.ue()?.saturating_add(b.ue()?).saturating_mul(unit_x);
        y = b.ue()?.saturating_add(b.ue()?).saturating_mul(unit_y);
    }
    pixels(width.checked_sub(x)?, height.checked_sub(y)?)
}

fn scaling(b: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(b.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// ITU-T H.265 §7.3.2.2.
fn hevc(sps: &[u8]) -> Option<(u16, u16)> {
    let mut b = Bits { bytes: sps, at: 0 };
    b.take(4)?;
    let layers = b.take(3)?;
    b.bit()?;
    b.at += 88;
    b.take(8)?;
    let flags: Vec<(u32, u32)> = (0..layers).map(|_| Some((b.bit()?, b.bit()?))).collect::<Option<_>>()?;
    if layers > 0 {
        b.at += 2 * (8 - layers as usize);
    }
    for (profile, level) in flags {
        b.at += 88 * profile as usize + 8 * level as usize;
    }
    b.ue()?;
    let chroma = b.ue()?;
    if chroma == 3 {
        b.bit()?;
    }
    let (width, height) = (b.ue()?, b.ue()?);
    let (mut x, mut y) = (0, 0);
    if b.bit()? == 1 {
        let (unit_x, unit_y) = (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 });
        x = b.ue()?.saturating_add(b.ue()?).saturating_mul(unit_x);
        y = b.ue()?.saturating_add(b.ue()?).saturating_mul(unit_y);
    }
    pixels(width.checked_sub(x)?, height.checked_sub(y)?)
}

/// Whether a PES packet that begins here carries what a decoder can start with. For encoders that do not flag it.
pub fn begins_picture(payload: &[u8], codec: Codec) -> bool {
    let Some(head) = payload.get(..9) else { return false };
    if head[..3] != [0, 0, 1] {
        return false;
    }
    let Some(es) = payload.get(9 + usize::from(head[8])..) else { return false };
    let mut units = memchr::memmem::find_iter(es, &[0, 0, 1]).filter_map(|at| es.get(at + 3).copied());
    match codec {
        Codec::Mpeg2 => units.any(|u| u == 0xb3),
        // 7: sequence parameters, 5: instantaneous refresh.
        Codec::H264 => units.any(|u| matches!(u & 0x1f, 5 | 7)),
        // 16..=21: random-access pictures, 32..=33: parameter sets.
        Codec::Hevc => units.any(|u| matches!(u >> 1 & 0x3f, 16..=21 | 32 | 33)),
        Codec::NotVideo => true,
        Codec::OtherVideo => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_of_real_headers() {
        // x264, 1920x1080, High; x264, 320x180, Baseline; x265, 1920x1080, Main; MPEG-2, 720x576.
        let high = b"\0\0\x01\x67\x64\0\x28\xac\xd9\x40\x78\x02\x27\xe5\xc0\x44\0\0\x03\0\x04\0\0\x03\0\xc8\x3c\x60\xc6\x58\0\0\x01\x68";
        assert_eq!(size(high, Codec::H264), Some((1920, 1080)));
        let main = b"\0\0\x01\x42\x01\x01\x01\x60\0\0\x03\0\x90\0\0\x03\0\0\x03\0\x78\xa0\x03\xc0\x80\x10\xe5\x96\x66\x69\x24\xca\xe0\x10\0\0\x03\0\x10\0\0\x03\x01\xe0\x80\0\0\x01\x44";
        assert_eq!(size(main, Codec::Hevc), Some((1920, 1080)));
        assert_eq!(size(b"\0\0\x01\xb3\x2d\x02\x40\x33\0\0", Codec::Mpeg2), Some((720, 576)));
        // Not whole yet.
        assert_eq!(size(&high[..20], Codec::H264), None);
    }

    #[test]
    fn the_test_card_is_seen_through() {
        let mut look = Look::default();
        for chunk in include_bytes!("../upstream/testcard.ts").chunks(1000) {
            look.push(chunk);
        }
        let seen = look.seen();
        assert_eq!((seen.video, seen.height > 100, seen.width > 100), ("h264", true, true), "{seen:?}");
        assert!(!seen.audio.is_empty() && seen.bits_per_s > 10_000, "{seen:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..3) {
            let codec = [Codec::Mpeg2, Codec::H264, Codec::Hevc][usize::from(kind)];
            let _ = size(&bytes, codec);
            let mut look = Look::default();
            look.push(&bytes);
            look.push(&[b"\0\0\x01\x67".as_slice(), &bytes].concat());
            let _ = look.seen();
        }
    }
}
