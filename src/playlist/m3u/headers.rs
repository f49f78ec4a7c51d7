//! Request headers as playlists write them.
//!
//! Owns `#EXTVLCOPT`, `#KODIPROP`, `#EXTHTTP` and `url|Name=value&…`. Must not enter: which headers may be sent (that is
//! `library::rules`). Invariant: at most `MAX_HEADERS` an entry, each once, none that could break a request.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::library::rules::{MAX_HEADERS, header_fault};

pub type Headers = Vec<(String, String)>;

/// Sets a header; the last word wins. Unusable ones are dropped: the stream may play without.
pub fn set(headers: &mut Headers, name: &str, value: &str) {
    let (name, value) = (name.trim(), value.trim());
    let name = match name.to_ascii_lowercase().as_str() {
        "user-agent" | "http-user-agent" => "User-Agent",
        "referer" | "referrer" | "http-referrer" | "http-referer" => "Referer",
        "http-origin" | "origin" => "Origin",
        "http-cookie" | "cookie" => "Cookie",
        _ => name,
    };
    if value.is_empty() || header_fault(name, value).is_some() {
        return;
    }
    match headers.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)) {
        Some(at) => value.clone_into(&mut headers[at].1),
        None if headers.len() < MAX_HEADERS => headers.push((name.to_owned(), value.to_owned())),
        None => {}
    }
}

/// `Name=value&Name=value`, percent-encoded.
pub fn pairs(headers: &mut Headers, text: &str) {
    for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
        set(headers, &decoded(name), &decoded(value));
    }
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// A directive's line; false if it is none of these.
pub fn directive(headers: &mut Headers, line: &str) -> bool {
    let Some((word, rest)) = line.split_once(':') else { return false };
    match word.to_ascii_uppercase().as_str() {
        "#EXTVLCOPT" => {
            if let Some((name, value)) = rest.split_once('=')
                && name.trim().len() > 5
                && name.trim().get(..5).is_some_and(|p| p.eq_ignore_ascii_case("http-"))
                && matches!(
                    &name.trim().to_ascii_lowercase()[5..],
                    "user-agent" | "referrer" | "referer" | "origin" | "cookie"
                )
            {
                set(headers, name, value.trim().trim_matches('"'));
            }
        }
        "#KODIPROP" => {
            if let Some((name, value)) = rest.split_once('=') {
                match name.trim() {
                    "inputstream.adaptive.stream_headers" | "inputstream.adaptive.common_headers" => {
                        pairs(headers, value)
                    }
                    "http-user-agent" | "http-referrer" => set(headers, name, value),
                    _ => {}
                }
            }
        }
        "#EXTHTTP" => {
            if let Ok(map) = serde_json::from_str::<std::collections::BTreeMap<String, String>>(rest.trim()) {
                for (name, value) in map {
                    set(headers, &name, &value);
                }
            }
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> String {
        let mut headers = Headers::new();
        for line in lines {
            directive(&mut headers, line);
        }
        headers.iter().map(|(k, v)| format!("{k}: {v};")).collect()
    }

    #[test]
    fn directives_become_headers() {
        assert_eq!(read(&["#EXTVLCOPT:http-user-agent=A/1 (x; y=z)"]), "User-Agent: A/1 (x; y=z);");
        assert_eq!(read(&["#extvlcopt: HTTP-Referrer = http://r/ "]), "Referer: http://r/;");
        assert_eq!(read(&["#EXTVLCOPT:network-caching=1000", "#EXTVLCOPT:http-reconnect=true"]), "");
        assert_eq!(
            read(&["#KODIPROP:inputstream.adaptive.stream_headers=User-Agent=a%20b&X-Y=1"]),
            "User-Agent: a b;X-Y: 1;"
        );
        assert_eq!(read(&[r#"#EXTHTTP:{"cookie":"a=b","Host":"evil"}"#, "#EXTHTTP:[broken"]), "Cookie: a=b;");
        assert_eq!(read(&["#EXTVLCOPT:http-user-agent=a", "#EXTVLCOPT:http-user-agent=b"]), "User-Agent: b;");
    }

    #[test]
    fn what_would_break_a_request_is_dropped() {
        let mut headers = Headers::new();
        pairs(&mut headers, "User-Agent=a%0d%0aX:1&Host=h&Content-Length=1&Good=1&=x&Bad Name=1");
        assert_eq!(headers, [("Good".to_owned(), "1".to_owned())]);
    }
}
