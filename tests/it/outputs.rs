//! Hostile names on their way from lists, guides and administrators to players: every answer stays what its format says.

use serde_json::Value;
use yagi_api::{ChannelDraft, ChannelSource, SourceDraft, SourceKind, UserDraft, text::is_foul};

use crate::support::{
    daemon::{Account, Daemon},
    raw::{ask, get},
};

/// What lists of the wild contain, and worse.
const NAMES: &[&str] = &[
    "Rai, News \"24\"",
    "\"; onload=alert(1) x=\"",
    "Line\r\nbreak\n#EXTINF:-1,forged\nhttp://evil/",
    "Esc \x1b[2J\x1b]0;title\x07 end",
    "Null \0 byte, DEL \x7f, C1 \u{85}\u{9b}31m",
    "Bidi \u{202e}gnp.exe\u{2066} and \u{200b}zero\u{feff}",
    "Separators \u{2028}one\u{2029}two",
    "&amp; <b>bold</b> & ]]> <![CDATA[x]]> <!-- --> &#0; &#x1b;",
    "</display-name><script>",
    "Emoji 👩‍👩‍👧 📺 é ü ß 日本語",
    "Back\\slash \\n \\u0000 \\\"",
    "tvg-id=\"x\" group-title=\"y\",z",
    "%0a%0d%00 $(id) `id` ${x} {{x}}",
    "',\" -- ; DROP TABLE channels;",
    "#EXTM3U",
    "   ",
    "\u{fffe}\u{ffff} nonchars",
];

fn is_clean(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !is_foul(c))
}

fn xml(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect();
    kept.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A daemon that has all names from an administrator, a playlist and a guide; its viewer.
async fn hostile() -> (Daemon, Account) {
    let daemon = Daemon::start().await;
    for (n, name) in NAMES.iter().enumerate() {
        let draft = ChannelDraft {
            name: (*name).into(),
            category: Some(format!("Cat {name}")),
            sources: vec![ChannelSource { url: "testcard:".into(), headers: vec![] }],
            guide_id: format!("by hand {n} {name}"),
            logo: "http://logos.example/a\"b<c>&d'.png".into(),
            ..ChannelDraft::default()
        };
        // A name of nothing but blanks is refused; the others are cleaned.
        let made = daemon.app.library.create_channel("test", draft).await;
        assert_eq!(made.is_err(), name.trim().is_empty(), "{name:?}");
    }
    let mut list = "#EXTM3U\n".to_owned();
    let mut guide = "<?xml version=\"1.0\"?>\n<tv>\n".to_owned();
    let mut programmes = String::new();
    let stamp = |t: jiff::Timestamp| t.strftime("%Y%m%d%H%M%S +0000").to_string();
    let now = jiff::Timestamp::now();
    let (start, stop) = (stamp(now), stamp(now + std::time::Duration::from_secs(3600)));
    for (n, name) in NAMES.iter().enumerate() {
        let (line, markup) = (name.replace(['\n', '\r'], " "), xml(name));
        list += &format!(
            "#EXTINF:-1 tvg-id=\"id{n}\" tvg-logo=\"http://l/{n}.png?{line}\" group-title=\"Group {line}\",{line}\n\
             http://upstream.example/secret/path/{n}.ts\n"
        );
        guide += &format!("<channel id=\"id{n}\"><display-name>{markup}</display-name></channel>\n");
        programmes += &format!(
            "<programme start=\"{start}\" stop=\"{stop}\" channel=\"id{n}\"><title lang=\"{markup}\">{markup}</title>\
             <desc>{markup}</desc><category>{markup}</category><icon src=\"{markup}\"/></programme>\n"
        );
    }
    let guide = format!("{guide}{programmes}</tv>\n");
    for (file, text, kind) in [("list.m3u", list, SourceKind::Playlist), ("guide.xml", guide, SourceKind::Guide)] {
        let path = daemon.dir.path().join(file);
        std::fs::write(&path, text).unwrap();
        let draft = SourceDraft {
            url: path.to_str().unwrap().into(),
            kind: Some(kind),
            interval_s: Some(0),
            ..SourceDraft::default()
        };
        let source = daemon.app.library.create_source("test", draft).await.unwrap().id;
        let report = daemon.app.refresher.queue_and_wait(source).await;
        assert!(report.ok, "{report:?}");
    }
    let viewer = daemon.viewer("alice", 1).await;
    (daemon, viewer)
}

/// `get.php`: a header, then two lines for each channel; quotes and commas where players look for them.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_leave_playlists_valid() {
    let (daemon, viewer) = hostile().await;
    let channels = daemon.app.library.catalog().channels().len();
    assert!(channels >= 2 * (NAMES.len() - 2), "{channels}");
    for kind in ["m3u_plus", "m3u"] {
        let answer = get(daemon.address, &format!("/get.php?{}&type={kind}", viewer.query())).await;
        let text = String::from_utf8(answer.body).unwrap();
        assert!(is_clean(&text), "{text:?}");
        assert!(!text.contains("upstream.example"), "a playlist never shows where a picture comes from");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("#EXTM3U "));
        assert_eq!(lines.len(), 1 + 2 * channels);
        let prefix = format!("http://{}/live/{}/{}/", daemon.address, viewer.name, viewer.password);
        for pair in lines[1..].chunks(2) {
            let (before, name) = pair[0].rsplit_once(',').unwrap();
            assert!(before.starts_with("#EXTINF:-1") && !name.contains('"') && !name.is_empty(), "{}", pair[0]);
            let quoted: Vec<&str> = before.split('"').collect();
            assert!(quoted.len() % 2 == 1, "{before}");
            let keys: Vec<&str> = quoted.iter().step_by(2).map(|k| k.trim()).filter(|k| !k.is_empty()).collect();
            let expected = ["#EXTINF:-1 tvg-id=", "tvg-name=", "tvg-logo=", "tvg-chno=", "group-title="];
            assert_eq!(keys, if kind == "m3u" { &["#EXTINF:-1"][..] } else { &expected }, "{before}");
            let id = pair[1].strip_prefix(&prefix).and_then(|r| r.strip_suffix(".ts")).expect(pair[1]);
            assert!(id.bytes().all(|b| b.is_ascii_digit()));
        }
    }
}

