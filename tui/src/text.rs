//! Foreign text made fit for a terminal.
//!
//! Owns `printable`, the only way by which names, agents, addresses and log lines reach the screen (TUI and tables of
//! the CLI), and widths in cells. Invariants: the result has no control, bidi or invisible character, and is never
//! wider than asked.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_width::UnicodeWidthChar;
use yagi_api::text::is_foul;

/// More marks than this on one letter are noise that eats the screen.
const MAX_MARKS: u8 = 3;

/// Text for at most `max` cells: controls become `·`, invisible characters go, blanks are folded, flags become two
/// letters, the result is composed (NFC) and cut with `...`.
#[must_use]
pub fn printable(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max && text.bytes().all(|b| (0x20..0x7f).contains(&b)) && !text.contains("  ") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(max * 4));
    let (mut width, mut blank, mut marks) = (0, false, 0u8);
    // Where to cut, should the text turn out too long: the last place that leaves room for the dots.
    let mut cut = 0;
    // A letter is looked at once more than fits, so the input is bounded too.
    for c in text.nfc() {
        let c = match c {
            c if c.is_whitespace() => {
                blank |= width > 0;
                continue;
            }
            // Regional indicators: a flag is shown as its two letters.
            '\u{1f1e6}'..='\u{1f1ff}' => char::from(b'A' + (u32::from(c) - 0x1f1e6) as u8),
            c if c.is_control() => '·',
            c if is_foul(c) || is_invisible(c) => continue,
            c => c,
        };
        let wide = c.width().unwrap_or(0);
        if wide == 0 {
            marks += 1;
            if marks <= MAX_MARKS && width > 0 {
                out.push(c);
            }
            continue;
        }
        marks = 0;
        for (c, wide) in blank.then_some((' ', 1)).into_iter().chain([(c, wide)]) {
            if width + wide > max {
                out.truncate(cut);
                // Fewer cells than dots: only the cut.
                out.push_str(&"..."[..max.min(3)]);
                return Cow::Owned(out);
            }
            if width + 3 <= max {
                cut = out.len();
            }
            out.push(c);
            width += wide;
        }
        blank = false;
        if width + 3 <= max {
            cut = out.len();
        }
    }
    Cow::Owned(out)
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Cells that text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Text in exactly `cells` cells: cut, or filled with blanks on the right (or on the left).
#[must_use]
pub fn fit(text: &str, cells: usize, right: bool) -> String {
    let text = printable(text, cells);
    let fill = " ".repeat(cells.saturating_sub(width(&text)));
    if right { fill + &text } else { text.into_owned() + &fill }
}

/// Text that is clean already, with its blanks as they are, in exactly `cells` cells.
#[must_use]
pub fn lay(text: &str, cells: usize) -> String {
    let (mut out, mut used) = (String::with_capacity(cells), 0);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > cells {
            break;
        }
        out.push(c);
        used += wide;
    }
    out + &" ".repeat(cells - used)
}

/// `1 stream`, `2 streams`.
#[must_use]
pub fn count(n: impl TryInto<u64>, one: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// An address with user, password and tokens as `****`: for the screen.
#[must_use]
pub fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (path, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
    let (host, path) = path.split_once('/').map_or((path, None), |(h, p)| (h, Some(p)));
    let mut out = format!("{scheme}://");
    match host.rsplit_once('@') {
        Some((_, host)) => {
            out.push_str("****@");
            out.push_str(host);
        }
        None => out.push_str(host),
    }
    if let Some(path) = path {
        let parts: Vec<&str> = path.split('/').collect();
        // Xtream: /live/USER/PASSWORD/ID.ts, /USER/PASSWORD/ID
        let from = usize::from(matches!(parts.first(), Some(&("live" | "movie" | "series"))));
        let is_stream = parts.len() == from + 3
            && parts.last().is_some_and(|id| {
                let id = id.split('.').next().unwrap_or_default();
                !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit())
            });
        // Our own short links: /p/TOKEN, /e/TOKEN, /hdhr/TOKEN/…
        let token = parts.iter().position(|p| matches!(*p, "p" | "e" | "hdhr")).map(|at| at + 1);
        for (i, part) in parts.iter().enumerate() {
            out.push('/');
            let secret = is_stream && (from..from + 2).contains(&i) || token == Some(i);
            out.push_str(if secret && !part.is_empty() { "****" } else { part });
        }
    }
    if let Some(query) = query {
        for (i, pair) in query.split('&').enumerate() {
            out.push(if i == 0 { '?' } else { '&' });
            match pair.split_once('=') {
                Some((key, value)) if is_secret(key) && !value.is_empty() => {
                    out.push_str(key);
                    out.push_str("=****");
                }
                _ => out.push_str(pair),
            }
        }
    }
    out
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["user", "pass", "token", "key", "auth", "sig", "secret", "mac"].iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_text_is_tamed() {
        assert_eq!(printable("a\u{1b}[2Jb\u{9b}c\u{202e}d\u{200b}e\u{feff}", 40), "a·[2Jb·cde");
        assert_eq!(printable("  tab\tand\r\nline  ", 40), "tab and line");
        assert_eq!(printable("🇮🇹 Rai", 40), "IT Rai");
        assert_eq!(printable("e\u{301}", 4), "é");
        assert_eq!(printable("👨\u{200d}👩", 4), "👨👩");
    }

    #[test]
    fn the_cut_counts_cells() {
        assert_eq!(printable("abcdefgh", 6), "abc...");
        assert_eq!(printable("abcdef", 6), "abcdef");
        assert_eq!(printable("日本語放送", 6), "日...");
        assert_eq!(printable("日本語", 6), "日本語");
        assert_eq!(printable("abcdef", 2), "..");
        assert_eq!(fit("日本", 6, false), "日本  ");
        assert_eq!(fit("12", 4, true), "  12");
        assert_eq!((lay("a  b", 6), lay("日本", 3)), ("a  b  ".into(), "日 ".into()));
    }

    #[test]
    fn one_is_no_many() {
        assert_eq!((count(1u32, "stream"), count(0usize, "client")), ("1 stream".into(), "0 clients".into()));
    }

    #[test]
    fn credentials_are_masked() {
        assert_eq!(masked("http://p.example/live/u/pw/30819.ts"), "http://p.example/live/****/****/30819.ts");
        assert_eq!(masked("http://p.example/u/pw/30819"), "http://p.example/****/****/30819");
        assert_eq!(
            masked("http://a:b@h:8080/get.php?username=u&password=p&type=m3u"),
            "http://****@h:8080/get.php?username=****&password=****&type=m3u"
        );
        assert_eq!(masked("http://tv:8080/p/9fK2xQ7bT"), "http://tv:8080/p/****");
        assert_eq!(masked("https://x.org/iptv/e/9fK2xQ7bT9fK2xQ7bT"), "https://x.org/iptv/e/****");
        assert_eq!(masked("http://tv:8080/hdhr/9fK2/lineup.json"), "http://tv:8080/hdhr/****/lineup.json");
        assert_eq!(masked("/srv/tv/list.m3u"), "/srv/tv/list.m3u");
    }

    proptest! {
        #[test]
        fn printable_is_bounded_and_clean(s in "\\PC*|.*|[\u{1f1e6}-\u{1f1ff}\u{300}-\u{310}\u{0}-\u{20}日🇮👨]*", max in 0usize..40) {
            let out = printable(&s, max);
            prop_assert!(width(&out) <= max, "{:?}", out);
            prop_assert!(!out.chars().any(|c| c.is_control() || is_foul(c)));
        }
    }
}
