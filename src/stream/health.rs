//! What the packets of one source say of its health, without decoding.
//!
//! Owns counts by PID, the clock's unevenness, what is usual for the bit rate, and the judgement that a source is bad. Must not enter:
//! rings, viewers, what is done about it. Invariants: one look a packet and no allocation in it; memory is bounded by [`MOST`]; what
//! never was there is not missed, and what a whole source's silence takes along is not blamed on a part of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use yagi_api::{Fault, PidHealth, Settings, StreamHealth};

use rate::Rate;

use super::{
    index::{CLOCK_WRAP, MOST_BACK, MOST_FORWARD},
    look,
    psi::{self, Codec, Tables},
    ts::{NULL_PID, PACKET, Packet},
};

mod rate;

/// PIDs that are told apart; packets of others count as a whole.
const MOST: usize = 96;
/// PIDs that are shown.
const SHOWN: usize = 32;
const NEVER: u8 = 0xff;
/// Packets after which a PID is missed when it stops.
const ESTABLISHED: u64 = 8;
/// Bytes behind the last packet that are more than its neighbour's beginning.
const STRAY: u64 = 5 * PACKET as u64;
const STRAY_TEXT: u64 = 64;

/// How long each fault must last; [`Duration::MAX`]: it is none.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub rate: Duration,
    pub rate_percent: u64,
    pub video: Duration,
    pub audio: Duration,
    pub frozen: Duration,
    pub stray: Duration,
}

impl From<&Settings> for Limits {
    fn from(s: &Settings) -> Self {
        let time = |ms: u32| if ms == 0 { Duration::MAX } else { Duration::from_millis(ms.into()) };
        Self {
            rate: time(s.failover_rate_ms),
            rate_percent: s.failover_rate_percent.into(),
            video: time(s.failover_video_ms),
            audio: time(s.failover_audio_ms),
            frozen: time(s.failover_frozen_ms),
            stray: time(s.failover_stray_ms),
        }
    }
}

impl Limits {
    /// How often to look, so that no fault is told much later than its time.
    pub fn pace(&self) -> Duration {
        let least =
            [self.rate / 2, self.video, self.audio, self.frozen, self.stray].into_iter().min().unwrap_or_default();
        (least / 5).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }
}

/// What is looked at beyond the count.
mod role {
    pub const CLOCK: u8 = 1;
    /// Its time stamps are the stream's.
    pub const TIMED: u8 = 2;
}

struct Pid {
    pid: u16,
    roles: u8,
    counter: u8,
    doubled: bool,
    packets: u64,
    errors: u64,
    scrambled: u64,
    last: Instant,
    /// Packets when the last report was made.
    told: u64,
}

/// A value that should move: when it was seen, and when it moved.
#[derive(Clone, Copy)]
struct Moving {
    value: u64,
    seen: Instant,
    moved: Instant,
}

impl Moving {
    fn see(this: &mut Option<Self>, value: u64, now: Instant) {
        match this {
            Some(m) if m.value == value => m.seen = now,
            _ => *this = Some(Self { value, seen: now, moved: now }),
        }
    }

    fn stands(this: Option<Self>) -> Duration {
        this.map_or(Duration::ZERO, |m| m.seen.saturating_duration_since(m.moved))
    }
}

pub struct Health {
    /// Place in `pids` plus one; 0: not seen.
    places: Box<[u8]>,
    pids: Vec<Pid>,
    tables: Arc<Tables>,
    /// Stream type by PID, of all programmes.
    types: Vec<(u16, u8, bool)>,
    /// The followed programme's picture, its sounds in order, and its clock.
    video: Option<u16>,
    audio: Vec<u16>,
    clock: u16,
    /// Packets that belong to no place, and all.
    others: u64,
    packets: u64,
    last: Option<Instant>,
    pts: Option<Moving>,
    pcr: Option<Moving>,
    jitter: Option<(u64, u64)>,
    access: Option<(u64, u32)>,
    access_us: Option<u64>,
    access_longest_us: u64,
    rate: Rate,
    stray: Stray,
    totals: Totals,
    reported: Option<Instant>,
}

