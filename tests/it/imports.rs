//! Playlists and guides through the whole daemon: from an origin that serves them well or badly to what players are told.

use std::{
    fmt::Write as _,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use base64::Engine as _;
use serde_json::Value;
use tokio::task::JoinSet;
use yagi_api::{Channel, ChannelId, ChannelPatch, RefreshReport, SourceDraft, SourceId, SourceKind};

use crate::support::{
    daemon::{Account, Daemon},
    origin::{Frame, Origin, Serve, gzip},
    player::Player,
};

/// A secret in the source's URL: no report may show it.
const CANARY: &str = "canary-of-the-provider";

struct Import {
    origin: Origin,
    daemon: Daemon,
    viewer: Account,
    source: SourceId,
}

impl Import {
    /// A daemon with small caps and one source at `/list` of the origin.
    async fn of(kind: SourceKind) -> Self {
        let origin = Origin::start().await;
        let daemon = Daemon::with(|c| {
            c.import.max_download_mib = 1;
            c.import.max_playlist_mib = 1;
            c.import.max_guide_mib = 1;
            c.import.max_entries = 1000;
            c.import.max_seconds = 2;
        })
        .await;
        let viewer = daemon.viewer("alice", 0).await;
        let source = source(&daemon, &origin.url(&format!("/list?username=me&password={CANARY}")), kind).await;
        Self { origin, daemon, viewer, source }
    }

    async fn refresh(&self) -> RefreshReport {
        self.daemon.app.refresher.queue_and_wait(self.source).await
    }

    async fn serve(&self, body: impl Into<Vec<u8>>) -> RefreshReport {
        self.origin.set("/list", Serve::Answer("200 OK", "text/plain", body.into()));
        self.refresh().await
    }

    fn rows(&self) -> Vec<Channel> {
        self.daemon.app.library.catalog().channels().iter().map(|c| (**c).clone()).collect()
    }

    #[track_caller]
    fn find(&self, name: &str) -> Channel {
        self.rows().into_iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no channel {name}"))
    }

    async fn playlist(&self) -> String {
        get(&self.daemon, &format!("/get.php?{}&type=m3u_plus", self.viewer.query())).await
    }

    async fn guide(&self) -> String {
        get(&self.daemon, &format!("/xmltv.php?{}", self.viewer.query())).await
    }

    async fn short_epg(&self, id: ChannelId) -> Value {
        let path = format!("/player_api.php?{}&action=get_short_epg&stream_id={id}", self.viewer.query());
        serde_json::from_str(&get(&self.daemon, &path).await).unwrap()
    }
}

async fn source(daemon: &Daemon, url: &str, kind: SourceKind) -> SourceId {
    let draft = SourceDraft { url: url.to_owned(), kind: Some(kind), interval_s: Some(0), ..SourceDraft::default() };
    daemon.app.library.create_source("test", draft).await.unwrap().id
}

async fn get(daemon: &Daemon, path: &str) -> String {
    let mut player = Player::get(daemon.address, path).await;
    assert_eq!(player.status, 200, "{path}: {}", player.head);
    player.text().await
}

/// `(name, path)` of each entry, in one category.
fn list(entries: &[(&str, &str)]) -> String {
    entries.iter().fold("#EXTM3U\n".to_owned(), |mut text, (name, path)| {
        write!(text, "#EXTINF:-1 group-title=\"G\",{name}\nhttp://up.example{path}\n").unwrap();
        text
    })
}

fn counts(report: &RefreshReport) -> (u32, u32, u32, u32) {
    assert!(report.ok, "{report:?}");
    (report.seen, report.added, report.changed, report.retired)
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    liblzma::read::XzEncoder::new(bytes, 6).read_to_end(&mut out).unwrap();
    out
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 6).unwrap()
}

