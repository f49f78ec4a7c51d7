//! Who asks: a name for the log and the change events, and a role.
//!
//! Owns the gate. Must not enter: rights of single routes (`roles`). Invariant: nobody
//! without the kernel's word for who he is gets past, and no web page does.

use std::{io::Read as _, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::Context as _;
use hyper::header;
use yagi_api::{ApiError, ErrorCode, Role, text::clean};

use super::roles::{Account, Roles};
use crate::{
    config,
    http::{Peer, Request},
    secret::Secret,
};

/// The accounts of this machine.
const ACCOUNTS: &str = "/etc/passwd";

/// Groups of this machine.
const GROUPS: &str = "/etc/group";

/// Lets a request in, and says whose it is (`name(uid)`) and what he may do.
pub fn admit(request: &Request, roles: &Roles, token: Option<&Secret>) -> Result<(String, Role), ApiError> {
    let forbidden = |why: &str| ApiError::new(ErrorCode::Forbidden, why);
    if request.headers.contains_key(header::ORIGIN) || request.headers.contains_key(header::REFERER) {
        return Err(forbidden("requests of web pages (Origin, Referer) are refused"));
    }
    match request.peer {
        Peer::Unix { uid, gid, .. } => {
            let read = |path| std::fs::read_to_string(path).unwrap_or_default();
            let name = account(uid, &read(ACCOUNTS)).unwrap_or_default();
            let actor = format!("{}({uid})", if name.is_empty() { "uid" } else { name.as_str() });
            let own = rustix::process::geteuid().as_raw();
            let role = roles.of(&Account { uid, gid, name }, own, || read(GROUPS));
            let role = role.ok_or_else(|| {
                forbidden("this account is in none of the lists of [admin]")
                    .with_hint("ask an administrator of this machine")
            })?;
            Ok((actor, role))
        }
        Peer::Tcp(from) => {
            let sent = request.header(header::AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer "));
            let right = token.zip(sent).is_some_and(|(token, sent)| token.matches(sent.trim()));
            if !right {
                tracing::warn!(ip = %from.ip(), "the admin API was asked without its token");
                return Err(forbidden("expected the header Authorization: Bearer TOKEN"));
            }
            Ok((format!("token({})", from.ip()), Role::Admin))
        }
    }
}

/// The token that callers over TCP must know, from its file.
///
/// # Errors
/// When the file cannot be read, others can read it, or what is in it can be guessed; says what to do.
pub fn token(config: &config::Admin) -> anyhow::Result<Option<Secret>> {
    if config.listen.is_empty() {
        return Ok(None);
    }
    if config.token_file.is_empty() {
        anyhow::bail!(
            "admin.listen wants a token: make one with  (umask 077; openssl rand -hex 24 > FILE)  and name FILE here"
        );
    }
    let path = Path::new(&config.token_file);
    let file = std::fs::File::open(path).with_context(|| format!("{}", path.display()))?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.mode() & 0o077 != 0 {
        anyhow::bail!("{} can be read by others; mend it with: chmod 600 {}", path.display(), path.display());
    }
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).with_context(|| format!("{}", path.display()))?;
    let text = text.trim();
    if text.len() < 20 || text.contains(char::is_whitespace) {
        anyhow::bail!("{} holds no token: expected 20 characters or more without blanks", path.display());
    }
    Ok(Some(Secret::new(text)))
}

/// Accounts of a directory service are not in the file: the number alone then.
fn account(uid: u32, accounts: &str) -> Option<String> {
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })?;
    Some(clean(name, 32).into_owned())
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
            slashes: 2,
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
        let admit = |request: &Request| super::admit(request, &Roles::default(), None);
        assert!(admit(&request(ROOT, &[])).unwrap().0.ends_with("(0)"));
        for header in [header::ORIGIN, header::REFERER] {
            let error = admit(&request(ROOT, &[(header, "http://evil.example")])).unwrap_err();
            assert_eq!(error.code, ErrorCode::Forbidden);
        }
        let tcp = Peer::Tcp(([127, 0, 0, 1], 4711).into());
        assert_eq!(admit(&request(tcp, &[])).unwrap_err().code, ErrorCode::Forbidden);
        let token = Secret::new("0123456789abcdefghij");
        let with =
            |sent| super::admit(&request(tcp, &[(header::AUTHORIZATION, sent)]), &Roles::default(), Some(&token));
        assert_eq!(with("Bearer 0123456789abcdefghij").unwrap(), ("token(127.0.0.1)".to_owned(), Role::Admin));
        for wrong in ["Bearer 0123456789abcdefghi", "0123456789abcdefghij", "Basic 0123456789abcdefghij", "Bearer "] {
            assert_eq!(with(wrong).unwrap_err().code, ErrorCode::Forbidden, "{wrong}");
        }
    }

    #[test]
    fn a_token_that_others_can_read_or_guess_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let config = |path: &Path| config::Admin {
            listen: "127.0.0.1:0".to_owned(),
            token_file: path.display().to_string(),
            ..config::Admin::default()
        };
        assert!(token(&config(&path)).is_err());
        let put = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            token(&config(&path)).map(|t| t.unwrap().expose().to_owned()).map_err(|e| e.to_string())
        };
        assert_eq!(put("0123456789abcdefghij\n", 0o600).as_deref(), Ok("0123456789abcdefghij"));
        assert!(put("0123456789abcdefghij", 0o640).unwrap_err().contains("chmod 600"));
        assert!(put("short", 0o600).unwrap_err().contains("20 characters"));
        assert!(token(&config::Admin::default()).unwrap().is_none());
    }

    #[test]
    fn actors_are_named_by_the_accounts_file() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(account(1000, accounts).as_deref(), Some("ada"));
        assert_eq!(account(65534, accounts), None);
    }
}
