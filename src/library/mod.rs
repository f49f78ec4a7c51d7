//! The one door to everything an administrator or a refresh can change.
//!
//! Owns the order validate → commit → swap the [`Catalog`] → publish the event. Must not enter: SQL text (that is
//! `store`), sockets, players' formats. Invariant: whoever has an answer finds the change in the next snapshot and, after
//! kill -9, in the next process.

mod apply;
pub mod archive;
mod bulk;
mod catalog;
mod categories;
mod channels;
mod checked;
mod compare;
mod edit;
mod image;
pub mod lineup;
pub mod merge;
mod merging;
pub mod moving;
mod numbers;
pub mod rulebook;
mod rulerows;
pub mod rules;
#[cfg(test)]
pub(crate) mod sample;
mod settings;
mod sources;
mod state;
mod trail;
mod undo;
mod users;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod undo_tests;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use prometheus_client::metrics::histogram::Histogram;
use yagi_api::{ApiError, ChannelDraft, ChannelSource, Check, ErrorCode, NewUser, Source, SourceId, UserDraft};

pub use self::{
    bulk::{ChannelsDo, Chosen, SourcesDo, UsersDo},
    catalog::{Catalog, Provenance, Viewer, logo_tag},
    sources::name_of,
};
use self::{
    edit::{Door, Edit, Fault, Mode, Step, transact},
    state::{State, Unreadable},
};
pub use crate::store::sources::Validators;
use crate::{
    events::Events,
    store::{self, StoreError, Writer},
};

/// Handle to the line-up; cheap to clone.
#[derive(Clone)]
pub struct Library {
    door: Arc<Door>,
    writer: Writer<State>,
    dir: Arc<Path>,
    /// See [`Library::import_lock`].
    imports: Arc<Mutex<HashMap<SourceId, Arc<Mutex<()>>>>>,
    checks: Arc<Mutex<HashMap<u64, Check>>>,
}

/// What opening found.
pub struct Opened {
    pub library: Library,
    /// The database was made by this start.
    pub fresh: bool,
}

type Answer<T> = Result<T, ApiError>;

/// The source as replies show it: without the credentials of its URL.
pub fn masked(source: &Source) -> Source {
    Source { url: crate::secret::redact(&source.url), ..source.clone() }
}

/// Epoch seconds.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
}

impl Library {
    /// Opens or makes the state directory, brings the schema up to date, reads every row, and starts the writer thread.
    pub fn open(state_dir: &Path, events: Events) -> Result<Opened, StoreError> {
        let store::Store { conn, sealer, path, fresh, lock } = store::open(state_dir)?;
        let state = State::load(&conn, &sealer).map_err(|e| match e {
            Unreadable::Sql(cause) => StoreError::Sql { path: path.clone(), cause },
            Unreadable::Key => StoreError::Key {
                path: state_dir.join("secret.key"),
                why: "this is another key than the passwords' one",
            },
        })?;
        let sql = |cause| StoreError::Sql { path: path.clone(), cause };
        let checks = Arc::new(Mutex::new(store::checks::load(&conn).map_err(sql)?));
        let door = Arc::new(Door { catalog: ArcSwap::from_pointee(state.catalog()), events, sealer });
        let writer = Writer::spawn(conn, state, lock).map_err(|cause| StoreError::Io {
            what: "cannot start the writer thread of",
            path,
            cause,
        })?;
        Ok(Opened { library: Self { door, writer, dir: state_dir.into(), imports: Arc::default(), checks }, fresh })
    }

    /// The state directory, for what is kept beside the database.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The snapshot of this moment. Take it once per request.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.door.catalog.load_full()
    }

    /// The first start's test-card channel and viewer, in one transaction.
    pub async fn create_demo(&self) -> Answer<NewUser> {
        self.write("first start", |edit| {
            let channel = ChannelDraft {
                name: "Yagi Test Card".to_owned(),
                sources: vec![ChannelSource { url: "testcard:".to_owned(), headers: Vec::new() }],
                category: Some("Test".to_owned()),
                ..ChannelDraft::default()
            };
            channels::create(edit, &channel)?;
            let user = UserDraft {
                name: "demo".to_owned(),
                max_connections: Some(0),
                note: "Made by the first start.".to_owned(),
                ..UserDraft::default()
            };
            users::create(edit, &user)
        })
        .await
    }

    /// Whether the writer thread takes and answers jobs.
    pub async fn answers(&self) -> bool {
        self.writer.run(|_, _| ()).await.is_ok()
    }

    /// How long changes of the database took, in seconds.
    pub fn seconds(&self) -> Histogram {
        self.writer.seconds()
    }

    /// Copies the database of `state_dir` into the new file `to`, while it is in use.
    ///
    /// # Errors
    /// When `to` exists or cannot be written.
    pub fn back_up(&self, state_dir: &Path, to: &Path) -> Result<(), StoreError> {
        store::backup(state_dir, to)
    }

    /// Drains the writer, checkpoints and closes the file; later changes are refused.
    pub async fn close(&self) {
        self.writer.close().await;
    }

    /// One change through the door. It is made also when the caller stops waiting.
    async fn write<T, F>(&self, actor: &str, change: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Edit<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.step(actor, Mode::Edit, change).await.map(|(value, _)| value)
    }

    /// The same with the number of its step in the trail, if it has one.
    async fn step<T, F>(&self, actor: &str, mode: Mode, change: F) -> Answer<(T, Option<u64>)>
    where
        T: Send + 'static,
        F: FnOnce(&mut Edit<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (door, actor) = (Arc::clone(&self.door), actor.to_owned());
        self.writer
            .run(move |conn, state| transact(&door, conn, state, Step { actor: &actor, mode }, change))
            .await
            .unwrap_or_else(|_| closed())
    }

    /// One change of a refresh, from a thread that may block.
    fn write_blocking<T, F>(&self, actor: &str, change: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Edit<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.write_begun(actor, change).wait()
    }

    /// The same without waiting for its end.
    fn write_begun<T, F>(&self, actor: &str, change: F) -> Begun<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Edit<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.step_begun(actor, Mode::Refresh, change)
    }

    fn step_begun<T, F>(&self, actor: &str, mode: Mode, change: F) -> Begun<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Edit<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (door, actor) = (Arc::clone(&self.door), actor.to_owned());
        Begun(self.writer.begin(move |conn, state| {
            let step = Step { actor: &actor, mode };
            transact(&door, conn, state, step, change).map(|(value, _)| value)
        }))
    }
}

/// A change that is being made.
struct Begun<T>(Result<store::Begun<Answer<T>>, store::Closed>);

impl<T> Begun<T> {
    fn wait(self) -> Answer<T> {
        self.0.and_then(store::Begun::wait).unwrap_or_else(|_| closed())
    }
}

fn closed<T>() -> Answer<T> {
    Err(ApiError::new(ErrorCode::Unavailable, "the daemon is shutting down; nothing was changed"))
}
