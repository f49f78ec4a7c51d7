//! UDP and RTP inputs, over multicast and unicast on the loopback interface.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::{
    clients::{has, probe, words},
    support::{Guard, daemon::Daemon, player::Player, ts::Generator, wait_until},
};

/// How a sender behaves.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
enum Send {
    Plain,
    Rtp,
    /// RTP, shuffled and doubled.
    Messy,
    /// RTP, one of fifty missing.
    Lossy,
    Silent,
}

const ALL: [Send; 5] = [Send::Plain, Send::Rtp, Send::Messy, Send::Lossy, Send::Silent];

struct Sender {
    to: SocketAddr,
    how: Arc<AtomicU8>,
    _task: Guard,
}

/// A port that nobody uses, and a group of its own.
fn place() -> SocketAddr {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [high, low] = free.port().to_be_bytes();
    SocketAddr::new(Ipv4Addr::new(239, 255, high, low).into(), free.port())
}

impl Sender {
    /// Numbered TS at about 1.5 Mbit/s, seven packets in a datagram.
    fn start(to: SocketAddr, how: Send) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        socket.set_multicast_loop_v4(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = tokio::net::UdpSocket::from_std(socket.into()).unwrap();
        let how = Arc::new(AtomicU8::new(how as u8));
        let told = how.clone();
        let task = tokio::spawn(async move {
            let (mut generator, mut number) = (Generator::new(200, 1_500_000), 65_500u16);
            let (mut rest, mut late) = (Vec::new(), Vec::new());
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            loop {
                tick.tick().await;
                rest.extend(generator.packets(12));
                let how = ALL[usize::from(told.load(Relaxed))];
                while rest.len() >= 7 * 188 {
                    let payload: Vec<u8> = rest.drain(..7 * 188).collect();
                    number = number.wrapping_add(1);
                    let [high, low] = number.to_be_bytes();
                    let rtp = [&[0x80, 33, high, low, 0, 0, 0, 0, 0, 0, 0, 7], &payload[..]].concat();
                    let datagrams = match how {
                        Send::Silent => vec![],
                        Send::Plain => vec![payload],
                        Send::Rtp => vec![rtp],
                        Send::Lossy if number.is_multiple_of(50) => vec![],
                        Send::Lossy => vec![rtp],
                        // Every third one comes two later, and each twice.
                        Send::Messy if number.is_multiple_of(3) => {
                            late.push(rtp);
                            vec![]
                        }
                        Send::Messy if number % 3 == 2 => [vec![rtp.clone(), rtp], std::mem::take(&mut late)].concat(),
                        Send::Messy => vec![rtp],
                    };
                    for datagram in datagrams {
                        // Nobody may be there yet.
                        let _ = socket.send_to(&datagram, to).await;
                    }
                }
            }
        });
        Self { to, how, _task: Guard::of(task) }
    }

    fn set(&self, how: Send) {
        self.how.store(how as u8, Relaxed);
    }

    fn url(&self, scheme: &str, source: &str) -> String {
        format!("{scheme}://{source}@{}?interface=127.0.0.1", self.to)
    }
}

/// Sockets of this machine that are bound to a group's address.
fn sockets_of(to: SocketAddr) -> usize {
    let SocketAddr::V4(to) = to else { return 0 };
    let word = format!("{:08X}:{:04X}", u32::from_be_bytes(to.ip().octets()).swap_bytes(), to.port());
    std::fs::read_to_string("/proc/net/udp").unwrap().lines().filter(|l| l.contains(&word)).count()
}

async fn watching(daemon: &Daemon, url: &str) -> Player {
    let viewer = daemon.viewer(&format!("v{}", daemon.app.library.catalog().rev), 0).await;
    let channel = daemon.channel("One", &[url]).await;
    Player::get(daemon.address, &viewer.live(channel)).await
}

fn said(daemon: &Daemon) -> String {
    daemon.app.streams.rows().first().and_then(|row| row.engine.clone()).unwrap_or_default()
}

/// Ten viewers of a group are one membership, which ends with the last of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_joined_once() {
    let (daemon, sender) =
        (Daemon::with(|c| c.upstream.multicast_rejoin_s = 1).await, Sender::start(place(), Send::Plain));
    daemon.hurry().await;
    let viewer = daemon.viewer("alice", 0).await;
    let channel = daemon.channel("One", &[&sender.url("udp", "")]).await;
    let mut players = Vec::new();
    for _ in 0..10 {
        let player = Player::get(daemon.address, &viewer.live(channel)).await;
        assert_eq!(player.status, 200, "{}", player.head);
        players.push(player);
    }
    for player in &mut players {
        // Longer than two renewals of the membership.
        player.watch(500_000).await;
        player.checker.assert_good_start();
        player.checker.assert_continuous();
    }
    assert_eq!(sockets_of(sender.to), 1);
    assert_eq!(said(&daemon), "UDP");
    drop(players);
    wait_until("the membership's end", || sockets_of(sender.to) == 0).await;
}

