//! Sources of this machine: looped files, commands, and who may name them.

use std::{path::Path, time::Duration};

use serde_json::json;
use tempfile::TempDir;
use yagi_api::{SourceDraft, SourceKind};
use yagid::config::Exec;

use crate::{
    clients::{has, probe},
    support::{
        daemon::Daemon,
        place::{Admin, Place, Process},
        player::Player,
        ts::Generator,
        wait_until,
    },
};

/// Two seconds of numbered TS.
fn clip(dir: &Path) -> String {
    let path = dir.join("clip.ts");
    std::fs::write(&path, Generator::new(200, 1_500_000).packets(2000)).unwrap();
    path.display().to_string()
}

fn command(argv: &[&str]) -> Exec {
    Exec { argv: argv.iter().map(|w| (*w).to_owned()).collect() }
}

/// A daemon with files below a directory and some commands.
async fn daemon(dir: &TempDir) -> Daemon {
    let root = dir.path().display().to_string();
    Daemon::with(move |c| {
        c.upstream.file_roots = vec![root];
        c.upstream.first_byte_timeout_s = 5;
        let forever = "while :; do cat \"$0\"; sleep 0.3; done";
        c.exec.insert("loop".to_owned(), command(&["sh", "-c", forever, "{file}"]));
        c.exec.insert("fails".to_owned(), command(&["sh", "-c", "echo 'cannot open the tuner' >&2; exit 7"]));
        c.exec.insert("once".to_owned(), command(&["sh", "-c", "cat \"$0\"; echo over >&2; exit 3", "{file}"]));
    })
    .await
}

async fn watching(daemon: &Daemon, url: &str) -> Player {
    let viewer = daemon.viewer(&format!("v{}", daemon.app.library.catalog().rev), 0).await;
    let channel = daemon.channel("One", &[url]).await;
    Player::get(daemon.address, &viewer.live(channel)).await
}

/// A file goes round without a jump of its counters, at its own pace.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_looped_without_a_seam() {
    let dir = tempfile::tempdir().unwrap();
    let (path, daemon) = (clip(dir.path()), daemon(&dir).await);
    let mut player = watching(&daemon, &format!("file://{path}")).await;
    assert_eq!(player.status, 200, "{}", player.head);
    // Three rounds; the numbers begin anew in each, the counters do not.
    player.watch(3 * 2000 * 188).await;
    player.checker.assert_good_start();
    assert_eq!((player.checker.torn, player.checker.jumps, player.checker.lost), (0, 0, 0), "{:?}", player.checker);
    assert!(player.checker.doubled > 2000);
    if has("ffprobe") {
        let card = dir.path().join("card.ts");
        std::fs::write(&card, include_bytes!("../../src/upstream/testcard.ts")).unwrap();
        let viewer = daemon.viewer("alice", 0).await;
        let channel = daemon.channel("Card", &[&format!("file://{}", card.display())]).await;
        let found = tokio::time::timeout(Duration::from_secs(60), probe(&daemon.url(&viewer.live(channel)))).await;
        assert_eq!(found.unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_elsewhere_are_not_read() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (daemon, outside) = (daemon(&dir).await, clip(other.path()));
    std::os::unix::fs::symlink(&outside, dir.path().join("link.ts")).unwrap();
    for path in [outside, dir.path().join("link.ts").display().to_string(), "/etc/passwd".to_owned()] {
        let mut player = watching(&daemon, &format!("file://{path}")).await;
        let text = player.text().await;
        assert_eq!(player.status, 502);
        assert!(text.contains("does not lie below a directory of upstream.file_roots"), "{text}");
    }
}

/// A command's output reaches the viewer; it ends with the stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_plays_and_ends_with_its_stream() {
    let dir = tempfile::tempdir().unwrap();
    let (path, daemon) = (clip(dir.path()), daemon(&dir).await);
    daemon.hurry().await;
    let mut player = watching(&daemon, &format!("exec:loop?file={path}")).await;
    assert_eq!(player.status, 200, "{}", player.head);
    player.watch(300_000).await;
    player.checker.assert_good_start();
    assert_eq!(player.checker.torn, 0);
    let words = daemon.app.streams.rows()[0].engine.clone().unwrap();
    let id = words.strip_prefix("loop, process ").unwrap().to_owned();
    assert!(Path::new(&format!("/proc/{id}")).exists());
    drop(player);
    wait_until("the command's end", || !Path::new(&format!("/proc/{id}")).exists()).await;
}

