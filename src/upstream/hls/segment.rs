//! One segment after the other: asked for, decrypted, looked at, given at its pace.
//!
//! Owns keys, ranges, retries and seams of segments. Must not enter: playlists. Invariants: nothing of a segment is given
//! before it is known to be MPEG-TS; after anything that was left out a seam is given first; no segment is larger than
//! [`MAX_SEGMENT`], and no wait for a piece longer than [`SILENCE`].

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::header;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    super::{Piece, UpstreamError, dial, http_ts, outbound::Outbound},
    crypt::Decrypter,
    playlist::{Key, Segment},
};

/// Bytes of a segment.
const MAX_SEGMENT: u64 = 256 << 20;
/// Bytes that may stand before a wanted range when a server sends everything.
const MAX_BEFORE: u64 = 64 << 20;
/// Time until a segment begins, and between two pieces of it.
const SILENCE: Duration = Duration::from_secs(8);
/// What is collected to tell media from text.
const SNIFF: usize = 188 * 5;
/// Largest piece when the pace matters.
const STEP: usize = 32 << 10;
const RETRY: Duration = Duration::from_millis(200);
/// Keys that are remembered.
const MAX_KEYS: usize = 8;

pub(super) struct Reader {
    ask: dial::Ask,
    outbound: Arc<Outbound>,
    give: mpsc::Sender<Piece>,
    keys: Vec<(String, [u8; 16])>,
    /// A seam is due before the next bytes.
    seam: bool,
    begun: bool,
    /// Bytes of the last segment: what one is taken to have whose length is not told.
    usual: Option<u64>,
    /// Segments in a row that failed.
    pub failures: u32,
}

/// How far a segment came before it failed.
struct Failed {
    error: UpstreamError,
    given: bool,
}

impl From<UpstreamError> for Failed {
    fn from(error: UpstreamError) -> Self {
        Self { error, given: false }
    }
}

impl Reader {
    pub fn new(ask: dial::Ask, outbound: Arc<Outbound>, give: mpsc::Sender<Piece>) -> Self {
        Self { ask, outbound, give, keys: Vec::new(), seam: false, begun: false, usual: None, failures: 0 }
    }

    /// What comes next does not continue what came.
    pub fn seam(&mut self) {
        self.seam = self.begun;
    }

    /// Gives a segment, spread over this time by its length, or by the last one's if it does not tell its own. One that gave nothing yet is tried twice, unless the
    /// server does not know it.
    pub async fn give(&mut self, segment: &Segment, over: Duration) -> Result<(), UpstreamError> {
        let mut tried = self.attempt(segment, over).await;
        if let Err(failed) = &tried
            && !failed.given
            && failed.error != UpstreamError::NotFound
        {
            // The key may have been changed under its name.
            self.keys.clear();
            sleep(RETRY).await;
            tried = self.attempt(segment, over).await;
        }
        match tried {
            Ok(()) => {
                self.failures = 0;
                Ok(())
            }
            Err(failed) => {
                self.failures += 1;
                Err(failed.error)
            }
        }
    }

    async fn attempt(&mut self, segment: &Segment, over: Duration) -> Result<(), Failed> {
        let mut cipher = match &segment.key {
            Some(key) => Some(Decrypter::new(&self.key(key).await?, &key.iv)),
            None => None,
        };
        let mut ask = self.ask.to(&segment.uri)?;
        ask.range = segment.range.map(|(from, length)| (from, Some(length)));
        let mut response = ask.send(&self.outbound, Instant::now() + SILENCE).await?;
        http_ts::check_status(response.status)?;
        let partial = response.status.as_u16() == 206;
        let (mut before, length) = match segment.range {
            Some((from, length)) => (if partial { 0 } else { from }, Some(length)),
            None => (0, promised(&response)),
        };
        if before > MAX_BEFORE || length.is_some_and(|n| n > MAX_SEGMENT) {
            return Err(UpstreamError::NotMedia("an HLS segment is larger than 256 MiB".to_owned()).into());
        }
        let mut left = length.unwrap_or(MAX_SEGMENT + 1);
        let mut out =
            Out { given: false, head: Vec::new(), done: 0, length: length.or(self.usual), over, start: Instant::now() };
        while left > 0 {
            let piece = timeout(SILENCE, response.body.next())
                .await
                .unwrap_or(Err(UpstreamError::Timeout("waiting for the rest of an HLS segment")));
            let Some(mut piece) = piece.map_err(|error| Failed { error, given: out.given })? else { break };
            let skip = usize::try_from(before).unwrap_or(usize::MAX).min(piece.len());
            before -= skip as u64;
            piece = piece.slice(skip..piece.len().min(skip + usize::try_from(left).unwrap_or(usize::MAX)));
            left -= piece.len() as u64;
            let clear = match &mut cipher {
                Some(cipher) => Bytes::from(cipher.push(&piece)),
                None => piece,
            };
            self.put(&mut out, clear, &response.headers).await?;
        }
        if left == 0 && length.is_none() {
            let error = UpstreamError::NotMedia("an HLS segment is larger than 256 MiB".to_owned());
            return Err(Failed { error, given: out.given });
        }
        if let Some(cipher) = cipher {
            let last = cipher.finish().map_err(|why| UpstreamError::NotMedia(why.to_owned()));
            let last = last.map_err(|error| Failed { error, given: out.given })?;
            self.put(&mut out, last.into(), &response.headers).await?;
        }
        if left > 0 && length.is_some() {
            return Err(Failed { error: UpstreamError::Ended, given: out.given });
        }
        if !out.given {
            return Err(no_media(&response.headers, &out.head).into());
        }
        self.usual = Some(out.done);
        if !over.is_zero() {
            // It may have been shorter than it was taken to be.
            sleep_until(out.start + over).await;
        }
        Ok(())
    }

