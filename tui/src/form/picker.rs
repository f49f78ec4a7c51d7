//! Names picked from a list, for a field of a form.
//!
//! Invariant: a name that is not in the list but was typed is kept.

use super::{Field, Kind};
use crate::names::{join, split};

#[derive(Clone, Debug)]
pub struct Picker {
    all: Vec<String>,
    chosen: Vec<String>,
    pub filter: String,
    pub at: usize,
    /// Any number of names, or one.
    many: bool,
    /// The field said `all` in a word.
    was_all: bool,
}

impl Picker {
    #[must_use]
    pub fn new(field: &Field, all: Vec<String>) -> Self {
        let many = matches!(field.kind, Kind::Categories);
        let text = field.input.value();
        let chosen = if many { split(text, ';').unwrap_or_default() } else { vec![text.trim().to_owned()] };
        let at = all.iter().position(|n| chosen.contains(n)).unwrap_or(0);
        Self {
            all,
            chosen,
            filter: String::new(),
            at,
            many,
            was_all: many && !text.is_empty() && split(text, ';').is_none(),
        }
    }

    /// The names that match what was typed, and whether each is chosen.
    #[must_use]
    pub fn shown(&self) -> Vec<(&str, bool)> {
        let filter = self.filter.to_lowercase();
        self.all
            .iter()
            .filter(|n| filter.is_empty() || n.to_lowercase().contains(&filter))
            .map(|n| (n.as_str(), self.chosen.contains(n)))
            .collect()
    }

    pub fn step(&mut self, by: isize) {
        let count = self.shown().len();
        self.at = self.at.saturating_add_signed(by).min(count.saturating_sub(1));
    }

    /// Chooses the name under the cursor, or no longer; says whether that was all.
    pub fn turn(&mut self) -> bool {
        let Some(name) = self.shown().get(self.at).map(|(n, _)| (*n).to_owned()) else { return false };
        if !self.many {
            self.chosen = vec![name];
            return true;
        }
        let had = self.chosen.len();
        self.chosen.retain(|n| *n != name);
        if self.chosen.len() == had {
            self.chosen.push(name);
        }
        false
    }

    #[must_use]
    pub fn is_many(&self) -> bool {
        self.many
    }

    /// The field's new text.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.chosen[..] {
            [] if self.was_all => "all".to_owned(),
            chosen if self.many => join(chosen, ';'),
            chosen => chosen.concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_chosen_and_strangers_stay() {
        let field = Field::new("categories", "", Kind::Categories, "A; X", "");
        let mut picker = Picker::new(&field, vec!["A".into(), "B".into(), "|IT| C".into()]);
        picker.turn();
        picker.filter = "it".into();
        picker.at = 0;
        assert!(!picker.turn());
        assert_eq!(picker.text(), "X; |IT| C");
        let field = Field::new("categories", "", Kind::Categories, "", "");
        let mut picker = Picker::new(&field, vec!["News; \"Late\"".into()]);
        picker.turn();
        assert_eq!(Kind::Categories.read(&picker.text(), 0), Ok(serde_json::json!(["News; \"Late\""])));
        let field = Field::new("category", "", Kind::Category, "B; C", "");
        assert_eq!(Picker::new(&field, vec!["A".into()]).text(), "B; C");
        let field = Field::new("category", "", Kind::Category, "B", "");
        let mut picker = Picker::new(&field, vec!["A".into(), "B".into()]);
        picker.step(-1);
        assert!(picker.turn());
        assert_eq!(picker.text(), "A");
    }
}
