//! What the packets of one stream say: tables, random-access points, counters, the media clock.
//!
//! Looked at once per stream, never per viewer. Owns where a viewer can enter and what must precede the entry. Must not enter:
//! the ring's bytes, viewers. Invariant: memory is bounded by the ring's length (one entry per random-access point, and
//! none nearer than [`SPACING`] to the last).

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    look::begins_picture,
    psi::{self, Codec, Gatherer, Tables},
    ts::{NULL_PID, PACKET, Packet},
    versions::{Renumber, Versions},
};

/// PIDs whose counters are followed; a large multiplex has some dozens.
const MAX_PIDS: usize = 256;
const UNSEEN: u8 = 0xff;
/// Entries nearer to each other than this are not told apart: bounds them by the ring's length.
const SPACING: u64 = 4096;
/// A clock step beyond these is a jump, not time passing.
pub const MOST_FORWARD: u64 = 10 * 27_000_000;
pub const MOST_BACK: u64 = 27_000_000 / 2;
pub const CLOCK_WRAP: u64 = (1 << 33) * 300;

/// A place where a decoder can begin.
pub struct Access {
    pub offset: u64,
    pub pid: u16,
    /// Microseconds on the media clock.
    pub at_us: u64,
    /// Jumps of that clock before.
    pub jumps: u32,
    /// The tables in force there.
    pub tables: Arc<Tables>,
    /// Counter of the last packet of each PID before it.
    pub counters: Box<[(u16, u8)]>,
}

/// What has to be done to a packet before viewers may have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Its counter jumps, or its clock.
    pub jump: bool,
    /// It belongs to a table that is renumbered.
    pub renumber: bool,
    /// It ends within a section: what is to be said of that is known when it is whole.
    pub wait: bool,
}

/// What is to be looked at in the packets of a PID; most have nothing.
mod role {
    /// PAT or PMT.
    pub const TABLE: u8 = 1;
    /// Carries a programme's clock.
    pub const CLOCK: u8 = 2;
    /// Its random-access points are the stream's.
    pub const GUIDE: u8 = 4;
    /// Its next packet's counter jumps.
    pub const JUMP: u8 = 8;
    /// Its clock jumps: flagged up to the first reference of the new one.
    pub const LEAP: u8 = 16;
}

/// Everything known of the stream so far.
pub struct Index {
    pat: Gatherer,
    pmts: Vec<(u16, Gatherer)>,
    tables: Arc<Tables>,
    versions: Versions,
    renumbers: Vec<(u16, Renumber)>,
    roles: Box<[u8]>,
    clocks: Vec<(u16, Option<(u64, Instant)>)>,
    /// The PID whose random-access points count, how they are told, and whose clock it is played by.
    guide: Option<(u16, Codec, u16)>,
    /// The encoder flags its random-access points: then nothing else is taken for one.
    flags_access: bool,
    counters: Box<[u8]>,
    pids: Vec<u16>,
    accesses: VecDeque<Access>,
    /// No entry is noted before this offset.
    next_access: u64,
    clock_us: u64,
    /// A seam has been: clocks that turn up are new ones.
    has_seam: bool,
    jumps: u32,
}

impl Default for Index {
    fn default() -> Self {
        let mut index = Self {
            pat: Gatherer::default(),
            pmts: Vec::new(),
            tables: Arc::default(),
            versions: Versions::default(),
            renumbers: Vec::new(),
            roles: vec![0; 1 << 13].into_boxed_slice(),
            clocks: Vec::new(),
            guide: None,
            flags_access: false,
            counters: vec![UNSEEN; 1 << 13].into_boxed_slice(),
            pids: Vec::new(),
            accesses: VecDeque::new(),
            next_access: 0,
            clock_us: 0,
            has_seam: false,
            jumps: 0,
        };
        index.assign_roles();
        index
    }
}

