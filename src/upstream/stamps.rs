//! The clocks and counters of TS packets, moved so that a loop has no seam.
//!
//! Owns the reading and shifting of PCR, PTS and DTS and the counting of packets. Must not enter: files, pace. Invariant: a
//! shift is a whole number of 27 MHz ticks modulo the clock's wrap, and whole 90 kHz ticks of it move all stamps alike.

use std::collections::HashMap;

pub const PACKET: usize = 188;
/// The 33-bit clock in 27 MHz ticks.
pub const WRAP: u64 = (1 << 33) * 300;

pub fn pid(p: &[u8; PACKET]) -> u16 {
    u16::from_be_bytes([p[1] & 0x1f, p[2]])
}

/// The clock reference of a packet, in 27 MHz ticks.
pub fn pcr(p: &[u8; PACKET]) -> Option<u64> {
    (p[3] & 0x20 != 0 && (7..=183).contains(&p[4]) && p[5] & 0x10 != 0).then(|| {
        let base = u64::from(u32::from_be_bytes([p[6], p[7], p[8], p[9]])) << 1 | u64::from(p[10] >> 7);
        base * 300 + u64::from(u16::from_be_bytes([p[10] & 1, p[11]])) % 300
    })
}

/// Moves all stamps of a packet by `ticks` of 27 MHz, less than [`WRAP`].
pub fn shift(p: &mut [u8; PACKET], ticks: u64) {
    if let Some(clock) = pcr(p) {
        let clock = (clock + ticks) % WRAP;
        let (base, rest) = (clock / 300, clock % 300);
        p[6..10].copy_from_slice(&((base >> 1) as u32).to_be_bytes());
        p[10] = ((base & 1) as u8) << 7 | 0x7e | (rest >> 8) as u8;
        p[11] = rest as u8;
    }
    let start = if p[3] & 0x20 != 0 { 5 + usize::from(p[4]) } else { 4 };
    // A PES packet with a header of timestamps begins here.
    if p[1] & 0x40 == 0 || p[3] & 0x10 == 0 || start + 19 > PACKET || p[start..start + 3] != [0, 0, 1] {
        return;
    }
    // Padding, private stream 2 and tables of MPEG-1 have no such header.
    if matches!(p[start + 3], 0xbc | 0xbe | 0xbf | 0xf0 | 0xf1 | 0xf2 | 0xf8 | 0xff) || p[start + 6] >> 6 != 2 {
        return;
    }
    let flags = p[start + 7] >> 6;
    if flags & 2 != 0 {
        add(&mut p[start + 9..start + 14], ticks / 300);
    }
    if flags == 3 {
        add(&mut p[start + 14..start + 19], ticks / 300);
    }
}

/// To a 33-bit timestamp with its marker bits.
fn add(f: &mut [u8], ticks: u64) {
    let old = u64::from(f[0] >> 1 & 7) << 30
        | u64::from(f[1]) << 22
        | u64::from(f[2] >> 1) << 15
        | u64::from(f[3]) << 7
        | u64::from(f[4] >> 1);
    let new = (old + ticks) % (1 << 33);
    f[0] = (f[0] & 0xf0) | ((new >> 30 & 7) as u8) << 1 | 1;
    f[1] = (new >> 22) as u8;
    f[2] = ((new >> 15) as u8) << 1 | 1;
    f[3] = (new >> 7) as u8;
    f[4] = (new as u8) << 1 | 1;
}

/// Continuity counters of one's own for each PID.
#[derive(Default)]
pub struct Counters(HashMap<u16, u8>);

impl Counters {
    /// Writes the next counter into a packet. One without payload repeats the last.
    pub fn count(&mut self, p: &mut [u8; PACKET]) {
        let counter = self.0.entry(pid(p)).or_insert(15);
        if p[3] & 0x10 != 0 {
            *counter = (*counter + 1) & 15;
        }
        p[3] = (p[3] & 0xf0) | *counter;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_packet_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), PACKET), ticks in 0..WRAP) {
            let mut p: [u8; PACKET] = bytes.try_into().unwrap();
            let before = pcr(&p);
            shift(&mut p, ticks);
            prop_assert_eq!(pcr(&p), before.map(|c| (c + ticks) % WRAP));
            Counters::default().count(&mut p);
        }

        #[test]
        fn there_and_back_is_where_it_was(pts in 0u64..1 << 33, loops in 1u64..1 << 33) {
            let mut p = [0xff; PACKET];
            p[..13].copy_from_slice(&[0x47, 0x41, 0, 0x10, 0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5]);
            p[13..18].copy_from_slice(&[0x21, 0, 1, 0, 1]);
            let ticks = loops % (1 << 33) * 300;
            shift(&mut p, pts * 300);
            let first = p;
            shift(&mut p, ticks);
            shift(&mut p, (WRAP - ticks) % WRAP);
            prop_assert_eq!(first, p);
        }
    }
}
