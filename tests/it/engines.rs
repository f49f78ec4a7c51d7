//! Several AceStream engines: where sessions go, and what the viewers of a failing one see.

use std::time::{Duration, Instant};

use yagi_api::{ChannelId, EngineState};

use crate::support::{
    daemon::{Account, Daemon},
    engine::Engine,
    player::Player,
    raw::PATIENCE,
    wait_until,
};

fn content(n: usize) -> String {
    format!("{n:040x}")
}

struct Pool {
    daemon: Daemon,
    viewer: Account,
    channels: Vec<ChannelId>,
}

impl Pool {
    async fn of(engines: &[&Engine], capacity: u32) -> Self {
        let urls = engines.iter().map(|e| e.url()).collect();
        let daemon = Daemon::with(|c| {
            c.engine.urls = urls;
            c.engine.capacity = capacity;
        })
        .await;
        daemon.set(&[("linger_s", 1.into()), ("upstream_silence_s", 10.into()), ("hold_s", 30.into())]).await;
        let viewer = daemon.viewer("alice", 0).await;
        let mut channels = Vec::new();
        for n in 1..=4 {
            channels.push(daemon.channel(&format!("Ace {n}"), &[&format!("acestream://{}", content(n))]).await);
        }
        Self { daemon, viewer, channels }
    }

    async fn watch(&self, n: usize) -> Player {
        let mut player = Player::get(self.daemon.address, &self.viewer.live(self.channels[n])).await;
        assert_eq!(player.status, 200, "{}", player.head);
        player.watch(20_000).await;
        player
    }

    fn states(&self) -> Vec<(EngineState, u32)> {
        self.daemon.app.upstreams.engines().iter().map(|e| (e.state, e.sessions)).collect()
    }
}

/// Each viewer goes on over the seam: nothing torn or unannounced, and its socket is the same.
async fn all_go_on(players: &mut [Player]) {
    for player in players {
        let before = player.checker.packets;
        while player.checker.packets < before + 1500 {
            player.watch(10_000).await;
        }
        let seen = &player.checker;
        assert_eq!((seen.torn, seen.jumps), (0, 0), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_spread_and_move_from_a_killed_engine() {
    let (first, second) = (Engine::start().await, Engine::start().await);
    let pool = Pool::of(&[&first, &second], 0).await;
    let mut players = Vec::new();
    for n in 0..4 {
        players.push(pool.watch(n).await);
    }
    assert_eq!((first.opened(), second.opened()), (2, 2));
    wait_until("both are up", || pool.states() == [(EngineState::Up, 2), (EngineState::Up, 2)]).await;
    let rows = pool.daemon.app.upstreams.engines();
    assert_eq!((rows[0].version.as_deref(), rows[0].name.as_str()), (Some("3.2.3"), &*first.address.to_string()));
    first.kill();
    let killed = Instant::now();
    wait_until("its streams are on the other", || second.live() == 4).await;
    let moved = killed.elapsed();
    all_go_on(&mut players).await;
    wait_until("it counts as down", || pool.states() == [(EngineState::Down, 0), (EngineState::Up, 4)]).await;
    assert!(pool.daemon.app.upstreams.engines()[0].last_error.is_some());
    // Far less alone; the machine may be busy.
    assert!(moved < Duration::from_secs(10), "{moved:?}");
    drop(players);
    wait_until("every session is stopped once", || second.stops() == [1; 4]).await;
}

/// An engine that accepts and never answers: its streams move, and nobody else waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_engine_delays_nobody_else() {
    let (first, second) = (Engine::start().await, Engine::start().await);
    let pool = Pool::of(&[&first, &second], 0).await;
    let mut players = vec![pool.watch(0).await, pool.watch(1).await];
    assert_eq!((first.opened(), second.opened()), (1, 1));
    first.hang();
    let hung = Instant::now();
    wait_until("its stream is on the other", || second.live() == 2).await;
    let moved = hung.elapsed();
    // It is known to be down now: the next ones do not even ask it.
    let asked = first.asked().len();
    for n in 2..4 {
        players.push(pool.watch(n).await);
    }
    assert_eq!(first.asked().len(), asked);
    all_go_on(&mut players).await;
    assert!(moved < Duration::from_secs(10), "{moved:?}");
}

/// An engine that answers and gives nothing: the content is opened on the other one, however loaded.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_does_not_give_is_taken_from_another() {
    let (first, second) = (Engine::start().await, Engine::start().await);
    let pool = Pool::of(&[&first, &second], 0).await;
    pool.daemon.set(&[("upstream_silence_s", 2.into())]).await;
    let mut players = Vec::new();
    for n in 0..4 {
        players.push(pool.watch(n).await);
    }
    first.fall_silent();
    wait_until("all are on the other", || second.live() == 4).await;
    all_go_on(&mut players).await;
    assert_eq!((first.opened(), second.opened()), (2, 4));
    assert!(pool.states().iter().all(|(state, _)| *state == EngineState::Up), "{:?}", pool.states());
}

/// Opened on an engine that hangs from the beginning: the other one is tried as soon as that is known.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_on_a_hung_engine_goes_elsewhere() {
    let (first, second) = (Engine::start().await, Engine::start().await);
    first.hang();
    let pool = Pool::of(&[&first, &second], 0).await;
    let begun = Instant::now();
    let player = tokio::time::timeout(PATIENCE, pool.watch(0)).await.expect("long before engine.open_timeout_s");
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(second.opened(), 1);
    drop(player);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_engines_refuse_and_a_lone_one_is_always_asked() {
    let engine = Engine::start().await;
    let pool = Pool::of(&[&engine], 1).await;
    let player = pool.watch(0).await;
    let mut refused = Player::get(pool.daemon.address, &pool.viewer.live(pool.channels[1])).await;
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    let text = refused.text().await;
    assert!(text.contains("no AceStream engine is free: 1 sessions are open"), "{text}");
    drop(player);
    wait_until("the session's end", || engine.stops() == [1]).await;
    drop(pool.watch(1).await);
}

/// What a viewer goes through: its longest pause within `watched` from the fault on; it has the stream at the end.
async fn pause_of(
    mut player: Player,
    mut fault: tokio::sync::watch::Receiver<Option<Instant>>,
    watched: Duration,
) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    loop {
        let piece = player.read().await;
        assert!(!piece.is_empty(), "a socket was closed");
        let now = Instant::now();
        if let Some(fault) = *fault.borrow_and_update() {
            longest = longest.max(now - last.max(fault));
            if now - fault > watched {
                return longest;
            }
        }
        last = now;
    }
}

