//! A viewer's way to a stream: login → seat → open → hand the socket over, or give it in segments ([`hls`]).
//!
//! Owns the order of these steps and the refusals. Must not enter: how a stream runs. Invariant: everything that can fail
//! fails before the head of the reply, as an ordinary 4xx or 5xx; HEAD answers like GET and opens nothing.

pub mod archive;
pub mod hls;

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Instant,
};

use hyper::{
    Method, StatusCode,
    ext::ReasonPhrase,
    header::{self, HeaderValue},
};
use tokio::sync::Notify;
use yagi_api::{Channel, ChannelSource, LimitPolicy, Locator, OutputFormat, UserStatus};

use crate::{
    app::App,
    auth::Denied,
    http::{
        Body, Reply, Request,
        reply::{reply, text},
    },
    library::{Catalog, Provenance, Viewer},
    seats::{self, Seat},
    stream::{OpenError, Origin, Wanted},
    upstream::Reach,
};

/// Why a request for a stream, a playlist or a guide is refused before anything is looked up.
pub enum Refusal {
    Denied(Denied),
    Standing(UserStatus),
    /// The account may not have streams in this format.
    Format(OutputFormat),
}

impl Refusal {
    pub fn reply(&self) -> Reply {
        match self {
            Self::Denied(Denied::Credentials) => text(StatusCode::UNAUTHORIZED, "wrong user name or password"),
            Self::Denied(Denied::TooMany { retry_after_s }) => too_many(*retry_after_s),
            Self::Format(format) => {
                let mut reply =
                    text(StatusCode::FORBIDDEN, format_args!("this account may not have .{} streams", format.word()));
                reply.headers_mut().insert("x-yagi-reason", HeaderValue::from_static("format"));
                reply
            }
            Self::Standing(status) => {
                text(StatusCode::FORBIDDEN, format_args!("this account is {}", status.word().to_ascii_lowercase()))
            }
        }
    }
}

fn too_many(retry_after_s: u32) -> Reply {
    let mut reply = text(StatusCode::TOO_MANY_REQUESTS, "too many failed logins from this address; try again later");
    reply.headers_mut().insert(header::RETRY_AFTER, retry_after_s.into());
    reply
}

/// The address a request comes from, behind trusted proxies the client's own.
pub fn client_ip(app: &App, request: &Request) -> IpAddr {
    let peer = request.peer.ip().unwrap_or(Ipv4Addr::LOCALHOST.into());
    app.addressing.load().client_ip(&request.headers, peer)
}

/// Login alone; the account may be expired or disabled.
///
/// # Errors
/// Wrong credentials, or too many of them.
pub fn login(
    app: &App,
    catalog: &Catalog,
    request: &Request,
    name: &str,
    password: &str,
) -> Result<Arc<Viewer>, Denied> {
    let ip = client_ip(app, request);
    let viewer = app.auth.login(catalog, name, password, Some(ip), Instant::now())?;
    app.seen.login(viewer.user.id, crate::clock::epoch_now(), request.agent(), ip);
    Ok(viewer)
}

/// Login of an account that may watch now.
///
/// # Errors
/// Also when the account is expired or disabled.
pub fn admit(
    app: &App,
    catalog: &Catalog,
    request: &Request,
    name: &str,
    password: &str,
) -> Result<Arc<Viewer>, Refusal> {
    let viewer = login(app, catalog, request, name, password).map_err(Refusal::Denied)?;
    match viewer.status(crate::clock::epoch_now()) {
        UserStatus::Active => Ok(viewer),
        status => Err(Refusal::Standing(status)),
    }
}

/// Whether the account may have streams in this format.
///
/// # Errors
/// When its formats do not name it.
pub fn may_have(viewer: &Viewer, format: OutputFormat) -> Result<(), Refusal> {
    if viewer.user.formats.contains(&format) { Ok(()) } else { Err(Refusal::Format(format)) }
}

/// Who may watch which channel, and in what form.
struct Admitted<'a> {
    catalog: &'a Arc<Catalog>,
    viewer: Arc<Viewer>,
    channel: &'a Arc<Channel>,
    format: OutputFormat,
}

