//! Placeholders of catch-up addresses.
//!
//! Owns their spellings and what stands in their place. Must not enter: which channel, sockets. Invariant: what is no placeholder that
//! we know stays as it is, letter by letter.

use std::fmt::Write as _;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// A part of an archive, and when it is asked for.
#[derive(Clone, Debug)]
pub struct Part {
    /// Epoch seconds.
    pub start: i64,
    pub seconds: u32,
    pub now: i64,
    /// In which the provider reads dates.
    pub zone: TimeZone,
}

impl Part {
    pub fn end(&self) -> i64 {
        self.start.saturating_add(i64::from(self.seconds))
    }

    fn date(&self, at: i64) -> DateTime {
        self.zone.to_datetime(Timestamp::from_second(at).unwrap_or_default())
    }

    /// What stands for `name`, or for `name:format`.
    fn value(&self, name: &str, format: Option<&str>) -> Option<String> {
        let (seconds, offset) = (i64::from(self.seconds), self.now.saturating_sub(self.start).max(0));
        let at = match name {
            "utc" | "start" => self.start,
            "utcend" | "end" => self.end(),
            "lutc" | "now" | "timestamp" => self.now,
            // Rounded up: what is asked for is there to its end.
            "duration" => return units(seconds, format, |n, by| (n + by - 1) / by),
            "offset" => return units(offset, format, |n, by| n / by),
            "Y" | "m" | "d" | "H" | "M" | "S" if format.is_none() => return letters(self.date(self.start), name),
            _ => return None,
        };
        match format {
            None => Some(at.to_string()),
            Some(format) => letters(self.date(at), format),
        }
    }
}

fn units(seconds: i64, format: Option<&str>, divide: impl Fn(i64, i64) -> i64) -> Option<String> {
    let by = format.map_or(Some(1), |f| f.parse().ok()).filter(|by| (1..=86_400).contains(by))?;
    Some(divide(seconds, by).to_string())
}

/// `Y-m-d`: each letter that means something is filled in.
fn letters(at: DateTime, format: &str) -> Option<String> {
    let mut out = String::new();
    for letter in format.chars() {
        let done = match letter {
            'Y' => write!(out, "{:04}", at.year()),
            'm' => write!(out, "{:02}", at.month()),
            'd' => write!(out, "{:02}", at.day()),
            'H' => write!(out, "{:02}", at.hour()),
            'M' => write!(out, "{:02}", at.minute()),
            'S' => write!(out, "{:02}", at.second()),
            other => write!(out, "{other}"),
        };
        done.ok()?;
    }
    Some(out)
}

/// The placeholders of a text, each with what is around it: text before, its inside, and its whole spelling.
fn walk<'a>(template: &'a str, mut text: impl FnMut(&'a str), mut placeholder: impl FnMut(&'a str, &'a str)) {
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let inside = &rest[open + 1..];
        // A brace that opens before this one closes makes this one a letter.
        let close = inside.find(['{', '}']).filter(|i| inside[*i..].starts_with('}'));
        let Some(close) = close else {
            text(&rest[..=open]);
            rest = inside;
            continue;
        };
        let begin = if rest[..open].ends_with('$') { open - 1 } else { open };
        text(&rest[..begin]);
        placeholder(&inside[..close], &rest[begin..open + close + 2]);
        rest = &inside[close + 1..];
    }
    text(rest);
}

fn split(inside: &str) -> (&str, Option<&str>) {
    inside.split_once(':').map_or((inside, None), |(name, format)| (name, Some(format)))
}

/// The address of this part.
pub fn fill(template: &str, part: &Part) -> String {
    let out = std::cell::RefCell::new(String::with_capacity(template.len() + 16));
    walk(
        template,
        |text| out.borrow_mut().push_str(text),
        |inside, whole| {
            let (name, format) = split(inside);
            match part.value(name, format) {
                Some(value) => out.borrow_mut().push_str(&value),
                None => out.borrow_mut().push_str(whole),
            }
        },
    );
    out.into_inner()
}

fn any(template: &str, mut is: impl FnMut(&str, Option<&str>) -> bool) -> bool {
    let mut found = false;
    walk(
        template,
        |_| {},
        |inside, _| {
            let (name, format) = split(inside);
            found |= is(name, format);
        },
    );
    found
}

/// Whether the provider is told dates, whose meaning depends on its zone.
pub fn names_dates(template: &str) -> bool {
    any(template, |name, format| {
        matches!(name, "Y" | "m" | "d" | "H" | "M" | "S")
            || (format.is_some() && matches!(name, "utc" | "start" | "utcend" | "end" | "lutc" | "now" | "timestamp"))
    })
}

