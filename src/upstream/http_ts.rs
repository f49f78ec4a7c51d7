//! MPEG-TS over HTTP: asks, looks at what comes, and hands the bytes on.
//!
//! Owns the judgement whether an answer is a stream, or a playlist of one. Must not enter: packets (the ring aligns them),
//! reconnecting (the stream decides). Invariant: a [`Body`] exists only when media bytes have come; a web page never is one.

use std::{os::fd::OwnedFd, time::Duration};

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header};
use tokio::time::{Instant, timeout_at};
use yagi_api::text::clean;

use super::{
    UpstreamError, dial, hls,
    outbound::{Outbound, Reach},
};
use crate::secret::hide;

/// What is looked at to tell media from text; also all that is kept until it is told.
const SNIFF: usize = 8 << 10;
const SYNC: u8 = 0x47;
/// Sync bytes in a row that are proof enough.
const PROOF: usize = 8;
/// Packet distances: plain, with a time stamp before (M2TS), with a checksum behind.
const STRIDES: [usize; 3] = [188, 192, 204];

/// A stream to be asked for.
pub struct Request {
    ask: dial::Ask,
    wait: Duration,
}

impl Request {
    pub(super) fn new(
        url: &str,
        headers: &[(String, String)],
        reach: Reach,
        outbound: &Outbound,
    ) -> Result<Self, UpstreamError> {
        let ask = dial::Ask::new(url)?.with_headers(headers)?.reaching(reach);
        Ok(Self { ask, wait: outbound.first_byte_timeout })
    }

    /// When the first bytes must be there, if it begins now.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.wait
    }

    /// The same, for these bytes of it alone.
    pub(super) fn of_range(mut self, range: Option<(u64, Option<u64>)>) -> Self {
        self.ask.range = range;
        self
    }

    pub(super) async fn open(self, outbound: &Outbound, deadline: Instant) -> Result<Answer, UpstreamError> {
        open(self.ask, outbound, deadline).await
    }
}

/// What an address turned out to be.
pub(super) enum Answer {
    Media(Body),
    Hls(Box<hls::List>),
}

impl Answer {
    /// The stream itself, where nothing else can be used.
    pub(super) fn media(self) -> Result<Body, UpstreamError> {
        match self {
            Self::Media(body) => Ok(body),
            Self::Hls(_) => Err(UpstreamError::NotMedia("an HLS playlist came".to_owned())),
        }
    }
}

/// Asks and waits until the first media bytes are there.
pub(super) async fn open(ask: dial::Ask, outbound: &Outbound, deadline: Instant) -> Result<Answer, UpstreamError> {
    let asked = ask.url.to_string();
    let mut response = ask.send(outbound, deadline).await?;
    check_status(response.status)?;
    let extent = Extent::of(&response);
    if extent.from.is_some_and(|from| from > 0) {
        // It was a stream when its beginning was asked for.
        return Ok(Answer::Media(Body { first: None, body: response.body, extent }));
    }
    let mut head = Vec::new();
    let mut first = None;
    loop {
        let piece = timeout_at(deadline, response.body.next())
            .await
            .map_err(|_| UpstreamError::Timeout("waiting for the first bytes"))??;
        let ended = piece.is_none();
        if let Some(piece) = piece {
            // As a rule one read tells; only a trickle needs collecting.
            if first.is_none() && head.is_empty() && is_media(&piece) {
                first = Some(piece);
                break;
            }
            head.extend_from_slice(&piece);
        }
        if is_media(&head) {
            break;
        }
        if ended && head.is_empty() {
            return Err(UpstreamError::Ended);
        }
        if is_list(&head) {
            let text = response.body.read_behind(head, hls::MAX_LIST, deadline).await?;
            if hls::is_hls(&text) {
                return Ok(Answer::Hls(Box::new(hls::List { text, ask: response.asked })));
            }
            return Err(UpstreamError::NotMedia(hide(&name_it(&response.headers, &text), &asked)));
        }
        if ended || head.len() >= SNIFF || looks_like_text(&head) {
            // Servers repeat logins in their complaints.
            return Err(UpstreamError::NotMedia(hide(&name_it(&response.headers, &head), &asked)));
        }
    }
    Ok(Answer::Media(Body { first: first.or_else(|| Some(Bytes::from(head))), body: response.body, extent }))
}

/// An M3U, of whatever kind.
fn is_list(head: &[u8]) -> bool {
    head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start().starts_with(b"#EXTM3U")
}

