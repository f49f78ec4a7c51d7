//! Where a channel's picture comes from, read from what people paste and playlists contain.

use std::fmt;

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
}

impl Locator {
    /// Reads any spelling met in the wild: the canonical ones, `acestream:ID`, a bare 40-digit id, and URLs of an
    /// engine (`http://host:6878/ace/getstream?id=…|infohash=…`, `/ace/manifest.m3u8?…`), whose host is dropped
    /// because the daemon has engines of its own.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected http://…, https://…, acestream://ID, a 40-digit content id or testcard:";
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
            _ => Err(EXPECTED),
        }
    }

    /// The word for tables: `test`, `http`, `ace`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TestCard => "test",
            Self::Http(_) => "http",
            Self::AceContent(_) | Self::AceInfohash(_) => "ace",
        }
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
        }
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
        for text in
            ["", "x", "file:///etc/passwd", "acestream://12", "http://", "http://:80/x", "http://a b/", "rtsp://h/x"]
        {
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
}
