//! Who is let in where: every public path, every method, every kind of account; and how many connections each may have.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{task::JoinSet, time::timeout};
use yagi_api::{ChannelDraft, ChannelId, ChannelSource, UserDraft};

use crate::support::{
    daemon::{Account, Daemon},
    origin::{Frame, Origin, Serve},
    player::Player,
    raw::{Answer, ask, form, get},
    wait_until,
};

const CONTENT: &str = "00000000000000000000000000000000000000aa";
const HOME: &str = "127.0.0.1";
/// Actions of `player_api.php`, known and unknown.
const ACTIONS: &[&str] = &[
    "",
    "&action=",
    "&action=get_live_streams",
    "&action=get_live_categories",
    "&action=get_vod_streams",
    "&action=get_series",
    "&action=get_short_epg&stream_id=1",
    "&action=get_simple_data_table&stream_id=1",
    "&action=get_account_info",
    "&action=no_such_action",
    "&action=202",
];

/// A daemon with a channel in each of two categories; nothing limits tries.
async fn two_categories() -> (Daemon, ChannelId, ChannelId) {
    let daemon = Daemon::with(|c| c.server.login_tries = 1_000_000).await;
    let mut ids = Vec::new();
    for (name, category, url) in
        [("First", "Seen", "testcard:".to_owned()), ("Second", "Hidden", format!("acestream://{CONTENT}"))]
    {
        let draft = ChannelDraft {
            name: name.into(),
            category: Some(category.into()),
            sources: vec![ChannelSource { url, headers: vec![] }],
            ..ChannelDraft::default()
        };
        ids.push(daemon.app.library.create_channel("test", draft).await.unwrap().id);
    }
    (daemon, ids[0], ids[1])
}

/// GET, HEAD and POST of one path; POST also with the query as a form. The first is GET's.
async fn every_method(daemon: &Daemon, path: &str) -> Vec<Answer> {
    let mut found = Vec::new();
    for method in ["GET", "HEAD", "POST"] {
        found.push(ask(daemon.address, HOME, method, path, "").await);
    }
    if let Some((path, query)) = path.split_once('?') {
        found.push(form(daemon.address, path, query, "").await);
    }
    found
}

/// All paths that want a login, apart from the two that answer a refusal in JSON.
fn plain_paths(account: &Account, id: ChannelId) -> Vec<String> {
    let (query, Account { name, password }) = (account.query(), account);
    vec![
        format!("/get.php?{query}&type=m3u_plus&output=ts"),
        format!("/get.php?{query}&type=m3u"),
        format!("/xmltv.php?{query}"),
        format!("/live/{name}/{password}/{id}.ts"),
        format!("/live/{name}/{password}/{id}"),
        format!("/live/{name}/{password}/99999.ts"),
        format!("/live/{name}/{password}/x.m3u8"),
        format!("/{name}/{password}/{id}"),
        format!("//{name}/{password}/{id}.ts"),
        format!("/ace/getstream?id={CONTENT}&{query}"),
        format!("/ace/getstream?infohash={CONTENT}&{query}"),
        format!("/ace/getstream/?id={CONTENT}&{query}"),
        format!("/ace/getstream?{query}"),
        format!("/ace/status?{query}"),
    ]
}

fn is_bare(answer: &Answer) -> bool {
    let text = answer.text();
    !["First", "Second", "Seen", "Hidden", "#EXTM3U", "<tv"].iter().any(|word| text.contains(word))
}

