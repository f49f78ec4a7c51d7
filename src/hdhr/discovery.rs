//! How media centres find the tuner in a network: HDHomeRun's own protocol (UDP 65001) and SSDP (UDP 1900).
//!
//! Owns the two sockets' tasks. Must not enter: which viewer is announced, the bytes of packets. Invariants: off unless
//! configured; only addresses of the configured networks are answered, and a bounded number a second, so that it cannot be
//! used against others.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::UdpSocket, sync::watch, time};

use super::{Device, packet, ssdp};
use crate::http::Network;

pub const PORT: u16 = 65_001;
pub const SSDP_PORT: u16 = 1900;
const SSDP_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// Between two announcements; receivers forget a device after three of them.
const AGAIN: Duration = Duration::from_secs(600);
/// Answers a second.
const MOST: u32 = 50;

/// The device as somebody reaches it who reaches us at this address; none when there is nothing to announce at the moment.
pub type Announced = Arc<dyn Fn(IpAddr) -> Option<Device> + Send + Sync>;

/// A socket on this port that others of this machine may use too.
///
/// # Errors
/// When the system refuses it.
pub fn bind(address: SocketAddr, ssdp: bool) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::DGRAM, None)?;
    if ssdp {
        // Several programs share this port.
        socket.set_reuse_address(true)?;
    }
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    if ssdp && address.ip().is_unspecified() {
        socket.join_multicast_v4(SSDP_GROUP, Ipv4Addr::UNSPECIFIED)?;
    }
    Ok(socket)
}

/// Our address towards somebody.
fn towards(peer: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Lets through so many a second.
struct Gate {
    since: Instant,
    passed: u32,
}

impl Gate {
    fn new() -> Self {
        Self { since: Instant::now(), passed: 0 }
    }

    fn passes(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            *self = Self::new();
        }
        self.passed += 1;
        self.passed <= MOST
    }
}

/// The next packet of an address that may ask.
async fn receive<'a>(socket: &UdpSocket, networks: &[Network], buffer: &'a mut [u8]) -> Option<(&'a [u8], SocketAddr)> {
    match socket.recv_from(buffer).await {
        Ok((n, peer)) if networks.iter().any(|net| net.contains(peer.ip())) => Some((&buffer[..n], peer)),
        Ok(_) => None,
        Err(e) => {
            tracing::debug!(error = %e, "a packet of the discovery could not be read");
            time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
    if let Err(e) = socket.send_to(bytes, to).await {
        tracing::debug!(error = %e, %to, "a packet of the discovery could not be sent");
    }
}

/// Answers HDHomeRun's discovery until the end.
pub async fn answer(socket: UdpSocket, networks: Vec<Network>, device: Announced, mut stopping: watch::Receiver<bool>) {
    let (mut buffer, mut gate) = ([0; 2048], Gate::new());
    loop {
        let (bytes, peer) = tokio::select! {
            got = receive(&socket, &networks, &mut buffer) => match got { Some(got) => got, None => continue },
            _ = async { stopping.wait_for(|s| *s).await.is_ok() } => return,
        };
        let Some(question) = packet::read(bytes).filter(|_| gate.passes()) else { continue };
        if let Some(device) = towards(peer).and_then(|ip| device(ip)).filter(|d| question.asks_for(d.id)) {
            send(&socket, &packet::reply(device.id, device.tuners, &device.base), peer).await;
        }
    }
}

/// Answers SSDP's searches, and announces the device, until the end.
pub async fn announce(
    socket: UdpSocket,
    networks: Vec<Network>,
    device: Announced,
    mut stopping: watch::Receiver<bool>,
) {
    let group = SocketAddr::from((SSDP_GROUP, SSDP_PORT));
    let (mut buffer, mut gate) = ([0; 2048], Gate::new());
    let mut again = time::interval(AGAIN);
    loop {
        let (bytes, peer) = tokio::select! {
            got = receive(&socket, &networks, &mut buffer) => match got { Some(got) => got, None => continue },
            _ = again.tick() => {
                tell(&socket, group, &device, true).await;
                continue;
            }
            _ = async { stopping.wait_for(|s| *s).await.is_ok() } => return tell(&socket, group, &device, false).await,
        };
        let Some(targets) = ssdp::searched(bytes).filter(|_| gate.passes()) else { continue };
        let Some(device) = towards(peer).and_then(|ip| device(ip)) else { continue };
        for target in ssdp::matching(&device, &targets) {
            send(&socket, ssdp::found(&device, &target).as_bytes(), peer).await;
        }
    }
}

async fn tell(socket: &UdpSocket, group: SocketAddr, device: &Announced, alive: bool) {
    let Some(device) = towards(group).and_then(|ip| device(ip)) else { return };
    for target in ssdp::matching(&device, ssdp::ALL) {
        send(socket, ssdp::notice(&device, &target, alive).as_bytes(), group).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Announced {
        Arc::new(|ip| {
            Some(Device { id: 0x1010_1010, name: "Yagi".into(), base: format!("http://{ip}:8080/hdhr/tok"), tuners: 2 })
        })
    }

    async fn asked(ssdp: bool, networks: &[&str], question: &[u8]) -> Option<String> {
        let socket = bind(([127, 0, 0, 1], 0).into(), ssdp).unwrap();
        let address = socket.local_addr().unwrap();
        let networks = networks.iter().map(|n| n.parse().unwrap()).collect();
        let (stop, stopping) = watch::channel(false);
        let task = if ssdp {
            tokio::spawn(announce(socket, networks, device(), stopping))
        } else {
            tokio::spawn(answer(socket, networks, device(), stopping))
        };
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(b"nonsense", address).await.unwrap();
        client.send_to(question, address).await.unwrap();
        let mut buffer = [0; 2048];
        let got = time::timeout(Duration::from_secs(3), client.recv_from(&mut buffer)).await;
        stop.send_replace(true);
        time::timeout(Duration::from_secs(5), task).await.expect("it ends when told").unwrap();
        got.ok().map(|got| String::from_utf8_lossy(&buffer[..got.unwrap().0]).into_owned())
    }

    #[tokio::test]
    async fn a_question_is_answered_with_the_address_it_reached() {
        let question = packet::question(1, 0xffff_ffff);
        let reply = asked(false, &["127.0.0.0/8"], &question).await.unwrap();
        assert!(reply.contains("http://127.0.0.1:8080/hdhr/tok"), "{reply}");
    }

    #[tokio::test]
    async fn strangers_get_no_answer() {
        let question = packet::question(1, 0xffff_ffff);
        assert_eq!(asked(false, &["10.0.0.0/8"], &question).await, None);
        assert_eq!(asked(true, &["10.0.0.0/8"], ssdp::SEARCH.as_bytes()).await, None);
    }

    #[tokio::test]
    async fn a_search_is_answered_with_the_description_s_address() {
        let reply = asked(true, &["127.0.0.0/8"], ssdp::SEARCH.as_bytes()).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(reply.contains("LOCATION: http://127.0.0.1:8080/hdhr/tok/device.xml\r\n"), "{reply}");
    }

    #[test]
    fn answers_are_bounded() {
        let mut gate = Gate::new();
        assert_eq!((0..1000).filter(|_| gate.passes()).count(), MOST as usize);
    }
}
