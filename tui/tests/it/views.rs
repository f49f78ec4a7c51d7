//! What people look at: each view drawn into a buffer of cells, and what keys do to it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use ratatui::{Terminal, backend::TestBackend};
use serde_json::{Value, from_value, json};
use yagi::{
    client::Fault,
    model::{Link, Model, View},
    msg::{Answer, Ask, Effect, Msg, Verb},
    theme::Theme,
    update::update,
    view::view,
};
use yagi_api::{Event, Page};

use crate::fake::{self, Rows};

const NOW: i64 = 1_795_500_000;

/// Applies a message and answers every read from the fake's rows, as the daemon would.
fn feed(model: &mut Model, rows: &Rows, msg: Msg) -> Vec<Effect> {
    let mut writes = Vec::new();
    let mut waiting = update(model, msg);
    for _ in 0..20 {
        let mut next = Vec::new();
        for effect in waiting {
            match effect {
                Effect::Fetch(ask) => next.extend(update(
                    model,
                    Msg::Answer(Box::new(match answer(rows, &ask) {
                        Some(answer) => answer,
                        None => continue,
                    })),
                )),
                other => writes.push(other),
            }
        }
        if next.is_empty() {
            break;
        }
        waiting = next;
    }
    writes
}

fn answer(rows: &Rows, ask: &Ask) -> Option<Answer> {
    let list = |name: &str| Value::Array(rows.lists.get(name).cloned().unwrap_or_default());
    fn page<T: serde::de::DeserializeOwned>(rows: Value) -> Page<T> {
        let rows: Vec<T> = from_value(rows).unwrap();
        Page { rev: 1, total: u32::try_from(rows.len()).unwrap(), rows }
    }
    Some(match ask {
        Ask::Status => Answer::Status(from_value(fake::status(rows)).unwrap()),
        Ask::Streams => Answer::Streams(from_value(list("streams")).unwrap()),
        Ask::Clients => Answer::Clients(from_value(list("clients")).unwrap()),
        Ask::Logs => Answer::Logs(from_value(list("logs")).unwrap()),
        Ask::Page(View::Channels, q) => Answer::Channels(q.clone(), page(list("channels"))),
        Ask::Page(View::Categories, q) => Answer::Categories(q.clone(), page(list("categories"))),
        Ask::Page(View::Users, q) => Answer::Users(q.clone(), page(list("users"))),
        Ask::Page(_, q) => Answer::Sources(q.clone(), page(list("sources"))),
        Ask::Guide | Ask::Settings | Ask::Urls { .. } => return None,
    })
}

fn model(rows: &Rows, size: (u16, u16)) -> Model {
    let mut model = Model::new(Theme::default(), size, NOW);
    let hello = json!({"version": "0.1.0", "api": 1, "boot_id": "b", "write": true, "host": "tv1"});
    feed(&mut model, rows, Msg::Answer(Box::new(Answer::Hello(from_value(hello).unwrap()))));
    feed(&mut model, rows, Msg::Link(Link::Live));
    model.toast = None;
    model
}

