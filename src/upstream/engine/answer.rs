//! What an engine answers, read with suspicion.
//!
//! Owns the shapes of its JSON and of its URLs. Must not enter: sockets, sessions. Invariants: its complaints are quoted in its
//! own words, cleaned; every URL that it gives is put on the address that we know it by.

use serde_json::Value;
use url::Url;
use yagi_api::text::clean;

use super::super::{UpstreamError, dial};

/// Bytes of an answer.
pub const MAX_JSON: usize = 64 * 1024;

/// `path` below the configured address, which may have a prefix.
pub fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// A URL that the engine gave, on the address that we know it by.
pub fn on_engine(base: &Url, given: &str) -> Option<Url> {
    let mut url = base.join(given).ok().filter(|u| matches!(u.scheme(), "http" | "https"))?;
    dial::move_to(&mut url, base);
    Some(url)
}

/// What the engine answered, or its complaint in its own words.
pub fn response_of(status: u16, body: &[u8]) -> Result<Value, UpstreamError> {
    let said = |text: &str| UpstreamError::Engine(clean(text, 200).into_owned());
    if body.len() > MAX_JSON {
        return Err(said("an answer longer than 64 KiB"));
    }
    let Ok(mut answer) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body);
        return Err(said(&format!("status {status}, {}", text.trim())));
    };
    match answer.get("error") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => return Err(said(text)),
        Some(other) => {
            let text = other.get("message").and_then(Value::as_str);
            return Err(said(&text.map_or_else(|| other.to_string(), str::to_owned)));
        }
    }
    match answer.get_mut("response").map(Value::take) {
        Some(response) if !response.is_null() && (200..300).contains(&status) => Ok(response),
        _ => Err(said(&format!("status {status} without a response"))),
    }
}

/// The figures come as numbers from some engines and as texts from others.
pub fn in_words(stat: &Value) -> String {
    let mut words = Vec::new();
    for (key, unit) in [("status", ""), ("peers", " peers"), ("speed_down", " KB/s")] {
        match stat.get(key) {
            Some(Value::String(text)) => words.push(format!("{}{unit}", clean(text, 40))),
            Some(Value::Number(n)) => words.push(format!("{n}{unit}")),
            _ => {}
        }
    }
    words.join(", ")
}

/// The version in an answer to `get_version`.
pub fn version_of(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body.get(..MAX_JSON.min(body.len()))?).ok()?;
    let version = answer.pointer("/result/version").or_else(|| answer.pointer("/response/version"))?;
    Some(clean(version.as_str()?, 40).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_quoted() {
        let said = |status, body: &str| match response_of(status, body.as_bytes()) {
            Err(UpstreamError::Engine(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(200, r#"{"response":null,"error":"no\u001b such id"}"#), "no such id");
        assert_eq!(said(200, r#"{"error":{"message":"gone","code":3}}"#), "gone");
        assert!(said(500, "Internal Server Error, couldn't find resource").contains("couldn't find resource"));
        assert!(said(200, "{}").contains("without a response"));
        assert!(said(200, "").contains("status 200"));
        assert!(said(200, &" ".repeat(MAX_JSON + 1)).contains("64 KiB"));
        assert_eq!(response_of(200, br#"{"response":"ok","error":null}"#), Ok(Value::from("ok")));
    }

    #[test]
    fn its_urls_are_moved_to_where_we_reach_it() {
        let base = Url::parse("http://u:p@box:9000/").unwrap();
        let moved = |given| on_engine(&base, given).map(String::from);
        assert_eq!(moved("http://127.0.0.1:6878/ace/r/x?y=1").unwrap(), "http://u:p@box:9000/ace/r/x?y=1");
        assert_eq!(moved("https://169.254.169.254/latest").unwrap(), "http://u:p@box:9000/latest");
        assert_eq!(moved("/ace/cmd/1").unwrap(), "http://u:p@box:9000/ace/cmd/1");
        assert_eq!(moved("file:///etc/passwd"), None);
        assert_eq!(below(&Url::parse("http://h/x/").unwrap(), "ace/y").as_str(), "http://h/x/ace/y");
    }

    #[test]
    fn the_version_is_found() {
        let real = br#"{"result":{"code":3020300,"platform":"linux","version":"3.2.3"},"error":null}"#;
        assert_eq!(version_of(real).as_deref(), Some("3.2.3"));
        for other in [&b"{}"[..], b"", b"<html>", b"{\"result\":{\"version\":3}}"] {
            assert_eq!(version_of(other), None);
        }
    }

    #[test]
    fn the_status_is_put_in_words() {
        let stat = serde_json::json!({"status": "prebuf", "peers": 12, "speed_down": "300"});
        assert_eq!(in_words(&stat), "prebuf, 12 peers, 300 KB/s");
        assert_eq!(in_words(&serde_json::json!({})), "");
    }
}
