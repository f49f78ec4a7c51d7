//! What other people's software makes of our lists: client libraries of PyPI and npm, the XMLTV tools, HDHomeRun's own tool.
//! Skipped with a loud line where one is missing, never in CI.

use std::{io::Write as _, path::PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;
use yagi_api::{ChannelDraft, ChannelSource, PlayerFamily, UserDraft};
use yagid::hdhr::{Device, discovery};

use crate::{
    clients::{has, run},
    support::daemon::{Account, Daemon},
};

/// A line-up with the names that such libraries trip over, each with a guide.
async fn line_up(player: PlayerFamily) -> (Daemon, Account) {
    let daemon = Daemon::start().await;
    for (name, category) in
        [("Rai, News \"24\"", "News & more"), ("Été ß 日本", "News & more"), ("Sport #1 <HD>", "Sport")]
    {
        let draft = ChannelDraft {
            name: name.into(),
            category: Some(category.into()),
            sources: vec![ChannelSource { url: "testcard:".into(), headers: vec![] }],
            logo: "http://logos.example/a,b.png?c&d".into(),
            ..ChannelDraft::default()
        };
        daemon.app.library.create_channel("test", draft).await.unwrap();
    }
    let draft = UserDraft { name: "alice".into(), max_connections: Some(2), player, ..UserDraft::default() };
    let viewer = daemon.viewer_from(draft).await;
    (daemon, viewer)
}

/// Of `.ci/run`: a Python with the packages, and a directory with `node_modules`.
pub fn installed(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from).filter(|p| p.exists());
    if found.is_none() {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "{variable} names nothing, but CI must not skip its tests"
        );
        let _ = writeln!(
            std::io::stderr(),
            "\n*** SKIPPED: {variable} names no client libraries, their tests did not run ***\n"
        );
    }
    found
}

pub fn script(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script and reads what it found.
pub async fn found(program: &str, arguments: &[&str]) -> Value {
    let out = run(program, arguments).await;
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{program} {arguments:?}: {}\n{told}", out.status);
    serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}\n{told}", String::from_utf8_lossy(&out.stdout)))
}

pub fn server(daemon: &Daemon) -> String {
    format!("http://{}", daemon.address)
}

pub fn playlist(daemon: &Daemon, viewer: &Account) -> String {
    daemon.url(&format!("/get.php?{}&type=m3u_plus&output=ts", viewer.query()))
}

