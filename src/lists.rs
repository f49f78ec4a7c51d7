//! What players fetch and keep: the Xtream API's lists, playlists, the guide.
//!
//! Owns who may have them, and their headers. Must not enter: their text. Invariant: without a login no answer tells anything
//! of the line-up.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};

use tokio::sync::{broadcast, watch};
use yagi_api::{Event, OutputFormat};

use crate::{
    app::App,
    aside,
    auth::Denied,
    clock::epoch_now,
    guide::{
        self,
        write::{Asked, Window},
    },
    http::{
        Base, Body, Params, Reply, Request, gzip,
        reply::{no_content, reply, text},
    },
    library::{Catalog, Viewer},
    live::{self, Refusal},
    playlist::{
        forms::Form,
        write::{self, Filter, Style},
    },
    xtream,
};

/// Bytes of guides that are kept packed.
pub const GUIDES: usize = 32 << 20;

/// The address that links in this answer carry.
pub fn base(app: &App, request: &Request) -> Base {
    let local = request.local.map_or((Ipv4Addr::LOCALHOST.into(), 80), |a| (a.ip(), a.port()));
    app.addressing.load().base(&request.headers, request.peer.ip(), local, request.secure)
}

/// The viewer of a playlist or guide, and the line-up.
fn admit(app: &App, request: &Request, token: Option<&str>) -> Result<(Arc<Catalog>, Arc<Viewer>), Refusal> {
    let catalog = app.library.catalog();
    let (name, password) = live::credentials(request, token);
    // A token of the path without its extension.
    let password = if token.is_some() { password.split('.').next().unwrap_or_default() } else { password };
    let viewer = live::admit(app, &catalog, request, name, password)?;
    Ok((catalog, viewer))
}

/// A list: written as it is taken, which costs less than to keep it. Packed ones are made of pieces that were packed before.
fn listed(app: &App, packed: bool, pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
    if packed { Body::pull(app.packs.pack(pieces)) } else { Body::pull(pieces) }
}

