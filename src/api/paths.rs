//! Paths of the admin API, so that both sides spell them alike.

/// Major version of the API, in [`crate::Hello`].
pub const API: u32 = 1;

pub const HELLO: &str = "/api/hello";
pub const STATUS: &str = "/api/status";
pub const EVENTS: &str = "/api/events";
pub const CHANNELS: &str = "/api/channels";
pub const CATEGORIES: &str = "/api/categories";
pub const USERS: &str = "/api/users";
pub const SOURCES: &str = "/api/sources";
pub const STREAMS: &str = "/api/streams";
pub const CLIENTS: &str = "/api/clients";
pub const GUIDE: &str = "/api/guide";
pub const SETTINGS: &str = "/api/settings";
pub const LOGS: &str = "/api/logs";
