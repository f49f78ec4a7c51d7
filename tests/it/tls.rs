//! TLS listeners: players over TLS are served like the others, and hurt nobody.

use std::{net::SocketAddr, path::Path, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::support::{
    daemon::Daemon,
    origin::{Frame, Origin, Serve},
    player::Player,
    raw,
    secure::{connect, fetch, file},
    ts::Checker,
    wait_until,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon with a copy of the first pair, so that a test can put another in its place.
async fn daemon() -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    put(dir.path(), "one");
    Daemon::in_dir(dir, |c| {
        c.server.tls_listen = vec!["127.0.0.1:0".parse().unwrap()];
        (c.server.tls_cert, c.server.tls_key) = (cert, key);
    })
    .await
}

fn put(dir: &Path, name: &str) {
    std::fs::copy(file(&format!("{name}.pem")), dir.join("cert.pem")).unwrap();
    std::fs::copy(file(&format!("{name}.key")), dir.join("key.pem")).unwrap();
}

/// A viewer over TLS.
struct Viewer {
    tls: TlsStream<TcpStream>,
    checker: Checker,
}

impl Viewer {
    async fn watch(to: SocketAddr, path: &str, buffer: Option<u32>) -> Self {
        let mut tls = connect(to, "one", buffer).await.unwrap();
        tls.write_all(format!("GET {path} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, tls.read_u8()).await.expect("a head in time").unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.0 200") && !head.to_lowercase().contains("content-length"), "{head}");
        Self { tls, checker: Checker::new() }
    }

    /// Reads at least so many bytes; false when the stream ended before.
    async fn read(&mut self, bytes: usize) -> bool {
        let (mut seen, mut buffer) = (0, vec![0; 64 << 10]);
        while seen < bytes {
            match timeout(PATIENCE, self.tls.read(&mut buffer)).await.expect("bytes in time") {
                Ok(0) | Err(_) => return false,
                Ok(n) => {
                    self.checker.feed(&buffer[..n]);
                    seen += n;
                }
            }
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_served_over_tls_and_links_say_so() {
    let daemon = daemon().await;
    let to = daemon.tls_address.unwrap();
    let channel = daemon.channel("Card", &["testcard:"]).await;
    let viewer = daemon.viewer("alice", 0).await;
    assert_eq!(connect(to, "one", None).await.unwrap().get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(fetch(to, "/health").await.status, 200);
    let list = fetch(to, &format!("/get.php?{}", viewer.query())).await.text();
    assert!(list.contains(&format!("https://localhost:{}/live/alice/", to.port())), "{list}");
    let login = fetch(to, &format!("/player_api.php?{}", viewer.query())).await.json();
    assert_eq!(login["server_info"]["server_protocol"], "https");
    assert_eq!(login["server_info"]["https_port"], to.port().to_string());
    // Segments too.
    let live = format!("/live/{}/{}/{channel}.m3u8", viewer.name, viewer.password);
    let list = fetch(to, &live).await;
    assert_eq!(list.status, 200, "{}", list.text());
    let segment = list.text().lines().last().unwrap().trim_start_matches("../../..").to_owned();
    assert_eq!(fetch(to, &segment).await.body[0], 0x47);
}

/// Without a plain listener: the daemon's own links, its greeting and the health check know the other one.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_of_tls_alone_is_whole() {
    let daemon = Daemon::with(|c| {
        c.server.listen.clear();
        c.server.tls_listen = vec!["127.0.0.1:0".parse().unwrap()];
        (c.server.tls_cert, c.server.tls_key) = (file("one.pem"), file("one.key"));
    })
    .await;
    let to = daemon.tls_address.unwrap();
    let server = format!("https://127.0.0.1:{}", to.port());
    let viewer = daemon.viewer("alice", 0).await;
    let mut admin = tokio::net::UnixStream::connect(daemon.socket()).await.unwrap();
    let request = "GET /api/users/1/urls HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    admin.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    admin.read_to_end(&mut bytes).await.unwrap();
    let urls = raw::answers(&bytes).remove(0).json();
    assert_eq!(urls["server"], json!(server), "{urls}");
    assert_eq!(urls["playlist"], json!(format!("{server}/get.php?{}&type=m3u_plus&output=ts", viewer.query())));
    let mut check = tokio::process::Command::new(env!("CARGO_BIN_EXE_yagid"));
    check
        .arg("healthcheck")
        .env_clear()
        .env("HOME", daemon.dir.path())
        .env("YAGI__SERVER__LISTEN", "")
        .env("YAGI__SERVER__TLS_LISTEN", to.to_string());
    check.env("YAGI__SERVER__TLS_CERT", file("one.pem")).env("YAGI__SERVER__TLS_KEY", file("one.key"));
    let out = timeout(PATIENCE, check.output()).await.expect("an end in time").unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    daemon.stop().await;
    let out = timeout(PATIENCE, check.output()).await.expect("an end in time").unwrap();
    assert!(!out.status.success(), "nobody is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_over_tls_gets_the_stream_of_the_others_and_frees_its_seat() {
    let origin = Origin::start().await;
    origin.set("/a", Serve::Ts(Frame::Close));
    let daemon = daemon().await;
    daemon.hurry().await;
    let channel = daemon.channel("One", &[&origin.url("/a")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let mut plain = Player::get(daemon.address, &viewer.live(channel)).await;
    let mut secure = Viewer::watch(daemon.tls_address.unwrap(), &viewer.live(channel), None).await;
    tokio::join!(plain.watch(400_000), async { assert!(secure.read(400_000).await) });
    plain.checker.assert_continuous();
    secure.checker.assert_good_start();
    secure.checker.assert_continuous();
    assert_eq!((origin.open("/a"), daemon.app.seats.len()), ((1, 1), 2));
    // It leaves: its seat is free, the other goes on.
    drop(secure);
    wait_until("one seat to be free", || daemon.app.seats.len() == 1).await;
    // Another is kicked.
    let mut secure = Viewer::watch(daemon.tls_address.unwrap(), &viewer.live(channel), None).await;
    assert!(secure.read(10_000).await);
    let row = daemon.app.seats.rows().pop().unwrap();
    assert!(daemon.app.seats.kick(row.id));
    assert!(!secure.read(usize::MAX).await, "the stream ends");
    plain.watch(100_000).await;
    plain.checker.assert_continuous();
}

/// One that does not read is cut by the rule of all, while others over TLS lose nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_viewer_over_tls_harms_nobody() {
    let origin = Origin::start().await;
    origin.set("/a", Serve::Ts(Frame::Close));
    let daemon = daemon().await;
    daemon.set(&[("stall_cut_s", json!(2))]).await;
    let channel = daemon.channel("Two", &[&origin.url("/a")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let to = daemon.tls_address.unwrap();
    let mut good = Viewer::watch(to, &viewer.live(channel), None).await;
    let _stalled = Viewer::watch(to, &viewer.live(channel), Some(4096)).await;
    assert_eq!(daemon.app.seats.len(), 2);
    let watched = async {
        while daemon.app.seats.len() == 2 {
            assert!(good.read(50_000).await);
        }
    };
    // Two megabytes until all buffers are full, then two seconds.
    timeout(Duration::from_secs(60), watched).await.expect("the stalled one to be cut");
    good.checker.assert_continuous();
    assert_eq!(daemon.app.streams.rows()[0].dropped_clients, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_without_a_cut() {
    let daemon = daemon().await;
    let to = daemon.tls_address.unwrap();
    let channel = daemon.channel("Card", &["testcard:"]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let mut running = Viewer::watch(to, &viewer.live(channel), None).await;
    put(daemon.dir.path(), "two");
    daemon.reload_certificate();
    assert!(connect(to, "one", None).await.is_err(), "the old certificate is gone");
    assert!(connect(to, "two", None).await.is_ok());
    // A pair that does not belong together changes nothing.
    std::fs::copy(file("one.key"), daemon.dir.path().join("key.pem")).unwrap();
    daemon.reload_certificate();
    assert!(connect(to, "two", None).await.is_ok());
    assert!(running.read(50_000).await);
    assert_eq!(daemon.app.seats.len(), 1);
}

/// Who speaks no TLS, or nothing, is let go in time.
#[tokio::test(flavor = "multi_thread")]
async fn no_tls_no_answer() {
    let daemon = {
        let (cert, key) = (file("one.pem"), file("one.key"));
        Daemon::with(|c| {
            c.server.tls_listen = vec!["127.0.0.1:0".parse().unwrap()];
            (c.server.tls_cert, c.server.tls_key) = (cert, key);
            c.server.header_timeout_s = 1;
        })
        .await
    };
    let to = daemon.tls_address.unwrap();
    for words in [&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], b"\x16\x03\x01", b""] {
        let told = raw::send(to, "127.0.0.1", words, "no TLS").await;
        assert!(!told.starts_with(b"HTTP"), "{:?}", String::from_utf8_lossy(&told));
    }
}
