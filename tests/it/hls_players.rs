//! Real players on HLS: ffmpeg, mpv, VLC, GStreamer, and hls.js in a headless Chromium. Skipped with a loud line where one is
//! missing, never in CI.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{process::Command, sync::mpsc};

use crate::{
    clients,
    support::{
        answer,
        daemon::Daemon,
        has,
        origin::{Origin, Serve},
        read_head, serve, target, wait_until,
    },
};

/// Longest run of a player; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// The test card as HLS.
async fn card() -> (Daemon, String) {
    let daemon = Daemon::start().await;
    let channel = daemon.channel("Card", &["testcard:"]).await;
    let viewer = daemon.viewer("alice", 1).await;
    let url = daemon.url(&viewer.live(channel).replace(".ts", ".m3u8"));
    (daemon, url)
}

/// Runs a player to its end; what it says is part of the failure.
async fn plays(program: &str, line: &str, url: &str) -> String {
    let mut command = Command::new(program);
    command.args(line.split(' ').map(|word| if word == "URL" { url } else { word }));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let out = tokio::time::timeout(PATIENCE, command.output()).await;
    let out = out.unwrap_or_else(|_| panic!("{program} does not end")).unwrap();
    let told = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success(), "{program}: {}\n{told}", out.status);
    told
}

