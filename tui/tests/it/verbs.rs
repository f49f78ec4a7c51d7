//! Every verb on a typical house: what people and programs are given, what is asked first, the editor, ssh, TCP.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::fake::{Fake, typical};

pub struct House {
    dir: tempfile::TempDir,
    pub fake: Fake,
}

pub fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = typical();
    let change = serde_json::json!({"id": 41, "at": 1_795_534_000, "actor": "root(0)", "noun": "channels", "change": "updated",
        "row": 1001, "name": "Rai 1 HD", "rows": 1, "summary": "number 7 → 12", "undoable": true,
        "items": [{"noun": "channels", "change": "updated", "row": 1001, "name": "Rai 1 HD",
            "fields": [{"field": "number", "before": 7, "after": 12}]}]});
    rows.lists.insert("changes".into(), vec![change]);
    let fake = Fake::start(&dir.path().join("admin.sock"), rows);
    House { dir, fake }
}

impl House {
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yagi"));
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("YAGI_SOCKET", &self.fake.socket)
            .env("TZ", "UTC")
            .env("TMPDIR", self.dir.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn text(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    pub fn code(&self, args: &[&str]) -> (i32, String) {
        let out = self.run(args);
        (out.status.code().unwrap(), String::from_utf8_lossy(&out.stderr).into_owned())
    }

    /// Requests that change something.
    pub fn changes(&self) -> Vec<String> {
        let dry = |r: &String| r.contains("\"dry_run\":true");
        self.fake.seen().into_iter().filter(|r| !r.starts_with("GET") && !dry(r)).collect()
    }

    pub fn script(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// What depends on the hour, and the blanks that then follow it.
fn without_ages(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut kept: Vec<&str> = Vec::new();
        for word in words {
            // How long an account lasts.
            let days = word == "d)" && kept.last().is_some_and(|w| w.starts_with('('));
            if days {
                kept.pop();
            } else if matches!(word, "ago" | "ago," | "left") && kept.len() >= 2 {
                kept.truncate(kept.len() - 2);
                kept.push("(age)");
            } else {
                kept.push(word);
            }
        }
        out += kept.join(" ").as_str();
        out.push('\n');
    }
    out
}

#[test]
fn what_people_see() {
    let house = house();
    let mut shown = String::new();
    for line in [
        "status",
        "streams",
        "clients",
        "channels list",
        "channels show 1001",
        "categories list",
        "users list --no-headers",
        "users show alice",
        "url alice",
        "url alice --xtream",
        "sources list",
        "sources show 1",
        "sources probe http://prov-a.example/x",
        "sources diff 1",
        "guide",
        "guide 1001",
        "epg status",
        "epg unmatched",
        "settings list",
        "logs",
        "changes",
        "undo --dry-run 41",
        "undo 41",
        "reload",
        "backup",
        "channels export",
        "channels off --filter x --yes",
        "channels renumber --filter x --dry-run",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let text = house.text(&args);
        let text = if matches!(args[0], "sources" | "users") || args.get(1) == Some(&"show") {
            without_ages(&text)
        } else {
            text
        };
        shown += &format!("$ yagi {line}\n{text}\n");
    }
    insta::assert_snapshot!("tables", shown);
}

#[test]
fn what_programs_are_given() {
    let house = house();
    let mut shown = String::new();
    for line in [
        "streams -o ids",
        "clients -o csv",
        "channels list -o jsonl",
        "channels list -o csv --no-headers",
        "categories list -o json",
        "users list -o ids",
        "settings list -o ids",
        "logs -o jsonl",
        "changes -o json",
        "reload --json",
        "backup -o csv",
        "users off alice --json",
        "sources diff 1 --json",
        "channels export --as tsv",
        "kick 1 -o ids",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        shown += &format!("$ yagi {line}\n{}\n", house.text(&args));
    }
    insta::assert_snapshot!("machine", shown);
}

#[test]
fn a_watch_gives_programs_one_object_a_line_until_they_leave() {
    let house = house();
    house.fake.rows.lock().unwrap().tick_ms = 20;
    let mut child = house.command(&["streams", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<String> = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()))
        .take(7)
        .map(Result::unwrap)
        .collect();
    for line in &lines {
        assert!(serde_json::from_str::<Value>(line).unwrap()["id"].is_u64(), "{line}");
    }
    // Its output is closed: it ends by itself at the next line.
    assert!(child.wait().unwrap().code().is_some_and(|c| c == 0));
}

/// Lists of rows wait for a change: a table is printed, and then none until the daemon tells of one.
#[test]
fn every_list_can_be_watched_and_nothing_else() {
    let house = house();
    house.fake.rows.lock().unwrap().tick_ms = 20;
    for line in ["users -w", "users show alice --watch", "engines --watch -o jsonl", "status --watch"] {
        let args: Vec<&str> = line.split(' ').collect();
        let mut child = house.command(&args).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        // More than one print of it: users are four rows.
        for _ in 0..9 {
            let line = lines.next().unwrap().unwrap();
            assert!(serde_json::from_str::<Value>(&line).unwrap().is_object(), "{line}");
        }
        drop(lines);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{line}");
    }
    for line in ["channels", "categories", "sources", "jobs", "rules", "blocks", "lineup", "settings", "epg", "changes"]
    {
        let mut child = house.command(&[line, "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
        // Its first print is there before anything changed.
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        if !matches!(line, "jobs") {
            std::io::BufRead::read_line(&mut out, &mut first).unwrap();
            assert!(serde_json::from_str::<Value>(&first).unwrap().is_object(), "{line}: {first}");
        }
        assert!(child.try_wait().unwrap().is_none(), "{line} goes on");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for line in ["channels rm 1001", "users add erin", "reload", "undo"] {
        let mut args: Vec<&str> = line.split(' ').collect();
        args.extend(["--watch", "--yes"]);
        let (code, error) = house.code(&args);
        assert!(code == 2 && error.contains("--watch is for verbs that list"), "{line}: {error}");
    }
    assert_eq!(house.changes(), Vec::<String>::new());
}

#[test]
fn nothing_is_destroyed_without_a_yes() {
    let house = house();
    for line in [
        "channels rm 1001",
        "channels rm --filter x",
        "channels off --filter x",
        "channels renumber --filter x",
        "users rm alice",
        "users rm --filter x",
        "users off --filter x",
        "users extend --filter x",
        "sources rm 1",
        "categories rm World",
        "categories merge World --into 1",
        "kick alice",
        "users passwd alice",
        "kick --filter a",
        "kick 1 --block",
        "stop 1",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let (code, error) = house.code(&args);
        assert!(code == 2 && error.contains("--yes"), "{line}: {code} {error}");
    }
    assert_eq!(house.changes(), Vec::<String>::new());
    let (code, error) = house.code(&["channels", "rm", "--filter", " ", "--yes"]);
    assert!(code == 2 && error.contains("id:>0"), "an empty filter is not all rows: {error}");
}

#[test]
fn a_dry_run_changes_nothing() {
    let house = house();
    for line in [
        "channels edit 1001 --number 7 --dry-run",
        "channels move 1001 --category News --dry-run",
        "channels rm --filter x --dry-run",
        "users edit alice --expires never --dry-run",
        "users off alice --dry-run",
        "users extend alice --dry-run",
        "users rm alice --dry-run",
        "categories rm World --dry-run",
        "sources rm prov-a --dry-run",
        "sources add http://prov-a.example/y --dry-run",
        "sources refresh 1 --dry-run",
        "epg match --dry-run",
        "undo 41 --dry-run",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        house.text(&args);
    }
    let changes: Vec<String> =
        house.changes().into_iter().filter(|r| !r.starts_with("POST /api/sources/probe ")).collect();
    assert_eq!(changes, Vec::<String>::new());
}

#[test]
fn many_rows_change_in_one_request() {
    let house = house();
    house.text(&["channels", "off", "1001", "Das Erste"]);
    house.text(&["channels", "move", "--filter", "category:World", "--category", "News", "--yes"]);
    house.text(&["users", "extend", "alice", "--by", "30d"]);
    assert_eq!(
        house.changes(),
        [
            r#"POST /api/channels/bulk {"dry_run":false,"ids":[1001,1002],"set":{"enabled":false}}"#,
            r#"POST /api/channels/bulk {"dry_run":false,"q":"category:World","set":{"category":"News"}}"#,
            r#"POST /api/users/bulk {"dry_run":false,"extend_days":30,"ids":[1]}"#,
        ]
    );
}

#[test]
fn rows_go_through_the_editor_and_back() {
    let house = house();
    let editor = house.script("editor", "#!/bin/sh\nsed -i 's/\tDas Erste\t/\tDas Erste HD\t/' \"$1\"\n");
    let edit = |args: &[&str], editor: &str| house.command(args).env("EDITOR", editor).output().unwrap();
    let out = edit(&["channels", "edit", "--yes"], &editor);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stdout).contains("yagi undo 41"));
    let sent: Vec<String> = house.fake.seen().into_iter().filter(|r| r.starts_with("POST")).collect();
    assert_eq!(sent.len(), 2, "looked at, then applied: {sent:?}");
    assert!(sent[0].contains("\"dry_run\":true") && sent[1].contains("\"dry_run\":false"));
    let body: Value = serde_json::from_str(sent[1].split_once("/api/apply ").unwrap().1).unwrap();
    let expected = serde_json::json!([{"op": "update", "noun": "channels", "id": 1002, "version": 1, "row": {"name": "Das Erste HD"}}]);
    assert_eq!(body["operations"], expected);

    let same = edit(&["channels", "edit", "--yes"], "true");
    assert_eq!(String::from_utf8_lossy(&same.stdout), "nothing was changed\n");
    assert_eq!(edit(&["users", "edit", "--yes"], "false").status.code(), Some(1), "an editor that fails");
}

#[test]
fn text_that_is_refused_is_kept() {
    let house = house();
    let editor = house.script("editor", "#!/bin/sh\nsed -i 's/\tyes\t/\tperhaps\t/' \"$1\"\n");
    let kept = |args: &[&str], code: i32, word: &str| {
        let out = house.command(args).env("EDITOR", &editor).output().unwrap();
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{error}");
        assert!(error.contains(word), "{error}");
        let path = error.trim_end().rsplit_once("kept in ").expect("a place").1;
        std::fs::read_to_string(path).unwrap()
    };
    assert!(kept(&["users", "edit", "--yes"], 4, "enabled: `perhaps` is neither yes nor no").contains("perhaps"));
    let rename = house.script("rename", "#!/bin/sh\nsed -i 's/bob/robert/' \"$1\"\n");
    let out = house.command(&["users", "edit"]).env("EDITOR", rename).output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && error.contains("kept in") && error.contains("confirmation"), "{error}");
    assert_eq!(house.changes(), Vec::<String>::new());
}

#[test]
fn over_ssh_everything_is_the_same() {
    let house = house();
    let log = house.dir.path().join("log");
    house.script(
        "ssh",
        &format!(
            "#!/bin/sh\necho \"$@\" >> {}\nwhile [ \"$1\" != -- ]; do shift; done\nshift; host=$1; shift\n\
             if [ \"$host\" = down ]; then echo 'connect to host down port 22: refused' >&2; exit 255; fi\nexec sh -c \"$*\"\n",
            log.display()
        ),
    );
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_yagi"), house.dir.path().join("yagi")).unwrap();
    let path = format!("{}:/usr/bin:/bin", house.dir.path().display());
    let ssh = |args: &[&str]| house.command(args).env("PATH", &path).output().unwrap();
    let near = house.text(&["users", "list", "--json"]);
    let far = ssh(&["ssh", "me@tv1", "users", "list", "--json"]);
    assert_eq!(String::from_utf8_lossy(&far.stdout), near, "{}", String::from_utf8_lossy(&far.stderr));
    assert!(std::fs::read_to_string(&log).unwrap().contains("-- me@tv1 yagi proxy-stdio"));
    let socket = house.fake.socket.to_str().unwrap();
    let named = ssh(&["--socket", socket, "ssh", "tv1", "status", "-o", "ids"]);
    assert!(named.status.success(), "{}", String::from_utf8_lossy(&named.stderr));
    assert!(std::fs::read_to_string(&log).unwrap().contains(&format!("yagi --socket '{socket}' proxy-stdio")));

    let down = ssh(&["ssh", "down", "status"]);
    let error = String::from_utf8_lossy(&down.stderr);
    assert!(down.status.code() == Some(5) && error.contains("down: connect to host down port 22: refused"), "{error}");
    assert_eq!(ssh(&["ssh", "tv1", "users", "show", "nobody"]).status.code(), Some(3));
    assert_eq!(ssh(&["ssh", "--", "-oProxyCommand=touch x", "status"]).status.code(), Some(2));
    assert_eq!(ssh(&["ssh", "tv1", "no-such-verb"]).status.code(), Some(2));
}

#[test]
fn over_tcp_the_token_travels_in_a_header_and_never_as_an_argument() {
    let house = house();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let token = house.dir.path().join("token");
    std::fs::write(&token, "s3cr3t\n").unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let body = r#"{"error":{"code":"forbidden","message":"this token may not"}}"#;
        write!(stream, "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        String::from_utf8(head).unwrap()
    });
    let mut command = house.command(&["--host", &url, "--token-file", token.to_str().unwrap(), "status"]);
    let out = command.env_remove("YAGI_SOCKET").output().unwrap();
    assert_eq!(out.status.code(), Some(6), "{}", String::from_utf8_lossy(&out.stderr));
    let head = server.join().unwrap().to_lowercase();
    assert!(head.contains("authorization: bearer s3cr3t\r\n"), "{head}");
    let refused = |args: &[&str]| house.command(args).env_remove("YAGI_SOCKET").output().unwrap().status.code();
    assert_eq!(refused(&["--host", "https://tv1:1", "status"]), Some(2), "no encryption is pretended");
    assert_eq!(refused(&["--host", "http://tv1", "status"]), Some(2));
}

#[test]
fn an_address_can_be_scanned_and_asked_for_alone() {
    let house = house();
    let m3u = house.text(&["url", "alice", "--m3u"]);
    assert!(m3u.starts_with("http://tv1.lan:8080/get.php?") && m3u.lines().count() == 1);
    let with_code = house.text(&["url", "alice", "--m3u", "--qr"]);
    let code: Vec<&str> = with_code.lines().skip(1).collect();
    assert!(code.len() > 15 && code.iter().all(|l| l.chars().all(|c| " █▀▄".contains(c))), "{with_code}");
    assert_eq!(house.code(&["url", "alice", "--m3u", "--epg"]).0, 2);
}

#[test]
fn scripts_and_pages_are_made_from_the_words() {
    let house = house();
    for (shell, word) in [("bash", "_yagi"), ("zsh", "#compdef yagi"), ("fish", "complete -c yagi")] {
        let script = house.text(&["completions", shell, "--static"]);
        assert!(script.contains(word) && script.contains("renumber"), "{shell}");
        let asking = house.text(&["completions", shell]);
        assert!(asking.contains("COMPLETE") && asking.contains("yagi"), "{shell}");
    }
    let dir = house.dir.path().join("man");
    house.text(&["man", dir.to_str().unwrap()]);
    for page in ["yagi.1", "yagi-channels-edit.1", "yagi-url.1", "yagi-undo.1", "yagi-ssh.1"] {
        let text = std::fs::read_to_string(Path::new(&dir).join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(text.contains(".TH"), "{page}");
    }
    assert!(std::fs::read_to_string(dir.join("yagi.1")).unwrap().contains("Exit codes"));
}
