//! What keys do: sequences as properties, and the flows that people go through.

use crossterm::event::{KeyCode, KeyModifiers};
use proptest::prelude::*;
use serde_json::{Value, json};
use yagi::{
    client::Fault,
    model::{Mode, View},
    msg::{Change, Effect, Msg, Then, Verb},
};
use yagi_api::{ApiError, ErrorCode};

use crate::stage::Stage;

fn any_key() -> impl Strategy<Value = (KeyCode, KeyModifiers)> {
    let plain = prop_oneof![
        4 => prop::char::range('!', '~').prop_map(KeyCode::Char),
        1 => Just(KeyCode::Char(' ')),
        2 => prop::sample::select(vec![
            KeyCode::Enter, KeyCode::Esc, KeyCode::Tab, KeyCode::BackTab, KeyCode::Backspace, KeyCode::Delete, KeyCode::Up,
            KeyCode::Down, KeyCode::Left, KeyCode::Right, KeyCode::Home, KeyCode::End, KeyCode::PageUp, KeyCode::PageDown,
            KeyCode::F(1), KeyCode::F(2), KeyCode::F(5),
        ]),
    ];
    prop_oneof![
        6 => plain.prop_map(|code| (code, KeyModifiers::NONE)),
        1 => prop::sample::select("adfglrstuwz".chars().collect::<Vec<_>>())
            .prop_map(|c| (KeyCode::Char(c), KeyModifiers::CONTROL)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    /// No sequence of keys panics, nothing is taken away without a question before it, and changes are answered.
    #[test]
    fn keys_never_destroy_without_a_question(
        kind in prop::sample::select(vec!["typical", "empty", "hostile", "offline", "huge"]),
        wide in any::<bool>(),
        keys in prop::collection::vec(any_key(), 1..60),
    ) {
        let mut stage = Stage::new(kind, if wide { (140, 40) } else { (60, 14) });
        for (code, modifiers) in keys {
            let asked = matches!(stage.model.mode, Mode::Confirm(_) | Mode::Review(_));
            let effects = stage.key(code, modifiers);
            for effect in effects {
                if let Effect::Send(change) = effect {
                    prop_assert!(!change.destructive || asked, "{code:?} {change:?}");
                    prop_assert!(kind != "offline", "{change:?}");
                    // The daemon refuses it: nothing may be lost or stuck.
                    let fault = Fault::Api(ApiError::new(ErrorCode::Internal, "no"));
                    stage.feed(Msg::Changed(Box::new(change), Err(fault)));
                }
            }
            stage.screen();
        }
    }
}

fn sent(effects: Vec<Effect>) -> Vec<Change> {
    effects.into_iter().filter_map(|e| if let Effect::Send(c) = e { Some(c) } else { None }).collect()
}

#[track_caller]
fn one(effects: Vec<Effect>) -> Change {
    let mut all = sent(effects);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn a_kick_asks_first_and_names_what_is_hit() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("2");
    let victim = stage.model.selected_client().unwrap().clone();
    assert!(stage.keys("X").is_empty());
    assert!(stage.screen().contains(&victim.ip));
    // Enter acts on the button that has the focus, which is Cancel.
    assert!(stage.press(KeyCode::Enter).is_empty());
    stage.keys("X");
    let kick = one(stage.keys("y"));
    assert_eq!((kick.verb, kick.path), (Verb::Delete, format!("/api/clients/{}", victim.id)));
    stage.keys("B");
    let block = one(stage.keys("y"));
    assert_eq!((block.path, block.body), (format!("/api/clients/{}/block", victim.id), Some(json!({"seconds": 600}))));
}

#[test]
fn many_rows_ask_for_their_number() {
    let mut stage = Stage::new("huge", (80, 24));
    stage.keys("3");
    stage.ctrl('a');
    stage.keys("D");
    assert!(stage.keys("y\n").is_empty() && stage.press(KeyCode::Enter).is_empty(), "y alone is not enough");
    for _ in 0..3 {
        stage.press(KeyCode::Backspace);
    }
    stage.keys("200000");
    let delete = one(stage.press(KeyCode::Enter));
    assert_eq!((delete.path.as_str(), delete.body), ("/api/channels/bulk", Some(json!({"q": "", "delete": true}))));
    assert!(delete.destructive);
}

#[test]
fn marked_rows_are_changed_in_one_step_and_only_where_touched() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("3  e");
    assert!(stage.screen().contains("Edit 2 channels"), "{}", stage.screen());
    for c in "News".chars() {
        stage.press(KeyCode::Char(c));
    }
    let change = one(stage.ctrl('s'));
    assert_eq!(change.path, "/api/channels/bulk");
    assert_eq!(change.body.unwrap(), json!({"ids": [1001, 1002], "set": {"category": "News"}}));

    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("3vjvN");
    for _ in 0..4 {
        stage.press(KeyCode::Backspace);
    }
    stage.keys("100");
    let change = one(stage.press(KeyCode::Enter));
    assert_eq!(change.body.unwrap(), json!({"ids": [1001, 1002], "renumber_from": 100}));
}

#[test]
fn two_quick_digits_are_a_count_and_two_slow_ones_are_views() {
    use crossterm::event::KeyEvent;
    let mut stage = Stage::new("huge", (80, 24));
    stage.keys("3");
    let mut at = |c: char, ms: u64| {
        stage.feed(Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE), ms));
    };
    at('2', 100_000);
    at('5', 100_080);
    at('j', 100_160);
    assert_eq!((stage.model.view, stage.model.list().selected), (View::Channels, 25));
    stage.keys("25");
    assert_eq!(stage.model.view, View::Users);
}