/// Since the stream began.
#[derive(Default)]
struct Totals {
    errors: u64,
    scrambled: u64,
    stray: u64,
}

/// Bytes that came behind the last packet and belong to none.
#[derive(Default)]
struct Stray {
    bytes: u64,
    text: bool,
    since: Option<Instant>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            places: vec![0; 1 << 13].into_boxed_slice(),
            pids: Vec::new(),
            tables: Arc::default(),
            types: Vec::new(),
            video: None,
            audio: Vec::new(),
            clock: NULL_PID,
            others: 0,
            packets: 0,
            last: None,
            pts: None,
            pcr: None,
            jitter: None,
            access: None,
            access_us: None,
            access_longest_us: 0,
            rate: Rate::default(),
            stray: Stray::default(),
            totals: Totals::default(),
            reported: None,
        }
    }
}

impl Health {
    /// Looks at the next packet.
    #[inline]
    pub fn look(&mut self, packet: Packet<'_>, now: Instant) {
        self.packets += 1;
        self.last = Some(now);
        let pid = packet.pid();
        let place = match self.places[usize::from(pid)] {
            0 => self.admit(pid, now),
            place => usize::from(place),
        };
        let Some(entry) = place.checked_sub(1).and_then(|i| self.pids.get_mut(i)) else {
            self.others += 1;
            return;
        };
        entry.packets += 1;
        entry.last = now;
        if pid == NULL_PID || packet.is_faulty() {
            return;
        }
        if packet.is_scrambled() {
            entry.scrambled += 1;
            self.totals.scrambled += 1;
        }
        if packet.has_payload() {
            let counter = packet.counter();
            let last = std::mem::replace(&mut entry.counter, counter);
            if last != NEVER && (last + 1) & 15 != counter {
                // A packet may be sent twice, not more often.
                let twice = last == counter && !entry.doubled;
                entry.doubled = twice;
                if !twice && !packet.is_discontinuous() {
                    entry.errors += 1;
                    self.totals.errors += 1;
                }
            } else {
                entry.doubled = false;
            }
        }
        if entry.roles != 0 {
            let roles = entry.roles;
            self.look_closer(packet, roles, now);
        }
    }

    fn look_closer(&mut self, packet: Packet<'_>, roles: u8, now: Instant) {
        if roles & role::CLOCK != 0
            && let Some(pcr) = packet.pcr()
        {
            if let Some(last) = self.pcr {
                let step = (pcr + CLOCK_WRAP - last.value) % CLOCK_WRAP;
                if step <= MOST_FORWARD {
                    let came = now.saturating_duration_since(last.seen);
                    let off = came.abs_diff(Duration::from_nanos(step * 1000 / 27));
                    let off = u64::try_from(off.as_micros()).unwrap_or(u64::MAX);
                    let (mean, worst) = self.jitter.unwrap_or((off, off));
                    // In sixteenths, as RFC 3550 has it; kept times 16 would be more exact than arrival times are.
                    self.jitter = Some((mean + off / 16 - mean / 16, worst.max(off)));
                } else if step < CLOCK_WRAP - MOST_BACK {
                    self.jitter = None;
                }
            }
            Moving::see(&mut self.pcr, pcr, now);
        }
        if roles & role::TIMED != 0
            && packet.starts_unit()
            && let Some(pts) = packet.pts()
        {
            Moving::see(&mut self.pts, pts, now);
        }
    }

    #[cold]
    fn admit(&mut self, pid: u16, now: Instant) -> usize {
        if self.pids.len() == MOST {
            return 0;
        }
        self.pids.push(Pid {
            pid,
            roles: self.roles(pid),
            counter: NEVER,
            doubled: false,
            packets: 0,
            errors: 0,
            scrambled: 0,
            last: now,
            told: 0,
        });
        let place = self.pids.len();
        self.places[usize::from(pid)] = u8::try_from(place).unwrap_or(0);
        place
    }

