//! The one cleaning of foreign text, and what user names may contain.

use std::borrow::Cow;

/// Bytes that a name, group, agent or message keeps at most.
pub const MAX_TEXT: usize = 512;

/// Cleans text at the border (imports, control socket, engines, User-Agent headers): control characters, line
/// separators, bidi overrides and zero-width characters go, white space is trimmed and runs of it become one blank, and
/// the rest is cut to `max` bytes at a character's edge. Idempotent.
#[must_use]
pub fn clean(text: &str, max: usize) -> Cow<'_, str> {
    let dirty = text.len() > max
        || text.starts_with(' ')
        || text.ends_with(' ')
        || text.contains("  ")
        || text.chars().any(|c| is_foul(c) || (c != ' ' && c.is_whitespace()));
    if !dirty {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(max));
    let mut blank = false;
    for c in text.chars() {
        if c.is_whitespace() || is_foul(c) {
            // A tab or line break separates words; an invisible mark does not.
            blank |= c.is_whitespace() && !out.is_empty();
            continue;
        }
        if out.len() + c.len_utf8() + usize::from(blank) > max {
            break;
        }
        if blank {
            out.push(' ');
            blank = false;
        }
        out.push(c);
    }
    Cow::Owned(out)
}

/// Characters that can forge a line, move a cursor or hide text.
#[must_use]
pub fn is_foul(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{061c}' | '\u{fff9}'..='\u{fffb}')
}

/// Whether a text can be copied as it is between quotes of JSON, M3U and the like: true means that no quote, backslash, control or
/// foul character is in it. Looks at bytes only, so some harmless texts are refused; a line-up of 50,000 channels is asked this
/// often.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| PLAIN[usize::from(b)])
}

/// Printable ASCII without quote and backslash, and the bytes of longer characters but the first ones of those that may be foul.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut b = 0;
    while b < 256 {
        plain[b] = b >= 0x20 && !matches!(b, 0x22 | 0x5c | 0x7f | 0xc2 | 0xd8 | 0xe2 | 0xef);
        b += 1;
    }
    plain
};

/// Words that start a public path and therefore cannot be a user's name (`/{user}/{password}/{id}`).
pub const RESERVED_NAMES: &[&str] = &[
    "live",
    "movie",
    "series",
    "timeshift",
    "hls",
    "streaming",
    "play",
    "api",
    "hdhr",
    "ace",
    "auto",
    "p",
    "e",
    "health",
    "ready",
    "logo",
    "metrics",
];

/// Why a user's name or password cannot be used, if so.
#[must_use]
pub fn credential_fault(word: &str) -> Option<&'static str> {
    if word.is_empty() {
        Some("must not be empty")
    } else if word.len() > 64 {
        Some("must have at most 64 characters")
    } else if !word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b)) {
        Some("may contain only A-Z a-z 0-9 . _ ~ - because players paste it into URLs")
    } else if word.bytes().all(|b| b == b'.') {
        Some("must not be a path of dots")
    } else {
        None
    }
}

/// Why a user's name cannot be used, if so.
#[must_use]
pub fn user_name_fault(name: &str) -> Option<&'static str> {
    credential_fault(name).or_else(|| {
        RESERVED_NAMES
            .iter()
            .any(|r| r.eq_ignore_ascii_case(name))
            .then_some("is reserved: it is the first word of a public path")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clean_drops_what_can_forge_a_line() {
        assert_eq!(clean("  a\u{1b}[2Jb\r\nc\u{202e}d\u{200b}e  ", 99), "a[2Jb cde");
        assert_eq!(clean("Law, Order and \"Quotes\"", 99), "Law, Order and \"Quotes\"");
        assert_eq!(clean("ééé", 5), "éé");
    }

    #[test]
    fn names_that_break_urls_are_refused() {
        assert_eq!(user_name_fault("alice"), None);
        assert!(user_name_fault("Live").is_some());
        assert!(user_name_fault("a/b").is_some());
        assert!(user_name_fault("..").is_some());
        assert!(credential_fault("").is_some());
    }

    proptest! {
        #[test]
        fn what_is_plain_holds_nothing_to_escape(s in "\\PC*|.*") {
            let foul = s.chars().any(|c| is_foul(c) || matches!(c, '"' | '\\'));
            prop_assert!(!(is_plain(&s) && foul), "{s:?}");
            prop_assert!(!s.bytes().all(|b| b.is_ascii_alphanumeric()) || is_plain(&s));
        }

        #[test]
        fn clean_is_idempotent_and_bounded(s in "\\PC*|.*", max in 0usize..64) {
            let once = clean(&s, max).into_owned();
            prop_assert!(once.len() <= max);
            prop_assert!(!once.chars().any(is_foul));
            prop_assert_eq!(clean(&once, max), once.as_str());
        }
    }
}
