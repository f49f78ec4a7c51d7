//! When each viewer was last here, with which player and from where; and what became of channels.
//!
//! Owns two small tables that other rooms write in passing. Must not enter: SQL, logins. Invariant: writing takes one short lock
//! and no disk; a table has at most one row for each viewer or channel, and a cap.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use yagi_api::{ChannelId, UserId};

/// Rows of each table at most.
const MOST: usize = 200_000;

/// The tables; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    viewers: HashMap<UserId, (Login, bool)>,
    channels: HashMap<ChannelId, Fate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Epoch seconds.
    pub at: i64,
    pub agent: String,
    pub ip: IpAddr,
}

/// What became of a channel's stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    pub ok_at: Option<i64>,
    pub error: Option<String>,
    pub error_at: Option<i64>,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a login.
    pub fn login(&self, user: UserId, at: i64, agent: String, ip: IpAddr) {
        let viewers = &mut self.lock().viewers;
        if viewers.len() < MOST || viewers.contains_key(&user) {
            viewers.insert(user, (Login { at, agent, ip }, true));
        }
    }

    pub fn of(&self, user: UserId) -> Option<Login> {
        self.lock().viewers.get(&user).map(|(login, _)| login.clone())
    }

    /// Logins since the last call, for the disk.
    pub fn fresh(&self) -> Vec<(UserId, Login)> {
        let mut tables = self.lock();
        let fresh = tables.viewers.iter_mut().filter(|(_, (_, fresh))| *fresh);
        fresh
            .map(|(user, (login, fresh))| {
                *fresh = false;
                (*user, login.clone())
            })
            .collect()
    }

    /// Notes that a channel's stream could be had, or why not.
    pub fn channel(&self, id: ChannelId, at: i64, error: Option<String>) {
        let channels = &mut self.lock().channels;
        if channels.len() >= MOST && !channels.contains_key(&id) {
            return;
        }
        let fate = channels.entry(id).or_default();
        match error {
            None => fate.ok_at = Some(at),
            Some(error) => (fate.error, fate.error_at) = (Some(error), Some(at)),
        }
    }

    pub fn fate(&self, id: ChannelId) -> Fate {
        self.lock().channels.get(&id).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_goes_to_the_disk_once() {
        let seen = Seen::default();
        let ip = IpAddr::from([10, 0, 0, 7]);
        seen.login(UserId(1), 5, "VLC".into(), ip);
        seen.login(UserId(1), 6, "VLC".into(), ip);
        assert_eq!(seen.fresh().len(), 1);
        assert!(seen.fresh().is_empty());
        assert_eq!(seen.of(UserId(1)).unwrap().at, 6);
        seen.channel(ChannelId(1), 3, Some("refused".into()));
        seen.channel(ChannelId(1), 4, None);
        let fate = seen.fate(ChannelId(1));
        assert_eq!((fate.ok_at, fate.error.as_deref(), fate.error_at), (Some(4), Some("refused"), Some(3)));
    }
}
