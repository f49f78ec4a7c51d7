//! The certificate of TLS listeners, and what happens to a TLS connection that is handed over.
//!
//! Owns the pair that is in force and the relay. Must not enter: requests, streams. Invariants: a pair that cannot be used never
//! replaces one that can; a relay holds one buffer and the kernel's, never more, and ends when either side has ended.

use std::{
    fmt, io,
    os::unix::net::UnixStream as StdUnixStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    time,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Patience, patience::LONGEST, request::Taker, socket::Socket};

/// One TLS connection.
pub(super) type Secured = TlsStream<TokioIo<Socket>>;

/// What a relay moves at once: two records.
const BUFFER: usize = 32 << 10;
/// What the kernel holds between the stream and the relay.
const BETWEEN: usize = 256 << 10;
/// How often a relay that waits for its client looks whether the stream has let go of it.
const LOOK: Duration = Duration::from_millis(250);
/// How long the rest may take when the stream has ended.
const LAST_WORD: Duration = Duration::from_secs(2);

/// The pair in force, for all TLS listeners; it can be replaced while they run.
pub struct Certificate(ArcSwap<CertifiedKey>);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} in the chain)", self.0.load().cert.len())
    }
}

/// Why a pair cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}: {why}", if *.is_key { "tls_key" } else { "tls_cert" }, file.display())]
pub struct Unusable {
    /// The key's file is to blame, not the certificate's.
    pub is_key: bool,
    pub file: PathBuf,
    pub why: String,
}

/// Reads a chain and its key, both PEM, and makes sure that they belong together.
fn read(cert: &Path, key: &Path) -> Result<CertifiedKey, Unusable> {
    let wrong = |is_key, why: String| Unusable { is_key, file: if is_key { key } else { cert }.to_owned(), why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|e| wrong(false, format!("cannot be read: {e}")))?;
    if chain.is_empty() {
        return Err(wrong(false, "holds no certificate; expected PEM, the server's own first".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(true, format!("cannot be read: {e}")))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, secret, &provider).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => wrong(true, format!("is not the key of {}", cert.display())),
        e => wrong(true, format!("is of no use: {e}")),
    })
}

impl Certificate {
    /// # Errors
    /// Says which file is wrong and why.
    pub fn load(cert: &Path, key: &Path) -> Result<Arc<Self>, Unusable> {
        read(cert, key).map(|pair| Arc::new(Self(ArcSwap::from_pointee(pair))))
    }

    /// Reads the files anew; new connections get the new pair, running ones keep theirs.
    ///
    /// # Errors
    /// Says which file is wrong and why; the old pair stays.
    pub fn reload(&self, cert: &Path, key: &Path) -> Result<(), Unusable> {
        read(cert, key).map(|pair| self.0.store(Arc::new(pair)))
    }

    /// What makes connections of sockets.
    ///
    /// # Errors
    /// When the library has no protocol version in common with itself; never in practice.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(Arc::clone(self))));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

#[derive(Debug)]
struct Resolver(Arc<Certificate>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.0.load_full())
    }
}

/// Gives `taker` a socket as it gets one of a plain connection, and carries what it writes there to the client.
pub(super) async fn hand_over(tls: Secured, raw: &TcpStream, taker: Taker) -> io::Result<()> {
    let (far, near) = StdUnixStream::pair()?;
    far.set_nonblocking(true)?;
    near.set_nonblocking(true)?;
    socket2::SockRef::from(&far).set_send_buffer_size(BETWEEN)?;
    // Whoever takes it writes, watches and closes it: a pair of local sockets is the same to it as TCP.
    taker(TcpStream::from_std(std::os::fd::OwnedFd::from(far).into())?);
    let done = relay(tls, raw, UnixStream::from_std(near)?).await;
    if done.is_err() {
        // The client does not read: without this the kernel keeps what was queued.
        socket2::SockRef::from(raw).set_linger(Some(Duration::ZERO))?;
    }
    done
}

async fn relay(tls: Secured, raw: &TcpStream, mut near: UnixStream) -> io::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(tls);
    let mut bytes = vec![0; BUFFER];
    let mut patience = Patience::default();
    let carry = async {
        loop {
            let n = near.read(&mut bytes).await?;
            if n == 0 {
                return to_client.shutdown().await;
            }
            let mut write = std::pin::pin!(async {
                to_client.write_all(&bytes[..n]).await?;
                to_client.flush().await
            });
            loop {
                tokio::select! {
                    written = &mut write => {
                        written?;
                        patience.moved(raw);
                        break;
                    }
                    () = time::sleep(LOOK) => {
                        if is_over(&near) {
                            return time::timeout(LAST_WORD, write).await?;
                        }
                        // The stream cuts it when it has had enough.
                        patience.stuck(raw, LONGEST);
                    }
                }
            }
        }
    };
    tokio::select! {
        done = carry => done,
        () = silence(&mut from_client) => Ok(()),
    }
}

/// Whether the stream has closed its side.
fn is_over(near: &UnixStream) -> bool {
    let mut look = [PollFd::new(near, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(rustix::event::poll(&mut look, Some(&now)), Ok(0))
}

/// Reads what the client says until it says no more: it has gone. What it says is of no interest.
async fn silence(client: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = vec![0; 1024];
    while matches!(client.read(&mut bytes).await, Ok(1..)) {}
}
