//! Upstreams against a fake engine and a hostile origin, over real sockets.

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use yagi_api::Locator;
use yagid::{
    config::Config,
    upstream::{Caps, Claim, Conditions, Feed, FetchError, Fetched, Fetcher, Piece, UpstreamError, Upstreams},
};

use crate::support::{
    engine::{Engine, Play, Stop, infohash},
    origin::{Frame, Origin, Serve, gzip},
    ts::Checker,
    wait_until,
};

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

fn config() -> Config {
    let mut config = Config::default();
    config.upstream.first_byte_timeout_s = 2;
    config.engine.open_timeout_s = 5;
    config
}

fn with_engine(engine: &Engine) -> Upstreams {
    let mut config = config();
    config.engine.url = engine.url();
    Upstreams::new(&config)
}

fn content(id: &str) -> Locator {
    Locator::AceContent(id.to_owned())
}

async fn open(upstreams: &Upstreams, source: &Locator) -> Result<Feed, UpstreamError> {
    upstreams.prepare(source, &[], &Claim::default()).await?.start().await
}

async fn http(url: &str) -> Result<Feed, UpstreamError> {
    open(&Upstreams::new(&config()), &Locator::Http(url.to_owned())).await
}

async fn watch(feed: &mut Feed, packets: u64) -> (Checker, Option<UpstreamError>) {
    let mut checker = Checker::new();
    while checker.packets < packets {
        match feed.next().await {
            Ok(Piece::Bytes(bytes)) => checker.feed(&bytes),
            Ok(Piece::Seam) => {}
            Err(error) => return (checker, Some(error)),
        }
    }
    (checker, None)
}

fn error(result: Result<Feed, UpstreamError>) -> UpstreamError {
    result.err().expect("an error")
}

#[tokio::test]
async fn every_framing_of_a_stream_is_read_whole() {
    let origin = Origin::start().await;
    for frame in [Frame::Close, Frame::Chunked, Frame::Length, Frame::Icy] {
        origin.set("/s", Serve::TsThenEnd(frame, 300));
        let mut feed = http(&origin.url("/s")).await.unwrap();
        let (seen, end) = watch(&mut feed, u64::MAX).await;
        seen.assert_good_start();
        seen.assert_continuous();
        assert!(seen.packets >= 300, "{frame:?}");
        assert_eq!(end, Some(UpstreamError::Ended), "{frame:?}");
    }
}

#[tokio::test]
async fn what_is_no_stream_is_named() {
    let origin = Origin::start().await;
    origin.set("/500", Serve::Answer("500 Oops", "text/plain", b"x".to_vec()));
    origin.set("/html", Serve::Answer("200 OK", "text/html", b"<html>log in</html>".to_vec()));
    origin.set("/list", Serve::Answer("200 OK", "audio/mpegurl", b"#EXTM3U\n#EXTINF:-1,One\nhttp://h/1\n".to_vec()));
    origin.set("/empty", Serve::Answer("200 OK", "video/mp2t", Vec::new()));
    let packed = [&[0x1f, 0x8b, 8, 0][..], &[0x9d; 5000]].concat();
    origin.set("/gzip", Serve::Answer("200 OK\r\nContent-Encoding: gzip", "video/mp2t", packed));
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    origin.set("/no-chunk", Serve::Raw(format!("{chunks}zz\r\nGG").into_bytes()));
    let huge = format!("{chunks}ffffffffffffffffff\r\n{}", "G".repeat(500));
    origin.set("/huge-chunk", Serve::Raw(huge.into_bytes()));
    let lies = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 900\r\n\r\n";
    origin.set("/two-lengths", Serve::Raw(lies.as_bytes().to_vec()));
    origin.set("/zeros", Serve::Answer("200 OK", "video/mp2t", vec![0; 5000]));
    origin.set("/garbage", Serve::Raw(vec![0xfe; 3000]));
    origin.set("/head", Serve::EndlessHead);
    origin.set("/endless", Serve::Endless("text/plain"));
    assert_eq!(error(http(&origin.url("/none")).await), UpstreamError::NotFound);
    assert_eq!(error(http(&origin.url("/500")).await), UpstreamError::Status(500));
    assert_eq!(error(http(&origin.url("/empty")).await), UpstreamError::Ended);
    for (path, word) in [
        ("/html", "web page"),
        ("/list", "list of channels"),
        ("/endless", "text"),
        ("/zeros", ""),
        ("/gzip", "packed (gzip)"),
    ] {
        let error = error(http(&origin.url(path)).await);
        assert!(matches!(&error, UpstreamError::NotMedia(text) if text.contains(word)), "{path}: {error}");
        assert_eq!(error.http_status(), 502);
    }
    for path in ["/garbage", "/head", "/no-chunk", "/huge-chunk", "/two-lengths"] {
        let error = error(http(&origin.url(path)).await);
        assert!(matches!(error, UpstreamError::Unreachable(_)), "{path}: {error}");
    }
}

