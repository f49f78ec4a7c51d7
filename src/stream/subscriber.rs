//! One viewer of a stream: a socket, a place in the ring, a seat.
//!
//! Owns the only write to a viewer's socket. Must not enter: other viewers, flush rules, accounts. Invariant: a write never
//! waits, who keeps up has no state of its own but its place in the row, and the cursor always stands at a packet's first byte: what remains of a packet that was begun is kept
//! apart, so that a viewer can be moved at any time without tearing one.

use std::{
    io::{self, IoSlice},
    net::TcpStream,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags},
};

use super::{intake::Entry, ring::Ring, ts::PACKET};
use crate::{http::Patience, seats::Seat};

/// What one system call is given at most: keeps a joiner's burst from holding up the others.
const MOST: usize = 1 << 20;

pub struct Subscriber {
    pub place: Place,
    pub seat: Seat,
    /// Sent before the ring's bytes: tables at the entry, the rest of a packet.
    lead: Bytes,
    /// Where it goes on; while it stands in the row, where it was when it came to stand there.
    cursor: u64,
    /// Since when it has not been given everything there is.
    pub behind: Option<Instant>,
    /// When the kernel last took a byte.
    pub progress: Instant,
    patience: Patience,
    /// Bytes taken so far but for those in the row, and with those at the last publication.
    pub sent: u64,
    published: u64,
    skips: u32,
}

/// Who holds a viewer's socket.
pub enum Place {
    /// The subscriber itself: it is behind, or just served.
    Own(TcpStream),
    /// The row of those that keep up, at this place.
    Row(usize),
}

impl Place {
    pub fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Own(socket) => Some(socket),
            Self::Row(_) => None,
        }
    }
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// It has everything there is.
    All,
    /// The kernel takes no more for now.
    Blocked,
    /// The socket is dead.
    Gone,
}

/// The only write to a viewer: these pieces, without waiting.
pub fn send(socket: &TcpStream, lead: &[u8], a: &[u8], b: &[u8]) -> Result<usize, Errno> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    if lead.is_empty() && b.is_empty() {
        rustix::net::send(socket, a, flags)
    } else {
        let pieces = [IoSlice::new(lead), IoSlice::new(a), IoSlice::new(b)];
        rustix::net::sendmsg(socket, &pieces, &mut SendAncillaryBuffer::default(), flags)
    }
}

impl Subscriber {
    pub fn new(socket: TcpStream, seat: Seat, entry: Entry, now: Instant) -> Self {
        Self {
            place: Place::Own(socket),
            seat,
            lead: entry.lead,
            cursor: entry.offset,
            behind: Some(now),
            progress: now,
            patience: Patience::default(),
            sent: 0,
            published: 0,
            skips: 0,
        }
    }

    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Gives its socket to the row; from here on it has what the row has.
    pub fn stand_in_row(&mut self, place: usize, flushed: u64) -> Option<TcpStream> {
        self.cursor = flushed;
        match std::mem::replace(&mut self.place, Place::Row(place)) {
            Place::Own(socket) => Some(socket),
            Place::Row(_) => None,
        }
    }

    /// Takes its socket back, having been given what the row was.
    pub fn leave_row(&mut self, socket: TcpStream, flushed: u64) {
        self.sent += flushed - self.cursor;
        self.cursor = flushed;
        self.place = Place::Own(socket);
    }

    /// Whether the ring no longer has what it would be given next.
    pub fn is_lapped(&self, ring: &Ring) -> bool {
        self.cursor < ring.tail()
    }

    /// Moves it on: it finishes the packet it has begun, then enters anew.
    pub fn skip_to(&mut self, entry: Entry) {
        // The lead can only be the rest of a packet or an unfinished entry; the new entry repeats the latter.
        let rest = self.lead.len() % PACKET;
        self.lead = [&self.lead[..rest], &entry.lead[..]].concat().into();
        self.cursor = entry.offset;
        self.skips += 1;
    }

    /// It is behind; looked at once a second. One that takes nothing and yet has acknowledged everything is paused: not the kernel
    /// shall end that, but `stall_cut`.
    pub fn watch(&mut self, stall_cut: Duration, now: Instant) {
        if let Place::Own(socket) = &self.place
            && now.saturating_duration_since(self.progress) >= Patience::LOOK
        {
            self.patience.stuck(socket, stall_cut);
        }
    }

    /// Gives it what there is, without waiting.
    pub fn write(&mut self, ring: &Ring, now: Instant) -> Wrote {
        loop {
            let Place::Own(socket) = &self.place else { return Wrote::All };
            let (a, b) = ring.since(self.cursor);
            let room = MOST.saturating_sub(self.lead.len());
            let a = &a[..a.len().min(room)];
            let b = &b[..b.len().min(room - a.len())];
            let total = self.lead.len() + a.len() + b.len();
            if total == 0 {
                return Wrote::All;
            }
            match send(socket, &self.lead, a, b) {
                Ok(n) => {
                    self.patience.moved(socket);
                    self.advance(n, ring);
                    self.progress = now;
                    if n < total {
                        return Wrote::Blocked;
                    }
                }
                Err(Errno::AGAIN) => return Wrote::Blocked,
                Err(Errno::INTR) => {}
                Err(_) => return Wrote::Gone,
            }
        }
    }

    /// Counts `n` bytes as taken; sets aside what remains of a packet that was begun.
    pub fn advance(&mut self, n: usize, ring: &Ring) {
        self.sent += n as u64;
        let from_lead = n.min(self.lead.len());
        self.lead = self.lead.slice(from_lead..);
        let from_ring = n - from_lead;
        let begun = from_ring % PACKET;
        let whole = self.cursor + (from_ring - begun) as u64;
        self.cursor = whole;
        if begun > 0
            && let Some(packet) = ring.packet(whole)
        {
            self.lead = Bytes::copy_from_slice(&packet[begun..]);
            self.cursor = whole + PACKET as u64;
        }
    }

    /// Publishes its figures; called once a second.
    pub fn publish(&mut self, since_last: Duration, lag: Duration, flushed: u64) {
        let sent = match self.place {
            Place::Own(_) => self.sent,
            Place::Row(_) => self.sent + flushed - self.cursor,
        };
        let client = &self.seat;
        let bits = (sent - self.published) * 8 * 1000 / u64::try_from(since_last.as_millis()).unwrap_or(1000).max(1);
        self.published = sent;
        client.out_bytes.store(sent, Relaxed);
        client.out_bits_per_s.store(bits, Relaxed);
        client.lag_ms.store(u32::try_from(lag.as_millis()).unwrap_or(u32::MAX), Relaxed);
        client.skips.store(self.skips, Relaxed);
    }

    /// Closing it will free at once what the kernel holds for it: for viewers that do not read.
    pub fn reset_on_close(&self) -> io::Result<()> {
        self.place.socket().map_or(Ok(()), |s| socket2::SockRef::from(s).set_linger(Some(Duration::ZERO)))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.seat.out_bytes.store(self.sent, Relaxed);
    }
}
