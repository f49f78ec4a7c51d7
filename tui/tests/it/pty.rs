//! The interface in a real terminal: what is on its screen, and how the terminal is left behind.

use std::{
    io::{Read, Write},
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

use crate::fake::{Fake, typical};

/// How long anything may take on a busy machine. Nothing is asserted about less.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the terminal has been sent, as bytes and as a screen.
struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
    ended: bool,
}

struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    // Dropped last: closing it hangs up.
    master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn open(socket: &Path) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_yagi"));
        command.env_clear();
        for (key, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("TZ", "UTC")] {
            command.env(key, value);
        }
        command.env("YAGI_SOCKET", socket);
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().unwrap();
        let keys = pty.master.take_writer().unwrap();
        let seen = Seen {
            parser: vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0),
            bytes: Vec::new(),
            ended: false,
        };
        let seen = Arc::new((Mutex::new(seen), Condvar::new()));
        let shared = seen.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                // The end of a pseudo-terminal is an error on Linux.
                let got = reader.read(&mut chunk).unwrap_or(0);
                let mut seen = shared.0.lock().unwrap();
                seen.parser.process(&chunk[..got]);
                seen.bytes.extend_from_slice(&chunk[..got]);
                seen.ended = got == 0;
                shared.1.notify_all();
                if got == 0 {
                    return;
                }
            }
        });
        Self { child, keys, seen, master: pty.master }
    }

    fn wait(&self, what: &str, until: impl Fn(&Seen) -> bool) {
        let start = Instant::now();
        let mut seen = self.seen.0.lock().unwrap();
        while !until(&seen) {
            assert!(start.elapsed() < PATIENCE, "waited for {what}; the screen:\n{}", seen.parser.screen().contents());
            seen = self.seen.1.wait_timeout(seen, Duration::from_millis(200)).unwrap().0;
        }
    }

    fn shows(&self, text: &str) {
        self.wait(text, |seen| seen.parser.screen().contents().contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.process_id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// It has ended, and the terminal is as it was.
    fn is_left_clean(&mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status:?}");
        self.wait("the end of output", |seen| seen.ended);
        self.is_restored();
    }

    fn is_restored(&self) {
        self.wait("the terminal given back", |seen| {
            let screen = seen.parser.screen();
            !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste() && self.is_cooked()
        });
    }

    /// Whether the line discipline echoes and gathers lines, as shells expect.
    fn is_cooked(&self) -> bool {
        // ICANON and ECHO as Linux numbers them.
        const COOKED: u32 = 0o2 | 0o10;
        self.master.get_termios().unwrap().local_flags.bits() & COOKED == COOKED
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; one that ended well has nothing to kill.
        let _ = self.child.kill();
    }
}

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
    for view in "2356891".chars() {
        terminal.press(&view.to_string());
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
