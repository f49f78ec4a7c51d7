//! The configurations of docs/REVERSE_PROXY.md, run by the real nginx and the real Caddy before the real daemon.
//! Skipped with a loud line where one is missing, never in CI.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
};
use yagi_api::ChannelId;

use crate::support::{
    daemon::{Account, Daemon},
    has,
    origin::{Frame, Origin, Serve},
    raw::{ask, get},
    secure::{connect_from, fetch, file},
    ts::Checker,
    wait_until,
};

/// The code block of this language in the document.
fn snippet(language: &str) -> String {
    let document = include_str!("../../docs/REVERSE_PROXY.md");
    let (_, rest) = document.split_once(&format!("```{language}\n")).expect("a code block");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// Puts what differs on this machine into a snippet; each must stand in it.
fn adapted(mut text: String, changes: &[(&str, String)]) -> String {
    for (old, new) in changes {
        assert!(text.contains(old), "{old} is not in the document");
        text = text.replace(old, new);
    }
    text
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Scene {
    daemon: Daemon,
    origin: Origin,
    channel: ChannelId,
    viewer: Account,
    dir: tempfile::TempDir,
}

async fn scene() -> Scene {
    let origin = Origin::start().await;
    origin.set("/a", Serve::Ts(Frame::Close));
    let daemon = Daemon::with(|c| c.server.trusted_proxies = vec!["127.0.0.1/32".to_owned()]).await;
    daemon.set(&[("hls_segment_s", serde_json::json!(1))]).await;
    let channel = daemon.channel("One", &[&origin.url("/a")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    Scene { daemon, origin, channel, viewer, dir: tempfile::tempdir().unwrap() }
}

async fn started(mut command: Command, port: u16) -> (Child, SocketAddr) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    wait_until("the proxy to listen", || std::net::TcpStream::connect(address).is_ok()).await;
    (child, address)
}

/// What every player behind the proxy must find.
async fn holds(scene: &Scene, proxy: SocketAddr) {
    let Scene { daemon, viewer, channel, .. } = scene;
    let outside = format!("https://localhost:{}/iptv", proxy.port());
    // Links: the scheme, host and port that the player used, with the prefix, and nothing of the inside.
    let list = fetch(proxy, &format!("/iptv/get.php?{}&output=ts", viewer.query())).await;
    assert_eq!(list.status, 200, "{}", list.text());
    let list = list.text();
    assert!(list.contains(&format!("\n{outside}/live/alice/")), "{list}");
    assert!(list.contains(&format!("url-tvg=\"{outside}/xmltv.php?")), "{list}");
    assert!(!list.contains("http://") && !list.contains(&daemon.address.port().to_string()), "{list}");
    let login = fetch(proxy, &format!("/iptv/player_api.php?{}", viewer.query())).await.json();
    let server = &login["server_info"];
    assert_eq!((&server["url"], &server["server_protocol"]), (&"localhost".into(), &"https".into()), "{server}");
    assert_eq!(server["https_port"], proxy.port().to_string());
    // Who does not come through the proxy keeps its own address, whatever was asked before.
    let own = get(daemon.address, &format!("/get.php?{}", viewer.query())).await.text();
    assert!(own.contains(&format!("\nhttp://{}/live/", daemon.address)), "{own}");
    let claim = "X-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.9\r\n";
    let forged = ask(daemon.address, "127.0.0.2", "GET", &format!("/get.php?{}", viewer.query()), claim).await.text();
    assert!(forged.contains(&format!("\nhttp://{}/live/", daemon.address)), "{forged}");
    // A stream, as it is made, with the client's own address in the table.
    let mut tls = connect_from(proxy, "127.0.0.3", "one", None).await.unwrap();
    let live = format!("/iptv/live/{}/{}/{channel}.ts", viewer.name, viewer.password);
    let head = format!("GET {live} HTTP/1.0\r\nHost: localhost:{}\r\nUser-Agent: tv\r\n\r\n", proxy.port());
    tls.write_all(head.as_bytes()).await.unwrap();
    let (mut checker, mut bytes, mut body) = (Checker::new(), Vec::new(), None);
    let mut buffer = vec![0; 64 << 10];
    while checker.bytes < 300_000 {
        let n = tokio::time::timeout(Duration::from_secs(20), tls.read(&mut buffer)).await.expect("in time").unwrap();
        assert!(n > 0, "the stream ended");
        if body.is_some() {
            checker.feed(&buffer[..n]);
            continue;
        }
        bytes.extend_from_slice(&buffer[..n]);
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
            assert!(head.contains(" 200 ") && head.contains("video/mp2t"), "{head}");
            body = Some(at + 4);
            checker.feed(&bytes[at + 4..]);
        }
    }
    checker.assert_good_start();
    checker.assert_continuous();
    assert_eq!(daemon.app.seats.rows()[0].ip, "127.0.0.3", "the client's, told by the proxy");
    // It leaves, and the proxy passes that on.
    drop(tls);
    wait_until("the seat to be free", || daemon.app.seats.is_empty()).await;
    // HLS: the list's relative addresses lead back through the prefix.
    let path = live.replace(".ts", ".m3u8");
    let list = fetch(proxy, &path).await;
    assert_eq!(list.status, 200, "{}", list.text());
    let base = url::Url::parse(&format!("https://localhost:{}{path}", proxy.port())).unwrap();
    let segment = base.join(list.text().lines().last().unwrap()).unwrap();
    assert!(segment.path().starts_with("/iptv/hls/"), "{segment}");
    let segment = fetch(proxy, segment.path()).await;
    assert_eq!((segment.status, segment.body[0]), (200, 0x47));
    assert_eq!(scene.origin.open("/a").1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_as_documented() {
    if !has("nginx") {
        return;
    }
    let scene = scene().await;
    let port = free_port();
    let server = adapted(
        snippet("nginx"),
        &[
            ("listen 443 ssl;", format!("listen 127.0.0.1:{port} ssl;")),
            ("tv.example.org;", "localhost;".to_owned()),
            ("/etc/ssl/tv.example.org.pem", file("one.pem").display().to_string()),
            ("/etc/ssl/tv.example.org.key", file("one.key").display().to_string()),
            ("http://127.0.0.1:8080/", format!("http://{}/", scene.daemon.address)),
        ],
    );
    let dir = scene.dir.path().display();
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
        .concat();
    let config = scene.dir.path().join("nginx.conf");
    // One process of this user, in this directory.
    let text = format!(
        "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log {dir}/error.log;\n\
         events {{}}\nhttp {{\n{places}{server}}}\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(scene.dir.path()).arg("-c").arg(&config);
    let (_nginx, address) = started(command, port).await;
    holds(&scene, address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_as_documented() {
    if !has("caddy") {
        return;
    }
    let scene = scene().await;
    let port = free_port();
    let pair = format!("    tls {} {}", file("one.pem").display(), file("one.key").display());
    let site = adapted(
        snippet("caddy"),
        &[
            ("tv.example.org {", format!("https://localhost:{port} {{\n{pair}")),
            ("127.0.0.1:8080", scene.daemon.address.to_string()),
        ],
    );
    let config = scene.dir.path().join("Caddyfile");
    std::fs::write(&config, format!("{{\n    admin off\n    auto_https disable_redirects\n}}\n{site}")).unwrap();
    let mut command = Command::new("caddy");
    command.arg("run").arg("--config").arg(&config).args(["--adapter", "caddyfile"]).stderr(Stdio::null());
    command.env("XDG_DATA_HOME", scene.dir.path()).env("XDG_CONFIG_HOME", scene.dir.path());
    let (_caddy, address) = started(command, port).await;
    holds(&scene, address).await;
}
