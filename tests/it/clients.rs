//! Real players on our URLs: ffprobe, ffmpeg, mpv. Skipped with a loud line where one is missing, never in CI.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::Path,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::process::Command;

use crate::support::{
    daemon::Daemon,
    engine::{Engine, Play, Stop},
    origin::{Origin, Serve},
    wait_until,
};

pub use crate::support::has;

const CONTENT: &str = "00000000000000000000000000000000000000cc";
/// Longest run of a program; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(40);

pub async fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(PATIENCE, command.output()).await.unwrap_or_else(|_| panic!("{program} does not end")).unwrap()
}

pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ')
}

/// Twenty seconds of a test picture and a tone in these codecs; `None` if this ffmpeg cannot make them.
pub async fn clip(dir: &Path, codecs: &str) -> Option<Arc<[u8]>> {
    let file = dir.join("clip.ts");
    let inputs =
        "-v error -y -f lavfi -i testsrc2=size=320x180:rate=25:duration=20 -f lavfi -i sine=frequency=440:duration=20";
    let made =
        run("ffmpeg", words(inputs).chain(words(codecs)).chain(words("-f mpegts")).chain([file.to_str().unwrap()]))
            .await;
    if !made.status.success() {
        let why = String::from_utf8_lossy(&made.stderr).into_owned();
        let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: this ffmpeg cannot make {codecs}: {why} ***\n");
        return None;
    }
    Some(std::fs::read(&file).unwrap().into())
}

/// What ffprobe finds: (kind, codec) of each stream, sorted.
pub async fn probe(url: &str) -> Vec<(String, String)> {
    let out = run("ffprobe", words("-v error -of json -show_streams").chain([url])).await;
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let found: Value = serde_json::from_slice(&out.stdout).unwrap();
    let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let rows = found["streams"].as_array().unwrap();
    let mut streams: Vec<_> = rows.iter().map(|row| (word(row, "codec_type"), word(row, "codec_name"))).collect();
    streams.sort();
    streams
}

/// Decodes so many seconds; whatever ffmpeg finds wrong is a failure.
async fn decode(url: &str, seconds: u32) {
    let seconds = seconds.to_string();
    let out = run("ffmpeg", ["-v", "warning", "-nostdin", "-i", url, "-t", &seconds, "-f", "null", "-"]).await;
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && told.is_empty(), "{}\n{told}", out.status);
}

fn both(video: &str, audio: &str) -> Vec<(String, String)> {
    let pair = |kind: &str, codec: &str| (kind.to_owned(), codec.to_owned());
    vec![pair("audio", audio), pair("video", video)]
}

