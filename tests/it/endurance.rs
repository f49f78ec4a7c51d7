//! A thousand faults: ten streams, a hundred viewers, the real program. Run by hand, its figures are in docs/BENCHMARKS.md.
//!
//! `FAULTS=1000 PASSES=1 cargo test -p yagid --test it a_thousand_faults -- --ignored --nocapture`: `PASSES` times as many in the same program; `CALM`: seconds without faults before.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use yagi_api::{ChannelDraft, ChannelId, ChannelSource, UserDraft};

use crate::support::{
    daemon::Account,
    engine::Engine,
    faulty::{Faulty, GROUP, Mood},
    place::Admin,
    player::Player,
    process::{Process, library},
    strict::Strict,
};

const STREAMS: usize = 10;
const VIEWERS: usize = 10;
/// Streams whose first source is AceStream content.
const ACE: usize = 3;
/// What the settings below come to: the silence that is trusted, and every other fault.
const SILENCE: Duration = Duration::from_secs(1);
const DETECTION: Duration = Duration::from_millis(500);
const RATE: Duration = Duration::from_millis(800);
const GAP: Duration = Duration::from_millis(50);

/// What the viewers of one stream are told and tell.
#[derive(Default)]
struct Stage {
    /// A fault of this stream is under way: its gaps do not count.
    faulty: AtomicBool,
    gaps: AtomicU64,
    worst_us: AtomicU64,
    faults: Mutex<Vec<String>>,
    closed: AtomicU64,
    entries: AtomicU64,
}

async fn view(address: std::net::SocketAddr, path: String, stage: Arc<Stage>, stop: Arc<AtomicBool>) {
    let mut player = Player::get(address, &path).await;
    assert_eq!(player.status, 200, "{}", player.head);
    let mut strict = Strict::default();
    let (mut last, mut calm) = (Instant::now(), false);
    while !stop.load(Relaxed) {
        let piece = player.read().await;
        if piece.is_empty() {
            if !stop.load(Relaxed) {
                stage.closed.fetch_add(1, Relaxed);
            }
            break;
        }
        let gap = last.elapsed();
        last = Instant::now();
        // A gap counts if there was no fault at its beginning nor at its end.
        let calm_before = std::mem::replace(&mut calm, !stage.faulty.load(Relaxed));
        if calm && calm_before {
            stage.worst_us.fetch_max(gap.as_micros() as u64, Relaxed);
            stage.gaps.fetch_add(u64::from(gap > GAP), Relaxed);
        }
        strict.feed(&piece);
        if !strict.faults.is_empty() {
            stage.faults.lock().unwrap().append(&mut strict.faults);
        }
    }
    stage.entries.fetch_add(u64::from(strict.entries), Relaxed);
}

/// Over a connection of its own: idle ones are closed.
async fn rows(socket: &Path) -> Vec<Value> {
    let mut admin = Admin::at(socket).await;
    admin.get("/api/streams").await["rows"].as_array().unwrap().clone()
}

/// Each fault with the time until the next source played, and what the daemon says of that; how many took too long.
struct Tally {
    moods: Vec<(Mood, Duration, u64)>,
    late: u32,
}

/// When a fault should be seen.
fn due(mood: Mood) -> Duration {
    match mood {
        Mood::Stall => SILENCE,
        // It is judged by quarters of that time.
        Mood::Trickle => RATE + RATE / 4,
        Mood::End | Mood::Reset | Mood::Refuse | Mood::PageAtOpen => Duration::ZERO,
        _ => DETECTION,
    }
}

/// The program with its channels, and what their sources are.
struct Stand {
    process: Process,
    sources: Faulty,
    engine: Engine,
    channels: Vec<ChannelId>,
    account: Account,
}

