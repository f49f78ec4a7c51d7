//! By what an entry is recognised at the next refresh.
//!
//! Owns the digests of an entry's path, of its guide id and name, and of a server's address. Must not enter: matching
//! (`library::merge`). Invariant: hosts (but for [`address`]), credentials, tokens and file extensions of a URL do not count; the
//! digests are stored, so they never change.

use crate::library::merge::Keys;

/// Query keys whose values change without the channel changing.
const VOLATILE: &[&str] = &[
    "token",
    "auth",
    "key",
    "apikey",
    "api_key",
    "sig",
    "sign",
    "signature",
    "expires",
    "expire",
    "exp",
    "e",
    "st",
    "hash",
    "user",
    "username",
    "pass",
    "password",
    "pwd",
    "u",
    "p",
    "session",
    "sid",
    "t",
    "ts",
    "time",
    "md5",
    "hdnts",
    "hdnea",
    "hmac",
    "nonce",
    "policy",
    "key-pair-id",
    "wmsauthsign",
    "play_token",
    "mac",
    "uid",
    "jwt",
    "access_token",
];
const XTREAM: &[&str] = &["live", "movie", "series"];

/// `url` in its canonical spelling.
pub fn keys(guide_id: &str, name: &str, url: &str) -> Keys {
    let mut digest = Digest::new();
    digest.text(guide_id);
    digest.byte(0);
    digest.text(name);
    Keys { path: path(url), name: digest.finish() }
}

/// Digest of an address with its host: what is said of one server is no word on another that has the same path.
pub fn address(url: &str) -> u64 {
    let mut digest = Digest::new();
    let host = url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let host = host.rsplit('@').next().unwrap_or_default();
    digest.text(&host.to_ascii_lowercase());
    digest.byte(0);
    path(url).to_le_bytes().into_iter().for_each(|b| digest.byte(b));
    digest.finish()
}

/// Digest of what does not change in an address: see the head.
pub fn path(url: &str) -> u64 {
    let mut digest = Digest::new();
    let Some((scheme, rest)) = url.split_once("://") else {
        digest.text(url);
        return digest.finish();
    };
    if !scheme.starts_with("http") {
        digest.text(url);
        return digest.finish();
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = rest.find('/').map_or("", |i| &rest[i..]);
    if let Some(id) = xtream_id(path) {
        digest.text("xtream/");
        digest.text(id);
    } else {
        digest.text(path.trim_end_matches('/'));
    }
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let key = pair.split('=').next().unwrap_or_default();
        if !VOLATILE.iter().any(|v| v.eq_ignore_ascii_case(key)) {
            digest.byte(b'&');
            digest.text(pair);
        }
    }
    digest.finish()
}

/// The number in `/live/U/P/12.ts` and `/U/P/12.ts`.
fn xtream_id(path: &str) -> Option<&str> {
    let mut parts = path.trim_start_matches('/').rsplit('/');
    let id = parts.next()?.split('.').next()?;
    let (_password, _user) = (parts.next()?, parts.next()?);
    let fits = match (parts.next(), parts.next()) {
        (None, _) => true,
        (Some(first), None) => XTREAM.contains(&first),
        _ => false,
    };
    (fits && !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit())).then_some(id)
}

/// FNV-1a with a final mix: small, and the same in every version of this program.
struct Digest(u64);

impl Digest {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    fn text(&mut self, text: &str) {
        text.bytes().for_each(|b| self.byte(b));
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_credentials_and_tokens_do_not_count() {
        for (a, b) in [
            ("http://a/live/u/p/7.ts", "https://b:80/live/x/y/7.m3u8"),
            ("http://a/u/p/7", "http://a/v/q/7.ts"),
            ("http://a/live/u/p/7.ts", "http://a/u/p/7"),
            ("http://u:p@a/x.ts?token=1&ch=2", "http://a/x.ts?ch=2&Token=9"),
            ("http://a/x.ts#f", "http://a/x.ts"),
        ] {
            assert_eq!(path(a), path(b), "{a} {b}");
        }
        for (a, b) in [
            ("http://a/u/p/7", "http://a/u/p/8"),
            ("http://a/x?ch=1", "http://a/x?ch=2"),
            ("http://a/x.ts", "http://a/y.ts"),
            ("acestream://1", "acestream://2"),
            ("http://a/b/u/p/7", "http://a/c/u/p/7"),
        ] {
            assert_ne!(path(a), path(b), "{a} {b}");
        }
        for (a, b, same) in [
            ("http://a/live/u/p/7.ts", "http://b/live/u/p/7.ts", false),
            ("http://u:p@A:80/live/u/p/7.ts", "http://a:80/live/x/y/7.m3u8?token=1", true),
            ("acestream://1", "acestream://1", true),
        ] {
            assert_eq!(address(a) == address(b), same, "{a} {b}");
        }
        assert_ne!(keys("a", "b", "").name, keys("ab", "", "").name);
    }

    #[test]
    fn digests_are_stored_and_therefore_fixed() {
        insta::assert_debug_snapshot!(keys("bbc1.uk", "BBC One", "http://h/live/u/p/1.ts"), @r"
        Keys {
            path: 711135120072483191,
            name: 18131427927320951832,
        }
        ");
    }
}
