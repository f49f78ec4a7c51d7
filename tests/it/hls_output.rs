//! HLS: playlists and segments over real sockets, sessions and their seats.

use serde_json::json;
use std::time::{Duration, Instant};
use yagi_api::{CategoryDraft, CategoryId, ChannelId, OutputFormat, UserDraft, UserPatch};

use crate::support::{
    daemon::{Account, Daemon},
    engine::{Engine, Play, Stop},
    hls::{Hls, Make},
    origin::{Frame, Origin, Serve},
    player::Player,
    raw::{Answer, ask},
    ts::Checker,
    wait_until,
};

const HOME: &str = "127.0.0.1";
const AWAY: &str = "127.0.0.2";
const CONTENT: &str = "00000000000000000000000000000000000000dd";

/// A playlist as a player reads it.
#[derive(Debug, Default)]
struct List {
    target: u64,
    sequence: u64,
    breaks: u64,
    /// Path of each segment, its duration, and whether a discontinuity stands before it.
    segments: Vec<(String, f64, bool)>,
    /// When each began, in seconds.
    dates: Vec<f64>,
}

impl List {
    fn read(text: &str, path: &str) -> Self {
        let mut list = Self::default();
        let (mut duration, mut is_break) = (0.0, false);
        assert!(text.starts_with("#EXTM3U\n#EXT-X-VERSION:3\n"), "{text}");
        assert!(!text.contains("ENDLIST"), "a live list has no end");
        let base = url::Url::parse(&format!("http://h{path}")).unwrap();
        for line in text.lines() {
            let number = |tag: &str| line.strip_prefix(tag).map(|n| n.parse().unwrap());
            if let Some(n) = number("#EXT-X-TARGETDURATION:") {
                list.target = n;
            } else if let Some(n) = number("#EXT-X-MEDIA-SEQUENCE:") {
                list.sequence = n;
            } else if let Some(n) = number("#EXT-X-DISCONTINUITY-SEQUENCE:") {
                list.breaks = n;
            } else if let Some(at) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
                list.dates.push(at.parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64 / 1000.0);
            } else if line == "#EXT-X-DISCONTINUITY" {
                is_break = true;
            } else if let Some(rest) = line.strip_prefix("#EXTINF:") {
                duration = rest.trim_end_matches(',').parse().unwrap();
            } else if !line.starts_with('#') {
                let path = base.join(line).unwrap().path().to_owned();
                list.segments.push((path, duration, std::mem::take(&mut is_break)));
                assert!(duration.round() as u64 <= list.target, "{text}");
            }
        }
        assert_eq!(list.dates.len(), list.segments.len(), "{text}");
        // Each segment begins where the one before ended, unless a break stands between them.
        for (dates, segments) in list.dates.windows(2).zip(list.segments.windows(2)) {
            let gap = dates[1] - dates[0] - segments[0].1;
            assert!(if segments[1].2 { gap > -0.002 } else { gap.abs() < 0.002 }, "{gap}: {text}");
        }
        list
    }

    fn newest(&self) -> &str {
        &self.segments.last().unwrap().0
    }

    fn token(&self) -> &str {
        self.newest().split('/').nth(2).unwrap()
    }
}

fn path(viewer: &Account, channel: ChannelId) -> String {
    format!("/live/{}/{}/{channel}.m3u8", viewer.name, viewer.password)
}

async fn fetch(daemon: &Daemon, from: &str, path: &str) -> Answer {
    ask(daemon.address, from, "GET", path, "User-Agent: tv\r\n").await
}

