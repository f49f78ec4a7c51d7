//! Thousands of viewers in one thread: most are only counted, some are checked packet by packet, some behave badly.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
    net::{RecvFlags, recv},
};

use super::source::{MARK, clock_us};

/// A viewer that reads slowly takes so much at a time, as players do.
const SIP: usize = 32 << 10;
/// Of more viewers than this, one in so many is checked.
const ALL_CHECKED: usize = 100;
const CHECKED: usize = 25;

/// How a viewer reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Appetite {
    Whole,
    /// Never again once it has had its first bytes.
    Stalled,
    /// At half of this many bytes per second, in sips.
    Half(f64),
}

pub struct Load {
    port: u16,
    viewers: Vec<Viewer>,
    epoll: OwnedFd,
    buffer: Vec<u8>,
    bursts: Option<Bursts>,
    churn: Option<Churn>,
    /// Viewers that read at half the bit rate.
    slow: Vec<usize>,
}

struct Viewer {
    socket: TcpStream,
    stream: usize,
    appetite: Appetite,
    has_begun: bool,
    bytes: u64,
    since: Instant,
    check: Option<Check>,
}

#[derive(Default)]
struct Check {
    rest: Vec<u8>,
    head_done: bool,
    chunked: bool,
    last: Option<u64>,
    faults: u64,
    read_us: u64,
    worst_gap_us: u64,
}

/// Others who join, leave and probe.
struct Churn {
    path: String,
    held: Vec<TcpStream>,
    next: Instant,
    dice: u64,
}

/// What came in a window of time.
pub struct Window {
    pub seconds: f64,
    /// Of those that read all.
    pub least: u64,
    pub total: u64,
    pub faults: u64,
    /// Longest time without a byte at a checked viewer, in milliseconds.
    pub gap_ms: f64,
    ages: Vec<u64>,
}

impl Window {
    /// Of the age of each burst at the last viewer, in milliseconds.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let at = ((self.ages.len() as f64 * share) as usize).min(self.ages.len().saturating_sub(1));
        self.ages.get(at).map_or(f64::NAN, |a| *a as f64 / 1000.0)
    }
}

/// What one viewer met who came while the stream ran.
pub struct Probe {
    pub first_byte_ms: f64,
    pub access_ms: f64,
    pub pat_first: bool,
    /// From its FIN to the server's.
    pub gone_ms: f64,
}

fn request(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\n\r\n")
}

fn dial(port: u16, small: bool) -> std::io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    if small {
        socket.set_recv_buffer_size(4096)?;
    }
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    Ok(socket.into())
}

