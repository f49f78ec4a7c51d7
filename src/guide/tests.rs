//! Tests of the whole room: documents in, programmes and XMLTV out, over real files.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use yagi_api::{CategoryId, Channel, ChannelSource};

use super::{
    Guide,
    build::{self, Window},
    file::{Facts, Generation},
    time, write,
};
use crate::library::{Catalog, sample::channel};

const NOW: i64 = 1_767_268_800; // 2026-01-01 12:00:00 UTC
const WINDOW: Window = Window { from: NOW - 86_400, until: NOW + 8 * 86_400 };

fn stamp(at: i64) -> String {
    let mut out = Vec::new();
    time::xmltv(&mut out, at);
    String::from_utf8(out).unwrap()
}

fn entry(channel: &str, start: i64, stop: Option<i64>, title: &str) -> String {
    let stop = stop.map(|s| format!(" stop=\"{}\"", stamp(s))).unwrap_or_default();
    format!("<programme start=\"{}\"{stop} channel=\"{channel}\"><title>{title}</title></programme>\n", stamp(start))
}

fn document(channels: &[(&str, &str)], entries: &[String]) -> String {
    let channels: String = channels
        .iter()
        .map(|(id, name)| format!("<channel id=\"{id}\"><display-name>{name}</display-name></channel>\n"))
        .collect();
    format!("<?xml version=\"1.0\"?>\n<tv>\n{channels}{}</tv>\n", entries.concat())
}

fn put(guide: &Guide, source: u32, text: &str) -> Result<(), String> {
    let facts = Facts { source, built_at: NOW, ..Facts::default() };
    let deadline = Instant::now() + Duration::from_secs(60);
    let built = build::build(&guide.0.dir, text.as_bytes(), deadline, WINDOW, facts, |_| Ok(()));
    built.map(|(generation, _)| guide.publish(generation)).map_err(|e| e.to_string())
}

fn open() -> (tempfile::TempDir, Guide) {
    let dir = tempfile::tempdir().unwrap();
    let guide = Guide::open(dir.path()).unwrap();
    (dir, guide)
}

fn titles(guide: &Guide, channel: &Channel) -> Vec<(i64, i64, String)> {
    let all = guide.programmes(channel, NOW, i64::MIN, i64::MAX, 10_000).unwrap();
    all.into_iter().map(|p| (p.start - NOW, p.stop - NOW, p.title)).collect()
}

fn row(start: i64, stop: i64, title: &str) -> (i64, i64, String) {
    (start, stop, title.to_owned())
}

#[test]
fn programmes_are_sorted_windowed_and_do_not_overlap() {
    let (_dir, guide) = open();
    let text = document(
        &[("one", "One"), ("two", "Two")],
        &[
            entry("one", NOW + 3600, None, "third"),
            entry("two", NOW, Some(NOW + 60), "other"),
            entry("one", NOW, Some(NOW + 1800 + 600), "first"),
            entry("ONE", NOW + 1800, Some(NOW + 3600), "second"),
            entry("one", NOW + 1800, Some(NOW + 7200), "again"),
            entry("one", NOW + 9 * 86_400, None, "too far"),
            entry("one", NOW - 2 * 86_400, Some(NOW - 2 * 86_400 + 60), "too old"),
            entry("one", NOW + 4 * 86_400, None, "last"),
        ],
    );
    put(&guide, 1, &text).unwrap();
    let expected = [
        row(0, 1800, "first"),
        row(1800, 3600, "second"),
        row(3600, 3600 + 6 * 3600, "third"),
        row(4 * 86_400, 4 * 86_400 + 3600, "last"),
    ];
    assert_eq!(titles(&guide, &channel(1, "x", "one")), expected);
    // What overlaps a span, cut by the limit.
    let some = guide.programmes(&channel(1, "x", "one"), NOW, NOW + 1800, NOW + 3600, 9).unwrap();
    assert_eq!(some.iter().map(|p| p.title.as_str()).collect::<Vec<_>>(), ["second"]);
    assert_eq!(guide.programmes(&channel(1, "x", "one"), NOW, i64::MIN, i64::MAX, 2).unwrap().len(), 2);
}

