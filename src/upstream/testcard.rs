//! The built-in channel: a 16 s clip, looped for hours with one continuous clock.
//!
//! Owns the clip and its pace; what loops changes by [`super::stamps`]. Invariants: each loop lasts
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

use super::stamps::{Counters, PACKET, WRAP, pcr, pid, shift};

/// One loop in 27 MHz ticks.
const LOOP_27M: u64 = 16 * 27_000_000;
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
    counters: Counters,
}

impl TestCard {
    /// The first packets are due at once.
    pub fn new(now: Instant) -> Self {
        Self { start: now, loops: 0, next: 0, skipped: 0, counters: Counters::default() }
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
        // As many loops as the clock takes to wrap are none.
        shift(&mut packet, self.loops % (WRAP / 300) * LOOP_27M % WRAP);
        self.counters.count(&mut packet);
        out.extend_from_slice(&packet);
        self.next += 1;
        if self.next == CLIP.packets.len() {
            self.next = 0;
            self.loops += 1;
        }
    }
}

#[cfg(test)]
#[path = "testcard_tests.rs"]
mod tests;
