//! Pump threads: where streams live.
//!
//! Owns the threads and their single-threaded runtimes. Must not enter: what a stream does. Invariant: a stream never leaves
//! the thread it began on, and its panic ends nothing else.

use std::{
    any::Any,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{sync::mpsc, task::LocalSet};

use super::{Shared, Stream};

/// Streams that wait to be started on one pump; a start takes microseconds.
const BACKLOG: usize = 1024;

type Life = Pin<Box<dyn Future<Output = ()>>>;
/// Makes the future on the pump's own thread, because it never leaves it.
type Birth = Box<dyn FnOnce() -> Life + Send>;

pub(super) struct Pump {
    births: mpsc::Sender<(Birth, Arc<Stream>, Arc<Shared>)>,
    streams: Arc<AtomicUsize>,
}

impl Pump {
    pub fn start(number: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (births, mut newborn) = mpsc::channel::<(Birth, Arc<Stream>, Arc<Shared>)>(BACKLOG);
        let streams = Arc::new(AtomicUsize::new(0));
        let count = streams.clone();
        std::thread::Builder::new().name(format!("pump-{number}")).spawn(move || {
            LocalSet::new().block_on(&runtime, async move {
                while let Some((birth, stream, shared)) = newborn.recv().await {
                    let count = count.clone();
                    let life = tokio::task::spawn_local(birth());
                    tokio::task::spawn_local(async move {
                        if let Err(e) = life.await
                            && e.is_panic()
                        {
                            shared.bury(&stream, &words(&*e.into_panic()));
                        }
                        count.fetch_sub(1, Relaxed);
                    });
                }
            });
        })?;
        Ok(Self { births, streams })
    }

    /// Streams that live here.
    pub fn load(&self) -> usize {
        self.streams.load(Relaxed)
    }

    /// Starts a stream here. False: too many wait.
    pub fn adopt<F: Future<Output = ()> + 'static>(
        &self,
        birth: impl FnOnce() -> F + Send + 'static,
        stream: Arc<Stream>,
        shared: Arc<Shared>,
    ) -> bool {
        let adopted = self.births.try_send((Box::new(move || Box::pin(birth())), stream, shared)).is_ok();
        if adopted {
            self.streams.fetch_add(1, Relaxed);
        }
        adopted
    }
}

/// What a panic says.
fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref().copied());
    text.unwrap_or("a panic without words").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_tells_its_cause() {
        let caught = |f: fn()| words(&*std::panic::catch_unwind(f).unwrap_err());
        assert_eq!(caught(|| panic!("plain")), "plain");
        assert_eq!(caught(|| panic!("{} of {}", 1, 2)), "1 of 2");
        assert_eq!(caught(|| std::panic::panic_any(7)), "a panic without words");
    }
}
