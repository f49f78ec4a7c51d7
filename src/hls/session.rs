//! One viewer that takes a stream in segments.
//!
//! Owns its seat and its right to the stream, until it ends. Must not enter: the table of sessions, HTTP. Invariant: seat and
//! stream are given back at the end, whoever still holds the session.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use yagi_api::ClientState;

use super::Who;
use crate::{
    seats::{Client, End, Seat},
    stream::{Reel, Watch},
};

/// Seconds that a token is good for; half of it before a new one is given.
const TOKEN_LIFE: i64 = 24 * 3600;

pub struct Session {
    pub id: u64,
    pub client: Arc<Client>,
    began: Instant,
    /// Milliseconds after `began` when something was last fetched.
    fetched_ms: AtomicU64,
    /// Number of the last segment that was fetched; 0: none yet.
    newest: AtomicU64,
    state: Mutex<State>,
}

struct State {
    who: Who,
    /// None: it is over.
    held: Option<Held>,
    token: Option<(String, i64)>,
    /// What the rate is measured against.
    measured: (Instant, u64),
}

struct Held {
    _seat: Seat,
    watch: Watch,
}

impl Session {
    pub(super) fn new(id: u64, who: Who, seat: Seat, watch: Watch) -> Self {
        let now = Instant::now();
        seat.stream.store(watch.stream_id(), Relaxed);
        seat.set_state(ClientState::Live);
        Self {
            id,
            client: Arc::clone(&seat),
            began: now,
            fetched_ms: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            state: Mutex::new(State { who, held: Some(Held { _seat: seat, watch }), token: None, measured: (now, 0) }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn who(&self) -> Who {
        self.state().who.clone()
    }

    pub fn is_open(&self) -> bool {
        self.reel().is_some()
    }

    /// The stream's segments at this moment; `None` when the session is over.
    pub fn reel(&self) -> Option<Arc<Reel>> {
        if self.client.ending().is_some() {
            return None;
        }
        let reel = self.state().held.as_ref().map(|h| h.watch.reel())?;
        (!reel.ended).then_some(reel)
    }

    /// It fetches: the seat stays its own.
    pub fn touch(&self) {
        let ms = self.began.elapsed().as_millis();
        self.fetched_ms.store(u64::try_from(ms).unwrap_or(u64::MAX), Relaxed);
    }

    /// It fetches this segment.
    pub fn fetches(&self, segment: u64) {
        self.touch();
        self.newest.fetch_max(segment, Relaxed);
    }

    /// Counts bytes on their way to the viewer. False: the session is over, and nothing more may be sent.
    pub fn sent(&self, bytes: u64) -> bool {
        self.touch();
        if self.client.ending().is_some() {
            return false;
        }
        let state = self.state();
        let Some(held) = &state.held else { return false };
        held.watch.sent(bytes);
        self.client.out_bytes.fetch_add(bytes, Relaxed);
        true
    }

    /// The token in use, or a new one from `sign`, which is told its last moment.
    pub(super) fn token(&self, now: i64, sign: impl FnOnce(i64) -> String) -> String {
        let fresh = |state: &State| {
            state.token.as_ref().filter(|(_, until)| until - now > TOKEN_LIFE / 2).map(|(text, _)| text.clone())
        };
        if let Some(token) = fresh(&self.state()) {
            return token;
        }
        let until = now + TOKEN_LIFE;
        let token = sign(until);
        self.state().token = Some((token.clone(), until));
        token
    }

    /// Old and new identity, if it asks from another address now.
    pub(super) fn moved(&self, ip: IpAddr) -> Option<(Who, Who)> {
        let mut state = self.state();
        if state.who.ip == ip {
            return None;
        }
        let old = state.who.clone();
        state.who.ip = ip;
        Some((old, state.who.clone()))
    }

    /// Ends it. The first reason stays.
    pub fn end(&self, why: End) {
        self.client.end(why);
        let held = self.state().held.take();
        drop(held);
    }

    /// Publishes its rate and how far it is behind the newest segment, and ends it if it is time; true when it is over.
    pub(super) fn attend(&self, now: Instant) -> bool {
        let reel = self.state().held.as_ref().map(|h| h.watch.reel());
        let Some(reel) = reel else { return true };
        let quiet = now
            .saturating_duration_since(self.began)
            .saturating_sub(Duration::from_millis(self.fetched_ms.load(Relaxed)));
        let patience =
            Duration::from_secs(u64::from(reel.target_s.max(1)) * 3).saturating_sub(Duration::from_millis(500));
        let why = match self.client.ending() {
            Some(why) => Some(why),
            None if reel.ended => Some(End::StreamEnded),
            None if quiet >= patience => Some(End::Left),
            None => None,
        };
        if let Some(why) = why {
            self.end(why);
            return true;
        }
        let mut state = self.state();
        let (since, before) = state.measured;
        let passed = now.saturating_duration_since(since);
        if passed >= Duration::from_secs(1) {
            let bytes = self.client.out_bytes.load(Relaxed);
            let ms = u64::try_from(passed.as_millis()).unwrap_or(1000).max(1);
            let newest = self.newest.load(Relaxed);
            let lag = if newest > 0 { reel.behind(newest).as_millis() } else { 0 };
            self.client.lag_ms.store(u32::try_from(lag).unwrap_or(u32::MAX), Relaxed);
            self.client.out_bits_per_s.store((bytes - before) * 8 * 1000 / ms, Relaxed);
            state.measured = (now, bytes);
        }
        false
    }
}
