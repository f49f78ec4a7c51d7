//! What the program writes: never a password, never a line that somebody else wrote.

use std::fmt::Write as _;

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use yagi_api::{ChannelDraft, ChannelId, ChannelSource, SourceDraft, SourceKind, UserDraft, text::is_foul};

use crate::support::{
    daemon::Account,
    origin::{Frame, Origin, Serve},
    player::Player,
    process::{Process, library},
    raw::{ask, connect, drain, get, send},
    wait_until,
};

const HOME: &str = "127.0.0.1";

/// An origin whose addresses carry credentials in every place, and which repeats them.
async fn talkative() -> Origin {
    let origin = Origin::start().await;
    origin.set("/live/someone/canary-path/1.ts", Serve::Ts(Frame::Close));
    for (path, echo) in [
        ("/echo", "no such login: password=canary-query, token canary-bare"),
        ("/bare", "no such token: canary-bare"),
        ("/text", "no such login: canary-list"),
    ] {
        origin.set(path, Serve::Answer("200 OK", "text/plain", echo.into()));
    }
    origin.set("/json", Serve::Answer("200 OK", "application/json", br#"{"password":"canary-query"}"#.to_vec()));
    origin.set("/away", Serve::Redirect(302, "http://127.0.0.1:1/live/someone/canary-redirect/3.ts".into()));
    origin.set("/odd", Serve::Redirect(302, "gopher://u:canary-redirect@h/canary-redirect".into()));
    origin.set("/loop", Serve::Redirect(302, "/loop?password=canary-redirect".into()));
    origin.set("/list", Serve::Answer("500 canary-list", "text/plain", b"canary-list".to_vec()));
    origin.set("/cut", Serve::Truncated(b"#EXTM3U\n".to_vec()));
    origin
}

struct Told {
    process: Process,
    alice: Account,
    channels: Vec<ChannelId>,
    _origin: Origin,
}

/// A program with secrets everywhere; `config` is its file.
async fn with_secrets(config: &str) -> Told {
    let origin = talkative().await;
    let dir = tempfile::tempdir().unwrap();
    let library = library(dir.path());
    let mut alice = None;
    for (name, password, enabled) in [("alice", "canary-viewer-1", true), ("bob", "canary-viewer-2", false)] {
        let draft = UserDraft {
            name: name.into(),
            password: Some(password.into()),
            enabled: Some(enabled),
            max_connections: Some(1),
            ..UserDraft::default()
        };
        let new = library.create_user("test", draft).await.unwrap();
        alice.get_or_insert(Account { name: new.user.name, password: new.password });
    }
    let urls = [
        origin.url("/live/someone/canary-path/1.ts"),
        origin.url("/live/someone/canary-path/2.ts"),
        origin.url("/prefix/live/someone/canary-path/2.ts"),
        origin.url("/prefix/someone/canary-path/2"),
        origin.url("/echo?username=me&password=canary-query&token=canary-bare"),
        origin.url("/json?password=canary-query"),
        origin.url("/bare?canary-bare"),
        origin.url("/away"),
        origin.url("/odd"),
        origin.url("/loop"),
        "http://me:canary-info@127.0.0.1:1/x.ts".to_owned(),
        "http://127.0.0.1:1/live/me/canary-path/x.ts#canary-info".to_owned(),
    ];
    let mut channels = Vec::new();
    for (n, url) in urls.into_iter().enumerate() {
        let draft = ChannelDraft {
            name: format!("Evil {n}\r\n2026-01-01T00:00:00.000Z ERROR forged: line \x1b[2J\u{202e}\u{85}"),
            sources: vec![ChannelSource { url, headers: vec![("Cookie".into(), "session=canary-header".into())] }],
            ..ChannelDraft::default()
        };
        channels.push(library.create_channel("test", draft).await.unwrap().id);
    }
    for (url, kind) in [
        (origin.url("/list?username=me&password=canary-list"), SourceKind::Playlist),
        (origin.url("/text?username=me&password=canary-list"), SourceKind::Playlist),
        (origin.url("/cut?canary-bare"), SourceKind::Playlist),
        ("http://me:canary-info@127.0.0.1:1/get.php?password=canary-list".to_owned(), SourceKind::Playlist),
        (origin.url("/nothing.xml?password=canary-list"), SourceKind::Guide),
        (origin.url("/text?password=canary-list&kind=xml"), SourceKind::Guide),
    ] {
        let draft = SourceDraft { url, kind: Some(kind), ..SourceDraft::default() };
        library.create_source("test", draft).await.unwrap();
    }
    library.close().await;
    let file = dir.path().join("yagid.toml");
    std::fs::write(&file, config).unwrap();
    let process = Process::start(dir, &["--no-demo", "--config", file.to_str().unwrap()]).await;
    Told { process, alice: alice.unwrap(), channels, _origin: origin }
}

/// One request to the admin socket.
async fn admin(process: &Process, request: &str) -> String {
    let mut socket = UnixStream::connect(process.dir.path().join("run/admin.sock")).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Logins right and wrong, streams that play and fail, a take-over, a kick, and requests made to be logged badly.
async fn drive(told: &Told) {
    let (at, alice) = (told.process.address, &told.alice);
    for channel in &told.channels {
        let mut player = Player::get(at, &alice.live(*channel)).await;
        if player.status == 200 {
            player.watch(1000).await;
        }
        let text = if player.status == 200 { String::new() } else { player.text().await };
        assert!(!text.contains("canary"), "{text}");
    }
    assert_eq!(get(at, &format!("/get.php?{}", alice.query())).await.status, 200);
    assert_eq!(get(at, "/get.php?username=bob&password=canary-viewer-2").await.status, 403);
    let path = alice.live(told.channels[0]);
    let agent = "a\u{202e}b\u{9b}31m 2026-01-01T00:00:00.000Z ERROR forged";
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\n\r\n");
    let mut first = Player::ask(at, &request).await;
    first.watch(1000).await;
    let mut second = Player::get(at, &path).await;
    second.watch(1000).await;
    first.ended().await;
    let refused =
        Player::ask_from(at, Some("127.0.0.3"), None, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    assert_eq!(refused.status, 403, "two devices fight");
    let rows = admin(&told.process, "GET /api/clients").await;
    let rows: serde_json::Value = serde_json::from_str(rows.split_once("\r\n\r\n").unwrap().1).expect(&rows);
    let client = &rows["rows"][0]["id"];
    let kicked = admin(&told.process, &format!("DELETE /api/clients/{client}")).await;
    assert!(kicked.starts_with("HTTP/1.1 2"), "{kicked}");
    second.ended().await;
    for n in 0..25 {
        for path in [
            format!("/get.php?username=alice&password=canary-guess{n}"),
            format!("/timeshift/alice/canary-guess{n}/60/2026-01-01:00-00/1.ts"),
            format!("/streaming/timeshift.php?username=alice&password=canary-guess{n}&stream=1&start=x&duration=1"),
            format!("/live/al%0a2026-01-01T00:00:00.000Z%20ERROR%20forged/canary-guess{n}/1.ts"),
            format!("/%1b%5b2Jx/canary-guess{n}/1"),
        ] {
            ask(at, "127.0.0.9", "GET", &path, "").await;
        }
    }
    for bytes in [&b"GET /live/alice/canary-guess/\x1b[2J HTTP/1.1\r\n\r\n"[..], b"\x1b[2J\n\x00canary-guess\r\n\r\n"] {
        send(at, HOME, bytes, "odd bytes").await;
    }
    let mut half = connect(at, HOME).await;
    half.write_all(b"GET /live/alice/canary-guess/1.ts HTTP/1.1\r\nHo").await.unwrap();
    half.shutdown().await.unwrap();
    drain(&mut half, "half a request").await;
    for word in ["client started", "no stream", "not refreshed", "too many failed logins", "client refused", "kicked"] {
        wait_until(word, || told.process.stderr().contains(word)).await;
    }
}

fn assert_discreet(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).expect("the log is UTF-8");
    let leaks = text.lines().filter(|l| l.contains("canary")).fold(String::new(), |mut all, l| {
        let _ = writeln!(all, "{l}");
        all
    });
    assert!(leaks.is_empty(), "secrets in the log:\n{leaks}");
    let foul: Vec<&str> = text.lines().filter(|l| l.chars().any(is_foul)).collect();
    assert!(foul.is_empty(), "{foul:?}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_no_secret_and_nobody_forges_a_line() {
    let told = with_secrets("[log]\nfilter = \"debug\"\n").await;
    drive(&told).await;
    let logs = admin(&told.process, "GET /api/logs?n=2000").await;
    assert!(!logs.contains("canary"), "{logs}");
    for path in ["/api/sources", "/api/streams", "/api/clients", "/api/users", "/api/status", "/api/aceproxy/streams"] {
        let rows = admin(&told.process, &format!("GET {path}")).await;
        assert!(!rows.contains("canary"), "{path}: {rows}");
    }
    let (out, err) = told.process.stop().await;
    assert_discreet(&out);
    for line in assert_discreet(&err).lines() {
        let (at, rest) = line.split_once(' ').expect("a time first");
        assert!(at.len() == 24 && at.ends_with('Z') && at.parse::<jiff::Timestamp>().is_ok(), "{line}");
        let level = rest.split_whitespace().next().unwrap();
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&level), "{line}");
        assert!(!rest.trim_start_matches(level).trim_start().starts_with("forged"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_in_json_tells_no_secret_either() {
    let told = with_secrets("[log]\nformat = \"json\"\n").await;
    drive(&told).await;
    let (out, err) = told.process.stop().await;
    assert_discreet(&out);
    for line in assert_discreet(&err).lines() {
        let record: yagi_api::LogRecord = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_ne!(record.target, "forged");
    }
}

/// The first start shows the first viewer's links on stdout, where a person reads them; stderr and later starts do not.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_password_is_shown_once_and_never_logged() {
    let process = Process::start(TempDir::new().unwrap(), &[]).await;
    let said = process.stdout();
    let password = said.split_once("   password ").unwrap().1.split_whitespace().next().unwrap().to_owned();
    let playlist = said.split_whitespace().find(|w| w.contains("/get.php?")).unwrap();
    let answer = get(process.address, &playlist[playlist.find("/get.php").unwrap()..]).await;
    assert!(answer.status == 200 && answer.text().contains(&password));
    let account = Account { name: "demo".into(), password: password.clone() };
    let stream = said.split_whitespace().find(|w| w.contains("/live/demo/")).unwrap();
    let mut player = Player::get(process.address, &stream[stream.find("/live/").unwrap()..]).await;
    player.watch(1000).await;
    assert_eq!(get(process.address, &format!("/player_api.php?{}", account.query())).await.status, 200);
    assert!(!process.stderr().contains(&password));
    assert!(stream.contains(&password));
}
