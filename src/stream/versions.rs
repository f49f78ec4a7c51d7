//! The numbering of tables that leave: whatever changes in a table is told by a new version number.
//!
//! Owns what viewers were last told of each table, and the renumbering of sections on their way: behind a seam the new source's
//! versions go on from the old one's, and a source that changes a table without a new version is given one. Must not enter:
//! what tables mean, rings. Invariant: two sections of one table with different content never leave under one version (that is why
//! packets pass only when their section is whole, see `intake`). Memory is bounded by [`MOST`].

use std::collections::VecDeque;

use super::{
    psi,
    ts::{PACKET, Packet},
};

/// Tables that are remembered.
const MOST: usize = 2 * psi::MAX_PROGRAMS + 2;

/// Table, its extension (stream or programme number), section number.
type Key = (u8, u16, u8);

#[derive(Default)]
pub struct Versions {
    known: VecDeque<Known>,
    /// Which source is being heard.
    source: u32,
}

struct Known {
    key: Key,
    source: u32,
    /// Without version and checksum.
    body: Vec<u8>,
    /// The version that viewers were told last.
    told: u8,
    /// What is added to the source's versions.
    shift: u8,
}

fn key(section: &[u8]) -> Key {
    (section[0], u16::from(section[3]) << 8 | u16::from(section[4]), section[6])
}

fn version(section: &[u8]) -> u8 {
    section[5] >> 1 & 31
}

fn with_version(byte: u8, version: u8) -> u8 {
    byte & !0x3e | (version & 31) << 1
}

fn body(section: &[u8]) -> Vec<u8> {
    let mut body = section[..section.len() - 4].to_vec();
    body[5] = with_version(body[5], 0);
    body
}

impl Versions {
    /// The sections that come are of another source.
    pub fn change_source(&mut self) {
        self.source += 1;
    }

    /// Takes a whole section as it came and gives it as viewers are told it.
    pub fn tell(&mut self, section: &[u8]) -> Vec<u8> {
        let (key, version, body) = (key(section), version(section), body(section));
        let source = self.source;
        let shift = if let Some(known) = self.known.iter_mut().find(|k| k.key == key) {
            let same = known.body == body;
            if known.source != source {
                known.source = source;
                let told = if same { known.told } else { known.told + 1 };
                known.shift = told.wrapping_sub(version) & 31;
            } else if !same && (version + known.shift) & 31 == known.told {
                known.shift = (known.shift + 1) & 31;
            }
            known.told = (version + known.shift) & 31;
            known.body = body;
            known.shift
        } else {
            if self.known.len() == MOST {
                self.known.pop_front();
            }
            self.known.push_back(Known { key, source, body, told: version, shift: 0 });
            0
        };
        let mut out = section.to_vec();
        if shift != 0 {
            out[5] = with_version(out[5], version + shift);
            let end = out.len() - 4;
            let crc = psi::crc32(&out[..end]);
            out[end..].copy_from_slice(&crc.to_be_bytes());
        }
        out
    }

    /// Whether any table of the source is renumbered: its packets have to be changed on their way.
    pub fn differ(&self) -> bool {
        self.known.iter().any(|k| k.source == self.source && k.shift != 0)
    }

    fn shift(&self, head: &[u8]) -> u8 {
        let key = key(head);
        self.known.iter().find(|k| k.key == key && k.source == self.source).map_or(0, |k| k.shift)
    }
}

/// Renumbers the sections of one PID as its packets pass.
#[derive(Default)]
pub struct Renumber {
    open: Option<Open>,
    /// Counter of the last packet, and what was open before it.
    last: Option<(u8, Option<Open>)>,
}

/// A section that has begun.
#[derive(Clone, Copy)]
struct Open {
    at: usize,
    len: usize,
    version: u8,
    /// What the checksum changes by: checksums are linear.
    crc: [u8; 4],
}

impl Renumber {
    pub fn pass(&mut self, packet: &mut [u8; PACKET], versions: &Versions) {
        let view = Packet(&packet[..]);
        let payload = view.payload().len();
        if payload == 0 {
            return;
        }
        // A packet may come twice (13818-1 §2.4.3.3): it is changed as it was the first time.
        match self.last {
            Some((counter, before)) if counter == view.counter() => self.open = before,
            _ => self.last = Some((view.counter(), self.open)),
        }
        let mut at = PACKET - payload;
        if !view.starts_unit() {
            self.go_on(&mut packet[at..]);
            return;
        }
        let first = at + 1 + usize::from(packet[at]);
        let Some(tail) = packet.get_mut(at + 1..first) else { return };
        self.go_on(tail);
        self.open = None;
        at = first;
        while let Some(head) = packet.get(at..at + 8).filter(|h| h[0] != 0xff) {
            let len = 3 + (usize::from(head[1] & 0x0f) << 8 | usize::from(head[2]));
            if len < 12 {
                return;
            }
            let version = (version(head) + versions.shift(head)) & 31;
            let change = head[5] ^ with_version(head[5], version);
            let crc = psi::crc32_of_change(change, len - 4 - 6).to_be_bytes();
            self.open = Some(Open { at: 0, len, version, crc });
            let end = (at + len).min(PACKET);
            self.go_on(&mut packet[at..end]);
            at = end;
        }
    }

