//! Viewers' accounts. Passwords are never part of [`User`]: they travel only in [`NewUser`] and [`UserUrls`].

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// A viewer as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct User {
    pub id: UserId,
    /// Counts edits; a PATCH with an older one is refused (409).
    pub version: u32,
    /// Unique; `[A-Za-z0-9._~-]`, because players paste it unescaped into URLs.
    pub name: String,
    pub enabled: bool,
    /// Epoch seconds; none: never.
    pub expires_at: Option<i64>,
    pub trial: bool,
    /// Simultaneous streams; 0: no limit.
    pub max_connections: u32,
    /// Never empty.
    pub formats: Vec<OutputFormat>,
    /// Names of the categories this viewer may see; none: all.
    pub categories: Option<Vec<String>>,
    pub note: String,
    /// How answers are spelled for this viewer's players.
    #[serde(default)]
    pub player: PlayerFamily,
    /// Epoch seconds.
    pub created_at: i64,
    /// Streams at this moment. Filled by the daemon, ignored on input.
    #[serde(default)]
    pub active: u32,
    /// Epoch seconds of the last successful login, with its player and address. Filled by the daemon; kept over restarts to
    /// the minute.
    #[serde(default)]
    pub last_seen: Option<i64>,
    #[serde(default)]
    pub last_agent: String,
    #[serde(default)]
    pub last_ip: String,
}

impl User {
    /// The word for the account's state at `now` (epoch seconds).
    #[must_use]
    pub fn status(&self, now: i64) -> UserStatus {
        if !self.enabled {
            UserStatus::Disabled
        } else if self.expires_at.is_some_and(|at| at <= now) {
            UserStatus::Expired
        } else {
            UserStatus::Active
        }
    }
}

/// The words that Xtream panels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum UserStatus {
    Active,
    Expired,
    Disabled,
}

impl UserStatus {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Expired => "Expired",
            Self::Disabled => "Disabled",
        }
    }
}

/// Players that want another spelling of the Xtream answers than the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PlayerFamily {
    /// Told by the User-Agent of each request.
    #[default]
    Auto,
    /// As Xtream Codes 2.9: what most players were made for.
    Standard,
    /// IPTV Smarters: counts as numbers.
    Smarters,
    /// Made for XUI panels: epoch seconds as the `end` of the short guide.
    Xui,
}

impl PlayerFamily {
    pub const ALL: [Self; 4] = [Self::Auto, Self::Standard, Self::Smarters, Self::Xui];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Standard => "standard",
            Self::Smarters => "smarters",
            Self::Xui => "xui",
        }
    }
}

/// Container formats a viewer may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// One endless MPEG-TS stream.
    Ts,
    /// HLS: a playlist of segments.
    M3u8,
}

impl OutputFormat {
    pub const ALL: [Self; 2] = [Self::Ts, Self::M3u8];

    /// The word of the API, which is the extension of stream URLs too.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ts => "ts",
            Self::M3u8 => "m3u8",
        }
    }
}

/// What a POST carries; absent fields take the defaults of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UserDraft {
    pub name: String,
    /// Generated when absent: 12 characters without look-alikes.
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub enabled: Option<bool>,
    #[serde(default)]
    pub expires_at: Option<i64>,
    #[serde(default)]
    pub trial: bool,
    #[serde(default)]
    pub max_connections: Option<u32>,
    /// All when absent.
    #[serde(default)]
    pub formats: Option<Vec<OutputFormat>>,
    #[serde(default)]
    pub categories: Option<Vec<String>>,
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    pub player: PlayerFamily,
}

/// What a PATCH carries: absent fields stay; `null` clears where clearing has a meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UserPatch {
    /// The version that was read; checked when present.
    pub version: Option<u32>,
    pub name: Option<String>,
    pub password: Option<String>,
    pub enabled: Option<bool>,
    /// `null`: never expires.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Option<i64>>,
    pub trial: Option<bool>,
    pub max_connections: Option<u32>,
    pub formats: Option<Vec<OutputFormat>>,
    /// `null`: all categories.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub categories: Option<Option<Vec<String>>>,
    pub note: Option<String>,
    pub player: Option<PlayerFamily>,
}

/// Tells `null` from absent.
pub(crate) fn present<'de, D, T>(de: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(de).map(Some)
}

/// Reply to the POST of a user and to a password reset: the only replies besides [`UserUrls`] that name the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewUser {
    #[serde(flatten)]
    pub user: User,
    pub password: String,
}

/// Everything a player can be given. `GET /api/users/{id}/urls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserUrls {
    pub name: String,
    pub password: String,
    /// `http://host:port`, the server field of Xtream players.
    pub server: String,
    /// `get.php` with `type=m3u_plus&output=ts`.
    pub playlist: String,
    /// `xmltv.php`.
    pub guide: String,
    /// `player_api.php`.
    pub player_api: String,
    /// A first stream to try, when the viewer sees any channel.
    pub stream: Option<String>,
    /// Stands for name and password wherever players take them, and can be revoked alone. None: `POST /api/users/{id}/token`
    /// makes one. The following links carry it and no password.
    #[serde(default)]
    pub token: Option<String>,
    /// The playlist.
    #[serde(default)]
    pub short: Option<String>,
    /// The guide.
    #[serde(default)]
    pub short_guide: Option<String>,
    /// The address of a network tuner (HDHomeRun), for Plex, Jellyfin and Emby.
    #[serde(default)]
    pub hdhr: Option<String>,
    /// What to know before handing them out.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Body of `POST /api/users/{id}/extend`: days behind the present end, or behind now when that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UserExtend {
    /// 1 to 3650.
    pub days: u32,
    /// The version that was read; checked when present.
    #[serde(default)]
    pub version: Option<u32>,
}
