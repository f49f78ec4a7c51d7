//! `yagi jobs`: refreshes and checks as work that takes time.
//!
//! Owns their words and table. Must not enter: what the work is. Invariant: what is over cannot be cancelled, and says so.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use clap::Subcommand;
use yagi_api::{Job, Page, paths};

use super::{output::Out, sources::report};
use crate::{
    client::{Client, Fault},
    screens::facts::progress,
    text::printable,
    when,
};

/// How often a job that is waited for is looked at.
const BEAT: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, Default, Subcommand)]
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
                let what = match &j.report {
                    Some(r) => report(r),
                    None => work(j, now),
                };
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

/// How far it is and what it found; how it ended is a column of its own.
pub fn work(job: &Job, now: i64) -> String {
    match job.told.as_str() {
        "" => progress(job, now),
        told if job.state.is_over() => format!("{}: {told}, {}", job.name, when::span((job.elapsed_ms / 1000) as i64)),
        told => format!("{}; {told}", progress(job, now)),
    }
}

/// Follows a job to its end; a person sees how far it is.
pub(super) async fn wait(client: &Client, id: u64) -> Result<Job, Fault> {
    loop {
        let job: Job = client.get(&format!("{}/{id}", paths::JOBS)).await?;
        show(Some(&job).filter(|job| !job.state.is_over()));
        if job.state.is_over() {
            return Ok(job);
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// Waits for an answer that comes at the end of a job; a person sees meanwhile how far the job is.
pub(super) async fn beside<T>(client: &Client, is_it: impl Fn(&Job) -> bool, answer: impl Future<Output = T>) -> T {
    tokio::pin!(answer);
    loop {
        tokio::select! {
            done = &mut answer => {
                show(None);
                return done;
            }
            () = tokio::time::sleep(BEAT) => {}
        }
        if io::stderr().is_terminal()
            && let Ok(jobs) = client.get::<Page<Job>>(paths::JOBS).await
        {
            show(jobs.rows.iter().find(|job| !job.state.is_over() && is_it(job)));
        }
    }
}

/// One line that is written over and over; none: it is wiped away.
fn show(job: Option<&Job>) {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        let text = job.map_or_else(String::new, |job| printable(&progress(job, when::now()), 78).into_owned());
        // Where nobody can be told any more, the work goes on.
        let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
    }
}
