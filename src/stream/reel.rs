//! What is shared with those who take a stream in segments (HLS): the list of them, and the right to it.
//!
//! Owns the published [`Reel`] and the [`Watch`] that keeps a stream running for it. Must not enter: playlists' text, sessions,
//! accounts. Invariants: a number names one segment for ever and numbers only grow, also over restarts of the stream; what a
//! reel lists is there; only the reel keeps a segment's bytes, so that memory has its bound whatever viewers do.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{OpenError, Stream, Ticket};
use crate::upstream::UpstreamError;

/// One piece of a stream that a decoder can begin with.
pub struct Segment {
    pub number: u64,
    /// Its clock does not continue the segment before.
    pub is_break: bool,
    /// Breaks of the stream before this segment.
    pub breaks: u64,
    pub duration: Duration,
    /// When its first byte came, in epoch microseconds; behind that of the segment before by its duration, unless this is a break.
    pub date_us: u64,
    /// Whole packets, PAT and PMT first.
    pub bytes: Bytes,
}

/// The segments at one moment: immutable, replaced as a whole.
#[derive(Clone, Default)]
pub struct Reel {
    /// Oldest first, no number missing between them.
    pub(super) segments: Vec<Arc<Segment>>,
    /// How many of the newest are in the list; the others can still be fetched.
    pub(super) listed: usize,
    /// Longest duration of a segment of this stream so far, at least the one asked for, in whole seconds.
    pub target_s: u32,
    /// The stream is gone.
    pub ended: bool,
}

impl Reel {
    /// What a playlist names, oldest first.
    pub fn listed(&self) -> &[Arc<Segment>] {
        &self.segments[self.segments.len() - self.listed..]
    }

    /// How much there is behind the segment of this number.
    pub fn behind(&self, number: u64) -> Duration {
        self.segments.iter().filter(|s| s.number > number).map(|s| s.duration).sum()
    }

    pub fn segment(&self, number: u64) -> Option<&Arc<Segment>> {
        let first = self.segments.first()?.number;
        self.segments.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }
}

/// The right to a stream's segments; keeps it running, and its segments being kept.
pub struct Watch {
    stream: Arc<Stream>,
    reel: watch::Receiver<Arc<Reel>>,
    _interest: Arc<()>,
    _reels: Arc<()>,
}

impl Ticket {
    /// Takes the stream in segments instead of handing a socket over.
    pub fn watch(self) -> Watch {
        let watch = Watch {
            reel: self.stream.reel.subscribe(),
            _interest: self.interest,
            _reels: self.stream.reels.clone(),
            stream: self.stream,
        };
        // The pump begins to keep segments now, not at the next chunk.
        watch.stream.wake.notify_one();
        watch
    }
}

impl Watch {
    pub fn stream_id(&self) -> u64 {
        self.stream.id
    }

    pub fn reel(&self) -> Arc<Reel> {
        self.reel.borrow().clone()
    }

    /// Waits until there is a segment to list.
    ///
    /// # Errors
    /// When the stream ends before, or cuts none in time.
    pub async fn first(&mut self, limit: Duration) -> Result<Arc<Reel>, OpenError> {
        let ready = self.reel.wait_for(|reel| reel.listed > 0 || reel.ended);
        match tokio::time::timeout(limit, ready).await {
            Ok(Ok(reel)) if !reel.ended => Ok(reel.clone()),
            Ok(_) => Err(OpenError::Stopped),
            Err(_) => {
                let late = UpstreamError::Timeout("no segment could be cut in time");
                Err(OpenError::Upstream(Arc::new(late)))
            }
        }
    }

    /// Counts bytes that a viewer was given.
    pub fn sent(&self, bytes: u64) {
        self.stream.meter.reel_bytes.fetch_add(bytes, Relaxed);
    }
}
