//! Channel lists as M3U: reading those of providers, refreshing the line-up from them, writing those of viewers.
//!
//! Must not enter: SQL, logins, `App`. Invariant: foreign text never fails a reader; it is reported.

pub mod forms;
pub mod identity;
pub mod job;
pub mod kept;
pub mod lineup;
#[cfg(test)]
mod lineup_tests;
pub mod m3u;
#[cfg(test)]
mod measure;
pub mod pages;
pub mod refresh;
#[cfg(test)]
mod refresh_tests;
pub mod write;
