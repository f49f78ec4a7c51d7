//! A small fake daemon: the admin API over a Unix socket with canned rows, enough of its behaviour for the client's
//! tests (filters by plain words, versions, errors, events). Nothing of the real daemon is in here.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{Method, Request, Response, body::Frame, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;

use crate::canned;

type Body = BoxBody<Bytes, Infallible>;

/// What the fake holds. Rows are JSON, so that tests can make them hostile.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub boot_id: String,
    pub lists: BTreeMap<String, Vec<Value>>,
    /// Milliseconds between ticks.
    pub tick_ms: u64,
    /// Every request as `METHOD PATH BODY`.
    pub seen: Vec<String>,
}

pub type Shared = Arc<Mutex<Rows>>;

/// A running fake; it stops when dropped (its runtime thread ends).
pub struct Fake {
    pub socket: PathBuf,
    pub rows: Shared,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Fake {
    /// Listens on `socket` before it returns.
    pub fn start(socket: &Path, rows: Rows) -> Self {
        let _ = std::fs::remove_file(socket);
        let std_listener = std::os::unix::net::UnixListener::bind(socket).expect("binds in a temporary directory");
        std_listener.set_nonblocking(true).expect("a fresh socket");
        let rows = Arc::new(Mutex::new(rows));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let shared = rows.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = UnixListener::from_std(std_listener).expect("a listening socket");
                let mut stopped = stopped;
                loop {
                    tokio::select! {
                        _ = &mut stopped => break,
                        accepted = listener.accept() => {
                            let Ok((stream, _)) = accepted else { break };
                            let rows = shared.clone();
                            tokio::spawn(async move {
                                let service = service_fn(move |request| answer(rows.clone(), request));
                                let _ = hyper::server::conn::http1::Builder::new()
                                    .serve_connection(TokioIo::new(stream), service)
                                    .await;
                            });
                        }
                    }
                }
            });
        });
        Self { socket: socket.to_owned(), rows, stop: Some(stop), thread: Some(thread) }
    }

    pub fn seen(&self) -> Vec<String> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).seen.clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// A believable house: three streams, four clients, a handful of rows each.
