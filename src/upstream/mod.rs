//! Where pictures, playlists and guides come from: one door to every kind of upstream.
//!
//! Owns the opening of upstreams ([`Upstreams`]), the bytes of a running one ([`Feed`]) and downloads
//! ([`fetch::Fetcher`]). Must not enter: users, SQL, routes, fan-out. Invariants: every wait has a bound; nothing here
//! connects to a link-local address or to the daemon itself, nor from a public host to a private one; an engine session is stopped exactly once on every way
//! out, a dropped [`Feed`] or [`Prepared`] included; no text that leaves carries a credential.

pub mod datagrams;
pub mod dial;
pub mod engine;
pub mod exec;
pub mod fetch;
pub mod file;
pub mod hls;
pub mod http_ts;
pub mod outbound;
pub mod recording;
mod search;
pub mod slots;
mod socket;
pub mod spool;
mod stamps;
pub mod testcard;
mod zip;

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use yagi_api::{EngineRow, Locator, SourceId};

use crate::{config::Config, platform::wake_at, secret::redact};

pub use fetch::{Caps, Conditions, FetchError, Fetched, Fetcher};
pub use outbound::Reach;
pub use recording::Recording;
pub use slots::{Claim, Purpose};
pub use spool::Spool;

/// Why an upstream gives nothing (more).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    #[error("the upstream does not know this address (404)")]
    NotFound,
    #[error("the upstream answered with status {0}")]
    Status(u16),
    #[error("the AceStream engine says: {0}")]
    Engine(String),
    #[error("cannot reach the upstream: {0}")]
    Unreachable(String),
    #[error("the upstream took too long: {0}")]
    Timeout(&'static str),
    #[error("the upstream sent no MPEG-TS: {0}")]
    NotMedia(String),
    #[error("the upstream ended")]
    Ended,
    #[error("refused: {0}")]
    Refused(String),
    #[error("the command {0}")]
    Command(String),
    #[error("{0}")]
    NoSlot(String),
    #[error("no AceStream engine is free: {0}")]
    NoEngine(String),
}

impl UpstreamError {
    /// What a player is answered when this happens before the first byte.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Timeout(_) => 504,
            Self::Unreachable(_) | Self::NoSlot(_) | Self::NoEngine(_) => 503,
            Self::Status(_)
            | Self::Engine(_)
            | Self::NotMedia(_)
            | Self::Ended
            | Self::Refused(_)
            | Self::Command(_) => 502,
        }
    }
}

/// What an upstream says of itself, in words for tables; a handle that stays valid.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Mutex<String>>);

impl Status {
    /// `prebuf, 12 peers, 300 KB/s`, `RTP, 3 lost`; none while nothing is known.
    pub fn text(&self) -> Option<String> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!text.is_empty()).then(|| text.clone())
    }

    fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// What a [`Feed`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Bytes(Bytes),
    /// What comes next does not continue what came: other clocks, counters or tables.
    Seam,
}

/// Opens upstreams. Cheap to clone; one for the daemon.
#[derive(Clone)]
pub struct Upstreams {
    outbound: Arc<outbound::Outbound>,
    engines: engine::Engines,
    slots: slots::Slots,
    local: Arc<Local>,
    /// The engines that are searched.
    search: Arc<[url::Url]>,
}

/// What the daemon's own machine may be asked for.
struct Local {
    file: file::Roots,
    commands: exec::Commands,
    datagrams: datagrams::Options,
}

impl Upstreams {
    /// Best called inside the runtime that lives longest: stops of engine sessions whose owner vanished run there.
    pub fn new(config: &Config) -> Self {
        let outbound = Arc::new(outbound::Outbound::new(config));
        let engines = engine::Engines::new(&config.engine, Arc::clone(&outbound));
        let local = Local {
            file: file::Roots::new(&config.upstream.file_roots),
            commands: exec::Commands::new(&config.exec),
            datagrams: datagrams::Options::new(&config.upstream),
        };
        let search = searched(config);
        Self { outbound, engines, slots: slots::Slots::default(), local: Arc::new(local), search }
    }

    /// How many upstreams each account may have from now on: id, name, limit (0: none).
    pub fn limit_accounts(&self, limits: impl IntoIterator<Item = (SourceId, String, u32)>) {
        self.slots.configure(limits);
    }

    /// Upstreams of this account that are open or being opened, as far as it has places.
    pub fn of_account(&self, account: SourceId) -> usize {
        self.slots.used(account)
    }

