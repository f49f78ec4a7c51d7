//! Times and sizes as people write and read them.
//!
//! Owns `--expires` and the words of tables: dates, durations, rates, bytes. Pure: `now` is an argument.

use std::sync::OnceLock;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Reads an expiry: `YYYY-MM-DD` (from the start of that day, local time, like `chage -E`), RFC 3339,
/// `+30d` (`h`, `d`, `w`) or `never`.
///
/// # Errors
/// Says what was expected.
pub fn expiry(text: &str, now: i64) -> Result<Option<i64>, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("never") {
        return Ok(None);
    }
    let expected = || format!("`{text}` is no date: expected YYYY-MM-DD, an RFC 3339 time, +30d or never");
    if let Some(rest) = text.strip_prefix('+') {
        let (count, unit) = rest.split_at_checked(rest.len().saturating_sub(1)).ok_or_else(expected)?;
        let seconds: i64 = match unit {
            "h" => 3600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            _ => return Err(expected()),
        };
        let count: u16 = count.parse().map_err(|_| expected())?;
        return Ok(Some(now + i64::from(count) * seconds));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Some(at.as_second()));
    }
    // Only the plain form: "2027-01-31T10:00" without a zone would be a guess.
    let date: Date = if text.len() == 10 { text.parse().map_err(|_| expected())? } else { return Err(expected()) };
    let day = date.to_zoned_datetime(zone()).map_err(|_| expected())?;
    Ok(Some(day.timestamp().as_second()))
}

#[must_use]
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// `2027-01-31`, local time.
#[must_use]
pub fn date(at: i64) -> String {
    zoned(at, "%Y-%m-%d")
}

/// `2027-01-31 10:00`, local time.
#[must_use]
pub fn minute(at: i64) -> String {
    zoned(at, "%Y-%m-%d %H:%M")
}

/// `10:00:07`, local time.
#[must_use]
pub fn clock(at: i64) -> String {
    zoned(at, "%H:%M:%S")
}

/// `10:00`, local time.
#[must_use]
pub fn hour(at: i64) -> String {
    zoned(at, "%H:%M")
}

static ZONE: OnceLock<TimeZone> = OnceLock::new();

fn zone() -> TimeZone {
    ZONE.get_or_init(TimeZone::system).clone()
}

/// Times are shown in this zone from now on, unless one was shown already; else the system's is asked.
pub fn fix_zone(zone: TimeZone) {
    let _ = ZONE.set(zone);
}

fn zoned(at: i64, format: &str) -> String {
    Timestamp::from_second(at)
        .map_or_else(|_| at.to_string(), |t| t.to_zoned_datetime(zone()).strftime(format).to_string())
}

/// `never`, `2027-01-31 (70 d)`, `2020-01-31 (past)`.
#[must_use]
pub fn expires(at: Option<i64>, now: i64) -> String {
    match at {
        None => "never".into(),
        Some(at) if at <= now => format!("{} (past)", date(at)),
        Some(at) => format!("{} ({})", date(at), span(at - now)),
    }
}

/// `00:48:31`, `12d04h`.
#[must_use]
pub fn uptime(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    if d > 0 { format!("{d}d{h:02}h") } else { format!("{h:02}:{m:02}:{s:02}") }
}

/// `7 s`, `12 min`, `3 h`, `70 d`.
#[must_use]
pub fn span(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s @ 7200..172_800 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

/// `7s`, `12m`, `3h`, `70d`.
#[must_use]
pub fn short_span(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..120 => format!("{s}s"),
        s @ 120..7200 => format!("{}m", s / 60),
        s @ 7200..172_800 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// `2 min ago`.
#[must_use]
pub fn ago(at: Option<i64>, now: i64) -> String {
    at.map_or_else(|| "never".into(), |at| format!("{} ago", span(now - at)))
}

/// Megabits per second with two decimals, for columns.
#[must_use]
pub fn mbps(bits: u64) -> String {
    let hundredths = (bits + 5_000) / 10_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// `40.1 Mb/s`, `1.09 Gb/s`.
#[must_use]
pub fn rate(bits: u64) -> String {
    format!("{}b/s", scaled(bits, 1000, &["", "k", "M", "G", "T"]))
}

/// `40M`, `1.09G`: bits per second where there is little room.
#[must_use]
pub fn short_rate(bits: u64) -> String {
    let text = scaled(bits, 1000, &["", "k", "M", "G", "T"]);
    let (figure, unit) = text.split_once(' ').unwrap_or((&text, ""));
    // Below a thousand megabits the decimals only flicker.
    match figure.split_once('.') {
        Some((whole, _)) if unit != "G" && unit != "T" => format!("{whole}{unit}"),
        _ => format!("{figure}{unit}"),
    }
}

/// `61 MiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    format!("{}B", scaled(bytes, 1024, &["", "Ki", "Mi", "Gi", "Ti", "Pi"]))
}

fn scaled(value: u64, base: u64, units: &[&str]) -> String {
    let (mut unit, mut divisor) = (0, 1u64);
    while unit + 1 < units.len() && value / divisor >= base {
        unit += 1;
        divisor *= base;
    }
    // Three digits are enough for the eye.
    #[allow(clippy::cast_precision_loss, reason = "a figure for the eye")]
    let figure = value as f64 / divisor as f64;
    let decimals = usize::from(unit > 0 && figure < 99.5) + usize::from(unit > 0 && figure < 9.95);
    format!("{figure:.decimals$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries() {
        assert_eq!(expiry("never", 5), Ok(None));
        assert_eq!(expiry("+30d", 100), Ok(Some(100 + 30 * 86_400)));
        assert_eq!(expiry("+12h", 0), Ok(Some(12 * 3600)));
        assert_eq!(expiry("2030-01-01T00:00:00Z", 0), Ok(Some(1_893_456_000)));
        let day = expiry("2030-01-01", 0).unwrap().unwrap();
        assert!((day - 1_893_456_000).abs() <= 14 * 3600);
        assert_eq!(date(day), "2030-01-01");
        for bad in ["", "+", "+d", "+-3d", "+3x", "2030-13-01", "2030-02-30", "tomorrow", "2030-01-01 10:00", "+é"] {
            assert!(expiry(bad, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn figures() {
        assert_eq!(mbps(4_812_345), "4.81");
        assert_eq!(rate(1_090_000_000), "1.09 Gb/s");
        assert_eq!(rate(40_100_000), "40.1 Mb/s");
        assert_eq!(rate(0), "0 b/s");
        assert_eq!(short_rate(40_100_000), "40M");
        assert_eq!(short_rate(1_090_000_000), "1.09G");
        assert_eq!(short_rate(0), "0");
        assert_eq!(bytes(61 * 1024 * 1024), "61.0 MiB");
        assert_eq!(uptime(12 * 86_400 + 4 * 3600), "12d04h");
        assert_eq!(uptime(2911), "00:48:31");
        assert_eq!(span(70 * 86_400), "70 d");
    }
}