/// `cargo test -p yagid --test it engine_figures -- --ignored --nocapture`: default settings, six streams with three viewers each
/// on one of two engines, which fails in each way at several moments.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn engine_figures() {
    for (how, rounds, watched) in [("killed", 4, 3), ("hangs", 4, 7), ("sends no more, and answers", 1, 14)] {
        let mut pauses = Vec::new();
        for round in 0..rounds {
            let (first, second) = (Engine::start().await, Engine::start().await);
            let urls = [&first, &second].iter().map(|e| e.url()).collect();
            let daemon = Daemon::with(|c| c.engine.urls = urls).await;
            let viewer = daemon.viewer("alice", 0).await;
            let (tell, told) = tokio::sync::watch::channel(None);
            let mut viewers = tokio::task::JoinSet::new();
            let lone = daemon.channel("Elsewhere", &["testcard:"]).await;
            for n in 1..=12 {
                let channel = daemon.channel(&format!("Ace {n}"), &[&format!("acestream://{}", content(n))]).await;
                for _ in 0..3 {
                    let mut player = Player::get(daemon.address, &viewer.live(channel)).await;
                    player.watch(20_000).await;
                    // Sessions are spread in turn: the odd ones are on the first.
                    if n % 2 == 1 {
                        viewers.spawn(pause_of(player, told.clone(), Duration::from_secs(watched)));
                    } else {
                        viewers.spawn(async move {
                            loop {
                                assert!(!player.read().await.is_empty(), "a socket was closed");
                            }
                        });
                    }
                }
            }
            assert_eq!((first.live(), second.live()), (6, 6));
            tokio::time::sleep(Duration::from_millis(1500 + 230 * round)).await;
            tell.send_replace(Some(Instant::now()));
            match how {
                "killed" => first.kill(),
                "hangs" => first.hang(),
                _ => first.fall_silent(),
            }
            // A channel that has nothing to do with it opens meanwhile.
            let begun = Instant::now();
            let mut player = Player::get(daemon.address, &viewer.live(lone)).await;
            player.watch(20_000).await;
            let opened = begun.elapsed();
            for _ in 0..18 {
                pauses.push(viewers.join_next().await.unwrap().unwrap());
            }
            let state = daemon.app.upstreams.engines()[0].state;
            println!(
                "{how}: {} sessions on the other, {state:?}; another channel opened in {opened:.0?}",
                second.live()
            );
            viewers.shutdown().await;
            daemon.stop().await;
        }
        pauses.sort();
        println!(
            "{how}: {} viewers kept; their pause median {:.2?}, longest {:.2?}",
            pauses.len(),
            pauses[pauses.len() / 2],
            pauses[pauses.len() - 1]
        );
    }
}
