//! Long work beside the runtime, on threads that are used again and again, the last one first.
//!
//! Must not enter: what the work is. An allocator gives each thread memory of its own and keeps what that once held; the runtime's threads for
//! blocking work take turns, so a daemon that refreshes for days would keep a big list's worth of holes for each of them. Invariant: there
//! are as many threads as works ran at once, and a panic ends the work, not the thread.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use tokio::sync::oneshot;

/// Does the work, and gives what tells its end.
type Work = Box<dyn FnOnce() -> Box<dyn FnOnce() + Send> + Send>;

/// Threads without work, the last used one at the end.
static IDLE: Mutex<Vec<SyncSender<Work>>> = Mutex::new(Vec::new());

/// Runs `work` to its end, also when nobody waits any more; none when it panicked, or no thread can be had.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (give, get) = oneshot::channel();
    let work = Box::new(move || -> Box<dyn FnOnce() + Send> {
        let done = catch_unwind(AssertUnwindSafe(work));
        Box::new(move || {
            if let Ok(done) = done {
                // Who waited may have gone.
                let _ = give.send(done);
            }
        })
    });
    give_to_a_thread(work);
    get.await.ok()
}

fn give_to_a_thread(mut work: Work) {
    loop {
        let last = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(last) = last else { break };
        match last.send(work) {
            Ok(()) => return,
            Err(back) => work = back.0,
        }
    }
    // Without a thread the work is dropped, and who waits is told by that.
    if let Err(error) = thread::Builder::new().name("yagid-aside".to_owned()).spawn(move || serve(work)) {
        tracing::error!(%error, "no thread is left for a refresh");
    }
}

fn serve(first: Work) {
    let (sender, inbox) = sync_channel(1);
    let mut work = first;
    loop {
        let tell = work();
        // Before it is told: who then brings the next work finds this thread.
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(sender.clone());
        tell();
        match inbox.recv() {
            Ok(next) => work = next,
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_after_work_is_done_also_after_a_panic() {
        assert_eq!(run(|| 7).await, Some(7));
        assert_eq!(run(|| -> u8 { panic!("a bug") }).await, None);
        let (a, b) = tokio::join!(run(|| thread::current().id()), run(|| thread::current().id()));
        assert!(a.is_some() && b.is_some());
        assert_eq!(run(|| 8).await, Some(8));
    }
}
