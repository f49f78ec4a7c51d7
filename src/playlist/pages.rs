//! Pages and search answers with AceStream links, as the channel lists they stand for.
//!
//! Owns telling such a page from a playlist, and the finding of links with their names. Must not enter: downloads, rows. Invariant: a
//! page is read up to [`MAX_PAGE`] and nothing of it is followed or run; what is no page passes untouched.

use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{self, BufRead, Cursor, Read},
    sync::LazyLock,
};

use quick_xml::escape::{resolve_html5_entity, unescape_with};
use regex::Regex;
use serde_json::Value;
use yagi_api::text::{MAX_TEXT, clean};

const MAX_PAGE: u64 = 16 << 20;
const MAX_LINKS: usize = 50_000;
const MAX_DEPTH: usize = 32;

/// `acestream://ID` and its spellings.
static LINK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)acestream:(?://|\?)?(?:(?:content_id|id|infohash)=)?([0-9a-f]{40})\b|/ace/(?:getstream|manifest\.m3u8)\?(?:[^\s<>]{0,200}?&)?(id|content_id|infohash)=([0-9a-f]{40})\b",
    )
});
/// Objects in scripts: a name and, in the same object, a link.
static OBJECT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)"(?:name|title)"\s*:\s*"((?:[^"\\]|\\.){1,300})"[^{}]{0,1000}?"(?:url|link|id|hash|infohash|content_id|acestream_id)"\s*:\s*"(?:acestream://)?([0-9a-f]{40})""#,
    )
});
static TAG: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)<!--.*?-->|<[^>]*>"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|e| unreachable!("a fixed pattern is wrong: {e}"))
}

/// The text as a playlist: itself, or the list that a page stands for.
pub fn listed(mut input: Box<dyn BufRead + Send>) -> io::Result<Box<dyn BufRead + Send>> {
    let head = input.fill_buf()?;
    let start = head.iter().position(|b| !b.is_ascii_whitespace() && !matches!(b, 0xef | 0xbb | 0xbf));
    let first = start.map_or(0, |i| head[i]);
    let holds = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    let is_page = matches!(first, b'<' | b'{' | b'[') && !head[start.unwrap_or(0)..].starts_with(b"[playlist]")
        || (!holds(b"#EXT") && (holds(b"acestream:") || holds(b"/ace/getstream")));
    if !is_page {
        return Ok(input);
    }
    let mut bytes = Vec::new();
    input.by_ref().take(MAX_PAGE).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut list = List::default();
    match first {
        b'{' | b'[' => {
            if let Ok(value) = serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) {
                list.value(&value, ("", "", ""), 0);
            }
        }
        _ => list.page(&text),
    }
    if list.out.is_empty() {
        // The reader of playlists says best what it is not.
        return Ok(Box::new(Cursor::new(bytes).chain(input)));
    }
    Ok(Box::new(Cursor::new(format!("#EXTM3U\n{}", list.out).into_bytes())))
}

#[derive(Default)]
struct List {
    out: String,
    seen: HashSet<String>,
}

