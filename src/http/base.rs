//! The address that links carry, found anew for each request: a remembered one sends half of the players astray.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use hyper::HeaderMap;
use serde::{Deserialize, Serialize};

/// Scheme, host, port and path prefix of this daemon as one player reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base {
    pub scheme: &'static str,
    /// Without a port; IPv6 in brackets.
    pub host: String,
    pub port: u16,
    /// Empty, or `/iptv` without a final slash.
    pub prefix: String,
}

impl Base {
    /// Where this machine reaches a daemon with these listeners.
    pub fn own(plain: &[SocketAddr], tls: &[SocketAddr]) -> Self {
        let scheme = if plain.is_empty() { "https" } else { "http" };
        let first = plain.iter().chain(tls).next().copied().unwrap_or_else(|| ([127, 0, 0, 1], 8080).into());
        Self { scheme, host: bracketed(first.ip()), port: first.port(), prefix: String::new() }
    }

    /// Where those reach it who reach this address of the machine: at a listener without TLS if there is one that hears them.
    pub fn at(ip: IpAddr, plain: &[SocketAddr], tls: &[SocketAddr]) -> Option<Self> {
        let hears = |a: &&SocketAddr| a.ip() == ip || (a.ip().is_unspecified() && (a.is_ipv6() || ip.is_ipv4()));
        let listener = |all: &[SocketAddr], scheme| all.iter().find(hears).map(|a| (scheme, a.port()));
        let (scheme, port) = listener(plain, "http").or_else(|| listener(tls, "https"))?;
        Some(Self { scheme, host: bracketed(ip), port, prefix: String::new() })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port != default_port(self.scheme) {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.prefix)
    }
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

impl FromStr for Base {
    type Err = &'static str;

    /// Reads `http(s)://host[:port][/prefix]`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = url::Url::parse(text).map_err(|_| "expected http(s)://host[:port][/prefix]")?;
        let scheme = match url.scheme() {
            "http" => "http",
            "https" => "https",
            _ => return Err("expected http:// or https://"),
        };
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("expected no user, query or fragment");
        }
        let host = url.host_str().ok_or("expected a host")?.to_owned();
        let prefix = url.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme, host, port: url.port_or_known_default().unwrap_or(80), prefix })
    }
}

/// How a request's address is told: the listener's own facts and whose word is believed.
#[derive(Clone, Debug, Default)]
pub struct Addressing {
    /// Wins over everything when set.
    pub public: Option<Base>,
    pub trusted: Vec<Network>,
    pub believed: ProxyHeaders,
}

/// Which of a trusted proxy's headers are its word. What it does not write itself it passes on as the client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeaders {
    /// `X-Forwarded-*`, and `Forwarded` (RFC 7239) for what they do not say.
    #[default]
    Both,
    XForwarded,
    Forwarded,
}

impl Addressing {
    /// The base for a request from `peer` that came in on `local`, over TLS or not: the configured public address, else what a trusted
    /// proxy says, else the Host header.
    pub fn base(&self, headers: &HeaderMap, peer: Option<IpAddr>, local: (IpAddr, u16), secure: bool) -> Base {
        let own_scheme = if secure { "https" } else { "http" };
        if let Some(public) = &self.public {
            return public.clone();
        }
        // The last line of a header is the nearest proxy's, whatever the client wrote before it.
        let text = |name: &str| headers.get_all(name).iter().next_back().and_then(|v| v.to_str().ok());
        let own = |authority: Option<&str>, scheme| {
            authority.and_then(|a| from_authority(a, scheme)).unwrap_or_else(|| Base {
                scheme,
                host: bracketed(local.0),
                port: local.1,
                prefix: String::new(),
            })
        };
        if !peer.is_some_and(|ip| self.is_trusted(ip)) {
            return own(text("host"), own_scheme);
        }
        let forwarded = text("forwarded").filter(|_| self.believed != ProxyHeaders::XForwarded);
        let forwarded = forwarded.map(Forwarded::last).unwrap_or_default();
        let said = |name| text(name).filter(|_| self.believed != ProxyHeaders::Forwarded);
        let last = |name| said(name).and_then(|v| v.rsplit(',').next()).map(str::trim).filter(|v| !v.is_empty());
        let proto = last("x-forwarded-proto").or(forwarded.proto.as_deref());
        let scheme = match proto {
            Some(p) if p.eq_ignore_ascii_case("https") => "https",
            Some(p) if p.eq_ignore_ascii_case("http") => "http",
            _ => own_scheme,
        };
        let host = last("x-forwarded-host").or(forwarded.host.as_deref()).or(text("host"));
        let mut base = own(host, scheme);
        if let Some(port) = last("x-forwarded-port").and_then(|p| p.parse().ok()) {
            base.port = port;
        }
        if let Some(prefix) = last("x-forwarded-prefix").filter(|p| is_prefix(p)) {
            base.prefix = prefix.trim_end_matches('/').to_owned();
        }
        base
    }

