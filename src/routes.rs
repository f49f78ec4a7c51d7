//! The public route table: what players and media centres may ask.
//!
//! Owns paths, methods, credentials' places and the headers that every answer carries. Must not enter: rendering, streams.
//! Invariant: without a login no answer tells anything about the line-up; GET, HEAD and POST are answered alike.

use std::{borrow::Cow, sync::Arc};

use hyper::{
    Method, StatusCode,
    header::{self, HeaderValue},
};
use percent_encoding::percent_decode_str;
use serde_json::json;
use yagi_api::OutputFormat;

use crate::{
    app::App,
    clock::epoch_now,
    http::{
        Body, Reply, Request,
        reply::{json as json_reply, no_content, reply, text},
    },
    library::logo_tag,
    lists,
    live::{self, archive::When},
    tuner, xtream,
};

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    PlayerApi,
    PanelApi,
    Playlist,
    ShortPlaylist,
    Guide,
    ShortGuide,
    Tuner,
    Live,
    Archive,
    ArchiveFile,
    ArchiveScript,
    AceStream,
    AceManifest,
    AceStatus,
    Segment,
    Logo,
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
            ("/playlist.m3u", Route::Playlist),
            ("/p/{token}", Route::ShortPlaylist),
            ("/xmltv.php", Route::Guide),
            ("/xmltv.xml", Route::Guide),
            ("/xmltv.xml.gz", Route::Guide),
            ("/e/{token}", Route::ShortGuide),
            ("/hdhr/{token}", Route::Tuner),
            ("/hdhr/{token}/", Route::Tuner),
            ("/hdhr/{token}/{*path}", Route::Tuner),
            ("/live/{user}/{password}/{file}", Route::Live),
            ("/{user}/{password}/{file}", Route::Live),
            ("/timeshift/{user}/{password}/{minutes}/{start}/{file}", Route::Archive),
            ("/timeshift/{user}/{password}/{file}", Route::ArchiveFile),
            ("/streaming/timeshift.php", Route::ArchiveScript),
            ("/timeshift.php", Route::ArchiveScript),
            ("/ace/getstream", Route::AceStream),
            ("/ace/getstream/", Route::AceStream),
            ("/ace/manifest.m3u8", Route::AceManifest),
            ("/ace/status", Route::AceStatus),
            ("/hls/{token}/{file}", Route::Segment),
            ("/logo/{id}/{tag}", Route::Logo),
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
    let mut reply = match app.blocks.refuses(live::client_ip(app, &request), epoch_now()) {
        Some(seconds) => blocked(seconds),
        None => dispatch(app, routes, &request).await,
    };
    let headers = reply.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if request.method == Method::OPTIONS {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type, range"));
    }
    reply
}

fn blocked(seconds: u32) -> Reply {
    let mut reply = text(StatusCode::FORBIDDEN, "this address is blocked for a while");
    reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
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
    let param = |name| found.params.get(name).and_then(|raw| percent_decode_str(raw).decode_utf8().ok());
    let token = param("token");
    match found.value {
        Route::PlayerApi => lists::api(app, request, xtream::player_api),
        Route::PanelApi => lists::api(app, request, xtream::panel_api),
        Route::Playlist => lists::playlist(app, request, None),
        Route::ShortPlaylist => lists::playlist(app, request, Some(token.as_deref().unwrap_or_default())),
        Route::Guide => lists::guide(app, request, None),
        Route::ShortGuide => lists::guide(app, request, Some(token.as_deref().unwrap_or_default())),
        Route::Tuner => {
            let path = found.params.get("path").unwrap_or_default();
            tuner::answer(app, request, token.as_deref().unwrap_or_default(), path).await
        }
        Route::Archive | Route::ArchiveFile | Route::ArchiveScript => {
            let of =
                |name: &'static str| param(name).unwrap_or_else(|| request.query.get(name).unwrap_or_default().into());
            archive(app, request, found.value, &of).await
        }
        Route::Live => match (param("user"), param("password"), param("file")) {
            (Some(user), Some(password), Some(file)) => live::channel(app, request, &user, &password, &file).await,
            _ => text(StatusCode::BAD_REQUEST, "the path is not UTF-8"),
        },
        Route::AceStream => live::ace(app, request, OutputFormat::Ts).await,
        Route::AceManifest => live::ace(app, request, OutputFormat::M3u8).await,
        Route::Segment => live::hls::file(
            app,
            request,
            token.as_deref().unwrap_or_default(),
            found.params.get("file").unwrap_or_default(),
        ),
        Route::AceStatus => ace_status(app, request),
        Route::Logo => logo(app, &param("id").unwrap_or_default(), &param("tag").unwrap_or_default()).await,
        Route::Health => json_reply(StatusCode::OK, &json!({"status": "ok"})),
        Route::Ready => json_reply(StatusCode::OK, &json!({"status": "ready"})),
    }
}