/// What every kind of source can get instead of its document, and what the report must say of it.
/// A zip archive with one member, not packed.
fn stored(name: &str, text: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(text);
    let size = (text.len() as u32).to_le_bytes();
    let shared =
        [&[10, 0, 0, 0, 0, 0, 0, 0, 0, 0], &crc.sum().to_le_bytes()[..], &size, &size, &[name.len() as u8, 0, 0, 0]]
            .concat();
    let member = [b"PK\x03\x04", &shared[..], name.as_bytes(), text].concat();
    let directory = [b"PK\x01\x02\x14\0", &shared[..], &[0; 14], name.as_bytes()].concat();
    let [size, at] = [directory.len() as u32, member.len() as u32].map(u32::to_le_bytes);
    let end = [b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &size[..], &at, &[0, 0]].concat();
    [member, directory, end].concat()
}

fn bad_answers(good: &[u8]) -> Vec<(&'static str, Serve, &'static str)> {
    let ok = |body: &[u8]| Serve::Answer("200 OK", "text/plain", body.to_vec());
    let (packed, bomb) = (gzip(good), vec![b' '; 8 << 20]);
    vec![
        ("not found", Serve::Answer("404 Not Found", "text/html", b"<html>no</html>".to_vec()), "404"),
        ("a failing server", Serve::Answer("503 Oops", "text/html", b"later".to_vec()), "503"),
        ("an unasked 304", Serve::Raw(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()), "304"),
        ("nothing", ok(b""), ""),
        ("a web page", ok(b"<!DOCTYPE html><html><body>Your account has expired</body></html>"), ""),
        ("JSON", ok(br#"{"user_info":{"auth":0}}"#), ""),
        ("a shorter body than promised", Serve::Truncated(good.to_vec()), "ended too early"),
        ("no last chunk", Serve::TruncatedChunks(good.to_vec()), "ended too early"),
        ("half a gzip", ok(&packed[..packed.len() - 9]), ""),
        ("half an xz", ok(&xz(good)[..xz(good).len() - 9]), ""),
        ("half a zstd", ok(&zstd(good)[..zstd(good).len() - 4]), ""),
        ("a gzip bomb", ok(&gzip(&bomb)), "larger than"),
        ("an xz bomb", ok(&xz(&bomb)), "larger than"),
        ("a zstd bomb", ok(&zstd(&bomb)), "larger than"),
        ("bytes without an end", Serve::Endless("text/plain"), "larger than"),
        ("a redirect to itself", Serve::Redirect(302, "/list".into()), "redirect"),
        ("a redirect to a file", Serve::Redirect(302, "file:///etc/hostname".into()), "cannot be used"),
        ("a redirect to the metadata of a cloud", Serve::Redirect(302, "http://169.254.169.254/".into()), ""),
        ("silence", Serve::Silent, "took too long"),
        ("a trickle", Serve::Trickle(Duration::from_millis(20)), "took too long"),
        ("a head without an end", Serve::EndlessHead, ""),
        ("garbage", Serve::Raw(b"\x16\x03\x01\x02\x00 no HTTP at all \r\n\r\n".to_vec()), ""),
    ]
}

/// Rows follow their playlist and keep their numbers, ids and hand-made edits.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_updates_and_retires_but_never_renumbers() {
    let import = Import::of(SourceKind::Playlist).await;
    let first = list(&[("A", "/a"), ("B", "/b"), ("C", "/c"), ("D", "/u/p/old-token/d"), ("E", "/e")]);
    assert_eq!(counts(&import.serve(first.clone()).await), (5, 5, 0, 0));
    let before = import.rows();
    assert_eq!(before.iter().map(|c| c.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let library = &import.daemon.app.library;
    let edit = ChannelPatch { name: Some("My A".into()), number: Some(900), ..ChannelPatch::default() };
    library.update_channel("test", import.find("A").id, edit).await.unwrap();

    // Another order, A and C under other names, D under another token, E gone, F new.
    let second = list(&[("F", "/f"), ("C renamed", "/c"), ("B", "/b"), ("A new", "/a"), ("D", "/u/p/new-token/d")]);
    assert_eq!(counts(&import.serve(second).await), (5, 1, 2, 1));
    let place = |name: &str| (import.find(name).id, import.find(name).number);
    let was = |at: usize| (before[at].id, before[at].number);
    assert_eq!(place("My A"), (before[0].id, 900));
    assert_eq!([place("B"), place("C renamed"), place("D"), place("E")], [was(1), was(2), was(3), was(4)]);
    assert!(import.find("D").sources[0].url.contains("new-token") && import.find("E").retired_at.is_some());
    let shown = import.playlist().await;
    assert!(shown.contains(",My A\n") && shown.contains(",F\n") && !shown.contains(",E\n"), "{shown}");
    let retired = Player::get(import.daemon.address, &import.viewer.live(before[4].id)).await;
    assert_eq!(retired.status, 404);

    // E returns into its own row. F goes.
    assert_eq!(counts(&import.serve(first).await).3, 1);
    assert_eq!((place("E"), place("C"), place("My A").1), (was(4), was(2), 900));
    assert!(import.playlist().await.contains(",E\n"));
}

/// Whatever comes instead of a list: the line-up and what players see stay, the report says why and shows no credential.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_playlist_changes_nothing_and_is_told() {
    let import = Import::of(SourceKind::Playlist).await;
    let names: Vec<String> = (0..20).map(|n| format!("Channel {n}")).collect();
    let entries: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "/x")).collect();
    let good = list(&entries);
    assert_eq!(counts(&import.serve(good.clone()).await), (20, 20, 0, 0));
    let (before, shown) = (import.daemon.app.library.catalog(), import.playlist().await);
    let ok = |body: String| Serve::Answer("200 OK", "text/plain", body.into_bytes());
    let own = [
        ("a list without entries", ok("#EXTM3U\n".into()), ""),
        ("a suspiciously short list", ok(list(&entries[..9])), "lists only 9 channels where 20 were"),
        ("a line without an end", ok(format!("#EXTM3U\n#EXTINF:-1,{}\nhttp://h/\n", "x".repeat(900_000))), ""),
    ];
    for (what, serve, words) in bad_answers(good.as_bytes()).into_iter().chain(own) {
        // The unasked 304 must not be one that the daemon asked for; the others must not end as "unchanged".
        import.origin.set("/list", serve);
        let report = import.refresh().await;
        let error = report.error.clone().unwrap_or_else(|| panic!("{what}: {report:?}"));
        assert!(!report.ok && error.contains(words), "{what}: {error}");
        assert!(!error.contains(CANARY) && !error.contains("password=c"), "{what}: {error}");
        let now = import.daemon.app.library.catalog();
        assert_eq!(now.channels().len(), 20, "{what}");
        assert!(now.channels().iter().zip(before.channels()).all(|(a, b)| Arc::ptr_eq(a, b)), "{what}");
        assert_eq!(now.source(import.source).unwrap().last.as_ref(), Some(&report), "{what}: kept with the source");
    }
    assert_eq!(import.playlist().await, shown);
    // The same list is welcome again.
    assert!(import.serve(good).await.unchanged);
}

