//! `/hdhr/TOKEN/…`: a viewer's line-up as a network tuner, and its announcement.
//!
//! Owns who may ask: whoever has the token, from a configured network. Must not enter: the device's own words. Invariant: over
//! its tuners a request is refused, never taken from another: a recording is not ended by somebody who zaps.

use std::{net::IpAddr, sync::Arc};

use hyper::{Method, StatusCode};

use crate::{
    app::App,
    clock::epoch_now,
    hdhr::{self, Device, discovery::Announced},
    http::{
        Base, Body, Reply, Request,
        reply::{json, reply, text},
    },
    library::{Catalog, Viewer},
    lists, live,
};

const XML: &str = "application/xml; charset=utf-8";

/// `path` is what stands behind the token, without a slash in front.
pub async fn answer(app: &Arc<App>, request: &Request, token: &str, path: &str) -> Reply {
    let ip = live::client_ip(app, request);
    if !app.tuner_networks.iter().any(|net| net.contains(ip)) {
        return text(StatusCode::FORBIDDEN, "the tuner answers the networks of hdhr.networks only");
    }
    let catalog = app.library.catalog();
    let viewer = match live::admit(app, &catalog, request, "", token) {
        Ok(viewer) => viewer,
        Err(refusal) => return refusal.reply(),
    };
    let configured = app.config.load().config.hdhr.tuners;
    let device = Device::new(&viewer, token, &lists::base(app, request).to_string(), configured);
    let xml = |text: String| reply(StatusCode::OK, XML, Body::from(text));
    if let Some(number) = path.strip_prefix("auto/v") {
        let channel = number.parse().ok().and_then(|n| hdhr::by_number(&catalog, &viewer, n));
        return match channel {
            Some(channel) => live::tuned(app, request, &catalog, &viewer, channel, device.tuners).await,
            None => live::tuner_failure(StatusCode::NOT_FOUND, "801 Unknown Channel"),
        };
    }
    match path {
        "" | "discover.json" => json(StatusCode::OK, &device.discover()),
        "device.xml" => xml(device.description()),
        "lineup_status.json" => json(StatusCode::OK, &hdhr::lineup_status()),
        "lineup.json" => {
            warn_if_crowded(&catalog, &viewer, request);
            json(StatusCode::OK, &hdhr::lineup_json(&catalog, &viewer, &device.base))
        }
        "lineup.xml" => xml(hdhr::lineup_xml(&catalog, &viewer, &device.base)),
        "lineup.m3u" => {
            reply(StatusCode::OK, "audio/x-mpegurl", Body::from(hdhr::lineup_m3u(&catalog, &viewer, &device.base)))
        }
        // A scan finds what is there already: starting and ending one are the same.
        "lineup.post" => reply(StatusCode::OK, "text/html; charset=utf-8", Body::from(String::new())),
        _ => text(StatusCode::NOT_FOUND, "a tuner has nothing at this path"),
    }
}

/// Media centres read the line-up at a scan and some times a day.
fn warn_if_crowded(catalog: &Catalog, viewer: &Viewer, request: &Request) {
    let channels = catalog.lineup(viewer).count();
    if channels > hdhr::CROWDED && request.method == Method::GET {
        tracing::warn!(user = viewer.user.name, "{}", hdhr::crowded(channels));
    }
}

/// The device of the configured viewer, as long as it may watch and has a token.
pub fn announced(app: &Arc<App>) -> Announced {
    let app = Arc::clone(app);
    Arc::new(move |ip: IpAddr| {
        let loaded = app.config.load();
        let config = &loaded.config.hdhr;
        let catalog = app.library.catalog();
        let viewer = catalog.viewer(&config.announce)?;
        let token = viewer.token.as_ref()?;
        let active = viewer.status(epoch_now()) == yagi_api::UserStatus::Active;
        let public = app.addressing.load().public.clone();
        let base = public.or_else(|| Base::at(ip, &app.addresses, &app.tls_addresses))?;
        active.then(|| Device::new(viewer, token.expose(), &base.to_string(), config.tuners))
    })
}