/// Catch-up in the spellings of panels, and in that of our playlists. `of` gives a part of the path or of the query.
async fn archive<'a>(
    app: &Arc<App>,
    request: &Request,
    route: &Route,
    of: &(dyn Fn(&'static str) -> Cow<'a, str> + Sync),
) -> Reply {
    if *route == Route::ArchiveScript {
        let (name, password) = live::credentials(request, None);
        let (start, minutes, mut file) = (of("start"), of("duration"), of("stream").into_owned());
        let extension = of("extension");
        if !extension.is_empty() && !file.contains('.') {
            file = format!("{file}.{extension}");
        }
        let when = When::Minutes { start: &start, minutes: &minutes };
        return live::archive::answer(app, request, name, password, &file, when).await;
    }
    let (user, password, file) = (of("user"), of("password"), of("file"));
    let (start, minutes) = (of("start"), of("minutes"));
    let when = match route {
        Route::ArchiveFile => When::of_query(request).unwrap_or(When::Seconds { utc: "", duration: "" }),
        _ => When::Minutes { start: &start, minutes: &minutes },
    };
    live::archive::answer(app, request, &user, &password, &file, when).await
}

/// A logo of the line-up. Links carry a tag of its address instead of a login: pictures are fetched by parts of players that
/// know none.
async fn logo(app: &App, id: &str, tag: &str) -> Reply {
    let catalog = app.library.catalog();
    let channel = id.parse().ok().and_then(|id| catalog.channel(id)).filter(|c| !c.logo.is_empty());
    let Some(channel) = channel.filter(|c| logo_tag(&c.logo) == tag) else {
        return text(StatusCode::NOT_FOUND, "there is no such logo");
    };
    let Some(found) = app.logos.get(&channel.logo, catalog.found_logo(channel)).await else {
        return text(StatusCode::NOT_FOUND, "the logo could not be fetched, or is no picture");
    };
    let mut answer = reply(StatusCode::OK, found.media, Body::Full(found.bytes));
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
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
        assert_eq!(at("/p/token"), Some(Route::ShortPlaylist));
        assert_eq!(at("/e/token.xml.gz"), Some(Route::ShortGuide));
        assert_eq!(at("/hdhr/token"), Some(Route::Tuner));
        assert_eq!(at("/hdhr/token/discover.json"), Some(Route::Tuner));
        assert_eq!(at("/hdhr/token/auto/v7"), Some(Route::Tuner));
        assert_eq!(at("/timeshift/u/p/60/2026-11-25:20-15/1.ts"), Some(Route::Archive));
        assert_eq!(at("/timeshift/u/p/1.ts"), Some(Route::ArchiveFile));
        assert_eq!(at("/streaming/timeshift.php"), Some(Route::ArchiveScript));
        assert_eq!(at("/movie/u/p/1.mp4"), None);
        assert_eq!(at("/"), None);
    }
}
