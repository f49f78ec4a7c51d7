//! Streams on real pumps and sockets: what a panic in one of them ends.

use std::{
    io::Read as _,
    net::{TcpListener, TcpStream as Peer},
    sync::{Mutex, PoisonError},
};

use yagi_api::LimitPolicy;

use super::*;
use crate::{
    config::Config,
    seats::{Request, Seats},
};

static DOOMED: Mutex<Option<String>> = Mutex::new(None);

/// Called for each chunk of a stream in tests; panics in the one that was named.
pub(super) fn strike(name: &str) {
    let mut doomed = DOOMED.lock().unwrap_or_else(PoisonError::into_inner);
    if doomed.as_deref() == Some(name) {
        *doomed = None;
        drop(doomed);
        panic!("struck by the test");
    }
}

fn wanted(name: &str) -> Wanted {
    // Other headers make another stream of the same source.
    let origin = Origin {
        locator: Locator::TestCard,
        headers: vec![("x".into(), name.into())],
        account: None,
        reach: Default::default(),
    };
    Wanted { name: name.into(), channel: None, origins: vec![origin] }
}

async fn watch(streams: &Streams, seats: &Seats, name: &str) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = Peer::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (socket, from) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let request = Request {
        user: None,
        name: name.into(),
        ip: from.ip(),
        agent: String::new(),
        channel: None,
        channel_name: name.into(),
        archive: None,
        limit: 0,
        policy: LimitPolicy::Refuse,
    };
    let seat = seats.take(request, Instant::now()).unwrap();
    let ticket = streams.open(&wanted(name)).await.unwrap();
    ticket.join(tokio::net::TcpStream::from_std(socket).unwrap(), seat).await;
    peer
}

/// Reads so many bytes; false at the end.
fn read(peer: &mut Peer, bytes: usize) -> bool {
    peer.read_exact(&mut vec![0; bytes]).is_ok()
}

#[tokio::test]
async fn a_panic_ends_its_own_stream_and_nothing_else() {
    let mut config = Config::default();
    config.stream.pumps = 1;
    let streams = Streams::start(Upstreams::new(&config), &config.stream, Arc::default()).unwrap();
    let seats = Seats::default();
    let mut good = watch(&streams, &seats, "good").await;
    let mut bad = [watch(&streams, &seats, "bad").await, watch(&streams, &seats, "bad").await];
    assert!(read(&mut good, 10_000) && bad.iter_mut().all(|peer| read(peer, 10_000)));
    *DOOMED.lock().unwrap() = Some("bad".into());
    for peer in &mut bad {
        while read(peer, 1000) {}
    }
    while streams.panics() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Its seats are free, its place too; the other stream on the same thread goes on.
    assert_eq!((streams.panics(), seats.len(), streams.rows().len()), (1, 1, 1));
    assert!(read(&mut good, 200_000));
    let mut again = watch(&streams, &seats, "bad").await;
    assert!(read(&mut again, 10_000));
    streams.shutdown(Duration::from_secs(5)).await;
    assert_eq!((seats.len(), streams.panics()), (0, 1));
}
