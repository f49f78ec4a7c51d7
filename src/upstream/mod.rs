//! Where pictures, playlists and guides come from: one door to every kind of upstream.
//!
//! Owns the opening of upstreams ([`Upstreams`]), the bytes of a running one ([`Feed`]) and downloads
//! ([`fetch::Fetcher`]). Must not enter: users, SQL, routes, fan-out. Invariants: every wait has a bound; nothing here
//! connects to a link-local address or to the daemon itself; an engine session is stopped exactly once on every way
//! out, a dropped [`Feed`] or [`Prepared`] included; no text that leaves carries a credential.

pub mod dial;
pub mod engine;
pub mod fetch;
pub mod http_ts;
pub mod outbound;
mod socket;
pub mod spool;
pub mod testcard;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use yagi_api::Locator;

use crate::{config::Config, secret::redact};

pub use engine::EngineStatus;
pub use fetch::{Caps, Conditions, FetchError, Fetched, Fetcher};
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
}

impl UpstreamError {
    /// What a player is answered when this happens before the first byte.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Timeout(_) => 504,
            Self::Unreachable(_) => 503,
            Self::Status(_) | Self::Engine(_) | Self::NotMedia(_) | Self::Ended | Self::Refused(_) => 502,
        }
    }
}

/// Opens upstreams. Cheap to clone; one for the daemon.
#[derive(Clone)]
pub struct Upstreams {
    outbound: Arc<outbound::Outbound>,
    engine: engine::Engine,
}

impl Upstreams {
    /// Best called inside the runtime that lives longest: stops of engine sessions whose owner vanished run there.
    pub fn new(config: &Config) -> Self {
        let outbound = Arc::new(outbound::Outbound::new(config));
        let engine = engine::Engine::new(&config.engine, Arc::clone(&outbound));
        Self { outbound, engine }
    }

    /// Tells the addresses that the daemon really listens on (after bind), so that no upstream leads back to it.
    pub fn own_listeners(&self, addresses: Vec<SocketAddr>) {
        self.outbound.own_listeners(addresses);
    }

    /// Downloads under the same outbound rules.
    pub fn fetcher(&self) -> Fetcher {
        Fetcher::with(Arc::clone(&self.outbound))
    }

    /// Everything that can be known before reading: for AceStream the session is opened (so that its infohash is known),
    /// for the rest nothing is sent yet.
    ///
    /// # Errors
    /// The engine's refusal, in its own words, or an address that cannot be used.
    pub async fn prepare(&self, source: &Locator, headers: &[(String, String)]) -> Result<Prepared, UpstreamError> {
        let kind = match source {
            Locator::TestCard => Kind::TestCard,
            Locator::Http(url) => Kind::Http(http_ts::Request::new(url, headers, &self.outbound)?),
            Locator::AceContent(id) => Kind::Engine(self.engine.open("id", id).await?),
            Locator::AceInfohash(hash) => Kind::Engine(self.engine.open("infohash", hash).await?),
        };
        Ok(Prepared { kind, label: redact(&source.to_string()), outbound: Arc::clone(&self.outbound) })
    }

    /// Stops every engine session that is still open and waits for the pending stops, at most `limit`. For shutdown,
    /// after the streams have ended.
    pub async fn drain(&self, limit: Duration) {
        self.engine.drain(limit).await;
    }
}

enum Kind {
    TestCard,
    Http(http_ts::Request),
    Engine(engine::Session),
}

/// An upstream that is about to start. Dropping it undoes what was opened.
pub struct Prepared {
    kind: Kind,
    label: String,
    outbound: Arc<outbound::Outbound>,
}

impl Prepared {
    /// The engine's name of the content: two sources with the same one are one stream.
    pub fn infohash(&self) -> Option<&str> {
        match &self.kind {
            Kind::Engine(session) => session.infohash(),
            _ => None,
        }
    }

    /// What the engine last said about the session; a handle that can be read while [`Prepared::start`] waits and later.
    pub fn engine_status(&self) -> Option<EngineStatus> {
        match &self.kind {
            Kind::Engine(session) => Some(session.status()),
            _ => None,
        }
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
        let Self { kind, label, outbound } = self;
        let inner = match kind {
            Kind::TestCard => Inner::TestCard(Box::new(testcard::TestCard::new(Instant::now()))),
            Kind::Http(request) => Inner::Http(request.open(&outbound).await?),
            Kind::Engine(session) => {
                let feed = session.play(&outbound).await?;
                Inner::Engine(Box::new((feed, session)))
            }
        };
        Ok(Feed { inner, label })
    }

    /// Gives up: an engine session is stopped (waits for that at most three seconds).
    pub async fn abandon(self) {
        if let Kind::Engine(session) = self.kind {
            session.close().await;
        }
    }
}

enum Inner {
    TestCard(Box<testcard::TestCard>),
    Http(http_ts::Body),
    Engine(Box<(http_ts::Body, engine::Session)>),
}

/// A running upstream.
pub struct Feed {
    inner: Inner,
    label: String,
}

impl Feed {
    /// The next bytes, as many as one read gave (not packet-aligned). Cancel-safe. It has no timeout of its own: the
    /// reader decides how long silence may last.
    ///
    /// # Errors
    /// The end of the stream is [`UpstreamError::Ended`]; a broken one `Unreachable`.
    pub async fn next(&mut self) -> Result<Bytes, UpstreamError> {
        match &mut self.inner {
            Inner::TestCard(card) => Ok(card.next().await),
            Inner::Http(body) => body.next().await,
            Inner::Engine(engine) => engine.0.next().await,
        }
    }

    /// For tables and logs; free of credentials.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What the engine last said about the session.
    pub fn engine_status(&self) -> Option<EngineStatus> {
        match &self.inner {
            Inner::Engine(engine) => Some(engine.1.status()),
            _ => None,
        }
    }

    /// Closes the socket at once, then stops an engine session (waits for that at most three seconds).
    pub async fn close(self) {
        if let Inner::Engine(engine) = self.inner {
            let (body, session) = *engine;
            drop(body);
            session.close().await;
        }
    }
}
