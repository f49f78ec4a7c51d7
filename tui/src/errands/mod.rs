//! What `update` asked for, carried out: reads, writes, the clipboard, files, the editor.
//!
//! Must not enter: decisions. Invariant: an errand answers with a message, whatever happens.

pub mod clipboard;
mod export;
mod reads;

use std::{io::Write as _, path::PathBuf};

use hyper::Method;
use tokio::sync::mpsc::Sender;

use crate::{
    cli::edit,
    client::Client,
    msg::{Ask, Change, Export, Msg, Verb},
};

/// Without look-alikes, as the daemon makes them.
const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
const PASSWORD: usize = 12;

pub fn fetch(client: Client, ask: Ask, tell: Sender<Msg>) {
    tokio::spawn(async move {
        let msg = match reads::read(&client, &ask).await {
            Ok(answer) => Msg::Answer(Box::new(answer)),
            Err(fault) => Msg::Failed(ask, fault),
        };
        // The loop may have ended.
        let _ = tell.send(msg).await;
    });
}

pub fn send(client: Client, change: Change, tell: Sender<Msg>) {
    tokio::spawn(async move {
        let method = match change.verb {
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        };
        let body = change.body.as_ref().map(|b| b.to_string().into_bytes());
        let result = client.call(method, &change.path, body).await;
        let result = result.map(|(_, body)| serde_json::from_slice(&body).unwrap_or_default());
        let _ = tell.send(Msg::Changed(Box::new(change), result)).await;
    });
}

pub fn save(client: Client, path: PathBuf, export: Export, tell: Sender<Msg>) {
    tokio::spawn(async move {
        let msg = match export::save(&client, &path, export).await {
            Ok(count) => Msg::Said(format!("{count} rows saved as {}", path.display())),
            Err(why) => Msg::Complained(format!("{}: {why}", path.display())),
        };
        let _ = tell.send(msg).await;
    });
}

/// A password that nobody can guess.
pub fn password() -> Result<String, String> {
    let mut out = String::with_capacity(PASSWORD);
    while out.len() < PASSWORD {
        let mut byte = [0u8; 1];
        getrandom::fill(&mut byte).map_err(|e| format!("the system gives no random numbers: {e}"))?;
        // The last partial round of the alphabet would favour its first letters.
        let whole = 256 - 256 % ALPHABET.len();
        if usize::from(byte[0]) < whole {
            out.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
        }
    }
    Ok(out)
}

/// Runs the user's editor on a text. The terminal is given away and taken again by the caller.
pub fn edit_text(text: &str) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("the temporary file: {e}");
    // Readable by its owner alone: addresses hold credentials.
    let mut file = tempfile::Builder::new().prefix("yagi-").suffix(".tsv").tempfile().map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(failed)?;
    edit::open(file.path()).map_err(|fault| fault.to_string())?;
    // By its path: editors replace the file.
    std::fs::read_to_string(file.path()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_pass_the_daemons_rule_and_differ() {
        let (a, b) = (password().unwrap(), password().unwrap());
        assert!(yagi_api::rules::password(&a).is_ok());
        assert_eq!(a.len(), PASSWORD);
        assert_ne!(a, b);
    }
}
