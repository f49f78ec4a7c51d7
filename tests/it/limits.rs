//! Guessing of passwords, and addresses that are claimed: what is believed, from whom.

use serde_json::json;
use yagi_api::{ChannelDraft, ChannelSource};

use crate::support::{
    daemon::{Account, Daemon},
    player::Player,
    raw::{Answer, ask, get},
};

const HOME: &str = "127.0.0.1";
const FRIEND: &str = "127.0.0.2";
const THIEF: &str = "127.0.0.66";

async fn guess(daemon: &Daemon, name: &str, n: u32) -> Answer {
    // Each try claims to come from elsewhere, in every way there is.
    let forged = format!(
        "X-Forwarded-For: 203.0.113.{n}, 198.51.100.{n}\r\nX-Real-IP: 203.0.113.{n}\r\n\
         Forwarded: for=203.0.113.{n}\r\nCF-Connecting-IP: 203.0.113.{n}\r\nTrue-Client-IP: 203.0.113.{n}\r\n"
    );
    let path = format!("/get.php?username={name}&password=guess{n}");
    ask(daemon.address, THIEF, "GET", &path, &forged).await
}

async fn logs_in(daemon: &Daemon, from: &str, account: &Account) -> bool {
    let answer = ask(daemon.address, from, "GET", &format!("/player_api.php?{}", account.query()), "").await;
    answer.status == 200 && answer.json()["user_info"]["auth"] == json!(1)
}

/// After twenty tries an address is refused, whatever it claims and even with the right password, while the owner of the
/// name is always served from elsewhere and no stream notices.
#[tokio::test(flavor = "multi_thread")]
async fn guessing_stops_at_the_twentieth_try_and_hurts_nobody_else() {
    let daemon = Daemon::start().await;
    let channel = daemon.channel("Card", &["testcard:"]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let mut streams = Vec::new();
    for from in [FRIEND, THIEF] {
        let request = format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", viewer.live(channel));
        let mut player = Player::ask_from(daemon.address, Some(from), None, &request).await;
        assert_eq!(player.status, 200);
        player.watch(1000).await;
        streams.push(player);
    }
    for n in 0..60 {
        let answer = guess(&daemon, if n % 2 == 0 { "alice" } else { "nobody" }, n).await;
        assert_eq!(answer.status, if n < 20 { 401 } else { 429 }, "try {n}");
        assert_eq!(answer.header("retry-after").is_some(), n >= 20);
        assert!(logs_in(&daemon, FRIEND, &viewer).await, "try {n}: the honest viewer is served");
        assert!(logs_in(&daemon, HOME, &viewer).await, "try {n}");
    }
    // Every other path is refused alike: the right password tells the thief nothing any more.
    for path in [
        format!("/player_api.php?{}", viewer.query()),
        format!("/panel_api.php?{}", viewer.query()),
        format!("/xmltv.php?{}", viewer.query()),
        viewer.live(channel),
        format!("/ace/status?{}", viewer.query()),
    ] {
        for method in ["GET", "HEAD", "POST"] {
            assert_eq!(ask(daemon.address, THIEF, method, &path, "").await.status, 429, "{method} {path}");
        }
    }
    for player in &mut streams {
        player.watch(20_000).await;
    }
    assert_eq!(daemon.app.seats.len(), 2);
}

/// A name that is guessed at from many addresses stays open for its owner, and guessing it stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_many_addresses_guess_stays_open_for_its_owner() {
    let daemon = Daemon::start().await;
    let viewer = daemon.viewer("alice", 0).await;
    for n in 0..40 {
        let path = "/get.php?username=alice&password=x";
        let answer = ask(daemon.address, &format!("127.1.0.{}", n + 1), "GET", path, "").await;
        assert_eq!(answer.status, if n < 20 { 401 } else { 429 }, "try {n}");
        assert!(logs_in(&daemon, FRIEND, &viewer).await);
    }
}

const CLAIM: &str = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Host: tv.example\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Port: 8443\r\nX-Forwarded-Prefix: /iptv\r\n";