#[tokio::test]
async fn silence_ends_in_time_and_delays_nobody_else() {
    let origin = Origin::start().await;
    origin.set("/silent", Serve::Silent);
    origin.set("/trickle", Serve::Trickle(Duration::from_millis(100)));
    origin.set("/good", Serve::Ts(Frame::Close));
    let upstreams = Upstreams::new(&config());
    let source = |path: &str| Locator::Http(origin.url(path));
    let (silent, trickle) = (source("/silent"), source("/trickle"));
    let good = async {
        let mut feed = http(&origin.url("/good")).await.unwrap();
        watch(&mut feed, 100).await.0.assert_continuous();
        // The silent ones still wait.
        assert_eq!(origin.open("/silent").0, 1);
    };
    let (silent, trickle, ()) = tokio::join!(open(&upstreams, &silent), open(&upstreams, &trickle), good);
    assert!(matches!(error(silent), UpstreamError::Timeout(_)));
    assert!(matches!(error(trickle), UpstreamError::Timeout(_)));
    wait_until("all sockets closed", || ["/silent", "/good"].iter().all(|p| origin.open(p).0 == 0)).await;
}

#[tokio::test]
async fn a_broken_stream_is_an_error_and_a_dropped_one_a_closed_socket() {
    let origin = Origin::start().await;
    origin.set("/reset", Serve::TsThenReset(100));
    let mut feed = http(&origin.url("/reset")).await.unwrap();
    let (_, end) = watch(&mut feed, u64::MAX).await;
    assert!(matches!(end, Some(UpstreamError::Unreachable(_))), "{end:?}");
    origin.set("/stall", Serve::TsThenStall(100));
    let mut feed = http(&origin.url("/stall")).await.unwrap();
    watch(&mut feed, 50).await;
    assert_eq!(origin.open("/stall"), (1, 1));
    drop(feed);
    wait_until("the socket is closed", || origin.open("/stall").0 == 0).await;
}

#[tokio::test]
async fn reading_can_be_cancelled_at_any_point_without_loss() {
    let origin = Origin::start().await;
    origin.set("/s", Serve::Ts(Frame::Chunked));
    let mut feed = http(&origin.url("/s")).await.unwrap();
    let mut seen = Checker::new();
    while seen.packets < 500 {
        if let Ok(piece) = tokio::time::timeout(Duration::from_micros(500), feed.next()).await {
            match piece.unwrap() {
                Piece::Bytes(bytes) => seen.feed(&bytes),
                Piece::Seam => panic!("a seam in one answer"),
            }
        }
    }
    seen.assert_continuous();
}

#[tokio::test]
async fn redirects_are_few_and_carry_no_credentials_elsewhere() {
    let (origin, other) = (Origin::start().await, Origin::start().await);
    other.set("/s", Serve::TsThenEnd(Frame::Close, 100));
    origin.set("/away", Serve::Redirect(302, other.url("/s")));
    origin.set("/near", Serve::Redirect(307, "/away".to_owned()));
    let headers = [("Cookie", "canary"), ("X-Key", "canary"), ("User-Agent", "Box/1")];
    let headers = headers.map(|(n, v)| (n.to_owned(), v.to_owned()));
    let url = origin.url("/near").replace("http://", "http://canary:canary@");
    let prepared = Upstreams::new(&config()).prepare(&Locator::Http(url), &headers, &Claim::default()).await.unwrap();
    assert!(!prepared.label().contains("canary"));
    prepared.start().await.unwrap();
    for head in origin.heads() {
        assert!(
            head.contains("Cookie: canary") && head.contains("Authorization: Basic ") && head.contains("Box/1"),
            "{head}"
        );
    }
    let heads = other.heads();
    assert!(!heads[0].contains("canary") && !heads[0].contains("Authorization") && heads[0].contains("Box/1"));

    origin.set("/loop", Serve::Redirect(302, "/loop".to_owned()));
    assert!(matches!(error(http(&origin.url("/loop")).await), UpstreamError::Refused(_)));
    assert_eq!(origin.heads().iter().filter(|h| h.starts_with("GET /loop ")).count(), 6);
    for bad in ["file:///etc/passwd", "http://169.254.169.254/latest", "gopher://127.0.0.1/"] {
        origin.set("/bad", Serve::Redirect(301, bad.to_owned()));
        let error = error(http(&origin.url("/bad")).await);
        assert!(matches!(error, UpstreamError::Refused(_)), "{bad}: {error}");
    }
}

