//! The terminal's state: taken once, given back on every way out.
//!
//! Owns raw mode, the other screen, paste mode and the cursor. Must not enter: drawing. Invariant: `leave` undoes exactly what
//! `enter` did, may be called twice, and runs on return, error, panic and signal.

use std::{
    io::{self, Stdout, Write as _, stdout},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use crossterm::{
    cursor, event, execute,
    terminal::{self, EnterAlternateScreen, LeaveAlternateScreen},
};
use ratatui::{Terminal, backend::CrosstermBackend};

static TAKEN: AtomicBool = AtomicBool::new(false);

pub type Screen = Terminal<CrosstermBackend<Stdout>>;

/// Gives the terminal back when dropped.
pub struct Guard;

impl Guard {
    /// # Errors
    /// When this is no terminal.
    pub fn take() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            before(panic);
        }));
        enter()?;
        Ok(Self)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        leave();
    }
}

fn enter() -> io::Result<()> {
    terminal::enable_raw_mode()?;
    TAKEN.store(true, SeqCst);
    execute!(stdout(), EnterAlternateScreen, event::EnableBracketedPaste, cursor::Hide)
}

fn leave() {
    if TAKEN.swap(false, SeqCst) {
        // Nothing can be done about a terminal that is gone.
        let _ = execute!(stdout(), event::DisableBracketedPaste, cursor::Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
        let _ = stdout().flush();
    }
}

/// Ctrl-Z: gives the terminal to the shell, stops, and takes it again after `fg`.
///
/// # Errors
/// When the terminal is gone.
pub fn suspend(screen: &mut Screen) -> io::Result<()> {
    leave();
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::STOP)?;
    enter()?;
    screen.clear()
}

/// The screen to draw on.
///
/// # Errors
/// When its size cannot be told.
pub fn screen() -> io::Result<Screen> {
    Terminal::new(CrosstermBackend::new(stdout()))
}
