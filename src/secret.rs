//! Secrets that cannot be printed by accident.
//!
//! Owns [`Secret`] and the one redaction of URLs. Must not enter: storage, policy. Invariant: `Debug` and `Display` of
//! everything here are safe to log; the raw text leaves only through `expose`.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// A password or token. Compares in constant time, prints as `****`.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The raw text: only for sealing, for comparing elsewhere, and for replies that exist to show it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `guess` is it, in a time that depends on the lengths alone.
    pub fn matches(&self, guess: &str) -> bool {
        self.0.as_bytes().ct_eq(guess.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// A URL whose `Display` and `Debug` hide what may be secret: userinfo, every query value but harmless ones, and the
/// user and password segments of Xtream paths (`/live/U/P/1.ts`, `/U/P/1.ts`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedactedUrl(Box<str>);

impl RedactedUrl {
    pub fn new(url: impl Into<Box<str>>) -> Self {
        Self(url.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

/// Query keys whose values tell nothing secret.
const OPEN_KEYS: &[&str] = &[
    "type",
    "output",
    "action",
    "stream_id",
    "category_id",
    "limit",
    "format",
    "id",
    "infohash",
    "content_id",
    "pid",
    "method",
];
/// First path segments of Xtream stream paths: the two after them are credentials.
const XTREAM: &[&str] = &["live", "movie", "series", "timeshift", "hls"];

/// First path segments behind which a token stands.
const TOKENS: &[&str] = &["p", "e", "hdhr"];

/// Text of `url` with the secret parts replaced by `****`. Works on any text: relative paths, broken URLs.
pub fn redact(url: &str) -> String {
    parts(url).into_iter().map(|part| if part.secret { "****" } else { part.text }).collect()
}

/// `text` without the secret parts of `url`: for words of a server that may repeat what it was asked with.
pub fn hide(text: &str, url: &str) -> String {
    let mut out = text.to_owned();
    // Name and password may be repeated apart. Shorter ones would take ordinary words with them.
    let secrets = parts(url).into_iter().filter(|part| part.secret).flat_map(|part| part.text.split(':'));
    for secret in secrets.filter(|secret| secret.len() >= 4) {
        let decoded = percent_encoding::percent_decode_str(secret).decode_utf8_lossy();
        out = out.replace(secret, "****").replace(&*decoded, "****");
    }
    out
}

/// A piece of a URL; all pieces together are the URL.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    secret: bool,
}

fn parts(url: &str) -> Vec<Part<'_>> {
    let mut out = Vec::new();
    let mut put = |text, secret| out.push(Part { text, secret });
    let (rest, fragment) = url.split_once('#').map_or((url, None), |(a, b)| (a, Some(b)));
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(a, b)| (a, Some(b)));
    let path = match rest.split_once("://") {
        Some((scheme, rest)) => {
            put(scheme, false);
            put("://", false);
            let (mut host, mut path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let is_port = |p: &str| p.bytes().all(|b| b.is_ascii_digit() || b == b']');
            if let Some(at) = rest.rfind('@')
                && (at < host.len() || !host.rsplit_once(':').is_none_or(|(_, port)| is_port(port)))
            {
                // A password with a slash in it, which is no URL any more, is a password all the same.
                put(&rest[..at], true);
                put("@", false);
                let after = &rest[at + 1..];
                (host, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            }
            put(host, false);
            path
        }
        None => rest,
    };
    let segments: Vec<&str> = path.split('/').collect();
    let word = segments.iter().position(|p| XTREAM.contains(p)).filter(|at| segments.len() > at + 2);
    let last = segments.len() - 1;
    let named = last >= 2 && !segments[last - 2].is_empty() && is_stream_id(segments[last]);
    let token = segments.iter().position(|p| TOKENS.contains(p)).filter(|at| last > *at);
    let hidden = match (word, token) {
        (Some(at), _) => at + 1..at + 3,
        (None, _) if named => last - 2..last,
        (None, Some(at)) => at + 1..at + 2,
        (None, None) => 0..0,
    };
    for (i, segment) in segments.into_iter().enumerate() {
        if i > 0 {
            put("/", false);
        }
        put(segment, hidden.contains(&i) && !segment.is_empty());
    }
    for (i, pair) in query.into_iter().flat_map(|q| q.split('&')).enumerate() {
        put(if i == 0 { "?" } else { "&" }, false);
        match pair.split_once('=') {
            Some((key, value)) => {
                put(key, false);
                put("=", false);
                put(value, !OPEN_KEYS.contains(&key));
            }
            // A word alone may be a token.
            None => put(pair, !pair.is_empty() && !OPEN_KEYS.contains(&pair)),
        }
    }
    if let Some(fragment) = fragment {
        put("#", false);
        put(fragment, true);
    }
    out
}

fn is_stream_id(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default();
    !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let s = Secret::new("canary");
        assert_eq!(format!("{s} {s:?}"), "**** ****");
        assert!(s.matches("canary") && !s.matches("canarx") && !s.matches(""));
    }

    #[test]
    fn urls_lose_their_secret_parts() {
        for (raw, shown) in [
            ("http://u:p@h:1/x", "http://****@h:1/x"),
            ("http://u:p/w@h:1/x", "http://****@h:1/x"),
            ("http://h:80/a@b", "http://h:80/a@b"),
            ("http://[::1]/a@b", "http://[::1]/a@b"),
            ("http://h/pre/live/u/p/1.ts", "http://h/pre/live/****/****/1.ts"),
            ("http://h/pre/u/p/1.ts", "http://h/pre/****/****/1.ts"),
            ("http://h/1.ts", "http://h/1.ts"),
            ("http://h/x/1.ts", "http://h/x/1.ts"),
            ("http://h/x?token", "http://h/x?****"),
            ("http://h/live/u/p/1.ts", "http://h/live/****/****/1.ts"),
            ("/live/u/p/1", "/live/****/****/1"),
            ("/u/p/12.ts", "/****/****/12.ts"),
            ("http://h/u/p/12", "http://h/****/****/12"),
            ("http://h/a/b/c.m3u", "http://h/a/b/c.m3u"),
            ("http://h/pre/p/tok?type=m3u", "http://h/pre/p/****?type=m3u"),
            ("/e/tok.xml.gz", "/e/****"),
            ("/hdhr/tok/auto/v7", "/hdhr/****/auto/v7"),
            ("/get.php?username=u&password=p&type=m3u", "/get.php?username=****&password=****&type=m3u"),
            ("http://h/x?token=t#frag", "http://h/x?token=****#****"),
            ("not a url", "not a url"),
        ] {
            assert_eq!(redact(raw), shown);
            assert_eq!(format!("{:?}", RedactedUrl::new(raw)), shown);
        }
    }

    #[test]
    fn what_a_server_repeats_is_hidden() {
        let url = "http://me:pass%40word@h/live/name/secret/1.ts?token=abcd&type=m3u";
        let text = "m3u: no login pass@word, secret, abcd";
        assert_eq!(hide(text, url), "m3u: no login ****, ****, ****");
    }
}
