//! Steps taken back that are large, or about rules, and what that costs.
//!
//! Must not enter: the order of single nouns (`tests`). Invariant: each test has its own state directory.

use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;
use yagi_api::*;

use super::*;

fn open() -> (TempDir, Library) {
    let tmp = tempfile::tempdir().unwrap();
    let library = Library::open(tmp.path(), Events::default()).unwrap().library;
    (tmp, library)
}

/// Makes channels in steps of some thousands.
async fn fill(library: &Library, count: u32) {
    for from in (0..count).step_by(5000) {
        let operations: Vec<_> = (from..count.min(from + 5000))
            .map(|i| {
                let url = format!("http://upstream.example.org:8080/live/username01/password01/{i}.ts");
                let logo = format!("http://logos.example.org/pictures/channels/large/{i}.png");
                json!({"op": "create", "noun": "channels", "row": {"name": format!("Channel {i} HD"), "logo": logo,
                    "guide_id": format!("channel{i}.example"), "sources": [{"url": url}]}})
            })
            .collect();
        let list = serde_json::from_value(json!({ "operations": operations })).unwrap();
        library.apply("t", list).await.unwrap();
    }
}

fn all(library: &Library) -> Chosen {
    Chosen { ids: library.catalog().channels().iter().map(|c| c.id.0).collect(), found: true }
}

fn rows(library: &Library) -> Vec<(u32, u32, String, bool)> {
    library.catalog().channels().iter().map(|c| (c.id.0, c.number, c.name.clone(), c.enabled)).collect()
}

#[tokio::test]
async fn a_large_step_is_taken_back_batch_by_batch() {
    let (_tmp, library) = open();
    fill(&library, 4500).await;
    let before = rows(&library);
    // Every number is another row's by then.
    library.bulk_channels("t", all(&library), ChannelsDo::Renumber(2), false).await.unwrap();
    let off = ChannelSet { enabled: Some(false), ..ChannelSet::default() };
    library.bulk_channels("t", all(&library), ChannelsDo::Set(off), false).await.unwrap();
    let after = rows(&library);
    assert!(after.iter().zip(&before).all(|(a, b)| (a.0, a.1, a.3) == (b.0, b.1 + 1, false)));
    for _ in 0..2 {
        library.undo("t", None).await.unwrap();
        library.undo("t", None).await.unwrap();
        assert_eq!(rows(&library), before);
        library.redo("t", None).await.unwrap();
        library.redo("t", None).await.unwrap();
        assert_eq!(rows(&library), after);
    }
    // A deletion gives ids and numbers back, also where a number is another's by then: not at all.
    let gone = library.bulk_channels("t", all(&library), ChannelsDo::Delete, false).await.unwrap();
    assert!(rows(&library).is_empty());
    let draft = ChannelDraft {
        name: "In the way".into(),
        number: Some(4000),
        sources: vec![ChannelSource { url: "testcard:".into(), headers: Vec::new() }],
        ..ChannelDraft::default()
    };
    let other = library.create_channel("t", draft).await.unwrap();
    assert_eq!(library.undo("t", gone.change).await.unwrap_err().code, ErrorCode::Conflict);
    assert_eq!(library.catalog().channels().len(), 1, "nothing of it came back");
    library.delete_channel("t", other.id).await.unwrap();
    library.undo("t", gone.change).await.unwrap();
    assert_eq!(rows(&library), after);
}