#[test]
fn esc_goes_back_step_by_step_and_never_quits() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("4");
    stage.press(KeyCode::Enter);
    assert_eq!((stage.model.view, stage.model.only_category.as_deref()), (View::Channels, Some("|IT| GENERALI")));
    stage.keys("/rai");
    stage.press(KeyCode::Enter);
    stage.keys(" ");
    stage.press(KeyCode::Esc);
    assert!(stage.model.list().marks.is_empty() && stage.model.list().filter == "rai");
    stage.press(KeyCode::Esc);
    assert!(stage.model.list().filter.is_empty());
    stage.press(KeyCode::Esc);
    assert_eq!(stage.model.view, View::Categories);
    for _ in 0..5 {
        assert!(stage.press(KeyCode::Esc).is_empty());
    }
    assert!(stage.keys("q").is_empty());
    assert_eq!(stage.keys("q"), [Effect::Quit]);
}

#[test]
fn a_filter_is_typed_without_any_key_of_the_view_and_comes_back_from_the_history() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("5/Dquit");
    assert!(stage.press(KeyCode::Backspace).is_empty());
    assert_eq!(stage.model.list().filter, "Dqui");
    stage.press(KeyCode::Enter);
    stage.press(KeyCode::Esc);
    stage.keys("/");
    stage.press(KeyCode::Up);
    assert_eq!(stage.model.list().filter, "Dqui");
    stage.press(KeyCode::Esc);
    assert_eq!(stage.model.list().filter, "");
}

#[test]
fn a_conflict_shows_both_values_and_loses_nothing() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("3e");
    stage.press(KeyCode::End);
    stage.keys("!");
    let change = one(stage.ctrl('s'));
    assert_eq!(change.body.as_ref().unwrap(), &json!({"name": "Rai 1 HD!", "version": 1}));
    let mut error = ApiError::new(ErrorCode::Conflict, "somebody changed it meanwhile");
    error.field = Some("version".into());
    stage.feed(Msg::Event(Box::new(
        serde_json::from_value(json!({"type": "change", "rev": 9, "noun": "channels", "change": "updated", "id": 1001, "actor": "bob(1000)"}))
            .unwrap(),
    )));
    let path = change.path.clone();
    stage.feed(Msg::Changed(Box::new(change), Err(Fault::Api(error))));
    let mut theirs: Value = serde_json::to_value(stage.model.selected_channel().unwrap()).unwrap();
    (theirs["name"], theirs["number"], theirs["version"]) = (json!("Rai Uno"), json!(77), json!(5));
    stage.feed(Msg::Answer(Box::new(yagi::msg::Answer::Theirs(path, theirs))));
    let screen = stage.screen();
    assert!(
        screen.contains("Rai 1 HD!") && screen.contains("! now: Rai Uno") && screen.contains("by bob(1000)"),
        "{screen}"
    );
    assert!(screen.contains("[77 "), "what I did not touch is theirs: {screen}");
    let again = one(stage.ctrl('s'));
    assert_eq!(again.body.unwrap(), json!({"name": "Rai 1 HD!", "version": 5}));
}

