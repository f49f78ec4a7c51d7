//! `/api/settings`: the database's settings, and the file's keys to look at.
//!
//! Owns the sentences that explain settings. Must not enter: ranges (the library has them). Invariant: every setting has a row
//! with its origin, and a row says whether it can be changed here and when it applies.

use serde_json::Value;
use yagi_api::{Role, Setting, SettingsPatch};

use super::{Answer, Ask, input, ok};
use crate::{app::App, library::Catalog, secret::redact};

const HELP: &[(&str, &str)] = &[
    ("linger_s", "Seconds that a stream without viewers keeps its upstream."),
    ("join_burst_ms", "How far behind the newest picture a viewer starts, in milliseconds; 0: at the newest picture."),
    ("hls_segment_s", "Length of HLS segments, in seconds; they are cut at the next random-access point."),
    ("flush_max_ms", "Longest that small chunks are gathered before they are sent, in milliseconds; 0: never."),
    ("lag_policy", "What happens to a viewer who fell behind the buffer: skip (moved forward) or drop (closed)."),
    ("stall_cut_s", "Seconds without progress after which a viewer is cut."),
    ("limit_policy", "Above a viewer's connection limit: take_over (an older one is closed) or refuse."),
    ("hold_s", "Seconds that viewers are held while a failed upstream is reopened."),
    ("upstream_silence_s", "Seconds that a silent upstream is trusted."),
    (
        "failover_rest_s",
        "Seconds that a source which failed is not gone back to while another works; doubled each time it fails again.",
    ),
    ("failover_rate_ms", "Milliseconds over which a collapse of the bit rate is judged; 0: never."),
    ("failover_rate_percent", "A bit rate below this share of what is usual for the source has collapsed."),
    ("failover_video_ms", "Milliseconds that a picture may be missing while all else comes; 0: for ever."),
    ("failover_audio_ms", "Milliseconds that the sound may be missing while all else comes; 0: for ever."),
    ("failover_frozen_ms", "Milliseconds that packets may come whose time stands still; 0: for ever."),
    ("failover_stray_ms", "Milliseconds that what comes may be no MPEG-TS; 0: as long as silence is trusted."),
    ("guide_past_h", "Hours of past programmes that the guide keeps; applies at the next refresh."),
    ("guide_future_d", "Days of coming programmes that the guide keeps; applies at the next refresh."),
    ("playlist_interval_s", "Seconds between refreshes of new playlists."),
    ("guide_interval_s", "Seconds between refreshes of new guides."),
    ("user_max_connections", "Connection limit of new users; 0: none."),
    ("refresh_min_percent", "A refresh that leaves fewer than this share of the channels is held back; 0: never."),
    (
        "timezone",
        "Zone of the times that players are told (server_info, short guide), e.g. Europe/Rome; xmltv.php is UTC.",
    ),
    (
        "refresh_max_renamed_percent",
        "A refresh that renames more than this share of the channels is held back; 100: never.",
    ),
    ("refresh_max_added_percent", "A refresh that adds more than this share to the channels is held back; 0: never."),
    ("lineup_generations", "Generations of each playlist's line-up that can be rolled back to."),
    (
        "logos",
        "Links to logos: auto (by the daemon where a player behind TLS could not see them), serve (all by the daemon) or link.",
    ),
    ("keep_retired_d", "Days that a channel which its playlist no longer lists keeps its id and number."),
    ("audit_rows", "Steps that the audit trail keeps."),
    ("audit_days", "Days that the audit trail keeps them."),
];

fn rows(app: &App) -> Vec<Setting> {
    let mut rows = stored(&app.library.catalog());
    rows.extend(app.config.load().rows().into_iter().map(|row| Setting { value: without_login(row.value), ..row }));
    rows
}

fn stored(catalog: &Catalog) -> Vec<Setting> {
    let Ok(Value::Object(values)) = serde_json::to_value(&**catalog.settings()) else { return Vec::new() };
    let help = |key: &str| HELP.iter().find(|(k, _)| *k == key).map_or("", |(_, text)| text).to_owned();
    let origin = |key: &str| if catalog.set_keys().contains(key) { "database" } else { "default" };
    values
        .into_iter()
        .map(|(key, value)| Setting {
            origin: origin(&key).to_owned(),
            help: help(&key),
            key,
            value,
            applies_now: true,
            editable: true,
        })
        .collect()
}

/// A URL of the file may carry a login.
pub fn without_login(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains("://") && text.contains('@') => Value::String(redact(&text)),
        Value::Array(list) => list.into_iter().map(without_login).collect(),
        other => other,
    }
}

/// Of a command's arguments only the program: any of them may be a secret.
fn program_only(mut row: Setting) -> Setting {
    if let Value::Array(argv) = &mut row.value
        && row.key.starts_with("exec.")
    {
        argv.iter_mut().skip(1).for_each(|argument| *argument = "****".into());
    }
    row
}

pub fn list(ask: &Ask<'_>) -> Answer {
    input::only(&ask.request.query, &[])?;
    let rows = rows(ask.app).into_iter();
    ok(&rows.map(|row| if ask.role == Role::Admin { row } else { program_only(row) }).collect::<Vec<_>>())
}

pub async fn update(ask: Ask<'_>) -> Answer {
    let patch: SettingsPatch = input::body(ask.request)?;
    ask.app.library.update_settings(&ask.actor, patch).await?;
    ok(&rows(ask.app))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_explained() {
        let rows = stored(&Catalog::default());
        assert!(rows.iter().all(|row| !row.help.is_empty() && row.origin == "default"), "{rows:?}");
        assert_eq!(rows.len(), HELP.len());
    }

    #[test]
    fn logins_in_the_files_urls_are_hidden() {
        assert_eq!(without_login("http://me:pw@h:6878".into()), "http://****@h:6878");
        assert_eq!(without_login("https://tv.example.org/live/x".into()), "https://tv.example.org/live/x");
    }
}