pub fn typical() -> Rows {
    let history: [u64; 12] = [3, 4, 4, 5, 4, 4, 5, 6, 5, 4, 4, 5];
    let stream = |id: u64, name: &str, state: &str, clients: u32, mbps: u64, error: Value| {
        json!({"id": id, "channel": 1000 + id, "name": name, "state": state, "clients": clients,
            "in_bits_per_s": mbps * 1_000_000, "out_bits_per_s": mbps * 1_000_000 * u64::from(clients),
            "in_bytes": 1_000_000, "out_bytes": 9_000_000, "uptime_s": 2911 * id, "source": "http://prov-a.example/live/****/****/30819.ts",
            "source_index": 0, "first_byte_ms": 71, "buffer_bytes": 8_000_000, "buffer_ms": 1900, "reconnects": 1,
            "dropped_clients": 0, "last_error": error, "history": history.map(|n| n * mbps * 200_000)})
    };
    let client = |id: u64, name: &str, stream: u64, channel: &str| {
        json!({"id": id, "user": id, "name": name, "ip": format!("192.168.0.{}", 30 + id), "agent": "TiviMate/5.1.0 (Android 12)",
            "channel": 1000 + stream, "channel_name": channel, "stream": stream, "state": "live", "out_bytes": 84_000_000,
            "out_bits_per_s": 4_810_000, "lag_ms": 0, "skips": 0, "since_s": 2480})
    };
    let user = |id: u32, name: &str, expires: Value, enabled: bool, active: u32| {
        json!({"id": id, "version": 3, "name": name, "enabled": enabled, "expires_at": expires, "trial": false, "max_connections": 2,
            "formats": ["ts"], "categories": null, "note": "living room box", "created_at": 1_790_000_000, "active": active})
    };
    let report = |ok: bool, error: Value| {
        json!({"at": 1_795_534_000, "ok": ok, "error": error, "unchanged": false, "seen": 412, "added": 12, "changed": 3, "retired": 1,
            "skipped": 2, "notes": ["line 31: no address after #EXTINF"], "millis": 840})
    };
    let setting = |key: &str, value: Value, origin: &str, editable: bool, help: &str| json!({"key": key, "value": value, "origin": origin, "applies_now": editable, "editable": editable, "help": help});
    let log = |seq: u64, level: &str, message: &str| {
        json!({"seq": seq, "at_ms": 1_795_534_000_000_i64 + i64::try_from(seq).unwrap_or(0) * 1000, "level": level, "target": "yagid::stream",
            "message": message, "fields": [["channel", "Rai 1 HD"]]})
    };
    let mut lists = BTreeMap::new();
    lists.insert(
        "streams".to_owned(),
        vec![
            stream(1, "Rai 1 HD", "live", 2, 5, Value::Null),
            stream(2, "Das Erste", "retrying", 1, 0, json!("upstream closed the connection")),
            stream(3, "日本放送 NHK World", "lingering", 0, 4, Value::Null),
        ],
    );
    lists.insert(
        "clients".to_owned(),
        vec![client(1, "alice", 1, "Rai 1 HD"), client(2, "bob", 1, "Rai 1 HD"), client(3, "alice", 2, "Das Erste")],
    );
    lists.insert("channels".to_owned(), canned::channels());
    lists.insert(
        "categories".to_owned(),
        vec![
            json!({"id": 1, "version": 1, "name": "|IT| GENERALI", "position": 1, "channels": 1}),
            json!({"id": 2, "version": 1, "name": "World", "position": 2, "channels": 2}),
        ],
    );
    lists.insert(
        "users".to_owned(),
        vec![
            user(1, "alice", json!(1_801_000_000), true, 2),
            user(2, "bob", Value::Null, true, 1),
            user(3, "carla", json!(1_700_000_000), true, 0),
            user(4, "dario", Value::Null, false, 0),
        ],
    );
    lists.insert("sources".to_owned(), vec![
        json!({"id": 1, "version": 1, "name": "prov-a", "kind": "playlist", "url": "http://prov-a.example/get.php?username=u&password=****&type=m3u_plus",
            "enabled": true, "interval_s": 86400, "last": report(true, Value::Null), "state": "idle"}),
        json!({"id": 2, "version": 1, "name": "guide", "kind": "guide", "url": "https://epg.example/guide.xml.gz", "enabled": true, "interval_s": 43200,
            "last": report(false, json!("404 Not Found: check the address")), "state": "running"}),
    ]);
    lists.insert(
        "settings".to_owned(),
        vec![
            setting(
                "linger_s",
                json!(8),
                "default",
                true,
                "How long a stream without viewers keeps its upstream, in seconds.",
            ),
            setting(
                "limit_policy",
                json!("take_over"),
                "database",
                true,
                "What happens above a viewer's connection limit.",
            ),
            setting("listen.http", json!("0.0.0.0:8080"), "file", false, "Where players connect."),
        ],
    );
    lists.insert(
        "logs".to_owned(),
        vec![
            log(1, "INFO", "yagid started"),
            log(2, "WARN", "upstream closed, reopening"),
            log(3, "ERROR", "engine does not answer"),
        ],
    );
    let suggestion = json!({"guide_id": "nhk.jp", "name": "NHK World Premium", "source": 2, "score": 0.95});
    let programme = |title: &str, start: i64| json!({"start": start, "stop": start + 3600, "title": title});
    let matched = |id: u32, name: &str, how: &str, score: f64, guide_id: &str| {
        json!({"id": id, "version": 1, "number": id - 1000, "name": name, "category": "World", "guide_id": guide_id, "how": how, "score": score,
            "matched_id": guide_id, "matched_name": name, "source": 2, "now": programme("News at eight", 1_795_499_000),
            "next": programme("Weather", 1_795_502_600)})
    };
    lists.insert(
        "guide".to_owned(),
        vec![
            matched(1001, "Rai 1 HD", "id", 1.0, "Rai1HD.it"),
            matched(1002, "Das Erste", "name", 0.93, "daserste.de"),
            json!({"id": 1003, "version": 1, "number": 3, "name": "NHK World", "category": "World", "guide_id": "", "how": "none", "score": 0.0,
                "suggestions": [suggestion]}),
        ],
    );
    Rows { boot_id: "boot-1".into(), lists, tick_ms: 100, seen: Vec::new() }
}

/// State of the guide.
pub fn guide() -> Value {
    json!({"generation": 2, "channels": 300, "programmes": 504_000, "matched": 2, "unmatched": 1,
        "from": 1_795_500_000, "until": 1_796_100_000, "built_at": 1_795_533_000})
}

