//! Times of guides: XMLTV's many spellings to epoch seconds, and epoch seconds to the two spellings that players read.
//!
//! Everything but named zones is UTC arithmetic by hand, so that half a million programmes cost no zone look-ups. Must not enter: clocks.
//! Invariant: what [`parse`] returns lies in the years 1970 to 2100, and [`xmltv`] of it parses back to it.

use jiff::tz::TimeZone;

const DAY: i64 = 86_400;

/// Reads `YYYYMMDD[hh[mm[ss]]] [zone]`, where the zone is `+hhmm`, `+hh:mm`, `+hh`, `Z`, `UTC`, `GMT` or absent (UTC).
#[cfg(test)]
pub fn parse(text: &str) -> Option<i64> {
    Clock::default().read(text)
}

/// How a source's times are read: as they stand, or mended.
#[derive(Default)]
pub struct Clock {
    zone: Option<TimeZone>,
    /// The zone also where an offset is named, because it is a wrong one.
    always: bool,
    shift: i64,
}

impl Clock {
    /// See `SourceOptions`; a zone that this machine does not know is UTC.
    pub fn new(zone: &str, shift_min: i32) -> Self {
        let name = zone.strip_prefix('!').unwrap_or(zone);
        let known = (!name.is_empty()).then(|| TimeZone::get(name).ok()).flatten();
        if known.is_none() && !name.is_empty() {
            tracing::warn!(zone = name, "this machine does not know the zone of a guide; its times are read as UTC");
        }
        Self { zone: known, always: zone.starts_with('!'), shift: i64::from(shift_min) * 60 }
    }

    /// Epoch seconds; none for what is no time.
    pub fn read(&self, text: &str) -> Option<i64> {
        let (local, offset) = local(text)?;
        let time = match (&self.zone, offset) {
            (Some(zone), offset) if self.always || offset.is_none() => in_zone(zone, local)?,
            (_, offset) => local - offset.unwrap_or(0),
        };
        Some(time + self.shift).filter(|t| *t >= 0)
    }
}

/// On the night that has an hour twice the first one is meant; an hour that does not exist is moved forward.
fn in_zone(zone: &TimeZone, local: i64) -> Option<i64> {
    let (year, month, day, hour, minute, second) = fields(local);
    let small = |n: i64| i8::try_from(n).ok();
    let civil = jiff::civil::DateTime::new(
        i16::try_from(year).ok()?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        0,
    );
    Some(zone.to_timestamp(civil.ok()?).ok()?.as_second())
}

/// Seconds since 1970 on the clock that the text was written by, and its offset if it names one.
fn local(text: &str) -> Option<(i64, Option<i64>)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if !matches!(digits, 8 | 10 | 12 | 14) {
        return None;
    }
    let (stamp, zone) = text.split_at(digits);
    let field = |from: usize, to: usize| -> i64 {
        stamp.get(from..to).map_or(0, |s| s.bytes().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
    };
    let (year, month, day) = (field(0, 4), field(4, 6), field(6, 8));
    let (hour, minute, second) = (field(8, 10), field(10, 12), field(12, 14));
    if !(1970..=2100).contains(&year) || !(1..=12).contains(&month) || day < 1 || day > month_days(year, month) {
        return None;
    }
    // 24:00:00 is midnight of the next day, 60 a leap second: both are met in the wild.
    if hour > 24 || (hour == 24 && minute + second > 0) || minute > 59 || second > 60 {
        return None;
    }
    let local = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    let zone = zone.trim();
    Some((local, if zone.is_empty() { None } else { Some(offset(zone)?) }))
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if ["Z", "UTC", "GMT"].iter().any(|z| z.eq_ignore_ascii_case(zone)) {
        return Some(0);
    }
    let (sign, rest) = match zone.as_bytes()[0] {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        1 | 2 => (rest, "0"),
        4 => (rest.get(..2)?, rest.get(2..)?),
        5 => rest.split_once(':')?,
        _ => return None,
    };
    let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<i64>().ok())?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 18 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Appends `YYYYMMDDhhmmss +0000`.
