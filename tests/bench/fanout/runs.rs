//! Cases that are run interleaved, their table, and whether targets hold.

use std::time::Duration;

use super::{
    load::{Appetite, Load},
    server::{self, Kind, Server},
};

/// Packets of 188 bytes in 16 KB.
pub const BURST: usize = 87;

/// One server under one load.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub kind: Kind,
    pub streams: usize,
    /// Of each stream.
    pub viewers: usize,
    /// Bits per second of each stream.
    pub rate: u64,
    /// Packets that the source sends at a time.
    pub burst: usize,
    /// In a hundred, of each: viewers that stall and viewers that read at half the bit rate, beside the others.
    pub bad: usize,
    pub churn: bool,
    /// Waits until the ring is full, so that what grows afterwards is the viewers'.
    pub fills: bool,
}

impl Case {
    pub const fn new(name: &'static str, kind: Kind, viewers: usize, rate: u64) -> Self {
        Self { name, kind, streams: 1, viewers, rate, burst: BURST, bad: 0, churn: false, fills: false }
    }
}

/// What one run gave.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub cpu_per_gb: f64,
    pub kb_per_viewer: f64,
    /// Ages of bursts at the last viewer.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub gap_ms: f64,
    pub sends: f64,
    pub waits: f64,
}

pub type Figure = fn(&Run) -> f64;

/// Runs of each case, round by round; a void run is none.
pub struct Runs {
    cases: Vec<Case>,
    runs: Vec<Vec<Option<Run>>>,
}