/// What a viewer is given.
pub fn urls(name: &str) -> Value {
    let base = "http://tv1.lan:8080";
    json!({"name": name, "password": "Xk3v9pQ2tW7m", "server": base,
        "playlist": format!("{base}/get.php?username={name}&password=Xk3v9pQ2tW7m&type=m3u_plus&output=ts"),
        "guide": format!("{base}/xmltv.php?username={name}&password=Xk3v9pQ2tW7m"),
        "player_api": format!("{base}/player_api.php?username={name}&password=Xk3v9pQ2tW7m"), "stream": null})
}

/// What is found at an address; nothing at a bad one.
pub fn probe(url: &str) -> Value {
    let ok = !url.contains("bad");
    json!({"ok": ok, "kind": if ok { json!("playlist") } else { Value::Null }, "name": if url.contains("long") { "n".repeat(1000) } else { "prov-b".into() }, "bytes": 81_920, "entries": 412, "skipped": 2,
        "groups": [{"name": "|IT| SPORT", "channels": 37}, {"name": "World", "channels": 20}], "group_total": 12,
        "guide_urls": ["http://epg.example/guide.xml.gz"], "guide_channels": 0, "programmes": 0, "sample": ["Rai 1 HD", "Das Erste"],
        "notes": ["line 31: no address after #EXTINF"], "error": if ok { Value::Null } else { json!("404 Not Found: check the address") },
        "exists": null, "millis": 320})
}

/// Everything of a channel.
pub fn detail(channel: &Value) -> Value {
    let rows = typical();
    let id = channel["id"].as_u64().unwrap_or(1001);
    let of = |list: &str| rows.lists[list].iter().find(|r| r["id"] == id).cloned();
    let guide = of("guide").unwrap_or_else(|| rows.lists["guide"][0].clone());
    json!({"channel": channel, "category_name": "World", "origin_name": "prov-a", "now": guide["now"].clone(), "next": guide["next"].clone(),
        "guide": guide, "stream": null, "last_error": "upstream closed the connection", "last_error_at": 1_795_499_000, "last_ok_at": 1_795_499_900,
        "addresses": [{"url": "http://prov-a.example/live/****/****/1.ts", "check": {"at": 1_795_499_900, "alive": true, "video": "h264", "audio": "aac", "height": 1080, "width": 1920}}]})
}

/// What a refresh changed.
pub fn difference() -> Value {
    json!({"at": 1_795_499_000, "added_total": 2, "changed_total": 1, "retired_total": 1,
        "added": [{"id": 7, "name": "La 7"}, {"id": 8, "name": "La 8"}],
        "changed": [{"id": 1001, "name": "Rai 1 HD", "fields": ["name", "sources"]}],
        "retired": [{"id": 9, "name": "Old Channel"}]})
}

/// The same house before anything was put into it.
pub fn empty() -> Rows {
    let mut rows = typical();
    for (noun, list) in &mut rows.lists {
        if noun != "settings" {
            list.clear();
        }
    }
    rows
}

/// The same house with names that want to break the screen.
pub fn hostile() -> Rows {
    let foul = "\u{1b}[2J\u{202e}evil\u{200b}\u{9b}31m\r\nTwo\tLines 👨\u{200d}👩\u{200d}👧 🇮🇹 e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301} ".repeat(4);
    fn soil(value: &mut Value, foul: &str) {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    match key.as_str() {
                        "name" | "agent" | "channel_name" | "source" | "last_error" | "guide_id" | "note"
                        | "message" | "target" | "error" | "help" | "ip" | "title" | "matched_id" | "mode" => {
                            if !value.is_number() {
                                *value = Value::String(foul.to_owned());
                            }
                        }
                        "notes" => *value = json!([foul]),
                        _ => soil(value, foul),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|v| soil(v, foul)),
            _ => {}
        }
    }
    let mut rows = typical();
    for list in rows.lists.values_mut() {
        list.iter_mut().for_each(|row| soil(row, &foul));
    }
    rows
}

pub fn status(rows: &Rows) -> Value {
    let count = |noun: &str| rows.lists.get(noun).map_or(0, Vec::len);
    json!({"version": "0.1.0", "uptime_s": 1_051_200, "listen": ["0.0.0.0:8080"], "streams": count("streams"), "clients": count("clients"),
        "in_bits_per_s": 9_100_000, "out_bits_per_s": 14_430_000, "out_bytes": 123_456_789, "channels": count("channels"), "users": count("users"),
        "sources": count("sources"), "panics": 0, "rss_bytes": 61 * 1024 * 1024, "rev": 7})
}

