//! Streams move from source to source, by themselves and when they are told to; viewers keep their sockets.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{task::JoinSet, time::timeout};
use yagi_api::{ChannelId, Fault, StreamRow, StreamState};

use crate::support::{
    daemon::{Account, Daemon},
    faulty::{Faulty, Mood},
    origin::{Frame, Origin, Serve},
    place::Admin,
    player::Player,
    raw::PATIENCE,
    strict::Strict,
    wait_until,
};

/// Every move by hand, and what is refused; the one that watches sees legal seams on one socket.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_moves_a_stream() {
    let (origin, daemon) = (Origin::start().await, Daemon::start().await);
    let urls = ["/a", "/b", "/c"].map(|path| {
        origin.set(path, Serve::Ts(Frame::Close));
        origin.url(path)
    });
    let channel = daemon.channel("A", &[&urls[0], &urls[1], &urls[2]]).await;
    let lone = daemon.channel("B", &[&urls[2]]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
    player.watch(50_000).await;
    let mut admin = Admin::at(&daemon.socket()).await;
    let row = || daemon.app.streams.rows().remove(0);
    assert_eq!((row().sources, row().switches, row().last_switch), (3, 0, None));
    let path = format!("/api/streams/{}/failover", row().id);
    for (body, from, to) in [("", 0, 1), ("{\"source\":0}", 1, 0), ("{\"source\":2}", 0, 2), ("{}", 2, 0)] {
        let before = row().switches;
        let (status, answer) = admin.ask("POST", &path, body).await.unwrap();
        assert_eq!((status, &answer["source_index"]), (200, &json!(from)), "{answer}");
        let mut seen = 0;
        while row().switches == before {
            seen += player.watch(10_000).await;
            assert!(seen < 5_000_000, "it is not moved");
        }
        let last = row().last_switch.unwrap();
        assert_eq!((last.from, last.to, last.cause, row().source_index), (from, to, Fault::Asked, to));
        wait_until("the old one is closed", || origin.open(["/a", "/b", "/c"][from as usize]).0 == 0).await;
    }
    // To where it is: nothing happens. To one that is down: the one in use is kept.
    admin.ok("POST", &path, json!({"source": 0})).await;
    origin.set("/b", Serve::Answer("503 No", "text/plain", Vec::new()));
    admin.ok("POST", &path, json!({"source": 1})).await;
    player.watch(300_000).await;
    assert_eq!((row().source_index, row().switches, row().reconnects), (0, 4, 0));
    assert_eq!((player.checker.torn, player.checker.jumps), (0, 0), "{:?}", player.checker);
    let mut other = Player::get(daemon.address, &viewer.live(lone)).await;
    other.watch(10_000).await;
    let id = daemon.app.streams.rows()[1].id;
    let (status, error) = admin.refused("POST", &format!("/api/streams/{id}/failover"), json!({})).await;
    assert_eq!((status, &error["message"]), (409, &json!("the stream has only one source")));
    for (body, status, field) in [(json!({"source": 3}), 422, "source"), (json!({"to": 1}), 422, "to")] {
        let (was, error) = admin.refused("POST", &path, body).await;
        assert_eq!((was, &error["field"]), (status, &json!(field)), "{error}");
    }
    assert_eq!(admin.refused("POST", "/api/streams/99/failover", json!({})).await.0, 404);
}

struct Stage {
    sources: Faulty,
    daemon: Daemon,
    viewer: Account,
}

impl Stage {
    /// Faults are told within half a second, a collapse of the bit rate when `rate_ms` says; what failed may be gone back to.
    async fn set(rate_ms: u32) -> Arc<Self> {
        let (sources, daemon) = (Faulty::start().await, Daemon::start().await);
        let times = ["video", "audio", "frozen", "stray"].map(|what| (format!("failover_{what}_ms"), json!(500)));
        let times: Vec<_> = times.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        daemon.set(&times).await;
        daemon
            .set(&[("failover_rate_ms", json!(rate_ms)), ("upstream_silence_s", json!(1)), ("linger_s", json!(0))])
            .await;
        let viewer = daemon.viewer("alice", 0).await;
        Arc::new(Self { sources, daemon, viewer })
    }

