//! The Xtream API as players know it, rendered from a snapshot.
//!
//! Owns which action answers what. Must not enter: I/O but the guide's file, accounts' rules, clocks. Invariant: a viewer
//! that is not active gets the login object whatever it asks for, and no list is ever held whole in memory.

mod epg;
mod live;
mod panel;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use yagi_api::{Channel, UserStatus};

use crate::{
    guide::Guide,
    http::{Base, Params, packs::ends_piece},
    library::{Catalog, Viewer},
};

/// A JSON answer, rendered as the client takes it, in pieces of 16–64 KiB.
pub type Pieces = Box<dyn Iterator<Item = Bytes> + Send>;

/// Everything an answer depends on.
pub struct Ask<'a> {
    pub catalog: &'a Arc<Catalog>,
    pub guide: &'a Guide,
    pub viewer: &'a Arc<Viewer>,
    pub params: &'a Params,
    pub base: &'a Base,
    /// Streams of this viewer at this moment.
    pub active: u32,
    /// Epoch seconds.
    pub now: i64,
    /// The User-Agent.
    pub agent: &'a str,
}

impl Ask<'_> {
    fn quirks(&self) -> wire::Quirks {
        wire::Quirks::of(self.viewer.user.player, self.agent)
    }
}

/// Actions with an answer of their own; everything else is answered with the login object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Login,
    LiveCategories,
    LiveStreams,
    /// Films and series: there are none, and an empty list is what players survive.
    NoRows,
    NoFilm,
    NoSeries,
    ShortEpg,
    WholeEpg,
    PanelEpg,
}

impl Action {
    /// Reads the words and the legacy numbers of Xtream Codes.
    fn parse(text: &str) -> Self {
        match text {
            "get_live_categories" | "201" => Self::LiveCategories,
            "get_live_streams" | "202" => Self::LiveStreams,
            "get_vod_categories" | "get_vod_streams" | "get_series_categories" | "get_series" => Self::NoRows,
            "200" | "203" | "206" | "208" => Self::NoRows,
            "get_series_info" | "204" => Self::NoSeries,
            "get_vod_info" | "209" => Self::NoFilm,
            "get_short_epg" | "205" => Self::ShortEpg,
            "get_simple_data_table" | "get_simple_date_table" | "207" => Self::WholeEpg,
            "get_epg" => Self::PanelEpg,
            _ => Self::Login,
        }
    }
}

/// `player_api.php`.
pub fn player_api(ask: Ask<'_>) -> Pieces {
    match action(&ask) {
        Action::Login => one(login(&ask)),
        Action::LiveCategories => live::categories(&ask),
        Action::LiveStreams => live::streams(&ask),
        Action::NoRows => text("[]"),
        Action::NoFilm => text(r#"{"info":{},"movie_data":{}}"#),
        Action::NoSeries => text(r#"{"seasons":[],"info":{},"episodes":{}}"#),
        Action::ShortEpg => epg::short(&ask),
        Action::WholeEpg => epg::whole(&ask),
        Action::PanelEpg => epg::panel(&ask),
    }
}

/// `panel_api.php`: the older panel, which gives everything at once.
pub fn panel_api(ask: Ask<'_>) -> Pieces {
    match action(&ask) {
        Action::PanelEpg => epg::panel(&ask),
        _ if !is_active(&ask) => one(login(&ask)),
        _ => panel::everything(&ask),
    }
}

/// Wrong name or password: HTTP 200 with this.
pub fn refused() -> Bytes {
    Bytes::from_static(br#"{"user_info":{"auth":0}}"#)
}

fn is_active(ask: &Ask<'_>) -> bool {
    ask.viewer.status(ask.now) == UserStatus::Active
}

fn action(ask: &Ask<'_>) -> Action {
    if !is_active(ask) {
        return Action::Login;
    }
    Action::parse(ask.params.get("action").unwrap_or_default().trim())
}

fn login(ask: &Ask<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let user_info = wire::UserInfo::new(ask.viewer, ask.active, ask.now, ask.quirks());
    let server_info = wire::ServerInfo::new(ask.base, ask.catalog, ask.now);
    wire::put(&mut out, &wire::Login { user_info, server_info });
    out
}

fn one(bytes: Vec<u8>) -> Pieces {
    Box::new(std::iter::once(bytes.into()))
}

fn text(text: &'static str) -> Pieces {
    Box::new(std::iter::once(Bytes::from_static(text.as_bytes())))
}

/// What came of the next row.
enum Row {
    Written,
    /// It was written, and a piece ends behind it.
    Ends,
    /// There are no more.
    Missing,
}

impl Row {
    /// Of a channel. Which ones end a piece depends on nothing but the channel, so that a change of one leaves all other pieces as
    /// they were.
    fn of(channel: &Channel) -> Self {
        if ends_piece(channel.id.0) { Self::Ends } else { Self::Written }
    }
}

/// Rows between a head and a tail, gathered into pieces as they are taken. `row` appends the next one.
fn rows(head: Vec<u8>, tail: &'static str, mut row: impl FnMut(&mut Vec<u8>) -> Row + Send + 'static) -> Pieces {
    const PIECE: usize = 64 << 10;
    let mut out = head;
    let (mut first, mut ended) = (true, false);
    Box::new(std::iter::from_fn(move || {
        while !ended && out.len() < PIECE {
            let before = out.len();
            if !first {
                out.push(b',');
            }
            match row(&mut out) {
                Row::Written => first = false,
                Row::Ends => {
                    first = false;
                    break;
                }
                Row::Missing => {
                    out.truncate(before);
                    out.extend_from_slice(tail.as_bytes());
                    ended = true;
                }
            }
        }
        let next = if ended { Vec::new() } else { Vec::with_capacity(PIECE + 2048) };
        let piece = std::mem::replace(&mut out, next);
        (!piece.is_empty()).then(|| piece.into())
    }))
}
