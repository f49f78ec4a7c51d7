//! A transport stream from a file of this machine, looped for ever at its own pace.
//!
//! Owns which files may be read, the loop's continuous clock and the pace. Must not enter: what is in the pictures. Invariants:
//! only regular files below the configured directories, links resolved, are opened; the clock and the counters go on over
//! the end of the file; memory does not grow with the file.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    time::{Instant, sleep_until},
};

use super::{
    UpstreamError,
    stamps::{Counters, PACKET, WRAP, pcr, pid, shift},
};

/// What is read at once.
const BLOCK: usize = 64 << 10;
/// A first viewer gets this much at once.
const HEAD_START: Duration = Duration::from_secs(4);
/// After a longer pause the clock starts anew instead of catching up.
const LATE: Duration = Duration::from_secs(10);
/// A longer step between two clock references, or one backwards, is a cut in the file.
const MAX_STEP: u64 = 27_000_000;
/// The step over a cut and over the end.
const STEP: u64 = 27_000_000 / 25;
/// Bytes without a clock after which the file is given up.
const MAX_CLOCKLESS: u64 = 8 << 20;

/// The directories that `file:` may name files of.
pub struct Roots(Vec<PathBuf>);

/// A file that may be read.
pub(super) struct Found(PathBuf);

impl Roots {
    pub(super) fn new(roots: &[String]) -> Self {
        Self(roots.iter().map(PathBuf::from).collect())
    }

    pub(super) async fn find(&self, path: &str) -> Result<Found, UpstreamError> {
        if self.0.is_empty() {
            return Err(UpstreamError::Refused(
                "file: sources are off; name their directories in upstream.file_roots".to_owned(),
            ));
        }
        let outside =
            || UpstreamError::Refused(format!("{path} does not lie below a directory of upstream.file_roots"));
        // Before anything outside is touched, and again when links are resolved.
        if !self.0.iter().any(|root| Path::new(path).starts_with(root)) {
            return Err(outside());
        }
        let real =
            tokio::fs::canonicalize(path).await.map_err(|e| UpstreamError::Unreachable(format!("{path}: {e}")))?;
        for root in &self.0 {
            if tokio::fs::canonicalize(root).await.is_ok_and(|root| real.starts_with(root)) {
                return Ok(Found(real));
            }
        }
        Err(outside())
    }
}

/// A running loop.
pub(super) struct Looped {
    file: File,
    block: BytesMut,
    clock: Clock,
    counters: Counters,
    /// Packets that are given when their time has come.
    ready: BytesMut,
    due: Instant,
    ended: bool,
    /// Bytes since the last clock reference.
    clockless: u64,
}

/// The continuous clock that all loops share.
struct Clock {
    /// PID whose references count.
    pid: Option<u16>,
    /// The file's first reference.
    first: u64,
    /// The last one that was given.
    last: u64,
    /// What is added to the file's stamps.
    offset: u64,
    /// Ticks since the start.
    elapsed: u64,
    start: Instant,
    step: u64,
}

impl Clock {
    /// A clock reference of the file; says when it is due.
    fn take(&mut self, pid: u16, reference: u64) -> Option<Instant> {
        if self.pid.is_none() {
            self.pid = Some(pid);
            (self.first, self.last) = (reference, reference);
            return Some(self.start);
        }
        if self.pid != Some(pid) {
            return None;
        }
        let step = (reference + self.offset + WRAP - self.last) % WRAP;
        let step = if (1..=MAX_STEP).contains(&step) {
            self.step = step;
            step
        } else {
            self.join(reference);
            (reference + self.offset + WRAP - self.last) % WRAP
        };
        self.last = (self.last + step) % WRAP;
        self.elapsed += step;
        Some(self.start + Duration::from_micros(self.elapsed / 27).saturating_sub(HEAD_START))
    }

    /// The reference comes one step behind the last one. PTS count in 300ths: a whole number of them keeps all stamps together.
    fn join(&mut self, reference: u64) {
        let wanted = (self.last + self.step + 300) % WRAP;
        self.offset = (wanted + WRAP - reference % WRAP) % WRAP;
        self.offset -= self.offset % 300;
    }
}

impl Looped {
    pub(super) async fn open(Found(path): Found) -> Result<Self, UpstreamError> {
        let shown = path.display().to_string();
        let wrong = |e: io::Error| UpstreamError::Unreachable(format!("{shown}: {e}"));
        // Without O_NONBLOCK the opening of a pipe would wait for its writer; O_NOFOLLOW: it was resolved before.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
        let mut options = tokio::fs::OpenOptions::new();
        options.read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
        let file = options.open(&path).await.map_err(wrong)?;
        if !file.metadata().await.map_err(wrong)?.is_file() {
            return Err(UpstreamError::Refused(format!("{shown} is not a regular file")));
        }
        let now = Instant::now();
        let mut looped = Self {
            file,
            block: BytesMut::with_capacity(2 * BLOCK),
            clock: Clock { pid: None, first: 0, last: 0, offset: 0, elapsed: 0, start: now, step: STEP },
            counters: Counters::default(),
            ready: BytesMut::new(),
            due: now,
            ended: false,
            clockless: 0,
        };
        looped.fill().await?;
        if looped.block.len() < PACKET {
            return Err(UpstreamError::NotMedia(format!("{shown} holds no packets")));
        }
        Ok(looped)
    }

