//! The daemon as a library, so that tests and benches drive the same rooms as `main`.
//!
//! Rooms import downwards only (docs/ARCHITECTURE.md has the table, `tests/it/tidy.rs` enforces it):
//! surfaces (`routes`, `live`, `admin`) → features (`xtream`, `playlist`, `guide`, `auth`) → `library`, `stream` →
//! `store`, `upstream` → toolbox (`http`, `events`, `seats`, `logs`, `config`, `secret`).

mod abreast;
pub mod admin;
pub mod app;
pub mod archive;
mod aside;
pub mod auth;
pub mod blocks;
mod charset;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod events;
pub mod guide;
pub mod hdhr;
pub mod hls;
pub mod http;
pub mod jobs;
pub mod library;
pub mod lists;
pub mod live;
pub mod logos;
pub mod logs;
pub mod metrics;
pub mod moving;
#[cfg(test)]
mod mutation;
pub mod names;
pub mod offline;
pub mod platform;
pub mod playlist;
pub mod probe;
pub mod progress;

pub mod refresh;
pub mod routes;
pub mod seats;
pub mod secret;
pub mod seen;
pub mod store;
pub mod stream;
pub mod systemd;
pub mod tuner;
pub mod upstream;
pub mod xtream;
