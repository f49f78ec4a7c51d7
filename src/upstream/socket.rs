//! One outgoing connection: TCP with its options, TLS over it, and the mending of SHOUTcast's status line.
//!
//! Must not enter: HTTP beyond its first four bytes. Invariant: every address is asked of the outbound policy right
//! before it is connected to, and no step outlives the deadline.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    UpstreamError,
    outbound::{Outbound, Reach},
};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 6;
/// Unacknowledged data and silence after which the kernel gives a peer up.
const DEAD_PEER: Duration = Duration::from_secs(20);

pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

/// Opens a connection to `host` (a name or an address, IPv6 unbracketed) by `deadline` at the latest, and says which of its
/// addresses answered.
pub(super) async fn connect(
    outbound: &Outbound,
    host: &str,
    port: u16,
    tls: bool,
    reach: Reach,
    deadline: Instant,
) -> Result<(Socket, IpAddr), UpstreamError> {
    let deadline = deadline.min(Instant::now() + outbound.connect_timeout);
    let addresses: Vec<SocketAddr> = timeout_at(deadline, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| UpstreamError::Timeout("looking its name up"))?
        .map_err(|e| UpstreamError::Unreachable(format!("{host}: {e}")))?
        .take(MAX_ADDRESSES)
        .collect();
    let (tcp, peer) = connect_any(outbound, host, &addresses, reach, deadline).await?;
    tune(&tcp);
    if !tls {
        return Ok((Socket::Plain(tcp), peer));
    }
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())
        .map_err(|_| UpstreamError::Refused(format!("{host} is no name that TLS can check")))?;
    let stream = timeout_at(deadline, TlsConnector::from(outbound.tls.clone()).connect(name, tcp))
        .await
        .map_err(|_| UpstreamError::Timeout("the TLS handshake"))?
        .map_err(|e| UpstreamError::Unreachable(format!("{host}: TLS: {e}")))?;
    Ok((Socket::Tls(Box::new(stream)), peer))
}

async fn connect_any(
    outbound: &Outbound,
    host: &str,
    addresses: &[SocketAddr],
    reach: Reach,
    deadline: Instant,
) -> Result<(TcpStream, IpAddr), UpstreamError> {
    let mut failure = UpstreamError::Unreachable(format!("{host} has no address"));
    for (i, address) in addresses.iter().enumerate() {
        if let Some(why) = outbound.refusal(*address, reach) {
            failure = UpstreamError::Refused(format!("{host} ({address}): {why}"));
            continue;
        }
        // Each address gets its share of what is left, so that a dead IPv6 route does not use it all up.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = Instant::now() + left / u32::try_from(addresses.len() - i).unwrap_or(1);
        failure = match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok((tcp, address.ip())),
            Ok(Err(e)) => UpstreamError::Unreachable(format!("{host} ({address}): {e}")),
            Err(_) => UpstreamError::Timeout("connecting"),
        };
    }
    Err(failure)
}

/// Options that only make things better; a kernel that lacks one is no reason to fail.
fn tune(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new().with_time(DEAD_PEER).with_interval(Duration::from_secs(5)).with_retries(3);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(DEAD_PEER));
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}

const ICY: &[u8] = b"ICY ";
const HTTP: &[u8] = b"HTTP/1.0 ";

/// Reads `ICY 200 OK`, which hyper refuses, as `HTTP/1.0 200 OK`; everything else as it comes.
pub(super) struct Mended<S> {
    socket: S,
    head: Head,
}

enum Head {
    /// That many bytes of `ICY ` have come.
    Matching(usize),
    /// What stands before the rest of the stream: these bytes, given so far up to the position.
    Giving([u8; 16], usize, usize),
    Passed,
}

impl<S> Mended<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket, head: Head::Matching(0) }
    }
}

fn giving(bytes: &[u8]) -> Head {
    let mut held = [0; 16];
    held[..bytes.len()].copy_from_slice(bytes);
    Head::Giving(held, 0, bytes.len())
}

impl<S: AsyncRead + Unpin> AsyncRead for Mended<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.head {
                Head::Passed => return Pin::new(&mut self.socket).poll_read(cx, buf),
                Head::Giving(held, at, end) => {
                    let n = buf.remaining().min(*end - *at);
                    buf.put_slice(&held[*at..*at + n]);
                    *at += n;
                    if at == end {
                        self.head = Head::Passed;
                    }
                    return Poll::Ready(Ok(()));
                }
                Head::Matching(had) => {
                    let had = *had;
                    let mut first = [0; 4];
                    let mut small = ReadBuf::new(&mut first[..ICY.len() - had]);
                    ready!(Pin::new(&mut self.socket).poll_read(cx, &mut small))?;
                    let came = small.filled();
                    self.head = if came == &ICY[had..] {
                        giving(HTTP)
                    } else if !came.is_empty() && ICY[had..].starts_with(came) {
                        Head::Matching(had + came.len())
                    } else if had + came.len() == 0 {
                        Head::Passed
                    } else {
                        giving(&[&ICY[..had], came].concat())
                    };
                    if matches!(self.head, Head::Passed) {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mended<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn through(pieces: Vec<Vec<u8>>) -> Vec<u8> {
        // A pipe of one byte hands over in the smallest steps.
        let (mut tx, rx) = tokio::io::duplex(1 + pieces.len());
        tokio::spawn(async move {
            for piece in pieces {
                tx.write_all(&piece).await.unwrap();
            }
        });
        let mut out = Vec::new();
        Mended::new(rx).read_to_end(&mut out).await.unwrap();
        out
    }

    #[tokio::test]
    async fn only_the_icy_status_line_changes() {
        for (sent, read) in [
            ("ICY 200 OK\r\n\r\nx", "HTTP/1.0 200 OK\r\n\r\nx"),
            ("HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n"),
            ("ICE 1", "ICE 1"),
            ("IC", "IC"),
            ("", ""),
        ] {
            assert_eq!(through(vec![sent.into()]).await, read.as_bytes(), "{sent}");
        }
    }

    proptest! {
        #[test]
        fn what_is_not_icy_passes_unchanged(bytes in proptest::collection::vec(any::<u8>(), 0..64), cut in 0usize..64) {
            prop_assume!(!bytes.starts_with(ICY));
            let cut = cut.min(bytes.len());
            let pieces = vec![bytes[..cut].to_vec(), bytes[cut..].to_vec()];
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert_eq!(runtime.block_on(through(pieces)), bytes);
        }
    }
}
