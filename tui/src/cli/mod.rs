//! The command line: one function for each verb, the exit code, nothing else.
//!
//! Must not enter: drawing. Invariants: every verb knows `--output`; errors go to standard error as `error:` with a
//! `hint:`; the exit codes are the documented ones.

pub mod args;
pub mod blocks;
mod bulk;
mod categories;
mod channels;
mod clipboard;
pub mod complete;
pub mod csv;
pub mod edit;
mod export;
mod guide;
pub mod jobs;
pub mod lineup;
mod live;
mod logs;
mod nouns;
pub mod output;
mod pages;
mod settings;
mod sources;
mod system;
mod url;
mod users;
mod watch;

pub use bulk::noun_word;
pub use channels::{guide_word, source_word, state_word as channel_word};
pub use logs::severity;
pub use settings::plain;
pub use sources::{report, state_word as refresh_word};
pub use system::{client, standard_input};

use crate::client::{Client, Fault};
use args::{Cli, StreamVerb, Verb};
use output::{Format, Out};

impl Cli {
    /// How to print.
    #[must_use]
    pub fn out(&self) -> Out {
        let format = if self.json { Format::Json } else { self.output };
        Out { format, no_headers: self.no_headers, yes: self.yes }
    }
}

/// The row that a word names, as the daemon finds it: `id:7` is an id and nothing else; of other words a name comes before an id.
fn named<'a, R>(rows: &'a [R], word: &str, facts: impl Fn(&R) -> (u64, &str)) -> Option<&'a R> {
    let by_id = |text: &str| {
        let id: u64 = text.parse().ok()?;
        rows.iter().find(|r| facts(r).0 == id)
    };
    match word.strip_prefix("id:").filter(|text| text.parse::<u64>().is_ok()) {
        Some(id) => by_id(id),
        None => rows.iter().find(|r| facts(r).1 == word).or_else(|| by_id(word)),
    }
}

/// Runs one verb and answers the exit code.
pub async fn run(client: &Client, verb: Verb, out: Out, watch: bool) -> u8 {
    let done = if watch { watch::run(client, verb, out).await } else { once(client, verb, out).await };
    match done {
        Ok(()) => 0,
        Err(fault) => {
            output::complain(&fault);
            fault.exit_code()
        }
    }
}

async fn once(client: &Client, verb: Verb, out: Out) -> Result<(), Fault> {
    match verb {
        Verb::Status => live::status(client, out).await,
        Verb::Streams { verb: Some(StreamVerb::Failover { stream, to }), .. } => {
            live::failover(client, out, &stream, to).await
        }
        Verb::Streams { verb: None, pick } => live::streams(client, out, &pick).await,
        Verb::Clients { pick, stream } => live::clients(client, out, &pick, stream).await,
        Verb::Kick { who, filter, block } => live::kick(client, out, &who, filter.as_deref(), block.as_deref()).await,
        Verb::Stop { which, filter } => live::stop(client, out, &which, filter.as_deref()).await,
        Verb::Channels(noun) => channels::run(client, out, noun.verb.unwrap_or_default()).await,
        Verb::Categories(noun) => categories::run(client, out, noun.verb.unwrap_or_default()).await,
        Verb::Users(noun) => users::run(client, out, noun.verb.unwrap_or_default()).await,
        Verb::Blocks(noun) => blocks::run(client, out, noun.verb.unwrap_or_default()).await,
        Verb::Jobs(noun) => jobs::run(client, out, noun.verb.unwrap_or_default()).await,
        Verb::Engines => live::engines(client, out).await,
        Verb::Url(ask) => url::run(client, out, &ask).await,
        Verb::Sources(noun) => sources::run(client, out, noun.verb.unwrap_or_default()).await,
        Verb::Lineup(noun) => lineup::lineup(client, out, noun.verb.unwrap_or_default()).await,
        Verb::Rules(noun) => lineup::rules(client, out, noun.verb.unwrap_or_default()).await,
        Verb::Explain { channel } => lineup::explain(client, out, &channel).await,
        Verb::Check { filter, all, wait, list, cancel } => {
            lineup::check(client, out, lineup::Wanted { filter: &filter, all, wait, list, cancel }).await
        }
        Verb::Epg(noun) => guide::run(client, out, noun.verb.unwrap_or_default()).await,
        Verb::Guide { channel: Some(channel) } => guide::programmes(client, out, &channel).await,
        Verb::Guide { channel: None } => guide::status(client, out).await,
        Verb::Settings(noun) => settings::run(client, out, noun.verb.unwrap_or_default()).await,
        Verb::Logs { follow, n, level, since, filter } => {
            let (level, since, filter) = (level.as_deref(), since.as_deref(), filter.as_deref());
            logs::logs(client, out, logs::Lines { follow, n, level, since, filter }).await
        }
        Verb::Events { topics } => logs::events(client, &topics).await,
        Verb::Changes { filter, n } => bulk::changes(client, out, &filter.join(" "), n).await,
        Verb::Undo { id, dry_run } => bulk::undo(client, out, id, dry_run).await,
        Verb::Redo { id } => bulk::redo(client, out, id).await,
        Verb::Reload => system::reload(client, out).await,
        Verb::Backup { path } => system::backup(client, out, path).await,
        Verb::Api { method, path, data } => system::api(client, &method, &path, data).await,
        // `main` takes it apart: what follows is a command line of its own.
        Verb::Ssh { .. } => Err(Fault::own(2, "ssh within ssh: name the last machine")),
        Verb::ProxyStdio => system::proxy(client).await,
        Verb::Completions { shell, fixed } => pages::completions(shell, fixed),
        Verb::Man { dir } => pages::man(out, &dir),
    }
}
