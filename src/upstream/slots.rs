//! The places of a provider's account: at most so many upstreams at once, shared by the streams that want them.
//!
//! Owns the count, the queue and the words of a refusal. Must not enter: accounts' rows, viewers. Invariants: a place is a
//! [`Permit`] and ends with it; viewers get places in the order of their asking; a check never waits, and gives its place
//! back when a viewer comes; a stream that nobody watches is told that its place is wanted.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};
use yagi_api::SourceId;

use super::{Reach, UpstreamError};

/// How long a viewer waits for a place: a zap's old connection, or a stream that lingers, frees one within that time.
const WAIT: Duration = Duration::from_secs(3);
/// Holders that a refusal names.
const NAMED: usize = 8;

/// For whom an upstream is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    #[default]
    Viewer,
    /// Nobody waits for it: a test of a source, a prefetch.
    Check,
}

/// Who takes a place, and how it is told that others want it.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// None: nothing is counted.
    pub account: Option<SourceId>,
    /// The channel's name.
    pub holder: String,
    pub purpose: Purpose,
    /// How far the address may lead.
    pub reach: Reach,
    /// Told when somebody waits for a place.
    pub wake: Arc<Notify>,
}

#[derive(Clone, Default)]
pub struct Slots(Arc<Mutex<HashMap<SourceId, Account>>>);

#[derive(Default)]
struct Account {
    name: String,
    /// 0: no limit.
    most: usize,
    held: Vec<Arc<Held>>,
    queue: VecDeque<(Arc<()>, Claim, oneshot::Sender<Permit>)>,
    /// Length of the queue, for those that hold a place.
    waiting: Arc<AtomicUsize>,
}

struct Held {
    claim: Claim,
    /// A check whose place a viewer needs.
    revoked: Notify,
    waiting: Arc<AtomicUsize>,
}

/// One place; it ends with this value.
pub struct Permit {
    slots: Slots,
    account: SourceId,
    held: Arc<Held>,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({}, {})", self.account, self.held.claim.holder)
    }
}

impl Permit {
    /// Whether a viewer waits for a place of the same account.
    pub fn is_wanted(&self) -> bool {
        self.held.waiting.load(Relaxed) > 0
    }

    /// Whether it can be taken away: a viewer's never.
    pub fn is_revocable(&self) -> bool {
        self.held.claim.purpose == Purpose::Check
    }

    /// Ends when this place must be given back at once.
    pub async fn revoked(&self) {
        self.held.revoked.notified().await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(account) = self.slots.lock().get_mut(&self.account) {
            account.held.retain(|h| !Arc::ptr_eq(h, &self.held));
        }
        self.slots.grant(self.account);
    }
}

impl Account {
    fn has_room(&self) -> bool {
        self.most == 0 || self.held.len() < self.most
    }

    fn hold(&mut self, claim: Claim) -> Arc<Held> {
        let held = Arc::new(Held { claim, revoked: Notify::new(), waiting: self.waiting.clone() });
        self.held.push(held.clone());
        held
    }

    fn full(&self) -> UpstreamError {
        let mut names: Vec<&str> = self.held.iter().map(|h| h.claim.holder.as_str()).take(NAMED).collect();
        names.sort_unstable();
        let more = self.held.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        UpstreamError::NoSlot(format!(
            "{} may have {} upstream{} at once; in use by {}{more}",
            self.name,
            self.most,
            if self.most == 1 { "" } else { "s" },
            names.join(", ")
        ))
    }
}

/// Takes a viewer out of the queue, however its waiting ends.
struct Waiting(Slots, SourceId, Arc<()>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(account) = self.0.lock().get_mut(&self.1) {
            account.queue.retain(|(mark, ..)| !Arc::ptr_eq(mark, &self.2));
            account.waiting.store(account.queue.len(), Relaxed);
        }
    }
}

impl Slots {
    fn lock(&self) -> MutexGuard<'_, HashMap<SourceId, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The limits from now on: of each account its name and its most upstreams (0: no limit).
    pub fn configure(&self, limits: impl IntoIterator<Item = (SourceId, String, u32)>) {
        let ids: Vec<SourceId> = {
            let mut accounts = self.lock();
            // Who is not named any more has no limit, and goes when nothing of it is left.
            accounts.values_mut().for_each(|a| a.most = 0);
            for (id, name, most) in limits {
                let account = accounts.entry(id).or_default();
                (account.name, account.most) = (name, most as usize);
            }
            accounts.retain(|_, a| a.most > 0 || !a.held.is_empty() || !a.queue.is_empty());
            accounts.keys().copied().collect()
        };
        ids.into_iter().for_each(|id| self.grant(id));
    }

    /// Whether the account has a place that nobody holds or waits for.
    pub fn has_place(&self, id: SourceId) -> bool {
        self.lock().get(&id).is_none_or(|a| a.has_room() && a.queue.is_empty())
    }

    /// Whether a viewer waits for a place of the account.
    pub fn is_wanted(&self, id: SourceId) -> bool {
        self.lock().get(&id).is_some_and(|a| !a.queue.is_empty())
    }

