//! The interface in a real terminal against the real daemon: what an administrator does, and what players then get.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tempfile::TempDir;
use yagi_api::{ChannelDraft, ChannelPatch, ChannelSource, UserDraft};
use yagid::{
    app::App,
    config::{Config, Loaded},
    daemon::Daemon,
    events::Events,
    logs::Logs,
};

use crate::terminal::{PATIENCE, Terminal, until};

/// The daemon with a runtime of its own.
struct House {
    daemon: Option<Daemon>,
    app: Arc<App>,
    address: SocketAddr,
    dir: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let daemon = runtime.block_on(Self::run(dir.path()));
        let (app, address) = (daemon.app.clone(), daemon.addresses[0]);
        Self { daemon: Some(daemon), app, address, dir, runtime }
    }

    async fn run(dir: &Path) -> Daemon {
        let mut config = Config::default();
        config.server.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.paths.state_dir = dir.join("state");
        config.paths.socket = dir.join("run/admin.sock");
        config.demo.enabled = false;
        let loaded = Loaded { config, origins: Default::default(), file: None };
        let events = Events::default();
        Daemon::start(loaded, Logs::silent(events.clone()), events).await.unwrap()
    }

    /// Ends the daemon and starts it anew on the same files.
    fn stop(&mut self) {
        let daemon = self.daemon.take().unwrap();
        self.runtime.block_on(daemon.stop());
    }

    fn start_again(&mut self) {
        let daemon = self.runtime.block_on(Self::run(self.dir.path()));
        (self.app, self.address) = (daemon.app.clone(), daemon.addresses[0]);
        self.daemon = Some(daemon);
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("run/admin.sock")
    }

    fn channel(&self, name: &str) -> u32 {
        let sources = vec![ChannelSource { url: "testcard:".into(), headers: vec![] }];
        let draft = ChannelDraft { name: name.into(), sources, ..ChannelDraft::default() };
        self.runtime.block_on(self.app.library.create_channel("test", draft)).unwrap().id.0
    }

    /// A user's `username=…&password=…`.
    fn user(&self, name: &str) -> (String, String) {
        let draft = UserDraft { name: name.into(), ..UserDraft::default() };
        let new = self.runtime.block_on(self.app.library.create_user("test", draft)).unwrap();
        (new.user.name, new.password)
    }

    /// What a player gets at a path.
    fn get(&self, path: &str) -> String {
        let mut stream = self.ask(path);
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        stream
    }

    /// The playlist of a user, until it holds a text.
    fn playlist_holds(&self, (name, password): &(String, String), text: &str) {
        let path = format!("/get.php?username={name}&password={password}&type=m3u_plus&output=ts");
        until(text, || self.get(&path).contains(text).then_some(()));
    }
}

/// What was copied last, as the terminal was told (OSC 52).
fn copied(terminal: &Terminal) -> Option<String> {
    let seen = terminal.seen.0.lock().unwrap();
    let text = String::from_utf8_lossy(&seen.bytes).into_owned();
    let at = text.rfind("\x1b]52;c;")? + "\x1b]52;c;".len();
    let end = text[at..].find(['\x1b', '\x07'])?;
    String::from_utf8(BASE64_STANDARD.decode(&text[at..at + end]).ok()?).ok()
}

#[test]
fn from_the_start_card_to_a_playlist_in_three_answers() {
    let house = House::new();
    let list = house.dir.path().join("list.m3u");
    std::fs::write(
        &list,
        "#EXTM3U\n#EXTINF:-1 tvg-id=\"one.tv\" group-title=\"News\",Channel One\nhttp://127.0.0.1:9/1.ts\n\
         #EXTINF:-1 group-title=\"Sport\",Channel Two\nhttp://127.0.0.1:9/2.ts\n",
    )
    .unwrap();
    let mut terminal = Terminal::open(&house.socket());
    terminal.shows("three answers");
    terminal.press("\r");
    terminal.shows("1 of 3");
    terminal.press(list.to_str().unwrap());
    terminal.press("\r");
    terminal.shows("2 channels in 2 groups");
    terminal.press("\r");
    terminal.shows("3 of 3");
    terminal.press("\r");
    terminal.shows("Addresses of tv");
    terminal.press("y");
    terminal.wait("the link", |_| true);
    terminal.shows("Addresses of tv");
    let link = until("a copied link", || copied(&terminal));
    let path = link.split_once("://").unwrap().1.split_once('/').unwrap().1;
    let list = until("both channels in the list", || {
        Some(house.get(&format!("/{path}"))).filter(|got| got.contains("Channel One") && got.contains("Channel Two"))
    });
    assert!(list.contains("#EXTM3U"), "{list}");
    terminal.press("\x1b");
    // A key at once behind Esc is Alt with that key, to any program.
    terminal.wait("the dialog to close", |seen| !seen.parser.screen().contents().contains("Addresses of tv"));
    terminal.press("6");
    terminal.shows("2 seen");
    terminal.press("\x03");
    terminal.is_left_clean();
}

