//! What a draft or patch may say.
//!
//! Owns the validation of single fields. Must not enter: the state of other rows (uniqueness is the nouns' business), SQL.
//! Invariant: text that passed is clean and bounded; an error names the field and what was expected.

use yagi_api::{
    ApiError, ChannelSource, ErrorCode, Locator, OutputFormat,
    text::{MAX_TEXT, clean},
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

/// Formats in their own order, none twice. Players take an empty list for "HLS".
pub fn formats(asked: &[OutputFormat]) -> Result<Vec<OutputFormat>, ApiError> {
    if asked.is_empty() {
        return Err(ApiError::invalid("formats", "expected at least one of ts, m3u8"));
    }
    Ok(OutputFormat::ALL.into_iter().filter(|f| asked.contains(f)).collect())
}

/// An absolute `http(s)` URL.
pub fn http_url(field: &str, text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let fault = |what: &str| ApiError::invalid(field, format!("{what}; expected http://… or https://…"));
    if text.len() > MAX_URL {
        return Err(fault("is longer than 4096 bytes"));
    }
    if text.chars().any(|c| c.is_whitespace() || yagi_api::text::is_foul(c)) {
        return Err(fault("contains blanks or control characters"));
    }
    let url = url::Url::parse(text).map_err(|e| fault(&format!("is not a URL ({e})")))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(text.to_owned()),
        "http" | "https" => Err(fault("names no host")),
        _ => Err(fault("is of another scheme")),
    }
}

/// Empty or an absolute URL.
pub fn logo(text: &str) -> Result<String, ApiError> {
    if text.trim().is_empty() { Ok(String::new()) } else { http_url("logo", text) }
}

/// Ordered sources in their canonical spelling; at least one, none twice.
pub fn sources(list: &[ChannelSource]) -> Result<Vec<ChannelSource>, ApiError> {
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
            http_url(&format!("sources[{i}].url"), url)?;
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

/// Where a playlist or guide is fetched from: an `http(s)` URL, or an absolute path on this machine.
pub fn location(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    if !text.starts_with('/') {
        return http_url("url", text).map_err(|e| ApiError {
            message: e
                .message
                .replace("expected http://… or https://…", "expected http://…, https://… or an absolute path"),
            ..e
        });
    }
    if text.len() > MAX_URL || text.contains('\0') || text.split('/').any(|part| part == "..") {
        return Err(ApiError::invalid("url", "expected an absolute path without `..`"));
    }
    Ok(text.to_owned())
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

pub fn password(text: &str) -> Result<(), ApiError> {
    yagi_api::text::credential_fault(text).map_or(Ok(()), |fault| Err(ApiError::invalid("password", fault)))
}

/// A patch made from an older row than the stored one is refused.
pub fn version(given: Option<u32>, stored: u32) -> Result<(), ApiError> {
    match given {
        Some(given) if given != stored => Err(ApiError {
            field: Some("version".to_owned()),
            ..ApiError::new(
                ErrorCode::Conflict,
                format!("somebody changed it meanwhile (version {stored}, you read {given})"),
            )
            .with_hint("read it again and repeat the change")
        }),
        _ => Ok(()),
    }
}

/// A unique field's value that another row has.
pub fn taken(field: &str, what: impl Into<String>) -> ApiError {
    ApiError { field: Some(field.to_owned()), ..ApiError::new(ErrorCode::Conflict, what) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str, headers: &[(&str, &str)]) -> ChannelSource {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        ChannelSource { url: url.to_owned(), headers }
    }

    #[test]
    fn sources_are_stored_in_their_canonical_spelling() {
        let id = "0123456789ABCDEF0123456789abcdef01234567";
        let list = sources(&[source(id, &[]), source(" http://h/x ", &[("User-Agent", "x")])]).unwrap();
        assert_eq!(list[0].url, format!("acestream://{}", id.to_lowercase()));
        assert_eq!(list[1].url, "http://h/x");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let field = |list: &[ChannelSource]| sources(list).unwrap_err().field.unwrap();
        assert_eq!(field(&[]), "sources");
        assert_eq!(field(&[source("http://h/", &[]), source("file:///etc/passwd", &[])]), "sources[1].url");
        assert_eq!(field(&[source("http://h/", &[]), source("http://h/", &[])]), "sources[1].url");
        assert_eq!(field(&[source("http://h/", &[("Host", "x")])]), "sources[0].headers");
        assert_eq!(field(&[source("http://h/", &[("A", "x\r\nB: y")])]), "sources[0].headers");
        assert!(
            location("/var/../etc/passwd").is_err() && location("ftp://h/x").is_err() && location("x.m3u").is_err()
        );
        assert_eq!(location("/srv/list.m3u").unwrap(), "/srv/list.m3u");
        assert!(interval(59).is_err() && interval(0).is_ok());
        assert_eq!(version(Some(1), 2).unwrap_err().code, ErrorCode::Conflict);
        assert!(name("name", " \u{200b}\t").is_err());
    }
}
