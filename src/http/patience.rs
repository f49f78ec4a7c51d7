//! How long the kernel waits for a client that acknowledges nothing, and what it would take for that.
//!
//! Owns `TCP_USER_TIMEOUT` of a client's socket. Must not enter: requests, streams. Invariant: a client that owes an acknowledgement is
//! gone after [`VANISHED`]; one that owes none and only has closed its window, because it is paused, is left to whoever serves it.

use std::{os::fd::AsFd, time::Duration};

use crate::platform::is_acknowledged;

/// A client that acknowledges nothing for this long is gone. The kernel notices up to half a second later: within 20 s in all.
pub(super) const VANISHED: Duration = Duration::from_secs(19);
/// The longest that anything here waits for a client that is paused.
pub(super) const LONGEST: Duration = Duration::from_secs(20 * 60);

/// The kernel's patience with one client. To the kernel a window that stays closed is as bad as silence, even if each of its
/// probes is answered.
#[derive(Debug, Default)]
pub struct Patience(Option<Duration>);

impl Patience {
    /// A client that took something within this time is not looked at.
    pub const LOOK: Duration = Duration::from_secs(1);

    /// The client has taken nothing since the last look, and may go on so for `most`. The kernel waits a little longer than that.
    pub fn stuck(&mut self, socket: &impl AsFd, most: Duration) {
        let news = self.0 != Some(most);
        // What is no TCP socket has no such time.
        if news && is_acknowledged(socket).is_ok_and(|all| all) {
            self.0 = set(socket, most + VANISHED).then_some(most);
        }
    }

    /// The client has taken something.
    pub fn moved(&mut self, socket: &impl AsFd) {
        if self.0.take().is_some() {
            set(socket, VANISHED);
        }
    }
}

fn set(socket: &impl AsFd, time: Duration) -> bool {
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(time)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;

    /// A connection whose client reads nothing, filled; the kernel waits for half a second.
    async fn stalled(listener: &TcpListener) -> (TcpStream, TcpStream, usize) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        set(&server, Duration::from_millis(500));
        let (mut sent, begun) = (0, Instant::now());
        while begun.elapsed() < Duration::from_millis(200) {
            match server.write(&[7; 65_536]) {
                Ok(n) => sent += n,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        (server, client, sent)
    }

    #[tokio::test]
    async fn a_paused_client_is_not_taken_for_one_that_vanished() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (paused, mut reader, sent) = stalled(&listener).await;
        let (forgotten, _idle, _) = stalled(&listener).await;
        let limit = Instant::now() + Duration::from_secs(20);
        let mut patience = Patience::default();
        // The kernel ends the one whose time nobody lengthens.
        while forgotten.take_error().unwrap().is_none() {
            assert!(Instant::now() < limit, "the kernel would be patient by itself");
            patience.stuck(&paused, Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(patience.0, Some(Duration::from_secs(60)));
        assert!(paused.take_error().unwrap().is_none());
        reader.read_exact(&mut vec![0; sent]).unwrap();
        patience.moved(&paused);
        let time = socket2::SockRef::from(&paused).tcp_user_timeout().unwrap();
        assert_eq!((patience.0, time), (None, Some(VANISHED)));
    }

    #[test]
    fn who_owes_nothing_is_told_by_tcp_alone() {
        let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut patience = Patience::default();
        patience.stuck(&unix, LONGEST);
        assert_eq!(patience.0, None);
    }
}
