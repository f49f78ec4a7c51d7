//! The Xtream API as players know it, rendered from a snapshot.
//!
//! Owns which action answers what. Must not enter: I/O but the guide's file, accounts' rules, clocks. Invariant: a viewer
//! that is not active gets the login object whatever it asks for, and no list is ever held whole in memory.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    guide::Guide,
    http::{Base, Params},
    library::{Catalog, Viewer},
};

/// A JSON answer, rendered as the client takes it, in pieces of 16–64 KiB.
pub type Pieces = Box<dyn Iterator<Item = Bytes> + Send>;

/// Everything an answer depends on.
pub struct Ask<'a> {
    pub catalog: &'a Arc<Catalog>,
    pub guide: &'a Guide,
    pub viewer: &'a Arc<Viewer>,
    pub params: &'a Params,
    pub base: &'a Base,
    /// Streams of this viewer at this moment.
    pub active: u32,
    /// Epoch seconds.
    pub now: i64,
}

/// `player_api.php`.
#[allow(unused_variables)]
pub fn player_api(ask: Ask<'_>) -> Pieces {
    Box::new(std::iter::empty())
}

/// `panel_api.php`.
#[allow(unused_variables)]
pub fn panel_api(ask: Ask<'_>) -> Pieces {
    Box::new(std::iter::empty())
}

/// Wrong name or password: HTTP 200 with this.
pub fn refused() -> Bytes {
    Bytes::from_static(br#"{"user_info":{"auth":0}}"#)
}
