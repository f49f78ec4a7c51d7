//! What a player asks of an archive: from when, and how much.
//!
//! Owns the spellings of both and their bounds. Must not enter: the provider's spellings (`fill`). Invariant: a date without a zone is
//! one of the zone that players are told (`server_info.timezone`).

use jiff::{
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

/// Longest part: a day.
const MOST_S: i64 = 24 * 3600;
/// What a player gets that does not say how much it wants; never beyond now.
const USUAL_S: i64 = 3 * 3600;
/// The clocks of a player and ours may differ by so much.
const SKEW_S: i64 = 120;
/// What an archive may hold beyond its days: the last programme began before.
const GRACE_S: i64 = 6 * 3600;

/// A part of an archive as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Epoch seconds.
    pub start: i64,
    pub seconds: u32,
}

/// Why there is no such part; the texts are for the player.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("start: expected YYYY-MM-DD:HH-MM in the zone of server_info.timezone, or seconds since 1970")]
    Start,
    #[error("duration: expected minutes from 1 to 1440")]
    Minutes,
    #[error("duration: expected seconds from 1 to 86400")]
    Seconds,
    #[error("this time has not come yet")]
    Future,
    #[error("the archive of this channel reaches back {0} days")]
    TooOld(u16),
}

impl Wrong {
    pub fn http_status(self) -> u16 {
        match self {
            Self::TooOld(_) => 404,
            _ => 400,
        }
    }
}

impl Asked {
    /// As panels ask: a start and minutes.
    ///
    /// # Errors
    /// Which of the two cannot be read.
    pub fn minutes(start: &str, minutes: &str, zone: Option<&TimeZone>, now: i64) -> Result<Self, Wrong> {
        let start = read(start, zone).ok_or(Wrong::Start)?;
        let seconds = match said(minutes) {
            None => usual(start, now),
            Some(minutes) => bounded(minutes, 60).ok_or(Wrong::Minutes)?,
        };
        Ok(Self { start, seconds })
    }

    /// As playlists ask: `utc`, and perhaps `duration` in seconds.
    ///
    /// # Errors
    /// Which of the two cannot be read.
    pub fn seconds(start: &str, seconds: &str, zone: Option<&TimeZone>, now: i64) -> Result<Self, Wrong> {
        let start = read(start, zone).ok_or(Wrong::Start)?;
        let seconds = match said(seconds) {
            None => usual(start, now),
            Some(seconds) => bounded(seconds, 1).ok_or(Wrong::Seconds)?,
        };
        Ok(Self { start, seconds })
    }

    /// Whether an archive of so many days can have it.
    ///
    /// # Errors
    /// It has not come yet, or is too old.
    pub fn within(self, days: u16, now: i64) -> Result<Self, Wrong> {
        if self.start > now.saturating_add(SKEW_S) {
            Err(Wrong::Future)
        } else if self.start < now - i64::from(days) * 86_400 - GRACE_S {
            Err(Wrong::TooOld(days))
        } else {
            Ok(self)
        }
    }
}

/// None: nothing, or a placeholder that the player does not know.
fn said(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && !text.contains('{')).then_some(text)
}

fn bounded(text: &str, unit: i64) -> Option<u32> {
    let seconds = text.parse::<i64>().ok()?.checked_mul(unit)?;
    u32::try_from(seconds).ok().filter(|_| (1..=MOST_S).contains(&seconds))
}

fn usual(start: i64, now: i64) -> u32 {
    u32::try_from(now.saturating_sub(start).clamp(60, USUAL_S)).unwrap_or(60)
}

