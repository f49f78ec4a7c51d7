//! Golden answers of every action, and the types that conformance tests of players check.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use yagi_api::{CategoryId, Channel, ChannelSource};

use super::*;
use crate::library::sample::channel;

const NOW: i64 = 1_767_270_600; // 2026-01-01 12:30:00 UTC

struct World {
    catalog: Arc<Catalog>,
    guide: Guide,
    base: Base,
    _dir: tempfile::TempDir,
}

fn world(channels: &[Channel]) -> World {
    let dir = tempfile::tempdir().unwrap();
    let allowed = |name: &str| (name == "bob").then(|| vec![CategoryId(1)]);
    let viewers = [("alice", "alice-password"), ("bob", "bob-password")];
    World {
        catalog: Arc::new(Catalog::sample_with(channels, &viewers, allowed)),
        guide: Guide::open(dir.path()).unwrap(),
        base: "http://tv.example:8080".parse().unwrap(),
        _dir: dir,
    }
}

fn three() -> World {
    let sources = vec![ChannelSource { url: "testcard:".to_owned(), headers: Vec::new() }];
    world(&[
        Channel { sources, ..channel(1, "Test card", "") },
        Channel { logo: "http://l.example/2.png".to_owned(), ..channel(2, "News \"24\" é", "news.24") },
        Channel { category: CategoryId(2), ..channel(3, "Sport", "") },
        Channel { enabled: false, ..channel(4, "Off", "") },
    ])
}

impl World {
    fn pieces(&self, name: &str, query: &str, now: i64, panel: bool) -> Vec<Bytes> {
        let viewer = Arc::clone(self.catalog.viewer(name).unwrap());
        self.pieces_of(&viewer, query, now, panel)
    }

    fn pieces_of(&self, viewer: &Arc<Viewer>, query: &str, now: i64, panel: bool) -> Vec<Bytes> {
        let params = Params::parse(query);
        let World { catalog, guide, base, .. } = self;
        let ask = Ask { catalog, guide, viewer, params: &params, base, active: 1, now, agent: "" };
        if panel { panel_api(ask) } else { player_api(ask) }.collect()
    }

    fn text(&self, query: &str) -> String {
        String::from_utf8(self.pieces("alice", query, NOW, false).concat()).unwrap()
    }

    fn json(&self, query: &str) -> Value {
        serde_json::from_str(&self.text(query)).unwrap()
    }
}

#[test]
fn golden_login() {
    insta::assert_snapshot!(three().text(""));
}

#[test]
fn golden_live_categories() {
    insta::assert_snapshot!(three().text("action=get_live_categories"));
}

#[test]
fn golden_live_streams() {
    insta::assert_snapshot!(three().text("action=get_live_streams"));
}

#[test]
fn golden_short_epg() {
    insta::assert_snapshot!(three().text("action=get_short_epg&stream_id=1&limit=2"));
}

#[test]
fn golden_panel() {
    let text = three().pieces("bob", "", NOW, true).concat();
    insta::assert_snapshot!(String::from_utf8(text).unwrap());
}

#[test]
fn golden_panel_epg() {
    let text = three().pieces("alice", "action=get_epg&stream_id=1&from_now=1", NOW, true).concat();
    insta::assert_snapshot!(String::from_utf8(text[..700].to_vec()).unwrap());
}

#[test]
fn what_is_no_action_is_a_login() {
    let w = three();
    let login = w.text("");
    for action in
        ["", "%20", "get_profile", "get_account_info", "get_server_info", "no_such_action", "210", "GET_LIVE_STREAMS"]
    {
        assert_eq!(w.text(&format!("action={action}")), login, "{action}");
    }
}

#[test]
fn numbers_are_the_old_names_of_actions() {
    let w = three();
    for (number, word) in [
        (200, "get_vod_categories"),
        (201, "get_live_categories"),
        (202, "get_live_streams"),
        (203, "get_vod_streams"),
        (204, "get_series_info"),
        (205, "get_short_epg"),
        (206, "get_series_categories"),
        (207, "get_simple_data_table"),
        (208, "get_series"),
        (209, "get_vod_info"),
    ] {
        let (a, b) = (w.text(&format!("action={number}&stream_id=1")), w.text(&format!("action={word}&stream_id=1")));
        assert_eq!(a, b);
        assert!(!a.contains("user_info"), "{word}");
    }
}

