//! The network tuner as media centres ask for it.

use std::sync::Arc;

use serde_json::json;
use yagi_api::{ChannelDraft, ChannelSource};
use yagid::{
    config::{Config, Loaded},
    tuner,
};

use crate::support::{
    daemon::Daemon,
    player::Player,
    raw::{get, send},
    secure::file,
    wait_until,
};

async fn tuned(max: u32) -> (Daemon, String) {
    let daemon = Daemon::start().await;
    for name in ["One", "Two", "Three & \"more\""] {
        let sources = vec![ChannelSource { url: "testcard:".into(), headers: vec![] }];
        let draft = ChannelDraft { name: name.into(), sources, ..ChannelDraft::default() };
        daemon.app.library.create_channel("test", draft).await.unwrap();
    }
    daemon.viewer("alice", max).await;
    let token = daemon.app.library.catalog().viewer("alice").unwrap().token.as_ref().unwrap().expose().to_owned();
    (daemon, format!("/hdhr/{token}"))
}

/// What Plex, Jellyfin and Emby ask when a tuner is added, in their order.
#[tokio::test(flavor = "multi_thread")]
async fn a_media_centre_adds_the_tuner_and_scans_it() {
    let (daemon, base) = tuned(2).await;
    let server = format!("http://{}", daemon.address);
    let device = get(daemon.address, &format!("{base}/discover.json")).await.json();
    assert_eq!(device["TunerCount"], json!(2));
    assert_eq!(device["BaseURL"], json!(format!("{server}{base}")));
    let id = device["DeviceID"].as_str().unwrap();
    assert!(id.len() == 8 && u32::from_str_radix(id, 16).is_ok(), "{id}");
    assert_eq!(get(daemon.address, &base).await.json(), device, "the bare address too");
    let description = get(daemon.address, &format!("{base}/device.xml")).await;
    assert!(description.text().contains(&format!("<serialNumber>{id}</serialNumber>")), "{}", description.text());
    let status = get(daemon.address, &format!("{base}/lineup_status.json")).await.json();
    assert_eq!(status, json!({"ScanInProgress": 0, "ScanPossible": 1, "Source": "Cable", "SourceList": ["Cable"]}));
    let host = daemon.address;
    for method in ["GET", "POST", "HEAD"] {
        let request = format!(
            "{method} {base}/lineup.post?scan=start HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let answer = send(daemon.address, "127.0.0.1", request.as_bytes(), method).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{method}: {}", String::from_utf8_lossy(&answer));
    }
    let lineup = get(daemon.address, &format!("{base}/lineup.json")).await.json();
    let rows = lineup.as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let numbers: std::collections::HashSet<_> = rows.iter().map(|r| r["GuideNumber"].as_str().unwrap()).collect();
    assert_eq!(numbers.len(), 3);
    let text = lineup.to_string();
    assert!(!text.contains("alice") && text.contains(&base), "no name, no password: {text}");
    for (file, start) in [("lineup.xml", "<?xml"), ("lineup.m3u", "#EXTM3U")] {
        let answer = get(daemon.address, &format!("{base}/{file}")).await;
        assert!(answer.status == 200 && answer.text().starts_with(start), "{file}: {}", answer.text());
    }
    let url = rows[1]["URL"].as_str().unwrap().strip_prefix(&server).unwrap();
    let mut player = Player::get(daemon.address, url).await;
    assert_eq!((player.status, player.header("content-type")), (200, Some("video/mp2t")));
    player.watch(188 * 100).await;
    assert_eq!(get(daemon.address, &format!("{base}/auto/v99")).await.status, 404);
    assert_eq!(get(daemon.address, &format!("{base}/nothing")).await.status, 404);
    assert_eq!(get(daemon.address, "/hdhr/wrong/discover.json").await.status, 401);
}

/// A recording keeps its tuner: who comes too late is told in the words of a real device.
#[tokio::test(flavor = "multi_thread")]
async fn tuners_that_are_in_use_are_not_taken_away() {
    let (daemon, base) = tuned(1).await;
    let mut first = Player::get(daemon.address, &format!("{base}/auto/v1")).await;
    first.watch(188 * 50).await;
    let late = Player::get(daemon.address, &format!("{base}/auto/v2")).await;
    assert_eq!((late.status, late.header("x-hdhomerun-error")), (503, Some("805 all tuners in use")));
    first.watch(188 * 50).await;
    drop(first);
    wait_until("the tuner to be free", || daemon.app.seats.is_empty()).await;
    assert_eq!(Player::get(daemon.address, &format!("{base}/auto/v2")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_have_no_tuner() {
    let daemon = Daemon::with(|c| c.hdhr.networks = vec!["10.0.0.0/8".into()]).await;
    daemon.viewer("alice", 1).await;
    let token = daemon.app.library.catalog().viewer("alice").unwrap().token.as_ref().unwrap().expose().to_owned();
    assert_eq!(get(daemon.address, &format!("/hdhr/{token}/discover.json")).await.status, 403);
    assert_eq!(get(daemon.address, &format!("/p/{token}")).await.status, 200, "the rest is open");
}

/// What discovery tells of a daemon, to who reaches it at this address.
async fn announced(at: &str, change: impl FnOnce(&mut Config)) -> Option<String> {
    let daemon = Daemon::with(change).await;
    daemon.viewer("alice", 1).await;
    // Afterwards, so that nothing is sent into this machine's network.
    let before = daemon.app.config.load();
    let mut config = before.config.clone();
    config.hdhr.announce = "alice".into();
    daemon.app.config.store(Arc::new(Loaded { config, origins: before.origins.clone(), file: before.file.clone() }));
    let base = tuner::announced(&daemon.app)(at.parse().unwrap()).map(|device| device.base)?;
    let port = daemon.tls_address.unwrap_or(daemon.address).port().to_string();
    let token = daemon.app.library.catalog().viewer("alice").unwrap().token.as_ref().unwrap().expose().to_owned();
    Some(base.replace(&port, "PORT").replace(&token, "TOKEN"))
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_names_an_address_that_answers() {
    let plain = announced("127.0.0.1", |_| {}).await;
    assert_eq!(plain.as_deref(), Some("http://127.0.0.1:PORT/hdhr/TOKEN"));
    assert_eq!(announced("192.0.2.7", |_| {}).await, None, "nothing listens there");
    let public = announced("127.0.0.1", |c| c.server.public_url = "https://tv.example/iptv".into()).await;
    assert_eq!(public.as_deref(), Some("https://tv.example/iptv/hdhr/TOKEN"));
    let secure = |c: &mut Config| {
        c.server.listen.clear();
        c.server.tls_listen = vec!["127.0.0.1:0".parse().unwrap()];
        (c.server.tls_cert, c.server.tls_key) = (file("one.pem"), file("one.key"));
    };
    assert_eq!(announced("127.0.0.1", secure).await.as_deref(), Some("https://127.0.0.1:PORT/hdhr/TOKEN"));
}