    /// Whether a viewer waits for a place of this account.
    pub fn is_wanted(&self, account: SourceId) -> bool {
        self.slots.is_wanted(account)
    }

    /// Whether one more upstream of this account could be opened at once.
    pub fn has_place(&self, account: SourceId) -> bool {
        self.slots.has_place(account)
    }

    /// The engines as they stand.
    pub fn engines(&self) -> Vec<EngineRow> {
        self.engines.rows()
    }

    /// Tells the addresses that the daemon really listens on (after bind), so that no upstream leads back to it.
    pub fn own_listeners(&self, addresses: Vec<SocketAddr>) {
        self.outbound.own_listeners(addresses);
    }

    /// Downloads under the same outbound rules.
    pub fn fetcher(&self) -> Fetcher {
        Fetcher::with(Arc::clone(&self.outbound), Arc::clone(&self.search))
    }

    /// Everything that can be known before reading: a place of the account is taken, and for AceStream the session is
    /// opened (so that its infohash is known); for the rest nothing is sent yet.
    ///
    /// # Errors
    /// No place, the engine's refusal in its own words, or an address that cannot be used.
    pub async fn prepare(
        &self,
        source: &Locator,
        headers: &[(String, String)],
        claim: &Claim,
    ) -> Result<Prepared, UpstreamError> {
        let permit = self.slots.take(claim).await?;
        let kind = match source {
            Locator::TestCard => Kind::TestCard,
            Locator::Http(url) => {
                Kind::Http(Box::new(http_ts::Request::new(url, headers, claim.reach, &self.outbound)?))
            }
            Locator::AceContent(id) => Kind::Engine(Box::new(self.engines.open("id", id, claim.purpose).await?)),
            Locator::AceInfohash(hash) => {
                Kind::Engine(Box::new(self.engines.open("infohash", hash, claim.purpose).await?))
            }
            Locator::Datagrams(to) => Kind::Datagrams(to.clone()),
            Locator::File(_) => Kind::File(self.local.file.find(&source.path().unwrap_or_default()).await?),
            Locator::Exec(command) => Kind::Exec(self.local.commands.find(command)?),
        };
        let status = match &kind {
            Kind::Engine(session) => session.status(),
            _ => Status::default(),
        };
        let label = redact(&source.to_string());
        Ok(Prepared { kind, label, status, upstreams: self.clone(), permit })
    }

    /// Stops every engine session that is still open and waits for the pending stops, at most `limit`. For shutdown,
    /// after the streams have ended.
    pub async fn drain(&self, limit: Duration) {
        self.engines.drain(limit).await;
    }
}

/// Addresses of the engines; one that cannot be used is told where it is opened.
fn searched(config: &Config) -> Arc<[url::Url]> {
    config.engine.all().into_iter().filter_map(|url| dial::Ask::new(url).ok()).map(|ask| ask.url).collect()
}

enum Kind {
    TestCard,
    Http(Box<http_ts::Request>),
    Engine(Box<engine::Session>),
    Datagrams(yagi_api::Datagrams),
    File(file::Found),
    Exec(exec::Line),
}

/// An upstream that is about to start. Dropping it undoes what was opened.
pub struct Prepared {
    kind: Kind,
    label: String,
    status: Status,
    upstreams: Upstreams,
    permit: Option<slots::Permit>,
}

impl Prepared {
    /// The engine's name of the content: two sources with the same one are one stream.
    pub fn infohash(&self) -> Option<&str> {
        match &self.kind {
            Kind::Engine(session) => session.infohash(),
            _ => None,
        }
    }

    /// What the upstream says of itself; a handle that can be read while [`Prepared::start`] waits and later.
    pub fn status(&self) -> Option<Status> {
        Some(self.status.clone())
    }

