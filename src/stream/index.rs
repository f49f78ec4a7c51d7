//! What the packets of one stream say: tables, random-access points, counters, the media clock.
//!
//! Looked at once per stream, never per viewer. Owns where a viewer can enter and what must precede the entry. Must not enter:
//! the ring's bytes, viewers. Invariant: memory is bounded by the ring's length (one entry per random-access point).

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    psi::{self, Codec, Elementary, Gatherer, Tables},
    ts::{NULL_PID, Packet},
};

/// PIDs whose counters are followed; a programme has a handful.
const MAX_PIDS: usize = 64;
const UNSEEN: u8 = 0xff;
/// A clock step beyond this is a jump, not time passing.
const MAX_STEP_TICKS: u64 = 10 * 27_000_000;
const CLOCK_WRAP: u64 = (1 << 33) * 300;

/// A place where a decoder can begin.
pub struct Access {
    pub offset: u64,
    pub pid: u16,
    /// Microseconds on the media clock.
    pub at_us: u64,
    /// The tables in force there.
    pub tables: Arc<Tables>,
    /// Counter of the last packet of each PID before it.
    pub counters: Box<[(u16, u8)]>,
}

/// Everything known of the stream so far.
pub struct Index {
    pat: Gatherer,
    pmts: Vec<(u16, Gatherer)>,
    tables: Arc<Tables>,
    elementary: Vec<Elementary>,
    pcr_pid: u16,
    /// The PID whose random-access points count, and how they are told.
    guide: Option<(u16, Codec)>,
    /// The encoder flags its random-access points: then nothing else is taken for one.
    flags_access: bool,
    counters: Box<[u8]>,
    pids: Vec<u16>,
    accesses: VecDeque<Access>,
    clock_us: u64,
    last_pcr: Option<(u64, Instant)>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            pat: Gatherer::default(),
            pmts: Vec::new(),
            tables: Arc::default(),
            elementary: Vec::new(),
            pcr_pid: NULL_PID,
            guide: None,
            flags_access: false,
            counters: vec![UNSEEN; 1 << 13].into_boxed_slice(),
            pids: Vec::new(),
            accesses: VecDeque::new(),
            clock_us: 0,
            last_pcr: None,
        }
    }
}

impl Index {
    /// Looks at the next packet. When a decoder can begin with it, says what must precede it there; the caller puts the
    /// packet in its place and notes the [`Access`].
    pub fn look(&mut self, packet: Packet<'_>, now: Instant) -> Option<Access> {
        let pid = packet.pid();
        if pid == NULL_PID || packet.is_faulty() {
            return None;
        }
        if pid == 0 {
            if let Some(section) = self.pat.push(packet, 0) {
                self.adopt_pat(section);
            }
        } else if let Some(i) = self.pmts.iter().position(|(p, _)| *p == pid)
            && let Some(section) = self.pmts[i].1.push(packet, 2)
        {
            self.adopt_pmt(i, section);
        }
        if pid == self.pcr_pid
            && let Some(pcr) = packet.pcr()
        {
            self.advance_clock(pcr, now);
        }
        let access = self.is_access(packet).then(|| self.here(pid));
        if packet.has_payload() {
            let seen = &mut self.counters[usize::from(pid)];
            if *seen == UNSEEN && self.pids.len() < MAX_PIDS {
                self.pids.push(pid);
            }
            *seen = packet.counter();
        }
        access
    }

    /// An entry in front of the next packet.
    pub fn here(&self, pid: u16) -> Access {
        Access {
            offset: 0,
            pid,
            at_us: self.clock_us,
            tables: self.tables.clone(),
            counters: self.pids.iter().map(|p| (*p, self.counters[usize::from(*p)])).collect(),
        }
    }

    /// Keeps an entry whose packet stands at `offset`.
    pub fn note(&mut self, access: Access, offset: u64) {
        self.accesses.push_back(Access { offset, ..access });
    }

    fn adopt_pat(&mut self, section: Vec<u8>) {
        if section == self.tables.pat {
            return;
        }
        let pids = psi::map_pids(&section);
        let mut old = std::mem::take(&mut self.pmts);
        self.pmts = pids
            .iter()
            .map(|pid| {
                let kept = old.iter().position(|(p, _)| p == pid).map(|i| old.swap_remove(i).1);
                (*pid, kept.unwrap_or_default())
            })
            .collect();
        let tables = Arc::make_mut(&mut self.tables);
        tables.pat = section;
        tables.pmts.retain(|(pid, _)| pids.contains(pid));
        self.choose_guide();
    }

    fn adopt_pmt(&mut self, place: usize, section: Vec<u8>) {
        let pid = self.pmts[place].0;
        if self.tables.pmts.iter().any(|(p, s)| *p == pid && *s == section) {
            return;
        }
        let order: Vec<u16> = self.pmts.iter().map(|(p, _)| *p).collect();
        let tables = Arc::make_mut(&mut self.tables);
        tables.pmts.retain(|(p, _)| *p != pid);
        tables.pmts.push((pid, section));
        tables.pmts.sort_by_key(|(p, _)| order.iter().position(|o| o == p));
        self.choose_guide();
    }

