//! Changes of sources, and the results of their refreshes.
//!
//! Owns drafts and patches of playlists and guides. Must not enter: fetching, schedules. Invariant: events and messages show
//! a source's URL without credentials.

use std::{collections::HashSet, sync::Arc};

use yagi_api::{
    ApiError, Change, Noun, RefreshReport, RefreshState, Source, SourceDiff, SourceDraft, SourceId, SourceKind,
    SourceOptions, SourcePatch,
};

use super::{
    Answer, Library,
    edit::{Edit, Fault, Mode},
    image, masked, rules,
    state::Row,
    trail::Item,
};
use crate::store::{self, sources::Validators};

impl Library {
    pub async fn create_source(&self, actor: &str, draft: SourceDraft) -> Answer<Arc<Source>> {
        self.write(actor, move |edit| create(edit, &draft)).await
    }

    pub async fn update_source(&self, actor: &str, id: SourceId, patch: SourcePatch) -> Answer<Arc<Source>> {
        self.write(actor, move |edit| update(edit, id, &patch)).await
    }

    /// The channels that it made go with it.
    pub async fn delete_source(&self, actor: &str, id: SourceId) -> Answer<()> {
        self.step(actor, Mode::Many, move |edit| delete(edit, id, None)).await.map(|_| ())
    }

    /// What the server said of a text that changed nothing, and where it came from. From a thread that may block.
    pub fn confirm(&self, id: SourceId, seen: Validators) -> Answer<()> {
        self.write_blocking("refresh", move |edit| {
            // One that was deleted meanwhile stays so.
            if let Some(source) = edit.state().sources.get(&id).map(|row| (**row).clone()) {
                keep(edit, id, seen)?;
                put(edit, source, Change::Updated);
            }
            Ok(())
        })
    }

    /// Keeps the result of a refresh and, when something was applied, what the server said of it.
    pub async fn record_refresh(&self, id: SourceId, report: RefreshReport, seen: Option<Validators>) -> Answer<()> {
        self.step("refresh", Mode::Refresh, move |edit| told(edit, id, report, seen)).await.map(|_| ())
    }

    /// The last reports of a source, newest first, and what its last refresh that changed anything changed.
    pub async fn reports(&self, id: SourceId) -> Answer<(Vec<RefreshReport>, Option<SourceDiff>)> {
        self.step("read", Mode::Refresh, move |edit| {
            Ok((store::changes::reports(edit.tx, id)?, store::changes::diff(edit.tx, id)?))
        })
        .await
        .map(|(found, _)| found)
    }
}

pub(super) fn delete(edit: &mut Edit<'_>, id: SourceId, version: Option<u32>) -> Result<(), Fault> {
    let source = Arc::clone(edit.state().sources.get(&id).ok_or_else(|| ApiError::not_found("source", id))?);
    rules::version(version, source.version)?;
    let gone: Vec<Row> = edit.state().channels.values().filter(|r| r.channel.origin == Some(id)).cloned().collect();
    for row in &gone {
        super::channels::record_gone(edit, row)?;
    }
    edit.trail.record(Item {
        noun: Noun::Sources,
        row: id.0,
        name: source.name.clone(),
        before: Some(image::source(&source)),
        after: None,
    })?;
    let rules: Vec<_> = edit.state().rules.values().filter(|rule| rule.source == Some(id)).cloned().collect();
    for rule in &rules {
        let before = Some(image::rule(rule));
        edit.trail.record(Item { noun: Noun::Rules, row: rule.id.0, name: rule.name.clone(), before, after: None })?;
    }
    edit.trail.about = Some((Noun::Sources, id.0, source.name.clone()));
    store::sources::delete(edit.tx, id)?;
    let state = edit.change();
    for row in &gone {
        state.remove(row.channel.id);
    }
    state.sources.remove(&id);
    state.validators.remove(&id);
    for rule in &rules {
        state.rules.remove(&rule.id);
    }
    Arc::make_mut(&mut state.lineups).remove(&id);
    edit.tell(Noun::Sources, Change::Deleted, id.0, None::<&()>);
    if !rules.is_empty() {
        edit.tell_bulk(Noun::Rules);
    }
    if !gone.is_empty() {
        edit.tell_bulk(Noun::Channels);
    }
    Ok(())
}

