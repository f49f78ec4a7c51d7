//! HLS inputs: playlists, keys, ranges and faults, through the daemon to a viewer.

use std::{collections::HashSet, time::Duration};

use crate::{
    clients::{has, probe, run, words},
    support::{
        daemon::Daemon,
        hls::{Hls, Make},
        origin::{Origin, Serve},
        player::Player,
        ts::{Checker, Generator},
        wait_until,
    },
};

async fn watching(daemon: &Daemon, url: &str) -> Player {
    let viewer = daemon.viewer(&format!("v{}", daemon.app.library.catalog().rev), 0).await;
    let channel = daemon.channel("One", &[url]).await;
    Player::get(daemon.address, &viewer.live(channel)).await
}

/// What the upstream of the one stream says of itself.
fn said(daemon: &Daemon) -> String {
    daemon.app.streams.rows().first().and_then(|row| row.engine.clone()).unwrap_or_default()
}

/// Early and late viewers of one playlist: each segment is fetched once, over one connection at a time.
#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_viewers_cost_one_reader() {
    let (hls, daemon) = (Hls::start(Make::Plain).await, Daemon::start().await);
    daemon.hurry().await;
    let viewer = daemon.viewer("alice", 0).await;
    let channel = daemon.channel("One", &[&hls.url("/live.m3u8")]).await;
    let mut players = Vec::new();
    for _ in 0..3 {
        let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
        assert_eq!(player.status, 200, "{}", player.head);
        player.watch(300_000).await;
        players.push(player);
    }
    for player in &mut players {
        player.watch(300_000).await;
        player.checker.assert_good_start();
        player.checker.assert_continuous();
    }
    let asked = hls.asked();
    let segments: Vec<_> = asked.iter().filter(|path| path.contains("/seg/")).collect();
    assert_eq!(segments.iter().collect::<HashSet<_>>().len(), segments.len(), "each segment once");
    assert_eq!(hls.sockets().1, 1, "one request at a time");
    assert!(said(&daemon).starts_with("HLS segment "), "{}", said(&daemon));
    drop(players);
    wait_until("the stream's end", || daemon.app.streams.rows().is_empty() && hls.sockets().0 == 0).await;
}

/// Redirects, relative addresses, variants, keys and byte ranges give the bytes that a plain playlist gives.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_a_playlist_is_read() {
    for (make, path) in [
        (Make::Sealed, "/live.m3u8"),
        (Make::SealedWithIv, "/moved"),
        (Make::Range, "/deep/live.m3u8"),
        (Make::RangeIgnored, "/deep/live.m3u8"),
        (Make::Plain, "/master.m3u8"),
    ] {
        let hls = Hls::start(make).await;
        let daemon = Daemon::with(|c| c.upstream.hls_max_kbit_per_s = 3000).await;
        let mut player = watching(&daemon, &hls.url(path)).await;
        assert_eq!(player.status, 200, "{make:?}: {}", player.head);
        player.watch(500_000).await;
        player.checker.assert_good_start();
        player.checker.assert_continuous();
        let keys = hls.asked().iter().filter(|p| p.ends_with("/key")).count();
        assert_eq!(keys, usize::from(matches!(make, Make::Sealed | Make::SealedWithIv)), "{make:?}");
        if path == "/master.m3u8" {
            assert!(said(&daemon).starts_with("HLS 320x180 2.0 Mbit/s, segment"), "{}", said(&daemon));
        }
    }
}

/// Where a segment is missing, broken or of another source, the viewer gets a legal seam and nothing torn.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_becomes_a_legal_seam() {
    for make in [Make::Missing, Make::Page, Make::Cut, Make::Discontinuity] {
        let (hls, daemon) = (Hls::start(Make::Plain).await, Daemon::start().await);
        let mut player = watching(&daemon, &hls.url("/live.m3u8")).await;
        assert_eq!(player.status, 200, "{}", player.head);
        player.watch(100_000).await;
        hls.once(make);
        while player.checker.skipped == 0 {
            player.watch(10_000).await;
        }
        player.watch(200_000).await;
        let seen = &player.checker;
        assert_eq!((seen.lost, seen.doubled, seen.torn, seen.jumps), (0, 0, 0, 0), "{make:?}: {seen:?}");
        let row = &daemon.app.streams.rows()[0];
        assert_eq!(row.reconnects, 0, "{make:?}: {:?}", row.last_error);
        assert_eq!(said(&daemon).contains("1 left out"), make != Make::Discontinuity, "{}", said(&daemon));
    }
}

/// A packager that starts anew is followed; one that stops is a fault for the stream to repair.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_followed_and_a_stall_is_a_fault() {
    let (hls, daemon) = (Hls::start(Make::Plain).await, Daemon::start().await);
    daemon.hurry().await;
    let mut player = watching(&daemon, &hls.url("/live.m3u8")).await;
    player.watch(100_000).await;
    hls.restart();
    while player.checker.skipped == 0 {
        player.watch(10_000).await;
    }
    player.watch(100_000).await;
    let seen = &player.checker;
    assert_eq!((seen.lost, seen.doubled, seen.torn, seen.jumps), (0, 0, 0, 0), "{seen:?}");
    hls.stall();
    wait_until("the fault", || daemon.app.streams.rows().iter().any(|r| r.reconnects > 0)).await;
}