/// `2026-11-25:20-15`, with other signs between and perhaps with seconds, or seconds since 1970.
fn read(text: &str, zone: Option<&TimeZone>) -> Option<i64> {
    let text = text.trim();
    if text.len() > 32 || !text.is_ascii() {
        return None;
    }
    if (9..=11).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    // Zone marks of ISO 8601: such a date is of UTC.
    let (text, zone) = match text.strip_suffix(['Z', 'z']) {
        Some(text) => (text, None),
        None => (text, zone),
    };
    let signs = |c: char| matches!(c, '-' | ':' | '_' | ' ' | 'T' | '/' | '.' | '+');
    let numbers: Vec<&str> = match text.len() {
        // YYYYMMDDhhmm, perhaps with seconds.
        12 | 14 if text.bytes().all(|b| b.is_ascii_digit()) => {
            std::iter::once(&text[..4]).chain((4..text.len()).step_by(2).map(|i| &text[i..i + 2])).collect()
        }
        _ => text.split(signs).collect(),
    };
    if !(5..=6).contains(&numbers.len())
        || numbers[0].len() != 4
        || numbers[1..].iter().any(|n| !(1..=2).contains(&n.len()))
    {
        return None;
    }
    let number = |i: usize| numbers.get(i).map_or(Some(0), |n| n.parse::<i8>().ok());
    let date = Date::new(numbers[0].parse().ok()?, number(1)?, number(2)?).ok()?;
    let time = Time::new(number(3)?, number(4)?, number(5)?, 0).ok()?;
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    // An hour that clocks have twice is the first of the two, one that they skip the one after it.
    let at = zone.to_ambiguous_timestamp(DateTime::from_parts(date, time)).compatible().ok()?;
    Some(at.as_second())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn starts_are_read_in_every_spelling() {
        for text in [
            "2026-11-25:20-15",
            "2026-11-25:20:15",
            "2026-11-25:20-15-00",
            "2026-11-25 20:15:00",
            "2026-11-25_20-15",
            "2026-11-25T20:15:00Z",
            "20261125201500",
            "202611252015",
            "1795637700",
        ] {
            assert_eq!(read(text, None), Some(1_795_637_700), "{text}");
        }
        for text in [
            "",
            "2026-11-25",
            "2026-13-01:00-00",
            "2026-11-25:25-00",
            "x",
            "-1-1-1-1-1",
            "99999999999999",
            "{utc}",
            "é026-11-25:20-15",
        ] {
            assert_eq!(read(text, None), None, "{text}");
        }
    }

    #[test]
    fn dates_are_of_the_zone_that_players_are_told() {
        let rome = TimeZone::get("Europe/Rome").unwrap();
        let at = |text: &str| read(text, Some(&rome)).unwrap();
        assert_eq!(at("2026-11-25:21-15"), 1_795_637_700);
        assert_eq!(at("2026-11-25T20:15:00Z"), 1_795_637_700);
        // The hour that clocks skip, and the one that they have twice.
        assert_eq!(at("2026-03-29:02-30"), at("2026-03-29:03-30"));
        assert_eq!(at("2026-10-25:02-30") + 3600 + 1800, at("2026-10-25:03-00"));
    }

    #[test]
    fn parts_are_bounded() {
        let now = 1_795_637_700;
        let ask = |start: &str, minutes: &str| Asked::minutes(start, minutes, None, now);
        assert_eq!(ask("2026-11-25:19-15", "90").unwrap(), Asked { start: now - 3600, seconds: 5400 });
        assert_eq!(ask("2026-11-25:19-15", "").unwrap().seconds, 3600);
        assert_eq!(ask("2026-11-25:09-15", "${duration}").unwrap().seconds, 3 * 3600);
        for bad in ["0", "-5", "1441", "x", "99999999999999999999"] {
            assert_eq!(ask("2026-11-25:19-15", bad), Err(Wrong::Minutes), "{bad}");
        }
        assert_eq!(Asked::seconds("1795637600", "90", None, now), Ok(Asked { start: 1_795_637_600, seconds: 90 }));
        assert_eq!(Asked::seconds("1795637600", "0", None, now), Err(Wrong::Seconds));
        assert_eq!(ask("now", "5"), Err(Wrong::Start));
        let at = |start| Asked { start, seconds: 60 }.within(2, now);
        assert!(at(now).is_ok() && at(now - 2 * 86_400).is_ok());
        assert_eq!((at(now + 3600), at(now - 3 * 86_400)), (Err(Wrong::Future), Err(Wrong::TooOld(2))));
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text in "\\PC{0,24}|[0-9:TZ_ -]{0,24}", minutes in "\\PC{0,8}|[0-9]{0,8}") {
            if let Ok(asked) = Asked::minutes(&text, &minutes, None, 1_795_637_700) {
                prop_assert!((1..=86_400).contains(&asked.seconds));
            }
        }
    }
}
