//! The real binary through sudden deaths, orderly ends and starts that must not succeed.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::{net::UnixStream, process::Command, task::JoinSet, time::timeout};

use crate::support::{
    place::{Admin, Place, Process},
    player::Player,
    wait_until,
};

const ROUNDS: usize = 20;
const WRITERS: usize = 3;

/// A start that is expected to fail, or a verb that ends by itself.
async fn ended(command: &mut Command) -> Output {
    timeout(Duration::from_secs(20), command.output()).await.expect("it ends by itself").unwrap()
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// Opens a copy of the files as they lie there, so that looking repairs nothing.
fn assert_whole(place: &Place) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["yagid.db", "yagid.db-wal"] {
        let from = place.state().join(name);
        if from.exists() {
            std::fs::copy(from, copy.path().join(name)).unwrap();
        }
    }
    let conn = Connection::open(copy.path().join("yagid.db")).unwrap();
    let told: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(told, "ok");
    let dangling: u32 = conn.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
    assert_eq!(dangling, 0);
}

/// What one writer knows: names by channel id as acknowledged, and the change that was under way.
#[derive(Clone, Debug, Default)]
struct Ledger {
    rows: BTreeMap<u64, String>,
    pending: Option<Change>,
    acknowledged: u32,
}

#[derive(Clone, Debug)]
enum Change {
    Create(String),
    Rename(u64, String),
    Delete(u64),
}

impl Ledger {
    /// Whether the rows that were found are the acknowledged ones, with or without the change that nobody answered.
    fn explains(&self, found: &BTreeMap<u64, String>) -> bool {
        let mut with = self.rows.clone();
        match &self.pending {
            None => {}
            Some(Change::Rename(id, name)) => drop(with.insert(*id, name.clone())),
            Some(Change::Delete(id)) => drop(with.remove(id)),
            Some(Change::Create(name)) => {
                let new = found.iter().find(|(id, n)| *n == name && !self.rows.contains_key(id));
                with.extend(new.map(|(id, n)| (*id, n.clone())));
            }
        }
        *found == self.rows || *found == with
    }
}

/// Changes channels until the daemon is gone; the ledger is written before a request and after its answer.
async fn write(mut admin: Admin, writer: usize, round: usize, ledger: Arc<Mutex<Ledger>>) {
    for n in 0usize.. {
        let name = format!("w{writer} r{round} n{n}");
        let change = {
            let mut ledger = ledger.lock().unwrap();
            let oldest = ledger.rows.keys().next().copied();
            let change = match (n % 4, oldest) {
                (2, Some(id)) => Change::Rename(id, name),
                (3, Some(id)) => Change::Delete(id),
                _ => Change::Create(name),
            };
            ledger.pending = Some(change.clone());
            change
        };
        let answer = match &change {
            Change::Create(name) => {
                let body = serde_json::json!({"name": name, "sources": [{"url": "testcard:"}]}).to_string();
                admin.ask("POST", "/api/channels", &body).await
            }
            Change::Rename(id, name) => {
                let body = serde_json::json!({"name": name}).to_string();
                admin.ask("PATCH", &format!("/api/channels/{id}"), &body).await
            }
            Change::Delete(id) => admin.ask("DELETE", &format!("/api/channels/{id}"), "").await,
        };
        let Some((status, row)) = answer else { return };
        assert!((200..300).contains(&status), "{change:?}: {status} {row}");
        let mut ledger = ledger.lock().unwrap();
        match change {
            Change::Create(name) => drop(ledger.rows.insert(row["id"].as_u64().unwrap(), name)),
            Change::Rename(id, name) => drop(ledger.rows.insert(id, name)),
            Change::Delete(id) => drop(ledger.rows.remove(&id)),
        }
        ledger.pending = None;
        ledger.acknowledged += 1;
    }
}

/// All channels by id, page by page.
async fn channels(admin: &mut Admin) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    loop {
        let path = format!("/api/channels?sort=id&limit=1000&offset={}", found.len());
        let (status, page) = admin.ask("GET", &path, "").await.expect("an answer");
        assert_eq!(status, 200, "{page}");
        let rows = page["rows"].as_array().unwrap();
        found.extend(rows.iter().map(|r| (r["id"].as_u64().unwrap(), r["name"].as_str().unwrap().to_owned())));
        if rows.is_empty() || found.len() as u64 >= page["total"].as_u64().unwrap() {
            return found;
        }
    }
}

