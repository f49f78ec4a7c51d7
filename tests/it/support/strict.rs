//! The strictest reader of MPEG-TS that the tests have: every rule of ISO 13818-1 that a join, a skip or a seam could break.
//!
//! Shares no code with the daemon. It knows nothing of what a stream should contain: only whether what came is legal. A start, and
//! each place where the PAT is flagged as discontinuous, is an entry: PAT, PMT, then nothing before a random-access point.

use std::collections::HashMap;

const PACKET: usize = 188;
/// A clock that moves further than this from one reference to the next has jumped.
const JUMP: u64 = 27_000_000;
const WRAP: u64 = (1 << 33) * 300;

#[derive(Debug, Default)]
pub struct Strict {
    rest: Vec<u8>,
    at: u64,
    stage: Stage,
    pids: HashMap<u16, Pid>,
    /// (table, extension, section) → version and content.
    tables: HashMap<(u8, u16, u8), (u8, Vec<u8>)>,
    /// PIDs of PMTs by programme, in the PAT's order.
    maps: Vec<(u16, u16)>,
    /// By PMT: clock's PID and (type, PID) of each elementary stream.
    programmes: HashMap<(u16, u16), Programme>,
    pub entries: u32,
    /// New versions of tables that were known before.
    pub bumps: u32,
    pub faults: Vec<String>,
}