#[tokio::test]
async fn the_daemons_own_listeners_are_no_upstream() {
    let origin = Origin::start().await;
    origin.set("/s", Serve::Ts(Frame::Close));
    let upstreams = Upstreams::new(&config());
    upstreams.own_listeners(vec![origin.address]);
    let source = Locator::Http(origin.url("/s"));
    assert!(matches!(error(open(&upstreams, &source).await), UpstreamError::Refused(_)));
    assert!(origin.heads().is_empty());
}

#[tokio::test]
async fn an_engine_session_plays_and_is_stopped_once() {
    let engine = Engine::start().await;
    let upstreams = with_engine(&engine);
    for (source, play) in
        [(content(ID), Play::Normal), (content(ID), Play::Redirect), (Locator::AceInfohash(infohash(ID)), Play::Normal)]
    {
        engine.behave(ID, play, Stop::Confirm);
        let prepared = upstreams.prepare(&source, &[], &Claim::default()).await.unwrap();
        assert_eq!(prepared.infohash(), Some(&*infohash(ID)));
        let mut feed = prepared.start().await.unwrap();
        let (seen, _) = watch(&mut feed, 300).await;
        seen.assert_good_start();
        seen.assert_continuous();
        feed.close().await;
        wait_until("no socket left", || engine.sockets() == 0).await;
    }
    assert_eq!(engine.stops(), [1, 1, 1]);
    assert_eq!(engine.readers(), (0, 1));
    let asked = engine.asked();
    assert_eq!((&*asked[0].0, &*asked[2].0), (&*format!("id={ID}"), &*format!("infohash={}", infohash(ID))));
    assert!(!asked[0].1.is_empty() && asked[0].1 != asked[1].1 && asked[1].1 != asked[2].1, "each pid is fresh");
}

#[tokio::test]
async fn every_way_out_stops_the_session() {
    let engine = Engine::start().await;
    let upstreams = with_engine(&engine);
    upstreams.prepare(&content(ID), &[], &Claim::default()).await.unwrap().abandon().await;
    assert_eq!(engine.stops(), [1], "abandoned");
    drop(upstreams.prepare(&content(ID), &[], &Claim::default()).await.unwrap());
    wait_until("the dropped preparation is stopped", || engine.stops() == [1, 1]).await;
    drop(open(&upstreams, &content(ID)).await.unwrap());
    wait_until("the dropped feed is stopped", || engine.stops() == [1, 1, 1]).await;

    engine.behave(ID, Play::Empty, Stop::Confirm);
    assert_eq!(error(open(&upstreams, &content(ID)).await), UpstreamError::Ended);
    wait_until("the failed start is stopped", || engine.stops() == [1, 1, 1, 1]).await;

    engine.behave(ID, Play::SlowOpen(Duration::from_millis(300)), Stop::Confirm);
    let gone =
        tokio::time::timeout(Duration::from_millis(100), upstreams.prepare(&content(ID), &[], &Claim::default())).await;
    assert!(gone.is_err(), "given up before the engine answered");
    wait_until("the session nobody waited for is stopped", || engine.stops() == [1; 5]).await;

    engine.behave(ID, Play::Normal, Stop::Confirm);
    let feed = open(&upstreams, &content(ID)).await.unwrap();
    upstreams.drain(Duration::from_secs(3)).await;
    assert_eq!(engine.stops(), [1; 6], "drained");
    feed.close().await;
    wait_until("no socket left", || engine.sockets() == 0).await;
    assert_eq!(engine.stops(), [1; 6], "never twice");
    assert!(upstreams.prepare(&content(ID), &[], &Claim::default()).await.is_err(), "nothing new after the drain");
}

#[tokio::test]
async fn the_socket_closes_even_if_the_stop_fails_or_hangs() {
    let engine = Engine::start().await;
    let upstreams = with_engine(&engine);
    for (n, stop) in [Stop::Fail, Stop::Hang].into_iter().enumerate() {
        engine.behave(ID, Play::Normal, stop);
        let feed = open(&upstreams, &content(ID)).await.unwrap();
        let start = Instant::now();
        let closing = tokio::spawn(feed.close());
        wait_until("the reader is gone", || engine.readers().0 == 0).await;
        closing.await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(8));
        assert_eq!(engine.stops()[n], 1);
    }
    wait_until("no socket left", || engine.sockets() == 0).await;
}

