//! The JSON types that players expect, and nothing else: numbers that must be strings, strings that must not be null.
//!
//! Every row of docs/XTREAM.md's table of types is decided here, and the few in which families of players disagree. Must not
//! enter: which rows an answer has. Invariant: no field is null, and no field that a known player reads as a string is a
//! number, or the other way round.

use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Serialize, Serializer};
use yagi_api::{Category, Channel, PlayerFamily, Programme};

use crate::{
    guide::time,
    http::Base,
    library::{Catalog, Viewer},
};

/// "Never" of `exp_date`: 2038-01-01, the last new year that players with 32-bit times understand.
pub const NEVER: i64 = 2_145_916_800;

/// What a family of players wants otherwise than the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// `active_cons` and `max_connections` are numbers.
    pub counts_are_numbers: bool,
    /// `end` of the short guide is epoch seconds; `stop` is the date, as always.
    pub short_end_is_epoch: bool,
}

const STANDARD_QUIRKS: Quirks = Quirks { counts_are_numbers: false, short_end_is_epoch: false };

/// The families, a word of their User-Agent in lower case (none: cannot be told by it), and what they want.
const FAMILIES: &[(PlayerFamily, Option<&str>, Quirks)] = &[
    (PlayerFamily::Standard, None, STANDARD_QUIRKS),
    (PlayerFamily::Smarters, Some("smarters"), Quirks { counts_are_numbers: true, ..STANDARD_QUIRKS }),
    (PlayerFamily::Xui, None, Quirks { short_end_is_epoch: true, ..STANDARD_QUIRKS }),
];

impl Quirks {
    /// The viewer's own choice, else what the User-Agent tells.
    pub fn of(family: PlayerFamily, agent: &str) -> Self {
        let agent = agent.to_ascii_lowercase();
        let told = |word: Option<&str>| family == PlayerFamily::Auto && word.is_some_and(|w| agent.contains(w));
        let found = FAMILIES.iter().find(|(name, word, _)| *name == family || told(*word));
        found.map_or(STANDARD_QUIRKS, |(.., quirks)| *quirks)
    }
}

/// A number in the spelling of the family.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
enum Count {
    Digits(Digits),
    Number(i64),
}

impl Count {
    fn new(n: u32, quirks: Quirks) -> Self {
        if quirks.counts_are_numbers { Self::Number(n.into()) } else { Self::Digits(Digits(n.into())) }
    }
}

/// A number as a string of digits.
#[derive(Clone, Copy, Debug)]
pub struct Digits(pub i64);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // A sign would not be a digit.
        to.collect_str(&self.0.max(0))
    }
}

/// A text in base64 of its UTF-8.
#[derive(Clone, Copy)]
struct Base64<'a>(&'a str);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&base64::display::Base64Display::new(self.0.as_bytes(), &STANDARD))
    }
}

/// A foreign text. It was cleaned at the border; whatever slipped through is dropped here once more.
#[derive(Clone, Copy)]
struct Text<'a>(&'a str);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&yagi_api::text::clean(self.0, usize::MAX))
    }
}

/// `YYYY-MM-DD hh:mm:ss` in the server's zone; none: UTC.
#[derive(Clone, Copy)]
struct Stamp<'a>(i64, Option<&'a TimeZone>);

impl Serialize for Stamp<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let east = |zone: &TimeZone| Some(zone.to_offset(Timestamp::from_second(self.0).ok()?).seconds());
        let offset = self.1.and_then(east).unwrap_or(0);
        to.serialize_str(&time::wire(self.0 + i64::from(offset)))
    }
}

/// The end of a programme in the spelling of the family.
#[derive(Serialize)]
#[serde(untagged)]
enum End<'a> {
    Stamp(Stamp<'a>),
    Epoch(Digits),
}

#[derive(Serialize)]
pub struct Login<'a> {
    pub user_info: UserInfo<'a>,
    pub server_info: ServerInfo<'a>,
}

#[derive(Serialize)]
pub struct UserInfo<'a> {
    username: &'a str,
    password: &'a str,
    message: &'static str,
    auth: u8,
    status: &'static str,
    exp_date: Digits,
    is_trial: &'static str,
    active_cons: Count,
    created_at: Digits,
    max_connections: Count,
    allowed_output_formats: Vec<&'static str>,
}

