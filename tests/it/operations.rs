//! The daemon as its operator meets it: offline verbs, systemd, metrics.

use std::{os::unix::net::UnixDatagram, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
};
use yagi_api::{Source, User};

use crate::support::{
    daemon::Daemon,
    place::{Place, Process},
    wait_until,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs it to its end: exit code, stdout, stderr.
async fn run(mut command: Command) -> (i32, String, String) {
    let out = tokio::time::timeout(PATIENCE, command.output()).await.expect("an end in time").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap_or(-1), text(out.stdout), text(out.stderr))
}

/// A verb with this place's directories.
fn verb(place: &Place, args: &[&str]) -> Command {
    let mut command = place.bare();
    command.args(args).args(["--listen", "127.0.0.1:0", "--no-demo"]);
    command.arg("--state-dir").arg(place.state()).arg("--socket").arg(place.socket());
    command
}

async fn ask<T: serde::de::DeserializeOwned>(place: &Place, path: &str) -> Vec<T> {
    let (status, page) = crate::support::place::Admin::connect(place).await.ask("GET", path, "").await.unwrap();
    assert_eq!(status, 200, "{page}");
    serde_json::from_value(page["rows"].clone()).unwrap()
}

#[tokio::test]
async fn a_list_is_imported_before_the_first_start_and_comes_back_from_a_backup() {
    let place = Place::new();
    let list = place.dir.path().join("list.m3u");
    std::fs::write(&list, "#EXTM3U\n#EXTINF:-1 group-title=\"News\",One\nhttp://127.0.0.1:9/1.ts\n").unwrap();
    let list = list.to_str().unwrap();
    let (code, said, _) = run(verb(&place, &["import", list, "--dry-run"])).await;
    assert!(code == 0 && said.contains("would be: 1 seen, 1 added"), "{said}");
    assert!(!place.database().exists(), "a dry run leaves nothing");
    let (code, said, error) = run(verb(&place, &["import", list, "--json"])).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&said).unwrap()["added"], 1);
    let (code, _, error) = run(verb(&place, &["import", "/nonexistent.m3u"])).await;
    assert!(code == 1 && error.contains("error:"), "{error}");

    let copy = place.dir.path().join("copy.db");
    let (code, ..) = run(verb(&place, &["backup", copy.to_str().unwrap()])).await;
    assert_eq!(code, 0);
    let daemon = place.start().await;
    let sources: Vec<Source> = ask(&place, "/api/sources").await;
    assert!(sources.len() == 1 && sources[0].enabled && sources[0].last.as_ref().is_some_and(|l| l.ok), "{sources:?}");
    let (code, _, error) = run(verb(&place, &["restore", copy.to_str().unwrap()])).await;
    assert!(code == 1 && error.contains("in use by another yagid"), "{error}");
    let (code, _, error) = run(verb(&place, &["import", list])).await;
    assert!(code == 1 && error.contains("in use by another yagid"), "{error}");
    daemon.kill().await;

    std::fs::write(place.database(), "broken by hand").unwrap();
    let (code, said, error) = run(verb(&place, &["restore", copy.to_str().unwrap()])).await;
    assert!(code == 0 && said.contains("1 channels") && said.contains("before-restore"), "{said}{error}");
    let daemon = place.start().await;
    assert_eq!(ask::<Source>(&place, "/api/sources").await.len(), 1);
    daemon.kill().await;
}

#[tokio::test]
async fn init_makes_a_viewer_once_and_a_file_that_lists_every_key() {
    let place = Place::new();
    let init = || {
        let mut command = place.bare();
        // Not the machine's own, should this be root.
        command.env("CONFIGURATION_DIRECTORY", place.dir.path().join("config/yagid"));
        command.args(["init", "--write-config"]).arg("--state-dir").arg(place.state());
        command
    };
    let (code, said, error) = run(init()).await;
    assert!(code == 0 && said.contains("first viewer: demo with the password "), "{said}{error}");
    let (code, said, _) = run(init()).await;
    assert!(code == 0 && said.contains("is there already: 1 channels, 1 viewers") && said.contains("kept "), "{said}");
    let daemon = place.start().await;
    assert_eq!(ask::<User>(&place, "/api/users").await[0].name, "demo");
    daemon.kill().await;
}

#[tokio::test]
async fn a_configuration_is_tried_before_it_is_believed() {
    let place = Place::new();
    let (code, said, error) = run(verb(&place, &["check-config"])).await;
    assert!(code == 0 && said.contains("metrics.listen"), "{said}{error}");
    assert!(!place.state().exists(), "nothing is left behind");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = place.bare();
    command.args(["check-config", "--json", "--listen", &taken.local_addr().unwrap().to_string()]);
    command.args(["--state-dir", "/proc/none", "--socket", "/proc/none/admin.sock"]);
    let (code, said, _) = run(command).await;
    let faults: serde_json::Value = serde_json::from_str(&said).unwrap();
    let keys: Vec<&str> = faults["faults"].as_array().unwrap().iter().filter_map(|f| f["key"].as_str()).collect();
    assert_eq!((code, keys), (4, vec!["server.listen", "paths.state_dir", "paths.socket"]), "{said}");
}