/// `xmltv.php`: an independent reader finds every channel and programme, and each programme's channel.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_leave_guides_well_formed() {
    use quick_xml::{Reader, XmlVersion, events::Event};
    let (daemon, viewer) = hostile().await;
    let channels = daemon.app.library.catalog().channels().len();
    let answer = get(daemon.address, &format!("/xmltv.php?{}", viewer.query())).await;
    let text = String::from_utf8(answer.body).unwrap();
    assert!(is_clean(&text), "{text:?}");
    let mut reader = Reader::from_str(&text);
    reader.config_mut().check_end_names = true;
    let (mut ids, mut programmes, mut depth) = (std::collections::HashSet::new(), 0, 0);
    loop {
        match reader.read_event().unwrap() {
            Event::Start(e) => {
                depth += 1;
                let value = |key: &str| {
                    let found = e.attributes().map(Result::unwrap).find(|a| a.key.as_ref() == key).unwrap();
                    found.normalized_value(XmlVersion::Implicit1_0).unwrap().into_owned()
                };
                for attribute in e.attributes() {
                    attribute.unwrap().normalized_value(XmlVersion::Implicit1_0).unwrap();
                }
                match e.name().as_ref() {
                    "channel" => assert!(ids.insert(value("id")), "{} twice", value("id")),
                    "programme" => {
                        assert!(ids.contains(&value("channel")));
                        programmes += 1;
                    }
                    _ => {}
                }
            }
            Event::End(_) => depth -= 1,
            Event::GeneralRef(e) => {
                let known = ["amp", "lt", "gt", "quot", "apos"];
                assert!(known.contains(&&*e), "{e:?}");
            }
            Event::CData(_) | Event::Comment(_) | Event::PI(_) => panic!("a name made markup"),
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!((ids.len(), depth), (channels, 0));
    assert!(programmes >= NAMES.len() - 2, "{programmes}");
}

fn every_text(value: &Value, check: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => check(text),
        Value::Array(rows) => rows.iter().for_each(|row| every_text(row, check)),
        Value::Object(fields) => fields.iter().for_each(|(key, field)| {
            check(key);
            every_text(field, check);
        }),
        _ => {}
    }
}

