//! The named scenarios: which cases each compares, and what is asked of them.

use super::{
    health, probes,
    runs::{Case, Figure, Runs},
    server::Kind,
};

pub struct Scenario {
    pub name: &'static str,
    pub what: &'static str,
    /// Rounds, and seconds of a run.
    pub run: fn(usize, u64),
}

const FLOOR: Kind = Kind::Floor(1);
const DIRECT: Kind = Kind::Yagid(Some(0));
const DEFAULT: Kind = Kind::Yagid(None);
const CPU: Figure = |r| r.cpu_per_gb;

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "burst100",
        what: "16 KB bursts to 100 viewers: floor, daemon without coalescing, queue",
        run: |r, s| burst(100, 8_000_000, r, s),
    },
    Scenario { name: "burst500", what: "the same to 500", run: |r, s| burst(500, 8_000_000, r, s) },
    Scenario { name: "burst1000", what: "the same to 1000 at 4 Mbit/s", run: |r, s| burst(1000, 4_000_000, r, s) },
    Scenario { name: "small", what: "a source of 1,316 bytes at a time, 10 ms gathered or not", run: small },
    Scenario { name: "default", what: "default settings, 8 Mbit/s, 100 and 500 viewers", run: default },
    Scenario { name: "latency", what: "the last of 100 viewers, nothing gathered", run: latency },
    Scenario { name: "memory", what: "1,000 viewers; kernel memory of stalled ones", run: memory },
    Scenario { name: "idle", what: "50,000 channels and no viewer", run: |_, _| probes::idle() },
    Scenario {
        name: "ring",
        what: "memory with streams that are watched, and after their end",
        run: |_, _| probes::ring(),
    },
    Scenario {
        name: "join",
        what: "joining a running stream, login included, and leaving it",
        run: |r, _| probes::join(100 * r),
    },
    Scenario { name: "stalled", what: "a tenth stalled and a tenth at half speed, beside 100 others", run: stalled },
    Scenario { name: "many", what: "20 streams of 50 viewers against one of 1,000", run: many },
    Scenario { name: "crowd", what: "one stream, 5,000 viewers, 0.25 Mbit/s", run: crowd },
    Scenario { name: "joins", what: "200 joins, leaves and HEADs a minute beside 20 viewers", run: joins },
    Scenario { name: "health", what: "looking at every packet of a source, without viewers", run: health::run },
    Scenario { name: "few", what: "1 and 10 viewers, where the upstream's own cost is not shared", run: few },
];

fn burst(n: usize, rate: u64, rounds: usize, seconds: u64) {
    let cases = [("floor", FLOOR), ("yagid", DIRECT), ("queue", Kind::Queue)];
    // The first filling of the ring is not what is compared.
    let case = |(name, kind)| Case { fills: true, ..Case::new(name, kind, n, rate) };
    let runs = Runs::of(cases.map(case).into(), rounds, seconds);
    runs.ratio_at_most("yagid", "floor", "CPU", CPU, 1.10);
    runs.ratio_at_most("yagid", "queue", "CPU", CPU, 0.80);
    runs.at_most("yagid", "sends per viewer and flush", |r| r.sends, 1.0);
}

fn small(rounds: usize, seconds: u64) {
    let case = |name, kind| Case { burst: 7, ..Case::new(name, kind, 100, 8_000_000) };
    let cases = vec![case("as it comes", DIRECT), case("10 ms", Kind::Yagid(Some(10)))];
    Runs::of(cases, rounds, seconds).ratio_at_most("10 ms", "as it comes", "CPU", CPU, 0.30);
}