/// Serves the clip through the HTTP upstream and through the engine, and has both looked at.
async fn through_both(codecs: &str, expected: &[(String, String)]) {
    if !(has("ffmpeg") && has("ffprobe")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let Some(clip) = clip(dir.path(), codecs).await else { return };
    let (origin, engine) = (Origin::start().await, Engine::start().await);
    // A little faster than real time, so that the test need not take as long as the picture.
    let time = Duration::from_secs(12);
    origin.set("/a", Serve::Clip(clip.clone(), time));
    engine.behave(CONTENT, Play::Clip(clip, time), Stop::Confirm);
    let url = engine.url();
    let daemon = Daemon::with(|c| c.engine.url = url).await;
    daemon.hurry().await;
    let viewer = daemon.viewer("alice", 0).await;
    let http = daemon.channel("Http", &[&origin.url("/a")]).await;
    let ace = daemon.channel("Ace", &[&format!("acestream://{CONTENT}")]).await;
    let one = async |channel| {
        let url = daemon.url(&viewer.live(channel));
        // The second joins the stream that the first has opened.
        let (found, ()) = tokio::join!(probe(&url), decode(&url, 6));
        assert_eq!(found, expected);
    };
    tokio::join!(one(http), one(ace));
    assert!(engine.opened() >= 1 && engine.most_of_one() == 1);
    wait_until("all seats to be free", || daemon.app.seats.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_and_aac_reach_real_players() {
    through_both("-c:v libx264 -preset ultrafast -tune zerolatency -g 25 -c:a aac", &both("h264", "aac")).await;
}

/// With B-pictures and groups that are open, as broadcasters send them.
#[tokio::test(flavor = "multi_thread")]
async fn h264_with_b_pictures_reaches_real_players() {
    through_both("-c:v libx264 -preset veryfast -bf 2 -g 25 -c:a aac", &both("h264", "aac")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mpeg2_and_mp2_reach_real_players() {
    through_both("-c:v mpeg2video -b:v 1500k -g 12 -c:a mp2", &both("mpeg2video", "mp2")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hevc_and_ac3_reach_real_players() {
    let codecs = "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25:open-gop=0 -c:a ac3";
    through_both(codecs, &both("hevc", "ac3")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_radio_reaches_real_players() {
    through_both("-map 1:a -c:a aac", &[("audio".to_owned(), "aac".to_owned())]).await;
}

/// The built-in channel, which is all that a first start has.
#[tokio::test(flavor = "multi_thread")]
async fn the_test_card_plays() {
    let daemon = Daemon::start().await;
    let channel = daemon.channel("Card", &["testcard:"]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let url = daemon.url(&viewer.live(channel));
    if has("ffmpeg") && has("ffprobe") {
        let (found, ()) = tokio::join!(probe(&url), decode(&url, 8));
        assert_eq!(found, both("h264", "aac"));
    }
    if has("mpv") {
        // The playlist is what most people give it. Nothing but the daemon may help it, so no youtube-dl.
        let list = daemon.url(&format!("/get.php?{}&type=m3u_plus&output=ts", viewer.query()));
        for address in [url, list] {
            let options = "--no-config --ytdl=no --vo=null --ao=null --length=3 --msg-level=all=warn";
            let out = run("mpv", words(options).chain([address.as_str()])).await;
            let told = [out.stdout, out.stderr].concat();
            assert!(out.status.success(), "{address}: {} {}", out.status, String::from_utf8_lossy(&told));
        }
    }
    wait_until("all seats to be free", || daemon.app.seats.is_empty()).await;
}

/// A source that ends and one that takes over, until none is left: what a decoder makes of it, in pictures.
#[tokio::test(flavor = "multi_thread")]
async fn a_seam_between_sources_costs_ffmpeg_a_group_at_most() {
    if !has("ffmpeg") {
        return;
    }
    const GROUP: usize = 25;
    const PICTURES: usize = 500;
    let dir = tempfile::tempdir().unwrap();
    let codecs = format!("-c:v libx264 -preset ultrafast -bf 2 -g {GROUP} -c:a aac");
    let Some(clip) = clip(dir.path(), &codecs).await else { return };
    let (origin, daemon) = (Origin::start().await, Daemon::start().await);
    // Twenty seconds in one and a half.
    let urls = ["/a", "/b"].map(|path| {
        origin.set(path, Serve::Clip(clip.clone(), Duration::from_millis(1500)));
        origin.url(path)
    });
    daemon.set(&[("hold_s", 1.into())]).await;
    let channel = daemon.channel("A", &[&urls[0], &urls[1]]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let url = daemon.url(&viewer.live(channel));
    let line = format!("-v error -nostdin -i {url} -map 0:v -fps_mode passthrough -f framecrc -");
    let decoding = tokio::spawn(async move { run("ffmpeg", words(&line)).await });
    wait_until("the first source to be asked", || origin.open("/a").0 == 1).await;
    origin.set("/a", Serve::Answer("404 Not Found", "text/plain", Vec::new()));
    wait_until("the second source to be asked", || origin.open("/b").0 == 1).await;
    origin.set("/b", Serve::Answer("404 Not Found", "text/plain", Vec::new()));
    let out = decoding.await.unwrap();
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{}\n{told}", out.status);
    let pictures = out.stdout.split(|b| *b == b'\n').filter(|line| line.starts_with(b"0,")).count();
    assert!((2 * PICTURES - GROUP..=2 * PICTURES).contains(&pictures), "{pictures} pictures\n{told}");
}