#[tokio::test]
async fn a_monitor_learns_whether_it_runs() {
    let place = Place::new();
    let daemon = place.start().await;
    let health = |address: String| {
        let mut command = place.bare();
        command.args(["healthcheck", "--listen", &address]);
        command
    };
    assert_eq!(run(health(daemon.address.to_string())).await.0, 0);
    let address = daemon.address.to_string();
    daemon.kill().await;
    let (code, _, error) = run(health(address)).await;
    assert!(code == 1 && error.contains("error:"), "{error}");
}

#[tokio::test]
async fn scripts_and_pages_are_made_from_the_words() {
    let place = Place::new();
    let plain = |args: &[&str]| {
        let mut command = place.bare();
        command.args(args);
        command
    };
    let (code, script, _) = run(plain(&["completions", "bash"])).await;
    assert!(code == 0 && script.contains("_yagid") && script.contains("check-config"));
    let dir = place.dir.path().join("man");
    assert_eq!(run(plain(&["man", dir.to_str().unwrap()])).await.0, 0);
    for page in ["yagid.1", "yagid-restore.1", "yagid-check-config.1"] {
        assert!(std::fs::read_to_string(dir.join(page)).unwrap().contains(".TH"), "{page}");
    }
}

/// What the service manager has been told.
fn heard(socket: &UnixDatagram, all: &mut String) {
    let mut bytes = [0; 4096];
    while let Ok(n) = socket.recv(&mut bytes) {
        all.push_str(&String::from_utf8_lossy(&bytes[..n]));
        all.push('\n');
    }
}

#[tokio::test]
async fn the_service_manager_is_told_and_its_socket_taken() {
    let place = Place::new();
    let told = place.dir.path().join("notify");
    let socket = UnixDatagram::bind(&told).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let command = place.bare();
    // A shell hands the descriptor on as systemd does: number 3, and its own pid, which `exec` keeps.
    let yagid = command.as_std().get_program().to_owned();
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg("exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$; export LISTEN_FDS LISTEN_PID; exec \"$@\"")
        .arg("sh")
        .arg(yagid)
        .args(["--no-demo", "--listen", "127.0.0.1:1"])
        .arg("--state-dir")
        .arg(place.state())
        .arg("--socket")
        .arg(place.socket())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", place.dir.path())
        .env("NOTIFY_SOCKET", &told)
        .env("WATCHDOG_USEC", "3000000")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut daemon = Process::of(shell).await;
    assert_eq!(daemon.address, address, "the given socket, not the configured one");
    let mut all = String::new();
    wait_until("readiness and a fed watchdog", || {
        heard(&socket, &mut all);
        all.contains("READY=1") && all.contains("STATUS=0 streams, 0 clients") && all.contains("WATCHDOG=1")
    })
    .await;
    all.clear();
    rustix::process::kill_process(daemon.pid(), rustix::process::Signal::HUP).unwrap();
    wait_until("a reload and its end", || {
        heard(&socket, &mut all);
        let reload = all.find("RELOADING=1").filter(|_| all.contains("MONOTONIC_USEC="));
        reload.is_some_and(|at| all[at..].contains("READY=1"))
    })
    .await;
    rustix::process::kill_process(daemon.pid(), rustix::process::Signal::TERM).unwrap();
    assert!(tokio::time::timeout(PATIENCE, daemon.child.wait()).await.expect("an end in time").unwrap().success());
    heard(&socket, &mut all);
    assert!(all.contains("STOPPING=1"), "{all}");
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut text)).await.expect("an answer in time").unwrap();
    String::from_utf8(text).unwrap()
}

