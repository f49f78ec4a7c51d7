//! (being built)

use std::path::Path;

use tokio::net::UnixListener;

/// Keeps the socket.
pub struct Held;

pub fn bind(path: &Path) -> anyhow::Result<(UnixListener, Held)> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let _ = std::fs::remove_file(path);
    Ok((UnixListener::bind(path)?, Held))
}
