//! What a draft or patch may say, field by field: the same code in the daemon, which decides, and in forms, while they are typed.
//!
//! Must not enter: the state of other rows (uniqueness is the daemon's business), a reader of URLs (the daemon adds its own).
//! Invariant: text that passed is clean and bounded; an error names the field and what was expected.

use crate::{
    ApiError, ChannelSource, Locator, OutputFormat,
    text::{MAX_TEXT, clean, credential_fault},
};

/// Largest number of a channel.
pub const MAX_NUMBER: u32 = 9_999_999;
/// Sources of one channel, and headers of one source.
pub const MAX_SOURCES: usize = 16;
pub const MAX_HEADERS: usize = 16;
const MAX_HEADER: usize = 1024;
const MAX_URL: usize = 4096;

/// A name: cleaned, not empty.
pub fn name(field: &str, text: &str) -> Result<String, ApiError> {
    let text = clean(text, MAX_TEXT);
    if text.is_empty() { Err(ApiError::invalid(field, "must not be empty")) } else { Ok(text.into_owned()) }
}

/// Text that may be empty.
pub fn text(value: &str) -> String {
    clean(value, MAX_TEXT).into_owned()
}

pub fn number(value: u32) -> Result<u32, ApiError> {
    if (1..=MAX_NUMBER).contains(&value) {
        Ok(value)
    } else {
        Err(ApiError::invalid("number", format!("expected a number from 1 to {MAX_NUMBER}")))
    }
}

/// Why a request header of an upstream cannot be used, if so.
pub fn header_fault(name: &str, value: &str) -> Option<&'static str> {
    /// These are the connection's own business.
    const OURS: &[&str] = &[
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "upgrade",
        "trailer",
        "keep-alive",
        "range",
    ];
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(token) {
        Some("is not the name of a header")
    } else if OURS.iter().any(|o| o.eq_ignore_ascii_case(name)) {
        Some("is set by the daemon itself")
    } else if value.len() > MAX_HEADER {
        Some("is longer than 1024 bytes")
    } else if value.bytes().any(|b| b < 0x20 || b == 0x7f) {
        Some("contains control characters")
    } else {
        None
    }
}

/// Seconds between refreshes.
pub fn interval(seconds: u32) -> Result<u32, ApiError> {
    if seconds == 0 || (60..=31 * 86_400).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(ApiError::invalid("interval_s", "expected 0 (only by hand) or 60 to 2678400 seconds"))
    }
}

/// Players read it as int32.
pub fn expires_at(at: Option<i64>) -> Result<Option<i64>, ApiError> {
    match at {
        Some(at) if !(1..=i64::from(i32::MAX)).contains(&at) => {
            Err(ApiError::invalid("expires_at", "expected epoch seconds from 1 to 2147483647, or null for never"))
        }
        at => Ok(at),
    }
}

pub fn max_connections(n: u32) -> Result<u32, ApiError> {
    if n <= 10_000 { Ok(n) } else { Err(ApiError::invalid("max_connections", "expected 0 (no limit) to 10000")) }
}

pub fn max_upstreams(n: u32) -> Result<u32, ApiError> {
    if n <= 10_000 { Ok(n) } else { Err(ApiError::invalid("max_upstreams", "expected 0 (no limit) to 10000")) }
}

pub fn password(text: &str) -> Result<(), ApiError> {
    credential_fault(text).map_or(Ok(()), |fault| Err(ApiError::invalid("password", fault)))
}

/// Formats in their own order, none twice. Players take an empty list for "HLS".
pub fn formats(asked: &[OutputFormat]) -> Result<Vec<OutputFormat>, ApiError> {
    if asked.is_empty() {
        return Err(ApiError::invalid("formats", "expected at least one of ts, m3u8"));
    }
    Ok(OutputFormat::ALL.into_iter().filter(|f| asked.contains(f)).collect())
}

/// What an absolute `http(s)` URL looks like, whatever follows its host.
pub fn http_words<'a>(field: &str, text: &'a str) -> Result<&'a str, ApiError> {
    let text = text.trim();
    let fault = |what: &str| Err(ApiError::invalid(field, format!("{what}; expected http://… or https://…")));
    if text.len() > MAX_URL {
        return fault("is longer than 4096 bytes");
    }
    if text.chars().any(|c| c.is_whitespace() || crate::text::is_foul(c)) {
        return fault("contains blanks or control characters");
    }
    match text.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|s| s.eq_ignore_ascii_case(scheme)) => {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = host.rsplit('@').next().unwrap_or_default();
            if host.is_empty() || host.starts_with(':') { fault("names no host") } else { Ok(text) }
        }
        Some(_) => fault("is of another scheme"),
        None => fault("is not a URL"),
    }
}

