//! Rules as programs: compiled conditions and actions, and their run over one entry.
//!
//! Owns the meaning of a rule and the limits on its expressions. Must not enter: playlists' text, SQL. Invariant: an expression
//! costs time linear in the text and at most [`REGEX_BYTES`] of memory; whatever a rule makes of an entry is clean and valid.

use std::{borrow::Cow, sync::Arc};

use regex::{Captures, Regex, RegexBuilder};
use yagi_api::{
    Action, ApiError, Condition, Quality, Rule, RuleId, SourceId,
    text::{MAX_TEXT, clean},
};

use super::{merge::Entry, rules::MAX_NUMBER};
use crate::names;

const REGEX_BYTES: usize = 1 << 20;
const MAX_PATTERN: usize = 1000;
const MAX_CONDITIONS: usize = 16;
/// Numbers of a block whose end is not given.
const BLOCK: u32 = 9999;

/// The rules that one playlist's entries pass, in their order.
pub struct Rulebook {
    rules: Vec<Compiled>,
    /// Entries that no rule decides on are left out.
    selective: bool,
}

struct Compiled {
    id: Option<RuleId>,
    name: String,
    when: Vec<Test>,
    then: Then,
    matched: u32,
    touched: u32,
}

struct Test {
    field: Field,
    regex: Regex,
    not: bool,
}

enum Field {
    Name,
    Group,
    GuideId,
    Logo,
    Url,
    Number,
    Radio,
    Quality,
    Check,
    Attribute(String),
}

enum Then {
    Include,
    Exclude,
    Rename(Option<Regex>, String),
    Regroup(Option<Regex>, String),
    Renumber(u32, u32),
    Merge(Option<String>),
}

/// What the entry carries beside its fields.
pub struct Beside<'a> {
    pub attributes: &'a [(String, String)],
    /// What the last check of its first address found; empty: nothing is known.
    pub check: &'a str,
}

fn regex(field: &str, pattern: &str) -> Result<Regex, ApiError> {
    if pattern.len() > MAX_PATTERN {
        return Err(ApiError::invalid(field, format!("is longer than {MAX_PATTERN} bytes")));
    }
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .nest_limit(40)
        .build()
        .map_err(|e| {
            let words = e.to_string();
            let last = words.lines().rfind(|l| !l.trim().is_empty()).unwrap_or_default();
            let told = clean(last.trim_start_matches("error: "), 200).into_owned();
            ApiError::invalid(field, format!("is no regular expression: {told}"))
        })
}

impl Field {
    fn read(field: &str, text: &str) -> Result<Self, ApiError> {
        const EXPECTED: &str =
            "expected name, group, guide_id, logo, url, number, radio, quality, check or attr:NAME of an attribute";
        Ok(match text {
            "name" => Self::Name,
            "group" => Self::Group,
            "guide_id" | "id" | "tvg-id" => Self::GuideId,
            "logo" => Self::Logo,
            "url" => Self::Url,
            "number" => Self::Number,
            "radio" => Self::Radio,
            "quality" => Self::Quality,
            "check" => Self::Check,
            other => match other.strip_prefix("attr:") {
                Some(name) if !name.is_empty() && name.len() <= 64 => Self::Attribute(name.to_ascii_lowercase()),
                _ => return Err(ApiError::invalid(field, EXPECTED)),
            },
        })
    }

    fn text<'a>(&self, entry: &'a Entry, beside: &Beside<'a>) -> Cow<'a, str> {
        match self {
            Self::Name => entry.name.as_str().into(),
            Self::Group => entry.category.as_str().into(),
            Self::GuideId => entry.guide_id.as_str().into(),
            Self::Logo => entry.logo.as_str().into(),
            Self::Url => entry.sources.first().map_or("", |s| s.url.as_str()).into(),
            Self::Number if entry.number == 0 => "".into(),
            Self::Number => entry.number.to_string().into(),
            Self::Radio => if entry.radio { "yes" } else { "no" }.into(),
            Self::Quality => Quality::of(&entry.name).words().into(),
            Self::Check => beside.check.into(),
            Self::Attribute(name) => {
                let found = beside.attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map_or("", |(_, value)| value.as_str()).into()
            }
        }
    }
}