pub fn xmltv(out: &mut Vec<u8>, time: i64) {
    let (y, mo, d, h, mi, s) = fields(time);
    // By hand: a guide has millions of them.
    for pair in [y / 100, y % 100, mo, d, h, mi, s] {
        let pair = pair.clamp(0, 99) as u8;
        out.extend_from_slice(&[b'0' + pair / 10, b'0' + pair % 10]);
    }
    out.extend_from_slice(b" +0000");
}

/// `YYYY-MM-DD hh:mm:ss` in UTC, as Xtream players read it.
pub fn wire(time: i64) -> String {
    let (y, mo, d, h, mi, s) = fields(time);
    format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02}")
}

fn fields(time: i64) -> (i64, i64, i64, i64, i64, i64) {
    let (days, rest) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    let (y, m, d) = civil_from_days(days);
    (y, m, d, rest / 3600, rest / 60 % 60, rest % 60)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (years count from March, eras of 400 years).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_one_instant() {
        let at = 1_767_225_600; // 2026-01-01 00:00:00 UTC
        for text in [
            "20260101000000 +0000",
            "20260101000000",
            "202601010000",
            "2026010100",
            "20260101",
            "20260101000000 Z",
            "20260101000000Z",
            "20260101000000 UTC",
            "20260101000000 gmt",
            "20260101010000 +0100",
            "20260101010000+0100",
            "20260101010000 +01:00",
            "20260101010000 +01",
            "20251231183000 -0530",
            "20260101054500 +0545",
            "20251231240000 +0000",
            " 20260101000000 +0000 ",
        ] {
            assert_eq!(parse(text), Some(at), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "tomorrow",
            "2026",
            "20261301000000",
            "20260230000000",
            "20260101250000",
            "20260101006000",
            "20260101000000 CEST",
            "20260101000000 +9900",
            "20260101000000 +1",
            "20260101000000 +é1",
            "20260101000000 +é123",
            "99990101000000",
            "2026010100000000",
            "20260101000000 ++100",
        ] {
            // "+1" is a one-digit hour, which is readable.
            assert_eq!(parse(text).is_some(), text.ends_with("+1"), "{text}");
        }
    }

    #[test]
    fn zones_mend_times_without_an_offset_and_wrong_offsets() {
        let utc = |text: &str| parse(text).unwrap();
        let rome = Clock::new("Europe/Rome", 0);
        assert_eq!(rome.read("20260115200000"), Some(utc("20260115190000")));
        assert_eq!(rome.read("20260715200000"), Some(utc("20260715180000")));
        assert_eq!(rome.read("20260715200000 +0000"), Some(utc("20260715200000")));
        assert_eq!(Clock::new("!Europe/Rome", 0).read("20260715200000 +0000"), Some(utc("20260715180000")));
        assert_eq!(Clock::new("Asia/Kolkata", -30).read("20260715200000"), Some(utc("20260715140000")));
        assert_eq!(Clock::new("America/St_Johns", 0).read("20260115200000"), Some(utc("20260115233000")));
        // The nights of the change: 02:30 does not exist in March, and is twice there in October.
        assert_eq!(rome.read("20260329013000"), Some(utc("20260329003000")));
        assert_eq!(rome.read("20260329023000"), Some(utc("20260329013000")));
        assert_eq!(rome.read("20260329033000"), Some(utc("20260329013000")));
        assert_eq!(rome.read("20261025023000"), Some(utc("20261025003000")));
        assert_eq!(rome.read("20261025033000"), Some(utc("20261025023000")));
        assert_eq!(Clock::new("Mars/Olympus", 60).read("20260115200000"), Some(utc("20260115210000")));
    }

    #[test]
    fn written_for_players() {
        assert_eq!(wire(1_767_225_599), "2025-12-31 23:59:59");
        assert_eq!(wire(951_782_400), "2000-02-29 00:00:00");
    }

    proptest! {
        #[test]
        fn written_times_parse_back(t in 0i64..4_133_980_799) {
            let mut out = Vec::new();
            xmltv(&mut out, t);
            prop_assert_eq!(parse(std::str::from_utf8(&out).unwrap()), Some(t));
        }

        #[test]
        fn any_text_is_safe(s in "\\PC{0,40}|[0-9]{8,14} ?[+-]?\\PC{0,6}") {
            let _ = parse(&s);
        }
    }
}