#[test]
fn leaving_a_changed_form_asks() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("5ex");
    stage.press(KeyCode::Esc);
    assert!(stage.screen().contains("Esc again leaves"));
    stage.press(KeyCode::Tab);
    stage.keys("y");
    stage.press(KeyCode::Esc);
    assert!(matches!(stage.model.mode, Mode::Form(_)), "it asks anew after more was typed");
    stage.press(KeyCode::Esc);
    assert!(matches!(stage.model.mode, Mode::Browse));
}

#[test]
fn three_answers_lead_to_a_link() {
    let mut stage = Stage::new("empty", (80, 24));
    assert!(stage.screen().contains("three answers"));
    // An address that is pasted on the start card is the first answer.
    stage.feed(Msg::Paste("http://prov-b.example/bad.m3u\n".into()));
    stage.press(KeyCode::Enter);
    assert!(stage.screen().contains("404 Not Found"), "what was typed stays: {}", stage.screen());
    for _ in 0.."bad.m3u".len() {
        stage.press(KeyCode::Backspace);
    }
    stage.keys("list.m3u");
    stage.press(KeyCode::Enter);
    assert!(stage.screen().contains("412 channels in 12 groups"), "{}", stage.screen());
    let changes = sent(stage.press(KeyCode::Enter));
    assert_eq!(changes.len(), 2, "the playlist and the guide that it names");
    assert_eq!(
        changes[0].body.as_ref().unwrap(),
        &json!({"url": "http://prov-b.example/list.m3u", "kind": "playlist"})
    );
    assert_eq!(changes[1].body.as_ref().unwrap(), &json!({"url": "http://epg.example/guide.xml.gz", "kind": "guide"}));
    for change in changes {
        stage.feed(Msg::Changed(Box::new(change), Ok(json!({"id": 1}))));
    }
    let user = one(stage.press(KeyCode::Enter));
    assert_eq!((user.body.as_ref().unwrap(), user.then), (&json!({"name": "tv"}), Then::FormAndUrls));
    let new = json!({"id": 9, "version": 1, "name": "tv", "enabled": true, "expires_at": null, "trial": false, "max_connections": 1,
        "formats": ["ts"], "categories": null, "note": "", "created_at": 0, "password": "Xk3v9pQ2tW7m"});
    stage.feed(Msg::Changed(Box::new(user), Ok(new)));
    let screen = stage.screen();
    assert!(screen.contains("Addresses of tv") && screen.contains('▀'), "{screen}");
    let copied = stage.keys("y");
    assert!(
        matches!(&copied[..], [Effect::Copy { text, .. }] if text.starts_with("http://tv1.lan:8080/get.php?username=tv&"))
    );
}

