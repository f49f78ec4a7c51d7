//! Verbs about the daemon itself, any request of its API, and where it is.
//!
//! Owns the reading of `--host` and its token. Must not enter: rows. Invariant: a token is never an argument.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use hyper::Method;
use yagi_api::{Backup, BackupRequest, Reload, paths};

use super::{args::Cli, output, output::Out};
use crate::{
    client::{Client, Fault, Target},
    far,
    socket::Surroundings,
    text::printable,
};

/// The daemon that the flags name.
///
/// # Errors
/// When `--host` or its token cannot be read.
pub fn client(args: &Cli) -> Result<Client, Fault> {
    let Some(host) = args.host.as_ref().filter(|h| !h.is_empty()) else {
        return Ok(Client::new(Surroundings::of_process(args.socket.clone()).find()));
    };
    let Some(rest) = host.strip_prefix("http://") else {
        return Err(Fault::Own {
            exit: 2,
            message: format!("`{host}` is no address: expected http://HOST:PORT"),
            hint: Some("for an encrypted way to another machine: yagi ssh HOST".into()),
        });
    };
    let address = rest.trim_end_matches('/');
    if address.contains('/') || address.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
        return Err(Fault::own(2, format!("`{host}` is no address: expected http://HOST:PORT")));
    }
    Ok(Client::at(Target::Tcp { address: address.to_owned(), token: token(args.token_file.as_deref())? }))
}

fn token(file: Option<&Path>) -> Result<Option<String>, Fault> {
    let text = match file {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            Some(text.map_err(|e| Fault::own(2, format!("the token file {}: {e}", file.display())))?)
        }
        None => std::env::var("YAGI_TOKEN").ok(),
    };
    let token = text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    match token {
        Some(t) if !t.bytes().all(|b| b.is_ascii_graphic()) => {
            Err(Fault::own(2, "the token holds characters that no token has"))
        }
        token => Ok(token),
    }
}

pub(super) async fn reload(client: &Client, out: Out) -> Result<(), Fault> {
    let done: Reload = client.post(paths::RELOAD, &serde_json::json!({})).await?;
    if !out.is_table() {
        return out.object(&done, Vec::new);
    }
    match &done.file {
        Some(file) => out.say(format!("read {}", printable(file, 200)))?,
        None => out.say("there is no configuration file")?,
    }
    for key in &done.changed {
        let (before, after) = (super::plain(&key.before), super::plain(&key.after));
        let note = if key.applied { "" } else { "  (takes effect at the next start)" };
        out.say(format!("{} {} → {}{note}", key.key, printable(&before, 80), printable(&after, 80)))?;
    }
    if done.changed.is_empty() { out.say("nothing changed") } else { Ok(()) }
}

pub(super) async fn backup(client: &Client, out: Out, path: Option<PathBuf>) -> Result<(), Fault> {
    let path = path.map(|p| super::sources::location(&p.to_string_lossy())).transpose()?;
    let done: Backup = client.post(paths::BACKUP, &BackupRequest { path }).await?;
    out.object(&done, || {
        vec![
            ("path", done.path.clone()),
            ("size", crate::when::bytes(done.bytes)),
            ("took", format!("{} ms", done.millis)),
            ("note", "keep secret.key of the state directory with it: it opens the passwords".to_owned()),
        ]
    })
}

/// The far end of `yagi ssh`.
pub(super) async fn proxy(client: &Client) -> Result<(), Fault> {
    match client.socket() {
        Some(socket) => far::proxy(socket).await,
        None => Err(Fault::own(2, "proxy-stdio speaks for a socket of this machine")),
    }
}

pub(super) async fn api(client: &Client, method: &str, path: &str, data: Option<String>) -> Result<(), Fault> {
    let method = method
        .to_ascii_uppercase()
        .parse::<Method>()
        .map_err(|_| Fault::own(2, format!("`{method}` is no method: expected GET, POST, PUT, PATCH or DELETE")))?;
    if !path.starts_with('/') {
        return Err(Fault::own(2, format!("`{path}` is no path: expected one like /api/status")));
    }
    let data = match data.as_deref() {
        Some("-") => Some(standard_input(16 * 1024 * 1024)?),
        other => other.map(str::to_owned),
    };
    if path.split('?').next() == Some(paths::EVENTS) && method == Method::GET {
        return super::logs::events(client, &[]).await;
    }
    match client.call(method, path, data.map(String::into_bytes)).await {
        Ok((_, body)) if body.is_empty() => Ok(()),
        Ok((_, body)) => output::line_out(&output::json_line(String::from_utf8_lossy(&body).trim_end())),
        Err(fault) => Err(fault),
    }
}

/// Standard input as text, bounded.
///
/// # Errors
/// When it is no text, or longer.
pub fn standard_input(max: u64) -> Result<String, Fault> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(max + 1).read_to_string(&mut text);
    read.map_err(|e| Fault::own(1, format!("standard input: {e}")))?;
    if text.len() as u64 > max {
        return Err(Fault::own(2, format!("standard input has more than {max} bytes")));
    }
    Ok(text)
}
