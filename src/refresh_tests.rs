//! The schedule with a real library and an origin that answers only when the test says so.
//!
//! Must not enter: what a refresh makes of a playlist. Invariant: the tests wait for connections and states, never for time.

use std::io::Write as _;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use yagi_api::SourceDraft;

use super::*;
use crate::{config::Config, upstream::Upstreams};

struct Bench {
    dir: tempfile::TempDir,
    library: Library,
    refresher: Refresher,
    stop: watch::Sender<bool>,
    origin: TcpListener,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::default();
        let library = Library::open(dir.path(), events.clone()).unwrap().library;
        let guide = Guide::open(dir.path()).unwrap();
        let (stop, stopping) = watch::channel(false);
        let config = Config::default();
        let fetcher = Upstreams::new(&config).fetcher();
        let refresher = Refresher::start(library.clone(), guide, fetcher, &config.import, events, stopping);
        let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { dir, library, refresher, stop, origin }
    }

    /// A source that only the test refreshes.
    async fn source(&self, path: &str) -> SourceId {
        let url = self.url(path);
        let kind = Some(SourceKind::Playlist);
        let draft =
            SourceDraft { url, kind, name: Some(path.to_owned()), interval_s: Some(0), ..SourceDraft::default() };
        self.library.create_source("t", draft).await.unwrap().id
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}.m3u", self.origin.local_addr().unwrap())
    }

    /// The next download, and the path that it asks for.
    async fn download(&self) -> (TcpStream, String) {
        let (mut socket, _) = self.origin.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        (socket, head.split(['/', '.']).nth(1).unwrap().to_owned())
    }

    fn states(&self, ids: &[SourceId], state: RefreshState) -> usize {
        ids.iter().filter(|id| self.refresher.state(**id) == state).count()
    }
}

async fn answer(mut socket: TcpStream, list: &str) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", list.len());
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(list.as_bytes()).await.unwrap();
}

const LIST: &str = "#EXTM3U\n#EXTINF:-1,One\nhttp://h.example/1.ts\n";

#[tokio::test]
async fn a_source_has_one_refresh_at_a_time_and_two_run_together() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d"] {
        ids.push(bench.source(name).await);
    }
    let asked: Vec<_> = ids
        .iter()
        .chain(&ids)
        .map(|id| {
            let (refresher, id) = (bench.refresher.clone(), *id);
            tokio::spawn(async move { refresher.queue_and_wait(id).await })
        })
        .collect();
    let mut seen = Vec::new();
    let mut open = vec![bench.download().await, bench.download().await];
    assert_eq!(bench.states(&ids, RefreshState::Running), 2);
    assert_eq!(bench.states(&ids, RefreshState::Queued), 2);
    while let Some((socket, name)) = open.pop() {
        answer(socket, LIST).await;
        seen.push(name);
        if seen.len() + open.len() < ids.len() {
            open.push(bench.download().await);
        }
    }
    for task in asked {
        let report = task.await.unwrap();
        assert!(report.ok, "{report:?}");
    }
    seen.sort();
    assert_eq!(seen, ["a", "b", "c", "d"], "each was fetched once, though asked for twice");
    assert_eq!(bench.states(&ids, RefreshState::Idle), ids.len());
    assert!(bench.library.catalog().sources().iter().all(|s| s.last.as_ref().is_some_and(|last| last.ok)));
}

#[tokio::test]
async fn stopping_ends_downloads_and_answers_who_waits() {
    let bench = Bench::new().await;
    let id = bench.source("slow").await;
    let refresher = bench.refresher.clone();
    let asked = tokio::spawn(async move { refresher.queue_and_wait(id).await });
    let (mut socket, _) = bench.download().await;
    bench.stop.send_replace(true);
    assert_eq!(asked.await.unwrap().error.as_deref(), Some("the daemon is stopping"));
    // Its end, or a reset: the connection is gone.
    assert!(!matches!(socket.read(&mut [0; 1]).await, Ok(1..)));
    assert_eq!(bench.library.catalog().source(id).unwrap().last, None, "a stop is no result");
    assert!(!bench.refresher.queue_and_wait(id).await.ok);
}

#[tokio::test]
async fn an_address_that_is_edited_during_a_refresh_is_fetched_after_it() {
    let bench = Bench::new().await;
    let id = bench.source("old").await;
    let refresher = bench.refresher.clone();
    let asked = tokio::spawn(async move { refresher.queue_and_wait(id).await });
    let (socket, _) = bench.download().await;
    let patch = yagi_api::SourcePatch { url: Some(bench.url("new")), ..Default::default() };
    bench.library.update_source("t", id, patch).await.unwrap();
    bench.refresher.queue(id);
    answer(socket, LIST).await;
    let (socket, name) = bench.download().await;
    assert_eq!(name, "new");
    answer(socket, LIST).await;
    assert!(asked.await.unwrap().ok);
}

#[tokio::test]
async fn a_source_that_never_ran_is_fetched_without_being_asked_for() {
    let bench = Bench::new().await;
    let file = bench.dir.path().join("list.m3u");
    std::fs::File::create(&file).unwrap().write_all(LIST.as_bytes()).unwrap();
    let mut events = bench.refresher.0.events.subscribe();
    let url = file.display().to_string();
    let draft = SourceDraft { url, interval_s: Some(3600), ..SourceDraft::default() };
    let id = bench.library.create_source("t", draft).await.unwrap().id;
    while bench.library.catalog().source(id).unwrap().last.is_none() {
        let _ = events.recv().await.unwrap();
    }
    assert_eq!(bench.library.catalog().source(id).unwrap().last.as_ref().unwrap().error, None);
}

#[test]
fn the_pause_after_failures_grows_up_to_the_interval() {
    let hour = Duration::from_secs(3600);
    let seconds = |n| pause(n, hour).as_secs();
    assert_eq!([1, 2, 3, 6, 7, 8, 99].map(seconds), [60, 120, 240, 1920, 3600, 3600, 3600]);
}

#[test]
fn a_source_is_due_when_it_never_ran_failed_or_its_interval_has_passed() {
    let mut source = Source {
        options: yagi_api::SourceOptions::default(),
        id: SourceId(1),
        version: 1,
        name: "s".into(),
        kind: SourceKind::Playlist,
        url: "http://h/".into(),
        enabled: true,
        interval_s: 3600,
        max_upstreams: 0,
        upstreams: 0,
        last: None,
        state: RefreshState::Idle,
    };
    assert!(is_due(&source, 0));
    source.last = Some(RefreshReport { at: 1000, ok: true, ..RefreshReport::default() });
    assert!(!is_due(&source, 1000 + 3599) && is_due(&source, 1000 + 3600 + 180));
    assert!(is_due(&source, 1000 - 61), "its end lies in the future");
    source.last = Some(failed("x"));
    assert!(is_due(&source, 1001));
    source.enabled = false;
    assert!(!is_due(&source, 99_999));
    source = Source { enabled: true, interval_s: 0, last: None, ..source };
    assert!(!is_due(&source, 99_999));
}
