//! MPEG-TS in datagrams: UDP and RTP, multicast and unicast.
//!
//! Owns the socket, its membership and the words about loss. Must not enter: packets, viewers. Invariants: one socket and one
//! membership for a stream, whoever watches; the membership is renewed and ends with the value; what is read at once is
//! bounded.

pub mod rtp;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    time::{self, sleep_until, timeout_at},
};
use yagi_api::Datagrams;

use self::rtp::{Datagram, Order, Tally};
use super::{Status, UpstreamError};
use crate::config;

/// Asked of the kernel: half a second at 64 Mbit/s. It gives what net.core.rmem_max allows.
const BUFFER: usize = 4 << 20;
/// Bytes that one call of [`Receiver::next`] gathers.
const BATCH: usize = 64 << 10;
/// The largest datagram.
const MAX_DATAGRAM: usize = 65_536;
/// How often the words are renewed.
const SAY: Duration = Duration::from_secs(1);

/// What the configuration says about groups.
pub struct Options {
    interface: Option<String>,
    rejoin: Option<Duration>,
}

impl Options {
    pub(super) fn new(config: &config::Upstream) -> Self {
        Self {
            interface: Some(config.multicast_interface.clone()).filter(|i| !i.is_empty()),
            rejoin: Some(Duration::from_secs(config.multicast_rejoin_s.into())).filter(|d| !d.is_zero()),
        }
    }
}

/// A running stream of datagrams.
pub(super) struct Receiver {
    socket: UdpSocket,
    membership: Option<Membership>,
    rejoin: Option<(Duration, time::Instant)>,
    order: Order,
    /// Given before anything is read.
    first: Option<Bytes>,
    buffer: Box<[u8]>,
    kind: &'static str,
    foreign: u64,
    status: Status,
    said: Option<Instant>,
}

impl Receiver {
    /// Joins and waits for the first packets.
    pub(super) async fn open(
        to: &Datagrams,
        options: &Options,
        status: Status,
        limit: time::Instant,
    ) -> Result<Self, UpstreamError> {
        let wrong = |what: &str, e: io::Error| UpstreamError::Unreachable(format!("{to}: {what}: {e}"));
        let socket = bind(SocketAddr::new(to.address, to.port)).map_err(|e| wrong("cannot receive there", e))?;
        let membership = if to.address.is_multicast() {
            let interface = to.interface.as_deref().or(options.interface.as_deref());
            let membership = Membership::new(to, interface)?;
            membership.join(&socket).map_err(|e| wrong("the group cannot be joined", e))?;
            Some(membership)
        } else {
            None
        };
        let socket = UdpSocket::from_std(socket.into()).map_err(|e| wrong("cannot be watched", e))?;
        let mut receiver = Self {
            socket,
            rejoin: options.rejoin.filter(|_| membership.is_some()).map(|every| (every, time::Instant::now() + every)),
            membership,
            order: Order::default(),
            first: None,
            buffer: vec![0; MAX_DATAGRAM].into(),
            kind: "",
            foreign: 0,
            status,
            said: None,
        };
        match timeout_at(limit, receiver.next()).await {
            Ok(first) => receiver.first = Some(first?),
            Err(_) if receiver.foreign > 0 => {
                return Err(UpstreamError::NotMedia(format!("{} datagrams of another kind came", receiver.foreign)));
            }
            Err(_) => return Err(UpstreamError::Timeout("waiting for the first datagram")),
        }
        Ok(receiver)
    }

    /// All that has come, up to a bound. Cancel-safe: what was read is given out before the next wait.
    pub(super) async fn next(&mut self) -> Result<Bytes, UpstreamError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        loop {
            let missing = self.order.deadline().map(time::Instant::from_std);
            let rejoin = self.rejoin.map(|(_, at)| at);
            tokio::select! {
                ready = self.socket.readable() => {
                    ready.map_err(|e| UpstreamError::Unreachable(format!("the socket of the datagrams failed: {e}")))?;
                }
                () = until(missing) => {}
                () = until(rejoin) => self.renew(),
            }
            let out = self.gather()?;
            self.say();
            if !out.is_empty() {
                return Ok(out);
            }
        }
    }

    fn gather(&mut self) -> Result<Bytes, UpstreamError> {
        let now = Instant::now();
        let mut out = BytesMut::new();
        let mut give = |payload: Bytes| out.extend_from_slice(&payload);
        let mut taken = 0;
        // Datagrams that give nothing count too.
        while taken < BATCH {
            let length = match self.socket.try_recv(&mut self.buffer) {
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // A unicast sender's port that is closed says so through us.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                    taken += 188;
                    continue;
                }
                Err(e) => {
                    return Err(UpstreamError::Unreachable(format!("the socket of the datagrams failed: {e}")));
                }
            };
            taken += length.max(188);
            let bytes = &self.buffer[..length];
            match rtp::look(bytes) {
                Datagram::Plain => {
                    self.kind = "UDP";
                    give(Bytes::copy_from_slice(bytes));
                }
                Datagram::Rtp { sequence, sender, from, to } => {
                    self.kind = "RTP";
                    self.order.push(sequence, sender, Bytes::copy_from_slice(&bytes[from..to]), now, &mut give);
                }
                Datagram::Foreign => self.foreign += 1,
            }
        }
        self.order.expire(now, &mut give);
        Ok(out.freeze())
    }

    /// Leaves the group and joins it again, so that routers and switches that forgot hear of it.
    fn renew(&mut self) {
        if let Some((every, at)) = &mut self.rejoin {
            *at = time::Instant::now() + *every;
        }
        let Some(membership) = &self.membership else { return };
        let socket = socket2::SockRef::from(&self.socket);
        if let Err(error) = membership.leave(&socket).and_then(|()| membership.join(&socket)) {
            tracing::warn!(%error, group = %membership.group, "a multicast group could not be joined anew");
        }
    }

    fn say(&mut self) {
        let now = Instant::now();
        if self.kind.is_empty() || self.said.is_some_and(|at| now.saturating_duration_since(at) < SAY) {
            return;
        }
        self.said = Some(now);
        let Tally { lost, reordered, doubled, restarts } = self.order.tally;
        let mut words = self.kind.to_owned();
        let figures = [
            (lost, "lost"),
            (reordered, "reordered"),
            (doubled, "doubled"),
            (restarts, "restarts"),
            (self.foreign, "foreign"),
        ];
        for (n, what) in figures.into_iter().filter(|(n, what)| *n > 0 || (*what == "lost" && self.kind == "RTP")) {
            words.push_str(&format!(", {n} {what}"));
        }
        self.status.set(words);
    }
}

