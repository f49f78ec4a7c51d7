//! The table of long work: what waits and runs, and what ended a short while ago.
//!
//! Owns numbers, times and ends of jobs, and the events that tell of them. Must not enter: what a job does. Invariant: at most
//! [`KEPT`] jobs that are over are kept; a job is told of when it begins, ends, and at most four times a second between.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use yagi_api::{Event, Job, JobState, RefreshReport, SourceId};

use crate::{clock::epoch_now, events::Events, progress::Progress};

const KEPT: usize = 50;
/// How often a running job is told of.
pub const BEAT: Duration = Duration::from_millis(250);

/// The table; cheap to clone.
#[derive(Clone)]
pub struct Jobs(Arc<Shared>);

struct Shared {
    next: AtomicU64,
    table: Mutex<BTreeMap<u64, Entry>>,
    events: Events,
}

struct Entry {
    job: Job,
    progress: Progress,
    began: Instant,
    /// Who asked it to stop.
    stopped_by: Option<String>,
}

impl Entry {
    fn row(&self) -> Job {
        let mut job = self.job.clone();
        if job.state == JobState::Running {
            let (stage, done) = self.progress.now();
            (job.step, job.unit) = (stage.step.to_owned(), stage.unit.to_owned());
            (job.total, job.done) = (stage.total, done);
        }
        if !job.state.is_over() {
            job.elapsed_ms = millis(self.began);
        }
        job
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Jobs {
    pub fn new(events: Events) -> Self {
        Self(Arc::new(Shared { next: AtomicU64::new(1), table: Mutex::default(), events }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new refresh that waits.
    pub fn add(&self, source: SourceId, name: &str, actor: &str, progress: Progress) -> u64 {
        let id = self.insert(&mut self.lock(), Some(source), name, actor, progress);
        self.tell(id);
        id
    }

    fn insert(
        &self,
        table: &mut BTreeMap<u64, Entry>,
        source: Option<SourceId>,
        name: &str,
        actor: &str,
        progress: Progress,
    ) -> u64 {
        let id = self.0.next.fetch_add(1, Relaxed);
        let job = Job {
            id,
            name: name.to_owned(),
            source,
            state: JobState::Queued,
            step: "waiting".to_owned(),
            done: 0,
            total: None,
            unit: String::new(),
            started_at: epoch_now(),
            elapsed_ms: 0,
            actor: actor.to_owned(),
            report: None,
            told: String::new(),
        };
        let entry = Entry { job, progress, began: Instant::now(), stopped_by: None };
        table.insert(id, entry);
        let over: Vec<u64> = table.iter().filter(|(_, e)| e.job.state.is_over()).map(|(id, _)| *id).collect();
        for old in over.iter().take(over.len().saturating_sub(KEPT)) {
            table.remove(old);
        }
        id
    }

    /// Gives more work to the job of that name that runs, else to a new one.
    pub fn gather(
        &self,
        name: &str,
        actor: &str,
        step: &'static str,
        unit: &'static str,
        more: u64,
    ) -> (u64, Progress) {
        let mut table = self.lock();
        // Who asked it to stop did not mean what comes now.
        let goes_on = |e: &&Entry| e.job.name == name && e.job.state == JobState::Running && e.stopped_by.is_none();
        let running = table.values().find(goes_on).map(|e| (e.job.id, e.progress.clone()));
        let (id, progress) = running.unwrap_or_else(|| {
            let progress = Progress::default();
            progress.step(step, unit, Some(0));
            let id = self.insert(&mut table, None, name, actor, progress.clone());
            if let Some(entry) = table.get_mut(&id) {
                entry.job.state = JobState::Running;
            }
            (id, progress)
        });
        progress.grow(more, 0);
        drop(table);
        self.tell(id);
        (id, progress)
    }

    /// Part of such a job was done or dropped; with the last part it ends. Says whether it is over.
    pub fn advance(&self, id: u64, done: u64, dropped: u64, told: String) -> bool {
        let mut over = true;
        if let Some(entry) = self.lock().get_mut(&id).filter(|e| !e.job.state.is_over()) {
            entry.progress.grow(0, dropped);
            entry.progress.add(done);
            entry.job.told = told;
            let row = entry.row();
            if row.total.is_some_and(|total| row.done >= total) {
                let state = if entry.stopped_by.is_some() { JobState::Cancelled } else { JobState::Done };
                entry.job = Job { elapsed_ms: millis(entry.began), state, ..row };
            } else {
                over = false;
            }
        }
        self.tell(id);
        over
    }

    pub fn run(&self, id: u64) {
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.job.state = JobState::Running;
        }
        self.tell(id);
    }

    /// Its end. What somebody asked to stop, and did, is no failure.
    pub fn end(&self, id: u64, report: RefreshReport) {
        if let Some(entry) = self.lock().get_mut(&id) {
            let row = entry.row();
            entry.job = Job { elapsed_ms: millis(entry.began), ..row };
            entry.job.state = match (report.ok, &entry.stopped_by) {
                (true, _) => JobState::Done,
                (false, Some(_)) => JobState::Cancelled,
                (false, None) => JobState::Failed,
            };
            entry.job.report = Some(report);
        }
        self.tell(id);
    }

    /// Tells watchers how far it is.
    pub fn tell(&self, id: u64) {
        if self.0.events.is_watched()
            && let Some(job) = self.one(id)
        {
            self.0.events.publish(Event::Job { job });
        }
    }

    /// Asks a job to stop; false when there is none that could.
    pub fn cancel(&self, id: u64, actor: &str) -> bool {
        let mut table = self.lock();
        let Some(entry) = table.get_mut(&id).filter(|e| !e.job.state.is_over()) else { return false };
        entry.stopped_by.get_or_insert_with(|| actor.to_owned());
        entry.progress.cancel();
        true
    }

    pub fn one(&self, id: u64) -> Option<Job> {
        self.lock().get(&id).map(Entry::row)
    }

    /// Newest first.
    pub fn rows(&self) -> Vec<Job> {
        self.lock().values().rev().map(Entry::row).collect()
    }
}
