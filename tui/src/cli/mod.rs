//! The command line: one function for each verb, the exit code, nothing else.
//!
//! Must not enter: drawing. Invariants: every verb knows `--json`; errors go to standard error as `error:` with a
//! `hint:`; the exit codes are the documented ones.

pub mod args;
mod channels;
mod live;
pub mod output;
mod settings;
mod sources;
mod users;

pub use channels::{source_word, state_word as channel_word};
pub use live::severity;
pub use settings::plain;
pub use sources::{report, state_word as refresh_word};

use std::io::Read;

use clap::CommandFactory;
use hyper::Method;

use crate::{client::Client, client::Fault};
use args::{Cli, Verb};
use output::Out;

/// Runs one verb and answers the exit code.
pub async fn run(client: &Client, verb: Verb, out: Out) -> u8 {
    match dispatch(client, verb, out).await {
        Ok(()) => 0,
        Err(fault) => {
            output::complain(&fault);
            fault.exit_code()
        }
    }
}

async fn dispatch(client: &Client, verb: Verb, out: Out) -> Result<(), Fault> {
    match verb {
        Verb::Status => live::status(client, out).await,
        Verb::Streams { watch: false } => live::streams(client, out).await,
        Verb::Streams { watch: true } => live::watch(client, out).await,
        Verb::Clients { stream } => live::clients(client, out, stream).await,
        Verb::Kick { who } => live::kick(client, out, &who).await,
        Verb::Stop { which } => live::stop(client, out, &which).await,
        Verb::Channels(verb) => channels::run(client, out, verb).await,
        Verb::Categories(verb) => channels::categories(client, out, verb).await,
        Verb::Users(verb) => users::run(client, out, verb).await,
        Verb::Url(ask) => users::url(client, out, &ask).await,
        Verb::Sources(verb) => sources::run(client, out, verb).await,
        Verb::Guide { channel } => live::guide(client, out, channel.as_deref()).await,
        Verb::Settings(verb) => settings::run(client, out, verb).await,
        Verb::Logs { follow, n, level } => live::logs(client, out, follow, n, level.as_deref()).await,
        Verb::Events => live::events(client).await,
        Verb::Api { method, path, data } => api(client, &method, &path, data).await,
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "yagi", &mut std::io::stdout());
            Ok(())
        }
    }
}

async fn api(client: &Client, method: &str, path: &str, data: Option<String>) -> Result<(), Fault> {
    let method = method
        .to_ascii_uppercase()
        .parse::<Method>()
        .map_err(|_| Fault::own(2, format!("`{method}` is no method: expected GET, POST, PATCH or DELETE")))?;
    if !path.starts_with('/') {
        return Err(Fault::own(2, format!("`{path}` is no path: expected one like /api/status")));
    }
    let data = match data.as_deref() {
        Some("-") => Some(standard_input(16 * 1024 * 1024)?),
        other => other.map(str::to_owned),
    };
    if path.split('?').next() == Some(yagi_api::paths::EVENTS) && method == Method::GET {
        return live::events(client).await;
    }
    match client.call(method, path, data.map(String::into_bytes)).await {
        Ok((_, body)) if body.is_empty() => Ok(()),
        Ok((_, body)) => output::line_out(&output::json_line(String::from_utf8_lossy(&body).trim_end())),
        Err(fault) => Err(fault),
    }
}

/// Standard input as text, bounded.
fn standard_input(max: u64) -> Result<String, Fault> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(max + 1).read_to_string(&mut text);
    read.map_err(|e| Fault::own(1, format!("standard input: {e}")))?;
    if text.len() as u64 > max {
        return Err(Fault::own(2, format!("standard input has more than {max} bytes")));
    }
    Ok(text)
}
