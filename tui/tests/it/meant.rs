//! Which row a key acts on: while lists are fetched, grow, are filtered, and when rows are marked.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;
use yagi::{
    client::Fault,
    model::{Mode, Model, View},
    msg::{Answer, Ask, Change, Effect, Msg},
    update::update,
};
use yagi_api::{ApiError, ErrorCode, Event, Page, Query, User, UserId};

use crate::stage::Stage;

/// Keys whose reads nobody answers yet.
fn burst(model: &mut Model, keys: &[KeyCode]) -> Vec<Effect> {
    let key = |(n, code): (usize, &KeyCode)| {
        let at = 1_000_000 + n as u64 * 1000;
        update(model, Msg::Key(KeyEvent::new(*code, KeyModifiers::NONE), at))
    };
    keys.iter().enumerate().flat_map(key).collect()
}

fn typed(text: &str) -> Vec<KeyCode> {
    text.chars().map(|c| if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) }).collect()
}

fn sent(effects: &[Effect]) -> Vec<&Change> {
    effects.iter().filter_map(|e| if let Effect::Send(c) = e { Some(c) } else { None }).collect()
}

fn asked(effects: &[Effect]) -> Option<Query> {
    effects.iter().find_map(|e| if let Effect::Fetch(Ask::Page(_, q)) = e { Some(q.clone()) } else { None })
}

#[test]
fn a_key_waits_for_the_list_that_it_is_meant_for() {
    for (keys, narrowed) in [("/bob\nt", "bob"), (">t", ""), ("/bob\n ", "bob"), ("/bob\nP", "bob")] {
        let mut stage = Stage::new("typical", (80, 24));
        stage.keys("5");
        let effects = burst(&mut stage.model, &typed(keys));
        assert!(sent(&effects).is_empty() && matches!(stage.model.mode, Mode::Browse), "{keys}");
        assert!(stage.model.list().marks.is_empty() && stage.screen().contains("being fetched"), "{keys}");
        let query =
            Query { q: narrowed.into(), sort: yagi::rows::pages::order(&stage.model, View::Users), ..Query::default() };
        let bob = stage.model.users.rows[1].clone();
        update(
            &mut stage.model,
            Msg::Answer(Box::new(Answer::Users(query, Page { rev: 1, total: 1, rows: vec![bob] }))),
        );
        assert_eq!(sent(&burst(&mut stage.model, &typed("t")))[0].path, "/api/users/id:2");
    }
}

#[test]
fn rows_do_not_stay_under_a_filter_that_was_refused() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("5");
    let query = asked(&burst(&mut stage.model, &typed("/nme:x\n"))).unwrap();
    let fault = Fault::Api(ApiError::new(ErrorCode::Invalid, "there is no field nme"));
    update(&mut stage.model, Msg::Failed(Ask::Page(View::Users, query), fault));
    assert!(
        !stage.screen().contains("alice") && stage.screen().contains("there is no field nme"),
        "{}",
        stage.screen()
    );
}

#[test]
fn the_cursor_stays_on_its_row_when_others_come_before_it() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("5jvj");
    let name = |model: &Model| model.selected_user().unwrap().name.clone();
    assert_eq!(name(&stage.model), "carla");
    let sort = yagi::rows::pages::order(&stage.model, View::Users);
    let mut rows = stage.model.users.rows.clone();
    rows.insert(0, User { id: UserId(9), name: "aaron".into(), ..rows[0].clone() });
    let page = Page { rev: 2, total: 5, rows };
    update(&mut stage.model, Msg::Answer(Box::new(Answer::Users(Query { sort, ..Query::default() }, page))));
    assert_eq!((name(&stage.model).as_str(), stage.model.list().anchor), ("carla", Some(2)));
}

#[test]
fn marks_go_with_what_is_seen() {
    let mut stage = Stage::new("typical", (80, 24));
    let marked = |stage: &Stage, view: View| {
        let list = &stage.model.lists[view.index()];
        list.marks.len() + usize::from(list.anchor.is_some()) + usize::from(stage.model.all_marked[view.index()])
    };
    stage.keys("5 v/bob");
    assert_eq!(marked(&stage, View::Users), 0);
    stage.press(KeyCode::Esc);
    stage.keys("3 v4");
    stage.press(KeyCode::Enter);
    assert_eq!((stage.model.view, marked(&stage, View::Channels)), (View::Channels, 0));
    stage.ctrl('a');
    stage.keys(":category World\n");
    stage.press(KeyCode::Enter);
    assert_eq!((stage.model.only_category.as_deref(), marked(&stage, View::Channels)), (Some("World"), 0));
    stage.keys("2 1");
    stage.press(KeyCode::Enter);
    assert_eq!((stage.model.view, marked(&stage, View::Clients)), (View::Clients, 0));
}

