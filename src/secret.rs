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
const XTREAM: &[&str] = &["live", "movie", "series", "timeshift"];

/// Text of `url` with the secret parts replaced by `****`. Works on any text: relative paths, broken URLs.
pub fn redact(url: &str) -> String {
    let (rest, fragment) = url.split_once('#').map_or((url, None), |(a, b)| (a, Some(b)));
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(a, b)| (a, Some(b)));
    let (scheme, rest) = rest.split_once("://").map_or((None, rest), |(a, b)| (Some(a), b));
    let mut out = String::with_capacity(url.len());
    let path = if let Some(scheme) = scheme {
        out.push_str(scheme);
        out.push_str("://");
        let (host, path) = rest.find('/').map_or((rest, ""), |i| rest.split_at(i));
        match host.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str("****@");
                out.push_str(host);
            }
            None => out.push_str(host),
        }
        path
    } else {
        rest
    };
    let mut parts: Vec<&str> = path.split('/').collect();
    // parts[0] is empty for an absolute path.
    let first = parts.iter().position(|p| !p.is_empty()).unwrap_or(0);
    if parts.get(first).is_some_and(|w| XTREAM.contains(w)) {
        for part in parts.iter_mut().skip(first + 1).take(2) {
            *part = "****";
        }
    } else if parts.len() == first + 3 && is_stream_id(parts[first + 2]) {
        parts[first] = "****";
        parts[first + 1] = "****";
    }
    out.push_str(&parts.join("/"));
    if let Some(query) = query {
        for (i, pair) in query.split('&').enumerate() {
            out.push(if i == 0 { '?' } else { '&' });
            match pair.split_once('=') {
                Some((key, _)) if !OPEN_KEYS.contains(&key) => {
                    out.push_str(key);
                    out.push_str("=****");
                }
                _ => out.push_str(pair),
            }
        }
    }
    if fragment.is_some() {
        out.push_str("#****");
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
            ("http://h/live/u/p/1.ts", "http://h/live/****/****/1.ts"),
            ("/live/u/p/1", "/live/****/****/1"),
            ("/u/p/12.ts", "/****/****/12.ts"),
            ("http://h/u/p/12", "http://h/****/****/12"),
            ("http://h/a/b/c.m3u", "http://h/a/b/c.m3u"),
            ("/get.php?username=u&password=p&type=m3u", "/get.php?username=****&password=****&type=m3u"),
            ("http://h/x?token=t#frag", "http://h/x?token=****#****"),
            ("not a url", "not a url"),
        ] {
            assert_eq!(redact(raw), shown);
            assert_eq!(format!("{:?}", RedactedUrl::new(raw)), shown);
        }
    }
}
