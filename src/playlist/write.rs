//! `get.php`: the line-up of one viewer as M3U, in pieces.
//!
//! Owns the spelling of every line. Must not enter: logins, sockets, upstream addresses (a playlist never shows where a picture
//! comes from, so catch-up facts of providers are not written). Invariant: one entry is two lines; no quote, control character or
//! comma of a name can shift what follows it.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use yagi_api::{Channel, text::is_foul};

use crate::library::{Catalog, Viewer};

/// What the player asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// `type=m3u_plus`: with attributes. `type=m3u` is names and URLs only.
    pub plus: bool,
    /// Extension of the stream URLs, without the dot: `ts`.
    pub extension: &'static str,
}

impl Default for Style {
    fn default() -> Self {
        Self { plus: true, extension: "ts" }
    }
}

const PIECE: usize = 32 * 1024;

/// The playlist, in pieces of about 32 KiB. `base` is the daemon's address as this player reaches it, without a final slash.
pub fn pieces(
    catalog: Arc<Catalog>,
    viewer: Arc<Viewer>,
    base: String,
    style: Style,
) -> impl Iterator<Item = Bytes> + Send + 'static {
    let mut next = 0;
    let mut begun = false;
    std::iter::from_fn(move || {
        let mut out = String::new();
        if !begun {
            begun = true;
            header(&mut out, &viewer, &base);
        }
        while next < catalog.channels().len() && out.len() < PIECE {
            let channel = &catalog.channels()[next];
            next += 1;
            if catalog.may_watch(&viewer, channel) {
                if out.capacity() < PIECE {
                    out.reserve(PIECE + 4096);
                }
                entry(&mut out, &catalog, &viewer, channel, &base, style);
            }
        }
        (!out.is_empty()).then(|| Bytes::from(out))
    })
}

/// Kodi reads the first of the two, others know one or the other.
fn header(out: &mut String, viewer: &Viewer, base: &str) {
    let (name, password) = (&viewer.user.name, viewer.password.expose());
    let guide = format!("{base}/xmltv.php?username={name}&password={password}");
    let _ = writeln!(out, "#EXTM3U x-tvg-url=\"{guide}\" url-tvg=\"{guide}\"");
}

fn entry(out: &mut String, catalog: &Catalog, viewer: &Viewer, channel: &Channel, base: &str, style: Style) {
    out.push_str("#EXTINF:-1");
    if style.plus {
        out.push_str(" tvg-id=\"");
        out.push_str(&catalog.output_id(channel));
        attribute(out, "tvg-name", &channel.name);
        attribute(out, "tvg-logo", &channel.logo);
        let _ = write!(out, "\" tvg-chno=\"{}", channel.number);
        attribute(out, "group-title", catalog.category_name(channel));
        if channel.radio {
            attribute(out, "radio", "true");
        }
        out.push('"');
    }
    out.push(',');
    shown(out, &channel.name);
    let (name, password) = (&viewer.user.name, viewer.password.expose());
    let _ = writeln!(out, "\n{base}/live/{name}/{password}/{}.{}", channel.id, style.extension);
}

/// Closes the value before, opens its own.
fn attribute(out: &mut String, name: &str, value: &str) {
    out.push_str("\" ");
    out.push_str(name);
    out.push_str("=\"");
    out.extend(value.chars().filter(|c| !is_foul(*c)).map(|c| if c == '"' { '\'' } else { c }));
}