impl List {
    fn add(&mut self, name: &str, group: &str, logo: &str, key: &str, hash: &str) {
        let hash = hash.to_ascii_lowercase();
        if self.seen.len() >= MAX_LINKS || !self.seen.insert(hash.clone()) {
            return;
        }
        let name = unescape_with(name, resolve_html5_entity).unwrap_or(name.into());
        let name = clean(&name, MAX_TEXT).replace('"', "'");
        let shown = if name.is_empty() { format!("AceStream {}", &hash[..8]) } else { name };
        let group = clean(group, MAX_TEXT).replace('"', "'");
        let scheme = if key.eq_ignore_ascii_case("infohash") { "acestream:?infohash=" } else { "acestream://" };
        let web = logo.starts_with("http://") || logo.starts_with("https://");
        let logo =
            if web { format!(" tvg-logo=\"{}\"", clean(logo, MAX_TEXT).replace('"', "%22")) } else { String::new() };
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "#EXTINF:-1 group-title=\"{group}\"{logo},{shown}\n{scheme}{hash}");
    }

    /// JSON of any shape: an object with a name and, in it or below, hashes. The engine's search is one.
    fn value(&mut self, value: &Value, (name, group, logo): (&str, &str, &str), depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::Array(all) => all.iter().for_each(|v| self.value(v, (name, group, logo), depth + 1)),
            Value::Object(map) => {
                let text = |keys: &[&str]| keys.iter().find_map(|k| map.get(*k)).and_then(first_text);
                let name = text(&["name", "title"]).unwrap_or(name);
                let group = text(&["category", "categories", "group"]).unwrap_or(group);
                let icon = || map.get("icons")?.get(0)?.get("url")?.as_str();
                let logo = text(&["logo", "icon"]).or_else(icon).unwrap_or(logo);
                for key in ["infohash", "content_id", "acestream_id", "id", "hash", "url", "link"] {
                    let Some(found) = map.get(key).and_then(Value::as_str) else { continue };
                    let word = found.rsplit(['/', '=', ':']).next().unwrap_or_default();
                    if word.len() == 40 && word.bytes().all(|b| b.is_ascii_hexdigit()) {
                        let key = if found.contains("infohash=") { "infohash" } else { key };
                        self.add(name, group, logo, key, word);
                        break;
                    }
                }
                map.values()
                    .filter(|v| v.is_array() || v.is_object())
                    .for_each(|v| self.value(v, (name, group, logo), depth + 1));
            }
            _ => {}
        }
    }

    fn page(&mut self, text: &str) {
        for found in OBJECT.captures_iter(text) {
            let name: String =
                serde_json::from_str(&format!("\"{}\"", &found[1])).unwrap_or_else(|_| found[1].to_owned());
            self.add(&name, "", "", "id", &found[2]);
        }
        let mut before = 0;
        let mut last = String::new();
        for found in LINK.captures_iter(text) {
            let whole = found.get(0).map_or(0..0, |m| m.range());
            let (key, hash) = match (found.get(1), found.get(2), found.get(3)) {
                (Some(hash), ..) => (if found[0].contains("infohash") { "infohash" } else { "id" }, hash.as_str()),
                (None, Some(key), Some(hash)) => (key.as_str(), hash.as_str()),
                _ => continue,
            };
            // The words before, up to the last link; a link inside of a tag is named by what the tag encloses.
            let open = text[before..whole.start].rfind('<').map(|i| before + i);
            let in_tag = open.is_some_and(|i| !text[i..whole.start].contains('>'));
            let lead = words(&text[before..open.filter(|_| in_tag).unwrap_or(whole.start)]);
            if let Some(named) = lead.rsplit('\n').map(trimmed).find(|w| tells(w)) {
                last = named.to_owned();
            }
            let inner = if in_tag { enclosed(&text[whole.end..]) } else { String::new() };
            let inner = trimmed(&inner);
            let name = if tells(inner) { inner.to_owned() } else { last.clone() };
            self.add(&name, "", "", key, hash);
            before = whole.end;
        }
    }
}

fn first_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text.as_str()),
        Value::Array(all) => all.first().and_then(first_text),
        _ => None,
    }
    .filter(|t| !t.trim().is_empty())
}

/// The text between the end of the tag and its closing one.
fn enclosed(rest: &str) -> String {
    let rest = &rest[..rest.floor_char_boundary(2000)];
    let Some((_, inner)) = rest.split_once('>') else { return String::new() };
    let end = inner.find("</a").or_else(|| inner.find("</A")).or_else(|| inner.find("</")).unwrap_or(0);
    words(&inner[..end]).replace('\n', " ")
}

/// The text without tags, one line for each piece.
fn words(html: &str) -> String {
    let from = html.ceil_char_boundary(html.len().saturating_sub(4000));
    let text = &html[from..];
    // The rest of a tag that began before.
    let text = match (text.find('<'), text.find('>')) {
        (open, Some(close)) if open.is_none_or(|o| close < o) => &text[close + 1..],
        _ => text,
    };
    TAG.replace_all(text, "\n").into_owned()
}

