//! `/api/events`: what happens, one JSON object a line.
//!
//! Owns the one writer that turns events and the once-a-second tables into lines, and the watchers that pass them on. Must not
//! enter: what an event means. Invariant: a line is written once however many watch; a slow watcher skips ticks and is told to
//! fetch everything again, and never holds the daemon; nobody watching costs nothing.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use hyper::{Method, StatusCode};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc, watch,
    },
    task::JoinHandle,
    time::{self, MissedTickBehavior},
};
use yagi_api::{Channel, Event, Noun, Role};

use super::{Answer, Ask, input, status};
use crate::{
    app::App,
    http::{Body, reply::reply},
};

/// Lines that a watcher may be behind.
const LINES: usize = 512;
const SECOND: Duration = Duration::from_secs(1);
/// Silence after which a line says that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Everybody who watches.
pub struct Watchers {
    lines: broadcast::Sender<Line>,
    /// Only the newest tick is worth sending.
    ticks: watch::Sender<Bytes>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// One event as it goes over the wire, and as it goes to those who may not see credentials.
#[derive(Clone)]
struct Line {
    whole: Bytes,
    masked: Bytes,
}

impl Line {
    fn of(event: &Event) -> Self {
        let whole = line(event);
        // Only rows of channels hold any: the others are masked for everybody.
        let masked = match event {
            Event::Change { rev, noun: Noun::Channels, change, id, row: Some(row), actor } => {
                let row = serde_json::from_value(row.clone())
                    .ok()
                    .and_then(|channel: Channel| serde_json::to_value(super::without_logins(&channel)).ok());
                let (rev, noun, change, id, actor) = (*rev, Noun::Channels, *change, *id, actor.clone());
                line(&Event::Change { rev, noun, change, id, row, actor })
            }
            _ => whole.clone(),
        };
        Self { whole, masked }
    }
}

impl Default for Watchers {
    fn default() -> Self {
        Self { lines: broadcast::channel(LINES).0, ticks: watch::channel(Bytes::new()).0, writer: Mutex::default() }
    }
}

impl Watchers {
    /// What one watcher listens to; the first one starts the writer.
    fn join(&self, app: &Arc<App>, role: Role) -> Ear {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let ear = Ear { lines: self.lines.subscribe(), ticks: self.ticks.subscribe(), role };
        if writer.as_ref().is_none_or(JoinHandle::is_finished) {
            *writer = Some(tokio::spawn(write(Arc::downgrade(app), app.events.subscribe())));
        }
        ear
    }

    /// Lets the writer go when nobody watches any more.
    fn release(&self) -> bool {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = self.lines.receiver_count() == 0;
        if idle {
            *writer = None;
        }
        idle
    }

    fn say(&self, event: &Event) {
        // A watcher that has just left is no error.
        let _ = self.lines.send(Line::of(event));
    }
}

/// One event as it goes over the wire.
fn line(event: &Event) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// Writes lines while anybody watches.
async fn write(app: Weak<App>, mut events: broadcast::Receiver<Arc<Event>>) {
    let mut second = time::interval(SECOND);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        let event = tokio::select! {
            event = events.recv() => Some(event),
            _ = second.tick() => None,
        };
        let Some(app) = app.upgrade() else { return };
        match event {
            Some(Ok(event)) => app.watchers.say(&event),
            Some(Err(RecvError::Lagged(_))) => app.watchers.say(&Event::Resync),
            Some(Err(RecvError::Closed)) => return,
            None if app.watchers.release() => return,
            None => {
                let tick = tick(&app);
                if last.as_ref().is_none_or(|last| has_moved(last, &tick)) {
                    app.watchers.ticks.send_replace(line(&tick));
                }
                last = Some(tick);
            }
        }
    }
}

fn tick(app: &App) -> Event {
    Event::Tick { status: status::look(app), streams: app.streams.rows(), clients: app.seats.rows() }
}

/// Whether `now` tells a watcher anything new: clocks, load and memory alone do not.
fn has_moved(last: &Event, now: &Event) -> bool {
    let (Event::Tick { status: a, streams: s, clients: c }, Event::Tick { status: b, streams, clients }) = (last, now)
    else {
        return true;
    };
    let mut b = b.clone();
    (b.uptime_s, b.rss_bytes, b.cpu_permille) = (a.uptime_s, a.rss_bytes, a.cpu_permille);
    *a != b || s.len() + c.len() + streams.len() + clients.len() > 0
}

/// The watcher's end.
struct Ear {
    lines: broadcast::Receiver<Line>,
    ticks: watch::Receiver<Bytes>,
    role: Role,
}

