//! SQLite on disk.
//!
//! Owns the files of the state directory that hold the line-up. Must not enter: policy, events, players' formats.
//! Invariant: only `library` calls the writing functions here.

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{0}")]
    Open(String),
}
