//! What a draft or patch may say: the rules that forms share, and those that need a reader of URLs or a stored row.
//!
//! Owns the validation of single fields. Must not enter: the state of other rows (uniqueness is the nouns' business), SQL.
//! Invariant: text that passed is clean and bounded; an error names the field and what was expected.

pub use yagi_api::rules::{
    MAX_HEADERS, MAX_NUMBER, MAX_SOURCES, expires_at, formats, header_fault, interval, max_connections, max_upstreams,
    name, number, password, text,
};
use yagi_api::{ApiError, ChannelSource, ErrorCode, rules};

/// An absolute `http(s)` URL.
pub fn http_url(field: &str, text: &str) -> Result<String, ApiError> {
    let text = rules::http_words(field, text)?;
    let fault = |what: &str| ApiError::invalid(field, format!("{what}; expected http://… or https://…"));
    let url = url::Url::parse(text).map_err(|e| fault(&format!("is not a URL ({e})")))?;
    if url.has_host() { Ok(text.to_owned()) } else { Err(fault("names no host")) }
}

/// Empty or an absolute URL.
pub fn logo(text: &str) -> Result<String, ApiError> {
    if text.trim().is_empty() { Ok(String::new()) } else { http_url("logo", text) }
}

/// Ordered sources in their canonical spelling; at least one, none twice.
pub fn sources(list: &[ChannelSource]) -> Result<Vec<ChannelSource>, ApiError> {
    rules::sources(list, |field, url| http_url(field, url).map(drop))
}

/// Where a playlist or guide is fetched from: an `http(s)` URL, an absolute path on this machine, or a search.
pub fn location(text: &str) -> Result<String, ApiError> {
    let text = rules::place(text)?;
    if text.starts_with('/') || rules::search(text).is_some() { Ok(text.to_owned()) } else { http_url("url", text) }
}

/// Minutes that a guide is late.
pub fn shift(field: &str, minutes: i32) -> Result<i32, ApiError> {
    if minutes.abs() <= 24 * 60 { Ok(minutes) } else { Err(ApiError::invalid(field, "expected -1440 to 1440 minutes")) }
}

/// A zone of the system's database, perhaps with a leading `!`.
pub fn zone(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let name = text.strip_prefix('!').unwrap_or(text);
    if text.is_empty() || jiff::tz::TimeZone::get(name).is_ok() {
        Ok(text.to_owned())
    } else {
        Err(ApiError::invalid("zone", "is no time zone that this machine knows; expected one such as Europe/Rome"))
    }
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
        assert_eq!(field(&[source("http://h/", &[]), source("file:etc/passwd", &[])]), "sources[1].url");
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