    /// Places of the account that are held.
    pub fn used(&self, id: SourceId) -> usize {
        self.lock().get(&id).map_or(0, |a| a.held.len())
    }

    /// A place for this claim; waits a moment for one.
    ///
    /// # Errors
    /// Says who holds them all.
    pub async fn take(&self, claim: &Claim) -> Result<Option<Permit>, UpstreamError> {
        let Some(id) = claim.account else { return Ok(None) };
        let (waiting, place) = {
            let mut accounts = self.lock();
            let account = accounts.entry(id).or_default();
            if account.has_room() && account.queue.is_empty() {
                let held = account.hold(claim.clone());
                return Ok(Some(Permit { slots: self.clone(), account: id, held }));
            }
            if claim.purpose == Purpose::Check {
                return Err(account.full());
            }
            let (give, get) = oneshot::channel();
            let mark = Arc::new(());
            account.queue.push_back((mark.clone(), claim.clone(), give));
            account.waiting.store(account.queue.len(), Relaxed);
            for held in &account.held {
                held.claim.wake.notify_one();
            }
            // One check for one viewer, the youngest first.
            if let Some(check) = account.held.iter().rev().find(|h| h.claim.purpose == Purpose::Check) {
                check.revoked.notify_one();
            }
            (Waiting(self.clone(), id, mark), get)
        };
        let place = timeout(WAIT, place).await;
        drop(waiting);
        match place {
            Ok(Ok(permit)) => Ok(Some(permit)),
            _ => Err(self.lock().get(&id).map_or(UpstreamError::Ended, Account::full)),
        }
    }

    /// Gives free places to those that wait.
    fn grant(&self, id: SourceId) {
        let mut given = Vec::new();
        if let Some(account) = self.lock().get_mut(&id) {
            while account.has_room()
                && let Some((_, claim, give)) = account.queue.pop_front()
            {
                let held = account.hold(claim);
                given.push((give, Permit { slots: self.clone(), account: id, held }));
            }
            account.waiting.store(account.queue.len(), Relaxed);
        }
        for (give, permit) in given {
            // Who has left drops the permit here, and the next one gets it.
            drop(give.send(permit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SourceId = SourceId(7);

    fn slots(most: u32) -> Slots {
        let slots = Slots::default();
        slots.configure([(ID, "provider".to_owned(), most)]);
        slots
    }

    fn claim(holder: &str, purpose: Purpose) -> Claim {
        Claim { account: Some(ID), holder: holder.to_owned(), purpose, ..Claim::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_names_who_holds_the_places() {
        let slots = slots(2);
        let one = slots.take(&claim("One", Purpose::Viewer)).await.unwrap().unwrap();
        let _two = slots.take(&claim("Two", Purpose::Viewer)).await.unwrap().unwrap();
        let said = slots.take(&claim("Three", Purpose::Viewer)).await.unwrap_err();
        assert_eq!(said, UpstreamError::NoSlot("provider may have 2 upstreams at once; in use by One, Two".to_owned()));
        assert_eq!(said.http_status(), 503);
        drop(one);
        slots.take(&claim("Three", Purpose::Viewer)).await.unwrap().unwrap();
        assert!(slots.take(&Claim::default()).await.unwrap().is_none(), "no account, nothing to count");
    }

    #[tokio::test(start_paused = true)]
    async fn viewers_wait_in_order_and_holders_hear_of_it() {
        let slots = slots(1);
        let holder = claim("One", Purpose::Viewer);
        let permit = slots.take(&holder).await.unwrap().unwrap();
        let wait = |name: &'static str| {
            let slots = slots.clone();
            tokio::spawn(async move { slots.take(&claim(name, Purpose::Viewer)).await.map(Option::unwrap) })
        };
        let second = wait("Two");
        holder.wake.notified().await;
        assert!(permit.is_wanted());
        let third = wait("Three");
        tokio::task::yield_now().await;
        assert!(slots.take(&claim("Check", Purpose::Check)).await.is_err());
        drop(permit);
        let second = second.await.unwrap().unwrap();
        assert_eq!(second.held.claim.holder, "Two");
        third.abort();
        let _ = third.await;
        assert!(!second.is_wanted(), "who left waits no more");
        drop(second);
        assert!(slots.lock()[&ID].held.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_gives_way_and_a_raised_limit_lets_in() {
        let slots = slots(1);
        let check = slots.take(&claim("Check", Purpose::Check)).await.unwrap().unwrap();
        let other = slots.clone();
        let viewer = tokio::spawn(async move { other.take(&claim("One", Purpose::Viewer)).await });
        check.revoked().await;
        drop(check);
        let viewer = viewer.await.unwrap().unwrap().unwrap();
        let other = slots.clone();
        let second = tokio::spawn(async move { other.take(&claim("Two", Purpose::Viewer)).await });
        tokio::task::yield_now().await;
        slots.configure([(ID, "provider".to_owned(), 2)]);
        let second = second.await.unwrap().unwrap().unwrap();
        drop((viewer, second));
        slots.configure([]);
        assert!(slots.lock().is_empty());
    }
}