fn median(mut all: Vec<f64>) -> f64 {
    all.retain(|f| f.is_finite());
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Runs {
    /// Runs the cases one after the other, so many times, and prints their medians.
    pub fn of(cases: Vec<Case>, rounds: usize, seconds: u64) -> Self {
        let mut runs = vec![Vec::new(); cases.len()];
        for _ in 0..rounds {
            for (case, runs) in cases.iter().zip(&mut runs) {
                runs.push(run(case, seconds).inspect_err(|why| println!("  {}: void: {why}", case.name)).ok());
            }
        }
        println!(
            "  {:30} {:>6} {:>7} {:>9} {:>8} {:>8} {:>8} {:>10} {:>8} {:>8}",
            "", "N", "Mbit/s", "CPU-s/GB", "p50 ms", "p99 ms", "gap ms", "KB/viewer", "sends", "waits"
        );
        let this = Self { cases, runs };
        for (n, case) in this.cases.iter().enumerate() {
            let f = |figure: Figure| this.median(n, figure);
            let cell = |width: usize, digits: usize, value: f64| match value.is_finite() {
                true => format!("{value:>width$.digits$}"),
                false => format!("{:>width$}", ""),
            };
            println!(
                "  {:30} {:>6} {:>7} {} {} {} {} {} {} {}",
                case.name,
                case.viewers * case.streams,
                case.rate as f64 / 1e6,
                cell(9, 3, f(|r| r.cpu_per_gb)),
                cell(8, 2, f(|r| r.p50_ms)),
                cell(8, 2, f(|r| r.p99_ms)),
                cell(8, 1, f(|r| r.gap_ms)),
                cell(10, 2, f(|r| r.kb_per_viewer)),
                cell(8, 3, f(|r| r.sends)),
                cell(8, 4, f(|r| r.waits)),
            );
        }
        this
    }

    fn median(&self, case: usize, figure: Figure) -> f64 {
        median(self.runs[case].iter().flatten().map(figure).collect())
    }

    /// Says whether a figure of a case is at most so much.
    pub fn at_most(&self, case: &str, what: &str, figure: Figure, limit: f64) {
        verdict(&format!("{case}: {what}"), self.median(self.place(case), figure), limit);
    }

    /// The same of its ratio to another case's, within each round.
    pub fn ratio_at_most(&self, case: &str, other: &str, what: &str, figure: Figure, limit: f64) {
        let (a, b) = (&self.runs[self.place(case)], &self.runs[self.place(other)]);
        let ratios = a.iter().zip(b).filter_map(|(a, b)| Some(figure(a.as_ref()?) / figure(b.as_ref()?)));
        verdict(&format!("{case} : {other}, {what}"), median(ratios.collect()), limit);
    }

    fn place(&self, name: &str) -> usize {
        self.cases.iter().position(|c| c.name == name).expect("a case of this scenario")
    }
}

pub fn verdict(what: &str, value: f64, limit: f64) {
    let word = if value <= limit {
        "holds"
    } else if value.is_nan() {
        "NO FIGURE"
    } else {
        "FALLS SHORT"
    };
    println!("  {what}: {value:.3} (at most {limit}): {word}");
}

/// Brings a stream with its viewers to the live edge.
pub fn settle(server: &Server, case: &Case) -> Result<(Load, f64), String> {
    let mut load = Load::new(server.port);
    let one = |s: usize| (s, server.paths[s].as_str());
    for stream in 0..case.streams {
        load.connect(one(stream), 1, Appetite::Whole, false)?;
    }
    let mut rss = server.rss_kb();
    for _ in 0..if case.fills { 90 } else { 0 } {
        load.drain(Duration::from_millis(500));
        let before = std::mem::replace(&mut rss, server.rss_kb());
        if rss - before < 48.0 {
            break;
        }
    }
    let bad = case.viewers * case.bad / 100;
    for stream in 0..case.streams {
        load.connect(one(stream), bad, Appetite::Stalled, false)?;
        load.connect(one(stream), bad, Appetite::Half(case.rate as f64 / 8.0), false)?;
        load.connect(one(stream), case.viewers - 1 - 2 * bad, Appetite::Whole, stream + 1 == case.streams)?;
    }
    // The joiners' bursts are over when everybody is at the live edge.
    load.drain(Duration::from_millis(2500));
    Ok((load, rss))
}

fn run(case: &Case, seconds: u64) -> Result<Run, String> {
    let source =
        server::spawn_self(&["source", &case.rate.to_string(), &case.burst.to_string(), &case.streams.to_string()]);
    let server = Server::start(case.kind, source.port, case.streams);
    let (mut load, rss) = settle(&server, case)?;
    if case.churn {
        load.churn(&server.paths[0]);
    }
    let counted = |server: &Server| {
        let rows = server.streams();
        (rows.iter().map(|r| r.sends).sum::<u64>(), rows.iter().map(|r| r.flushes).sum::<u64>())
    };
    // Asking costs the server too: it is asked outside of what is measured.
    let before = counted(&server);
    let (cpu, waits) = (server.cpu_seconds(), server.waits());
    let window = load.measure(Duration::from_secs(seconds));
    let (cpu, waits, after) = (server.cpu_seconds() - cpu, server.waits() - waits, counted(&server));
    let rss = server.rss_kb() - rss;
    let expected = case.rate as f64 / 8.0 * window.seconds;
    let share = window.least as f64 / expected;
    if share < 0.97 {
        return Err(format!("a viewer got {:.0} % of the bit rate", share * 100.0));
    }
    if window.faults > 0 {
        return Err(format!("{} gaps, torn or doubled packets at checked viewers", window.faults));
    }
    let flushes = (after.1 - before.1) as f64;
    let keep_up = (case.viewers - 2 * (case.viewers * case.bad / 100)) as f64;
    Ok(Run {
        cpu_per_gb: cpu / (window.total as f64 / 1e9),
        kb_per_viewer: if case.fills { rss / (case.viewers * case.streams - case.streams) as f64 } else { f64::NAN },
        p50_ms: window.percentile_ms(0.5),
        p99_ms: window.percentile_ms(0.99),
        gap_ms: window.gap_ms,
        sends: (after.0 - before.0) as f64 / flushes / keep_up,
        waits: waits / flushes / keep_up,
    })
}
