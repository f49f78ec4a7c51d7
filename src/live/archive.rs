//! A viewer's way to what was on: login → channel → seat → the provider's archive, relayed as it is taken.
//!
//! Owns the replies of catch-up, in each of the spellings that players have for it, and the relay. Must not enter: the provider's
//! addresses. Invariants: a recording has one viewer, holds that viewer's seat and a place of the account, and ends with whichever
//! ends first; one piece of it is in memory, so that the provider sends no faster than the viewer takes.

use std::{
    fmt::Write as _,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    Method, StatusCode, Version,
    header::{self, HeaderValue},
};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};
use yagi_api::{Channel, ClientState, OutputFormat};

use super::{Admitted, attended, client_ip, media, seat, sought};
use crate::{
    app::App,
    archive::{Asked, Wanted, Wrong, fill},
    clock::epoch_now,
    hls::playlist::MEDIA_TYPE,
    http::{
        Body, Presence, Reply, Request,
        reply::{reply, text},
    },
    seats::{End, Seat},
    stream,
    upstream::{Piece, Recording, UpstreamError},
};

/// A provider that sends nothing for so long has stopped.
const SILENCE: Duration = Duration::from_secs(30);
/// A player that takes nothing for so long is not paused but forgotten.
const PAUSE: Duration = Duration::from_secs(20 * 60);
/// Bytes that tell a stream from a text.
const TELLING: u64 = 8 << 10;
/// Length of a segment, where players want some: panels keep their archives in minutes.
const SEGMENT: u32 = 60;

/// When, as a player spells it.
#[derive(Clone, Copy, Debug)]
pub enum When<'a> {
    /// Of panels: a start and minutes.
    Minutes { start: &'a str, minutes: &'a str },
    /// Of playlists: a start, and perhaps seconds.
    Seconds { utc: &'a str, duration: &'a str },
}

impl<'a> When<'a> {
    /// `?utc=…&duration=…`, as `catchup="shift"` puts it behind a live address, and as our playlists have it.
    pub fn of_query(request: &'a Request) -> Option<Self> {
        let utc = request.query.get("utc").filter(|utc| !utc.is_empty())?;
        Some(Self::Seconds { utc, duration: request.query.get("duration").unwrap_or_default() })
    }
}

/// A part of the archive of a channel for this login; `file` is its id, perhaps with an extension.
pub async fn answer(
    app: &Arc<App>,
    request: &Request,
    name: &str,
    password: &str,
    file: &str,
    when: When<'_>,
) -> Reply {
    let catalog = app.library.catalog();
    // Segments of a list in HLS are .ts as well.
    let format = request.query.get("hls").map(|_| OutputFormat::M3u8);
    match sought(app, &catalog, request, (name, password), file, format) {
        Ok(admitted) => part(app, request, &admitted, when).await,
        Err(refused) => *refused,
    }
}

pub(super) async fn part(app: &Arc<App>, request: &Request, admitted: &Admitted<'_>, when: When<'_>) -> Reply {
    let Admitted { catalog, viewer, channel, format } = admitted;
    let Some(archived) = catalog.archive(channel) else {
        return text(StatusCode::NOT_FOUND, "this channel has no archive");
    };
    let (zone, now) = (catalog.zone(), epoch_now());
    let asked = match when {
        When::Minutes { start, minutes } => Asked::minutes(start, minutes, zone, now),
        When::Seconds { utc, duration } => Asked::seconds(utc, duration, zone, now),
    };
    let asked = match asked.and_then(|asked| asked.within(archived.days, now)) {
        Ok(asked) => asked,
        Err(wrong) => return refused(channel, wrong),
    };
    if *format == OutputFormat::M3u8 && request.query.get("hls").is_none() {
        let parted = fill::names_end(&archived.template);
        // Of what is still on, as much as there is.
        let past = u32::try_from(now - asked.start).unwrap_or(0).max(1);
        let asked = Asked { seconds: asked.seconds.min(past), ..asked };
        return list(request, channel, viewer.user.name.as_str(), viewer.password.expose(), asked, parted);
    }
    if request.method == Method::HEAD {
        return media(Body::Empty);
    }
    let started = jiff::Timestamp::from_second(asked.start).unwrap_or_default();
    let started = zone.unwrap_or(&jiff::tz::TimeZone::UTC).to_datetime(started).strftime("%m-%d %H:%M").to_string();
    let holder = format!("{} (archive {started})", channel.name);
    let shown = stream::Wanted { name: holder.clone(), channel: Some(channel.id), origins: Vec::new() };
    let given = archived.provenance.account.and_then(|id| catalog.source(id)).map_or("", |s| &s.options.zone);
    let wanted = Wanted { archived, zone: given, asked, holder, range: range(request), now };
    if !app.archive.has_place(&wanted) {
        app.seats.succeed(viewer.user.id, client_ip(app, request), &request.agent());
    }
    let opened = async {
        let seat = seat(app, request, catalog, Some(viewer), &shown, None, Some(asked.start))?;
        match attended(request, &seat, app.archive.open(&wanted)).await? {
            Ok(recording) => Ok((seat, recording)),
            Err(UpstreamError::Status(416)) => {
                Err(Box::new(text(StatusCode::RANGE_NOT_SATISFIABLE, "the recording has no such bytes")))
            }
            Err(error) => Err(Box::new(none(&shown.name, &error))),
        }
    };
    match opened.await {
        Ok((seat, recording)) => relayed(app, request, seat, recording),
        Err(reply) => *reply,
    }
}

