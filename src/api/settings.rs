//! Settings that live in the database, apply at once and are edited from the terminal. Never the same key as the file.

use serde::{Deserialize, Serialize};

/// All settings with their defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long a stream without viewers keeps its upstream, in seconds.
    pub linger_s: u32,
    /// How far behind the head a viewer starts, in milliseconds; 0: the newest random-access point.
    pub join_burst_ms: u32,
    /// How long a segment of HLS shall be, in seconds; cuts are made at the next random-access point.
    pub hls_segment_s: u32,
    /// The longest that small chunks are gathered before they are sent, in milliseconds; 0: never gather.
    pub flush_max_ms: u32,
    /// What happens to a viewer whom the ring has lapped.
    pub lag_policy: LagPolicy,
    /// How long a viewer may make no progress before it is cut, in seconds.
    pub stall_cut_s: u32,
    /// What happens above a viewer's connection limit.
    pub limit_policy: LimitPolicy,
    /// How long viewers are held while a failed upstream is reopened, in seconds.
    pub hold_s: u32,
    /// How long a silent upstream is trusted, in seconds.
    pub upstream_silence_s: u32,
    /// How long a source that failed is not gone back to while another one works, in seconds; doubled each time that it fails again.
    pub failover_rest_s: u32,
    /// Over how long a collapse of the bit rate is judged, in milliseconds; 0: never.
    pub failover_rate_ms: u32,
    /// A bit rate below this share of what is usual for the source has collapsed, in percent.
    pub failover_rate_percent: u32,
    /// How long a picture may be missing while all else comes, in milliseconds; 0: for ever.
    pub failover_video_ms: u32,
    /// How long the sound may be missing while all else comes, in milliseconds; 0: for ever.
    pub failover_audio_ms: u32,
    /// How long packets may come whose time stands still, in milliseconds; 0: for ever.
    pub failover_frozen_ms: u32,
    /// How long what comes may be no MPEG-TS, in milliseconds; 0: for ever.
    pub failover_stray_ms: u32,
    /// Hours of past programmes that the guide keeps.
    pub guide_past_h: u32,
    /// Days of coming programmes that the guide keeps.
    pub guide_future_d: u32,
    /// Default interval of new playlist sources, in seconds.
    pub playlist_interval_s: u32,
    /// Default interval of new guide sources, in seconds.
    pub guide_interval_s: u32,
    /// Default connection limit of new users; 0: none.
    pub user_max_connections: u32,
    /// A refresh that would leave fewer than this share of a playlist's channels is held back, in percent; 0: never.
    pub refresh_min_percent: u32,
    /// IANA zone of the times that players are told, e.g. `Europe/Rome`.
    pub timezone: String,
    /// A refresh that would rename more than this share of a playlist's channels is held back, in percent; 100: never.
    pub refresh_max_renamed_percent: u32,
    /// A refresh that would add more than this share to a playlist's channels is held back, in percent; 0: never.
    pub refresh_max_added_percent: u32,
    /// Generations of each playlist's line-up that can be rolled back to.
    pub lineup_generations: u32,
    /// Whether links to logos lead to the daemon, which fetches and keeps them.
    pub logos: LogoPolicy,
    /// Days that a channel which its playlist no longer lists keeps its id and number.
    pub keep_retired_d: u32,
    /// Steps that the audit trail keeps.
    pub audit_rows: u32,
    /// Days that it keeps them.
    pub audit_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            linger_s: 8,
            join_burst_ms: 4000,
            hls_segment_s: 2,
            flush_max_ms: 40,
            lag_policy: LagPolicy::Skip,
            stall_cut_s: 20,
            limit_policy: LimitPolicy::TakeOver,
            hold_s: 30,
            upstream_silence_s: 10,
            failover_rest_s: 60,
            failover_rate_ms: 10000,
            failover_rate_percent: 20,
            failover_video_ms: 5000,
            failover_audio_ms: 8000,
            failover_frozen_ms: 5000,
            failover_stray_ms: 2000,
            guide_past_h: 24,
            guide_future_d: 8,
            playlist_interval_s: 86_400,
            guide_interval_s: 43_200,
            user_max_connections: 1,
            refresh_min_percent: 50,
            timezone: "UTC".to_owned(),
            refresh_max_renamed_percent: 60,
            refresh_max_added_percent: 1000,
            lineup_generations: 5,
            keep_retired_d: 30,
            logos: LogoPolicy::Auto,
            audit_rows: 10_000,
            audit_days: 90,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogoPolicy {
    /// Where the player reaches the daemon by TLS and the logo has none.
    Auto,
    /// All of them.
    Serve,
    /// Players fetch them where they are.
    Link,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LagPolicy {
    /// Move it to the newest random-access point.
    Skip,
    /// Close it.
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LimitPolicy {
    /// Serve the new connection and close an old one, as Xtream panels do.
    TakeOver,
    /// Refuse the new connection.
    Refuse,
}

/// A JSON object of the keys to change: `{"linger_s": 5}`.
pub type SettingsPatch = serde_json::Map<String, serde_json::Value>;

/// One row of `GET /api/settings`: database settings (editable) and the file's keys (shown with their origin).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Setting {
    pub key: String,
    pub value: serde_json::Value,
    /// `default`, `file`, `env`, `flag` or `database`.
    pub origin: String,
    /// False: takes effect at the next start.
    pub applies_now: bool,
    /// True: can be changed through the API.
    pub editable: bool,
    pub help: String,
}
