//! Tokens and the short links that carry them; filters, editions and zones of what players fetch.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use yagi_api::{ChannelDraft, ChannelSource, OutputFormat, PlayerFamily, UserDraft};

use crate::support::{
    daemon::Daemon,
    player::Player,
    raw::{self, Answer, get},
    wait_until,
};

async fn with(daemon: &Daemon, path: &str, headers: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: tv.lan:8080\r\nConnection: close\r\n{headers}\r\n");
    raw::answers(&raw::send(daemon.address, "127.0.0.1", request.as_bytes(), path).await).remove(0)
}

/// One request to the admin socket; `null` when it has no body.
async fn admin(daemon: &Daemon, method: &str, path: &str) -> Value {
    let mut socket = tokio::net::UnixStream::connect(daemon.socket()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: yagi\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.unwrap();
    let answer = raw::answers(&bytes).remove(0);
    assert!(answer.status < 300, "{method} {path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

fn token(daemon: &Daemon, name: &str) -> String {
    daemon.app.library.catalog().viewer(name).unwrap().token.as_ref().unwrap().expose().to_owned()
}

async fn channel(daemon: &Daemon, name: &str, category: &str) {
    let draft = ChannelDraft {
        name: name.into(),
        category: Some(category.into()),
        sources: vec![ChannelSource { url: "testcard:".into(), headers: vec![] }],
        ..ChannelDraft::default()
    };
    daemon.app.library.create_channel("test", draft).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_everything_without_the_password() {
    let daemon = Daemon::start().await;
    channel(&daemon, "One", "News").await;
    let viewer = daemon.viewer("alice", 0).await;
    let token = token(&daemon, "alice");
    let list = get(daemon.address, &format!("/p/{token}")).await;
    assert_eq!((list.status, list.header("content-type")), (200, Some("audio/x-mpegurl")));
    let text = list.text();
    assert!(text.contains(&format!("/e/{token}\"")) && text.contains(&format!("/live/alice/{token}/1.ts")), "{text}");
    assert!(!text.contains(&viewer.password), "{text}");
    for path in [format!("/p/{token}.m3u"), format!("/playlist.m3u?token={token}"), format!("/get.php?token={token}")] {
        assert_eq!(get(daemon.address, &path).await.text(), text, "{path}");
    }
    let guide = get(daemon.address, &format!("/e/{token}")).await;
    assert!(guide.status == 200 && guide.text().contains("<programme "), "{}", guide.text());
    let file = get(daemon.address, &format!("/e/{token}.xml.gz")).await;
    assert_eq!((file.header("content-type"), file.header("content-encoding")), (Some("application/gzip"), None));
    let mut unpacked = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&file.body[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, guide.text());
    // A player that logs in with it is told the token as its password.
    let login = get(daemon.address, &format!("/player_api.php?token={token}")).await.json();
    assert_eq!(login["user_info"]["username"], "alice");
    assert_eq!(login["user_info"]["password"], json!(token));
    let path = format!("/player_api.php?username=alice&password={token}&action=get_live_streams");
    let rows = get(daemon.address, &path).await;
    assert_eq!(rows.json().as_array().unwrap().len(), 1);
    assert_eq!(get(daemon.address, &format!("/ace/status?token={token}")).await.status, 200);
    // Media types are told in any case.
    let form = format!("token={token}");
    let head = format!("Content-Type: Application/X-WWW-Form-Urlencoded\r\nContent-Length: {}\r\n", form.len());
    let post = format!("POST /player_api.php HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{head}\r\n{form}");
    let login = raw::answers(&raw::send(daemon.address, "127.0.0.1", post.as_bytes(), "form").await).remove(0);
    assert_eq!(login.json()["user_info"]["auth"], 1);
    let mut player = Player::get(daemon.address, &format!("/live/alice/{token}/1.ts")).await;
    assert_eq!(player.status, 200);
    player.watch(188 * 50).await;
    // Rotated: what came by the old one ends, and nothing opens with it.
    let user = daemon.app.library.catalog().viewer("alice").unwrap().user.id;
    let urls = admin(&daemon, "POST", &format!("/api/users/{user}/token")).await;
    let fresh = urls["token"].as_str().unwrap().to_owned();
    assert_ne!(fresh, token);
    assert!(urls["short"].as_str().unwrap().ends_with(&format!("/p/{fresh}")), "{urls}");
    assert!(urls["hdhr"].as_str().unwrap().ends_with(&format!("/hdhr/{fresh}")), "{urls}");
    player.ended().await;
    for path in [
        format!("/p/{token}"),
        format!("/e/{token}"),
        format!("/live/alice/{token}/1.ts"),
        "/p/".to_owned() + &viewer.password,
    ] {
        assert_eq!(get(daemon.address, &path).await.status, 401, "{path}");
    }
    assert_eq!(get(daemon.address, &format!("/p/{fresh}")).await.status, 200);
    // Revoked: only name and password are left.
    assert_eq!(admin(&daemon, "DELETE", "/api/users/alice/token").await, Value::Null);
    assert_eq!(get(daemon.address, &format!("/p/{fresh}")).await.status, 401);
    assert_eq!(admin(&daemon, "GET", "/api/users/alice/urls").await["token"], Value::Null);
    assert_eq!(get(daemon.address, &format!("/get.php?{}", viewer.query())).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_tokens_is_refused_like_guessing_passwords() {
    let daemon = Daemon::start().await;
    daemon.viewer("alice", 0).await;
    let mut answers = Vec::new();
    for n in 0..25 {
        answers.push(get(daemon.address, &format!("/p/guess{n}")).await.status);
    }
    assert_eq!((answers[0], answers[24]), (401, 429));
}

#[tokio::test(flavor = "multi_thread")]
async fn playlists_are_filtered_and_fit_their_player() {
    let daemon = Daemon::start().await;
    for (name, category) in [("Rai, News", "News"), ("Sport HD", "Sport"), ("News of Sport", "Sport")] {
        channel(&daemon, name, category).await;
    }
    let draft = UserDraft { name: "alice".into(), formats: Some(vec![OutputFormat::Ts]), ..UserDraft::default() };
    daemon.viewer_from(draft).await;
    let token = token(&daemon, "alice");
    let list = async |query: &str, headers: &str| {
        with(&daemon, &format!("/playlist.m3u?token={token}&{query}"), headers).await
    };
    let names = |text: &str| -> Vec<String> {
        text.lines().filter(|l| l.starts_with("#EXTINF")).map(|l| l.rsplit(',').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&list("category=sport", "").await.text()), ["Sport HD", "News of Sport"]);
    assert_eq!(names(&list("search=news", "").await.text()), ["Rai\u{201a} News", "News of Sport"]);
    assert_eq!(names(&list("category=News,Sport&search=hd", "").await.text()), ["Sport HD"]);
    let unknown = list("category=Films", "").await;
    assert!(unknown.status == 400 && unknown.text().contains("Films"), "{}", unknown.text());
    let refused = list("output=m3u8", "").await;
    assert_eq!(refused.status, 403, "this account has no such format");
    let kodi = list("", "User-Agent: Kodi/21.0 (X11; Linux) Version/21.0\r\n").await.text();
    assert!(kodi.contains("\n#KODIPROP:mimetype=video/mp2t\nhttp://tv.lan:8080/live/"), "{kodi}");
    assert!(!list("", "").await.text().contains("KODIPROP"));
    assert!(list("mimetype=1", "").await.text().contains("KODIPROP"));
    let bouquet = list("type=dreambox", "").await;
    assert_eq!(bouquet.header("content-disposition"), Some("inline; filename=\"userbouquet.yagi.tv\""));
    assert!(bouquet.text().contains("#SERVICE 4097:0:1:0:0:0:0:0:0:0:http%3a//tv.lan%3a8080/live/alice/"));
}

/// What is packed and kept is what everybody else gets, until something changes.
#[tokio::test(flavor = "multi_thread")]
async fn prepared_answers_are_those_of_the_present_line_up() {
    let daemon = Daemon::start().await;
    channel(&daemon, "First", "News").await;
    let viewer = daemon.viewer("alice", 0).await;
    let other = daemon.viewer("bob", 0).await;
    let paths = |v: &crate::support::daemon::Account| {
        [
            format!("/player_api.php?{}&action=get_live_streams", v.query()),
            format!("/get.php?{}", v.query()),
            format!("/xmltv.php?{}", v.query()),
        ]
    };
    let unpacked = async |path: &str| {
        let answer = with(&daemon, path, "Accept-Encoding: gzip\r\n").await;
        assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")), "{path}");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&answer.body[..]), &mut text).unwrap();
        (text, answer.header("content-length").is_some())
    };
    for name in ["First", "Second"] {
        for path in paths(&viewer) {
            let plain = with(&daemon, &path, "").await.text();
            let (first, again) = (unpacked(&path).await, unpacked(&path).await);
            assert!(first.0 == plain && plain.contains(name), "{path}: {plain}");
            assert_eq!(&again.0, &plain, "the second is the same");
            assert!(!again.1, "it is written as it is taken");
            assert_eq!(with(&daemon, &path, "").await.text(), plain, "unpacked for those that do not read gzip");
        }
        for path in paths(&other) {
            let (text, _) = unpacked(&path).await;
            assert!(!text.contains(&viewer.password), "{path}");
        }
        channel(&daemon, "Second", "News").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guide_that_is_known_is_not_sent_again() {
    let daemon = Daemon::start().await;
    channel(&daemon, "One", "News").await;
    let viewer = daemon.viewer("alice", 0).await;
    let path = format!("/xmltv.php?{}", viewer.query());
    let first = with(&daemon, &path, "").await;
    let etag = first.header("etag").unwrap().to_owned();
    let known = with(&daemon, &path, &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, Some(etag.as_str())));
    // The date is told when no later change can have the same.
    let mut changed = None;
    for _ in 0..100 {
        changed = with(&daemon, &path, "").await.header("last-modified").map(str::to_owned);
        if changed.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let since = format!("If-Modified-Since: {}\r\n", changed.expect("a date within ten seconds"));
    assert_eq!(with(&daemon, &path, &since).await.status, 304);
    // A window of days is another guide; the test card's has an hour before and a day after now.
    let narrow = with(&daemon, &format!("{path}&prev_days=0&next_days=0"), "").await;
    assert_ne!(narrow.header("etag"), Some(etag.as_str()));
    let count = |answer: &Answer| answer.text().matches("<programme ").count();
    assert!((1..=3).contains(&count(&narrow)) && count(&first) > 20, "{}", narrow.text());
    assert_eq!(count(&with(&daemon, &format!("{path}&prev_days=x"), "").await), count(&first));
    // Accounts are not part of it, channels are.
    daemon.viewer("bob", 0).await;
    assert_eq!(with(&daemon, &path, &format!("If-None-Match: {etag}\r\n")).await.status, 304);
    channel(&daemon, "Two", "News").await;
    assert_eq!(with(&daemon, &path, &format!("If-None-Match: {etag}\r\n")).await.status, 200);
    assert_eq!(with(&daemon, &path, &since).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_s_zone_is_the_one_of_the_settings() {
    let daemon = Daemon::start().await;
    channel(&daemon, "One", "News").await;
    let viewer = daemon.viewer("alice", 0).await;
    for zone in ["UTC", "Europe/Rome", "Asia/Kolkata", "America/St_Johns"] {
        daemon.set(&[("timezone", json!(zone))]).await;
        let path = format!("/player_api.php?{}", viewer.query());
        let server = get(daemon.address, &path).await.json()["server_info"].clone();
        let local = |epoch: i64| {
            let at = |epoch| jiff::Timestamp::from_second(epoch).unwrap();
            let east = jiff::tz::TimeZone::get(zone).unwrap().to_offset(at(epoch)).seconds();
            at(epoch + i64::from(east)).strftime("%Y-%m-%d %H:%M:%S").to_string()
        };
        assert_eq!(server["timezone"], json!(zone));
        assert_eq!(server["time_now"], json!(local(server["timestamp_now"].as_i64().unwrap())), "{zone}");
        let rows = get(daemon.address, &format!("{path}&action=get_short_epg&stream_id=1")).await.json();
        let row = &rows["epg_listings"][0];
        for (text, epoch) in [("start", "start_timestamp"), ("end", "stop_timestamp"), ("stop", "stop_timestamp")] {
            assert_eq!(row[text], json!(local(row[epoch].as_str().unwrap().parse().unwrap())), "{zone} {text}");
        }
    }
}

/// The three families, each as its players see it: by User-Agent, and by the viewer's own choice.
#[tokio::test(flavor = "multi_thread")]
async fn families_of_players_get_their_spelling() {
    let daemon = Daemon::start().await;
    channel(&daemon, "One", "News").await;
    for (name, player, agent) in [
        ("standard", PlayerFamily::Auto, "okhttp/4.9.2"),
        ("smarters", PlayerFamily::Auto, "IPTVSmartersPro"),
        ("xui", PlayerFamily::Xui, "node"),
    ] {
        let draft = UserDraft {
            name: name.into(),
            password: Some("pw".into()),
            max_connections: Some(2),
            player,
            formats: Some(vec![OutputFormat::Ts]),
            ..UserDraft::default()
        };
        let viewer = daemon.viewer_from(draft).await;
        let agent = format!("User-Agent: {agent}\r\n");
        let path = format!("/player_api.php?{}", viewer.query());
        let mut login = with(&daemon, &path, &agent).await.json();
        let mut short = with(&daemon, &format!("{path}&action=get_short_epg&stream_id=1&limit=1"), &agent).await.json();
        // What the hour of the test decides.
        login["user_info"]["created_at"] = json!("[digits]");
        login["server_info"]["timestamp_now"] = json!(0);
        login["server_info"]["time_now"] = json!("[time]");
        let row = &mut short["epg_listings"][0];
        let epoch = row["end"] == row["stop_timestamp"];
        assert_eq!(epoch, name == "xui", "{row}");
        for key in ["id", "start", "end", "stop", "start_timestamp", "stop_timestamp"] {
            assert!(row[key].is_string(), "{key}");
            let digits = row[key].as_str().unwrap().bytes().all(|b| b.is_ascii_digit());
            row[key] = json!(if digits { "[digits]" } else { "[time]" });
        }
        let row = short["epg_listings"][0].clone();
        insta::assert_snapshot!(format!("family_{name}"), format!("{login:#}\n{row:#}"));
    }
    wait_until("nobody to be connected", || daemon.app.seats.is_empty()).await;
}