#[test]
fn an_edited_table_is_shown_as_a_difference_and_applied_at_once() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("3");
    let channels = stage.model.channels.rows.clone();
    let channels: Vec<_> = channels.into_iter().map(|row| row.channel).collect();
    let sheet = yagi::sheet::Sheet::channels(&channels, &stage.model.tree);
    let text = sheet.text().replace("Das Erste\t", "ARD\t");
    let look = one(stage.feed(Msg::Edited(View::Channels, Box::new(sheet.clone()), text)));
    assert_eq!((look.path.as_str(), &look.body.as_ref().unwrap()["dry_run"]), ("/api/apply", &json!(true)));
    let field = json!({"field": "name", "before": "Das Erste", "after": "ARD"});
    let answer = |dry: bool, change: Value| {
        json!({"dry_run": dry, "matched": 1, "created": 0, "updated": 1, "deleted": 0, "change": change,
            "items": [{"noun": "channels", "change": "updated", "row": 1002, "name": "Das Erste", "fields": [field]}]})
    };
    stage.feed(Msg::Changed(Box::new(look), Ok(answer(true, Value::Null))));
    let screen = stage.screen();
    assert!(screen.contains("Das Erste -> ARD") && screen.contains("0 new, 1 changed, 0 deleted"), "{screen}");
    insta::assert_snapshot!("review-80x24", screen);
    assert!(stage.press(KeyCode::Enter).is_empty(), "only y applies");
    let apply = one(stage.keys("y"));
    assert_eq!(apply.body.as_ref().unwrap()["dry_run"], json!(false));
    stage.feed(Msg::Changed(Box::new(apply), Ok(answer(false, json!(12)))));
    assert!(matches!(stage.model.mode, Mode::Browse) && stage.screen().contains("u to undo"));

    // What cannot be read goes back to the editor with every word.
    let bad = sheet.text().replace("\tyes\t", "\tperhaps\t");
    assert!(stage.feed(Msg::Edited(View::Channels, Box::new(sheet), bad.clone())).is_empty());
    assert!(stage.screen().contains("line 5: enabled"), "{}", stage.screen());
    assert!(matches!(&stage.keys("e")[..], [Effect::Edit(_, _, text)] if *text == bad));
}

#[test]
fn commands_are_completed_and_say_what_they_expect() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys(":th");
    stage.press(KeyCode::Tab);
    stage.keys("m");
    stage.press(KeyCode::Tab);
    stage.press(KeyCode::Enter);
    assert_eq!(stage.model.theme.palette, yagi::theme::Palette::Mono);
    stage.keys(":kick nobody");
    stage.press(KeyCode::Enter);
    assert!(stage.screen().contains("nobody called nobody watches"), "{}", stage.screen());
    stage.press(KeyCode::Esc);
    stage.keys(":kick alice");
    stage.press(KeyCode::Enter);
    assert!(matches!(stage.model.mode, Mode::Confirm(_)));
    assert_eq!(sent(stage.keys("y")).len(), 2);
    stage.keys(":user bob");
    stage.press(KeyCode::Enter);
    assert_eq!((stage.model.view, stage.model.list().filter.as_str()), (View::Users, "name:=\"bob\""));
}

#[test]
fn undo_and_redo_are_the_daemons() {
    let mut stage = Stage::new("typical", (80, 24));
    assert_eq!(one(stage.keys("u")).path, "/api/undo");
    let redo = one(stage.ctrl('r'));
    assert_eq!(redo.path, "/api/redo");
    let applied = json!({"dry_run": false, "matched": 1, "created": 0, "updated": 1, "deleted": 0, "change": 5,
        "items": [{"noun": "channels", "change": "updated", "row": 7, "name": "One", "fields": [{"field": "name", "before": "a", "after": "b"}]}]});
    stage.feed(Msg::Changed(Box::new(redo), Ok(applied)));
    assert!(stage.screen().contains("made again: One (name)"), "{}", stage.screen());
}

#[test]
fn whoever_may_only_read_changes_nothing() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.model.read_only = true;
    assert!(stage.screen().contains("read-only"));
    stage.keys("5");
    for key in "tenDxPuE".chars() {
        assert!(stage.press(KeyCode::Char(key)).is_empty(), "{key}");
        assert!(stage.screen().contains("read-only: nothing can be changed"), "{key}");
    }
}

#[test]
fn categories_move_and_merge() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("4");
    let change = one(stage.keys("J"));
    assert_eq!((change.path.as_str(), change.body.unwrap()), ("/api/categories/order", json!({"ids": [2, 1]})));
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("4 M");
    assert!(stage.screen().contains("Merge 1 into World?"), "{}", stage.screen());
    let merge = one(stage.keys("y"));
    assert_eq!((merge.path.as_str(), merge.body.unwrap()), ("/api/categories/id:1/merge", json!({"into": 2})));
}