/// What `search:WORDS category:NAME` asks the AceStream engines for: words and category.
#[must_use]
pub fn search(text: &str) -> Option<(String, String)> {
    let (kind, rest) = text.trim().split_once(':')?;
    if !kind.eq_ignore_ascii_case("search") {
        return None;
    }
    let (named, words): (Vec<&str>, Vec<&str>) = rest.split_whitespace().partition(|w| w.starts_with("category:"));
    let category = named.first().map_or("", |w| &w["category:".len()..]);
    Some((words.join(" "), category.to_owned()))
}

/// Where a playlist or guide is fetched from: an `http(s)` URL, an absolute path on the daemon's machine, or a search.
pub fn place(text: &str) -> Result<&str, ApiError> {
    let text = text.trim();
    if let Some((words, category)) = search(text) {
        return if text.len() > 300 || text.chars().any(crate::text::is_foul) {
            Err(ApiError::invalid("url", "expected at most 300 characters without control characters"))
        } else if words.is_empty() && category.is_empty() {
            Err(ApiError::invalid(
                "url",
                "names nothing to search for; expected search:WORDS, search:category:NAME or both",
            ))
        } else {
            Ok(text)
        };
    }
    if !text.starts_with('/') {
        return http_words("url", text).map_err(|e| ApiError {
            message: e.message.replace(
                "expected http://… or https://…",
                "expected http://…, https://…, search:WORDS or an absolute path",
            ),
            ..e
        });
    }
    if text.len() > MAX_URL || text.contains('\0') || text.split('/').any(|part| part == "..") {
        return Err(ApiError::invalid("url", "expected an absolute path without `..`"));
    }
    Ok(text)
}

/// Ordered sources in their canonical spelling; at least one, none twice. `http` looks at addresses of that kind.
pub fn sources(
    list: &[ChannelSource],
    http: impl Fn(&str, &str) -> Result<(), ApiError>,
) -> Result<Vec<ChannelSource>, ApiError> {
    let fault = |i: usize, what: String| ApiError::invalid(&format!("sources[{i}].url"), what);
    if list.is_empty() {
        return Err(ApiError::invalid("sources", "expected at least one source"));
    }
    if list.len() > MAX_SOURCES {
        return Err(ApiError::invalid("sources", format!("expected at most {MAX_SOURCES} sources")));
    }
    let mut out: Vec<ChannelSource> = Vec::with_capacity(list.len());
    for (i, source) in list.iter().enumerate() {
        let locator = Locator::parse(&source.url).map_err(|e| fault(i, e.to_owned()))?;
        if let Locator::Http(url) = &locator {
            http(&format!("sources[{i}].url"), url)?;
        }
        let headers = headers(i, &source.headers)?;
        let url = locator.to_string();
        if out.iter().any(|s| s.url == url && s.headers == headers) {
            return Err(fault(i, "is listed twice".to_owned()));
        }
        out.push(ChannelSource { url, headers });
    }
    Ok(out)
}

fn headers(source: usize, list: &[(String, String)]) -> Result<Vec<(String, String)>, ApiError> {
    let field = format!("sources[{source}].headers");
    if list.len() > MAX_HEADERS {
        return Err(ApiError::invalid(&field, format!("expected at most {MAX_HEADERS} headers")));
    }
    for (name, value) in list {
        if let Some(fault) = header_fault(name, value) {
            return Err(ApiError::invalid(&field, format!("{}: {fault}", clean(name, 64))));
        }
    }
    Ok(list.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_has_words_and_a_category() {
        let told = |text| search(text).map(|(words, category)| format!("{words}|{category}"));
        assert_eq!(told("search: sky  sport category:tv").as_deref(), Some("sky sport|tv"));
        assert_eq!(told("Search:category:tv").as_deref(), Some("|tv"));
        assert_eq!(told("http://h/search:x"), None);
    }

    #[test]
    fn places_are_told_from_typing_errors() {
        for good in [
            "http://h/x",
            "HTTPS://u:p@h:1/x?y",
            "/srv/list.m3u",
            " http://h ",
            "search:sky sport",
            "search:category:tv",
        ] {
            assert!(place(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "h/x",
            "ftp://h/x",
            "http://",
            "http:///x",
            "http://u@:80/",
            "http://h/a b",
            "/a/../b",
            "x.m3u",
            "search: ",
        ] {
            let error = place(bad).unwrap_err();
            assert!(error.message.contains("expected"), "{bad}: {error}");
        }
    }
}
