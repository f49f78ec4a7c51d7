//! Where a channel's picture comes from, read from what people paste and playlists contain.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

/// A parsed [`crate::ChannelSource::url`]. Its `Display` is the canonical spelling that the store keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Locator {
    /// The built-in clip: `testcard:`.
    TestCard,
    /// MPEG-TS over HTTP: `http://…` or `https://…`.
    Http(String),
    /// AceStream content id, 40 lower-case hex digits: `acestream://ID`.
    AceContent(String),
    /// AceStream infohash, 40 lower-case hex digits: `acestream:?infohash=HASH`.
    AceInfohash(String),
    /// MPEG-TS in datagrams: `udp://…` and `rtp://…`.
    Datagrams(Datagrams),
    /// A file on the daemon's machine, looped: `file:///path.ts`. Holds the path with its escapes.
    File(String),
    /// A command of the configuration: `exec:NAME?key=value&…`.
    Exec(Command),
}

/// Where datagrams come to: `udp://[SOURCE]@GROUP:PORT[?interface=…]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Datagrams {
    /// Spelled `rtp://`. What really comes is told by looking.
    pub rtp: bool,
    /// The only sender that is wanted (source-specific multicast).
    pub source: Option<IpAddr>,
    /// A multicast group to join, or an address of the daemon's machine.
    pub address: IpAddr,
    pub port: u16,
    /// Name or IPv4 address of the interface that joins; else the kernel's choice.
    pub interface: Option<String>,
}

/// A command of the configuration with the values of its placeholders, escaped as they stand in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Command {
    pub name: String,
    pub values: Vec<(String, String)>,
}

impl Command {
    /// The value of a placeholder without its escapes.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<String> {
        let (_, value) = self.values.iter().find(|(k, _)| k == key)?;
        unescape(value).ok()
    }
}

impl Locator {
    /// Reads any spelling met in the wild: the canonical ones, `acestream:ID`, a bare 40-digit id, and URLs of an
    /// engine (`http://host:6878/ace/getstream?id=…|infohash=…`, `/ace/manifest.m3u8?…`), whose host is dropped
    /// because the daemon has engines of its own.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected http://…, https://…, acestream://ID, a 40-digit content id, udp://@GROUP:PORT, \
             rtp://@GROUP:PORT, file:///PATH, exec:NAME or testcard:";
        let text = text.trim();
        if text.len() > 4096 {
            return Err("is longer than 4096 bytes");
        }
        if text.chars().any(|c| c.is_control() || c == ' ') {
            return Err("contains blanks or control characters");
        }
        if let Some(id) = hash(text) {
            return Ok(Self::AceContent(id));
        }
        let (scheme, rest) = text.split_once(':').ok_or(EXPECTED)?;
        match scheme.to_ascii_lowercase().as_str() {
            "testcard" if rest.is_empty() => Ok(Self::TestCard),
            "acestream" => {
                let rest = rest.trim_start_matches('/');
                let (head, query) = rest.split_once('?').unwrap_or((rest, ""));
                from_query(query)
                    .or_else(|| hash(head.trim_end_matches('/')).map(Self::AceContent))
                    .ok_or("an AceStream id has 40 hexadecimal digits")
            }
            "http" | "https" => {
                let rest = rest.strip_prefix("//").ok_or(EXPECTED)?;
                let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                let host = host.rsplit('@').next().unwrap_or_default();
                if host.is_empty() || host.starts_with(':') {
                    return Err("names no host");
                }
                let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
                let engine = ["/ace/getstream", "/ace/manifest.m3u8"];
                if engine.iter().any(|e| path.trim_end_matches('/').ends_with(e))
                    && let Some(ace) = from_query(query)
                {
                    return Ok(ace);
                }
                Ok(Self::Http(text.to_owned()))
            }
            scheme @ ("udp" | "rtp") => {
                datagrams(scheme == "rtp", rest.strip_prefix("//").ok_or(EXPECTED)?).map(Self::Datagrams)
            }
            "file" => {
                let path = rest.strip_prefix("//").ok_or("expected file:///PATH")?;
                let path = path.strip_prefix("localhost").unwrap_or(path);
                let plain = unescape(path)?;
                if !plain.starts_with('/') || plain.len() < 2 {
                    return Err("expected file:///PATH with an absolute path");
                }
                if plain.split('/').any(|part| part == "..") {
                    return Err("expected a path without `..`");
                }
                Ok(Self::File(path.to_owned()))
            }
            "exec" => command(rest).map(Self::Exec),
            _ => Err(EXPECTED),
        }
    }

    /// The word for tables: `test`, `http`, `ace`, `udp`, `rtp`, `file`, `exec`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TestCard => "test",
            Self::Http(_) => "http",
            Self::AceContent(_) | Self::AceInfohash(_) => "ace",
            Self::Datagrams(d) if d.rtp => "rtp",
            Self::Datagrams(_) => "udp",
            Self::File(_) => "file",
            Self::Exec(_) => "exec",
        }
    }

    /// Whether it reaches into the daemon's own machine or network: reads its files, runs its commands, joins groups. Text
    /// from elsewhere may not.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Datagrams(_) | Self::File(_) | Self::Exec(_))
    }

    /// The path of a [`Locator::File`] without its escapes.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        match self {
            Self::File(path) => unescape(path).ok(),
            _ => None,
        }
    }
}