impl<'a> UserInfo<'a> {
    pub fn new(viewer: &'a Viewer, active: u32, now: i64, quirks: Quirks) -> Self {
        let user = &viewer.user;
        Self {
            username: &user.name,
            // The player sent it; it builds its stream URLs from this copy.
            password: viewer.password.expose(),
            message: "",
            auth: 1,
            status: viewer.status(now).word(),
            exp_date: Digits(user.expires_at.unwrap_or(NEVER).min(NEVER)),
            is_trial: if user.trial { "1" } else { "0" },
            active_cons: Count::new(active, quirks),
            created_at: Digits(user.created_at),
            max_connections: Count::new(user.max_connections, quirks),
            // Never empty: some players take m3u8 then.
            allowed_output_formats: user.formats.iter().map(|f| f.word()).collect(),
        }
    }
}

#[derive(Serialize)]
pub struct ServerInfo<'a> {
    url: &'a str,
    port: Digits,
    https_port: Digits,
    server_protocol: &'static str,
    rtmp_port: &'static str,
    timezone: &'a str,
    timestamp_now: i64,
    time_now: Stamp<'a>,
}

impl<'a> ServerInfo<'a> {
    pub fn new(base: &'a Base, catalog: &'a Catalog, now: i64) -> Self {
        let port = Digits(base.port.into());
        Self {
            url: &base.host,
            port,
            // Players build protocol://url:port, some with https_port: behind TLS both are the one that works.
            https_port: if base.scheme == "https" { port } else { Digits(443) },
            server_protocol: base.scheme,
            rtmp_port: "1935",
            timezone: catalog.zone().map_or("UTC", |_| &catalog.settings().timezone),
            timestamp_now: now,
            time_now: Stamp(now, catalog.zone()),
        }
    }
}

#[derive(Serialize)]
pub struct CategoryRow<'a> {
    category_id: Digits,
    category_name: Text<'a>,
    parent_id: u8,
}

impl<'a> CategoryRow<'a> {
    pub fn new(category: &'a Category) -> Self {
        Self { category_id: Digits(category.id.0.into()), category_name: Text(&category.name), parent_id: 0 }
    }
}

/// What a channel's row is made of, beside the channel.
pub struct LiveRow<'a> {
    pub channel: &'a Channel,
    pub output_id: &'a str,
    pub logo: &'a str,
    /// Days that its archive reaches back; 0: there is none.
    pub archive_days: u16,
}

