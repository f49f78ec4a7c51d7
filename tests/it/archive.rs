//! Catch-up through the whole daemon: what players are told of a provider's archive, in which spellings they may ask, and how it is
//! relayed.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use yagi_api::{ChannelId, SourceDraft, SourceId, SourceKind, UserDraft};

use crate::{
    clients::{clip, probe},
    clients_lists::{found, installed, playlist, script},
    support::{
        daemon::{Account, Daemon},
        has,
        origin::{Frame, Origin, Serve},
        player::Player,
        raw::{self, Answer, get},
        ts::{Checker, Generator},
        wait_until,
    },
};

/// Of the provider's account: no answer and no table may show it.
const CANARY: &str = "canarysecret";

struct Provider {
    origin: Origin,
    daemon: Daemon,
    viewer: Account,
    source: SourceId,
}

impl Provider {
    /// One channel without and one of each kind with an archive. The panel says that it lives in Rome; its account has one place.
    async fn start() -> Self {
        let (origin, daemon) = (Origin::start().await, Daemon::start().await);
        let live = |n: u32| origin.url(&format!("/live/pu/{CANARY}/{n}.ts"));
        let list = format!(
            "#EXTM3U\n#EXTINF:-1,None\n{}\n#EXTINF:-1 timeshift=\"7\",Panel\n{}\n\
             #EXTINF:-1 catchup=\"shift\" catchup-days=\"2\",Shift\n{}?pass={CANARY}\n\
             #EXTINF:-1 catchup=\"default\" catchup-days=\"3\" catchup-source=\"{}?utc={{utc}}&end=${{end}}&pass={CANARY}\",Own\n{}\n",
            live(1),
            live(77),
            origin.url("/3.ts"),
            origin.url("/recording"),
            live(4),
        );
        origin.set("/list", Serve::Answer("200 OK", "text/plain", list.into_bytes()));
        let panel = json!({"user_info": {"auth": 1}, "server_info": {"timezone": "Europe/Rome"}}).to_string();
        origin.set("/player_api.php", Serve::Answer("200 OK", "application/json", panel.into_bytes()));
        origin.set(&format!("/live/pu/{CANARY}/1.ts"), Serve::Ts(Frame::Close));
        let draft = SourceDraft {
            url: origin.url("/list"),
            kind: Some(SourceKind::Playlist),
            name: Some("provider".to_owned()),
            interval_s: Some(0),
            max_upstreams: Some(1),
            ..SourceDraft::default()
        };
        let source = daemon.app.library.create_source("test", draft).await.unwrap().id;
        assert!(daemon.app.refresher.queue_and_wait(source).await.ok);
        let viewer = daemon.viewer("alice", 0).await;
        Self { origin, daemon, viewer, source }
    }

    fn id(&self, name: &str) -> ChannelId {
        self.daemon.app.library.catalog().channels().iter().find(|c| c.name == name).unwrap().id
    }

    fn login(&self) -> String {
        format!("{}/{}", self.viewer.name, self.viewer.password)
    }

    /// The last request to this path of the provider.
    #[track_caller]
    fn asked(&self, path: &str) -> String {
        let heads = self.origin.heads();
        let found = heads.iter().rev().filter_map(|h| h.split(' ').nth(1)).find(|t| t.starts_with(path));
        found.unwrap_or_else(|| panic!("{path} was not asked for: {heads:?}")).to_owned()
    }

    async fn get(&self, path: &str) -> Answer {
        get(self.daemon.address, path).await
    }
}

/// Two hours ago, at a whole minute.
fn start() -> i64 {
    (Timestamp::now().as_second() - 7200) / 60 * 60
}

