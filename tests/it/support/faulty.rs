//! Live sources that can be given any fault at any moment: `/0.ts`, `/1.ts` and so on, each in a mood of its own.
//!
//! Whoever connects gets a legal stream with picture, sound and clock, begun somewhere in a group of pictures.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{MissedTickBehavior, interval},
};
use yagi_api::Fault;

use super::{
    Guard, answer,
    mux::{Mux, Shape},
    read_head, reset, serve, target,
};

const PAGE: &[u8] =
    b"<html><head><title>403</title></head><body>Your subscription has ended. Please renew it.</body></html>";
const TICK: Duration = Duration::from_millis(10);
/// Ticks in a group of eight pictures.
const TICKS: usize = 32;
pub const GROUP: Duration = Duration::from_millis(320);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Good,
    End,
    Reset,
    Stall,
    /// A web page in the middle of the stream, and the connection stays.
    Page,
    /// A sixteenth of the bit rate.
    Trickle,
    Blind,
    Mute,
    Frozen,
    /// Resets, and answers 503 to whoever comes.
    Refuse,
    /// Resets, and answers whoever comes with a web page.
    PageAtOpen,
}

impl Mood {
    pub const FAULTS: [Self; 10] = [
        Self::End,
        Self::Reset,
        Self::Stall,
        Self::Page,
        Self::Trickle,
        Self::Blind,
        Self::Mute,
        Self::Frozen,
        Self::Refuse,
        Self::PageAtOpen,
    ];

    /// What a running stream is left for.
    pub fn fault(self) -> Option<Fault> {
        Some(match self {
            Self::Good => return None,
            Self::End => Fault::Ended,
            Self::Reset | Self::Refuse | Self::PageAtOpen => Fault::Reset,
            Self::Stall => Fault::Silent,
            Self::Page => Fault::NotMedia,
            Self::Trickle => Fault::Rate,
            Self::Blind => Fault::Video,
            Self::Mute => Fault::Audio,
            Self::Frozen => Fault::Frozen,
        })
    }
}

#[derive(Debug, Default)]
struct State {
    moods: HashMap<usize, Mood>,
    open: HashMap<usize, u32>,
}

#[derive(Debug)]
pub struct Faulty {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    _server: Guard,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faulty {
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let (address, server) = serve(move |socket| connection(socket, Arc::clone(&shared))).await;
        Self { state, address, _server: server }
    }

    pub fn url(&self, n: usize) -> String {
        format!("http://{}/{n}.ts", self.address)
    }

    pub fn set(&self, n: usize, mood: Mood) {
        lock(&self.state).moods.insert(n, mood);
    }

    /// Connections that are open.
    pub fn open(&self, n: usize) -> u32 {
        lock(&self.state).open.get(&n).copied().unwrap_or(0)
    }
}

struct Open(Arc<Mutex<State>>, usize);

impl Drop for Open {
    fn drop(&mut self) {
        *lock(&self.0).open.entry(self.1).or_default() -= 1;
    }
}

async fn connection(mut socket: TcpStream, state: Arc<Mutex<State>>) {
    let Some(head) = read_head(&mut socket).await else { return };
    let number = target(&head).trim_start_matches('/').split('.').next().and_then(|n| n.parse().ok());
    let Some(n) = number else { return answer(&mut socket, "404 Not Found", "text/plain", b"no").await };
    *lock(&state).open.entry(n).or_default() += 1;
    let _open = Open(Arc::clone(&state), n);
    let mood = || lock(&state).moods.get(&n).copied().unwrap_or_default();
    match mood() {
        Mood::Refuse => return answer(&mut socket, "503 Service Unavailable", "text/plain", b"full").await,
        Mood::PageAtOpen => return answer(&mut socket, "200 OK", "text/html", PAGE).await,
        _ => {}
    }
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";
    if socket.write_all(head).await.is_err() {
        return;
    }
    let shape = Shape {
        first_pid: 0x100 + 0x20 * (n % 8) as u16,
        pmt_pid: 0x1000 + (n % 5) as u16,
        begins_s: 10 + 100 * n as u64,
        clock_apart: true,
        ..Shape::default()
    };
    let mut mux = Mux::new(shape, n as u64);
    // Somewhere in a group, as a live source would.
    let (mut group, mut at) = (mux.group(8, 5), 7 + n % 11);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut peek = [0; 64];
    let mut ticks = 0_u32;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            came = socket.read(&mut peek) => match came {
                Ok(1..) => continue,
                _ => return,
            },
        }
        ticks = ticks.wrapping_add(1);
        let mood = mood();
        (mux.blind, mux.mute, mux.frozen) = (mood == Mood::Blind, mood == Mood::Mute, mood == Mood::Frozen);
        match mood {
            Mood::End => return,
            Mood::Reset | Mood::Refuse | Mood::PageAtOpen => return reset(socket),
            Mood::Stall => continue,
            Mood::Trickle if !ticks.is_multiple_of(16) => continue,
            Mood::Page => {
                if socket.write_all(PAGE).await.is_ok() {
                    while matches!(socket.read(&mut peek).await, Ok(1..)) {}
                }
                return;
            }
            _ => {}
        }
        if at >= TICKS {
            (group, at) = (mux.group(8, 5), 0);
        }
        let place = |at: usize| group.len() * at / TICKS;
        if socket.write_all(&group[place(at)..place(at + 1)]).await.is_err() {
            return;
        }
        at += 1;
    }
}
