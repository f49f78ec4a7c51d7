//! VLC and GStreamer on our URLs. Skipped with a loud line where one is missing, never in CI.

use crate::{
    clients::{has, run, words},
    support::{
        daemon::{Account, Daemon},
        wait_until,
    },
};

async fn card() -> (Daemon, Account, String) {
    let daemon = Daemon::start().await;
    let channel = daemon.channel("Card", &["testcard:"]).await;
    let viewer = daemon.viewer("alice", 0).await;
    let url = daemon.url(&viewer.live(channel));
    (daemon, viewer, url)
}

/// VLC refuses to run as root: then it runs as nobody.
async fn vlc(daemon: &Daemon, url: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let home_of = format!("HOME={}", home.path().display());
    let options = "-I dummy --no-color -vv --vout dummy --aout dummy --run-time 3 --play-and-exit";
    let mut line: Vec<&str> = vec!["env", &home_of, "cvlc"];
    line.extend(words(options));
    line.extend([url, "vlc://quit"]);
    if rustix::process::getuid().is_root() {
        line.splice(0..0, words("setpriv --reuid 65534 --regid 65534 --clear-groups"));
    }
    let out = run(line[0], &line[1..]).await;
    let told = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success(), "{}\n{told}", out.status);
    wait_until("VLC's seat to be free", || daemon.app.seats.is_empty()).await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn vlc_plays_a_channel_and_a_playlist() {
    if !has("cvlc") {
        return;
    }
    let (daemon, viewer, url) = card().await;
    let list = daemon.url(&format!("/get.php?{}&type=m3u_plus&output=ts", viewer.query()));
    for url in [url, list] {
        let told = vlc(&daemon, &url).await;
        assert!(told.contains("Received first picture"), "{url}: {told}");
        assert!(told.contains("codec (h264) started"), "{url}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_decodes_picture_and_sound() {
    if !has("gst-launch-1.0") {
        return;
    }
    let (daemon, _, url) = card().await;
    for kind in ["video/x-raw", "audio/x-raw"] {
        let line = format!("-q uridecodebin uri={url} name=d d. ! {kind} ! fakesink num-buffers=50");
        let out = run("gst-launch-1.0", words(&line)).await;
        let told = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        assert!(out.status.success() && !told.contains("ERROR"), "{kind}: {}\n{told}", out.status);
    }
    wait_until("GStreamer's seats to be free", || daemon.app.seats.is_empty()).await;
}
