//! What no safe crate offers of the platform: one epoll set for all viewers of a stream, the low-water mark of its
//! upstream, what a client has acknowledged, the allocator's arenas.
//!
//! Owns the only `unsafe` of the daemon. Must not enter: what is done when it wakes. Invariant: a viewer costs one
//! registration when it joins and nothing per write; the runtime wakes once, however many sockets are ready.
#![allow(unsafe_code)]

use std::{
    io,
    net::TcpStream,
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
};

use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, EventData, EventFlags},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Events taken from the kernel at a time.
const EVENTS: usize = 256;

pub struct Readiness(AsyncFd<OwnedFd>);

/// A viewer whose socket has room, or whose peer has gone.
pub struct Ready {
    pub key: usize,
    pub gone: bool,
}

impl Readiness {
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        // SAFETY: `set` is a valid, open descriptor of our own. The `AsyncFd` owns the `OwnedFd`, nothing takes it out or
        // replaces it, and `OwnedFd::as_raw_fd` always returns the same descriptor until it is dropped with the `AsyncFd`.
        let watched = unsafe { AsyncFd::register_with_interest(set, Interest::READABLE) };
        watched.map(Self).map_err(|e| e.into_parts().1)
    }

    /// Watches a socket under `key` until it is closed.
    ///
    /// # Errors
    /// When the kernel's limit of watches is reached.
    pub fn add(&self, socket: &TcpStream, key: usize) -> io::Result<()> {
        // Edge-triggered: an event comes when room appears after a write fell short, and when the peer goes.
        let edges = EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(self.0.get_ref(), socket, EventData::new_u64(key as u64), edges)?)
    }

    /// Waits until some sockets have room or some viewers have gone, and names them. Cancelling loses nothing.
    ///
    /// # Errors
    /// When the kernel refuses the set: the stream cannot go on then.
    pub async fn ready(&self) -> io::Result<Vec<Ready>> {
        let mut guard = self.0.readable().await?;
        let mut events = Vec::with_capacity(EVENTS);
        let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(self.0.get_ref(), rustix::buffer::spare_capacity(&mut events), Some(&no_wait))?;
        if events.len() < EVENTS {
            // An event after the wait is an edge of the set itself: the runtime sees it at its next turn.
            guard.clear_ready();
        }
        let gone = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        let named = events.iter().filter_map(|e: &epoll::Event| {
            let (flags, data) = (e.flags, e.data);
            Some(Ready { key: usize::try_from(data.u64()).ok()?, gone: flags.intersects(gone) })
        });
        Ok(named.collect())
    }
}

/// The kernel wakes the reader of a TCP socket when `bytes` have come, or its end or a failure has; and at once if that
/// much is there already. 1 is what sockets begin with.
///
/// # Errors
/// When the kernel refuses it.
pub fn wake_at(socket: impl AsFd, bytes: u32) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes.max(1)).unwrap_or(libc::c_int::MAX);
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed, so it is open for the length of the call; the value is a live `c_int`, and the
    // length told is its own. The kernel only reads it.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            std::ptr::from_ref(&bytes).cast(),
            length,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the other end of a TCP socket has acknowledged everything it was sent.
///
/// # Errors
/// When it is no TCP socket.
pub fn is_acknowledged(socket: impl AsFd) -> io::Result<bool> {
    // SAFETY: `tcp_info` is a struct of plain numbers, for all of which zero is a value.
    let mut told: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed, so it is open for the length of the call; the kernel writes at most `length` bytes, which
    // is the size of the value that the pointer leads to.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            std::ptr::from_mut(&mut told).cast(),
            &raw mut length,
        )
    };
    if answer == 0 { Ok(told.tcpi_unacked == 0) } else { Err(io::Error::last_os_error()) }
}

/// All threads allocate from one arena. glibc gives each thread its own and keeps what that once held: after some refreshes of a
/// big list the daemon would be a fifth larger than it need be. Streams allocate little, so they do not meet there. Before the first thread starts;
/// elsewhere than with glibc it does nothing.
pub fn use_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no other thread runs yet that might allocate, and the parameter is one of glibc's own.
    unsafe {
        // Where it is refused, memory is only used less well.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, net::TcpListener};

    use super::*;

    #[test]
    fn a_reader_sleeps_until_enough_has_come() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut writer, _) = listener.accept().unwrap();
        let set = epoll::create(CreateFlags::CLOEXEC).unwrap();
        epoll::add(&set, &reader, EventData::new_u64(0), EventFlags::IN | EventFlags::ET).unwrap();
        let wakes = |ms: i64| {
            let mut events = Vec::with_capacity(4);
            let wait = Timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
            epoll::wait(&set, rustix::buffer::spare_capacity(&mut events), Some(&wait)).unwrap()
        };
        wake_at(&reader, 1000).unwrap();
        writer.write_all(&[0; 999]).unwrap();
        assert_eq!(wakes(50), 0);
        writer.write_all(&[0; 1]).unwrap();
        assert_eq!(wakes(900), 1);
        wake_at(&reader, 5000).unwrap();
        writer.write_all(&[0; 1]).unwrap();
        assert_eq!(wakes(50), 0);
        // What is there is told when the mark falls below it.
        wake_at(&reader, 1).unwrap();
        assert_eq!(wakes(900), 1);
        wake_at(&reader, 5000).unwrap();
        drop(writer);
        assert_eq!(wakes(900), 1, "an end is told whatever the mark");
    }
}
