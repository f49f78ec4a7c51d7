//! A network tuner as Plex, Jellyfin and Emby know it (HDHomeRun): what the device says of itself and its line-up.
//!
//! Owns the device's identity and the spelling of its answers. Must not enter: logins, streams, HTTP. Invariants: one token is
//! one device, whose id stays as long as the token; no answer names a user or a password; a channel's number is its guide
//! number, unique and stable.

pub mod discovery;
mod packet;
mod ssdp;

use std::fmt::Write as _;

use serde_json::json;
use yagi_api::Channel;

use crate::library::{Catalog, Viewer};

/// Line-ups above this are said to be cut by Plex.
pub const CROWDED: usize = 480;
/// Tuners of a viewer without a limit, when the configuration says nothing else.
const TUNERS: u32 = 4;
/// Not the transcoding model: for that one media centres ask for profiles that nobody here has.
const MODEL: &str = "HDHR5-4US";
const FIRMWARE: &str = "hdhomerun5_atsc";
const VERSION: &str = "20250815";

/// What to tell an operator of a line-up above [`CROWDED`].
pub fn crowded(channels: usize) -> String {
    format!(
        "the line-up has {channels} channels and Plex is known to take {CROWDED}: allow this viewer fewer categories for it"
    )
}

/// One tuner device: a viewer behind its token.
pub struct Device {
    pub id: u32,
    pub name: String,
    /// `http://host:port/hdhr/TOKEN`.
    pub base: String,
    pub tuners: u32,
}

impl Device {
    /// `configured` is the number of tuners from the configuration; 0: the viewer's limit.
    pub fn new(viewer: &Viewer, token: &str, server: &str, configured: u32) -> Self {
        let id = device_id(token);
        Self {
            id,
            // A network hears it: no name of a viewer.
            name: format!("Yagi {:04X}", id & 0xffff),
            base: format!("{server}/hdhr/{token}"),
            tuners: tuners(viewer, configured),
        }
    }

    fn id(&self) -> String {
        format!("{:08X}", self.id)
    }

    pub fn discover(&self) -> serde_json::Value {
        json!({
            "FriendlyName": self.name, "Manufacturer": "Silicondust", "ModelNumber": MODEL, "FirmwareName": FIRMWARE,
            "FirmwareVersion": VERSION, "DeviceID": self.id(), "DeviceAuth": "yagi", "BaseURL": self.base,
            "LineupURL": format!("{}/lineup.json", self.base), "TunerCount": self.tuners,
        })
    }

    /// UPnP's description of the device.
    pub fn description(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        out.push_str("<root xmlns=\"urn:schemas-upnp-org:device-1-0\">\n<specVersion><major>1</major><minor>0</minor></specVersion>\n");
        let _ = write!(
            out,
            "<URLBase>{}</URLBase>\n<device>\n<deviceType>{DEVICE_TYPE}</deviceType>\n",
            escape(&self.base)
        );
        for (name, value) in [
            ("friendlyName", self.name.as_str()),
            ("manufacturer", "Silicondust"),
            ("manufacturerURL", "http://www.silicondust.com/"),
            ("modelDescription", "Yagi network tuner"),
            ("modelName", MODEL),
            ("modelNumber", MODEL),
            ("serialNumber", &self.id()),
            ("UDN", &self.udn()),
        ] {
            let _ = writeln!(out, "<{name}>{}</{name}>", escape(value));
        }
        out.push_str("</device>\n</root>\n");
        out
    }

    fn udn(&self) -> String {
        format!("uuid:59616769-0000-4000-8000-0000{:08x}", self.id)
    }
}

const DEVICE_TYPE: &str = "urn:schemas-upnp-org:device:MediaServer:1";

/// How many streams the tuner may have at once.
pub fn tuners(viewer: &Viewer, configured: u32) -> u32 {
    match (viewer.user.max_connections, configured) {
        (0, 0) => TUNERS,
        (0, n) | (n, 0) => n,
        (limit, n) => limit.min(n),
    }
}

/// Eight hexadecimal digits: real devices begin with 1, and the last digit makes the sum that clients check right.
fn device_id(token: &str) -> u32 {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("yagid network tuner {token}").as_bytes());
    let bits = digest.as_ref().iter().take(3).fold(0u32, |n, b| n << 8 | u32::from(*b));
    let id = 0x1000_0000 | bits << 4;
    id | u32::from(checksum(id))
}

/// Zero for a whole id. Every other digit goes through a table.
fn checksum(id: u32) -> u8 {
    const TABLE: [u8; 16] = [0xa, 0x5, 0xf, 0x6, 0x7, 0xc, 0x1, 0xb, 0x9, 0x2, 0x8, 0xd, 0x4, 0x3, 0xe, 0x0];
    (0..8).fold(0, |sum, place| {
        let digit = (id >> (28 - 4 * place) & 0xf) as u8;
        sum ^ if place % 2 == 0 { TABLE[usize::from(digit)] } else { digit }
    })
}

