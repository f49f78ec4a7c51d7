//! Figures of reading, importing, holding and writing big lists.
//!
//! Must not enter: assertions on time. Invariant: run by hand only:
//! `cargo test --release -p yagid --lib playlist_figures -- --ignored --nocapture --test-threads 1`

use std::{
    fmt::Write as _,
    fs,
    io::{BufReader, Write as _},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use yagi_api::{ChannelDraft, ChannelPatch, ChannelSource, SourceDraft, UserDraft};

use super::{
    job::{Cause, Job, Limits},
    m3u::Reader,
    write,
};
use crate::{events::Events, library::Library};

/// A realistic mix: 9 % names with a comma, 10 % with catch-up, 1 % with two more directives.
fn generate(entries: u32) -> String {
    let mut out = String::from("#EXTM3U x-tvg-url=\"http://guide.example/epg.xml.gz\"\n");
    for i in 0..entries {
        let comma = if i % 11 == 0 { ", Extra" } else { "" };
        let _ = write!(
            out,
            "#EXTINF:-1 tvg-id=\"channel{i}.example\" tvg-name=\"Channel {i}{comma} HD\" \
             tvg-logo=\"http://logos.example.org/pictures/channels/large/{i}.png\" group-title=\"Group {}\"",
            i % 200
        );
        if i % 10 == 0 {
            out.push_str(" catchup=\"default\" catchup-days=\"7\" catchup-source=\"http://h/t/{utc}/{duration}\"");
        }
        let _ = writeln!(out, ",Channel {i}{comma} HD");
        if i % 100 == 0 {
            out.push_str("#EXTGRP:Other\n#EXTVLCOPT:http-user-agent=Mozilla/5.0\n");
        }
        let _ = writeln!(out, "http://upstream.example.org:8080/live/username01/password01/{i}.ts");
    }
    out
}

fn status(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[test]
#[ignore = "a measurement, not a check"]
fn playlist_figures_reading() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.m3u");
    let len = {
        let text = generate(200_000);
        fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        text.len()
    };
    let before = status("VmRSS");
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let file = BufReader::with_capacity(64 * 1024, fs::File::open(&path).unwrap());
        let mut reader = Reader::new(Box::new(file), 1_000_000).unwrap();
        let mut names = 0;
        while let Some(entry) = reader.next().unwrap() {
            names += entry.name.len();
        }
        assert_eq!(reader.summary.entries, 200_000);
        assert!(names > 0);
        best = best.min(began.elapsed());
    }
    println!("read: {} MB, 200000 entries: {best:?}, RSS +{} kB", len >> 20, status("VmRSS").saturating_sub(before));
}

#[test]
#[ignore = "a measurement, not a check"]
fn playlist_figures_importing() {
    let count: u32 = std::env::var("ENTRIES").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.m3u");
    fs::write(&path, generate(count)).unwrap();
    let library = Library::open(&dir.path().join("state"), Events::default()).unwrap().library;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let draft = SourceDraft { url: "/x.m3u".into(), ..SourceDraft::default() };
    let source = runtime.block_on(library.create_source("t", draft)).unwrap();
    let refresh = |path: &std::path::Path| {
        let job = Job {
            library: library.clone(),
            source: source.id,
            known: library.catalog().validators(source.id),
            etag: None,
            last_modified: None,
            public: false,
            limits: Limits { min: 50, max_renamed: 100, max_added: 0 },
            cause: Cause::Refresh,
            progress: Default::default(),
            max_entries: 1_000_000,
            local: false,
            deadline: Instant::now() + Duration::from_secs(600),
        };
        let began = Instant::now();
        let open = || Ok(Box::new(BufReader::with_capacity(64 * 1024, fs::File::open(path)?)) as Box<_>);
        let report = job.apply(&source, &open).unwrap();
        (began.elapsed(), report)
    };
    let rss = status("VmRSS");
    let done = AtomicBool::new(false);
    let (took, waits) = std::thread::scope(|scope| {
        let admin = scope.spawn(|| {
            let mut waits = Vec::new();
            let mut n = 0;
            while !done.load(Relaxed) {
                n += 1;
                let began = Instant::now();
                let draft = UserDraft { name: format!("u{n}"), ..UserDraft::default() };
                runtime.block_on(library.create_user("t", draft)).unwrap();
                waits.push(began.elapsed());
                #[expect(clippy::disallowed_methods, reason = "the pause between two edits of a measurement")]
                std::thread::sleep(Duration::from_millis(5));
            }
            waits
        });
        let (took, report) = refresh(&path);
        assert_eq!(report.added, count);
        done.store(true, Relaxed);
        (took, admin.join().unwrap())
    });
    println!(
        "import of {count} new: {took:?}; an administrator's change meanwhile: most {:?} of {}",
        waits.iter().max().unwrap(),
        waits.len()
    );
    println!("RSS with {count} channels: +{} kB, peak {} kB", status("VmRSS").saturating_sub(rss), status("VmHWM"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n# touched\n")).unwrap();
    println!("same entries again: {:?}", refresh(&path).0);
    fs::write(&path, text.replace("password01", "password02")).unwrap();
    let (took, report) = refresh(&path);
    println!("all {} changed: {took:?}", report.changed);
    println!("byte-identical: {:?}", refresh(&path).0);

    let draft = ChannelDraft {
        name: "x".into(),
        sources: vec![ChannelSource { url: "testcard:".into(), headers: Vec::new() }],
        ..ChannelDraft::default()
    };
    let channel = runtime.block_on(library.create_channel("t", draft)).unwrap();
    let began = Instant::now();
    for i in 0..20 {
        let patch = ChannelPatch { name: Some(format!("n{i}")), ..ChannelPatch::default() };
        runtime.block_on(library.update_channel("t", channel.id, patch)).unwrap();
    }
    println!("one edit, with commit and a new snapshot of {count}: {:?}", began.elapsed() / 20);
    let catalog = library.catalog();
    let viewer = std::sync::Arc::clone(catalog.viewers().next().unwrap());
    let began = Instant::now();
    let bytes: usize =
        write::pieces(catalog, viewer, "http://h:8080".into(), write::Style::default(), write::Filter::default())
            .map(|p| p.len())
            .sum();
    println!("get.php of {count}: {:?}, {} kB", began.elapsed(), bytes >> 10);
    runtime.block_on(library.close());
    drop(library);
    let began = Instant::now();
    let opened = Library::open(&dir.path().join("state"), Events::default()).unwrap();
    println!("start with {count} channels: {:?}", began.elapsed());
    drop(opened);
}