/// Killed at random moments under three writers: each acknowledged change is there, nothing else is, and it starts again.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_acknowledged_change() {
    let place = Place::new();
    let ledgers: Vec<Arc<Mutex<Ledger>>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let count = || ledgers.iter().map(|l| l.lock().unwrap().acknowledged).sum::<u32>();
    for round in 0..=ROUNDS {
        let daemon = place.start().await;
        let found = channels(&mut Admin::connect(&place).await).await;
        for (writer, ledger) in ledgers.iter().enumerate() {
            let mine = format!("w{writer} ");
            let found = found.iter().filter(|(_, n)| n.starts_with(&mine)).map(|(id, n)| (*id, n.clone())).collect();
            let mut ledger = ledger.lock().unwrap();
            assert!(ledger.explains(&found), "round {round}: {ledger:?}\nbut there is {found:?}");
            (ledger.rows, ledger.pending) = (found, None);
        }
        if round == ROUNDS {
            daemon.kill().await;
            break;
        }
        let before = count();
        let mut writers = JoinSet::new();
        for (writer, ledger) in ledgers.iter().enumerate() {
            writers.spawn(write(Admin::connect(&place).await, writer, round, ledger.clone()));
        }
        wait_until("some acknowledged changes", || count() > before + 10).await;
        let mut random = [0];
        getrandom::fill(&mut random).unwrap();
        tokio::time::sleep(Duration::from_micros(u64::from(random[0]) * 200)).await;
        daemon.kill().await;
        while let Some(writer) = writers.join_next().await {
            writer.unwrap();
        }
        assert_whole(&place);
    }
    assert!(count() as usize > ROUNDS * 10);
}

/// A file of a newer yagid is refused in one clear line and left as it was.
#[tokio::test]
async fn a_newer_schema_is_refused_and_untouched() {
    let place = Place::new();
    place.start().await.kill().await;
    let conn = Connection::open(place.database()).unwrap();
    conn.pragma_update(None, "user_version", 4711).unwrap();
    conn.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    drop(conn);
    let before = std::fs::read(place.database()).unwrap();
    let out = ended(&mut place.command()).await;
    let told = stderr(&out);
    assert_eq!(out.status.code(), Some(1), "{told}");
    assert!(told.contains("schema 4711") && told.contains("untouched"), "{told}");
    assert_eq!(told.lines().filter(|l| l.starts_with("error:")).count(), 1, "{told}");
    assert_eq!(std::fs::read(place.database()).unwrap(), before);
    assert!(!place.socket().exists(), "the admin socket of a start that failed is removed");
}

/// Neither the socket nor the state of a living daemon can be taken; the living one goes on.
#[tokio::test]
async fn a_second_daemon_is_refused() {
    let place = Place::new();
    let first = place.start().await;
    let pid = first.child.id().unwrap().to_string();
    let out = ended(&mut place.command()).await;
    let told = stderr(&out);
    assert!(out.status.code() == Some(1) && told.contains("another yagid") && told.contains(&pid), "{told}");

    let other = Place::new();
    let mut command = other.bare();
    command.args(["--listen", "127.0.0.1:0", "--no-demo"]);
    let out = ended(command.arg("--state-dir").arg(place.state()).arg("--socket").arg(other.socket())).await;
    let told = stderr(&out);
    assert!(out.status.code() == Some(1) && told.contains("in use by another yagid"), "{told}");
    assert!(told.contains("paths.state_dir") && !other.socket().exists(), "{told}");

    assert_eq!(Admin::connect(&place).await.ask("GET", "/api/health", "").await.unwrap().0, 200);
    assert_eq!(Player::get(first.address, "/health").await.status, 200);
    // What a killed one leaves does not stop the next.
    first.kill().await;
    assert!(place.socket().exists());
    let next = place.start().await;
    assert_eq!(Admin::connect(&place).await.ask("GET", "/api/health", "").await.unwrap().0, 200);
    next.kill().await;
}

/// A port that is taken: by what to look, and which key to change. Nothing is made before that.
#[tokio::test]
async fn a_taken_port_is_told_with_what_to_do() {
    let place = Place::new();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let mut command = place.bare();
    command.arg("--listen").arg(format!("127.0.0.1:{port}"));
    let out = ended(command.arg("--state-dir").arg(place.state()).arg("--socket").arg(place.socket())).await;
    let told = stderr(&out);
    assert_eq!(out.status.code(), Some(1), "{told}");
    for words in [&format!("port {port}"), "ss -ltnp", "--listen", "server.listen"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!place.database().exists() && !place.socket().exists());
}