/// Login and channel; `file` is its id, perhaps with an extension, which tells the format if nothing else does.
///
/// # Errors
/// The reply that refuses.
fn sought<'a>(
    app: &App,
    catalog: &'a Arc<Catalog>,
    request: &Request,
    (name, password): (&str, &str),
    file: &str,
    format: Option<OutputFormat>,
) -> Result<Admitted<'a>, Box<Reply>> {
    let refusal = |refusal: Refusal| Box::new(refusal.reply());
    let viewer = admit(app, catalog, request, name, password).map_err(refusal)?;
    let (id, extension) = file.split_once('.').unwrap_or((file, "ts"));
    let Some(channel) = id.parse().ok().and_then(|id| catalog.channel(id)).filter(|c| c.is_listed()) else {
        return Err(Box::new(text(StatusCode::NOT_FOUND, "there is no channel of this id")));
    };
    if !catalog.may_watch(&viewer, channel) {
        return Err(Box::new(text(StatusCode::FORBIDDEN, "this channel is not in your line-up")));
    }
    let format = format.or(OutputFormat::ALL.into_iter().find(|f| extension.eq_ignore_ascii_case(f.word())));
    let Some(format) = format else {
        return Err(Box::new(text(StatusCode::METHOD_NOT_ALLOWED, "streams are served as .ts and .m3u8")));
    };
    may_have(&viewer, format).map_err(refusal)?;
    Ok(Admitted { catalog, viewer, channel, format })
}

/// `/live/{user}/{password}/{id}[.ts]` and its short form; with `?utc=` what was on then.
pub async fn channel(app: &Arc<App>, request: &Request, name: &str, password: &str, file: &str) -> Reply {
    let catalog = app.library.catalog();
    let admitted = match sought(app, &catalog, request, (name, password), file, None) {
        Ok(admitted) => admitted,
        Err(refused) => return *refused,
    };
    if let Some(when) = archive::When::of_query(request) {
        return archive::part(app, request, &admitted, when).await;
    }
    let Admitted { viewer, channel, format, .. } = &admitted;
    serve(app, request, &catalog, Some(viewer), wanted(&catalog, channel), *format).await
}

/// A channel of a network tuner that has so many.
pub async fn tuned(
    app: &Arc<App>,
    request: &Request,
    catalog: &Catalog,
    viewer: &Arc<Viewer>,
    channel: &Channel,
    tuners: u32,
) -> Reply {
    watch(app, request, catalog, Some(viewer), wanted(catalog, channel), Some(tuners)).await
}

fn wanted(catalog: &Catalog, channel: &Channel) -> Wanted {
    let origin = |s: &ChannelSource| {
        let Provenance { account, found } = catalog.provenance(channel, s);
        let locator = Locator::parse(&s.url).ok()?;
        Some(Origin { locator, headers: s.headers.clone(), account, reach: Reach::found(found) })
    };
    let origins = channel.sources.iter().filter_map(origin).collect();
    Wanted { name: channel.name.clone(), channel: Some(channel.id), origins }
}

/// `/ace/getstream?id=|infohash=` and `/ace/manifest.m3u8`: with a viewer's credentials, or from a configured network.
pub async fn ace(app: &Arc<App>, request: &Request, format: OutputFormat) -> Reply {
    let catalog = app.library.catalog();
    let viewer = match ace_viewer(app, &catalog, request) {
        Ok(viewer) => viewer,
        Err(reply) => return *reply,
    };
    if let Some(Err(refusal)) = viewer.as_deref().map(|v| may_have(v, format)) {
        return refusal.reply();
    }
    let asked = ["content_id", "id", "infohash"].into_iter().find_map(|k| Some((k, request.query.get(k)?)));
    let locator = match asked {
        Some(("infohash", hash)) => Locator::parse(&format!("acestream:?infohash={hash}")),
        Some((_, id)) => Locator::parse(&format!("acestream://{id}")),
        None => {
            return text(
                StatusCode::BAD_REQUEST,
                "expected ?id= with a content id, or ?infohash=, of 40 hexadecimal digits",
            );
        }
    };
    let locator = match locator {
        Ok(locator) => locator,
        Err(why) => return text(StatusCode::BAD_REQUEST, why),
    };
    match carried(&catalog, viewer.as_deref(), locator) {
        Some(wanted) => serve(app, request, &catalog, viewer.as_ref(), wanted, format).await,
        None => text(StatusCode::FORBIDDEN, "this content is not in your line-up"),
    }
}