fn key(code: KeyCode) -> Msg {
    Msg::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn screen(model: &Model) -> String {
    let mut terminal = Terminal::new(TestBackend::new(model.size.0, model.size.1)).unwrap();
    terminal.draw(|frame| view(model, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut out = String::new();
    for y in 0..model.size.1 {
        let line: String = (0..model.size.0).map(|x| buffer[(x, y)].symbol()).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Every view at every size with every kind of data is drawn, and no foreign byte gets through.
#[test]
fn every_view_is_drawn_at_every_size() {
    for (kind, rows) in [("typical", fake::typical()), ("empty", fake::empty()), ("hostile", fake::hostile())] {
        for size in [(80, 24), (140, 40), (40, 10), (12, 5), (200, 60)] {
            let mut model = model(&rows, size);
            for n in '1'..='9' {
                feed(&mut model, &rows, key(KeyCode::Char(n)));
                let drawn = screen(&model);
                assert!(
                    !drawn.chars().any(|c| c != '\n' && yagi_api::text::is_foul(c)),
                    "{kind} {size:?} view {n}: {drawn:?}"
                );
                assert!(drawn.contains("tv1") || size.0 < 20, "{kind} {size:?}");
            }
        }
    }
}

#[test]
fn the_views_look_as_they_should() {
    for (kind, rows) in [("typical", fake::typical()), ("empty", fake::empty()), ("hostile", fake::hostile())] {
        for size in [(80, 24), (140, 40), (40, 10)] {
            let mut model = model(&rows, size);
            for n in ['1', '2', '3', '5', '6'] {
                feed(&mut model, &rows, key(KeyCode::Char(n)));
                insta::assert_snapshot!(format!("{kind}-{}x{}-{n}", size.0, size.1), screen(&model));
            }
        }
    }
    let rows = fake::typical();
    let mut model = model(&rows, (80, 24));
    feed(&mut model, &rows, key(KeyCode::Char('?')));
    insta::assert_snapshot!("help-80x24", screen(&model));
    feed(&mut model, &rows, key(KeyCode::Esc));
    feed(&mut model, &rows, key(KeyCode::Char('5')));
    feed(&mut model, &rows, key(KeyCode::Char('e')));
    insta::assert_snapshot!("form-80x24", screen(&model));
}

#[test]
fn offline_the_last_data_stays_and_nothing_can_be_changed() {
    let rows = fake::typical();
    let mut model = model(&rows, (80, 24));
    let down = Link::Down { since: NOW - 12, retry_at: NOW + 5, attempt: 5, fault: Fault::Broken("gone".into()) };
    feed(&mut model, &rows, Msg::Link(down));
    assert!(screen(&model).contains("[offline 12 s"));
    feed(&mut model, &rows, key(KeyCode::Char('5')));
    assert!(feed(&mut model, &rows, key(KeyCode::Char('t'))).is_empty());
    assert!(screen(&model).contains("offline: nothing can be changed now"));
}

#[test]
fn a_kick_asks_first_and_names_what_is_hit() {
    let rows = fake::typical();
    let mut model = model(&rows, (80, 24));
    feed(&mut model, &rows, key(KeyCode::Char('2')));
    let victim = model.selected_client().unwrap().clone();
    assert!(feed(&mut model, &rows, key(KeyCode::Char('X'))).is_empty());
    assert!(screen(&model).contains(&victim.ip));
    // Enter acts on the button that has the focus, which is Cancel.
    assert!(feed(&mut model, &rows, key(KeyCode::Enter)).is_empty());
    feed(&mut model, &rows, key(KeyCode::Char('X')));
    let sent = feed(&mut model, &rows, key(KeyCode::Char('y')));
    assert!(
        matches!(&sent[..], [Effect::Send(c)] if c.path == format!("/api/clients/{}", victim.id) && c.verb == Verb::Delete)
    );
}

#[test]
fn a_tick_with_new_figures_costs_less_than_two_kilobytes() {
    use ratatui::{TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};
    use std::{cell::RefCell, io::Write, rc::Rc};
    #[derive(Clone, Default)]
    struct Sink(Rc<RefCell<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let rows = fake::typical();
    let mut model = model(&rows, (80, 24));
    let proto = model.streams[0].clone();
    model.streams =
        (0..20u64).map(|n| yagi_api::StreamRow { id: n + 1, name: format!("Channel {n}"), ..proto.clone() }).collect();
    let sink = Sink::default();
    let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, 80, 24)) };
    let mut terminal = Terminal::with_options(CrosstermBackend::new(sink.clone()), options).unwrap();
    terminal.draw(|frame| view(&model, frame)).unwrap();
    sink.0.borrow_mut().clear();
    let streams: Vec<_> = model
        .streams
        .iter()
        .map(|s| yagi_api::StreamRow {
            in_bits_per_s: s.in_bits_per_s + 1_110_000,
            out_bits_per_s: s.out_bits_per_s + 3_330_000,
            uptime_s: s.uptime_s + 1,
            ..s.clone()
        })
        .collect();
    let status = model.status.clone().unwrap();
    let tick = Event::Tick { status, streams, clients: model.clients.clone() };
    feed(&mut model, &rows, Msg::Event(Box::new(tick)));
    terminal.draw(|frame| view(&model, frame)).unwrap();
    let written = sink.0.borrow().len();
    assert!(written > 0 && written <= 2048, "{written} bytes");
}

fn any_key() -> impl Strategy<Value = KeyCode> {
    prop_oneof![
        4 => prop::char::range('!', '~').prop_map(KeyCode::Char),
        1 => Just(KeyCode::Char(' ')),
        2 => prop::sample::select(vec![
            KeyCode::Enter, KeyCode::Esc, KeyCode::Tab, KeyCode::BackTab, KeyCode::Backspace, KeyCode::Delete, KeyCode::Up,
            KeyCode::Down, KeyCode::Left, KeyCode::Right, KeyCode::Home, KeyCode::End, KeyCode::PageUp, KeyCode::PageDown,
            KeyCode::F(1), KeyCode::F(2), KeyCode::F(5),
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// No sequence of keys panics, and nothing is taken away without a question before it.
    #[test]
    fn keys_never_destroy_without_a_question(keys in proptest::collection::vec(any_key(), 1..60)) {
        let rows = fake::typical();
        let mut model = model(&rows, (80, 24));
        for code in keys {
            let asked = matches!(model.mode, yagi::model::Mode::Confirm(_));
            let effects = feed(&mut model, &rows, key(code));
            let destroys = effects.iter().any(|e| matches!(e, Effect::Send(c) if c.destructive));
            prop_assert!(!destroys || asked, "{code:?}");
            screen(&model);
        }
    }
}
