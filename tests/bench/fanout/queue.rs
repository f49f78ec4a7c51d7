//! The common pattern: one bounded channel of chunks per viewer behind a hyper body, one task per connection.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use hyper::{Response, body::Frame, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

struct Body(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|c| Ok(Frame::data(c))))
    }
}

type Viewers = Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>;

/// `queue SOURCE_PORT`: prints its port, serves until killed.
pub fn main(args: &[String]) {
    let port: u16 = args[0].parse().expect("a port");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("bound").port());
        let viewers = Viewers::default();
        tokio::spawn(feed(port, viewers.clone()));
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            let viewers = viewers.clone();
            tokio::spawn(async move {
                let service = service_fn(move |_| {
                    let (tell, chunks) = mpsc::channel(64);
                    viewers.lock().expect("not poisoned").push(tell);
                    async { Ok::<_, Infallible>(Response::new(Body(chunks))) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
}

async fn feed(port: u16, viewers: Viewers) {
    let mut source = TcpStream::connect(("127.0.0.1", port)).await.expect("the source");
    source.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("the source");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(source.read_u8().await.expect("the source's head"));
    }
    loop {
        let mut chunk = BytesMut::with_capacity(64 << 10);
        if source.read_buf(&mut chunk).await.is_ok_and(|n| n == 0) {
            return;
        }
        let chunk = chunk.freeze();
        // A viewer whose queue is full loses the chunk, as such systems do.
        viewers
            .lock()
            .expect("not poisoned")
            .retain(|v| !matches!(v.try_send(chunk.clone()), Err(mpsc::error::TrySendError::Closed(_))));
    }
}
