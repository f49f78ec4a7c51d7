//! The policy of every outgoing connection, and what they share: TLS roots, timeouts, the User-Agent.
//!
//! Must not enter: HTTP. Invariant: the check runs on the resolved address right before each connect, so that neither
//! a redirect nor a name that changes its address gets around it. Private networks are allowed: they are the use.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::config::Config;

/// Shared by everything that connects.
pub struct Outbound {
    own: RwLock<Vec<SocketAddr>>,
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

    /// Why a connection to `address` must not be made, if so.
    pub fn refusal(&self, address: SocketAddr) -> Option<&'static str> {
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
            assert!(out.refusal(bad.parse().unwrap()).is_some(), "{bad}");
        }
        for good in ["10.0.0.1:80", "192.168.1.5:8000", "127.0.0.1:6878", "[fd00::1]:80", "1.2.3.4:443"] {
            assert_eq!(out.refusal(good.parse().unwrap()), None, "{good}");
        }
    }

    #[test]
    fn the_daemons_own_listeners_are_refused() {
        let any = outbound(&["[::]:8080"]);
        for bad in
            ["127.0.0.1:8080", "[::1]:8080", "127.9.9.9:8080", "0.0.0.0:8080", "[::]:8080", "[::ffff:127.0.0.1]:8080"]
        {
            assert!(any.refusal(bad.parse().unwrap()).is_some(), "{bad}");
        }
        assert_eq!(any.refusal("127.0.0.1:8081".parse().unwrap()), None);
        // Not an address of this machine (TEST-NET-1).
        assert_eq!(any.refusal("192.0.2.1:8080".parse().unwrap()), None);
        let one = outbound(&["127.0.0.1:8080"]);
        assert!(one.refusal("127.0.0.1:8080".parse().unwrap()).is_some());
        assert_eq!(one.refusal("127.0.0.2:8080".parse().unwrap()), None);
        one.own_listeners(vec!["127.0.0.3:99".parse().unwrap()]);
        assert!(one.refusal("127.0.0.3:99".parse().unwrap()).is_some());
    }
}
