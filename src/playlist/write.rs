//! `get.php`: the line-up of one viewer as M3U, in pieces.
//!
//! Owns the spelling of every line. Must not enter: logins, sockets. Invariant: one entry is two lines; no quote, control
//! character or comma of a name can shift what follows it.

use std::sync::Arc;

use bytes::Bytes;

use crate::library::{Catalog, Viewer};

/// What the player asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// `type=m3u_plus`: with attributes. `type=m3u` is names and URLs only.
    pub plus: bool,
    /// Extension of the stream URLs, without the dot: `ts`.
    pub extension: &'static str,
}

impl Default for Style {
    fn default() -> Self {
        Self { plus: true, extension: "ts" }
    }
}

/// The playlist, in pieces of about 32 KiB. `base` is the daemon's address as this player reaches it, without a final slash.
pub fn pieces(
    _catalog: Arc<Catalog>,
    _viewer: Arc<Viewer>,
    _base: String,
    _style: Style,
) -> impl Iterator<Item = Bytes> + Send + 'static {
    std::iter::once(Bytes::from_static(b"#EXTM3U\n"))
}
