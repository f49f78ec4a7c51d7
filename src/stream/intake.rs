//! From an upstream's bytes to the ring: framing, looking, and the legal seam between two sources.
//!
//! Owns the only way into the ring. Must not enter: sockets, viewers, timers. Invariant: what stands in the ring is whole
//! packets; behind a seam it begins with PAT, PMT and a random-access point, each jump of a counter or the clock is
//! flagged, and nothing of the new source precedes that.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    index::{Access, Index},
    psi,
    ring::Ring,
    ts::{self, Framer, NULL_PID, PACKET, Packet},
};

/// How long a source may show no random-access point before it is taken as it comes.
const PATIENCE: Duration = Duration::from_secs(3);

pub struct Intake {
    framer: Framer,
    index: Index,
    ring: Ring,
    gate: Gate,
    last_push: Option<Instant>,
}

/// What stands between the source and the ring.
enum Gate {
    /// Packets go straight in.
    Open,
    /// Behind a seam: nothing goes in before a random-access point.
    Shut { since: Option<Instant> },
    /// Behind the entry: the first packet of each other PID is announced. Holds those done, and since when.
    Announcing { done: Vec<u16>, since: Instant },
}

/// Where a viewer begins: its cursor, and what it is given before.
pub struct Entry {
    pub offset: u64,
    pub lead: Bytes,
}

impl Intake {
    pub fn new(ring_bytes: usize) -> Self {
        Self {
            framer: Framer::default(),
            index: Index::default(),
            ring: Ring::new(ring_bytes),
            gate: Gate::Open,
            last_push: None,
        }
    }

    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Takes what came; says how many bytes of whole packets went into the ring.
    pub fn push(&mut self, chunk: &[u8], now: Instant) -> usize {
        if let Some(last) = self.last_push.replace(now) {
            self.index.advance_by(now.saturating_duration_since(last));
        }
        let before = self.ring.head();
        let Self { framer, index, ring, gate, .. } = self;
        framer.push(chunk, |run| {
            if matches!(gate, Gate::Open) {
                let mut offset = ring.head();
                for packet in run.chunks_exact(PACKET) {
                    if let Some(access) = index.look(Packet(packet), now) {
                        index.note(access, offset);
                    }
                    offset += PACKET as u64;
                }
                ring.push(run);
            } else {
                for packet in run.chunks_exact(PACKET) {
                    admit(gate, packet, index, ring, now);
                }
            }
        });
        self.index.prune(self.ring.tail());
        usize::try_from(self.ring.head() - before).unwrap_or(0)
    }

    /// The next bytes are of another source.
    pub fn seam(&mut self) {
        self.framer.reset();
        self.index.change_source();
        self.gate = Gate::Shut { since: None };
        self.last_push = None;
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
            None => self.live_edge(false),
        }
    }

    /// Where a viewer whom the ring has lapped goes on: the newest random-access point, with its jump flagged.
    pub fn skip(&self) -> Entry {
        let Some(access) = self.index.newest() else { return self.live_edge(true) };
        let mut out = lead(access, true);
        let first = self.ring.packet(access.offset);
        let mut offset = access.offset;
        match first.and_then(ts::flagged) {
            Some(copy) => {
                out.extend_from_slice(&copy);
                offset += PACKET as u64;
            }
            None => announce(access, access.pid, &mut out),
        }
        for (pid, _) in &access.counters {
            let told = *pid == access.pid || *pid == 0 || access.tables.pmts.iter().any(|(p, _)| p == pid);
            if !told {
                announce(access, *pid, &mut out);
            }
        }
        Entry { offset, lead: out.into() }
    }

    /// No random-access point is known: the tables, then what comes.
    fn live_edge(&self, jump: bool) -> Entry {
        Entry { offset: self.ring.head(), lead: lead(&self.index.here(NULL_PID), jump).into() }
    }

    /// Play time between `offset` and the head.
    pub fn span(&self, offset: u64) -> Duration {
        Duration::from_micros(self.index.span_us(offset))
    }
}

/// PAT and PMTs as they were at an entry, counted so that the stream's own next ones continue them.
fn lead(access: &Access, jump: bool) -> Vec<u8> {
    let counter = |pid: u16| access.counters.iter().find(|(p, _)| *p == pid).map_or(15, |(_, c)| *c);
    let mut out = Vec::with_capacity(4 * PACKET);
    if !access.tables.pat.is_empty() {
        psi::packetize(0, &access.tables.pat, counter(0), jump, &mut out);
        for (pid, section) in &access.tables.pmts {
            psi::packetize(*pid, section, counter(*pid), jump, &mut out);
        }
    }
    out
}

fn announce(access: &Access, pid: u16, out: &mut Vec<u8>) {
    if let Some((_, counter)) = access.counters.iter().find(|(p, _)| *p == pid) {
        out.extend_from_slice(&ts::announcement(pid, *counter));
    }
}

/// One packet of a new source on its way through the gate.
fn admit(gate: &mut Gate, packet: &[u8], index: &mut Index, ring: &mut Ring, now: Instant) {
    let pid = Packet(packet).pid();
    let access = index.look(Packet(packet), now);
    match gate {
        Gate::Open => ring.push(packet),
        Gate::Shut { since } => {
            let waited = now.saturating_duration_since(*since.get_or_insert(now));
            let here = index.here(pid);
            let is_table = pid == 0 || here.tables.pmts.iter().any(|(p, _)| *p == pid);
            let Some(entry) = access.as_ref().or_else(|| (waited >= PATIENCE && !is_table).then_some(&here)) else {
                return;
            };
            ring.push(&lead(entry, true));
            let mut done = vec![0, pid];
            done.extend(entry.tables.pmts.iter().map(|(p, _)| *p));
            *gate = Gate::Announcing { done, since: now };
            place(packet, ring);
        }
        Gate::Announcing { done, since } => {
            if pid == NULL_PID || done.contains(&pid) {
                ring.push(packet);
            } else {
                done.push(pid);
                place(packet, ring);
            }
            if now.saturating_duration_since(*since) >= PATIENCE {
                *gate = Gate::Open;
            }
        }
    }
    if let Some(access) = access {
        index.note(access, ring.head() - PACKET as u64);
    }
}

/// Puts in the first packet of a PID behind a seam, its jump flagged in itself or by a packet before it.
fn place(packet: &[u8], ring: &mut Ring) {
    if let Some(copy) = ts::flagged(packet) {
        ring.push(&copy);
        return;
    }
    let view = Packet(packet);
    let before = if view.has_payload() { view.counter().wrapping_sub(1) } else { view.counter() };
    ring.push(&ts::announcement(view.pid(), before));
    ring.push(packet);
}
