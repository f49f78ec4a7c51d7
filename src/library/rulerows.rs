//! Changes of rules.
//!
//! Owns drafts and patches of rules. Must not enter: what a rule does to entries (`rulebook`). Invariant: a stored rule compiles;
//! whoever changes a rule makes the playlists it sees be read anew.

use std::sync::Arc;

use yagi_api::{ApiError, Change, Noun, Rule, RuleDraft, RuleId, RulePatch, SourceId, SourceKind};

use super::{
    Answer, Library,
    edit::{Edit, Fault},
    image::{self, Fields},
    rulebook, rules, sources,
    trail::Item,
};
use crate::store;

const MAX_RULES: usize = 500;
const MAX_POSITION: u32 = 1_000_000;

impl Library {
    pub async fn create_rule(&self, actor: &str, draft: RuleDraft) -> Answer<Arc<Rule>> {
        self.write(actor, move |edit| {
            if edit.state().rules.len() >= MAX_RULES {
                return Err(
                    ApiError::invalid("rules", format!("there are {MAX_RULES} rules, which is the most")).into()
                );
            }
            let last = edit.state().rules.values().map(|r| r.position).max().unwrap_or(0);
            let rule = Rule {
                id: RuleId(0),
                version: 1,
                position: position(draft.position.unwrap_or(last + 1))?,
                name: match &draft.name {
                    Some(name) => rules::name("name", name)?,
                    None => draft.then.word().to_owned(),
                },
                source: draft.source,
                enabled: draft.enabled.unwrap_or(true),
                when: draft.when,
                then: draft.then,
            };
            add(edit, rule)
        })
        .await
    }

    pub async fn update_rule(&self, actor: &str, id: RuleId, patch: RulePatch) -> Answer<Arc<Rule>> {
        self.write(actor, move |edit| {
            let old = edit.state().rules.get(&id).ok_or_else(|| ApiError::not_found("rule", id))?.clone();
            rules::version(patch.version, old.version)?;
            let rule = Rule {
                id,
                version: old.version + 1,
                position: position(patch.position.unwrap_or(old.position))?,
                name: patch.name.as_deref().map_or(Ok(old.name.clone()), |n| rules::name("name", n))?,
                source: patch.source.unwrap_or(old.source),
                enabled: patch.enabled.unwrap_or(old.enabled),
                when: patch.when.unwrap_or_else(|| old.when.clone()),
                then: patch.then.unwrap_or_else(|| old.then.clone()),
            };
            save(edit, &old, rule)
        })
        .await
    }

    pub async fn delete_rule(&self, actor: &str, id: RuleId) -> Answer<Arc<Rule>> {
        self.write(actor, move |edit| {
            let old = edit.state().rules.get(&id).ok_or_else(|| ApiError::not_found("rule", id))?.clone();
            remove(edit, &old)?;
            Ok(old)
        })
        .await
    }
}

/// A new rule, or a deleted one that comes back under its id.
pub(super) fn add(edit: &mut Edit<'_>, mut rule: Rule) -> Result<Arc<Rule>, Fault> {
    valid(edit, &rule)?;
    store::rules::insert(edit.tx, &mut rule)?;
    forget_downloads(edit, rule.source)?;
    record(edit, &rule, None, Some(image::rule(&rule)), "rule made")?;
    Ok(put(edit, rule, Change::Created))
}

pub(super) fn save(edit: &mut Edit<'_>, old: &Rule, rule: Rule) -> Result<Arc<Rule>, Fault> {
    valid(edit, &rule)?;
    store::rules::update(edit.tx, &rule)?;
    // Those that it saw before, and those that it sees now.
    forget_downloads(edit, old.source)?;
    forget_downloads(edit, rule.source)?;
    let (before, after) = image::diff(image::rule(old), image::rule(&rule));
    record(edit, &rule, Some(before), Some(after), "rule changed")?;
    Ok(put(edit, rule, Change::Updated))
}

pub(super) fn remove(edit: &mut Edit<'_>, old: &Rule) -> Result<(), Fault> {
    store::rules::delete(edit.tx, old.id)?;
    forget_downloads(edit, old.source)?;
    record(edit, old, Some(image::rule(old)), None, "rule deleted")?;
    edit.change().rules.remove(&old.id);
    edit.tell(Noun::Rules, Change::Deleted, old.id.0, None::<&()>);
    Ok(())
}

/// A step of the trail: said in a word, kept in full.
fn record(
    edit: &mut Edit<'_>,
    rule: &Rule,
    before: Option<Fields>,
    after: Option<Fields>,
    what: &str,
) -> Result<(), Fault> {
    edit.trail.tells(Noun::Rules, rule.id.0, &rule.name, what);
    edit.trail.record(Item { noun: Noun::Rules, row: rule.id.0, name: rule.name.clone(), before, after })
}

fn position(at: u32) -> Result<u32, ApiError> {
    if at <= MAX_POSITION {
        Ok(at)
    } else {
        Err(ApiError::invalid("position", format!("expected 0 to {MAX_POSITION}")))
    }
}

fn valid(edit: &Edit<'_>, rule: &Rule) -> Result<(), Fault> {
    if let Some(source) = rule.source.filter(|s| !edit.state().sources.contains_key(s)) {
        return Err(ApiError::invalid("source", format!("there is no source {source}")).into());
    }
    Ok(rulebook::check(&rule.when, &rule.then)?)
}

/// The next refresh downloads and applies, whatever the server says of changes.
fn forget_downloads(edit: &mut Edit<'_>, source: Option<SourceId>) -> Result<(), Fault> {
    let all: Vec<SourceId> =
        edit.state().sources.keys().copied().filter(|id| source.is_none_or(|s| s == *id)).collect();
    for id in all {
        if edit.state().sources[&id].kind != SourceKind::Playlist {
            continue;
        }
        sources::forget_download(edit, id)?;
    }
    Ok(())
}

fn put(edit: &mut Edit<'_>, rule: Rule, change: Change) -> Arc<Rule> {
    let rule = Arc::new(rule);
    edit.change().rules.insert(rule.id, Arc::clone(&rule));
    edit.tell(Noun::Rules, change, rule.id.0, Some(&rule));
    rule
}
