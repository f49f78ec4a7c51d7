//! Thousands of viewers in one thread: most are only counted, some are checked packet by packet.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
    net::{RecvFlags, recv},
};

use super::source::{MARK, clock_us};

/// One in so many viewers is checked.
const CHECKED: usize = 25;

pub struct Load {
    port: u16,
    path: String,
    viewers: Vec<Viewer>,
    epoll: OwnedFd,
    buffer: Vec<u8>,
    /// Ages in microseconds of the stamps that came while measuring.
    ages: Option<Vec<u64>>,
}

struct Viewer {
    socket: TcpStream,
    has_begun: bool,
    bytes: u64,
    check: Option<Check>,
}

#[derive(Default)]
struct Check {
    rest: Vec<u8>,
    head_done: bool,
    last: Option<u64>,
    faults: u64,
}

/// What came in a window of time.
pub struct Window {
    pub seconds: f64,
    pub bytes: Vec<u64>,
    pub faults: u64,
    ages: Vec<u64>,
}

impl Window {
    pub fn percentile(&self, share: f64) -> f64 {
        let at = (self.ages.len() as f64 * share) as usize;
        self.ages.get(at.min(self.ages.len().saturating_sub(1))).map_or(f64::NAN, |a| *a as f64)
    }
}

impl Load {
    pub fn new(port: u16, path: &str) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        Self { port, path: path.to_owned(), viewers: Vec::new(), epoll, buffer: vec![0; 1 << 20], ages: None }
    }

    /// Adds viewers and waits until each has had a byte.
    pub fn connect(&mut self, n: usize, limit: Duration) -> Result<(), String> {
        for _ in 0..n {
            let mut socket = TcpStream::connect(("127.0.0.1", self.port)).map_err(|e| e.to_string())?;
            let request =
                format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: load\r\n\r\n", self.path, self.port);
            socket.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
            let key = self.viewers.len();
            let data = epoll::EventData::new_u64(key as u64);
            epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN).map_err(|e| e.to_string())?;
            let check = key.is_multiple_of(CHECKED).then(Check::default);
            self.viewers.push(Viewer { socket, has_begun: false, bytes: 0, check });
            // Those that are connected go on being read.
            self.turn(0);
        }
        let end = Instant::now() + limit;
        while self.viewers.iter().any(|v| !v.has_begun) {
            if Instant::now() > end {
                return Err("some viewers had no byte".to_owned());
            }
            self.turn(10);
        }
        Ok(())
    }

    pub fn drain(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(5);
        }
    }

    pub fn measure(&mut self, time: Duration) -> Window {
        let faults: u64 = self.faults();
        self.viewers.iter_mut().for_each(|v| v.bytes = 0);
        self.ages = Some(Vec::new());
        let begun = Instant::now();
        self.drain(time);
        let seconds = begun.elapsed().as_secs_f64();
        let mut ages = self.ages.take().unwrap_or_default();
        ages.sort_unstable();
        Window { seconds, bytes: self.viewers.iter().map(|v| v.bytes).collect(), faults: self.faults() - faults, ages }
    }

    fn faults(&self) -> u64 {
        self.viewers.iter().filter_map(|v| v.check.as_ref()).map(|c| c.faults).sum()
    }

    /// Median time from the request to the first byte of the body, of viewers who come one by one beside the others.
    pub fn first_byte_us(&mut self, probes: usize) -> Result<f64, String> {
        let mut all = Vec::new();
        for _ in 0..probes {
            self.drain(Duration::from_millis(20));
            let mut socket = TcpStream::connect(("127.0.0.1", self.port)).map_err(|e| e.to_string())?;
            let request = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.path, self.port);
            let begun = Instant::now();
            socket.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
            let mut got = Vec::new();
            let mut piece = [0; 4096];
            while got.windows(4).position(|w| w == b"\r\n\r\n").is_none_or(|at| at + 4 == got.len()) {
                let n = socket.read(&mut piece).map_err(|e| e.to_string())?;
                if n == 0 {
                    return Err("a probe's connection ended".to_owned());
                }
                got.extend_from_slice(&piece[..n]);
            }
            all.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        all.sort_by(f64::total_cmp);
        Ok(all[all.len() / 2])
    }

    /// Reads what is there.
    fn turn(&mut self, wait_ms: i64) {
        let mut events = Vec::with_capacity(1024);
        let wait = Timespec { tv_sec: 0, tv_nsec: wait_ms * 1_000_000 };
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait));
        for event in &events {
            let event: &epoll::Event = event;
            let data = event.data;
            let viewer = &mut self.viewers[data.u64() as usize];
            // MSG_TRUNC throws bytes away inside the kernel: the load must not cost more than the server.
            let flags =
                RecvFlags::DONTWAIT | if viewer.check.is_some() { RecvFlags::empty() } else { RecvFlags::TRUNC };
            match recv(&viewer.socket, &mut self.buffer[..], flags) {
                Ok((filled, n)) => {
                    if n == 0 {
                        let _ = epoll::delete(&self.epoll, &viewer.socket);
                        continue;
                    }
                    viewer.has_begun = true;
                    viewer.bytes += n as u64;
                    if let Some(check) = &mut viewer.check {
                        check.feed(&self.buffer[..filled], &mut self.ages);
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

impl Check {
    fn feed(&mut self, bytes: &[u8], ages: &mut Option<Vec<u64>>) {
        self.rest.extend_from_slice(bytes);
        if !self.head_done {
            let Some(end) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") else { return };
            let chunked = self.rest[..end].windows(7).any(|w| w.eq_ignore_ascii_case(b"chunked"));
            self.rest.drain(..end + 4);
            self.head_done = true;
            if chunked {
                // The queue pattern's framing is not packets; it is only counted.
                self.last = Some(u64::MAX);
            }
        }
        if self.last == Some(u64::MAX) {
            for at in memchr::memmem::find_iter(&self.rest, MARK) {
                if let (Some(stamp), Some(ages)) = (self.rest.get(at + 12..at + 20), ages.as_mut()) {
                    ages.push(clock_us().saturating_sub(u64::from_be_bytes(stamp.try_into().expect("8 bytes"))));
                }
            }
            self.rest.clear();
            return;
        }
        let now = clock_us();
        let whole = self.rest.len() / 188 * 188;
        for packet in self.rest[..whole].chunks_exact(188) {
            self.faults += u64::from(packet[0] != 0x47);
            if packet[4..8] != MARK[..] {
                continue;
            }
            let word = |i: usize| u64::from_be_bytes(packet[i..i + 8].try_into().expect("8 bytes"));
            let number = word(8);
            self.faults += u64::from(self.last.is_some_and(|l| number != l + 1));
            self.last = Some(number);
            if let Some(ages) = ages {
                ages.push(now.saturating_sub(word(16)));
            }
        }
        self.rest.drain(..whole);
    }
}
