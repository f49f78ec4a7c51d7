//! The filter of lists that are here as a whole, in the words of the daemon's `q`.
//!
//! Invariant: any text is a filter; terms must all match, case is ignored.

/// Terms, read once for a pass over a list.
#[derive(Debug)]
pub struct Filter(Vec<Term>);

#[derive(Debug)]
struct Term {
    wanted: bool,
    field: Option<String>,
    exact: bool,
    text: String,
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
                    if term.exact { value == term.text } else { value.contains(&term.text) }
                }),
            };
            hit == term.wanted
        })
    }
}

impl Term {
    fn new(word: &str) -> Option<Self> {
        let word = word.to_lowercase();
        let (wanted, word) = word.strip_prefix('!').map_or((true, word.as_str()), |w| (false, w));
        let (field, text) = match word.split_once(':') {
            Some((field, text)) if !field.is_empty() && field.chars().all(|c| c.is_ascii_alphabetic() || c == '_') => {
                (Some(field.to_owned()), text)
            }
            _ => (None, word),
        };
        let (exact, text) = match text.strip_prefix('=') {
            Some(text) if field.is_some() => (true, text),
            _ => (false, text),
        };
        (!word.is_empty()).then(|| Self { wanted, field, exact, text: text.to_owned() })
    }
}

/// Words between blanks; quotes keep blanks.
fn words(text: &str) -> Vec<String> {
    let (mut out, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
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
    fn terms_are_the_daemons() {
        for yes in ["", "sky 4k", "!hd", "name:sky", "\"sky sport\"", "ip:=10.0.0.7", "http://x:80", "!name:vlc", "  "]
        {
            assert!(passes(yes), "{yes}");
        }
        for no in ["hd", "!4k", "name:vlc", "ip:=10.0.0.", "\"sport sky\"", "x:81"] {
            assert!(!passes(no), "{no}");
        }
    }
}
