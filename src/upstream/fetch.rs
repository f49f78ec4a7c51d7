//! (being built)
use std::{sync::Arc, time::Duration};

use super::{Spool, outbound::Outbound};
use crate::config::Config;

/// What the last download said about its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Bytes over the wire.
    pub bytes: u64,
    /// For everything.
    pub time: Duration,
}

#[derive(Debug)]
pub struct Fetched {
    pub not_modified: bool,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// Empty if not modified.
    pub body: Spool,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("cannot be used: {0}")]
    Refused(String),
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("answered with status {0}")]
    Status(u16),
    #[error("took too long: {0}")]
    Timeout(String),
    #[error("is larger than {0} bytes")]
    TooLarge(u64),
    #[error("ended too early: {0}")]
    Truncated(String),
    #[error("{0}")]
    Io(String),
}

#[derive(Clone)]
pub struct Fetcher {
    outbound: Arc<Outbound>,
}

impl Fetcher {
    pub fn new(config: &Config) -> Self {
        Self::with(Arc::new(Outbound::new(config)))
    }

    pub(super) fn with(outbound: Arc<Outbound>) -> Self {
        Self { outbound }
    }

    /// Downloads a URL or reads an absolute path.
    ///
    /// # Errors
    /// Says what failed; never a credential.
    pub async fn fetch(&self, _location: &str, _conditions: &Conditions, _caps: Caps) -> Result<Fetched, FetchError> {
        let _ = &self.outbound;
        Err(FetchError::Io("being built".to_owned()))
    }
}