    /// Follows the first programme that has a picture, else the first that has sound.
    fn choose_guide(&mut self) {
        let programmes: Vec<_> = self.tables.pmts.iter().map(|(_, s)| psi::programme(s)).collect();
        let picture = |e: &Elementary| psi::codec(e.kind) != Codec::NotVideo;
        let pick =
            programmes.iter().find_map(|(pcr, es)| es.iter().find(|e| picture(e)).map(|e| (*pcr, *e))).or_else(|| {
                programmes.iter().find_map(|(pcr, es)| es.iter().find(|e| psi::is_audio(e.kind)).map(|e| (*pcr, *e)))
            });
        self.elementary = programmes.into_iter().flat_map(|(_, es)| es).collect();
        let guide = pick.map(|(_, e)| (e.pid, psi::codec(e.kind)));
        if guide != self.guide {
            self.guide = guide;
            self.flags_access = false;
        }
        self.pcr_pid = pick.map_or(NULL_PID, |(pcr, _)| pcr);
    }

    fn is_access(&mut self, packet: Packet<'_>) -> bool {
        let Some((pid, codec)) = self.guide else { return false };
        if packet.pid() != pid || !packet.starts_unit() {
            return false;
        }
        if packet.is_random_access() {
            self.flags_access = true;
            return true;
        }
        !self.flags_access && begins_picture(packet.payload(), codec)
    }

    fn advance_clock(&mut self, pcr: u64, now: Instant) {
        if let Some((last, at)) = self.last_pcr {
            let step = (pcr + CLOCK_WRAP - last) % CLOCK_WRAP;
            let wall = u64::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(u64::MAX);
            self.clock_us += if step <= MAX_STEP_TICKS { step / 27 } else { wall };
        }
        self.last_pcr = Some((pcr, now));
    }

    /// Time that has passed in a stream whose clock says nothing.
    pub fn advance_by(&mut self, passed: Duration) {
        if self.last_pcr.is_none() {
            self.clock_us += u64::try_from(passed.as_micros()).unwrap_or(0);
        }
    }

    /// Forgets what lies before `tail`.
    pub fn prune(&mut self, tail: u64) {
        while self.accesses.front().is_some_and(|a| a.offset < tail) {
            self.accesses.pop_front();
        }
    }

    /// Another source follows: its tables, counters and clock are new. Entries into what has been sent stay.
    pub fn change_source(&mut self) {
        self.pat = Gatherer::default();
        self.pmts.clear();
        self.tables = Arc::default();
        self.elementary.clear();
        self.pcr_pid = NULL_PID;
        self.guide = None;
        self.flags_access = false;
        self.counters.fill(UNSEEN);
        self.pids.clear();
        self.last_pcr = None;
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

    pub fn newest(&self) -> Option<&Access> {
        self.accesses.back()
    }

    /// Microseconds of play time between `offset` and the head.
    pub fn span_us(&self, offset: u64) -> u64 {
        let at = self.accesses.iter().find(|a| a.offset >= offset).map_or(self.clock_us, |a| a.at_us);
        self.clock_us.saturating_sub(at)
    }
}

/// Whether a PES packet that begins here carries what a decoder can start with. For encoders that do not flag it.
fn begins_picture(payload: &[u8], codec: Codec) -> bool {
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
    use super::{
        super::{psi::tests as tables, ts::PACKET},
        *,
    };

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
        psi::packetize(0, &tables::pat(0x42), 0, false, &mut out);
        psi::packetize(0x42, &tables::pmt(0x100, &[(kind, 0x100), (0x0f, 0x101)]), 0, false, &mut out);
        for p in out.chunks(PACKET) {
            assert!(index.look(Packet(p), Instant::now()).is_none());
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
            let access = index.look(Packet(&pes(0x100, 0, start)), Instant::now()).unwrap();
            assert!(index.look(Packet(&pes(0x100, 1, other)), Instant::now()).is_none(), "{kind:x}");
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
        let access = index.look(Packet(&flagged), Instant::now()).unwrap();
        index.note(access, 376);
        assert!(index.look(Packet(&pes(0x100, 1, &[0, 0, 1, 0x67])), Instant::now()).is_none());
        assert_eq!(index.entry(Duration::from_secs(4)).unwrap().offset, 376);
        index.prune(377);
        assert!(index.newest().is_none() && index.entry(Duration::ZERO).is_none());
    }

    #[test]
    fn a_stream_of_sound_is_entered_at_its_packets() {
        let mut index = Index::default();
        let mut out = Vec::new();
        psi::packetize(0, &tables::pat(0x42), 0, false, &mut out);
        psi::packetize(0x42, &tables::pmt(0x101, &[(0x0f, 0x101)]), 0, false, &mut out);
        out.extend(pes(0x101, 0, &[0xff, 0xf1]));
        let hits: Vec<bool> = out.chunks(PACKET).map(|p| index.look(Packet(p), Instant::now()).is_some()).collect();
        assert_eq!(hits, [false, false, true]);
    }
}