/// Guides are known by their name when the kind is not given.
fn guess(url: &str) -> SourceKind {
    let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let packings = [".gz", ".xz", ".zst", ".zip"];
    let stem = packings.iter().fold(path.as_str(), |path, end| path.trim_end_matches(end));
    let name = stem.rsplit('/').next().unwrap_or_default();
    let called =
        ["epg", "guide"].iter().any(|word| name.contains(word)) && !name.ends_with(".m3u") && !name.ends_with(".m3u8");
    if stem.ends_with(".xml") || stem.contains("xmltv") || (stem.contains("://") && called) {
        SourceKind::Guide
    } else {
        SourceKind::Playlist
    }
}

/// The host, or the file's name without its extension.
pub fn name_of(url: &str) -> String {
    let word = match url.split_once("://") {
        Some((_, rest)) => {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            host.rsplit('@').next().unwrap_or_default()
        }
        None => url.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default(),
    };
    rules::name("name", word).unwrap_or_else(|_| "source".to_owned())
}

pub(super) fn create(edit: &mut Edit<'_>, draft: &SourceDraft) -> Result<Arc<Source>, Fault> {
    let url = rules::location(&draft.url)?;
    let kind = draft.kind.unwrap_or_else(|| guess(&url));
    let names: HashSet<&str> = edit.state().sources.values().map(|s| s.name.as_str()).collect();
    let name = match &draft.name {
        Some(name) => {
            let name = rules::name("name", name)?;
            if names.contains(name.as_str()) {
                return Err(rules::taken("name", format!("there is a source {name} already")).into());
            }
            name
        }
        None => {
            let word = name_of(&url);
            let mut name = word.clone();
            let mut n = 1;
            while names.contains(name.as_str()) {
                n += 1;
                name = format!("{word}-{n}");
            }
            name
        }
    };
    free(edit, SourceId(0), &url)?;
    let settings = &edit.state().settings;
    let interval = match kind {
        SourceKind::Playlist => settings.playlist_interval_s,
        SourceKind::Guide => settings.guide_interval_s,
    };
    let source = Source {
        id: SourceId(0),
        version: 1,
        name,
        kind,
        url,
        enabled: draft.enabled.unwrap_or(true),
        interval_s: rules::interval(draft.interval_s.unwrap_or(interval))?,
        max_upstreams: rules::max_upstreams(draft.max_upstreams.unwrap_or(0))?,
        upstreams: 0,
        last: None,
        state: RefreshState::Idle,
        options: options(SourceOptions::default(), draft.priority, draft.zone.as_deref(), draft.shift_min)?,
    };
    insert(edit, source)
}

/// No other source has this URL.
fn free(edit: &Edit<'_>, id: SourceId, url: &str) -> Result<(), ApiError> {
    match edit.state().sources.values().find(|s| s.id != id && s.url == url) {
        Some(other) => Err(rules::taken("url", format!("source {} has this URL already", other.name))
            .with_hint("refresh that one, or delete it first")),
        None => Ok(()),
    }
}

/// A deleted one comes back: where its text came from is known again by the next refresh; until then it counts as elsewhere.
pub(super) fn restore(edit: &mut Edit<'_>, source: Source) -> Result<(), Fault> {
    let id = insert(edit, source)?.id;
    keep(edit, id, Validators { public: true, ..Validators::default() })
}

/// A new row, or a deleted one that comes back under its id.
pub(super) fn insert(edit: &mut Edit<'_>, mut source: Source) -> Result<Arc<Source>, Fault> {
    store::sources::insert(edit.tx, &mut source)?;
    let source = put(edit, source, Change::Created);
    edit.trail.record(Item {
        noun: Noun::Sources,
        row: source.id.0,
        name: source.name.clone(),
        before: None,
        after: Some(image::source(&source)),
    })?;
    Ok(source)
}

pub(super) fn update(edit: &mut Edit<'_>, id: SourceId, patch: &SourcePatch) -> Result<Arc<Source>, Fault> {
    let old = edit.state().sources.get(&id).ok_or_else(|| ApiError::not_found("source", id))?;
    let mut source = (**old).clone();
    rules::version(patch.version, source.version)?;
    if let Some(name) = &patch.name {
        source.name = rules::name("name", name)?;
        if edit.state().sources.values().any(|s| s.id != id && s.name == source.name) {
            return Err(rules::taken("name", format!("there is a source {} already", source.name)).into());
        }
    }
    if let Some(url) = &patch.url {
        source.url = rules::location(url)?;
        free(edit, id, &source.url)?;
    }
    if let Some(seconds) = patch.interval_s {
        source.interval_s = rules::interval(seconds)?;
    }
    if let Some(most) = patch.max_upstreams {
        source.max_upstreams = rules::max_upstreams(most)?;
    }
    source.options = options(source.options, patch.priority, patch.zone.as_deref(), patch.shift_min)?;
    source.enabled = patch.enabled.unwrap_or(source.enabled);
    save(edit, source)
}