#[test]
fn an_edit_reaches_the_players_list_and_undo_takes_it_back() {
    let house = House::new();
    house.channel("Channel One");
    let user = house.user("alice");
    house.playlist_holds(&user, "Channel One");
    let mut terminal = Terminal::open(&house.socket());
    terminal.shows("[live]");
    terminal.press("3");
    terminal.shows("Channel One");
    terminal.press("e");
    terminal.shows("Edit channel");
    // The whole name anew.
    terminal.press("\x15Renamed\x13");
    terminal.shows("u to undo");
    house.playlist_holds(&user, "Renamed");
    terminal.press("u");
    house.playlist_holds(&user, "Channel One");
    terminal.press("\x03");
    terminal.is_left_clean();
}

#[test]
fn a_table_goes_through_the_users_editor() {
    let house = House::new();
    house.channel("Channel One");
    house.channel("Channel Two");
    let user = house.user("alice");
    let mut terminal =
        Terminal::with(&house.socket(), &[("EDITOR", "sed -i s/Channel/Canale/"), ("PATH", "/usr/bin:/bin")]);
    terminal.shows("[live]");
    terminal.press("3");
    terminal.shows("Channel Two");
    terminal.press("  E");
    terminal.shows("2 changed, 0 deleted");
    terminal.press("y");
    terminal.shows("u to undo");
    house.playlist_holds(&user, "Canale One");
    house.playlist_holds(&user, "Canale Two");
    terminal.press("\x03");
    terminal.is_left_clean();
}

#[test]
fn a_kick_ends_the_viewers_connection() {
    let house = House::new();
    let id = house.channel("Channel One");
    let (name, password) = house.user("alice");
    let mut viewer = house.ask(&format!("/live/{name}/{password}/{id}.ts"));
    let mut chunk = vec![0; 65536];
    assert!(viewer.read(&mut chunk).unwrap() > 0);
    let mut terminal = Terminal::open(&house.socket());
    terminal.shows("[live]");
    terminal.press("2");
    terminal.shows("alice");
    terminal.press("X");
    terminal.shows("Kick the client?");
    terminal.press("y");
    terminal.shows("alice kicked");
    let start = Instant::now();
    while viewer.read(&mut chunk).is_ok_and(|n| n > 0) {
        assert!(start.elapsed() < PATIENCE, "the viewer goes on");
    }
    terminal.press("\x03");
    terminal.is_left_clean();
}

#[test]
fn a_restart_of_the_real_daemon_is_survived_and_two_interfaces_agree() {
    let mut house = House::new();
    let id = house.channel("Channel One");
    let (mut one, mut two) = (Terminal::open(&house.socket()), Terminal::open(&house.socket()));
    for terminal in [&mut one, &mut two] {
        terminal.shows("[live]");
        terminal.press("3");
        terminal.shows("Channel One");
    }
    // Somebody else edits; both see it.
    let patch = ChannelPatch { name: Some("By curl".into()), ..ChannelPatch::default() };
    house.runtime.block_on(house.app.library.update_channel("curl", yagi_api::ChannelId(id), patch)).unwrap();
    one.shows("By curl");
    two.shows("By curl");
    // One of them edits; the other sees it.
    one.press("e");
    one.shows("Edit channel");
    one.press("\x15By one\x13");
    one.shows("u to undo");
    two.shows("By one");
    house.stop();
    one.shows("[offline");
    two.shows("[offline");
    one.shows("By one");
    house.start_again();
    one.shows("[live]");
    two.shows("[live]");
    one.press("t");
    one.shows("is off");
    two.wait("the other's switch", |seen| seen.parser.screen().contents().contains(" off"));
    for mut terminal in [one, two] {
        terminal.press("\x03");
        terminal.is_left_clean();
    }
}

