//! Channels as a playlist of their sources themselves.
//!
//! Owns the text of `yagi channels export`. Must not enter: what viewers are given (the daemon's `get.php`). Invariant: what the
//! daemon's reader makes of it are the same channels, with all their sources, headers, catch-up facts and shifts of the guide.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use yagi_api::{Category, Channel, ChannelSource};

/// What stands in a header behind `url|`.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// For another program, or for keeping. Further sources of a channel are further lines behind its first.
pub(super) fn m3u(rows: &[Channel], groups: &[Category]) -> String {
    let mut out = String::from("#EXTM3U\n");
    for channel in rows.iter().filter(|c| !c.sources.is_empty()) {
        let group = groups.iter().find(|g| g.id == channel.category).map_or("", |g| g.name.as_str());
        entry(&mut out, channel, group);
    }
    out
}

fn entry(out: &mut String, channel: &Channel, group: &str) {
    let name = clean(&channel.name);
    out.push_str("#EXTINF:-1");
    let mut put = |key: &str, value: &str| {
        out.push_str(&format!(" {key}=\"{}\"", clean(value)));
    };
    put("tvg-id", &channel.guide_id);
    put("tvg-name", &channel.name);
    put("tvg-logo", &channel.logo);
    put("tvg-chno", &channel.number.to_string());
    put("group-title", group);
    if channel.guide_shift_min != 0 {
        put("tvg-shift", &(f32::from(channel.guide_shift_min) / 60.0).to_string());
    }
    if channel.radio {
        put("radio", "true");
    }
    if let Some(catchup) = &channel.catchup {
        put("catchup", &catchup.mode);
        put("catchup-days", &catchup.days.to_string());
        if !catchup.source.is_empty() {
            put("catchup-source", &catchup.source);
        }
    }
    out.push_str(&format!(",{name}\n"));
    // Other programs know these two as lines; such a line holds for every address of the entry.
    let shared: Vec<(&str, &str)> = [("User-Agent", "http-user-agent"), ("Referer", "http-referrer")]
        .into_iter()
        .filter_map(|(header, option)| Some((option, everywhere(&channel.sources, header)?)))
        .collect();
    for (option, value) in &shared {
        out.push_str(&format!("#EXTVLCOPT:{option}={}\n", clean(value)));
    }
    for source in &channel.sources {
        out.push_str(&source.url);
        let own = source.headers.iter().filter(|(_, value)| !shared.iter().any(|(_, v)| v == value));
        for (i, (name, value)) in own.enumerate() {
            let encoded = |text| utf8_percent_encode(text, PLAIN);
            out.push_str(&format!("{}{}={}", if i == 0 { '|' } else { '&' }, encoded(name), encoded(value)));
        }
        out.push('\n');
    }
}

/// The value of a header that all addresses send alike.
fn everywhere<'a>(sources: &'a [ChannelSource], header: &str) -> Option<&'a str> {
    let of = |s: &'a ChannelSource| s.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(header)).map(|(_, v)| v);
    let first = of(sources.first()?)?;
    sources.iter().all(|s| of(s) == Some(first)).then_some(first)
}

/// Within quotes on one line.
fn clean(text: &str) -> String {
    text.replace('"', "'").replace(|c: char| c.is_control(), " ")
}
