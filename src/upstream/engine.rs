//! (being built)
use std::{sync::Arc, time::Duration};

use super::{UpstreamError, http_ts::Body, outbound::Outbound};

/// What the engine last said about a session; a handle that stays valid.
#[derive(Clone, Debug)]
pub struct EngineStatus;
impl EngineStatus {
    /// `prebuf, 12 peers, 300 KB/s`; empty while nothing is known.
    pub fn text(&self) -> String {
        String::new()
    }
}

#[derive(Clone)]
pub struct Engine;
impl Engine {
    pub fn new(_config: &crate::config::Engine, _outbound: Arc<Outbound>) -> Self {
        Self
    }

    pub async fn open(&self, _key: &'static str, _id: &str) -> Result<Session, UpstreamError> {
        Err(UpstreamError::Ended)
    }

    pub async fn drain(&self, _limit: Duration) {}
}

pub struct Session;
impl Session {
    pub fn infohash(&self) -> Option<&str> {
        None
    }

    pub fn status(&self) -> EngineStatus {
        EngineStatus
    }

    pub async fn play(&self, _outbound: &Outbound) -> Result<Body, UpstreamError> {
        Err(UpstreamError::Ended)
    }

    pub async fn close(self) {}
}
