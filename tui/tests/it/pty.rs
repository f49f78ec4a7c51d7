//! How the interface behaves in a real terminal, and how the terminal is left behind.

use rustix::process::Signal;

use crate::{
    fake::{Fake, typical},
    terminal::{Terminal, until},
};

fn house() -> (tempfile::TempDir, Fake) {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(&dir.path().join("admin.sock"), typical());
    (dir, fake)
}

#[test]
fn it_shows_what_is_streamed_and_leaves_the_terminal_as_it_was() {
    let (_dir, fake) = house();
    let mut terminal = Terminal::open(&fake.socket);
    terminal.shows("[live]");
    terminal.shows("Rai 1 HD");
    assert!(!terminal.is_cooked());
    terminal.press("5");
    terminal.shows("carla");
    // Ctrl-L draws everything anew.
    let before = terminal.seen.0.lock().unwrap().bytes.len();
    terminal.press("\x0c");
    terminal.wait("a new drawing", |seen| {
        let new = String::from_utf8_lossy(&seen.bytes[before..]);
        new.find("\x1b[2J").is_some_and(|at| new[at..].contains("carla"))
    });
    terminal.press("q");
    terminal.shows("q again quits");
    terminal.press("q");
    terminal.is_left_clean();
}

#[test]
fn ctrl_c_and_the_signals_leave_it_clean_too() {
    let (_dir, fake) = house();
    for end in [None, Some(Signal::TERM), Some(Signal::HUP), Some(Signal::INT)] {
        let mut terminal = Terminal::open(&fake.socket);
        terminal.shows("Rai 1 HD");
        match end {
            None => terminal.press("\x03"),
            Some(signal) => terminal.signal(signal),
        }
        terminal.is_left_clean();
    }
}

#[test]
fn suspended_it_gives_the_terminal_back_and_takes_it_again() {
    let (_dir, fake) = house();
    let mut terminal = Terminal::open(&fake.socket);
    terminal.shows("Rai 1 HD");
    for stop in ["key", "signal"] {
        if stop == "key" {
            terminal.press("\x1a");
        } else {
            terminal.signal(Signal::TSTP);
        }
        terminal.is_restored();
        // Sent until it has stopped and goes on: a signal before the stop would be lost.
        terminal.wait("the screen taken again", |seen| {
            terminal.signal(Signal::CONT);
            seen.parser.screen().alternate_screen()
        });
        terminal.shows("Rai 1 HD");
    }
    terminal.press("\x03");
    terminal.is_left_clean();
}

#[test]
fn a_restart_of_the_daemon_is_survived() {
    let (dir, fake) = house();
    let socket = fake.socket.clone();
    let mut terminal = Terminal::open(&socket);
    terminal.shows("[live]");
    drop(fake);
    terminal.shows("[offline");
    // What was known stays.
    terminal.shows("Rai 1 HD");
    let mut rows = typical();
    rows.boot_id = "boot-2".into();
    rows.lists.get_mut("streams").unwrap()[0]["name"] = "La 7".into();
    let fake = Fake::start(&dir.path().join("admin.sock"), rows);
    terminal.shows("[live]");
    terminal.shows("La 7");
    drop(fake);
    terminal.shows("[offline");
    terminal.press("\x03");
    terminal.is_left_clean();
}

#[test]
fn without_a_daemon_it_says_what_to_do_and_waits() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let mut terminal = Terminal::open(&socket);
    terminal.shows("there is no socket");
    let _fake = Fake::start(&socket, typical());
    terminal.shows("[live]");
    terminal.press("\x03");
    terminal.is_left_clean();
}

