//! Who reads gzip.
//!
//! Must not enter: packing. Invariant: who does not say so does not.

use hyper::header::{self, HeaderMap};

/// Whether the client says that it reads gzip.
pub fn accepts(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|coding| coding.split_once(';').map_or((coding.trim(), ""), |(c, q)| (c.trim(), q.trim())))
        .any(|(coding, q)| coding.eq_ignore_ascii_case("gzip") && !matches!(q, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_sent_only_to_those_that_ask() {
        let asks = |v: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(v));
            accepts(&headers)
        };
        assert!(asks("deflate, gzip, br") && asks("GZIP;q=0.5"));
        assert!(!asks("identity") && !asks("gzip;q=0") && !accepts(&HeaderMap::new()));
    }
}