/// Wrong names, wrong passwords and none at all: the same answers, and not a word about the line-up.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_everywhere() {
    let (daemon, id, _) = two_categories().await;
    let right = daemon.viewer("alice", 1).await;
    let wrong = |name: &str, password: &str| Account { name: name.into(), password: password.into() };
    let mut first: Option<Vec<(u16, String)>> = None;
    for account in [
        wrong("alice", "wrong"),
        wrong("nobody", &right.password),
        wrong("ALICE", &right.password),
        wrong("alice", &right.password.to_uppercase()),
        wrong("alice%00", &right.password),
        wrong("alice'--", "'%20OR%201=1--"),
        wrong("*", "*"),
    ] {
        let mut told = Vec::new();
        for path in plain_paths(&account, id) {
            for answer in every_method(&daemon, &path).await {
                assert!(answer.status == 401 && is_bare(&answer), "{path}: {} {}", answer.status, answer.text());
                told.push((answer.status, answer.text()));
            }
        }
        for api in ["player_api", "panel_api"] {
            for action in ACTIONS {
                let path = format!("/{api}.php?{}{action}", account.query());
                for answer in every_method(&daemon, &path).await {
                    assert_eq!(answer.status, 200, "{path}");
                    assert!(matches!(answer.text().as_str(), "" | r#"{"user_info":{"auth":0}}"#), "{}", answer.text());
                    told.push((answer.status, answer.text()));
                }
            }
        }
        // Known and unknown names are told the same.
        assert_eq!(first.get_or_insert_with(|| told.clone()), &told, "{}", account.name);
    }
    for path in ["/get.php", "/xmltv.php", "/ace/status", "/ace/getstream", "/live/a//1.ts", "/get.php?username=alice"]
    {
        let answer = get(daemon.address, path).await;
        assert!(matches!(answer.status, 401 | 404) && is_bare(&answer), "{path}: {}", answer.status);
    }
    assert!(daemon.app.seats.is_empty() && daemon.app.streams.rows().is_empty());
}

/// Accounts that are known but may not watch: the login object with their standing for every action, 403 elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn expired_and_disabled_viewers_are_told_so_and_get_nothing() {
    let (daemon, id, _) = two_categories().await;
    let draft = |name: &str| UserDraft { name: name.into(), ..UserDraft::default() };
    let expired = daemon.viewer_from(UserDraft { expires_at: Some(1_000_000_000), ..draft("old") }).await;
    let disabled = daemon.viewer_from(UserDraft { enabled: Some(false), ..draft("off") }).await;
    for (account, word) in [(expired, "Expired"), (disabled, "Disabled")] {
        for path in plain_paths(&account, id) {
            for answer in every_method(&daemon, &path).await {
                assert!(answer.status == 403 && is_bare(&answer), "{path}: {} {}", answer.status, answer.text());
            }
        }
        for api in ["player_api", "panel_api"] {
            for action in ACTIONS {
                let path = format!("/{api}.php?{}{action}", account.query());
                for (n, answer) in every_method(&daemon, &path).await.into_iter().enumerate() {
                    assert!(answer.status == 200 && is_bare(&answer), "{path}");
                    if n != 1 {
                        let user = &answer.json()["user_info"];
                        assert_eq!((&user["auth"], &user["status"]), (&json!(1), &json!(word)), "{path}");
                    }
                }
            }
        }
    }
    assert!(daemon.app.seats.is_empty() && daemon.app.streams.rows().is_empty());
}

/// A viewer of one category sees it and nothing of the other, on any path.
#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_viewer_sees_its_categories_only() {
    let (daemon, seen, hidden) = two_categories().await;
    let draft = UserDraft {
        name: "kid".into(),
        categories: Some(vec!["Seen".into()]),
        max_connections: Some(0),
        ..UserDraft::default()
    };
    let kid = daemon.viewer_from(draft).await;
    let q = kid.query();
    for path in [
        format!("/player_api.php?{q}&action=get_live_streams"),
        format!("/player_api.php?{q}&action=get_live_categories"),
        format!("/panel_api.php?{q}"),
        format!("/get.php?{q}&type=m3u_plus"),
        format!("/get.php?{q}&type=m3u"),
        format!("/xmltv.php?{q}"),
    ] {
        for (n, answer) in every_method(&daemon, &path).await.into_iter().enumerate() {
            let text = answer.text();
            assert_eq!(answer.status, 200, "{path}");
            assert!(n == 1 || text.contains("First") || text.contains("Seen"), "{path}: {text}");
            assert!(!text.contains("Second") && !text.contains("Hidden") && !text.contains(CONTENT), "{path}: {text}");
        }
    }
    for path in [
        kid.live(hidden),
        format!("/{}/{}/{hidden}", kid.name, kid.password),
        format!("/ace/getstream?id={CONTENT}&{q}"),
        format!("/ace/getstream?infohash={CONTENT}&{q}"),
    ] {
        for answer in every_method(&daemon, &path).await {
            assert!(answer.status == 403 && is_bare(&answer), "{path}: {} {}", answer.status, answer.text());
        }
    }
    let category = daemon.app.library.catalog().channel(hidden).unwrap().category;
    let hidden_list = format!("/player_api.php?{q}&action=get_live_streams&category_id={category}");
    assert_eq!(get(daemon.address, &hidden_list).await.text(), "[]");
    let epg = get(daemon.address, &format!("/player_api.php?{q}&action=get_short_epg&stream_id={hidden}")).await;
    assert_eq!(epg.json(), json!({"epg_listings": []}));
    // A stream that others watch is not told of either.
    let mut own = Player::get(daemon.address, &kid.live(seen)).await;
    own.watch(1000).await;
    let status = get(daemon.address, &format!("/ace/status?{q}")).await.json();
    assert_eq!(status["total_streams"], 1);
}

/// Whom the limit concerns: two channels that play, and a viewer with one connection.
async fn one_connection() -> (Origin, Daemon, Account, Vec<ChannelId>) {
    let origin = Origin::start().await;
    let daemon = Daemon::start().await;
    daemon.set(&[("linger_s", json!(1))]).await;
    let mut channels = Vec::new();
    for path in ["/a", "/b", "/c"] {
        origin.set(path, Serve::Ts(Frame::Close));
        channels.push(daemon.channel(path, &[&origin.url(path)]).await);
    }
    let viewer = daemon.viewer("alice", 1).await;
    (origin, daemon, viewer, channels)
}

async fn active(daemon: &Daemon, viewer: &Account) -> String {
    let login = get(daemon.address, &format!("/player_api.php?{}", viewer.query())).await.json();
    login["user_info"]["active_cons"].as_str().unwrap().to_owned()
}