fn trimmed(text: &str) -> &str {
    text.trim()
        .trim_end_matches(['-', ':', '|', '=', '>', '→', '–', ',', ' ', '"', '\''])
        .trim_start_matches(['"', '\'', ','])
        .trim()
}

/// Whether a text names a channel, and not what one may do with it.
fn tells(text: &str) -> bool {
    const SAYS_NOTHING: &[&str] = &["acestream", "ace stream", "link", "play", "watch", "open", "here", "copy", "ace"];
    let folded = text.to_lowercase();
    text.chars().any(char::is_alphanumeric)
        && !SAYS_NOTHING.contains(&folded.as_str())
        && !folded.starts_with("acestream:")
        && !folded.starts_with("http")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef01234567";
    const B: &str = "ffffffffffffffffffffffffffffffffffffffff";

    fn list(page: &str) -> String {
        let mut out = String::new();
        let mut read = listed(Box::new(Cursor::new(page.as_bytes().to_vec()))).unwrap();
        read.read_to_string(&mut out).unwrap();
        out.replace(A, "A").replace(B, "B").replace("#EXTINF:-1 group-title=", "")
    }

    #[test]
    fn links_of_pages_have_the_names_beside_them() {
        let page = format!(
            "<!DOCTYPE html><html><body><h1>Sport</h1><ul><li><a href=\"acestream://{A}\">Sky &amp; Sport <b>HD</b></a></li>\
             <li>Rai Uno <a href='acestream://{B}'>Play</a></li><li><a href='acestream://{A}'>again</a></li></ul>"
        );
        assert_eq!(list(&page), "#EXTM3U\n\"\",Sky & Sport HD\nacestream://A\n\"\",Rai Uno\nacestream://B\n");
        let text = format!("My list\nSky Sport: acestream://{A}\nRai Uno\nacestream://{B}\n");
        assert_eq!(list(&text), "#EXTM3U\n\"\",Sky Sport\nacestream://A\n\"\",Rai Uno\nacestream://B\n");
        let script = format!("<script>const l=[{{\"name\":\"DAZN \\u00e9\",\"url\":\"acestream://{A}\"}}]</script>");
        assert_eq!(list(&script), "#EXTM3U\n\"\",DAZN é\nacestream://A\n");
        let engine = format!("<a href=\"http://127.0.0.1:6878/ace/getstream?infohash={A}\">One</a>");
        assert_eq!(list(&engine), "#EXTM3U\n\"\",One\nacestream:?infohash=A\n");
    }

    #[test]
    fn answers_of_the_engines_search_are_lists() {
        let answer = format!(
            r#"{{"result":{{"total":2,"results":[{{"name":"Sky","items":[{{"infohash":"{A}","categories":["sport"],"icons":[{{"url":"http://l/1"}}]}},
               {{"infohash":"{B}","name":"Sky 2"}}]}}]}},"error":null}}"#
        );
        assert_eq!(
            list(&answer),
            "#EXTM3U\n\"sport\" tvg-logo=\"http://l/1\",Sky\nacestream:?infohash=A\n\"\",Sky 2\nacestream:?infohash=B\n"
        );
    }

    #[test]
    fn what_is_no_page_passes_untouched() {
        for text in [
            "",
            "#EXTM3U\n#EXTINF:-1,A\nacestream://x\n",
            "<html>Account expired</html>",
            "{\"user_info\":{\"auth\":0}}",
            "http://h/1.ts\n",
        ] {
            assert_eq!(list(text), text);
        }
        let m3u = format!("#EXTM3U\n#EXTINF:-1,A\nacestream://{A}\n");
        assert_eq!(list(&m3u), m3u.replace(A, "A").replace("#EXTINF:-1 group-title=", ""));
    }

    proptest! {
        #[test]
        fn any_page_is_safe(text in "(<[a-z ='\"]{0,9}>?|acestream://[0-9a-f]{40}|\\PC{0,9}|\\{|\"name\":\"|\"){0,30}") {
            let out = list(&text);
            prop_assert!(out.len() <= text.len() * 4 + 9 + 60 * text.matches("acestream").count());
        }
    }
}
