//! The one key table against what its keys do, and against the command line.
//!
//! Must not enter: what single keys do (`keys`). Invariant: no key of the help is dead, and what can be done here is a verb.

use clap::Parser as _;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use yagi::{
    cli::args::Cli,
    keys::{Action, KEYS},
    model::View,
    msg::Msg,
    palette::COMMANDS,
    update::update,
};

use crate::stage::Stage;

fn event(name: &str) -> KeyEvent {
    let (name, modifiers) = match name.strip_prefix("C-") {
        Some(rest) => (rest, KeyModifiers::CONTROL),
        None => (name, KeyModifiers::NONE),
    };
    let code = match name {
        "Space" => KeyCode::Char(' '),
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "BackTab" => KeyCode::BackTab,
        "Delete" => KeyCode::Delete,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        "PageUp" => KeyCode::PageUp,
        "PageDown" => KeyCode::PageDown,
        "F1" => KeyCode::F(1),
        "F5" => KeyCode::F(5),
        one if one.chars().count() == 1 => KeyCode::Char(one.chars().next().unwrap()),
        other => panic!("{other} is no key of this test"),
    };
    KeyEvent::new(code, modifiers)
}

/// A view with many rows, where what the key does can be seen.
fn before(view: View, action: Action) -> Stage {
    let mut stage = Stage::new("huge", (140, 40));
    stage.keys(&(view.index() + 1).to_string());
    match action {
        Action::Up | Action::HalfUp | Action::PageUp | Action::Top | Action::MoveUp => {
            if view == View::Logs {
                stage.keys("G");
            }
            stage.keys("j");
        }
        Action::Down | Action::HalfDown | Action::PageDown if view == View::Logs => drop(stage.keys("g")),
        Action::Bottom if view == View::Logs => drop(stage.keys("g")),
        Action::Merge => drop(stage.keys(" ")),
        Action::ScrollLeft => drop(stage.keys("l")),
        Action::Back => {
            stage.keys("/x");
            stage.press(KeyCode::Enter);
        }
        _ => {}
    }
    stage
}