/// Compiles one rule, or tells which of its fields is wrong.
pub(super) fn check(when: &[Condition], then: &Action) -> Result<(), ApiError> {
    compile(None, "", when, then).map(drop)
}

fn compile(id: Option<RuleId>, name: &str, when: &[Condition], then: &Action) -> Result<Compiled, ApiError> {
    if when.len() > MAX_CONDITIONS {
        return Err(ApiError::invalid("when", format!("expected at most {MAX_CONDITIONS} conditions")));
    }
    let tests = when
        .iter()
        .enumerate()
        .map(|(i, c)| {
            Ok(Test {
                field: Field::read(&format!("when[{i}].field"), &c.field)?,
                regex: regex(&format!("when[{i}].matches"), &c.matches)?,
                not: c.not,
            })
        })
        .collect::<Result<Vec<_>, ApiError>>()?;
    let find = |find: &Option<String>| find.as_deref().map(|f| regex("then.find", f)).transpose();
    let template = |field: &str, text: &str| {
        if text.len() > MAX_TEXT {
            return Err(ApiError::invalid(field, format!("is longer than {MAX_TEXT} bytes")));
        }
        Ok(text.to_owned())
    };
    let then = match then {
        Action::Include => Then::Include,
        Action::Exclude => Then::Exclude,
        Action::Rename { find: f, to } => {
            if f.is_none() && to.trim().is_empty() {
                return Err(ApiError::invalid("then.to", "must not be empty: a channel needs a name"));
            }
            Then::Rename(find(f)?, template("then.to", to)?)
        }
        Action::Regroup { find: f, to } => Then::Regroup(find(f)?, template("then.to", to)?),
        Action::Renumber { from, to } => {
            let last = to.unwrap_or(from.saturating_add(BLOCK).min(MAX_NUMBER));
            if !(1..=MAX_NUMBER).contains(from) {
                return Err(ApiError::invalid("then.from", format!("expected a number from 1 to {MAX_NUMBER}")));
            }
            if last < *from || last > MAX_NUMBER {
                return Err(ApiError::invalid("then.to", format!("expected a number from {from} to {MAX_NUMBER}")));
            }
            Then::Renumber(*from, last)
        }
        Action::Merge { key } => Then::Merge(key.as_deref().map(|k| template("then.key", k)).transpose()?),
    };
    Ok(Compiled { id, name: name.to_owned(), when: tests, then, matched: 0, touched: 0 })
}

impl Compiled {
    fn holds(&self, entry: &Entry, beside: &Beside<'_>) -> bool {
        self.when.iter().all(|t| t.regex.is_match(&t.field.text(entry, beside)) != t.not)
    }

    /// `template` with the captures of the first condition that must match, else as it is.
    fn expand(&self, template: &str, entry: &Entry, beside: &Beside<'_>) -> String {
        let Some(test) = self.when.iter().find(|t| !t.not) else { return template.to_owned() };
        let text = test.field.text(entry, beside);
        let captures: Option<Captures<'_>> = test.regex.captures(&text);
        let mut out = String::new();
        match captures {
            Some(captures) => captures.expand(template, &mut out),
            None => out.push_str(template),
        }
        out
    }

    fn replaced(&self, old: &str, find: Option<&Regex>, to: &str, entry: &Entry, beside: &Beside<'_>) -> String {
        let new = match find {
            Some(find) => find.replace_all(old, to).into_owned(),
            None => self.expand(to, entry, beside),
        };
        clean(&new, MAX_TEXT).into_owned()
    }
}

/// What one rule did, for those who watch.
pub struct Step<'a> {
    pub rule: usize,
    pub before: &'a Entry,
    /// None: left out.
    pub after: Option<&'a Entry>,
}

