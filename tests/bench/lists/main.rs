//! What players wait for: `cargo bench --bench lists -- [--channels 50000] [--runs 20] [answers] [tls]`.
//!
//! `answers`: how long lists, playlists and the guide take over loopback until the first and the last byte, plain and packed, as the
//! first answer after an edit and later; then after an edit of every row. `tls`: what a viewer over TLS costs beside a plain one.
//! The daemon is a process of its own; everything stays on loopback and ends by itself.

#![allow(clippy::disallowed_methods, reason = "a bench paces itself by sleeping and ends where its options are wrong")]

#[allow(dead_code, reason = "shared with the bench of streams")]
#[path = "../fanout/server.rs"]
mod server;
#[allow(dead_code, reason = "shared with the bench of streams")]
#[path = "../fanout/source.rs"]
mod source;
#[path = "tls.rs"]
mod tls;

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use server::Server;

/// What an answer may take to begin and to end, in milliseconds.
const LIMITS: (f64, f64) = (5.0, 60.0);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if args.first().is_some_and(|a| a == "source") {
        return source::main(&args[1..]);
    }
    let (mut channels, mut runs, mut names) = (50_000, 20, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--channels" => channels = args.next().and_then(|n| n.parse().ok()).expect("a number"),
            "--runs" => runs = args.next().and_then(|n| n.parse().ok()).expect("a number"),
            name => names.push(name),
        }
    }
    let wants = |name: &str| names.is_empty() || names.contains(&name);
    if wants("answers") {
        answers(channels, runs);
    }
    if wants("tls") {
        tls::cost();
    }
}

/// Two thousand channels of a day.
fn guide() -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tv>\n");
    for n in 0..2000 {
        let _ = writeln!(out, "<channel id=\"ch{n}.example\"><display-name>Channel {n}</display-name></channel>");
    }
    let day = jiff::Timestamp::now().as_second() / 86_400 * 86_400;
    let stamp = |at: i64| jiff::Timestamp::from_second(at).expect("a time").strftime("%Y%m%d%H%M%S +0000").to_string();
    for (n, slot) in (0..2000).flat_map(|n| (0..48).map(move |slot| (n, slot))) {
        let start = day + slot * 1800;
        let _ = writeln!(
            out,
            "<programme start=\"{}\" stop=\"{}\" channel=\"ch{n}.example\"><title>Programme {slot} of {n}</title>\
             <desc>What programme {slot} of channel number {n} is about, in a sentence or two of the usual length, {}.</desc>\
             </programme>",
            stamp(start),
            stamp(start + 1800),
            (n * 48 + slot) * 7919 % 100_003
        );
    }
    out + "</tv>\n"
}

/// Milliseconds until the first byte of the body's first piece and the last byte, and the bytes of head and body.
struct Took {
    first: f64,
    last: f64,
    bytes: usize,
}

/// One request on a connection of its own.
fn fetch(port: u16, path: &str, packed: bool, kept: &mut Option<Vec<u8>>) -> Took {
    let version = if kept.is_some() { "1.0" } else { "1.1" };
    let coding = if packed { "Accept-Encoding: gzip\r\n" } else { "" };
    let request = format!("GET {path} HTTP/{version}\r\nHost: tv.example\r\n{coding}Connection: close\r\n\r\n");
    let mut buffer = vec![0; 512 << 10];
    let began = Instant::now();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the daemon");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    socket.write_all(request.as_bytes()).expect("the daemon");
    let (mut first, mut bytes) = (None, 0);
    loop {
        let n = socket.read(&mut buffer).expect("an answer");
        if n == 0 {
            break;
        }
        bytes += n;
        // The head alone is no beginning.
        let head = || buffer[..n].windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
        if first.is_none() && head() < n {
            first = Some(began.elapsed());
        }
        if let Some(kept) = kept {
            kept.extend_from_slice(&buffer[..n]);
        }
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Took { first: ms(first.expect("a body")), last: ms(began.elapsed()), bytes }
}

/// The body, unpacked; a packed and a plain answer must be the same.
fn body(port: u16, path: &str, packed: bool) -> Vec<u8> {
    let mut kept = Some(Vec::new());
    fetch(port, path, packed, &mut kept);
    let kept = kept.unwrap_or_default();
    let head = kept.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    assert!(kept.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&kept[..head]));
    if !packed {
        return kept[head..].to_vec();
    }
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(&kept[head..]).read_to_end(&mut out).expect("gzip");
    out
}