#[test]
fn no_key_of_the_help_is_dead() {
    let (mut tried, mut dead) = (0, Vec::new());
    for view in View::ALL {
        for binding in KEYS.iter().filter(|b| b.applies(view)) {
            for key in binding.keys {
                let key = event(key);
                let mut stage = before(view, binding.action);
                // An earlier line of the table may have the key in this view.
                let found = stage.model.keymap.find(view, &key).map(|b| b.action);
                if found != Some(binding.action) || binding.action == Action::Go(view) {
                    continue;
                }
                // What every key touches.
                let seen = |stage: &Stage| {
                    let mut model = stage.model.clone();
                    (model.dirty, model.digit, model.quit_asked) = (false, None, stage.model.quit_asked);
                    format!("{model:?}")
                };
                let was = seen(&stage);
                let effects = update(&mut stage.model, Msg::Key(key, 9_000_000));
                tried += 1;
                let same = effects.is_empty() && seen(&stage) == was;
                // In two panes one key of the list has nothing to scroll back to.
                let fixed = matches!(binding.action, Action::ScrollLeft | Action::ScrollRight) && view == View::Logs;
                if same && !fixed {
                    dead.push(format!("{} ({:?}) does nothing in {view:?}", binding.help, binding.action));
                }
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(tried > 400, "{tried}");
}

/// The verb for what a key does; none: it only moves about in the terminal.
fn verbs(view: View, action: Action) -> &'static [&'static str] {
    match (view, action) {
        (View::Streams, Action::Stop) => &["stop One"],
        (View::Clients, Action::Stop) => &["kick alice"],
        (_, Action::Stop) => &[],
        (_, Action::Block) => &["kick alice --block", "blocks add 10.0.0.7"],
        (_, Action::Failover) => &["streams failover One"],
        (View::Channels, Action::New) => &["channels add One testcard:"],
        (View::Categories, Action::New) => &["categories add News"],
        (View::Users, Action::New) => &["users add alice"],
        (_, Action::New) => &["sources add http://h/list.m3u"],
        (View::Categories, Action::Edit) => &["categories edit News --name Noise"],
        (View::Users | View::Clients, Action::Edit) => &["users edit alice --expires never"],
        (View::Sources, Action::Edit) => &["sources edit prov --interval 1h"],
        (View::Settings, Action::Edit) => &["settings set linger_s 8"],
        (_, Action::Edit) => &["channels edit 7 --name One"],
        (View::Users, Action::Editor) => &["users edit --filter x"],
        (_, Action::Editor) => &["channels edit --filter x"],
        (View::Users, Action::Toggle) => &["users on alice", "users off alice"],
        (View::Sources, Action::Toggle) => &["sources edit prov --enabled", "sources edit prov --disabled"],
        (_, Action::Toggle) => &["channels on 7", "channels off 7"],
        (_, Action::Move) => &["channels move 7 --category News"],
        (_, Action::Renumber) => &["channels renumber --filter x --from 10"],
        (_, Action::MoveUp | Action::MoveDown) => &["categories order News Sport"],
        (_, Action::Merge) => &["categories merge News --into Sport"],
        (View::Categories, Action::Delete) => &["categories rm News"],
        (View::Users, Action::Delete) => &["users rm alice"],
        (View::Sources, Action::Delete) => &["sources rm prov"],
        (_, Action::Delete) => &["channels rm 7"],
        (_, Action::Test) => &["check --all --wait One"],
        (_, Action::Password) => &["users passwd alice"],
        (_, Action::Extend) => &["users extend alice --by 30d"],
        (View::Users, Action::Urls) => &["url alice --qr"],
        (_, Action::Urls) => &["url alice --stream --channel One"],
        (View::Sources, Action::Refresh) => &["sources refresh prov"],
        (View::Guide, Action::Refresh) => &["epg refresh"],
        (_, Action::CancelJob) => &["jobs cancel 4", "check --cancel"],
        (_, Action::Difference) => &["sources diff prov"],
        (_, Action::Accept) => &["epg match One one.tv"],
        (_, Action::AcceptAll) => &["epg match"],
        (_, Action::Reload) => &["reload"],
        (_, Action::Backup) => &["backup"],
        (_, Action::Undo) => &["undo", "undo 4"],
        (_, Action::Redo) => &["redo"],
        (_, Action::DaemonLevel) => &["api PUT /api/log/filter"],
        (_, Action::Level) => &["logs --level warn"],
        (_, Action::Follow) => &["logs -f"],
        (View::Users, Action::Copy) => &["url alice --copy"],
        (_, Action::Save) => &["channels -o csv", "users --json"],
        (View::Channels, Action::Enter) => &["channels show 7", "explain 7"],
        (View::Users, Action::Enter) => &["users show alice"],
        (View::Sources, Action::Enter) => &["sources show prov"],
        (View::Guide, Action::Enter) => &["epg unmatched", "epg show One"],
        _ => &[],
    }
}

#[test]
fn whatever_a_key_changes_is_a_verb_too() {
    for view in View::ALL {
        for binding in KEYS.iter().filter(|b| b.applies(view)) {
            let lines = verbs(view, binding.action);
            assert!(!binding.writes || !lines.is_empty(), "{:?} in {view:?} has no verb", binding.action);
            for line in lines {
                let words = std::iter::once("yagi").chain(line.split(' '));
                assert!(Cli::try_parse_from(words).is_ok(), "yagi {line}: {:?}", Cli::try_parse_from(["yagi"]).is_ok());
            }
        }
    }
}

#[test]
fn every_command_of_the_palette_does_something() {
    for command in COMMANDS {
        let mut stage = Stage::new("typical", (80, 24));
        stage.keys("3");
        let argument = match command.name {
            "kick" | "block" | "user" | "urls" | "client" => " alice",
            "stop" | "failover" => " Rai 1 HD",
            "category" => " World",
            "theme" => " mono",
            "tick" => " 5s",
            "level" => " warn",
            "save" => " x.csv",
            "filter" => " x",
            _ if command.takes.is_empty() => "",
            _ => " x",
        };
        let was = format!("{:?}", stage.model);
        stage.keys(&format!(":{}{argument}", command.name));
        let mut model = stage.model.clone();
        let effects = update(&mut model, Msg::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE), 9_000_000));
        let faulty = matches!(&model.mode, yagi::model::Mode::Prompt(p) if p.fault.is_some());
        assert!(!faulty, "{} was not understood: {:?}", command.name, model.mode);
        (model.dirty, model.commands) = (stage.model.dirty, stage.model.commands.clone());
        assert!(!effects.is_empty() || format!("{model:?}") != was, "{} does nothing", command.name);
    }
}
