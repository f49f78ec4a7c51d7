//! From an upstream's bytes to the ring: framing, looking, and the legal seam between two sources.
//!
//! Owns the only way into the ring. Must not enter: sockets, viewers, timers. Invariant: what stands in the ring is whole
//! packets; behind a seam it begins with PAT, PMT and a random-access point, each jump of a counter or the clock is
//! flagged, and nothing of the new source precedes that.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    health::Health,
    index::{Access, Change, Index},
    psi,
    ring::Ring,
    ts::{self, Framer, NULL_PID, PACKET, Packet},
};

/// How long a source may show no random-access point before it is taken as it comes.
const PATIENCE: Duration = Duration::from_secs(3);
/// How far behind an entry a clock reference is looked for.
const CLOCK_REACH: u64 = 128 << 10;
/// Random-access points that are looked at for a viewer whom the ring has lapped.
const SKIP_TRIES: usize = 3;
const PATIENCE_US: u64 = 3_000_000;
/// Packets of one table that wait for the end of their section; one of 1,024 bytes has six, a few more where adaptation fields take room.
const MOST_HELD: usize = 16;
/// Packets that wait, of all tables.
const MOST_HELD_IN_ALL: usize = 128;

pub struct Intake {
    framer: Framer,
    index: Index,
    health: Health,
    ring: Ring,
    gate: Gate,
    held: Vec<[u8; PACKET]>,
    last_push: Option<Instant>,
}

/// What stands between the source and the ring.
enum Gate {
    /// Packets go straight in.
    Open,
    /// Behind a seam: nothing goes in before a random-access point.
    Shut { since: Option<Instant> },
}

/// Where a viewer begins: its cursor, and what it is given before.
pub struct Entry {
    pub offset: u64,
    pub lead: Bytes,
}

impl Intake {
    /// # Errors
    /// When there is no memory for the ring.
    pub fn new(ring_bytes: usize) -> io::Result<Self> {
        Ok(Self {
            framer: Framer::default(),
            index: Index::default(),
            health: Health::default(),
            ring: Ring::new(ring_bytes)?,
            gate: Gate::Open,
            held: Vec::new(),
            last_push: None,
        })
    }

    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    pub fn index(&self) -> &Index {
        &self.index
    }

    pub fn health(&mut self) -> &mut Health {
        &mut self.health
    }

    /// Takes what came; says how many bytes of whole packets went into the ring.
    pub fn push(&mut self, chunk: &[u8], now: Instant) -> usize {
        if let Some(last) = self.last_push.replace(now) {
            self.index.advance_by(now.saturating_duration_since(last));
        }
        let before = self.ring.head();
        let (packets, garbage) = (self.health.packets(), self.framer.garbage);
        let Self { framer, index, health, ring, gate, held, .. } = self;
        framer.push(chunk, |run| pass(run, gate, held, index, health, ring, now));
        let came = health.packets() > packets;
        health.took(chunk, framer.garbage - garbage, came.then_some(framer.stray), now);
        self.index.prune(self.ring.tail());
        usize::try_from(self.ring.head() - before).unwrap_or(0)
    }

    /// The next bytes are of another source.
    pub fn seam(&mut self) {
        self.framer.reset();
        self.index.change_source();
        self.health.jump();
        self.gate = Gate::Shut { since: None };
        self.held.clear();
        self.last_push = None;
    }

    /// No random-access point was ever shown, and will not be waited for any more.
    pub fn is_adrift(&self) -> bool {
        self.index.newest().is_none() && self.ring.head() > 0 && self.index.clock_us() >= PATIENCE_US
    }

    /// Whether a viewer can begin: there is a random-access point, or the source has had its time to show one.
    pub fn is_ready(&self, first_packet: Option<Instant>, now: Instant) -> bool {
        self.ring.head() > 0
            && (self.index.newest().is_some()
                || first_packet.is_some_and(|t| now.saturating_duration_since(t) >= PATIENCE))
    }

    /// Where a viewer who joins now begins.
    pub fn join(&self, burst: Duration) -> Entry {
        match self.index.entry(burst) {
            Some(access) => Entry { offset: access.offset, lead: lead(access, false).into() },
            None => Entry { offset: self.ring.head(), lead: lead(&self.index.here(NULL_PID), false).into() },
        }
    }

    /// Where a viewer whom the ring has lapped goes on: the newest random-access point behind which every clock has told
    /// its time, with all jumps flagged.
    pub fn skip(&self) -> Entry {
        let entries = self.index.newest_first().take(SKIP_TRIES).map(|access| self.jump_to(access));
        let mut newest = None;
        for (entry, is_complete) in entries {
            if is_complete {
                return entry;
            }
            newest.get_or_insert(entry);
        }
        newest.unwrap_or_else(|| {
            let here = self.index.here(NULL_PID);
            let mut out = lead(&here, true);
            announce_others(&here, &mut out);
            Entry { offset: self.ring.head(), lead: out.into() }
        })
    }

    /// An entry behind a jump, and whether the flags reach as far as they have to.
    fn jump_to(&self, access: &Access) -> (Entry, bool) {
        let mut out = lead(access, true);
        let mut clocks: Vec<u16> = access.tables.pmts.iter().map(|(_, pmt)| psi::programme(pmt).0).collect();
        clocks.retain(|pid| *pid != NULL_PID);
        let mut offset = access.offset;
        if let Some(first) = self.ring.packet(offset).map(Packet).filter(|p| !p.has_flags()) {
            out.extend_from_slice(&ts::announcement(first.pid(), first.counter().wrapping_sub(1)));
        }
        let mut others = Vec::new();
        announce_others(access, &mut others);
        // Up to its first reference, a new clock is flagged wherever it can be.
        while let Some(packet) = self.ring.packet(offset).filter(|_| offset - access.offset < CLOCK_REACH) {
            let view = Packet(packet);
            let flag = clocks.contains(&view.pid()) || offset == access.offset;
            match ts::flagged(packet).filter(|_| flag) {
                Some(copy) => out.extend_from_slice(&copy),
                None => out.extend_from_slice(packet),
            }
            out.append(&mut others);
            offset += PACKET as u64;
            if view.pcr().is_some() {
                clocks.retain(|pid| *pid != view.pid());
            }
            if clocks.is_empty() {
                break;
            }
        }
        (Entry { offset, lead: out.into() }, clocks.is_empty())
    }

