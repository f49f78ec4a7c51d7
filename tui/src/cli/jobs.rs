//! `yagi jobs`: refreshes as work that takes time.
//!
//! Owns their words and table. Must not enter: what a refresh does. Invariant: what is over cannot be cancelled, and says so.

use clap::Subcommand;
use yagi_api::{Job, paths};

use super::{output::Out, sources::report};
use crate::{
    client::{Client, Fault},
    screens::facts::progress,
    when,
};

#[derive(Debug, Default, Subcommand)]
pub enum JobVerb {
    /// All of them, the newest first
    #[default]
    #[command(visible_alias = "ls")]
    List,
    /// Stop jobs; what they had not applied yet is dropped
    Cancel {
        #[arg(required = true)]
        ids: Vec<u64>,
    },
}

pub(super) async fn run(client: &Client, out: Out, verb: JobVerb) -> Result<(), Fault> {
    match verb {
        JobVerb::List => {
            let rows: Vec<Job> = client.all(paths::JOBS, "").await?;
            let columns = [("ID", true), ("SOURCE", false), ("STATE", false), ("BY", false), ("WHAT", false)];
            let now = when::now();
            out.rows(&rows, &columns, |j: &Job| {
                let what = j.report.as_ref().map_or_else(|| progress(j, now), report);
                vec![j.id.to_string(), j.name.clone(), j.state.word().into(), j.actor.clone(), what]
            })
        }
        JobVerb::Cancel { ids } => {
            for id in &ids {
                client.delete(&format!("{}/{id}", paths::JOBS)).await?;
                out.say(format!("job {id} is cancelled"))?;
            }
            out.done("cancelled", &ids)
        }
    }
}
