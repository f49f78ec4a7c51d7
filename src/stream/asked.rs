//! What administrators see of running streams and ask of them: rows, stopping, another source.
//!
//! Owns the words that a refusal has. Must not enter: roles, JSON. Invariant: what is asked of a stream is told to its pump, which does
//! it; nothing here touches a feed or a viewer.

use std::sync::{PoisonError, atomic::Ordering::Relaxed};

use yagi_api::{ChannelId, StreamRow};

use super::{Stream, Streams};
use crate::upstream::Status;

/// A move that an administrator wants: to this source, or to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked(pub Option<usize>);

/// Why a stream is not moved to another source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailoverError {
    #[error("there is no such stream")]
    NoStream,
    #[error("the stream has only one source")]
    OneSource,
    #[error("the stream has {0} sources")]
    NoSource(usize),
}

impl Streams {
    pub fn rows(&self) -> Vec<StreamRow> {
        let mut rows: Vec<StreamRow> = self.0.lock().streams.values().map(|s| s.row()).collect();
        rows.sort_by_key(|r| r.id);
        rows
    }

    /// Ends a stream and closes its clients. False if there is none of that id.
    pub fn stop(&self, id: u64) -> bool {
        let hit = self.0.lock().streams.values().find(|s| s.id == id).cloned();
        hit.inspect(|s| s.stop()).is_some()
    }

    /// Ends the streams of a channel; says how many.
    pub fn stop_channel(&self, channel: ChannelId) -> u32 {
        let hit: Vec<_> = self.0.lock().streams.values().filter(|s| s.channel == Some(channel)).cloned().collect();
        hit.iter().for_each(|s| s.stop());
        u32::try_from(hit.len()).unwrap_or(u32::MAX)
    }

    /// Moves a stream to its source of this index, or to the next one; viewers are kept. It happens a moment later,
    /// and not at all if it is on that source.
    ///
    /// # Errors
    /// When there is no such stream or source.
    pub fn failover(&self, id: u64, to: Option<usize>) -> Result<(), FailoverError> {
        let hit = self.0.lock().streams.values().find(|s| s.id == id).cloned();
        let stream = hit.ok_or(FailoverError::NoStream)?;
        match (stream.origins.len(), to) {
            (0 | 1, _) => Err(FailoverError::OneSource),
            (n, Some(to)) if to >= n => Err(FailoverError::NoSource(n)),
            _ => {
                *stream.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Asked(to));
                stream.wake.notify_one();
                Ok(())
            }
        }
    }
}

impl Stream {
    /// What an administrator wants since the last time.
    pub(super) fn asked(&self) -> Option<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The stream at this moment.
    fn row(&self) -> StreamRow {
        let m = &self.meter;
        let words = m.words();
        StreamRow {
            id: self.id,
            channel: self.channel,
            name: self.name.clone(),
            state: m.state(),
            clients: m.clients.load(Relaxed),
            in_bits_per_s: m.in_bits_per_s.load(Relaxed),
            out_bits_per_s: m.out_bits_per_s.load(Relaxed),
            in_bytes: m.in_bytes.load(Relaxed),
            out_bytes: m.all_out_bytes(),
            uptime_s: self.since.elapsed().as_secs(),
            source: words.source,
            source_index: m.source_index.load(Relaxed),
            sources: u32::try_from(self.origins.len()).unwrap_or(u32::MAX),
            switches: m.switches.load(Relaxed),
            last_switch: words.last_switch,
            health: words.health,
            first_byte_ms: m.first_byte_ms.load(Relaxed).checked_sub(1),
            buffer_bytes: m.buffer_bytes.load(Relaxed),
            buffer_ms: m.buffer_ms.load(Relaxed),
            reconnects: m.reconnects.load(Relaxed),
            dropped_clients: m.dropped.load(Relaxed),
            flushes: m.flushes.load(Relaxed),
            sends: m.sends.load(Relaxed),
            last_error: words.last_error,
            engine: self.engine.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Status::text),
            history: words.history.into(),
        }
    }
}
