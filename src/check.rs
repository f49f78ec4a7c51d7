//! Checks: whether a channel's picture comes, and what it is, by tables and headers alone.
//!
//! Owns the queue, the pace for each host, and when a check gives way. Must not enter: decoding, schedules of refreshes. Invariant: a
//! check never takes what a viewer needs: one at a time for each host and one for the engine, none where a stream runs from the same
//! host, and one that runs ends when such a stream appears.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    time::{timeout, timeout_at},
};
use yagi_api::{Channel, ChannelId, ChannelSource, Check, CheckRow, Checks, Locator};

use crate::{
    clock::epoch_now,
    jobs::Jobs,
    library::{Library, Provenance},
    playlist::identity,
    progress::Progress,
    seats::Seats,
    stream::{Streams, look::Look},
    upstream::{Claim, Piece, Purpose, Reach, UpstreamError, Upstreams},
};

/// Of the job.
const NAME: &str = "checks";
/// Checks at once, over all hosts.
const AT_ONCE: usize = 4;
const MAX_WAITING: usize = 250_000;
/// From one check of a host to the next.
const PACE: Duration = Duration::from_millis(1500);
const OPEN: Duration = Duration::from_secs(12);
/// An engine gathers peers first.
const OPEN_ENGINE: Duration = Duration::from_secs(45);
/// How long and how far a stream is looked at.
const LOOK: Duration = Duration::from_secs(5);
const MOST: u64 = 8 << 20;
/// How often a running check asks whether a viewer wants its host.
const GIVE_WAY: Duration = Duration::from_millis(200);
/// How long the rest of the queue waits when nothing in it may start.
const IDLE: Duration = Duration::from_millis(500);

/// Handle to the queue; cheap to clone.
#[derive(Clone)]
pub struct Checker(Arc<Shared>);

struct Shared {
    library: Library,
    streams: Streams,
    seats: Seats,
    upstreams: Upstreams,
    jobs: Jobs,
    queue: Mutex<Queue>,
    more: Notify,
}

/// A channel and which of its addresses.
type Place = (ChannelId, u16);

#[derive(Default)]
struct Queue {
    /// Each with the job that it is part of.
    waiting: VecDeque<(Place, u64)>,
    queued: HashSet<Place>,
    /// Hosts that are asked just now.
    busy: HashSet<String>,
    /// When a host was asked last.
    asked: HashMap<String, Instant>,
    running: u32,
    /// Jobs that are not over; only the newest grows.
    runs: BTreeMap<u64, Run>,
}

struct Run {
    progress: Progress,
    alive: u32,
    dead: u32,
}

impl Run {
    fn told(&self) -> String {
        format!("{} play, {} do not", self.alive, self.dead)
    }
}

impl Checker {
    /// Starts the workers; they end when `stop` turns true.
    pub fn start(
        library: Library,
        streams: Streams,
        seats: Seats,
        upstreams: Upstreams,
        jobs: Jobs,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let queue = Mutex::default();
        let checker = Self(Arc::new(Shared { library, streams, seats, upstreams, jobs, queue, more: Notify::new() }));
        for _ in 0..AT_ONCE {
            let (checker, mut stop) = (checker.clone(), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = checker.work() => {}
                    _ = async { stop.wait_for(|s| *s).await.is_ok() } => {}
                }
            });
        }
        checker
    }

    /// Queues channels, their first address or all of them; one that waits already is enough. Says how many were new, and the
    /// job that they are part of.
    pub fn queue(&self, channels: impl IntoIterator<Item = ChannelId>, all: bool, actor: &str) -> (u32, Option<u64>) {
        let catalog = self.0.library.catalog();
        let count = |id: ChannelId| catalog.channel(id).filter(|_| all).map_or(1, |c| c.sources.len());
        let mut queue = self.0.lock();
        let mut new = Vec::new();
        for id in channels {
            for at in 0..count(id).min(usize::from(u16::MAX)) as u16 {
                if queue.waiting.len() + new.len() < MAX_WAITING && queue.queued.insert((id, at)) {
                    new.push((id, at));
                }
            }
        }
        let running = queue.runs.last_key_value().map(|(job, _)| *job);
        drop(queue);
        if new.is_empty() {
            return (0, running);
        }
        // The job knows of them before a worker can be done with one.
        let (job, progress) = self.0.jobs.gather(NAME, actor, "checking", "addresses", new.len() as u64);
        let queued = new.len() as u32;
        let mut queue = self.0.lock();
        queue.waiting.extend(new.into_iter().map(|place| (place, job)));
        queue.runs.entry(job).or_insert(Run { progress, alive: 0, dead: 0 });
        drop(queue);
        self.0.more.notify_waiters();
        (queued, Some(job))
    }

    /// Forgets what waits.
    pub fn cancel(&self, actor: &str) -> u32 {
        let running: Vec<u64> = self.0.lock().runs.keys().copied().collect();
        for job in running {
            self.0.jobs.cancel(job, actor);
        }
        self.0.drop_cancelled()
    }

    /// Results of listed channels, by number.
    pub fn status(&self, offset: usize, limit: usize) -> Checks {
        let catalog = self.0.library.catalog();
        let known = self.0.library.checks();
        let mut rows = Vec::new();
        for channel in catalog.channels().iter().filter(|c| c.is_listed()) {
            for (address, source) in (0..).zip(&channel.sources) {
                if let Some(check) = known.get(&identity::address(&source.url)) {
                    let (id, name, check) = (channel.id, channel.name.clone(), check.clone());
                    rows.push(CheckRow { id, name, address, check });
                }
            }
        }
        drop(known);
        let queue = self.0.lock();
        Checks {
            waiting: queue.waiting.len() as u32,
            running: queue.running,
            total: rows.len() as u64,
            rows: rows.into_iter().skip(offset).take(limit).collect(),
        }
    }

    async fn work(&self) {
        loop {
            let more = self.0.more.notified();
            self.0.drop_cancelled();
            let Some(job) = self.0.next() else {
                let idle = if self.0.is_empty() { Duration::from_secs(3600) } else { IDLE };
                let _ = timeout(idle, more).await;
                continue;
            };
            let check = self.0.check(&job).await;
            let (id, key) = (job.channel.id, identity::address(&job.source().url));
            let alive = check.as_ref().map(|c| c.alive);
            // Kept first: who sees it leave the queue finds its result.
            if let Some(check) = check
                && let Err(error) = self.0.library.keep_check(key, check).await
            {
                tracing::warn!(channel = %id, %error, "the result of a check was not kept");
            }
            self.0.ended(job, alive);
            self.0.more.notify_waiters();
        }
    }
}

