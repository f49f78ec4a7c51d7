//! Login of viewers: name and password against the catalog, under a limit of tries.
//!
//! Owns the comparison and the limiter. Must not enter: accounts' state (expired, disabled: the caller's answer differs by
//! surface), seats, logs of what was typed. Invariants: known and unknown names cost the same work and get the same
//! answer; whoever has the right password is let in unless its own address is the one that guessed; memory is bounded.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    library::{Catalog, Viewer},
    secret::Secret,
};

/// Failures are counted over this time, and a refusal lasts as long.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses, and names, that are remembered; the oldest is forgotten first.
const TRACKED: usize = 10_000;

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Wrong name or password; which of the two is not told.
    Credentials,
    /// Too many failures; try again later.
    TooMany { retry_after_s: u32 },
}

pub struct Auth {
    tries: AtomicU32,
    /// Compared with when there is no such name.
    nobody: Secret,
    salt: RandomState,
    failures: Mutex<Failures>,
    pub tally: Tally,
}

/// Logins since the start, by their result.
#[derive(Debug, Default)]
pub struct Tally {
    pub accepted: AtomicU64,
    pub wrong: AtomicU64,
    pub limited: AtomicU64,
}

#[derive(Default)]
struct Failures {
    addresses: Counts,
    names: Counts,
}

impl Auth {
    /// `tries` failures within a minute are let pass; 0 means 1.
    pub fn new(tries: u32) -> Self {
        Self {
            tries: AtomicU32::new(tries.max(1)),
            nobody: Secret::new("aaaaaaaaaaaa"),
            salt: RandomState::new(),
            failures: Mutex::default(),
            tally: Tally::default(),
        }
    }

    /// Another number of tries from now on.
    pub fn set_tries(&self, tries: u32) {
        self.tries.store(tries.max(1), Relaxed);
    }

    /// The viewer with this name and password; instead of the password its token will do, and with the token the name may
    /// be empty. Who comes with a token is given back as [`Viewer::by_token`]. `ip` is none for the Unix socket, which is not limited.
    ///
    /// An address that failed too often is refused whatever it sends. A name that failed too often, from wherever, is
    /// refused only with a wrong password: its owner is never locked out by others.
    pub fn login(
        &self,
        catalog: &Catalog,
        name: &str,
        password: &str,
        ip: Option<IpAddr>,
        now: Instant,
    ) -> Result<Arc<Viewer>, Denied> {
        let result = self.check(catalog, name, password, ip, now);
        let count = match result {
            Ok(_) => &self.tally.accepted,
            Err(Denied::Credentials) => &self.tally.wrong,
            Err(Denied::TooMany { .. }) => &self.tally.limited,
        };
        count.fetch_add(1, Relaxed);
        result
    }

    fn check(
        &self,
        catalog: &Catalog,
        name: &str,
        password: &str,
        ip: Option<IpAddr>,
        now: Instant,
    ) -> Result<Arc<Viewer>, Denied> {
        let tries = self.tries.load(Relaxed);
        let address = ip.map(|ip| self.salt.hash_one(network(ip)));
        let name_key = self.salt.hash_one(Key("name", name));
        let mut wait = None;
        if let Some(address) = address {
            let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(wait) = failures.addresses.refused(address, tries, now) {
                return Err(Denied::TooMany { retry_after_s: wait });
            }
            wait = failures.names.refused(name_key, tries, now);
        }
        let viewer = if name.is_empty() { catalog.viewer_by_token(password) } else { catalog.viewer(name) };
        let right = viewer.map_or(&self.nobody, |v| &v.password).matches(password);
        let token = viewer.and_then(|v| v.token.as_ref()).unwrap_or(&self.nobody).matches(password);
        if let (true, Some(viewer)) = (right && !name.is_empty(), viewer) {
            return Ok(Arc::clone(viewer));
        }
        if let (true, Some(viewer)) = (token, viewer.and_then(|v| v.by_token())) {
            return Ok(Arc::new(viewer));
        }
        if let (Some(address), Some(ip)) = (address, ip) {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.names.add(name_key, tries, now);
            if failures.addresses.add(address, tries, now) {
                drop(failures);
                tracing::warn!(%ip, tries, "too many failed logins: the address is refused for a minute");
            }
        }
        Err(wait.map_or(Denied::Credentials, |retry_after_s| Denied::TooMany { retry_after_s }))
    }
}

