//! How far long work is, and the wish that it stop.
//!
//! Owns one handle that the worker writes and others read. Must not enter: what the work is. Invariant: telling costs an atomic
//! add; a wish to stop is never lost.

use std::{
    io::{self, BufRead, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

/// Handle; cheap to clone. Nobody need look at it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stage: Mutex<Stage>,
    done: AtomicU64,
    stop: AtomicBool,
    wake: Notify,
}

/// What is being done, and how much of it there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    pub step: &'static str,
    pub unit: &'static str,
    pub total: Option<u64>,
}

impl Progress {
    /// Begins a step.
    pub fn step(&self, step: &'static str, unit: &'static str, total: Option<u64>) {
        *self.0.stage.lock().unwrap_or_else(PoisonError::into_inner) = Stage { step, unit, total };
        self.0.done.store(0, Relaxed);
    }

    /// There is more to do in this step, or less.
    pub fn grow(&self, more: u64, less: u64) {
        let mut stage = self.0.stage.lock().unwrap_or_else(PoisonError::into_inner);
        stage.total = Some((stage.total.unwrap_or(0) + more).saturating_sub(less));
    }

    pub fn add(&self, n: u64) {
        self.0.done.fetch_add(n, Relaxed);
    }

    pub fn now(&self) -> (Stage, u64) {
        (*self.0.stage.lock().unwrap_or_else(PoisonError::into_inner), self.0.done.load(Relaxed))
    }

    /// Asks the worker to stop.
    pub fn cancel(&self) {
        self.0.stop.store(true, Relaxed);
        self.0.wake.notify_waiters();
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.stop.load(Relaxed)
    }

    /// Waits until somebody asks the worker to stop.
    pub async fn cancelled(&self) {
        loop {
            let woken = self.0.wake.notified();
            if self.is_cancelled() {
                return;
            }
            woken.await;
        }
    }

    /// Counts the bytes of a text as it is read, and ends it when asked to stop.
    pub fn reading<R: BufRead>(&self, inner: R) -> Counted<R> {
        Counted { inner, progress: self.clone() }
    }
}

/// See [`Progress::reading`].
pub struct Counted<R> {
    inner: R,
    progress: Progress,
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.progress.is_cancelled() {
            return Err(io::Error::other("was cancelled"));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.progress.add(n as u64);
        self.inner.consume(n);
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_counted_until_it_is_cancelled() {
        let progress = Progress::default();
        progress.step("reading", "bytes", Some(6));
        let mut text = progress.reading(&b"abcdef"[..]);
        let mut four = [0; 4];
        text.read_exact(&mut four).unwrap();
        assert_eq!(progress.now(), (Stage { step: "reading", unit: "bytes", total: Some(6) }, 4));
        let waiting = tokio::spawn({
            let progress = progress.clone();
            async move { progress.cancelled().await }
        });
        tokio::task::yield_now().await;
        progress.cancel();
        waiting.await.unwrap();
        progress.cancelled().await;
        assert!(text.read(&mut four).is_err());
    }
}
