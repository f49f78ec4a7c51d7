//! The built-in channel: a 16 s clip, looped for hours with one continuous clock.
//!
//! Owns the clip and its restamping (PCR, PTS, DTS, continuity counters) and its pace. Invariants: each loop lasts
//! exactly 400 pictures of 1/25 s = 750 AAC frames of 1024/48000 s, so that neither picture nor sound has a seam; every
//! [`TestCard::next`] returns whole packets, the first one a PAT.
//!
//! The clip was made with ffmpeg 5.1 (the sound is cut from the middle of a longer one: its phase meets at the seam):
//! ```text
//! ffmpeg -f lavfi -i sine=frequency=440:beep_factor=4:sample_rate=48000 -t 48 -ac 1 -af volume=0.5 -c:a aac -b:a 48k long.aac
//! ffmpeg -i long.aac -c copy -bsf:a "noise=drop='lt(n\,750)+gte(n\,1500)'" tone.aac
//! ffmpeg -f lavfi -i testsrc=size=320x180:rate=25:duration=16 -i tone.aac -map 0:v -map 1:a -c:v libx264 -profile:v main \
//!   -pix_fmt yuv420p -preset veryslow -bf 0 -g 25 -keyint_min 25 -sc_threshold 0 -flags +cgop -crf 28 -maxrate 200k \
//!   -bufsize 100k -c:a copy -flags:a +global_header -pat_period 0.5 -sdt_period 4 \
//!   -metadata service_name="Yagi test card" -metadata service_provider=Yagi -f mpegts testcard.ts
//! ```