impl Rulebook {
    /// Enabled rules of this playlist and those for all, in their order.
    pub fn of(rules: &[Arc<Rule>], source: SourceId) -> Result<Self, ApiError> {
        let mine = rules.iter().filter(|r| r.enabled && r.source.is_none_or(|s| s == source));
        Self::compiled(mine.map(|r| compile(Some(r.id), &r.name, &r.when, &r.then)).collect::<Result<_, _>>()?)
    }

    /// Rules that are perhaps not stored; all of them.
    pub fn draft<'a>(
        rules: impl Iterator<Item = (Option<RuleId>, &'a str, &'a [Condition], &'a Action)>,
    ) -> Result<Self, ApiError> {
        Self::compiled(rules.map(|(id, name, when, then)| compile(id, name, when, then)).collect::<Result<_, _>>()?)
    }

    fn compiled(rules: Vec<Compiled>) -> Result<Self, ApiError> {
        let selective = rules.iter().any(|r| matches!(r.then, Then::Include));
        Ok(Self { rules, selective })
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether any condition asks for attributes that entries do not carry else.
    pub fn wants_attributes(&self) -> bool {
        self.rules.iter().flat_map(|r| &r.when).any(|t| matches!(t.field, Field::Attribute(_)))
    }

    pub fn wants_checks(&self) -> bool {
        self.rules.iter().flat_map(|r| &r.when).any(|t| matches!(t.field, Field::Check))
    }

    /// (id, name, entries on which it held, entries that it touched), by index.
    pub fn counts(&self) -> impl Iterator<Item = (Option<RuleId>, &str, u32, u32)> {
        self.rules.iter().map(|r| (r.id, r.name.as_str(), r.matched, r.touched))
    }

    /// Changes the entry; false: it is left out.
    pub fn run(&mut self, entry: &mut Entry, beside: &Beside<'_>, mut watch: impl FnMut(Step<'_>)) -> bool {
        let mut decided = None;
        for index in 0..self.rules.len() {
            let rule = &self.rules[index];
            if !rule.holds(entry, beside) {
                continue;
            }
            let mut new = None;
            let touched = match &rule.then {
                Then::Include if decided.is_none() => {
                    decided = Some(true);
                    true
                }
                Then::Exclude if decided.is_none() => {
                    decided = Some(false);
                    true
                }
                Then::Include | Then::Exclude => false,
                Then::Rename(find, to) => {
                    let name = rule.replaced(&entry.name, find.as_ref(), to, entry, beside);
                    let differs = !name.is_empty() && name != entry.name;
                    new = differs.then(|| Entry { name, ..entry.clone() });
                    differs
                }
                Then::Regroup(find, to) => {
                    let category = rule.replaced(&entry.category, find.as_ref(), to, entry, beside);
                    let differs = category != entry.category;
                    new = differs.then(|| Entry { category, ..entry.clone() });
                    differs
                }
                Then::Renumber(from, to) => {
                    let differs = entry.block != Some((*from, *to));
                    new = differs.then(|| Entry { block: Some((*from, *to)), ..entry.clone() });
                    differs
                }
                Then::Merge(key) => {
                    let key = match key {
                        Some(key) => clean(&rule.expand(key, entry, beside), MAX_TEXT).to_lowercase(),
                        None => names::plain(&names::fold(&entry.name)),
                    };
                    let differs = key != entry.merge_key;
                    new = differs.then(|| Entry { merge_key: key, ..entry.clone() });
                    differs
                }
            };
            if touched {
                let out = decided == Some(false);
                watch(Step { rule: index, before: entry, after: (!out).then(|| new.as_ref().unwrap_or(entry)) });
            }
            if let Some(new) = new {
                *entry = new;
            }
            let rule = &mut self.rules[index];
            rule.matched += 1;
            rule.touched += u32::from(touched);
            if decided == Some(false) {
                return false;
            }
        }
        decided.unwrap_or(!self.selective)
    }
}

#[cfg(test)]
#[path = "rulebook_tests.rs"]
mod tests;
