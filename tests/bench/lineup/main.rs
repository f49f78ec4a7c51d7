//! What huge line-ups and guides cost: `cargo bench --bench lineup -- [list] [guide] [beside]`; all three without a name.
//!
//! The daemon is a process of its own that fetches its playlist and guide from a web server here, and is asked over its sockets as
//! players and administrators do. `ENTRIES` says how many channels the playlist has. Everything stays on loopback and ends by itself.

#![allow(clippy::disallowed_methods, reason = "a bench paces itself by sleeping")]

#[path = "daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "the other bench uses all of it")]
#[path = "../fanout/load.rs"]
mod load;
#[path = "../fanout/source.rs"]
mod source;

use std::{
    fmt::Write as _,
    fs,
    io::{BufWriter, Write as _},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use daemon::{Client, Daemon, spawn};
use load::{Appetite, Load};
use serde_json::{Value, json};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if args.first().is_some_and(|a| a == "source") {
        return source::main(&args[1..]);
    }
    let entries = std::env::var("ENTRIES").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let wants = |name: &str| args.is_empty() || args.iter().any(|a| a == name);
    let bench = Bench::new(entries);
    if wants("list") || wants("guide") {
        let daemon = bench.list(wants("list"));
        if wants("guide") {
            bench.guide(&daemon);
        }
    }
    if wants("beside") {
        bench.beside();
    }
}

struct Bench {
    dir: tempfile::TempDir,
    port: u16,
    entries: u32,
}

/// 9 % of the names have a comma, 10 % of the channels catch-up, 1 % two more directives; `renamed` in a hundred are called otherwise.
fn playlist(entries: u32, round: u32, renamed: u32) -> String {
    let mut out = format!("#EXTM3U x-tvg-url=\"http://guide.example/epg.xml.gz\"\n# {round}\n");
    for i in 0..entries {
        let comma = if i % 11 == 0 { ", Extra" } else { "" };
        let name = if (i + round) % 100 < renamed { format!("Kanal {round} {i}") } else { format!("Channel {i}") };
        let _ = write!(
            out,
            "#EXTINF:-1 tvg-id=\"channel{i}.example\" tvg-name=\"{name}{comma} HD\" \
             tvg-logo=\"http://logos.example.org/pictures/channels/large/{i}.png\" group-title=\"Group {}\"",
            i % 200
        );
        if i % 10 == 0 {
            out.push_str(" catchup=\"default\" catchup-days=\"7\" catchup-source=\"http://h/t/{utc}/{duration}\"");
        }
        let _ = writeln!(out, ",{name}{comma} HD");
        if i % 100 == 0 {
            out.push_str("#EXTGRP:Other\n#EXTVLCOPT:http-user-agent=Mozilla/5.0\n");
        }
        let _ = writeln!(out, "http://upstream.example.org:8080/live/username01/password01/{i}.ts");
    }
    out
}

/// 2,000 channels with 252 programmes of 40 minutes from an hour ago on: about 240 MB.
fn xmltv(path: &Path, round: u32) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_secs() as i64;
    let stamp = |at: i64| {
        jiff::Timestamp::from_second(at).map(|t| t.strftime("%Y%m%d%H%M%S +0000").to_string()).expect("a time")
    };
    let text = "What happens in this programme, with caf&eacute; and &amp; signs, as guides carry it for every entry. "
        .repeat(2);
    let mut out = BufWriter::new(fs::File::create(path).expect("a file"));
    let mut put = |text: String| out.write_all(text.as_bytes()).expect("room on the disk");
    put(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tv>\n<!-- {round} -->\n"));
    for c in 0..2000 {
        put(format!("<channel id=\"channel{c}.example\"><display-name>Channel {c}</display-name></channel>\n"));
    }
    let stamps: Vec<String> = (0..=252).map(|n| stamp(now - 3600 + n * 2400)).collect();
    for c in 0..2000 {
        for n in 0..252 {
            put(format!(
                "<programme start=\"{}\" stop=\"{}\" channel=\"channel{c}.example\"><title lang=\"en\">Programme {n} of {c}</title>\
                 <sub-title>Episode {n}</sub-title><desc lang=\"en\">{text}</desc><category>News</category></programme>\n",
                stamps[n],
                stamps[n + 1]
            ));
        }
    }
    put("</tv>\n".to_owned());
}

