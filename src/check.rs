//! Checks: whether a channel's picture comes, and what it is, by tables and headers alone.
//!
//! Owns the queue, the pace for each host, and when a check gives way. Must not enter: decoding, schedules of refreshes. Invariant: a
//! check never takes what a viewer needs: one at a time for each host and one for the engine, none where a stream runs from the same
//! host, and one that runs ends when such a stream appears.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    time::{timeout, timeout_at},
};
use yagi_api::{Channel, ChannelId, Check, CheckRow, Checks, Locator};

use crate::{
    clock::epoch_now,
    library::{Library, Provenance},
    playlist::identity,
    stream::{Streams, look::Look},
    upstream::{Claim, Piece, Purpose, Reach, UpstreamError, Upstreams},
};

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
    upstreams: Upstreams,
    queue: Mutex<Queue>,
    more: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<ChannelId>,
    queued: HashSet<ChannelId>,
    /// Hosts that are asked just now.
    busy: HashSet<String>,
    /// When a host was asked last.
    asked: HashMap<String, Instant>,
    running: u32,
}

impl Checker {
    /// Starts the workers; they end when `stop` turns true.
    pub fn start(library: Library, streams: Streams, upstreams: Upstreams, stop: watch::Receiver<bool>) -> Self {
        let queue = Mutex::default();
        let checker = Self(Arc::new(Shared { library, streams, upstreams, queue, more: Notify::new() }));
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

    /// Queues channels; one that waits already is enough. Says how many were new.
    pub fn queue(&self, channels: impl IntoIterator<Item = ChannelId>) -> u32 {
        let mut queue = self.0.lock();
        let mut new = 0;
        for id in channels {
            if queue.waiting.len() < MAX_WAITING && queue.queued.insert(id) {
                queue.waiting.push_back(id);
                new += 1;
            }
        }
        drop(queue);
        self.0.more.notify_waiters();
        new
    }

    /// Forgets what waits.
    pub fn cancel(&self) -> u32 {
        let mut queue = self.0.lock();
        let gone = queue.waiting.len() as u32;
        queue.waiting.clear();
        queue.queued.clear();
        gone
    }

    /// Results of listed channels, by number.
    pub fn status(&self, offset: usize, limit: usize) -> Checks {
        let catalog = self.0.library.catalog();
        let known = self.0.library.checks();
        let rows = catalog.channels().iter().filter(|c| c.is_listed()).filter_map(|c| {
            let check = known.get(&key(c)?)?.clone();
            Some(CheckRow { id: c.id, name: c.name.clone(), check })
        });
        let rows: Vec<CheckRow> = rows.collect();
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
            let Some((channel, host)) = self.0.next() else {
                let idle = if self.0.is_empty() { Duration::from_secs(3600) } else { IDLE };
                let _ = timeout(idle, more).await;
                continue;
            };
            let check = self.0.check(&channel, &host).await;
            self.0.ended(&channel, host, check.is_some());
            if let (Some(check), Some(key)) = (check, key(&channel))
                && let Err(error) = self.0.library.keep_check(key, check).await
            {
                tracing::warn!(channel = %channel.id, %error, "the result of a check was not kept");
            }
            self.0.more.notify_waiters();
        }
    }
}

/// Digest of the channel's first address.
fn key(channel: &Channel) -> Option<u64> {
    channel.sources.first().map(|s| identity::path(&s.url))
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

    /// The next channel whose host is free, and its host, which is busy from now on.
    fn next(&self) -> Option<(Arc<Channel>, String)> {
        let catalog = self.library.catalog();
        let wanted = self.wanted();
        let mut queue = self.lock();
        // One turn of the queue at most, and no more than a glance of a long one.
        for _ in 0..queue.waiting.len().min(2000) {
            let id = queue.waiting.pop_front()?;
            let Some(channel) = catalog.channel(id).filter(|c| !c.sources.is_empty()) else {
                queue.queued.remove(&id);
                continue;
            };
            let host = host(&channel.sources[0].url);
            let paced = queue.asked.get(&host).is_some_and(|at| at.elapsed() < PACE);
            if paced || queue.busy.contains(&host) || wanted.contains(&host) {
                queue.waiting.push_back(id);
                continue;
            }
            queue.busy.insert(host.clone());
            queue.running += 1;
            return Some((channel.clone(), host));
        }
        None
    }

    /// Makes the host free again; a channel whose check gave way waits again.
    fn ended(&self, channel: &Channel, host: String, checked: bool) {
        let mut queue = self.lock();
        queue.busy.remove(&host);
        queue.asked.insert(host, Instant::now());
        queue.asked.retain(|_, at| at.elapsed() < PACE);
        queue.running -= 1;
        if checked {
            queue.queued.remove(&channel.id);
        } else {
            queue.waiting.push_back(channel.id);
        }
    }

    /// Hosts that viewers watch something of.
    fn wanted(&self) -> HashSet<String> {
        let catalog = self.library.catalog();
        let rows = self.streams.rows();
        let channels = rows.iter().filter_map(|row| catalog.channel(row.channel?));
        // The row's own words are masked; any of the channel's sources may be the one in use.
        channels.flat_map(|c| &c.sources).map(|s| host(&s.url)).collect()
    }

    /// None: a viewer wanted the host.
    async fn check(&self, channel: &Channel, host: &str) -> Option<Check> {
        let began = Instant::now();
        let look = self.look(channel);
        tokio::pin!(look);
        loop {
            match timeout(GIVE_WAY, &mut look).await {
                Ok(None) => return None,
                Ok(Some(check)) => {
                    tracing::debug!(channel = %channel.name, alive = check.alive, error = check.error,
                        millis = began.elapsed().as_millis() as u64, "checked");
                    return Some(check);
                }
                Err(_) if self.wanted().contains(host) => return None,
                Err(_) => {}
            }
        }
    }

    /// None: the account or the engine has no place to spare.
    async fn look(&self, channel: &Channel) -> Option<Check> {
        let mut check = Check { at: epoch_now(), ..Check::default() };
        match self.bytes(channel, &mut check).await {
            Ok(()) => check.alive = true,
            Err(UpstreamError::NoSlot(_) | UpstreamError::NoEngine(_)) => return None,
            Err(error) => check.error = error.to_string(),
        }
        check.at = epoch_now();
        Some(check)
    }

    async fn bytes(&self, channel: &Channel, check: &mut Check) -> Result<(), UpstreamError> {
        let source = &channel.sources[0];
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