pub fn lineup_status() -> serde_json::Value {
    json!({"ScanInProgress": 0, "ScanPossible": 1, "Source": "Cable", "SourceList": ["Cable"]})
}

/// Radio is no television channel to media centres, and a tuner has nothing else.
fn lineup<'a>(catalog: &'a Catalog, viewer: &'a Viewer) -> impl Iterator<Item = &'a Channel> {
    catalog.lineup(viewer).map(|c| &**c).filter(|c| !c.radio)
}

fn stream_url(base: &str, channel: &Channel) -> String {
    format!("{base}/auto/v{}", channel.number)
}

pub fn lineup_json(catalog: &Catalog, viewer: &Viewer, base: &str) -> serde_json::Value {
    lineup(catalog, viewer)
        .map(|c| json!({"GuideNumber": c.number.to_string(), "GuideName": c.name, "URL": stream_url(base, c)}))
        .collect()
}

pub fn lineup_xml(catalog: &Catalog, viewer: &Viewer, base: &str) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Lineup>\n");
    for c in lineup(catalog, viewer) {
        let (name, url) = (escape(&c.name), escape(&stream_url(base, c)));
        let _ = writeln!(
            out,
            "<Program><GuideNumber>{}</GuideNumber><GuideName>{name}</GuideName><URL>{url}</URL></Program>",
            c.number
        );
    }
    out.push_str("</Lineup>\n");
    out
}

pub fn lineup_m3u(catalog: &Catalog, viewer: &Viewer, base: &str) -> String {
    let mut out = String::from("#EXTM3U\n");
    for c in lineup(catalog, viewer) {
        let name: String = c.name.chars().map(|c| if c == '"' { '\'' } else { c }).collect();
        let id = catalog.output_id(c);
        let _ = writeln!(
            out,
            "#EXTINF:-1 channel-id=\"{n}\" channel-number=\"{n}\" tvg-id=\"{id}\" tvg-name=\"{name}\",{shown}\n{}",
            stream_url(base, c),
            n = c.number,
            shown = name.replace(',', "\u{201a}")
        );
    }
    out
}

/// The channel behind `/auto/vN`.
pub fn by_number<'a>(catalog: &'a Catalog, viewer: &'a Viewer, number: u32) -> Option<&'a Channel> {
    let at = catalog.channels().binary_search_by_key(&number, |c| c.number).ok()?;
    Some(&*catalog.channels()[at]).filter(|c| catalog.may_watch(viewer, c))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !yagi_api::text::is_foul(*c)) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::sample::channel;

    fn catalog() -> Catalog {
        let radio = Channel { radio: true, ..channel(4, "Radio", "") };
        let shown = channel(3, "Law, Order & \"Special\"", "law.us");
        Catalog::sample(&[shown, radio, channel(12, "Twelve", "")], &[("ada", "pw")])
    }

    #[test]
    fn ids_are_those_of_real_devices_and_stay_with_their_token() {
        for token in ["a", "b", "token-of-ada", ""] {
            let id = device_id(token);
            assert_eq!((checksum(id), id >> 28, device_id(token)), (0, 1, id), "{token}");
        }
        assert_ne!(device_id("a"), device_id("b"));
        // Of two real devices.
        assert_eq!((checksum(0x1054_04BE), checksum(0x10AC_FCDE)), (0, 0));
        assert_ne!(checksum(0x1234_5678), 0);
    }

    #[test]
    fn tuners_are_what_the_viewer_may_have() {
        let catalog = catalog();
        let mut viewer = Viewer::clone(catalog.viewer("ada").unwrap());
        for (limit, configured, told) in [(0, 0, 4), (0, 2, 2), (3, 0, 3), (3, 2, 2), (3, 9, 3)] {
            viewer.user.max_connections = limit;
            assert_eq!(tuners(&viewer, configured), told);
        }
    }

    #[test]
    fn what_the_device_says() {
        let catalog = catalog();
        let viewer = catalog.viewer("ada").unwrap();
        let device = Device::new(viewer, "tok", "http://tv.lan:8080", 2);
        insta::assert_snapshot!(format!(
            "{:#}\n{}\n{}\n{}\n{}",
            device.discover(),
            device.description(),
            lineup_json(&catalog, viewer, &device.base),
            lineup_xml(&catalog, viewer, &device.base),
            lineup_m3u(&catalog, viewer, &device.base),
        ));
    }

    #[test]
    fn channels_are_found_by_their_number() {
        let catalog = catalog();
        let viewer = catalog.viewer("ada").unwrap();
        assert_eq!(by_number(&catalog, viewer, 12).unwrap().name, "Twelve");
        assert!(by_number(&catalog, viewer, 13).is_none());
    }
}