    /// Gives what is known to be media.
    async fn put(&mut self, out: &mut Out, bytes: Bytes, headers: &hyper::HeaderMap) -> Result<(), Failed> {
        if out.given {
            return self.pass(out, bytes).await;
        }
        out.head.extend_from_slice(&bytes);
        if http_ts::is_media(&out.head) {
            out.given = true;
            let head = std::mem::take(&mut out.head);
            if std::mem::take(&mut self.seam) {
                self.send(Piece::Seam).await?;
            }
            self.begun = true;
            return self.pass(out, head.into()).await;
        }
        if out.head.len() >= SNIFF { Err(no_media(headers, &out.head).into()) } else { Ok(()) }
    }

    async fn pass(&self, out: &mut Out, mut bytes: Bytes) -> Result<(), Failed> {
        while !bytes.is_empty() {
            let paced = !out.over.is_zero();
            let step = bytes.split_to(if paced { bytes.len().min(STEP) } else { bytes.len() });
            out.done += step.len() as u64;
            if let Some(due) = out.due() {
                sleep_until(due).await;
            }
            self.send(Piece::Bytes(step)).await?;
        }
        Ok(())
    }

    async fn send(&self, piece: Piece) -> Result<(), Failed> {
        // The other end is in the same value; it cannot be gone while this runs.
        self.give.send(piece).await.map_err(|_| UpstreamError::Ended.into())
    }

    async fn key(&mut self, key: &Key) -> Result<[u8; 16], UpstreamError> {
        if let Some((_, known)) = self.keys.iter().find(|(uri, _)| *uri == key.uri) {
            return Ok(*known);
        }
        let limit = Instant::now() + SILENCE;
        let mut response = self.ask.to(&key.uri)?.send(&self.outbound, limit).await?;
        let status = response.status.as_u16();
        if !(200..300).contains(&status) {
            return Err(UpstreamError::NotMedia(format!("the key of an HLS segment was refused with status {status}")));
        }
        let bytes = response.body.read(64, limit).await?;
        let fresh = <[u8; 16]>::try_from(bytes.as_slice())
            .map_err(|_| UpstreamError::NotMedia("the key of an HLS segment has not 16 bytes".to_owned()))?;
        if self.keys.len() == MAX_KEYS {
            self.keys.remove(0);
        }
        self.keys.push((key.uri.clone(), fresh));
        Ok(fresh)
    }
}

/// What has been given of a segment.
struct Out {
    given: bool,
    head: Vec<u8>,
    done: u64,
    length: Option<u64>,
    over: Duration,
    start: Instant,
}

impl Out {
    /// When the bytes up to here are due.
    fn due(&self) -> Option<Instant> {
        let length = self.length.filter(|n| *n > 0 && !self.over.is_zero())?;
        Some(self.start + self.over.mul_f64((self.done as f64 / length as f64).min(1.0)))
    }
}

fn promised(response: &dial::Response) -> Option<u64> {
    response.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn no_media(headers: &hyper::HeaderMap, head: &[u8]) -> UpstreamError {
    if head.is_empty() {
        return UpstreamError::NotMedia("an HLS segment is empty".to_owned());
    }
    UpstreamError::NotMedia(format!("instead of an HLS segment {}", http_ts::name_it(headers, head)))
}
