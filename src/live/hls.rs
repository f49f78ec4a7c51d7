//! A viewer's way to a stream in segments: playlist → session → segments.
//!
//! Owns the replies of HLS and when a session begins. Must not enter: how segments are cut, the playlist's text. Invariant: a
//! session serves only who may watch at this moment; HEAD opens nothing; a segment's bytes are read piece by piece from the
//! stream's own memory, which does not wait for anybody.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    Method, StatusCode,
    header::{self, HeaderValue},
};
use yagi_api::{OutputFormat, UserStatus};

use super::{attended, client_ip, no_stream, seat};
use crate::{
    app::App,
    clock::epoch_now,
    hls::{
        Found, Session, Who,
        playlist::{self, MEDIA_TYPE},
        token::Fault,
    },
    http::{
        Body, Reply, Request,
        reply::{reply, text},
    },
    library::{Catalog, Viewer},
    seats::End,
    stream::{Segment, Wanted},
};

/// What one read of a segment copies.
const PIECE: usize = 64 << 10;
/// Longest wait for the first segment, besides three times its length.
const FIRST: Duration = Duration::from_secs(10);

/// The playlist of a channel or content: of the session that this player has, or of a new one.
pub(super) async fn playlist(
    app: &Arc<App>,
    request: &Request,
    catalog: &Catalog,
    viewer: Option<&Arc<Viewer>>,
    wanted: Wanted,
) -> Reply {
    if request.method == Method::HEAD {
        return list(Body::Empty);
    }
    let who = Who {
        user: viewer.map(|v| v.user.id),
        channel: wanted.channel,
        content: wanted.origins.first().map(|o| o.locator.to_string()).unwrap_or_default(),
        ip: client_ip(app, request),
        agent: request.agent(),
    };
    // A player that asks twice at once gets one session.
    let door = app.hls.door(&who);
    let _alone = door.lock().await;
    let session = match app.hls.find(&who) {
        Found::Session(session) => session,
        Found::Banished => {
            let mut reply = text(StatusCode::FORBIDDEN, "this connection was ended by the administrator");
            reply.headers_mut().insert("x-yagi-reason", HeaderValue::from_static("kicked"));
            return reply;
        }
        Found::Nobody => match begin(app, request, catalog, viewer, wanted, who).await {
            Ok(session) => session,
            Err(reply) => return *reply,
        },
    };
    answer(&session, &format!("{}hls/{}/", request.up(), app.hls.token(&session)))
}

async fn begin(
    app: &Arc<App>,
    request: &Request,
    catalog: &Catalog,
    viewer: Option<&Arc<Viewer>>,
    wanted: Wanted,
    who: Who,
) -> Result<Arc<Session>, Box<Reply>> {
    let seat = seat(app, request, catalog, viewer, &wanted, None, None)?;
    let limit = FIRST + Duration::from_secs(u64::from(catalog.settings().hls_segment_s) * 3);
    let opened = attended(request, &seat, async {
        let mut watch = app.streams.open(&wanted).await?.watch();
        watch.first(limit).await.map(|_| watch)
    });
    let watch = opened.await?.map_err(|e| no_stream(app, &wanted, &e))?;
    app.hls.begin(who, seat, watch).ok_or_else(|| {
        Box::new(text(StatusCode::SERVICE_UNAVAILABLE, "too many players take segments; try again in a moment"))
    })
}

fn answer(session: &Session, place: &str) -> Reply {
    session.touch();
    match session.reel() {
        Some(reel) => list(Body::Full(playlist::write(&reel, place).into())),
        None => over(session),
    }
}

/// `/hls/{token}/{number}.ts`, and `/hls/{token}/index.m3u8` for players that keep to it.
pub fn file(app: &Arc<App>, request: &Request, token: &str, file: &str) -> Reply {
    let session = match app.hls.session(token, client_ip(app, request)) {
        Ok(session) => session,
        Err(fault @ Fault::Over) => return text(StatusCode::GONE, fault),
        Err(fault) => return text(StatusCode::FORBIDDEN, fault),
    };
    if !may_go_on(app, request, &session) {
        session.end(End::Kicked);
        return text(StatusCode::FORBIDDEN, "this account may not watch this any more");
    }
    if file == "index.m3u8" {
        return if request.method == Method::HEAD { list(Body::Empty) } else { answer(&session, "") };
    }
    let number = file.strip_suffix(".ts").and_then(|n| n.parse().ok());
    let Some(reel) = session.reel() else { return over(&session) };
    match number.and_then(|n| reel.segment(n)) {
        Some(segment) => media(request, session, segment),
        None => text(StatusCode::NOT_FOUND, "there is no such segment (any more)"),
    }
}

