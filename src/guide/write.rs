//! (being built)

use std::sync::Arc;

use bytes::Bytes;

use super::Guide;
use crate::library::{Catalog, Viewer};

/// `xmltv.php` for a viewer, piece by piece. `now` is for the test card.
#[allow(unused_variables)]
pub fn pieces(
    guide: &Guide,
    catalog: Arc<Catalog>,
    viewer: Arc<Viewer>,
    now: i64,
) -> impl Iterator<Item = Bytes> + Send + 'static {
    std::iter::empty()
}

/// The same, compressed.
pub fn gzip(pieces: impl Iterator<Item = Bytes> + Send + 'static) -> impl Iterator<Item = Bytes> + Send + 'static {
    pieces
}

/// Changes whenever the bytes of [`pieces`] would; strong, with its quotes.
#[allow(unused_variables)]
pub fn etag(guide: &Guide, catalog: &Catalog, viewer: &Viewer, now: i64, gzip: bool) -> String {
    String::new()
}
