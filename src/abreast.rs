//! Work that a player waits for, done by two threads at once.
//!
//! Must not enter: what the work is. Invariant: results come in the order of what they are made of, whoever made them; where no thread
//! can be had, one does it all.

use std::{
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread,
};

/// Does `work` with each of `items`, the first half here and the second beside. Each thread has one of `tools` for all of its items.
pub fn two<T: Send, S: Send, R: Send>(
    tools: &mut [S; 2],
    mut items: Vec<T>,
    work: impl Fn(&mut S, T) -> R + Sync,
) -> Vec<R> {
    let [here, beside] = tools;
    let rest = items.split_off(items.len().div_ceil(2));
    if rest.is_empty() {
        return items.into_iter().map(|item| work(here, item)).collect();
    }
    let rest = Mutex::new(rest);
    let take = || std::mem::take(&mut *rest.lock().unwrap_or_else(PoisonError::into_inner));
    thread::scope(|scope| {
        let work = &work;
        let helper = thread::Builder::new()
            .spawn_scoped(scope, || take().into_iter().map(|item| work(beside, item)).collect::<Vec<R>>());
        let mut done: Vec<R> = items.into_iter().map(|item| work(here, item)).collect();
        match helper.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(more)) => done.extend(more),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => done.extend(take().into_iter().map(|item| work(here, item))),
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::two;

    #[test]
    fn the_order_is_that_of_the_items() {
        for n in 0..9 {
            let mut tools = [Vec::new(), Vec::new()];
            let done = two(&mut tools, (0..n).collect(), |tool: &mut Vec<i32>, item| {
                tool.push(item);
                item * 2
            });
            assert_eq!(done, (0..n).map(|i| i * 2).collect::<Vec<_>>());
            assert_eq!(tools.concat(), (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_panic_beside_is_one_here() {
        let caught = std::panic::catch_unwind(|| two(&mut [(), ()], vec![1, 2], |(), item| assert_ne!(item, 2)));
        assert!(caught.is_err());
    }
}