#[test]
fn there_are_no_films_and_no_series() {
    let w = three();
    for action in ["get_vod_categories", "get_vod_streams", "get_series_categories", "get_series"] {
        assert_eq!(w.json(&format!("action={action}")), json!([]));
    }
    assert_eq!(w.json("action=get_vod_info&vod_id=1"), json!({"info": {}, "movie_data": {}}));
    assert_eq!(w.json("action=get_series_info&series_id=1"), json!({"seasons": [], "info": {}, "episodes": {}}));
}

#[test]
fn whoever_is_not_active_gets_the_login_object_only() {
    let w = three();
    let viewer = |edit: &dyn Fn(&mut yagi_api::User)| {
        let mut viewer = Viewer::clone(w.catalog.viewer("alice").unwrap());
        edit(&mut viewer.user);
        Arc::new(viewer)
    };
    for (viewer, word) in
        [(viewer(&|u| u.expires_at = Some(NOW)), "Expired"), (viewer(&|u| u.enabled = false), "Disabled")]
    {
        for query in
            ["", "action=get_live_streams", "action=202", "action=get_short_epg&stream_id=1", "action=get_vod_info"]
        {
            for panel in [false, true] {
                let text = w.pieces_of(&viewer, query, NOW, panel).concat();
                let value: Value = serde_json::from_slice(&text).unwrap();
                assert_eq!(value["user_info"]["status"], word, "{query}");
                assert_eq!(value["user_info"]["auth"], 1);
                assert!(value.get("available_channels").is_none());
            }
        }
    }
    let trial = viewer(&|u| (u.trial, u.expires_at) = (true, Some(NOW + 60)));
    let value: Value = serde_json::from_slice(&w.pieces_of(&trial, "", NOW, false).concat()).unwrap();
    assert_eq!(value["user_info"]["is_trial"], "1");
    assert_eq!(value["user_info"]["exp_date"], (NOW + 60).to_string());
}

#[test]
fn categories_filter_and_pages_cut() {
    let w = three();
    let ids = |query: &str| -> Vec<i64> {
        let list = w.json(&format!("action=get_live_streams&{query}"));
        list.as_array().unwrap().iter().map(|s| s["stream_id"].as_i64().unwrap()).collect()
    };
    for all in ["", "category_id=", "category_id=0", "category_id=*"] {
        assert_eq!(ids(all), [1, 2, 3], "{all}");
    }
    assert_eq!(ids("category_id=1"), [1, 2]);
    assert_eq!(ids("category_id=2"), [3]);
    assert!(ids("category_id=999999").is_empty());
    assert!(ids("category_id=x").is_empty());
    assert_eq!(ids("params[offset]=1"), [2, 3]);
    assert_eq!(ids("params%5Boffset%5D=1&params[items_per_page]=1"), [2]);
    assert_eq!(ids("params[items_per_page]=0"), [1, 2, 3]);
    assert!(ids("params[offset]=99").is_empty());
}

#[test]
fn a_viewer_sees_the_allowed_categories_only() {
    let w = three();
    let list = |query: &str| -> Value { serde_json::from_slice(&w.pieces("bob", query, NOW, false).concat()).unwrap() };
    assert_eq!(list("action=get_live_streams").as_array().unwrap().len(), 2);
    assert_eq!(list("action=get_live_categories").as_array().unwrap().len(), 1);
    assert_eq!(list("action=get_live_streams&category_id=2"), json!([]));
    assert_eq!(list("action=get_short_epg&stream_id=3"), json!({"epg_listings": []}));
}

