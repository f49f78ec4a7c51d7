//! What strangers send: malformed, slow, endless, smuggled. Each gets a 4xx, an answer, or a closed connection; nobody hangs.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
    time::{interval, timeout},
};

use crate::support::{
    daemon::{Account, Daemon},
    raw::{self, PATIENCE, answers, connect, drain, get, send},
};

/// Closed without an answer.
const CLOSED: u16 = 0;
const BAD: &[u16] = &[400];
const FINE: &[u16] = &[200];
const GONE: &[u16] = &[404];
const NO_METHOD: &[u16] = &[405];
const TOO_LONG: &[u16] = &[414, 431];

async fn hasty() -> (Daemon, Account) {
    let daemon = Daemon::with(|c| {
        c.server.header_timeout_s = 1;
        c.server.login_tries = 1_000_000;
    })
    .await;
    let viewer = daemon.viewer("alice", 1).await;
    (daemon, viewer)
}

/// A request with this head behind `GET /health` and its Host.
fn with(lines: &str) -> Vec<u8> {
    format!("GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}\r\n").into_bytes()
}

fn line(first: &str) -> Vec<u8> {
    format!("{first}\r\nHost: h\r\nConnection: close\r\n\r\n").into_bytes()
}

fn path(target: &str) -> Vec<u8> {
    line(&format!("GET {target} HTTP/1.1"))
}

fn host(lines: &str) -> Vec<u8> {
    format!("GET /health HTTP/1.1\r\nConnection: close\r\n{lines}\r\n").into_bytes()
}

fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}\r\n{body}").into_bytes()
}

/// Name, bytes, the statuses that are right.
type Case = (&'static str, Vec<u8>, &'static [u16]);

fn request_lines() -> Vec<Case> {
    vec![
        ("empty lines first", b"\r\n\r\nGET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec(), FINE),
        ("nothing but empty lines", b"\r\n\r\n\r\n".to_vec(), &[CLOSED, 400]),
        ("HTTP/0.9", b"GET /health\r\n\r\n".to_vec(), BAD),
        ("HTTP/1.0 without a host", b"GET /health HTTP/1.0\r\n\r\n".to_vec(), FINE),
        ("a method alone", b"GET\r\n\r\n".to_vec(), BAD),
        ("two blanks", line("GET  /health HTTP/1.1"), BAD),
        ("a tab for a blank", line("GET\t/health\tHTTP/1.1"), BAD),
        ("a blank at the end", line("GET /health HTTP/1.1 "), BAD),
        ("a blank at the start", line(" GET /health HTTP/1.1"), BAD),
        ("a blank in the path", path("/hea lth"), BAD),
        ("a version of the future", line("GET /health HTTP/9.9"), &[400, 505]),
        ("a long version", line("GET /health HTTP/1.10"), BAD),
        ("a version in small letters", line("GET /health http/1.1"), BAD),
        ("NUL in the method", line("G\0T /health HTTP/1.1"), BAD),
        ("NUL in the path", path("/hea\0lth"), BAD),
        ("DEL in the path", path("/hea\x7flth"), BAD),
        ("ESC in the path", path("/hea\x1b[2Jlth"), BAD),
        ("CR in the path", path("/hea\rlth"), BAD),
        ("UTF-8 in the path", path("/é"), &[400, 404]),
        ("only line feeds", b"GET /health HTTP/1.1\nHost: h\nConnection: close\n\n".to_vec(), &[200, 400]),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20), BAD),
        ("an SSH banner", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), BAD),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[CLOSED, 400, 505]),
        ("noise", (0..=255u8).rev().cycle().take(3000).collect(), BAD),
        ("half a request", b"GET /health HTTP/1.1\r\nHo".to_vec(), &[CLOSED, 400, 408]),
        ("a method of 10 kB", line(&format!("{} /health HTTP/1.1", "M".repeat(10_000))), NO_METHOD),
        ("a small method", line("get /health HTTP/1.1"), NO_METHOD),
        ("an unknown method", line("BREW /health HTTP/1.1"), NO_METHOD),
        ("TRACE", line("TRACE /health HTTP/1.1"), NO_METHOD),
        ("CONNECT", line("CONNECT h:443 HTTP/1.1"), &[400, 405]),
        ("CONNECT with a path", line("CONNECT /health HTTP/1.1"), &[400, 405]),
        ("PUT", line("PUT /health HTTP/1.1"), NO_METHOD),
        ("DELETE", line("DELETE /live/a/b/1.ts HTTP/1.1"), NO_METHOD),
        ("PATCH", line("PATCH /player_api.php HTTP/1.1"), NO_METHOD),
        ("OPTIONS", line("OPTIONS /player_api.php HTTP/1.1"), &[204]),
        ("OPTIONS of all", line("OPTIONS * HTTP/1.1"), &[204, 404]),
        ("a star", path("*"), &[400, 404]),
        ("a path without a slash", path("health"), &[400, 404]),
        ("an authority", path("h:80"), &[400, 404]),
        ("absolute", path("http://h/health"), FINE),
        ("absolute of another host", path("http://other:99/health"), FINE),
        ("absolute without a host", path("http:///health"), &[200, 400, 404]),
        ("absolute of a file", path("file:///etc/passwd"), &[400, 404]),
        ("absolute with an account", path("http://u:p@h/health"), &[200, 400]),
    ]
}