    async fn channel(&self, sources: &[usize]) -> ChannelId {
        let urls: Vec<String> = sources.iter().map(|n| self.sources.url(*n)).collect();
        self.daemon.channel(&format!("{sources:?}"), &urls.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    fn row(&self, channel: ChannelId) -> Option<StreamRow> {
        self.daemon.app.streams.rows().into_iter().find(|r| r.channel == Some(channel))
    }

    /// Watches with the strict reader until the stream's row is as wanted, and then until that has been shown.
    async fn watch(
        &self,
        channel: ChannelId,
        player: &mut Player,
        strict: &mut Strict,
        met: impl Fn(&StreamRow) -> bool,
    ) {
        let watching = async {
            while !self.row(channel).is_some_and(|row| met(&row)) {
                read(player, strict, 1).await;
            }
            read(player, strict, 30_000).await;
        };
        if timeout(PATIENCE, watching).await.is_err() {
            panic!("in vain: {:?}", self.row(channel));
        }
    }
}

async fn read(player: &mut Player, strict: &mut Strict, bytes: usize) {
    let mut seen = 0;
    while seen < bytes {
        let piece = player.read().await;
        assert!(!piece.is_empty(), "the stream ended");
        strict.feed(&piece);
        seen += piece.len();
    }
}

/// One channel for each fault, all at once: what was good breaks, the next source takes over on the same socket, and the row says why.
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_moves_a_stream_to_its_next_source() {
    let stage = Stage::set(0).await;
    let mut runs = JoinSet::new();
    for (n, mood) in Mood::FAULTS.into_iter().enumerate().filter(|(_, m)| *m != Mood::Trickle) {
        let stage = stage.clone();
        runs.spawn(async move {
            let (bad, good) = (2 * n, 2 * n + 1);
            let channel = stage.channel(&[bad, good]).await;
            let mut player = Player::get(stage.daemon.address, &stage.viewer.live(channel)).await;
            let mut strict = Strict::default();
            read(&mut player, &mut strict, 20_000).await;
            stage.sources.set(bad, mood);
            stage.watch(channel, &mut player, &mut strict, |row| row.switches > 0).await;
            strict.assert_legal();
            let row = stage.row(channel).unwrap();
            let last = row.last_switch.unwrap();
            assert_eq!((last.from, last.to, Some(last.cause)), (0, 1, mood.fault()), "{mood:?}: {last:?}");
            assert_eq!((row.switches, row.source_index, row.state), (1, 1, StreamState::Live), "{mood:?}");
            assert_eq!((strict.entries, row.clients), (2, 1), "{mood:?}");
            assert!(last.at > 1_600_000_000 && !last.detail.is_empty(), "{last:?}");
            wait_until("one upstream", || stage.sources.open(bad) == 0 && stage.sources.open(good) == 1).await;
        });
    }
    while let Some(done) = runs.join_next().await {
        done.unwrap();
    }
}

/// Sources that are bad from the beginning: the first good one plays, and the row says why not the first.
#[tokio::test(flavor = "multi_thread")]
async fn bad_openings_are_passed_over() {
    let stage = Stage::set(0).await;
    stage.sources.set(0, Mood::Refuse);
    stage.sources.set(1, Mood::PageAtOpen);
    for (sources, to, cause) in [(&[0, 2][..], 1, Fault::Status), (&[1, 0, 3], 2, Fault::NotMedia)] {
        let channel = stage.channel(sources).await;
        let mut player = Player::get(stage.daemon.address, &stage.viewer.live(channel)).await;
        let mut strict = Strict::default();
        stage.watch(channel, &mut player, &mut strict, |row| row.switches == 1).await;
        let last = stage.row(channel).unwrap().last_switch.unwrap();
        assert_eq!((last.from, last.to, last.cause), (0, to, cause));
        assert_eq!(strict.entries, 1);
        strict.assert_legal();
    }
}

/// A source that ends before a viewer could begin: the next one is tried whatever `hold_s` is, once, and nothing of the first is in its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_ends_before_it_began_is_passed_over() {
    let (origin, daemon) = (Origin::start().await, Daemon::start().await);
    daemon.set(&[("hold_s", json!(0))]).await;
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n".to_vec();
    // Half a packet is the last of it.
    let packet = [&[0x47, 0x1f, 0xff, 0x10][..], &[0xff; 184]].concat();
    bytes.extend([&packet.repeat(40)[..], &packet[..100]].concat());
    for path in ["/a", "/c"] {
        origin.set(path, Serve::Raw(bytes.clone()));
    }
    origin.set("/b", Serve::Ts(Frame::Close));
    let viewer = daemon.viewer("alice", 0).await;
    let channel = daemon.channel("A", &[&origin.url("/a"), &origin.url("/b")]).await;
    let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
    assert_eq!(player.status, 200, "{}", player.head);
    player.watch(100_000).await;
    player.checker.assert_good_start();
    assert!(player.checker.first.unwrap() < 10, "the first picture is lost: {:?}", player.checker);
    // Where none is left, that is said at once.
    let lone = daemon.channel("B", &[&origin.url("/c")]).await;
    let player = Player::get(daemon.address, &viewer.live(lone)).await;
    assert_eq!(player.status, 502, "{}", player.head);
    let asked =
        ["/a", "/c"].map(|path| origin.heads().iter().filter(|h| h.starts_with(&format!("GET {path} "))).count());
    assert_eq!(asked, [1, 1]);
}

/// A collapse of the bit rate, and then the health of what took over.
#[tokio::test(flavor = "multi_thread")]
async fn a_collapsed_bit_rate_moves_a_stream() {
    let stage = Stage::set(800).await;
    let channel = stage.channel(&[0, 1]).await;
    let mut player = Player::get(stage.daemon.address, &stage.viewer.live(channel)).await;
    let mut strict = Strict::default();
    let usual = |row: &StreamRow| row.health.as_ref().is_some_and(|h| h.usual_bits_per_s.is_some());
    stage.watch(channel, &mut player, &mut strict, usual).await;
    stage.sources.set(0, Mood::Trickle);
    stage.watch(channel, &mut player, &mut strict, |row| row.switches > 0).await;
    strict.assert_legal();
    assert_eq!(stage.row(channel).unwrap().last_switch.unwrap().cause, Fault::Rate);
    stage.watch(channel, &mut player, &mut strict, |row| usual(row) && row.source_index == 1).await;
    let health = stage.row(channel).unwrap().health.unwrap();
    let kinds: Vec<&str> = health.pids.iter().map(|p| p.kind.as_str()).collect();
    assert!(["h264", "aac", "PAT", "PMT", "PCR"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    assert!(health.pids[0].bits_per_s > 100_000 && health.pids[0].pid == 0x120, "{health:?}");
    assert_eq!((health.continuity_errors, health.scrambled, health.fault), (0, 0, None));
    assert!(health.access_ms.is_some_and(|ms| ms == 320) && health.pcr_jitter_us.is_some(), "{health:?}");
}

/// The only source, and one whose other source has just failed too: kept as long as it gives anything, and shown to be bad.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_bad_is_kept_where_nothing_is_better() {
    let stage = Stage::set(0).await;
    let lone = stage.channel(&[0]).await;
    let pair = stage.channel(&[1, 2]).await;
    let (mut one, mut two) = (Strict::default(), Strict::default());
    let mut lone_player = Player::get(stage.daemon.address, &stage.viewer.live(lone)).await;
    let mut pair_player = Player::get(stage.daemon.address, &stage.viewer.live(pair)).await;
    read(&mut lone_player, &mut one, 20_000).await;
    read(&mut pair_player, &mut two, 20_000).await;
    stage.sources.set(0, Mood::Mute);
    stage.sources.set(1, Mood::Blind);
    let fault = |row: &StreamRow| row.health.as_ref().and_then(|h| h.fault);
    stage.watch(pair, &mut pair_player, &mut two, |row| row.switches == 1).await;
    // The other one goes bad the same way a moment later: no way back to the first before its rest is over.
    stage.sources.set(2, Mood::Mute);
    stage.watch(pair, &mut pair_player, &mut two, |row| fault(row) == Some(Fault::Audio)).await;
    stage.watch(lone, &mut lone_player, &mut one, |row| fault(row) == Some(Fault::Audio)).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    read(&mut lone_player, &mut one, 10_000).await;
    read(&mut pair_player, &mut two, 10_000).await;
    for (channel, strict, switches, entries) in [(lone, &one, 0, 1), (pair, &two, 1, 2)] {
        let row = stage.row(channel).unwrap();
        assert_eq!((row.switches, row.reconnects, row.state), (switches, 0, StreamState::Live), "{row:?}");
        assert_eq!(strict.entries, entries);
        strict.assert_legal();
    }
    // What ends for good has to be left, rest or not.
    stage.sources.set(1, Mood::Good);
    stage.sources.set(2, Mood::Reset);
    stage.watch(pair, &mut pair_player, &mut two, |row| row.switches == 2 && row.source_index == 0).await;
    two.assert_legal();
}

/// The only source breaks and refuses: it is asked again and again with growing pauses, its viewer holds on; and only for so long.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_source_is_awaited_for_as_long_as_is_set() {
    let stage = Stage::set(0).await;
    let channel = stage.channel(&[0]).await;
    let mut player = Player::get(stage.daemon.address, &stage.viewer.live(channel)).await;
    let mut strict = Strict::default();
    read(&mut player, &mut strict, 20_000).await;
    stage.sources.set(0, Mood::Refuse);
    wait_until("it was tried again", || stage.row(channel).is_some_and(|row| row.reconnects >= 3)).await;
    let row = stage.row(channel).unwrap();
    assert_eq!((row.state, row.clients, row.switches, row.last_switch), (StreamState::Retrying, 1, 0, None));
    assert!(row.last_error.is_some_and(|e| e.contains("503")));
    stage.sources.set(0, Mood::Good);
    let goes_on = |row: &StreamRow| row.state == StreamState::Live;
    stage.watch(channel, &mut player, &mut strict, goes_on).await;
    assert_eq!(strict.entries, 2);
    strict.assert_legal();
    stage.daemon.set(&[("hold_s", json!(1))]).await;
    stage.sources.set(0, Mood::Refuse);
    let end = async { while !player.read().await.is_empty() {} };
    timeout(PATIENCE, end).await.expect("it is not held for ever");
    wait_until("the stream's end", || stage.row(channel).is_none()).await;
}