fn date(at: i64, zone: &str) -> String {
    let at = TimeZone::get(zone).unwrap().to_datetime(Timestamp::from_second(at).unwrap());
    at.strftime("%Y-%m-%d:%H-%M").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_leads_to_the_providers_own() {
    let provider = Provider::start().await;
    let at = start();
    let (there, id, login) = (date(at, "Europe/Rome"), provider.id("Panel"), provider.login());
    let archive = format!("/timeshift/pu/{CANARY}/90/{there}/77.ts");
    provider.origin.set(&archive, Serve::TsThenEnd(Frame::Length, 400));
    let query = provider.viewer.query();
    let token = provider.daemon.app.library.catalog().viewer("alice").unwrap().token.clone().unwrap();
    let mut all = Vec::new();
    for path in [
        format!("/timeshift/{login}/90/{}/{id}.ts", date(at, "UTC")),
        format!("/timeshift/{login}/90/{}/{id}", date(at, "UTC")),
        format!("/timeshift/alice/{}/90/{}/{id}.ts", token.expose(), date(at, "UTC")),
        format!("/streaming/timeshift.php?{query}&stream={id}&start={}&duration=90", date(at, "UTC")),
        format!("/timeshift.php?token={}&stream={id}&start={}&duration=90", token.expose(), date(at, "UTC")),
        format!("/timeshift/{login}/{id}.ts?utc={at}&lutc=1&duration=5400"),
        format!("/live/{login}/{id}.ts?utc={at}&duration=5400"),
        format!("/{login}/{id}?utc={at}&lutc={}&duration=5400", at + 7200),
    ] {
        let answer = provider.get(&path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("video/mp2t")),
            "{path}: {}",
            answer.text()
        );
        assert_eq!(provider.asked("/timeshift"), archive);
        all.push(answer.body);
        let seen = provider.origin.heads().len();
        let head = raw::ask(provider.daemon.address, "127.0.0.1", "HEAD", &path, "").await;
        assert_eq!((head.status, head.header("content-type")), (200, Some("video/mp2t")), "{path}");
        assert_eq!(provider.origin.heads().len(), seen, "a HEAD opens nothing");
    }
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [400 * 188; 8]);
    let fields = format!("{query}&stream={id}&start={}&duration=90", date(at, "UTC"));
    let posted = raw::form(provider.daemon.address, "/streaming/timeshift.php", &fields, "").await;
    assert_eq!(posted.body.len(), 400 * 188);
    let panels = provider.origin.heads().iter().filter(|h| h.contains("/player_api.php")).count();
    assert_eq!(panels, 1, "the zone is asked for once");
    // The zone that players are told is that of what they ask; and one that the administrator gives the playlist counts for it.
    provider.daemon.set(&[("timezone", json!("Asia/Kolkata"))]).await;
    let patch = yagi_api::SourcePatch { zone: Some("America/St_Johns".into()), ..Default::default() };
    provider.daemon.app.library.update_source("test", provider.source, patch).await.unwrap();
    let there = format!("/timeshift/pu/{CANARY}/90/{}/77.ts", date(at, "America/St_Johns"));
    provider.origin.set(&there, Serve::TsThenEnd(Frame::Close, 400));
    let path = format!("/timeshift/{login}/90/{}/{id}.ts", date(at, "Asia/Kolkata"));
    assert_eq!(provider.get(&path).await.body.len(), 400 * 188);
}