    fn roles(&self, pid: u16) -> u8 {
        let timed = self.video.or_else(|| self.audio.first().copied()) == Some(pid);
        let clock = self.clock == pid && pid != NULL_PID;
        (u8::from(clock) * role::CLOCK) | (u8::from(timed) * role::TIMED)
    }

    /// The tables in force, told with each packet; most often they are those that are known.
    #[inline]
    pub fn follow(&mut self, tables: &Arc<Tables>) {
        if !Arc::ptr_eq(&self.tables, tables) {
            self.learn(tables);
        }
    }

    #[cold]
    fn learn(&mut self, tables: &Arc<Tables>) {
        self.tables = tables.clone();
        let programmes: Vec<_> = tables.pmts.iter().map(|(_, pmt)| psi::programme(pmt)).collect();
        self.types = programmes.iter().flat_map(|(_, es)| es).map(|e| (e.pid, e.kind, e.audio)).collect();
        let is_video = |e: &psi::Elementary| psi::codec(e.kind) != Codec::NotVideo;
        let followed = programmes.iter().find(|(_, es)| es.iter().any(is_video));
        let followed = followed.or_else(|| programmes.iter().find(|(_, es)| es.iter().any(|e| e.audio)));
        let (clock, es) = followed.map_or((NULL_PID, &[][..]), |(clock, es)| (*clock, es));
        let before = (self.clock, self.video);
        self.clock = clock;
        self.video = es.iter().find(|e| is_video(e)).map(|e| e.pid);
        self.audio = es.iter().filter(|e| e.audio).map(|e| e.pid).collect();
        if before != (self.clock, self.video) {
            (self.pts, self.pcr) = (None, None);
        }
        for i in 0..self.pids.len() {
            self.pids[i].roles = self.roles(self.pids[i].pid);
        }
    }

    /// A decoder can begin here: media time, and how often it has jumped.
    pub fn access(&mut self, at_us: u64, jumps: u32) {
        if let Some((last, before)) = self.access.replace((at_us, jumps))
            && before == jumps
        {
            let step = at_us.saturating_sub(last);
            self.access_us = Some(step);
            self.access_longest_us = self.access_longest_us.max(step);
        }
    }

    /// Packets so far, of all sources.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// A chunk has been taken: how much of what came was thrown away, and, if it had packets, how much of that behind the last one.
    pub fn took(&mut self, chunk: &[u8], garbage: u64, behind: Option<u64>, now: Instant) {
        self.rate.came(chunk.len(), now);
        self.totals.stray += garbage;
        if let Some(bytes) = behind {
            self.stray = Stray { bytes, text: true, since: (bytes > 0).then_some(now) };
            return;
        }
        let letters = chunk.iter().filter(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()).count();
        let text = letters * 4 >= chunk.len() * 3;
        self.stray.text = text && (self.stray.text || self.stray.since.is_none());
        self.stray.bytes += chunk.len() as u64;
        self.stray.since.get_or_insert(now);
    }

    /// What came last is no MPEG-TS any more.
    pub fn is_stray(&self, limits: &Limits, now: Instant) -> bool {
        let Some(since) = self.stray.since else { return false };
        let least = if self.stray.text { STRAY_TEXT } else { STRAY };
        self.stray.bytes >= least && now.saturating_duration_since(since) >= limits.stray
    }

    /// The first thing that is wrong with a source that still gives packets.
    pub fn review(&mut self, limits: &Limits, now: Instant) -> Option<Fault> {
        let collapsed = self.rate.collapsed(limits, now);
        let last = self.last?;
        let stopped = |pid: u16, limit: Duration| {
            let entry = self.entry(pid)?;
            (entry.packets >= ESTABLISHED).then(|| last.saturating_duration_since(entry.last) >= limit)
        };
        if self.video.and_then(|pid| stopped(pid, limits.video)) == Some(true) {
            return Some(Fault::Video);
        }
        // The first sound that was there is the one that players take.
        if self.audio.iter().find_map(|pid| stopped(*pid, limits.audio)) == Some(true) {
            return Some(Fault::Audio);
        }
        let time = self.pts.or(self.pcr);
        if Moving::stands(time) >= limits.frozen {
            return Some(Fault::Frozen);
        }
        collapsed.then_some(Fault::Rate)
    }

