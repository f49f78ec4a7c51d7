//! The one door to everything an administrator or a refresh can change.
//!
//! Owns the order validate → commit → swap the [`Catalog`] → publish the event. Must not enter: SQL text (that is
//! `store`), sockets, players' formats. Invariant: whoever has an answer finds the change in the next snapshot and, after
//! kill -9, in the next process.

mod catalog;
#[cfg(test)]
pub(crate) mod sample;

use std::{path::Path, sync::Arc};

use arc_swap::ArcSwap;
use yagi_api::*;

pub use self::catalog::{Catalog, Validators, Viewer};
use crate::{events::Events, store::StoreError};

/// Handle to the line-up; cheap to clone.
#[derive(Clone)]
pub struct Library {
    catalog: Arc<ArcSwap<Catalog>>,
}

/// What opening found.
pub struct Opened {
    pub library: Library,
    /// The database was made by this start.
    pub fresh: bool,
}

/// The source as replies show it: without the credentials of its URL.
pub fn masked(source: &Source) -> Source {
    Source { url: crate::secret::redact(&source.url), ..source.clone() }
}

type Answer<T> = Result<T, ApiError>;

fn later<T>() -> Answer<T> {
    Err(ApiError::new(ErrorCode::Unavailable, "the library is not open"))
}

#[allow(unused_variables)]
impl Library {
    pub fn open(state_dir: &Path, events: Events) -> Result<Opened, StoreError> {
        Ok(Opened { library: Self { catalog: Arc::default() }, fresh: false })
    }

    /// The snapshot of this moment. Take it once per request.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    pub async fn create_channel(&self, actor: &str, draft: ChannelDraft) -> Answer<Arc<Channel>> {
        later()
    }

    pub async fn update_channel(&self, actor: &str, id: ChannelId, patch: ChannelPatch) -> Answer<Arc<Channel>> {
        later()
    }

    pub async fn delete_channel(&self, actor: &str, id: ChannelId) -> Answer<()> {
        later()
    }

    pub async fn create_category(&self, actor: &str, draft: CategoryDraft) -> Answer<Arc<Category>> {
        later()
    }

    pub async fn update_category(&self, actor: &str, id: CategoryId, patch: CategoryPatch) -> Answer<Arc<Category>> {
        later()
    }

    /// Its channels move to "Uncategorised".
    pub async fn delete_category(&self, actor: &str, id: CategoryId) -> Answer<()> {
        later()
    }

    pub async fn create_source(&self, actor: &str, draft: SourceDraft) -> Answer<Arc<Source>> {
        later()
    }

    pub async fn update_source(&self, actor: &str, id: SourceId, patch: SourcePatch) -> Answer<Arc<Source>> {
        later()
    }

    /// The channels that it made go with it.
    pub async fn delete_source(&self, actor: &str, id: SourceId) -> Answer<()> {
        later()
    }

    pub async fn create_user(&self, actor: &str, draft: UserDraft) -> Answer<NewUser> {
        later()
    }

    pub async fn reset_password(&self, actor: &str, id: UserId) -> Answer<NewUser> {
        later()
    }

    pub async fn update_user(&self, actor: &str, id: UserId, patch: UserPatch) -> Answer<Arc<Viewer>> {
        later()
    }

    pub async fn delete_user(&self, actor: &str, id: UserId) -> Answer<()> {
        later()
    }

    /// `null` sets a key back to its default.
    pub async fn update_settings(&self, actor: &str, patch: SettingsPatch) -> Answer<Arc<Settings>> {
        later()
    }

    /// The first start's test-card channel and viewer, in one transaction.
    pub async fn create_demo(&self) -> Answer<NewUser> {
        later()
    }

    /// Keeps the result of a refresh, and, when something was applied, what its server said (for the next conditional request).
    pub async fn record_refresh(&self, id: SourceId, report: RefreshReport, seen: Option<Validators>) -> Answer<()> {
        later()
    }

    /// Drains the writer and checkpoints; later changes are refused.
    pub async fn close(&self) {}
}
