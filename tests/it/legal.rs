//! What viewers are given is legal MPEG-TS for the strictest reader, whatever the source is like and whatever happens to it.

use std::{sync::Arc, time::Duration};

use crate::{
    clients,
    support::{
        daemon::Daemon,
        has,
        mux::{Mux, Shape},
        origin::{Origin, Serve},
        player::Player,
        strict::Strict,
    },
};

const PACKET: usize = 188;
/// Time that a clip is spread over.
const TIME: Duration = Duration::from_secs(1);

/// Reads at least so many bytes and gives them to the strict reader.
async fn read(player: &mut Player, strict: &mut Strict, bytes: usize) {
    let mut seen = 0;
    while seen < bytes {
        let piece = player.read().await;
        assert!(!piece.is_empty(), "the stream ended after {seen} of {bytes} bytes");
        strict.feed(&piece);
        seen += piece.len();
    }
}

async fn with_origin() -> (Origin, Daemon) {
    let (origin, daemon) = (Origin::start().await, Daemon::start().await);
    daemon.hurry().await;
    (origin, daemon)
}

/// Two viewers, one from the start and one midway.
async fn watched(daemon: &Daemon, url: &str, bytes: usize) -> [Strict; 2] {
    let channel = daemon.channel(url, &[url]).await;
    let viewer = daemon.viewer(&format!("u{channel}"), 0).await;
    let path = viewer.live(channel);
    let mut strict = [Strict::default(), Strict::default()];
    let mut first = Player::get(daemon.address, &path).await;
    assert_eq!(first.status, 200, "{url}: {}", first.head);
    read(&mut first, &mut strict[0], bytes / 2).await;
    let mut second = Player::get(daemon.address, &path).await;
    read(&mut first, &mut strict[0], bytes / 2).await;
    read(&mut second, &mut strict[1], bytes / 4).await;
    strict
}

/// Packets of 192 and 204 bytes, rubbish before the first sync byte, every kind of picture and sound.
#[tokio::test(flavor = "multi_thread")]
async fn every_shape_of_source_is_served_legally() {
    let (origin, daemon) = with_origin().await;
    let shapes = [
        Shape::default(),
        Shape { video: Some(0x24), audio: 0x81, flags: false, ..Shape::default() },
        Shape { video: Some(0x02), audio: 0x03, clock_apart: true, ..Shape::default() },
        Shape { video: None, audio: 0x06, ..Shape::default() },
        Shape { programmes: 3, descriptors: 400, ..Shape::default() },
    ];
    let mut runs = tokio::task::JoinSet::new();
    let daemon = Arc::new(daemon);
    for (n, shape) in shapes.into_iter().enumerate() {
        let bytes = Mux::new(shape, n as u64).bytes(400_000);
        for (stride, rubbish) in [(188, 0), (192, 0), (204, 0), (188, 1500)] {
            let mut wire = vec![0xaa; rubbish];
            for packet in bytes.chunks_exact(PACKET) {
                wire.extend_from_slice(&[9; 4][..if stride == 192 { 4 } else { 0 }]);
                wire.extend_from_slice(packet);
                wire.extend_from_slice(&[9; 16][..if stride == 204 { 16 } else { 0 }]);
            }
            let path = format!("/{n}/{stride}/{rubbish}");
            origin.set(&path, Serve::Clip(wire.into(), TIME));
            let (daemon, url) = (daemon.clone(), origin.url(&path));
            runs.spawn(async move {
                for strict in watched(&daemon, &url, 300_000).await {
                    strict.assert_legal();
                    assert_eq!(strict.entries, 1, "{url}");
                }
            });
        }
    }
    while let Some(done) = runs.join_next().await {
        done.unwrap();
    }
}

/// A source that ends and comes back, and others that take over: each seam is an entry, and tables that differ have new versions.
#[tokio::test(flavor = "multi_thread")]
async fn seams_between_sources_are_legal() {
    let (origin, daemon) = with_origin().await;
    let mut urls = Vec::new();
    for (n, shape) in [
        Shape { begins_s: 5000, ..Shape::default() },
        Shape { video: Some(0x24), first_pid: 0x101, ..Shape::default() },
        Shape { clock_apart: true, flags: false, pmt_pid: 0x42, descriptors: 300, ..Shape::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{n}");
        // Ends in the middle of a packet.
        let mut bytes = Mux::new(shape, n as u64).bytes(200_000);
        bytes.truncate(bytes.len() - 100);
        origin.set(&path, Serve::Clip(bytes.into(), TIME / 4));
        urls.push(origin.url(&path));
    }
    let channel = daemon.channel("A", &[&urls[0], &urls[1], &urls[2]]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
    let mut strict = Strict::default();
    while strict.entries < 5 {
        read(&mut player, &mut strict, 10_000).await;
    }
    strict.assert_legal();
    assert!(strict.bumps >= 4, "the tables changed, their versions only {} times", strict.bumps);
}

/// The ring laps a viewer again and again.
#[tokio::test(flavor = "multi_thread")]
async fn skips_are_legal() {
    let origin = Origin::start().await;
    let daemon = Daemon::with(|c| c.stream.ring_mib = 1).await;
    daemon.hurry().await;
    for (n, shape) in [
        Shape { programmes: 2, descriptors: 300, ..Shape::default() },
        Shape { clock_apart: true, flags: false, ..Shape::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{n}");
        origin.set(&path, Serve::Clip(Mux::new(shape, 1).bytes(12 << 20).into(), TIME * 4));
        let channel = daemon.channel(&path, &[&origin.url(&path)]).await;
        let viewer = daemon.viewer(&format!("u{n}"), 0).await;
        let request = format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", viewer.live(channel));
        let mut slow = Player::ask_from(daemon.address, None, Some(4096), &request).await;
        let mut quick = Player::get(daemon.address, &viewer.live(channel)).await;
        let (mut slow_one, mut quick_one) = (Strict::default(), Strict::default());
        for _ in 0..2 {
            // Somebody who keeps up shows how far the stream has come.
            read(&mut quick, &mut quick_one, 4 << 20).await;
            read(&mut slow, &mut slow_one, 1_200_000).await;
        }
        quick_one.assert_legal();
        slow_one.assert_legal();
        assert_eq!(quick_one.entries, 1);
        assert!(slow_one.entries > 1, "it was not lapped");
    }
}

/// What a real muxer makes, through a seam of its own.
#[tokio::test(flavor = "multi_thread")]
async fn real_streams_stay_legal() {
    if !has("ffmpeg") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (origin, daemon) = with_origin().await;
    for codecs in [
        "-c:v libx264 -preset ultrafast -bf 2 -g 25 -c:a aac",
        "-c:v mpeg2video -b:v 1500k -g 12 -c:a mp2",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25 -c:a ac3",
        "-map 1:a -c:a aac",
        "-map 0:v -map 1:a -c:v libx264 -preset ultrafast -g 25 -c:a aac -mpegts_m2ts_mode 1",
    ] {
        let Some(clip) = clients::clip(dir.path(), codecs).await else { continue };
        let url = origin.url("/real");
        origin.set("/real", Serve::Clip(clip.clone(), TIME * 2));
        let channel = daemon.channel(codecs, &[&url]).await;
        let viewer = daemon.viewer(&format!("u{channel}"), 0).await;
        let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
        assert_eq!(player.status, 200, "{codecs}: {}", player.head);
        let mut strict = Strict::default();
        while strict.entries < 2 {
            read(&mut player, &mut strict, 10_000).await;
        }
        strict.assert_legal();
        drop(player);
        daemon.app.streams.stop_channel(channel);
        origin.set("/real", Serve::Silent);
    }
}
