//! `/api/logs`.
//!
//! Owns the bounds of a log request. Must not enter: recording. Invariant: never more than the ring holds.

use yagi_api::{ApiError, LogRecord};

use super::{Answer, Ask, input, ok};

const DEFAULT: usize = 200;
const MOST: usize = 2000;
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

pub fn list(ask: &Ask<'_>) -> Answer {
    let params = &ask.request.query;
    input::only(params, &["n", "level"])?;
    let n = input::number(params, "n", "a whole number from 1 to 2000")?.unwrap_or(DEFAULT);
    if n > MOST {
        return Err(ApiError::invalid("n", "expected a whole number from 1 to 2000"));
    }
    let level = params.get("level").filter(|l| !l.is_empty());
    if level.is_some_and(|l| !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(l))) {
        return Err(ApiError::invalid("level", format!("expected one of {}", LEVELS.join(", "))));
    }
    let records: Vec<LogRecord> = ask.app.logs.tail(n, level);
    ok(&records)
}
