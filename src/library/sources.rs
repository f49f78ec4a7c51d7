//! Changes of sources, and the results of their refreshes.
//!
//! Owns drafts and patches of playlists and guides. Must not enter: fetching, schedules. Invariant: events and messages show
//! a source's URL without credentials.

use std::{collections::HashSet, sync::Arc};

use yagi_api::{
    ApiError, Change, ChannelId, Noun, RefreshReport, RefreshState, Source, SourceDraft, SourceId, SourceKind,
    SourceOptions, SourcePatch,
};

use super::{
    Answer, Library,
    edit::{Edit, Fault},
    masked, rules,
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
        self.write(actor, move |edit| {
            edit.state().sources.get(&id).ok_or_else(|| ApiError::not_found("source", id))?;
            store::sources::delete(edit.tx, id)?;
            let state = edit.change();
            let gone: Vec<ChannelId> =
                state.channels.values().filter(|r| r.channel.origin == Some(id)).map(|r| r.channel.id).collect();
            for channel in &gone {
                state.remove(*channel);
            }
            state.sources.remove(&id);
            state.validators.remove(&id);
            state.rules.retain(|_, rule| rule.source != Some(id));
            Arc::make_mut(&mut state.lineups).remove(&id);
            edit.tell(Noun::Sources, Change::Deleted, id.0, None::<&()>);
            if !gone.is_empty() {
                edit.tell_bulk(Noun::Channels);
            }
            Ok(())
        })
        .await
    }

    /// Keeps the result of a refresh and, when something was applied, what the server said of it.
    pub async fn record_refresh(&self, id: SourceId, report: RefreshReport, seen: Option<Validators>) -> Answer<()> {
        self.write("refresh", move |edit| record(edit, id, report, seen)).await
    }
}

/// Guides are known by their name when the kind is not given.
fn guess(url: &str) -> SourceKind {
    let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let stem = path.trim_end_matches(".gz").trim_end_matches(".xz").trim_end_matches(".zst");
    if stem.ends_with(".xml") || stem.contains("xmltv") { SourceKind::Guide } else { SourceKind::Playlist }
}

/// The host, or the file's name without its extension.
fn name_of(url: &str) -> String {
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
    if let Some(other) = edit.state().sources.values().find(|s| s.url == url) {
        return Err(rules::taken("url", format!("source {} has this URL already", other.name))
            .with_hint("refresh that one, or delete it first")
            .into());
    }
    let settings = &edit.state().settings;
    let interval = match kind {
        SourceKind::Playlist => settings.playlist_interval_s,
        SourceKind::Guide => settings.guide_interval_s,
    };
    let mut source = Source {
        id: SourceId(0),
        version: 1,
        name,
        kind,
        url,
        enabled: draft.enabled.unwrap_or(true),
        interval_s: rules::interval(draft.interval_s.unwrap_or(interval))?,
        max_upstreams: rules::max_upstreams(draft.max_upstreams.unwrap_or(0))?,
        last: None,
        state: RefreshState::Idle,
        options: options(SourceOptions::default(), draft.priority, draft.zone.as_deref(), draft.shift_min)?,
    };
    store::sources::insert(edit.tx, &mut source)?;
    Ok(put(edit, source, Change::Created))
}

fn update(edit: &mut Edit<'_>, id: SourceId, patch: &SourcePatch) -> Result<Arc<Source>, Fault> {
    let old = edit.state().sources.get(&id).ok_or_else(|| ApiError::not_found("source", id))?;
    let mut source = (**old).clone();
    rules::version(patch.version, source.version)?;
    if let Some(name) = &patch.name {
        source.name = rules::name("name", name)?;
        if edit.state().sources.values().any(|s| s.id != id && s.name == source.name) {
            return Err(rules::taken("name", format!("there is a source {} already", source.name)).into());
        }
    }
    let mut moved = false;
    if let Some(url) = &patch.url {
        let url = rules::location(url)?;
        moved = url != source.url;
        source.url = url;
    }
    if let Some(seconds) = patch.interval_s {
        source.interval_s = rules::interval(seconds)?;
    }
    if let Some(most) = patch.max_upstreams {
        source.max_upstreams = rules::max_upstreams(most)?;
    }
    let old_options = source.options.clone();
    source.options = options(source.options, patch.priority, patch.zone.as_deref(), patch.shift_min)?;
    // The same document reads otherwise now.
    moved |= (&old_options.zone, old_options.shift_min) != (&source.options.zone, source.options.shift_min);
    source.enabled = patch.enabled.unwrap_or(source.enabled);
    source.version += 1;
    store::sources::update(edit.tx, &source)?;
    if moved {
        // What another server said proves nothing about this one.
        store::sources::set_validators(edit.tx, id, &Validators::default())?;
        edit.change().validators.remove(&id);
    }
    Ok(put(edit, source, Change::Updated))
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

pub(super) fn record(
    edit: &mut Edit<'_>,
    id: SourceId,
    report: RefreshReport,
    seen: Option<Validators>,
) -> Result<(), Fault> {
    let old = edit.state().sources.get(&id).ok_or_else(|| ApiError::not_found("source", id))?;
    let mut source = (**old).clone();
    store::sources::record(edit.tx, id, &report)?;
    if let Some(validators) = seen {
        store::sources::set_validators(edit.tx, id, &validators)?;
        edit.change().validators.insert(id, validators);
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
