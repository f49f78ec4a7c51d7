//! What a request says: JSON bodies, parameters, ids in paths.
//!
//! Owns the reading of drafts and patches and the words of their errors. Must not enter: what the fields mean (the library's
//! rules do that). Invariant: unknown fields and parameters are refused, an error names the field, and nothing foreign reaches a
//! message uncleaned.

use serde::de::DeserializeOwned;
use yagi_api::{ApiError, ErrorCode, text::clean};

use crate::http::{Params, Request};

/// The body as a draft, a patch or a map.
pub fn body<T: DeserializeOwned>(request: &Request) -> Result<T, ApiError> {
    read(&request.body)
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let bad = |what: String| ApiError::new(ErrorCode::BadRequest, what).with_hint("send one JSON object as the body");
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        None => return Err(bad("the body is empty".to_owned())),
        Some(b'{') => {}
        // A list would be taken for a struct's fields in order.
        Some(_) => return Err(bad("the body is not a JSON object".to_owned())),
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        fault(&path, e.inner())
    })?;
    json.end().map_err(|e| fault("", &e))?;
    Ok(value)
}

/// serde's error as one that names the field.
fn fault(path: &str, error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    let words = text.split(" at line ").next().unwrap_or_default();
    let words = clean(words, 300).into_owned();
    if !error.is_data() {
        let place = format!("line {}, column {}", error.line(), error.column());
        return ApiError::new(ErrorCode::BadRequest, format!("the body is not JSON: {words} ({place})"));
    }
    let quoted = words.split('`').nth(1).unwrap_or_default();
    let parent = path.trim_matches('.');
    let within = |name: &str| match parent {
        "" => name.to_owned(),
        _ if parent == name || parent.ends_with(&format!(".{name}")) => parent.to_owned(),
        _ => format!("{parent}.{name}"),
    };
    if let Some(rest) = words.strip_prefix("unknown field `") {
        let known = rest.split_once("expected ").map_or("", |(_, known)| known);
        let known = known.trim_start_matches("one of ").replace('`', "");
        let error = ApiError::invalid(&clean(&within(quoted), 128), "there is no such field");
        return if known.is_empty() { error } else { error.with_hint(format!("fields are: {known}")) };
    }
    if words.starts_with("missing field `") {
        return ApiError::invalid(&within(quoted), "is missing");
    }
    if words.starts_with("duplicate field `") {
        return ApiError::invalid(&within(quoted), "is given twice");
    }
    if parent.is_empty() {
        return ApiError::new(ErrorCode::Invalid, words);
    }
    ApiError::invalid(&clean(parent, 128), words)
}

/// Refuses parameters that the route does not know: a misspelt one would be ignored without a word.
pub fn only(params: &Params, known: &[&str]) -> Result<(), ApiError> {
    match params.iter().find(|(key, _)| !known.contains(key)) {
        None => Ok(()),
        Some((key, _)) => {
            let error = ApiError::invalid(&clean(key, 64), "there is no such parameter");
            Err(if known.is_empty() {
                error.with_hint("this path takes no parameters")
            } else {
                error.with_hint(format!("parameters are: {}", known.join(", ")))
            })
        }
    }
}

/// A whole number in a parameter; absent or empty is none.
pub fn number<N: std::str::FromStr>(params: &Params, key: &str, expected: &str) -> Result<Option<N>, ApiError> {
    match params.get(key) {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| ApiError::invalid(key, format!("expected {expected}"))),
    }
}

/// A switch in a parameter: `true`, `1`, `yes` or nothing behind the name; off when absent.
pub fn flag(params: &Params, key: &str) -> Result<bool, ApiError> {
    match params.get(key) {
        None | Some("false" | "0" | "no") => Ok(false),
        Some("" | "true" | "1" | "yes") => Ok(true),
        Some(_) => Err(ApiError::invalid(key, "expected true or false")),
    }
}

/// An id from a path, as `7` or `id:7`; text that is none names no row.
pub fn id<I: std::str::FromStr>(noun: &str, text: &str) -> Result<I, ApiError> {
    text.strip_prefix("id:").unwrap_or(text).parse().map_err(|_| missing(noun, text))
}

/// The row that a path names: `id:7` is an id and nothing else; of other texts a name that is exactly so comes before an id,
/// for names may be numbers.
pub fn row<I: std::str::FromStr, R>(
    noun: &str,
    text: &str,
    by_id: impl Fn(I) -> Option<R>,
    by_name: impl FnOnce(&str) -> Option<R>,
) -> Result<R, ApiError> {
    let id = |text: &str| text.parse().ok();
    let found = match text.strip_prefix("id:").and_then(id) {
        Some(only) => by_id(only),
        None => by_name(text).or_else(|| id(text).and_then(by_id)),
    };
    found.ok_or_else(|| missing(noun, text))
}

