//! The time of day as the rest of the daemon counts it.
//!
//! Owns one function. Must not enter: formats, time zones. Invariant: no clock, however wrong, makes it panic.

use std::time::{SystemTime, UNIX_EPOCH};

/// Epoch seconds.
pub fn epoch_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
