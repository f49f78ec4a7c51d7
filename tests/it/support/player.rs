//! A player on a raw socket: reads when told to, checks what it reads.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::ts::Checker;

/// Longest wait for anything in a test; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Player {
    pub status: u16,
    /// Status line and headers, lower-case names.
    pub head: String,
    pub socket: TcpStream,
    /// Bytes behind the head that have been read already.
    rest: Vec<u8>,
    pub checker: Checker,
}

impl Player {
    pub async fn get(address: SocketAddr, path: &str) -> Self {
        Self::ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: player\r\n\r\n")).await
    }

    /// Sends a request as it stands and reads the reply's head.
    pub async fn ask(address: SocketAddr, request: &str) -> Self {
        Self::ask_from(address, None, None, request).await
    }

    /// The same from another loopback address, or with a small receive buffer.
    pub async fn ask_from(address: SocketAddr, from: Option<&str>, buffer: Option<u32>, request: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(buffer) = buffer {
            socket.set_recv_buffer_size(buffer).unwrap();
        }
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        }
        let mut socket = timeout(PATIENCE, socket.connect(address)).await.expect("connects in time").unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        Self::on(socket).await
    }

    /// Reads the next reply's head on a connection.
    pub async fn on(mut socket: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            let n =
                timeout(Duration::from_secs(60), socket.read_buf(&mut bytes)).await.expect("a head in time").unwrap();
            assert!(n > 0, "the connection ended before a head: {:?}", String::from_utf8_lossy(&bytes));
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Self { status, head, socket, rest: bytes[end..].to_vec(), checker: Checker::new() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// Reads some bytes; none when the connection has ended.
    pub async fn read(&mut self) -> Vec<u8> {
        if !self.rest.is_empty() {
            return std::mem::take(&mut self.rest);
        }
        let mut bytes = vec![0; 64 << 10];
        match timeout(PATIENCE, self.socket.read(&mut bytes)).await.expect("bytes in time") {
            Ok(n) => bytes.truncate(n),
            Err(_) => bytes.clear(),
        }
        bytes
    }

    /// Watches until at least `bytes` have come, checking each. Says how many came.
    pub async fn watch(&mut self, bytes: usize) -> usize {
        let mut seen = 0;
        while seen < bytes {
            let piece = self.read().await;
            assert!(!piece.is_empty(), "the stream ended after {seen} of {bytes} bytes");
            self.checker.feed(&piece);
            seen += piece.len();
        }
        seen
    }

    /// Everything until the end.
    pub async fn body(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let length = self.header("content-length").and_then(|v| v.parse::<usize>().ok());
        while length.is_none_or(|n| all.len() < n) {
            let piece = self.read().await;
            if piece.is_empty() {
                break;
            }
            all.extend(piece);
            if length.is_none() && self.header("transfer-encoding") == Some("chunked") && all.ends_with(b"0\r\n\r\n") {
                return unchunked(&all);
            }
        }
        all
    }

    pub async fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.body().await).into_owned()
    }

    /// Waits until the other side has closed, throwing away what comes before.
    pub async fn ended(&mut self) {
        while !self.read().await.is_empty() {}
    }
}

pub fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(at) = chunks.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..at]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        out.extend_from_slice(&chunks[at + 2..at + 2 + size]);
        chunks = &chunks[at + 4 + size..];
    }
    out
}
