//! When sources are refreshed, and how many at once.
//!
//! Owns the schedule and the state of each refresh. Must not enter: what a refresh does. Invariant: a source has at most one
//! refresh at a time, at most [`AT_ONCE`] run together, and a panic in one becomes its failed report.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Semaphore, oneshot, watch},
    task::JoinSet,
    time,
};
use yagi_api::{Change, Event, Noun, RefreshReport, RefreshState, Source, SourceId, SourceKind};

use crate::{
    clock::epoch_now,
    config::Import,
    events::Events,
    guide::{self, Guide},
    jobs::{BEAT, Jobs},
    library::{self, Library},
    playlist,
    progress::Progress,
    upstream::Fetcher,
};

const AT_ONCE: usize = 2;
/// How often the schedule is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Pause after a first failure; it doubles up to the source's own interval.
const RETRY: Duration = Duration::from_secs(60);

/// The actor of refreshes that nobody asked for.
const SCHEDULE: &str = "schedule";

/// Handle to the schedule; cheap to clone.
#[derive(Clone)]
pub struct Refresher(Arc<Shared>);

struct Shared {
    library: Library,
    guide: Guide,
    fetcher: Fetcher,
    caps: ArcSwap<Import>,
    events: Events,
    places: Semaphore,
    jobs: Mutex<HashMap<SourceId, Job>>,
    table: Jobs,
    stop: watch::Receiver<bool>,
}

#[derive(Default)]
struct Job {
    state: RefreshState,
    waiting: Vec<oneshot::Sender<RefreshReport>>,
    failures: u32,
    /// Not before this, after a failure.
    not_before: Option<Instant>,
    /// Its number in the table, while it waits or runs.
    number: u64,
    progress: Progress,
}

impl Refresher {
    /// Starts the schedule; it ends when `stop` turns true.
    pub fn start(
        library: Library,
        guide: Guide,
        fetcher: Fetcher,
        caps: &Import,
        events: Events,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let refresher = Self(Arc::new(Shared {
            library,
            guide,
            fetcher,
            caps: ArcSwap::from_pointee(caps.clone()),
            table: Jobs::new(events.clone()),
            events,
            places: Semaphore::new(AT_ONCE),
            jobs: Mutex::default(),
            stop,
        }));
        tokio::spawn(refresher.clone().follow());
        refresher
    }

    /// Other caps, for refreshes from now on.
    pub fn set_caps(&self, caps: &Import) {
        self.0.caps.store(Arc::new(caps.clone()));
    }

    /// Queues a refresh of the schedule; one that waits or runs already is enough.
    pub fn queue(&self, id: SourceId) -> u64 {
        self.request(id, SCHEDULE)
    }

    /// Queues a refresh that somebody asks for, and gives its job.
    pub fn request(&self, id: SourceId, actor: &str) -> u64 {
        self.enqueue(id, actor, None)
    }

    /// Queues a refresh and waits for its end.
    pub async fn queue_and_wait(&self, id: SourceId) -> RefreshReport {
        self.request_and_wait(id, SCHEDULE).await
    }

    pub async fn request_and_wait(&self, id: SourceId, actor: &str) -> RefreshReport {
        let (tell, told) = oneshot::channel();
        self.enqueue(id, actor, Some(tell));
        told.await.unwrap_or_else(|_| failed("the daemon is stopping"))
    }

    pub fn state(&self, id: SourceId) -> RefreshState {
        self.0.lock().get(&id).map(|j| j.state).unwrap_or_default()
    }

    /// What waits and runs, and what ended a short while ago.
    pub fn jobs(&self) -> &Jobs {
        &self.0.table
    }

    fn enqueue(&self, id: SourceId, actor: &str, waiter: Option<oneshot::Sender<RefreshReport>>) -> u64 {
        let catalog = self.0.library.catalog();
        let mut jobs = self.0.lock();
        let job = jobs.entry(id).or_default();
        job.waiting.extend(waiter);
        if job.state != RefreshState::Idle {
            return job.number;
        }
        job.state = RefreshState::Queued;
        job.progress = Progress::default();
        let name = catalog.source(id).map_or("", |s| s.name.as_str());
        job.number = self.0.table.add(id, name, actor, job.progress.clone());
        let (number, progress) = (job.number, job.progress.clone());
        drop(jobs);
        tokio::spawn(self.clone().run(id, number, progress));
        number
    }

    /// One refresh from its place in the queue to its report.
    async fn run(self, id: SourceId, number: u64, progress: Progress) {
        let mut stop = self.0.stop.clone();
        let (report, source) = loop {
            let (report, source) = tokio::select! {
                biased;
                () = async { drop(stop.wait_for(|s| *s).await) } => (failed("the daemon is stopping"), None),
                done = self.work(id, number, &progress) => done,
            };
            // An address that was edited meanwhile is what they wait for who asked since.
            let catalog = self.0.library.catalog();
            let edited = !progress.is_cancelled()
                && source.as_ref().zip(catalog.source(id)).is_some_and(|(then, now)| then.url != now.url);
            if !edited {
                break (report, source);
            }
        };
        let longest = source.map_or(RETRY, |s| Duration::from_secs(s.interval_s.into()).max(RETRY));
        let mut jobs = self.0.lock();
        let waiting = jobs.get_mut(&id).map(|job| {
            job.state = RefreshState::Idle;
            job.failures = if report.ok { 0 } else { job.failures + 1 };
            // Who cancels it does not want it a minute later.
            let pause = if progress.is_cancelled() { longest } else { pause(job.failures, longest) };
            job.not_before = (!report.ok).then(|| Instant::now() + pause);
            std::mem::take(&mut job.waiting)
        });
        drop(jobs);
        self.0.table.end(number, report.clone());
        for waiter in waiting.into_iter().flatten() {
            // Who asked may have gone.
            let _ = waiter.send(report.clone());
        }
        self.tell(id);
    }

