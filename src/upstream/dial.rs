//! One GET on a connection of its own: connect, ask, follow redirects, hand the body over.
//!
//! Must not enter: what the body means. Invariants: no pool and no background task, so that dropping a [`Response`]
//! closes its socket; at most five redirects, each to http(s) and each through the outbound policy, which knows by whom it was
//! named (what an answer names is asked for through [`Ask::to`]); what may be a
//! credential never crosses to another host or from https to http; heads are bounded and nothing waits past the deadline.

use std::{
    future::poll_fn,
    os::fd::{AsFd as _, OwnedFd},
    pin::Pin,
    task::Poll,
};

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    HeaderMap, StatusCode,
    body::{Body as _, Incoming},
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use url::{Host, Position, Url};

use super::{
    UpstreamError,
    outbound::{Outbound, Reach},
    socket::{self, Mended, Socket},
};
use crate::secret::redact;

const MAX_REDIRECTS: usize = 5;
/// The largest head that is read, and the largest piece of a body that one read gives.
const MAX_READ: usize = 128 * 1024;
const MAX_HEADERS: usize = 100;

type Connection = http1::Connection<TokioIo<Mended<Socket>>, Empty<Bytes>>;

/// A GET to be made.
#[derive(Clone)]
pub(super) struct Ask {
    pub url: Url,
    /// Sent to the first host only, but for the User-Agent.
    pub headers: HeaderMap,
    /// Redirects stay on this server, whatever name they give it (an engine's idea of its own name is rarely ours).
    pub only: Option<Url>,
    /// How far the address, and what it leads to, may go.
    pub reach: Reach,
    /// First byte and number of bytes that are wanted (none: all that follow). A server may answer with everything all the same.
    pub range: Option<(u64, Option<u64>)>,
}

/// The head of an answer, and its body as it comes.
pub(super) struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
    /// What answered: the last one of the redirects, with what was sent to it.
    pub asked: Ask,
}

impl Ask {
    pub(super) fn new(url: &str) -> Result<Self, UpstreamError> {
        let url = Url::parse(url).map_err(|e| UpstreamError::Refused(format!("{}: {e}", redact(url))))?;
        check_scheme(&url)?;
        Ok(Self { url, headers: HeaderMap::new(), only: None, reach: Reach::Anywhere, range: None })
    }

