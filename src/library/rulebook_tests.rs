//! Rules on entries, without playlists.
//!
//! Must not enter: SQL. Invariant: rules are written as the API's JSON, as administrators write them.

use proptest::prelude::*;
use yagi_api::{ChannelSource, RuleDraft};

use super::*;
use crate::{library::merge::Keys, mutation::Mutation};

fn entry(name: &str, group: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        category: group.to_owned(),
        logo: String::new(),
        guide_id: "id.it".to_owned(),
        number: 0,
        sources: vec![ChannelSource { url: "http://h/1.ts".to_owned(), headers: Vec::new() }],
        radio: false,
        catchup: None,
        keys: Keys { path: 7, name: 8 },
        block: None,
        merge_key: String::new(),
        shift_min: 0,
    }
}

fn book(rules: &[&str]) -> Result<Rulebook, ApiError> {
    let drafts: Vec<RuleDraft> = rules.iter().map(|r| serde_json::from_str(r).unwrap()).collect();
    Rulebook::draft(drafts.iter().map(|d| (None, "", d.when.as_slice(), &d.then)))
}

/// The entry afterwards; none: left out.
fn run(rules: &[&str], mut entry: Entry) -> Option<Entry> {
    let attributes = [("TVG-Country".to_owned(), "IT".to_owned())];
    let beside = Beside { attributes: &attributes, check: "alive h264 1080" };
    book(rules).unwrap().run(&mut entry, &beside, |_| ()).then_some(entry)
}

#[test]
fn the_first_decision_holds_and_includes_are_a_choice() {
    let adult = r#"{"when":[{"field":"group","matches":"xxx|adult"}],"then":{"do":"exclude"}}"#;
    let italy = r#"{"when":[{"field":"name","matches":"^it[:|]"}],"then":{"do":"include"}}"#;
    assert!(run(&[adult], entry("A", "XXX VOD")).is_none());
    assert!(run(&[adult], entry("A", "News")).is_some());
    assert!(run(&[italy], entry("UK: A", "News")).is_none());
    assert!(run(&[italy], entry("IT: A", "News")).is_some());
    assert!(run(&[adult, italy], entry("IT: A", "Adult")).is_none());
    assert!(run(&[italy, adult], entry("IT: A", "Adult")).is_some());
}

