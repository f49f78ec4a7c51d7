//! The policy of every outgoing connection, and what they share: TLS roots, timeouts, the User-Agent.
//!
//! Must not enter: HTTP. Invariant: the check runs on the resolved address right before each connect, so that neither
//! a redirect nor a name that changes its address gets around it. What somebody typed may be private, for that is the use;
//! what was found through a public host leads to public addresses only, unless the network is listed.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::{config::Config, http::Network};

/// How an address came to be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// An administrator typed it, or it was found through a private host.
    #[default]
    Anywhere,
    /// It was found through a public host.
    Public,
}

impl Reach {
    /// Of what stands in a document that came from a public host, or from elsewhere.
    pub fn found(through_public: bool) -> Self {
        if through_public { Self::Public } else { Self::Anywhere }
    }
}

/// Shared by everything that connects.
pub struct Outbound {
    own: RwLock<Vec<SocketAddr>>,
    /// Private networks that public hosts may lead to.
    listed: Vec<Network>,
    /// Loopback addresses that stand for public hosts.
    #[cfg(test)]
    pub(super) as_public: Vec<IpAddr>,
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) connect_timeout: Duration,
    pub(super) first_byte_timeout: Duration,
    pub(super) user_agent: String,
    /// The best HLS variant up to this bandwidth; 0: the best of all.
    pub(super) hls_max_bits_per_s: u64,
}

impl Outbound {
    pub fn new(config: &Config) -> Self {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring implements the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            own: RwLock::new(config.server.listen.clone()),
            // Checked when the configuration was read.
            listed: config.upstream.private_networks.iter().filter_map(|n| n.parse().ok()).collect(),
            #[cfg(test)]
            as_public: Vec::new(),
            tls: Arc::new(tls),
            connect_timeout: Duration::from_secs(u64::from(config.upstream.connect_timeout_s.max(1))),
            first_byte_timeout: Duration::from_secs(u64::from(config.upstream.first_byte_timeout_s.max(1))),
            user_agent: config.upstream.user_agent.clone(),
            hls_max_bits_per_s: u64::from(config.upstream.hls_max_kbit_per_s) * 1000,
        }
    }

    pub fn own_listeners(&self, addresses: Vec<SocketAddr>) {
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Whether the world can have sent us there, and what stands there came from the world.
    fn is_public(&self, ip: IpAddr) -> bool {
        #[cfg(test)]
        if self.as_public.contains(&ip) {
            return true;
        }
        is_public(plain(ip))
    }

    /// How far that may lead which the host at `peer` says, when it was asked with `reach` itself.
    pub fn behind(&self, peer: IpAddr, reach: Reach) -> Reach {
        if self.is_public(peer) { Reach::Public } else { reach }
    }

    /// Why a connection to `address` must not be made, if so.
    pub fn refusal(&self, address: SocketAddr, reach: Reach) -> Option<&'static str> {
        let ip = plain(address.ip());
        match ip {
            IpAddr::V4(v4) if v4.is_link_local() => return Some("link-local addresses are never connected to"),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                return Some("link-local addresses are never connected to");
            }
            _ if ip.is_multicast() => return Some("multicast addresses are not for TCP"),
            IpAddr::V4(v4) if v4.is_broadcast() => return Some("the broadcast address is not for TCP"),
            _ => {}
        }
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        own.iter()
            .any(|listener| {
                let at = plain(listener.ip());
                listener.port() == address.port()
                    && address.port() != 0
                    && (at == ip
                        // Connecting to 0.0.0.0 or :: reaches this machine.
                        || (ip.is_unspecified() && (at.is_unspecified() || at.is_loopback()))
                        || (at.is_unspecified() && is_of_this_machine(ip)))
            })
            .then_some("this is the daemon's own address")
            .or_else(|| {
                let stray = reach == Reach::Public
                    && !self.is_public(address.ip())
                    && !self.listed.iter().any(|network| network.contains(ip));
                stray.then_some(
                    "a public host leads to a private address; list its network in upstream.private_networks if that is right",
                )
            })
    }
}

/// IPv4 in its IPv6 clothes (mapped, NAT64) as IPv4.
fn plain(ip: IpAddr) -> IpAddr {
    const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
    match ip {
        IpAddr::V6(v6) if v6.segments()[..6] == NAT64 => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::from([a, b, c, d])
        }
        IpAddr::V6(v6) if v6 == Ipv6Addr::LOCALHOST || v6.is_unspecified() => ip,
        _ => ip.to_canonical(),
    }
}

