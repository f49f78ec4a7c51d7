//! Clients that come and go in every way: nothing of them may stay.

use std::{
    io::Write as _,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    task::JoinSet,
    time::timeout,
};
use yagi_api::{ChannelDraft, ChannelId, ChannelSource, UserDraft};

use crate::support::{
    daemon::{Account, Daemon},
    mux::{Mux, Shape},
    origin::{Frame, Origin, Serve},
    player::Player,
    process::{Process, library, state_dir},
    raw::{self, connect, get},
    wait_until,
};

const HOME: &str = "127.0.0.1";

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

async fn once(process_at: std::net::SocketAddr, accounts: &[Account], channels: &[ChannelId], dice: &mut Dice) {
    let account = &accounts[dice.below(accounts.len() as u64) as usize];
    let path = account.live(channels[dice.below(channels.len() as u64) as usize]);
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    match dice.below(8) {
        0 => drop(connect(process_at, HOME).await),
        1 => {
            let mut socket = connect(process_at, HOME).await;
            socket.write_all(&request.as_bytes()[..20]).await.unwrap();
        }
        2 => {
            // The last channel's upstream is dead; HEAD does not ask it.
            assert_eq!(raw::ask(process_at, HOME, "HEAD", &path, "").await.status, 200);
        }
        3 => {
            let mut socket = connect(process_at, HOME).await;
            socket.write_all(request.as_bytes()).await.unwrap();
        }
        4 => {
            let mut socket = connect(process_at, HOME).await;
            socket.write_all(request.as_bytes()).await.unwrap();
            socket.readable().await.unwrap();
            socket.set_zero_linger().unwrap();
        }
        5 => {
            let answer = get(process_at, &format!("/player_api.php?{}&action=get_live_streams", account.query())).await;
            assert_eq!(answer.status, 200);
        }
        _ => {
            let mut player = Player::get(process_at, &path).await;
            assert!(matches!(player.status, 200 | 403 | 503), "{}", player.head);
            if player.status == 200 {
                player.read().await;
            }
        }
    }
}

async fn is_idle(process: &Process, accounts: &[Account]) -> bool {
    for account in accounts {
        let login = get(process.address, &format!("/player_api.php?{}", account.query())).await.json();
        let status = get(process.address, &format!("/ace/status?{}", account.query())).await.json();
        if login["user_info"]["active_cons"] != json!("0") || status["total_streams"] != json!(0) {
            return false;
        }
    }
    true
}

