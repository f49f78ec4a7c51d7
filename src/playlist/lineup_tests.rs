//! Generations, holding back, rollback, rules and merging on a real library, without a network.
//!
//! Must not enter: the reader's details. Invariant: playlists are compared as the bytes that players get.

use std::fmt::Write as _;

use yagi_api::{Action, Condition, ErrorCode, RuleDraft, RulePreview, Settings, UserDraft};

use super::{
    kept::{self, Slot},
    lineup,
    refresh_tests::{Bench, counts, list},
    write,
};
use crate::config::Import;

impl Bench {
    /// What a player downloads.
    fn bytes(&self) -> String {
        let catalog = self.library.catalog();
        let viewer = match catalog.viewer("v") {
            Some(viewer) => viewer.clone(),
            None => {
                let draft = UserDraft { name: "v".into(), password: Some("p".into()), ..UserDraft::default() };
                self.runtime.block_on(self.library.create_user("t", draft)).unwrap();
                return self.bytes();
            }
        };
        let pieces =
            write::pieces(catalog, viewer, "http://h".into(), write::Style::default(), write::Filter::default());
        pieces.map(|p| String::from_utf8(p.to_vec()).unwrap()).collect()
    }

    fn rule(&self, json: &str) {
        let draft: RuleDraft = serde_json::from_str(json).unwrap();
        self.runtime.block_on(self.library.create_rule("t", draft)).unwrap();
        self.reapply();
    }

    fn reapply(&self) {
        self.runtime.block_on(lineup::reapply(&self.library, self.source, &Import::default())).unwrap();
    }

    fn back(&self, to: Option<u32>) -> yagi_api::LineupDone {
        self.library.rollback("t", self.source, to).unwrap()
    }

    fn set(&self, key: &str, value: u32) {
        let patch = [(key.to_owned(), value.into())].into_iter().collect();
        self.runtime.block_on(self.library.update_settings("t", patch)).unwrap();
    }
}

fn many(range: std::ops::Range<u32>) -> String {
    list(&range.map(|i| (format!("Channel {i}"), format!("/live/u/p/{i}.ts"))).collect::<Vec<_>>())
}

#[test]
fn a_rollback_gives_the_very_bytes_back_and_is_a_generation_itself() {
    let b = Bench::new();
    b.refresh(&many(0..100)).unwrap();
    let first = b.bytes();
    b.refresh(&many(0..80).replace("Channel 7", "Kanal 7").replace("/live/u/p/9.ts", "/else/9")).unwrap();
    let second = b.bytes();
    b.refresh(&many(20..120)).unwrap();
    let third = b.bytes();
    assert!(first != second && second != third);
    let done = b.back(None);
    assert_eq!((done.generation, b.bytes() == second), (4, true));
    b.back(Some(1));
    assert_eq!(b.bytes(), first);
    // Forward again: a rollback is left like any generation.
    b.back(Some(3));
    assert_eq!(b.bytes(), third);
    assert_eq!(b.library.rollback("t", b.source, Some(6)).unwrap_err().field.as_deref(), Some("to"));
}

#[test]
fn a_rollback_is_a_step_that_is_taken_back_and_made_again() {
    let b = Bench::new();
    let undo = |id| b.runtime.block_on(b.library.undo("t", id));
    let redo = || b.runtime.block_on(b.library.redo("t", None));
    let texts: Vec<String> = [many(0..40), many(0..30).replace("Channel 7", "Kanal 7"), many(10..60)]
        .iter()
        .map(|text| {
            b.refresh(text).unwrap();
            b.bytes()
        })
        .collect();
    b.back(Some(1));
    assert_eq!(b.bytes(), texts[0]);
    for _ in 0..2 {
        undo(None).unwrap();
        assert_eq!(b.bytes(), texts[2]);
        redo().unwrap();
        assert_eq!(b.bytes(), texts[0]);
    }
    let step = b.runtime.block_on(b.library.changes()).unwrap().into_iter().find(|c| c.undo_of.is_none()).unwrap();
    assert!(step.undoable && step.summary == "line-up: rollback to 1", "{step:?}");
    // Behind a later refresh it would take more back than itself.
    b.refresh(&many(0..45)).unwrap();
    let now = b.bytes();
    let refused = undo(Some(step.id)).unwrap_err();
    assert!(
        refused.code == ErrorCode::Conflict && refused.message.contains("generation 9 (refresh) by now"),
        "{refused}"
    );
    assert_eq!(b.bytes(), now);
    // While a refresh is applied nobody rolls back, nor forward.
    b.back(None);
    let lock = b.library.import_lock(b.source);
    let held = lock.lock().unwrap();
    let refused = undo(None).unwrap_err();
    assert!(refused.message.contains("being applied"), "{refused}");
    drop(held);
    undo(None).unwrap();
    assert_eq!(b.bytes(), now);
}

