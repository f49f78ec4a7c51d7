//! Bytes on a socket and whatever comes back: for requests that no client library would send.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Longer than anything may keep a connection that gives nothing.
pub const PATIENCE: Duration = Duration::from_secs(12);

/// One answer on a connection.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers as they came.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = |l: &'_ str| l.split_once(':').is_some_and(|(k, _)| k.eq_ignore_ascii_case(name));
        self.head.lines().find(|l| line(l)).and_then(|l| l.split_once(':')).map(|(_, v)| v.trim())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

pub async fn connect(to: SocketAddr, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    timeout(PATIENCE, socket.connect(to)).await.expect("connects in time").unwrap()
}

/// Everything until the other side closes or resets; panics with `what` if it does neither.
pub async fn drain(socket: &mut TcpStream, what: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let all = timeout(PATIENCE, socket.read_to_end(&mut bytes)).await;
    assert!(all.is_ok(), "{what}: the connection still hangs after {PATIENCE:?}: {}", String::from_utf8_lossy(&bytes));
    bytes
}

/// Sends this and reads until the end.
pub async fn send(to: SocketAddr, from: &str, request: &[u8], what: &str) -> Vec<u8> {
    let mut socket = connect(to, from).await;
    // The daemon may have refused it before all was sent.
    let _ = socket.write_all(request).await;
    drain(&mut socket, what).await
}

/// One request on a connection of its own; `method` HEAD expects no body.
pub async fn ask(to: SocketAddr, from: &str, method: &str, path: &str, headers: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{headers}\r\n");
    let bytes = send(to, from, request.as_bytes(), path).await;
    one(&bytes, method == "HEAD").unwrap_or_else(|| panic!("{method} {path}: {}", String::from_utf8_lossy(&bytes)))
}

pub async fn get(to: SocketAddr, path: &str) -> Answer {
    ask(to, "127.0.0.1", "GET", path, "").await
}

/// A form sent by POST.
pub async fn form(to: SocketAddr, path: &str, fields: &str, headers: &str) -> Answer {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{fields}",
        fields.len()
    );
    let bytes = send(to, "127.0.0.1", head.as_bytes(), path).await;
    one(&bytes, false).unwrap_or_else(|| panic!("{path}: {}", String::from_utf8_lossy(&bytes)))
}

/// The single answer in these bytes.
fn one(bytes: &[u8], bodiless: bool) -> Option<Answer> {
    let mut found = if bodiless { vec![split(bytes)?.0] } else { answers(bytes) };
    if bodiless {
        assert_eq!(split(bytes)?.1, b"", "a body after a HEAD");
    }
    (found.len() == 1).then(|| found.remove(0))
}

/// The answers in these bytes, in order; interim ones (1xx) are left out.
pub fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    while let Some((mut answer, rest)) = split(bytes) {
        let number = |name| answer.header(name).and_then(|v| v.parse::<usize>().ok());
        if answer.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            (answer.body, bytes) = unchunked(rest);
        } else if matches!(answer.status, 100..=199 | 204 | 304) {
            bytes = rest;
        } else {
            let length = number("content-length").unwrap_or(rest.len()).min(rest.len());
            answer.body = rest[..length].to_vec();
            bytes = &rest[length..];
        }
        if answer.status >= 200 {
            found.push(answer);
        }
    }
    assert!(bytes.is_empty(), "not an answer: {}", String::from_utf8_lossy(bytes));
    found
}

/// The first head, and what follows it.
fn split(bytes: &[u8]) -> Option<(Answer, &[u8])> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).expect("heads are ASCII");
    let status = head.strip_prefix("HTTP/1.").and_then(|h| h.get(2..5)).and_then(|s| s.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status line: {head}"));
    Some((Answer { status, head, body: Vec::new() }, &bytes[end..]))
}

fn unchunked(mut bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut out = Vec::new();
    loop {
        let at = bytes.windows(2).position(|w| w == b"\r\n").expect("the end of a chunk's size");
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..at]).unwrap(), 16).unwrap();
        out.extend_from_slice(&bytes[at + 2..at + 2 + size]);
        bytes = &bytes[at + 4 + size..];
        if size == 0 {
            return (out, bytes);
        }
    }
}
