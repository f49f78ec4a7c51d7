//! `get.php`: the line-up of one viewer, in pieces.
//!
//! Owns which channels are written, and their addresses. Must not enter: logins, sockets, upstream addresses (a playlist never
//! shows where a picture comes from: archives are linked at the daemon too). Invariant: a piece and no list is in memory.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use yagi_api::{CategoryId, Channel};

use super::forms::{Form, Row};
use crate::{
    http::packs::ends_piece,
    library::{Catalog, Viewer},
};

/// What the player asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Style {
    pub form: Form,
    /// Extension of the stream URLs, without the dot.
    pub extension: &'static str,
    /// Whether to say what the streams are: spares Kodi a look at each.
    pub mimetype: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { form: Form::Plus, extension: "ts", mimetype: false }
    }
}

/// Which channels of the line-up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Sorted; none: all.
    categories: Option<Vec<CategoryId>>,
    /// In lower case; all must be in the name.
    terms: Vec<String>,
}

impl Filter {
    /// `category`: ids or names, separated by commas; `search`: words.
    ///
    /// # Errors
    /// The category that does not exist.
    pub fn new(catalog: &Catalog, viewer: &Viewer, category: &str, search: &str) -> Result<Self, String> {
        let seen = || catalog.categories().iter().filter(|c| viewer.sees(c.id));
        let find = |word: &str| {
            let by_name = || seen().find(|c| c.name.to_lowercase() == word.to_lowercase());
            let found = seen().find(|c| c.id.to_string() == word).or_else(by_name);
            found.map(|c| c.id).ok_or_else(|| yagi_api::text::clean(word, 64).into_owned())
        };
        // A name may hold commas itself.
        let words: Vec<&str> = match category.trim() {
            "" | "0" | "*" => Vec::new(),
            whole if find(whole).is_ok() => vec![whole],
            list => list.split(',').map(str::trim).filter(|w| !w.is_empty()).collect(),
        };
        let mut ids = words.iter().map(|w| find(w)).collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        let terms = search.to_lowercase().split_whitespace().map(str::to_owned).collect();
        Ok(Self { categories: (!words.is_empty()).then_some(ids), terms })
    }

    fn takes(&self, channel: &Channel) -> bool {
        self.categories.as_ref().is_none_or(|ids| ids.binary_search(&channel.category).is_ok())
            && (self.terms.is_empty() || {
                let name = channel.name.to_lowercase();
                self.terms.iter().all(|t| name.contains(t.as_str()))
            })
    }
}

const PIECE: usize = 64 * 1024;

/// The playlist, in pieces of at most 64 KiB and a row. `base` is the daemon's address as this player reaches it, without a final slash.
pub fn pieces(
    catalog: Arc<Catalog>,
    viewer: Arc<Viewer>,
    base: String,
    style: Style,
    filter: Filter,
) -> impl Iterator<Item = Bytes> + Send + 'static {
    let mut next = 0;
    let (mut begun, mut ended) = (false, false);
    let (mut url, mut archive) = (String::new(), String::new());
    std::iter::from_fn(move || {
        let mut out = String::new();
        if !begun {
            begun = true;
            let (guide, own) = links(&viewer, &base);
            style.form.head(&mut out, &guide, &own);
        }
        while next < catalog.channels().len() && out.len() < PIECE {
            let (index, channel) = (next, &catalog.channels()[next]);
            next += 1;
            if catalog.may_watch(&viewer, channel) && filter.takes(channel) {
                if out.capacity() < PIECE {
                    out.reserve(PIECE + 4096);
                }
                url.clear();
                let (name, password) = (&viewer.user.name, viewer.password.expose());
                let _ = write!(url, "{base}/live/{name}/{password}/{}.{}", channel.id, style.extension);
                let days = if style.form == Form::Plus { catalog.archive_days(channel) } else { 0 };
                if days > 0 {
                    archive.clear();
                    // The spellings that most players fill in; who does not know one of them leaves it, which is understood.
                    let _ = write!(
                        archive,
                        "{base}/timeshift/{name}/{password}/{}.{}?utc=${{start}}&lutc=${{timestamp}}&duration={{duration}}",
                        channel.id, style.extension
                    );
                }
                let row = Row {
                    channel,
                    output_id: &catalog.output_id_at(index, channel),
                    category: catalog.category_name(channel),
                    url: &url,
                    logo: &catalog.logo(channel, &base),
                    archive: (days > 0).then_some((days, &*archive)),
                    mimetype: style.mimetype.then(|| mimetype(style.extension)),
                };
                style.form.entry(&mut out, &row);
                if ends_piece(channel.id.0) {
                    break;
                }
            }
        }
        if !ended && next >= catalog.channels().len() {
            ended = true;
            style.form.tail(&mut out);
        }
        (!out.is_empty()).then(|| Bytes::from(out))
    })
}