#[test]
fn channels_are_found_by_id_then_by_name_and_never_by_an_empty_id() {
    let (_dir, guide) = open();
    let text = document(
        &[("das.erste", "Das Erste HD"), ("zdf", "ZDF"), ("zdf.uhd", "ZDF UHD"), ("silent", "Silent")],
        &[
            entry("das.erste", NOW, None, "a"),
            entry("zdf", NOW, None, "z"),
            entry("zdf.uhd", NOW, None, "u"),
            entry("unlisted", NOW, None, "n"),
        ],
    );
    put(&guide, 1, &text).unwrap();
    let title = |name: &str, id: &str| titles(&guide, &channel(1, name, id)).first().map(|t| t.2.clone());
    assert_eq!(title("whatever", "DAS.Erste").as_deref(), Some("a"));
    assert_eq!(title("das erste (FHD)", "").as_deref(), Some("a"));
    assert_eq!(title("DÁS ERSTE", "unknown.id").as_deref(), Some("a"));
    assert_eq!(title("ZDF HD", "").as_deref(), Some("z"));
    assert_eq!(title("zdf uhd", "").as_deref(), Some("u"));
    assert_eq!(title("x", "unlisted").as_deref(), Some("n"));
    assert_eq!(title("", ""), None);
    assert_eq!(title("Silent", "silent"), None);
    let catalog = Catalog::sample(&[channel(1, "ZDF", ""), channel(2, "Nobody", "")], &[]);
    let status = guide.status(&catalog);
    assert_eq!((status.matched, status.unmatched, status.channels, status.programmes), (1, 1, 4, 4));
    assert_eq!((status.generation, status.from, status.built_at), (1, Some(NOW), Some(NOW)));
}

#[test]
fn the_lower_source_wins_a_channel_that_both_have() {
    let (dir, guide) = open();
    put(&guide, 7, &document(&[], &[entry("a", NOW, None, "seven"), entry("b", NOW, None, "seven")])).unwrap();
    put(&guide, 3, &document(&[], &[entry("A", NOW, None, "three")])).unwrap();
    let check = |guide: &Guide| {
        assert_eq!(titles(guide, &channel(1, "", "a"))[0].2, "three");
        assert_eq!(titles(guide, &channel(1, "", "b"))[0].2, "seven");
    };
    check(&guide);
    // A new generation replaces its source's old one alone.
    put(&guide, 7, &document(&[], &[entry("b", NOW, None, "seven")])).unwrap();
    check(&guide);
    drop(guide);
    let guide = Guide::open(dir.path()).unwrap();
    check(&guide);
    // No source is left in the catalog: neither are the files.
    guide.retain(&Catalog::sample(&[], &[]));
    assert!(titles(&guide, &channel(1, "", "b")).is_empty());
    assert_eq!(fs::read_dir(dir.path().join("guide")).unwrap().count(), 0);
}

#[test]
fn readers_keep_the_generation_they_began_with() {
    let (_dir, guide) = open();
    let many: Vec<_> = (0..500).map(|n| entry("a", NOW + n * 60, None, "old")).collect();
    put(&guide, 1, &document(&[], &many)).unwrap();
    let mut walk = guide.walk(&channel(1, "", "a"), NOW, i64::MIN);
    assert_eq!(walk.next().unwrap().unwrap().title, "old");
    put(&guide, 1, &document(&[], &[entry("a", NOW, None, "new")])).unwrap();
    assert_eq!(walk.map(|p| p.unwrap().title).filter(|t| t == "old").count(), 499);
    assert_eq!(titles(&guide, &channel(1, "", "a"))[0].2, "new");
}

#[test]
fn what_is_refused_leaves_the_old_guide_and_no_litter() {
    let (dir, guide) = open();
    put(&guide, 1, &document(&[], &[entry("a", NOW, None, "old")])).unwrap();
    let whole = document(&[], &[entry("a", NOW, None, "new")]);
    for (text, expected) in [
        ("", "no <tv>"),
        ("<html></html>", "root element"),
        (&whole[..whole.len() - 6], "cut off"),
        ("<tv></tv>", "no usable programme"),
        (&document(&[], &[entry("a", NOW + 30 * 86_400, None, "x")]), "lies in the guide's window"),
    ] {
        let error = put(&guide, 1, text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(titles(&guide, &channel(1, "", "a"))[0].2, "old");
    assert_eq!(guide.generation(), 1);
    assert_eq!(fs::read_dir(dir.path().join("guide")).unwrap().count(), 1);
}

#[test]
fn damaged_files_are_dropped_not_served() {
    let (dir, guide) = open();
    put(&guide, 1, &document(&[("a", "A")], &[entry("a", NOW, None, "old"), entry("a", NOW + 60, None, "b")])).unwrap();
    drop(guide);
    let path = dir.path().join("guide/source-1.guide");
    let good = fs::read(&path).unwrap();
    let damage = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Guide::open(dir.path()).unwrap();
        let dropped = !path.exists();
        fs::write(&path, &good).unwrap();
        dropped
    };
    assert!(!damage(&good));
    for cut in [0, 1, 20, good.len() / 2, good.len() - 1] {
        assert!(damage(&good[..cut]), "cut at {cut}");
    }
    for at in good.len() - 28..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x41;
        assert!(damage(&bad), "trailer byte {at}");
    }
    fs::write(dir.path().join("guide/.build-left"), "x").unwrap();
    Guide::open(dir.path()).unwrap();
    assert!(!dir.path().join("guide/.build-left").exists());
}