/// Packed lists are told by their first bytes, whatever the server calls them.
#[tokio::test(flavor = "multi_thread")]
async fn packed_playlists_are_unpacked() {
    let import = Import::of(SourceKind::Playlist).await;
    let zip = |b: &[u8]| stored("lists/all.m3u", b);
    for (n, pack) in [gzip, xz, zstd, zip, |b: &[u8]| gzip(&zstd(b))].into_iter().enumerate() {
        let name = format!("Packed {n}");
        let report = import.serve(pack(list(&[("A", "/a"), (&name, "/b")]).as_bytes())).await;
        assert_eq!((report.error.as_deref(), report.seen), (None, 2));
        assert_eq!(import.find(&name).number, 2);
    }
    let body = gzip(list(&[("A", "/a"), ("Coded", "/b")]).as_bytes());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
    import.origin.set("/list", Serve::Raw([head.as_bytes(), &body].concat()));
    assert_eq!(counts(&import.refresh().await), (2, 0, 1, 0));
    assert_eq!(import.find("Coded").number, 2);
}

/// What the server said of its version is sent back; where nothing changed nothing is written.
#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_playlist_writes_no_row() {
    let import = Import::of(SourceKind::Playlist).await;
    let text = list(&[("A", "/a"), ("B", "/b")]);
    import.origin.set("/list", Serve::Tagged("\"v1\"", text.clone().into_bytes()));
    assert_eq!(counts(&import.refresh().await), (2, 2, 0, 0));
    assert!(!import.origin.heads()[0].to_ascii_lowercase().contains("if-none-match"));
    let before = import.daemon.app.library.catalog();
    let same = || {
        let now = import.daemon.app.library.catalog();
        now.channels().iter().zip(before.channels()).all(|(a, b)| Arc::ptr_eq(a, b))
    };
    let report = import.refresh().await;
    assert!(report.unchanged && report.seen == 2 && same(), "{report:?}");
    assert!(import.origin.heads()[1].to_ascii_lowercase().contains("if-none-match: \"v1\"\r\n"));
    // A server without versions, and the same bytes: told by their digest.
    let report = import.serve(text.clone()).await;
    assert!(report.unchanged && same(), "{report:?}");
    // A date is sent back as it came, after something was applied.
    const DATE: &str = "Sat, 01 Nov 2025 10:00:00 GMT";
    let body = format!("{text}# a comment\n");
    let head = format!("HTTP/1.1 200 OK\r\nLast-Modified: {DATE}\r\nContent-Length: {}\r\n\r\n", body.len());
    import.origin.set("/list", Serve::Raw(format!("{head}{body}").into_bytes()));
    let report = import.refresh().await;
    assert!(!report.unchanged && same(), "{report:?}");
    assert_eq!(counts(&report), (2, 0, 0, 0));
    import.origin.set("/list", Serve::Raw(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()));
    assert!(import.refresh().await.unchanged && same());
    let last = import.origin.heads().pop().unwrap().to_ascii_lowercase();
    assert!(last.contains(&format!("if-modified-since: {}\r\n", DATE.to_ascii_lowercase())), "{last}");
}