/// One address that is checked.
struct Job {
    run: u64,
    channel: Arc<Channel>,
    at: u16,
    host: String,
}

impl Job {
    fn source(&self) -> &ChannelSource {
        &self.channel.sources[usize::from(self.at)]
    }
}

/// What must not be asked twice at once: the host, or the engine.
fn host(url: &str) -> String {
    match Locator::parse(url) {
        Ok(Locator::AceContent(_) | Locator::AceInfohash(_)) => "the engine".to_owned(),
        Ok(Locator::TestCard) => "the test card".to_owned(),
        _ => url
            .split_once("://")
            .map_or(url, |(_, rest)| rest)
            .split(['/', '?', '#'])
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// The next address whose host is free; that is busy from now on.
    fn next(&self) -> Option<Job> {
        let catalog = self.library.catalog();
        let wanted = self.wanted();
        let mut queue = self.lock();
        let mut gone = Vec::new();
        let mut found = None;
        // One turn of the queue at most, and no more than a glance of a long one.
        for _ in 0..queue.waiting.len().min(2000) {
            let Some((place, run)) = queue.waiting.pop_front() else { break };
            let at = usize::from(place.1);
            let Some(channel) = catalog.channel(place.0).filter(|c| c.sources.len() > at) else {
                queue.queued.remove(&place);
                gone.push(run);
                continue;
            };
            let host = host(&channel.sources[at].url);
            let paced = queue.asked.get(&host).is_some_and(|at| at.elapsed() < PACE);
            if paced || queue.busy.contains(&host) || wanted.contains(&host) {
                queue.waiting.push_back((place, run));
                continue;
            }
            queue.busy.insert(host.clone());
            queue.running += 1;
            found = Some(Job { run, channel: channel.clone(), at: place.1, host });
            break;
        }
        drop(queue);
        for run in gone {
            self.advance(run, None, 1);
        }
        found
    }

    /// Makes the host free again; an address whose check gave way waits again.
    fn ended(&self, job: Job, alive: Option<bool>) {
        let place = (job.channel.id, job.at);
        let mut queue = self.lock();
        queue.busy.remove(&job.host);
        queue.asked.insert(job.host, Instant::now());
        queue.asked.retain(|_, at| at.elapsed() < PACE);
        queue.running -= 1;
        if alive.is_none() {
            queue.waiting.push_back((place, job.run));
            return;
        }
        queue.queued.remove(&place);
        drop(queue);
        self.advance(job.run, alive, 0);
    }

    /// Tells the job that an address was checked, or that some will not be.
    fn advance(&self, run: u64, alive: Option<bool>, dropped: u64) {
        let mut queue = self.lock();
        let told = queue.runs.get_mut(&run).map(|run| {
            match alive {
                Some(true) => run.alive += 1,
                Some(false) => run.dead += 1,
                None => {}
            }
            run.told()
        });
        drop(queue);
        if let Some(told) = told
            && self.jobs.advance(run, alive.map_or(0, |_| 1), dropped, told)
        {
            self.lock().runs.remove(&run);
        }
    }

    /// Forgets what waits of jobs that somebody stopped; says how much that was.
    fn drop_cancelled(&self) -> u32 {
        let mut queue = self.lock();
        let stopped: Vec<u64> =
            queue.runs.iter().filter(|(_, run)| run.progress.is_cancelled()).map(|(job, _)| *job).collect();
        if stopped.is_empty() {
            return 0;
        }
        let (gone, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut queue.waiting).into_iter().partition(|(_, run)| stopped.contains(run));
        queue.waiting = kept;
        for (place, _) in &gone {
            queue.queued.remove(place);
        }
        drop(queue);
        for run in stopped {
            let count = gone.iter().filter(|(_, of)| *of == run).count() as u64;
            self.advance(run, None, count);
        }
        gone.len() as u32
    }

    /// Hosts that viewers watch something of.
    fn wanted(&self) -> HashSet<String> {
        let catalog = self.library.catalog();
        let watched = self.streams.rows().into_iter().map(|row| row.channel);
        // Recordings are no streams; live, a client's channel is the same.
        let seated = self.seats.rows().into_iter().map(|row| row.channel);
        let wanted: HashSet<_> = watched.chain(seated).flatten().collect();
        let channels = wanted.into_iter().filter_map(|id| catalog.channel(id));
        // The row's own words are masked; any of the channel's sources may be the one in use.
        channels.flat_map(|c| &c.sources).map(|s| host(&s.url)).collect()
    }

    /// None: a viewer wanted the host.
    async fn check(&self, job: &Job) -> Option<Check> {
        let began = Instant::now();
        let look = self.look(job);
        tokio::pin!(look);
        loop {
            match timeout(GIVE_WAY, &mut look).await {
                Ok(None) => return None,
                Ok(Some(check)) => {
                    tracing::debug!(channel = %job.channel.name, address = job.at, alive = check.alive, error = check.error,
                        millis = began.elapsed().as_millis() as u64, "checked");
                    return Some(check);
                }
                Err(_) if self.drop_cancelled() > 0 => {}
                Err(_) if self.wanted().contains(&job.host) => return None,
                Err(_) => {}
            }
        }
    }

    /// None: the account or the engine has no place to spare.
    async fn look(&self, job: &Job) -> Option<Check> {
        let mut check = Check { at: epoch_now(), ..Check::default() };
        match self.bytes(job, &mut check).await {
            Ok(()) => check.alive = true,
            Err(UpstreamError::NoSlot(_) | UpstreamError::NoEngine(_)) => return None,
            Err(error) => check.error = error.to_string(),
        }
        check.at = epoch_now();
        Some(check)
    }

    async fn bytes(&self, job: &Job, check: &mut Check) -> Result<(), UpstreamError> {
        let (channel, source) = (&job.channel, job.source());
        let locator = Locator::parse(&source.url).map_err(|e| UpstreamError::Refused(e.to_owned()))?;
        let engine = matches!(locator, Locator::AceContent(_) | Locator::AceInfohash(_));
        let began = tokio::time::Instant::now();
        let open = began + if engine { OPEN_ENGINE } else { OPEN };
        let late = |_| UpstreamError::Timeout("nothing came in time");
        let Provenance { account, found } = self.library.catalog().provenance(channel, source);
        let claim = Claim {
            account,
            reach: Reach::found(found),
            holder: format!("check of {}", channel.name),
            purpose: Purpose::Check,
            ..Claim::default()
        };
        let start = async { self.upstreams.prepare(&locator, &source.headers, &claim).await?.start().await };
        let mut feed = timeout_at(open, start).await.map_err(late)??;
        let mut look = Look::default();
        let mut total = 0;
        let mut until = open;
        let ended = loop {
            match timeout_at(until, feed.next()).await {
                Ok(Ok(Piece::Seam)) => {}
                Ok(Ok(Piece::Bytes(bytes))) => {
                    if total == 0 {
                        check.first_byte_ms = began.elapsed().as_millis().min(u32::MAX.into()) as u32;
                        until = tokio::time::Instant::now() + LOOK;
                    }
                    total += bytes.len() as u64;
                    look.push(&bytes);
                    if total > MOST || look.is_done() {
                        break Ok(());
                    }
                }
                // Its place went to a viewer: what was seen so far says nothing.
                Ok(Err(error @ UpstreamError::NoSlot(_))) => break Err(error),
                Ok(Err(error)) => break if total > 0 { Ok(()) } else { Err(error) },
                Err(_) => break if total > 0 { Ok(()) } else { Err(UpstreamError::Timeout("nothing came in time")) },
            }
        };
        feed.close().await;
        ended?;
        let seen = look.seen();
        (check.video, check.audio) = (seen.video.to_owned(), seen.audio.to_owned());
        (check.width, check.height) = (seen.width, seen.height);
        check.bits_per_s = seen.bits_per_s;
        if seen.video.is_empty() && seen.audio.is_empty() {
            return Err(UpstreamError::NotMedia("no programme table came".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart_and_all_engine_content_is_one() {
        assert_eq!(host("http://h:80/a.ts?x"), "h:80");
        assert_eq!(host("http://u:p@h/live/u/p/1.ts"), host("http://u:p@h/2"));
        let id = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(host(&format!("acestream://{id}")), host(&format!("acestream:?infohash={id}")));
    }
}
