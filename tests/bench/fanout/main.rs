//! What it costs to hand streams to many viewers: `cargo bench --bench fanout -- SCENARIO…`; without one it tells which there are.
//!
//! Runs, interleaved and several times, the daemon and what it is measured against, each as a process of its own under the same
//! source and the same load: the *floor* (a bare non-blocking send loop of the same bytes to the same number of sockets) and the
//! *queue* pattern (one bounded channel of chunks per viewer behind hyper bodies). A run in which viewers did not get the full
//! bit rate is void and said to be. Everything stays on loopback and ends by itself.

#![allow(clippy::disallowed_methods, reason = "a bench paces itself by sleeping and ends where its options are wrong")]

#[path = "floor.rs"]
mod floor;
#[path = "health.rs"]
mod health;
#[path = "load.rs"]
mod load;
#[path = "probes.rs"]
mod probes;
#[path = "queue.rs"]
mod queue;
#[path = "runs.rs"]
mod runs;
#[path = "scenarios.rs"]
mod scenarios;
#[allow(dead_code, reason = "shared with the bench of lists")]
#[path = "server.rs"]
mod server;
#[path = "source.rs"]
mod source;

use std::env;

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    match args.first().map(String::as_str) {
        Some("source") => return source::main(&args[1..]),
        Some("floor") => return floor::main(&args[1..]),
        Some("queue") => return queue::main(&args[1..]),
        _ => {}
    }
    // Thousands of sockets here, and in what is started from here.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    let (mut rounds, mut seconds, mut names) = (3, 4, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|n| n.parse().ok()).unwrap_or_else(usage);
        match arg.as_str() {
            "--rounds" => rounds = number(),
            "--seconds" => seconds = number(),
            flag if flag.starts_with('-') => usage(),
            name => names.push(name),
        }
    }
    if names.is_empty() {
        usage::<()>();
    }
    println!(
        "{} cores; runs of {seconds} s, medians of {rounds} rounds",
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    for name in names {
        let scenario = scenarios::ALL.iter().find(|s| s.name == name).unwrap_or_else(usage);
        println!("\n{}: {}", scenario.name, scenario.what);
        (scenario.run)(rounds.max(1) as usize, seconds.max(1));
    }
}

fn usage<T>() -> T {
    eprintln!("cargo bench --bench fanout -- [--rounds 3] [--seconds 4] SCENARIO…");
    for scenario in scenarios::ALL {
        eprintln!("  {:9} {}", scenario.name, scenario.what);
    }
    std::process::exit(2)
}