fn stamp(at: i64, form: &str) -> String {
    jiff::Timestamp::from_second(at).unwrap().strftime(form).to_string()
}

/// A document with `titles` one after another on channel `one.tv`, the first of them on air now.
fn xmltv(titles: &[&str]) -> String {
    let now = yagid::clock::epoch_now();
    let mut text =
        "<?xml version=\"1.0\"?><tv><channel id=\"one.tv\"><display-name>One</display-name></channel>".to_owned();
    for (n, title) in (0i64..).zip(titles) {
        let at = |t: i64| stamp(t, "%Y%m%d%H%M%S +0000");
        let (start, stop) = (at(now - 600 + n * 1800), at(now + 1200 + n * 1800));
        write!(
            text,
            "<programme start=\"{start}\" stop=\"{stop}\" channel=\"one.tv\"><title>{title}</title>\
                      <desc>About {title}</desc></programme>"
        )
        .unwrap();
    }
    text + "</tv>"
}

/// A guide import with one channel `One` that carries `one.tv`.
async fn guided() -> (Import, ChannelId) {
    let import = Import::of(SourceKind::Guide).await;
    let id = import.daemon.channel("One", &["http://up.example/1"]).await;
    let patch = ChannelPatch { guide_id: Some("one.tv".into()), ..ChannelPatch::default() };
    import.daemon.app.library.update_channel("test", id, patch).await.unwrap();
    (import, id)
}

fn titles(epg: &Value) -> Vec<String> {
    let decode = |v: &Value| base64::engine::general_purpose::STANDARD.decode(v.as_str().unwrap()).unwrap();
    let rows = epg["epg_listings"].as_array().unwrap();
    rows.iter().map(|row| String::from_utf8(decode(&row["title"])).unwrap()).collect()
}

