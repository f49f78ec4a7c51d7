//! Refreshes on a real library, without a network.
//!
//! Must not enter: the reader's details. Invariant: numbers and ids are compared, not only counts.

use std::{
    collections::HashSet,
    io::Cursor,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use tempfile::TempDir;
use yagi_api::{Channel, ChannelId, ChannelPatch, RefreshReport, SourceDraft, SourceId};

use super::job::{Cause, Job, Limits};
use crate::{
    events::Events,
    library::{
        Library,
        merge::{Keys, Known, Place, plan},
    },
};

pub(super) struct Bench {
    _tmp: TempDir,
    pub library: Library,
    pub source: SourceId,
    pub runtime: tokio::runtime::Runtime,
}

impl Bench {
    pub fn new() -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let library = Library::open(tmp.path(), Events::default()).unwrap().library;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let draft = SourceDraft { url: "http://p/list.m3u".into(), ..SourceDraft::default() };
        let source = runtime.block_on(library.create_source("t", draft)).unwrap().id;
        Self { _tmp: tmp, library, source, runtime }
    }

    pub fn refresh(&self, list: &str) -> Result<RefreshReport, String> {
        self.refresh_from(list, false)
    }

    /// The same; `public`: through a public host.
    pub fn refresh_from(&self, list: &str, public: bool) -> Result<RefreshReport, String> {
        let catalog = self.library.catalog();
        let bytes = list.as_bytes().to_vec();
        let job = Job {
            library: self.library.clone(),
            source: self.source,
            known: catalog.validators(self.source),
            etag: None,
            last_modified: None,
            public,
            limits: Limits::of(catalog.settings()),
            cause: Cause::Refresh,
            progress: Default::default(),
            max_entries: 10_000,
            local: false,
            deadline: Instant::now() + Duration::from_secs(60),
        };
        let open = || Ok(Box::new(Cursor::new(bytes.clone())) as Box<_>);
        let report = job.apply(catalog.source(self.source).unwrap(), &open)?;
        if report.held { Err(report.error.unwrap_or_default()) } else { Ok(report) }
    }

    pub fn patch(&self, id: ChannelId, patch: ChannelPatch) {
        self.runtime.block_on(self.library.update_channel("t", id, patch)).unwrap();
    }

    /// Number, name, listed.
    pub fn rows(&self) -> Vec<(u32, String, bool)> {
        self.library.catalog().channels().iter().map(|c| (c.number, c.name.clone(), c.is_listed())).collect()
    }

    pub fn find(&self, name: &str) -> Channel {
        (**self.library.catalog().channels().iter().find(|c| c.name == name).unwrap()).clone()
    }
}

pub(super) fn list<T: std::fmt::Display>(entries: &[(T, T)]) -> String {
    let lines = entries.iter().map(|(name, path)| format!("#EXTINF:-1 group-title=\"G\",{name}\nhttp://h{path}\n"));
    format!("#EXTM3U\n{}", lines.collect::<String>())
}

pub(super) fn counts(report: &RefreshReport) -> (u32, u32, u32, u32) {
    (report.seen, report.added, report.changed, report.retired)
}

#[test]
fn order_names_and_tokens_may_change_but_not_numbers() {
    let b = Bench::new();
    let first = b.refresh(&list(&[("A", "/live/u/p/1.ts"), ("B", "/live/u/p/2.ts"), ("C", "/c.ts?token=1")])).unwrap();
    assert_eq!(counts(&first), (3, 3, 0, 0));
    let ids: Vec<_> = ["A", "B", "C"].map(|n| (b.find(n).id, b.find(n).number)).to_vec();
    // Reordered, B renamed, new credentials and token, one more in front.
    let second = b
        .refresh(&list(&[
            ("New", "/n.ts"),
            ("C", "/c.ts?token=2"),
            ("B HD", "/live/x/y/2.ts"),
            ("A", "/live/x/y/1.ts"),
        ]))
        .unwrap();
    assert_eq!(counts(&second), (4, 1, 3, 0));
    assert_eq!(["A", "B HD", "C"].map(|n| (b.find(n).id, b.find(n).number)).to_vec(), ids);
    assert_eq!(b.find("New").number, 4);
    assert_eq!(b.find("A").sources[0].url, "http://h/live/x/y/1.ts");
    assert_eq!(b.library.catalog().category_name(&b.find("New")), "G");
}

