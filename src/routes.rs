//! The public route table: what players and media centres may ask.
//!
//! Owns paths, methods, credentials' places and the headers that every answer carries. Must not enter: rendering, streams.
//! Invariant: without a login no answer tells anything about the line-up; GET, HEAD and POST are answered alike.

use std::sync::Arc;

use hyper::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderValue},
};
use percent_encoding::percent_decode_str;
use serde_json::json;
use yagi_api::OutputFormat;

use crate::{
    app::App,
    auth::Denied,
    clock::epoch_now,
    guide,
    http::{
        Base, Body, Reply, Request,
        reply::{json as json_reply, no_content, reply, text},
    },
    live, playlist, xtream,
};

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    PlayerApi,
    PanelApi,
    Playlist,
    Guide,
    Live,
    AceStream,
    AceStatus,
    Health,
    Ready,
}

/// The table; built once.
pub struct Routes(matchit::Router<Route>);

impl Default for Routes {
    fn default() -> Self {
        let mut router = matchit::Router::new();
        for (path, route) in [
            ("/player_api.php", Route::PlayerApi),
            ("/panel_api.php", Route::PanelApi),
            ("/get.php", Route::Playlist),
            ("/xmltv.php", Route::Guide),
            ("/live/{user}/{password}/{file}", Route::Live),
            ("/{user}/{password}/{file}", Route::Live),
            ("/ace/getstream", Route::AceStream),
            ("/ace/getstream/", Route::AceStream),
            ("/ace/status", Route::AceStatus),
            ("/health", Route::Health),
            ("/ready", Route::Ready),
        ] {
            router
                .insert(path, route)
                .unwrap_or_else(|e| unreachable!("the route table contradicts itself at {path}: {e}"));
        }
        Self(router)
    }
}

/// Answers one request of a public listener.
pub async fn handle(app: &Arc<App>, routes: &Routes, request: Request) -> Reply {
    let mut reply = dispatch(app, routes, &request).await;
    let headers = reply.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if request.method == Method::OPTIONS {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type, range"));
    }
    reply
}

async fn dispatch(app: &Arc<App>, routes: &Routes, request: &Request) -> Reply {
    let Ok(found) = routes.0.at(&request.path) else {
        return text(StatusCode::NOT_FOUND, "nothing is served at this path");
    };
    match request.method {
        Method::GET | Method::HEAD | Method::POST => {}
        Method::OPTIONS => return no_content(),
        _ => {
            let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "this path answers GET, HEAD and POST");
            reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
            return reply;
        }
    }
    match found.value {
        Route::PlayerApi => api(app, request, xtream::player_api),
        Route::PanelApi => api(app, request, xtream::panel_api),
        Route::Playlist => get_playlist(app, request),
        Route::Guide => get_guide(app, request),
        Route::Live => {
            let param = |name| found.params.get(name).and_then(|raw| percent_decode_str(raw).decode_utf8().ok());
            match (param("user"), param("password"), param("file")) {
                (Some(user), Some(password), Some(file)) => live::channel(app, request, &user, &password, &file).await,
                _ => text(StatusCode::BAD_REQUEST, "the path is not UTF-8"),
            }
        }
        Route::AceStream => live::ace(app, request).await,
        Route::AceStatus => ace_status(app, request),
        Route::Health => json_reply(StatusCode::OK, &json!({"status": "ok"})),
        Route::Ready => json_reply(StatusCode::OK, &json!({"status": "ready"})),
    }
}

/// The address that links in this answer carry.
fn base(app: &App, request: &Request) -> Base {
    let local = request.local.map_or((std::net::Ipv4Addr::LOCALHOST.into(), 80), |a| (a.ip(), a.port()));
    app.addressing.base(&request.headers, request.peer.ip(), local)
}

fn credentials(request: &Request) -> (&str, &str) {
    (request.query.get("username").unwrap_or_default(), request.query.get("password").unwrap_or_default())
}