fn asked(now: i64) -> write::Asked {
    write::Asked { now, window: write::Window::ALL, base: "http://tv.lan:8080".to_owned() }
}

fn xmltv(guide: &Guide, catalog: &Arc<Catalog>, name: &str) -> String {
    let viewer = Arc::clone(catalog.viewer(name).unwrap());
    let pieces: Vec<_> = write::pieces(guide, Arc::clone(catalog), viewer, asked(NOW)).collect();
    String::from_utf8(pieces.concat()).unwrap()
}

fn testcard(id: u32) -> Channel {
    let sources = vec![ChannelSource { url: "testcard:".to_owned(), headers: Vec::new() }];
    Channel { sources, ..channel(id, "Test & <card>", "") }
}

#[test]
fn written_for_a_viewer() {
    let (_dir, guide) = open();
    let full = format!(
        "<tv><programme start=\"{}\" stop=\"{}\" channel=\"one\"><title lang=\"de\">A &amp; B</title><sub-title>s</sub-title>\
         <desc>\"d\" &lt;x></desc><category>News</category><icon src=\"http://i.example/?a=1&amp;b=2\"/></programme></tv>",
        stamp(NOW),
        stamp(NOW + 60)
    );
    put(&guide, 1, &full).unwrap();
    let hidden = Channel { category: CategoryId(2), ..channel(3, "Hidden", "one") };
    let off = Channel { enabled: false, ..channel(4, "Off", "one") };
    let one = Channel { logo: "http://l.example/1.png?a&b".to_owned(), ..channel(1, "One", "one") };
    let sample = |channels: &[Channel]| {
        let allowed = |name: &str| (name == "bob").then(|| vec![CategoryId(1)]);
        Arc::new(Catalog::sample_with(channels, &[("alice", "p"), ("bob", "p")], allowed))
    };
    let catalog = sample(&[one.clone(), channel(2, "Also", "one"), hidden.clone(), off]);
    insta::assert_snapshot!(xmltv(&guide, &catalog, "bob"));
    assert!(xmltv(&guide, &catalog, "alice").contains("Hidden"));
    let (alice, bob) = (catalog.viewer("alice").unwrap(), catalog.viewer("bob").unwrap());
    let etag = |viewer, now, gzip| write::etag(&guide, &catalog, viewer, &asked(now), gzip);
    assert_eq!(etag(alice, NOW, true), etag(alice, NOW + 7200, true));
    assert_ne!(etag(alice, NOW, true), etag(alice, NOW, false));
    assert_ne!(etag(alice, NOW, true), etag(bob, NOW, true));
    let before = etag(alice, NOW, true);
    put(&guide, 1, &full).unwrap();
    assert_ne!(before, etag(alice, NOW, true));
}

#[test]
fn a_fresh_install_has_a_guide() {
    let (_dir, guide) = open();
    let catalog = Arc::new(Catalog::sample(&[testcard(1)], &[("alice", "p")]));
    let text = xmltv(&guide, &catalog, "alice");
    assert_eq!(text.matches("<title lang=\"en\">Test card</title>").count(), 26);
    assert!(text.contains("<display-name>Test &amp; &lt;card&gt;</display-name>"));
    assert_eq!(guide.status(&catalog).matched, 1);
    assert_eq!(guide.generation(), 0);
    let current = guide.programmes(&testcard(1), NOW, NOW, NOW + 1, 9).unwrap();
    assert_eq!((current.len(), current[0].start), (1, NOW));
    let viewer = catalog.viewer("alice").unwrap();
    let etag = |now| write::etag(&guide, &catalog, viewer, &asked(now), false);
    assert!(etag(NOW) == etag(NOW + 60) && etag(NOW) != etag(NOW + 3600));
}

