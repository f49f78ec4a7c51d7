//! The handles that surfaces are given.
//!
//! Owns nothing but references to the rooms. Must not enter: behaviour. Invariant: only `routes`, `live`, `admin`,
//! `metrics` and `daemon` name this type.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use arc_swap::ArcSwap;

use crate::{
    admin::{Load, Roles, Watchers},
    archive::Archive,
    auth::Auth,
    blocks::Blocks,
    check::Checker,
    config::Loaded,
    events::Events,
    guide::Guide,
    hls::Hls,
    http::{Addressing, Base, Network, Packs, tls::Certificate},
    library::Library,
    logos::Logos,
    logs::Logs,
    refresh::Refresher,
    seats::Seats,
    secret::Secret,
    seen::Seen,
    stream::Streams,
    upstream::{Fetcher, Upstreams},
};

pub struct App {
    /// These four are swapped by a reload.
    pub config: ArcSwap<Loaded>,
    pub addressing: ArcSwap<Addressing>,
    /// Networks that may ask for AceStream content without an account.
    pub open_networks: ArcSwap<Vec<Network>>,
    pub roles: ArcSwap<Roles>,
    pub library: Library,
    pub guide: Guide,
    pub auth: Auth,
    pub streams: Streams,
    pub upstreams: Upstreams,
    pub hls: Hls,
    pub archive: Archive,
    pub seats: Seats,
    pub seen: Seen,
    pub blocks: Blocks,
    pub refresher: Refresher,
    pub fetcher: Fetcher,
    pub logos: Logos,
    pub checker: Checker,
    pub events: Events,
    pub logs: Logs,
    /// Where players connect; the real ports.
    pub addresses: Vec<SocketAddr>,
    /// The same over TLS.
    pub tls_addresses: Vec<SocketAddr>,
    /// Where this machine reaches the first listener, of those without TLS if there are any.
    pub own: Base,
    /// Pieces of lists that players fetch again and again.
    pub packs: Packs,
    /// Runs of guides.
    pub guides: Packs,
    /// Networks whose members may use a network tuner.
    pub tuner_networks: Vec<Network>,
    /// Of the TLS listeners, if there are any.
    pub certificate: Option<Arc<Certificate>>,
    pub watchers: Watchers,
    pub load: Load,
    /// What callers of the admin API over TCP must know; none: there is no such listener.
    pub token: Option<Secret>,
    /// Differs after each start.
    pub boot_id: String,
    pub started: Instant,
}