/// Whether an address is one of the open network: none of a house, a provider's inside, or this machine.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let carrier = a == 100 && (64..128).contains(&b);
            let protocols = (a, b, c) == (192, 0, 0);
            let benchmarks = a == 198 && (b & 0xfe) == 18;
            !(a == 0
                || a >= 240
                || carrier
                || protocols
                || benchmarks
                || v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast())
        }
        // Of what is not 2000::/3 nothing is routed; 6to4 and Teredo carry an IPv4 address that must be looked at.
        IpAddr::V6(v6) => {
            let s = v6.segments();
            let of = |high: u16, low: u16| IpAddr::from((u32::from(high) << 16 | u32::from(low)).to_be_bytes());
            match s {
                [0x2002, high, low, ..] => is_public(of(high, low)),
                [0x2001, 0, .., high, low] => is_public(of(!high, !low)),
                _ => s[0] >> 13 == 1,
            }
        }
    }
}

/// Only an address of this machine can be bound to.
fn is_of_this_machine(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound(listen: &[&str]) -> Outbound {
        let mut config = Config::default();
        config.server.listen = listen.iter().map(|a| a.parse().unwrap()).collect();
        Outbound::new(&config)
    }

    #[test]
    fn link_local_is_refused_in_every_spelling() {
        let out = outbound(&[]);
        for bad in
            ["169.254.169.254:80", "[fe80::1]:80", "[::ffff:169.254.1.1]:80", "[64:ff9b::a9fe:a9fe]:80", "224.0.0.1:80"]
        {
            assert!(out.refusal(bad.parse().unwrap(), Reach::Anywhere).is_some(), "{bad}");
            assert!(out.refusal(bad.parse().unwrap(), Reach::Public).is_some(), "{bad}");
        }
        for good in ["10.0.0.1:80", "192.168.1.5:8000", "127.0.0.1:6878", "[fd00::1]:80", "1.2.3.4:443"] {
            assert_eq!(out.refusal(good.parse().unwrap(), Reach::Anywhere), None, "{good}");
        }
    }

    #[test]
    fn public_hosts_lead_to_public_addresses_and_to_listed_networks_only() {
        const PRIVATE: [&str; 18] = [
            "10.0.0.1",
            "172.31.0.9",
            "192.168.1.5",
            "127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "255.1.2.3",
            "::1",
            "::",
            "fd00::1",
            "::ffff:192.168.1.5",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "2001:0:1:2:3:4:f5ff:fffe",
        ];
        let out = outbound(&[]);
        for ip in PRIVATE {
            let at = SocketAddr::new(ip.parse().unwrap(), 80);
            assert!(out.refusal(at, Reach::Public).is_some(), "{ip}");
            assert_eq!(out.refusal(at, Reach::Anywhere), None, "{ip}");
            assert_eq!(out.behind(at.ip(), Reach::Anywhere), Reach::Anywhere, "{ip}");
            assert_eq!(out.behind(at.ip(), Reach::Public), Reach::Public, "{ip}");
        }
        for ip in
            ["1.2.3.4", "100.63.0.1", "100.128.0.1", "172.32.0.1", "2606:4700::1", "::ffff:1.2.3.4", "2002:102:304::1"]
        {
            let at = SocketAddr::new(ip.parse().unwrap(), 80);
            assert_eq!(out.refusal(at, Reach::Public), None, "{ip}");
            assert_eq!(out.behind(at.ip(), Reach::Anywhere), Reach::Public, "{ip}");
        }
        let mut config = Config::default();
        config.upstream.private_networks = vec!["192.168.1.0/24".to_owned(), "fd00::/8".to_owned()];
        let out = Outbound::new(&config);
        for (ip, may) in
            [("192.168.1.5", true), ("::ffff:192.168.1.5", true), ("fd00::1", true), ("192.168.2.5", false)]
        {
            assert_eq!(out.refusal(SocketAddr::new(ip.parse().unwrap(), 80), Reach::Public).is_none(), may, "{ip}");
        }
    }

    #[test]
    fn the_daemons_own_listeners_are_refused() {
        let any = outbound(&["[::]:8080"]);
        for bad in
            ["127.0.0.1:8080", "[::1]:8080", "127.9.9.9:8080", "0.0.0.0:8080", "[::]:8080", "[::ffff:127.0.0.1]:8080"]
        {
            assert!(any.refusal(bad.parse().unwrap(), Reach::Anywhere).is_some(), "{bad}");
        }
        assert_eq!(any.refusal("127.0.0.1:8081".parse().unwrap(), Reach::Anywhere), None);
        // Not an address of this machine (TEST-NET-1).
        assert_eq!(any.refusal("192.0.2.1:8080".parse().unwrap(), Reach::Anywhere), None);
        let one = outbound(&["127.0.0.1:8080"]);
        assert!(one.refusal("127.0.0.1:8080".parse().unwrap(), Reach::Anywhere).is_some());
        assert_eq!(one.refusal("127.0.0.2:8080".parse().unwrap(), Reach::Anywhere), None);
        one.own_listeners(vec!["127.0.0.3:99".parse().unwrap()]);
        assert!(one.refusal("127.0.0.3:99".parse().unwrap(), Reach::Anywhere).is_some());
    }
}
