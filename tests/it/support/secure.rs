//! A client over TLS that trusts one certificate.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::raw::{self, Answer};

const PATIENCE: Duration = Duration::from_secs(20);

/// `one.pem`, `one.key`, `two.pem`, `two.key`: pairs for `localhost`.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

/// A connection that trusts only this certificate.
pub async fn connect(to: SocketAddr, trusted: &str, buffer: Option<u32>) -> std::io::Result<TlsStream<TcpStream>> {
    connect_from(to, "127.0.0.1", trusted, buffer).await
}

/// The same from another loopback address.
pub async fn connect_from(
    to: SocketAddr,
    from: &str,
    trusted: &str,
    buffer: Option<u32>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    if let Some(buffer) = buffer {
        socket.set_recv_buffer_size(buffer).unwrap();
    }
    let socket = timeout(PATIENCE, socket.connect(to)).await.expect("connects in time").unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file(&format!("{trusted}.pem"))).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, socket)).await.expect("TLS in time")
}

/// One request on a connection of its own, to a server with the first certificate.
pub async fn fetch(to: SocketAddr, path: &str) -> Answer {
    let mut tls = connect(to, "one", None).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n", to.port());
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    timeout(PATIENCE, tls.read_to_end(&mut bytes)).await.expect("an answer in time").unwrap();
    raw::answers(&bytes).remove(0)
}