    fn go_on(&mut self, bytes: &mut [u8]) {
        let Some(open) = &mut self.open else { return };
        for byte in bytes {
            if open.at == 5 {
                *byte = with_version(*byte, open.version);
            } else if open.at + 4 >= open.len {
                *byte ^= open.crc[open.at + 4 - open.len];
            }
            open.at += 1;
            if open.at == open.len {
                self.open = None;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::psi::tests as tables, *};

    fn numbered(mut section: Vec<u8>, version: u8) -> Vec<u8> {
        section[5] = with_version(section[5], version);
        let end = section.len() - 4;
        let crc = psi::crc32(&section[..end]);
        section[end..].copy_from_slice(&crc.to_be_bytes());
        section
    }

    #[test]
    fn what_changes_has_a_new_version_and_what_does_not_keeps_it() {
        let (a, b) = (tables::pmt(0x100, &[(0x1b, 0x100)]), tables::pmt(0x100, &[(0x24, 0x100)]));
        let mut versions = Versions::default();
        let told = |versions: &mut Versions, section: &[u8], number| {
            let out = versions.tell(&numbered(section.to_vec(), number));
            assert_eq!(psi::crc32(&out), 0);
            version(&out)
        };
        // The source's own numbers pass.
        assert_eq!(told(&mut versions, &a, 30), 30);
        assert_eq!(told(&mut versions, &b, 31), 31);
        assert!(!versions.differ());
        // A source that forgets to count is helped.
        assert_eq!(told(&mut versions, &a, 31), 0);
        assert_eq!(told(&mut versions, &a, 31), 0);
        assert!(versions.differ());
        assert_eq!(told(&mut versions, &b, 0), 1);
        // Behind a seam numbers go on, and the same table keeps its own.
        versions.change_source();
        assert_eq!(told(&mut versions, &b, 7), 1);
        versions.change_source();
        assert_eq!(told(&mut versions, &a, 1), 2);
        versions.change_source();
        assert_eq!(told(&mut versions, &a, 2), 2);
        assert!(!versions.differ());
    }

    proptest! {
        /// However sections lie in packets, renumbering them on their way gives what the whole section would be.
        #[test]
        fn packets_are_renumbered_in_place(
            streams in 1usize..190, from in 0u8..32, other in 0u8..32, junk in 0usize..40, twice in any::<u8>(),
        ) {
            let list: Vec<(u8, u16)> = (0..streams).map(|i| (0x1b, 0x100 + i as u16)).collect();
            let old = tables::pmt(0x101, &[(2, 0x101)]);
            let new = numbered(tables::pmt(0x100, &list), from);
            let mut versions = Versions::default();
            versions.tell(&numbered(old, other));
            versions.change_source();
            let expected = versions.tell(&new);
            prop_assert_eq!(version(&expected), (other + 1) & 31);
            let mut out = Vec::new();
            psi::packetize(0x42, &new, false, &mut out);
            // Packets of rubbish between must not be touched, nor throw it off.
            let mut renumber = Renumber::default();
            let mut gather = psi::Gatherer::default();
            let mut found = Vec::new();
            for (n, packet) in out.chunks_exact(PACKET).enumerate() {
                let mut packet: [u8; PACKET] = packet.try_into().unwrap();
                packet[3] |= n as u8 & 15;
                let mut again = packet;
                renumber.pass(&mut packet, &versions);
                found.extend(gather.push(Packet(&packet), 2));
                if twice >> n & 1 == 1 {
                    renumber.pass(&mut again, &versions);
                    prop_assert_eq!(again, packet, "a repeated packet is the same again");
                }
            }
            prop_assert_eq!(found, vec![expected]);
            let mut rubbish = [0x47u8; PACKET];
            rubbish[3] = 0x30;
            rubbish[4] = junk as u8 * 6;
            renumber.pass(&mut rubbish, &versions);
        }
    }
}
