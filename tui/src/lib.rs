//! yagi: the terminal client of yagid, TUI and command line.
//!
//! Talks to the daemon through the admin socket only, with the types of `yagi-api`. Must not enter: daemon code,
//! SQL, truth of its own. Invariant: kill -9 it at any moment and nothing is lost.

pub mod app;
pub mod cli;
pub mod client;
pub mod config;
mod errands;
pub mod far;
pub mod filter;
pub mod form;
pub mod keys;
mod link;
pub mod list;
pub mod model;
pub mod msg;
pub mod names;
pub mod palette;
pub mod rows;
pub mod screens;
pub mod sheet;
pub mod socket;
pub mod term;
pub mod text;
pub mod theme;
pub mod update;
pub mod when;
pub mod widgets;