fn verdict(what: &str, measured: f64, limit: f64, unit: &str) {
    let holds = if measured <= limit { "holds" } else { "FALLS SHORT" };
    println!("  {what:58} {measured:>9.3} {unit:3} of {limit:>7} {holds}");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn percentile(all: &mut [f64], share: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn mib(kb: u64) -> f64 {
    kb as f64 / 1024.0
}

fn seconds(report: &Value) -> f64 {
    report["millis"].as_f64().unwrap_or(f64::NAN) / 1000.0
}

impl Bench {
    fn new(entries: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("web")).expect("a directory");
        let port = daemon::serve(dir.path().join("web"));
        Self { dir, port, entries }
    }

    fn put(&self, text: &str) {
        fs::write(self.dir.path().join("web/list.m3u"), text).expect("a file");
    }

    /// A daemon with a viewer, and the viewer's part of an address.
    fn daemon(&self, name: &str) -> (Daemon, String) {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).expect("a directory");
        let daemon = Daemon::start(&dir);
        daemon.ask("PATCH", "/api/settings", &json!({"refresh_max_renamed_percent": 100}).to_string());
        let user = daemon.ask("POST", "/api/users", &json!({"name": "bench", "max_connections": 0}).to_string());
        let password = user["password"].as_str().expect("a password").to_owned();
        (daemon, format!("username=bench&password={password}"))
    }

    fn source(&self, daemon: &Daemon, file: &str) -> u64 {
        let url = format!("http://127.0.0.1:{}/{file}", self.port);
        let source =
            daemon.ask("POST", "/api/sources", &json!({"url": url, "interval_s": 0, "enabled": false}).to_string());
        source["id"].as_u64().expect("an id")
    }

    fn list(&self, told: bool) -> (Daemon, String) {
        let text = playlist(self.entries, 0, 0);
        println!("list: {} entries, {:.1} MB", self.entries, text.len() as f64 / 1e6);
        self.put(&text);
        let (daemon, login) = self.daemon("list");
        let source = self.source(&daemon, "list.m3u");
        let (report, peak) = daemon.peak_during(|| daemon.refresh(source));
        if !told {
            return (daemon, login);
        }
        assert_eq!(report["added"], self.entries);
        let after = daemon.rss_kb();
        verdict("import", seconds(&report), 2.0, "s");
        let daemon = daemon.restart();
        let rest = daemon.rss_kb();
        verdict("RSS with all channels, after a restart", mib(rest), 250.0, "MiB");
        verdict("RSS right after the import", mib(after), 250.0, "MiB");
        verdict("peak of the import above what the channels take", mib(peak.saturating_sub(rest)), 30.0, "MiB");
        let log = || fs::metadata(self.dir.path().join("list/state/yagid.db-wal")).map_or(0, |m| m.len());
        let before = log();
        verdict("refresh of the same bytes", seconds(&daemon.refresh(source)), 0.7, "s");
        println!("  the database's log grew by {} kB (its report; no row)", log().saturating_sub(before) / 1024);
        self.put(&playlist(self.entries, 1, 0));
        println!("  refresh of the same entries in other bytes: {:.3} s", seconds(&daemon.refresh(source)));
        let mut client = Client::new(daemon.port());
        let path = format!("/get.php?{login}&type=m3u_plus&output=ts");
        for what in ["first", "again"] {
            let got = client.get(&path, "");
            assert_eq!(got.status, 200);
            println!("  get.php, {what}: {:.1} MB", got.bytes as f64 / 1e6);
            verdict("get.php: first byte", ms(got.first), 20.0, "ms");
            verdict("get.php: whole", got.whole.as_secs_f64(), 0.5, "s");
        }
        let mut sizes = Vec::new();
        for round in 2..=21 {
            self.put(&playlist(self.entries, round, 1));
            let report = daemon.refresh(source);
            assert!(report["changed"].as_u64() > Some(0), "{report}");
            sizes.push(daemon.rss_kb());
        }
        println!("  RSS after each of 20 refreshes: {:?} MiB", sizes.iter().map(|kb| kb >> 10).collect::<Vec<_>>());
        verdict(
            "RSS of the 20th refresh against the first",
            (sizes[19] as f64 / sizes[0] as f64 - 1.0) * 100.0,
            5.0,
            "%",
        );
        (daemon, login)
    }

    fn guide(&self, (daemon, login): &(Daemon, String)) {
        let path = self.dir.path().join("web/guide.xml");
        xmltv(&path, 0);
        println!(
            "guide: {:.1} MB, 504,000 programmes of 2,000 channels",
            fs::metadata(&path).expect("a file").len() as f64 / 1e6
        );
        let source = self.source(daemon, "guide.xml");
        let before = daemon.rss_kb();
        let (report, peak) = daemon.peak_during(|| daemon.refresh(source));
        verdict("build", seconds(&report), 5.0, "s");
        verdict("peak RSS of the build above what was", mib(peak.saturating_sub(before)), 32.0, "MiB");
        let mut client = Client::new(daemon.port());
        let path = format!("/xmltv.php?{login}");
        let made = client.get(&path, "");
        println!(
            "  xmltv.php, made: first byte {:.1} ms, {:.1} MB in {:.2} s",
            ms(made.first),
            made.bytes as f64 / 1e6,
            made.whole.as_secs_f64()
        );
        // A large answer is kept when it has been asked for twice.
        client.get(&path, "");
        let mut times: Vec<f64> = (0..10).map(|_| ms(client.get(&path, "").first)).collect();
        verdict("xmltv.php again, first byte, worst of 10", percentile(&mut times, 1.0), 5.0, "ms");
        let condition = format!("If-None-Match: {}\r\n", made.etag);
        let mut times: Vec<f64> = (0..100)
            .map(|_| {
                let got = client.get(&path, &condition);
                assert_eq!((got.status, got.bytes), (304, 0));
                ms(got.whole)
            })
            .collect();
        verdict("304, p50", percentile(&mut times, 0.5), 1.0, "ms");
        verdict("304, worst of 100", percentile(&mut times, 1.0), 1.0, "ms");
        let rows = daemon.ask("GET", "/api/channels?limit=500&sort=number", "");
        let ids: Vec<u64> = rows["rows"].as_array().into_iter().flatten().filter_map(|r| r["id"].as_u64()).collect();
        assert!(ids.len() >= 500, "{rows}");
        for what in ["read", "from memory"] {
            let mut times: Vec<f64> = ids
                .iter()
                .map(|id| {
                    ms(client.get(&format!("/player_api.php?{login}&action=get_short_epg&stream_id={id}"), "").whole)
                        * 1000.0
                })
                .collect();
            let words = format!("get_short_epg with login, {what}: p50");
            verdict(&words, percentile(&mut times, 0.5), 100.0, "µs");
            println!("    p99 {:.0} µs", percentile(&mut times, 0.99));
        }
    }

    /// A stream with viewers, and logins, without and beside imports and builds.
    fn beside(&self) {
        const RATE: u64 = 8_000_000;
        const VIEWERS: usize = 50;
        let own = std::env::current_exe().expect("this program's path");
        let source = spawn(Command::new(own).args(["source", &RATE.to_string(), "87", "1"]), |l| l.trim().parse().ok());
        let (daemon, login) = self.daemon("beside");
        let url = format!("http://127.0.0.1:{}/0", source.port);
        let draft = json!({"name": "bench", "sources": [{"url": url, "headers": []}]}).to_string();
        let channel = daemon.ask("POST", "/api/channels", &draft)["id"].as_u64().expect("an id");
        let password = login.rsplit('=').next().unwrap_or_default();
        let path = format!("/live/bench/{password}/{channel}.ts");
        self.put(&playlist(self.entries, 0, 0));
        xmltv(&self.dir.path().join("web/guide.xml"), 0);
        let (list, guide) = (self.source(&daemon, "list.m3u"), self.source(&daemon, "guide.xml"));
        println!(
            "beside: {VIEWERS} viewers of 8 Mbit/s; {} channels and a guide of 240 MB come in, again and again",
            self.entries
        );
        let mut load = Load::new(daemon.port());
        load.connect((0, &path), VIEWERS, Appetite::Whole, true).expect("viewers");
        load.drain(Duration::from_secs(2));
        let seconds = Duration::from_secs(12);
        let mut alone = (f64::NAN, f64::NAN);
        for busy in [false, true] {
            let stop = Arc::new(AtomicBool::new(false));
            let worker = busy.then(|| {
                let (stop, socket, dir, entries) =
                    (Arc::clone(&stop), daemon.socket(), self.dir.path().join("web"), self.entries);
                std::thread::spawn(move || {
                    let mut rounds = 0;
                    while !stop.load(Relaxed) {
                        daemon::refresh(&socket, list);
                        daemon::refresh(&socket, guide);
                        rounds += 1;
                        fs::write(dir.join("list.m3u"), playlist(entries, rounds, 1)).expect("a file");
                    }
                    rounds
                })
            });
            let logins = {
                let (stop, port, login) = (Arc::clone(&stop), daemon.port(), login.clone());
                std::thread::spawn(move || {
                    let mut times = Vec::new();
                    while !stop.load(Relaxed) {
                        let began = Instant::now();
                        let got = Client::new(port).get(&format!("/player_api.php?{login}"), "Connection: close\r\n");
                        assert_eq!(got.status, 200);
                        times.push(ms(began.elapsed()));
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    times
                })
            };
            let window = load.measure(seconds);
            stop.store(true, Relaxed);
            let mut logins = logins.join().expect("logins");
            let p99 = percentile(&mut logins, 0.99);
            let rounds = worker.map_or(0, |w| w.join().expect("refreshes"));
            let least = window.least as f64 * 8.0 / window.seconds / RATE as f64 * 100.0;
            println!(
                "  {}: last viewer p50 {:.2} ms, p99 {:.2} ms; faults {}; least {least:.1} % of the bit rate; {} logins, p99 {p99:.2} ms",
                if busy { format!("beside {rounds} rounds") } else { "alone".to_owned() },
                window.percentile_ms(0.5),
                window.percentile_ms(0.99),
                window.faults,
                logins.len(),
            );
            if busy {
                verdict("faults at viewers", window.faults as f64, 0.0, "");
                verdict(
                    "last viewer's p99 against without",
                    (window.percentile_ms(0.99) / alone.0 - 1.0) * 100.0,
                    20.0,
                    "%",
                );
                verdict("logins, p99", p99, 5.0, "ms");
            } else {
                alone = (window.percentile_ms(0.99), p99);
            }
        }
    }
}