/// The same for rows that were read from a list: a mask that comes back is no new URL.
pub(super) fn update_unmasked(edit: &mut Edit<'_>, id: SourceId, mut patch: SourcePatch) -> Result<Arc<Source>, Fault> {
    let old = edit.state().sources.get(&id).ok_or_else(|| ApiError::not_found("source", id))?;
    if patch.url.as_deref().is_some_and(|url| url != old.url && url == crate::secret::redact(&old.url)) {
        patch.url = None;
    }
    update(edit, id, &patch)
}

/// Stores a changed row.
pub(super) fn save(edit: &mut Edit<'_>, mut source: Source) -> Result<Arc<Source>, Fault> {
    let id = source.id;
    let old = Arc::clone(edit.state().sources.get(&id).ok_or_else(|| ApiError::not_found("source", id))?);
    source.version = old.version + 1;
    store::sources::update(edit.tx, &source)?;
    let (before, after) = image::diff(image::source(&old), image::source(&source));
    edit.trail.record(Item {
        noun: Noun::Sources,
        row: id.0,
        name: old.name.clone(),
        before: Some(before),
        after: Some(after),
    })?;
    let reading = |s: &Source| (s.url.clone(), s.options.zone.clone(), s.options.shift_min);
    if reading(&source) != reading(&old) {
        // What another server said proves nothing about this one.
        forget_download(edit, id)?;
    }
    Ok(put(edit, source, Change::Updated))
}

/// The next refresh downloads and applies, whatever the server says of changes. What its channels lead to stays as
/// restricted as the text was that they came from.
pub(super) fn forget_download(edit: &mut Edit<'_>, id: SourceId) -> Result<(), Fault> {
    let public = edit.state().validators.get(&id).is_some_and(|v| v.public);
    keep(edit, id, Validators { public, ..Validators::default() })
}

fn keep(edit: &mut Edit<'_>, id: SourceId, seen: Validators) -> Result<(), Fault> {
    store::sources::set_validators(edit.tx, id, &seen)?;
    edit.change().validators.insert(id, seen);
    Ok(())
}

fn options(
    old: SourceOptions,
    priority: Option<u32>,
    zone: Option<&str>,
    shift_min: Option<i32>,
) -> Result<SourceOptions, ApiError> {
    Ok(SourceOptions {
        priority: match priority {
            Some(n) if n > 10_000 => return Err(ApiError::invalid("priority", "expected 0 (first) to 10000")),
            other => other.unwrap_or(old.priority),
        },
        zone: zone.map_or(Ok(old.zone), rules::zone)?,
        shift_min: shift_min.map_or(Ok(old.shift_min), |n| rules::shift("shift_min", n))?,
    })
}

/// The end of a refresh: what happened goes into the source's history and, when it is worth a line, into the trail.
fn told(edit: &mut Edit<'_>, id: SourceId, report: RefreshReport, seen: Option<Validators>) -> Result<(), Fault> {
    let source = Arc::clone(edit.state().sources.get(&id).ok_or_else(|| ApiError::not_found("source", id))?);
    store::changes::add_report(edit.tx, id, &report)?;
    if !report.unchanged && (report.error.is_some() || report.added + report.changed + report.retired > 0) {
        let summary = match &report.error {
            Some(error) => format!("refresh failed: {error}"),
            None => format!("refresh: {} added, {} changed, {} retired", report.added, report.changed, report.retired),
        };
        edit.trail.tells(Noun::Sources, id.0, &source.name, &summary);
    }
    record(edit, id, report, seen)
}

/// Keeps the result with the source.
pub(super) fn record(
    edit: &mut Edit<'_>,
    id: SourceId,
    report: RefreshReport,
    seen: Option<Validators>,
) -> Result<(), Fault> {
    let old = edit.state().sources.get(&id).ok_or_else(|| ApiError::not_found("source", id))?;
    let mut source = (**old).clone();
    store::sources::record(edit.tx, id, &report)?;
    if let Some(seen) = seen {
        keep(edit, id, seen)?;
    }
    source.last = Some(report);
    put(edit, source, Change::Updated);
    Ok(())
}

fn put(edit: &mut Edit<'_>, source: Source, change: Change) -> Arc<Source> {
    let source = Arc::new(source);
    edit.change().sources.insert(source.id, Arc::clone(&source));
    edit.tell(Noun::Sources, change, source.id.0, Some(&masked(&source)));
    source
}
