//! Who asks: a name for the log and the change events.
//!
//! Owns the gate. Must not enter: rights of single routes (whoever may open the socket may do everything). Invariant: nobody
//! without the kernel's word for who he is gets past, and no web page does.

use hyper::header;
use yagi_api::{ApiError, ErrorCode, text::clean};

use crate::http::{Peer, Request};

/// The accounts of this machine.
const ACCOUNTS: &str = "/etc/passwd";

/// Lets a request in and says whose it is: `name(uid)`.
pub fn admit(request: &Request) -> Result<String, ApiError> {
    let forbidden = |why: &str| Err(ApiError::new(ErrorCode::Forbidden, why));
    if request.headers.contains_key(header::ORIGIN) || request.headers.contains_key(header::REFERER) {
        return forbidden("requests of web pages (Origin, Referer) are refused");
    }
    match request.peer {
        Peer::Unix { uid, .. } => Ok(named(uid, &std::fs::read_to_string(ACCOUNTS).unwrap_or_default())),
        Peer::Tcp(_) => forbidden("the admin API is served on the Unix socket only"),
    }
}

/// Accounts of a directory service are not in the file: the number alone then.
fn named(uid: u32, accounts: &str) -> String {
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    format!("{}({uid})", clean(name.unwrap_or("uid"), 32))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::{HeaderMap, Method, header::HeaderName};

    use super::*;
    use crate::http::{Handover, Params, Presence};

    pub fn request(peer: Peer, headers: &[(HeaderName, &'static str)]) -> Request {
        let headers: HeaderMap =
            headers.iter().map(|(k, v)| (k.clone(), header::HeaderValue::from_static(v))).collect();
        Request {
            method: Method::GET,
            path: "/api/hello".to_owned(),
            query: Params::default(),
            headers,
            body: Bytes::new(),
            peer,
            local: None,
            secure: false,
            handover: Handover::default(),
            presence: Presence::default(),
        }
    }

    const ROOT: Peer = Peer::Unix { uid: 0, gid: 0, pid: 1 };

    #[test]
    fn web_pages_and_tcp_are_kept_out() {
        assert!(admit(&request(ROOT, &[])).unwrap().ends_with("(0)"));
        for header in [header::ORIGIN, header::REFERER] {
            let error = admit(&request(ROOT, &[(header, "http://evil.example")])).unwrap_err();
            assert_eq!(error.code, ErrorCode::Forbidden);
        }
        let tcp = Peer::Tcp(([127, 0, 0, 1], 4711).into());
        assert_eq!(admit(&request(tcp, &[])).unwrap_err().code, ErrorCode::Forbidden);
    }

    #[test]
    fn actors_are_named_by_the_accounts_file() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(named(1000, accounts), "ada(1000)");
        assert_eq!(named(65534, accounts), "uid(65534)");
    }
}