/// A daemon whose `/ace` is open to 203.0.113.0/24, with a stream's address and a playlist's first URL as it sees them.
async fn as_seen(trusted: &[&str], from: &str, claim: &str) -> (String, String, u16) {
    let daemon = Daemon::with(|c| {
        c.server.trusted_proxies = trusted.iter().map(|t| (*t).to_owned()).collect();
        c.ace.open_networks = vec!["203.0.113.0/24".to_owned()];
    })
    .await;
    let draft = ChannelDraft {
        name: "Card".into(),
        sources: vec![ChannelSource { url: "testcard:".into(), headers: vec![] }],
        ..ChannelDraft::default()
    };
    let channel = daemon.app.library.create_channel("test", draft).await.unwrap().id;
    let viewer = daemon.viewer("alice", 0).await;
    let request = format!("GET {} HTTP/1.1\r\nHost: h\r\n{claim}\r\n", viewer.live(channel));
    let mut player = Player::ask_from(daemon.address, Some(from), None, &request).await;
    player.watch(1000).await;
    let ip = daemon.app.seats.rows()[0].ip.clone();
    let list = ask(daemon.address, from, "GET", &format!("/get.php?{}", viewer.query()), claim).await.text();
    let url = list.lines().find(|l| l.starts_with("http")).unwrap();
    let base = url.split_once("/live/").unwrap().0.replace(&daemon.address.to_string(), "OWN");
    let status = ask(daemon.address, from, "GET", "/ace/status", claim).await.status;
    (ip, base, status)
}

/// Claims count only when a trusted proxy makes them; of a chain the right-most foreign hop.
#[tokio::test(flavor = "multi_thread")]
async fn forged_addresses_are_ignored_unless_a_trusted_proxy_tells_them() {
    let seen = |ip: &str, base: &str, status: u16| (ip.to_owned(), base.to_owned(), status);
    assert_eq!(as_seen(&[], HOME, CLAIM).await, seen(HOME, "http://OWN", 401));
    assert_eq!(as_seen(&["127.0.0.9/32"], HOME, CLAIM).await, seen(HOME, "http://OWN", 401));
    let believed = seen("203.0.113.7", "https://tv.example:8443/iptv", 200);
    assert_eq!(as_seen(&["127.0.0.1"], HOME, CLAIM).await, believed);
    let chain = "X-Forwarded-For: 203.0.113.1, 198.51.100.9, 127.0.0.5\r\n";
    assert_eq!(as_seen(&["127.0.0.0/8"], HOME, chain).await, seen("198.51.100.9", "http://OWN", 401));
    let lines = "X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: 198.51.100.9\r\n";
    assert_eq!(as_seen(&["127.0.0.1"], HOME, lines).await.0, "198.51.100.9");
    // Some proxies write the port too; what cannot be read hides nothing behind it.
    for hop in ["198.51.100.9:4711", "\"198.51.100.9\""] {
        let ported = format!("X-Forwarded-For: 203.0.113.1, {hop}\r\n");
        assert_eq!(as_seen(&["127.0.0.1"], HOME, &ported).await.0, "198.51.100.9", "{hop}");
    }
    for hop in ["unknown", "_hidden", "", "999.1.1.1"] {
        let odd = format!("X-Forwarded-For: 203.0.113.1, {hop}\r\n");
        assert_eq!(as_seen(&["127.0.0.1"], HOME, &odd).await, seen(HOME, "http://OWN", 401), "{hop}");
    }
    let rfc = "Forwarded: for=203.0.113.1, for=\"198.51.100.9:99\";proto=https;host=tv.example\r\n";
    assert_eq!(as_seen(&["127.0.0.1"], HOME, rfc).await, seen("198.51.100.9", "https://tv.example", 401));
    let poison = "X-Forwarded-Host: tv.example\"><x\r\nX-Forwarded-Prefix: /a\"b\r\nX-Forwarded-Proto: javascript\r\n";
    assert_eq!(as_seen(&["127.0.0.1"], HOME, poison).await.1, "http://OWN");
}

/// Behind a trusted proxy each client has its own tries.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_the_clients_are_told_apart() {
    let daemon = Daemon::with(|c| c.server.trusted_proxies = vec!["127.0.0.0/8".to_owned()]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let through = async |client: &str, path: &str| {
        ask(daemon.address, HOME, "GET", path, &format!("X-Forwarded-For: {client}\r\n")).await.status
    };
    let right = format!("/get.php?{}", viewer.query());
    for n in 0..25 {
        let path = format!("/get.php?username=u{n}&password=x");
        // What the thief writes before the proxy's own entry does not help.
        let status = through(&format!("9.9.9.{n}, 203.0.113.66"), &path).await;
        assert_eq!(status, if n < 20 { 401 } else { 429 });
    }
    assert_eq!(through("203.0.113.66", &right).await, 429);
    assert_eq!(through("203.0.113.7", &right).await, 200);
    assert_eq!(get(daemon.address, &right).await.status, 200);
}