/// Content asked for by its id. A channel of the line-up that carries it lends its name and its category's permission;
/// a viewer who may see only some categories may ask for nothing else.
fn carried(catalog: &Catalog, viewer: Option<&Viewer>, locator: Locator) -> Option<Wanted> {
    let url = locator.to_string();
    let carriers: Vec<&Arc<Channel>> =
        catalog.channels().iter().filter(|c| c.sources.iter().any(|s| s.url == url)).collect();
    let channel = carriers.iter().find(|c| viewer.is_none_or(|v| catalog.may_watch(v, c)));
    let hidden = viewer.is_some_and(|v| !carriers.is_empty() || v.user.categories.is_some());
    if channel.is_none() && hidden {
        return None;
    }
    Some(Wanted {
        name: channel.map_or(url, |c| c.name.clone()),
        channel: channel.map(|c| c.id),
        origins: vec![Origin {
            locator,
            headers: Vec::new(),
            account: channel.and_then(|c| c.origin),
            reach: Reach::default(),
        }],
    })
}

/// Name and password, or no name and a token: of the path, or of `token=`.
pub fn credentials<'a>(request: &'a Request, token: Option<&'a str>) -> (&'a str, &'a str) {
    let of = |key| request.query.get(key).unwrap_or_default();
    match token.or_else(|| request.query.get("token").filter(|t| !t.is_empty())) {
        Some(token) => ("", token),
        None => (of("username"), of("password")),
    }
}

/// Who asks at `/ace`: a viewer, or nobody in particular from an open network.
///
/// # Errors
/// The reply that refuses.
pub fn ace_viewer(app: &App, catalog: &Catalog, request: &Request) -> Result<Option<Arc<Viewer>>, Box<Reply>> {
    match credentials(request, None) {
        (name, password) if !password.is_empty() => {
            admit(app, catalog, request, name, password).map(Some).map_err(|refusal| Box::new(refusal.reply()))
        }
        _ if app.open_networks.load().iter().any(|n| n.contains(client_ip(app, request))) => Ok(None),
        _ => Err(Box::new(text(
            StatusCode::UNAUTHORIZED,
            "expected ?username=&password= or ?token= of a viewer, or an address of ace.open_networks",
        ))),
    }
}

async fn serve(
    app: &Arc<App>,
    request: &Request,
    catalog: &Catalog,
    viewer: Option<&Arc<Viewer>>,
    wanted: Wanted,
    format: OutputFormat,
) -> Reply {
    match format {
        OutputFormat::Ts => watch(app, request, catalog, viewer, wanted, None).await,
        OutputFormat::M3u8 => hls::playlist(app, request, catalog, viewer, wanted).await,
    }
}

/// Seat, stream, hand-over. `tuners` bounds the viewer's connections, and over them a tuner is told to be busy.
async fn watch(
    app: &Arc<App>,
    request: &Request,
    catalog: &Catalog,
    viewer: Option<&Arc<Viewer>>,
    wanted: Wanted,
    tuners: Option<u32>,
) -> Reply {
    if request.method == Method::HEAD {
        return media(Body::Empty);
    }
    let seated = async {
        let seat = seat(app, request, catalog, viewer, &wanted, tuners, None)?;
        let ticket =
            attended(request, &seat, app.streams.open(&wanted)).await?.map_err(|e| no_stream(app, &wanted, &e))?;
        Ok::<_, Box<Reply>>((seat, ticket))
    };
    let (seat, ticket) = match seated.await {
        Ok(seated) => seated,
        Err(reply) => return *reply,
    };
    if let Some(channel) = wanted.channel {
        app.seen.channel(channel, crate::clock::epoch_now(), None);
    }
    seat.stream.store(ticket.stream_id(), std::sync::atomic::Ordering::Relaxed);
    request.handover.to(move |socket| {
        tokio::spawn(ticket.join(socket, seat));
    });
    media(Body::HandedOver)
}