impl Index {
    /// Looks at the next packet, which will stand at `offset`. When a decoder can begin with it, says what must precede it
    /// there; the caller puts the packet in its place and notes the [`Access`].
    pub fn look(&mut self, packet: Packet<'_>, offset: u64, now: Instant) -> Option<Access> {
        let pid = packet.pid();
        if pid == NULL_PID || packet.is_faulty() {
            return None;
        }
        let role = self.roles[usize::from(pid)];
        let mut access = None;
        if role != 0 {
            if role & role::TABLE != 0 {
                self.take_tables(pid, packet);
            }
            if role & role::CLOCK != 0
                && let Some(pcr) = packet.pcr()
            {
                self.advance_clock(pid, pcr, now);
            }
            if role & role::GUIDE != 0 && self.is_access(packet) && offset >= self.next_access {
                access = Some(self.here(pid));
            }
        }
        if role & role::TABLE == 0 || !self.is_within(pid) {
            self.count(packet);
        }
        access
    }

    /// A packet's counter is the last of its PID from here on.
    pub fn count(&mut self, packet: Packet<'_>) {
        let pid = packet.pid();
        if packet.has_payload() {
            let seen = &mut self.counters[usize::from(pid)];
            if *seen == UNSEEN && self.pids.len() < MAX_PIDS {
                self.pids.push(pid);
            }
            *seen = packet.counter();
        }
    }

    /// A section of this table has begun and not ended.
    fn is_within(&self, pid: u16) -> bool {
        match pid {
            0 => self.pat.is_inside(),
            _ => self.pmts.iter().any(|(p, sections)| *p == pid && sections.is_inside()),
        }
    }

    /// What has to be done to a packet that was looked at and is now put in its place.
    pub fn change(&mut self, packet: Packet<'_>) -> Change {
        let pid = packet.pid();
        let role = self.roles[usize::from(pid)];
        if role == 0 {
            return Change::default();
        }
        if role & role::TABLE != 0 && self.is_within(pid) {
            return Change { wait: true, ..Change::default() };
        }
        let role = &mut self.roles[usize::from(pid)];
        let mut change = Change { jump: *role & role::JUMP != 0, ..Change::default() };
        *role &= !role::JUMP;
        if *role & role::LEAP != 0 {
            // Only a flag in the packet itself says that the clock is new.
            change.jump |= packet.has_flags();
            if packet.pcr().is_some() {
                *role &= !role::LEAP;
            }
        }
        change.renumber = *role & role::TABLE != 0 && self.versions.differ();
        change
    }

    /// Gives a table's packet the versions that viewers know.
    pub fn renumber(&mut self, packet: &mut [u8; PACKET]) {
        let pid = Packet(&packet[..]).pid();
        if let Some((_, renumber)) = self.renumbers.iter_mut().find(|(p, _)| *p == pid) {
            renumber.pass(packet, &self.versions);
        }
    }

    /// An entry in front of the next packet.
    pub fn here(&self, pid: u16) -> Access {
        Access {
            offset: 0,
            pid,
            at_us: self.clock_us,
            jumps: self.jumps,
            tables: self.tables.clone(),
            counters: self.pids.iter().map(|p| (*p, self.counters[usize::from(*p)])).collect(),
        }
    }

    /// Keeps an entry whose packet stands at `offset`.
    pub fn note(&mut self, access: Access, offset: u64) {
        self.next_access = offset + SPACING;
        self.accesses.push_back(Access { offset, ..access });
    }

    fn take_tables(&mut self, pid: u16, packet: Packet<'_>) {
        if pid == 0 {
            for section in self.pat.push(packet, 0) {
                let section = self.versions.tell(&section);
                // Of a PAT in several sections the first is what a decoder begins with.
                if section[6] == 0 && *section != *self.tables.pat {
                    self.adopt_pat(section);
                }
            }
        } else if let Some(i) = self.pmts.iter().position(|(p, _)| *p == pid) {
            for section in self.pmts[i].1.push(packet, 2) {
                let section = self.versions.tell(&section);
                let mut told = self.tables.pmts.iter();
                if !told.any(|(p, s)| *p == pid && **s == *section) {
                    self.adopt_pmt(pid, section);
                }
            }
        }
    }

