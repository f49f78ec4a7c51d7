//! The lists of live channels and their categories.
//!
//! Owns filter and paging. Must not enter: JSON types. Invariant: every listed channel's category is listed too, and both
//! only if the viewer may see them.

use std::sync::Arc;

use yagi_api::{CategoryId, Channel};

use super::{Ask, Pieces, Row, rows, wire};
use crate::library::{Catalog, Viewer};

/// A viewer's channels by number, each with its index in the catalog, walked without holding a list.
pub struct Lineup {
    pub catalog: Arc<Catalog>,
    viewer: Arc<Viewer>,
    next: usize,
}

impl Lineup {
    pub fn new(ask: &Ask<'_>) -> Self {
        Self { catalog: Arc::clone(ask.catalog), viewer: Arc::clone(ask.viewer), next: 0 }
    }
}

impl Iterator for Lineup {
    type Item = (usize, Arc<Channel>);

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.catalog.next_of(&self.viewer, self.next)?;
        self.next = index + 1;
        Some((index, Arc::clone(&self.catalog.channels()[index])))
    }
}

/// Categories that have a channel for this viewer, in their order.
pub fn filled(ask: &Ask<'_>) -> Vec<CategoryId> {
    ask.catalog.categories().iter().filter(|c| c.channels > 0 && ask.viewer.sees(c.id)).map(|c| c.id).collect()
}

/// Appends a category's row.
pub fn category(catalog: &Catalog, id: CategoryId, out: &mut Vec<u8>) -> bool {
    catalog.category(id).map(|c| wire::put(out, &wire::CategoryRow::new(c))).is_some()
}

pub fn categories(ask: &Ask<'_>) -> Pieces {
    let catalog = Arc::clone(ask.catalog);
    let mut ids = page(ask, filled(ask).into_iter());
    rows(b"[".to_vec(), "]", move |out| match ids.next() {
        Some(id) if category(&catalog, id, out) => Row::Written,
        _ => Row::Missing,
    })
}

pub fn streams(ask: &Ask<'_>) -> Pieces {
    let wanted = match ask.params.get("category_id").map(str::trim) {
        None | Some("" | "0" | "*") => None,
        // What is no number is no category: nothing is in it.
        Some(id) => Some(id.parse().map_or(CategoryId(0), CategoryId)),
    };
    let catalog = Arc::clone(ask.catalog);
    let base = ask.base.to_string();
    let mut channels = page(ask, Lineup::new(ask).filter(move |(_, c)| wanted.is_none_or(|id| c.category == id)));
    rows(b"[".to_vec(), "]", move |out| {
        let Some((index, channel)) = channels.next() else { return Row::Missing };
        let (logo, output_id) = (catalog.logo(&channel, &base), catalog.output_id_at(index, &channel));
        let archive_days = catalog.archive_days(&channel);
        wire::LiveRow { channel: &channel, output_id: &output_id, logo: &logo, archive_days }.put(out);
        Row::of(&channel)
    })
}

/// `params[offset]` and `params[items_per_page]`; without them all.
fn page<I: Iterator>(ask: &Ask<'_>, all: I) -> std::iter::Take<std::iter::Skip<I>> {
    let number = |key| ask.params.get(key).and_then(|n| n.trim().parse::<usize>().ok());
    let size = number("params[items_per_page]").filter(|n| *n > 0).unwrap_or(usize::MAX);
    all.skip(number("params[offset]").unwrap_or(0)).take(size)
}