fn coded(reply: &mut Reply, packed: bool) {
    if packed {
        reply.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    reply.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// `player_api.php` and `panel_api.php`.
pub fn api(app: &App, request: &Request, answer: impl FnOnce(xtream::Ask<'_>) -> xtream::Pieces) -> Reply {
    let catalog = app.library.catalog();
    let (name, password) = live::credentials(request, None);
    let packed = gzip::accepts(&request.headers);
    // Players take a refusal only in this form.
    let (body, packed) = match live::login(app, &catalog, request, name, password) {
        Ok(viewer) => {
            let (base, agent) = (base(app, request), request.agent());
            let ask = xtream::Ask {
                catalog: &catalog,
                guide: &app.guide,
                viewer: &viewer,
                params: &request.query,
                base: &base,
                active: app.seats.active(viewer.user.id),
                now: epoch_now(),
                agent: &agent,
            };
            (listed(app, packed, answer(ask)), packed)
        }
        Err(Denied::Credentials) => (Body::Full(xtream::refused()), false),
        Err(denied @ Denied::TooMany { .. }) => return Refusal::Denied(denied).reply(),
    };
    let mut reply = reply(StatusCode::OK, "application/json", body);
    coded(&mut reply, packed);
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// `get.php`, `/playlist.m3u` and `/p/TOKEN`: `type`, `output`, `category`, `search`, `mimetype`.
pub fn playlist(app: &App, request: &Request, token: Option<&str>) -> Reply {
    let (catalog, viewer) = match admit(app, request, token) {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal.reply(),
    };
    let of = |key| request.query.get(key).unwrap_or_default();
    let format = match (of("output"), viewer.user.formats.first()) {
        ("" | "ts" | "mpegts", Some(OutputFormat::Ts) | None) | ("ts" | "mpegts", _) => OutputFormat::Ts,
        ("hls" | "m3u8", _) => OutputFormat::M3u8,
        ("", Some(format)) => *format,
        (other, _) => {
            let shown = yagi_api::text::clean(other, 16);
            let line = format!("output={shown} is not served; expected ts, mpegts, hls or m3u8");
            return text(StatusCode::BAD_REQUEST, line);
        }
    };
    if let Err(refusal) = live::may_have(&viewer, format) {
        return refusal.reply();
    }
    let filter = match Filter::new(&catalog, &viewer, of("category"), of("search")) {
        Ok(filter) => filter,
        Err(word) => {
            return text(StatusCode::BAD_REQUEST, format_args!("category: there is no {word} in this line-up"));
        }
    };
    let mimetype = match of("mimetype") {
        "" => request.header(header::USER_AGENT).is_some_and(|agent| agent.starts_with("Kodi")),
        word => word != "0",
    };
    let style = Style { form: Form::named(of("type")), extension: format.word(), mimetype };
    let base = base(app, request).to_string();
    let (media, file) = style.form.file();
    let packed = gzip::accepts(&request.headers);
    let body = listed(app, packed, write::pieces(catalog, viewer, base, style, filter));
    let mut reply = reply(StatusCode::OK, media, body);
    coded(&mut reply, packed);
    let headers = reply.headers_mut();
    if let Ok(name) = HeaderValue::from_str(&format!("inline; filename=\"{file}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

/// `xmltv.php` and `/e/TOKEN`: `prev_days`, `next_days`. Where the path ends in `.gz` the file itself is packed.
pub fn guide(app: &App, request: &Request, token: Option<&str>) -> Reply {
    let (catalog, viewer) = match admit(app, request, token) {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal.reply(),
    };
    let now = epoch_now();
    let file = request.path.ends_with(".gz");
    let packed = file || gzip::accepts(&request.headers);
    let days = |key| request.query.get(key).and_then(|n| n.trim().parse().ok());
    let window = Window::new(days("prev_days"), days("next_days"), now);
    let asked = Asked { now, window, base: base(app, request).to_string() };
    let etag = guide::write::etag(&app.guide, &catalog, &viewer, &asked, packed);
    let changed = guide::write::changed_at(&app.guide, &catalog, &viewer, &asked);
    // Within one second two editions could have one date.
    let changed = (now - changed > 1).then(|| http_date(changed));
    // The date is that of line-up and guide; what else the bytes depend on, only the tag knows.
    let dated = viewer.class().is_none() && !catalog.serves_logos(&asked.base);
    let known = match request.header(header::IF_NONE_MATCH) {
        Some(held) => held.split(',').any(|tag| same_tag(tag, &etag)),
        None => dated && changed.is_some() && request.header(header::IF_MODIFIED_SINCE) == changed.as_deref(),
    };
    let mut reply = if known {
        let mut reply = no_content();
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        reply
    } else {
        let body = Body::pull(
            app.guides.runs(guide::write::runs(&app.guide, catalog, viewer, asked, app.guides.hasher()), packed),
        );
        let media = if file { "application/gzip" } else { "application/xml; charset=utf-8" };
        reply(StatusCode::OK, media, body)
    };
    coded(&mut reply, packed && !file && !known);
    let headers = reply.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    for (name, value) in [(header::ETAG, Some(etag)), (header::LAST_MODIFIED, changed)] {
        if let Some(Ok(value)) = value.map(|v| HeaderValue::from_str(&v)) {
            headers.insert(name, value);
        }
    }
    reply
}

/// Changes within this time are one.
const QUIET: Duration = Duration::from_secs(1);
/// Line-ups that are prepared, of those that viewers have.
const CLASSES: usize = 8;

/// Prepares lists and the guide after changes, once somebody has asked for such: who asks next finds the pieces packed.
pub async fn keep_ready(app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    let mut events = app.events.subscribe();
    let mut ready = None;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Err(broadcast::error::RecvError::Closed) => return,
                Ok(event) if !matches!(&*event, Event::Change { .. }) => continue,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            },
            _ = async { stopping.wait_for(|s| *s).await.is_ok() } => return,
        }
        // What comes in the meantime is one change with it.
        tokio::select! {
            () = tokio::time::sleep(QUIET) => {}
            _ = async { stopping.wait_for(|s| *s).await.is_ok() } => return,
        }
        while events.try_recv().is_ok() {}
        let catalog = app.library.catalog();
        let edition = (catalog.edition, app.guide.generation());
        if ready.replace(edition) != Some(edition) {
            let app = Arc::clone(&app);
            aside::run(move || prepare(&app, &catalog)).await;
        }
    }
}

fn prepare(app: &App, catalog: &Arc<Catalog>) {
    let mut viewers: Vec<&Arc<Viewer>> = Vec::new();
    for viewer in catalog.viewers() {
        if viewers.len() < CLASSES && !viewers.iter().any(|v| v.class() == viewer.class()) {
            viewers.push(viewer);
        }
    }
    for viewer in viewers {
        if app.packs.is_used() {
            // Rows of one line-up are the same for all who have it, but for logos that are served.
            let (streams, all) = (Params::parse("action=get_live_streams"), Params::default());
            let ask = |params| {
                let (guide, base, now) = (&app.guide, &app.own, epoch_now());
                xtream::Ask { catalog, guide, viewer, params, base, active: 0, now, agent: "" }
            };
            app.packs.pack(xtream::player_api(ask(&streams))).for_each(drop);
            app.packs.pack(xtream::panel_api(ask(&all))).for_each(drop);
        }
        if app.guides.is_used() {
            let asked = Asked { now: epoch_now(), window: Window::ALL, base: app.own.to_string() };
            let (catalog, viewer, hasher) = (Arc::clone(catalog), Arc::clone(viewer), app.guides.hasher());
            app.guides.runs(guide::write::runs(&app.guide, catalog, viewer, asked, hasher), true).for_each(drop);
        }
    }
}

/// The weak comparison of RFC 9110 §8.8.3.2.
fn same_tag(held: &str, etag: &str) -> bool {
    let held = held.trim();
    held == "*" || held.strip_prefix("W/").unwrap_or(held) == etag.strip_prefix("W/").unwrap_or(etag)
}

/// `Wed, 21 Oct 2015 07:28:00 GMT`.
fn http_date(at: i64) -> String {
    let at = jiff::Timestamp::from_second(at).unwrap_or_default();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_dates_are_those_of_http() {
        assert!(same_tag(" W/\"a\"", "\"a\"") && same_tag("*", "\"a\"") && !same_tag("\"b\"", "\"a\""));
        assert_eq!(http_date(1_445_412_480), "Wed, 21 Oct 2015 07:28:00 GMT");
    }
}