/// A list that has its end is given in its own time and to the last byte, also where no segment tells its length.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_an_end_is_given_in_its_time_and_whole() {
    let (origin, daemon) = (Origin::start().await, Daemon::start().await);
    let (mut generator, mut whole) = (Generator::new(200, 1_500_000), Checker::new());
    let mut list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n".to_owned();
    for n in 0..6 {
        let bytes = generator.packets(404);
        whole.feed(&bytes);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";
        origin.set(&format!("/{n}.ts"), Serve::Raw([head.as_bytes(), &bytes].concat()));
        list += &format!("#EXTINF:0.5,\n/{n}.ts\n");
    }
    list += "#EXT-X-ENDLIST\n";
    origin.set("/list.m3u8", Serve::Answer("200 OK", "application/vnd.apple.mpegurl", list.into_bytes()));
    let begun = std::time::Instant::now();
    let mut player = watching(&daemon, &origin.url("/list.m3u8")).await;
    while player.checker.last < whole.last {
        player.watch(1000).await;
        assert!(begun.elapsed() < Duration::from_secs(30) && player.checker.doubled == 0, "{:?}", player.checker);
    }
    player.checker.assert_continuous();
    // The last four of half a second each.
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
}

/// What cannot be relayed is refused in words that say why.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_relayed_is_named() {
    let (hls, daemon) = (Hls::start(Make::Plain).await, Daemon::start().await);
    for (extra, word) in [
        ("#EXT-X-MAP:URI=\"init.mp4\"\n", "fragmented MP4"),
        ("#EXTINF:1,\n/seg/none.ts\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n#EXTINF:1,\nx.ts\n", "protected"),
    ] {
        hls.say(extra);
        let mut player = watching(&daemon, &hls.url("/live.m3u8")).await;
        let text = player.text().await;
        assert_eq!(player.status, 502);
        assert!(text.contains(word), "{text}");
    }
    let origin = Origin::start().await;
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:1\n";
    for (tail, word) in [
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"/nokey\"\n#EXTINF:1,\n/a.ts\n", "key of an HLS segment was refused"),
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"http://169.254.169.254/k\"\n#EXTINF:1,\n/a.ts\n", "link-local"),
        ("#EXTINF:1,\nfile:///etc/passwd\n", "only http:// and https://"),
        ("#EXTINF:1,\n/page\n", "web page"),
        ("#EXTINF:1,\n/mp4\n", "video/mp4"),
    ] {
        origin.set("/page", Serve::Answer("200 OK", "text/html", b"<html>".to_vec()));
        origin.set("/mp4", Serve::Answer("200 OK", "video/mp4", [&b"\0\0\0\x20ftyp"[..], &[0; 2000]].concat()));
        let list = format!("{head}{}#EXT-X-ENDLIST\n", tail.repeat(3));
        origin.set("/list", Serve::Answer("200 OK", "text/plain", list.into_bytes()));
        let mut player = watching(&daemon, &origin.url(&format!("/list?{}", word.len()))).await;
        let text = player.text().await;
        assert_eq!(player.status, 502, "{text}");
        assert!(text.contains(word), "{word}: {text}");
    }
    origin.set("/huge", Serve::Answer("200 OK", "text/plain", [head.as_bytes(), &vec![b'#'; 2 << 20]].concat()));
    let mut player = watching(&daemon, &origin.url("/huge")).await;
    assert!(player.text().await.contains("longer than 1 MiB") || player.status == 504);
}

/// Encrypted segments as ffmpeg makes them, decoded by ffprobe from our URL.
#[tokio::test(flavor = "multi_thread")]
async fn what_ffmpeg_packages_is_played() {
    if !has("ffmpeg") || !has("ffprobe") {
        return;
    }
    let (dir, origin, daemon) = (tempfile::tempdir().unwrap(), Origin::start().await, Daemon::start().await);
    let place = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(place("key"), [7; 16]).unwrap();
    std::fs::write(place("keyinfo"), format!("key\n{}\n", place("key"))).unwrap();
    let inputs =
        "-v error -y -f lavfi -i testsrc2=size=320x180:rate=25:duration=20 -f lavfi -i sine=frequency=440:duration=20";
    let codecs = "-c:v libx264 -preset ultrafast -g 25 -c:a aac -f hls -hls_time 2 -hls_list_size 0 -hls_key_info_file";
    let made = run(
        "ffmpeg",
        words(inputs).chain(words(codecs)).map(str::to_owned).chain([place("keyinfo"), place("list.m3u8")]),
    )
    .await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let bytes = std::fs::read(place(&name)).unwrap();
        origin.set(&format!("/{name}"), Serve::Answer("200 OK", "application/octet-stream", bytes));
    }
    let viewer = daemon.viewer("alice", 0).await;
    let channel = daemon.channel("One", &[&origin.url("/list.m3u8")]).await;
    let url = daemon.url(&viewer.live(channel));
    let streams = tokio::time::timeout(Duration::from_secs(60), probe(&url)).await.unwrap();
    let names: Vec<_> = streams.iter().map(|(kind, codec)| (kind.as_str(), codec.as_str())).collect();
    assert_eq!(names, [("audio", "aac"), ("video", "h264")]);
}