    /// For tables and logs; free of credentials.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Waits for the first bytes.
    ///
    /// # Errors
    /// What kept them from coming; the session is stopped then.
    pub async fn start(self) -> Result<Feed, UpstreamError> {
        let Self { kind, label, status, upstreams, permit } = self;
        let Upstreams { outbound, local, .. } = &upstreams;
        let opening = async {
            Ok(match kind {
                Kind::TestCard => Inner::TestCard(Box::new(testcard::TestCard::new(Instant::now()))),
                Kind::Http(request) => {
                    let deadline = request.deadline();
                    match request.open(outbound, deadline).await? {
                        http_ts::Answer::Media(body) => Inner::Http(body),
                        http_ts::Answer::Hls(list) => Inner::Hls(
                            hls::Hls::start(*list, Arc::clone(outbound), status.clone(), deadline, false).await?,
                        ),
                    }
                }
                Kind::Engine(session) => {
                    let body = session.play(outbound).await?;
                    Inner::Engine(Box::new((body, session)))
                }
                Kind::Datagrams(to) => {
                    let limit = Instant::now() + outbound.first_byte_timeout;
                    let group = datagrams::Receiver::open(&to, &local.datagrams, status.clone(), limit).await?;
                    Inner::Datagrams(Box::new(group))
                }
                Kind::File(found) => Inner::File(Box::new(file::Looped::open(found).await?)),
                Kind::Exec(line) => {
                    let limit = Instant::now() + outbound.first_byte_timeout;
                    Inner::Exec(Box::new(exec::Running::start(line, status.clone(), limit).await?))
                }
            })
        };
        let inner = watched(permit.as_ref(), opening).await?;
        Ok(Feed { inner, label, permit })
    }

    /// Gives up: an engine session is stopped (waits for that at most three seconds).
    pub async fn abandon(self) {
        if let Kind::Engine(session) = self.kind {
            session.close().await;
        }
    }
}

/// The work, unless the place is needed by a viewer meanwhile.
async fn watched<T>(
    permit: Option<&slots::Permit>,
    work: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    let Some(permit) = permit.filter(|p| p.is_revocable()) else { return work.await };
    tokio::select! {
        done = work => done,
        () = permit.revoked() => Err(UpstreamError::NoSlot("a viewer needs this place of the account".to_owned())),
    }
}

enum Inner {
    TestCard(Box<testcard::TestCard>),
    Http(http_ts::Body),
    Hls(hls::Hls),
    Engine(Box<(http_ts::Body, Box<engine::Session>)>),
    Datagrams(Box<datagrams::Receiver>),
    File(Box<file::Looped>),
    Exec(Box<exec::Running>),
}

/// A running upstream.
pub struct Feed {
    // In this order: the place is given back when the upstream is closed.
    inner: Inner,
    label: String,
    permit: Option<slots::Permit>,
}

impl Feed {
    /// The next bytes, as many as one read gave (not packet-aligned). Cancel-safe. It has no timeout of its own: the
    /// reader decides how long silence may last.
    ///
    /// # Errors
    /// The end of the stream is [`UpstreamError::Ended`]; a broken one `Unreachable`.
    pub async fn next(&mut self) -> Result<Piece, UpstreamError> {
        watched(self.permit.as_ref(), self.inner.next()).await
    }

    /// Whether the kernel can gather for this upstream ([`Feed::wake_at`]).
    pub fn has_mark(&self) -> bool {
        self.inner.tap().is_some()
    }

    /// From now on [`Feed::next`] is woken when `bytes` have come (1: any), or when the upstream ends or fails.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn wake_at(&self, bytes: u32) -> std::io::Result<()> {
        self.inner.tap().map_or(Ok(()), |socket| wake_at(socket, bytes))
    }

    /// Whether a viewer waits for the place of the account that this upstream holds.
    pub fn is_wanted_elsewhere(&self) -> bool {
        self.permit.as_ref().is_some_and(slots::Permit::is_wanted)
    }

    /// For tables and logs; free of credentials.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Closes the socket at once, then stops an engine session or a command (waits for that at most three seconds).
    pub async fn close(self) {
        match self.inner {
            Inner::Engine(engine) => {
                let (body, session) = *engine;
                drop(body);
                session.close().await;
            }
            Inner::Exec(running) => running.close().await,
            _ => {}
        }
    }
}

impl Inner {
    /// The socket of an upstream that is one.
    fn tap(&self) -> Option<&OwnedFd> {
        match self {
            Self::Http(body) => body.tap(),
            Self::Engine(engine) => engine.0.tap(),
            _ => None,
        }
    }

    async fn next(&mut self) -> Result<Piece, UpstreamError> {
        match self {
            Self::TestCard(card) => Ok(Piece::Bytes(card.next().await)),
            Self::Http(body) => body.next().await.map(Piece::Bytes),
            Self::Hls(hls) => hls.next().await,
            Self::Engine(engine) => {
                let (body, session) = &mut **engine;
                session.read(body).await.map(Piece::Bytes)
            }
            Self::Datagrams(group) => group.next().await.map(Piece::Bytes),
            Self::File(file) => file.next().await.map(Piece::Bytes),
            Self::Exec(running) => running.next().await.map(Piece::Bytes),
        }
    }
}
