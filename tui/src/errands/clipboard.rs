//! The clipboard of the terminal that we are seen on, and tmux's buffer.

use std::{io, process::Stdio, time::Duration};

use crossterm::{clipboard::CopyToClipboard, execute};
use tokio::{io::AsyncWriteExt as _, sync::mpsc::Sender, time::timeout};

use crate::msg::Msg;

/// Copies through the terminal (works over SSH), and into tmux's buffer, which does not listen to that by default.
pub async fn copy(what: &str, text: &str, tell: &Sender<Msg>) {
    let mut ways = Vec::new();
    if execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text)).is_ok() {
        ways.push("the terminal's clipboard");
    }
    if std::env::var_os("TMUX").is_some_and(|v| !v.is_empty()) && tmux(text).await {
        ways.push("tmux");
    }
    let msg = if ways.is_empty() {
        Msg::Complained(format!("{what} could not be copied"))
    } else {
        Msg::Said(format!("copied {what} to {}", ways.join(" and ")))
    };
    // A full queue is no reason to wait here, in the loop that empties it.
    let _ = tell.try_send(msg);
}

async fn tmux(text: &str) -> bool {
    let child = tokio::process::Command::new("tmux")
        .args(["load-buffer", "-w", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut child) = child else { return false };
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        child.wait().await
    };
    timeout(Duration::from_secs(2), work).await.is_ok_and(|done| done.is_ok_and(|status| status.success()))
}