fn row(name: &str, what: &str, runs: &[Took]) -> bool {
    let sorted = |of: fn(&Took) -> f64| {
        let mut all: Vec<f64> = runs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2], all[all.len() - 1])
    };
    let ((first, first_worst), (last, last_worst)) = (sorted(|t| t.first), sorted(|t| t.last));
    let holds = first <= LIMITS.0 && last <= LIMITS.1;
    println!(
        "| `{name}` | {what} | {:.2} | {first:.1}, {first_worst:.1} | {last:.1}, {last_worst:.1} | {} |",
        runs[0].bytes as f64 / 1e6,
        if holds { "holds" } else { "falls short" }
    );
    holds
}

fn answers(channels: usize, runs: usize) {
    let server = Server::of_list(channels, Some(&guide()));
    let (port, login) = (server.port, server.paths[0].clone());
    println!(
        "{channels} channels; {runs} runs each; milliseconds: median, worst. RSS {:.1} MiB",
        server.rss_kb() / 1024.0
    );
    let all = [
        ("get_live_streams", format!("/player_api.php?{login}&action=get_live_streams")),
        ("get_live_categories", format!("/player_api.php?{login}&action=get_live_categories")),
        ("panel_api.php", format!("/panel_api.php?{login}")),
        ("get.php", format!("/get.php?{login}&type=m3u_plus&output=ts")),
        ("xmltv.php", format!("/xmltv.php?{login}")),
    ];
    println!("| answer | | MB | first byte | last byte | |\n| --- | --- | --: | --: | --: | --- |");
    let mut edits = 0;
    let mut edit = || {
        edits += 1;
        let id = 1 + edits * 7919 % channels;
        let said = server.ask("PATCH", &format!("/api/channels/{id}"), &format!("{{\"name\":\"Edited {edits}\"}}"));
        assert!(said.contains(&format!("Edited {edits}")), "{said}");
    };
    for (name, path) in &all {
        assert_eq!(body(port, path, false).len(), body(port, path, true).len(), "{name}");
        if name.starts_with("get_live") {
            serde_json::from_slice::<Vec<serde_json::Value>>(&body(port, path, true)).expect("JSON");
        }
        for packed in [false, true] {
            let coding = if packed { "packed" } else { "plain" };
            let first: Vec<Took> = (0..runs)
                .map(|_| {
                    edit();
                    fetch(port, path, packed, &mut None)
                })
                .collect();
            row(name, &format!("{coding}, first after an edit"), &first);
            let later: Vec<Took> = (0..runs).map(|_| fetch(port, path, packed, &mut None)).collect();
            row(name, &format!("{coding}, later"), &later);
        }
    }
    // Each row has another logo after it.
    let mut serve = false;
    for (name, path) in all.iter().filter(|(name, _)| *name != "get_live_categories" && *name != "xmltv.php") {
        let turned: Vec<Took> = (0..runs.div_ceil(4))
            .map(|_| {
                serve = !serve;
                let logos = if serve { "serve" } else { "link" };
                server.ask("PATCH", "/api/settings", &format!("{{\"logos\":\"{logos}\"}}"));
                fetch(port, path, true, &mut None)
            })
            .collect();
        row(name, "packed, first after an edit of every row", &turned);
    }
    println!("RSS at the end {:.1} MiB", server.rss_kb() / 1024.0);
}