fn api(app: &App, request: &Request, answer: impl FnOnce(xtream::Ask<'_>) -> xtream::Pieces) -> Reply {
    let catalog = app.library.catalog();
    let (name, password) = credentials(request);
    // Players take a refusal only in this form.
    let body = match live::login(app, &catalog, request, name, password) {
        Ok(viewer) => Body::pull(answer(xtream::Ask {
            catalog: &catalog,
            guide: &app.guide,
            viewer: &viewer,
            params: &request.query,
            base: &base(app, request),
            active: app.seats.active(viewer.user.id),
            now: epoch_now(),
        })),
        Err(Denied::Credentials) => Body::Full(xtream::refused()),
        Err(denied @ Denied::TooMany { .. }) => return live::Refusal::Denied(denied).reply(),
    };
    let mut reply = reply(StatusCode::OK, "application/json", body);
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// `get.php`: `type=m3u|m3u_plus`, `output=ts|mpegts|hls|m3u8`.
fn get_playlist(app: &App, request: &Request) -> Reply {
    let catalog = app.library.catalog();
    let (name, password) = credentials(request);
    let viewer = match live::admit(app, &catalog, request, name, password) {
        Ok(viewer) => viewer,
        Err(refusal) => return refusal.reply(),
    };
    let format = match request.query.get("output").unwrap_or("ts") {
        "" | "ts" | "mpegts" => OutputFormat::Ts,
        "hls" | "m3u8" => OutputFormat::M3u8,
        other => {
            let shown = yagi_api::text::clean(other, 16).into_owned();
            return text(
                StatusCode::BAD_REQUEST,
                format_args!("output={shown} is not served; expected ts, mpegts, hls or m3u8"),
            );
        }
    };
    if let Err(refusal) = live::may_have(&viewer, format) {
        return refusal.reply();
    }
    let plus = request.query.get("type") != Some("m3u");
    let style = playlist::write::Style { plus, extension: format.word() };
    let pieces = playlist::write::pieces(catalog, viewer, base(app, request).to_string(), style);
    // mpv and VLC take application/vnd.apple.mpegurl for HLS and do not know octet-stream; mpv compares the whole value, so
    // a charset behind it makes it no playlist.
    let mut reply = reply(StatusCode::OK, "audio/x-mpegurl", Body::pull(pieces));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline; filename=\"playlist.m3u\""));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

fn get_guide(app: &App, request: &Request) -> Reply {
    let catalog = app.library.catalog();
    let (name, password) = credentials(request);
    let viewer = match live::admit(app, &catalog, request, name, password) {
        Ok(viewer) => viewer,
        Err(refusal) => return refusal.reply(),
    };
    let now = epoch_now();
    let gzip = accepts_gzip(&request.headers);
    let etag = guide::write::etag(&app.guide, &catalog, &viewer, now, gzip);
    let known = request.header(header::IF_NONE_MATCH).is_some_and(|held| held.split(',').any(|t| same_tag(t, &etag)));
    let mut reply = if known {
        let mut reply = no_content();
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        reply
    } else {
        let pieces = guide::write::pieces(&app.guide, catalog, viewer, now);
        let body = if gzip { Body::pull(guide::write::gzip(pieces)) } else { Body::pull(pieces) };
        reply(StatusCode::OK, "application/xml; charset=utf-8", body)
    };
    let headers = reply.headers_mut();
    if gzip && !known {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    reply
}

/// The weak comparison of RFC 9110 §8.8.3.2.
fn same_tag(held: &str, etag: &str) -> bool {
    let held = held.trim();
    held == "*" || held.strip_prefix("W/").unwrap_or(held) == etag.strip_prefix("W/").unwrap_or(etag)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|coding| coding.split_once(';').map_or((coding.trim(), ""), |(c, q)| (c.trim(), q.trim())))
        .any(|(coding, q)| coding.eq_ignore_ascii_case("gzip") && !matches!(q, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
}

/// `/ace/status`: the streams that the asker may know of, without their viewers.
fn ace_status(app: &App, request: &Request) -> Reply {
    let catalog = app.library.catalog();
    let viewer = match live::ace_viewer(app, &catalog, request) {
        Ok(viewer) => viewer,
        Err(reply) => return *reply,
    };
    let rows: Vec<_> = app
        .streams
        .rows()
        .into_iter()
        .filter(|row| {
            let channel = row.channel.and_then(|id| catalog.channel(id));
            viewer.as_ref().is_none_or(|v| match channel {
                Some(channel) => catalog.may_watch(v, channel),
                None => v.user.categories.is_none(),
            })
        })
        .map(|row| {
            json!({"stream_id": row.id, "name": row.name, "status": row.state.word(), "clients": row.clients,
                   "uptime": row.uptime_s, "bytes_received": row.in_bytes, "bytes_sent": row.out_bytes})
        })
        .collect();
    json_reply(StatusCode::OK, &json!({"status": "running", "total_streams": rows.len(), "streams": rows}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_paths_do_not_shadow_the_others() {
        let routes = Routes::default();
        let at = |path: &str| routes.0.at(path).ok().map(|m| *m.value);
        assert_eq!(at("/live/u/p/1.ts"), Some(Route::Live));
        assert_eq!(at("/u/p/1"), Some(Route::Live));
        assert_eq!(at("/ace/getstream"), Some(Route::AceStream));
        assert_eq!(at("/get.php"), Some(Route::Playlist));
        assert_eq!(at("/movie/u/p/1.mp4"), None);
        assert_eq!(at("/"), None);
    }

    #[test]
    fn gzip_is_sent_only_to_those_that_ask() {
        let asks = |v: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(v));
            accepts_gzip(&headers)
        };
        assert!(asks("deflate, gzip, br") && asks("GZIP;q=0.5"));
        assert!(!asks("identity") && !asks("gzip;q=0") && !accepts_gzip(&HeaderMap::new()));
        assert!(same_tag(" W/\"a\"", "\"a\"") && same_tag("*", "\"a\"") && !same_tag("\"b\"", "\"a\""));
    }
}