#[test]
fn one_marked_row_is_the_one_that_is_meant() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("5 e");
    assert!(matches!(&stage.model.mode, Mode::Form(form) if form.title == "Edit user: alice"), "{}", stage.screen());
    stage.press(KeyCode::Esc);
    stage.keys("P");
    assert!(stage.screen().contains("alice: the old links"), "{}", stage.screen());
    stage.press(KeyCode::Esc);
    stage.keys(" P");
    assert!(stage.screen().contains("one user at a time"), "{}", stage.screen());
    // The cursor is on carla; what is turned is what the marked ones are.
    stage.keys("t");
    assert!(matches!(stage.model.mode, Mode::Browse));
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("3 T");
    assert_eq!(stage.model.test.as_ref().map(|t| t.id).or(Some(1001)), Some(1001));
    assert!(stage.screen().contains("Rai 1 HD is streamed now"), "{}", stage.screen());
    // Off is what a marked row that is on becomes, although the row under the cursor is off.
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("3j ");
    let effects = stage.keys("t");
    assert_eq!(sent(&effects)[0].body.as_ref().unwrap(), &json!({"ids": [1002], "set": {"enabled": false}}));
}

#[test]
fn suggestions_for_many_ask_and_heed_the_filter() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("7/how:none");
    stage.press(KeyCode::Enter);
    stage.ctrl('a');
    assert!(stage.keys("a").is_empty() && stage.screen().contains("NHK World"), "{}", stage.screen());
    let effects = stage.keys("y");
    assert_eq!(sent(&effects)[0].body.as_ref().unwrap(), &json!({"q": "how:none", "min_score": 0.5}));
    stage.keys("A");
    let effects = stage.keys("y");
    assert_eq!(sent(&effects)[0].body.as_ref().unwrap()["q"], "how:none");
}

#[test]
fn an_old_probe_is_no_answer_to_another_address() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("6n");
    let first = burst(&mut stage.model, &typed("http://one.example/a.m3u\n"));
    let Some(Effect::Fetch(Ask::Probe(old))) = first.last().cloned() else { panic!("{first:?}") };
    burst(&mut stage.model, &[KeyCode::Esc]);
    burst(&mut stage.model, &typed("nhttp://two.example/b.m3u\n"));
    let probe = serde_json::from_value(crate::fake::probe(&old)).unwrap();
    update(&mut stage.model, Msg::Answer(Box::new(Answer::Probe(old.clone(), probe))));
    let waits =
        |model: &Model| matches!(&model.mode, Mode::Wizard(w) if w.waits && w.fault.is_none() && w.probe.is_none());
    assert!(waits(&stage.model), "the answer was for another address");
    update(&mut stage.model, Msg::Failed(Ask::Probe(old), Fault::Broken("slow".into())));
    assert!(waits(&stage.model), "the failure too");
}

#[test]
fn whoever_comes_or_goes_renews_what_users_use() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("5");
    let tick = |model: &mut Model, clients: Vec<yagi_api::ClientRow>| {
        let (status, streams) = (model.status.clone().unwrap(), model.streams.clone());
        update(model, Msg::Event(Box::new(Event::Tick { status, streams, clients })))
    };
    let clients = stage.model.clients.clone();
    assert_eq!(asked(&tick(&mut stage.model, clients.clone())), None, "nobody came or went");
    let effects = tick(&mut stage.model, clients[1..].to_vec());
    assert!(matches!(&effects[..], [Effect::Fetch(Ask::Page(View::Users, _))]), "{effects:?}");
}

#[test]
fn esc_leaves_a_form_when_pressed_twice_in_a_row() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("5ex");
    for code in [KeyCode::Esc, KeyCode::Tab, KeyCode::Tab, KeyCode::Esc] {
        stage.press(code);
    }
    assert!(matches!(stage.model.mode, Mode::Form(_)), "what was typed is still there");
    stage.press(KeyCode::Esc);
    assert!(matches!(stage.model.mode, Mode::Browse));
}

#[test]
fn several_rows_lose_in_the_plural() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("3  D");
    assert!(stage.screen().contains("their streams stop"), "{}", stage.screen());
}