fn none(name: &str, error: &UpstreamError) -> Reply {
    tracing::warn!(channel = name, %error, "no archive");
    let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut reply = match error {
        // Names the provider.
        UpstreamError::Unreachable(_) => text(status, "the archive cannot be reached"),
        error => text(status, error),
    };
    reply.headers_mut().insert(header::RETRY_AFTER, 5.into());
    reply
}

fn refused(channel: &Channel, wrong: Wrong) -> Reply {
    tracing::info!(channel = channel.name, reason = %wrong, "no archive");
    text(StatusCode::from_u16(wrong.http_status()).unwrap_or(StatusCode::BAD_REQUEST), wrong)
}

/// `bytes=N-` and `bytes=N-M`; what else there is is ignored, and everything is sent: also to who asks for so few of the first
/// bytes that nobody could tell what they are of.
fn range(request: &Request) -> Option<(u64, Option<u64>)> {
    let (first, last) = request.header(header::RANGE)?.strip_prefix("bytes=")?.split_once('-')?;
    let first: u64 = first.trim().parse().ok()?;
    match last.trim() {
        "" => Some((first, None)),
        last => {
            let count = last.parse::<u64>().ok()?.checked_sub(first)?.saturating_add(1);
            (first > 0 || count >= TELLING).then_some((first, Some(count)))
        }
    }
}

/// The part as a list: in minutes if the provider is told where they end, else as one segment.
fn list(request: &Request, channel: &Channel, name: &str, password: &str, asked: Asked, parted: bool) -> Reply {
    let step = if parted { SEGMENT } else { asked.seconds };
    let up = request.up();
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-TARGETDURATION:{step}\n#EXT-X-MEDIA-SEQUENCE:0\n"
    );
    let mut at = 0;
    while at < asked.seconds {
        let length = step.min(asked.seconds - at);
        if at > 0 {
            // Each is cut out for itself: its clock begins anew.
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let utc = asked.start + i64::from(at);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "#EXTINF:{length}.0,\n{up}timeshift/{name}/{password}/{}.ts?utc={utc}&duration={length}&hls=1",
            channel.id
        );
        at += length;
    }
    out.push_str("#EXT-X-ENDLIST\n");
    let body = if request.method == Method::HEAD { Body::Empty } else { Body::Full(out.into()) };
    let mut reply = reply(StatusCode::OK, MEDIA_TYPE, body);
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn relayed(app: &Arc<App>, request: &Request, seat: Seat, recording: Recording) -> Reply {
    let Recording { feed, extent } = recording;
    let (give, body) = mpsc::channel(1);
    let relay = Relay { app: app.clone(), seat, feed, presence: request.presence.clone() };
    tokio::spawn(relay.run(give));
    let mut reply = media(Body::Feed(body));
    match extent.length {
        Some(length) => {
            reply.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        None => {
            // Its end is that of the connection, which every player understands.
            *reply.version_mut() = Version::HTTP_10;
            reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    if let Some(Ok(range)) = extent.range.map(|range| HeaderValue::from_str(&range)) {
        *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
        reply.headers_mut().insert(header::CONTENT_RANGE, range);
        reply.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    reply
}

struct Relay {
    app: Arc<App>,
    // Dropped in this order: the place is free when the seat is.
    feed: crate::upstream::Feed,
    seat: Seat,
    presence: Presence,
}

impl Relay {
    async fn run(mut self, give: mpsc::Sender<Bytes>) {
        let asked_to_end = Arc::new(Notify::new());
        self.seat.wake(asked_to_end.clone());
        let presence = self.presence.clone();
        let why = tokio::select! {
            why = self.relay(&give) => Some(why),
            () = asked_to_end.notified() => None,
            () = presence.gone() => Some(End::Left),
            () = give.closed() => Some(End::Left),
        };
        if let Some(why) = why {
            self.seat.end(why);
        }
        // A recording that has ended leaves the connection to the reply's own end.
        if self.seat.ending() != Some(End::StreamEnded) {
            self.presence.cut();
        }
        self.feed.close().await;
        // Free before the body ends: who asks at once for the next part finds it so.
        drop(self.seat);
        drop(give);
    }

    /// Piece by piece; says how it ended.
    async fn relay(&mut self, give: &mpsc::Sender<Bytes>) -> End {
        self.seat.set_state(ClientState::Live);
        let (mut second, mut before) = (Instant::now(), 0);
        loop {
            let piece = match timeout(SILENCE, self.feed.next()).await {
                Ok(Ok(Piece::Bytes(piece))) => piece,
                Ok(Ok(Piece::Seam)) => continue,
                Ok(Err(UpstreamError::Ended)) => return End::StreamEnded,
                Ok(Err(error)) => return self.broke_off(&error),
                Err(_) => return self.broke_off(&UpstreamError::Timeout("waiting for more of the recording")),
            };
            let bytes = piece.len() as u64;
            match self.presence.held_up(PAUSE, give.send(piece)).await {
                Some(Ok(())) => {}
                Some(Err(_)) => return End::Left,
                None => return End::Stalled,
            }
            self.app.archive.sent(bytes);
            let sent = self.seat.out_bytes.fetch_add(bytes, Relaxed) + bytes;
            let past = second.elapsed();
            if past >= Duration::from_secs(1) {
                let rate = (sent - before) as f64 * 8.0 / past.as_secs_f64();
                self.seat.out_bits_per_s.store(rate as u64, Relaxed);
                (second, before) = (Instant::now(), sent);
            }
        }
    }

    /// The player shall not take it for the end.
    fn broke_off(&self, error: &UpstreamError) -> End {
        tracing::warn!(user = self.seat.name, channel = self.seat.channel_name, %error, "a recording broke off");
        self.presence.cut();
        End::StreamEnded
    }
}