fn datagrams(rtp: bool, rest: &str) -> Result<Datagrams, &'static str> {
    const EXPECTED: &str =
        "expected udp://@GROUP:PORT with an IP address (or udp://ADDRESS:PORT, udp://SOURCE@GROUP:PORT)";
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (source, at) = place.trim_end_matches('/').rsplit_once('@').unwrap_or(("", place.trim_end_matches('/')));
    let (host, port) = at.rsplit_once(':').ok_or(EXPECTED)?;
    let ip = |text: &str| {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        bare.parse::<IpAddr>().map_err(|_| EXPECTED)
    };
    let source = if source.is_empty() { None } else { Some(ip(source)?) };
    let address = if host.is_empty() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { ip(host)? };
    let port = port.parse().ok().filter(|p| *p > 0).ok_or("expected a port from 1 to 65535")?;
    let mut interface = None;
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        match pair.split_once('=') {
            Some(("interface" | "iface" | "localaddr", name)) if is_word(name) && name.len() <= 40 => {
                interface = Some(name.to_owned());
            }
            Some(("interface" | "iface" | "localaddr", _)) => return Err("interface: expected a name such as eth0"),
            // Other players' options (`fifo_size`, `buffer_size`, …) say nothing about the place.
            _ => {}
        }
    }
    if let Some(source) = source {
        if !address.is_multicast() || source.is_multicast() {
            return Err("expected a multicast group behind @ and its sender before it");
        }
        if source.is_ipv4() != address.is_ipv4() {
            return Err("expected sender and group of one family, IPv4 or IPv6");
        }
    }
    Ok(Datagrams { rtp, source, address, port, interface })
}

fn command(rest: &str) -> Result<Command, &'static str> {
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !is_word(name) || name.len() > 40 {
        return Err("expected exec:NAME with the name of a command in the configuration (section [exec.NAME])");
    }
    let mut values = Vec::new();
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) =
            pair.split_once('=').filter(|(key, _)| is_word(key)).ok_or("expected exec:NAME?key=value&…")?;
        if unescape(value)?.chars().any(char::is_control) {
            return Err("a value contains control characters");
        }
        if values.iter().any(|(k, _)| k == key) {
            return Err("a key is given twice");
        }
        values.push((key.to_owned(), value.to_owned()));
    }
    Ok(Command { name: name.to_owned(), values })
}

/// A name of a command, placeholder or interface.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':'))
}

/// `%20` as a blank.
fn unescape(text: &str) -> Result<String, &'static str> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (high, low) = (digit(bytes.next()), digit(bytes.next()));
        let (Some(high), Some(low)) = (high, low) else { return Err("a % is not followed by two digits; write %25") };
        out.push((high * 16 + low) as u8);
    }
    match String::from_utf8(out) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err("its escapes are not UTF-8"),
    }
}

/// The engine takes the content id under `id` or `content_id` and, apart, `infohash`; the first present wins.
fn from_query(query: &str) -> Option<Locator> {
    let value = |key: &str| query.split(['&', '#']).find_map(|p| p.strip_prefix(key)?.strip_prefix('=').and_then(hash));
    value("content_id")
        .or_else(|| value("id"))
        .map(Locator::AceContent)
        .or_else(|| value("infohash").map(Locator::AceInfohash))
}