fn over(session: &Session) -> Reply {
    session.end(End::StreamEnded);
    text(StatusCode::GONE, Fault::Over)
}

/// Whether this session's account and permission are what they must be.
fn may_go_on(app: &App, request: &Request, session: &Session) -> bool {
    let catalog = app.library.catalog();
    let client = &session.client;
    let Some(user) = client.user else {
        return app.open_networks.load().iter().any(|n| n.contains(client_ip(app, request)));
    };
    catalog.viewer_by_id(user).is_some_and(|viewer| {
        viewer.status(epoch_now()) == UserStatus::Active
            && viewer.user.formats.contains(&OutputFormat::M3u8)
            && client.channel.is_none_or(|id| catalog.channel(id).is_some_and(|c| c.enabled && viewer.sees(c.category)))
    })
}

fn media(request: &Request, session: Arc<Session>, segment: &Arc<Segment>) -> Reply {
    let length = segment.bytes.len();
    let range = request.header(header::RANGE).and_then(|r| range(r, length));
    let (from, to) = match range {
        None => (0, length),
        Some(Some(range)) => range,
        Some(None) => {
            let mut reply = text(StatusCode::RANGE_NOT_SATISFIABLE, format_args!("the segment has {length} bytes"));
            reply.headers_mut().insert(header::CONTENT_RANGE, number(format_args!("bytes */{length}")));
            return reply;
        }
    };
    let body = if request.method == Method::HEAD {
        Body::Empty
    } else {
        session.fetches(segment.number);
        Body::Measured((to - from) as u64, pieces(session, segment, from, to))
    };
    let mut reply = reply(StatusCode::OK, "video/mp2t", body);
    if range.is_some() {
        *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
        let told = number(format_args!("bytes {from}-{}/{length}", to - 1));
        reply.headers_mut().insert(header::CONTENT_RANGE, told);
    }
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_LENGTH, (to - from).into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A part of a segment, piece by piece as the viewer takes it.
fn pieces(
    session: Arc<Session>,
    segment: &Arc<Segment>,
    from: usize,
    to: usize,
) -> Box<dyn FnMut() -> Option<Bytes> + Send> {
    let segment = Arc::downgrade(segment);
    let mut at = from;
    Box::new(move || {
        if at >= to {
            return None;
        }
        // A viewer that is slower than the stream forgets is cut off, instead of keeping the segment in memory.
        let whole = segment.upgrade()?;
        let piece = Bytes::copy_from_slice(&whole.bytes[at..to.min(at + PIECE)]);
        at += piece.len();
        session.sent(piece.len() as u64).then_some(piece)
    })
}

fn number(text: std::fmt::Arguments<'_>) -> HeaderValue {
    // Digits and a few signs are always a header's value.
    HeaderValue::from_str(&text.to_string()).unwrap_or_else(|_| HeaderValue::from_static("bytes */*"))
}

/// One range of bytes (RFC 9110 §14.1.2) as half-open bounds. Outer `None`: to be ignored; inner: not satisfiable.
#[allow(clippy::option_option, reason = "the header may be ignored, and what is not ignored may be unsatisfiable")]
fn range(header: &str, length: usize) -> Option<Option<(usize, usize)>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let bounds = match (first.trim(), last.trim()) {
        ("", last) => {
            let tail: usize = last.parse().ok()?;
            (length.saturating_sub(tail), length)
        }
        (first, "") => (first.parse().ok()?, length),
        (first, last) => {
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            if last < first {
                return None;
            }
            (first, last.saturating_add(1).min(length))
        }
    };
    Some((bounds.0 < bounds.1).then_some(bounds))
}

/// The head of a playlist's reply: never kept by anybody, because the next one differs.
fn list(body: Body) -> Reply {
    let mut reply = reply(StatusCode::OK, MEDIA_TYPE, body);
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_read_as_players_send_them() {
        for (header, expected) in [
            ("bytes=0-", Some(Some((0, 100)))),
            ("bytes=10-19", Some(Some((10, 20)))),
            ("bytes=90-500", Some(Some((90, 100)))),
            ("bytes=-30", Some(Some((70, 100)))),
            ("bytes=-300", Some(Some((0, 100)))),
            ("bytes=100-", Some(None)),
            ("bytes=-0", Some(None)),
            ("bytes=5-4", None),
            ("bytes=0-1,5-6", None),
            ("items=0-1", None),
            ("bytes=x-", None),
        ] {
            assert_eq!(range(header, 100), expected, "{header}");
        }
    }
}