    /// The same, for an address that nobody typed.
    pub(super) fn reaching(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Adds headers as a channel's source names them; those that HTTP itself needs are ours.
    pub(super) fn with_headers(mut self, headers: &[(String, String)]) -> Result<Self, UpstreamError> {
        const OURS: &[&str] = &["host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "range"];
        for (name, value) in headers {
            if OURS.iter().any(|h| h.eq_ignore_ascii_case(name)) || name.eq_ignore_ascii_case("icy-metadata") {
                continue;
            }
            let wrong = || UpstreamError::Refused(format!("the header {name:?} of this source cannot be sent"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            self.headers.insert(name, HeaderValue::from_str(value).map_err(|_| wrong())?);
        }
        Ok(self)
    }

    /// Asks and follows redirects until there is an answer that is none.
    pub(super) async fn send(mut self, outbound: &Outbound, deadline: Instant) -> Result<Response, UpstreamError> {
        for _ in 0..=MAX_REDIRECTS {
            let (status, headers, body, reach) = exchange(outbound, &self, deadline).await?;
            self.reach = reach;
            let to = headers.get(header::LOCATION).and_then(|l| std::str::from_utf8(l.as_bytes()).ok());
            let to = to.filter(|_| matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308));
            let Some(to) = to else { return Ok(Response { status, headers, body, asked: self }) };
            let next =
                self.url.join(to).map_err(|e| UpstreamError::Refused(format!("redirect to {}: {e}", redact(to))))?;
            self.follow(next)?;
        }
        Err(UpstreamError::Refused(format!("more than {MAX_REDIRECTS} redirects")))
    }

    /// What this answer points to: `reference` is relative to it, and what may be a credential stays with its host.
    pub(super) fn to(&self, reference: &str) -> Result<Self, UpstreamError> {
        let next =
            self.url.join(reference).map_err(|e| UpstreamError::Refused(format!("{}: {e}", redact(reference))))?;
        let mut ask = Self { range: None, ..self.clone() };
        ask.follow(next)?;
        Ok(ask)
    }

    fn follow(&mut self, mut next: Url) -> Result<(), UpstreamError> {
        check_scheme(&next)?;
        if let Some(only) = &self.only {
            move_to(&mut next, only);
        }
        if may_share(&self.url, &next) {
            if next.username().is_empty() && next.password().is_none() {
                // Failing would mean a URL without a host; then there is nobody to tell them to either.
                let _ = next.set_username(self.url.username());
                let _ = next.set_password(self.url.password());
            }
        } else {
            let agent = self.headers.remove(header::USER_AGENT);
            self.headers.clear();
            if let Some(agent) = agent {
                self.headers.insert(header::USER_AGENT, agent);
            }
        }
        self.url = next;
        Ok(())
    }
}

/// Puts `url` on the server of `onto`: scheme, credentials, host and port.
pub(super) fn move_to(url: &mut Url, onto: &Url) {
    let mut moved = onto.clone();
    moved.set_path(url.path());
    moved.set_query(url.query());
    *url = moved;
}

fn check_scheme(url: &Url) -> Result<(), UpstreamError> {
    match url.scheme() {
        "http" | "https" if url.host().is_some() => Ok(()),
        other => Err(UpstreamError::Refused(format!("only http:// and https:// are fetched, not {other}:"))),
    }
}

/// Whether what was meant for the server of `from` may be told to that of `to`.
fn may_share(from: &Url, to: &Url) -> bool {
    let ports = (from.port_or_known_default(), to.port_or_known_default());
    from.host() == to.host()
        && match (from.scheme(), to.scheme()) {
            ("http", "https") => ports.0 == ports.1 || ports == (Some(80), Some(443)),
            (a, b) => a == b && ports.0 == ports.1,
        }
}

async fn exchange(
    outbound: &Outbound,
    ask: &Ask,
    deadline: Instant,
) -> Result<(StatusCode, HeaderMap, Body, Reach), UpstreamError> {
    let url = &ask.url;
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        None => return Err(UpstreamError::Refused("the address names no host".to_owned())),
    };
    let tls = url.scheme() == "https";
    let port = url.port_or_known_default().unwrap_or(80);
    let (socket, peer) = socket::connect(outbound, &host, port, tls, ask.reach, deadline).await?;
    let request = request(outbound, ask)?;
    // Only a convenience: without a descriptor to spare the kernel gathers nothing.
    let tap = socket.tcp().as_fd().try_clone_to_owned().ok();
    let lost = |e: hyper::Error| UpstreamError::Unreachable(format!("{host}:{port}: {}", words(&e)));
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_READ)
        .max_headers(MAX_HEADERS)
        .title_case_headers(true)
        .ignore_invalid_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .handshake(TokioIo::new(Mended::new(socket)))
        .await
        .map_err(lost)?;
    let mut connection = Box::pin(connection);
    let mut asked = Box::pin(sender.send_request(request));
    let mut over = false;
    let head = poll_fn(|cx| {
        if let Poll::Ready(head) = asked.as_mut().poll(cx) {
            return Poll::Ready(head);
        }
        if !over {
            // Its failure reaches the request as well, and says there what it was doing.
            over = connection.as_mut().poll(cx).is_ready();
        }
        asked.as_mut().poll(cx)
    });
    let head = timeout_at(deadline, head)
        .await
        .map_err(|_| UpstreamError::Timeout("waiting for the answer to begin"))?
        .map_err(lost)?;
    let (head, incoming) = head.into_parts();
    let body = Body { connection, over, incoming, tap, peer: format!("{host}:{port}") };
    Ok((head.status, head.headers, body, outbound.behind(peer, ask.reach)))
}

fn request(outbound: &Outbound, ask: &Ask) -> Result<hyper::Request<Empty<Bytes>>, UpstreamError> {
    let Ask { url, headers, .. } = ask;
    let mut request = hyper::Request::builder().uri(&url[Position::BeforePath..Position::AfterQuery]);
    let host = &url[Position::BeforeHost..Position::AfterPort];
    request = request.header(header::HOST, host);
    if !headers.contains_key(header::USER_AGENT) {
        request = request.header(header::USER_AGENT, outbound.user_agent.as_str());
    }
    if !headers.contains_key(header::ACCEPT) {
        request = request.header(header::ACCEPT, "*/*");
    }
    if !url.username().is_empty() && !headers.contains_key(header::AUTHORIZATION) {
        let decode = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        let pair = format!("{}:{}", decode(url.username()), decode(url.password().unwrap_or_default()));
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        request = request.header(header::AUTHORIZATION, format!("Basic {pair}"));
    }
    if let Some((from, length)) = ask.range {
        let last = length.map(|n| (from.saturating_add(n.max(1)) - 1).to_string()).unwrap_or_default();
        request = request.header(header::RANGE, format!("bytes={from}-{last}"));
    }
    request = request.header(header::CONNECTION, "close");
    let mut request = request
        .body(Empty::new())
        .map_err(|e| UpstreamError::Refused(format!("{} cannot be asked for: {e}", redact(url.as_str()))))?;
    for (name, value) in headers {
        request.headers_mut().append(name, value.clone());
    }
    Ok(request)
}

/// The body of a [`Response`]: it owns the connection and drives it when it is read.
pub(super) struct Body {
    connection: Pin<Box<Connection>>,
    over: bool,
    incoming: Incoming,
    /// The connection's socket, for its options.
    tap: Option<OwnedFd>,
    peer: String,
}

impl Body {
    pub(super) fn tap(&self) -> Option<&OwnedFd> {
        self.tap.as_ref()
    }

