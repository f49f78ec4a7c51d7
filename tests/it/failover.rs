//! Streams move from source to source, by themselves and when they are told to; viewers keep their sockets.

use serde_json::json;
use yagi_api::Fault;

use crate::support::{
    daemon::Daemon,
    origin::{Frame, Origin, Serve},
    place::Admin,
    player::Player,
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
