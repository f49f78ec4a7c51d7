//! One epoll set for all viewers of a stream, itself watched by the pump's runtime.
//!
//! Owns the only `unsafe` of the daemon. Must not enter: what is done with the events. Invariant: a viewer costs one
//! registration when it joins and nothing per write; the runtime wakes once, however many sockets are ready.
#![allow(unsafe_code)]

use std::{io, net::TcpStream, os::fd::OwnedFd};

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