#[test]
fn days_before_and_after_now_are_a_window() {
    let (_dir, guide) = open();
    let day = 24 * 3600;
    let all: Vec<_> =
        (-1..=3).map(|n| entry("a", NOW + n * day, Some(NOW + n * day + 3600), &format!("day {n}"))).collect();
    put(&guide, 1, &document(&[], &all)).unwrap();
    let logo = "http://l.example/1.png".to_owned();
    let catalog = Arc::new(Catalog::sample(&[Channel { logo, ..channel(1, "A", "a") }], &[("alice", "p")]));
    let viewer = catalog.viewer("alice").unwrap();
    let text = |before, after, base: &str| {
        let asked = write::Asked { now: NOW, window: write::Window::new(before, after, NOW), base: base.to_owned() };
        let pieces: Vec<_> = write::pieces(&guide, Arc::clone(&catalog), Arc::clone(viewer), asked.clone()).collect();
        (String::from_utf8(pieces.concat()).unwrap(), write::etag(&guide, &catalog, viewer, &asked, false))
    };
    let days = |before, after| {
        let text = text(before, after, "http://h").0;
        (-1..=3).filter(|n| text.contains(&format!(">day {n}<"))).collect::<Vec<i64>>()
    };
    assert_eq!(days(None, None), [-1, 0, 1, 2, 3]);
    assert_eq!(days(Some(0), None), [0, 1, 2, 3]);
    assert_eq!(days(None, Some(2)), [-1, 0, 1, 2]);
    assert_eq!(days(Some(0), Some(0)), [0]);
    // Who came over TLS is given a logo over TLS, and another tag for it.
    let (plain, secure) = (text(None, None, "http://h"), text(None, None, "https://h"));
    assert!(plain.0.contains("src=\"http://l.example") && secure.0.contains("src=\"https://h/logo/1/"), "{}", secure.0);
    assert_ne!(plain.1, secure.1);
}

#[test]
fn gzip_is_the_same_text_in_pieces() {
    let (_dir, guide) = open();
    let many: Vec<_> =
        (0..3000).map(|n| entry("a", NOW + n * 60, None, &format!("title {n} {}", n * 7919 % 1013))).collect();
    put(&guide, 1, &document(&[], &many)).unwrap();
    let catalog = Arc::new(Catalog::sample(&[channel(1, "A", "a")], &[("alice", "p")]));
    let pieces =
        || write::pieces(&guide, Arc::clone(&catalog), Arc::clone(catalog.viewer("alice").unwrap()), asked(NOW));
    let sizes: Vec<_> = pieces().map(|p| p.len()).collect();
    assert!(sizes.len() > 5 && sizes.iter().all(|n| *n <= 64 << 10), "{sizes:?}");
    let packed: Vec<_> = crate::http::Packs::default().pack(pieces()).collect();
    assert!(packed.len() > 1);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.concat()[..]), &mut text).unwrap();
    assert_eq!(text.as_bytes(), pieces().collect::<Vec<_>>().concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_written_is_xml(
        name in "\\PC{0,20}|.{0,20}",
        title in "\\PC{1,20}|.{1,20}|[<>&\"'\u{0}-\u{20}\u{80}-\u{9f}\u{fffe}\u{2028}a]{1,20}",
        logo in ".{0,20}",
    ) {
        let (_dir, guide) = open();
        let text = format!("<tv><programme start=\"20260101120000\" channel=\"a\"><title>x<![CDATA[{}]]></title></programme></tv>",
            title.replace("]]>", ""));
        put(&guide, 1, &text).unwrap();
        let catalog = Arc::new(Catalog::sample(&[Channel { logo, ..channel(1, &name, "a") }], &[("alice", "p")]));
        let written = xmltv(&guide, &catalog, "alice");
        prop_assert!(!written.chars().any(|c| c != '\n' && yagi_api::text::is_foul(c)));
        let mut reader = quick_xml::Reader::from_str(&written);
        reader.config_mut().enable_all_checks(true);
        let mut titles = 0;
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Start(tag) => {
                    titles += usize::from(tag.name().as_ref() == "title");
                    for attribute in tag.attributes() {
                        quick_xml::escape::unescape(&attribute.unwrap().value).unwrap();
                    }
                }
                quick_xml::events::Event::GeneralRef(r) => {
                    prop_assert!(["amp", "lt", "gt", "quot", "apos"].contains(&&*r));
                }
                _ => {}
            }
        }
        prop_assert_eq!(titles, 1);
    }

    #[test]
    fn any_file_opens_or_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, &bytes).unwrap();
        prop_assert!(Generation::open(Path::new(&path)).is_err());
    }
}