/// A seat for this request; `archive`: from when, if it is not what is on.
///
/// # Errors
/// The reply that refuses.
fn seat(
    app: &App,
    request: &Request,
    catalog: &Catalog,
    viewer: Option<&Arc<Viewer>>,
    wanted: &Wanted,
    tuners: Option<u32>,
    archive: Option<i64>,
) -> Result<Seat, Box<Reply>> {
    let seat = app.seats.take(
        seats::Request {
            user: viewer.map(|v| v.user.id),
            name: viewer.map(|v| v.user.name.clone()).unwrap_or_default(),
            ip: client_ip(app, request),
            agent: request.agent(),
            channel: wanted.channel,
            channel_name: wanted.name.clone(),
            archive,
            limit: tuners.or(viewer.map(|v| v.user.max_connections)).unwrap_or(0),
            policy: if tuners.is_some() { LimitPolicy::Refuse } else { catalog.settings().limit_policy },
        },
        Instant::now(),
    );
    let seat = seat.map_err(|refused| {
        tracing::info!(user = viewer.map_or("", |v| v.user.name.as_str()), ip = %client_ip(app, request), reason = %refused, "client refused");
        if tuners.is_some() {
            return Box::new(tuner_failure(StatusCode::SERVICE_UNAVAILABLE, "805 All Tuners In Use"));
        }
        let mut reply = text(StatusCode::FORBIDDEN, &refused);
        reply.extensions_mut().insert(ReasonPhrase::from_static(b"Connection limit reached"));
        reply.headers_mut().insert("x-yagi-reason", HeaderValue::from_static("connection-limit"));
        Box::new(reply)
    })?;
    // An edit between the login and the seat did not see this connection: look again now that it can be seen.
    match viewer {
        Some(viewer) if !still_may(&app.library.catalog(), viewer, wanted) => {
            Err(Box::new(text(StatusCode::FORBIDDEN, "this account was changed a moment ago; log in again")))
        }
        _ => Ok(seat),
    }
}

/// Waits for `work` as long as the client is there and nobody asks its seat to end.
///
/// # Errors
/// The reply for nobody.
async fn attended<T>(request: &Request, seat: &Seat, work: impl Future<Output = T>) -> Result<T, Box<Reply>> {
    let ended = Arc::new(Notify::new());
    seat.wake(ended.clone());
    let why = tokio::select! {
        done = work => return Ok(done),
        () = ended.notified() => "a newer connection of this account took over",
        () = request.presence.gone() => "the client has gone",
    };
    Err(Box::new(text(StatusCode::SERVICE_UNAVAILABLE, why)))
}

fn no_stream(app: &App, wanted: &Wanted, error: &OpenError) -> Box<Reply> {
    if let Some(channel) = wanted.channel {
        app.seen.channel(channel, crate::clock::epoch_now(), Some(error.to_string()));
    }
    tracing::warn!(channel = wanted.name, error = %error, "no stream");
    let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut reply = text(status, error);
    reply.headers_mut().insert(header::RETRY_AFTER, 5.into());
    Box::new(reply)
}

/// A refusal in the words of real network tuners.
pub fn tuner_failure(status: StatusCode, words: &'static str) -> Reply {
    let mut reply = text(status, words);
    reply.headers_mut().insert("x-hdhomerun-error", HeaderValue::from_static(words));
    reply
}

/// Whether the account and its permission are what they were at the login.
fn still_may(catalog: &Catalog, viewer: &Viewer, wanted: &Wanted) -> bool {
    let account = catalog.viewer_by_id(viewer.user.id).filter(|now| {
        now.status(crate::clock::epoch_now()) == UserStatus::Active && now.accepts(viewer.password.expose())
    });
    let channel = wanted.channel.map(|id| catalog.channel(id));
    account.is_some_and(|now| channel.is_none_or(|c| c.is_some_and(|c| catalog.may_watch(now, c))))
}

/// The head of every live answer (WIRE: 200, no length, no ranges, never cached or buffered by proxies).
fn media(body: Body) -> Reply {
    let mut reply = reply(StatusCode::OK, "video/mp2t", body);
    let headers = reply.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    reply
}
