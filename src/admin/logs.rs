//! `/api/logs`.
//!
//! Owns the bounds of a log request. Must not enter: recording. Invariant: never more than the ring holds.

use yagi_api::{ApiError, LogFilter, LogRecord};

use super::{Answer, Ask, input, ok};

const DEFAULT: usize = 200;
const MOST: usize = 2000;
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

pub fn list(ask: &Ask<'_>) -> Answer {
    let params = &ask.request.query;
    input::only(params, &["n", "level", "since", "target", "q"])?;
    let n = input::number(params, "n", "a whole number from 1 to 2000")?.unwrap_or(DEFAULT);
    if n > MOST {
        return Err(ApiError::invalid("n", "expected a whole number from 1 to 2000"));
    }
    let level = params.get("level").filter(|l| !l.is_empty());
    if level.is_some_and(|l| !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(l))) {
        return Err(ApiError::invalid("level", format!("expected one of {}", LEVELS.join(", "))));
    }
    let since: u64 = input::number(params, "since", "the seq of a record")?.unwrap_or(0);
    let target = params.get("target").unwrap_or_default();
    let needle = params.get("q").unwrap_or_default().to_lowercase();
    let holds = |text: &str| text.to_lowercase().contains(&needle);
    let wanted = |r: &LogRecord| {
        r.seq > since
            && r.target.starts_with(target)
            && (needle.is_empty() || holds(&r.message) || r.fields.iter().any(|(k, v)| holds(k) || holds(v)))
    };
    let records: Vec<LogRecord> = ask.app.logs.find(n, level, wanted);
    ok(&records)
}

/// What is logged, and what the configuration says.
pub fn filter(ask: &Ask<'_>) -> Answer {
    ok(&LogFilter { filter: ask.app.logs.filter(), configured: ask.app.config.load().config.log.filter.clone() })
}

pub fn set_filter(ask: &Ask<'_>) -> Answer {
    let wanted: LogFilter = input::body(ask.request)?;
    ask.app.logs.set_filter(&wanted.filter).map_err(|e| ApiError::invalid("filter", e.to_string()))?;
    tracing::warn!(actor = ask.actor, filter = wanted.filter, "the log's filter was changed");
    filter(ask)
}
