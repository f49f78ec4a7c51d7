//! yagi: the terminal client of yagid, TUI and command line.
//!
//! Talks to the daemon through the admin socket only, with the types of `yagi-api`. Must not enter: daemon code,
//! SQL, truth of its own. Invariant: kill -9 it at any moment and nothing is lost.

pub mod cli;
pub mod client;
pub mod socket;
pub mod text;
pub mod when;
