//! What it costs to hand one stream to many viewers: `cargo bench --bench fanout [-- OPTIONS]`.
//!
//! Runs, interleaved and several times, the daemon, the *floor* (a bare non-blocking send loop of the same bytes to the same
//! number of sockets) and the *queue* pattern (one bounded channel of chunks per viewer behind hyper bodies), each as a
//! process of its own under the same source and the same load, and prints medians of server CPU per GB delivered, user
//! memory per viewer and latency, with ratios. A run in which viewers did not get the full bit rate is void and said to be.
//! Everything stays on loopback and ends by itself.

#![allow(clippy::disallowed_methods, reason = "a bench paces itself by sleeping and ends where its options are wrong")]

#[path = "floor.rs"]
mod floor;
#[path = "load.rs"]
mod load;
#[path = "queue.rs"]
mod queue;
#[path = "server.rs"]
mod server;
#[path = "source.rs"]
mod source;

use std::{collections::BTreeMap, env, time::Duration};

use server::{Kind, Server};

/// Packets of 188 bytes in 16 KB.
const BURST: usize = 87;

struct Options {
    viewers: Vec<usize>,
    /// Bits per second.
    rate: u64,
    /// Packets that the source sends at a time.
    burst: usize,
    seconds: u64,
    rounds: usize,
    servers: Vec<Kind>,
}

/// What one run gave.
#[derive(Clone, Copy, Default)]
struct Run {
    cpu_per_gb: f64,
    kb_per_viewer: f64,
    p50_us: f64,
    p99_us: f64,
    first_us: f64,
}

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    match args.first().map(String::as_str) {
        Some("source") => return source::main(&args[1..]),
        Some("floor") => return floor::main(&args[1..]),
        Some("queue") => return queue::main(&args[1..]),
        _ => {}
    }
    let options = parse(&args);
    println!(
        "{} Mbit/s, bursts of {} bytes, {} s a run, median of {} rounds; cores: {}",
        options.rate as f64 / 1e6,
        options.burst * 188,
        options.seconds,
        options.rounds,
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    println!(
        "{:>5} {:14} {:>9} {:>8} {:>10} {:>9} {:>9} {:>9}",
        "N", "server", "CPU-s/GB", "x floor", "KB/viewer", "p50 ms", "p99 ms", "first ms"
    );
    for n in &options.viewers {
        let mut runs: BTreeMap<Kind, Vec<Run>> = BTreeMap::new();
        let mut void = 0;
        for _ in 0..options.rounds {
            for kind in &options.servers {
                match measure(*kind, *n, &options) {
                    Ok(run) => runs.entry(*kind).or_default().push(run),
                    Err(why) => {
                        void += 1;
                        println!("{n:>5} {:14} void: {why}", kind.name());
                    }
                }
            }
        }
        let floor = runs.get(&Kind::Floor).map(|r| median(r, |r| r.cpu_per_gb));
        for kind in &options.servers {
            let Some(runs) = runs.get(kind) else { continue };
            let cpu = median(runs, |r| r.cpu_per_gb);
            println!(
                "{n:>5} {:14} {cpu:>9.3} {:>8} {:>10.2} {:>9.2} {:>9.2} {:>9.2}",
                kind.name(),
                floor.map_or("-".to_owned(), |f| format!("{:.2}", cpu / f)),
                median(runs, |r| r.kb_per_viewer),
                median(runs, |r| r.p50_us) / 1000.0,
                median(runs, |r| r.p99_us) / 1000.0,
                median(runs, |r| r.first_us) / 1000.0,
            );
        }
        if void > 0 {
            println!("{n:>5} {void} void runs are left out");
        }
    }
}

fn median(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    let mut all: Vec<f64> = runs.iter().map(figure).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// One server, one load.
fn measure(kind: Kind, viewers: usize, options: &Options) -> Result<Run, String> {
    let source = server::spawn_self(&["source", &options.rate.to_string(), &options.burst.to_string()]);
    let server = Server::start(kind, source.port);
    let mut load = load::Load::new(server.port, &server.path);
    load.connect(1, Duration::from_secs(10))?;
    load.drain(Duration::from_millis(1000));
    // The ring fills: what grows afterwards is the viewers'.
    let mut rss = server.rss_kb();
    for _ in 0..30 {
        load.drain(Duration::from_millis(500));
        let before = std::mem::replace(&mut rss, server.rss_kb());
        if rss - before < 64.0 {
            break;
        }
    }
    load.connect(viewers - 1, Duration::from_secs(20))?;
    // The joiners' bursts are over when everybody is at the live edge.
    load.drain(Duration::from_millis(2500));
    let cpu = server.cpu_seconds();
    let window = load.measure(Duration::from_secs(options.seconds));
    let cpu = server.cpu_seconds() - cpu;
    let rss = server.rss_kb() - rss;
    let expected = options.rate as f64 / 8.0 * window.seconds;
    if let Some(worst) = window.bytes.iter().min().filter(|b| (**b as f64) < expected * 0.97) {
        return Err(format!("a viewer got {:.0} % of the bit rate", *worst as f64 / expected * 100.0));
    }
    if window.faults > 0 {
        return Err(format!("{} gaps, torn or doubled packets at checked viewers", window.faults));
    }
    let total: u64 = window.bytes.iter().sum();
    Ok(Run {
        cpu_per_gb: cpu / (total as f64 / 1e9),
        kb_per_viewer: if viewers > 1 { rss / (viewers - 1) as f64 } else { 0.0 },
        p50_us: window.percentile(0.5),
        p99_us: window.percentile(0.99),
        first_us: load.first_byte_us(30)?,
    })
}

fn parse(args: &[String]) -> Options {
    let mut options = Options {
        viewers: vec![1, 10, 100, 500],
        rate: 8_000_000,
        burst: BURST,
        seconds: 5,
        rounds: 3,
        servers: vec![Kind::Floor, Kind::YagidDirect, Kind::Yagid, Kind::Queue],
    };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().unwrap_or_else(|| usage(flag));
        let number = || value.parse::<f64>().unwrap_or_else(|_| usage(flag));
        match flag.as_str() {
            "--viewers" => {
                options.viewers = value.split(',').map(|n| n.parse().unwrap_or_else(|_| usage(flag))).collect()
            }
            "--mbit" => options.rate = (number() * 1e6) as u64,
            "--burst" => options.burst = (number() as usize / 188).max(1),
            "--seconds" => options.seconds = number() as u64,
            "--rounds" => options.rounds = number() as usize,
            "--servers" => {
                options.servers = value.split(',').map(|s| Kind::from_name(s).unwrap_or_else(|| usage(flag))).collect()
            }
            _ => usage(flag),
        }
    }
    options
}

fn usage<T>(flag: &str) -> T {
    eprintln!(
        "{flag}: expected --viewers 1,10,100 --mbit 8 --burst 16356 --seconds 5 --rounds 3 --servers floor,yagid-direct,yagid,queue"
    );
    std::process::exit(2)
}
