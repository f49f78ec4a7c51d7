//! The floor: reads the source, sends each burst to each socket without blocking, and does nothing else. With several threads
//! each sends to its share of the sockets at the same time.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use rustix::net::{SendFlags, send};

/// `floor SOURCE_PORT THREADS`: prints its port, serves until killed.
pub fn main(args: &[String]) {
    let threads: usize = args[1].parse().expect("a number");
    let mut source = TcpStream::connect(("127.0.0.1", args[0].parse().expect("a port"))).expect("the source");
    source.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("the source");
    let listener: TcpListener = {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_send_buffer_size(256 << 10).expect("an option");
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        socket.listen(1024).expect("a listener");
        socket.into()
    };
    println!("{}", listener.local_addr().expect("bound").port());
    let viewers: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let joined = Arc::clone(&viewers);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _ = socket.read(&mut head);
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n");
            let _ = socket.set_nodelay(true);
            let _ = socket.set_nonblocking(true);
            joined.lock().expect("not poisoned").push(socket);
        }
    });
    let mut head = [0; 1];
    let mut end = 0;
    while end < 4 && source.read_exact(&mut head).is_ok() {
        end = if head[0] == b"\r\n\r\n"[end] { end + 1 } else { 0 };
    }
    let mut burst = vec![0; 64 << 10];
    while let Ok(n) = source.read(&mut burst) {
        if n == 0 {
            return;
        }
        let takes = |viewer: &TcpStream| {
            let sent = send(viewer, &burst[..n], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
            sent.is_ok_and(|sent| sent == n)
        };
        let mut viewers = viewers.lock().expect("not poisoned");
        if threads == 1 {
            viewers.retain(takes);
        } else {
            let share = viewers.len().div_ceil(threads).max(1);
            std::thread::scope(|scope| {
                for part in viewers.chunks(share) {
                    scope.spawn(move || part.iter().filter(|viewer| !takes(viewer)).count());
                }
            });
        }
    }
}