fn hash(text: &str) -> Option<String> {
    (text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TestCard => f.write_str("testcard:"),
            Self::Http(url) => f.write_str(url),
            Self::AceContent(id) => write!(f, "acestream://{id}"),
            Self::AceInfohash(hash) => write!(f, "acestream:?infohash={hash}"),
            Self::Datagrams(to) => to.fmt(f),
            Self::File(path) => write!(f, "file://{path}"),
            Self::Exec(Command { name, values }) => {
                write!(f, "exec:{name}")?;
                for (i, (key, value)) in values.iter().enumerate() {
                    write!(f, "{}{key}={value}", if i == 0 { '?' } else { '&' })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |ip: &IpAddr| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        f.write_str(if self.rtp { "rtp://" } else { "udp://" })?;
        if let Some(source) = &self.source {
            f.write_str(&bare(source))?;
        }
        write!(f, "@{}:{}", bare(&self.address), self.port)?;
        self.interface.as_ref().map_or(Ok(()), |name| write!(f, "?interface={name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789ABCDEF01234567";

    #[test]
    fn every_spelling_of_an_acestream_id_is_one_source() {
        let id = ID.to_ascii_lowercase();
        for text in [
            ID.to_owned(),
            format!("acestream://{ID}"),
            format!("acestream:{ID}"),
            format!("acestream:?content_id={ID}"),
            format!("http://127.0.0.1:6878/ace/getstream?id={ID}"),
            format!("http://box/ace/getstream/?pid=4&content_id={ID}"),
            format!("http://box/ace/manifest.m3u8?id={ID}&format=json"),
        ] {
            assert_eq!(Locator::parse(&text), Ok(Locator::AceContent(id.clone())), "{text}");
        }
        assert_eq!(
            Locator::parse(&format!("http://box/ace/getstream?infohash={ID}")),
            Ok(Locator::AceInfohash(id.clone()))
        );
        assert_eq!(
            Locator::parse(&format!("acestream:?infohash={ID}")).unwrap().to_string(),
            format!("acestream:?infohash={id}")
        );
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for text in ["", "x", "acestream://12", "http://", "http://:80/x", "http://a b/", "rtsp://h/x"] {
            assert!(Locator::parse(text).is_err(), "{text}");
        }
        assert!(matches!(Locator::parse("http://h/live/u/p/1.ts?id=3"), Ok(Locator::Http(_))));
    }

    #[test]
    fn canonical_spellings_are_fixed_points() {
        for text in [
            "testcard:",
            "http://h:1/x?y=z",
            &format!("acestream://{}", ID.to_lowercase()),
            &format!("acestream:?infohash={}", ID.to_lowercase()),
        ] {
            assert_eq!(Locator::parse(text).unwrap().to_string(), *text);
        }
    }

    #[test]
    fn local_sources_are_read_and_written() {
        for (text, canonical) in [
            ("udp://@239.1.2.3:1234", ""),
            ("UDP://239.1.2.3:1234/", "udp://@239.1.2.3:1234"),
            ("udp://@:5000", "udp://@0.0.0.0:5000"),
            ("udp://10.0.0.9@232.1.2.3:1?fifo_size=5&interface=eth0.7", "udp://10.0.0.9@232.1.2.3:1?interface=eth0.7"),
            ("rtp://[ff3e::1]:5004?localaddr=192.168.1.2", "rtp://@[ff3e::1]:5004?interface=192.168.1.2"),
            ("file:///srv/a%20b.ts", ""),
            ("file://localhost/srv/a.ts", "file:///srv/a.ts"),
            ("exec:ffmpeg", ""),
            ("exec:streamlink?url=https%3A%2F%2Fh%2Fx&quality=best", ""),
        ] {
            let canonical = if canonical.is_empty() { text } else { canonical };
            let locator = Locator::parse(text).unwrap();
            assert!(locator.is_local(), "{text}");
            assert_eq!(locator.to_string(), canonical);
            assert_eq!(Locator::parse(canonical), Ok(locator));
        }
        assert_eq!(Locator::parse("file:///srv/a%20b.ts").unwrap().path().unwrap(), "/srv/a b.ts");
        let Ok(Locator::Exec(command)) = Locator::parse("exec:x?url=a%26b") else { panic!() };
        assert_eq!((command.value("url").unwrap(), command.value("none")), ("a&b".to_owned(), None));
        for bad in [
            "udp://host.name:1",
            "udp://@239.1.1.1",
            "udp://@239.1.1.1:0",
            "udp://1.2.3.4@10.0.0.1:1",
            "udp://@239.1.1.1:1?interface=a/b",
            "udp:@239.1.1.1:1",
            "file://host/x",
            "file:///srv/../etc/passwd",
            "file:///srv/%2e%2e/etc/passwd",
            "file:///",
            "file:///a%00",
            "exec:",
            "exec:../x",
            "exec:a?b",
            "exec:a?k=%0a",
            "exec:a?k=1&k=2",
        ] {
            assert!(Locator::parse(bad).is_err(), "{bad}");
        }
        assert!(!Locator::TestCard.is_local());
    }
}
