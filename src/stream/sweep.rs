//! The sweep: the same bytes to every viewer that keeps up.
//!
//! Owns the walk over the row and how many threads walk it. Must not enter: cursors, seats, what becomes of a viewer that
//! could not take all. Invariant: each viewer of the row is written to once, by one thread, and all threads are done when it
//! returns.

use std::{
    net::TcpStream,
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use rustix::io::Errno;

use super::subscriber::send;

/// Viewers for each thread at least: a thousand take about 5 ms; another thread costs some 50 µs and a core.
const WORTH: usize = 1_000;
/// Viewers that a thread takes at a time: small, so that one which the system lets wait holds up nobody.
const STEP: usize = 64;
/// `send` and what it calls here need a fraction of it.
const STACK: usize = 128 << 10;

/// All that a sweep has to know of a viewer: the memory that it walks is eight bytes each.
pub struct Level {
    pub socket: TcpStream,
    pub key: u32,
}

/// One of the row that did not take all.
#[derive(Debug, PartialEq, Eq)]
pub struct Short {
    pub place: usize,
    pub wrote: Result<usize, Errno>,
}

/// Writes both pieces to each of the row, on up to `threads` threads; tells those that did not take all, in the row's order.
pub fn sweep(row: &[Level], threads: usize, a: &[u8], b: &[u8]) -> Vec<Short> {
    walk(row, threads.min(row.len() / WORTH), a, b)
}

fn walk(row: &[Level], threads: usize, a: &[u8], b: &[u8]) -> Vec<Short> {
    let next = AtomicUsize::new(0);
    let part = || {
        let mut short = Vec::new();
        loop {
            let from = next.fetch_add(STEP, Relaxed);
            let Some(rest) = row.get(from..).filter(|rest| !rest.is_empty()) else { return short };
            for (place, level) in (from..).zip(rest.iter().take(STEP)) {
                let wrote = write(&level.socket, a, b);
                if wrote != Ok(a.len() + b.len()) {
                    short.push(Short { place, wrote });
                }
            }
        }
    };
    if threads <= 1 {
        return part();
    }
    let mut short = thread::scope(|scope| {
        // Where the system gives no thread the others walk its part.
        let start = || thread::Builder::new().name("sweep".to_owned()).stack_size(STACK).spawn_scoped(scope, part).ok();
        let others: Vec<_> = (1..threads).filter_map(|_| start()).collect();
        let mut short = part();
        for other in others {
            short.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        short
    });
    short.sort_unstable_by_key(|s| s.place);
    short
}

fn write(socket: &TcpStream, a: &[u8], b: &[u8]) -> Result<usize, Errno> {
    loop {
        match send(socket, &[], a, b) {
            Err(Errno::INTR) => {}
            wrote => return wrote,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        net::{Shutdown, TcpListener},
    };

    use super::*;

    const CROWD: usize = 6 * STEP;

    /// Connections and what is at their other ends.
    fn pairs(n: usize) -> (Vec<TcpStream>, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (0..n).map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0)).unzip()
    }

    /// A row of some steps, in which each connection stands for many viewers.
    fn crowd(few: &[TcpStream]) -> Vec<Level> {
        let cycle = few.iter().cycle().take(CROWD);
        (0..).zip(cycle).map(|(key, socket)| Level { socket: socket.try_clone().unwrap(), key }).collect()
    }

    #[test]
    fn each_is_written_to_once_whoever_walks() {
        let (few, peers) = pairs(4);
        let row = crowd(&few);
        for threads in [1, 2, 4] {
            assert_eq!(walk(&row, threads, b"ab", b"c"), [], "{threads} threads");
            for mut peer in &peers {
                let mut got = vec![0; 3 * CROWD / 4];
                peer.read_exact(&mut got).unwrap();
                assert_eq!(got, b"abc".repeat(CROWD / 4), "{threads} threads");
            }
        }
        drop((row, few));
        for mut peer in peers {
            assert_eq!(peer.read(&mut [0]).unwrap(), 0, "nothing came beyond");
        }
    }

    #[test]
    fn who_could_not_take_all_is_told_by_place() {
        let (few, peers) = pairs(4);
        few[2].shutdown(Shutdown::Write).unwrap();
        let row = crowd(&few);
        let gone: Vec<_> = (2..CROWD).step_by(4).map(|place| Short { place, wrote: Err(Errno::PIPE) }).collect();
        for threads in [1, 4] {
            assert_eq!(walk(&row, threads, b"abc", b""), gone, "{threads} threads");
        }
        drop(peers);
    }
}
