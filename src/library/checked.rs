//! Results of checks.
//!
//! Owns the map that rules and explanations read. Must not enter: how a check is made. Invariant: it equals the table; it is no part
//! of the snapshot, because results come by the thousand and change nothing that viewers see.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
};

use yagi_api::Check;

use super::{Answer, Library};
use crate::store;

impl Library {
    /// Results by the digest of an address with its host; hold it briefly.
    pub fn checks(&self) -> MutexGuard<'_, HashMap<u64, Check>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of the channel's fields that an administrator edited. From a thread that may block.
    pub fn edited(&self, id: yagi_api::ChannelId) -> Answer<Vec<String>> {
        self.write_blocking("explain", move |edit| {
            let bits = edit.state().channel(id).map_or(0, |row| row.edited);
            let named = super::channels::edited::NAMES.iter().filter(|(bit, _)| bits & bit != 0);
            Ok(named.map(|(_, name)| (*name).to_owned()).collect())
        })
    }

    pub async fn keep_check(&self, key: u64, check: Check) -> Answer<()> {
        let kept = check.clone();
        self.write("check", move |edit| Ok(store::checks::put(edit.tx, key, &kept)?)).await?;
        self.checks().insert(key, check);
        Ok(())
    }
}