#[test]
fn what_was_rolled_back_does_not_come_again_by_itself() {
    let b = Bench::new();
    b.refresh(&many(0..40)).unwrap();
    let good = b.bytes();
    b.refresh(&many(10..60)).unwrap();
    b.back(None);
    assert!(b.refresh(&many(10..60)).unwrap().unchanged);
    assert_eq!(b.bytes(), good);
}

#[test]
fn edits_of_an_administrator_outlive_a_rollback() {
    let b = Bench::new();
    b.refresh(&list(&[("A", "/a"), ("B", "/b"), ("C", "/c"), ("D", "/d")])).unwrap();
    b.refresh(&list(&[("A2", "/a"), ("B2", "/b"), ("C", "/c"), ("D", "/d")])).unwrap();
    let id = b.find("A2").id;
    b.patch(id, yagi_api::ChannelPatch { name: Some("Mine".into()), number: Some(50), ..Default::default() });
    b.back(None);
    assert_eq!(b.rows().iter().map(|r| r.1.as_str()).collect::<Vec<_>>(), ["B", "C", "D", "Mine"]);
}

#[test]
fn suspicious_refreshes_are_held_and_can_be_looked_at_and_accepted() {
    let b = Bench::new();
    b.refresh(&many(0..100)).unwrap();
    let before = b.bytes();
    for (text, word) in [
        (many(0..30), "lists only 30 channels where 100 were"),
        (many(1000..1100), "of 100 only 0 are in it"),
        (many(0..100).replace("Channel", "Kanal"), "other names for 100 of 100"),
        (many(0..1200), "1100 new channels beside 100"),
    ] {
        let told = b.refresh(&text).unwrap_err();
        assert!(told.contains(word) && told.contains("yagi lineup accept"), "{told}");
        assert_eq!(b.bytes(), before);
    }
    let held = b.library.catalog().lineups()[&b.source].held.clone().unwrap();
    assert!(held.kept && held.reason.contains("1100 new"), "{held:?}");
    let fetcher = crate::upstream::Fetcher::new(&crate::config::Config::default());
    let caps = Import::default();
    let plan = b.runtime.block_on(lineup::plan(&b.library, &fetcher, b.source, &caps, false)).unwrap();
    assert_eq!((plan.held, plan.before, plan.after, plan.added, plan.removed), (true, 100, 1200, 1100, 0));
    assert_eq!((plan.rows.len(), plan.renamed, plan.resourced), (1000, 0, 0));
    let done = b.runtime.block_on(lineup::accept(&b.library, b.source, &caps)).unwrap();
    assert_eq!((done.generation, done.report.added), (2, 1100));
    assert!(b.library.catalog().lineups()[&b.source].held.is_none());
    assert!(b.runtime.block_on(lineup::accept(&b.library, b.source, &caps)).is_err());
    b.back(None);
    assert_eq!(b.bytes(), before);
    // A good list lets go of what was held.
    b.refresh(&many(0..10)).unwrap_err();
    b.refresh(&many(0..99)).unwrap();
    assert!(
        b.library.catalog().lineups()[&b.source].held.is_none() && !kept::exists(b.library.dir(), b.source, Slot::Held)
    );
}