    fn adopt_pat(&mut self, section: Vec<u8>) {
        let listed = psi::programmes(&section);
        let mut old = std::mem::take(&mut self.pmts);
        for (_, pid) in &listed {
            if !self.pmts.iter().any(|(p, _)| p == pid) {
                let kept = old.iter().position(|(p, _)| p == pid).map(|i| old.swap_remove(i).1);
                self.pmts.push((*pid, kept.unwrap_or_default()));
            }
        }
        let tables = Arc::make_mut(&mut self.tables);
        tables.pat = section.into();
        tables.pmts.retain(|(pid, pmt)| listed.contains(&(psi::number(pmt), *pid)));
        self.assign_roles();
    }

    fn adopt_pmt(&mut self, pid: u16, section: Vec<u8>) {
        let listed = psi::programmes(&self.tables.pat);
        let own = (psi::number(&section), pid);
        if !listed.contains(&own) {
            return;
        }
        let tables = Arc::make_mut(&mut self.tables);
        tables.pmts.retain(|(p, s)| (psi::number(s), *p) != own);
        tables.pmts.push((pid, section.into()));
        // Together by PID, in the PAT's order.
        tables.pmts.sort_by_key(|(p, s)| {
            let place = |wanted: (u16, u16)| listed.iter().position(|l| *l == wanted);
            (listed.iter().position(|(_, l)| l == p), place((psi::number(s), *p)))
        });
        self.assign_roles();
    }

    /// Follows the first programme that has a picture, else the first that has sound; every programme's clock.
    fn assign_roles(&mut self) {
        let programmes: Vec<_> = self.tables.pmts.iter().map(|(_, s)| psi::programme(s)).collect();
        let first = |wanted: &dyn Fn(&psi::Elementary) -> bool| {
            programmes.iter().find_map(|(pcr, es)| es.iter().find(|e| wanted(e)).map(|e| (e.pid, e.kind, *pcr)))
        };
        let picture = first(&|e| psi::codec(e.kind) != Codec::NotVideo);
        let guide = picture.or_else(|| first(&|e| e.audio)).map(|(pid, kind, pcr)| (pid, psi::codec(kind), pcr));
        if guide.map(|g| (g.0, g.1)) != self.guide.map(|g| (g.0, g.1)) {
            self.flags_access = false;
        }
        self.guide = guide;
        self.roles.iter_mut().for_each(|r| *r &= role::JUMP | role::LEAP);
        self.roles[0] |= role::TABLE;
        for (pid, _) in &self.pmts {
            self.roles[usize::from(*pid)] |= role::TABLE;
        }
        if let Some((pid, ..)) = guide {
            self.roles[usize::from(pid)] |= role::GUIDE;
        }
        let old = std::mem::take(&mut self.clocks);
        for pid in programmes.iter().map(|(pcr, _)| *pcr).filter(|p| *p != NULL_PID) {
            if self.clocks.iter().any(|(p, _)| *p == pid) {
                continue;
            }
            let known = old.iter().find(|(p, _)| *p == pid).map(|(_, last)| *last);
            if known.is_none() && self.has_seam {
                self.roles[usize::from(pid)] |= role::LEAP;
            }
            self.roles[usize::from(pid)] |= role::CLOCK;
            self.clocks.push((pid, known.flatten()));
        }
        self.renumbers.retain(|(p, _)| *p == 0 || self.pmts.iter().any(|(q, _)| p == q));
        for pid in self.pmts.iter().map(|(p, _)| *p).chain([0]) {
            if !self.renumbers.iter().any(|(p, _)| *p == pid) {
                self.renumbers.push((pid, Renumber::default()));
            }
        }
    }