fn targets() -> Vec<Case> {
    vec![
        ("slashes", path("//////health"), FINE),
        ("a fragment", path("/health#x"), &[200, 400]),
        ("encoded letters", path("/%68ealth"), GONE),
        ("encoded NUL", path("/%00"), GONE),
        ("percent without digits", path("/live/%/%zz/1.ts"), &[401]),
        ("no UTF-8", path("/live/%ff%fe/%c0%af/1.ts"), BAD),
        ("an encoded slash", path("/live/a%2fb/c/1.ts"), &[401]),
        ("an encoded line break", path("/live/u%0d%0aSet-Cookie:%20x/p/1.ts"), &[401]),
        ("a line break in a value", path("/get.php?username=%0d%0aX:y&password=%0a"), &[401]),
        ("NUL in a value", path("/xmltv.php?username=%00&password=%00"), &[401]),
        ("no values", path("/get.php?username&password&=&&&==&%"), &[401]),
        ("traversal", path("/../../../../etc/passwd"), &[401, 404]),
        ("encoded traversal", path("/%2e%2e/%2e%2e/etc/passwd"), &[401, 404]),
        ("traversal below live", path("/live/../../../etc/passwd"), GONE),
        ("dots as a login", path("/live/../../1.ts"), &[401]),
        ("backslashes", path("/..\\..\\etc\\passwd"), GONE),
        ("a URI of 8 kB", path(&format!("/{}", "a".repeat(8000))), GONE),
        ("a URI of 70 kB", path(&format!("/{}", "a".repeat(70_000))), TOO_LONG),
        ("a query of 70 kB", path(&format!("/health?{}", "a=b&".repeat(17_500))), TOO_LONG),
        ("a query of 15000 pairs", path(&format!("/health?{}", "a&".repeat(15_000))), FINE),
        ("deep", path(&"/a".repeat(10_000)), GONE),
    ]
}