#[test]
fn a_suggestion_is_taken_with_a_key() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("7jj");
    let take = one(stage.keys("a"));
    assert_eq!(
        (take.path.as_str(), take.body.unwrap()),
        ("/api/channels/1003", json!({"guide_id": "nhk.jp", "version": 1}))
    );
    stage.keys("A");
    assert_eq!(one(stage.keys("y")).body.unwrap()["min_score"].as_f64().unwrap() as f32, 0.9);
}

#[test]
fn lists_without_a_view_are_shown_by_their_names_and_enter_acts() {
    let mut stage = Stage::new("typical", (80, 24));
    let show = |stage: &mut Stage, word: &str| {
        stage.press(KeyCode::Esc);
        stage.keys(&format!(":{word}"));
        stage.press(KeyCode::Enter);
        let screen = stage.screen();
        assert!(!screen.chars().any(|c| c != '\n' && yagi_api::text::is_foul(c)), "{word}: {screen}");
        screen
    };
    assert!(show(&mut stage, "blocks").contains("203.0.113.9"));
    let unblock = one(stage.press(KeyCode::Enter));
    assert_eq!((unblock.verb, unblock.path.as_str()), (Verb::Delete, "/api/blocks/203%2E0%2E113%2E9"));
    assert!(show(&mut stage, "rules").contains("exclude in all playlists"));
    let off = one(stage.press(KeyCode::Enter));
    assert_eq!((off.path.as_str(), off.body), ("/api/rules/4", Some(json!({"enabled": false, "version": 2}))));
    assert!(show(&mut stage, "lineup").contains("HELD BACK, too few channels: 3 of 412"));
    assert!(sent(stage.press(KeyCode::Enter)).is_empty(), "it asks first");
    assert_eq!(one(stage.keys("y")).path, "/api/lineup/id:1/accept");
    show(&mut stage, "lineup");
    stage.keys("jj");
    assert!(sent(stage.press(KeyCode::Enter)).is_empty());
    assert_eq!(one(stage.keys("y")).body, Some(json!({"to": 11})));
    show(&mut stage, "jobs");
    assert!(sent(stage.press(KeyCode::Enter)).is_empty());
    assert_eq!(one(stage.keys("y")).path, "/api/jobs/7");
    assert!(show(&mut stage, "engines").contains("127.0.0.1:6878 up"));
    assert!(stage.press(KeyCode::Enter).is_empty());
    let screen = show(&mut stage, "changes");
    assert!(screen.contains("prov-a (for good): refreshed"), "{screen}");
    assert!(sent(stage.press(KeyCode::Enter)).is_empty());
    let undo = one(stage.keys("y"));
    assert_eq!((undo.path.as_str(), undo.body), ("/api/undo", Some(json!({"id": 41}))));
}

