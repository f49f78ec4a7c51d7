//! Replies and their bodies.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    body::{Frame, SizeHint},
    header::{self, HeaderValue},
};
use serde::Serialize;
use tokio::sync::mpsc;

pub type Reply = Response<Body>;

/// Every body that a surface can answer with.
pub enum Body {
    Empty,
    /// Known as a whole: gets a Content-Length.
    Full(Bytes),
    /// Rendered piece by piece as the client takes it: back-pressure without a buffer. Pieces of 16–64 KiB.
    Pull(Pull),
    /// The same of a known length. Pieces that end before break the connection off.
    Measured(u64, Box<dyn FnMut() -> Option<Bytes> + Send>),
    /// Fed by a task (NDJSON watches); ends when the sender is dropped.
    Feed(mpsc::Receiver<Bytes>),
    /// Ends at once without a length: hyper writes a close-delimited head, and the socket is handed over.
    HandedOver,
}

impl Body {
    /// A body from an iterator of pieces.
    pub fn pull(mut pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Self {
        Self::Pull(Pull { next: Box::new(move || pieces.next()), breath: 0 })
    }
}

/// Pieces that are made when they are asked for.
pub struct Pull {
    next: Box<dyn FnMut() -> Option<Bytes> + Send>,
    /// Bytes since others had their turn.
    breath: usize,
}

impl Pull {
    /// So many bytes are made before other connections of the thread have their turn.
    const BREATH: usize = 512 << 10;
    /// What a piece counts at least: a packed one is short and was long before.
    const LEAST: usize = 32 << 10;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.breath >= Self::BREATH {
            self.breath = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = (self.next)();
        self.breath += piece.as_ref().map_or(0, Bytes::len).max(Self::LEAST);
        Poll::Ready(piece)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Full(text.into())
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Empty | Self::HandedOver => None,
            Self::Full(bytes) if bytes.is_empty() => None,
            Self::Full(bytes) => Some(std::mem::take(bytes)),
            Self::Pull(pull) => std::task::ready!(pull.poll(cx)),
            Self::Measured(left, next) => next().inspect(|piece| *left = left.saturating_sub(piece.len() as u64)),
            Self::Feed(feed) => std::task::ready!(feed.poll_recv(cx)),
        };
        Poll::Ready(piece.map(|p| Ok(Frame::data(p))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Measured(left, _) => *left == 0,
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Measured(left, _) => SizeHint::with_exact(*left),
            _ => SizeHint::default(),
        }
    }
}

/// A reply with a body of this media type.
pub fn reply(status: StatusCode, media: &'static str, body: impl Into<Body>) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    reply
}

/// One line of text for a person; used for errors of playlists, guides and streams.
pub fn text(status: StatusCode, line: impl std::fmt::Display) -> Reply {
    reply(status, "text/plain; charset=utf-8", Body::Full(format!("{line}\n").into()))
}

/// A value as JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(bytes) => reply(status, "application/json", Body::Full(bytes.into())),
        Err(e) => text(StatusCode::INTERNAL_SERVER_ERROR, format_args!("the reply could not be written as JSON: {e}")),
    }
}

/// 204.
pub fn no_content() -> Reply {
    let mut reply = Response::new(Body::Empty);
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}
