//! The places of a provider's account: who gets one, who is refused, and who gives one up.

use serde_json::json;
use yagi_api::{ChannelId, SourceDraft, SourceId, SourceKind, SourcePatch};

use crate::support::{
    daemon::{Account, Daemon},
    origin::{Frame, Origin, Serve},
    player::Player,
    wait_until,
};

struct Provider {
    origin: Origin,
    daemon: Daemon,
    viewer: Account,
    source: SourceId,
}

impl Provider {
    /// Three channels of one account that may have so many upstreams.
    async fn of(most: u32) -> Self {
        let (origin, daemon) = (Origin::start().await, Daemon::start().await);
        let mut list = "#EXTM3U\n".to_owned();
        for n in 1..=3 {
            origin.set(&format!("/{n}.ts"), Serve::Ts(Frame::Close));
            list += &format!("#EXTINF:-1,Channel {n}\n{}\n", origin.url(&format!("/{n}.ts")));
        }
        origin.set("/list", Serve::Answer("200 OK", "text/plain", list.into_bytes()));
        let draft = SourceDraft {
            url: origin.url("/list"),
            kind: Some(SourceKind::Playlist),
            name: Some("provider".to_owned()),
            interval_s: Some(0),
            max_upstreams: Some(most),
            ..SourceDraft::default()
        };
        let source = daemon.app.library.create_source("test", draft).await.unwrap().id;
        assert!(daemon.app.refresher.queue_and_wait(source).await.ok);
        let viewer = daemon.viewer("alice", 0).await;
        Self { origin, daemon, viewer, source }
    }

    fn channel(&self, n: usize) -> ChannelId {
        let name = format!("Channel {n}");
        self.daemon.app.library.catalog().channels().iter().find(|c| c.name == name).unwrap().id
    }

    async fn get(&self, n: usize) -> Player {
        Player::get(self.daemon.address, &self.viewer.live(self.channel(n))).await
    }

    fn upstreams(&self) -> u32 {
        (1..=3).map(|n| self.origin.open(&format!("/{n}.ts")).0).sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_account_refuses_and_says_who_has_its_places() {
    let provider = Provider::of(1).await;
    let mut first = provider.get(1).await;
    first.watch(20_000).await;
    // A second viewer of the same channel needs no place.
    let mut second = provider.get(1).await;
    second.watch(20_000).await;
    let mut refused = provider.get(2).await;
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true), "{}", refused.head);
    let text = refused.text().await;
    assert!(text.contains("provider may have 1 upstream at once; in use by Channel 1"), "{text}");
    assert_eq!(provider.upstreams(), 1);
    first.watch(20_000).await;
    first.checker.assert_continuous();
    // A raised limit applies at once.
    let patch = SourcePatch { max_upstreams: Some(2), ..SourcePatch::default() };
    provider.daemon.app.library.update_source("test", provider.source, patch).await.unwrap();
    let mut third = provider.get(2).await;
    assert_eq!(third.status, 200, "{}", third.head);
    third.watch(20_000).await;
}

/// A stream that nobody watches any more gives its place to a viewer, long before its linger is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_lingering_stream_gives_its_place_up() {
    let provider = Provider::of(1).await;
    provider.daemon.set(&[("linger_s", json!(600))]).await;
    for n in [1, 2, 3, 1] {
        let mut player = provider.get(n).await;
        assert_eq!(player.status, 200, "{}", player.head);
        player.watch(20_000).await;
        player.checker.assert_good_start();
        assert_eq!(provider.upstreams(), 1, "never two at the provider");
    }
    wait_until("one lingers", || provider.daemon.app.streams.rows().len() == 1).await;
}

/// Who leaves a channel that is still opening leaves its place too.
#[tokio::test(flavor = "multi_thread")]
async fn an_opening_that_nobody_waits_for_gives_its_place_up() {
    let provider = Provider::of(1).await;
    provider.daemon.set(&[("linger_s", json!(600))]).await;
    provider.origin.set("/2.ts", Serve::Silent);
    let path = provider.viewer.live(provider.channel(2));
    let ask = Player::get(provider.daemon.address, &path);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), ask).await.is_err());
    let mut player = provider.get(1).await;
    assert_eq!(player.status, 200, "{}", player.head);
    player.watch(20_000).await;
}

/// A place is free again however its stream ended.
#[tokio::test(flavor = "multi_thread")]
async fn no_place_outlives_its_upstream() {
    let provider = Provider::of(1).await;
    provider.daemon.hurry().await;
    for serve in [Serve::Answer("403 Forbidden", "text/plain", b"no".to_vec()), Serve::TsThenReset(50), Serve::Silent] {
        provider.origin.set("/2.ts", serve.clone());
        let hung = matches!(serve, Serve::Silent);
        if hung {
            // Given up by its viewer while it opens.
            let path = provider.viewer.live(provider.channel(2));
            let ask = Player::get(provider.daemon.address, &path);
            assert!(tokio::time::timeout(std::time::Duration::from_millis(300), ask).await.is_err());
        } else {
            drop(provider.get(2).await);
        }
        let mut player = provider.get(1).await;
        assert_eq!(player.status, 200, "after {serve:?}: {}", player.head);
        player.watch(20_000).await;
        drop(player);
        wait_until("the streams' end", || provider.daemon.app.streams.rows().is_empty()).await;
    }
    assert_eq!(provider.upstreams(), 0);
}

/// A check in the middle of its reading loses its place to a viewer: the channel counts as not checked, not as dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_gives_way_says_nothing() {
    let provider = Provider::of(1).await;
    // Enough to begin with and never a table, so that the check reads on.
    let mut bytes = vec![0xff; 188 * 20];
    bytes.chunks_exact_mut(188).for_each(|p| p[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]));
    provider.origin.set("/2.ts", Serve::Clip(bytes.into(), std::time::Duration::from_secs(20)));
    let checker = &provider.daemon.app.checker;
    assert_eq!(checker.queue([provider.channel(2)], false, "test").0, 1);
    wait_until("the check reads", || provider.origin.open("/2.ts").0 == 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let mut player = provider.get(1).await;
    assert_eq!(player.status, 200, "{}", player.head);
    player.watch(20_000).await;
    wait_until("the check gave way", || provider.origin.open("/2.ts").0 == 0).await;
    wait_until("it waits again", || checker.status(0, 10).running == 0).await;
    let status = checker.status(0, 10);
    assert_eq!((status.waiting, status.total), (1, 0), "{status:?}");
}
