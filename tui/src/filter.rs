//! The filter of lists that are here as a whole, in the words of the daemon's `q`.
//!
//! Invariant: any text is a filter; terms must all match, case is ignored. An expression that cannot be read matches nothing.

use regex::{Regex, RegexBuilder};

/// Terms, read once for a pass over a list.
#[derive(Debug)]
pub struct Filter(Vec<Term>);

#[derive(Debug)]
struct Term {
    wanted: bool,
    field: Option<String>,
    exact: bool,
    text: String,
    /// `~text`: none when it is no expression (yet).
    pattern: Option<Option<Regex>>,
}

impl Filter {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(words(text).into_iter().filter_map(|w| Term::new(&w)).collect())
    }

    /// Whether a row passes. Its fields: name and text.
    #[must_use]
    pub fn passes(&self, fields: &[(&str, &str)]) -> bool {
        self.0.iter().all(|term| {
            let named = term.field.as_deref().filter(|name| fields.iter().any(|(f, _)| f == name));
            let hit = match (named, &term.field) {
                // A colon in a text that names no field: an address, a time.
                (None, Some(name)) => {
                    let text = format!("{name}:{}", term.text);
                    fields.iter().any(|(_, value)| value.to_lowercase().contains(&text))
                }
                (field, _) => fields.iter().filter(|(f, _)| field.is_none_or(|name| *f == name)).any(|(_, value)| {
                    let value = value.to_lowercase();
                    match &term.pattern {
                        Some(pattern) => pattern.as_ref().is_some_and(|p| p.is_match(&value)),
                        None if term.exact => value == term.text,
                        None => value.contains(&term.text),
                    }
                }),
            };
            hit == term.wanted
        })
    }
}

impl Term {
    fn new(word: &str) -> Option<Self> {
        let (wanted, word) = word.strip_prefix('!').map_or((true, word), |w| (false, w));
        let (field, text) = match word.split_once(':') {
            Some((field, text)) if !field.is_empty() && field.chars().all(|c| c.is_ascii_alphabetic() || c == '_') => {
                (Some(field.to_lowercase()), text)
            }
            _ => (None, word),
        };
        let (exact, text) = match text.strip_prefix('=') {
            Some(text) if field.is_some() => (true, text),
            _ => (false, text),
        };
        let pattern = text.strip_prefix('~').filter(|p| !p.is_empty() && !exact).map(expression);
        (!word.is_empty()).then(|| Self { wanted, field, exact, text: text.to_lowercase(), pattern })
    }
}

/// Bounded as the daemon's.
fn expression(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).case_insensitive(true).size_limit(1 << 18).build().ok()
}

/// The term that a field is exactly this text, whatever it holds.
#[must_use]
pub fn exact(field: &str, text: &str) -> String {
    format!("{field}:=\"{}\"", text.replace('"', "\"\""))
}

/// Words between blanks; quotes keep blanks, and a doubled one within them is a quote.
fn words(text: &str) -> Vec<String> {
    let (mut out, mut word, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => word.push(c),
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => out.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    out.push(word);
    out.retain(|w| !w.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(filter: &str) -> bool {
        Filter::new(filter).passes(&[("name", "Sky Sport 4K"), ("ip", "10.0.0.7"), ("agent", "http://x:80 VLC")])
    }

    #[test]
    fn any_text_can_be_asked_for_exactly() {
        for name in ["News; \"Late, Show\"", "\"", "a:b !c ~d", "plain"] {
            let filter = Filter::new(&exact("name", name));
            assert!(filter.passes(&[("name", name)]) && !filter.passes(&[("name", "other")]), "{name}");
        }
    }

    #[test]
    fn terms_are_the_daemons() {
        for yes in [
            "",
            "sky 4k",
            "!hd",
            "name:sky",
            "\"sky sport\"",
            "ip:=10.0.0.7",
            "http://x:80",
            "!name:vlc",
            "  ",
            "~^sky.*k$",
            "name:~sport",
            "!~^hd",
            "ip:~^10\\.",
        ] {
            assert!(passes(yes), "{yes}");
        }
        for no in ["hd", "!4k", "name:vlc", "ip:=10.0.0.", "\"sport sky\"", "x:81", "~^sport", "name:~(", "ip:~^11"] {
            assert!(!passes(no), "{no}");
        }
    }
}