impl Load {
    pub fn new(port: u16) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        Self { port, viewers: Vec::new(), epoll, buffer: vec![0; 1 << 20], bursts: None, churn: None, slow: Vec::new() }
    }

    /// Adds viewers of a stream and waits until each has had a byte. `last`: no more will come.
    pub fn connect(
        &mut self,
        (stream, path): (usize, &str),
        n: usize,
        appetite: Appetite,
        last: bool,
    ) -> Result<(), String> {
        for i in 0..n {
            let mut socket = dial(self.port, appetite != Appetite::Whole).map_err(|e| e.to_string())?;
            socket.write_all(request("GET", path).as_bytes()).map_err(|e| e.to_string())?;
            let key = self.viewers.len();
            let data = epoll::EventData::new_u64(key as u64);
            epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN).map_err(|e| e.to_string())?;
            // Of many, the last to come are among the last of a sweep.
            let checked = n <= ALL_CHECKED || key.is_multiple_of(CHECKED) || last && n - i <= 4;
            let check = (checked && appetite == Appetite::Whole).then(Check::default);
            let since = Instant::now();
            self.viewers.push(Viewer { socket, stream, appetite, has_begun: false, bytes: 0, since, check });
            // Those that are connected go on being read.
            self.turn(0);
        }
        let end = Instant::now() + Duration::from_secs(20);
        while self.viewers.iter().any(|v| !v.has_begun) {
            if Instant::now() > end {
                return Err("some viewers had no byte".to_owned());
            }
            self.turn(10);
        }
        Ok(())
    }

    /// Others come and go from now on.
    pub fn churn(&mut self, path: &str) {
        self.churn = Some(Churn { path: path.to_owned(), held: Vec::new(), next: Instant::now(), dice: 1 });
    }

    pub fn drain(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(5);
            if let Some(churn) = &mut self.churn {
                churn.turn(self.port);
            }
        }
    }

    pub fn measure(&mut self, time: Duration) -> Window {
        let faults: u64 = self.checks().map(|c| c.faults).sum();
        for viewer in &mut self.viewers {
            (viewer.bytes, viewer.since) = (0, Instant::now());
            if let Some(check) = &mut viewer.check {
                (check.worst_gap_us, check.read_us) = (0, 0);
            }
        }
        self.bursts = Some(BTreeMap::new());
        let begun = Instant::now();
        self.drain(time);
        let seconds = begun.elapsed().as_secs_f64();
        let mut wanted: BTreeMap<usize, usize> = BTreeMap::new();
        for viewer in self.viewers.iter().filter(|v| v.check.is_some()) {
            *wanted.entry(viewer.stream).or_default() += 1;
        }
        let bursts = self.bursts.take().unwrap_or_default();
        let mut ages: Vec<u64> =
            bursts.iter().filter(|((s, _), (seen, _))| wanted.get(s) == Some(seen)).map(|(_, (_, age))| *age).collect();
        ages.sort_unstable();
        let whole = self.viewers.iter().filter(|v| v.appetite == Appetite::Whole).map(|v| v.bytes);
        Window {
            seconds,
            least: whole.min().unwrap_or(0),
            total: self.viewers.iter().map(|v| v.bytes).sum(),
            faults: self.checks().map(|c| c.faults).sum::<u64>() - faults,
            gap_ms: self.checks().map(|c| c.worst_gap_us).max().unwrap_or(0) as f64 / 1000.0,
            ages,
        }
    }

    fn checks(&self) -> impl Iterator<Item = &Check> {
        self.viewers.iter().filter_map(|v| v.check.as_ref())
    }

    /// One who connects, asks, reads until a random-access point, and leaves by FIN; beside the others.
    pub fn probe(&mut self, path: &str) -> Result<Probe, String> {
        self.drain(Duration::from_millis(10));
        let told = |e: std::io::Error| e.to_string();
        let begun = Instant::now();
        let mut socket = dial(self.port, false).map_err(told)?;
        socket.set_nodelay(true).map_err(told)?;
        socket.write_all(request("GET", path).as_bytes()).map_err(told)?;
        let (mut got, mut piece) = (Vec::new(), [0; 4096]);
        let mut first_byte_ms = None;
        loop {
            let n = socket.read(&mut piece).map_err(told)?;
            if n == 0 {
                return Err(format!("a probe's connection ended: {}", String::from_utf8_lossy(&got)));
            }
            got.extend_from_slice(&piece[..n]);
            let Some(at) = got.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4) else { continue };
            let body = &got[at..];
            let now = begun.elapsed().as_secs_f64() * 1000.0;
            if !body.is_empty() {
                first_byte_ms.get_or_insert(now);
            }
            let is_access = |p: &[u8]| p[3] & 0x20 != 0 && p[4] > 0 && p[5] & 0x40 != 0;
            if body.chunks_exact(188).any(is_access) {
                let pat_first = body[1] & 0x1f == 0 && body[2] == 0;
                let left = Instant::now();
                socket.shutdown(std::net::Shutdown::Write).map_err(told)?;
                while !matches!(socket.read(&mut self.buffer), Ok(0) | Err(_)) {}
                let gone_ms = left.elapsed().as_secs_f64() * 1000.0;
                return Ok(Probe { first_byte_ms: first_byte_ms.unwrap_or(now), access_ms: now, pat_first, gone_ms });
            }
        }
    }

    /// Reads what is there.
    fn turn(&mut self, wait_ms: i64) {
        for &key in &self.slow {
            let viewer = &mut self.viewers[key];
            let Appetite::Half(rate) = viewer.appetite else { continue };
            let due = viewer.since.elapsed().as_secs_f64() * rate / 2.0 - viewer.bytes as f64;
            if due >= SIP as f64 {
                let taken = recv(&viewer.socket, &mut self.buffer[..SIP], RecvFlags::DONTWAIT | RecvFlags::TRUNC);
                viewer.bytes += taken.map_or(0, |(_, n)| n as u64);
            }
        }
        let mut events = Vec::with_capacity(1024);
        let wait = Timespec { tv_sec: 0, tv_nsec: wait_ms * 1_000_000 };
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait));
        for event in &events {
            let event: &epoll::Event = event;
            let data = event.data;
            let viewer = &mut self.viewers[data.u64() as usize];
            if viewer.has_begun && viewer.appetite == Appetite::Stalled {
                let _ = epoll::delete(&self.epoll, &viewer.socket);
                continue;
            }
            if viewer.has_begun && matches!(viewer.appetite, Appetite::Half(_)) {
                // Its next sip is a matter of time, not of what is there.
                let _ = epoll::delete(&self.epoll, &viewer.socket);
                self.slow.push(data.u64() as usize);
                continue;
            }
            // MSG_TRUNC throws bytes away inside the kernel: the load must not cost more than the server.
            let flags =
                RecvFlags::DONTWAIT | if viewer.check.is_some() { RecvFlags::empty() } else { RecvFlags::TRUNC };
            match recv(&viewer.socket, &mut self.buffer[..], flags) {
                Ok((_, 0)) => {
                    let _ = epoll::delete(&self.epoll, &viewer.socket);
                }
                Ok((filled, n)) => {
                    viewer.has_begun = true;
                    viewer.bytes += n as u64;
                    if let Some(check) = &mut viewer.check {
                        check.feed(&self.buffer[..filled], viewer.stream, &mut self.bursts);
                    }
                }
                Err(Errno::AGAIN) => {}
                Err(_) => {
                    let _ = epoll::delete(&self.epoll, &viewer.socket);
                }
            }
        }
    }
}

