//! A live HLS origin: numbered TS in segments, with every peculiarity and every fault that is asked for.
//!
//! A segment is two groups of pictures of the numbered generator and begins with its tables. What was asked for is counted.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aes::Aes128;
use cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{
    Guard, answer, read_head, serve,
    sockets::{Same, Sockets},
    target,
    ts::Generator,
};

pub const KEY: [u8; 16] = *b"sixteen bytes ok";
const GOP: u64 = 200;

/// What a segment is like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Make {
    #[default]
    Plain,
    /// Its numbers and counters do not continue the last one's, and the playlist says so.
    Discontinuity,
    /// Listed, but 404.
    Missing,
    /// A web page.
    Page,
    /// Less than its head promises.
    Cut,
    /// AES-128 with the IV of its number.
    Sealed,
    /// AES-128 with an IV of its own.
    SealedWithIv,
    /// A part of a larger file.
    Range,
    /// The same of a server that knows no ranges.
    RangeIgnored,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    make: Make,
    bytes: Vec<u8>,
    /// Where it begins in the file of all.
    offset: usize,
}

#[derive(Debug)]
struct State {
    generator: Generator,
    segments: Vec<Segment>,
    next: u64,
    all: Vec<u8>,
    make: Make,
    /// How many segments a playlist lists.
    window: usize,
    stopped: bool,
    /// Lines behind the head of each playlist.
    extra: String,
    asked: Vec<String>,
    sockets: Sockets,
}

impl State {
    fn grow(&mut self) {
        if self.stopped {
            return;
        }
        let make = self.make;
        if make == Make::Discontinuity {
            self.generator.packets(3 * (GOP as usize + 2));
            self.make = Make::Plain;
        }
        let clear = self.generator.packets(2 * (GOP as usize + 2));
        let bytes = match make {
            Make::Sealed => seal(&clear, u128::from(self.next).to_be_bytes()),
            Make::SealedWithIv => seal(&clear, 0xabcd_u128.to_be_bytes()),
            _ => clear,
        };
        let offset = self.all.len();
        if matches!(make, Make::Range | Make::RangeIgnored) {
            self.all.extend_from_slice(&bytes);
        }
        self.segments.push(Segment { number: self.next, make, bytes, offset });
        self.next += 1;
        if self.segments.len() > self.window + 5 {
            self.segments.remove(0);
        }
    }

    fn list(&self) -> String {
        let listed = &self.segments[self.segments.len().saturating_sub(self.window)..];
        let first = listed.first().map_or(self.next, |s| s.number);
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n{}",
            self.extra
        );
        for s in listed {
            out += match s.make {
                Make::Discontinuity => "#EXT-X-DISCONTINUITY\n",
                Make::Sealed => "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n",
                Make::SealedWithIv => "#EXT-X-KEY:METHOD=AES-128,URI=\"/key\",IV=0xABCD\n",
                _ => "#EXT-X-KEY:METHOD=NONE\n",
            };
            out += "#EXTINF:0.430,\n";
            out += &match s.make {
                Make::Range => format!("#EXT-X-BYTERANGE:{}@{}\nall.ts\n", s.bytes.len(), s.offset),
                Make::RangeIgnored => format!("#EXT-X-BYTERANGE:{}@{}\n../whole.ts\n", s.bytes.len(), s.offset),
                _ => format!("seg/{}.ts?token=a%20b\n", s.number),
            };
        }
        out
    }
}

fn seal(clear: &[u8], iv: [u8; 16]) -> Vec<u8> {
    let padding = 16 - clear.len() % 16;
    let mut out = [clear, &vec![padding as u8; padding]].concat();
    let mut cipher = cbc::Encryptor::<Aes128>::new(&KEY.into(), &iv.into());
    out.as_chunks_mut::<16>().0.iter_mut().for_each(|b| cipher.encrypt_block(b.into()));
    out
}

#[derive(Debug)]
pub struct Hls {
    state: Arc<Mutex<State>>,
    pub address: SocketAddr,
    _server: Guard,
    _clock: Guard,
}