/// XMLTV in, XMLTV and short EPG out; conditional requests on both sides; gzip for those who ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_guide_from_its_source_to_the_players() {
    let (import, id) = guided().await;
    let text = xmltv(&["News &amp; Weather", "Fim", "Späte Show"]);
    import.origin.set("/list", Serve::Tagged("\"g1\"", gzip(text.as_bytes())));
    let report = import.refresh().await;
    assert!(report.ok && (report.seen, report.added) == (3, 1), "{report:?}");
    let shown = import.guide().await;
    assert!(
        shown.contains("News &amp; Weather") && shown.contains("Späte Show") && shown.ends_with("</tv>\n"),
        "{shown}"
    );
    assert!(shown.contains("channel=\"one.tv\"") && shown.contains("id=\"one.tv\""), "{shown}");
    assert!(import.playlist().await.contains("tvg-id=\"one.tv\""));
    assert_eq!(titles(&import.short_epg(id).await), ["News & Weather", "Fim", "Späte Show"]);

    // The source's 304 changes nothing.
    let report = import.refresh().await;
    assert!(report.unchanged && report.seen == 3, "{report:?}");
    assert!(import.origin.heads()[1].to_ascii_lowercase().contains("if-none-match: \"g1\"\r\n"));

    // Our own: gzip for those who ask, 304 for those who have it, and a new tag with a new guide.
    let path = format!("/xmltv.php?{}", import.viewer.query());
    let address = import.daemon.address;
    let ask = async |more: &str| Player::ask(address, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n{more}\r\n")).await;
    let mut packed = ask("Accept-Encoding: gzip\r\n").await;
    assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")));
    assert_eq!(packed.header("vary"), Some("accept-encoding"));
    let tag = packed.header("etag").unwrap().to_owned();
    let mut unpacked = String::new();
    flate2::read::MultiGzDecoder::new(packed.body().await.as_slice()).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked, shown);
    let held = ask(&format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n")).await;
    assert_eq!((held.status, held.header("etag"), held.header("content-encoding")), (304, Some(tag.as_str()), None));
    let plain = ask("").await;
    assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
    assert_ne!(plain.header("etag"), Some(tag.as_str()), "another coding is another representation");
    assert!(import.serve(xmltv(&["A", "B", "C"])).await.ok);
    let changed = ask(&format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n")).await;
    assert_eq!(changed.status, 200);
    assert_eq!(titles(&import.short_epg(id).await), ["A", "B", "C"]);
}

/// Whatever comes instead of a guide: the old one is served on, and the report says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_guide_leaves_the_old_one() {
    let (import, id) = guided().await;
    let good = xmltv(&["One", "Two", "Three", "Four", "Five", "Six", "Seven"]);
    assert!(import.serve(good.clone()).await.ok);
    let shown = import.guide().await;
    let ok = |body: String| Serve::Answer("200 OK", "text/xml", body.into_bytes());
    let laughs = "<!DOCTYPE tv [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><tv><programme>&b;</programme></tv>";
    let file = "<!DOCTYPE tv [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><tv><display-name>&x;</display-name></tv>";
    let own = [
        ("a document that stops", ok(good[..good.len() - 5].to_owned()), "cut off"),
        ("a document of another kind", ok("<rss></rss>".into()), "<rss>"),
        ("a playlist", ok(list(&[("A", "/a")])), ""),
        ("laughing entities", ok(laughs.into()), "entit"),
        ("a file as an entity", ok(file.into()), "entit"),
        ("deep nesting", ok("<tv>".repeat(100_000)), ""),
        ("one long attribute", ok(format!("<tv a=\"{}\"></tv>", "x".repeat(900_000))), ""),
        ("far fewer programmes", ok(xmltv(&["One"])), "where the last one had 7"),
    ];
    for (what, serve, words) in bad_answers(good.as_bytes()).into_iter().chain(own) {
        import.origin.set("/list", serve);
        let report = import.refresh().await;
        let error = report.error.clone().unwrap_or_else(|| panic!("{what}: {report:?}"));
        assert!(!report.ok && error.contains(words), "{what}: {error}");
        assert!(!error.contains(CANARY) && !error.contains("root:"), "{what}: {error}");
    }
    assert_eq!(import.guide().await, shown);
    assert_eq!(titles(&import.short_epg(id).await)[..2], ["One", "Two"]);
}