impl Ear {
    /// Passes lines on until the client or the daemon goes.
    async fn follow(mut self, out: mpsc::Sender<Bytes>) {
        loop {
            let next = tokio::select! {
                heard = self.lines.recv() => match heard {
                    Ok(heard) if self.role == Role::Admin => heard.whole,
                    Ok(heard) => heard.masked,
                    Err(RecvError::Lagged(_)) => line(&Event::Resync),
                    Err(RecvError::Closed) => return,
                },
                Ok(()) = self.ticks.changed() => self.ticks.borrow_and_update().clone(),
                () = time::sleep(HEARTBEAT) => line(&Event::Heartbeat),
                () = out.closed() => return,
            };
            if out.send(next).await.is_err() {
                return;
            }
        }
    }
}

pub fn watch(ask: &Ask<'_>) -> Answer {
    input::only(&ask.request.query, &["since"])?;
    let since: Option<u64> = input::number(&ask.request.query, "since", "a revision (rev)")?;
    let body =
        if ask.request.method == Method::HEAD { Body::Empty } else { Body::Feed(feed(ask.app, ask.role, since)) };
    Ok(reply(StatusCode::OK, "application/x-ndjson", body))
}

/// The lines of one watcher: who answers, the tables as they are, then what happens.
fn feed(app: &Arc<App>, role: Role, since: Option<u64>) -> mpsc::Receiver<Bytes> {
    let (out, feed) = mpsc::channel(4);
    // Listening begins before the revision is read: a change in between is told twice rather than never.
    let ear = app.watchers.join(app, role);
    let rev = app.library.catalog().rev;
    let mut first = vec![line(&Event::Hello { rev, boot_id: app.boot_id.clone() })];
    if since.is_some_and(|since| since != rev) {
        first.push(line(&Event::Resync));
    }
    first.push(line(&tick(app)));
    tokio::spawn(async move {
        for line in first {
            if out.send(line).await.is_err() {
                return;
            }
        }
        ear.follow(out).await;
    });
    feed
}

#[cfg(test)]
mod tests {
    use yagi_api::Status;

    use super::*;

    fn said(bytes: &Bytes) -> Event {
        assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 1);
        serde_json::from_slice(bytes).unwrap()
    }

    fn ear(watchers: &Watchers) -> Ear {
        Ear { lines: watchers.lines.subscribe(), ticks: watchers.ticks.subscribe(), role: Role::Admin }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_watcher_is_told_to_fetch_again_and_sees_the_newest_tick() {
        let watchers = Watchers::default();
        let ear = ear(&watchers);
        let (out, mut feed) = mpsc::channel(1);
        for n in 0..LINES as u64 + 10 {
            watchers.say(&Event::Hello { rev: n, boot_id: String::new() });
            watchers.ticks.send_replace(line(&Event::Hello { rev: 1_000_000 + n, boot_id: String::new() }));
        }
        let task = tokio::spawn(ear.follow(out));
        let (mut resyncs, mut ticks, mut lines) = (0, Vec::new(), 0);
        while lines < LINES || ticks.is_empty() {
            match said(&feed.recv().await.unwrap()) {
                Event::Resync => resyncs += 1,
                Event::Hello { rev, .. } if rev >= 1_000_000 => ticks.push(rev),
                _ => lines += 1,
            }
        }
        assert_eq!((resyncs, ticks), (1, vec![1_000_000 + LINES as u64 + 9]));
        drop(feed);
        task.await.unwrap();
        assert_eq!(watchers.lines.receiver_count(), 0, "a watcher that left is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_heartbeats() {
        let watchers = Watchers::default();
        let (out, mut feed) = mpsc::channel(1);
        let from = time::Instant::now();
        tokio::spawn(ear(&watchers).follow(out));
        assert_eq!(said(&feed.recv().await.unwrap()), Event::Heartbeat);
        assert_eq!(from.elapsed().as_secs(), HEARTBEAT.as_secs());
    }

    #[test]
    fn an_idle_daemon_ticks_only_when_something_moves() {
        let tick = |status: Status| Event::Tick { status, streams: Vec::new(), clients: Vec::new() };
        let still = tick(Status { uptime_s: 1, rss_bytes: 5, rev: 3, ..Status::default() });
        let later = Status { uptime_s: 2, rss_bytes: 6, cpu_permille: 9, rev: 3, ..Status::default() };
        assert!(!has_moved(&still, &tick(later)));
        assert!(has_moved(&still, &tick(Status { uptime_s: 2, rss_bytes: 6, rev: 4, ..Status::default() })));
    }
}