#[tokio::test]
async fn the_engines_complaints_are_quoted() {
    let engine = Engine::start().await;
    let upstreams = with_engine(&engine);
    engine.behave(ID, Play::Refuse("unknown content".to_owned()), Stop::Confirm);
    assert_eq!(error(open(&upstreams, &content(ID)).await), UpstreamError::Engine("unknown content".to_owned()));
    engine.behave(ID, Play::Text500, Stop::Confirm);
    let said = error(open(&upstreams, &content(ID)).await);
    assert!(matches!(&said, UpstreamError::Engine(text) if text.contains("couldn't find resource")), "{said}");
    assert_eq!(engine.opened(), 0);
    let mut nobody = config();
    nobody.engine.url = "http://127.0.0.1:1".to_owned();
    let error = error(open(&Upstreams::new(&nobody), &content(ID)).await);
    assert_eq!(error.http_status(), 503, "{error}");
}

#[tokio::test]
async fn a_silent_engine_is_watched_and_times_out() {
    let engine = Engine::start().await;
    let upstreams = with_engine(&engine);
    engine.behave(ID, Play::Silent(Duration::from_secs(60)), Stop::Confirm);
    let prepared = upstreams.prepare(&content(ID), &[], &Claim::default()).await.unwrap();
    let status = prepared.status().unwrap();
    let failed = error(prepared.start().await);
    assert!(matches!(failed, UpstreamError::Timeout(_)), "{failed}");
    assert_eq!(failed.http_status(), 504);
    assert_eq!(status.text().as_deref(), Some("prebuf, 7 peers, 300 KB/s"));
    wait_until("stopped and closed", || engine.stops() == [1] && engine.sockets() == 0).await;
}

const CAPS: Caps = Caps { bytes: 1 << 20, time: Duration::from_secs(5) };

async fn fetch(url: &str, conditions: &Conditions) -> Result<Fetched, FetchError> {
    Fetcher::new(&config()).fetch(url, conditions, CAPS).await
}

fn text(fetched: &Fetched, max: u64) -> std::io::Result<String> {
    let mut text = String::new();
    fetched.body.reader(max)?.read_to_string(&mut text)?;
    Ok(text)
}

#[tokio::test]
async fn downloads_are_conditional_and_unpacked() {
    let origin = Origin::start().await;
    let list = "#EXTM3U\n#EXTINF:-1,One\nhttp://h/1\n".to_owned();
    origin.set("/list", Serve::Tagged("\"v1\"", gzip(list.as_bytes())));
    let none = Conditions::default();
    let first = fetch(&origin.url("/list"), &none).await.unwrap();
    assert_eq!((first.etag.as_deref(), text(&first, 100).unwrap()), (Some("\"v1\""), list));
    let known = Conditions { etag: first.etag, last_modified: None };
    let second = fetch(&origin.url("/list"), &known).await.unwrap();
    assert!(second.not_modified && second.etag == known.etag && second.body.is_empty());
}

#[tokio::test]
async fn broken_and_hostile_downloads_are_errors() {
    let origin = Origin::start().await;
    origin.set("/cut", Serve::Truncated(b"#EXTM3U\n".to_vec()));
    origin.set("/chunks", Serve::TruncatedChunks(b"#EXTM3U\n".to_vec()));
    origin.set("/endless", Serve::Endless("audio/mpegurl"));
    origin.set("/bomb", Serve::Answer("200 OK", "application/gzip", gzip(&vec![0; 50 << 20])));
    origin.set("/gone", Serve::Answer("403 Forbidden", "text/plain", Vec::new()));
    let none = Conditions::default();
    for path in ["/cut", "/chunks"] {
        assert!(matches!(fetch(&origin.url(path), &none).await, Err(FetchError::Truncated(_))), "{path}");
    }
    assert!(matches!(fetch(&origin.url("/endless"), &none).await, Err(FetchError::TooLarge(_))));
    assert!(matches!(fetch(&origin.url("/gone"), &none).await, Err(FetchError::Status(403))));
    let bomb = fetch(&origin.url("/bomb"), &none).await.unwrap();
    assert_eq!(text(&bomb, 1 << 20).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
    origin.set("/silent", Serve::Silent);
    let caps = Caps { time: Duration::from_millis(300), ..CAPS };
    let late = Fetcher::new(&config()).fetch(&origin.url("/silent"), &none, caps).await;
    assert!(matches!(late, Err(FetchError::Timeout(_))), "{late:?}");
    wait_until("all sockets closed", || ["/endless", "/silent"].iter().all(|p| origin.open(p).0 == 0)).await;
    let refused = fetch("http://user:canary@169.254.1.1/x?password=canary", &none).await.unwrap_err();
    assert!(!refused.to_string().contains("canary"), "{refused}");
}