impl Stand {
    async fn start() -> Self {
        let (sources, engine, dir) = (Faulty::start().await, Engine::start().await, tempfile::tempdir().unwrap());
        let library = library(dir.path());
        let mut channels = Vec::new();
        for n in 0..STREAMS {
            let mut urls = vec![sources.url(2 * n), sources.url(2 * n + 1)];
            if n < ACE {
                urls[0] = format!("acestream://{n:040x}");
            }
            let sources = urls.into_iter().map(|url| ChannelSource { url, headers: vec![] }).collect();
            let draft = ChannelDraft { name: format!("C{n}"), sources, ..ChannelDraft::default() };
            channels.push(library.create_channel("test", draft).await.unwrap().id);
        }
        let draft = UserDraft { name: "many".into(), max_connections: Some(0), ..UserDraft::default() };
        let new = library.create_user("test", draft).await.unwrap();
        let account = Account { name: new.user.name, password: new.password };
        let settings = json!({"failover_video_ms": 500, "failover_audio_ms": 500, "failover_frozen_ms": 500,
            "failover_stray_ms": 500, "failover_rate_ms": 800, "upstream_silence_s": 1, "failover_rest_s": 0});
        library.update_settings("test", settings.as_object().unwrap().clone()).await.unwrap();
        library.close().await;
        let config = dir.path().join("yagid.toml");
        std::fs::write(&config, format!("[engine]\nurl = \"{}\"\n", engine.url())).unwrap();
        let process = Process::start(dir, &["--no-demo", "--config", config.to_str().unwrap()]).await;
        Self { process, sources, engine, channels, account }
    }

    async fn rows(&self) -> Vec<Value> {
        rows(&self.process.dir.path().join("run/admin.sock")).await
    }

    /// Descriptors when none has come or gone for a second: the last ones of its start are opened with the first work.
    async fn settled(&self) -> usize {
        loop {
            let before = self.process.descriptors();
            self.rows().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.process.descriptors() == before {
                return before;
            }
        }
    }

