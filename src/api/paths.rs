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
pub const CHECKS: &str = "/api/checks";
pub const RULES: &str = "/api/rules";
pub const LINEUP: &str = "/api/lineup";
pub const STREAMS: &str = "/api/streams";
pub const CLIENTS: &str = "/api/clients";
pub const GUIDE: &str = "/api/guide";
pub const SETTINGS: &str = "/api/settings";
pub const LOGS: &str = "/api/logs";
pub const ENGINES: &str = "/api/engines";
pub const CHANGES: &str = "/api/changes";
pub const UNDO: &str = "/api/undo";
pub const REDO: &str = "/api/redo";
pub const APPLY: &str = "/api/apply";
pub const JOBS: &str = "/api/jobs";
pub const BLOCKS: &str = "/api/blocks";
pub const PROBE: &str = "/api/sources/probe";
pub const GUIDE_CHANNELS: &str = "/api/guide/channels";
pub const GUIDE_ACCEPT: &str = "/api/guide/accept";
pub const GUIDE_REFRESH: &str = "/api/guide/refresh";
pub const LOG_FILTER: &str = "/api/logs/filter";
pub const RELOAD: &str = "/api/reload";
pub const BACKUP: &str = "/api/backup";
pub const CATEGORY_ORDER: &str = "/api/categories/order";
/// Behind a noun's own path: `/api/channels/bulk`.
pub const BULK: &str = "/bulk";