use std::{sync::LazyLock, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

const PACKET: usize = 188;
/// One loop in 27 MHz ticks, and in the 90 kHz ticks of PTS.
const LOOP_27M: u64 = 16 * 27_000_000;
const LOOP_90K: u64 = 16 * 90_000;
const WRAP_90K: u64 = 1 << 33;
const WRAP_27M: u64 = WRAP_90K * 300;
/// What a first viewer gets at once.
const HEAD_START: Duration = Duration::from_secs(4);
/// Packets that fall due within this time go out together.
const BURST: Duration = Duration::from_millis(40);
/// After a longer pause (a suspended machine) the clock starts anew instead of catching up.
const LATE: Duration = Duration::from_secs(10);

static CLIP: LazyLock<Clip> = LazyLock::new(|| Clip::read(include_bytes!("testcard.ts")));

struct Clip {
    packets: Vec<Packet>,
}

struct Packet {
    bytes: &'static [u8; PACKET],
    /// When it is due, from the loop's start, in 27 MHz ticks.
    due: u64,
}

impl Clip {
    fn read(bytes: &'static [u8]) -> Self {
        let (packets, _) = bytes.as_chunks::<PACKET>();
        // The muxer writes an SDT first; a viewer should meet the PAT first.
        let first = packets.iter().position(|p| pid(p) == 0).unwrap_or(0);
        let packets = &packets[first..];
        let start = packets.iter().find_map(pcr).unwrap_or(0);
        let clocks: Vec<(usize, u64)> =
            packets.iter().enumerate().filter_map(|(i, p)| pcr(p).map(|c| (i, c.saturating_sub(start)))).collect();
        let mut out = Vec::with_capacity(packets.len());
        let mut before = (0, 0);
        let mut next = clocks.iter().copied().chain([(packets.len(), LOOP_27M)]).peekable();
        for (i, bytes) in packets.iter().enumerate() {
            while let Some(at) = next.next_if(|(at, _)| *at <= i) {
                before = at;
            }
            let after = next.peek().copied().unwrap_or((packets.len(), LOOP_27M));
            let span = (after.0 - before.0).max(1) as u64;
            out.push(Packet { bytes, due: before.1 + (after.1 - before.1) * (i - before.0) as u64 / span });
        }
        Self { packets: out }
    }
}

/// The running clip.
pub struct TestCard {
    start: Instant,
    /// Packets given since `start` was set, in time: loops done and the next packet of the running one.
    loops: u64,
    next: usize,
    /// Loops that lie before `start`.
    skipped: u64,
    counters: [(u16, u8); 8],
}

impl TestCard {
    /// The first packets are due at once.
    pub fn new(now: Instant) -> Self {
        Self { start: now, loops: 0, next: 0, skipped: 0, counters: [(u16::MAX, 0); 8] }
    }

    /// Starts with clocks that lie `loops` behind zero: lets a test see the wrap of the 33-bit clock.
    #[cfg(test)]
    fn aged(now: Instant, loops: u64) -> Self {
        Self { loops, skipped: loops, ..Self::new(now) }
    }

    /// The packets that are due, waiting for some if there are none. Cancel-safe.
    pub async fn next(&mut self) -> Bytes {
        if let Some(until) = self.wait(Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
        self.take(Instant::now())
    }

    /// Until when there is nothing to give.
    fn wait(&mut self, now: Instant) -> Option<Instant> {
        let due = self.due();
        let late = now.saturating_duration_since(due);
        if late > LATE {
            self.start += late;
        }
        (due > now).then(|| due + BURST)
    }

    fn due(&self) -> Instant {
        let ticks = (self.loops - self.skipped) * LOOP_27M + CLIP.packets[self.next].due;
        // 27 ticks are a microsecond.
        self.start + Duration::from_micros(ticks / 27).saturating_sub(HEAD_START)
    }

    fn take(&mut self, now: Instant) -> Bytes {
        let mut out = BytesMut::with_capacity(4096);
        while self.due() <= now && out.len() < 64 * 1024 - PACKET {
            self.push(&mut out);
        }
        out.freeze()
    }

    fn push(&mut self, out: &mut BytesMut) {
        let mut packet = *CLIP.packets[self.next].bytes;
        restamp(&mut packet, self.loops);
        if packet[3] & 0x10 != 0 {
            let pid = pid(&packet);
            let slot = self.counters.iter().position(|(p, _)| *p == pid || *p == u16::MAX);
            if let Some((owner, counter)) = slot.and_then(|i| self.counters.get_mut(i)) {
                *owner = pid;
                packet[3] = (packet[3] & 0xf0) | *counter;
                *counter = (*counter + 1) & 0x0f;
            }
        }
        out.extend_from_slice(&packet);
        self.next += 1;
        if self.next == CLIP.packets.len() {
            self.next = 0;
            self.loops += 1;
        }
    }
}

fn pid(p: &[u8; PACKET]) -> u16 {
    u16::from_be_bytes([p[1] & 0x1f, p[2]])
}

fn has_pcr(p: &[u8; PACKET]) -> bool {
    p[3] & 0x20 != 0 && p[4] >= 7 && p[5] & 0x10 != 0
}

fn pcr(p: &[u8; PACKET]) -> Option<u64> {
    has_pcr(p).then(|| {
        let base = u64::from(u32::from_be_bytes([p[6], p[7], p[8], p[9]])) << 1 | u64::from(p[10] >> 7);
        base * 300 + u64::from(u16::from_be_bytes([p[10] & 1, p[11]]))
    })
}

/// Moves all clocks of a packet by `loops` lengths of the clip.
fn restamp(p: &mut [u8; PACKET], loops: u64) {
    if let Some(clock) = pcr(p) {
        let clock = (clock + (loops % WRAP_90K) * LOOP_27M) % WRAP_27M;
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
    let flags = p[start + 7] >> 6;
    if flags & 2 != 0 {
        shift(&mut p[start + 9..start + 14], loops);
    }
    if flags == 3 {
        shift(&mut p[start + 14..start + 19], loops);
    }
}

/// A 33-bit timestamp with its marker bits.
fn shift(f: &mut [u8], loops: u64) {
    let old = u64::from(f[0] >> 1 & 7) << 30
        | u64::from(f[1]) << 22
        | u64::from(f[2] >> 1) << 15
        | u64::from(f[3]) << 7
        | u64::from(f[4] >> 1);
    let new = (old + (loops % WRAP_90K) * LOOP_90K) % WRAP_90K;
    f[0] = (f[0] & 0xf0) | ((new >> 30 & 7) as u8) << 1 | 1;
    f[1] = (new >> 22) as u8;
    f[2] = ((new >> 15) as u8) << 1 | 1;
    f[3] = (new >> 7) as u8;
    f[4] = (new as u8) << 1 | 1;
}

#[cfg(test)]
#[path = "testcard_tests.rs"]
mod tests;