fn default(rounds: usize, seconds: u64) {
    let cases =
        vec![Case::new("default, 100", DEFAULT, 100, 8_000_000), Case::new("default, 500", DEFAULT, 500, 8_000_000)];
    let runs = Runs::of(cases, rounds, seconds);
    runs.at_most("default, 100", "CPU-s per GB", CPU, 0.33);
    runs.at_most("default, 500", "CPU-s per GB", CPU, 0.30);
    runs.at_most("default, 100", "p99 of the last viewer, ms", |r| r.p99_ms, 60.0);
    runs.at_most("default, 500", "p99 of the last viewer, ms", |r| r.p99_ms, 60.0);
}

fn latency(rounds: usize, seconds: u64) {
    let cases = [("floor", FLOOR), ("yagid", DIRECT)];
    let runs = Runs::of(cases.map(|(name, kind)| Case::new(name, kind, 100, 8_000_000)).into(), rounds, seconds);
    runs.ratio_at_most("yagid", "floor", "p50", |r| r.p50_ms, 1.2);
    runs.ratio_at_most("yagid", "floor", "p99", |r| r.p99_ms, 1.5);
}

fn memory(rounds: usize, seconds: u64) {
    let case = Case { fills: true, ..Case::new("yagid", DEFAULT, 1000, 4_000_000) };
    let runs = Runs::of(vec![case], rounds, seconds);
    runs.at_most("yagid", "KB per viewer", |r| r.kb_per_viewer, 2.5);
    probes::stalled_memory();
}

fn stalled(rounds: usize, seconds: u64) {
    // The same number of those who keep up in both.
    let good = Case::new("all keep up", DIRECT, 80, 4_000_000);
    let runs = Runs::of(vec![good, Case { name: "10 % + 10 %", viewers: 100, bad: 10, ..good }], rounds, seconds);
    runs.ratio_at_most("10 % + 10 %", "all keep up", "CPU", CPU, 1.10);
    runs.ratio_at_most("10 % + 10 %", "all keep up", "p50", |r| r.p50_ms, 1.10);
}

fn many(rounds: usize, seconds: u64) {
    let one = Case::new("1 × 1000", DIRECT, 1000, 1_000_000);
    let runs = Runs::of(vec![one, Case { name: "20 × 50", streams: 20, viewers: 50, ..one }], rounds, seconds);
    runs.ratio_at_most("20 × 50", "1 × 1000", "CPU", CPU, 1.15);
}

fn crowd(rounds: usize, seconds: u64) {
    let case = |name, kind| Case::new(name, kind, 5000, 250_000);
    let cases = vec![
        case("floor", FLOOR),
        case("floor, two threads", Kind::Floor(2)),
        case("yagid", DIRECT),
        case("default", DEFAULT),
    ];
    // A burst comes each half a second: a short run cannot tell a missing one from one that is yet to come.
    let runs = Runs::of(cases, rounds, seconds.max(10));
    runs.ratio_at_most("yagid", "floor", "p50", |r| r.p50_ms, 0.80);
}

fn joins(rounds: usize, seconds: u64) {
    let quiet = Case::new("nobody else", DIRECT, 20, 8_000_000);
    let runs = Runs::of(vec![quiet, Case { name: "with others", churn: true, ..quiet }], rounds, seconds);
    runs.at_most("nobody else", "longest gap, ms", |r| r.gap_ms, f64::INFINITY);
    runs.at_most("with others", "longest gap, ms", |r| r.gap_ms, 50.0);
}

fn few(rounds: usize, seconds: u64) {
    let mut cases = Vec::new();
    for (name, kind, n) in [
        ("floor, 1", FLOOR, 1),
        ("yagid, 1", DEFAULT, 1),
        ("queue, 1", Kind::Queue, 1),
        ("floor, 10", FLOOR, 10),
        ("yagid, 10", DIRECT, 10),
        ("default, 10", DEFAULT, 10),
        ("queue, 10", Kind::Queue, 10),
    ] {
        // Beside so few viewers even the ring's first filling counts.
        cases.push(Case { fills: true, ..Case::new(name, kind, n, 8_000_000) });
    }
    Runs::of(cases, rounds, seconds);
}