async fn from(daemon: &Daemon, address: &str, agent: &str, path: &str) -> Player {
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\n\r\n");
    Player::ask_from(daemon.address, Some(address), None, &request).await
}

/// Thirty zaps with one connection: each is served, each old one is closed within a second, and there is never a second.
#[tokio::test(flavor = "multi_thread")]
async fn zapping_always_serves_the_newest_and_closes_the_old() {
    let (_origin, daemon, viewer, channels) = one_connection().await;
    let user = daemon.app.library.catalog().viewer("alice").unwrap().user.id;
    let mut old: Option<Player> = None;
    for n in 0..30 {
        let mut new = from(&daemon, HOME, "Kodi", &viewer.live(channels[n % 3])).await;
        assert_eq!(new.status, 200, "zap {n}: {}", new.head);
        let began = Instant::now();
        if let Some(mut old) = old.take() {
            timeout(Duration::from_secs(1), old.ended())
                .await
                .unwrap_or_else(|_| panic!("zap {n}: the old one goes on"));
        }
        new.watch(2000).await;
        assert_eq!(daemon.app.seats.active(user), 1, "zap {n}");
        wait_until("one seat alone", || daemon.app.seats.len() == 1).await;
        assert!(began.elapsed() < Duration::from_secs(10));
        old = Some(new);
    }
    assert_eq!(active(&daemon, &viewer).await, "1");
    drop(old);
    timeout(Duration::from_secs(1), async { while active(&daemon, &viewer).await != "0" {} })
        .await
        .expect("active_cons is right within a second after FIN");
}

/// A herd of one device ends with one stream, whoever came last.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_requests_at_once_leave_one_stream() {
    let (_origin, daemon, viewer, channels) = one_connection().await;
    let mut herd = JoinSet::new();
    for n in 0..20 {
        let (address, path) = (daemon.address, viewer.live(channels[n % 3]));
        herd.spawn(async move { Player::get(address, &path).await });
    }
    let players = herd.join_all().await;
    wait_until("one seat", || daemon.app.seats.len() == 1).await;
    assert!(players.iter().all(|p| matches!(p.status, 200 | 503)));
    drop(players);
    wait_until("no seat", || daemon.app.seats.is_empty()).await;
}

/// The second device takes over once; then the first is refused for a while and told why, and the second may zap.
#[tokio::test(flavor = "multi_thread")]
async fn two_devices_do_not_evict_each_other_for_ever() {
    let (_origin, daemon, viewer, channels) = one_connection().await;
    let mut tv = from(&daemon, HOME, "Kodi", &viewer.live(channels[0])).await;
    tv.watch(2000).await;
    let mut phone = from(&daemon, "127.0.0.2", "VLC", &viewer.live(channels[0])).await;
    assert_eq!(phone.status, 200);
    tv.ended().await;
    phone.watch(2000).await;
    for _ in 0..10 {
        let mut refused = from(&daemon, HOME, "Kodi", &viewer.live(channels[1])).await;
        assert!(refused.head.starts_with("http/1.1 403 connection limit reached\r\n"), "{}", refused.head);
        assert_eq!(refused.header("x-yagi-reason"), Some("connection-limit"));
        let text = refused.text().await;
        assert!(text.contains("1 of 1 connections") && text.contains("another device"), "{text}");
    }
    for n in 0..5 {
        let mut next = from(&daemon, "127.0.0.2", "VLC", &viewer.live(channels[n % 3])).await;
        assert_eq!(next.status, 200);
        next.watch(2000).await;
        phone.ended().await;
        phone = next;
    }
    assert_eq!(active(&daemon, &viewer).await, "1");
}

/// The policy that refuses: the old one stays, the new one learns why; HEAD takes no seat and is no stream.
#[tokio::test(flavor = "multi_thread")]
async fn the_refusing_policy_says_why_and_keeps_the_old() {
    let (_origin, daemon, viewer, channels) = one_connection().await;
    daemon.set(&[("limit_policy", json!("refuse"))]).await;
    let mut first = from(&daemon, HOME, "Kodi", &viewer.live(channels[0])).await;
    first.watch(2000).await;
    for path in [viewer.live(channels[0]), viewer.live(channels[1])] {
        let mut second = from(&daemon, HOME, "Kodi", &path).await;
        assert!(second.head.starts_with("http/1.1 403 connection limit reached\r\n"), "{}", second.head);
        assert_eq!(second.header("x-yagi-reason"), Some("connection-limit"));
        assert!(second.text().await.contains("1 of 1 connections"));
        assert_eq!(ask(daemon.address, HOME, "HEAD", &path, "").await.status, 200);
    }
    first.watch(2000).await;
    assert_eq!(active(&daemon, &viewer).await, "1");
    drop(first);
    wait_until("the seat", || daemon.app.seats.is_empty()).await;
    let mut again = from(&daemon, HOME, "Kodi", &viewer.live(channels[1])).await;
    assert_eq!(again.status, 200);
    again.watch(2000).await;
}
