//! The writer thread.
//!
//! Owns the one connection that writes and the state that goes with it. Must not enter: what a job does. Invariant: jobs run
//! one after the other in the order of their arrival; the queue is bounded, so a flood waits outside.

use std::{fs::File, io, thread, time::Instant};

use prometheus_client::metrics::histogram::Histogram;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

/// Waiting jobs at most; the next sender waits.
const QUEUE: usize = 64;

type Job<S> = Box<dyn FnOnce(&mut Connection, &mut S) + Send>;

enum Message<S> {
    Run(Job<S>),
    Close(oneshot::Sender<()>),
}

/// The thread has ended, or the job panicked.
#[derive(Debug)]
pub struct Closed;

/// Handle to the thread. Dropping the last one drains the queue and ends it too.
pub struct Writer<S> {
    jobs: mpsc::Sender<Message<S>>,
    /// Seconds that jobs took.
    seconds: Histogram,
}

impl<S> Clone for Writer<S> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), seconds: self.seconds.clone() }
    }
}

impl<S: Send + 'static> Writer<S> {
    pub fn spawn(conn: Connection, state: S, lock: File) -> io::Result<Self> {
        let (sender, inbox) = mpsc::channel(QUEUE);
        let seconds = Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]);
        let clock = seconds.clone();
        thread::Builder::new().name("yagid-store".to_owned()).spawn(move || serve(conn, state, inbox, lock, &clock))?;
        Ok(Self { jobs: sender, seconds })
    }

    /// How long jobs took, without their waiting.
    pub fn seconds(&self) -> Histogram {
        self.seconds.clone()
    }

    /// Runs `job` on the thread. Once sent it runs to its end, also when the caller goes away.
    pub async fn run<T, F>(&self, job: F) -> Result<T, Closed>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection, &mut S) -> T + Send + 'static,
    {
        let (message, answer) = wrap(job);
        self.jobs.send(message).await.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }

    /// The same from a thread that may block.
    pub fn run_blocking<T, F>(&self, job: F) -> Result<T, Closed>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection, &mut S) -> T + Send + 'static,
    {
        self.begin(job)?.wait()
    }

    /// Sends a job, from a thread that may block and has something else to do until it is done.
    pub fn begin<T, F>(&self, job: F) -> Result<Begun<T>, Closed>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection, &mut S) -> T + Send + 'static,
    {
        let (message, answer) = wrap(job);
        self.jobs.blocking_send(message).map_err(|_| Closed)?;
        Ok(Begun(answer))
    }

    /// Runs what is queued, checkpoints, closes the file and ends the thread.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// A job that was sent. It runs to its end, also when nobody waits.
pub struct Begun<T>(oneshot::Receiver<T>);

impl<T> Begun<T> {
    pub fn wait(self) -> Result<T, Closed> {
        self.0.blocking_recv().map_err(|_| Closed)
    }
}

fn wrap<S, T, F>(job: F) -> (Message<S>, oneshot::Receiver<T>)
where
    T: Send + 'static,
    F: FnOnce(&mut Connection, &mut S) -> T + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let run: Job<S> = Box::new(move |conn, state| {
        // Nobody waits any more: the work is done all the same.
        let _ = reply.send(job(conn, state));
    });
    (Message::Run(run), answer)
}

fn serve<S>(
    mut conn: Connection,
    mut state: S,
    mut inbox: mpsc::Receiver<Message<S>>,
    lock: File,
    seconds: &Histogram,
) {
    let mut done = None;
    while let Some(message) = inbox.blocking_recv() {
        match message {
            Message::Run(job) => {
                let began = Instant::now();
                job(&mut conn, &mut state);
                seconds.observe(began.elapsed().as_secs_f64());
            }
            Message::Close(reply) => {
                done = Some(reply);
                break;
            }
        }
    }
    let _ = conn.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);");
    if let Err((_, cause)) = conn.close() {
        tracing::warn!(%cause, "the database did not close cleanly; it recovers at the next start");
    }
    drop(lock);
    drop(inbox);
    if let Some(reply) = done {
        let _ = reply.send(());
    }
}
