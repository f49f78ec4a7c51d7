//! What it costs to look at every packet of a source: framing, index, health and ring together, and health alone.

use std::time::Instant;

use yagid::stream::{
    health::Health,
    intake::Intake,
    ts::{PACKET, Packet},
};

use super::runs::verdict;

#[path = "../../it/support/mux.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod mux;

use mux::{Mux, Shape};

/// As much as is timed at once.
const BYTES: usize = 50_000_000;
/// Percent of a core at 100 Mbit/s.
const LIMIT: f64 = 3.0;

pub fn run(rounds: usize, _seconds: u64) {
    let bytes = Mux::new(Shape::default(), 1).bytes(BYTES);
    let packets = bytes.len() / PACKET;
    let now = Instant::now();
    let whole = median(rounds, || {
        let mut intake = Intake::new(8 << 20).expect("memory for a ring");
        for chunk in bytes.chunks(16 << 10) {
            intake.push(chunk, now);
        }
        assert!(intake.health().packets() + 10 >= packets as u64, "not every packet was looked at");
    });
    let mut known = Intake::new(8 << 20).expect("memory for a ring");
    known.push(&bytes[..400_000], now);
    let alone = median(rounds, || {
        let mut health = Health::default();
        for packet in bytes.chunks_exact(PACKET) {
            health.look(Packet(packet), now);
            health.follow(known.index().tables());
        }
        assert_eq!(health.report(None, now).continuity_errors, 0, "the made stream is legal");
    });
    let percent = |seconds: f64| seconds / bytes.len() as f64 * 100e6 / 8.0 * 100.0;
    for (what, time) in [("framing, index, health and ring", whole), ("health alone", alone)] {
        println!("  {what}: {:.1} ns a packet", time / packets as f64 * 1e9);
    }
    verdict("health alone: % of a core at 100 Mbit/s", percent(alone), LIMIT);
    verdict("with framing, index and ring: % of a core at 100 Mbit/s", percent(whole), LIMIT);
}

/// Seconds of a run, the first one apart.
fn median(rounds: usize, mut run: impl FnMut()) -> f64 {
    run();
    let timed = |_| {
        let begun = Instant::now();
        run();
        begun.elapsed().as_secs_f64()
    };
    let mut times: Vec<f64> = (0..3 * rounds).map(timed).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
