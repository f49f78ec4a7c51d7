//! Clients that come and go in every way: nothing of them may stay.

use std::time::Duration;

use serde_json::json;
use tokio::{io::AsyncWriteExt as _, task::JoinSet, time::timeout};
use yagi_api::{ChannelDraft, ChannelId, ChannelSource, UserDraft};

use crate::support::{
    daemon::Account,
    origin::{Frame, Origin, Serve},
    player::Player,
    process::{Process, library},
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

/// 300 cycles of connecting, aborting, probing, zapping and watching end with no seat, no stream and no descriptor more.
#[tokio::test(flavor = "multi_thread")]
async fn coming_and_going_leaves_nothing_behind() {
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
    let before = process.descriptors();
    let mut workers = JoinSet::new();
    for worker in 0..6 {
        let (address, accounts, channels) = (process.address, accounts.clone(), channels.clone());
        workers.spawn(async move {
            let mut dice = Dice(worker * 7919 + 1);
            for _ in 0..50 {
                once(address, &accounts, &channels, &mut dice).await;
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
    until_idle(&process, &accounts, before + 2).await;
    wait_until("the upstream to see its connection closed", || origin.open("/a").0 == 0).await;
    assert!(origin.open("/a").1 <= 1, "never two connections to one upstream");
    process.stop().await;
}