/// One request on the admin socket, as curl sends it: status and body.
fn curl(socket: &Path, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn two_interfaces_and_curl_edit_at_once_and_agree() {
    let house = House::new();
    let id = house.channel("Channel One");
    let (mut one, mut two) = (Terminal::open(&house.socket()), Terminal::open(&house.socket()));
    for terminal in [&mut one, &mut two] {
        terminal.shows("[live]");
        terminal.press("3");
        terminal.shows("Channel One");
        terminal.press("e");
        terminal.shows("Edit channel");
    }
    // All three have read the same version; the first to save wins, the others are told.
    let path = format!("/api/channels/{id}");
    let (status, _) = curl(&house.socket(), "PATCH", &path, r#"{"name": "By curl", "version": 1}"#);
    assert_eq!(status, 200);
    one.press("\x15By one\x13");
    one.shows("now: By curl");
    let (status, _) = curl(&house.socket(), "PATCH", &path, r#"{"name": "Late curl", "version": 1}"#);
    assert_eq!(status, 409);
    one.press("\x13");
    one.shows("u to undo");
    two.press("\x15By two\x13");
    two.shows("now: By one");
    // The second gives way.
    two.press("\x1b");
    two.shows("Esc again leaves");
    two.press("\x1b");
    two.wait("the form to close", |seen| !seen.parser.screen().contents().contains("Edit channel"));
    for terminal in [&one, &two] {
        terminal.shows("By one");
    }
    assert!(curl(&house.socket(), "GET", &path, "").1.contains("\"name\":\"By one\""));
    for mut terminal in [one, two] {
        terminal.press("\x03");
        terminal.is_left_clean();
    }
}

/// `cargo test --release -p yagi --test it terminal_figures -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a check"]
#[allow(clippy::disallowed_methods, reason = "the thread is the test's own, and what is counted is a time")]
fn terminal_figures() {
    const CHANNELS: u32 = 200_000;
    let house = House::new();
    let draft = UserDraft { name: "alice".into(), max_connections: Some(0), ..UserDraft::default() };
    let alice = house.runtime.block_on(house.app.library.create_user("test", draft)).unwrap();
    let began = Instant::now();
    for from in (0..CHANNELS).step_by(20_000) {
        let row = |i: u32| {
            format!(
                r#"{{"op":"create","noun":"channels","row":{{"name":"Channel {i} HD","guide_id":"channel{i}.example","sources":[{{"url":"{}"}}]}}}}"#,
                if i < 20 { "testcard:".to_owned() } else { format!("http://upstream.example:8080/live/u/p/{i}.ts") }
            )
        };
        let list = (from..from + 20_000).map(row).collect::<Vec<_>>().join(",");
        let (status, body) = curl(&house.socket(), "POST", "/api/apply", &format!(r#"{{"operations":[{list}]}}"#));
        assert_eq!(status, 200, "{}", &body[..body.len().min(300)]);
    }
    println!("200,000 channels made in ten steps, without numbers: {:?}", began.elapsed());
    let kind = if cfg!(debug_assertions) { "unoptimised" } else { "release" };
    let full = |seen: &crate::terminal::Seen, word: &str| {
        let text = seen.parser.screen().contents();
        text.contains(word) && text.lines().last().is_some_and(|l| l.contains("help"))
    };
    let mut times: [Vec<u128>; 3] = Default::default();
    for _ in 0..15 {
        let began = Instant::now();
        let mut terminal = Terminal::open(&house.socket());
        terminal.wait("a frame", |seen| full(seen, "[1 Streams]"));
        times[0].push(began.elapsed().as_millis());
        terminal.wait("the daemon's figures", |seen| full(seen, "[live]") && full(seen, "read-write"));
        times[1].push(began.elapsed().as_millis());
        let began = Instant::now();
        terminal.press("3");
        terminal.wait("channels", |seen| full(seen, "Channel 3 HD") && full(seen, "200000"));
        times[2].push(began.elapsed().as_millis());
        terminal.press("\x03");
        terminal.is_left_clean();
    }
    let what = ["start to first frame", "start to live figures", "key to rows of 200,000 channels"];
    for (times, what) in times.iter_mut().zip(what) {
        times.sort_unstable();
        println!(
            "{kind}: {what}: median {} ms, worst of {} {} ms",
            times[times.len() / 2],
            times.len(),
            times[times.len() - 1]
        );
    }
    // Idle, then twenty viewers, each a row whose figures move.
    let mut terminal = Terminal::open(&house.socket());
    terminal.shows("[live]");
    let sent = |terminal: &Terminal| terminal.seen.0.lock().unwrap().bytes.len();
    let second = || std::thread::sleep(std::time::Duration::from_secs(1));
    (0..3).for_each(|_| second());
    let before = sent(&terminal);
    (0..10).for_each(|_| second());
    println!("{kind}: bytes in 10 s without streams: {}", sent(&terminal) - before);
    let id = house.app.library.catalog().channels()[0].id;
    let path = format!("/live/alice/{}/{id}.ts", alice.password);
    let viewers: Vec<_> = (0..20)
        .map(|_| {
            let mut viewer = house.ask(&path);
            std::thread::spawn(move || std::io::copy(&mut viewer, &mut std::io::sink()))
        })
        .collect();
    terminal.press("2");
    terminal.shows("20 clients");
    (0..5).for_each(|_| second());
    let mut seconds: Vec<usize> = Vec::new();
    for _ in 0..20 {
        let before = sent(&terminal);
        second();
        seconds.push(sent(&terminal) - before);
    }
    seconds.sort_unstable();
    let (median, most) = (seconds[seconds.len() / 2], seconds[seconds.len() - 1]);
    println!("{kind}: bytes in a second with 20 viewers at 80x24: median {median}, most {most}");
    drop(terminal);
    drop(house);
    drop(viewers);
}