    fn entry(&self, pid: u16) -> Option<&Pid> {
        self.pids.get(usize::from(self.places[usize::from(pid)]).checked_sub(1)?)
    }

    /// Counters and clocks do not go on from what was: a seam within a source.
    pub fn jump(&mut self) {
        self.pids.iter_mut().for_each(|p| p.counter = NEVER);
        (self.pts, self.pcr, self.access) = (None, None, None);
    }

    /// Another source follows; only totals stay.
    pub fn change_source(&mut self) {
        let Self { packets, others, .. } = *self;
        let totals = std::mem::take(&mut self.totals);
        let mut places = std::mem::take(&mut self.places);
        places.fill(0);
        *self = Self { places, packets, others, totals, ..Self::default() };
    }

    /// For tables. Rates are of the time since the last report.
    pub fn report(&mut self, fault: Option<Fault>, now: Instant) -> StreamHealth {
        let since = self.reported.replace(now).map_or(Duration::ZERO, |t| now.saturating_duration_since(t));
        let ms = u64::try_from(since.as_millis()).unwrap_or(0);
        let small = |us: u64| u32::try_from(us).unwrap_or(u32::MAX);
        let age = |t: Instant| u32::try_from(now.saturating_duration_since(t).as_millis()).unwrap_or(u32::MAX);
        let mut pids: Vec<PidHealth> = Vec::with_capacity(self.pids.len());
        for i in 0..self.pids.len() {
            let p = &self.pids[i];
            let rate = (p.packets - p.told) * PACKET as u64 * 8 * 1000;
            let (stream_type, kind) = self.kind(p.pid);
            pids.push(PidHealth {
                pid: p.pid,
                stream_type,
                kind: kind.to_owned(),
                bits_per_s: rate.checked_div(ms).unwrap_or(0),
                continuity_errors: p.errors,
                scrambled: p.scrambled,
            });
            self.pids[i].told = self.pids[i].packets;
        }
        pids.sort_by_key(|p| (std::cmp::Reverse(p.bits_per_s), p.pid));
        pids.truncate(SHOWN);
        let stream_age = |pid: Option<u16>| pid.and_then(|pid| self.entry(pid)).map(|e| age(e.last));
        StreamHealth {
            fault,
            bits_per_s: self.rate.lately(),
            usual_bits_per_s: self.rate.usual(),
            continuity_errors: self.totals.errors,
            scrambled: self.totals.scrambled,
            stray_bytes: self.totals.stray,
            pcr_jitter_us: self.jitter.map(|(mean, _)| small(mean)),
            pcr_jitter_worst_us: self.jitter.map(|(_, worst)| small(worst)),
            access_ms: self.access_us.map(|us| small(us / 1000)),
            access_longest_ms: self.access_us.map(|_| small(self.access_longest_us / 1000)),
            video_age_ms: stream_age(self.video),
            audio_age_ms: self.audio.iter().find_map(|pid| stream_age(Some(*pid))),
            pts_age_ms: self.pts.or(self.pcr).map(|m| age(m.moved)),
            pids,
        }
    }

    fn kind(&self, pid: u16) -> (u8, &'static str) {
        if let Some((_, kind, audio)) = self.types.iter().find(|(p, ..)| *p == pid) {
            return (*kind, look::kind(*kind, *audio));
        }
        let word = match pid {
            0 => "PAT",
            1 => "CAT",
            16 => "NIT",
            17 => "SDT",
            18 => "EIT",
            20 => "TDT",
            NULL_PID => "null",
            _ if self.tables.pmts.iter().any(|(p, _)| *p == pid) => "PMT",
            _ if self.clock == pid => "PCR",
            _ => "",
        };
        (0, word)
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
