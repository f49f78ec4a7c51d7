//! The interface in a real terminal: a pseudo-terminal, its screen, and every byte that was sent to it.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take on a busy machine. Nothing is asserted about less.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What `found` gives at last; for what nobody announces.
#[allow(clippy::disallowed_methods, reason = "the thread is the test's own")]
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the terminal has been sent, as bytes and as a screen.
pub struct Seen {
    pub parser: vt100::Parser,
    pub bytes: Vec<u8>,
    pub ended: bool,
}

pub struct Terminal {
    pub child: Box<dyn Child + Send + Sync>,
    pub keys: Box<dyn Write + Send>,
    pub seen: Arc<(Mutex<Seen>, Condvar)>,
    // Dropped last: closing it hangs up.
    pub master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    pub fn open(socket: &Path) -> Self {
        Self::with(socket, &[])
    }

    /// The same with more of an environment.
    pub fn with(socket: &Path, environment: &[(&str, &str)]) -> Self {
        let socket = [("YAGI_SOCKET", socket.to_str().unwrap())];
        Self::of(OsStr::new(env!("CARGO_BIN_EXE_yagi")), &[], &[&socket, environment].concat())
    }

    /// Any program.
    pub fn of(program: &OsStr, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env_clear();
        for (key, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("TZ", "UTC")] {
            command.env(key, value);
        }
        environment.iter().for_each(|(key, value)| command.env(key, value));
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

    pub fn wait(&self, what: &str, until: impl Fn(&Seen) -> bool) {
        let start = Instant::now();
        let mut seen = self.seen.0.lock().unwrap();
        while !until(&seen) {
            assert!(start.elapsed() < PATIENCE, "waited for {what}; the screen:\n{}", seen.parser.screen().contents());
            seen = self.seen.1.wait_timeout(seen, Duration::from_millis(200)).unwrap().0;
        }
    }

    pub fn shows(&self, text: &str) {
        self.wait(text, |seen| seen.parser.screen().contents().contains(text));
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.process_id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// It has ended, and the terminal is as it was.
    pub fn is_left_clean(&mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status:?}");
        self.wait("the end of output", |seen| seen.ended);
        self.is_restored();
    }

    pub fn is_restored(&self) {
        self.wait("the terminal given back", |seen| {
            let screen = seen.parser.screen();
            !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste() && self.is_cooked()
        });
    }

    /// Whether the line discipline echoes and gathers lines, as shells expect.
    pub fn is_cooked(&self) -> bool {
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