type Programme = (u16, Vec<(u8, u16)>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stage {
    #[default]
    Pat,
    Pmt,
    Access,
    Runs,
}

#[derive(Debug, Default)]
struct Pid {
    last: Vec<u8>,
    repeated: bool,
    section: Option<Vec<u8>>,
    clock: Option<u64>,
    /// A jump of the clock was announced and its first reference has not come.
    leaps: bool,
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}

impl Strict {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let mut packets = rest.chunks_exact(PACKET);
        for packet in &mut packets {
            self.packet(packet);
            self.at += 1;
        }
        self.rest = packets.remainder().to_vec();
    }

    /// Nothing illegal in all that came, and something did.
    #[track_caller]
    pub fn assert_legal(&self) {
        let told = &self.faults[..self.faults.len().min(10)];
        assert!(told.is_empty(), "{} faults in {} packets: {told:#?}", self.faults.len(), self.at);
        assert!(self.stage == Stage::Runs, "no entry was completed: {:?} after {} packets", self.stage, self.at);
    }

    fn fault(&mut self, pid: u16, what: &str) {
        self.faults.push(format!("packet {}, PID {pid:#x}: {what}", self.at));
    }

    fn packet(&mut self, p: &[u8]) {
        let pid = u16::from(p[1] & 0x1f) << 8 | u16::from(p[2]);
        if p[0] != 0x47 {
            return self.fault(pid, "no sync byte");
        }
        if pid == 0x1fff {
            return;
        }
        let (has_field, has_payload, begins) = (p[3] & 0x20 != 0, p[3] & 0x10 != 0, p[1] & 0x40 != 0);
        let field = if has_field { usize::from(p[4]) } else { 0 };
        if !has_field && !has_payload {
            return self.fault(pid, "neither adaptation field nor payload");
        }
        if has_field && (if has_payload { field > 182 } else { field != 183 }) {
            return self.fault(pid, "an adaptation field of the wrong length");
        }
        let flags = if field > 0 { p[5] } else { 0 };
        let payload = &p[if has_field { 5 + field } else { 4 }..];
        self.count(pid, p, flags & 0x80 != 0, has_payload);
        self.clock(pid, p, field, flags);
        let is_map = self.maps.iter().any(|(_, map)| *map == pid);
        let before = self.stage;
        if pid == 0 && flags & 0x80 != 0 && has_payload {
            self.stage = Stage::Pat;
        }
        if flags & 0x80 != 0 {
            // What was begun before the jump does not go on behind it.
            self.pids.entry(pid).or_default().section = None;
        }
        if has_payload && (pid == 0 || is_map) {
            self.sections(pid, payload, begins);
        }
        self.enter(pid, payload, flags, begins && has_payload, has_payload, is_map);
        if before != Stage::Runs && self.stage == Stage::Runs {
            self.entries += 1;
        }
        let listed = self.programmes.values().any(|(_, es)| es.iter().any(|(_, p)| *p == pid));
        if listed && begins && !payload.starts_with(&[0, 0, 1]) {
            self.fault(pid, "a unit does not begin with a PES packet");
        }
    }

    fn count(&mut self, pid: u16, p: &[u8], jump: bool, has_payload: bool) {
        let counter = p[3] & 15;
        let state = self.pids.entry(pid).or_default();
        let before = std::mem::replace(&mut state.last, p.to_vec());
        let repeats = before == p && !state.repeated;
        state.repeated = before == p;
        let Some(last) = before.get(3).map(|b| b & 15) else { return };
        let right = if has_payload { (last + 1) & 15 == counter || repeats } else { last == counter };
        if !jump && !right {
            self.fault(pid, &format!("the counter goes from {last} to {counter}"));
        }
    }

    fn clock(&mut self, pid: u16, p: &[u8], field: usize, flags: u8) {
        let jump = flags & 0x80 != 0;
        let is_clock = self.programmes.values().any(|(clock, _)| *clock == pid);
        let state = self.pids.entry(pid).or_default();
        let reference = (field >= 7 && flags & 0x10 != 0).then(|| {
            let base = p[6..11].iter().fold(0u64, |n, b| n << 8 | u64::from(*b)) >> 7;
            base * 300 + (u64::from(p[10] & 1) << 8 | u64::from(p[11]))
        });
        let stops = is_clock && state.leaps && field > 0 && !jump;
        state.leaps = (state.leaps || jump) && reference.is_none() && !stops;
        let mut jumps = false;
        if let Some(now) = reference {
            let step = state.clock.replace(now).map_or(0, |last| (now + WRAP - last) % WRAP);
            jumps = step > JUMP && !jump;
        }
        if stops {
            self.fault(pid, "the flag of a new clock stops before its first reference");
        }
        if jumps {
            self.fault(pid, "the clock jumps without a flag");
        }
    }

    fn enter(&mut self, pid: u16, payload: &[u8], flags: u8, begins: bool, has_payload: bool, is_map: bool) {
        match self.stage {
            Stage::Runs => {}
            Stage::Pat if pid == 0 && has_payload => {
                if !self.maps.is_empty() {
                    self.stage = Stage::Pmt;
                }
            }
            Stage::Pat => self.fault(pid, "something before the PAT"),
            _ if !has_payload || pid == 0 => {}
            Stage::Pmt if is_map => {
                if self.programmes.keys().any(|(_, map)| *map == pid) {
                    self.stage = Stage::Access;
                }
            }
            Stage::Access if is_map => {}
            Stage::Pmt => self.fault(pid, "something before the PMT"),
            Stage::Access => {
                if self.guide().is_none_or(|(kind, guide)| guide != pid || !is_access(kind, payload, flags, begins)) {
                    self.fault(pid, "something before a random-access point");
                }
                self.stage = Stage::Runs;
            }
        }
    }

    /// The first picture, else the first sound.
    fn guide(&self) -> Option<(u8, u16)> {
        let all: Vec<(u8, u16)> =
            self.maps.iter().filter_map(|m| self.programmes.get(m)).flat_map(|(_, es)| es.clone()).collect();
        let picture = all.iter().find(|(kind, _)| matches!(kind, 1 | 2 | 0x1b | 0x24)).copied();
        picture.or_else(|| all.iter().find(|(kind, _)| matches!(kind, 3 | 4 | 0x0f | 0x11 | 0x81 | 0x06)).copied())
    }

    fn sections(&mut self, pid: u16, payload: &[u8], begins: bool) {
        let state = self.pids.entry(pid).or_default();
        if state.repeated {
            return;
        }
        let mut open = state.section.take();
        let mut found = Vec::new();
        let mut rest = payload;
        if begins {
            let (tail, fresh) = payload[1..].split_at(usize::from(payload[0]).min(payload.len() - 1));
            if let Some(mut section) = open.take() {
                section.extend_from_slice(tail);
                found.push(section);
            }
            rest = fresh;
            open = Some(Vec::new());
        }
        if let Some(mut section) = open {
            section.extend_from_slice(rest);
            while section.first().is_some_and(|table| *table != 0xff) && section.len() >= 3 {
                let len = 3 + (usize::from(section[1] & 15) << 8 | usize::from(section[2]));
                if section.len() < len {
                    self.pids.entry(pid).or_default().section = Some(section);
                    section = Vec::new();
                    break;
                }
                found.push(section.drain(..len).collect());
            }
            if section.first().is_some_and(|b| *b != 0xff) {
                self.fault(pid, "rubbish behind a section");
            }
        }
        for section in found {
            self.section(pid, &section);
        }
    }

    fn section(&mut self, pid: u16, s: &[u8]) {
        if s.len() < 12 || crc(s) != 0 {
            return self.fault(pid, "a section with a wrong checksum");
        }
        let word = |at: usize| u16::from(s[at]) << 8 | u16::from(s[at + 1]);
        let (version, mut content) = (s[5] >> 1 & 31, s[..s.len() - 4].to_vec());
        content[5] = 0;
        if let Some((last, old)) = self.tables.insert((s[0], word(3), s[6]), (version, content.clone())) {
            self.bumps += u32::from(last != version);
            if old != content && last == version {
                self.fault(pid, &format!("the table {} changes, its version stays {version}", s[0]));
            }
        }
        let body = &s[8..s.len() - 4];
        if s[0] == 0 && pid == 0 {
            let entries = body.chunks_exact(4).map(|e| (word_of(e, 0), word_of(e, 2) & 0x1fff));
            self.maps = entries.filter(|(number, _)| *number != 0).collect();
            let maps = &self.maps;
            self.programmes.retain(|own, _| maps.contains(own));
        } else if s[0] == 2 {
            let mut streams = Vec::new();
            let mut at = 4 + usize::from(word_of(body, 2) & 0xfff);
            while at + 5 <= body.len() {
                streams.push((body[at], word_of(body, at + 1) & 0x1fff));
                at += 5 + usize::from(word_of(body, at + 3) & 0xfff);
            }
            self.programmes.insert((word(3), pid), (word_of(body, 0) & 0x1fff, streams));
        }
    }
}

fn word_of(bytes: &[u8], at: usize) -> u16 {
    u16::from(bytes[at]) << 8 | u16::from(bytes[at + 1])
}

fn is_access(kind: u8, payload: &[u8], flags: u8, begins: bool) -> bool {
    let units = |right: fn(u8) -> bool| payload.windows(4).any(|w| w[..3] == [0, 0, 1] && right(w[3]));
    begins
        && (flags & 0x40 != 0
            || match kind {
                1 | 2 => units(|u| u == 0xb3),
                0x1b => units(|u| matches!(u & 31, 5 | 7)),
                0x24 => units(|u| matches!(u >> 1 & 63, 16..=21 | 32 | 33)),
                _ => true,
            })
}