/// Many players take a name from after the last comma, or the last quote, of the line. A low quotation mark looks like a comma
/// and cuts nothing.
fn shown(out: &mut String, name: &str) {
    out.extend(name.chars().filter(|c| !is_foul(*c)).map(|c| match c {
        '"' => '\'',
        ',' => '\u{201a}',
        c => c,
    }));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{library::sample, playlist::m3u::Reader};

    fn text(catalog: Catalog, style: Style) -> String {
        let catalog = Arc::new(catalog);
        let viewer = Arc::clone(catalog.viewer("demo").unwrap());
        let parts: Vec<Bytes> = pieces(catalog, viewer, "http://tv.lan:8080/iptv".to_owned(), style).collect();
        String::from_utf8(parts.concat()).unwrap()
    }

    fn catalog() -> Catalog {
        let mut law = sample::channel(3, "Law, Order \"Special\"", "law.us");
        law.logo = "http://logos.example/law.png".to_owned();
        let mut radio = sample::channel(7, "Radio", "LAW.US");
        radio.radio = true;
        let mut gone = sample::channel(8, "Gone", "");
        gone.retired_at = Some(1);
        Catalog::sample(&[law, radio, gone], &[("demo", "pass")])
    }

    #[test]
    fn m3u_plus_has_its_attributes_in_order() {
        insta::assert_snapshot!(text(catalog(), Style::default()), @r##"
        #EXTM3U x-tvg-url="http://tv.lan:8080/iptv/xmltv.php?username=demo&password=pass" url-tvg="http://tv.lan:8080/iptv/xmltv.php?username=demo&password=pass"
        #EXTINF:-1 tvg-id="law.us" tvg-name="Law, Order 'Special'" tvg-logo="http://logos.example/law.png" tvg-chno="3" group-title="News",Law‚ Order 'Special'
        http://tv.lan:8080/iptv/live/demo/pass/3.ts
        #EXTINF:-1 tvg-id="c7.yagid" tvg-name="Radio" tvg-logo="" tvg-chno="7" group-title="News" radio="true",Radio
        http://tv.lan:8080/iptv/live/demo/pass/7.ts
        "##);
    }

    #[test]
    fn m3u_has_names_and_urls_only() {
        insta::assert_snapshot!(text(catalog(), Style { plus: false, extension: "ts" }), @r##"
        #EXTM3U x-tvg-url="http://tv.lan:8080/iptv/xmltv.php?username=demo&password=pass" url-tvg="http://tv.lan:8080/iptv/xmltv.php?username=demo&password=pass"
        #EXTINF:-1,Law‚ Order 'Special'
        http://tv.lan:8080/iptv/live/demo/pass/3.ts
        #EXTINF:-1,Radio
        http://tv.lan:8080/iptv/live/demo/pass/7.ts
        "##);
    }

    #[test]
    fn a_long_line_up_comes_in_bounded_pieces() {
        let channels: Vec<_> = (1..=2000).map(|i| sample::channel(i, &format!("Channel {i}"), "")).collect();
        let catalog = Arc::new(Catalog::sample(&channels, &[("demo", "pass")]));
        let viewer = Arc::clone(catalog.viewer("demo").unwrap());
        let parts: Vec<Bytes> = pieces(catalog, viewer, "http://h".to_owned(), Style::default()).collect();
        assert!(parts.len() > 5 && parts.iter().all(|p| p.len() < PIECE + 4096));
        assert_eq!(parts.concat().windows(7).filter(|w| w == b"#EXTINF").count(), 2000);
    }

    proptest! {
        /// What we write is read back as it was meant, whatever the names are, and every client's rule finds the same name.
        #[test]
        fn reading_what_was_written_is_a_fixed_point(names in prop::collection::vec("\\PC{1,30}|[ -~]{1,30}", 1..6)) {
            let channels: Vec<_> = (1..).zip(&names).map(|(i, n)| {
                let mut c = sample::channel(i, &yagi_api::text::clean(n, 512), "");
                if c.name.is_empty() { c.name = "x".to_owned(); }
                c
            }).collect();
            let first = text(Catalog::sample(&channels, &[("demo", "pass")]), Style::default());
            prop_assert_eq!(first.lines().count(), 1 + 2 * channels.len());
            let mut reader = Reader::new(Box::new(std::io::Cursor::new(first.clone().into_bytes())), 99).unwrap();
            let mut again = Vec::new();
            while let Some(entry) = reader.next().unwrap() {
                let mut c = sample::channel(entry.number, &entry.name, "");
                prop_assert_eq!(&entry.group, "News");
                prop_assert!(!entry.name.contains([',', '"']));
                c.logo.clone_from(&entry.logo);
                again.push(c);
            }
            prop_assert_eq!(&reader.summary.notes, &[]);
            let names: Vec<_> = again.iter().map(|c| c.name.clone()).collect();
            let second = text(Catalog::sample(&again, &[("demo", "pass")]), Style::default());
            for (line, name) in second.lines().skip(1).step_by(2).zip(&names) {
                prop_assert_eq!(line.rsplit(',').next().unwrap(), name);
                prop_assert_eq!(line.rsplit("\",").next().unwrap(), name);
            }
        }
    }
}