#[test]
fn a_plan_names_every_kind_of_change() {
    let b = Bench::new();
    b.refresh(&list(&[("A", "/a"), ("B", "/b"), ("C", "/c"), ("D", "/d"), ("E", "/e")])).unwrap();
    b.set("refresh_min_percent", 100);
    let text = "#EXTM3U\n#EXTINF:-1 group-title=\"G\",A2\nhttp://h/a\n#EXTINF:-1 group-title=\"X\",B\nhttp://h/b\n\
                #EXTINF:-1 group-title=\"G\",C\nhttp://other/c\n#EXTINF:-1 group-title=\"G\" tvg-logo=\"http://l/d.png\",D\nhttp://h/d\n\
                #EXTINF:-1 group-title=\"G\",New\nhttp://h/new\n";
    b.refresh(text).unwrap_err();
    let fetcher = crate::upstream::Fetcher::new(&crate::config::Config::default());
    let plan = b.runtime.block_on(lineup::plan(&b.library, &fetcher, b.source, &Import::default(), false)).unwrap();
    let mut out = String::new();
    for row in &plan.rows {
        let words: Vec<_> = row.changes.iter().map(|c| c.word()).collect();
        let _ = writeln!(out, "{} {:?} {:?} -> {:?}", words.join("+"), row.number, row.before, row.after);
    }
    insta::assert_snapshot!(out, @r#"
    renamed Some(1) "A" -> "A2"
    moved Some(2) "B" -> "B"
    resourced Some(3) "C" -> "C"
    touched Some(4) "D" -> "D"
    added None "" -> "New"
    removed Some(5) "E" -> ""
    "#);
}

#[test]
fn rules_run_over_the_kept_text_and_undo_themselves() {
    let b = Bench::new();
    b.refresh(&list(&[("IT: Uno HD", "/1"), ("IT: Due", "/2"), ("XX: Tre", "/3"), ("Vier", "/4")])).unwrap();
    let before = b.bytes();
    b.rule(r#"{"when":[{"field":"name","matches":"^XX:"}],"then":{"do":"exclude"}}"#);
    b.rule(r#"{"when":[{"field":"name","matches":"^IT: (.*)$"}],"then":{"do":"rename","to":"$1"}}"#);
    b.rule(r#"{"when":[{"field":"name","matches":"^(uno|due)"}],"then":{"do":"regroup","to":"Italia"}}"#);
    b.rule(r#"{"when":[{"field":"group","matches":"italia"}],"then":{"do":"renumber","from":100}}"#);
    let rows: Vec<_> = b.rows().into_iter().filter(|r| r.2).map(|r| (r.0, r.1)).collect();
    assert_eq!(rows, [(4, "Vier".into()), (100, "Uno HD".to_owned()), (101, "Due".into())]);
    // Reordered: numbers of the block stay.
    let text = list(&[("IT: Due", "/2"), ("IT: Uno HD", "/1"), ("XX: Tre", "/3"), ("Vier", "/4")]);
    let report = b.refresh(&text).unwrap();
    assert_eq!((counts(&report), report.excluded), ((4, 0, 0, 0), 1));
    assert_eq!(b.find("Due").number, 101);
    let ids: Vec<_> = b.library.catalog().rules().iter().map(|r| r.id).collect();
    for id in ids {
        b.runtime.block_on(b.library.delete_rule("t", id)).unwrap();
    }
    b.reapply();
    let numbers: Vec<_> = b.rows().into_iter().map(|r| (r.0, r.1)).collect();
    assert_eq!(numbers[1], (4, "Vier".into()), "{numbers:?}");
    b.back(Some(1));
    assert_eq!(b.bytes(), before);
}

#[test]
fn a_preview_shows_real_rows_and_counts_and_changes_nothing() {
    let b = Bench::new();
    b.refresh(&list(&[("A HD", "/1"), ("A FHD", "/2"), ("B", "/3"), ("C", "/4")])).unwrap();
    let before = b.bytes();
    let draft = |json: &str| serde_json::from_str::<RuleDraft>(json).unwrap();
    let ask = RulePreview {
        rules: Some(vec![
            draft(r#"{"when":[{"field":"name","matches":"^c"}],"then":{"do":"exclude"}}"#),
            draft(r#"{"then":{"do":"merge"}}"#),
        ]),
        ..RulePreview::default()
    };
    let done = lineup::preview(&b.library, &Import::default(), &ask).unwrap();
    assert_eq!((done.entries, done.kept, done.excluded, done.channels), (4, 3, 1, 2));
    assert_eq!((done.rules[0].touched, done.rules[1].touched), (1, 3));
    assert_eq!((done.rules[0].rows[0].before.as_str(), done.rules[0].rows[0].after.as_str()), ("C [G]", ""));
    assert_eq!(b.bytes(), before);
    let wrong = RulePreview {
        add: Some(RuleDraft {
            name: None,
            position: None,
            source: None,
            enabled: None,
            when: vec![Condition { field: "name".into(), matches: "(".into(), not: false }],
            then: Action::Exclude,
        }),
        ..RulePreview::default()
    };
    assert_eq!(
        lineup::preview(&b.library, &Import::default(), &wrong).unwrap_err().field.as_deref(),
        Some("when[0].matches")
    );
}

#[test]
fn merged_channels_are_one_with_ordered_sources() {
    let b = Bench::new();
    b.refresh(&list(&[("A", "/1"), ("A FHD", "/2"), ("B", "/3")])).unwrap();
    b.rule(r#"{"then":{"do":"merge"}}"#);
    let a = b.find("A");
    assert_eq!(a.sources.iter().map(|s| s.url.as_str()).collect::<Vec<_>>(), ["http://h/2", "http://h/1"]);
    assert_eq!(b.bytes().matches("#EXTINF").count(), 2);
    assert_eq!(Settings::default(), **b.library.catalog().settings());
}

/// A list as a broken or hostile server would send it.
fn hostile(kind: u32, seed: u32, good: &str) -> String {
    let entries: Vec<&str> = good.split("#EXTINF").skip(1).collect();
    let again = |order: Vec<usize>| {
        format!("#EXTM3U\n{}", order.iter().map(|i| format!("#EXTINF{}", entries[*i])).collect::<String>())
    };
    let n = entries.len();
    match kind {
        0 => good[..good.len() * (seed as usize % 97) / 100].to_owned(),
        1 => "<!DOCTYPE html><html><body>502 Bad Gateway</body></html>".to_owned(),
        2 => String::new(),
        3 => again((0..n).map(|i| (i * 7 + seed as usize) % n).collect()),
        4 => good.replace("Channel", &format!("Kanal {seed}")),
        5 => format!("{good}{}", many(10_000 + seed..14_000 + seed).trim_start_matches("#EXTM3U\n")),
        6 => good.replace("/live/u/p/", &format!("/live/x{seed}/y/")),
        7 => again((0..n).filter(|i| (i + seed as usize).is_multiple_of(3)).collect()),
        8 => good.replace("group-title=\"G\"", &format!("group-title=\"H{seed}\"")),
        // Names and addresses are dealt anew: each name has another's path.
        _ => {
            let shift = 1 + seed as usize % (n - 1);
            let name = |i: usize| entries[i].split('\n').next().unwrap();
            let url = |i: usize| entries[(i + shift) % n].split('\n').nth(1).unwrap();
            format!("#EXTM3U\n{}", (0..n).map(|i| format!("#EXTINF{}\n{}\n", name(i), url(i))).collect::<String>())
        }
    }
}

#[test]
fn after_a_hundred_hostile_refreshes_one_command_gives_the_playlist_back() {
    let b = Bench::new();
    b.set("lineup_generations", 200);
    // Everything gets through: the worst case.
    b.set("refresh_min_percent", 0);
    b.set("refresh_max_renamed_percent", 100);
    b.set("refresh_max_added_percent", 0);
    let good = many(0..120);
    b.refresh(&good).unwrap();
    let before = b.bytes();
    let mut damaged = 0;
    for round in 0..100 {
        // Which of them are refused is the business of other tests.
        let _ = b.refresh(&hostile(round % 10, round, &good));
        damaged += u32::from(b.bytes() != before);
    }
    assert!(damaged > 20, "{damaged}");
    b.back(Some(1));
    assert_eq!(b.bytes(), before);
}

#[test]
fn with_the_thresholds_as_they_come_hostile_refreshes_are_held() {
    let b = Bench::new();
    let good = many(0..120);
    b.refresh(&good).unwrap();
    let before = b.bytes();
    let mut held = 0;
    for round in 0..100 {
        held += u32::from(b.refresh(&hostile(round % 10, round, &good)).is_err());
        if b.bytes() != before {
            // A change that looks like one of every day is taken, and taken back.
            b.back(None);
            assert_eq!(b.bytes(), before, "round {round}");
        }
    }
    assert!(held >= 40, "{held}");
    assert_eq!(b.bytes(), before);
}
