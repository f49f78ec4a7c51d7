//! Requests, read whole and bounded before a surface sees them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use hyper::{HeaderMap, Method, header};
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::Patience;

/// One request. `path` has repeated slashes collapsed and is still percent-encoded; `query` is decoded and holds the
/// fields of a form body too, with the query string's own fields first.
pub struct Request {
    pub method: Method,
    pub path: String,
    /// Slashes of the path as it was sent.
    pub slashes: usize,
    pub query: Params,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub peer: Peer,
    /// The address it came in on; none for Unix sockets.
    pub local: Option<SocketAddr>,
    /// It came over TLS that ends here.
    pub secure: bool,
    pub handover: Handover,
    /// Tells when the client has gone while a handler waits for something.
    pub presence: Presence,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, crate::secret::redact(&self.path))
    }
}

impl Request {
    /// The way from this address to the root, for relative addresses: a proxy may have put something before the root.
    pub fn up(&self) -> String {
        "../".repeat(self.slashes.saturating_sub(1))
    }

    /// A header's value when it is text.
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The User-Agent, cleaned for logs and tables.
    pub fn agent(&self) -> String {
        yagi_api::text::clean(self.header(header::USER_AGENT).unwrap_or_default(), 128).into_owned()
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    /// SO_PEERCRED of a Unix socket.
    Unix {
        uid: u32,
        gid: u32,
        pid: i32,
    },
}

impl Peer {
    /// The address, with IPv4-mapped IPv6 addresses as IPv4.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Tcp(addr) => Some(addr.ip().to_canonical()),
            Self::Unix { .. } => None,
        }
    }
}

/// Decoded key-value pairs; the first of a repeated key wins.
#[derive(Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads `application/x-www-form-urlencoded` text. At most 256 pairs are kept.
    pub fn parse(encoded: &str) -> Self {
        let mut params = Self::default();
        params.extend(encoded);
        params
    }

    /// Adds pairs behind those that are there.
    pub fn extend(&mut self, encoded: &str) {
        let room = 256_usize.saturating_sub(self.0.len());
        self.0.extend(
            url::form_urlencoded::parse(encoded.as_bytes()).take(room).map(|(k, v)| (k.into_owned(), v.into_owned())),
        );
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be passwords.
        f.debug_list().entries(self.0.iter().map(|(k, _)| k)).finish()
    }
}

/// Whether the client is still there, for those who answer it.
#[derive(Clone, Default)]
pub struct Presence(pub(super) Option<Arc<TcpStream>>);

impl Presence {
    /// Closes the connection, also amid an answer that the client does not take.
    pub fn cut(&self) {
        if let Some(socket) = &self.0 {
            // It fails only where there is nothing to close any more.
            let _ = socket2::SockRef::from(&**socket).shutdown(std::net::Shutdown::Both);
        }
    }

    /// Waits for what the client holds up by not reading, at most `limit`. As long as it acknowledges what it is sent, the kernel does not
    /// take it for one that has vanished.
    pub async fn held_up<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let (mut work, mut patience) = (pin!(work), Patience::default());
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    self.0.iter().for_each(|socket| patience.moved(&**socket));
                    return Some(done);
                }
                () = sleep(Patience::LOOK) => self.0.iter().for_each(|socket| patience.stuck(&**socket, limit)),
            }
            if Instant::now() >= deadline {
                return None;
            }
        }
    }

    /// Waits until the client has closed its side. hyper does not look while a handler runs, and a look each quarter of a
    /// second is cheap, because only requests that wait for an upstream ask for it.
    pub async fn gone(&self) {
        let Some(socket) = &self.0 else { return std::future::pending().await };
        loop {
            sleep(Duration::from_millis(250)).await;
            let mut look = [PollFd::new(socket, PollFlags::RDHUP)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if !matches!(rustix::event::poll(&mut look, Some(&now)), Ok(0)) {
                return;
            }
        }
    }
}

pub(super) type Taker = Box<dyn FnOnce(TcpStream) + Send>;

/// Asks the connection task for the socket itself: a handler that answers with [`super::Body::HandedOver`] puts a taker
/// here, and after the head has been written the connection ends and the taker owns the socket.
#[derive(Clone, Default)]
pub struct Handover(Arc<Mutex<Option<Taker>>>);

impl Handover {
    pub fn to(&self, taker: impl FnOnce(TcpStream) + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(taker));
    }

    pub(super) fn take(&self) -> Option<Taker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