#[tokio::test(flavor = "multi_thread")]
async fn players_are_told_of_archives_and_never_of_the_provider() {
    let provider = Provider::start().await;
    let (id, login, query) = (provider.id("Panel"), provider.login(), provider.viewer.query());
    let list = provider.get(&format!("/get.php?{query}&type=m3u_plus&output=ts")).await.text();
    let entry = list.lines().find(|l| l.contains("tvg-name=\"Panel\"")).unwrap();
    let source = format!(
        "http://{}/timeshift/{login}/{id}.ts?utc=${{start}}&lutc=${{timestamp}}&duration={{duration}}",
        provider.daemon.address
    );
    assert!(
        entry.contains(&format!(
            "catchup=\"default\" catchup-days=\"7\" timeshift=\"7\" tvg-rec=\"7\" catchup-source=\"{source}\",Panel"
        )),
        "{entry}"
    );
    assert!(!list.lines().any(|l| l.contains("tvg-name=\"None\"") && l.contains("catchup")), "{list}");
    let rows = provider.get(&format!("/player_api.php?{query}&action=get_live_streams")).await;
    let told: Vec<_> = rows
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["tv_archive"].clone(), r["tv_archive_duration"].clone()))
        .collect();
    assert_eq!(told, [(0, 0), (1, 7), (1, 2), (1, 3)].map(|(a, b)| (json!(a), json!(b))));
    let panel = provider.get(&format!("/panel_api.php?{query}")).await;
    assert_eq!(panel.json()["available_channels"][id.to_string()]["tv_archive_duration"], 7);
    for text in [list.clone(), rows.text(), panel.text()] {
        assert!(!text.contains(CANARY), "{text}");
    }
    // What a player makes of the link.
    let at = start();
    provider.origin.set(
        &format!("/timeshift/pu/{CANARY}/30/{}/77.ts", date(at, "Europe/Rome")),
        Serve::TsThenEnd(Frame::Close, 400),
    );
    let filled = source
        .replace("${start}", &at.to_string())
        .replace("${timestamp}", &(at + 7200).to_string())
        .replace("{duration}", "1800");
    let path = filled.split_once(&provider.daemon.address.to_string()).unwrap().1;
    assert_eq!(provider.get(path).await.body.len(), 400 * 188);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_kinds_of_archives_are_asked_in_their_own_way() {
    let provider = Provider::start().await;
    let (at, login) = (start(), provider.login());
    provider.origin.set("/3.ts", Serve::TsThenEnd(Frame::Close, 400));
    provider.origin.set("/recording", Serve::Redirect(302, provider.origin.url("/cdn/1.ts")));
    provider.origin.set("/cdn/1.ts", Serve::TsThenEnd(Frame::Chunked, 400));
    let path = |name: &str| format!("/timeshift/{login}/30/{}/{}.ts", date(at, "UTC"), provider.id(name));
    assert_eq!(provider.get(&path("Shift")).await.body.len(), 400 * 188);
    assert!(provider.asked("/3.ts").starts_with(&format!("/3.ts?pass={CANARY}&utc={at}&lutc=")));
    assert_eq!(provider.get(&path("Own")).await.body.len(), 400 * 188);
    assert_eq!(provider.asked("/recording"), format!("/recording?utc={at}&end={}&pass={CANARY}", at + 1800));
    // A panel that knows only the script: its other address is tried.
    provider.origin.set("/streaming/timeshift.php", Serve::TsThenEnd(Frame::Close, 400));
    assert_eq!(provider.get(&path("Panel")).await.body.len(), 400 * 188);
    let there = date(at, "Europe/Rome");
    assert_eq!(
        provider.asked("/streaming/timeshift.php"),
        format!("/streaming/timeshift.php?username=pu&password={CANARY}&stream=77&start={there}&duration=30")
    );
    // For those who want HLS the part comes in minutes, each asked for by itself; of what has no end, as one segment.
    let list = provider.get(&format!("/timeshift/{login}/3/{}/{}.m3u8", date(at, "UTC"), provider.id("Own"))).await;
    assert_eq!(list.header("content-type"), Some("application/vnd.apple.mpegurl"));
    let text = list.text();
    let segments: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(
        (segments.len(), text.matches("#EXT-X-DISCONTINUITY").count(), text.matches("#EXTINF:60.0,").count()),
        (3, 2, 3),
        "{text}"
    );
    assert!(text.ends_with("#EXT-X-ENDLIST\n") && segments[2].starts_with("../../../../../timeshift/alice/"), "{text}");
    let second = format!("/{}", segments[1].trim_start_matches("../"));
    assert_eq!(provider.get(&second).await.body.len(), 400 * 188);
    assert_eq!(provider.asked("/recording"), format!("/recording?utc={}&end={}&pass={CANARY}", at + 60, at + 120));
    let whole =
        provider.get(&format!("/timeshift/{login}/3/{}/{}.m3u8", date(at, "UTC"), provider.id("Shift"))).await.text();
    assert!(whole.contains("#EXTINF:180.0,") && whole.matches("#EXTINF").count() == 1, "{whole}");
    // Ranges are the provider's.
    let body = Generator::new(200, 1_500_000).packets(100);
    let mut part =
        b"HTTP/1.1 206 Partial Content\r\nContent-Type: video/mp2t\r\nContent-Range: bytes 500-599/18800\r\n\
                     Content-Length: 100\r\n\r\n"
            .to_vec();
    part.extend_from_slice(&body[500..600]);
    provider.origin.set("/3.ts", Serve::Raw(part));
    let answer =
        raw::ask(provider.daemon.address, "127.0.0.1", "GET", &path("Shift"), "Range: bytes=500-599\r\n").await;
    assert_eq!((answer.status, answer.header("content-range")), (206, Some("bytes 500-599/18800")));
    assert_eq!(answer.body, &body[500..600]);
    let heads = provider.origin.heads();
    assert!(heads.last().unwrap().to_ascii_lowercase().contains("range: bytes=500-599\r\n"), "{heads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_refused_with_its_reason() {
    let provider = Provider::start().await;
    let (at, login, id) = (start(), provider.login(), provider.id("Panel"));
    let now = at + 7200;
    let path = |id: ChannelId, minutes: &str, start: &str| format!("/timeshift/{login}/{minutes}/{start}/{id}.ts");
    let utc = |at: i64| date(at, "UTC");
    for (path, status, words) in [
        (path(provider.id("None"), "30", &utc(at)), 404, "no archive"),
        (path(ChannelId(999), "30", &utc(at)), 404, "no channel"),
        (path(id, "30", &utc(now - 9 * 86_400)), 404, "reaches back 7 days"),
        (path(id, "30", &utc(now + 86_400)), 400, "not come yet"),
        (format!("/timeshift/{login}/{id}.m3u8?utc={}&duration=600", now + 3600), 400, "not come yet"),
        (path(id, "30", "yesterday"), 400, "start: expected"),
        (path(id, "0", &utc(at)), 400, "duration: expected minutes"),
        (format!("/timeshift/{login}/{id}.ts"), 400, "start: expected"),
        (format!("/timeshift/{login}/{id}.ts?utc={at}&duration=-1"), 400, "duration: expected seconds"),
        (format!("/timeshift/alice/wrong/30/{}/{id}.ts", utc(at)), 401, "wrong user name"),
        ("/streaming/timeshift.php?username=alice".to_owned(), 401, "wrong user name"),
        (format!("/timeshift/{login}/30/{}/{id}.mp4", utc(at)), 405, ".ts and .m3u8"),
        // The provider has nothing, in neither of its spellings.
        (path(id, "30", &utc(at)), 404, "does not know this address"),
    ] {
        let answer = provider.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(words) && !answer.text().contains(CANARY), "{path}: {}", answer.text());
    }
    // The account's only place is taken by somebody who watches.
    let mut live = Player::get(provider.daemon.address, &provider.viewer.live(provider.id("None"))).await;
    live.watch(188 * 50).await;
    let full = provider.get(&path(id, "30", &utc(at))).await;
    assert!(full.status == 503 && full.text().contains("in use by None"), "{}: {}", full.status, full.text());
    // And the viewer's format counts.
    let only =
        UserDraft { name: "bob".into(), formats: Some(vec![yagi_api::OutputFormat::M3u8]), ..UserDraft::default() };
    let bob = provider.daemon.viewer_from(only).await;
    let refused = provider.get(&format!("/timeshift/bob/{}/30/{}/{id}.ts", bob.password, utc(at))).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_holds_seat_and_place_and_ends_with_its_viewer() {
    let provider = Provider::start().await;
    let (at, id) = (start(), provider.id("Panel"));
    let archive = format!("/timeshift/pu/{CANARY}/30/{}/77.ts", date(at, "Europe/Rome"));
    provider.origin.set(&archive, Serve::TsAt(2000));
    let path = format!("/timeshift/{}/30/{}/{id}.ts", provider.login(), date(at, "UTC"));
    let app = provider.daemon.app.clone();
    let mut player = Player::get(provider.daemon.address, &path).await;
    assert_eq!((player.status, player.header("content-length")), (200, None), "{}", player.head);
    player.watch(188 * 2000).await;
    player.checker.assert_continuous();
    wait_until("the client is shown", || app.seats.rows().first().is_some_and(|row| row.out_bytes > 100_000)).await;
    let row = app.seats.rows().remove(0);
    assert_eq!((row.archive, row.channel), (Some(at), Some(id)));
    assert!(row.channel_name.starts_with("Panel (archive "), "{}", row.channel_name);
    assert_eq!((app.seats.archives(), app.upstreams.of_account(provider.source)), (1, 1));
    // Who does not take is not sent to: the provider waits, and no memory grows.
    let taken = || app.seats.rows().first().map_or(0, |row| row.out_bytes);
    let mut before = 0;
    for _ in 0..100 {
        before = taken();
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        if taken() == before {
            break;
        }
    }
    assert_eq!(taken(), before, "the relay waits for its viewer");
    assert!(before < 64 << 20, "{before}");
    // Kicked while it does not read: its connection ends all the same.
    assert!(app.seats.kick(row.id));
    player.ended().await;
    wait_until("seat and place are free", || app.seats.is_empty() && app.upstreams.of_account(provider.source) == 0)
        .await;
    wait_until("the provider's connection is closed", || provider.origin.open(&archive).0 == 0).await;
    // A player that seeks opens the next connection before it closes the last; the account has one place.
    let mut first = Player::get(provider.daemon.address, &path).await;
    first.watch(188 * 100).await;
    let mut second = Player::get(provider.daemon.address, &path).await;
    assert_eq!(second.status, 200, "{}", second.head);
    second.watch(188 * 100).await;
    first.ended().await;
    drop((first, second));
    wait_until("seat and place are free", || app.seats.is_empty() && app.upstreams.of_account(provider.source) == 0)
        .await;
    // A viewer that leaves a silent provider is noticed.
    provider.origin.set(&archive, Serve::TsThenStall(400));
    let mut player = Player::get(provider.daemon.address, &path).await;
    player.watch(188 * 400).await;
    drop(player);
    wait_until("who has left is gone", || app.seats.is_empty() && provider.origin.open(&archive).0 == 0).await;
    assert!(app.archive.out_bytes() > 188 * 2400);
    // A recording that breaks off does not look like one that ends.
    provider.origin.set(
        &archive,
        Serve::Raw({
            let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 188000\r\n\r\n".to_vec();
            answer.extend(Generator::new(200, 1_500_000).packets(200));
            answer
        }),
    );
    let mut player = Player::get(provider.daemon.address, &path).await;
    assert_eq!(player.header("content-length"), Some("188000"));
    let mut came = 0;
    loop {
        match player.read().await.len() {
            0 => break,
            n => came += n,
        }
    }
    assert!(came < 188_000 && came > 0, "{came}");
    wait_until("seat and place are free", || app.seats.is_empty() && app.upstreams.of_account(provider.source) == 0)
        .await;
}

/// A player that reads nothing for longer than the kernel waits for one that vanished is paused, and gets the rest.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute"]
async fn a_pause_does_not_end_a_recording() {
    let provider = Provider::start().await;
    let (at, id, login) = (start(), provider.id("Panel"), provider.login());
    let archive = format!("/timeshift/pu/{CANARY}/90/{}/77.ts", date(at, "Europe/Rome"));
    let recording = Generator::new(200, 1_500_000).packets(40_000);
    let mut whole = Checker::new();
    whole.feed(&recording);
    provider.origin.set(&archive, Serve::Clip(recording.into(), Duration::from_secs(1)));
    let path = format!("/timeshift/{login}/90/{}/{id}.ts", date(at, "UTC"));
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut player = Player::ask_from(provider.daemon.address, None, Some(4096), &request).await;
    player.watch(20_000).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(provider.daemon.app.seats.len(), 1);
    while player.checker.last < whole.last {
        player.watch(1).await;
    }
    player.checker.assert_continuous();
}

/// ffmpeg takes the recording as a stream and in minutes; a library for playlists reads where it is.
#[tokio::test(flavor = "multi_thread")]
async fn real_clients_read_of_archives_and_play_them() {
    let provider = Provider::start().await;
    let (at, login) = (start(), provider.login());
    if has("ffmpeg") && has("ffprobe") {
        let dir = tempfile::tempdir().unwrap();
        let codecs = "-c:v libx264 -preset ultrafast -tune zerolatency -g 25 -c:a aac";
        let Some(clip) = clip(dir.path(), codecs).await else { return };
        provider.origin.set("/recording", Serve::Answer("200 OK", "video/mp2t", clip.to_vec()));
        for extension in ["ts", "m3u8"] {
            let id = provider.id("Own");
            let url = provider.daemon.url(&format!("/timeshift/{login}/2/{}/{id}.{extension}", date(at, "UTC")));
            let found = probe(&url).await;
            let codecs: Vec<_> = found.iter().map(|(_, codec)| codec.as_str()).collect();
            assert_eq!(codecs, ["aac", "h264"], "{extension}");
        }
    }
    let Some(_) = installed("YAGI_TEST_NODE").filter(|_| has("node")) else { return };
    let list = playlist(&provider.daemon, &provider.viewer);
    let read = found("node", &[&script("playlist_parser.cjs"), &list]).await;
    let item = read["items"].as_array().unwrap().iter().find(|i| i["name"] == "Panel").unwrap();
    assert_eq!((&item["catchup"]["type"], &item["catchup"]["days"]), (&json!("default"), &json!("7")), "{item}");
    let source = item["catchup"]["source"].as_str().unwrap();
    assert!(source.starts_with(&provider.daemon.url(&format!("/timeshift/{login}/"))), "{source}");
}