    /// The report, and the source as it was fetched.
    async fn work(&self, id: SourceId, number: u64, progress: &Progress) -> (RefreshReport, Option<Arc<Source>>) {
        let _place = tokio::select! {
            biased;
            () = progress.cancelled() => return (failed("was cancelled before it began"), None),
            place = self.0.places.acquire() => match place {
                Ok(place) => place,
                Err(_) => return (failed("the daemon is stopping"), None),
            },
        };
        let Some(source) = self.0.library.catalog().source(id).cloned() else {
            return (failed("the source was deleted"), None);
        };
        if let Some(job) = self.0.lock().get_mut(&id) {
            job.state = RefreshState::Running;
        }
        self.0.table.run(number);
        self.tell(id);
        let (shared, own) = (self.0.clone(), source.clone());
        let (fetcher, caps) = (self.0.fetcher.watched(progress.clone()), self.0.caps.load_full());
        // A task of its own, so that a panic stays inside; in a set, so that it ends with this one.
        let mut task = JoinSet::new();
        task.spawn(async move {
            match own.kind {
                SourceKind::Playlist => playlist::refresh::run(&shared.library, &fetcher, &own, &caps).await,
                SourceKind::Guide => guide::refresh::run(&shared.guide, &shared.library, &fetcher, &own, &caps).await,
            }
        });
        let mut beat = time::interval(BEAT);
        let ended = loop {
            tokio::select! {
                ended = task.join_next() => break ended,
                _ = beat.tick() => self.0.table.tell(number),
            }
        };
        let report = match ended {
            Some(Ok(report)) => report,
            ended => {
                let error = ended.and_then(Result::err).map(|e| e.to_string());
                tracing::error!(source = %source.name, error, "the refresh ended by a panic; what was there stays");
                let report = failed("the refresh failed inside the daemon; the log has the place");
                if let Err(e) = self.0.library.record_refresh(id, report.clone(), None).await {
                    tracing::warn!(source = %source.name, error = %e, "the result of the refresh could not be kept");
                }
                report
            }
        };
        (report, Some(source))
    }

    /// Queues what is due, for ever.
    async fn follow(self) {
        let mut stop = self.0.stop.clone();
        let mut look = time::interval(LOOK);
        loop {
            tokio::select! {
                _ = look.tick() => {}
                () = async { drop(stop.wait_for(|s| *s).await) } => return,
            }
            let catalog = self.0.library.catalog();
            let now = epoch_now();
            for source in catalog.sources().iter().filter(|s| is_due(s, now)) {
                let waits =
                    self.0.lock().get(&source.id).is_some_and(|job| job.not_before.is_some_and(|t| t > Instant::now()));
                if !waits {
                    self.queue(source.id);
                }
            }
            self.0.guide.retain(&catalog);
            playlist::kept::retain(self.0.library.dir(), &catalog);
            self.0.lock().retain(|id, job| job.state != RefreshState::Idle || catalog.source(*id).is_some());
        }
    }

    /// Tells watchers that a source's state changed.
    fn tell(&self, id: SourceId) {
        let catalog = self.0.library.catalog();
        let Some(source) = catalog.source(id).filter(|_| self.0.events.is_watched()) else { return };
        let row = Source { state: self.state(id), ..library::masked(source) };
        self.0.events.publish(Event::Change {
            rev: catalog.rev,
            noun: Noun::Sources,
            change: Change::Updated,
            id: Some(id.0),
            row: serde_json::to_value(row).ok(),
            actor: "refresh".to_owned(),
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<SourceId, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(why: &str) -> RefreshReport {
    RefreshReport { at: epoch_now(), error: Some(why.to_owned()), ..RefreshReport::default() }
}

/// How long the schedule leaves a source alone after failures in a row.
fn pause(failures: u32, longest: Duration) -> Duration {
    RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest)
}

/// A failed refresh is due again at once; the pause after failures is the schedule's own. One that ended in the future is
/// due too: the clock was wrong then, and waiting for it could take years.
fn is_due(source: &Source, now: i64) -> bool {
    source.enabled
        && source.interval_s > 0
        && source.last.as_ref().is_none_or(|last| {
            !last.ok || last.at > now + 60 || last.at + i64::from(source.interval_s) + spread(source) <= now
        })
}

/// Up to a twentieth of the interval, fixed for each source, so that sources do not all come at the same second.
fn spread(source: &Source) -> i64 {
    let range = source.interval_s / 20;
    if range == 0 { 0 } else { i64::from(source.id.0.wrapping_mul(2_654_435_761) % range) }
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
