//! The clipboard of the terminal that we are seen on, also over SSH (OSC 52), and tmux's buffer.
//!
//! Must not enter: what is copied. Invariant: the sequence goes to the terminal itself, never into a pipe.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crossterm::{Command as _, clipboard::CopyToClipboard};

use crate::client::Fault;

pub(super) fn copy(text: &str) -> Result<(), Fault> {
    let mut done = false;
    if let Ok(mut tty) = std::fs::OpenOptions::new().write(true).open("/dev/tty") {
        let mut sequence = String::new();
        done = CopyToClipboard::to_clipboard_from(text).write_ansi(&mut sequence).is_ok()
            && tty.write_all(sequence.as_bytes()).is_ok();
    }
    // tmux does not listen to the sequence unless it is told to.
    if std::env::var_os("TMUX").is_some_and(|v| !v.is_empty()) {
        done |= tmux(text);
    }
    if done { Ok(()) } else { Err(Fault::own(1, "there is no terminal to copy to")) }
}

fn tmux(text: &str) -> bool {
    let child = Command::new("tmux")
        .args(["load-buffer", "-w", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    let written = child.stdin.take().is_some_and(|mut stdin| stdin.write_all(text.as_bytes()).is_ok());
    child.wait().is_ok_and(|status| status.success()) && written
}