impl Hls {
    /// A playlist that grows by a segment of 0.43 s each 300 ms, with these segments to begin with.
    pub async fn start(make: Make) -> Self {
        let mut state = State {
            generator: Generator::new(GOP, 1_500_000),
            segments: Vec::new(),
            next: 10,
            all: Vec::new(),
            make,
            window: 30,
            stopped: false,
            extra: String::new(),
            asked: Vec::new(),
            sockets: Sockets::default(),
        };
        (0..6).for_each(|_| state.grow());
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let (address, server) = serve(move |socket| connection(socket, shared.clone())).await;
        let shared = state.clone();
        let clock = Guard(tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(300));
            loop {
                tick.tick().await;
                lock(&shared).grow();
            }
        }));
        Self { state, address, _server: server, _clock: clock }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What the next segments are like.
    pub fn make(&self, make: Make) {
        lock(&self.state).make = make;
    }

    /// One segment like this, then plain ones.
    pub fn once(&self, make: Make) {
        let mut state = lock(&self.state);
        let usual = std::mem::replace(&mut state.make, make);
        state.grow();
        state.make = usual;
    }

    /// Lines for each playlist.
    pub fn say(&self, extra: &str) {
        lock(&self.state).extra = extra.to_owned();
    }

    /// No new segments come from now on.
    pub fn stall(&self) {
        lock(&self.state).stopped = true;
    }

    /// The numbering begins anew, as after a restart of the packager.
    pub fn restart(&self) {
        let mut state = lock(&self.state);
        state.segments.clear();
        state.next = 0;
        state.generator.packets(3 * (GOP as usize + 2));
        (0..4).for_each(|_| state.grow());
    }

    /// Paths of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }

    /// Connections now, and the most at once so far.
    pub fn sockets(&self) -> (u32, u32) {
        let state = lock(&self.state);
        (state.sockets.now(), state.sockets.most)
    }
}

fn lock(state: &Arc<Mutex<State>>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Open(Arc<Mutex<State>>, Same);

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.0).sockets.remove(&self.1);
    }
}

/// The body of a path, how it is answered.
enum Found {
    Nothing,
    List(String),
    Media(Vec<u8>),
    Part(Vec<u8>),
    Page,
    Cut(Vec<u8>),
    Moved(&'static str),
}

async fn connection(mut socket: TcpStream, state: Arc<Mutex<State>>) {
    let Some(head) = read_head(&mut socket).await else { return };
    let path = target(&head).split('?').next().unwrap_or_default().to_owned();
    let (found, same) = {
        let mut state = lock(&state);
        state.asked.push(path.clone());
        let same = state.sockets.add(&socket);
        (find(&state, &path, &head), same)
    };
    let _open = Open(state, same);
    let kind = "video/mp2t";
    match found {
        Found::Nothing => answer(&mut socket, "404 Not Found", "text/plain", b"no").await,
        Found::List(text) => answer(&mut socket, "200 OK", "application/vnd.apple.mpegurl", text.as_bytes()).await,
        Found::Media(bytes) => answer(&mut socket, "200 OK", kind, &bytes).await,
        Found::Part(bytes) => answer(&mut socket, "206 Partial Content", kind, &bytes).await,
        Found::Page => answer(&mut socket, "200 OK", "text/html", b"<html>log in</html>").await,
        Found::Cut(bytes) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            let _ = socket.write_all(&[head.as_bytes(), &bytes[..bytes.len() / 2]].concat()).await;
        }
        Found::Moved(to) => {
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            let _ = socket.write_all(head.as_bytes()).await;
        }
    }
}

fn find(state: &State, path: &str, head: &str) -> Found {
    match path {
        "/live.m3u8" | "/deep/live.m3u8" => Found::List(state.list()),
        "/moved" => Found::Moved("/deep/live.m3u8"),
        "/master.m3u8" => Found::List(
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=300000\n/none.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2000000,RESOLUTION=320x180\ndeep/live.m3u8?q=1\n\
             #EXT-X-STREAM-INF:BANDWIDTH=9000000\n/none.m3u8\n"
                .to_owned(),
        ),
        "/key" | "/deep/key" => Found::Media(KEY.to_vec()),
        "/whole.ts" => Found::Media(state.all.clone()),
        "/all.ts" | "/deep/all.ts" => {
            let range = head.lines().find_map(|l| l.strip_prefix("Range: bytes="));
            let (from, to) = range.and_then(|r| r.split_once('-')).expect("a range is asked for");
            Found::Part(state.all[from.parse().unwrap()..=to.parse().unwrap()].to_vec())
        }
        _ => {
            let number = path.rsplit('/').next().and_then(|n| n.strip_suffix(".ts")).and_then(|n| n.parse().ok());
            let segment = number.and_then(|n: u64| state.segments.iter().find(|s| s.number == n));
            match segment.map(|s| (s.make, s.bytes.clone())) {
                None | Some((Make::Missing, _)) => Found::Nothing,
                Some((Make::Page, _)) => Found::Page,
                Some((Make::Cut, bytes)) => Found::Cut(bytes),
                Some((_, bytes)) => Found::Media(bytes),
            }
        }
    }
}