/// A free port, for a key whose listener cannot be asked for its own.
fn free() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn metrics_name_channels_while_they_run_and_never_viewers() {
    let at = free();
    let daemon = Daemon::with(|config| config.metrics.listen = at.to_string()).await;
    daemon.hurry().await;
    let id = daemon.channel("Quoted \"One\"\nTwo", &["testcard:"]).await;
    let alice = daemon.viewer("alice-canary", 0).await;
    assert!(get(at, "/").await.starts_with("HTTP/1.1 404"));
    let before = get(at, "/metrics").await;
    assert!(!before.contains("yagid_stream_clients{"), "no stream, no channel: {before}");

    let mut viewer = TcpStream::connect(daemon.address).await.unwrap();
    viewer.write_all(format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", alice.live(id)).as_bytes()).await.unwrap();
    let mut bytes = vec![0; 188 * 50];
    tokio::time::timeout(PATIENCE, viewer.read_exact(&mut bytes)).await.expect("a picture").unwrap();
    let during = get(at, "/metrics").await;
    lint(&during);
    for series in [
        "yagid_streams 1",
        "yagid_clients 1",
        "yagid_stream_clients{channel=\"",
        "yagid_stream_in_bytes_total{channel=\"",
        "yagid_auth_total{result=\"ok\"} 1",
        "yagid_first_byte_seconds_count 1",
        "yagid_upstream_open_seconds_count 1",
        "yagid_clients_dropped_total{reason=\"stalled\"} 0",
        "yagid_db_seconds_count{op=\"write\"}",
        "yagid_panics_total 0",
        "yagid_build_info{version=\"",
    ] {
        assert!(during.contains(series), "{series} in {during}");
    }
    for secret in ["alice", "127.0.0.1", &alice.password] {
        assert!(!during.contains(secret), "{secret} in {during}");
    }
    drop(viewer);
    wait_until("the stream to end", || daemon.app.streams.rows().is_empty()).await;
    let after = get(at, "/metrics").await;
    assert!(!after.contains("yagid_stream_clients{") && !after.contains("yagid_stream_in_bytes_total{"), "{after}");
    assert!(!after.contains("yagid_out_bytes_total 0"), "what was sent stays counted");
    daemon.stop().await;
}

/// The rules of the format, and ours for names and labels.
fn lint(answer: &str) {
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: application/openmetrics-text"), "{head}");
    assert!(text.ends_with("# EOF\n"));
    let (mut typed, mut series) = (std::collections::HashSet::new(), std::collections::HashSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.split(' ');
            if let (Some("TYPE"), Some(name)) = (words.next(), words.next()) {
                assert!(typed.insert(name.to_owned()), "{name} is declared twice");
                assert!(!name.ends_with("_total"), "the suffix belongs to the sample: {name}");
            }
            continue;
        }
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        assert!(name.starts_with("yagid_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        let family = ["_total", "_bucket", "_sum", "_count", "_info"].iter().find_map(|s| name.strip_suffix(s));
        assert!(typed.contains(name) || family.is_some_and(|f| typed.contains(f)), "{name} has no type");
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.insert((name, labels)), "{line} stands twice");
        for label in ["user", "ip", "url", "agent"] {
            assert!(!labels.contains(&format!("{label}=\"")), "{line}");
        }
    }
    assert!(typed.len() > 10);
}

/// The shipped alert rules and dashboard speak of series that exist.
#[tokio::test]
async fn the_rules_and_the_dashboard_name_what_there_is() {
    let at = free();
    let daemon = Daemon::with(|config| config.metrics.listen = at.to_string()).await;
    // A family without series is not told: let there be a source and a stream.
    let list = daemon.dir.path().join("list.m3u");
    std::fs::write(&list, "#EXTM3U\n#EXTINF:-1,One\nhttp://127.0.0.1:9/1.ts\n").unwrap();
    let draft = serde_json::from_value(serde_json::json!({ "url": list })).unwrap();
    let source = daemon.app.library.create_source("test", draft).await.unwrap();
    assert!(daemon.app.refresher.queue_and_wait(source.id).await.ok);
    let id = daemon.channel("Card", &["testcard:"]).await;
    let alice = daemon.viewer("alice", 0).await;
    let mut viewer = TcpStream::connect(daemon.address).await.unwrap();
    viewer.write_all(format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", alice.live(id)).as_bytes()).await.unwrap();
    tokio::time::timeout(PATIENCE, viewer.read_exact(&mut [0; 188])).await.expect("a picture").unwrap();
    let text = get(at, "/metrics").await;
    drop(viewer);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics");
    for file in ["alerts.yml", "grafana.json"] {
        let shipped = std::fs::read_to_string(docs.join(file)).unwrap();
        for word in shipped.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).filter(|w| w.starts_with("yagid_")) {
            let family = ["_total", "_bucket", "_sum", "_count", "_info"]
                .iter()
                .find_map(|s| word.strip_suffix(s))
                .unwrap_or(word);
            assert!(text.contains(&format!("# TYPE {family} ")), "{file}: there is no {word}");
        }
    }
    // As promtool wants them: every rule whole, and its texts about labels that its expression leaves.
    let rules = std::fs::read_to_string(docs.join("alerts.yml")).unwrap();
    let rules: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert_eq!(rules.len(), 8);
    for rule in rules {
        for key in ["expr: ", "for: ", "labels: { severity: ", "summary: ", "action: "] {
            assert!(rule.lines().any(|l| l.trim().starts_with(key)), "{key}in {rule}");
        }
        let depth = |open, close| rule.matches(open).count() - rule.matches(close).count();
        assert_eq!([depth('(', ')'), depth('{', '}'), depth('[', ']')], [0; 3], "{rule}");
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(docs.join("grafana.json")).unwrap()).unwrap();
    assert!(dashboard["panels"].as_array().is_some_and(|p| p.len() >= 6));
    daemon.stop().await;
}