impl LiveRow<'_> {
    /// Appends the row. By hand: answers have tens of thousands of them and must not take longer than a blink.
    pub fn put(&self, out: &mut Vec<u8>) {
        self.open(out);
        out.push(b'}');
    }

    /// The same with what the legacy panel says beside.
    pub fn put_panel(&self, category_name: &str, out: &mut Vec<u8>) {
        self.open(out);
        out.extend_from_slice(br#","type_name":"Live Streams","category_name":"#);
        text(out, category_name);
        out.extend_from_slice(br#","series_no":"","live":"1","container_extension":"ts"}"#);
    }

    fn open(&self, out: &mut Vec<u8>) {
        let channel = self.channel;
        let (mut category, mut n) = (itoa::Buffer::new(), itoa::Buffer::new());
        let category = category.format(channel.category.0).as_bytes();
        let mut number = |out: &mut Vec<u8>, value: i64| out.extend_from_slice(n.format(value).as_bytes());
        out.extend_from_slice(br#"{"num":"#);
        number(out, channel.number.into());
        out.extend_from_slice(br#","name":"#);
        text(out, &channel.name);
        out.extend_from_slice(br#","stream_type":"live","stream_id":"#);
        number(out, channel.id.0.into());
        out.extend_from_slice(br#","stream_icon":"#);
        text(out, self.logo);
        out.extend_from_slice(br#","epg_channel_id":"#);
        text(out, self.output_id);
        out.extend_from_slice(br#","added":""#);
        // A sign would not be a digit.
        number(out, channel.added_at.max(0));
        out.extend_from_slice(br#"","category_id":""#);
        out.extend_from_slice(category);
        out.extend_from_slice(br#"","category_ids":["#);
        out.extend_from_slice(category);
        // `direct_source` is empty: some players would play it instead of us.
        let archive: &[u8] = if self.archive_days > 0 { b"1" } else { b"0" };
        out.extend_from_slice(br#"],"custom_sid":"","tv_archive":"#);
        out.extend_from_slice(archive);
        out.extend_from_slice(br#","direct_source":"","tv_archive_duration":"#);
        number(out, self.archive_days.into());
    }
}

/// A foreign text with its quotes: as it is where nothing in it can matter.
fn text(out: &mut Vec<u8>, text: &str) {
    if yagi_api::text::is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        put(out, &Text(text));
    }
}

/// How the times of a guide's row are told.
#[derive(Clone, Copy)]
pub struct Clock<'a> {
    pub now: i64,
    /// None: UTC.
    pub zone: Option<&'a TimeZone>,
    pub end_is_epoch: bool,
    /// Of the channel.
    pub archive_days: u16,
}

#[derive(Serialize)]
pub struct EpgRow<'a> {
    id: Digits,
    epg_id: Digits,
    title: Base64<'a>,
    lang: Text<'a>,
    start: Stamp<'a>,
    end: End<'a>,
    stop: Stamp<'a>,
    description: Base64<'a>,
    channel_id: &'a str,
    start_timestamp: Digits,
    stop_timestamp: Digits,
    now_playing: u8,
    has_archive: u8,
}

impl<'a> EpgRow<'a> {
    pub fn new(channel: &Channel, output_id: &'a str, p: &'a Programme, clock: Clock<'a>) -> Self {
        let Clock { now, zone, end_is_epoch, archive_days } = clock;
        Self {
            id: Digits(row_id(channel.id.0, p.start)),
            epg_id: Digits(channel.id.0.into()),
            title: Base64(&p.title),
            lang: Text(&p.lang),
            start: Stamp(p.start, zone),
            end: if end_is_epoch { End::Epoch(Digits(p.stop)) } else { End::Stamp(Stamp(p.stop, zone)) },
            stop: Stamp(p.stop, zone),
            description: Base64(&p.description),
            channel_id: output_id,
            start_timestamp: Digits(p.start),
            stop_timestamp: Digits(p.stop),
            now_playing: u8::from(p.start <= now && now < p.stop),
            // As panels have it: what is over, and whose beginning is still there.
            has_archive: u8::from(p.stop <= now && p.start >= now - i64::from(archive_days) * 86_400),
        }
    }
}

/// A number below 2^31 that stays the programme's as long as its channel and start stay.
fn row_id(channel: u32, start: i64) -> i64 {
    let mixed = (u64::from(channel) << 32 | (start as u64 & 0xffff_ffff)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 33).max(1) as i64
}

/// A programme as `panel_api.php?action=get_epg` gives it: times are integers there.
#[derive(Serialize)]
pub struct PanelEpgRow<'a> {
    id: Digits,
    epg_id: Digits,
    title: Base64<'a>,
    lang: Text<'a>,
    start: i64,
    end: i64,
    description: Base64<'a>,
    channel_id: &'a str,
}

impl<'a> PanelEpgRow<'a> {
    pub fn new(channel: &Channel, output_id: &'a str, p: &'a Programme) -> Self {
        Self {
            id: Digits(row_id(channel.id.0, p.start)),
            epg_id: Digits(channel.id.0.into()),
            title: Base64(&p.title),
            lang: Text(&p.lang),
            start: p.start,
            end: p.stop,
            description: Base64(&p.description),
            channel_id: output_id,
        }
    }
}

/// Appends a value. A row of ours always serialises: its fields are texts and numbers.
pub fn put(out: &mut Vec<u8>, row: &impl Serialize) {
    let whole = out.len();
    if serde_json::to_writer(&mut *out, row).is_err() {
        out.truncate(whole);
        out.extend_from_slice(b"{}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_by_their_agent_or_by_the_viewer_s_choice() {
        use PlayerFamily::{Auto, Smarters, Standard, Xui};
        for (family, agent, numbers, epoch) in [
            (Auto, "", false, false),
            (Auto, "okhttp/4.9", false, false),
            (Auto, "IPTVSmartersPro/3.1 (Android)", true, false),
            (Standard, "IPTVSmarters", false, false),
            (Smarters, "okhttp/4.9", true, false),
            (Xui, "IPTVSmarters", false, true),
        ] {
            let quirks = Quirks::of(family, agent);
            assert_eq!((quirks.counts_are_numbers, quirks.short_end_is_epoch), (numbers, epoch), "{family:?} {agent}");
        }
    }

    #[test]
    fn stamps_are_of_the_zone_on_both_sides_of_a_change_of_clocks() {
        let text = |at, zone: &str| serde_json::to_string(&Stamp(at, Some(&TimeZone::get(zone).unwrap()))).unwrap();
        // 2026-03-29 01:00 UTC: Rome goes from 02:00 to 03:00.
        assert_eq!(text(1_774_745_999, "Europe/Rome"), "\"2026-03-29 01:59:59\"");
        assert_eq!(text(1_774_746_000, "Europe/Rome"), "\"2026-03-29 03:00:00\"");
        assert_eq!(text(1_774_746_000, "Asia/Kolkata"), "\"2026-03-29 06:30:00\"");
        assert_eq!(text(1_774_746_000, "America/St_Johns"), "\"2026-03-28 22:30:00\"");
    }
}