/// One session, one seat, freed when the player has gone.
async fn freed(daemon: &Daemon) {
    assert!(daemon.app.seats.len() <= 1);
    wait_until("the seat to be free", || daemon.app.seats.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_decodes_hls_without_a_word() {
    if has("ffmpeg") {
        let (daemon, url) = card().await;
        let told = plays("ffmpeg", "-v warning -nostdin -i URL -t 8 -f null -", &url).await;
        assert!(told.is_empty(), "{told}");
        freed(&daemon).await;
    }
}

/// Over the seam between a source that ends and the next one.
#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_decodes_hls_over_a_seam() {
    if !has("ffmpeg") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let codecs = "-c:v libx264 -preset ultrafast -bf 0 -g 25 -c:a aac";
    let Some(clip) = clients::clip(dir.path(), codecs).await else { return };
    let (origin, daemon) = (Origin::start().await, Daemon::start().await);
    // Five seconds of one, twenty of the other, at their pace.
    let part: Arc<[u8]> = clip[..clip.len() / 4 / 188 * 188].into();
    origin.set("/a", Serve::Clip(part, Duration::from_secs(5)));
    origin.set("/b", Serve::Clip(clip, Duration::from_secs(20)));
    daemon.set(&[("hls_segment_s", json!(1))]).await;
    let channel = daemon.channel("A", &[&origin.url("/a"), &origin.url("/b")]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let url = daemon.url(&viewer.live(channel).replace(".ts", ".m3u8"));
    // Nine seconds: four of them behind the seam.
    let line =
        "-v error -nostdin -live_start_index 0 -i URL -map 0:v -fps_mode passthrough -frames:v 225 -f framecrc -";
    let told = plays("ffmpeg", line, &url).await;
    let pictures = told.lines().filter(|line| line.starts_with("0,")).count();
    assert_eq!(pictures, 225, "{told}");
    let row = daemon.app.streams.rows().remove(0);
    assert_eq!((row.switches, row.source_index), (1, 1), "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mpv_plays_hls() {
    if has("mpv") {
        let (daemon, url) = card().await;
        let line = "--no-config --no-terminal --vo=null --ao=null --length=5 --msg-level=all=error URL";
        plays("mpv", line, &url).await;
        freed(&daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_plays_hls() {
    if has("gst-launch-1.0") {
        let (daemon, url) = card().await;
        // It ends, with an error that says so, when so many pictures have been decoded.
        let line = "-q souphttpsrc location=URL ! hlsdemux ! tsdemux ! h264parse ! avdec_h264 ! identity error-after=150 ! fakesink";
        let mut command = Command::new("gst-launch-1.0");
        command.args(line.split(' ').map(|word| word.replace("URL", &url))).stdin(Stdio::null()).kill_on_drop(true);
        let out = tokio::time::timeout(PATIENCE, command.output()).await.expect("GStreamer ends").unwrap();
        let told = String::from_utf8_lossy(&out.stderr);
        assert!(told.contains("Failed after iterations as requested"), "{told}");
        freed(&daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vlc_plays_hls() {
    if has("cvlc") {
        let (daemon, url) = card().await;
        // It refuses to run as root.
        let root = rustix::process::geteuid().is_root();
        let mut command = Command::new(if root { "setpriv" } else { "cvlc" });
        if root {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "cvlc"]);
        }
        command.args(["-I", "dummy", "--sout=#std{access=file,mux=ts,dst=-}", "--run-time=6", &url, "vlc://quit"]);
        command.env("HOME", "/nonexistent").stdin(Stdio::null()).kill_on_drop(true);
        let out = tokio::time::timeout(PATIENCE, command.output()).await.expect("VLC ends").unwrap();
        let (bytes, told) = (out.stdout.len(), String::from_utf8_lossy(&out.stderr));
        assert!(bytes > 60_000 && out.stdout[0] == 0x47, "{bytes} bytes; {told}");
        freed(&daemon).await;
    }
}

/// Where `npm install --prefix target/npm hls.js` puts it.
fn hls_js() -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/npm/node_modules/hls.js/dist/hls.min.js");
    if file.is_file() {
        return Some(file);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "hls.js is not installed, but CI must not skip it");
    let _ = writeln!(
        std::io::stderr(),
        "\n*** SKIPPED: no {}: npm install --prefix target/npm hls.js ***\n",
        file.display()
    );
    None
}

const PAGE: &str = r#"<!doctype html><video id=v muted autoplay></video><script src=/hls.js></script><script>
const tell = (what, more) => fetch('/told/' + encodeURIComponent(JSON.stringify({what, ...more})));
const hls = new Hls(); const v = document.getElementById('v');
hls.on(Hls.Events.ERROR, (_, e) => { if (e.fatal) tell('error', {details: e.details, reason: String(e.reason || e.error)}); });
hls.loadSource(decodeURIComponent(location.hash.slice(1))); hls.attachMedia(v);
v.play().catch(e => tell('error', {details: String(e)}));
setInterval(() => tell('at', {time: v.currentTime, width: v.videoWidth, frames: v.getVideoPlaybackQuality().totalVideoFrames,
  date: hls.playingDate && hls.playingDate.getTime()}), 1000);
</script>"#;

/// A page with hls.js, and what it tells.
async fn page(script: PathBuf) -> (std::net::SocketAddr, crate::support::Guard, mpsc::Receiver<Value>) {
    let script: Arc<Vec<u8>> = Arc::new(std::fs::read(script).unwrap());
    let (told, heard) = mpsc::channel(1024);
    let (address, guard) = serve(move |mut socket| {
        let (script, told) = (script.clone(), told.clone());
        async move {
            let Some(head) = read_head(&mut socket).await else { return };
            match target(&head) {
                "/" => answer(&mut socket, "200 OK", "text/html", PAGE.as_bytes()).await,
                "/hls.js" => answer(&mut socket, "200 OK", "text/javascript", &script).await,
                path => {
                    if let Some(text) = path.strip_prefix("/told/") {
                        let text = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
                        let said = serde_json::from_str(&text).unwrap_or(json!({"what": "garbage"}));
                        let _ = told.send(said).await;
                    }
                    answer(&mut socket, "204 No Content", "text/plain", b"").await;
                }
            }
        }
    })
    .await;
    (address, guard, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_plays_hls() {
    let Some(script) = hls_js() else { return };
    let browser = ["chromium-headless-shell", "chromium", "chromium-browser"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &&&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let Some(browser) = browser.iter().find(there) else {
        has("chromium-headless-shell");
        return;
    };
    let (daemon, url) = card().await;
    let (server, _guard, mut heard) = page(script).await;
    let mut command = Command::new(browser);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"])
        .args(["--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", daemon.dir.path().join("browser").display()))
        .arg(format!(
            "http://{server}/#{}",
            percent_encoding::utf8_percent_encode(&url, percent_encoding::NON_ALPHANUMERIC)
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // What Debian installs is a script that starts it, and it starts others: they end together.
        .process_group(0)
        .kill_on_drop(true);
    let mut browser = command.spawn().unwrap();
    let group = rustix::process::Pid::from_raw(browser.id().unwrap().cast_signed()).unwrap();
    let seen = tokio::time::timeout(PATIENCE, async {
        let mut last = Value::Null;
        while let Some(word) = heard.recv().await {
            assert_eq!(word["what"], "at", "{word} after {last}");
            // Longer than the first list: it has fetched the next ones too.
            if word["time"].as_f64() > Some(8.0) && word["frames"].as_u64() > Some(100) {
                return word;
            }
            last = word;
        }
        Value::Null
    });
    let seen = seen.await;
    let seats = daemon.app.seats.len();
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    browser.wait().await.unwrap();
    let seen = seen.expect("eight seconds of picture in time");
    assert_eq!(seen["width"], 320, "{seen}");
    let age = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0 - seen["date"].as_f64().expect("a date") / 1000.0;
    assert!((0.0..60.0).contains(&age), "what it shows is dated: {age}");
    assert_eq!(seats, 1);
    freed(&daemon).await;
}