#[test]
fn the_guide_of_a_channel() {
    let w = three();
    let rows = |query: &str| w.json(query)["epg_listings"].as_array().unwrap().clone();
    let all = rows("action=get_simple_data_table&stream_id=1");
    assert_eq!(all, rows("action=get_simple_date_table&stream_id=1"));
    assert_eq!(all.len(), 26);
    let playing: Vec<_> = all.iter().filter(|r| r["now_playing"] == 1).collect();
    assert_eq!(playing.len(), 1);
    assert_eq!(playing[0]["start"], "2026-01-01 12:00:00");
    assert_eq!(playing[0]["stop_timestamp"], "1767272400");
    let short = rows("action=get_short_epg&stream_id=1");
    assert_eq!((short.len(), &short[0]), (4, playing[0]));
    for (limit, n) in [("2", 2), ("0", 4), ("x", 4), ("-1", 4), ("9999999999", 25)] {
        assert_eq!(rows(&format!("action=get_short_epg&stream_id=1&limit={limit}")).len(), n, "{limit}");
    }
    let ids: std::collections::HashSet<_> = all.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), all.len());
    assert!(ids.iter().all(|id| id.parse::<i32>().is_ok_and(|n| n > 0)));
    for nothing in ["stream_id=2", "stream_id=4", "stream_id=99999999", "stream_id=x", "stream_id=", ""] {
        assert_eq!(w.json(&format!("action=get_short_epg&{nothing}")), json!({"epg_listings": []}), "{nothing}");
    }
}

#[test]
fn programmes_that_are_over_are_in_the_archive() {
    let mut card = channel(1, "Test card", "");
    card.sources[0].url = "testcard:".to_owned();
    card.catchup = Some(yagi_api::Catchup {
        mode: "default".into(),
        days: 2,
        source: "http://h.example/{utc}?pass=canary".into(),
    });
    let w = world(&[card, channel(2, "News", "")]);
    let all = w.json("action=get_simple_data_table&stream_id=1")["epg_listings"].as_array().unwrap().clone();
    for row in &all {
        let over = row["stop_timestamp"].as_str().unwrap().parse::<i64>().unwrap() <= NOW;
        assert_eq!(row["has_archive"], u8::from(over), "{row}");
    }
    assert!(all.iter().any(|r| r["has_archive"] == 1) && all.iter().any(|r| r["has_archive"] == 0));
    let rows = w.text("action=get_live_streams");
    assert!(rows.contains("\"tv_archive\":1,\"direct_source\":\"\",\"tv_archive_duration\":2}"), "{rows}");
    assert!(rows.contains("\"tv_archive\":0,\"direct_source\":\"\",\"tv_archive_duration\":0}"), "{rows}");
    assert!(!rows.contains("canary"), "{rows}");
}

#[test]
fn the_server_is_told_as_it_was_reached() {
    let mut w = three();
    w.base = "https://[2001:db8::1]:8443/iptv".parse().unwrap();
    let server = &w.json("")["server_info"];
    assert_eq!(
        (&server["server_protocol"], &server["port"], &server["https_port"]),
        (&json!("https"), &json!("8443"), &json!("8443"))
    );
    assert_eq!((&server["timestamp_now"], &server["time_now"]), (&json!(NOW), &json!("2026-01-01 12:30:00")));
}

#[test]
fn big_lists_come_in_small_pieces() {
    let many: Vec<_> = (1..=50_000).map(|n| channel(n, &format!("Channel {n}"), "")).collect();
    let w = world(&many);
    for panel in [false, true] {
        let query = if panel { "" } else { "action=get_live_streams" };
        let pieces = w.pieces("alice", query, NOW, panel);
        let (last, body) = pieces.split_last().unwrap();
        assert!(body.iter().all(|p| (8 << 10..=66 << 10).contains(&p.len())) && last.len() <= 66 << 10);
        // A change of one channel is one other piece.
        let mut other = many.clone();
        other[30_000].name = "Another name".to_owned();
        let others = world(&other).pieces("alice", query, NOW, panel);
        assert_eq!(pieces.iter().zip(&others).filter(|(a, b)| a != b).count(), 1);
        let value: Value = serde_json::from_slice(&pieces.concat()).unwrap();
        let n = if panel {
            value["available_channels"].as_object().unwrap().len()
        } else {
            value.as_array().unwrap().len()
        };
        assert_eq!(n, 50_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_asked_is_answered_with_json(query in "(action=[a-z_0-9]{0,12}&)?(stream_id|category_id|limit|params\\[offset\\])=\\PC{0,12}", name in ".{0,12}") {
        let w = world(&[channel(1, &name, &name)]);
        for query in [query.as_str(), "action=get_live_streams"] {
            for panel in [false, true] {
                let text = w.pieces("alice", query, NOW, panel).concat();
                prop_assert!(serde_json::from_slice::<Value>(&text).is_ok());
                prop_assert!(!text.iter().any(|b| *b < 0x20 || *b == 0x7f), "raw control byte");
            }
        }
    }
}