    /// The next piece, `None` at the proper end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            let frame = poll_fn(|cx| {
                if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
                    return Poll::Ready(frame);
                }
                if !self.over {
                    // Its failure reaches the body as well.
                    self.over = self.connection.as_mut().poll(cx).is_ready();
                }
                Pin::new(&mut self.incoming).poll_frame(cx)
            });
            match frame.await {
                None => return Ok(None),
                Some(Err(e)) => return Err(UpstreamError::Unreachable(format!("{}: {}", self.peer, words(&e)))),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// All of it, if it is at most `max` bytes; else what came of it so far.
    pub(super) async fn read(&mut self, max: usize, deadline: Instant) -> Result<Vec<u8>, UpstreamError> {
        self.read_behind(Vec::new(), max, deadline).await
    }

    /// The same behind what has been read already.
    pub(super) async fn read_behind(
        &mut self,
        mut out: Vec<u8>,
        max: usize,
        deadline: Instant,
    ) -> Result<Vec<u8>, UpstreamError> {
        while out.len() <= max {
            let piece = timeout_at(deadline, self.next())
                .await
                .map_err(|_| UpstreamError::Timeout("waiting for the rest of the answer"))??;
            let Some(piece) = piece else { break };
            out.extend_from_slice(&piece);
        }
        Ok(out)
    }
}