async fn until_idle(process: &Process, accounts: &[Account], descriptors: usize) {
    let ended = timeout(Duration::from_secs(15), async {
        while !is_idle(process, accounts).await || process.descriptors() > descriptors {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(ended.await.is_ok(), "left: {} of {descriptors} descriptors\n{}", process.descriptors(), process.stderr());
}

/// Cycles of connecting, aborting, probing, zapping and watching: no seat, no stream, no descriptor, no thread more, and no memory.
async fn come_and_go(cycles: u64) {
    let origin = Origin::start().await;
    origin.set("/a", Serve::Ts(Frame::Chunked));
    let dir = tempfile::tempdir().unwrap();
    let library = library(dir.path());
    let settings = [("linger_s".to_owned(), json!(1))].into_iter().collect();
    library.update_settings("test", settings).await.unwrap();
    let mut channels = Vec::new();
    for url in ["testcard:".to_owned(), origin.url("/a"), "http://127.0.0.1:1/".to_owned()] {
        let sources = vec![ChannelSource { url: url.clone(), headers: vec![] }];
        let draft = ChannelDraft { name: url, sources, ..ChannelDraft::default() };
        channels.push(library.create_channel("test", draft).await.unwrap().id);
    }
    let mut accounts = Vec::new();
    for (name, max) in [("one", 1), ("many", 0)] {
        let draft = UserDraft { name: name.into(), max_connections: Some(max), ..UserDraft::default() };
        let new = library.create_user("test", draft).await.unwrap();
        accounts.push(Account { name: new.user.name, password: new.password });
    }
    library.close().await;
    let process = Process::start(dir, &["--no-demo"]).await;
    for channel in &channels[..2] {
        let mut player = Player::get(process.address, &accounts[1].live(*channel)).await;
        player.watch(1000).await;
    }
    until_idle(&process, &accounts, usize::MAX).await;
    let before = (process.descriptors(), process.figure("Threads:"));
    let mut rss = [0; 2];
    // What the first half needs once, allocator and kernel included, the second must not need again.
    for half in 0..2 {
        let mut workers = JoinSet::new();
        for worker in 0..6 {
            let (address, accounts, channels) = (process.address, accounts.clone(), channels.clone());
            workers.spawn(async move {
                let mut dice = Dice(worker * 7919 + half + 1);
                for _ in 0..cycles / 12 {
                    once(address, &accounts, &channels, &mut dice).await;
                }
            });
        }
        while let Some(done) = workers.join_next().await {
            done.unwrap();
        }
        until_idle(&process, &accounts, before.0 + 2).await;
        rss[half as usize] = process.figure("VmRSS:");
    }
    println!("{cycles} cycles: RSS {} kB after the first half, {} kB after the second", rss[0], rss[1]);
    assert!(rss[1] <= rss[0] + rss[0] / 20, "memory grows: {rss:?} kB");
    // The runtime's threads for blocking work end by themselves when they were idle for ten seconds; it has at most eight.
    assert!(process.figure("Threads:") <= before.1 + 8, "threads are left");
    wait_until("the upstream to see its connection closed", || origin.open("/a").0 == 0).await;
    assert!(origin.open("/a").1 <= 1, "never two connections to one upstream");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coming_and_going_leaves_nothing_behind() {
    come_and_go(360).await;
}

/// `cargo test --release -p yagid --test it ten_thousand -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: some minutes"]
async fn ten_thousand_come_and_go() {
    come_and_go(10_000).await;
}

/// Others who join, leave and probe: the bytes of one who stays are the upstream's, and no task of theirs is left.
#[tokio::test(flavor = "multi_thread")]
async fn who_stays_gets_the_upstream_byte_for_byte() {
    let clip: Arc<[u8]> = Mux::new(Shape::default(), 5).bytes(2 << 20).into();
    let origin = Origin::start().await;
    origin.set("/a", Serve::Clip(clip.clone(), Duration::from_secs(5)));
    let daemon = Daemon::start().await;
    let channel = daemon.channel("A", &[&origin.url("/a")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let path = viewer.live(channel);
    let mut stays = Player::get(daemon.address, &path).await;
    stays.read().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    drop(stays);
    daemon.app.streams.stop_channel(channel);
    wait_until("the stream's end", || daemon.app.streams.rows().is_empty() && origin.open("/a").0 == 0).await;
    let before = tasks();
    let mut stays = Player::get(daemon.address, &path).await;
    let (address, others) = (daemon.address, path.clone());
    let others = tokio::spawn(async move {
        let mut dice = Dice(11);
        let mut held = Vec::new();
        for _ in 0..200 {
            match dice.below(4) {
                0 => assert_eq!(raw::ask(address, HOME, "HEAD", &others, "").await.status, 200),
                1 => drop(held.pop()),
                2 => {
                    let socket = connect(address, HOME).await;
                    socket.set_zero_linger().unwrap();
                }
                _ => {
                    let mut player = Player::get(address, &others).await;
                    player.read().await;
                    held.push(player);
                }
            }
        }
    });
    let mut got = Vec::new();
    while got.len() < clip.len() {
        let piece = stays.read().await;
        assert!(!piece.is_empty(), "the stream ended after {} of {} bytes", got.len(), clip.len());
        got.extend(piece);
    }
    others.await.unwrap();
    // PAT and PMT, which repeat the stream's own, then all of it from the first random-access point on.
    let own = &got[2 * 188..];
    assert!(own[..clip.len() - 3 * 188] == clip[2 * 188..clip.len() - 188], "the bytes differ");
    drop(stays);
    daemon.app.streams.stop_channel(channel);
    wait_until("every task to end", || daemon.app.seats.is_empty() && tasks() <= before).await;
}

/// A viewer whose machine vanishes without a word: its seat is free within the time that the kernel is given for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_peer_is_gone_within_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let library = library(dir.path());
    let sources = vec![ChannelSource { url: "testcard:".into(), headers: vec![] }];
    let draft = ChannelDraft { name: "card".into(), sources, ..ChannelDraft::default() };
    let id = library.create_channel("test", draft).await.unwrap().id;
    let user = UserDraft { name: "alice".into(), ..UserDraft::default() };
    let password = library.create_user("test", user).await.unwrap().password;
    library.close().await;
    // In a network of its own both ends share one interface, which then goes down: what is sent vanishes.
    let socket = dir.path().join("s");
    let script = format!(
        "ip link set lo up || exit 7
        {} --listen 127.0.0.1:8080 --no-demo --state-dir {} --socket {} >/dev/null 2>&1 &
        until exec 3<>/dev/tcp/127.0.0.1/8080; do sleep 0.1; done 2>/dev/null
        printf 'GET /live/alice/{password}/{id}.ts HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n' >&3
        head -c 100000 <&3 >/dev/null
        echo watching; read go; ip link set lo down; echo down; read go; kill %1",
        env!("CARGO_BIN_EXE_yagid"),
        state_dir(dir.path()).display(),
        socket.display()
    );
    let mut shell = Command::new("unshare")
        .args(["-n", "bash", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut tell, mut told) = (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()).lines());
    let mut next = async || timeout(Duration::from_secs(60), told.next_line()).await.expect("a word in time").unwrap();
    if next().await.is_none() {
        // Past the test runner's capture.
        let _ = writeln!(
            std::io::stderr(),
            "\n*** SKIPPED: no network namespace here: a vanished peer was not tested ***\n"
        );
        return;
    }
    let clients = async || {
        let mut admin = tokio::net::UnixStream::connect(&socket).await.unwrap();
        admin.write_all(b"GET /api/clients HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        admin.read_to_string(&mut text).await.unwrap();
        text.matches("\"user\"").count()
    };
    assert_eq!(clients().await, 1);
    tell.write_all(b"\n").await.unwrap();
    assert_eq!(next().await.as_deref(), Some("down"));
    let begun = Instant::now();
    while clients().await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(40), "its seat is still held");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("gone after {:?}", begun.elapsed());
    tell.write_all(b"\n").await.unwrap();
    timeout(Duration::from_secs(10), shell.wait()).await.expect("ends in time").unwrap();
}
