//! Who holds a connection, and the limit on how many.
//!
//! Owns the table of [`Client`]s and the RAII [`Seat`] that keeps one in it. Must not enter: sockets, streams, accounts
//! beyond an id and a number. Invariant: nothing is counted; every figure is derived from the seats that exist, and a seat
//! exists exactly as long as the connection that owns it.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::Notify;
use yagi_api::{ChannelId, ClientId, ClientRow, ClientState, LimitPolicy, UserId};

/// Between different devices of one viewer at most one take-over in this time, so that two players cannot evict each
/// other for ever.
const PEACE: Duration = Duration::from_secs(10);

/// The table; cheap to clone.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    next: u64,
    clients: BTreeMap<ClientId, Arc<Client>>,
    /// When a viewer's last take-over between devices was.
    takeovers: HashMap<UserId, Instant>,
    /// Connections that have ended, by [`End`].
    ended: [u64; End::ALL.len() + 1],
    /// Seconds from a request to the first picture.
    waits: Waits,
}

/// A histogram of seconds; clones observe into the same one.
#[derive(Clone, Debug)]
pub struct Waits(Histogram);

impl Default for Waits {
    fn default() -> Self {
        Self(Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0]))
    }
}

impl Waits {
    pub fn observe(&self, wait: Duration) {
        self.0.observe(wait.as_secs_f64());
    }

    pub fn histogram(&self) -> Histogram {
        self.0.clone()
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// None: an anonymous client of a configured network; it has no limit.
    pub user: Option<UserId>,
    pub name: String,
    pub ip: IpAddr,
    pub agent: String,
    pub channel: Option<ChannelId>,
    pub channel_name: String,
    /// Of an archive, and not what is on: from when (epoch seconds).
    pub archive: Option<i64>,
    /// 0: none.
    pub limit: u32,
    pub policy: LimitPolicy,
}

/// Why a connection ends; the words are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum End {
    Left = 1,
    TakenOver,
    Kicked,
    Stalled,
    Lagged,
    StreamEnded,
    Shutdown,
}

impl End {
    const ALL: [Self; 7] =
        [Self::Left, Self::TakenOver, Self::Kicked, Self::Stalled, Self::Lagged, Self::StreamEnded, Self::Shutdown];

    pub fn word(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::TakenOver => "taken over by a newer connection",
            Self::Kicked => "kicked",
            Self::Stalled => "made no progress",
            Self::Lagged => "could not keep up",
            Self::StreamEnded => "stream ended",
            Self::Shutdown => "shutdown",
        }
    }
}

/// One connection: fixed facts, and figures that its stream publishes once a second.
#[derive(Debug)]
pub struct Client {
    pub id: ClientId,
    pub user: Option<UserId>,
    pub name: String,
    pub ip: IpAddr,
    pub agent: String,
    pub channel: Option<ChannelId>,
    pub channel_name: String,
    pub archive: Option<i64>,
    pub since: Instant,
    /// The stream's id; 0 before it has one.
    pub stream: AtomicU64,
    pub out_bytes: AtomicU64,
    pub out_bits_per_s: AtomicU64,
    pub lag_ms: AtomicU32,
    pub skips: AtomicU32,
    state: AtomicU8,
    end: AtomicU8,
    waker: Mutex<Option<Arc<Notify>>>,
    waits: Waits,
}

impl Client {
    pub fn set_state(&self, state: ClientState) {
        let before = self.state.swap(state as u8, Relaxed);
        if before == ClientState::Waiting as u8 && state != ClientState::Waiting {
            self.waits.observe(self.since.elapsed());
        }
    }

    fn state(&self) -> ClientState {
        match self.state.load(Relaxed) {
            0 => ClientState::Waiting,
            1 => ClientState::Live,
            _ => ClientState::Lagging,
        }
    }

    /// Asks the owner to end this connection. The first reason stays.
    pub fn end(&self, why: End) {
        let _ = self.end.compare_exchange(0, why as u8, Relaxed, Relaxed);
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.notify_one();
        }
    }

    /// The reason, once somebody asked it to end.
    pub fn ending(&self) -> Option<End> {
        let n = self.end.load(Relaxed);
        End::ALL.into_iter().find(|e| *e as u8 == n)
    }

    /// Whom to wake when it is asked to end: the waiting request first, its stream later.
    pub fn wake(&self, waker: Arc<Notify>) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&waker));
        // Looked at last: an end that came before found the one of earlier.
        if self.ending().is_some() {
            waker.notify_one();
        }
    }

    fn row(&self, now: Instant) -> ClientRow {
        let stream = self.stream.load(Relaxed);
        ClientRow {
            id: self.id,
            user: self.user,
            name: self.name.clone(),
            ip: self.ip.to_string(),
            agent: self.agent.clone(),
            channel: self.channel,
            channel_name: self.channel_name.clone(),
            archive: self.archive,
            stream: (stream != 0).then_some(stream),
            state: self.state(),
            out_bytes: self.out_bytes.load(Relaxed),
            out_bits_per_s: self.out_bits_per_s.load(Relaxed),
            lag_ms: self.lag_ms.load(Relaxed),
            skips: self.skips.load(Relaxed),
            since_s: now.saturating_duration_since(self.since).as_secs(),
        }
    }
}