/// Every action of the API: JSON without control characters, and nothing of the upstreams.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_leave_json_valid() {
    let (daemon, viewer) = hostile().await;
    let channels = daemon.app.library.catalog().channels().len();
    let q = viewer.query();
    let mut paths: Vec<String> = ["", "&action=get_live_categories", "&action=get_live_streams", "&action=get_series"]
        .iter()
        .map(|action| format!("/player_api.php?{q}{action}"))
        .collect();
    paths.push(format!("/panel_api.php?{q}"));
    for channel in daemon.app.library.catalog().channels() {
        paths.push(format!("/player_api.php?{q}&action=get_short_epg&stream_id={}", channel.id));
        paths.push(format!("/player_api.php?{q}&action=get_simple_data_table&stream_id={}", channel.id));
    }
    for path in paths {
        let answer = get(daemon.address, &path).await;
        assert!(answer.body.iter().all(|b| *b >= 0x20), "{path}: {}", answer.text());
        let value = answer.json();
        every_text(&value, &mut |text| {
            assert!(is_clean(text) && !text.contains('\n'), "{path}: {text:?}");
            assert!(!text.contains("upstream.example") && !text.contains("testcard:"), "{path}: {text:?}");
        });
        if path.contains("get_live_streams") {
            assert_eq!(value.as_array().unwrap().len(), channels);
        }
    }
}

/// What a player is given on a plain day, letter by letter.
#[tokio::test(flavor = "multi_thread")]
async fn the_answers_of_a_plain_day() {
    let daemon = Daemon::start().await;
    for (name, category, guide_id) in
        [("Das Erste", "News", "ard.de"), ("Arte", "Culture", ""), ("Rai, News", "News", "")]
    {
        let draft = ChannelDraft {
            name: name.into(),
            category: Some(category.into()),
            guide_id: guide_id.into(),
            sources: vec![ChannelSource { url: "testcard:".into(), headers: vec![] }],
            ..ChannelDraft::default()
        };
        daemon.app.library.create_channel("test", draft).await.unwrap();
    }
    let draft = UserDraft {
        name: "alice".into(),
        password: Some("fixed-password".into()),
        expires_at: Some(2_000_000_000),
        max_connections: Some(2),
        ..UserDraft::default()
    };
    let viewer = daemon.viewer_from(draft).await;
    let own = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: tv.example:8080\r\nConnection: close\r\n\r\n");
        let bytes = crate::support::raw::send(daemon.address, "127.0.0.1", request.as_bytes(), path).await;
        crate::support::raw::answers(&bytes).remove(0)
    };
    let list = own(&format!("/get.php?{}&type=m3u_plus&output=ts", viewer.query())).await;
    insta::assert_snapshot!("get_php", list.text());
    let mut login = own(&format!("/player_api.php?{}", viewer.query())).await.json();
    login["user_info"]["created_at"] = "(now)".into();
    login["server_info"]["timestamp_now"] = "(now)".into();
    login["server_info"]["time_now"] = "(now)".into();
    insta::assert_snapshot!("player_api_login", serde_json::to_string_pretty(&login).unwrap());
    let head = ask(daemon.address, "127.0.0.1", "HEAD", &format!("/get.php?{}", viewer.query()), "").await;
    assert_eq!(head.header("content-type"), Some("audio/x-mpegurl"));
}
