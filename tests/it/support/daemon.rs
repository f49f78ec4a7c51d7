//! The real daemon in this process, on ports of its own and in a directory of its own.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use serde_json::json;
use tempfile::TempDir;
use yagi_api::{ChannelDraft, ChannelId, ChannelSource, UserDraft};
use yagid::{
    app::App,
    config::{Config, Loaded},
    events::Events,
    logs::Logs,
};

pub struct Daemon {
    daemon: Option<yagid::daemon::Daemon>,
    pub app: Arc<App>,
    /// Of the first listener.
    pub address: SocketAddr,
    /// Of the first TLS listener.
    pub tls_address: Option<SocketAddr>,
    pub dir: TempDir,
}

/// A viewer with its password.
#[derive(Clone)]
pub struct Account {
    pub name: String,
    pub password: String,
}

impl Account {
    /// `username=…&password=…`
    pub fn query(&self) -> String {
        format!("username={}&password={}", self.name, self.password)
    }

    pub fn live(&self, id: ChannelId) -> String {
        format!("/live/{}/{}/{id}.ts", self.name, self.password)
    }
}

impl Daemon {
    /// A daemon without demo content.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with other configuration.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::in_dir(tempfile::tempdir().unwrap(), change).await
    }

    pub async fn in_dir(dir: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.server.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.paths.state_dir = dir.path().join("state");
        config.paths.socket = dir.path().join("run/admin.sock");
        config.demo.enabled = false;
        change(&mut config);
        let loaded = Loaded { config, origins: Default::default(), file: None };
        let events = Events::default();
        let daemon = yagid::daemon::Daemon::start(loaded, Logs::silent(events.clone()), events).await.unwrap();
        Self {
            app: daemon.app.clone(),
            address: *daemon.addresses.iter().chain(&daemon.tls_addresses).next().unwrap(),
            tls_address: daemon.tls_addresses.first().copied(),
            daemon: Some(daemon),
            dir,
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("run/admin.sock")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// An account; `max` 0 means no limit.
    pub async fn viewer(&self, name: &str, max: u32) -> Account {
        self.viewer_from(UserDraft { name: name.into(), max_connections: Some(max), ..UserDraft::default() }).await
    }

    pub async fn viewer_from(&self, draft: UserDraft) -> Account {
        let new = self.app.library.create_user("test", draft).await.unwrap();
        Account { name: new.user.name, password: new.password }
    }

    /// A channel with these sources, best first.
    pub async fn channel(&self, name: &str, urls: &[&str]) -> ChannelId {
        let sources = urls.iter().map(|u| ChannelSource { url: (*u).to_owned(), headers: vec![] }).collect();
        let draft = ChannelDraft { name: name.into(), sources, ..ChannelDraft::default() };
        self.app.library.create_channel("test", draft).await.unwrap().id
    }

    /// Changes settings: `&[("linger_s", 1)]`.
    pub async fn set(&self, settings: &[(&str, serde_json::Value)]) {
        let patch = settings.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        self.app.library.update_settings("test", patch).await.unwrap();
        // What the event does a moment later.
        self.app.streams.configure(self.app.library.catalog().settings().clone());
    }

    /// Short times, for tests that wait for them.
    pub async fn hurry(&self) {
        self.set(&[("linger_s", json!(1)), ("upstream_silence_s", json!(2)), ("hold_s", json!(10))]).await;
    }

    pub fn reload_certificate(&self) {
        yagid::admin::reload_certificate(&self.app);
    }

    /// Ends it in order and gives its directory back.
    pub async fn stop(mut self) -> TempDir {
        self.daemon.take().unwrap().stop().await;
        self.dir
    }
}
