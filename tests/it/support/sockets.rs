//! The connections of a double that are open, as the kernel knows them.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use rustix::{io::Errno, net::RecvFlags};
use tokio::net::TcpStream;

/// A second descriptor of a connection.
pub type Same = Arc<OwnedFd>;

#[derive(Debug, Default)]
pub struct Sockets {
    sockets: Vec<Same>,
    /// The most that were open at once.
    pub most: u32,
}

impl Sockets {
    pub fn add(&mut self, socket: &TcpStream) -> Same {
        let same = Arc::new(socket.as_fd().try_clone_to_owned().unwrap());
        self.sockets.push(Arc::clone(&same));
        self.most = self.most.max(self.now());
        same
    }

    pub fn remove(&mut self, same: &Same) {
        self.sockets.retain(|s| !Arc::ptr_eq(s, same));
    }

    /// Those that the peer has not closed. Asks the kernel: the task of a closed one may not have run yet.
    pub fn now(&self) -> u32 {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let open = |socket: &&Same| match rustix::net::recv(socket, &mut [0u8], flags) {
            Ok((came, _)) => came > 0,
            Err(e) => e == Errno::AGAIN,
        };
        self.sockets.iter().filter(open).count() as u32
    }
}