/// Whether the provider is told where the part ends.
pub fn names_end(template: &str) -> bool {
    any(template, |name, _| matches!(name, "duration" | "utcend" | "end"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(zone: &str) -> Part {
        // 2026-03-29 00:30 UTC: Rome's clocks go from 02:00 to 03:00 half an hour later.
        Part { start: 1_774_744_200, seconds: 5430, now: 1_774_830_600, zone: TimeZone::get(zone).unwrap() }
    }

    #[test]
    fn every_spelling_is_filled_in() {
        for (template, filled) in [
            ("?utc={utc}&lutc={lutc}", "?utc=1774744200&lutc=1774830600"),
            ("${start}-${end}-${timestamp}-${now}", "1774744200-1774749630-1774830600-1774830600"),
            ("{start} {utcend} {end} {timestamp}", "1774744200 1774749630 1774749630 1774830600"),
            ("{duration} ${duration} {duration:60} {duration:1}", "5430 5430 91 5430"),
            ("{offset} ${offset} {offset:60}", "86400 86400 1440"),
            ("{Y}-{m}-{d}:{H}-{M}-{S}", "2026-03-29:01-30-00"),
            ("{utc:Y-m-d_H:M:S} ${start:YmdHMS} {utcend:H-M}", "2026-03-29_01:30:00 20260329013000 04-00"),
            (
                "{catchup-id} {x} {} {utc {duration:0} {duration:x} $ {",
                "{catchup-id} {x} {} {utc {duration:0} {duration:x} $ {",
            ),
            ("{{utc}} ${ {H:M}", "{1774744200} ${ {H:M}"),
        ] {
            assert_eq!(fill(template, &part("Europe/Rome")), filled, "{template}");
        }
    }

    #[test]
    fn dates_are_the_provider_s_on_the_nights_when_clocks_change() {
        let at = |start: i64, zone: &str| fill("{Y}-{m}-{d}:{H}-{M}", &Part { start, ..part(zone) });
        assert_eq!(at(1_774_744_200, "UTC"), "2026-03-29:00-30");
        assert_eq!(at(1_774_745_999, "Europe/Rome"), "2026-03-29:01-59");
        assert_eq!(at(1_774_746_000, "Europe/Rome"), "2026-03-29:03-00");
        assert_eq!(at(1_774_746_000, "America/St_Johns"), "2026-03-28:22-30");
        // 2026-10-25 01:00 UTC: from 03:00 back to 02:00. Both hours have one name.
        assert_eq!(at(1_792_886_400 + 1800, "Europe/Rome"), "2026-10-25:02-30");
        assert_eq!(at(1_792_890_000 + 1800, "Europe/Rome"), "2026-10-25:02-30");
        assert_eq!(at(1_792_893_600, "Europe/Rome"), "2026-10-25:03-00");
    }

    #[test]
    fn it_is_known_what_a_provider_is_told() {
        assert!(
            names_dates("http://h/{Y}/{duration}") && names_dates("{utc:Y}") && !names_dates("{utc}/{duration:60}")
        );
        assert!(names_end("{duration:60}") && names_end("${end}") && !names_end("?utc={utc}&lutc={lutc}"));
    }

    proptest! {
        #[test]
        fn what_is_no_placeholder_stays(text in "[^{}]{0,40}") {
            prop_assert_eq!(fill(&text, &part("UTC")), text);
        }

        /// Whatever the text is; and where all placeholders are known, none is left.
        #[test]
        fn known_ones_never_survive(
            parts in prop::collection::vec(("[a-z/?=&$é-]{0,6}", prop::sample::select(vec![
                "{utc}", "${start}", "{utcend}", "${end}", "{lutc}", "${now}", "${timestamp}", "{duration}", "{duration:60}",
                "{offset:60}", "{Y}", "{m}", "{d}", "{H}", "{M}", "{S}", "{utc:Y-m-d}", "${end:H}",
            ])), 0..8),
            start in -62_000_000_000i64..250_000_000_000, seconds: u32, now: i64,
        ) {
            let template: String = parts.iter().map(|(text, name)| format!("{text}{name}")).collect();
            let filled = fill(&template, &Part { start, seconds, now, zone: TimeZone::UTC });
            prop_assert!(!filled.contains(['{', '}']), "{}", filled);
            for (text, _) in &parts {
                prop_assert!(filled.contains(text.trim_end_matches('$')));
            }
        }

        #[test]
        fn any_text_is_safe(template in "([{}$:a-zA-Zé]|utc|duration){0,30}", start: i64, now: i64) {
            let part = Part { start, seconds: u32::MAX, now, zone: TimeZone::UTC };
            let once = fill(&template, &part);
            prop_assert!(once.len() <= template.len() * 30);
        }
    }
}