/// The permit to stream. Dropping it frees the place and logs the end.
#[derive(Debug)]
pub struct Seat {
    client: Arc<Client>,
    table: Seats,
}

impl Deref for Seat {
    type Target = Arc<Client>;
    fn deref(&self) -> &Arc<Client> {
        &self.client
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let client = &self.client;
        let why = client.ending().unwrap_or(End::Left);
        let mut table = self.table.lock();
        table.clients.remove(&client.id);
        table.ended[why as usize] += 1;
        drop(table);
        tracing::info!(
            user = client.name,
            ip = %client.ip,
            channel = client.channel_name,
            seconds = client.since.elapsed().as_secs(),
            bytes = client.out_bytes.load(Relaxed),
            reason = why.word(),
            "client ended"
        );
    }
}

/// Why no seat was given; the text is for the viewer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} of {limit} connections of this account are in use{}", if *.fought { "; another device took one over a moment ago, try again in some seconds" } else { "" })]
pub struct Refused {
    pub limit: u32,
    /// Two devices are evicting each other.
    pub fought: bool,
}

impl std::fmt::Debug for Seats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seats({})", self.lock().clients.len())
    }
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat, atomically with the check of the limit. Over it, the policy decides: close an older connection of
    /// the viewer (the same address and player first, then the same address, then the oldest), or refuse.
    ///
    /// # Errors
    /// [`Refused`] when the policy says so, or when two devices of the viewer are evicting each other.
    pub fn take(&self, request: Request, now: Instant) -> Result<Seat, Refused> {
        let mut table = self.lock();
        if let Some(user) = request.user.filter(|_| request.limit > 0) {
            let mut held: Vec<Arc<Client>> =
                table.clients.values().filter(|c| c.user == Some(user) && c.ending().is_none()).cloned().collect();
            let over = (held.len() + 1).saturating_sub(request.limit as usize);
            if over > 0 {
                if request.policy == LimitPolicy::Refuse {
                    return Err(Refused { limit: request.limit, fought: false });
                }
                // BTreeMap order is by id, so the sort keeps the oldest first within each rank.
                held.sort_by_key(|c| {
                    (c.ip != request.ip) as u8 + (c.ip != request.ip || c.agent != request.agent) as u8
                });
                let victims = &held[..over];
                if victims.iter().any(|c| c.ip != request.ip || c.agent != request.agent) {
                    let fought = table.takeovers.get(&user).is_some_and(|t| now.saturating_duration_since(*t) < PEACE);
                    if fought {
                        return Err(Refused { limit: request.limit, fought: true });
                    }
                    table.takeovers.retain(|_, t| now.saturating_duration_since(*t) < PEACE);
                    table.takeovers.insert(user, now);
                }
                for victim in victims {
                    victim.end(End::TakenOver);
                }
            }
        }
        table.next += 1;
        let client = Arc::new(Client {
            id: ClientId(table.next),
            user: request.user,
            name: request.name,
            ip: request.ip,
            agent: request.agent,
            channel: request.channel,
            channel_name: request.channel_name,
            archive: request.archive,
            since: now,
            stream: AtomicU64::new(0),
            out_bytes: AtomicU64::new(0),
            out_bits_per_s: AtomicU64::new(0),
            lag_ms: AtomicU32::new(0),
            skips: AtomicU32::new(0),
            state: AtomicU8::new(0),
            end: AtomicU8::new(0),
            waker: Mutex::new(None),
            waits: table.waits.clone(),
        });
        table.clients.insert(client.id, client.clone());
        drop(table);
        tracing::info!(user = client.name, ip = %client.ip, channel = client.channel_name, agent = client.agent, "client started");
        Ok(Seat { client, table: self.clone() })
    }

    /// All connections, oldest first.
    pub fn rows(&self) -> Vec<ClientRow> {
        let now = Instant::now();
        self.lock().clients.values().map(|c| c.row(now)).collect()
    }

    /// Connections of this viewer that nobody has asked to end.
    pub fn active(&self, user: UserId) -> u32 {
        let table = self.lock();
        let n = table.clients.values().filter(|c| c.user == Some(user) && c.ending().is_none()).count();
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    /// Connections of every viewer, in one pass.
    pub fn active_by_user(&self) -> HashMap<UserId, u32> {
        let mut counts = HashMap::new();
        for user in self.lock().clients.values().filter(|c| c.ending().is_none()).filter_map(|c| c.user) {
            *counts.entry(user).or_default() += 1;
        }
        counts
    }

    pub fn len(&self) -> usize {
        self.lock().clients.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connections that take an archive.
    pub fn archives(&self) -> usize {
        self.lock().clients.values().filter(|c| c.archive.is_some()).count()
    }

    /// How many connections have ended for which reason since the start.
    pub fn ended(&self) -> [(End, u64); End::ALL.len()] {
        let table = self.lock();
        End::ALL.map(|end| (end, table.ended[end as usize]))
    }

    /// How long viewers waited for their first picture.
    pub fn waits(&self) -> Waits {
        self.lock().waits.clone()
    }

    /// Ends the recordings that this player takes on other connections: seeking, it opens the next before it lets go of the last.
    pub fn succeed(&self, user: UserId, ip: IpAddr, agent: &str) {
        let own = |c: &&Arc<Client>| c.archive.is_some() && c.user == Some(user) && c.ip == ip && c.agent == agent;
        let hit: Vec<_> = self.lock().clients.values().filter(own).cloned().collect();
        hit.iter().for_each(|c| c.end(End::TakenOver));
    }

    /// Ends one connection. False if there is none of that id.
    pub fn kick(&self, id: ClientId) -> bool {
        let client = self.lock().clients.get(&id).cloned();
        client.inspect(|c| c.end(End::Kicked)).is_some()
    }

    /// Ends all connections of a viewer and says how many.
    pub fn kick_user(&self, user: UserId) -> u32 {
        let hit: Vec<_> = self.lock().clients.values().filter(|c| c.user == Some(user)).cloned().collect();
        hit.iter().for_each(|c| c.end(End::Kicked));
        u32::try_from(hit.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(ip: &str, agent: &str) -> Request {
        Request {
            user: Some(UserId(1)),
            name: "alice".into(),
            ip: ip.parse().unwrap(),
            agent: agent.into(),
            channel: None,
            channel_name: "One".into(),
            archive: None,
            limit: 1,
            policy: LimitPolicy::TakeOver,
        }
    }

    #[test]
    fn the_newest_connection_of_a_device_wins_every_time() {
        let seats = Seats::default();
        let now = Instant::now();
        let mut last = seats.take(ask("10.0.0.1", "Kodi"), now).unwrap();
        for _ in 0..30 {
            let next = seats.take(ask("10.0.0.1", "Kodi"), now).unwrap();
            assert_eq!(last.ending(), Some(End::TakenOver));
            assert_eq!(seats.active(UserId(1)), 1);
            last = next;
        }
        drop(last);
        assert!(seats.is_empty());
    }

    #[test]
    fn two_devices_do_not_evict_each_other_for_ever() {
        let seats = Seats::default();
        let t0 = Instant::now();
        let first = seats.take(ask("10.0.0.1", "Kodi"), t0).unwrap();
        let second = seats.take(ask("10.0.0.2", "VLC"), t0).unwrap();
        assert_eq!(first.ending(), Some(End::TakenOver));
        assert_eq!(
            seats.take(ask("10.0.0.1", "Kodi"), t0 + PEACE / 2).unwrap_err(),
            Refused { limit: 1, fought: true }
        );
        assert!(second.ending().is_none());
        assert!(seats.take(ask("10.0.0.1", "Kodi"), t0 + PEACE).is_ok());
    }

    #[test]
    fn the_same_device_is_closed_before_others_and_older_before_newer() {
        let seats = Seats::default();
        let now = Instant::now();
        let wide = |ip: &str, agent: &str| Request { limit: 3, ..ask(ip, agent) };
        let a = seats.take(wide("10.0.0.1", "A"), now).unwrap();
        let b = seats.take(wide("10.0.0.2", "B"), now).unwrap();
        let c = seats.take(wide("10.0.0.2", "C"), now).unwrap();
        let d = seats.take(wide("10.0.0.2", "C"), now).unwrap();
        assert_eq!([&a, &b, &c, &d].map(|s| s.ending().is_some()), [false, false, true, false]);
        let _e = seats.take(wide("10.0.0.2", "E"), now).unwrap();
        assert_eq!([&a, &b, &d].map(|s| s.ending().is_some()), [false, true, false]);
    }

    #[test]
    fn refusing_leaves_the_old_connection_alone() {
        let seats = Seats::default();
        let strict = || Request { policy: LimitPolicy::Refuse, ..ask("10.0.0.1", "A") };
        let first = seats.take(strict(), Instant::now()).unwrap();
        assert!(seats.take(strict(), Instant::now()).is_err());
        assert!(first.ending().is_none());
        assert!(seats.kick(first.id) && first.ending() == Some(End::Kicked));
        assert!(!seats.kick(ClientId(99)));
    }
}