#[derive(Hash)]
struct Key<'a>(&'static str, &'a str);

/// One line has a whole /64 of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        four => four,
    }
}

/// Failures by hashed key.
#[derive(Default)]
struct Counts(HashMap<u64, Count>);

struct Count {
    since: Instant,
    failures: u32,
    /// Since when it is refused.
    refused: Option<Instant>,
}

impl Count {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.refused.unwrap_or(self.since)) >= WINDOW
    }
}

impl Counts {
    /// Seconds to wait, if it is refused.
    fn refused(&self, key: u64, tries: u32, now: Instant) -> Option<u32> {
        let count = self.0.get(&key).filter(|c| c.failures >= tries && !c.is_over(now))?;
        let left = WINDOW.saturating_sub(now.saturating_duration_since(count.refused?));
        Some(u32::try_from(left.as_secs()).unwrap_or(60).max(1))
    }

    /// Counts a failure; true when it was the one too many.
    fn add(&mut self, key: u64, tries: u32, now: Instant) -> bool {
        if self.0.len() >= TRACKED && !self.0.contains_key(&key) {
            self.make_room(now);
        }
        let fresh = Count { since: now, failures: 0, refused: None };
        let count = self.0.entry(key).or_insert(fresh);
        if count.is_over(now) {
            *count = Count { since: now, failures: 0, refused: None };
        }
        count.failures = count.failures.saturating_add(1);
        let last = count.failures >= tries && count.refused.is_none();
        if last {
            count.refused = Some(now);
        }
        last
    }

    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, c| !c.is_over(now));
        if self.0.len() >= TRACKED
            && let Some(oldest) = self.0.iter().min_by_key(|(_, c)| c.since).map(|(k, _)| *k)
        {
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "192.0.2.1";
    const AWAY: &str = "198.51.100.7";

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn catalog() -> Catalog {
        Catalog::sample(&[], &[("alice", "right-password")])
    }

    #[test]
    fn known_and_unknown_names_get_the_same_answer() {
        let (auth, catalog, now) = (Auth::new(20), catalog(), Instant::now());
        for (name, password) in
            [("alice", "wrong"), ("alice", ""), ("nobody", "aaaaaaaaaaaa"), ("", ""), ("ALICE", "right-password")]
        {
            let answer = auth.login(&catalog, name, password, ip(HOME), now);
            assert_eq!(answer.err(), Some(Denied::Credentials), "{name}");
        }
        assert_eq!(auth.login(&catalog, "alice", "right-password", ip(HOME), now).unwrap().user.name, "alice");
    }

    #[test]
    fn a_token_stands_for_name_and_password() {
        let (auth, catalog, now) = (Auth::new(20), catalog(), Instant::now());
        for name in ["", "alice"] {
            let viewer = auth.login(&catalog, name, "token-of-alice", ip(HOME), now).unwrap();
            assert_eq!((viewer.user.name.as_str(), viewer.password.expose()), ("alice", "token-of-alice"));
        }
        for (name, password) in [("", "right-password"), ("", ""), ("bob", "token-of-alice"), ("", "token-of-alicf")] {
            assert_eq!(auth.login(&catalog, name, password, ip(HOME), now).err(), Some(Denied::Credentials), "{name}");
        }
    }

    #[test]
    fn an_address_that_guesses_is_refused_for_a_minute() {
        let (auth, catalog, now) = (Auth::new(20), catalog(), Instant::now());
        let at = |s: u64| now + Duration::from_secs(s);
        for n in 0..20 {
            let answer = auth.login(&catalog, &format!("guess{n}"), "x", ip(HOME), at(n));
            assert_eq!(answer.err(), Some(Denied::Credentials));
            // Logins that are right are no failures, and change nothing.
            if n < 19 {
                assert!(auth.login(&catalog, "alice", "right-password", ip(HOME), at(n)).is_ok());
            }
        }
        let refused = auth.login(&catalog, "alice", "right-password", ip(HOME), at(20)).err();
        assert_eq!(refused, Some(Denied::TooMany { retry_after_s: 59 }));
        assert!(auth.login(&catalog, "alice", "right-password", ip("::ffff:192.0.2.1"), at(20)).is_err());
        assert!(auth.login(&catalog, "alice", "right-password", ip(AWAY), at(20)).is_ok());
        assert!(auth.login(&catalog, "alice", "right-password", None, at(20)).is_ok());
        assert!(auth.login(&catalog, "alice", "right-password", ip(HOME), at(79)).is_ok());
    }

    #[test]
    fn failures_far_apart_are_forgotten() {
        let (auth, catalog, now) = (Auth::new(2), catalog(), Instant::now());
        for n in 0..10 {
            let answer = auth.login(&catalog, "alice", "x", ip(HOME), now + Duration::from_secs(n * 61));
            assert_eq!(answer.err(), Some(Denied::Credentials));
        }
    }

    #[test]
    fn a_name_under_attack_stays_open_for_its_owner() {
        let (auth, catalog, now) = (Auth::new(20), catalog(), Instant::now());
        for n in 0..200u32 {
            let _ = auth.login(&catalog, "alice", "x", Some(IpAddr::from((n + (10 << 24)).to_be_bytes())), now);
        }
        assert!(matches!(auth.login(&catalog, "alice", "x", ip(AWAY), now), Err(Denied::TooMany { .. })));
        assert!(auth.login(&catalog, "alice", "right-password", ip(AWAY), now).is_ok());
        // Names that do not exist are limited alike.
        for n in 0..200u32 {
            let _ = auth.login(&catalog, "ghost", "x", Some(IpAddr::from((n + (11 << 24)).to_be_bytes())), now);
        }
        assert!(matches!(auth.login(&catalog, "ghost", "x", ip(AWAY), now), Err(Denied::TooMany { .. })));
    }

    #[test]
    fn a_line_is_one_network_of_ipv6() {
        let (auth, catalog, now) = (Auth::new(3), catalog(), Instant::now());
        for n in 0..3 {
            let _ = auth.login(&catalog, &format!("n{n}"), "x", ip(&format!("2001:db8:1:2::{n}")), now);
        }
        assert!(auth.login(&catalog, "alice", "right-password", ip("2001:db8:1:2:ffff::9"), now).is_err());
        assert!(auth.login(&catalog, "alice", "right-password", ip("2001:db8:1:3::1"), now).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let (auth, catalog, now) = (Auth::new(1), catalog(), Instant::now());
        for n in 0..(TRACKED as u32 + 500) {
            let address = Some(IpAddr::from((n + (10 << 24)).to_be_bytes()));
            let _ = auth.login(&catalog, &format!("n{n}"), "x", address, now + Duration::from_millis(u64::from(n)));
        }
        let failures = auth.failures.lock().unwrap();
        assert!(failures.addresses.0.len() <= TRACKED && failures.names.0.len() <= TRACKED);
        drop(failures);
        let late = now + Duration::from_secs(11);
        // The oldest is forgotten first.
        assert!(auth.login(&catalog, "alice", "right-password", ip("10.0.0.0"), late).is_ok());
        assert!(auth.login(&catalog, "alice", "right-password", ip("10.0.40.0"), late).is_err());
    }
}