/// 2,000 channels with 252 programmes each, about 240 MB, made as it is read.
fn big() -> impl std::io::BufRead {
    struct Made<I>(I);
    impl<I: Iterator<Item = String>> std::io::Read for Made<I> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            // Every part is smaller than the buffer around this reader.
            let part = self.0.next().unwrap_or_default();
            buf[..part.len()].copy_from_slice(part.as_bytes());
            Ok(part.len())
        }
    }
    let text = "What happens in this programme, with caf&eacute; and &amp; signs, as guides carry it for every entry. "
        .repeat(3);
    let channels = (0..2000)
        .map(|c| format!("<channel id=\"ch{c}.example\"><display-name>Channel {c}</display-name></channel>\n"));
    let programmes = (0..2000 * 252).map(move |n| {
        let (c, n) = (n / 252, n % 252);
        let (start, stop) = (stamp(NOW - 3600 + n * 2400), stamp(NOW - 3600 + (n + 1) * 2400));
        format!(
            "<programme start=\"{start}\" stop=\"{stop}\" channel=\"ch{c}.example\"><title lang=\"en\">Programme {n} of {c}</title>\
             <sub-title>Episode {n}</sub-title><desc lang=\"en\">{text}</desc><category>News</category></programme>\n"
        )
    });
    let whole = std::iter::once("<tv>\n".to_owned()).chain(channels).chain(programmes).chain(["</tv>\n".to_owned()]);
    std::io::BufReader::with_capacity(64 << 10, Made(whole))
}

/// `cargo test --release -p yagid --lib big_guide -- --ignored --nocapture` prints the figures of docs/BENCHMARKS.md.
#[test]
#[ignore = "a measurement, not a check"]
fn big_guide() {
    let rss = |key: &str| -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|l| l.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (_dir, guide) = open();
    let began = Instant::now();
    let bytes = std::io::copy(&mut big(), &mut std::io::sink()).unwrap();
    let making = began.elapsed();
    let before = rss("VmHWM");
    let began = Instant::now();
    let facts = Facts { source: 1, built_at: NOW, ..Facts::default() };
    let deadline = began + Duration::from_secs(600);
    let (generation, counts) = build::build(&guide.0.dir, big(), deadline, WINDOW, facts, |_| Ok(())).unwrap();
    guide.publish(generation);
    let built = began.elapsed();
    let file = fs::metadata(build::path(&guide.0.dir, 1)).unwrap().len();
    println!(
        "build: {} MB, {} programmes in {built:.2?} (making the text took {making:.2?} of it), peak RSS +{} kB, now {} kB, file {} MB",
        bytes / 1_000_000,
        counts.programmes,
        rss("VmHWM") - before,
        rss("VmRSS"),
        file / 1_000_000
    );
    let began = Instant::now();
    Guide::open(guide.0.dir.parent().unwrap()).unwrap();
    println!("open: {:.2?}", began.elapsed());
    let channels: Vec<_> = (0..2000).map(|c| channel(c + 1, "", &format!("ch{c}.example"))).collect();
    let catalog = Arc::new(Catalog::sample(&channels, &[("alice", "p")]));
    let (before, began) = (rss("VmHWM"), Instant::now());
    let written: usize =
        write::pieces(&guide, Arc::clone(&catalog), Arc::clone(catalog.viewer("alice").unwrap()), asked(NOW))
            .map(|p| p.len())
            .sum();
    println!("write: {} MB in {:.2?}, peak RSS +{} kB", written / 1_000_000, began.elapsed(), rss("VmHWM") - before);
    let began = Instant::now();
    for c in &channels {
        assert_eq!(guide.programmes(c, NOW, NOW, NOW + 86_400, 4).unwrap().len(), 4);
    }
    println!("short guide: {:.2?} a channel", began.elapsed() / 2000);
}