/// 404 for what a path names.
pub fn missing(noun: &str, text: &str) -> ApiError {
    ApiError::not_found(noun, clean(text, 64))
}

#[cfg(test)]
mod tests {
    use yagi_api::{ChannelDraft, ChannelPatch, SettingsPatch, UserDraft, UserPatch};

    use super::*;

    fn refused<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> (ErrorCode, String, String) {
        let e = read::<T>(text.as_bytes()).unwrap_err();
        (e.code, e.field.unwrap_or_default(), e.message)
    }

    #[test]
    fn errors_name_the_field() {
        let (code, field, _) = refused::<UserDraft>(r#"{"name":"a","max_conections":2}"#);
        assert_eq!((code, field.as_str()), (ErrorCode::Invalid, "max_conections"));
        let (_, field, message) = refused::<UserDraft>(r#"{"name":"a","max_connections":"two"}"#);
        assert_eq!(field, "max_connections");
        assert!(message.contains("u32") && !message.contains("line"), "{message}");
        assert_eq!(refused::<UserDraft>("{}").1, "name");
        assert_eq!(refused::<UserDraft>(r#"{"name":"a","name":"b"}"#).1, "name");
        let (_, field, _) = refused::<ChannelDraft>(r#"{"name":"a","sources":[{"url":"x"},{"uri":"y"}]}"#);
        assert_eq!(field, "sources[1].uri");
        let (_, field, _) = refused::<ChannelPatch>(r#"{"sources":[{"headers":[]}]}"#);
        assert_eq!(field, "sources[0].url");
    }

    #[test]
    fn what_is_not_a_json_object_is_a_bad_request() {
        for text in ["", "  ", "[]", "null", "\"x\"", "{", "{\"name\":}", "{} {}", "{\"name\":\"\u{0}\"}", "\u{feff}{}"]
        {
            assert_eq!(refused::<UserPatch>(text).0, ErrorCode::BadRequest, "{text:?}");
        }
        assert_eq!(read::<UserPatch>(b"{\"name\":\"\xff\"}").unwrap_err().code, ErrorCode::BadRequest);
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(refused::<SettingsPatch>(&deep).0, ErrorCode::BadRequest);
    }

    #[test]
    fn null_and_absent_differ_in_patches() {
        assert_eq!(read::<UserPatch>(b"{}").unwrap().expires_at, None);
        assert_eq!(read::<UserPatch>(br#"{"expires_at":null}"#).unwrap().expires_at, Some(None));
    }

    #[test]
    fn messages_carry_nothing_that_can_forge_a_line() {
        let (_, field, message) = refused::<UserDraft>("{\"na\\u001b[2Jme\\n\":1}");
        assert!(!field.chars().chain(message.chars()).any(char::is_control), "{field:?} {message:?}");
    }

    #[test]
    fn a_name_comes_before_an_id_that_looks_like_it() {
        let rows = [(1, "alice"), (2, "bob"), (3, "2"), (4, "id:x")];
        let find = |text: &str| {
            let row = row("user", text, |id: u32| rows.iter().find(|r| r.0 == id), |n| rows.iter().find(|r| r.1 == n));
            row.ok().map(|r| r.0)
        };
        let asked = ["2", "id:2", "1", "bob", "id:x", "id:9", "9"].map(find);
        assert_eq!(asked, [Some(3), Some(2), Some(1), Some(2), Some(4), None, None]);
        assert_eq!((id::<u32>("channel", "id:7"), id::<u32>("channel", "7")), (Ok(7), Ok(7)));
    }

    #[test]
    fn parameters_are_read_strictly() {
        let params = Params::parse("wait&n=5&level=");
        assert!(flag(&params, "wait").unwrap() && !flag(&params, "other").unwrap());
        assert_eq!(number::<u32>(&params, "n", "a number").unwrap(), Some(5));
        assert_eq!(number::<u32>(&params, "level", "a number").unwrap(), None);
        assert!(only(&params, &["wait", "n", "level"]).is_ok());
        assert_eq!(only(&params, &["wait", "n"]).unwrap_err().field.as_deref(), Some("level"));
        assert!(flag(&Params::parse("wait=maybe"), "wait").is_err());
        assert_eq!(number::<u32>(&Params::parse("n=-1"), "n", "a number").unwrap_err().field.as_deref(), Some("n"));
    }
}
