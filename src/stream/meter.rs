//! What a stream tells of itself: figures that leave the pump through atomics.
//!
//! Owns the published figures. Must not enter: the pump's own state. Invariant: written by the stream's pump (`reel_bytes` by those
//! who give segments), read by anybody without waiting.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use yagi_api::{StreamHealth, StreamState, Switch};

/// Five-second averages that are kept: one minute.
const HISTORY: usize = 12;

#[derive(Default)]
pub struct Meter {
    state: AtomicU8,
    pub clients: AtomicU32,
    pub in_bytes: AtomicU64,
    pub out_bytes: AtomicU64,
    /// Bytes of segments that viewers were given; counted by those who give them.
    pub reel_bytes: AtomicU64,
    pub in_bits_per_s: AtomicU64,
    pub out_bits_per_s: AtomicU64,
    pub buffer_bytes: AtomicU64,
    pub buffer_ms: AtomicU32,
    pub reconnects: AtomicU32,
    pub dropped: AtomicU64,
    pub flushes: AtomicU64,
    pub sends: AtomicU64,
    pub source_index: AtomicU32,
    pub switches: AtomicU32,
    /// Milliseconds plus one; 0: not yet.
    pub first_byte_ms: AtomicU32,
    words: Mutex<Words>,
}

/// What is not a number; written when it changes.
#[derive(Clone, Default)]
pub struct Words {
    pub source: String,
    pub last_error: Option<String>,
    pub last_switch: Option<Switch>,
    pub health: Option<StreamHealth>,
    pub history: VecDeque<u64>,
}

impl Meter {
    /// Bytes sent in every way.
    pub fn all_out_bytes(&self) -> u64 {
        self.out_bytes.load(Relaxed) + self.reel_bytes.load(Relaxed)
    }

    pub fn set_state(&self, state: StreamState) {
        self.state.store(state as u8, Relaxed);
    }

    pub fn state(&self) -> StreamState {
        match self.state.load(Relaxed) {
            0 => StreamState::Opening,
            1 => StreamState::Live,
            2 => StreamState::Retrying,
            _ => StreamState::Lingering,
        }
    }

    pub fn say(&self, change: impl FnOnce(&mut Words)) {
        change(&mut self.words.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn words(&self) -> Words {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds a five-second average to the history.
    pub fn remember(&self, bits_per_s: u64) {
        self.say(|w| {
            if w.history.len() == HISTORY {
                w.history.pop_front();
            }
            w.history.push_back(bits_per_s);
        });
    }
}
