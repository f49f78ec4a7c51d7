//! One upstream, many viewers: what each gets, what a bad one costs the others, and what is left behind.

use std::time::Duration;

use serde_json::json;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use yagi_api::StreamState;

use crate::support::{
    daemon::Daemon,
    engine::{Engine, Play, Stop, infohash},
    origin::{Frame, Origin, Serve},
    player::Player,
    wait_until,
};

const CONTENT: &str = "00000000000000000000000000000000000000aa";
const OTHER: &str = "00000000000000000000000000000000000000bb";

async fn with_engine() -> (Engine, Daemon) {
    let engine = Engine::start().await;
    let url = engine.url();
    let daemon = Daemon::with(|c| c.engine.url = url).await;
    daemon.hurry().await;
    (engine, daemon)
}

/// 50 viewers of one AceStream channel: one session, and each receives a continuous stream from a clean start.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_viewers_share_one_engine_session() {
    let (engine, daemon) = with_engine().await;
    let channel = daemon.channel("One", &[&format!("acestream://{CONTENT}")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let mut players = JoinSet::new();
    for _ in 0..50 {
        let (address, path) = (daemon.address, viewer.live(channel));
        players.spawn(async move {
            let mut player = Player::get(address, &path).await;
            assert_eq!((player.status, player.header("content-type")), (200, Some("video/mp2t")), "{}", player.head);
            assert_eq!(player.header("content-length"), None);
            player.watch(400_000).await;
            player.checker.assert_good_start();
            player.checker.assert_continuous();
        });
    }
    while let Some(done) = players.join_next().await {
        done.unwrap();
    }
    assert_eq!((engine.opened(), engine.most_of_one()), (1, 1));
    wait_until("the session's stop after the linger", || engine.stops() == [1]).await;
    wait_until("the upstream socket to close", || engine.sockets() == 0).await;
    assert!(daemon.app.streams.rows().is_empty() && daemon.app.seats.is_empty());
}

/// The upstream is let go of even when the engine does not answer the stop call.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_call_that_fails_or_hangs_leaves_no_socket() {
    for stop in [Stop::Fail, Stop::Hang] {
        let (engine, daemon) = with_engine().await;
        engine.behave(CONTENT, Play::Normal, stop);
        let channel = daemon.channel("One", &[&format!("acestream://{CONTENT}")]).await;
        let viewer = daemon.viewer("alice", 0).await;
        let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
        player.watch(10_000).await;
        drop(player);
        wait_until("the stream's end", || daemon.app.streams.rows().is_empty()).await;
        wait_until("one stop call and no reader", || engine.stops() == [1] && engine.readers().0 == 0).await;
    }
}