#[tokio::test(flavor = "multi_thread")]
async fn pyxtream_reads_the_line_up() {
    let Some(python) = installed("YAGI_TEST_PYTHON") else { return };
    let (daemon, viewer) = line_up(PlayerFamily::Auto).await;
    let cache = daemon.dir.path().join("cache");
    let (base, name) = (server(&daemon), script("pyxtream_lineup.py"));
    let got =
        found(python.to_str().unwrap(), &[&name, &base, &viewer.name, &viewer.password, cache.to_str().unwrap()]).await;
    assert_eq!((&got["state"], &got["loaded"]), (&json!({"authenticated": true, "loaded": true}), &json!(true)));
    assert_eq!((&got["movies"], &got["series"]), (&json!(0), &json!(0)));
    // Its groups of films and series are its own.
    let groups: Vec<&str> = got["groups"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(&groups[..2], ["News & more", "Sport"]);
    let channels = got["channels"].as_array().unwrap();
    assert_eq!(channels.len(), 3, "its own schema passes every row: {got}");
    assert_eq!(channels[0]["name"], "Rai, News \"24\"");
    assert_eq!(channels[0]["url"], json!(daemon.url(&viewer.live(yagi_api::ChannelId(1)))));
    assert_eq!((&got["short"], &got["expires"]), (&json!(2), &json!("2145916800")));
    assert!(got["whole"].as_u64().unwrap() >= 4, "{got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn m3u_ipytv_reads_the_playlist() {
    let Some(python) = installed("YAGI_TEST_PYTHON") else { return };
    let (daemon, viewer) = line_up(PlayerFamily::Auto).await;
    let (list, name) = (playlist(&daemon, &viewer), script("m3u_ipytv.py"));
    let got = found(python.to_str().unwrap(), &[&name, &list]).await;
    assert_eq!(got["header"]["x-tvg-url"], json!(daemon.url(&format!("/xmltv.php?{}", viewer.query()))));
    let channels = got["channels"].as_array().unwrap();
    assert_eq!(channels.len(), 3);
    let first = &channels[0];
    assert_eq!(first["name"], "Rai\u{201a} News '24'");
    assert_eq!(first["attributes"]["tvg-name"], "Rai, News '24'");
    assert_eq!(first["attributes"]["tvg-logo"], "http://logos.example/a,b.png?c&d");
    assert_eq!(first["attributes"]["group-title"], "News & more");
    assert_eq!(channels[2]["name"], "Sport #1 <HD>");
}

#[tokio::test(flavor = "multi_thread")]
async fn iptv_playlist_parser_reads_the_playlist() {
    let Some(_) = installed("YAGI_TEST_NODE").filter(|_| has("node")) else { return };
    let (daemon, viewer) = line_up(PlayerFamily::Auto).await;
    let (list, name) = (playlist(&daemon, &viewer), script("playlist_parser.cjs"));
    let got = found("node", &[&name, &list]).await;
    let items = got["items"].as_array().unwrap();
    let names: Vec<_> = items.iter().map(|i| i["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Rai\u{201a} News '24'", "Été ß 日本", "Sport #1 <HD>"]);
    assert_eq!(items[0]["tvg"]["logo"], "http://logos.example/a,b.png?c&d");
    assert_eq!(items[0]["group"]["title"], "News & more");
    assert_eq!(items[2]["url"], json!(daemon.url(&viewer.live(yagi_api::ChannelId(3)))));
}

/// The library logs in with `get_profile`, pages with `params[…]`, and takes the end of a short guide for epoch seconds.
#[tokio::test(flavor = "multi_thread")]
async fn xtream_api_reads_the_line_up() {
    let Some(_) = installed("YAGI_TEST_NODE").filter(|_| has("node")) else { return };
    let (daemon, viewer) = line_up(PlayerFamily::Xui).await;
    let (base, name) = (server(&daemon), script("xtream_api.mjs"));
    let got = found("node", &[&name, &base, &viewer.name, &viewer.password]).await;
    assert_eq!(got["profile"]["status"], "Active");
    assert_eq!(got["server"]["port"], json!(daemon.address.port().to_string()));
    let names: Vec<_> = got["channels"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Rai, News \"24\"", "Été ß 日本", "Sport #1 <HD>"]);
    assert_eq!(got["page"].as_array().unwrap().len(), 1);
    assert_eq!((&got["movies"], &got["shows"]), (&json!([]), &json!([])));
    // Its way to archives, which leads to the channel.
    let archive = format!("/timeshift/{}/{}/60/2026-11-25:20-15/1.ts", viewer.name, viewer.password);
    assert_eq!(got["archive"], json!(daemon.url(&archive)));
    let none = crate::support::raw::get(daemon.address, &archive).await;
    assert_eq!((none.status, none.text().trim()), (404, "this channel has no archive"));
    let standard = &got["standard"];
    assert_eq!(standard["profile"]["maxConnections"], 2);
    assert_eq!(standard["profile"]["expiresAt"], "2038-01-01T00:00:00.000Z");
    assert_eq!(standard["channels"][0]["url"], json!(daemon.url(&viewer.live(yagi_api::ChannelId(1)))));
    for (row, raw) in [0, 1].map(|n| (&standard["short"][n], &got["short"]["epg_listings"][n])) {
        assert_eq!(row["title"], "Test card");
        let end: jiff::Timestamp = row["end"].as_str().unwrap_or_else(|| panic!("no end: {row}")).parse().unwrap();
        assert_eq!(json!(end.as_second().to_string()), raw["stop_timestamp"], "{row}");
    }
}

/// The DTD's own checker, which also looks at ids, times and the order of things.
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_is_valid_by_its_dtd() {
    const DTD: &str = "/usr/share/xmltv";
    if !has("tv_validate_file") {
        return;
    }
    assert!(std::path::Path::new(DTD).join("xmltv.dtd").exists(), "the package of tv_validate_file has the DTD");
    let (daemon, viewer) = line_up(PlayerFamily::Auto).await;
    let file = daemon.dir.path().join("guide.xml");
    let path = format!("/xmltv.php?{}", viewer.query());
    let validate = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("tv_validate_file");
        command.arg(&file).env("XMLTV_SUPPLEMENT", DTD).env("HOME", daemon.dir.path()).kill_on_drop(true);
        let out = tokio::time::timeout(std::time::Duration::from_secs(60), command.output()).await.unwrap().unwrap();
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let text = crate::support::raw::get(daemon.address, &path).await.text();
    assert!(text.matches("<programme ").count() > 50);
    let (valid, told) = validate(&text).await;
    assert!(valid && told.contains("Validated ok"), "{told}");
    // And it would tell.
    let (valid, told) = validate(&text.replace("</title>", "</title><title2/>")).await;
    assert!(!valid, "{told}");
}

/// The tool of the makers of the real device, at an address of its own because it knows one port only.
#[tokio::test(flavor = "multi_thread")]
async fn the_makers_tool_finds_the_tuner() {
    if !has("hdhomerun_config") {
        return;
    }
    let (daemon, viewer) = line_up(PlayerFamily::Auto).await;
    let catalog = daemon.app.library.catalog();
    let account = catalog.viewer(&viewer.name).unwrap();
    let token = account.token.as_ref().unwrap().expose().to_owned();
    let device = Device::new(account, &token, &server(&daemon), 0);
    let id = format!("{:08X}", device.id);
    // Two runs at once must not meet.
    let own = std::net::Ipv4Addr::from(0x7f10_0000 | std::process::id() & 0xf_ffff);
    let socket = discovery::bind((own, discovery::PORT).into(), false).unwrap();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let announced: discovery::Announced = {
        let (account, base) = (account.clone(), server(&daemon));
        std::sync::Arc::new(move |_| Some(Device::new(&account, &token, &base, 0)))
    };
    let task = tokio::spawn(discovery::answer(socket, vec!["127.0.0.0/8".parse().unwrap()], announced, stopping));
    let out = run("hdhomerun_config", ["discover", &own.to_string()]).await;
    let told = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(told.contains(&format!("hdhomerun device {id} found")), "{told}");
    stop.send_replace(true);
    task.await.unwrap();
}
