//! Serves HTTP/1 on a listener.
//!
//! Owns accepting, reading a request whole, vetting it, and the hand-over of a socket. Must not enter: routes, accounts.
//! Invariant: a client that is slow, silent, rude or many is bounded in time and memory, and running out of file descriptors
//! slows accepting down instead of spinning.

use std::{
    convert::Infallible,
    fs::File,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Method, StatusCode, Version,
    body::{Body as _, Incoming},
    header::{self, HeaderValue},
    rt::{Read, Write},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Semaphore, watch},
    time,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Handover, Params, Peer, Presence, Reply, Request,
    patience::VANISHED,
    reply::{Body, text},
    request::Taker,
    socket::Socket,
    tls,
};

/// Answers one request.
pub type Handler = Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

/// Bounds of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    /// For a request's head, and between requests.
    pub header_timeout: Duration,
    pub body_bytes: usize,
    pub body_timeout: Duration,
}

/// Kernel's send buffer of a client: bounds what a client that does not read pins in kernel memory.
const SEND_BUFFER: usize = 256 << 10;
/// How long a connection that is in the middle of a reply may go on after shutdown has begun.
const LAST_REPLY: Duration = Duration::from_secs(2);

/// How long, and for how many bytes, a client may go on sending after its last reply.
const LAST_WORD: Duration = Duration::from_secs(1);
const LAST_BYTES: usize = 1 << 20;
/// The media type of a form.
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Binds a public listener: dual-stack for an unspecified IPv6 address, with the socket options that its clients inherit.
///
/// # Errors
/// When the address is taken or not ours.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    adopt(socket.into())
}

/// Takes a listener that is bound already.
///
/// # Errors
/// When it is none of TCP.
pub fn adopt(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    let socket = socket2::SockRef::from(&listener);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(VANISHED))?;
    socket.set_tcp_keepalive(
        &socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(10))
            .with_interval(Duration::from_secs(5))
            .with_retries(2),
    )?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Serves players until `stop` turns true; connections that are in the middle of a reply are given a moment.
pub async fn serve_tcp(
    listener: TcpListener,
    limits: Limits,
    handler: Handler,
    mut stop: watch::Receiver<bool>,
    tls: Option<TlsAcceptor>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut spare = Spare::new();
    let local = listener.local_addr().ok();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (handler, stop, tls) = (handler.clone(), stop.clone(), tls.clone());
                tokio::spawn(async move {
                    let local = stream.local_addr().ok().or(local);
                    if speaks(&stream, limits.header_timeout, stop.clone()).await {
                        // Boxed, so that a connection that says nothing costs no more than its socket.
                        Box::pin(player(stream, peer, local, limits, handler, stop, tls)).await;
                    }
                    drop(place);
                });
            }
            Err(e) => spare.recover(&e, || async { drop(listener.accept().await) }).await,
        }
    }
}

/// Serves the admin socket until `stop` turns true.
pub async fn serve_unix(listener: UnixListener, limits: Limits, handler: Handler, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut spare = Spare::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (handler, stop) = (handler.clone(), stop.clone());
                tokio::spawn(async move {
                    admin(stream, limits, handler, stop).await;
                    drop(place);
                });
            }
            Err(e) => spare.recover(&e, || async { drop(listener.accept().await) }).await,
        }
    }
}

/// Waits until the daemon stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|s| *s).await;
}

/// One descriptor in reserve: when none is left, it is given up for a moment to accept a client and close it, so that
/// the client learns at once instead of hanging in the kernel's queue.
struct Spare(Option<File>);