    /// The packets up to the next clock reference, when they are due. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Bytes, UpstreamError> {
        loop {
            if !self.ready.is_empty() {
                let late = Instant::now().saturating_duration_since(self.due);
                if late > LATE {
                    self.clock.start += late;
                }
                sleep_until(self.due).await;
                return Ok(self.ready.split().freeze());
            }
            if !self.group()? {
                self.fill().await?;
            }
        }
    }

    /// Moves packets up to the next clock reference from the block to what is ready. False: the block is used up.
    fn group(&mut self) -> Result<bool, UpstreamError> {
        let mut begun = false;
        while let Some(packet) = self.block.first_chunk::<PACKET>() {
            let mut packet = *packet;
            if packet[0] != 0x47 {
                // Something stands between the packets: look for the next one.
                let skip = self.block.iter().skip(1).position(|b| *b == 0x47).map_or(self.block.len(), |at| at + 1);
                let _ = self.block.split_to(skip);
                self.clockless += skip as u64;
                continue;
            }
            let reference = pcr(&packet);
            if reference.is_some() && begun {
                return Ok(true);
            }
            if let Some(due) = reference.and_then(|r| self.clock.take(pid(&packet), r)) {
                self.due = due;
                self.clockless = 0;
            }
            self.clockless += PACKET as u64;
            if self.clockless > MAX_CLOCKLESS {
                return Err(UpstreamError::NotMedia("the file has no clock (PCR) to keep time by".to_owned()));
            }
            begun = true;
            let _ = self.block.split_to(PACKET);
            // Before the first reference nobody knows the time: what stands there comes with it.
            shift(&mut packet, self.clock.offset);
            self.counters.count(&mut packet);
            self.ready.extend_from_slice(&packet);
            if self.ready.len() >= BLOCK {
                return Ok(true);
            }
        }
        Ok(begun)
    }

    /// Reads on; at the end from the beginning.
    async fn fill(&mut self) -> Result<(), UpstreamError> {
        let failed = |e: io::Error| UpstreamError::Unreachable(format!("the file cannot be read: {e}"));
        if std::mem::take(&mut self.ended) {
            // What is left is less than a packet.
            self.block.clear();
            self.clock.join(self.clock.first);
            self.file.rewind().await.map_err(failed)?;
        }
        self.block.reserve(BLOCK);
        let before = self.block.len();
        let n = (&mut self.file).take(BLOCK as u64).read_buf(&mut self.block).await.map_err(failed)?;
        if n == 0 {
            self.ended = true;
            if before < PACKET && self.clock.pid.is_none() {
                return Err(UpstreamError::NotMedia("the file has no clock (PCR) to keep time by".to_owned()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn only_files_below_the_roots_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        fs::create_dir_all(&inside).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(inside.join("a.ts"), "x").unwrap();
        fs::write(outside.join("secret.ts"), "x").unwrap();
        std::os::unix::fs::symlink(outside.join("secret.ts"), inside.join("link.ts")).unwrap();
        let roots = Roots::new(&[inside.display().to_string()]);
        let find = async |path: PathBuf| roots.find(&path.display().to_string()).await.map(|f| f.0);
        assert!(find(inside.join("a.ts")).await.is_ok());
        for (path, word) in [
            (outside.join("secret.ts"), "does not lie below"),
            (inside.join("link.ts"), "does not lie below"),
            (dir.path().join("in2.ts"), "does not lie below"),
            (inside.join("none.ts"), "No such file"),
        ] {
            let said = find(path).await.unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
        assert!(Roots::new(&[]).find("/x").await.err().unwrap().to_string().contains("upstream.file_roots"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_goes_on_over_the_end_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("card.ts");
        fs::write(&path, include_bytes!("testcard.ts")).unwrap();
        let mut looped = Looped::open(Found(path)).await.unwrap();
        let size = include_bytes!("testcard.ts").len();
        let (mut seen, mut last, mut counters) = (0, None::<u64>, std::collections::HashMap::new());
        while seen < 5 * size {
            // Not in its own time.
            looped.due = Instant::now();
            let bytes = looped.next().await.unwrap();
            seen += bytes.len();
            for packet in bytes.as_chunks::<PACKET>().0 {
                if let Some(clock) = pcr(packet) {
                    let step = last.map_or(1, |l| (clock + WRAP - l) % WRAP);
                    assert!((1..=MAX_STEP / 5).contains(&step), "a step of {step} at {seen}");
                    last = Some(clock);
                }
                let counter = packet[3] & 15;
                if let Some(before) = counters.insert(pid(packet), counter) {
                    assert_eq!(counter, (before + 1) & 15);
                }
            }
        }
        let elapsed = looped.clock.elapsed / 27_000_000;
        assert!((75..85).contains(&elapsed), "five loops of 16 s took {elapsed} s");
    }

    #[tokio::test]
    async fn a_file_without_a_clock_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in
            [("empty.ts", vec![]), ("zero.ts", vec![0; 500]), ("null.ts", [0x47, 0x1f, 0xff, 0x10].repeat(4700))]
        {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            let said = async {
                let mut looped = match Looped::open(Found(path.clone())).await {
                    Ok(looped) => looped,
                    Err(e) => return e,
                };
                loop {
                    if let Err(e) = looped.next().await {
                        return e;
                    }
                }
            };
            let said = tokio::time::timeout(Duration::from_secs(20), said).await.expect(name);
            assert!(matches!(said, UpstreamError::NotMedia(_)), "{name}: {said}");
        }
    }
}