#[test]
fn every_address_of_a_channel_is_tested_and_shown_with_its_result() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("3");
    stage.keys("T");
    assert!(stage.screen().contains("Rai 1 HD is streamed now"), "{}", stage.screen());
    stage.press(KeyCode::Esc);
    stage.model.streams.clear();
    let old = yagi_api::Check { at: 100, alive: true, ..yagi_api::Check::default() };
    let address = |url: &str, check: &yagi_api::Check| yagi_api::AddressCheck {
        url: url.to_owned(),
        check: (check.at > 0).then(|| check.clone()),
    };
    let none = yagi_api::Check::default();
    let both =
        |a: &yagi_api::Check, b: &yagi_api::Check| vec![address("http://a/1.ts", a), address("http://b/1.ts", b)];
    stage.checked = both(&old, &none);
    let start = one(stage.keys("T"));
    assert_eq!((start.path.as_str(), start.body), ("/api/checks", Some(json!({"ids": [1001], "all": true}))));
    stage.feed(Msg::Clock(crate::stage::NOW + 1));
    let screen = stage.screen();
    assert_eq!(screen.matches("is being opened, or waits").count(), 2, "a former result is none: {screen}");
    let plays = yagi_api::Check { at: 101, video: "h264".into(), width: 1920, height: 1080, ..old.clone() };
    stage.checked = both(&plays, &none);
    stage.feed(Msg::Clock(crate::stage::NOW + 2));
    let screen = stage.screen();
    assert!(screen.contains("http://a/1.ts") && screen.contains("h264 1920x1080"), "{screen}");
    assert!(screen.contains("http://b/1.ts") && screen.contains("is being opened"), "{screen}");
    // The limit is one for each address: it begins anew with a result.
    stage.feed(Msg::Clock(crate::stage::NOW + 70));
    let gone = yagi_api::Check { at: 160, error: "404 Not Found".into(), ..none.clone() };
    stage.checked = both(&plays, &gone);
    stage.feed(Msg::Clock(crate::stage::NOW + 71));
    let screen = stage.screen();
    assert!(screen.contains("Test of Rai 1 HD") && screen.contains("404 Not Found"), "{screen}");
    assert!(!screen.contains("is being opened"), "{screen}");
    assert!(stage.feed(Msg::Clock(crate::stage::NOW + 72)).is_empty(), "nothing is asked any more");
    stage.press(KeyCode::Esc);
    // Who closed the page is told in a line.
    stage.keys("T");
    stage.press(KeyCode::Esc);
    let again = |c: &yagi_api::Check| yagi_api::Check { at: c.at + 500, ..c.clone() };
    stage.checked = both(&again(&plays), &again(&gone));
    stage.feed(Msg::Clock(crate::stage::NOW + 73));
    assert!(stage.screen().contains("1 of 2 addresses play"), "{}", stage.screen());
    // One that never comes is given up.
    stage.keys("T");
    stage.feed(Msg::Clock(crate::stage::NOW + 300));
    stage.press(KeyCode::Esc);
    assert!(stage.screen().contains("no result in 75 s"), "{}", stage.screen());
    assert!(stage.feed(Msg::Clock(crate::stage::NOW + 301)).is_empty());
    // Marked ones are queued together.
    let many = one(stage.keys("3  T"));
    assert_eq!(many.body, Some(json!({"ids": [1001, 1002]})));
}

#[test]
fn checks_are_long_work_with_counts_and_an_end() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("3");
    let job = |state: &str, done: u32, told: &str| {
        let job = json!({"id": 9, "name": "checks", "state": state, "step": "checking", "done": done, "total": 40,
            "unit": "addresses", "started_at": crate::stage::NOW - 12, "elapsed_ms": 12_000, "actor": "root(0)", "told": told});
        Msg::Event(Box::new(yagi_api::Event::Job { job: serde_json::from_value(job).unwrap() }))
    };
    stage.feed(job("running", 12, "10 play, 2 do not"));
    let screen = stage.screen();
    assert!(screen.contains("checks: checking 12 of 40 addresses, 30 %, 12 s"), "{screen}");
    let stop = one(stage.keys("c"));
    assert_eq!((stop.path.as_str(), stop.destructive), ("/api/jobs/9", false));
    stage.feed(job("cancelled", 12, "10 play, 2 do not"));
    assert!(stage.screen().contains("checks: cancelled, 10 play, 2 do not"), "{}", stage.screen());
    assert!(stage.keys("c").is_empty());
    assert!(stage.screen().contains("no checks are running"), "{}", stage.screen());
}

#[test]
fn the_list_of_channels_tells_guide_check_and_stream() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("3");
    let screen = stage.screen();
    for words in ["match prov-a    live 2", "guess prov-a", "none  prov-a    off", "none  prov-a +1 dead", "gone 2d"] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    assert!(screen.contains("tvg-id Rai1HD.it (match)") && screen.contains("now News at eight"), "{screen}");
    stage.keys("j");
    let screen = stage.screen();
    assert!(screen.contains("(guessed 0.93)") && screen.contains("catch-up 7d xc  addresses 1"), "{screen}");
    stage.keys("jj");
    assert!(stage.screen().contains("checked dead: 404 Not Found"), "{}", stage.screen());
}