fn full(status: u16, value: &Value) -> Response<Body> {
    let bytes = if status == 204 { Bytes::new() } else { Bytes::from(value.to_string()) };
    let mut response = Response::new(Full::new(bytes).boxed());
    *response.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
    response
}

fn refuse(status: u16, code: &str, message: &str, field: Option<&str>) -> Response<Body> {
    full(status, &json!({"error": {"code": code, "message": message, "field": field}}))
}

async fn answer(shared: Shared, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if parts.uri.path() == "/api/events" {
        return Ok(events(shared));
    }
    let mut rows = shared.lock().unwrap_or_else(PoisonError::into_inner);
    rows.seen.push(format!("{} {} {text}", parts.method, parts.uri));
    Ok(route(&mut rows, &parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default(), &text))
}

fn route(rows: &mut Rows, method: &Method, path: &str, query: &str, body: &str) -> Response<Body> {
    let parts: Vec<&str> = path.trim_start_matches("/api/").split('/').collect();
    let param = |key: &str| query.split('&').find_map(|p| p.strip_prefix(key)?.strip_prefix('='));
    if let Some(answer) = canned::answer(rows, method, &parts, body) {
        return full(200, &answer);
    }
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["hello"]) => {
            full(200, &json!({"version": "0.1.0", "api": 1, "boot_id": rows.boot_id, "write": true, "host": "tv1"}))
        }
        ("GET", ["status"]) => full(200, &status(rows)),
        ("GET", ["guide"]) => full(200, &guide()),
        ("GET", ["jobs"]) => full(200, &json!({"rev": 7, "total": 0, "rows": []})),
        ("DELETE", ["blocks" | "jobs", _]) => full(204, &Value::Null),
        ("GET", ["guide", "channels"]) => {
            let rows = &rows.lists["guide"];
            full(200, &json!({"rev": 7, "total": rows.len(), "rows": rows}))
        }
        ("POST", ["sources", "probe"]) => {
            let asked: Value = serde_json::from_str(body).unwrap_or_default();
            full(200, &probe(asked["url"].as_str().unwrap_or_default()))
        }
        ("GET", ["guide", id]) if id.bytes().all(|b| b.is_ascii_digit()) => {
            full(200, &json!([{"start": 1_795_500_000, "stop": 1_795_503_600, "title": "News"}]))
        }
        ("GET", [noun @ ("settings" | "logs")]) => full(200, &json!(rows.lists[*noun])),
        ("PATCH", ["settings"]) => {
            let change: serde_json::Map<String, Value> = serde_json::from_str(body).unwrap_or_default();
            for (key, value) in change {
                let Some(row) = rows.lists.get_mut("settings").into_iter().flatten().find(|r| r["key"] == key) else {
                    return refuse(422, "invalid", "there is no such setting", Some(&key));
                };
                row["value"] = value;
                row["origin"] = json!("database");
            }
            full(200, &json!(rows.lists["settings"]))
        }
        ("GET", [noun]) if rows.lists.contains_key(*noun) => {
            let words: Vec<String> = param("q")
                .unwrap_or_default()
                .replace("%22", "")
                .split("%20")
                .filter(|w| !w.is_empty())
                .map(|w| w.to_lowercase())
                .collect();
            let stream = param("stream");
            let hits: Vec<&Value> = rows.lists[*noun]
                .iter()
                .filter(|r| stream.is_none_or(|id| r["stream"].as_u64().is_some_and(|n| n.to_string() == id)))
                .filter(|r| {
                    words.iter().all(|w| r["name"].as_str().unwrap_or_default().to_lowercase().contains(w.as_str()))
                })
                .collect();
            let number = |key: &str, or: usize| param(key).and_then(|n| n.parse().ok()).unwrap_or(or);
            let page: Vec<&Value> = hits.iter().skip(number("offset", 0)).take(number("limit", 100)).copied().collect();
            full(200, &json!({"rev": 7, "total": hits.len(), "rows": page}))
        }
        ("POST", ["users"]) => {
            let draft: Value = serde_json::from_str(body).unwrap_or_default();
            if rows.lists["users"].iter().any(|u| u["name"] == draft["name"]) {
                return refuse(409, "conflict", "there is a user of that name", Some("name"));
            }
            let mut row = rows.lists["users"].first().cloned().unwrap_or_else(|| typical().lists["users"][0].clone());
            row["id"] = json!(900);
            row["name"] = draft["name"].clone();
            row["expires_at"] = draft["expires_at"].clone();
            rows.lists.get_mut("users").expect("a list").push(row.clone());
            row["password"] = json!("Xk3v9pQ2tW7m");
            full(201, &row)
        }
        ("POST", ["sources"]) => {
            let draft: Value = serde_json::from_str(body).unwrap_or_default();
            let mut row = typical().lists["sources"]
                [usize::from(draft["url"].as_str().unwrap_or_default().contains("bad"))]
            .clone();
            row["id"] = json!(900);
            row["url"] = draft["url"].clone();
            rows.lists.get_mut("sources").expect("a list").push(row.clone());
            full(201, &row)
        }
        ("POST", ["users", name, "password"]) => match find(rows, "users", name).cloned() {
            Some(mut row) => {
                row["password"] = json!("Qk3v9pQ2tW7m");
                full(200, &row)
            }
            None => refuse(404, "not_found", "there is no such user", None),
        },
        ("GET", ["channels", id, "detail"]) => match find(rows, "channels", id) {
            Some(row) => full(200, &detail(row)),
            None => refuse(404, "not_found", "there is no such channel", None),
        },
        ("GET", ["users", name, "urls"]) => match find(rows, "users", name) {
            Some(row) => full(200, &urls(row["name"].as_str().unwrap_or_default())),
            None => refuse(404, "not_found", "there is no such user", None),
        },
        (_, [noun, id, ..]) if rows.lists.contains_key(*noun) => {
            let Some(row) = find(rows, noun, id).cloned() else {
                return refuse(404, "not_found", &format!("there is no {noun} {id}"), None);
            };
            match method.as_str() {
                "GET" | "POST" => full(200, &row),
                "PATCH" => {
                    let patch: serde_json::Map<String, Value> = serde_json::from_str(body).unwrap_or_default();
                    if patch.get("version").is_some_and(|v| !v.is_null() && *v != row["version"]) {
                        return refuse(409, "conflict", "it was changed meanwhile", None);
                    }
                    let row = rows
                        .lists
                        .get_mut(*noun)
                        .into_iter()
                        .flatten()
                        .find(|r| r["id"] == row["id"])
                        .expect("found above");
                    for (key, value) in patch {
                        if key != "version" && (!value.is_null() || key == "expires_at") {
                            row[&key] = value;
                        }
                    }
                    row["version"] = json!(row["version"].as_u64().unwrap_or(0) + 1);
                    full(200, row)
                }
                _ => {
                    rows.lists.get_mut(*noun).expect("checked above").retain(|r| r["id"] != row["id"]);
                    full(204, &Value::Null)
                }
            }
        }
        _ => refuse(404, "not_found", "there is no such path", None),
    }
}