fn heads() -> Vec<Case> {
    let many = |n: usize| (0..n).map(|i| format!("X-{i}: y\r\n")).collect::<String>();
    vec![
        ("no host", host(""), BAD),
        ("two hosts", host("Host: h\r\nHost: h\r\n"), BAD),
        ("an empty host", host("Host:\r\n"), &[200, 400]),
        ("a host with a blank", host("Host: a b\r\n"), BAD),
        ("a host with a quote", host("Host: h\"onload=x\r\n"), BAD),
        ("a host with a path", host("Host: h/../x\r\n"), BAD),
        ("a host with an account", host("Host: u@h\r\n"), BAD),
        ("hosts with a comma", host("Host: a, b\r\n"), BAD),
        ("an endless port", host("Host: h:99999999999\r\n"), &[200, 400]),
        ("obs-fold", with("X-A: b\r\n c\r\n"), BAD),
        ("obs-fold first", host(" X: y\r\nHost: h\r\n"), BAD),
        ("no colon", with("X-A b\r\n"), BAD),
        ("a blank before the colon", with("X-A : b\r\n"), BAD),
        ("no name", with(": b\r\n"), BAD),
        ("NUL in a value", with("X-A: a\0b\r\n"), BAD),
        ("CR in a value", with("X-A: a\rb\r\n"), BAD),
        ("ESC in a value", with("User-Agent: \x1b[2J\r\n"), BAD),
        ("NUL in a name", with("X\0A: b\r\n"), BAD),
        ("a slash in a name", with("X/A: b\r\n"), BAD),
        ("UTF-8 in a value", with("User-Agent: Fernseh-Gerät\r\n"), FINE),
        ("60 headers", with(&many(60)), FINE),
        ("65 headers", with(&many(65)), &[431]),
        ("5000 headers", with(&many(5000)), &[431]),
        ("a header of 60 kB", with(&format!("X-A: {}\r\n", "b".repeat(60_000))), FINE),
        ("a header of 70 kB", with(&format!("X-A: {}\r\n", "b".repeat(70_000))), &[431]),
        ("a name of 70 kB", with(&format!("{}: b\r\n", "X".repeat(70_000))), &[400, 431]),
        ("a range", with("Range: bytes=0-\r\n"), FINE),
        ("a mad range", with("Range: bytes=9999999999-1,-,x\r\n"), FINE),
        ("an upgrade to HTTP/2", with("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"), FINE),
        ("an upgrade to a socket", with("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"), FINE),
        ("an odd expectation", with("Expect: the-unexpected\r\n"), &[200, 417]),
        ("another method in a header", with("X-HTTP-Method-Override: DELETE\r\n"), FINE),
    ]
}

fn bodies() -> Vec<Case> {
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "hello");
    vec![
        ("a body", length("5"), FINE),
        ("the same length twice", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), &[200, 400]),
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), BAD),
        ("two lengths in one", length("5, 6"), BAD),
        ("a negative length", length("-5"), BAD),
        ("a length with a sign", length("+5"), BAD),
        ("a length in hexadecimal", length("0x5"), BAD),
        ("a length with an exponent", length("5e0"), BAD),
        ("a length with a blank", length("5 5"), BAD),
        ("an empty length", length(""), BAD),
        ("a length beyond 64 bits", length("99999999999999999999999"), BAD),
        ("a length of 2^63", length("9223372036854775808"), &[413]),
        ("length and chunks", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), &[200, 400]),
        ("chunks and length", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), &[200, 400]),
        ("an unknown coding", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), BAD),
        ("chunked not last", post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), BAD),
        ("identity", post("Transfer-Encoding: identity\r\n", ""), BAD),
        ("a coding with VT", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), BAD),
        (
            "chunks in HTTP/1.0",
            b"POST /health HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            BAD,
        ),
        ("chunks", chunked("5\r\nhello\r\n0\r\n\r\n"), FINE),
        ("a chunk with an extension", chunked("5;a=b\r\nhello\r\n0\r\n\r\n"), FINE),
        ("an extension of 70 kB", chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(70_000))), BAD),
        ("a chunk of no size", chunked("\r\nhello\r\n0\r\n\r\n"), BAD),
        ("a chunk of letters", chunked("zz\r\nhello\r\n0\r\n\r\n"), BAD),
        ("a negative chunk", chunked("-5\r\nhello\r\n0\r\n\r\n"), BAD),
        ("a chunk in 0x", chunked("0x5\r\nhello\r\n0\r\n\r\n"), BAD),
        ("a chunk beyond 64 bits", chunked("fffffffffffffffff\r\nhello\r\n0\r\n\r\n"), BAD),
        ("a chunk of 2^64-1", chunked("ffffffffffffffff\r\nhello"), &[400, 408, 413]),
        ("a chunk too long for its size", chunked("3\r\nhello\r\n0\r\n\r\n"), BAD),
        ("a bad trailer", chunked("0\r\nX\0: y\r\n\r\n"), &[200, 400]),
        ("endless trailers", chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(20_000))), &[200, 400]),
        ("a large body", post("Content-Length: 70000\r\n", &"x".repeat(70_000)), &[413]),
        ("a huge body", post("Content-Length: 8000000\r\n", &"x".repeat(8_000_000)), &[413]),
        (
            "a large body in chunks",
            chunked(&format!("{}0\r\n\r\n", format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(20))),
            &[413],
        ),
        ("a body that does not come", length("50"), &[408]),
        ("a chunk that does not come", chunked("50\r\nhello"), &[408]),
        ("a body after 100", post("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"), FINE),
        (
            "a form that is none",
            post("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5\r\n", "%\u{0}\u{1}&="),
            FINE,
        ),
    ]
}