/// A command that fails is told with its status and its last words; one that ends is started again.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_command_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (path, daemon) = (clip(dir.path()), daemon(&dir).await);
    for (url, word) in [
        ("exec:fails".to_owned(), "fails ended with exit status 7: cannot open the tuner"),
        ("exec:other".to_owned(), "no command other"),
        ("exec:loop".to_owned(), "no value for {file}"),
        ("exec:loop?file=-x".to_owned(), "would be an option"),
        ("exec:loop?file=a&more=b".to_owned(), "no placeholder {more}"),
    ] {
        let mut player = watching(&daemon, &url).await;
        let text = player.text().await;
        assert_eq!(player.status, 502, "{text}");
        assert!(text.contains(word), "{text}");
    }
    let mut player = watching(&daemon, &format!("exec:once?file={path}")).await;
    player.watch(300_000).await;
    wait_until("the reason is shown", || {
        daemon
            .app
            .streams
            .rows()
            .iter()
            .any(|r| r.last_error.as_deref().is_some_and(|e| e.contains("once ended with exit status 3: over")))
    })
    .await;
    player.watch(400_000).await;
    assert_eq!(player.checker.torn, 0);
}

/// A killed daemon leaves no command behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_takes_its_commands_along() {
    let place = Place::new();
    let clip = clip(place.dir.path());
    std::fs::create_dir_all(place.dir.path().join("config/yagid")).unwrap();
    std::fs::write(
        place.dir.path().join("config/yagid/yagid.toml"),
        "[exec.loop]\nargv = [\"sh\", \"-c\", \"while :; do cat \\\"$0\\\"; sleep 0.3; done\", \"{file}\"]\n",
    )
    .unwrap();
    let mut command = place.command();
    command.arg("--config").arg(place.dir.path().join("config/yagid/yagid.toml")).env("PATH", "/usr/bin:/bin");
    let process = Process::of(command).await;
    let mut admin = Admin::connect(&place).await;
    let draft = json!({"name": "One", "sources": [{"url": format!("exec:loop?file={clip}")}]}).to_string();
    let (_, channel) = admin.ask("POST", "/api/channels", &draft).await.unwrap();
    let (status, engines) = admin.ask("GET", "/api/engines?sort=name", "").await.unwrap();
    assert_eq!((status, &engines["rows"][0]["name"]), (200, &json!("127.0.0.1:6878")));
    let limited = json!({"url": clip, "kind": "playlist", "max_upstreams": 3, "enabled": false}).to_string();
    let (status, source) = admin.ask("POST", "/api/sources", &limited).await.unwrap();
    assert_eq!((status, &source["max_upstreams"]), (201, &json!(3)));
    let (_, user) = admin.ask("POST", "/api/users", "{\"name\": \"alice\"}").await.unwrap();
    let path = format!("/live/alice/{}/{}.ts", user["password"].as_str().unwrap(), channel["id"]);
    let mut player = Player::get(process.address, &path).await;
    player.watch(100_000).await;
    let (_, streams) = admin.ask("GET", "/api/streams", "").await.unwrap();
    let words = streams["rows"][0]["engine"].as_str().unwrap().to_owned();
    let id = words.strip_prefix("loop, process ").unwrap().to_owned();
    assert!(Path::new(&format!("/proc/{id}")).exists());
    process.kill().await;
    wait_until("the command's end", || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_none_or(|rest| rest.trim().is_empty() || rest.trim().starts_with('Z'))
    })
    .await;
}

/// A playlist's text reaches nothing of this machine, unless its source is trusted by the configuration.
#[tokio::test(flavor = "multi_thread")]
async fn only_trusted_playlists_name_local_sources() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list.m3u");
    std::fs::write(
        &list,
        "#EXTM3U\n#EXTINF:-1,A\nudp://@239.1.1.1:1234\n#EXTINF:-1,B\nfile:///srv/a.ts\n#EXTINF:-1,C\nexec:x\n\
         #EXTINF:-1,D\nhttp://h/4\n",
    )
    .unwrap();
    for (name, expected) in [("other", 1), ("mine", 4)] {
        let daemon = Daemon::with(|c| c.import.trusted_sources = vec!["mine".to_owned()]).await;
        let draft = SourceDraft {
            url: list.display().to_string(),
            kind: Some(SourceKind::Playlist),
            name: Some(name.to_owned()),
            interval_s: Some(0),
            ..SourceDraft::default()
        };
        let source = daemon.app.library.create_source("test", draft).await.unwrap();
        let report = daemon.app.refresher.queue_and_wait(source.id).await;
        assert!(report.ok, "{report:?}");
        assert_eq!(daemon.app.library.catalog().channels().len(), expected, "{report:?}");
        assert_eq!(report.skipped, 4 - expected as u32);
    }
}
