//! What the tests stand on: the other ends of the daemon's sockets.

#![allow(dead_code, reason = "each double offers more than one subject uses")]

pub mod daemon;
pub mod engine;
pub mod faulty;
pub mod hls;
pub mod mux;
pub mod origin;
pub mod place;
pub mod player;
pub mod process;
pub mod raw;
pub mod secure;
pub mod sockets;
pub mod strict;
pub mod ts;

use std::{
    future::Future,
    io::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Waits until `met` holds; fails after ten seconds with the name of what was awaited.
#[track_caller]
pub fn wait_until(what: &str, met: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let mut met = met;
    let caller = std::panic::Location::caller();
    async move {
        let limit = Instant::now() + Duration::from_secs(10);
        while !met() {
            assert!(Instant::now() < limit, "{caller}: waited in vain for: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Whether the program is installed. In CI it must be.
pub fn has(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{program} is not installed, but CI must not skip it");
        // Past the test runner's capture.
        let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {program} is not installed, its tests did not run ***\n");
    }
    found
}

/// Ends its server and every connection of it when dropped.
#[derive(Debug)]
pub struct Guard(tokio::task::JoinHandle<()>);

impl Guard {
    pub fn of(task: tokio::task::JoinHandle<()>) -> Self {
        Self(task)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Accepts on a free loopback port and gives each connection to a task.
pub async fn serve<F, Fut>(handle: F) -> (SocketAddr, Guard)
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                Ok((socket, _)) = listener.accept() => {
                    // What is due goes out at once: pauses shall be the daemon's own.
                    socket.set_nodelay(true).unwrap();
                    connections.spawn(handle(socket));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    });
    (address, Guard(task))
}

/// The head of a request; `None` if the peer left first.
pub async fn read_head(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(head.len() < 65_536, "a head without an end");
        head.push(socket.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// The path and query of a request's head.
pub fn target(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// One whole answer with a length.
pub async fn answer(socket: &mut TcpStream, status: &str, kind: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = socket.write_all(&[head.as_bytes(), body].concat()).await;
}

/// Ends a connection by RST.
pub fn reset(socket: TcpStream) {
    let _ = socket.set_zero_linger();
}

/// Sends packets at a pace until the peer leaves; says whether it did, or `false` after `limit` packets.
pub async fn stream(socket: &mut TcpStream, generator: &mut ts::Generator, per_tick: usize, limit: u64) -> bool {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut sent = 0u64;
    let mut peek = [0; 64];
    while sent < limit {
        tokio::select! {
            _ = tick.tick() => {
                let packets = generator.packets(per_tick);
                sent += (packets.len() / ts::PACKET) as u64;
                if socket.write_all(&packets).await.is_err() {
                    return true;
                }
            }
            came = socket.read(&mut peek) => {
                if !matches!(came, Ok(1..)) {
                    return true;
                }
            }
        }
    }
    false
}

/// Sends a recorded stream evenly over `time`; then the end.
pub async fn play(socket: &mut TcpStream, clip: &[u8], time: Duration) {
    let ticks = (time.as_millis() / 10).max(1) as usize;
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for piece in clip.chunks((clip.len() / ticks).max(1).next_multiple_of(ts::PACKET)) {
        tick.tick().await;
        if socket.write_all(piece).await.is_err() {
            return;
        }
    }
}
