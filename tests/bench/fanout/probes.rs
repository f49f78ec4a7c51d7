//! What is measured once rather than compared: joins and leaves, memory at rest, memory of those who do not read.

use std::time::Duration;

use super::{
    load::{Appetite, Load},
    runs::{Case, settle, verdict},
    server::{self, Kind, Server, tcp_kb},
};

fn percentile(all: &mut [f64], share: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Viewers who come one by one, beside 100 others.
pub fn join(probes: usize) {
    let source = server::spawn_self(&["source", "8000000", "87", "1"]);
    let server = Server::start(Kind::Yagid(None), source.port, 1);
    let case = Case::new("join", Kind::Yagid(None), 100, 8_000_000);
    let probed = settle(&server, &case)
        .and_then(|(mut load, _)| (0..probes).map(|_| load.probe(&server.paths[0])).collect::<Result<Vec<_>, _>>());
    let probed = match probed {
        Ok(probed) => probed,
        Err(why) => return println!("  void: {why}"),
    };
    let mut first: Vec<f64> = probed.iter().map(|p| p.first_byte_ms).collect();
    let mut access: Vec<f64> = probed.iter().map(|p| p.access_ms).collect();
    let mut gone: Vec<f64> = probed.iter().map(|p| p.gone_ms).collect();
    verdict("first byte, p50 ms", percentile(&mut first, 0.5), 1.0);
    verdict("first byte, p99 ms", percentile(&mut first, 0.99), 5.0);
    verdict("first random access, p50 ms", percentile(&mut access, 0.5), 1.5);
    let without = probed.iter().filter(|p| !p.pat_first).count();
    verdict("starts without a PAT first", without as f64, 0.0);
    verdict("from FIN to the end of the connection, p99 ms", percentile(&mut gone, 0.99), 100.0);
}

pub fn idle() {
    let [imported, restarted] = Server::with_channels(50_000);
    verdict("RSS after the import, MiB", imported / 1024.0, 60.0);
    verdict("RSS after a restart, MiB", restarted / 1024.0, 60.0);
}

/// Twenty streams come and go twice.
pub fn ring() {
    let source = server::spawn_self(&["source", "16000000", "87", "20"]);
    let server = Server::start(Kind::Yagid(None), source.port, 20);
    let mib = |what: &str| println!("  RSS {what}: {:.1} MiB", server.rss_kb() / 1024.0);
    mib("before");
    for _ in 0..2 {
        let mut load = Load::new(server.port);
        for (n, path) in server.paths.iter().enumerate() {
            if let Err(why) = load.connect((n, path), 1, Appetite::Whole, false) {
                return println!("  void: {why}");
            }
        }
        load.drain(Duration::from_secs(5));
        mib("with 20 streams");
        drop(load);
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(100));
            if server.streams().is_empty() {
                break;
            }
        }
        mib("after their end");
    }
}

/// Fifty who read nothing: what the kernel holds for each, both ends of the connection together.
pub fn stalled_memory() {
    const STALLED: usize = 50;
    let source = server::spawn_self(&["source", "8000000", "87", "1"]);
    let server = Server::start(Kind::Yagid(None), source.port, 1);
    let mut load = Load::new(server.port);
    let path = (0, server.paths[0].as_str());
    let run = load.connect(path, 1, Appetite::Whole, false).and_then(|()| {
        // Until the ring is full.
        load.drain(Duration::from_secs(10));
        let before = (tcp_kb(), server.rss_kb());
        load.connect(path, STALLED, Appetite::Stalled, true)?;
        load.drain(Duration::from_secs(6));
        Ok((tcp_kb() - before.0, server.rss_kb() - before.1))
    });
    match run {
        Ok((kernel, user)) => {
            verdict("kernel memory of a stalled viewer, MB", kernel / 1024.0 / STALLED as f64, 0.8);
            println!("  user memory of a stalled viewer: {:.2} KB", user / STALLED as f64);
        }
        Err(why) => println!("  void: {why}"),
    }
}
