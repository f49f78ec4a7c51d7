//! The key table with a configuration laid over it.
//!
//! Invariant: whatever a configuration says, every view can still be left: `C-c` quits.

use std::collections::{BTreeMap, BTreeSet};

use crossterm::event::KeyEvent;

use super::{Action, Binding, KEYS, is_name, name};
use crate::model::View;

/// The keys in force, in the order of [`KEYS`].
#[derive(Clone, Debug)]
pub struct Keymap(Vec<Vec<String>>);

impl Default for Keymap {
    fn default() -> Self {
        Self(KEYS.iter().map(|b| b.keys.iter().map(|k| (*k).to_owned()).collect()).collect())
    }
}

impl Keymap {
    /// Lays `action = [keys]` over the table. What cannot be is told, and leaves the whole table as it was.
    ///
    /// # Errors
    /// Names the action or the key.
    pub fn with(&self, changes: &BTreeMap<String, Vec<String>>) -> Result<Self, String> {
        let mut map = self.clone();
        for (action, keys) in changes {
            if let Some(key) = keys.iter().find(|k| !is_name(k)) {
                return Err(format!(
                    "keys.{action}: `{key}` is no key; expected one like x, X, C-x, F5, Enter, PageUp"
                ));
            }
            let mut known = false;
            for (binding, own) in KEYS.iter().zip(&mut map.0).filter(|(b, _)| b.action.name() == *action) {
                // The way out stays.
                *own = if binding.action == Action::Quit {
                    keys.iter().cloned().chain(["C-c".to_owned()]).collect()
                } else {
                    keys.clone()
                };
                known = true;
            }
            if !known {
                return Err(format!("keys.{action}: there is no such action; ? shows their names"));
            }
        }
        map.clash().map_or(Ok(map), Err)
    }

    /// A key that means two things in one view, and did not before.
    fn clash(&self) -> Option<String> {
        let before = Self::default().doubles();
        let (view, key, one, other) = self.doubles().into_iter().find(|double| !before.contains(double))?;
        Some(format!("keys: {key} is both {one} and {other} in {view}"))
    }

    /// View, key, and the two actions that it stands for; a view's own binding wins over a general one.
    fn doubles(&self) -> BTreeSet<(&'static str, String, String, String)> {
        let mut doubles = BTreeSet::new();
        for view in View::ALL {
            let mut seen: BTreeMap<&str, Action> = BTreeMap::new();
            for (binding, keys) in KEYS.iter().zip(&self.0).filter(|(b, _)| b.applies(view)) {
                for key in keys {
                    if let Some(other) = seen.insert(key, binding.action)
                        && other != binding.action
                    {
                        doubles.insert((view.name(), key.clone(), other.name(), binding.action.name()));
                    }
                }
            }
        }
        doubles
    }

    /// What a key does in a view.
    #[must_use]
    pub fn find(&self, view: View, event: &KeyEvent) -> Option<&'static Binding> {
        let name = name(event)?;
        KEYS.iter().zip(&self.0).find(|(b, keys)| b.applies(view) && keys.contains(&name)).map(|(b, _)| b)
    }

    /// Whether a key is bound to an action everywhere: what works in prompts and dialogs too.
    #[must_use]
    pub fn is(&self, action: Action, event: &KeyEvent) -> bool {
        name(event).is_some_and(|n| KEYS.iter().zip(&self.0).any(|(b, keys)| b.action == action && keys.contains(&n)))
    }

    /// The hint line's words for a view, most useful first.
    pub fn hints(&self, view: View) -> impl Iterator<Item = (&str, &'static str)> {
        KEYS.iter()
            .zip(&self.0)
            .filter(move |(b, keys)| b.applies(view) && !b.hint.is_empty() && !keys.is_empty())
            .map(|(b, keys)| (keys[0].as_str(), b.hint))
    }

    /// The help's lines for a view: those of the view first. Keys, what they do, the action's name.
    #[must_use]
    pub fn help(&self, view: View) -> Vec<(String, &'static str, String)> {
        let line = |(b, keys): (&'static Binding, &Vec<String>)| (keys.join(" "), b.help, b.action.name());
        let all = || KEYS.iter().zip(&self.0).filter(|(_, keys)| !keys.is_empty());
        let own = all().filter(|(b, _)| !b.views.is_empty() && b.applies(view)).map(line);
        own.chain(all().filter(|(b, _)| b.views.is_empty()).map(line)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyModifiers};

    use super::*;

    fn with(action: &str, keys: &[&str]) -> Result<Keymap, String> {
        let keys = keys.iter().map(|k| (*k).to_owned()).collect();
        Keymap::default().with(&BTreeMap::from([(action.to_owned(), keys)]))
    }

    #[test]
    fn keys_can_be_moved_and_faults_are_told() {
        let map = with("delete", &["C-x"]).unwrap();
        let key = |code, modifiers| KeyEvent::new(code, modifiers);
        let ctrl_x = key(KeyCode::Char('x'), KeyModifiers::CONTROL);
        assert_eq!(map.find(View::Users, &ctrl_x).unwrap().action, Action::Delete);
        assert!(map.find(View::Users, &key(KeyCode::Char('D'), KeyModifiers::NONE)).is_none());
        assert!(with("delete", &["n"]).unwrap_err().contains("both"));
        assert!(with("destroy", &["n"]).unwrap_err().contains("no such action"));
        assert!(with("delete", &["nn"]).unwrap_err().contains("no key"));
        let ctrl_c = key(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(with("quit", &["Q"]).unwrap().is(Action::Quit, &ctrl_c), "there is always a way out");
        Keymap::default().with(&BTreeMap::new()).unwrap();
    }
}
