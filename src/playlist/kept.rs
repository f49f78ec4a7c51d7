//! Texts of playlists as they were downloaded last: the one that was applied, and one that is held back.
//!
//! Owns their files in the state directory (`lists/`, packed). Must not enter: what the text means. Invariant: a file has its name
//! only when it is whole; a missing or damaged one costs a preview or another download, never a channel.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use yagi_api::SourceId;

use crate::library::Catalog;

const BUFFER: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The text that the channels were made of.
    Applied,
    /// The text that waits for somebody's decision.
    Held,
}

fn path(dir: &Path, source: SourceId, slot: Slot) -> PathBuf {
    let word = match slot {
        Slot::Applied => "applied",
        Slot::Held => "held",
    };
    dir.join("lists").join(format!("{word}-{source}.m3u.zst"))
}

/// Packs a text to its place.
pub fn save(dir: &Path, source: SourceId, slot: Slot, mut text: impl BufRead) -> io::Result<()> {
    let path = path(dir, source, slot);
    let lists = dir.join("lists");
    fs::create_dir_all(&lists)?;
    let file = tempfile::Builder::new().prefix(".part-").tempfile_in(&lists)?;
    let mut out = zstd::stream::write::Encoder::new(file, 1)?;
    io::copy(&mut text, &mut out)?;
    let file = out.finish()?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Reads it from its start.
pub fn open(dir: &Path, source: SourceId, slot: Slot) -> io::Result<Box<dyn BufRead + Send>> {
    let file = File::open(path(dir, source, slot))?;
    Ok(Box::new(BufReader::with_capacity(BUFFER, zstd::stream::read::Decoder::new(file)?)))
}

pub fn exists(dir: &Path, source: SourceId, slot: Slot) -> bool {
    path(dir, source, slot).exists()
}

/// A missing file is as good as a removed one.
pub fn remove(dir: &Path, source: SourceId, slot: Slot) {
    let path = path(dir, source, slot);
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => tracing::warn!(path = %path.display(), error = %e, "the text of a playlist could not be removed"),
    }
}

/// Removes the texts of sources that are gone, and what a killed daemon left half-written.
pub fn retain(dir: &Path, catalog: &Catalog) {
    let Ok(entries) = fs::read_dir(dir.join("lists")) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let id =
            name.split_once('-').and_then(|(_, rest)| rest.strip_suffix(".m3u.zst")).and_then(|id| id.parse().ok());
        if id.is_some_and(|id: SourceId| catalog.source(id).is_none())
            && let Err(e) = fs::remove_file(entry.path())
        {
            tracing::warn!(file = name, error = %e, "the text of a deleted playlist could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn texts_come_back_until_their_source_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let id = SourceId(7);
        assert!(!exists(dir.path(), id, Slot::Held) && open(dir.path(), id, Slot::Held).is_err());
        save(dir.path(), id, Slot::Held, &b"#EXTM3U\n"[..]).unwrap();
        let mut text = String::new();
        open(dir.path(), id, Slot::Held).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "#EXTM3U\n");
        assert!(!exists(dir.path(), id, Slot::Applied));
        retain(dir.path(), &Catalog::sample(&[], &[]));
        assert!(!exists(dir.path(), id, Slot::Held));
    }
}