#[test]
fn addresses_tell_whether_somebody_typed_them() {
    let b = Bench::new();
    let found = |name: &str| {
        let (catalog, channel) = (b.library.catalog(), b.find(name));
        let from = catalog.provenance(&channel, &channel.sources[0]);
        assert_eq!(from.account, Some(b.source));
        (from.found, catalog.found_logo(&channel))
    };
    b.refresh_from(&list(&[("A", "/1"), ("B", "/2")]), false).unwrap();
    assert_eq!(found("A"), (false, false));
    b.refresh_from(&list(&[("A", "/1"), ("B", "/2"), ("C", "/3")]), true).unwrap();
    assert_eq!((found("A"), found("C")), ((true, true), (true, true)));
    let sources = vec![yagi_api::ChannelSource { url: "http://10.0.0.1/a".into(), headers: Vec::new() }];
    b.patch(b.find("A").id, ChannelPatch { sources: Some(sources), ..ChannelPatch::default() });
    b.patch(b.find("B").id, ChannelPatch { logo: Some("http://10.0.0.1/b".into()), ..ChannelPatch::default() });
    assert_eq!((found("A"), found("B"), found("C")), ((false, true), (true, false), (true, true)));
    // Another address of the source: its channels are still those of the old one.
    let patch = yagi_api::SourcePatch { url: Some("http://10.0.0.1/list".into()), ..Default::default() };
    b.runtime.block_on(b.library.update_source("t", b.source, patch)).unwrap();
    assert_eq!(found("C"), (true, true));
    b.refresh_from(&list(&[("A", "/1"), ("B", "/2"), ("C", "/3")]), false).unwrap();
    assert_eq!(found("C"), (false, false));
    // The same text from elsewhere; and what makes the next refresh apply anew says nothing of where the last came from.
    let same = list(&[("A", "/1"), ("B", "/2"), ("C", "/3")]);
    assert!(b.refresh_from(&same, true).unwrap().unchanged);
    assert_eq!(found("C"), (true, true));
    let rule = serde_json::json!({"enabled": false, "when": [], "then": {"do": "exclude"}});
    b.runtime.block_on(b.library.create_rule("t", serde_json::from_value(rule).unwrap())).unwrap();
    assert_eq!(found("C"), (true, true));
    // A deleted source that comes back does not vouch for its channels either.
    assert!(b.refresh_from(&same, false).is_ok_and(|report| !report.unchanged));
    assert_eq!(found("C"), (false, false));
    b.runtime.block_on(b.library.delete_source("t", b.source)).unwrap();
    b.runtime.block_on(b.library.undo("t", None)).unwrap();
    assert_eq!(found("C"), (true, true));
}

