//! Toolbox over hyper: serve a listener, read a request, write a reply, hand a socket over.
//!
//! Must not enter: IPTV words, accounts, routes. Invariant: nothing a remote party sends makes a connection wait without
//! a bound or a request grow past its limit.

pub mod base;
pub mod gzip;
pub mod knock;
pub mod packs;
mod patience;
pub mod reply;
pub mod request;
pub mod serve;
mod socket;
pub mod tls;

pub use base::{Addressing, Base, Network, ProxyHeaders};
pub use packs::Packs;
pub use patience::Patience;
pub use reply::{Body, Reply};
pub use request::{Handover, Params, Peer, Presence, Request};