    /// The client's own address: the peer's, or behind trusted proxies the right-most hop that is not one of them.
    pub fn client_ip(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        if !self.is_trusted(peer) {
            return peer;
        }
        let all = |name| headers.get_all(name).iter().flat_map(|v| v.to_str().unwrap_or_default().split(','));
        let mut hops: Vec<Option<IpAddr>> = match self.believed {
            ProxyHeaders::Forwarded => Vec::new(),
            _ => all("x-forwarded-for").map(hop).collect(),
        };
        if hops.is_empty() && self.believed != ProxyHeaders::XForwarded {
            hops = all("forwarded").map(|element| Forwarded::element(element).client).collect();
        }
        // A hop that cannot be read ends the search: what stands before it is anybody's claim.
        hops.into_iter().rev().find(|h| h.is_none_or(|ip| !self.is_trusted(ip))).flatten().unwrap_or(peer)
    }

    fn is_trusted(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|n| n.contains(ip))
    }
}

/// The parts of one element of a `Forwarded` header (RFC 7239). The last is what our own proxy wrote.
#[derive(Default)]
struct Forwarded {
    proto: Option<String>,
    host: Option<String>,
    client: Option<IpAddr>,
}

impl Forwarded {
    fn last(header: &str) -> Self {
        Self::element(header.rsplit(',').next().unwrap_or_default())
    }

    fn element(text: &str) -> Self {
        let mut found = Self::default();
        for pair in text.split(';') {
            let Some((key, value)) = pair.trim().split_once('=') else { continue };
            let value = value.trim_matches('"');
            match key.to_ascii_lowercase().as_str() {
                "proto" => found.proto = Some(value.to_owned()),
                "host" => found.host = Some(value.to_owned()),
                "for" => found.client = hop(value),
                _ => {}
            }
        }
        found
    }
}

/// An address of a forwarding header: bare, quoted, in brackets, with or without a port.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|v| v.split(']').next()).unwrap_or(text);
    let ip: IpAddr = bare.parse().ok().or_else(|| bare.rsplit_once(':')?.0.parse::<Ipv4Addr>().ok().map(Into::into))?;
    Some(ip.to_canonical())
}

fn is_prefix(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._~-".contains(&b))
}

/// `host`, `host:port`, `[v6]:port`; refuses what could break out of a URL or a playlist line.
fn from_authority(text: &str, scheme: &'static str) -> Option<Base> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (v6, after) = rest.split_once(']')?;
            v6.parse::<Ipv6Addr>().ok()?;
            (&text[..v6.len() + 2], after.strip_prefix(':'))
        }
        None => text.split_once(':').map_or((text, None), |(h, p)| (h, Some(p))),
    };
    let fine = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    let port = match port {
        Some(p) => p.parse().ok()?,
        None => default_port(scheme),
    };
    fine.then(|| Base { scheme, host: host.to_owned(), port, prefix: String::new() })
}

/// An address as it stands in a URL; an unspecified one as loopback.
pub fn bracketed(ip: IpAddr) -> String {
    match ip.to_canonical() {
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// A network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    ip: IpAddr,
    bits: u8,
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let ip: IpAddr = ip.trim().parse().map_err(|_| "expected an address or a network such as 10.0.0.0/8")?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| "expected a number of bits after the slash")?;
        if bits > most {
            return Err("the number of bits is at most 32 for IPv4 and 128 for IPv6");
        }
        Ok(Self { ip, bits })
    }
}