#[test]
fn a_merged_channel_knows_whose_address_is_whose() {
    let b = Bench::new();
    let merge: yagi_api::RuleDraft = serde_json::from_str(r#"{"then":{"do":"merge","key":"one"}}"#).unwrap();
    b.runtime.block_on(b.library.create_rule("t", merge)).unwrap();
    let lan = b.source;
    b.refresh_from(&list(&[("A HD", "/1")]), false).unwrap();
    let draft = SourceDraft { url: "http://q/list.m3u".into(), ..SourceDraft::default() };
    let mut b = b;
    b.source = b.runtime.block_on(b.library.create_source("t", draft)).unwrap().id;
    b.refresh_from(&list(&[("A", "/2")]), true).unwrap();
    let catalog = b.library.catalog();
    let leader = catalog.channels().iter().find(|c| c.is_listed() && c.origin.is_some()).unwrap();
    let told: Vec<_> =
        leader.sources.iter().map(|s| catalog.provenance(leader, s)).map(|p| (p.account, p.found)).collect();
    assert_eq!(told, [(Some(lan), false), (Some(b.source), true)]);
}

#[test]
fn what_returns_finds_its_number_again() {
    let b = Bench::new();
    b.refresh(&list(&[("A", "/a"), ("B", "/b"), ("C", "/c")])).unwrap();
    let old = b.find("B");
    let report = b.refresh(&list(&[("A", "/a"), ("C", "/c")])).unwrap();
    assert_eq!(counts(&report), (2, 0, 0, 1));
    assert_eq!(b.rows()[1], (2, "B".into(), false));
    b.refresh(&list(&[("A", "/a"), ("C", "/c"), ("D", "/d")])).unwrap();
    assert_eq!(b.find("D").number, 4, "a retired channel keeps its number");
    b.refresh(&list(&[("B", "/b"), ("A", "/a"), ("C", "/c"), ("D", "/d")])).unwrap();
    let back = b.find("B");
    assert_eq!((back.id, back.number, back.retired_at), (old.id, 2, None));
}

#[test]
fn manual_edits_stay() {
    let b = Bench::new();
    b.refresh(&list(&[("A", "/a"), ("B", "/b")])).unwrap();
    let a = b.find("A");
    b.patch(
        a.id,
        ChannelPatch {
            name: Some("Mine".into()),
            number: Some(77),
            category: Some("My".into()),
            enabled: Some(false),
            ..ChannelPatch::default()
        },
    );
    let text = "#EXTM3U\n#EXTINF:-1 tvg-chno=\"5\" tvg-logo=\"http://l/x.png\" group-title=\"Z\",A\nhttp://h2/a\n\
                #EXTINF:-1 group-title=\"Z\",B\nhttp://h2/b\n";
    let report = b.refresh(text).unwrap();
    assert_eq!(counts(&report), (2, 0, 2, 0));
    let mine = b.find("Mine");
    assert_eq!((mine.id, mine.number, mine.enabled), (a.id, 77, false));
    assert_eq!((mine.logo.as_str(), mine.sources[0].url.as_str()), ("http://l/x.png", "http://h2/a"));
    let catalog = b.library.catalog();
    assert_eq!((catalog.category_name(&mine), catalog.category_name(&b.find("B"))), ("My", "Z"));
}

#[test]
fn broken_downloads_change_nothing() {
    let b = Bench::new();
    b.refresh(&list(&[("A", "/a"), ("B", "/b"), ("C", "/c")])).unwrap();
    let before = b.library.catalog();
    for text in ["", "#EXTM3U\n", "<html>", "{\"user_info\":{\"auth\":0}}", "Account expired\n"] {
        assert!(b.refresh(text).unwrap_err().starts_with("the playlist "), "{text}");
    }
    let short = b.refresh(&list(&[("A", "/a")])).unwrap_err();
    assert!(short.contains("lists only 1 channels where 3 were") && short.contains("refresh_min_percent"), "{short}");
    assert_eq!(before.channels(), b.library.catalog().channels());
}

#[test]
fn equal_content_writes_nothing() {
    let b = Bench::new();
    let text = list(&[("A", "/a"), ("B", "/b")]);
    assert!(!b.refresh(&text).unwrap().unchanged);
    let before = b.library.catalog();
    let again = b.refresh(&text).unwrap();
    assert!(again.unchanged && again.ok);
    assert_eq!(counts(&again), (2, 0, 0, 0));
    assert!(std::sync::Arc::ptr_eq(&before, &b.library.catalog()));
    let touched = b.refresh(&format!("{text}\n# a comment\n")).unwrap();
    assert_eq!((touched.unchanged, counts(&touched)), (false, (2, 0, 0, 0)));
    assert!(b.library.catalog().channels().iter().all(|c| c.version == 1));
}

#[test]
fn wanted_numbers_are_given_where_they_are_free() {
    let b = Bench::new();
    let text = "#EXTM3U\n#EXTINF:-1,A\nhttp://h/a\n#EXTINF:-1 tvg-chno=\"1\",B\nhttp://h/b\n#EXTINF:-1 tvg-chno=\"1\",C\n\
                http://h/c\n#EXTINF:-1 tvg-chno=\"9\",D\nhttp://h/d\n#EXTINF:-1,E\nhttp://h/e\n";
    b.refresh(text).unwrap();
    let numbers = ["A", "B", "C", "D", "E"].map(|n| b.find(n).number);
    assert_eq!(numbers, [2, 1, 3, 9, 4]);
}

#[test]
fn duplicates_are_told_apart_by_their_order() {
    let b = Bench::new();
    let twice = [("A", "/a"), ("A", "/a"), ("B", "/b")];
    b.refresh(&list(&twice)).unwrap();
    let report = b.refresh(&format!("{}\n\n", list(&twice))).unwrap();
    assert_eq!(counts(&report), (3, 0, 0, 0));
    let report = b.refresh(&list(&[("A", "/a"), ("B", "/b")])).unwrap();
    assert_eq!(counts(&report), (2, 0, 0, 1));
    assert_eq!(b.rows(), [(1, "A".into(), true), (2, "A".into(), false), (3, "B".into(), true)]);
}

#[test]
fn channels_go_with_their_source() {
    let b = Bench::new();
    b.refresh(&list(&[("A", "/a")])).unwrap();
    b.runtime.block_on(b.library.delete_source("t", b.source)).unwrap();
    assert!(b.library.catalog().channels().is_empty());
    assert!(b.library.catalog().source(b.source).is_none());
}

proptest! {
    /// Every row is given to at most one entry, equal keys find each other, and what is left is gone.
    #[test]
    fn a_plan_is_a_matching(
        known in prop::collection::vec((0u64..5, 0u64..5, any::<bool>()), 0..20),
        entries in prop::collection::vec((0u64..5, 0u64..5), 0..20),
    ) {
        let known: Vec<Known> = (1..).zip(&known)
            .map(|(id, (path, name, retired))| Known { id: ChannelId(id), keys: Keys { path: *path, name: *name }, retired: *retired })
            .collect();
        let entries: Vec<_> = entries.iter().map(|(path, name)| (Keys { path: *path, name: *name }, 0)).collect();
        let plan = plan(&known, &entries);
        let mut used = HashSet::new();
        for (place, (keys, _)) in plan.places.iter().zip(&entries) {
            let (Place::Same(id) | Place::Moved(id)) = place else {
                // No free row of these keys was left.
                prop_assert!(known.iter().filter(|k| k.keys == *keys).count() <= entries.iter().filter(|e| e.0 == *keys).count());
                continue;
            };
            prop_assert!(used.insert(*id));
            let row = known.iter().find(|k| k.id == *id).unwrap();
            prop_assert!(row.keys.path == keys.path || row.keys.name == keys.name);
            prop_assert_eq!(matches!(place, Place::Same(_)), row.keys == *keys);
        }
        let gone: HashSet<_> = plan.gone.iter().copied().collect();
        for k in &known {
            prop_assert_eq!(gone.contains(&k.id), !k.retired && !used.contains(&k.id));
        }
    }
}
