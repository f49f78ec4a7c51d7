//! An HTTP origin that serves streams, playlists and guides well or badly: what a path does is told beforehand.
//!
//! It counts requests, connections and what it was told, so that tests can ask for leaks of credentials and sockets.

use std::{
    collections::HashMap,
    io::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    Guard, answer, play, read_head, reset, serve,
    sockets::{Same, Sockets},
    stream, target,
    ts::Generator,
};

/// What a path answers.
#[derive(Clone, Debug)]
pub enum Serve {
    /// Numbered TS without an end; `Frame` is how its body is delimited.
    Ts(Frame),
    /// The same, so many packets each 10 ms.
    TsAt(u32),
    /// So many packets, then the proper end.
    TsThenEnd(Frame, u64),
    /// So many packets, then silence on an open connection.
    TsThenStall(u64),
    /// So many packets, then RST.
    TsThenReset(u64),
    /// A recorded stream, evenly over so long.
    Clip(Arc<[u8]>, Duration),
    /// One byte each so often.
    Trickle(Duration),
    /// Accepts and never answers.
    Silent,
    Redirect(u16, String),
    /// Status line, content type, body.
    Answer(&'static str, &'static str, Vec<u8>),
    /// A body with this ETag; 304 to whoever has it.
    Tagged(&'static str, Vec<u8>),
    /// Promises more than it sends.
    Truncated(Vec<u8>),
    /// A chunked body without its last chunk.
    TruncatedChunks(Vec<u8>),
    /// Bytes without an end, as fast as they are taken.
    Endless(&'static str),
    /// Raw bytes, then the end: garbage, a head without an end.
    Raw(Vec<u8>),
    /// A head that never ends.
    EndlessHead,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frame {
    Close,
    Chunked,
    Length,
    Icy,
}

#[derive(Debug, Default)]
struct State {
    paths: HashMap<String, Serve>,
    heads: Vec<String>,
    /// Connections that ask for one path.
    open: HashMap<String, Sockets>,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug)]
pub struct Origin {
    state: Shared,
    pub address: SocketAddr,
    _server: Guard,
}

impl Origin {
    pub async fn start() -> Self {
        let state = Shared::default();
        let shared = Arc::clone(&state);
        let (address, server) = serve(move |socket| connection(socket, Arc::clone(&shared))).await;
        Self { state, address, _server: server }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn set(&self, path: &str, serve: Serve) {
        lock(&self.state).paths.insert(path.to_owned(), serve);
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        lock(&self.state).heads.clone()
    }

    /// Connections that ask for this path: now, and the most at once so far.
    pub fn open(&self, path: &str) -> (u32, u32) {
        lock(&self.state).open.get(path).map_or((0, 0), |asked| (asked.now(), asked.most))
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Open(Shared, String, Same);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(asked) = lock(&self.0).open.get_mut(&self.1) {
            asked.remove(&self.2);
        }
    }
}

async fn connection(mut socket: TcpStream, state: Shared) {
    let Some(head) = read_head(&mut socket).await else { return };
    let path = target(&head).split('?').next().unwrap_or_default().to_owned();
    let (serve, same) = {
        let mut state = lock(&state);
        state.heads.push(head.clone());
        let same = state.open.entry(path.clone()).or_default().add(&socket);
        (state.paths.get(&path).cloned(), same)
    };
    let _open = Open(Arc::clone(&state), path, same);
    match serve {
        None => answer(&mut socket, "404 Not Found", "text/html", b"<html>no such stream</html>").await,
        Some(Serve::Ts(frame)) => ts(socket, frame, u64::MAX).await,
        Some(Serve::TsAt(each)) => {
            let _ = socket.write_all(ts_head("").as_bytes()).await;
            stream(&mut socket, &mut Generator::new(200, u64::from(each) * 150_000), each as usize, u64::MAX).await;
        }
        Some(Serve::TsThenEnd(frame, limit)) => ts(socket, frame, limit).await,
        Some(Serve::TsThenStall(limit)) => {
            let _ = socket.write_all(ts_head("").as_bytes()).await;
            if !stream(&mut socket, &mut Generator::new(200, 1_500_000), 10, limit).await {
                until_left(&mut socket).await;
            }
        }
        Some(Serve::TsThenReset(limit)) => {
            let _ = socket.write_all(ts_head("").as_bytes()).await;
            if !stream(&mut socket, &mut Generator::new(200, 1_500_000), 10, limit).await {
                reset(socket);
            }
        }
        Some(Serve::Clip(clip, time)) => {
            let _ = socket.write_all(ts_head("").as_bytes()).await;
            play(&mut socket, &clip, time).await;
        }
        Some(Serve::Trickle(every)) => {
            let bytes = Generator::new(200, 1_500_000).packets(1000);
            let _ = socket.write_all(ts_head("").as_bytes()).await;
            for byte in bytes {
                if socket.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(every).await;
            }
        }
        Some(Serve::Silent) => until_left(&mut socket).await,
        Some(Serve::Redirect(status, to)) => {
            let head = format!("HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            let _ = socket.write_all(head.as_bytes()).await;
        }
        Some(Serve::Answer(status, kind, body)) => answer(&mut socket, status, kind, &body).await,
        Some(Serve::Tagged(etag, body)) => {
            let known =
                head.to_ascii_lowercase().contains(&format!("if-none-match: {}\r\n", etag.to_ascii_lowercase()));
            let (status, body) = if known { ("304 Not Modified", Vec::new()) } else { ("200 OK", body) };
            let head = format!("HTTP/1.1 {status}\r\nETag: {etag}\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
        }
        Some(Serve::Truncated(body)) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len() + 100);
            let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
        }
        Some(Serve::TruncatedChunks(body)) => {
            let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
            let _ = socket.write_all(&[head.as_bytes(), &body, b"\r\n"].concat()).await;
        }
        Some(Serve::Endless(kind)) => {
            let _ = socket.write_all(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n").as_bytes()).await;
            while socket.write_all(&[b'#'; 65_536]).await.is_ok() {}
        }
        Some(Serve::Raw(bytes)) => {
            let _ = socket.write_all(&bytes).await;
        }
        Some(Serve::EndlessHead) => {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while socket.write_all(&b"X-More: yes\r\n".repeat(100)).await.is_ok() {}
        }
    }
}

fn ts_head(more: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n{more}\r\n")
}

async fn until_left(socket: &mut TcpStream) {
    let mut peek = [0; 64];
    while matches!(socket.read(&mut peek).await, Ok(1..)) {}
}

async fn ts(mut socket: TcpStream, frame: Frame, limit: u64) {
    let mut generator = Generator::new(200, 1_500_000);
    let head = match frame {
        Frame::Close => ts_head(""),
        Frame::Chunked => ts_head("Transfer-Encoding: chunked\r\n"),
        Frame::Length => ts_head(&format!("Content-Length: {}\r\n", limit.min(1 << 32).saturating_mul(188))),
        Frame::Icy => "ICY 200 OK\r\nContent-Type: video/mp2t\r\nicy-name: x\r\n\r\n".to_owned(),
    };
    if socket.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    if frame != Frame::Chunked && frame != Frame::Length {
        stream(&mut socket, &mut generator, 10, limit).await;
        return;
    }
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut sent = 0;
    while sent < limit {
        tick.tick().await;
        let mut bytes = generator.packets(10);
        bytes.truncate(usize::try_from((limit - sent).saturating_mul(188)).unwrap_or(usize::MAX));
        sent += bytes.len() as u64 / 188;
        if frame == Frame::Chunked {
            bytes = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
        }
        if socket.write_all(&bytes).await.is_err() {
            return;
        }
    }
    if frame == Frame::Chunked {
        let _ = socket.write_all(b"0\r\n\r\n").await;
    }
}