    /// Viewers come, sources fail, viewers go.
    async fn run(&self, wanted: usize) {
        let Self { process, sources, engine, channels, account } = self;
        let idle = (self.settled().await, process.figure("Threads:"));
        let before = engine.stops().len();
        let stop = Arc::new(AtomicBool::new(false));
        let stages: Vec<Arc<Stage>> = (0..STREAMS).map(|_| Arc::default()).collect();
        let mut players = JoinSet::new();
        for (channel, stage) in channels.iter().zip(&stages) {
            for _ in 0..VIEWERS {
                stage.faulty.store(true, Relaxed);
                players.spawn(view(process.address, account.live(*channel), stage.clone(), stop.clone()));
            }
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let running = (process.descriptors(), process.figure("VmRSS:"));
        let calm = |on: bool| stages.iter().for_each(|s| s.faulty.store(!on, Relaxed));
        let gaps = || {
            let sum = |of: fn(&Stage) -> &AtomicU64| stages.iter().map(|s| of(s).swap(0, Relaxed)).collect::<Vec<_>>();
            let (n, worst) = (sum(|s| &s.gaps), sum(|s| &s.worst_us));
            (n.iter().sum::<u64>(), Duration::from_micros(worst.into_iter().max().unwrap_or(0)))
        };
        calm(true);
        let quiet_for = Duration::from_secs(std::env::var("CALM").ok().and_then(|n| n.parse().ok()).unwrap_or(20));
        tokio::time::sleep(quiet_for).await;
        println!("without faults, {quiet_for:?}: {:?} (gaps over 50 ms, the longest)", gaps());

        // Two thirds of the streams have faults, the others are watched for gaps; each in turn.
        let begun = Instant::now();
        let mut tally = Tally { moods: Vec::new(), late: 0 };
        let mut done = 0;
        let mut round = 0;
        while done < wanted {
            let hit: Vec<usize> = (0..STREAMS).filter(|n| (n + round) % 3 != 0).take(wanted - done).collect();
            let mood_of = |n: usize| Mood::FAULTS[(round + n) % Mood::FAULTS.len()];
            let mut before = self.rows().await;
            let row_of = |rows: &[Value], n: usize| {
                rows.iter()
                    .find(|r| r["channel"] == json!(channels[n].0))
                    .cloned()
                    .unwrap_or_else(|| panic!("stream {n} ended"))
            };
            // A collapse is told from what is usual, which must be known.
            let unknown = |rows: &[Value], n: usize| row_of(rows, n)["health"]["usual_bits_per_s"].is_null();
            while hit.iter().any(|n| mood_of(*n) == Mood::Trickle && unknown(&before, *n)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                before = self.rows().await;
            }
            let mut open = Vec::new();
            for n in hit {
                let row = row_of(&before, n);
                let at = row["source_index"].as_u64().unwrap() as usize;
                let mood = mood_of(n);
                stages[n].faulty.store(true, Relaxed);
                let mood = if n < ACE && at == 0 {
                    engine.cut(&format!("{n:040x}"));
                    Mood::Reset
                } else {
                    sources.set(2 * n + at, mood);
                    mood
                };
                open.push((n, at, mood, row["switches"].as_u64().unwrap(), Instant::now()));
                done += 1;
            }
            while !open.is_empty() {
                let now = self.rows().await;
                open.retain(|(n, at, mood, switches, since)| {
                    let row = row_of(&now, *n);
                    assert!(since.elapsed() < Duration::from_secs(15), "{mood:?} of source {at} of stream {n}: {row}");
                    if row["switches"].as_u64() == Some(*switches) {
                        return true;
                    }
                    let (took, told) = (since.elapsed(), row["last_switch"]["took_ms"].as_u64().unwrap());
                    tally.late += u32::from(took > due(*mood) + Duration::from_secs(1));
                    tally.moods.push((*mood, took, told));
                    sources.set(2 * n + at, Mood::Good);
                    false
                });
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // What viewers are behind by is sent; the gap of the move itself is not one of a healthy stream.
            tokio::time::sleep(GROUP).await;
            calm(true);
            tokio::time::sleep(Duration::from_millis(200)).await;
            round += 1;
        }
        let faults_for = begun.elapsed();
        let healthy = gaps();
        println!("{done} faults in {faults_for:.0?}: {healthy:?} (gaps over 50 ms of healthy streams, the longest)");
        for mood in Mood::FAULTS {
            let mut times: Vec<_> = tally.moods.iter().filter(|(m, ..)| *m == mood).collect();
            times.sort_by_key(|(_, took, _)| *took);
            let Some((_, worst, _)) = times.last() else { continue };
            let told = times.iter().map(|(.., told)| told).max().unwrap();
            println!(
                "{mood:?}: {} times, from fault to the next source median {:.0?}, longest {worst:.0?} (detection {:?}); longest from detection {told} ms",
                times.len(),
                times[times.len() / 2].1,
                due(mood),
            );
        }
        let closed: u64 = stages.iter().map(|s| s.closed.load(Relaxed)).sum();
        let illegal: Vec<String> = stages.iter().flat_map(|s| s.faults.lock().unwrap().clone()).collect();
        println!("{closed} sockets closed, {} illegal packets, {} moves late", illegal.len(), tally.late);
        println!(
            "descriptors: idle {}, with viewers {}, after the faults {}",
            idle.0,
            running.0,
            process.descriptors()
        );
        println!("RSS: with viewers {} kB, after the faults {} kB", running.1, process.figure("VmRSS:"));
        stop.store(true, Relaxed);
        while let Some(done) = players.join_next().await {
            done.unwrap();
        }
        let limit = Instant::now() + Duration::from_secs(30);
        while Instant::now() < limit
            && (!self.rows().await.is_empty() || engine.sockets() > 1 || process.descriptors() > idle.0)
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let left = (process.descriptors(), process.figure("Threads:"));
        let stops = engine.stops().split_off(before);
        println!("left: descriptors {} (idle {}), threads {} (idle {})", left.0, idle.0, left.1, idle.1);
        println!("engine sessions: {} opened, {} stopped once", stops.len(), stops.iter().filter(|n| **n == 1).count());
        let entries: u64 = stages.iter().map(|s| s.entries.load(Relaxed)).sum();
        println!("{entries} entries at {} viewers", STREAMS * VIEWERS);
        assert_eq!((closed, tally.late, healthy.0), (0, 0, 0));
        assert!(illegal.is_empty(), "{:#?}", &illegal[..illegal.len().min(10)]);
        assert!(stops.iter().all(|n| *n == 1), "{stops:?}");
        assert!((0..2 * STREAMS).all(|n| sources.open(n) == 0), "an upstream is left");
        assert!(left.0 <= idle.0 + 1 && self.rows().await.is_empty(), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn a_thousand_faults() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (faults, passes): (usize, usize) = (number("FAULTS", 1000), number("PASSES", 1));
    let stand = Stand::start().await;
    println!("RSS of the program as it is: {} kB", stand.process.figure("VmRSS:"));
    for _ in 0..passes {
        stand.run(faults).await;
        println!("RSS without streams: {} kB", stand.process.figure("VmRSS:"));
    }
}
