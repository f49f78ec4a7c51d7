//! yagi: the terminal client of yagid, TUI and command line.
//!
//! Talks to the daemon through the admin socket only, with the types of `yagi-api`. Must not enter: daemon code,
//! SQL, truth of its own. Invariant: kill -9 it at any moment and nothing is lost.

pub mod app;
pub mod cli;
pub mod client;
pub mod far;
pub mod form;
pub mod keys;
mod link;
pub mod list;
pub mod model;
pub mod msg;
pub mod rows;
pub mod sheet;
pub mod socket;
mod term;
pub mod text;
pub mod theme;
pub mod update;
pub mod view;
pub mod when;
