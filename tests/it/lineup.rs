//! The line-up through the whole daemon: a broken download is held, logos are served, checks see through a stream.

use std::fmt::Write as _;

use yagi_api::{ChannelPatch, JobState, RuleDraft, SourceDraft};

use crate::support::{
    daemon::Daemon,
    engine::Engine,
    origin::{Origin, Serve},
    place::Admin,
    player::Player,
    wait_until,
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n0000";

fn list(names: &[&str]) -> Vec<u8> {
    let mut out = "#EXTM3U\n".to_owned();
    for name in names {
        let _ = writeln!(out, "#EXTINF:-1 group-title=\"G\",{name}\nhttp://up.example/{name}.ts");
    }
    out.into_bytes()
}

async fn get(daemon: &Daemon, path: &str) -> (u16, Vec<u8>) {
    let mut player = Player::get(daemon.address, path).await;
    (player.status, player.body().await)
}

#[tokio::test]
async fn a_search_of_the_engine_is_a_playlist() {
    let engine = Engine::start().await;
    let all: Vec<_> = (0..450).map(|n| (format!("Sky {n}"), format!("{n:040x}"))).collect();
    engine.finds(all.clone(), 200);
    let daemon = Daemon::with(|c| c.engine.url = engine.url()).await;
    let library = &daemon.app.library;
    let draft =
        SourceDraft { url: "search:sky sport category:sport".into(), interval_s: Some(0), ..Default::default() };
    let source = library.create_source("test", draft).await.unwrap().id;
    let report = daemon.app.refresher.queue_and_wait(source).await;
    assert!(report.ok && report.added == 450, "{report:?}");
    assert_eq!(engine.searches().len(), 3);
    assert_eq!(engine.searches()[1], "/search?query=sky+sport&category=sport&page=1&page_size=200");
    let catalog = library.catalog();
    let channel = catalog.channels().iter().find(|c| c.name == "Sky 7").unwrap();
    assert_eq!(channel.sources[0].url, format!("acestream:?infohash={:040x}", 7));
    assert_eq!(catalog.category_name(channel), "sport");
    // The same in another order is no change; nothing found is no line-up.
    engine.finds(all.into_iter().rev().collect(), 100);
    assert!(daemon.app.refresher.queue_and_wait(source).await.unchanged);
    engine.finds(Vec::new(), 100);
    let report = daemon.app.refresher.queue_and_wait(source).await;
    assert!(report.error.is_some_and(|e| e.contains("found nothing")));
    assert_eq!(library.catalog().channels().len(), catalog.channels().len());
    daemon.stop().await;
}

#[tokio::test]
async fn a_broken_list_is_held_accepted_and_rolled_back_while_players_see_bytes() {
    let (origin, daemon) = (Origin::start().await, Daemon::start().await);
    let alice = daemon.viewer("alice", 0).await;
    let library = &daemon.app.library;
    let draft = SourceDraft { url: origin.url("/list"), interval_s: Some(0), ..SourceDraft::default() };
    let source = library.create_source("test", draft).await.unwrap().id;
    let refresh = || daemon.app.refresher.queue_and_wait(source);
    let serve = |names: &[&str]| origin.set("/list", Serve::Answer("200 OK", "text/plain", list(names)));
    let playlist = async || get(&daemon, &format!("/get.php?{}", alice.query())).await.1;

    serve(&["a", "b", "c", "d"]);
    assert!(refresh().await.ok);
    let before = playlist().await;
    serve(&["x"]);
    let held = refresh().await;
    assert!(held.held && !held.ok, "{held:?}");
    assert_eq!(playlist().await, before);

    let loaded = daemon.app.config.load();
    let caps = &loaded.config.import;
    let plan = yagid::playlist::lineup::plan(library, &daemon.app.fetcher, source, caps, false).await.unwrap();
    assert_eq!((plan.held, plan.added, plan.removed), (true, 1, 4));
    yagid::playlist::lineup::accept(library, source, caps).await.unwrap();
    assert_ne!(playlist().await, before);
    let own = library.clone();
    tokio::task::spawn_blocking(move || own.rollback("test", source, None).unwrap()).await.unwrap();
    assert_eq!(playlist().await, before);

    let rule: RuleDraft =
        serde_json::from_str(r#"{"when":[{"field":"name","matches":"^a$"}],"then":{"do":"exclude"}}"#).unwrap();
    library.create_rule("test", rule).await.unwrap();
    serve(&["a", "b", "c", "d", "e"]);
    let report = refresh().await;
    assert!(report.ok && report.excluded == 1, "{report:?}");
    assert!(!String::from_utf8(playlist().await).unwrap().contains(",a\n"));
    daemon.stop().await;
}

#[tokio::test]
async fn logos_are_served_when_they_are_pictures_and_only_those_of_the_line_up() {
    let (origin, daemon) = (Origin::start().await, Daemon::start().await);
    let alice = daemon.viewer("alice", 0).await;
    let (good, bad) = (daemon.channel("Good", &["testcard:"]).await, daemon.channel("Bad", &["testcard:"]).await);
    origin.set("/good.png", Serve::Answer("200 OK", "text/html", PNG.to_vec()));
    origin.set("/bad.png", Serve::Answer("200 OK", "image/png", b"<svg onload='x()'/>".to_vec()));
    for (id, path) in [(good, "/good.png"), (bad, "/bad.png")] {
        let patch = ChannelPatch { logo: Some(origin.url(path)), ..ChannelPatch::default() };
        daemon.app.library.update_channel("test", id, patch).await.unwrap();
    }
    daemon.set(&[("logos", "serve".into())]).await;
    let text = String::from_utf8(get(&daemon, &format!("/get.php?{}", alice.query())).await.1).unwrap();
    let link = |id: yagi_api::ChannelId| {
        let at = text.find(&format!("/logo/{id}/")).unwrap();
        text[at..].split('"').next().unwrap().to_owned()
    };
    let mut player = Player::get(daemon.address, &link(good)).await;
    assert_eq!(player.status, 200, "{}", player.head);
    assert!(player.head.to_lowercase().contains("content-type: image/png"), "{}", player.head);
    assert_eq!(player.body().await, PNG);
    assert_eq!(get(&daemon, &link(bad)).await.0, 404);
    assert_eq!(get(&daemon, &format!("/logo/{good}/0123456789ab")).await.0, 404);
    // From the cache: the origin is asked no more.
    let asked = origin.heads().len();
    assert_eq!(get(&daemon, &link(good)).await.0, 200);
    assert_eq!(origin.heads().len(), asked);
    daemon.stop().await;
}

#[tokio::test]
async fn a_check_sees_the_test_card_and_dead_addresses_and_is_a_job() {
    let (origin, daemon) = (Origin::start().await, Daemon::start().await);
    origin.set("/gone.ts", Serve::Answer("404 Not Found", "text/plain", b"no".to_vec()));
    // The same path on another host: another address.
    let elsewhere = origin.url("/gone.ts").replace("127.0.0.1", "localhost");
    let card = daemon.channel("Card", &["testcard:"]).await;
    let dead = daemon.channel("Dead", &[&origin.url("/gone.ts"), &elsewhere]).await;
    let checker = daemon.app.checker.clone();
    let (queued, job) = checker.queue([card, dead], true, "test");
    assert_eq!((queued, checker.queue([dead], true, "test").0), (3, 0));
    let job = || daemon.app.refresher.jobs().one(job.unwrap()).unwrap();
    assert_eq!((job().total, job().source, job().unit.as_str()), (Some(3), None, "addresses"));
    wait_until("all are checked", || job().state == JobState::Done).await;
    assert_eq!((job().done, job().told.as_str()), (3, "1 play, 2 do not"));
    let rows = checker.status(0, 10).rows;
    let of = |id, at| &rows.iter().find(|r| (r.id, r.address) == (id, at)).unwrap().check;
    assert!(of(card, 0).alive && of(card, 0).video == "h264" && of(card, 0).height > 100, "{:?}", of(card, 0));
    assert!(!of(dead, 0).alive && of(dead, 0).error.contains("404"), "{:?}", of(dead, 0));
    assert!(!of(dead, 1).alive, "{:?}", of(dead, 1));

    // The list tells it, of the page's rows.
    let mut admin = Admin::at(&daemon.socket()).await;
    let page = admin.get("/api/channels?facts=true&sort=name&limit=2").await;
    let (shown, gone) = (&page["rows"][0], &page["rows"][1]);
    assert_eq!((&shown["name"], &shown["facts"]["how"]), (&"Card".into(), &"testcard".into()), "{page}");
    assert!(shown["facts"]["last_ok_at"].is_i64() && shown["facts"]["now"]["title"].is_string(), "{page}");
    assert_eq!((&gone["name"], &gone["facts"]["check"]["alive"]), (&"Dead".into(), &false.into()), "{page}");
    assert!(admin.get("/api/channels").await["rows"][0]["facts"].is_null(), "only who asks for it");

    // What is stopped ends, and what waited is forgotten.
    let mut many = Vec::new();
    for n in 0..4 {
        many.push(daemon.channel(&format!("Many {n}"), &[&origin.url(&format!("/{n}.ts"))]).await);
    }
    let (queued, job) = checker.queue(many, false, "test");
    assert_eq!(queued, 4);
    let job = || daemon.app.refresher.jobs().one(job.unwrap()).unwrap();
    assert!(checker.cancel("root(0)") >= 2);
    wait_until("the job is over", || job().state == JobState::Cancelled).await;
    assert_eq!(checker.status(0, 10).waiting, 0);
    daemon.stop().await;
}