/// Plain and RTP are told apart by looking, whatever the address says; source-specific and unicast too.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_sender_is_received() {
    let unicast = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut specific = place();
    specific.set_ip(Ipv4Addr::new(232, 1, 2, 3).into());
    for (to, how, scheme, source) in [
        (place(), Send::Rtp, "udp", ""),
        (place(), Send::Plain, "rtp", ""),
        (specific, Send::Rtp, "rtp", "127.0.0.1"),
        (unicast, Send::Plain, "udp", ""),
    ] {
        let (daemon, sender) = (Daemon::start().await, Sender::start(to, how));
        let mut player = watching(&daemon, &sender.url(scheme, source)).await;
        assert_eq!(player.status, 200, "{to}: {}", player.head);
        player.watch(100_000).await;
        player.checker.assert_good_start();
        player.checker.assert_continuous();
    }
}

/// Disorder and doubling are repaired; loss is counted and shown.
#[tokio::test(flavor = "multi_thread")]
async fn sequence_numbers_repair_what_they_can() {
    let (daemon, sender) = (Daemon::start().await, Sender::start(place(), Send::Messy));
    let mut player = watching(&daemon, &sender.url("rtp", "")).await;
    assert_eq!(player.status, 200, "{}", player.head);
    player.watch(300_000).await;
    player.checker.assert_continuous();
    wait_until("the repairs are shown", || {
        let words = said(&daemon);
        words.starts_with("RTP, 0 lost, ") && words.contains(" reordered, ") && words.contains(" doubled")
    })
    .await;
    sender.set(Send::Lossy);
    wait_until("the loss is shown", || !said(&daemon).starts_with("RTP, 0 lost")).await;
    player.watch(100_000).await;
    assert_eq!((player.checker.torn, player.checker.doubled), (0, 0));
}

/// A group where nothing comes, or something else, is an answer in time; one that falls silent is repaired.
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_told_and_repaired() {
    let daemon = Daemon::with(|c| c.upstream.first_byte_timeout_s = 1).await;
    daemon.hurry().await;
    let sender = Sender::start(place(), Send::Silent);
    let mut player = watching(&daemon, &sender.url("udp", "")).await;
    assert_eq!(player.status, 504);
    assert!(player.text().await.contains("first datagram"));
    let mut player = watching(&daemon, &sender.url("udp", "").replace("127.0.0.1", "no-such-0")).await;
    assert_eq!(player.status, 502);
    assert!(player.text().await.contains("there is no interface no-such-0"));
    sender.set(Send::Rtp);
    let mut player = watching(&daemon, &sender.url("udp", "")).await;
    player.watch(50_000).await;
    sender.set(Send::Silent);
    wait_until("the silence is seen", || daemon.app.streams.rows().iter().any(|r| r.reconnects > 0)).await;
    sender.set(Send::Rtp);
    player.watch(100_000).await;
    assert_eq!((player.checker.torn, player.checker.doubled, player.checker.jumps), (0, 0, 0));
}

/// What ffmpeg sends, plain and as RTP, is what ffprobe gets from our URL.
#[tokio::test(flavor = "multi_thread")]
async fn what_ffmpeg_sends_is_played() {
    if !has("ffmpeg") || !has("ffprobe") {
        return;
    }
    for (format, scheme) in [("mpegts", "udp"), ("rtp_mpegts", "rtp")] {
        let (daemon, to) = (Daemon::start().await, place());
        let inputs = "-v error -re -f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=frequency=440";
        let codecs = "-c:v libx264 -preset ultrafast -g 25 -c:a aac -t 60 -f";
        let mut sender = tokio::process::Command::new("ffmpeg");
        sender.args(words(inputs)).args(words(codecs)).arg(format);
        sender.arg(format!("{scheme}://{to}?pkt_size=1316&ttl=1&localaddr=127.0.0.1"));
        let _sender = sender.stdin(std::process::Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let viewer = daemon.viewer("alice", 0).await;
        let channel = daemon.channel("One", &[&format!("{scheme}://@{to}?interface=127.0.0.1")]).await;
        let url = daemon.url(&viewer.live(channel));
        let found = tokio::time::timeout(Duration::from_secs(60), probe(&url)).await.unwrap();
        let names: Vec<_> = found.iter().map(|(kind, codec)| (kind.as_str(), codec.as_str())).collect();
        assert_eq!(names, [("audio", "aac"), ("video", "h264")], "{scheme}");
    }
}
