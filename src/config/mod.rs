//! The file's configuration: what needs a restart or a file to be found at all.
//!
//! Owns the keys, their defaults and their ranges. Must not enter: settings of the database (`yagi_api::Settings`),
//! and anything that acts on a key. Invariant: no key stands both here and there.

mod keys;
mod load;
mod places;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::http::ProxyHeaders;

pub use keys::filter;
pub use load::{Fault, Flags, Loaded, Origin, default_file, differences, in_force, load, reload};

/// All keys. `config/yagid.toml` lists them with the same defaults; a test compares the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub paths: Paths,
    pub log: Log,
    pub engine: Engine,
    pub upstream: Upstream,
    pub stream: Stream,
    pub import: Import,
    pub ace: Ace,
    pub hdhr: Hdhr,
    pub exec: BTreeMap<String, Exec>,
    pub metrics: Metrics,
    pub demo: Demo,
    pub admin: Admin,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where players connect.
    pub listen: Vec<SocketAddr>,
    /// Where players connect over TLS; needs a certificate and its key.
    pub tls_listen: Vec<SocketAddr>,
    /// The certificate's chain, PEM, the server's own first.
    pub tls_cert: PathBuf,
    /// The certificate's key, PEM.
    pub tls_key: PathBuf,
    /// Address to put into links instead of the request's own Host, e.g. `https://tv.example.org/iptv`; empty: none.
    pub public_url: String,
    /// Networks (CIDR) of reverse proxies whose `Forwarded` and `X-Forwarded-*` are believed. Empty: nobody's.
    pub trusted_proxies: Vec<String>,
    /// Which of the two they write: `both`, `x-forwarded`, `forwarded`.
    pub proxy_headers: ProxyHeaders,
    /// Connections at once on the public listeners; more wait in the kernel's queue.
    pub max_connections: u32,
    /// Seconds a client may take to send a request's head, and to stay silent between requests.
    pub header_timeout_s: u32,
    /// Failed logins from one address within a minute after which it is refused for a minute.
    pub login_tries: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0u16; 8], 8080))],
            tls_listen: Vec::new(),
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            public_url: String::new(),
            trusted_proxies: Vec::new(),
            proxy_headers: ProxyHeaders::Both,
            max_connections: 20_000,
            header_timeout_s: 10,
            login_tries: 20,
        }
    }
}

/// Empty paths mean: `/var/lib/yagid` and `/run/yagid` for root, the user's XDG state and runtime directories else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    pub state_dir: PathBuf,
    /// The admin socket.
    pub socket: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `info`, or a list such as `info,yagid::upstream=debug`.
    pub filter: String,
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// The AceStream engines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// The one engine, unless `urls` names several.
    pub url: String,
    /// Several engines; each session goes to the one with the fewest.
    pub urls: Vec<String>,
    /// Sessions that one engine may have; 0: no limit.
    pub capacity: u32,
    /// Sessions of one engine that may be tests of sources at once.
    pub checks: u32,
    /// Seconds from the request to the first byte of a stream.
    pub open_timeout_s: u32,
}

impl Engine {
    /// The engines, in their order.
    pub fn all(&self) -> Vec<&str> {
        if self.urls.is_empty() { vec![&self.url] } else { self.urls.iter().map(String::as_str).collect() }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:6878".to_owned(), urls: Vec::new(), capacity: 0, checks: 1, open_timeout_s: 45 }
    }
}

/// HTTP upstreams and downloads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    pub connect_timeout_s: u32,
    /// Seconds from the request to the first byte of a stream.
    pub first_byte_timeout_s: u32,
    pub user_agent: String,
    /// The best HLS variant up to this bandwidth; 0: the best of all.
    pub hls_max_kbit_per_s: u32,
    /// Interface that joins multicast groups whose address names none; empty: the kernel's choice.
    pub multicast_interface: String,
    /// Seconds after which a multicast group is joined anew; 0: never.
    pub multicast_rejoin_s: u32,
    /// Directories below which `file:` sources may lie.
    pub file_roots: Vec<String>,
    /// Private networks (CIDR) that may be reached through public hosts: by their redirects, and by what their playlists name.
    pub private_networks: Vec<String>,
}

