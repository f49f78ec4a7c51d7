//! The terminal's state: taken once, given back on every way out.
//!
//! Owns raw mode, the other screen, paste mode, the mouse and the cursor. Must not enter: drawing. Invariant: `leave` undoes exactly what
//! `enter` did, may be called twice, and runs on return, error, panic and signal.

use std::{
    io::{self, BufWriter, Stdout, Write as _, stdout},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use crossterm::{
    cursor, event, execute,
    terminal::{self, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen},
};
use ratatui::{Terminal, backend::CrosstermBackend};

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Buffered, so that a frame is one write.
pub type Screen = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// Gives the terminal back when dropped.
pub struct Guard(());

impl Guard {
    /// # Errors
    /// When this is no terminal; nothing is left half done.
    pub fn take() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            before(panic);
        }));
        let guard = Self(());
        enter()?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        leave();
    }
}

/// Takes the terminal, also again after it was stopped.
///
/// # Errors
/// When the terminal is gone.
pub fn enter() -> io::Result<()> {
    // Before the first change, so that a failure half-way is undone too.
    TAKEN.store(true, SeqCst);
    terminal::enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, event::EnableBracketedPaste, cursor::Hide)
}

/// Gives the terminal back; may be called twice.
pub fn leave() {
    if TAKEN.swap(false, SeqCst) {
        // A panic may have come within a frame. Nothing can be done about a terminal that is gone.
        let _ = execute!(
            stdout(),
            EndSynchronizedUpdate,
            event::DisableMouseCapture,
            event::DisableBracketedPaste,
            cursor::Show,
            LeaveAlternateScreen
        );
        let _ = terminal::disable_raw_mode();
        let _ = stdout().flush();
    }
}

/// Whether it is ours. A panic in a task gives it back behind the loop's back.
#[must_use]
pub fn is_taken() -> bool {
    TAKEN.load(SeqCst)
}

/// Ctrl-Z: gives the terminal to the shell, stops, and takes it again after `fg`.
///
/// # Errors
/// When the terminal is gone.
pub fn suspend() -> io::Result<()> {
    leave();
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::STOP)?;
    enter()
}

/// The screen to draw on.
///
/// # Errors
/// When its size cannot be told.
pub fn screen() -> io::Result<Screen> {
    Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, stdout())))
}