impl Spare {
    fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    async fn recover<F: Future<Output = ()>>(&mut self, error: &io::Error, accept_and_close: impl FnOnce() -> F) {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::MFILE | Errno::NFILE) => {
                self.0 = None;
                let _ = time::timeout(Duration::from_millis(10), accept_and_close()).await;
                self.0 = File::open("/dev/null").ok();
                tracing::error!(error = %error, "no file descriptor is left for new clients; raise LimitNOFILE");
                time::sleep(Duration::from_millis(100)).await;
            }
            // The client went away between the kernel's queue and us.
            Some(Errno::CONNABORTED | Errno::INTR | Errno::AGAIN) => {}
            _ => {
                tracing::warn!(error = %error, "accepting a client failed");
                time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn builder(limits: Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(64)
        .max_buf_size(64 << 10)
        .half_close(true);
    builder
}

/// Whether a client sends its first byte in time. hyper's buffers are made only then: the silent ones are the most.
async fn speaks(stream: &TcpStream, limit: Duration, mut stop: watch::Receiver<bool>) -> bool {
    let mut first = [0];
    tokio::select! {
        heard = time::timeout(limit, stream.peek(&mut first)) => matches!(heard, Ok(Ok(1..))),
        () = stopped(&mut stop) => false,
    }
}

/// What is the same for all requests of a connection.
#[derive(Clone)]
struct Line {
    peer: Peer,
    local: Option<SocketAddr>,
    secure: bool,
    limits: Limits,
    handler: Handler,
    presence: Presence,
}

/// Answers requests until the connection ends or is handed over; gives back what it ran on, and who takes it.
async fn converse<I>(io: I, line: Line, stop: &mut watch::Receiver<bool>) -> (I, Option<Taker>)
where
    I: Read + Write + Unpin + Send,
{
    let handover = Handover::default();
    let service = {
        let (line, handover) = (line.clone(), handover.clone());
        service_fn(move |request| {
            let (line, handover) = (line.clone(), handover.clone());
            Box::pin(async move { Ok::<_, Infallible>(answer(request, line, handover).await) })
        })
    };
    let mut conn = builder(line.limits).serve_connection(io, service);
    let driven = tokio::select! {
        driven = poll_fn(|cx| conn.poll_without_shutdown(cx)) => driven,
        () = stopped(stop) => {
            Pin::new(&mut conn).graceful_shutdown();
            let rest = poll_fn(|cx| conn.poll_without_shutdown(cx));
            time::timeout(LAST_REPLY, rest).await.unwrap_or(Ok(()))
        }
    };
    if let Err(e) = &driven {
        tracing::debug!(peer = ?line.peer, error = %e, "connection ended early");
    }
    // The service holds handles to the socket too: it goes with the other parts.
    (conn.into_parts().io, handover.take().filter(|_| driven.is_ok()))
}

async fn player(
    stream: TcpStream,
    peer: SocketAddr,
    local: Option<SocketAddr>,
    limits: Limits,
    handler: Handler,
    mut stop: watch::Receiver<bool>,
    tls: Option<TlsAcceptor>,
) {
    let stream = Arc::new(stream);
    let presence = Presence(Some(stream.clone()));
    let line = Line { peer: Peer::Tcp(peer), local, secure: tls.is_some(), limits, handler, presence };
    let Some(tls) = tls else {
        let (socket, taker) = converse(Socket(stream), line, &mut stop).await;
        return match (taker, Arc::try_unwrap(socket.0)) {
            (Some(taker), Ok(stream)) => taker(stream),
            (None, Ok(stream)) => part(&stream).await,
            (_, Err(_)) => {}
        };
    };
    let socket = TokioIo::new(Socket(stream.clone()));
    let secured = tokio::select! {
        secured = time::timeout(limits.header_timeout, tls.accept(socket)) => secured,
        () = stopped(&mut stop) => return,
    };
    let secured = match secured {
        Ok(Ok(secured)) => secured,
        Ok(Err(e)) => return tracing::debug!(%peer, error = %e, "no TLS came about"),
        Err(_) => return tracing::debug!(%peer, "no TLS came about in time"),
    };
    let (io, taker) = converse(TokioIo::new(secured), line, &mut stop).await;
    let mut secured = io.into_inner();
    let ended = match taker {
        Some(taker) => tls::hand_over(secured, &stream, taker).await,
        None => time::timeout(LAST_WORD, secured.shutdown()).await.unwrap_or(Ok(())),
    };
    if let Err(e) = ended {
        tracing::debug!(%peer, error = %e, "connection ended early");
    }
}

/// Closes in order: a reply such as 413 must arrive although the client is still sending, and closing a socket with unread
/// bytes would reset it.
async fn part(stream: &TcpStream) {
    if socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write).is_err() {
        return;
    }
    let unread = async {
        // On the heap: an array would be part of every connection's task.
        let (mut left, mut bytes) = (LAST_BYTES, vec![0; 4096]);
        while left > 0 && stream.readable().await.is_ok() {
            match stream.try_read(&mut bytes) {
                Ok(0) => return,
                Ok(n) => left = left.saturating_sub(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    let _ = time::timeout(LAST_WORD, unread).await;
}

async fn admin(stream: UnixStream, limits: Limits, handler: Handler, mut stop: watch::Receiver<bool>) {
    let peer = match stream.peer_cred() {
        Ok(cred) => Peer::Unix { uid: cred.uid(), gid: cred.gid(), pid: cred.pid().unwrap_or(0) },
        Err(e) => {
            tracing::warn!(error = %e, "an admin connection has no credentials; it is closed");
            return;
        }
    };
    let line = Line { peer, local: None, secure: false, limits, handler, presence: Presence::default() };
    let service = service_fn(move |request| {
        let line = line.clone();
        Box::pin(async move { Ok::<_, Infallible>(answer(request, line, Handover::default()).await) })
    });
    let mut conn = builder(limits).serve_connection(TokioIo::new(stream), service);
    let driven = tokio::select! {
        driven = Pin::new(&mut conn) => driven,
        () = stopped(&mut stop) => {
            Pin::new(&mut conn).graceful_shutdown();
            time::timeout(LAST_REPLY, Pin::new(&mut conn)).await.unwrap_or(Ok(()))
        }
    };
    if let Err(e) = driven {
        tracing::debug!(error = %e, "admin connection ended early");
    }
}

/// Reads the request whole, vets it, and asks the handler.
async fn answer(request: hyper::Request<Incoming>, line: Line, handover: Handover) -> Reply {
    let Line { peer, local, secure, limits, handler, presence } = line;
    if let Err((status, why)) = vet(&request) {
        return closing(text(status, why));
    }
    let (head, body) = request.into_parts();
    let too_large = || {
        let words = format_args!("the body is larger than {} bytes", limits.body_bytes).to_string();
        closing(text(StatusCode::PAYLOAD_TOO_LARGE, words))
    };
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return too_large();
    }
    let whole = time::timeout(limits.body_timeout, Limited::new(body, limits.body_bytes).collect()).await;
    let body = match whole {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => return too_large(),
        Ok(Err(_)) => return closing(text(StatusCode::BAD_REQUEST, "the body could not be read")),
        Err(_) => return closing(text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    };
    // hyper drops a Content-Length beside a Transfer-Encoding without a word, and then what follows may be another's request
    // in the eyes of a proxy (RFC 9112 §6.1). No player sends chunks: such a connection is closed after its answer.
    let disputed = head.headers.contains_key(header::TRANSFER_ENCODING);
    let mut query = Params::parse(head.uri.query().unwrap_or_default());
    let form = head
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.as_bytes().get(..FORM.len()))
        .is_some_and(|media| media.eq_ignore_ascii_case(FORM));
    if form && let Ok(fields) = std::str::from_utf8(&body) {
        query.extend(fields);
    }
    let request = Request {
        method: head.method,
        path: collapsed(head.uri.path()),
        slashes: head.uri.path().matches('/').count(),
        query,
        headers: head.headers,
        body,
        peer,
        local,
        secure,
        handover,
        presence,
    };
    let mut reply = handler(request).await;
    if matches!(reply.body(), Body::HandedOver) {
        // A close-delimited body, which every client of the field understands, HTTP/1.0 ones too.
        *reply.version_mut() = Version::HTTP_10;
        return closing(reply);
    }
    if disputed { closing(reply) } else { reply }
}

/// What a request must be for any surface to look at it.
fn vet(request: &hyper::Request<Incoming>) -> Result<(), (StatusCode, &'static str)> {
    let headers = request.headers();
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "this method is not served"));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() >= Version::HTTP_11 => {
            return Err((StatusCode::BAD_REQUEST, "the Host header is missing"));
        }
        (_, Some(_)) => return Err((StatusCode::BAD_REQUEST, "there is more than one Host header")),
        (Some(host), None) if !host.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]%".contains(b)) => {
            return Err((StatusCode::BAD_REQUEST, "the Host header is malformed"));
        }
        _ => {}
    }
    let codings = headers.get_all(header::TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
    if codings.into_iter().any(|coding| !coding.eq_ignore_ascii_case(b"chunked")) {
        return Err((StatusCode::BAD_REQUEST, "of transfer codings only chunked is understood"));
    }
    Ok(())
}

fn closing(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// A base URL with a final slash gives `//player_api.php`.
fn collapsed(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if !(c == '/' && out.ends_with('/')) {
            out.push(c);
        }
    }
    out
}