/// By stream and burst: how many checked viewers have it, and the age of the last one's in microseconds.
type Bursts = BTreeMap<(usize, u64), (usize, u64)>;

impl Check {
    fn feed(&mut self, bytes: &[u8], stream: usize, bursts: &mut Option<Bursts>) {
        let now = clock_us();
        let before = std::mem::replace(&mut self.read_us, now);
        if before > 0 {
            self.worst_gap_us = self.worst_gap_us.max(now - before);
        }
        self.rest.extend_from_slice(bytes);
        if !self.head_done {
            let Some(end) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") else { return };
            self.chunked = self.rest[..end].windows(7).any(|w| w.eq_ignore_ascii_case(b"chunked"));
            self.rest.drain(..end + 4);
            self.head_done = true;
        }
        let mut stamp = |number: u64, made: u64| {
            if let Some(bursts) = bursts {
                let burst = bursts.entry((stream, number)).or_default();
                *burst = (burst.0 + 1, burst.1.max(now.saturating_sub(made)));
            }
        };
        let word = |b: &[u8], i: usize| u64::from_be_bytes(b[i..i + 8].try_into().expect("8 bytes"));
        if self.chunked {
            // The queue pattern's framing is not packets: only its stamps are looked for.
            let mut done = 0;
            for at in memchr::memmem::find_iter(&self.rest, MARK) {
                if self.rest.len() < at + 20 {
                    break;
                }
                stamp(word(&self.rest, at + 4), word(&self.rest, at + 12));
                done = at + 20;
            }
            self.rest.drain(..done.max(self.rest.len().saturating_sub(24)));
            return;
        }
        let whole = self.rest.len() / 188 * 188;
        for packet in self.rest[..whole].chunks_exact(188) {
            self.faults += u64::from(packet[0] != 0x47);
            if packet[4..8] != MARK[..] {
                continue;
            }
            let number = word(packet, 8);
            self.faults += u64::from(self.last.is_some_and(|l| number != l + 1));
            self.last = Some(number);
            stamp(number, word(packet, 16));
        }
        self.rest.drain(..whole);
    }
}

impl Churn {
    fn turn(&mut self, port: u16) {
        if Instant::now() < self.next {
            return;
        }
        // 200 in a minute, as a busy evening has them.
        self.next += Duration::from_millis(300);
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let choice = (self.dice >> 33) % 3;
        if choice == 0 && !self.held.is_empty() {
            self.held.swap_remove(0);
            return;
        }
        let method = if choice == 1 { "HEAD" } else { "GET" };
        if let Ok(mut socket) = dial(port, false)
            && socket.write_all(request(method, &self.path).as_bytes()).is_ok()
            && choice == 2
        {
            self.held.push(socket);
        }
    }
}