/// A command whose output is MPEG-TS, for `exec:` sources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exec {
    /// Program and arguments, run without a shell. `{key}` in an argument is the value that the source gives.
    pub argv: Vec<String>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            connect_timeout_s: 5,
            first_byte_timeout_s: 15,
            user_agent: concat!("yagid/", env!("CARGO_PKG_VERSION")).to_owned(),
            hls_max_kbit_per_s: 0,
            multicast_interface: String::new(),
            multicast_rejoin_s: 120,
            file_roots: Vec::new(),
            private_networks: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// Pump threads; 0: one for each core, at most 4.
    pub pumps: u32,
    /// Size of a running stream's ring, in MiB. It must hold at least one group of pictures.
    pub ring_mib: u32,
}

impl Default for Stream {
    fn default() -> Self {
        Self { pumps: 0, ring_mib: 8 }
    }
}

/// Caps of every playlist and guide download.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Import {
    /// Bytes over the wire, in MiB.
    pub max_download_mib: u32,
    /// Bytes of a playlist after unpacking, in MiB.
    pub max_playlist_mib: u32,
    /// Bytes of a guide after unpacking, in MiB.
    pub max_guide_mib: u32,
    /// Entries of a playlist.
    pub max_entries: u32,
    /// Seconds for a download and its reading together.
    pub max_seconds: u32,
    /// Names of playlist sources whose entries may be `udp:`, `rtp:`, `file:` and `exec:`.
    pub trusted_sources: Vec<String>,
}

impl Default for Import {
    fn default() -> Self {
        Self {
            max_download_mib: 256,
            max_playlist_mib: 64,
            max_guide_mib: 1024,
            max_entries: 200_000,
            max_seconds: 300,
            trusted_sources: Vec::new(),
        }
    }
}

/// `/ace/getstream` and `/ace/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ace {
    /// Networks (CIDR) that need no viewer's credentials, e.g. `127.0.0.0/8`.
    pub open_networks: Vec<String>,
}

/// The network tuner (HDHomeRun) at `/hdhr/TOKEN`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hdhr {
    /// Name of the viewer whose tuner answers searches of the local network; whoever can ask gets its token. Empty: none.
    pub announce: String,
    /// Networks (CIDR) that may use tuners and find the announced one.
    pub networks: Vec<String>,
    /// Streams of a tuner at once; 0: the viewer's own limit, or 4 when it has none.
    pub tuners: u32,
}

impl Default for Hdhr {
    fn default() -> Self {
        let private = [
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
            "::1/128",
            "fc00::/7",
            "fe80::/10",
        ];
        Self { announce: String::new(), networks: private.map(str::to_owned).into(), tuners: 0 }
    }
}

/// Figures for Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Where `/metrics` is answered, e.g. `127.0.0.1:9465`; empty: nowhere.
    pub listen: String,
}

/// The admin API: who may do what, and an optional TCP listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Accounts and `@groups` that may do everything. With all three lists empty everybody who may open the socket may.
    pub admins: Vec<String>,
    pub operators: Vec<String>,
    pub viewers: Vec<String>,
    /// Whose members may open the socket; empty: see `admin::socket`.
    pub group: String,
    /// `ADDRESS:PORT`; empty: no listener.
    pub listen: String,
    pub token_file: String,
    /// Lets `listen` be an address that others reach, although there is no TLS.
    pub allow_plaintext: bool,
}

/// The first start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Demo {
    /// Make the test-card channel and a first viewer when the database is new.
    pub enabled: bool,
}

impl Default for Demo {
    fn default() -> Self {
        Self { enabled: true }
    }
}