/// Every odd request gets what it should, within the time that anything may take, and the daemon is well afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_and_hang_nobody() {
    let (daemon, _) = hasty().await;
    let address = daemon.address;
    let cases: Vec<Case> = [request_lines(), targets(), heads(), bodies()].concat();
    assert!(cases.len() >= 126, "{}", cases.len());
    let mut running = JoinSet::new();
    for (name, bytes, right) in cases {
        running.spawn(async move {
            let came = send(address, "127.0.0.1", &bytes, name).await;
            let found = answers(&came);
            let status = found.first().map_or(CLOSED, |a| a.status);
            let leaked = found.iter().any(|a| a.text().contains("root:") || a.head.contains("x-a"));
            let right_one = right.contains(&status) && found.len() <= 1 && !leaked;
            (!right_one).then(|| format!("{name}: {status} of {right:?}\n{}", String::from_utf8_lossy(&came)))
        });
    }
    let wrong: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(get(address, "/health").await.status, 200);
    assert_eq!(daemon.app.streams.panics(), 0);
}

/// A request hidden in another's body is never answered, whichever way the body's end is disputed.
#[tokio::test(flavor = "multi_thread")]
async fn smuggled_requests_are_never_answered() {
    let (daemon, viewer) = hasty().await;
    let hidden = format!("GET /player_api.php?{} HTTP/1.1\r\nHost: h\r\n\r\n", viewer.query());
    let tail = format!("0\r\n\r\n{hidden}");
    let n = tail.len();
    let seen = send(daemon.address, "127.0.0.1", hidden.as_bytes(), "in the open").await;
    assert!(String::from_utf8_lossy(&seen).contains("user_info"), "the hidden request works in the open");
    let disputes = [
        format!("Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n"),
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        format!("Content-Length: 0\r\nContent-Length: {n}\r\n"),
        format!("Content-Length: {n}\r\nTransfer-Encoding: xchunked\r\n"),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        "Transfer-Encoding:\x0bchunked\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding: identity, chunked\r\nContent-Length: 5\r\n".to_owned(),
        "X: y\r\n Transfer-Encoding: chunked\r\n".to_owned(),
        "Content-Length: +5\r\n".to_owned(),
        "Content-Length: 5, 5\r\nContent-Length: 6\r\n".to_owned(),
    ];
    for lines in disputes {
        let request = format!("POST /health HTTP/1.1\r\nHost: h\r\n{lines}\r\n{tail}");
        let came = send(daemon.address, "127.0.0.1", request.as_bytes(), &lines).await;
        let found = answers(&came);
        // A chunked body may be read as such if the connection is closed then (RFC 9112 §6.1).
        let read = lines.contains("Transfer-Encoding: chunked\r\n") && found[0].status == 200;
        assert!(found.len() == 1 && (read || found[0].status == 400), "{lines}: {}", String::from_utf8_lossy(&came));
    }
    // Behind a stream nothing more is answered: the socket belongs to the stream.
    let behind = format!("GET /live/x/y/1.ts HTTP/1.0\r\n\r\n{hidden}");
    let came = send(daemon.address, "127.0.0.1", behind.as_bytes(), "behind HTTP/1.0").await;
    assert_eq!(answers(&came).len(), 1);
}

/// A hundred requests in one write get a hundred answers in their order.
#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let (daemon, _) = hasty().await;
    let kinds =
        [("GET /health", "ok"), ("GET /ready", "ready"), ("GET /no/such", "nothing"), ("PUT /ready", "answers")];
    // A sequence without a period.
    let order: Vec<usize> = (0..100usize).map(|i| (i * i + i / 7) % kinds.len()).collect();
    let mut request = String::new();
    for (i, kind) in order.iter().enumerate() {
        let last = if i == 99 { "Connection: close\r\n" } else { "" };
        request += &format!("{} HTTP/1.1\r\nHost: h\r\n{last}\r\n", kinds[*kind].0);
    }
    let found = answers(&send(daemon.address, "127.0.0.1", request.as_bytes(), "pipeline").await);
    assert_eq!(found.len(), 100);
    for (answer, kind) in found.iter().zip(order) {
        assert!(answer.text().contains(kinds[kind].1), "{}", answer.text());
    }
}