fn find<'a>(rows: &'a Rows, noun: &str, id: &str) -> Option<&'a Value> {
    let id = id.replace("%3A", ":");
    let (only, id) = id.strip_prefix("id:").map_or((false, id.as_str()), |id| (true, id));
    let named = rows.lists[noun].iter().find(|r| !only && r["name"] == id);
    named.or_else(|| rows.lists[noun].iter().find(|r| r["id"].as_u64().is_some_and(|n| n.to_string() == id)))
}

fn events(shared: Shared) -> Response<Body> {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(16);
    tokio::spawn(async move {
        let boot = shared.lock().unwrap_or_else(PoisonError::into_inner).boot_id.clone();
        let mut line = json!({"type": "hello", "rev": 7, "boot_id": boot});
        loop {
            if sender.send(Bytes::from(format!("{line}\n"))).await.is_err() {
                return;
            }
            let wait = shared.lock().unwrap_or_else(PoisonError::into_inner).tick_ms;
            tokio::time::sleep(Duration::from_millis(wait.max(1))).await;
            let rows = shared.lock().unwrap_or_else(PoisonError::into_inner);
            line = json!({"type": "tick", "status": status(&rows), "streams": rows.lists["streams"], "clients": rows.lists["clients"]});
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let bytes = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), receiver))
    });
    Response::new(BodyExt::boxed(StreamBody::new(stream)))
}