async fn until(at: Option<time::Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Bound to the group itself, so that another group on the same port is not received; several sockets may.
fn bind(to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if to.ip().is_multicast() {
        socket.set_reuse_address(true)?;
    }
    // Less than asked for is no reason to fail.
    let _ = socket.set_recv_buffer_size(BUFFER);
    socket.bind(&to.into())?;
    Ok(socket)
}

/// A group, and by which interface.
struct Membership {
    group: IpAddr,
    source: Option<Ipv4Addr>,
    interface: Interface,
}

enum Interface {
    Any,
    Index(u32),
    Address(Ipv4Addr),
}

impl Membership {
    fn new(to: &Datagrams, interface: Option<&str>) -> Result<Self, UpstreamError> {
        let refused = |why: String| UpstreamError::Refused(format!("{to}: {why}"));
        let interface = match interface {
            None => Interface::Any,
            Some(text) => match text.parse::<Ipv4Addr>() {
                Ok(address) => Interface::Address(address),
                Err(_) => {
                    Interface::Index(index_of(text).ok_or_else(|| refused(format!("there is no interface {text}")))?)
                }
            },
        };
        let source = match (to.source, &interface) {
            (None, _) => None,
            (Some(IpAddr::V6(_)), _) => {
                return Err(refused(
                    "a source-specific group of IPv6 cannot be joined; leave the source out".to_owned(),
                ));
            }
            (Some(IpAddr::V4(_)), Interface::Index(_)) => {
                return Err(refused("for a source-specific group give the interface by its IPv4 address".to_owned()));
            }
            (Some(IpAddr::V4(source)), _) => Some(source),
        };
        if to.address.is_ipv6() && matches!(interface, Interface::Address(_)) {
            return Err(refused("for a group of IPv6 give the interface by its name".to_owned()));
        }
        Ok(Self { group: to.address, source, interface })
    }

    fn join(&self, socket: &Socket) -> io::Result<()> {
        match (self.group, self.source) {
            (IpAddr::V4(group), Some(source)) => socket.join_ssm_v4(&source, &group, &self.interface.address()),
            (IpAddr::V4(group), None) => socket.join_multicast_v4_n(&group, &self.interface.of_v4()),
            (IpAddr::V6(group), _) => socket.join_multicast_v6(&group, self.interface.index()),
        }
    }

    fn leave(&self, socket: &Socket) -> io::Result<()> {
        match (self.group, self.source) {
            (IpAddr::V4(group), Some(source)) => socket.leave_ssm_v4(&source, &group, &self.interface.address()),
            (IpAddr::V4(group), None) => socket.leave_multicast_v4_n(&group, &self.interface.of_v4()),
            (IpAddr::V6(group), _) => socket.leave_multicast_v6(&group, self.interface.index()),
        }
    }
}

impl Interface {
    fn address(&self) -> Ipv4Addr {
        match self {
            Self::Address(address) => *address,
            _ => Ipv4Addr::UNSPECIFIED,
        }
    }

    fn index(&self) -> u32 {
        match self {
            Self::Index(index) => *index,
            _ => 0,
        }
    }

    fn of_v4(&self) -> InterfaceIndexOrAddress {
        match self {
            Self::Index(index) => InterfaceIndexOrAddress::Index(*index),
            _ => InterfaceIndexOrAddress::Address(self.address()),
        }
    }
}

/// The kernel's number of an interface.
fn index_of(name: &str) -> Option<u32> {
    if name.contains('/') || name.starts_with('.') {
        return None;
    }
    fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_known_by_name() {
        assert!(index_of("lo").is_some());
        assert_eq!((index_of("no-such-0"), index_of("../lo"), index_of(".")), (None, None, None));
    }

    #[test]
    fn what_cannot_be_joined_says_why() {
        let to = |text: &str| match yagi_api::Locator::parse(text) {
            Ok(yagi_api::Locator::Datagrams(to)) => to,
            other => panic!("{other:?}"),
        };
        for (text, interface, word) in [
            ("udp://@239.1.1.1:1", Some("no-such-0"), "no interface"),
            ("udp://10.0.0.1@232.1.1.1:1", Some("lo"), "by its IPv4 address"),
            ("udp://[fd00::1]@[ff3e::1]:1", None, "IPv6"),
            ("udp://@[ff3e::1]:1", Some("127.0.0.1"), "by its name"),
        ] {
            let said = Membership::new(&to(text), interface).err().expect(text).to_string();
            assert!(said.contains(word), "{said}");
        }
    }
}
