//! The corpus of odd guides (`tests/data/xmltv`), and that no time depends on the machine's zone.
//!
//! Must not enter: the line-up. Invariant: every file of the corpus is in the snapshot, with its epochs as UTC and as Rome reads them.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::*;

fn short(text: &str) -> String {
    if text.len() > 60 {
        format!("{}… ({} bytes)", &text[..text.floor_char_boundary(60)], text.len())
    } else {
        text.to_owned()
    }
}

/// One line for each programme, channel and note; the fault if it is refused.
fn describe(bytes: &[u8], clock: &Clock) -> String {
    let mut out = String::new();
    let counts = read_in(Text::new(bytes, Instant::now() + Duration::from_secs(60)), clock, |item| {
        let _ = match item {
            Item::Channel { id, names } => writeln!(out, "  channel {id:?} {names:?}"),
            Item::Programme { channel, programme: p } => {
                let more =
                    if p.description.is_empty() { String::new() } else { format!(" desc={:?}", short(&p.description)) };
                writeln!(out, "  {channel} {} {} {:?} {:?}{more}", p.start, p.stop, short(&p.title), p.lang)
            }
        };
        Ok(())
    });
    let _ = match counts {
        Ok(counts) => {
            for note in &counts.notes {
                let _ = writeln!(out, "  - {note}");
            }
            writeln!(out, "  {} read, {} skipped", counts.programmes, counts.skipped)
        }
        Err(refusal) => writeln!(out, "  REFUSED {refusal}"),
    };
    out
}

fn corpus(clock: &Clock) -> String {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/xmltv");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 30);
    let mut out = String::new();
    for path in files {
        let _ = writeln!(out, "{}", path.file_name().unwrap().to_string_lossy());
        out.push_str(&describe(&std::fs::read(path).unwrap(), clock));
    }
    out
}

#[test]
fn the_corpus_reads_as_it_always_did() {
    insta::assert_snapshot!("corpus", corpus(&Clock::default()));
    // What names no offset differs by Rome's; everything else is the same.
    let (utc, rome) = (corpus(&Clock::default()), corpus(&Clock::new("Europe/Rome", 0)));
    let differing: Vec<_> = utc.lines().zip(rome.lines()).filter(|(a, b)| a != b).collect();
    assert!(differing.len() > 20 && utc.lines().count() == rome.lines().count());
    insta::assert_snapshot!("corpus_nights_in_rome", rome.split("06-").next().unwrap().split("04-").nth(1).unwrap());
}

/// Run by the test below with another `TZ`.
#[test]
fn epochs_of_the_corpus() {
    let out = corpus(&Clock::default()) + &corpus(&Clock::new("Europe/Rome", 0));
    println!("digest {:?}", ring::digest::digest(&ring::digest::SHA256, out.as_bytes()));
}

#[test]
fn epochs_do_not_depend_on_the_machines_zone() {
    let of = |zone: &str| {
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "guide::xmltv::corpus_tests::epochs_of_the_corpus", "--nocapture"])
            .env("TZ", zone)
            .output()
            .unwrap();
        let out = String::from_utf8(run.stdout).unwrap();
        out.lines().find_map(|l| l.split_once("digest ").map(|(_, d)| d.to_owned())).unwrap()
    };
    let utc = of("UTC");
    for zone in ["Europe/Rome", "Asia/Kolkata", "America/St_Johns"] {
        assert_eq!(of(zone), utc, "{zone}");
    }
}
