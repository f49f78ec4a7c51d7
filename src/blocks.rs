//! Addresses that are refused for a while.
//!
//! Owns the table of blocks and their end. Must not enter: who asks for one, paths. Invariant: it holds at most [`MOST`] blocks,
//! each ends by itself, and looking costs nothing while there is none.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use yagi_api::Block;

/// More would be a firewall's work.
pub const MOST: usize = 1024;

/// The table; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Blocks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    any: AtomicBool,
    table: Mutex<HashMap<IpAddr, Block>>,
}

impl Blocks {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Block>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks an address until `until`, or longer when it is longer already. False: there are too many blocks.
    pub fn add(&self, ip: IpAddr, now: i64, until: i64, reason: &str, actor: &str) -> Option<Block> {
        let ip = ip.to_canonical();
        let mut table = self.lock();
        table.retain(|_, block| block.until > now);
        if table.len() >= MOST && !table.contains_key(&ip) {
            return None;
        }
        let block = table.entry(ip).or_insert_with(|| Block {
            ip: ip.to_string(),
            since: now,
            until,
            reason: String::new(),
            actor: String::new(),
            refused: 0,
        });
        block.until = until;
        reason.clone_into(&mut block.reason);
        actor.clone_into(&mut block.actor);
        self.0.any.store(true, Relaxed);
        Some(block.clone())
    }

    /// Whether the address is refused at this moment, and for how many seconds more; counts the refusal.
    pub fn refuses(&self, ip: IpAddr, now: i64) -> Option<u32> {
        if !self.0.any.load(Relaxed) {
            return None;
        }
        let mut table = self.lock();
        let block = table.get_mut(&ip.to_canonical())?;
        if block.until <= now {
            table.remove(&ip.to_canonical());
            self.0.any.store(!table.is_empty(), Relaxed);
            return None;
        }
        block.refused += 1;
        u32::try_from(block.until - now).ok()
    }

    pub fn remove(&self, ip: IpAddr) -> bool {
        let mut table = self.lock();
        let there = table.remove(&ip.to_canonical()).is_some();
        self.0.any.store(!table.is_empty(), Relaxed);
        there
    }

    /// Those in force, the next to end first.
    pub fn rows(&self, now: i64) -> Vec<Block> {
        let mut rows: Vec<Block> = self.lock().values().filter(|b| b.until > now).cloned().collect();
        rows.sort_by(|a, b| (a.until, &a.ip).cmp(&(b.until, &b.ip)));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_by_itself_and_the_table_has_a_cap() {
        let blocks = Blocks::default();
        let ip = |n: u32| IpAddr::from(n.to_be_bytes());
        assert_eq!(blocks.refuses(ip(1), 0), None);
        blocks.add(ip(1), 100, 160, "r", "a").unwrap();
        assert_eq!((blocks.refuses(ip(1), 100), blocks.refuses(ip(2), 100)), (Some(60), None));
        assert_eq!(blocks.refuses("::ffff:0.0.0.1".parse().unwrap(), 159), Some(1), "the same address in IPv6");
        assert_eq!(blocks.rows(159)[0].refused, 2);
        assert_eq!(blocks.refuses(ip(1), 160), None);
        for n in 0..MOST as u32 {
            assert!(blocks.add(ip(n), 0, 10, "", "").is_some());
        }
        assert!(blocks.add(ip(5000), 0, 10, "", "").is_none());
        assert!(blocks.add(ip(5000), 10, 20, "", "").is_some(), "those that are over make place");
        assert!(blocks.remove(ip(5000)) && !blocks.remove(ip(5000)));
    }
}
