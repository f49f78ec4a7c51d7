//! The programme guide: XMLTV in, one generation file per source, one merged view out.
//!
//! Owns the generations on disk, their small index in memory and the matching of channels to them. Must not enter: SQL,
//! sockets (the download is `upstream::fetch`'s), accounts beyond the viewer whose line-up is written. Invariant: readers
//! see one whole merged guide or the next one, never a mixture and never a half-read file.

mod decode;
pub mod testcard;
pub mod time;
pub mod write;

use std::{io, path::Path};

use yagi_api::{Channel, GuideStatus, Programme};

use crate::library::Catalog;

/// Handle to the merged guide; cheap to clone.
#[derive(Clone)]
pub struct Guide;

#[allow(unused_variables)]
impl Guide {
    /// Opens the generations of an earlier run; damaged ones are dropped with a warning.
    pub fn open(state_dir: &Path) -> io::Result<Guide> {
        Ok(Guide)
    }

    /// Counts swaps; 0 before the first guide.
    pub fn generation(&self) -> u64 {
        0
    }

    /// For `GET /api/guide`.
    pub fn status(&self, catalog: &Catalog) -> GuideStatus {
        GuideStatus::default()
    }

    /// The channel's programmes that overlap `from..until`, oldest first, at most `limit`. `now` is for the test card only.
    pub fn programmes(
        &self,
        channel: &Channel,
        now: i64,
        from: i64,
        until: i64,
        limit: usize,
    ) -> io::Result<Vec<Programme>> {
        Ok(Vec::new())
    }

    /// Drops the generations of sources that the catalog no longer has. Call it when a source is deleted.
    pub fn retain(&self, catalog: &Catalog) {}
}