impl Network {
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                u32::from(self.bits) == 0 || (u32::from(net) ^ u32::from(ip)) >> (32 - u32::from(self.bits)) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                u32::from(self.bits) == 0 || (u128::from(net) ^ u128::from(ip)) >> (128 - u32::from(self.bits)) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (hyper::header::HeaderName::from_static(k), hyper::header::HeaderValue::from_static(v)))
            .collect()
    }

    const LOCAL: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 8080);

    #[test]
    fn a_listener_is_named_that_hears_who_asks() {
        let at = |ip: &str, plain: &[&str], tls: &[&str]| {
            let read = |all: &[&str]| all.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
            Base::at(ip.parse().unwrap(), &read(plain), &read(tls)).map(|b| b.to_string()).unwrap_or_default()
        };
        assert_eq!(at("192.0.2.7", &["0.0.0.0:8080"], &["0.0.0.0:8443"]), "http://192.0.2.7:8080");
        assert_eq!(at("192.0.2.7", &["[::]:8080"], &[]), "http://192.0.2.7:8080");
        assert_eq!(at("192.0.2.7", &["127.0.0.1:8080", "192.0.2.7:80"], &[]), "http://192.0.2.7");
        assert_eq!(at("192.0.2.7", &[], &["0.0.0.0:8443"]), "https://192.0.2.7:8443");
        assert_eq!(at("192.0.2.7", &["127.0.0.1:8080"], &["[::]:443"]), "https://192.0.2.7");
        assert_eq!(at("2001:db8::7", &["0.0.0.0:8080"], &["[::]:8443"]), "https://[2001:db8::7]:8443");
        assert_eq!(at("192.0.2.7", &["127.0.0.1:8080"], &[]), "", "nobody there hears it");
    }

    #[test]
    fn links_follow_the_host_header_of_each_request() {
        let a = Addressing::default();
        let show = |h: &'static str| a.base(&headers(&[("host", h)]), None, LOCAL, false).to_string();
        assert_eq!(show("tv.lan:8080"), "http://tv.lan:8080");
        assert_eq!(show("tv.lan"), "http://tv.lan");
        assert_eq!(show("[::1]:99"), "http://[::1]:99");
        assert_eq!(show("evil\"host"), "http://10.0.0.1:8080");
        assert_eq!(a.base(&HeaderMap::new(), None, LOCAL, false).to_string(), "http://10.0.0.1:8080");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let forged = headers(&[
            ("host", "in:8080"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "out.example"),
            ("x-forwarded-prefix", "/iptv/"),
            ("x-forwarded-for", "9.9.9.9, 203.0.113.7"),
        ]);
        let peer: IpAddr = "10.1.2.3".parse().unwrap();
        let nobody = Addressing::default();
        assert_eq!(nobody.base(&forged, Some(peer), LOCAL, false).to_string(), "http://in:8080");
        assert_eq!(nobody.client_ip(&forged, peer), peer);
        let proxy = Addressing { trusted: vec!["10.0.0.0/8".parse().unwrap()], ..Addressing::default() };
        assert_eq!(proxy.base(&forged, Some(peer), LOCAL, false).to_string(), "https://out.example/iptv");
        assert_eq!(proxy.client_ip(&forged, peer).to_string(), "203.0.113.7");
        let rfc = headers(&[("forwarded", "for=1.1.1.1, for=\"[2001:db8::1]:5\";proto=https;host=tv.example:8443")]);
        assert_eq!(proxy.base(&rfc, Some(peer), LOCAL, false).to_string(), "https://tv.example:8443");
        assert_eq!(proxy.client_ip(&rfc, peer).to_string(), "2001:db8::1");
    }

    #[test]
    fn what_a_client_wrote_before_the_proxy_is_not_believed() {
        let peer: IpAddr = "10.1.2.3".parse().unwrap();
        let of =
            |believed| Addressing { trusted: vec!["10.0.0.0/8".parse().unwrap()], believed, ..Addressing::default() };
        // The proxy added a line of its own behind the client's.
        let lines = headers(&[
            ("forwarded", "for=9.9.9.9;host=evil.example"),
            ("forwarded", "for=203.0.113.5;host=tv.example, for=10.9.9.9;host=tv.example"),
        ]);
        let both = of(ProxyHeaders::Both);
        assert_eq!(both.client_ip(&lines, peer).to_string(), "203.0.113.5");
        assert_eq!(both.base(&lines, Some(peer), LOCAL, false).host, "tv.example");
        // It writes one kind only, and passes the other on.
        let mixed = headers(&[
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-host", "x.example"),
            ("forwarded", "for=198.51.100.1;host=rfc.example"),
        ]);
        for (believed, client, host) in [
            (ProxyHeaders::Both, "203.0.113.7", "x.example"),
            (ProxyHeaders::XForwarded, "203.0.113.7", "x.example"),
            (ProxyHeaders::Forwarded, "198.51.100.1", "rfc.example"),
        ] {
            assert_eq!(of(believed).client_ip(&mixed, peer).to_string(), client, "{believed:?}");
            assert_eq!(of(believed).base(&mixed, Some(peer), LOCAL, false).host, host, "{believed:?}");
        }
    }

    #[test]
    fn networks_contain_what_they_say() {
        let net: Network = "192.168.0.0/23".parse().unwrap();
        assert!(net.contains("192.168.1.9".parse().unwrap()) && !net.contains("192.168.2.1".parse().unwrap()));
        assert!(net.contains("::ffff:192.168.0.1".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<Network>().is_err() && "x/8".parse::<Network>().is_err());
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains(Ipv4Addr::LOCALHOST.into()));
    }
}
