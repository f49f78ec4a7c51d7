//! `yagi blocks`: addresses that are refused for a while.
//!
//! Owns their words and table. Must not enter: refusing. Invariant: every block has an end; whoever adds one by hand says for how
//! long, or takes ten minutes.

use clap::Subcommand;
use yagi_api::{Block, BlockDraft, paths};

use super::{output::Out, sources::seconds};
use crate::{
    client::{Client, Fault, encode},
    when,
};

#[derive(Clone, Debug, Default, Subcommand)]
pub enum BlockVerb {
    /// All of them
    #[default]
    #[command(visible_alias = "ls")]
    List,
    /// Cut an address and refuse it for a while
    Add {
        ip: String,
        /// For how long: 90s, 10m, 2h, 7d
        #[arg(long = "for", default_value = "10m", value_name = "TIME")]
        span: String,
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// Let addresses in again
    #[command(visible_alias = "delete")]
    Rm {
        #[arg(required = true)]
        ips: Vec<String>,
    },
}

pub(super) async fn run(client: &Client, out: Out, verb: BlockVerb) -> Result<(), Fault> {
    match verb {
        BlockVerb::List => table(out, &client.all(paths::BLOCKS, "").await?),
        BlockVerb::Add { ip, span, reason } => {
            let block: Block =
                client.post(paths::BLOCKS, &BlockDraft { ip, seconds: Some(seconds(&span)?), reason }).await?;
            if out.is_table() { table(out, &[block]) } else { out.object(&block, Vec::new) }
        }
        BlockVerb::Rm { ips } => {
            for ip in &ips {
                client.delete(&format!("{}/{}", paths::BLOCKS, encode(ip))).await?;
                out.say(format!("{} is let in again", crate::text::printable(ip, 60)))?;
            }
            out.done("unblocked", &ips)
        }
    }
}

fn table(out: Out, rows: &[Block]) -> Result<(), Fault> {
    let columns = [("IP", false), ("LEFT", true), ("REFUSED", true), ("BY", false), ("REASON", false)];
    let now = when::now();
    out.rows(rows, &columns, |b: &Block| {
        let left = when::span((b.until - now).max(0));
        vec![b.ip.clone(), left, b.refused.to_string(), b.actor.clone(), b.reason.clone()]
    })
}
