//! One change from its validation to its event.
//!
//! Owns the transaction around a change, the [`Edit`] that changes work with, and the order commit → swap → publish. Must not
//! enter: rules of single nouns. Invariant: nobody sees a state that was not committed, and no commit goes without its event.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use yagi_api::{ApiError, Change, ErrorCode, Event, Noun};

use super::{
    catalog::Catalog,
    state::{State, Unreadable},
    trail::Trail,
};
use crate::{events::Events, store::Sealer};

/// What the door needs on the writer thread.
pub struct Door {
    pub catalog: ArcSwap<Catalog>,
    pub events: Events,
    pub sealer: Sealer,
}

/// Why a change was not made: the caller's fault or the disk's.
#[derive(Debug)]
pub enum Fault {
    Api(ApiError),
    Sql(rusqlite::Error),
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Api(error) => error,
            Fault::Sql(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => {
                Self::new(ErrorCode::Unavailable, "the disk is full; nothing was changed")
                    .with_hint("free some space in the state directory and try again")
            }
            Fault::Sql(error) => Self::new(ErrorCode::Internal, format!("the database refused the change: {error}"))
                .with_hint("nothing was changed; see the daemon's log"),
        }
    }
}

/// What to tell once it is committed.
struct Told {
    noun: Noun,
    change: Change,
    id: Option<u32>,
    row: Option<serde_json::Value>,
}

/// How a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One row or a few: goes into the trail.
    Edit,
    /// A refresh: no trail but what it says of itself.
    Refresh,
    /// Perhaps many rows: one event for each noun, and a failure costs no reading of the database.
    Many,
    /// The same, and nothing is kept.
    DryRun,
}

/// Whose change it is, and how it is made.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    pub actor: &'a str,
    pub mode: Mode,
}

/// A change under way, on the writer thread.
pub struct Edit<'a> {
    pub tx: &'a Transaction<'a>,
    pub sealer: &'a Sealer,
    /// Epoch seconds.
    pub now: i64,
    pub actor: &'a str,
    pub trail: Trail,
    /// Tells nouns instead of rows.
    many: bool,
    state: &'a mut State,
    told: Vec<Told>,
}

impl Edit<'_> {
    pub fn state(&self) -> &State {
        self.state
    }

    /// For changing; from here on a failure loads the state anew.
    pub fn change(&mut self) -> &mut State {
        self.state.stale = true;
        self.state
    }

    /// Announces one row; `row` in the noun's own type.
    pub fn tell(&mut self, noun: Noun, change: Change, id: u32, row: Option<&impl serde::Serialize>) {
        // Few rows of these ever go, and more than the lists depends on it.
        let grave = change == Change::Deleted && matches!(noun, Noun::Categories | Noun::Sources);
        if self.many && !grave {
            return self.tell_bulk(noun);
        }
        let row = row.and_then(|row| serde_json::to_value(row).ok());
        self.told.push(Told { noun, change, id: Some(id), row });
    }

    /// Announces many rows: readers fetch the list again.
    pub fn tell_bulk(&mut self, noun: Noun) {
        if !self.told.iter().any(|t| t.noun == noun && t.change == Change::Bulk) {
            self.told.push(Told { noun, change: Change::Bulk, id: None, row: None });
        }
    }
}

/// Runs `change` in a transaction. When it tells anything, the snapshot is swapped and the events go out. Gives the step of
/// the trail too, if there is one.
pub fn transact<T>(
    door: &Door,
    conn: &mut Connection,
    state: &mut State,
    step: Step<'_>,
    change: impl FnOnce(&mut Edit<'_>) -> Result<T, Fault>,
) -> Result<(T, Option<u64>), ApiError> {
    if state.stale {
        *state = State::load(conn, &door.sealer).map_err(unreadable)?;
    }
    let copy = matches!(step.mode, Mode::Many | Mode::DryRun).then(|| state.clone());
    let outcome = catch_unwind(AssertUnwindSafe(|| attempt(door, conn, state, step, change)));
    let fault = match outcome {
        Ok(Ok(Done { value, .. })) if step.mode == Mode::DryRun => {
            *state = copy.unwrap_or_default();
            return Ok((value, None));
        }
        Ok(Ok(Done { value, told, kept })) => {
            publish(door, state, step.actor, told);
            return Ok((value, kept));
        }
        Ok(Err(fault)) => fault.into(),
        Err(_) => {
            state.stale = true;
            ApiError::new(ErrorCode::Internal, "a bug stopped this change; nothing was changed")
                .with_hint("see the daemon's log and report it")
        }
    };
    if let Some(copy) = copy {
        *state = copy;
    } else if state.stale {
        match State::load(conn, &door.sealer) {
            Ok(fresh) => *state = fresh,
            Err(error) => tracing::error!(?error, "cannot read the database; the next change tries again"),
        }
    }
    if fault.code == ErrorCode::Internal {
        tracing::error!(actor = step.actor, error = %fault, "a change was not stored");
    }
    Err(fault)
}

struct Done<T> {
    value: T,
    told: Vec<Told>,
    kept: Option<u64>,
}

fn attempt<T>(
    door: &Door,
    conn: &mut Connection,
    state: &mut State,
    step: Step<'_>,
    change: impl FnOnce(&mut Edit<'_>) -> Result<T, Fault>,
) -> Result<Done<T>, Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut edit = Edit {
        tx: &tx,
        sealer: &door.sealer,
        now: super::now(),
        actor: step.actor,
        trail: Trail::new(step.mode != Mode::Refresh),
        many: matches!(step.mode, Mode::Many | Mode::DryRun),
        state,
        told: Vec::new(),
    };
    let value = change(&mut edit)?;
    if step.mode == Mode::DryRun {
        // The transaction goes with this scope.
        return Ok(Done { value, told: Vec::new(), kept: None });
    }
    let Edit { told, trail, now, .. } = edit;
    let kept = trail.keep(&tx, &door.sealer, step.actor, now, &state.settings)?;
    let rev = if told.is_empty() { state.rev } else { crate::store::settings::next_rev(&tx)? };
    tx.commit()?;
    state.rev = rev;
    if told.iter().any(|t| matches!(t.noun, Noun::Channels | Noun::Categories | Noun::Settings)) {
        (state.edition, state.edited_at) = (rev, super::now());
    }
    state.stale = false;
    Ok(Done { value, told, kept })
}

fn publish(door: &Door, state: &State, actor: &str, told: Vec<Told>) {
    if told.is_empty() {
        return;
    }
    door.catalog.store(Arc::new(state.catalog()));
    for Told { noun, change, id, row } in told {
        tracing::info!(actor, ?noun, ?change, id, rev = state.rev, "changed");
        door.events.publish(Event::Change { rev: state.rev, noun, change, id, row, actor: actor.to_owned() });
    }
}

fn unreadable(error: Unreadable) -> ApiError {
    ApiError::new(ErrorCode::Internal, format!("the database cannot be read: {error:?}"))
}