#[test]
fn captures_make_names_groups_and_keys() {
    let rename = r#"{"when":[{"field":"name","matches":"^(?P<land>[a-z]{2})[:|] *(.*)$"}],"then":{"do":"rename","to":"$2 ($land)"}}"#;
    let group = r#"{"when":[{"field":"attr:tvg-country","matches":"^it$"}],"then":{"do":"regroup","to":"Italia"}}"#;
    let strip = r#"{"then":{"do":"rename","find":" *\\b(fhd|hevc)\\b","to":""}}"#;
    let merge = r#"{"then":{"do":"merge"}}"#;
    let done = run(&[rename, group, strip, merge], entry("IT: Rai 1 FHD HEVC", "x")).unwrap();
    assert_eq!(
        (done.name.as_str(), done.category.as_str(), done.merge_key.as_str()),
        ("Rai 1 (IT)", "Italia", "rai 1 it")
    );
    let key = r#"{"when":[{"field":"guide_id","matches":"^(.*)\\.it$"}],"then":{"do":"merge","key":"$1"}}"#;
    assert_eq!(run(&[key], entry("A", "")).unwrap().merge_key, "id");
    // A name that a rule empties stays.
    assert_eq!(run(&[r#"{"then":{"do":"rename","find":".*","to":""}}"#], entry("A", "")).unwrap().name, "A");
}

#[test]
fn quality_checks_and_numbers_are_conditions() {
    let low = r#"{"when":[{"field":"quality","matches":"sd"}],"then":{"do":"exclude"}}"#;
    assert!(run(&[low], entry("A SD", "")).is_none() && run(&[low], entry("A HD", "")).is_some());
    let dead = r#"{"when":[{"field":"check","matches":"alive","not":true}],"then":{"do":"exclude"}}"#;
    assert!(run(&[dead], entry("A", "")).is_some());
    let numbers = r#"{"when":[{"field":"number","matches":"^$"}],"then":{"do":"renumber","from":500}}"#;
    assert_eq!(run(&[numbers], entry("A", "")).unwrap().block, Some((500, 10_499)));
}

#[test]
fn what_is_wrong_is_named() {
    let field = |rule: &str| book(&[rule]).err().unwrap().field.unwrap();
    assert_eq!(field(r#"{"when":[{"field":"nam","matches":"x"}],"then":{"do":"exclude"}}"#), "when[0].field");
    assert_eq!(field(r#"{"when":[{"field":"name","matches":"("}],"then":{"do":"exclude"}}"#), "when[0].matches");
    assert_eq!(field(r#"{"then":{"do":"rename","find":"(a{1000}){1000}","to":"x"}}"#), "then.find");
    assert_eq!(field(r#"{"then":{"do":"rename","to":" "}}"#), "then.to");
    assert_eq!(field(r#"{"then":{"do":"renumber","from":9,"to":3}}"#), "then.to");
}

/// What holds after every rule that is taken.
fn holds(pattern: &str, to: &str, name: &str) -> u32 {
    let when = [Condition { field: "name".to_owned(), matches: pattern.to_owned(), not: false }];
    let thens = [
        Action::Rename { find: Some(pattern.to_owned()), to: to.to_owned() },
        Action::Rename { find: None, to: to.to_owned() },
        Action::Regroup { find: None, to: to.to_owned() },
        Action::Merge { key: Some(to.to_owned()) },
    ];
    let mut taken = 0;
    for then in &thens {
        let Ok(mut book) = Rulebook::draft(std::iter::once((None, "", &when[..], then))) else { continue };
        taken += 1;
        let mut e = entry(name, "g");
        let beside = Beside { attributes: &[], check: "" };
        assert!(book.run(&mut e, &beside, |_| ()));
        assert!(!e.name.is_empty() && e.name.len() <= MAX_TEXT.max(name.len()));
        assert!(e.category.len() <= MAX_TEXT && e.name == name || !e.name.chars().any(yagi_api::text::is_foul));
    }
    taken
}

/// `cargo test --release -p yagid --lib fuzz -- --ignored --nocapture`; `FUZZ_RUNS` and `FUZZ_SEED` say how much and which.
#[test]
#[ignore = "a million inputs"]
fn fuzz_rules() {
    const WORDS: &[&str] = &[
        "(", ")", "[", "]", "{2,9}", "*", "+", "?", "|", "^", "$", "\\b", "\\d", "\\p{L}", "(?i)", "(?P<a>", "$1",
        "${a}", "$$", ".", "é", "\u{202e}",
    ];
    let patterns = [
        "^(?P<land>[a-z]{2})[:|] *(.*)$",
        " *\\b(fhd|hevc)\\b",
        "xxx|adult",
        "^(.*)\\.it$",
        "$2 ($land)",
        "Rai [0-9]+ (HD|4K)?",
    ];
    let names = ["IT: Rai 1 FHD HEVC", "Новости 24 (HD)", "a", "| x |"];
    let corpus = patterns.iter().chain(&names).map(|text| text.as_bytes().to_vec()).collect();
    let mut inputs = Mutation::new(corpus, WORDS);
    let mut taken = 0;
    for _ in 0..Mutation::runs() {
        let [pattern, to, name] =
            [inputs.next(), inputs.next(), inputs.next()].map(|b| String::from_utf8_lossy(&b).into_owned());
        let name = yagi_api::text::clean(&name, MAX_TEXT).into_owned();
        if !name.is_empty() {
            taken += holds(&pattern, &to, &name);
        }
    }
    println!("{} rules, {taken} actions taken", Mutation::runs());
}

proptest! {
    /// Whatever pattern and text: an answer, and a valid entry.
    #[test]
    fn any_rule_leaves_a_valid_entry(pattern in "\\PC{0,20}", to in "\\PC{0,20}", name in "\\PC{1,40}") {
        holds(&pattern, &to, &name);
    }
}
