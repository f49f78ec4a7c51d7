//! The zone in which a provider reads dates.
//!
//! Owns the question to its panel and the answers that are kept. Must not enter: players. Invariant: at most [`KEPT`] answers are
//! kept, under names that hold no password; without an answer it is UTC, and asked for again a minute later.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::{
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use serde_json::Value;

use crate::{
    library::archive::Panel,
    upstream::{Caps, Conditions, Fetcher, Reach},
};

const KEPT: usize = 256;
const FRESH: Duration = Duration::from_secs(6 * 3600);
const AGAIN: Duration = Duration::from_secs(60);
const CAPS: Caps = Caps { bytes: 1 << 20, time: Duration::from_secs(8) };

#[derive(Debug, Default)]
pub struct Zones(Mutex<HashMap<String, (Instant, Option<TimeZone>)>>);

impl Zones {
    /// Of the panel that this address is one of.
    pub async fn of(
        &self,
        panel: Panel<'_>,
        headers: &[(String, String)],
        reach: Reach,
        fetcher: &Fetcher,
    ) -> TimeZone {
        let name = format!("{} {}", panel.base, panel.user);
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        let is_fresh =
            |(at, zone): &(Instant, Option<TimeZone>)| at.elapsed() < if zone.is_some() { FRESH } else { AGAIN };
        if let Some((_, zone)) = kept.as_ref().filter(|kept| is_fresh(kept)) {
            return zone.clone().unwrap_or(TimeZone::UTC);
        }
        let (at, zone) = match ask(panel, headers, reach, fetcher).await {
            Ok(zone) => (Instant::now(), Some(zone)),
            Err(why) => {
                let base = crate::secret::redact(panel.base);
                let known = kept.and_then(|(_, zone)| zone);
                let held = known.as_ref().and_then(TimeZone::iana_name).unwrap_or("UTC");
                tracing::warn!(provider = %base, why, zone = held, "the provider does not tell its time zone now");
                // What it said before still holds; asked again in a while.
                let at = Instant::now();
                let past = FRESH - AGAIN;
                (if known.is_some() { at.checked_sub(past).unwrap_or(at) } else { at }, known)
            }
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.retain(|_, kept| is_fresh(kept));
        }
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(name, (at, zone.clone()));
        zone.unwrap_or(TimeZone::UTC)
    }
}

async fn ask(
    panel: Panel<'_>,
    headers: &[(String, String)],
    reach: Reach,
    fetcher: &Fetcher,
) -> Result<TimeZone, String> {
    let Panel { base, user, password, .. } = panel;
    let url = format!("{base}/player_api.php?username={user}&password={password}");
    let conditions = Conditions::default();
    let fetched = fetcher.fetch_found(&url, headers, reach, &conditions, CAPS).await.map_err(|e| e.to_string())?;
    let read = tokio::task::spawn_blocking(move || -> Result<Value, String> {
        let input = fetched.body.reader(CAPS.bytes).map_err(|e| e.to_string())?;
        serde_json::from_reader(input).map_err(|_| "its answer is no JSON".to_owned())
    });
    let answer = read.await.map_err(|e| e.to_string())??;
    told(&answer).ok_or_else(|| "its answer names none".to_owned())
}

/// By its name, else by its clock.
fn told(answer: &Value) -> Option<TimeZone> {
    let server = answer.get("server_info")?;
    let named = server.get("timezone").and_then(Value::as_str).and_then(|name| TimeZone::get(name.trim()).ok());
    named.or_else(|| {
        let number = |v: &Value| v.as_i64().or_else(|| v.as_str()?.trim().parse().ok());
        let now = server.get("timestamp_now").and_then(number)?;
        let shown: DateTime = server.get("time_now")?.as_str()?.trim().parse().ok()?;
        let shown = TimeZone::UTC.to_timestamp(shown).ok()?.as_second();
        // Clocks of zones differ by quarters of an hour.
        let quarters = (shown.checked_sub(now)? + 450).div_euclid(900);
        let offset = Offset::from_seconds(i32::try_from(quarters * 900).ok()?).ok()?;
        Some(TimeZone::fixed(offset))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_zone_is_told_by_its_name_or_by_the_clock() {
        let of = |server: Value| told(&json!({ "server_info": server }));
        assert_eq!(of(json!({"timezone": "Europe/Rome"})), TimeZone::get("Europe/Rome").ok());
        // 20:15:37 UTC, shown with a clock of +05:30 that is two seconds late.
        let clock = json!({"timezone": "Nowhere/x", "timestamp_now": "1795637737", "time_now": "2026-11-26 01:45:35"});
        assert_eq!(of(clock), Some(TimeZone::fixed(Offset::from_seconds(19_800).unwrap())));
        for none in [
            json!({}),
            json!({"timezone": 5}),
            json!({"timestamp_now": 1, "time_now": "x"}),
            json!({"timestamp_now": i64::MIN, "time_now": "2026-11-26 01:45:35"}),
        ] {
            assert_eq!(of(none.clone()), None, "{none}");
        }
    }
}