/// Twenty cold viewers at once, by content id, by infohash and by `/ace/getstream`: one session.
#[tokio::test(flavor = "multi_thread")]
async fn a_cold_herd_opens_one_session() {
    let (engine, daemon) = with_engine().await;
    let channel = daemon.channel("One", &[&format!("acestream://{CONTENT}")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let gate = std::sync::Arc::new(tokio::sync::Barrier::new(20));
    let mut players = JoinSet::new();
    for n in 0..20 {
        let (address, gate) = (daemon.address, gate.clone());
        let path =
            if n % 2 == 0 { viewer.live(channel) } else { format!("/ace/getstream?id={CONTENT}&{}", viewer.query()) };
        players.spawn(async move {
            gate.wait().await;
            let mut player = Player::get(address, &path).await;
            player.watch(50_000).await;
            player.checker.assert_good_start();
            player.checker.assert_continuous();
            player
        });
    }
    let held = players.join_all().await;
    assert_eq!(engine.opened(), 1);
    // The same content by its infohash joins the stream that runs.
    let path = format!("/ace/getstream?infohash={}&{}", infohash(CONTENT), viewer.query());
    let mut player = Player::get(daemon.address, &path).await;
    player.watch(10_000).await;
    assert_eq!((engine.opened(), daemon.app.streams.rows().len()), (1, 1));
    drop((held, player));
}

/// Viewers that stop reading, more of them than of the others, cost those nothing and are cut.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_viewers_cost_the_others_nothing() {
    const STALLED: u64 = 20;
    let origin = Origin::start().await;
    origin.set("/a", Serve::Ts(Frame::Chunked));
    let daemon = Daemon::start().await;
    daemon.hurry().await;
    daemon.set(&[("stall_cut_s", json!(2))]).await;
    let channel = daemon.channel("A", &[&origin.url("/a")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let request = format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", viewer.live(channel));
    // A small receive buffer fills within the test's time at this bit rate.
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(Player::ask_from(daemon.address, None, Some(4096), &request).await);
    }
    let mut others = JoinSet::new();
    for _ in 0..10 {
        let (address, path) = (daemon.address, viewer.live(channel));
        others.spawn(async move {
            let mut player = Player::get(address, &path).await;
            player.watch(1_200_000).await;
            player.checker.assert_good_start();
            player.checker.assert_continuous();
        });
    }
    while let Some(done) = others.join_next().await {
        done.unwrap();
    }
    let dropped = || daemon.app.streams.rows().first().is_some_and(|r| r.dropped_clients == STALLED);
    timeout(Duration::from_secs(20), async {
        while !dropped() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the stalled viewers are cut");
    wait_until("all seats to be free", || daemon.app.seats.is_empty()).await;
    drop(stalled);
}

/// A pause is no parting: a viewer that reads nothing for longer than the kernel waits for one that vanished goes on.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute"]
async fn a_paused_viewer_has_the_time_that_it_is_given() {
    let origin = Origin::start().await;
    origin.set("/a", Serve::TsAt(80));
    let daemon = Daemon::start().await;
    daemon.set(&[("stall_cut_s", json!(600))]).await;
    let channel = daemon.channel("A", &[&origin.url("/a")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let request = format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", viewer.live(channel));
    let mut player = Player::ask_from(daemon.address, None, Some(4096), &request).await;
    player.watch(20_000).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(daemon.app.seats.len(), 1);
    player.watch(3_000_000).await;
    assert!(player.checker.skipped > 0 && player.checker.torn == 0, "{:?}", player.checker);
}

/// A slow viewer whom the ring laps goes on at a random-access point; no packet is torn, each jump is announced.
#[tokio::test(flavor = "multi_thread")]
async fn a_lapped_viewer_goes_on_cleanly() {
    let origin = Origin::start().await;
    origin.set("/a", Serve::TsAt(80));
    let daemon = Daemon::with(|c| c.stream.ring_mib = 1).await;
    daemon.hurry().await;
    let channel = daemon.channel("A", &[&origin.url("/a")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let request = format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", viewer.live(channel));
    let mut slow = Player::ask_from(daemon.address, None, Some(4096), &request).await;
    slow.watch(1000).await;
    // Somebody who keeps up shows how far the stream has come: three rings further.
    let mut quick = Player::get(daemon.address, &viewer.live(channel)).await;
    quick.watch(3 << 20).await;
    quick.checker.assert_continuous();
    slow.watch(2 << 20).await;
    slow.checker.assert_good_start();
    let checker = &slow.checker;
    assert_eq!((checker.torn, checker.jumps, checker.doubled, checker.lost), (0, 0, 0, 0), "{checker:?}");
    assert!(checker.skipped > 0, "it was not lapped: {checker:?}");
}

/// An engine that is silent delays no other channel and leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_engine_delays_nobody_else() {
    let engine = Engine::start().await;
    let url = engine.url();
    let daemon = Daemon::with(|c| {
        c.engine.url = url;
        c.engine.open_timeout_s = 2;
    })
    .await;
    daemon.hurry().await;
    engine.behave(CONTENT, Play::Silent(Duration::from_secs(30)), Stop::Confirm);
    let dead = daemon.channel("Dead", &[&format!("acestream://{CONTENT}")]).await;
    let good = daemon.channel("Good", &[&format!("acestream://{OTHER}")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let (address, path) = (daemon.address, viewer.live(dead));
    let waiting = tokio::spawn(async move { Player::get(address, &path).await });
    wait_until("the silent session", || engine.opened() == 1).await;
    let mut player = Player::get(daemon.address, &viewer.live(good)).await;
    player.watch(50_000).await;
    player.checker.assert_continuous();
    let refused = waiting.await.unwrap();
    assert_eq!(refused.status, 504, "{}", refused.head);
    assert!(refused.header("retry-after").is_some() && refused.header("content-length").is_some());
    // A later viewer starts anew: the engine plays now.
    engine.behave(CONTENT, Play::Normal, Stop::Confirm);
    let mut again = Player::get(daemon.address, &viewer.live(dead)).await;
    assert_eq!(again.status, 200);
    again.watch(50_000).await;
    again.checker.assert_good_start();
}

/// A viewer who leaves before the first byte leaves no seat; nobody waits for that stream any more.
#[tokio::test(flavor = "multi_thread")]
async fn leaving_while_a_channel_opens_frees_everything() {
    let (engine, daemon) = with_engine().await;
    engine.behave(CONTENT, Play::Silent(Duration::from_secs(60)), Stop::Confirm);
    let channel = daemon.channel("Dead", &[&format!("acestream://{CONTENT}")]).await;
    let viewer = daemon.viewer("alice", 1).await;
    let mut socket = TcpStream::connect(daemon.address).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", viewer.live(channel));
    tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes()).await.unwrap();
    wait_until("the session", || engine.opened() == 1 && daemon.app.seats.len() == 1).await;
    drop(socket);
    wait_until("the seat", || daemon.app.seats.is_empty()).await;
    wait_until("the stream and its session to end", || daemon.app.streams.rows().is_empty() && engine.stops() == [1])
        .await;
}

/// What the engine says, and what other upstreams do wrong, reaches the player as a status and a sentence.
#[tokio::test(flavor = "multi_thread")]
async fn failures_before_the_first_byte_are_answers() {
    let (engine, daemon) = with_engine().await;
    engine.behave(CONTENT, Play::Refuse("unknown content".into()), Stop::Confirm);
    let origin = Origin::start().await;
    origin.set("/404", Serve::Answer("404 Not Found", "text/plain", b"no".to_vec()));
    origin.set("/500", Serve::Answer("500 Oops", "text/plain", b"no".to_vec()));
    origin.set("/html", Serve::Answer("200 OK", "text/html", b"<html>expired</html>".to_vec()));
    origin.set("/empty", Serve::Answer("200 OK", "video/mp2t", Vec::new()));
    let viewer = daemon.viewer("alice", 0).await;
    for (url, status, words) in [
        (format!("acestream://{CONTENT}"), 502, "unknown content"),
        (origin.url("/404"), 404, "404"),
        (origin.url("/500"), 502, "500"),
        (origin.url("/html"), 502, "no MPEG-TS"),
        (origin.url("/empty"), 502, ""),
        ("http://127.0.0.1:1/".to_owned(), 503, "reach"),
    ] {
        let channel = daemon.channel(&url, &[&url]).await;
        let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
        assert_eq!(player.status, status, "{url}: {}", player.head);
        let text = player.text().await;
        assert!(text.to_lowercase().contains(&words.to_lowercase()), "{url}: {text}");
    }
    wait_until("no stream is left", || daemon.app.streams.rows().is_empty()).await;
    assert!(daemon.app.seats.is_empty());
}

/// An upstream that ends is opened again while viewers keep their sockets; the seam is legal.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_ends_is_reopened_under_its_viewers() {
    let origin = Origin::start().await;
    origin.set("/a", Serve::TsThenEnd(Frame::Chunked, 3000));
    let daemon = Daemon::start().await;
    daemon.hurry().await;
    let channel = daemon.channel("A", &[&origin.url("/a")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
    player.watch(5000 * 188).await;
    player.checker.assert_good_start();
    // The origin numbers each connection anew: what counts is that counters never jump unannounced.
    assert_eq!((player.checker.torn, player.checker.jumps), (0, 0), "{:?}", player.checker);
    assert!(daemon.app.streams.rows()[0].reconnects >= 1);
    assert_eq!(origin.open("/a").1, 1, "never two connections at once");
}

/// The second source takes over when the first fails, and HEAD opens nothing at all.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_source_takes_over_and_head_opens_nothing() {
    let origin = Origin::start().await;
    origin.set("/first", Serve::TsThenReset(2000));
    origin.set("/second", Serve::Ts(Frame::Close));
    let daemon = Daemon::start().await;
    daemon.hurry().await;
    let channel = daemon.channel("A", &[&origin.url("/first"), &origin.url("/second")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let head = format!("HEAD {} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", viewer.live(channel));
    let probe = Player::ask(daemon.address, &head).await;
    assert_eq!((probe.status, probe.header("content-type")), (200, Some("video/mp2t")));
    assert!(origin.heads().is_empty() && daemon.app.streams.rows().is_empty());
    let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
    player.watch(4000 * 188).await;
    assert_eq!((player.checker.torn, player.checker.jumps), (0, 0), "{:?}", player.checker);
    let row = daemon.app.streams.rows().remove(0);
    assert_eq!((row.source_index, row.state), (1, StreamState::Live));
}

/// The count of a stream is the set of its sockets: it follows joins, leaves and kicks.
#[tokio::test(flavor = "multi_thread")]
async fn counts_follow_the_sockets_and_a_kick_closes_one() {
    let origin = Origin::start().await;
    origin.set("/a", Serve::Ts(Frame::Length));
    let daemon = Daemon::start().await;
    let channel = daemon.channel("A", &[&origin.url("/a")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
        player.watch(1000).await;
        held.push(player);
    }
    let clients = || daemon.app.streams.rows()[0].clients;
    wait_until("five clients", || clients() == 5 && daemon.app.seats.len() == 5).await;
    held.pop();
    wait_until("four clients", || clients() == 4 && daemon.app.seats.len() == 4).await;
    let victim = daemon.app.seats.rows()[0].id;
    assert!(daemon.app.seats.kick(victim));
    held[0].ended().await;
    wait_until("three clients", || clients() == 3 && daemon.app.seats.len() == 3).await;
    let id = daemon.app.streams.rows()[0].id;
    assert!(daemon.app.streams.stop(id) && !daemon.app.streams.stop(id + 1));
    for player in &mut held[1..] {
        player.ended().await;
    }
    wait_until("nothing is left", || daemon.app.seats.is_empty() && daemon.app.streams.rows().is_empty()).await;
}

/// Stopping the daemon ends every engine session and closes every viewer's socket.
#[tokio::test(flavor = "multi_thread")]
async fn shutdown_stops_every_session() {
    let (engine, daemon) = with_engine().await;
    let viewer = daemon.viewer("alice", 0).await;
    let mut players = Vec::new();
    for content in [CONTENT, OTHER] {
        let channel = daemon.channel(content, &[&format!("acestream://{content}")]).await;
        let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
        player.watch(10_000).await;
        players.push(player);
    }
    let dir = daemon.stop().await;
    for player in &mut players {
        player.ended().await;
    }
    assert_eq!(engine.stops(), [1, 1]);
    drop(dir);
}
