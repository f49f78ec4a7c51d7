//! HLS: who takes which stream in segments, each such viewer holding one seat while it fetches.
//!
//! Owns the sessions, their signed addresses ([`token`]) and the playlist's text ([`playlist`]). Must not enter: accounts, routes,
//! how segments are cut. Invariants: a session that does not fetch is over within three target durations and gives back seat and
//! stream; one that ended never serves again; a session is found by what it presents, not by a connection.

pub mod playlist;
mod session;
pub mod token;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};
use yagi_api::{ChannelId, UserId};

use crate::{
    clock::epoch_now,
    seats::{End, Seat},
    stream::Watch,
};

pub use session::Session;
use token::{Claim, Fault};

/// Sessions at once.
const MOST: usize = 20_000;
/// How often sessions are looked at.
const TICK: Duration = Duration::from_millis(250);
/// A kicked player asks again by itself: for so long it is refused.
const BANISHED: Duration = Duration::from_secs(20);

/// All sessions; cheap to clone.
#[derive(Clone)]
pub struct Hls(Arc<Shared>);

struct Shared {
    key: token::Key,
    table: Mutex<Table>,
    /// A session began, or was asked to end.
    wake: Arc<Notify>,
}

#[derive(Default)]
struct Table {
    next: u64,
    sessions: HashMap<u64, Arc<Session>>,
    by_who: HashMap<Who, u64>,
    /// Who is about to begin a session: the second request of a player waits for the first.
    doors: HashMap<Who, Weak<tokio::sync::Mutex<()>>>,
    banished: HashMap<Who, Instant>,
}

/// A player that asks for a playlist again is known by this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Who {
    pub user: Option<UserId>,
    pub channel: Option<ChannelId>,
    /// What it watches, for content that is no channel too.
    pub content: String,
    pub ip: IpAddr,
    pub agent: String,
}

/// What is known of a player that asks.
pub enum Found {
    Session(Arc<Session>),
    /// It was asked to go a moment ago.
    Banished,
    Nobody,
}

impl Hls {
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self(Arc::new(Shared { key: token::Key::random()?, table: Mutex::default(), wake: Arc::default() })))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn find(&self, who: &Who) -> Found {
        let (session, banished) = {
            let table = self.table();
            let session = table.by_who.get(who).and_then(|id| table.sessions.get(id)).cloned();
            (session, table.banished.get(who).is_some_and(|t| t.elapsed() < BANISHED))
        };
        match session {
            Some(session) if session.is_open() => Found::Session(session),
            Some(session) if session.client.ending() == Some(End::Kicked) => Found::Banished,
            _ if banished => Found::Banished,
            _ => Found::Nobody,
        }
    }

    /// Whoever holds this alone may begin a session for `who`.
    pub fn door(&self, who: &Who) -> Arc<tokio::sync::Mutex<()>> {
        let mut table = self.table();
        if let Some(door) = table.doors.get(who).and_then(Weak::upgrade) {
            return door;
        }
        table.doors.retain(|_, door| door.strong_count() > 0);
        let door = Arc::default();
        table.doors.insert(who.clone(), Arc::downgrade(&door));
        door
    }

    /// Begins a session. `None`: there are too many.
    pub fn begin(&self, who: Who, seat: Seat, watch: Watch) -> Option<Arc<Session>> {
        let mut table = self.table();
        if table.sessions.len() >= MOST {
            return None;
        }
        table.next += 1;
        let id = table.next;
        let client = Arc::clone(&seat);
        let session = Arc::new(Session::new(id, who.clone(), seat, watch));
        table.sessions.insert(id, session.clone());
        table.by_who.insert(who, id);
        drop(table);
        client.wake(self.0.wake.clone());
        self.0.wake.notify_one();
        Some(session)
    }

    /// The token that stands in a session's addresses.
    pub fn token(&self, session: &Session) -> String {
        session.token(epoch_now(), |expires_at| {
            let who = session.who();
            let number = |id: Option<u32>| id.unwrap_or(0);
            self.0.key.sign(Claim {
                session: session.id,
                user: number(who.user.map(|u| u.0)),
                channel: number(who.channel.map(|c| c.0)),
                expires_at,
            })
        })
    }

    /// The session of a token, from whatever address it comes.
    ///
    /// # Errors
    /// When the token is not ours or too old, or its session is over.
    pub fn session(&self, token: &str, ip: IpAddr) -> Result<Arc<Session>, Fault> {
        let claim = self.0.key.read(token, epoch_now())?;
        let session = self.table().sessions.get(&claim.session).cloned();
        let session = session.filter(|s| s.is_open()).ok_or(Fault::Over)?;
        // The player has another address now: its next playlist is still this session's.
        if let Some((old, new)) = session.moved(ip) {
            let mut table = self.table();
            table.by_who.remove(&old);
            table.by_who.insert(new, session.id);
        }
        Ok(session)
    }

    pub fn len(&self) -> usize {
        self.table().sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends sessions in time, until the daemon stops.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            let idle = self.is_empty();
            tokio::select! {
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(TICK), if !idle => {}
                _ = async { stop.wait_for(|s| *s).await.is_ok() } => break,
            }
            self.attend(Instant::now());
        }
        let table = std::mem::take(&mut *self.table());
        table.sessions.values().for_each(|s| s.end(End::Shutdown));
    }

    fn attend(&self, now: Instant) {
        let sessions: Vec<Arc<Session>> = self.table().sessions.values().cloned().collect();
        let over: Vec<(Who, Arc<Session>)> =
            sessions.into_iter().filter(|s| s.attend(now)).map(|s| (s.who(), s)).collect();
        if over.is_empty() {
            return;
        }
        let mut table = self.table();
        table.banished.retain(|_, t| now.saturating_duration_since(*t) < BANISHED);
        for (who, session) in over {
            table.sessions.remove(&session.id);
            if table.by_who.get(&who) == Some(&session.id) {
                table.by_who.remove(&who);
            }
            if session.client.ending() == Some(End::Kicked) {
                table.banished.insert(who, now);
            }
        }
    }
}
