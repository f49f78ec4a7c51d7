//! Every line of docs/API.md that begins with `api` is run as it stands against a real daemon.
//!
//! Owns a small reader of such lines. Must not enter: what the answers mean. Invariant: each line is answered with success, and
//! every route of the daemon has a line.

use std::collections::BTreeSet;

use serde_json::json;
use yagid::admin;

use crate::support::{
    daemon::Daemon,
    origin::{Frame, Origin, Serve},
    place::Admin,
    player::Player,
    raw, wait_until,
};

#[derive(Debug)]
struct Line {
    text: String,
    method: String,
    target: String,
    body: String,
    /// Its answer does not end.
    endless: bool,
}

/// Splits as a shell does, as far as the document needs it: blanks, and single quotes.
fn words(text: &str) -> Vec<String> {
    let (mut out, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                if any {
                    out.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => {
                word.push(c);
                any = true;
            }
        }
    }
    assert!(!quoted, "a quote that does not end: {text}");
    if any {
        out.push(word);
    }
    out
}

fn read(text: &str) -> Line {
    let (mut method, mut target, mut body, mut endless) = (None, None, String::new(), false);
    let mut rest = words(text).into_iter().skip(1);
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-X" => method = rest.next(),
            "-d" => body = rest.next().unwrap(),
            "-N" => endless = true,
            url => target = Some(url.strip_prefix("http://yagi").unwrap_or_else(|| panic!("{text}")).to_owned()),
        }
    }
    let method = method.unwrap_or_else(|| if body.is_empty() { "GET" } else { "POST" }.to_owned());
    Line { text: text.to_owned(), method, target: target.unwrap(), body, endless }
}

fn lines() -> Vec<Line> {
    let document = include_str!("../../docs/API.md");
    let marked = document.split('`').skip(1).step_by(2).filter(|code| code.starts_with("api "));
    // Fences hold single lines of their own.
    let fenced = document.lines().filter(|line| line.starts_with("api "));
    marked.chain(fenced).map(|text| read(text.trim())).collect()
}

#[test]
fn lines_are_read_as_a_shell_reads_them() {
    let line = read("api -X PATCH http://yagi/api/x/7 -d '{\"a b\":1}'");
    assert_eq!((line.method.as_str(), line.target.as_str(), line.body.as_str()), ("PATCH", "/api/x/7", "{\"a b\":1}"));
    let line = read("api 'http://yagi/api/x?q=a+b&limit=1'");
    assert_eq!((line.method.as_str(), line.target.as_str()), ("GET", "/api/x?q=a+b&limit=1"));
}

#[test]
fn every_route_has_a_line() {
    let mut router = matchit::Router::new();
    let document = admin::document();
    for path in document["paths"].as_object().unwrap().keys() {
        router.insert(path.clone(), path.clone()).unwrap();
    }
    let told: BTreeSet<String> = lines()
        .iter()
        .map(|line| {
            let path = line.target.split('?').next().unwrap();
            format!("{} {}", line.method, router.at(path).unwrap_or_else(|_| panic!("{}", line.text)).value)
        })
        .collect();
    let served = document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    let missing: Vec<String> = served.filter(|route| !told.contains(route)).collect();
    assert!(missing.is_empty(), "docs/API.md has no line for: {missing:#?}");
}

/// What the lines speak of: nine channels, streams 1 to 3, clients 1 to 9, source 1, a job that runs, twelve steps.
async fn furnish(daemon: &Daemon) -> (Vec<Player>, Origin, tokio::net::TcpListener) {
    let origin = Origin::start().await;
    for n in 1..=9 {
        origin.set(&format!("/{n}.ts"), Serve::Ts(Frame::Close));
        // Two sources each, so that a stream can be moved.
        let url = origin.url(&format!("/{n}.ts"));
        daemon.channel(&format!("Channel {n}"), &[&url, &format!("{url}?second")]).await;
    }
    let viewer = daemon.viewer("viewer", 0).await;
    daemon.set(&[("flush_max_ms", json!(41))]).await;
    daemon.set(&[("audit_days", json!(80))]).await;
    let list = daemon.dir.path().join("list.m3u");
    let source = |url: String, name: &str| json!({"url": url, "name": name, "interval_s": 0, "enabled": false});
    let library = &daemon.app.library;
    let draft = serde_json::from_value(source(list.display().to_string(), "provider")).unwrap();
    let provider = library.create_source("test", draft).await.unwrap();
    // Takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/list.m3u", silent.local_addr().unwrap());
    let slow = library.create_source("test", serde_json::from_value(source(url, "slow")).unwrap()).await.unwrap();
    assert_eq!(daemon.app.refresher.request(slow.id, "test"), 1);
    // Five generations, and a sixth text that is held back.
    for (generation, entries) in [30, 31, 32, 33, 34, 2].into_iter().enumerate() {
        let entry = |n: u32| format!("#EXTINF:-1 group-title=\"G{generation}\",Name {n}\nhttp://h.example/{n}.ts\n");
        std::fs::write(&list, format!("#EXTM3U\n{}", (0..entries).map(entry).collect::<String>())).unwrap();
        daemon.app.refresher.queue_and_wait(provider.id).await;
    }
    let mut players = Vec::new();
    for n in 1..=9_u32 {
        let path = viewer.live(yagi_api::ChannelId(n.min(3)));
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        players.push(Player::ask_from(daemon.address, Some(&format!("127.0.0.{n}")), None, &request).await);
    }
    let app = daemon.app.clone();
    wait_until("three streams and nine clients", || app.streams.rows().len() == 3 && app.seats.len() == 9).await;
    (players, origin, silent)
}

/// Reading first, then changing in the document's order, then what ends and deletes, clients before their streams.
fn turn(line: &Line) -> u32 {
    let is = |part: &str| line.target.contains(part);
    match line.method.as_str() {
        // A rule applies the last text again, and nothing is held back any more.
        "POST" if is("/api/rules") => 2,
        "GET" if is("/api/rules/") => 3,
        "POST"
            if !line.target.contains("/undo")
                && !is("/redo")
                && !is("/block")
                && !is("/merge")
                && !is("/apply")
                && !is("/lineup/") =>
        {
            0
        }
        "GET" => 1,
        "DELETE" if is("/clients/") => 4,
        "DELETE" if is("streams/") => 5,
        "DELETE" => 6,
        _ if is("/block") => 3,
        _ => 2,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_document_runs() {
    let daemon = Daemon::start().await;
    let _furniture = furnish(&daemon).await;
    let mut admin = Admin::at(&daemon.socket()).await;
    let mut lines = lines();
    assert!(lines.len() > 80, "{}", lines.len());
    lines.sort_by_key(turn);
    let mut failed = Vec::new();
    for line in lines {
        if line.endless {
            // One whole head is proof enough.
            let mut socket = tokio::net::UnixStream::connect(daemon.socket()).await.unwrap();
            let request = format!("GET {} HTTP/1.1\r\nHost: yagi\r\n\r\n", line.target);
            tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes()).await.unwrap();
            let mut head = [0; 12];
            tokio::io::AsyncReadExt::read_exact(&mut socket, &mut head).await.unwrap();
            assert_eq!(&head[9..], b"200", "{}", line.text);
            continue;
        }
        let target = line.target.replace("streams/ID", "streams/2");
        let (status, answer) = admin.ask(&line.method, &target, &line.body).await.unwrap();
        if !(200..300).contains(&status) {
            failed.push(format!("{}\n    {status} {answer}", line.text));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(raw::get(daemon.address, "/health").await.status, 200);
}