    fn is_access(&mut self, packet: Packet<'_>) -> bool {
        let Some((_, codec, _)) = self.guide.filter(|_| packet.starts_unit()) else { return false };
        if packet.is_random_access() {
            self.flags_access = true;
            return true;
        }
        !self.flags_access && begins_picture(packet.payload(), codec)
    }

    fn advance_clock(&mut self, pid: u16, pcr: u64, now: Instant) {
        let Some((_, last)) = self.clocks.iter_mut().find(|(p, _)| *p == pid) else { return };
        let guides = self.guide.is_some_and(|(.., clock)| clock == pid);
        if let Some((last, at)) = last.replace((pcr, now)) {
            let step = (pcr + CLOCK_WRAP - last) % CLOCK_WRAP;
            let jumps = step > MOST_FORWARD && step < CLOCK_WRAP - MOST_BACK;
            if jumps {
                // A source that starts over without a word: a loop, a relay that lost its own.
                self.roles[usize::from(pid)] |= role::LEAP;
            }
            if guides && step <= MOST_FORWARD {
                self.clock_us += step / 27;
            } else if guides && jumps {
                self.jumps = self.jumps.wrapping_add(1);
                self.clock_us += u64::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(0);
            }
        }
    }

    /// Time that has passed in a stream whose clock says nothing.
    pub fn advance_by(&mut self, passed: Duration) {
        let clock = self.guide.map(|(.., clock)| clock);
        if !self.clocks.iter().any(|(pid, last)| Some(*pid) == clock && last.is_some()) {
            self.clock_us += u64::try_from(passed.as_micros()).unwrap_or(0);
        }
    }

    /// Forgets what lies before `tail`.
    pub fn prune(&mut self, tail: u64) {
        while self.accesses.front().is_some_and(|a| a.offset < tail) {
            self.accesses.pop_front();
        }
    }

    /// Another source follows: its tables, counters and clocks are new. Entries into what has been sent stay, and so do the
    /// versions that viewers were told.
    pub fn change_source(&mut self) {
        for pid in self.pids.drain(..) {
            self.roles[usize::from(pid)] |= role::JUMP;
        }
        self.pat = Gatherer::default();
        self.pmts.clear();
        self.tables = Arc::default();
        self.versions.change_source();
        self.renumbers.clear();
        self.clocks.clear();
        self.has_seam = true;
        self.guide = None;
        self.flags_access = false;
        self.next_access = 0;
        self.counters.fill(UNSEEN);
        self.assign_roles();
    }

    /// The tables of `access` have been written with their jumps flagged.
    pub fn told(&mut self, access: &Access) {
        for pid in access.tables.pmts.iter().map(|(p, _)| *p).chain([0]) {
            self.roles[usize::from(pid)] &= !role::JUMP;
        }
    }

    /// The newest entry that lies at least `behind` before the newest clock, else the oldest.
    pub fn entry(&self, behind: Duration) -> Option<&Access> {
        let behind = u64::try_from(behind.as_micros()).unwrap_or(u64::MAX);
        let limit = self.clock_us.saturating_sub(behind);
        self.accesses
            .iter()
            .rev()
            .find(|a| a.at_us <= limit && self.clock_us >= behind)
            .or_else(|| self.accesses.front())
    }

    /// Entries at `offset` or behind it, oldest first.
    pub fn accesses_from(&self, offset: u64) -> impl Iterator<Item = &Access> {
        let first = self.accesses.partition_point(|a| a.offset < offset);
        self.accesses.range(first..)
    }