/// A big import runs beside viewers: nothing of their streams is lost, and logins are answered.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_channels_come_in_while_streams_run() {
    const CHANNELS: usize = 50_000;
    let origin = Origin::start().await;
    origin.set("/a", Serve::Ts(Frame::Close));
    let daemon = Daemon::start().await;
    let channel = daemon.channel("Live", &[&origin.url("/a")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let big = |more: &str| {
        let mut text = format!("#EXTM3U\n{more}");
        for n in 0..CHANNELS {
            let group = n % 200;
            write!(text, "#EXTINF:-1 tvg-id=\"c{n}.tv\" tvg-logo=\"http://logo.example/{n}.png\" group-title=\"Group {group}\",Channel {n}\n\
                          http://up.example/live/u/p/{n}.ts\n").unwrap();
        }
        Serve::Answer("200 OK", "text/plain", gzip(text.as_bytes()))
    };
    origin.set("/list", big(""));
    let id = source(&daemon, &origin.url("/list"), SourceKind::Playlist).await;

    let done = Arc::new(AtomicBool::new(false));
    let (mut watching, started) = (JoinSet::new(), Arc::new(tokio::sync::Barrier::new(6)));
    for _ in 0..5 {
        let (address, path, done, started) = (daemon.address, viewer.live(channel), done.clone(), started.clone());
        watching.spawn(async move {
            let mut player = Player::get(address, &path).await;
            player.watch(50_000).await;
            started.wait().await;
            while !done.load(Ordering::Relaxed) {
                player.watch(1000).await;
            }
            player.checker.assert_good_start();
            player.checker.assert_continuous();
        });
    }
    started.wait().await;
    let refresher = daemon.app.refresher.clone();
    let import = tokio::spawn(async move { refresher.queue_and_wait(id).await });
    let (mut logins, mut worst) = (0u32, Duration::ZERO);
    while !import.is_finished() {
        let began = Instant::now();
        let login = get(&daemon, &format!("/player_api.php?{}", viewer.query())).await;
        assert!(login.contains("\"auth\":1"), "{login}");
        worst = worst.max(began.elapsed());
        logins += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let report = import.await.unwrap();
    assert_eq!(counts(&report), (50_000, 50_000, 0, 0));
    // A generous bound: what it must show is that nobody waits for the import's end.
    assert!(logins > 2 && worst < Duration::from_secs(2), "{logins} logins, the slowest took {worst:?}");
    done.store(true, Ordering::Relaxed);
    while let Some(watched) = watching.join_next().await {
        watched.unwrap();
    }

    let catalog = daemon.app.library.catalog();
    let distinct = |key: fn(&Channel) -> u64| {
        catalog.channels().iter().map(|c| key(c)).collect::<std::collections::HashSet<_>>().len()
    };
    assert_eq!((distinct(|c| c.id.0.into()), distinct(|c| c.number.into())), (CHANNELS + 1, CHANNELS + 1));
    let body = get(&daemon, &format!("/player_api.php?{}&action=get_live_streams", viewer.query())).await;
    let rows: Vec<Value> = serde_json::from_str(&body).unwrap();
    let ids: std::collections::HashSet<i64> = rows.iter().map(|r| r["stream_id"].as_i64().unwrap()).collect();
    let guide_ids: std::collections::HashSet<&str> =
        rows.iter().map(|r| r["epg_channel_id"].as_str().unwrap()).collect();
    assert_eq!((rows.len(), ids.len(), guide_ids.len()), (CHANNELS + 1, CHANNELS + 1, CHANNELS + 1));

    assert!(daemon.app.refresher.queue_and_wait(id).await.unchanged);
    origin.set("/list", big("# made anew\n"));
    assert_eq!(counts(&daemon.app.refresher.queue_and_wait(id).await), (50_000, 0, 0, 0));
    let after = daemon.app.library.catalog();
    assert!(after.channels().iter().zip(catalog.channels()).all(|(a, b)| Arc::ptr_eq(a, b)));
    assert_eq!(after.channels().len(), CHANNELS + 1);
}