fn mimetype(extension: &str) -> &'static str {
    if extension == "m3u8" { "application/x-mpegURL" } else { "video/mp2t" }
}

/// The guide, and this playlist as a bouquet. A viewer who came with a token is given links of the short kind.
fn links(viewer: &Viewer, base: &str) -> (String, String) {
    let (name, password) = (&viewer.user.name, viewer.password.expose());
    if viewer.token.as_ref().is_some_and(|t| t.matches(password)) {
        (format!("{base}/e/{password}"), format!("{base}/p/{password}?type=dreambox&output=ts"))
    } else {
        let login = format!("username={name}&password={password}");
        (format!("{base}/xmltv.php?{login}"), format!("{base}/get.php?{login}&type=dreambox&output=ts"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use yagi_api::Catchup;

    use super::*;
    use crate::{library::sample, playlist::m3u::Reader};

    fn text(catalog: Catalog, style: Style) -> String {
        let catalog = Arc::new(catalog);
        let viewer = Arc::clone(catalog.viewer("demo").unwrap());
        let parts: Vec<Bytes> =
            pieces(catalog, viewer, "http://tv.lan:8080/iptv".to_owned(), style, Filter::default()).collect();
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
    fn archives_are_linked_at_the_daemon() {
        let mut news = sample::channel(3, "News", "");
        news.catchup = Some(Catchup { mode: "shift".into(), days: 7, source: "?utc={utc}&pass=canary".into() });
        let catalog = || Catalog::sample(std::slice::from_ref(&news), &[("demo", "pass")]);
        insta::assert_snapshot!(text(catalog(), Style::default()), @r##"
        #EXTM3U x-tvg-url="http://tv.lan:8080/iptv/xmltv.php?username=demo&password=pass" url-tvg="http://tv.lan:8080/iptv/xmltv.php?username=demo&password=pass"
        #EXTINF:-1 tvg-id="c3.yagid" tvg-name="News" tvg-logo="" tvg-chno="3" group-title="News" catchup="default" catchup-days="7" timeshift="7" tvg-rec="7" catchup-source="http://tv.lan:8080/iptv/timeshift/demo/pass/3.ts?utc=${start}&lutc=${timestamp}&duration={duration}",News
        http://tv.lan:8080/iptv/live/demo/pass/3.ts
        "##);
        assert!(!text(catalog(), Style { form: Form::Plain, ..Style::default() }).contains("catchup"));
    }

    #[test]
    fn m3u_has_names_and_urls_only() {
        insta::assert_snapshot!(text(catalog(), Style { form: Form::Plain, ..Style::default() }), @r##"
        #EXTM3U x-tvg-url="http://tv.lan:8080/iptv/xmltv.php?username=demo&password=pass" url-tvg="http://tv.lan:8080/iptv/xmltv.php?username=demo&password=pass"
        #EXTINF:-1,Law‚ Order 'Special'
        http://tv.lan:8080/iptv/live/demo/pass/3.ts
        #EXTINF:-1,Radio
        http://tv.lan:8080/iptv/live/demo/pass/7.ts
        "##);
    }

    #[test]
    fn boxes_get_what_they_read() {
        let mut all = String::new();
        for word in [
            "dreambox",
            "enigma22_script",
            "simple",
            "webtvlist",
            "octagon",
            "ariva",
            "mediastar",
            "fps",
            "zorro",
            "gst",
            "spark",
        ] {
            let form = Form::named(word);
            let _ =
                write!(all, "--- {word}: {}\n{}", form.file().1, text(catalog(), Style { form, ..Style::default() }));
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn kodi_is_told_what_the_streams_are() {
        let written = text(catalog(), Style { mimetype: true, ..Style::default() });
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines[2], "#KODIPROP:mimetype=video/mp2t");
        assert!(lines[3].starts_with("http://"));
    }

    #[test]
    fn a_token_s_playlist_shows_no_password() {
        let catalog = Arc::new(catalog());
        let viewer = Arc::new(catalog.viewer("demo").unwrap().by_token().unwrap());
        for form in [Form::Plus, Form::Script, Form::Bouquet] {
            let style = Style { form, ..Style::default() };
            let parts: Vec<_> =
                pieces(catalog.clone(), viewer.clone(), "http://h".to_owned(), style, Filter::default()).collect();
            let text = String::from_utf8(parts.concat()).unwrap();
            assert!(text.contains("token-of-demo") && !text.contains("pass\"") && !text.contains("/pass/"), "{text}");
        }
    }

    #[test]
    fn filters_narrow_the_line_up() {
        let mut sport = sample::channel(9, "Law of Sport", "");
        sport.category = CategoryId(2);
        let catalog = Catalog::sample(&[sample::channel(3, "Law, Order", ""), sport], &[("demo", "pass")]);
        let viewer = catalog.viewer("demo").unwrap();
        let found = |category: &str, search: &str| {
            let filter = Filter::new(&catalog, viewer, category, search)?;
            Ok::<_, String>(catalog.channels().iter().filter(|c| filter.takes(c)).map(|c| c.id.0).collect::<Vec<_>>())
        };
        assert_eq!(found("", ""), Ok(vec![3, 9]));
        assert_eq!(found("sport", ""), Ok(vec![9]));
        assert_eq!(found("1", ""), Ok(vec![3]));
        assert_eq!(found("News, Sport", "LAW"), Ok(vec![3, 9]));
        assert_eq!(found("*", "order law"), Ok(vec![3]));
        assert_eq!(found("Films", ""), Err("Films".to_owned()));
    }

    #[test]
    fn a_long_line_up_comes_in_bounded_pieces() {
        let channels: Vec<_> = (1..=2000).map(|i| sample::channel(i, &format!("Channel {i}"), "")).collect();
        let catalog = Arc::new(Catalog::sample(&channels, &[("demo", "pass")]));
        let viewer = Arc::clone(catalog.viewer("demo").unwrap());
        let parts: Vec<Bytes> =
            pieces(catalog, viewer, "http://h".to_owned(), Style::default(), Filter::default()).collect();
        assert!(parts.len() > 5 && parts.iter().all(|p| p.len() < PIECE + 4096));
        assert_eq!(parts.concat().windows(7).filter(|w| w == b"#EXTINF").count(), 2000);
    }

    proptest! {
        /// What we write is read back as it was meant, whatever the names are; every client's rule finds the same name; and
        /// what is written from what was read is the same text again.
        #[test]
        fn reading_what_was_written_is_a_fixed_point(
            rows in prop::collection::vec(("\\PC{1,30}|[ -~]{1,30}", "[a-z.]{0,8}", any::<bool>(), "\\PC{0,12}", 0u16..4), 1..6),
            mimetype in any::<bool>(),
        ) {
            let style = || Style { mimetype, ..Style::default() };
            let channels: Vec<_> = (1..).zip(&rows).map(|(i, (name, guide_id, radio, logo, days))| {
                let mut c = sample::channel(i, &yagi_api::text::clean(name, 512), guide_id);
                if c.name.is_empty() { c.name = "x".to_owned(); }
                if !logo.is_empty() { c.logo = format!("http://l.example/{}", yagi_api::text::clean(logo, 64)); }
                c.radio = *radio;
                c.catchup = (*days > 0).then(|| Catchup { mode: "shift".into(), days: *days, source: String::new() });
                c
            }).collect();
            let first = text(Catalog::sample(&channels, &[("demo", "pass")]), style());
            prop_assert_eq!(first.lines().count(), 1 + (2 + usize::from(mimetype)) * channels.len());
            let read = |text: &str| {
                let mut reader = Reader::new(Box::new(std::io::Cursor::new(text.as_bytes().to_vec())), 99).unwrap();
                let mut found = Vec::new();
                while let Some(entry) = reader.next().unwrap() {
                    found.push(entry.clone());
                }
                assert_eq!(&reader.summary.notes, &[] as &[_]);
                found
            };
            let again: Vec<_> = read(&first).iter().map(|entry| {
                assert_eq!(&entry.group, "News");
                assert!(!entry.name.contains([',', '"']));
                let mut c = sample::channel(entry.number, &entry.name, &entry.guide_id);
                c.logo.clone_from(&entry.logo);
                c.radio = entry.radio;
                c.catchup.clone_from(&entry.catchup);
                c
            }).collect();
            let second = text(Catalog::sample(&again, &[("demo", "pass")]), style());
            for (line, channel) in second.lines().filter(|l| l.starts_with("#EXTINF")).zip(&again) {
                prop_assert_eq!(line.rsplit(',').next().unwrap(), &channel.name);
                prop_assert_eq!(line.rsplit("\",").next().unwrap(), &channel.name);
            }
            // From the second text on nothing changes any more: the first may have lost a comma of `tvg-name`.
            let third: Vec<_> = read(&second).iter().map(|entry| {
                let mut c = sample::channel(entry.number, &entry.name, &entry.guide_id);
                c.logo.clone_from(&entry.logo);
                c.radio = entry.radio;
                c.catchup.clone_from(&entry.catchup);
                c
            }).collect();
            prop_assert_eq!(&third, &again);
            prop_assert_eq!(text(Catalog::sample(&third, &[("demo", "pass")]), style()), second);
        }
    }
}