/// SIGTERM and SIGINT with a viewer, an admin and a watcher connected: an orderly end with status 0, in time.
#[tokio::test]
async fn signals_end_it_in_order() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let place = Place::new();
        let mut daemon = place.start().await;
        let mut admin = Admin::connect(&place).await;
        let channel = r#"{"name": "Card", "sources": [{"url": "testcard:"}]}"#;
        let id = admin.ask("POST", "/api/channels", channel).await.unwrap().1["id"].clone();
        let user = admin.ask("POST", "/api/users", r#"{"name": "alice"}"#).await.unwrap().1;
        let password = user["password"].as_str().unwrap();
        let mut player = Player::get(daemon.address, &format!("/live/alice/{password}/{id}.ts")).await;
        assert_eq!(player.status, 200, "{}", player.head);
        player.read().await;
        let mut watcher = UnixStream::connect(place.socket()).await.unwrap();
        let request = b"GET /api/events HTTP/1.1\r\nHost: yagi\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut watcher, request).await.unwrap();
        tokio::io::AsyncReadExt::read_u8(&mut watcher).await.unwrap();

        let began = Instant::now();
        rustix::process::kill_process(daemon.pid(), signal).unwrap();
        let status = timeout(Duration::from_secs(5), daemon.child.wait()).await.expect("an end within 5 s").unwrap();
        assert_eq!(status.code(), Some(0), "{signal:?} after {:?}", began.elapsed());
        player.ended().await;
        assert!(!place.socket().exists(), "its socket is removed");
        assert_whole(&place);
        let wal = place.state().join("yagid.db-wal");
        assert!(!wal.exists() || wal.metadata().unwrap().len() == 0, "the log is folded into the database");
        let again = place.start().await;
        assert_eq!(channels(&mut Admin::connect(&place).await).await.len(), 1);
        again.kill().await;
    }
}

fn config(place: &Place, text: &str) -> std::path::PathBuf {
    let file = place.dir.path().join("yagid.toml");
    std::fs::write(&file, text).unwrap();
    file
}

async fn check(place: &Place, file: &Path, more: &[&str]) -> Output {
    ended(place.bare().arg("check-config").arg("--config").arg(file).args(more)).await
}

/// `check-config`: 0 and every key, or 4 and everything that is wrong at once, with line and key; `run` says the same.
#[tokio::test]
async fn all_faults_of_a_configuration_are_told_at_once() {
    let place = Place::new();
    let good = config(&place, "[server]\nlisten = [\"127.0.0.1:9\"]\n");
    let out = check(&place, &good, &[]).await;
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    assert!(shown.contains("server.listen") && shown.contains("127.0.0.1:9") && shown.contains("# file"), "{shown}");
    let json: serde_json::Value = serde_json::from_slice(&check(&place, &good, &["--json"]).await.stdout).unwrap();
    assert_eq!(json["ok"], true);

    let bad = config(&place, "[server]\nlisten = [\"here\"]\nmax_conections = 5\n\n[log]\nformat = 3\n");
    let out = check(&place, &bad, &[]).await;
    let told = stderr(&out);
    assert_eq!(out.status.code(), Some(4), "{told}");
    for words in [
        "yagid.toml:2: server.listen",
        "yagid.toml:3: server.max_conections",
        "did you mean server.max_connections?",
        "yagid.toml:6: log.format",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(told.lines().filter(|l| l.starts_with("error:")).count(), 3, "{told}");
    let run = ended(place.bare().arg("run").arg("--config").arg(&bad)).await;
    assert_eq!((run.status.code(), stderr(&run)), (Some(4), told));
    let out = check(&place, &bad, &["--json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((out.status.code(), json["faults"].as_array().map(Vec::len)), (Some(4), Some(3)));

    let missing = check(&place, Path::new("/nonexistent/yagid.toml"), &[]).await;
    assert_eq!(missing.status.code(), Some(4));
    let unknown = ended(place.bare().arg("--no-such-flag")).await;
    assert_eq!(unknown.status.code(), Some(2), "{}", stderr(&unknown));
}

/// The first start with nothing but a home: a viewer, a channel that plays, and links that work; the second keeps them.
#[tokio::test]
async fn a_first_start_prints_links_that_work() {
    let place = Place::new();
    let mut command = place.bare();
    command.args(["--listen", "127.0.0.1:0"]).arg("--state-dir").arg(place.state()).arg("--socket").arg(place.socket());
    let daemon = Process::of(command).await;
    let mut admin = Admin::connect(&place).await;
    let page = admin.ask("GET", "/api/users", "").await.unwrap().1;
    assert_eq!(page["rows"][0]["name"], "demo", "{page}");
    let urls = admin.ask("GET", "/api/users/demo/urls", "").await.unwrap().1;
    let text = urls.to_string();
    assert!(text.contains("get.php") && text.contains("xmltv.php"), "{text}");
    daemon.kill().await;
    // The demo is made once: what was deleted stays deleted.
    let daemon = place.start().await;
    let mut admin = Admin::connect(&place).await;
    assert_eq!(admin.ask("DELETE", "/api/users/demo", "").await.unwrap().0, 204);
    daemon.kill().await;
    let mut command = place.bare();
    command.args(["--listen", "127.0.0.1:0"]).arg("--state-dir").arg(place.state()).arg("--socket").arg(place.socket());
    let daemon = Process::of(command).await;
    let page = Admin::connect(&place).await.ask("GET", "/api/users", "").await.unwrap().1;
    assert_eq!(page["total"], 0, "{page}");
    daemon.kill().await;
}