/// An error of hyper with its cause: alone it says only "error reading a body".
fn words(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(url: &str) -> Ask {
        let headers = [("Cookie", "c"), ("X-Token", "t"), ("Referer", "r"), ("User-Agent", "Box"), ("Host", "evil")];
        let headers: Vec<_> = headers.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        Ask::new(url).unwrap().with_headers(&headers).unwrap()
    }

    #[test]
    fn credentials_stay_with_their_host() {
        for (from, to, kept) in [
            ("http://u:p@h/a", "http://h/b", true),
            ("http://u:p@h/a", "https://h/b", true),
            ("http://u:p@h/a", "http://h:81/b", false),
            ("http://u:p@h/a", "http://g/b", false),
            ("https://u:p@h/a", "http://h/b", false),
        ] {
            let mut ask = ask(from);
            assert!(!ask.headers.contains_key("host"));
            ask.follow(Url::parse(to).unwrap()).unwrap();
            assert_eq!(ask.headers.contains_key("cookie"), kept, "{from} to {to}");
            assert_eq!(ask.headers.contains_key("x-token"), kept);
            assert_eq!(ask.headers.contains_key("referer"), kept);
            assert_eq!(ask.url.username() == "u", kept);
            assert_eq!(ask.headers["user-agent"], "Box");
        }
    }

    #[test]
    fn only_http_is_fetched() {
        for bad in ["file:///etc/passwd", "ftp://h/x", "gopher://h", "data:,x", "no url", "http://"] {
            assert!(matches!(Ask::new(bad), Err(UpstreamError::Refused(_))), "{bad}");
        }
        assert!(ask("http://h/").follow(Url::parse("file:///etc/passwd").unwrap()).is_err());
    }

    /// A server that gives one answer to everything, and how often it was asked.
    async fn server(ip: &str, answer: String) -> (String, std::sync::Arc<std::sync::atomic::AtomicU32>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind((ip, 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::sync::Arc::<std::sync::atomic::AtomicU32>::default();
        let count = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let _ = socket.read(&mut [0; 4096]).await;
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        (base, asked)
    }

    #[tokio::test]
    async fn what_a_public_host_names_is_not_asked_of_a_private_one() {
        const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let to = |base: &str| format!("HTTP/1.1 302 Found\r\nLocation: {base}/x\r\nContent-Length: 0\r\n\r\n");
        let (inside, asked) = server("127.0.0.1", OK.to_owned()).await;
        let (world, _) = server("127.0.0.9", OK.to_owned()).await;
        let (public, _) = server("127.0.0.9", to(&inside)).await;
        let (private, _) = server("127.0.0.1", to(&inside)).await;
        let mut outbound = Outbound::new(&crate::config::Config::default());
        outbound.as_public = vec!["127.0.0.9".parse().unwrap()];
        let limit = Instant::now() + std::time::Duration::from_secs(20);
        let get = async |ask: Ask| ask.send(&outbound, limit).await;
        let refused = |answer: Result<Response, UpstreamError>| match answer {
            Err(UpstreamError::Refused(why)) => assert!(why.contains("upstream.private_networks"), "{why}"),
            Err(other) => panic!("{other}"),
            Ok(answer) => panic!("{}", answer.asked.url),
        };
        let asked = || asked.load(std::sync::atomic::Ordering::Relaxed);

        refused(get(Ask::new(&public).unwrap()).await);
        // What its answers name: a segment, a key, a variant.
        let answer = get(Ask::new(&world).unwrap()).await.unwrap();
        assert_eq!(answer.asked.reach, Reach::Public);
        refused(get(answer.asked.to(&inside).unwrap()).await);
        // An entry of its playlist, also by a name and by a way round.
        refused(get(Ask::new(&inside).unwrap().reaching(Reach::Public)).await);
        refused(get(Ask::new(&inside.replace("127.0.0.1", "localhost")).unwrap().reaching(Reach::Public)).await);
        refused(get(Ask::new(&private).unwrap().reaching(Reach::Public)).await);
        assert_eq!(asked(), 0);

        // What was typed, and what a private host names.
        let answer = get(Ask::new(&private).unwrap()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.asked.reach, asked()), (200, Reach::Anywhere, 1));
        get(answer.asked.to(&inside).unwrap()).await.unwrap();
        assert_eq!(asked(), 2);
    }

    #[test]
    fn refusals_tell_no_password() {
        let error = Ask::new("http://u:canary@h:99999/").err().unwrap().to_string();
        assert!(!error.contains("canary"), "{error}");
    }
}
