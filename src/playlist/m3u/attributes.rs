//! What stands after `#EXTINF:` and `#EXTM3U`: attributes and a name.
//!
//! Owns the tolerant reading of quotes: values quoted with `"` or `'`, unquoted, with quotes or commas inside, with a missing
//! closing quote, glued together. Must not enter: what attributes mean. Invariant: no text fails, none is read twice.

/// Calls `on` with each attribute and gives the name: what follows the first comma outside of values, else what remains after
/// the last attribute.
pub fn split<'a>(text: &'a str, mut on: impl FnMut(&'a str, &'a str)) -> &'a str {
    let bytes = text.as_bytes();
    // The duration, unless it is missing.
    let mut i = word_end(bytes, 0);
    if bytes[..i].contains(&b'=') {
        i = 0;
    }
    let mut tail = i;
    loop {
        i = skip_blanks(bytes, i);
        match bytes.get(i) {
            None => return text[tail..].trim(),
            Some(b',') => return text[i + 1..].trim(),
            Some(_) => {}
        }
        let end = key_end(bytes, i);
        if end > i && bytes.get(end) == Some(&b'=') {
            let (value, next) = value(text, end + 1);
            on(&text[i..end], value.trim());
            i = next;
            tail = i;
        } else {
            // A word that is no attribute: perhaps the name, where the comma is missing.
            i = word_end(bytes, i).max(i + 1);
        }
    }
}

fn blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

fn skip_blanks(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|b| !blank(*b)).map_or(bytes.len(), |n| from + n)
}

fn word_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|b| blank(*b) || *b == b',').map_or(bytes.len(), |n| from + n)
}

fn is_key(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

fn key_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|b| !is_key(*b)).map_or(bytes.len(), |n| from + n)
}

/// Whether, after blanks, a comma, an attribute or the end stands at `from`.
fn ends_here(bytes: &[u8], from: usize) -> bool {
    let i = skip_blanks(bytes, from);
    match bytes.get(i) {
        None | Some(b',') => true,
        Some(_) => {
            let end = key_end(bytes, i);
            end > i && bytes.get(end) == Some(&b'=')
        }
    }
}

/// The value at `from`, and where reading goes on.
fn value(text: &str, from: usize) -> (&str, usize) {
    let bytes = text.as_bytes();
    match bytes.get(from) {
        Some(b'"') => quoted(text, from),
        Some(b'\'') => {
            let inner = from + 1;
            memchr::memchr_iter(b'\'', &bytes[inner..])
                .map(|n| inner + n)
                .find(|p| closes(bytes, *p))
                .map_or_else(|| bare(text, from), |p| (&text[inner..p], p + 1))
        }
        _ => bare(text, from),
    }
}

/// A closing quote is followed by a comma, the end, or blanks and another attribute.
fn closes(bytes: &[u8], quote: usize) -> bool {
    match bytes.get(quote + 1) {
        None | Some(b',') => true,
        Some(b) if blank(*b) => ends_here(bytes, quote + 1),
        Some(_) => false,
    }
}

fn quoted(text: &str, from: usize) -> (&str, usize) {
    let bytes = text.as_bytes();
    let inner = from + 1;
    let mut first = None;
    for quote in memchr::memchr_iter(b'"', &bytes[inner..]).map(|n| inner + n) {
        if closes(bytes, quote) {
            return (&text[inner..quote], quote + 1);
        }
        // `a="x b="y"`: this quote opens the next attribute, so ours was never closed; `a="x"b="y"`: it was, without a blank.
        if quote > inner && bytes[quote - 1] == b'=' {
            let key = bytes[inner..quote - 1].iter().rposition(|b| !is_key(*b)).map(|n| inner + n);
            if let Some(before) = key
                && before + 1 < quote - 1
                && (blank(bytes[before]) || bytes[before] == b'"')
            {
                return (&text[inner..before], before + 1);
            }
        }
        first.get_or_insert(quote);
    }
    if let Some(quote) = first {
        return (&text[inner..quote], quote + 1);
    }
    let end = memchr::memchr(b',', &bytes[inner..]).map_or(bytes.len(), |n| inner + n);
    (&text[inner..end], end)
}

/// Up to a comma, or to blanks that an attribute follows: unquoted values may have blanks inside.
fn bare(text: &str, from: usize) -> (&str, usize) {
    let bytes = text.as_bytes();
    let mut i = from;
    while i < bytes.len() && bytes[i] != b',' && !(blank(bytes[i]) && ends_here(bytes, i)) {
        i += 1;
    }
    (&text[from..i], i)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        let mut out = String::new();
        let name = split(text, |k, v| out.push_str(&format!("{k}={v}|")));
        out + name
    }

    #[test]
    fn the_spellings_of_the_wild() {
        for (text, expected) in [
            (r#"-1 tvg-id="a" group-title="b",Name"#, "tvg-id=a|group-title=b|Name"),
            ("-1,Name", "Name"),
            ("-1, Law, Order and \"Quotes\"", "Law, Order and \"Quotes\""),
            (r#"-1 tvg-id="x",Law, Order and "Quotes""#, "tvg-id=x|Law, Order and \"Quotes\""),
            (r#"-1 tvg-name="Law, Order" group-title="US, SVU",Law"#, "tvg-name=Law, Order|group-title=US, SVU|Law"),
            (r#"-1 tvg-name="The "Best" Show" a="b",T"#, "tvg-name=The \"Best\" Show|a=b|T"),
            ("-1 tvg-id=abc group-title=UK News,BBC", "tvg-id=abc|group-title=UK News|BBC"),
            ("-1 tvg-id='abc' group-title='It's on',BBC", "tvg-id=abc|group-title=It's on|BBC"),
            (r#"-1 tvg-id="bbc tvg-name="BBC" x="y",BBC One"#, "tvg-id=bbc|tvg-name=BBC|x=y|BBC One"),
            (r#"-1 tvg-id="bbc,BBC One"#, "tvg-id=bbc|BBC One"),
            (r#"-1 tvg-id="a"tvg-name="b",N"#, "tvg-id=a|tvg-name=b|N"),
            (r#"-1 tvg-id="" tvg-name="",N"#, "tvg-id=|tvg-name=|N"),
            (r#"-1 tvg-logo="http://h/?a=b&c=" x="1",N"#, "tvg-logo=http://h/?a=b&c=|x=1|N"),
            (r#"-1 tvg-id="x" Name without comma"#, "tvg-id=x|Name without comma"),
            (r#"tvg-id="x",No duration"#, "tvg-id=x|No duration"),
            ("0", ""),
            ("", ""),
            ("-1 tvg-chno=\"7\"\t, Tabs ", "tvg-chno=7|Tabs"),
            ("10.5 a=,b", "a=|b"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ ,=\"'a-c\u{e9}\u{1f600}-]{0,60}") {
            read(&text);
        }

        #[test]
        fn plain_values_come_back(id in "[a-z0-9 ,.']{0,12}", name in "[A-Za-z0-9 ,\"'=]{0,20}") {
            let text = format!("-1 tvg-id=\"{id}\" x=\"1\",{name}");
            let mut values = Vec::new();
            let read = split(&text, |k, v| values.push((k.to_owned(), v.to_owned())));
            prop_assert_eq!(read, name.trim());
            prop_assert_eq!(&values[0].1, id.trim());
        }
    }
}