#[tokio::test]
async fn rules_are_undone_like_rows() {
    let (_tmp, library) = open();
    let draft = |name: &str, to: &str| {
        serde_json::from_value::<RuleDraft>(json!({"name": name, "when": [], "then": {"do": "rename", "to": to}}))
            .unwrap()
    };
    let rule = library.create_rule("t", draft("one", "A")).await.unwrap();
    let patch = RulePatch { name: Some("two".into()), enabled: Some(false), ..RulePatch::default() };
    library.update_rule("t", rule.id, patch).await.unwrap();
    library.delete_rule("t", rule.id).await.unwrap();
    let now = |library: &Library| {
        library.catalog().rules().iter().map(|r| (r.id, r.name.clone(), r.enabled)).collect::<Vec<_>>()
    };
    assert!(now(&library).is_empty());
    library.undo("t", None).await.unwrap();
    assert_eq!(now(&library), [(rule.id, "two".to_owned(), false)], "under its id");
    library.undo("t", None).await.unwrap();
    assert_eq!(now(&library), [(rule.id, "one".to_owned(), true)]);
    library.undo("t", None).await.unwrap();
    assert!(now(&library).is_empty());
    library.redo("t", None).await.unwrap();
    assert_eq!(library.catalog().rules()[0].then, rule.then);
    let steps = library.changes().await.unwrap();
    assert!(steps.iter().any(|s| s.noun == Noun::Rules && s.summary == "rule changed"), "{steps:?}");
}

#[tokio::test]
async fn a_deleted_source_comes_back_with_its_rules() {
    let (_tmp, library) = open();
    let source = |url: &str| serde_json::from_value::<SourceDraft>(json!({"url": url})).unwrap();
    let one = library.create_source("t", source("http://one.example/list.m3u")).await.unwrap().id;
    let two = library.create_source("t", source("http://two.example/list.m3u")).await.unwrap().id;
    // Two of one URL could not both come back.
    let same = SourcePatch { url: Some("http://one.example/list.m3u".into()), ..SourcePatch::default() };
    assert_eq!(library.update_source("t", two, same).await.unwrap_err().code, ErrorCode::Conflict);
    for of in [Some(one), Some(two), None] {
        let rule = json!({"source": of, "when": [], "then": {"do": "exclude"}});
        library.create_rule("t", serde_json::from_value(rule).unwrap()).await.unwrap();
    }
    let of = |library: &Library| library.catalog().rules().iter().map(|r| (r.id.0, r.source)).collect::<Vec<_>>();
    let (all, left) = ([(1, Some(one)), (2, Some(two)), (3, None)], [(2, Some(two)), (3, None)]);
    library.delete_source("t", one).await.unwrap();
    assert_eq!(of(&library), left);
    for _ in 0..2 {
        library.undo("t", None).await.unwrap();
        assert_eq!(of(&library), all);
        library.redo("t", None).await.unwrap();
        assert_eq!(of(&library), left);
    }
}

#[tokio::test]
async fn many_new_channels_take_the_lowest_numbers_that_are_free() {
    let (_tmp, library) = open();
    fill(&library, 100).await;
    let gone: Vec<u32> = library.catalog().channels().iter().map(|c| c.id.0).filter(|id| id % 10 == 0).collect();
    library.bulk_channels("t", Chosen { ids: gone, found: false }, ChannelsDo::Delete, false).await.unwrap();
    fill(&library, 15).await;
    let numbers: Vec<u32> = library.catalog().channels().iter().map(|c| c.number).collect();
    assert_eq!(numbers, (1..=105).collect::<Vec<_>>());
}

fn rss_mb() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// `cargo test --release -p yagid --lib undo_figures -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement, not a check"]
async fn undo_figures() {
    let (tmp, library) = open();
    fill(&library, 200_000).await;
    library.close().await;
    drop(library);
    println!("after filling: {} MB", rss_mb());
    let library = Library::open(tmp.path(), Events::default()).unwrap().library;
    println!("opened anew: {} MB", rss_mb());
    let off = ChannelSet { enabled: Some(false), ..ChannelSet::default() };
    let began = Instant::now();
    library.bulk_channels("t", all(&library), ChannelsDo::Set(off), false).await.unwrap();
    println!("200,000 disabled: {:?}, {} MB", began.elapsed(), rss_mb());
    for _ in 0..3 {
        let began = Instant::now();
        library.undo("t", None).await.unwrap();
        println!("undo: {:?}, {} MB", began.elapsed(), rss_mb());
        let began = Instant::now();
        library.redo("t", None).await.unwrap();
        println!("redo: {:?}, {} MB", began.elapsed(), rss_mb());
    }
}
