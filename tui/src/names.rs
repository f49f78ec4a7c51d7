//! Lists of names as one line of text: `A; B; "C; with a semicolon"`.
//!
//! Owns the quoting of names that hold the separator, as CSV does it. Must not enter: which names there are. Invariant: what `join`
//! writes, `split` reads back, whatever the names hold.

/// The names of a line, or none for `all`.
#[must_use]
pub fn split(text: &str, separator: char) -> Option<Vec<String>> {
    if text.trim().eq_ignore_ascii_case("all") {
        return None;
    }
    let mut names = Vec::new();
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut name = String::new();
        let quoted = chars.next_if_eq(&'"').is_some();
        while let Some(c) = chars.next_if(|_| quoted) {
            if c == '"' && chars.next_if_eq(&'"').is_none() {
                break;
            }
            name.push(c);
        }
        let rest: String = chars.by_ref().take_while(|c| *c != separator).collect();
        name += rest.trim_end();
        if quoted || !name.is_empty() {
            names.push(name);
        }
    }
    Some(names)
}

#[must_use]
pub fn join<N: AsRef<str>>(names: &[N], separator: char) -> String {
    let written = |name: &N| {
        let name = name.as_ref();
        let plain = !name.is_empty() && name.trim() == name && !name.contains([separator, '"']);
        if plain && !name.eq_ignore_ascii_case("all") {
            name.to_owned()
        } else {
            format!("\"{}\"", name.replace('"', "\"\""))
        }
    };
    names.iter().map(written).collect::<Vec<_>>().join(&format!("{separator} "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_between_separators_and_quotes() {
        assert_eq!(split(" A ; |IT| B;;", ';').unwrap(), ["A", "|IT| B"]);
        assert_eq!(split(r#""News; ""Late""", C, 5" TV"#, ',').unwrap(), [r#"News; "Late""#, "C", "5\" TV"]);
        assert_eq!((split("All", ','), split("\"All\"", ',')), (None, Some(vec!["All".to_owned()])));
        assert_eq!(split("", ','), Some(Vec::new()));
        assert_eq!(join(&["A", "B; C"], ';'), "A; \"B; C\"");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(names in prop::collection::vec("[ab;,\" ]{1,6}|all", 0..4)) {
            for separator in [';', ','] {
                prop_assert_eq!(split(&join(&names, separator), separator), Some(names.clone()));
            }
        }
    }
}