async fn honest(address: SocketAddr, viewer: &Account) {
    let answer = get(address, &format!("/player_api.php?{}", viewer.query())).await;
    assert_eq!((answer.status, &answer.json()["user_info"]["auth"]), (200, &serde_json::json!(1)));
}

/// Connections that say nothing, trickle a head, or stay idle after an answer are cut while others are served.
#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_are_cut_while_others_are_served() {
    let (daemon, viewer) = hasty().await;
    let address = daemon.address;
    let mut slow = JoinSet::new();
    for n in 0..60 {
        slow.spawn(async move {
            let mut socket = connect(address, "127.0.0.1").await;
            match n % 3 {
                0 => drain(&mut socket, "silent").await,
                1 => {
                    socket.write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
                    drain(&mut socket, "idle after an answer").await
                }
                _ => {
                    let (mut reader, mut writer) = socket.into_split();
                    let trickle = tokio::spawn(async move {
                        let mut tick = interval(Duration::from_millis(100));
                        let _ = writer.write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n").await;
                        while writer.write_all(b"X-More: yes\r\n").await.is_ok() {
                            tick.tick().await;
                        }
                    });
                    let mut came = Vec::new();
                    let cut = timeout(PATIENCE, reader.read_to_end(&mut came)).await;
                    trickle.abort();
                    assert!(cut.is_ok(), "a trickled head is not cut");
                    came
                }
            }
        });
    }
    let mut served = 0;
    while !slow.is_empty() {
        honest(address, &viewer).await;
        served += 1;
        while let Some(done) = slow.try_join_next() {
            let statuses: Vec<u16> = answers(&done.unwrap()).iter().map(|a| a.status).collect();
            assert!(statuses.iter().all(|s| matches!(s, 200 | 400 | 408)), "{statuses:?}");
        }
    }
    assert!(served > 10, "{served}");
}

/// A body that comes byte by byte is cut too.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_is_cut() {
    let (daemon, viewer) = hasty().await;
    let (mut reader, mut writer) = connect(daemon.address, "127.0.0.1").await.into_split();
    writer.write_all(b"POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n").await.unwrap();
    let trickle = tokio::spawn(async move {
        let mut tick = interval(Duration::from_millis(100));
        while writer.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    });
    honest(daemon.address, &viewer).await;
    let mut came = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut came)).await.expect("a trickled body is cut").ok();
    trickle.abort();
    assert_eq!(answers(&came)[0].status, 408);
}

/// A refusal reaches a client that is still sending, instead of a reset.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_arrives_although_the_client_still_sends() {
    let (daemon, _) = hasty().await;
    let mut socket = connect(daemon.address, "127.0.0.1").await;
    socket.write_all(b"POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 700000\r\n\r\n").await.unwrap();
    // The answer is on its way before the rest is sent.
    socket.readable().await.unwrap();
    socket.write_all(&[b'x'; 200_000]).await.unwrap();
    socket.write_all(&[b'x'; 200_000]).await.unwrap();
    let mut came = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut came)).await.expect("it ends").expect("it ends in order");
    assert_eq!(answers(&came)[0].status, 413);
}

/// A client that closes before it has been answered, or in the middle of its request, leaves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_promises_more_than_it_sends_gets_no_half_answer() {
    let (daemon, _) = hasty().await;
    for (name, bytes) in [
        ("a head", &b"GET /health HTTP/1.1\r\nHost: h"[..]),
        ("a body", b"POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhello"),
        ("a chunk", b"POST /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhello"),
    ] {
        let mut socket = connect(daemon.address, "127.0.0.1").await;
        socket.write_all(bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        let came = drain(&mut socket, name).await;
        let found = answers(&came);
        assert!(found.iter().all(|a| a.status == 400), "{name}: {}", String::from_utf8_lossy(&came));
    }
    assert_eq!(raw::get(daemon.address, "/ready").await.status, 200);
}
