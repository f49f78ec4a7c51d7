//! Editing through the admin socket: many rows at once, the trail, roles, blocks, and watchers that do not read.
//!
//! Must not enter: rules of single fields. Invariant: every test drives a real daemon over its real socket.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use yagi_api::{Event, LogRecord};
use yagid::{
    admin,
    http::{Handover, Params, Peer, Presence, Request},
};

use crate::support::{
    daemon::Daemon,
    place::{Admin, Place},
    player::Player,
    raw, wait_until,
};

fn draft(name: &str) -> Value {
    json!({"name": name, "sources": [{"url": "testcard:"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn two_editors_agree_and_neither_loses_an_edit() {
    let daemon = Daemon::start().await;
    let (mut ada, mut bob) = (Admin::at(&daemon.socket()).await, Admin::at(&daemon.socket()).await);
    let one = ada.ok("POST", "/api/channels", draft("One")).await;
    let path = format!("/api/channels/{}", one["id"]);
    let read = bob.get(&path).await;
    ada.ok("PATCH", &path, json!({"name": "Two", "version": read["version"]})).await;
    let (status, error) = bob.refused("PATCH", &path, json!({"name": "Three", "version": read["version"]})).await;
    assert_eq!((status, error["code"].as_str(), error["field"].as_str()), (409, Some("conflict"), Some("version")));
    // Both at once, many times: each step is one of them, and the versions count them all.
    let both = async |admin: &mut Admin, name: &str| {
        for n in 0..20 {
            admin.ok("PATCH", &path, json!({"name": format!("{name} {n}")})).await;
        }
    };
    tokio::join!(both(&mut ada, "ada"), both(&mut bob, "bob"));
    let (seen, other) = (ada.get(&path).await, bob.get(&path).await);
    assert_eq!(seen, other);
    assert_eq!(seen["version"], 42);
    let trail = ada.get("/api/changes?limit=1000").await;
    assert_eq!(trail["total"], 42, "one creation and 41 renames");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_numeric_name_is_nobody_elses_id() {
    let daemon = Daemon::start().await;
    let mut admin = Admin::at(&daemon.socket()).await;
    let alice = admin.ok("POST", "/api/users", json!({"name": "alice"})).await;
    let id = &alice["id"];
    admin.ok("POST", "/api/users", json!({"name": id.to_string()})).await;
    admin.ok("POST", "/api/categories", json!({"name": "News"})).await;
    admin.ok("POST", "/api/categories", json!({"name": "1"})).await;
    assert_eq!(admin.get(&format!("/api/users/{id}/urls")).await["name"], id.to_string().as_str());
    assert_eq!(admin.get(&format!("/api/users/id:{id}/urls")).await["name"], "alice");
    assert_eq!(admin.get("/api/categories/1").await["name"], "1");
    assert_eq!(admin.get("/api/categories/id%3A1").await["id"], 1);
    admin.ok("DELETE", &format!("/api/users/{id}"), Value::Null).await;
    let left = admin.get("/api/users").await;
    assert_eq!((&left["total"], &left["rows"][0]["name"]), (&json!(1), &json!("alice")));
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_outlives_a_restart() {
    let place = Place::new();
    let process = place.start().await;
    let mut admin = Admin::connect(&place).await;
    for name in ["One", "Two", "Three"] {
        admin.ok("POST", "/api/channels", draft(name)).await;
    }
    admin.ok("POST", "/api/users", json!({"name": "ada", "password": "right-password"})).await;
    admin.ok("POST", "/api/channels/bulk", json!({"q": "", "set": {"category": "All"}})).await;
    admin.ok("DELETE", "/api/users/ada", Value::Null).await;
    process.kill().await;
    let process = place.start().await;
    let mut admin = Admin::connect(&place).await;
    let trail = admin.get("/api/changes").await;
    let said: Vec<&str> = trail["rows"].as_array().unwrap().iter().map(|r| r["summary"].as_str().unwrap()).collect();
    assert_eq!(said, ["deleted", "1 created, 3 updated", "created", "created", "created", "created"]);
    assert!(!trail.to_string().contains("right-password"));
    admin.ok("POST", "/api/undo", Value::Null).await;
    assert_eq!(admin.get("/api/users/ada/urls").await["password"], "right-password");
    let undone = admin.ok("POST", "/api/undo", json!({})).await;
    assert_eq!((undone["updated"].as_u64(), undone["deleted"].as_u64()), (Some(3), Some(1)));
    assert_eq!(admin.get("/api/channels?q=category:all").await["total"], 0);
    admin.ok("POST", "/api/redo", Value::Null).await;
    assert_eq!(admin.get("/api/channels?q=category:all").await["total"], 3);
    let id = trail["rows"][0]["id"].as_u64().unwrap();
    let step = admin.get(&format!("/api/changes/{id}")).await;
    assert_eq!((&step["undoable"], step["undone_by"].as_u64()), (&json!(false), Some(id + 1)), "{step}");
    let shown = step["items"][0]["fields"].as_array().unwrap();
    let password = shown.iter().find(|f| f["field"] == "password").unwrap();
    assert_eq!(password["before"], "****");
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_operations_is_whole_or_absent_under_kill_9() {
    let place = Place::new();
    let rows: Vec<Value> =
        (0..3000).map(|n| json!({"op": "create", "noun": "channels", "row": draft(&format!("C{n}"))})).collect();
    let list = json!({ "operations": rows }).to_string();
    let mut before = 0;
    for delay in [0, 40, 120, 300, 900] {
        let process = place.start().await;
        let mut admin = Admin::connect(&place).await;
        let asked = async {
            let answer = admin.ask("POST", "/api/apply", &list).await;
            answer.is_some_and(|(status, _)| status == 200)
        };
        let killed = async {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            process.kill().await;
        };
        let (answered, ()) = tokio::join!(asked, killed);
        let process = place.start().await;
        let total = Admin::connect(&place).await.get("/api/channels?limit=0").await["total"].as_u64().unwrap();
        assert!(total == before + 3000 || (total == before && !answered), "{total} after {before}, {answered}");
        before = total;
        process.kill().await;
    }
}

/// A request as the socket's listener makes it, of any account.
fn asked(uid: u32, method: &str, path: &str, body: &str) -> Request {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    Request {
        method: method.parse().unwrap(),
        path: path.to_owned(),
        slashes: 0,
        query: Params::parse(query),
        headers: hyper::HeaderMap::new(),
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        peer: Peer::Unix { uid, gid: uid, pid: 1 },
        local: None,
        secure: false,
        handover: Handover::default(),
        presence: Presence::default(),
    }
}

async fn answered(daemon: &Daemon, request: Request) -> (u16, String) {
    use http_body_util::BodyExt as _;
    let reply = admin::handle(&daemon.app, request).await;
    let status = reply.status().as_u16();
    let feed = matches!(reply.body(), yagid::http::Body::Feed(_));
    let body = if feed { Vec::new() } else { reply.into_body().collect().await.unwrap().to_bytes().to_vec() };
    (status, String::from_utf8(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_hold_on_every_route() {
    const ACCOUNTS: [(u32, &str, usize); 3] = [(60_001, "viewer", 0), (60_002, "operator", 1), (60_003, "admin", 2)];
    let daemon = Daemon::with(|config| {
        config.admin.viewers = vec!["60001".into()];
        config.admin.operators = vec!["60002".into()];
        config.admin.admins = vec!["60003".into()];
    })
    .await;
    let document = admin::document();
    let mut checked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let wanted = ["viewer", "operator", "admin"].iter().position(|r| operation["x-role"] == *r).unwrap();
            for (uid, name, rank) in ACCOUNTS {
                if path == "/api/reload" && rank >= wanted {
                    // It would read the roles of this machine's own configuration.
                    continue;
                }
                // Of no row and with no body, so that what is allowed does no harm.
                let request = asked(uid, &method.to_uppercase(), &path.replace("{id}", "none"), "");
                let (status, body) = answered(&daemon, request).await;
                let refused = status == 403 && body.contains("wants the role");
                assert_eq!(refused, rank < wanted, "{name} {method} {path}: {status} {body}");
                checked += 1;
            }
            let (status, body) = answered(&daemon, asked(60_004, &method.to_uppercase(), path, "")).await;
            assert!(status == 403 && body.contains("none of the lists"), "a stranger {method} {path}: {status}");
        }
    }
    assert!(checked > 200);
    for (uid, name, _) in ACCOUNTS {
        let (_, hello) = answered(&daemon, asked(uid, "GET", "/api/hello", "")).await;
        let hello: Value = serde_json::from_str(&hello).unwrap();
        assert_eq!((hello["role"].as_str(), &hello["write"]), (Some(name), &json!(name != "viewer")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_see_credentials() {
    let canary = "canarysecret";
    let daemon = Daemon::with(|config| {
        config.admin.viewers = vec!["60001".into()];
        config.admin.operators = vec!["60002".into()];
        let argv = ["ffmpeg", "-i", &format!("rtsp://u:{canary}@127.0.0.1/"), "-headers", canary].map(str::to_owned);
        config.exec.insert("camera".to_owned(), yagid::config::Exec { argv: argv.into() });
    })
    .await;
    let id = daemon.channel("One", &[&format!("http://u:{canary}@127.0.0.1/live/me/{canary}/1.ts")]).await;
    daemon.viewer_from(serde_json::from_value(json!({"name": "ada", "password": canary})).unwrap()).await;
    let draft = json!({"url": format!("http://u:{canary}@127.0.0.1:1/x.m3u"), "enabled": false});
    let source = daemon.app.library.create_source("t", serde_json::from_value(draft).unwrap()).await.unwrap();
    let trail = daemon.app.library.changes().await.unwrap();
    let mut paths: Vec<String> = trail.iter().map(|c| format!("/api/changes/{}", c.id)).collect();
    paths.extend([
        "/api/channels".to_owned(),
        format!("/api/channels/{id}"),
        format!("/api/channels/{id}/detail"),
        "/api/users".to_owned(),
        "/api/sources".to_owned(),
        format!("/api/sources/{}", source.id),
        "/api/settings".to_owned(),
        "/api/changes".to_owned(),
        "/api/logs".to_owned(),
        "/api/guide/channels".to_owned(),
    ]);
    for uid in [60_001, 60_002] {
        for path in &paths {
            let (status, body) = answered(&daemon, asked(uid, "GET", path, "")).await;
            assert!(status == 200 && !body.contains(canary), "{path}: {status} {body}");
        }
        // Searching would tell it letter by letter.
        let (status, _) = answered(&daemon, asked(uid, "GET", &format!("/api/channels?q=source:{canary}"), "")).await;
        assert_eq!(status, 422);
    }
    let (_, body) = answered(&daemon, asked(0, "GET", &format!("/api/channels/{id}"), "")).await;
    assert!(body.contains(canary));
    // Events tell rows too.
    let reply = admin::handle(&daemon.app, asked(60_001, "GET", "/api/events", "")).await;
    let yagid::http::Body::Feed(mut feed) = reply.into_body() else { panic!("no feed") };
    let patch = serde_json::from_value(json!({"name": "Two"})).unwrap();
    daemon.app.library.update_channel("t", id, patch).await.unwrap();
    loop {
        let line = tokio::time::timeout(Duration::from_secs(20), feed.recv()).await.unwrap().unwrap();
        let line = std::str::from_utf8(&line).unwrap();
        assert!(!line.contains(canary), "{line}");
        if line.contains("\"change\"") {
            break assert!(line.contains("\"Two\"") && line.contains("****"), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_address_is_refused_on_every_public_path() {
    const THERE: &str = "127.0.0.44";
    let daemon = Daemon::start().await;
    let id = daemon.channel("One", &["testcard:"]).await;
    let ada = daemon.viewer("ada", 0).await;
    let live = ada.live(id);
    let request = format!("GET {live} HTTP/1.1\r\nHost: x\r\nUser-Agent: Box/1\r\n\r\n");
    let mut player = Player::ask_from(daemon.address, Some(THERE), None, &request).await;
    player.watch(100_000).await;
    let mut here = Player::get(daemon.address, &live).await;
    let mut admin = Admin::at(&daemon.socket()).await;
    let clients = admin.get("/api/clients").await;
    let row = clients["rows"].as_array().unwrap().iter().find(|c| c["ip"] == THERE).unwrap();
    assert_eq!(admin.get(&format!("/api/clients?user={}", row["user"])).await["total"], 2);
    let seen = admin.get("/api/users/ada").await;
    assert!(seen["last_seen"].is_number() && seen["last_ip"].is_string(), "{seen}");
    let path = format!("/api/clients/{}/block", row["id"]);
    let block = admin.ok("POST", &path, json!({"seconds": 60, "reason": "test"})).await;
    assert_eq!((block["ip"].as_str(), block["reason"].as_str()), (Some(THERE), Some("test")));
    player.ended().await;
    let query = ada.query();
    for path in [
        live.clone(),
        format!("/get.php?{query}"),
        format!("/player_api.php?{query}"),
        format!("/xmltv.php?{query}"),
        "/health".to_owned(),
        "/nothing".to_owned(),
    ] {
        let answer = raw::ask(daemon.address, THERE, "GET", &path, "").await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().contains("blocked"), "{path}: {}", answer.text());
    }
    here.watch(100_000).await;
    let rows = admin.get("/api/blocks").await;
    assert_eq!((rows["total"].as_u64(), rows["rows"][0]["refused"].as_u64()), (Some(1), Some(6)));
    admin.ok("DELETE", &format!("/api/blocks/{THERE}"), Value::Null).await;
    assert_eq!(raw::ask(daemon.address, THERE, "GET", "/health", "").await.status, 200);
    let (status, _) = admin.refused("DELETE", &format!("/api/blocks/{THERE}"), Value::Null).await;
    assert_eq!(status, 404);
    let (status, error) = admin.refused("POST", "/api/blocks", json!({"ip": "example.org"})).await;
    assert_eq!((status, error["field"].as_str()), (422, Some("ip")));
    // It ends by itself.
    admin.ok("POST", "/api/blocks", json!({"ip": THERE, "seconds": 1})).await;
    assert_eq!(raw::ask(daemon.address, THERE, "GET", "/health", "").await.status, 403);
    let blocks = daemon.app.blocks.clone();
    wait_until("the block to end", || blocks.rows(yagid::clock::epoch_now()).is_empty()).await;
    assert_eq!(raw::ask(daemon.address, THERE, "GET", "/health", "").await.status, 200);
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

async fn watch(socket: &Path) -> UnixStream {
    let mut socket = UnixStream::connect(socket).await.unwrap();
    socket.write_all(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(&head[9..], b"200");
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_never_reads_holds_nobody_and_costs_little() {
    let daemon = Daemon::start().await;
    let mut asleep = Vec::new();
    for _ in 0..20 {
        asleep.push(watch(&daemon.socket()).await);
    }
    let mut awake = watch(&daemon.socket()).await;
    let mut admin = Admin::at(&daemon.socket()).await;
    let id = admin.ok("POST", "/api/channels", draft("One")).await["id"].clone();
    let before = resident();
    // 200 MB of events, twenty times over, if anybody kept them.
    let message = "x".repeat(10_000);
    for seq in 0..20_000 {
        let (level, target) = ("INFO".to_owned(), "test".to_owned());
        let record = LogRecord { seq, at_ms: 0, level, target, message: message.clone(), fields: Vec::new() };
        daemon.app.events.publish(Event::Log { record });
        if seq.is_multiple_of(1000) {
            admin.ok("PATCH", &format!("/api/channels/{id}"), json!({"name": format!("N{seq}")})).await;
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 120 << 20, "{} MiB", grown >> 20);
    // Who reads is told that it missed some, and hears the next event.
    admin.ok("PATCH", &format!("/api/channels/{id}"), json!({"name": "The last"})).await;
    let mut heard = Vec::new();
    let all = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let n = awake.read(&mut bytes).await.unwrap();
            assert!(n > 0, "the daemon closed a watcher that reads");
            heard.extend_from_slice(&bytes[..n]);
            let tail = &heard[heard.len().saturating_sub(n + 16)..];
            if tail.windows(8).any(|w| w == b"The last") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("the last event in time");
    assert!(heard.windows(6).any(|w| w == b"resync"));
    drop(asleep);
}
