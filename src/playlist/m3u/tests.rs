//! The corpus of odd lists (`tests/data/m3u`) and what holds for any bytes.
//!
//! Must not enter: the line-up. Invariant: every file of the corpus is in the snapshot.

use std::{fmt::Write as _, io::Cursor};

use proptest::prelude::*;

use super::*;
use crate::mutation::Mutation;

fn read(bytes: &[u8], max: u32) -> (Vec<Entry>, Summary, Option<String>) {
    let mut reader = Reader::new(Box::new(Cursor::new(bytes.to_vec())), max).unwrap();
    let mut entries = Vec::new();
    let fault = loop {
        match reader.next() {
            Ok(Some(entry)) => entries.push(entry.clone()),
            Ok(None) => break None,
            Err(e) => break Some(e.to_string()),
        }
    };
    (entries, reader.summary, fault)
}

fn describe(bytes: &[u8]) -> String {
    let (entries, summary, fault) = read(bytes, 100);
    let mut out = String::new();
    for e in &entries {
        let _ = write!(out, "  {} {:?}", e.line, e.name);
        for (key, value) in [("id", &e.guide_id), ("group", &e.group), ("logo", &e.logo)] {
            if !value.is_empty() {
                let _ = write!(out, " {key}={value:?}");
            }
        }
        if e.number > 0 {
            let _ = write!(out, " number={}", e.number);
        }
        if e.shift_min != 0 {
            let _ = write!(out, " shift={}", e.shift_min);
        }
        if e.radio {
            out.push_str(" radio");
        }
        if let Some(c) = &e.catchup {
            let _ = write!(out, " catchup={}/{}/{}", c.mode, c.days, c.source);
        }
        for s in &e.sources {
            let _ = write!(out, " <{}>", s.url);
            for (k, v) in &s.headers {
                let _ = write!(out, " {k}:{v:?}");
            }
        }
        out.push('\n');
    }
    for note in &summary.notes {
        let _ = writeln!(out, "  - {note}");
    }
    for guide in &summary.guides {
        let _ = writeln!(out, "  guide {guide}");
    }
    if let Some(fault) = fault {
        let _ = writeln!(out, "  FAILS {fault}");
    }
    out
}

#[test]
fn the_corpus_reads_as_it_always_did() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/m3u");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 60);
    let mut out = String::new();
    for path in files.iter().filter(|p| p.extension().is_some_and(|e| e == "m3u")) {
        let _ = writeln!(out, "{}", path.file_name().unwrap().to_string_lossy());
        out.push_str(&describe(&std::fs::read(path).unwrap()));
    }
    insta::assert_snapshot!("corpus", out);
}

#[test]
fn limits_are_counted_not_fatal() {
    let list: String = (0..50).map(|i| format!("#EXTINF:-1,C{i}\nhttp://h/{i}\n")).collect();
    let (entries, summary, fault) = read(list.as_bytes(), 10);
    assert_eq!((entries.len(), summary.entries, summary.skipped, fault), (10, 10, 40, None));
    assert_eq!(summary.notes.len(), MAX_NOTES);
    assert_eq!(summary.notes[0].line, 21);
    let long = format!("#EXTM3U\n#EXTINF:-1,{}\n#EXTINF:-1,A\nhttp://h/a\n", "x".repeat(70_000));
    let (entries, summary, _) = read(long.as_bytes(), 10);
    assert_eq!((entries.len(), summary.notes[0].line), (1, 2));
}

#[test]
fn a_broken_transport_fails_with_its_words() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("corrupt gzip"))
        }
    }
    let input = io::Read::chain(Cursor::new(b"#EXTM3U\n#EXTINF:-1,A\nhttp://h/a\n".to_vec()), Broken);
    let mut reader = Reader::new(Box::new(io::BufReader::new(input)), 10).unwrap();
    let mut last = reader.next().map(|e| e.map(|e| e.name.clone()));
    while let Ok(Some(_)) = last {
        last = reader.next().map(|e| e.map(|e| e.name.clone()));
    }
    assert!(last.unwrap_err().to_string().contains("corrupt gzip"));
}

/// What holds for every list.
fn holds(entries: &[Entry], summary: &Summary) {
    assert!(entries.len() <= 10 && summary.notes.len() <= MAX_NOTES);
    for e in entries {
        assert!(!e.name.is_empty() && !e.sources.is_empty());
        assert!(!e.name.chars().any(yagi_api::text::is_foul));
        assert!(!e.sources.iter().any(|s| s.url.chars().any(char::is_control)));
    }
}

/// `cargo test --release -p yagid --lib fuzz -- --ignored --nocapture`; `FUZZ_RUNS` and `FUZZ_SEED` say how much and which.
#[test]
#[ignore = "a million inputs"]
fn fuzz_playlists() {
    const WORDS: &[&str] = &[
        "#EXTM3U",
        "#EXTINF:-1 ",
        "tvg-id=\"",
        "\"",
        "'",
        ",",
        "|User-Agent=",
        "\r",
        "\n",
        "\r\n",
        "#EXTGRP:",
        "#KODIPROP:",
        "#EXTVLCOPT:http-",
        "http://",
        "acestream://",
        "\u{feff}",
        "\0",
        "&",
        "=",
        "\u{202e}",
        "x-tvg-url=\"",
        "catchup=\"",
    ];
    let mut inputs = Mutation::of("m3u", WORDS);
    let mut seen = 0_u64;
    for _ in 0..Mutation::runs() {
        let bytes = inputs.next();
        let (entries, summary, _) = read(&bytes, 10);
        seen += entries.len() as u64;
        holds(&entries, &summary);
    }
    println!("{} lists, {seen} entries", Mutation::runs());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_lines_are_read_to_their_end(lines in prop::collection::vec(prop_oneof![
        Just("#EXTM3U".to_owned()), Just("#EXTINF:-1".to_owned()), Just("#EXTGRP:".to_owned()), Just("http://h/x".to_owned()),
        Just("#EXTINF:-1 a=\"b,c".to_owned()), Just("#KODIPROP:".to_owned()), Just("#EXTVLCOPT:http-=".to_owned()),
        Just("http://|a=b&=".to_owned()), Just(String::new()), "\\PC{0,40}", "#EXT[A-Z3:]{0,10}\\PC{0,30}",
    ], 0..30), cr in any::<bool>()) {
        let text = lines.join(if cr { "\r" } else { "\n" });
        let (entries, summary, _) = read(text.as_bytes(), 10);
        holds(&entries, &summary);
    }

    #[test]
    fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&bytes, 10);
    }
}

#[test]
fn remote_text_names_nothing_of_this_machine() {
    let text = "#EXTM3U\n#EXTINF:-1,A\nudp://@239.1.1.1:1234\n#EXTINF:-1,B\nfile:///etc/passwd\n\
        #EXTINF:-1,C\nexec:x?url=1\n#EXTINF:-1,D\nhttp://h/4\n#EXTINF:-1,E\nrtp://@239.1.1.1:1\n";
    let (entries, summary, _) = read(text.as_bytes(), 100);
    let urls: Vec<&str> = entries.iter().flat_map(|e| &e.sources).map(|s| s.url.as_str()).collect();
    assert_eq!(urls, ["http://h/4"]);
    assert!(summary.notes.iter().filter(|n| n.reason.contains("import.trusted_sources")).count() == 4);
    let mut reader = Reader::new(Box::new(Cursor::new(text)), 100).unwrap().trusting(true);
    let mut names = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        names.push(entry.name.clone());
    }
    assert_eq!(names, ["A", "B", "C", "D", "E"]);
}