    /// Play time between `offset` and the head.
    pub fn span(&self, offset: u64) -> Duration {
        Duration::from_micros(self.index.span_us(offset))
    }
}

/// A run of whole packets on its way into the ring; what need not be changed goes in as it came, in one piece.
fn pass(
    run: &[u8],
    gate: &mut Gate,
    held: &mut Vec<[u8; PACKET]>,
    index: &mut Index,
    health: &mut Health,
    ring: &mut Ring,
    now: Instant,
) {
    let mut kept = 0;
    for at in (0..run.len()).step_by(PACKET) {
        let packet = &run[at..at + PACKET];
        let view = Packet(packet);
        let offset = ring.head() + (at - kept) as u64;
        let access = index.look(view, offset, now);
        health.look(view, now);
        health.follow(index.tables());
        if let Some(access) = &access {
            health.access(access.at_us, access.jumps);
        }
        if let Gate::Shut { since } = gate {
            let waited = now.saturating_duration_since(*since.get_or_insert(now));
            if !enter(view, access.as_ref(), waited >= PATIENCE, index, ring) {
                index.count(view);
                kept = at + PACKET;
                continue;
            }
            *gate = Gate::Open;
        }
        let mut change = index.change(view);
        let place = if change == Change::default() && held.is_empty() {
            ring.head() + (at - kept) as u64
        } else {
            ring.push(&run[kept..at]);
            kept = at + PACKET;
            if change.wait && hold(packet, held) {
                continue;
            }
            for earlier in held.extract_if(.., |h| Packet(&h[..]).pid() == view.pid()) {
                put(&earlier, change, index, ring);
                change.jump = false;
            }
            put(packet, change, index, ring);
            ring.head() - PACKET as u64
        };
        if let Some(access) = access {
            index.note(access, place);
        }
    }
    ring.push(&run[kept..]);
}

/// Whether the new source is entered with this packet: then its tables go in before.
fn enter(packet: Packet<'_>, access: Option<&Access>, is_late: bool, index: &mut Index, ring: &mut Ring) -> bool {
    if let Some(access) = access {
        ring.push(&lead(access, true));
        index.told(access);
    } else {
        if !is_late {
            return false;
        }
        let here = index.here(packet.pid());
        if packet.pid() == 0 || here.tables.pmts.iter().any(|(p, _)| *p == packet.pid()) {
            return false;
        }
        ring.push(&lead(&here, true));
        index.told(&here);
    }
    true
}

/// Keeps a packet back until its section is whole; false: too many wait.
fn hold(packet: &[u8], held: &mut Vec<[u8; PACKET]>) -> bool {
    let pid = Packet(packet).pid();
    let same = held.iter().filter(|h| Packet(&h[..]).pid() == pid).count();
    let Ok(copy) = packet.try_into() else { return false };
    let has_room = same < MOST_HELD && held.len() < MOST_HELD_IN_ALL;
    if has_room {
        held.push(copy);
    }
    has_room
}

/// Puts in a packet that has to be changed; where it cannot hold its own flag, one before it does.
fn put(packet: &[u8], change: Change, index: &mut Index, ring: &mut Ring) {
    let Ok(mut copy) = <[u8; PACKET]>::try_from(packet) else { return };
    if change.renumber {
        index.renumber(&mut copy);
    }
    if change.jump {
        if let Some(flagged) = ts::flagged(&copy) {
            copy = flagged;
        } else {
            let view = Packet(packet);
            let before = if view.has_payload() { view.counter().wrapping_sub(1) } else { view.counter() };
            ring.push(&ts::announcement(view.pid(), before));
        }
    }
    ring.push(&copy);
}

/// PAT and PMTs as they were at an entry, counted so that the stream's own next ones continue them.
pub fn lead(access: &Access, jump: bool) -> Vec<u8> {
    let counter = |pid: u16| access.counters.iter().find(|(p, _)| *p == pid).map_or(15, |(_, c)| *c);
    let tables = &access.tables;
    let mut out = Vec::with_capacity(4 * PACKET);
    if tables.pat.is_empty() {
        return out;
    }
    psi::packetize(0, &tables.pat, jump, &mut out);
    psi::count_towards(counter(0), &mut out);
    // The tables of one PID stand together.
    for group in tables.pmts.chunk_by(|a, b| a.0 == b.0) {
        let from = out.len();
        for (n, (pid, section)) in group.iter().enumerate() {
            psi::packetize(*pid, section, jump && n == 0, &mut out);
        }
        psi::count_towards(counter(group[0].0), &mut out[from..]);
    }
    out
}

/// Announces the jump of every PID but the entry's own and those of the tables, which are flagged themselves.
fn announce_others(access: &Access, out: &mut Vec<u8>) {
    for (pid, counter) in &access.counters {
        if *pid != access.pid && *pid != 0 && !access.tables.pmts.iter().any(|(p, _)| p == pid) {
            out.extend_from_slice(&ts::announcement(*pid, *counter));
        }
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
pub(super) mod tests;
