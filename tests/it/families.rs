//! What each kind of player asks, in its words and its order, and what it gets: one golden file for each.
//!
//! The requests are those of docs/XTREAM.md's table, taken from captures and sources of the programs. What depends on time, ports and
//! secrets is masked; of JSON the shape is shown, because shapes are what players break on.

use std::fmt::Write as _;

use serde_json::Value;
use yagi_api::{ChannelDraft, ChannelSource, UserDraft};

use crate::support::{
    daemon::Daemon,
    player::Player,
    raw::{Answer, ask, form},
    wait_until,
};

/// Name, User-Agent, and requests: `METHOD path`, headers after a bar. `LOGIN`, `USER`, `PASSWORD` and `TOKEN` are put in.
type Family = (&'static str, &'static str, &'static [&'static str]);

const FAMILIES: &[Family] = &[
    (
        "tivimate",
        "TiviMate/5.1.6 (Android 12)",
        &[
            "GET /player_api.php?LOGIN | Accept-Encoding: gzip",
            "GET /player_api.php?LOGIN&action=get_live_categories",
            "GET /player_api.php?LOGIN&action=get_live_streams",
            "GET /player_api.php?LOGIN&action=get_vod_categories",
            "GET /player_api.php?LOGIN&action=get_series",
            "GET /xmltv.php?LOGIN | Accept-Encoding: gzip",
            "STREAM /live/USER/PASSWORD/1.ts",
        ],
    ),
    (
        "smarters",
        "IPTVSmartersPro",
        &[
            "POST /player_api.php LOGIN",
            "POST /player_api.php LOGIN&action=get_live_categories",
            "POST /player_api.php LOGIN&action=get_live_streams&category_id=1",
            "POST /player_api.php LOGIN&action=get_short_epg&stream_id=1&limit=1",
            "POST /player_api.php LOGIN&action=get_vod_streams",
            "STREAM /live/USER/PASSWORD/1.ts",
        ],
    ),
    (
        "kodi_pvr_iptvsimple",
        "KodifromDebian/20.1 (X11; Linux x86_64) Kodi_Fork_Kodi from Debian/1.0 Debian GNU/Linux/12 App_Bitness/64",
        &[
            "GET /get.php?LOGIN&type=m3u_plus&output=ts | Accept-Encoding: deflate, gzip, br, zstd",
            "GET /xmltv.php?LOGIN | Accept-Encoding: deflate, gzip, br, zstd",
            "HEAD /live/USER/PASSWORD/1.ts",
            "STREAM /live/USER/PASSWORD/1.ts | Range: bytes=0-\r\nIcy-MetaData: 1",
        ],
    ),
    (
        "vlc",
        "VLC/3.0.18 LibVLC/3.0.18",
        &["GET /get.php?LOGIN&type=m3u_plus&output=ts", "STREAM /live/USER/PASSWORD/1.ts | Range: bytes=0-"],
    ),
    ("mpv", "libmpv", &["GET /p/TOKEN", "STREAM /live/USER/PASSWORD/1.ts | Range: bytes=0-\r\nIcy-MetaData: 1"]),
    (
        "gse",
        "GSE SMART IPTV/7.4 CFNetwork/1240.0.4 Darwin/20.6.0",
        &[
            "GET /player_api.php?LOGIN",
            "GET /player_api.php?LOGIN&action=get_live_streams&category_id=*",
            "GET /player_api.php?LOGIN&action=get_simple_data_table&stream_id=1",
            "STREAM /USER/PASSWORD/1",
        ],
    ),
    (
        "perfect_player",
        "PerfectPlayer/1.6.2",
        &["GET /get.php?LOGIN&type=m3u&output=mpegts", "GET /e/TOKEN.xml.gz", "STREAM /USER/PASSWORD/1.ts"],
    ),
    (
        "iptvnator",
        "Mozilla/5.0 Electron/28.2.0 iptvnator",
        &[
            "GET /player_api.php?LOGIN&action=get_account_info",
            "GET /player_api.php?LOGIN",
            "GET /player_api.php?LOGIN&action=get_profile",
            "OPTIONS /player_api.php?LOGIN | Origin: http://localhost\r\nAccess-Control-Request-Headers: content-type",
            "GET /player_api.php?LOGIN&action=get_simple_date_table&stream_id=1",
            "GET /live/USER/PASSWORD/1.m3u8",
        ],
    ),
    (
        "jellyfin",
        "Jellyfin-Server/10.8.13",
        &[
            "GET /p/TOKEN",
            "GET /e/TOKEN.xml.gz",
            "HEAD /live/USER/PASSWORD/1.ts",
            "GET /hdhr/TOKEN/discover.json",
            "GET /hdhr/TOKEN/lineup.json",
            "STREAM /hdhr/TOKEN/auto/v1",
        ],
    ),
    (
        "plex",
        "PlexMediaServer/1.40",
        &[
            "GET /hdhr/TOKEN/discover.json",
            "GET /hdhr/TOKEN/lineup_status.json",
            "POST /hdhr/TOKEN/lineup.post?scan=start x=",
            "GET /hdhr/TOKEN/lineup.json",
            "GET /hdhr/TOKEN/device.xml",
            "STREAM /hdhr/TOKEN/auto/v1",
        ],
    ),
    (
        "emby",
        "Emby Server/4.8",
        &[
            "GET /hdhr/TOKEN/discover.json",
            "GET /hdhr/TOKEN/lineup.json?show=found",
            "GET /xmltv.xml?token=TOKEN | Accept-Encoding: gzip",
            "STREAM /hdhr/TOKEN/auto/v1 | Range: bytes=0-",
        ],
    ),
    (
        "stb_enigma2",
        "Enigma2 HbbTV/1.1.1",
        &[
            "GET /get.php?LOGIN&type=dreambox&output=mpegts",
            "GET /panel_api.php?LOGIN",
            "STREAM /live/USER/PASSWORD/1.ts",
        ],
    ),
];