pub(super) fn check_status(status: StatusCode) -> Result<(), UpstreamError> {
    match status.as_u16() {
        200..=299 => Ok(()),
        404 | 410 => Err(UpstreamError::NotFound),
        other => Err(UpstreamError::Status(other)),
    }
}

/// Sync bytes one packet apart; a stream may begin in the middle of a packet, or behind something else.
pub(super) fn is_media(head: &[u8]) -> bool {
    memchr::memchr_iter(SYNC, head).any(|at| {
        let sure = if at == 0 { 2 } else { 4 };
        STRIDES.into_iter().any(|stride| {
            let marks = head[at..].iter().step_by(stride);
            marks.len() >= sure && marks.take(PROOF).all(|b| *b == SYNC)
        })
    })
}

/// Enough to stop waiting for more of it.
fn looks_like_text(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    [&b"#EXT"[..], b"<", b"{", b"["].iter().any(|mark| text.starts_with(mark))
}

/// What came instead of a stream, in words for the operator.
pub(super) fn name_it(headers: &HeaderMap, head: &[u8]) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = clean(kind, 60).to_ascii_lowercase();
    let packing = headers.get(header::CONTENT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or("identity");
    if !packing.eq_ignore_ascii_case("identity") {
        return format!("it came packed ({}), which was not asked for", clean(packing, 20));
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if text.starts_with(b"#EXT") {
        "a list of channels came; add it as a source instead".to_owned()
    } else if text.starts_with(b"<") || kind.contains("html") || kind.contains("xml") {
        "a web page came; the address or its access is wrong".to_owned()
    } else if text.starts_with(b"{") || text.starts_with(b"[") || kind.contains("json") {
        format!("JSON came: {}", clean(&String::from_utf8_lossy(text), 120))
    } else if head.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        format!("text came: {}", clean(&String::from_utf8_lossy(text), 120))
    } else if kind.is_empty() {
        "unknown data came".to_owned()
    } else {
        format!("data of the type {kind} came")
    }
}

/// A running stream. Dropping it closes its socket.
pub struct Body {
    first: Option<Bytes>,
    body: dial::Body,
    extent: Extent,
}

/// What a server says of how much it sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub length: Option<u64>,
    /// `Content-Range` of a part that was asked for.
    pub range: Option<String>,
    /// The first byte of that part.
    pub from: Option<u64>,
}

impl Extent {
    fn of(response: &dial::Response) -> Self {
        let word = |name| response.headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
        let length = word(header::CONTENT_LENGTH).and_then(|n| n.parse().ok());
        let asked = response.status == StatusCode::PARTIAL_CONTENT && response.asked.range.is_some();
        let range = word(header::CONTENT_RANGE).filter(|r| asked && r.len() < 80);
        let from = range.and_then(|r| r.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
        Self { length, range: range.filter(|_| from.is_some()).map(str::to_owned), from }
    }
}

impl Body {
    pub(super) fn extent(&self) -> &Extent {
        &self.extent
    }

    pub(super) fn tap(&self) -> Option<&OwnedFd> {
        self.body.tap()
    }

    /// Cancel-safe; as much as one read gave.
    pub(super) async fn next(&mut self) -> Result<Bytes, UpstreamError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        self.body.next().await?.ok_or(UpstreamError::Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_told_from_text() {
        let mut ts = vec![0u8; 188 * 5];
        ts.iter_mut().step_by(188).for_each(|b| *b = SYNC);
        assert!(is_media(&ts) && is_media(&ts[100..]) && is_media(&ts[..189]));
        for (before, stride) in [(4, 192), (0, 204), (1500, 188)] {
            let mut other = vec![0u8; before + stride * 6];
            other[before..].iter_mut().step_by(stride).for_each(|b| *b = SYNC);
            assert!(is_media(&other), "{stride}");
        }
        assert!(!is_media(&ts[..188]) && !is_media(b"") && !is_media(&[0; 2000]));
        assert!(!is_media("GGGG".repeat(20).as_bytes()));
    }

    #[test]
    fn what_came_instead_is_named() {
        let name = |kind: &str, body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            name_it(&headers, body.as_bytes())
        };
        assert!(name("text/plain", "\u{feff}#EXTM3U\n#EXTINF:-1,x\n").contains("list of channels"));
        assert!(name("text/html", "<html>").contains("web page"));
        assert!(name("application/json", "{\"a\":\u{1b}1}").starts_with("JSON came: {\"a\":1}"));
        assert!(name("text/plain", "no\r\nsuch").contains("no such"));
        assert!(name("video/mp4", "\0\0\0\u{20}ftyp").contains("video/mp4"));
    }
}