    /// The tables in force.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    pub fn clock_us(&self) -> u64 {
        self.clock_us
    }

    /// The PID whose clock references count.
    pub fn clock_pid(&self) -> u16 {
        self.guide.map_or(NULL_PID, |(.., clock)| clock)
    }

    pub fn newest(&self) -> Option<&Access> {
        self.accesses.back()
    }

    pub fn newest_first(&self) -> impl Iterator<Item = &Access> {
        self.accesses.iter().rev()
    }

    /// Microseconds of play time between `offset` and the head.
    pub fn span_us(&self, offset: u64) -> u64 {
        let at = self.accesses.iter().find(|a| a.offset >= offset).map_or(self.clock_us, |a| a.at_us);
        self.clock_us.saturating_sub(at)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::psi::tests as tables, *};

    fn pes(pid: u16, counter: u8, es: &[u8]) -> Vec<u8> {
        let mut p = vec![0x47, 0x40 | (pid >> 8) as u8, pid as u8, 0x10 | counter];
        p.extend_from_slice(&[0, 0, 1, 0xe0, 0, 0, 0x80, 0, 0]);
        p.extend_from_slice(es);
        p.resize(PACKET, 0xff);
        p
    }

    fn with_tables(kind: u8) -> Index {
        let mut index = Index::default();
        let mut out = Vec::new();
        psi::packetize(0, &tables::pat(0x42), false, &mut out);
        psi::packetize(0x42, &tables::pmt(0x100, &[(kind, 0x100), (0x0f, 0x101)]), false, &mut out);
        for p in out.chunks(PACKET) {
            assert!(index.look(Packet(p), 0, Instant::now()).is_none());
        }
        index
    }

    #[test]
    fn unflagged_pictures_are_told_by_their_first_units() {
        for (kind, start, other) in [
            (0x1b, &[0u8, 0, 1, 9, 0xf0, 0, 0, 1, 0x67][..], &[0u8, 0, 1, 0x41][..]),
            (0x02, &[0, 0, 1, 0xb3], &[0, 0, 1, 0]),
            (0x24, &[0, 0, 1, 0x40, 1], &[0, 0, 1, 2, 1]),
        ] {
            let mut index = with_tables(kind);
            let access = index.look(Packet(&pes(0x100, 0, start)), 0, Instant::now()).unwrap();
            assert!(index.look(Packet(&pes(0x100, 1, other)), 188, Instant::now()).is_none(), "{kind:x}");
            assert_eq!((access.pid, access.tables.pmts.len()), (0x100, 1));
            assert!(access.counters.contains(&(0, 0)) && access.counters.contains(&(0x42, 0)));
        }
    }

    #[test]
    fn flags_are_believed_over_guesses_and_old_entries_go() {
        let mut index = with_tables(0x1b);
        let mut flagged = pes(0x100, 0, &[]);
        flagged.splice(3..4, [0x30, 1, 0x40]);
        flagged.truncate(PACKET);
        let access = index.look(Packet(&flagged), 376, Instant::now()).unwrap();
        index.note(access, 376);
        assert!(index.look(Packet(&flagged), 376 + SPACING - 1, Instant::now()).is_none());
        assert!(index.look(Packet(&pes(0x100, 1, &[0, 0, 1, 0x67])), 10_000, Instant::now()).is_none());
        assert_eq!(index.entry(Duration::from_secs(4)).unwrap().offset, 376);
        index.prune(377);
        assert!(index.newest().is_none() && index.entry(Duration::ZERO).is_none());
    }

    #[test]
    fn a_stream_of_sound_is_entered_at_its_packets() {
        let mut index = Index::default();
        let mut out = Vec::new();
        psi::packetize(0, &tables::pat(0x42), false, &mut out);
        psi::packetize(0x42, &tables::pmt(0x101, &[(0x0f, 0x101)]), false, &mut out);
        out.extend(pes(0x101, 0, &[0xff, 0xf1]));
        let hits: Vec<bool> = out.chunks(PACKET).map(|p| index.look(Packet(p), 0, Instant::now()).is_some()).collect();
        assert_eq!(hits, [false, false, true]);
    }
}