/// Types instead of values; digits in a string are told from other texts.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(n) if n.is_i64() => "int".to_owned(),
        Value::Number(_) => "float".to_owned(),
        Value::String(s) if s.is_empty() => "\"\"".to_owned(),
        Value::String(s) if s.bytes().all(|b| b.is_ascii_digit()) => "digits".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(all) => format!("[{}]", all.first().map(shape).unwrap_or_default()),
        Value::Object(all) if all.keys().all(|k| k.bytes().all(|b| b.is_ascii_digit())) && !all.is_empty() => {
            format!("{{digits: {}}}", shape(all.values().next().unwrap()))
        }
        Value::Object(all) => {
            // Eight hexadecimal digits, which now and then are decimal ones all.
            let shape = |k: &str, v: &Value| if k == "DeviceID" { "text".to_owned() } else { shape(v) };
            let fields: Vec<_> = all.iter().map(|(k, v)| format!("{k}: {}", shape(k, v))).collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

/// What is told of a body: the shape of JSON, else its first lines.
fn told(answer: &Answer, hidden: impl Fn(&str) -> String) -> String {
    let gzip = answer.body.starts_with(&[0x1f, 0x8b]);
    let mut text = String::new();
    if gzip {
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&answer.body[..]), &mut text).unwrap();
    } else {
        text = answer.text();
    }
    if let Ok(value) = serde_json::from_str::<Value>(&text) {
        return format!("  {}\n", shape(&value));
    }
    let text = masked(&hidden(&text));
    text.lines().filter(|l| !l.contains("PROGRAM-DATE-TIME")).take(5).map(|l| format!("  {}\n", cut(l))).collect()
}

fn cut(line: &str) -> String {
    let short: String = line.chars().take(240).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

/// Runs of six and more digits are times, numbers of segments and such.
fn masked(text: &str) -> String {
    let (mut out, mut run) = (String::new(), String::new());
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            run.push(c);
            continue;
        }
        out.push_str(if run.len() >= 6 { "…" } else { &run });
        run.clear();
        out.extend(Some(c).filter(|c| *c != '\0'));
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn each_family_gets_what_it_reads() {
    let daemon = Daemon::start().await;
    daemon.set(&[("hls_segment_s", serde_json::json!(1))]).await;
    let draft = ChannelDraft {
        name: "One".into(),
        category: Some("News".into()),
        logo: "http://logos.example/1.png".into(),
        sources: vec![ChannelSource { url: "testcard:".into(), headers: vec![] }],
        ..ChannelDraft::default()
    };
    daemon.app.library.create_channel("test", draft).await.unwrap();
    for (name, agent, requests) in FAMILIES {
        let draft = UserDraft { name: "viewer".into(), max_connections: Some(2), ..UserDraft::default() };
        let viewer = daemon.viewer_from(draft).await;
        let id = daemon.app.library.catalog().viewer("viewer").unwrap().user.id;
        let token = daemon.app.library.catalog().viewer("viewer").unwrap().token.as_ref().unwrap().expose().to_owned();
        let filled = |text: &str| {
            text.replace("LOGIN", &viewer.query())
                .replace("USER", &viewer.name)
                .replace("PASSWORD", &viewer.password)
                .replace("TOKEN", &token)
        };
        let mut golden = format!("{agent}\n");
        for request in *requests {
            let (line, headers) = request.split_once(" | ").unwrap_or((request, ""));
            let (method, rest) = line.split_once(' ').unwrap();
            let (path, fields) = rest.split_once(' ').unwrap_or((rest, ""));
            let headers = format!("{headers}\r\nUser-Agent: {agent}\r\n").trim_start().to_owned();
            let _ = writeln!(golden, "\n{method} {path} {fields}");
            let shown = |answer: &Answer| {
                let header = |name: &str| answer.header(name).map(|v| format!(" {name}: {v}")).unwrap_or_default();
                let names = ["content-type", "content-encoding", "content-disposition", "accept-ranges"];
                format!("{}{}", answer.status, names.map(header).concat())
            };
            if method == "STREAM" {
                let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", filled(path), daemon.address);
                let mut player = Player::ask(daemon.address, &request).await;
                player.watch(188 * 40).await;
                player.checker.assert_good_start();
                let _ = writeln!(golden, "{} {}", player.status, player.header("content-type").unwrap_or_default());
                assert!(player.header("content-length").is_none() && player.header("accept-ranges").is_none());
                drop(player);
                wait_until("the seat to be free", || daemon.app.seats.is_empty()).await;
                continue;
            }
            let answer = if fields.is_empty() {
                ask(daemon.address, "127.0.0.1", method, &filled(path), &headers).await
            } else {
                form(daemon.address, &filled(path), &filled(fields), &headers).await
            };
            let _ = writeln!(golden, "{}", shown(&answer));
            let hidden = |text: &str| {
                let text = text.replace(&token, "TOKEN").replace(&viewer.password, "PASSWORD");
                let own = daemon.address.to_string();
                text.replace(&own, "tv.lan").replace(&own.replace(':', "%3a"), "tv.lan")
            };
            golden.push_str(&told(&answer, hidden));
        }
        insta::assert_snapshot!(*name, golden);
        daemon.app.library.delete_user("test", id).await.unwrap();
        wait_until("all seats to be free", || daemon.app.seats.is_empty()).await;
    }
}
