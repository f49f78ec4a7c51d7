//! The command line: exit codes and the exact JSON.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::fake::{Fake, typical};

struct House {
    // Holds the socket's directory.
    dir: tempfile::TempDir,
    fake: Fake,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(&dir.path().join("admin.sock"), typical());
    House { dir, fake }
}

fn yagi(socket: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_yagi"))
        .args(args)
        .env_clear()
        .env("YAGI_SOCKET", socket)
        .env("TZ", "UTC")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

impl House {
    fn run(&self, args: &[&str]) -> Output {
        yagi(&self.fake.socket, args)
    }

    fn json(&self, args: &[&str]) -> Value {
        let out = self.run(args);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    fn fails(&self, args: &[&str]) -> (i32, String) {
        let out = self.run(args);
        (out.status.code().unwrap(), String::from_utf8_lossy(&out.stderr).into_owned())
    }
}

#[test]
fn json_is_the_rows_of_the_api() {
    let house = house();
    let lists = typical().lists;
    // A row may have fields more than the fake's: their defaults.
    for noun in ["streams", "clients", "channels", "categories", "users", "sources", "settings"] {
        // A bare noun is its list.
        let rows = house.json(&[noun, "--json"]);
        if !matches!(noun, "streams" | "clients") {
            assert_eq!(house.json(&[noun, "list", "--json"]), rows, "{noun}");
        }
        assert_eq!(rows.as_array().unwrap().len(), lists[noun].len(), "{noun}");
        for (row, expected) in rows.as_array().unwrap().iter().zip(&lists[noun]) {
            for (key, value) in expected.as_object().unwrap() {
                assert_eq!(&row[key], value, "{noun}.{key}");
            }
        }
    }
    assert_eq!(house.json(&["status", "--json"])["streams"], 3);
    assert_eq!(house.json(&["logs", "--json"]).as_array().unwrap().len(), 3);
    assert_eq!(house.json(&["guide", "--json"])["programmes"], 504_000);
    assert_eq!(house.json(&["url", "alice", "--json"])["password"], "Xk3v9pQ2tW7m");
    assert_eq!(house.json(&["api", "GET", "/api/hello"])["host"], "tv1");
}

#[test]
fn a_new_user_comes_with_its_password() {
    let house = house();
    let new = house.json(&["users", "add", "erin", "--expires", "2030-01-01", "--max-connections", "3", "--json"]);
    assert_eq!((&new["name"], &new["password"]), (&Value::from("erin"), &Value::from("Xk3v9pQ2tW7m")));
    let sent = house.fake.seen().into_iter().find(|r| r.starts_with("POST /api/users ")).unwrap();
    assert!(sent.contains("\"expires_at\":1893456000") && sent.contains("\"max_connections\":3"), "{sent}");
    assert_eq!(house.fails(&["users", "add", "erin"]).0, 4, "the name is taken");
    let (code, error) = house.fails(&["users", "add", "live"]);
    assert!(code == 4 && error.contains("error: name:"), "{error}");
    let (code, error) = house.fails(&["users", "add", "fay", "--expires", "soon"]);
    assert!(code == 4 && error.contains("YYYY-MM-DD"), "{error}");
}

#[test]
fn never_clears_an_expiry() {
    let house = house();
    assert_eq!(house.json(&["users", "edit", "alice", "--expires", "never", "--json"])["expires_at"], Value::Null);
    let sent = house.fake.seen().into_iter().find(|r| r.starts_with("PATCH")).unwrap();
    assert!(sent.contains("\"expires_at\":null"), "{sent}");
}

#[test]
fn a_file_is_made_absolute_and_a_failed_refresh_is_a_failure() {
    let house = house();
    std::fs::write(house.dir.path().join("list.m3u"), "#EXTM3U\n").unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_yagi"))
        .args(["sources", "add", "list.m3u", "--kind", "playlist", "--wait", "--json"])
        .current_dir(house.dir.path())
        .env("YAGI_SOCKET", &house.fake.socket)
        .output()
        .unwrap();
    let row: Value = serde_json::from_slice(&out.stdout).unwrap();
    let expected: PathBuf = house.dir.path().join("list.m3u").canonicalize().unwrap();
    assert_eq!(row["url"], expected.to_str().unwrap());
    assert_eq!(row["last"]["seen"], 412);
    assert!(out.status.success());

    let out = house.run(&["sources", "add", "http://bad.example/x", "--wait", "--json"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(serde_json::from_slice::<Value>(&out.stdout).unwrap()["last"]["ok"] == false);
    assert!(String::from_utf8_lossy(&out.stderr).contains("404 Not Found"));
}

#[test]
fn exit_codes_tell_the_cause() {
    let house = house();
    assert_eq!(house.fails(&["users", "show", "nobody"]).0, 3);
    assert_eq!(house.fails(&["kick", "99"]).0, 3);
    assert_eq!(house.fails(&["channels", "show", "No Such Channel"]).0, 3);
    assert_eq!(house.fails(&["settings", "set", "nonsense", "1"]).0, 4);
    assert_eq!(house.fails(&["users", "no-such-verb"]).0, 2);
    assert_eq!(house.fails(&["streams", "failover", "No Such Stream"]).0, 3);
    assert_eq!(house.fails(&["streams", "failover", "Rai 1 HD", "--to", "0"]).0, 2);
    assert_eq!(house.fails(&["no-such-verb"]).0, 2);
    assert_eq!(house.fails(&["channels", "add", "X", "gopher://host/x"]).0, 4);

    let missing = yagi(&house.dir.path().join("missing.sock"), &["status"]);
    assert_eq!(missing.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("hint: start the daemon"));
    let dead = house.dir.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    assert_eq!(yagi(&dead, &["status"]).status.code(), Some(5));
}

#[test]
fn destructive_verbs_need_yes_without_a_terminal() {
    let house = house();
    for args in [
        vec!["users", "rm", "alice"],
        vec!["sources", "rm", "1"],
        vec!["channels", "rm", "1001"],
        vec!["kick", "alice"],
    ] {
        let (code, error) = house.fails(&args);
        assert!(code == 2 && error.contains("--yes"), "{args:?}: {error}");
    }
    assert!(!house.fake.seen().iter().any(|r| r.starts_with("DELETE")));
    assert_eq!(house.fails(&["users", "rm", "alice", "--yes"]).0, 0);
    assert_eq!(house.fails(&["kick", "1"]).0, 0, "an id says exactly what is hit");
    assert_eq!(house.fake.seen().iter().filter(|r| r.starts_with("DELETE")).count(), 2);
}

#[test]
fn channels_are_found_by_name_and_edited_with_their_version() {
    let house = house();
    assert_eq!(house.json(&["channels", "edit", "Das Erste", "--number", "7", "--json"])["number"], 7);
    let sent = house.fake.seen().into_iter().find(|r| r.starts_with("PATCH")).unwrap();
    assert!(sent.contains("\"version\":1"), "{sent}");
}

#[test]
fn tables_show_no_credentials_and_no_controls() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(&dir.path().join("admin.sock"), crate::fake::hostile());
    for args in [
        vec!["streams"],
        vec!["clients"],
        vec!["channels", "list"],
        vec!["users", "list"],
        vec!["sources", "list"],
        vec!["logs"],
        vec!["settings", "list"],
    ] {
        let out = yagi(&fake.socket, &args);
        assert!(out.status.success(), "{args:?}");
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(
            !text.chars().any(|c| c != '\n' && (c.is_control() || yagi_api::text::is_foul(c))),
            "{args:?}: {text:?}"
        );
        assert!(!text.contains("secret"), "{args:?}");
    }
}

#[test]
fn an_empty_list_is_an_empty_array() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(&dir.path().join("admin.sock"), crate::fake::empty());
    for args in [vec!["streams", "--json"], vec!["users", "list", "--json"], vec!["channels", "list", "--json"]] {
        assert_eq!(yagi(&fake.socket, &args).stdout, b"[]\n", "{args:?}");
    }
}

#[test]
fn a_stream_is_moved_and_an_address_let_in_again() {
    let house = house();
    let said = house.run(&["streams", "failover", "Rai 1 HD", "--to", "2"]);
    assert_eq!(String::from_utf8_lossy(&said.stdout), "Rai 1 HD moves from source 1 to source 2\n");
    assert_eq!(house.run(&["streams", "failover", "1"]).status.code(), Some(0));
    assert_eq!(house.json(&["blocks", "--json"])[0]["ip"], "203.0.113.9");
    assert_eq!(house.run(&["blocks", "add", "203.0.113.9", "--for", "2h"]).status.code(), Some(0));
    assert_eq!(house.run(&["blocks", "rm", "203.0.113.9"]).status.code(), Some(0));
    assert_eq!(house.run(&["jobs", "cancel", "7"]).status.code(), Some(0));
    let sent: Vec<String> = house.fake.seen().into_iter().filter(|r| !r.starts_with("GET")).collect();
    assert_eq!(
        sent,
        [
            r#"POST /api/streams/1/failover {"source":1}"#,
            "POST /api/streams/1/failover {}",
            r#"POST /api/blocks {"ip":"203.0.113.9","seconds":7200,"reason":""}"#,
            "DELETE /api/blocks/203%2E0%2E113%2E9 ",
            "DELETE /api/jobs/7 ",
        ]
    );
}

#[test]
fn what_is_exported_is_what_an_import_reads() {
    let house = house();
    {
        let mut rows = house.fake.rows.lock().unwrap();
        let row = &mut rows.lists.get_mut("channels").unwrap()[0];
        row["name"] = "Law, Order and \"Quotes\"".into();
        row["radio"] = true.into();
        row["guide_shift_min"] = (-90).into();
        row["catchup"] = serde_json::json!({"mode": "append", "days": 7, "source": "?utc=${start}"});
        row["sources"] = serde_json::json!([
            {"url": "http://a.example/live/u/p/1.ts", "headers": [["User-Agent", "Box/1.0 (a; b)"], ["X-Key", "a&b=c d"]]},
            {"url": "acestream://0123456789abcdef0123456789abcdef01234567"},
            {"url": "http://b.example/1.ts", "headers": [["User-Agent", "Other"]]}]);
    }
    let text = house.run(&["channels", "export"]).stdout;
    let expected: Vec<yagi_api::Channel> = house
        .json(&["channels", "--json"])
        .as_array()
        .unwrap()
        .iter()
        .map(|row| serde_json::from_value(row.clone()).unwrap())
        .collect();
    let mut reader = yagid::playlist::m3u::Reader::new(Box::new(std::io::Cursor::new(text)), 1000).unwrap();
    for channel in &expected {
        let read = reader.next().unwrap().unwrap();
        assert_eq!(read.name, channel.name.replace('"', "'"));
        assert_eq!((&read.guide_id, read.number, read.radio), (&channel.guide_id, channel.number, channel.radio));
        assert_eq!((read.shift_min, &read.catchup), (channel.guide_shift_min, &channel.catchup));
        assert_eq!(read.sources, channel.sources);
        assert!(!read.group.is_empty());
    }
    assert!(reader.next().unwrap().is_none());
    assert_eq!((reader.summary.entries, reader.summary.skipped), (5, 0), "{:?}", reader.summary.notes);
}

/// What the shell is offered for the last word.
fn offered(house: &House, words: &[&str]) -> Vec<String> {
    let out = Command::new(env!("CARGO_BIN_EXE_yagi"))
        .env_clear()
        .env("YAGI_SOCKET", &house.fake.socket)
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_IFS", "\n")
        .arg("--")
        .arg("yagi")
        .args(words)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_shell_is_offered_names_that_the_daemon_knows() {
    let house = house();
    assert_eq!(offered(&house, &["users", "show", "da"]), ["dario"]);
    assert!(offered(&house, &["users", "rm", ""]).contains(&"alice".to_owned()));
    assert_eq!(offered(&house, &["url", "car"]), ["carla"]);
    assert_eq!(offered(&house, &["sources", "refresh", "prov"]), ["prov-a"]);
    assert_eq!(offered(&house, &["settings", "set", "lim"]), ["limit_policy"]);
    assert_eq!(offered(&house, &["channels", "show", "Das"]), ["Das\\ Erste"], "as bash takes it");
    assert_eq!(offered(&house, &["kick", "bo"]), ["bob"]);
    assert_eq!(offered(&house, &["channels", "ren"]), ["renumber"], "words are completed as ever");
    house.fake.rows.lock().unwrap().lists.clear();
    assert_eq!(offered(&house, &["users", "show", "da"]), Vec::<String>::new(), "a daemon that refuses");
}
