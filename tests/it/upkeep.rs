//! Long work, looks at URLs, the guide's matches, the configuration read again, and the listener with a token.
//!
//! Must not enter: what refreshes make of lists (`imports`). Invariant: tests wait for states, never for time.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use serde_json::{Value, json};
use yagid::clock::epoch_now;

use crate::support::{
    daemon::Daemon,
    origin::{Origin, Serve},
    place::{Admin, Place, Process},
    raw, wait_until,
};

fn list(names: &[&str]) -> Vec<u8> {
    let entry = |n: &&str| format!("#EXTINF:-1 group-title=\"News\",{n}\nhttp://h.example/{n}.ts\n");
    format!("#EXTM3U url-tvg=\"http://h.example/guide.xml\"\n{}", names.iter().map(entry).collect::<String>())
        .into_bytes()
}

fn text(body: Vec<u8>) -> Serve {
    Serve::Answer("200 OK", "text/plain", body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_looked_at_refreshed_compared_and_cancelled() {
    let daemon = Daemon::start().await;
    let origin = Origin::start().await;
    let mut admin = Admin::at(&daemon.socket()).await;
    origin.set("/list", text(list(&["A", "B", "C"])));
    let url = origin.url("/list");
    let found = admin.ok("POST", "/api/sources/probe", json!({ "url": url })).await;
    assert_eq!(
        (&found["ok"], &found["kind"], &found["entries"]),
        (&json!(true), &json!("playlist"), &json!(3)),
        "{found}"
    );
    assert_eq!(found["groups"][0], json!({"name": "News", "channels": 3}));
    assert_eq!(found["guide_urls"][0], "http://h.example/guide.xml");
    let nothing = admin.ok("POST", "/api/sources/probe", json!({"url": origin.url("/missing")})).await;
    assert_eq!(nothing["ok"], false);
    assert!(nothing["error"].as_str().is_some_and(|e| e.contains("404")), "{nothing}");
    let (status, error) = admin.refused("POST", "/api/sources/probe", json!({"url": "ftp://h/x"})).await;
    assert_eq!((status, error["field"].as_str()), (422, Some("url")));
    assert_eq!(admin.get("/api/sources").await["total"], 0, "a look makes nothing");

    let source = admin.ok("POST", "/api/sources?wait=true", json!({"url": url, "name": "s", "interval_s": 0})).await;
    assert_eq!(source["last"]["added"], 3);
    origin.set("/list", text(list(&["A", "C", "D"])));
    admin.ok("POST", "/api/sources/s/refresh?wait=true", Value::Null).await;
    let diff = admin.get("/api/sources/s/diff").await;
    assert_eq!((&diff["added"][0]["name"], &diff["retired"][0]["name"]), (&json!("D"), &json!("B")), "{diff}");
    origin.set("/list", Serve::Answer("500 Oops", "text/plain", Vec::new()));
    admin.ok("POST", "/api/sources/s/refresh?wait=true", Value::Null).await;
    let history = admin.get("/api/sources/s/history").await;
    let ends: Vec<bool> = history["rows"].as_array().unwrap().iter().map(|r| r["ok"].as_bool().unwrap()).collect();
    assert_eq!(ends, [false, true, true]);
    assert_eq!(admin.get("/api/sources/s/diff").await, diff, "a failure changes nothing");
    let trail = admin.get("/api/changes?q=actor:refresh").await;
    assert_eq!(trail["total"], 3, "one line for each refresh that told anything: {trail}");
    assert!(trail["rows"].as_array().unwrap().iter().all(|r| r["undoable"] == false));

    origin.set("/list", Serve::Endless("text/plain"));
    admin.ok("POST", "/api/sources/s/refresh", Value::Null).await;
    let jobs = daemon.app.refresher.jobs().clone();
    let running = || jobs.rows().into_iter().find(|j| !j.state.is_over());
    wait_until("bytes of a download", || running().is_some_and(|j| j.step == "downloading" && j.done > 100_000)).await;
    let job = running().unwrap();
    let shown = admin.get(&format!("/api/jobs/{}", job.id)).await;
    assert_eq!((shown["state"].as_str(), shown["unit"].as_str()), (Some("running"), Some("bytes")), "{shown}");
    admin.ok("DELETE", &format!("/api/jobs/{}", job.id), Value::Null).await;
    wait_until("the end of the job", || running().is_none()).await;
    let over = admin.get(&format!("/api/jobs/{}", job.id)).await;
    assert_eq!(over["state"], "cancelled", "{over}");
    let (status, _) = admin.refused("DELETE", &format!("/api/jobs/{}", job.id), Value::Null).await;
    assert_eq!(status, 409);
    assert_eq!(admin.get("/api/sources/s").await["state"], "idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn suggestions_are_accepted_in_one_step() {
    let daemon = Daemon::start().await;
    let origin = Origin::start().await;
    let mut admin = Admin::at(&daemon.socket()).await;
    let start = |offset: i64| {
        let mut out = Vec::new();
        yagid::guide::time::xmltv(&mut out, epoch_now() + offset);
        String::from_utf8(out).unwrap()
    };
    let (past, soon, late) = (start(-600), start(1200), start(4800));
    let channel = |id: &str, name: &str| {
        format!(
            "<channel id=\"{id}\"><display-name>{name}</display-name></channel>\
             <programme start=\"{past}\" stop=\"{soon}\" channel=\"{id}\"><title>Now on {id}</title></programme>\
             <programme start=\"{soon}\" stop=\"{late}\" channel=\"{id}\"><title>Next on {id}</title></programme>"
        )
    };
    let guide = format!(
        "<tv>{}{}{}</tv>",
        channel("rai1.it", "Rai 1"),
        channel("sky.it", "Sky Sport Uno"),
        channel("x", "Ics")
    );
    origin.set("/guide", text(guide.into_bytes()));
    admin
        .ok("POST", "/api/sources?wait=true", json!({"url": origin.url("/guide"), "kind": "guide", "name": "g"}))
        .await;
    for (name, guide_id) in [("Rai Uno", "rai1.it"), ("Rai 1 HD", ""), ("Sky Sports Uno", ""), ("Al Jazeera", "")] {
        let draft = json!({"name": name, "guide_id": guide_id, "sources": [{"url": "http://h.example/x"}]});
        admin.ok("POST", "/api/channels", draft).await;
    }
    let page = admin.get("/api/guide/channels?now=true").await;
    let how: Vec<&str> = page["rows"].as_array().unwrap().iter().map(|r| r["how"].as_str().unwrap()).collect();
    assert_eq!(how, ["id", "name", "none", "none"], "{page}");
    assert_eq!(page["rows"][1]["now"]["title"], "Now on rai1.it");
    assert_eq!(page["rows"][1]["next"]["title"], "Next on rai1.it");
    assert_eq!(page["rows"][2]["suggestions"][0]["guide_id"], "sky.it");
    assert!(page["rows"][3]["suggestions"].as_array().unwrap().is_empty());
    let dry = admin.ok("POST", "/api/guide/accept", json!({"min_score": 0.8, "dry_run": true})).await;
    assert_eq!((&dry["updated"], &dry["items"][0]["fields"][0]["after"]), (&json!(1), &json!("sky.it")), "{dry}");
    for (narrow, hit) in [(json!({"q": "rai"}), 0), (json!({"q": "sky"}), 1), (json!({"ids": [4]}), 0)] {
        let mut ask = json!({"min_score": 0.8, "dry_run": true});
        ask.as_object_mut().unwrap().extend(narrow.as_object().unwrap().clone());
        assert_eq!(admin.ok("POST", "/api/guide/accept", ask).await["updated"], hit, "{narrow}");
    }
    let (status, _) = admin.refused("POST", "/api/guide/accept", json!({"q": "sky", "ids": [3]})).await;
    assert_eq!(status, 422, "ids or terms");
    admin.ok("POST", "/api/guide/accept", json!({"min_score": 0.8})).await;
    assert_eq!(admin.get("/api/guide/channels?q=how:none").await["total"], 1);
    let detail = admin.get("/api/channels/3/detail").await;
    assert_eq!((&detail["now"]["title"], &detail["guide"]["how"]), (&json!("Now on sky.it"), &json!("id")), "{detail}");
    admin.ok("POST", "/api/undo", Value::Null).await;
    assert_eq!(admin.get("/api/guide/channels?q=how:none").await["total"], 2);
    let queued = admin.ok("POST", "/api/guide/refresh", Value::Null).await;
    assert_eq!(queued["rows"][0]["name"], "g");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_read_again() {
    let place = Place::new();
    let file = place.dir.path().join("yagid.toml");
    fs::write(&file, "[log]\nfilter = \"info\"\n").unwrap();
    let mut command = place.command();
    command.arg("--config").arg(&file);
    let process = Process::of(command).await;
    let mut admin = Admin::connect(&place).await;
    let filter = admin.get("/api/logs/filter").await;
    assert_eq!(filter, json!({"filter": "info", "configured": "info"}));
    let (status, error) = admin.refused("PUT", "/api/logs/filter", json!({"filter": "loud"})).await;
    assert_eq!((status, error["field"].as_str()), (422, Some("filter")));
    admin.ok("PUT", "/api/logs/filter", json!({"filter": "debug"})).await;
    assert_eq!(admin.get("/api/logs/filter").await["filter"], "debug");

    fs::write(&file, "[log]\nfiler = \"info\"\n[server]\npublic_url = \"tv\"\n").unwrap();
    let (status, error) = admin.refused("POST", "/api/reload", Value::Null).await;
    let errors = error["errors"].as_array().unwrap();
    assert_eq!((status, errors.len()), (422, 2), "{error}");
    assert_eq!(errors[1]["field"], "server.public_url");
    fs::write(
        &file,
        "[log]\nfilter = \"warn\"\n[server]\npublic_url = \"https://tv.example.org\"\nmax_connections = 99\n",
    )
    .unwrap();
    let done = admin.ok("POST", "/api/reload", Value::Null).await;
    let said: Vec<(&str, bool)> = done["changed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| (k["key"].as_str().unwrap(), k["applied"].as_bool().unwrap()))
        .collect();
    assert_eq!(said, [("server.public_url", true), ("server.max_connections", false), ("log.filter", true)]);
    admin.ok("POST", "/api/users", json!({"name": "ada"})).await;
    let urls = admin.get("/api/users/ada/urls").await;
    assert_eq!(urls["server"], "https://tv.example.org");
    assert_eq!(admin.get("/api/logs/filter").await, json!({"filter": "warn", "configured": "warn"}));

    fs::write(&file, "[server]\npublic_url = \"https://other.example.org\"\n").unwrap();
    rustix::process::kill_process(process.pid(), rustix::process::Signal::HUP).unwrap();
    tokio::time::timeout(Duration::from_secs(20), async {
        while admin.get("/api/users/ada/urls").await["server"] != "https://other.example.org" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("SIGHUP is followed");

    let copy = admin.ok("POST", "/api/backup", json!({})).await;
    let path = copy["path"].as_str().unwrap();
    assert_eq!(fs::metadata(path).unwrap().len(), copy["bytes"].as_u64().unwrap());
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let (status, _) = admin.refused("POST", "/api/backup", json!({ "path": path })).await;
    assert_eq!(status, 409);
    let (status, error) = admin.refused("POST", "/api/backup", json!({"path": "here.db"})).await;
    assert_eq!((status, error["field"].as_str()), (422, Some("path")));
    process.kill().await;
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_only_the_token_opens() {
    const TOKEN: &str = "0123456789abcdef0123456789";
    let place = Place::new();
    let token = place.dir.path().join("token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let with = |listen: &str| {
        let mut command = place.command();
        command.env("YAGI__ADMIN__LISTEN", listen).env("YAGI__ADMIN__TOKEN_FILE", &token);
        command
    };
    let refused = with("0.0.0.0:0").output().await.unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("clear text"), "{words}");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = with(&address).output().await.unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("chmod 600"));
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();

    let process = Process::of(with(&address)).await;
    let address = address.parse().unwrap();
    let ask = async |headers: &str| raw::ask(address, "127.0.0.1", "GET", "/api/hello", headers).await;
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    let hello = ask(&right).await;
    assert_eq!(hello.status, 200, "{}", hello.text());
    assert_eq!((&hello.json()["role"], &hello.json()["actor"]), (&json!("admin"), &json!("token(127.0.0.1)")));
    for wrong in [
        "",
        "Authorization: Bearer x\r\n",
        &format!("Authorization: Basic {TOKEN}\r\n"),
        &format!("{right}Origin: http://evil\r\n"),
    ] {
        let answer = ask(wrong).await;
        assert_eq!(answer.status, 403, "{wrong}");
        assert!(!answer.text().contains(TOKEN));
    }
    // The players' port knows nothing of it.
    assert_eq!(raw::ask(process.address, "127.0.0.1", "GET", "/api/hello", &right).await.status, 404);
    process.kill().await;
}