async fn list(daemon: &Daemon, from: &str, path: &str) -> List {
    let answer = fetch(daemon, from, path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/vnd.apple.mpegurl"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    List::read(&answer.text(), path)
}

/// A daemon with short segments, an origin behind one channel, and a viewer.
async fn scene(serve: Serve, limit: u32) -> (Daemon, Origin, ChannelId, Account) {
    let origin = Origin::start().await;
    origin.set("/a", serve);
    let daemon = Daemon::start().await;
    daemon.hurry().await;
    daemon.set(&[("hls_segment_s", json!(1))]).await;
    let channel = daemon.channel("One", &[&origin.url("/a")]).await;
    let viewer = daemon.viewer("alice", limit).await;
    (daemon, origin, channel, viewer)
}

/// Plays like a player: each segment once, in order, until so many have come.
async fn play(daemon: &Daemon, from: &str, path: &str, count: usize) -> (Checker, List) {
    let (mut checker, mut next, mut seen) = (Checker::new(), None, 0);
    let limit = Instant::now() + Duration::from_secs(40);
    loop {
        let list = list(daemon, from, path).await;
        for ((segment, ..), number) in list.segments.iter().zip(list.sequence..) {
            if next.is_some_and(|n| number < n) {
                continue;
            }
            assert!(next.is_none_or(|n| n == number), "{number} after {next:?}: nothing is missed");
            assert!(segment.ends_with(&format!("/{number}.ts")), "{segment} is number {number}");
            let answer = fetch(daemon, from, segment).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some("video/mp2t")));
            let mut own = Checker::new();
            own.feed(&answer.body);
            own.assert_good_start();
            checker.feed(&answer.body);
            next = Some(number + 1);
            seen += 1;
        }
        if seen >= count {
            return (checker, list);
        }
        assert!(Instant::now() < limit, "{seen} of {count} segments in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_a_list_of_segments_that_lose_nothing() {
    let (daemon, origin, channel, viewer) = scene(Serve::Ts(Frame::Close), 0).await;
    let path = path(&viewer, channel);
    // HEAD opens nothing.
    let head = ask(daemon.address, HOME, "HEAD", &path, "").await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/vnd.apple.mpegurl")));
    assert!(daemon.app.streams.rows().is_empty() && daemon.app.seats.is_empty());
    let (checker, last) = play(&daemon, HOME, &path, 8).await;
    assert_eq!((checker.lost, checker.skipped, checker.doubled, checker.torn), (0, 0, 0, 0));
    assert_eq!((last.segments.len(), last.target), (6, 1));
    let age = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0 - last.dates[0];
    assert!((0.0..60.0).contains(&age), "dated by this machine's clock: {age}");
    // Other forms of the address, and other viewers, read the same numbers.
    let short = list(&daemon, HOME, &format!("/{}/{}/{channel}.m3u8", viewer.name, viewer.password)).await;
    let kept = list(&daemon, HOME, &format!("/hls/{}/index.m3u8", last.token())).await;
    // Slashes that a base URL doubled are places too, where a player resolves what is relative.
    let doubled = list(&daemon, HOME, &format!("/live//{}//{}/{channel}.m3u8", viewer.name, viewer.password)).await;
    assert!(doubled.newest().starts_with("/hls/"), "{doubled:?}");
    let other = list(&daemon, AWAY, &path).await;
    assert!([&short, &kept, &other].iter().all(|l| l.sequence >= last.sequence && l.sequence <= last.sequence + 2));
    assert_eq!((short.token(), kept.token()), (last.token(), last.token()));
    assert_ne!(other.token(), last.token());
    assert_eq!((daemon.app.seats.len(), origin.open("/a")), (2, (1, 1)));
    // A part of a segment, its head, and what has never been.
    let segment = last.newest();
    let part = ask(daemon.address, HOME, "GET", segment, "Range: bytes=188-375\r\n").await;
    let whole = fetch(&daemon, HOME, segment).await;
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[188..376]));
    assert_eq!(part.header("content-range"), Some(format!("bytes 188-375/{}", whole.body.len()).as_str()));
    let head = ask(daemon.address, HOME, "HEAD", segment, "").await;
    assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
    let none = segment.rsplit_once('/').unwrap().0;
    assert_eq!(fetch(&daemon, HOME, &format!("{none}/1.ts")).await.status, 404);
    assert_eq!(fetch(&daemon, HOME, &format!("{none}x/1.ts")).await.status, 403);
    // What left the list can still be fetched for a while.
    let oldest = &other.segments[0].0;
    wait_until("the list to go on", || true).await;
    let later = loop {
        let later = list(&daemon, AWAY, &path).await;
        if later.sequence > other.sequence {
            break later;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(fetch(&daemon, AWAY, oldest).await.status, 200, "{} is {} now", other.sequence, later.sequence);
    // It is so far behind what there is; the other has fetched the newest of its list.
    let lags = || daemon.app.seats.rows().iter().map(|r| r.lag_ms).collect::<Vec<_>>();
    wait_until("the lag to be told", || lags().iter().any(|ms| *ms >= 3000)).await;
    // Figures: rows with bytes, and the stream's own.
    let rows = daemon.app.seats.rows();
    assert!(rows.iter().any(|r| r.out_bytes > 100_000 && r.stream.is_some()), "{rows:?}");
    wait_until("the stream to count its clients", || daemon.app.streams.rows()[0].clients == 2).await;
    assert!(daemon.app.streams.rows()[0].out_bytes > 100_000);
    // Nobody fetches: seats and stream are free again.
    wait_until("all seats to be free", || daemon.app.seats.is_empty()).await;
    wait_until("the upstream to be closed", || origin.open("/a").0 == 0).await;
    assert_eq!(fetch(&daemon, HOME, segment).await.status, 410);
}

/// Numbers only grow and a break is told: over a reconnect of the upstream, and over the end of the stream.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_go_on_when_the_upstream_comes_back() {
    let (daemon, origin, channel, viewer) = scene(Serve::TsThenEnd(Frame::Close, 2500), 0).await;
    let path = path(&viewer, channel);
    let mut breaks = 0;
    let mut last = List::default();
    let limit = Instant::now() + Duration::from_secs(40);
    while breaks < 2 {
        assert!(Instant::now() < limit, "{last:?}");
        let next = list(&daemon, HOME, &path).await;
        assert!(next.sequence >= last.sequence && next.breaks >= last.breaks, "{last:?} {next:?}");
        let told = |l: &List| l.breaks + l.segments.iter().filter(|s| s.2).count() as u64;
        if last.sequence > 0 {
            breaks += told(&next) - told(&last);
        }
        last = next;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(origin.open("/a").1 == 1 && daemon.app.seats.len() == 1, "one upstream, one session");
    // The stream ends and begins anew: numbers do not come back.
    wait_until("the stream to end", || daemon.app.streams.rows().is_empty()).await;
    assert!(daemon.app.seats.is_empty());
    let again = list(&daemon, HOME, &path).await;
    assert!(again.sequence > last.sequence && again.breaks >= last.breaks, "{last:?} {again:?}");
}

/// A seam within a source is told to players, also where no clock tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_says_of_its_seams_is_handed_on() {
    let (hls, daemon) = (Hls::start(Make::Plain).await, Daemon::start().await);
    daemon.set(&[("hls_segment_s", json!(1))]).await;
    let channel = daemon.channel("One", &[&hls.url("/live.m3u8")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let path = path(&viewer, channel);
    assert!(list(&daemon, HOME, &path).await.segments.iter().all(|s| !s.2));
    hls.once(Make::Discontinuity);
    let limit = Instant::now() + Duration::from_secs(20);
    while !list(&daemon, HOME, &path).await.segments.iter().any(|s| s.2) {
        assert!(Instant::now() < limit, "no discontinuity is told");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_follows_its_player_to_another_address() {
    let (daemon, _origin, channel, viewer) = scene(Serve::Ts(Frame::Close), 1).await;
    let path = path(&viewer, channel);
    let first = list(&daemon, HOME, &path).await;
    assert_eq!(fetch(&daemon, AWAY, first.newest()).await.status, 200);
    let second = list(&daemon, AWAY, &path).await;
    assert_eq!((second.token(), daemon.app.seats.len()), (first.token(), 1));
    // Two first requests at once are one session.
    let other = daemon.viewer("bob", 1).await;
    let path = format!("/live/{}/{}/{channel}.m3u8", other.name, other.password);
    let (a, b) = tokio::join!(list(&daemon, HOME, &path), list(&daemon, HOME, &path));
    assert_eq!((a.token(), daemon.app.seats.len()), (b.token(), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_a_take_over_and_an_edit_end_a_session_at_once() {
    let (daemon, _origin, channel, viewer) = scene(Serve::Ts(Frame::Close), 1).await;
    let path = path(&viewer, channel);
    let taken = list(&daemon, HOME, &path).await;
    // A stream of another device takes the only seat.
    let request = format!("GET {} HTTP/1.1\r\nHost: h\r\nUser-Agent: other\r\n\r\n", viewer.live(channel));
    let mut player = Player::ask_from(daemon.address, Some(AWAY), None, &request).await;
    assert_eq!(player.status, 200);
    assert_eq!(fetch(&daemon, HOME, taken.newest()).await.status, 410);
    let refused = fetch(&daemon, HOME, &path).await;
    assert_eq!((refused.status, refused.header("x-yagi-reason")), (403, Some("connection-limit")));
    player.watch(10_000).await;
    drop(player);
    wait_until("the seat to be free", || daemon.app.seats.is_empty()).await;
    // Kicked: it stays out, though it asks again by itself.
    let kicked = list(&daemon, HOME, &path).await;
    assert!(daemon.app.seats.kick(daemon.app.seats.rows()[0].id));
    assert_eq!(fetch(&daemon, HOME, kicked.newest()).await.status, 410);
    let refused = fetch(&daemon, HOME, &path).await;
    assert_eq!((refused.status, refused.header("x-yagi-reason")), (403, Some("kicked")));
    wait_until("the seat to be free", || daemon.app.seats.is_empty()).await;
    // Permission is looked at with each request.
    let id = daemon.app.library.catalog().viewer("alice").unwrap().user.id;
    let one = daemon
        .app
        .library
        .create_category("test", CategoryDraft { name: "Other".into(), position: None })
        .await
        .unwrap();
    assert_ne!(one.id, CategoryId(0));
    for (n, patch) in [
        UserPatch { categories: Some(Some(vec!["Other".into()])), ..UserPatch::default() },
        UserPatch { categories: Some(None), expires_at: Some(Some(1)), ..UserPatch::default() },
        UserPatch { expires_at: Some(None), enabled: Some(false), ..UserPatch::default() },
        UserPatch { enabled: Some(true), formats: Some(vec![OutputFormat::Ts]), ..UserPatch::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let agent = format!("User-Agent: tv{n}\r\n");
        let open = ask(daemon.address, HOME, "GET", &path, &agent).await;
        assert_eq!(open.status, 200, "{n}: {}", open.text());
        let list = List::read(&open.text(), &path);
        daemon.app.library.update_user("test", id, patch).await.unwrap();
        assert_eq!(ask(daemon.address, HOME, "GET", list.newest(), &agent).await.status, 403, "{n}");
        wait_until("the seat to be free", || daemon.app.seats.is_empty()).await;
        let back = UserPatch {
            categories: Some(None),
            expires_at: Some(None),
            enabled: Some(true),
            formats: Some(OutputFormat::ALL.to_vec()),
            ..UserPatch::default()
        };
        daemon.app.library.update_user("test", id, back).await.unwrap();
    }
    daemon.app.library.delete_user("test", id).await.unwrap();
    assert_eq!(fetch(&daemon, HOME, &path).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_have_which_format() {
    let (daemon, _origin, channel, _) = scene(Serve::Ts(Frame::Close), 1).await;
    let with = async |name: &str, formats: &[OutputFormat]| {
        let draft = UserDraft { name: name.into(), formats: Some(formats.to_vec()), ..UserDraft::default() };
        daemon.viewer_from(draft).await
    };
    for (account, ts, m3u8) in [
        (with("ts", &[OutputFormat::Ts]).await, 200, 403),
        (with("lists", &[OutputFormat::M3u8]).await, 403, 200),
        (with("both", &[OutputFormat::M3u8, OutputFormat::Ts]).await, 200, 200),
    ] {
        let mut shown = Vec::new();
        for (format, expected) in [("ts", ts), ("m3u8", m3u8)] {
            let stream = format!("/live/{}/{}/{channel}.{format}", account.name, account.password);
            let status = ask(daemon.address, HOME, "HEAD", &stream, "").await.status;
            let lines = fetch(&daemon, HOME, &format!("/get.php?{}&output={format}", account.query())).await;
            assert_eq!((status, lines.status), (expected, expected), "{} {format}", account.name);
            if expected == 200 {
                shown.push(format);
                assert!(lines.text().lines().last().unwrap().ends_with(&format!("{channel}.{format}")));
            } else {
                assert_eq!(lines.header("x-yagi-reason"), Some("format"));
            }
        }
        let login = fetch(&daemon, HOME, &format!("/player_api.php?{}", account.query())).await.json();
        assert_eq!(login["user_info"]["allowed_output_formats"], json!(shown));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acestream_content_is_given_in_segments_too() {
    let engine = Engine::start().await;
    engine.behave(CONTENT, Play::Normal, Stop::Confirm);
    let url = engine.url();
    let daemon = Daemon::with(|c| {
        c.engine.url = url;
        c.ace.open_networks = vec!["127.0.0.1/32".to_owned()];
    })
    .await;
    daemon.hurry().await;
    daemon.set(&[("hls_segment_s", json!(1))]).await;
    let path = format!("/ace/manifest.m3u8?id={CONTENT}");
    let answer = fetch(&daemon, HOME, &path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let list = List::read(&answer.text(), "/ace/manifest.m3u8");
    assert_eq!(fetch(&daemon, HOME, list.newest()).await.status, 200);
    assert_eq!(fetch(&daemon, AWAY, list.newest()).await.status, 403, "not from an open network");
    assert_eq!(fetch(&daemon, AWAY, &path).await.status, 401);
}

/// A source that gives nothing is told as for a stream, and leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_source_is_an_error_and_no_empty_list() {
    let (daemon, _origin, _, viewer) = scene(Serve::Ts(Frame::Close), 1).await;
    let dead = daemon.channel("Dead", &["http://127.0.0.1:9/x"]).await;
    let answer = fetch(&daemon, HOME, &path(&viewer, dead)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
    wait_until("the seat to be free", || daemon.app.seats.is_empty()).await;
}