#[test]
fn hostile_names_send_no_codes_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(&dir.path().join("admin.sock"), crate::fake::hostile());
    let mut terminal = Terminal::open(&fake.socket);
    terminal.shows("[live]");
    for view in "234567891".chars() {
        terminal.press("]");
        terminal.shows(&format!("[{view} "));
    }
    terminal.press("\x03");
    terminal.is_left_clean();
    let seen = terminal.seen.0.lock().unwrap();
    let text = String::from_utf8_lossy(&seen.bytes);
    for foul in ["\u{202e}", "\u{200b}", "\u{9b}"] {
        assert!(!text.contains(foul), "{foul:?}");
    }
    // The name says ESC [ 2 J; the interface wipes the screen at its start only, before any name is known.
    let first = text.find("evil").unwrap();
    assert!(!text[first..].contains("\x1b[2J"));
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    use std::io::Read as _;
    let (_dir, fake) = house();
    let pty = portable_pty::native_pty_system().openpty(portable_pty::PtySize::default()).unwrap();
    let mut command = portable_pty::CommandBuilder::new(env!("CARGO_BIN_EXE_yagi"));
    command.env("YAGI_SOCKET", &fake.socket);
    command.env("TERM", "xterm-256color");
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    let mut reader = pty.master.try_clone_reader().unwrap();
    let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&seen).contains("Rai 1 HD") {
        let got = reader.read(&mut chunk).unwrap();
        seen.extend_from_slice(&chunk[..got]);
    }
    // The other end of the line is closed, as when an SSH connection breaks.
    drop((reader, pty.master));
    until("it ends without a terminal", || child.try_wait().unwrap());
}

#[test]
fn the_mouse_is_off_until_it_is_asked_for_and_off_again_at_the_end() {
    use vt100::MouseProtocolMode;
    let (_dir, fake) = house();
    let mut terminal = Terminal::open(&fake.socket);
    terminal.shows("Rai 1 HD");
    let mode = |seen: &crate::terminal::Seen| seen.parser.screen().mouse_protocol_mode();
    assert_eq!(mode(&terminal.seen.0.lock().unwrap()), MouseProtocolMode::None);
    terminal.press("m");
    terminal.wait("the mouse", |seen| mode(seen) != MouseProtocolMode::None);
    // A click on the fifth tab: its cell as SGR reports it.
    terminal.press("\x1b[<0;45;2M");
    terminal.shows("[5 Users]");
    terminal.press("\x03");
    terminal.is_left_clean();
    assert_eq!(mode(&terminal.seen.0.lock().unwrap()), MouseProtocolMode::None);
}

#[test]
fn no_colour_is_no_colour_and_a_bad_configuration_is_told() {
    let (dir, fake) = house();
    let config = dir.path().join("yagi");
    std::fs::create_dir(&config).unwrap();
    std::fs::write(config.join("config.toml"), "[keys]\ndelete = [\"j\"]\n").unwrap();
    let home = dir.path().to_str().unwrap();
    let mut terminal = Terminal::with(&fake.socket, &[("NO_COLOR", "1"), ("XDG_CONFIG_HOME", home)]);
    terminal.shows("config.toml: keys: j is both");
    terminal.shows("Rai 1 HD");
    terminal.press("5");
    terminal.shows("carla");
    terminal.press("\x03");
    terminal.is_left_clean();
    let seen = terminal.seen.0.lock().unwrap();
    let text = String::from_utf8_lossy(&seen.bytes);
    for colour in ["\x1b[38;5", "\x1b[31m", "\x1b[32m", "\x1b[38;2"] {
        assert!(!text.contains(colour), "{colour:?}");
    }
}

/// What the following test runs in a terminal of its own.
#[test]
#[ignore = "panics on purpose, in the terminal of another test"]
fn panics_amid_a_frame() {
    let guard = yagi::term::Guard::take().unwrap();
    let mut screen = yagi::term::screen().unwrap();
    let model = yagi::model::Model::new(yagi::theme::Theme::default(), (80, 24), 0);
    screen
        .draw(|frame| {
            yagi::screens::view(&model, frame);
        })
        .unwrap();
    let drawn = screen.draw(|_| panic!("a bug amid a frame"));
    drop((drawn.map(drop), guard));
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_read_on_it() {
    let itself = std::env::current_exe().unwrap();
    let args = ["pty::panics_amid_a_frame", "--exact", "--ignored", "--nocapture", "--test-threads", "1"];
    let mut terminal = Terminal::of(itself.as_os_str(), &args, &[]);
    terminal.wait("a first frame", |seen| String::from_utf8_lossy(&seen.bytes).contains("[1 Streams]"));
    let status = terminal.child.wait().unwrap();
    assert!(!status.success());
    terminal.wait("the end of output", |seen| seen.ended);
    terminal.is_restored();
    terminal.shows("a bug amid a frame");
}
