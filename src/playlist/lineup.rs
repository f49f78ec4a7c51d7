//! What administrators do with texts of playlists: look at their plan, accept them, run rules over them.
//!
//! Owns which text each act reads. Must not enter: HTTP, SQL. Invariant: only [`accept`] and [`reapply`] change anything, and what
//! they apply is the very text that was shown.

use std::{collections::HashSet, time::Duration, time::Instant};

use yagi_api::{
    ApiError, ErrorCode, LineupDone, LineupPlan, PreviewDone, PreviewRow, PreviewRule, RefreshReport, RulePreview,
    Source, SourceId, SourceKind,
};

use super::{
    job::{Cause, Checked, Job, Limits, row},
    kept::{self, Slot},
    m3u::Reader,
    pages, refresh,
};
use crate::{
    config::Import,
    library::{
        Catalog, Library,
        merge::Entry,
        rulebook::{Beside, Rulebook},
    },
    upstream::Fetcher,
};

fn fault(words: String) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, words)
}

fn playlist(catalog: &Catalog, id: SourceId) -> Result<std::sync::Arc<Source>, ApiError> {
    let source = catalog.source(id).ok_or_else(|| ApiError::not_found("source", id))?;
    if source.kind == SourceKind::Guide {
        return Err(ApiError::invalid("source", "is a guide; only playlists have a line-up"));
    }
    Ok(source.clone())
}

fn job(library: &Library, source: SourceId, caps: &Import, cause: Cause) -> Job {
    let catalog = library.catalog();
    let known = catalog.validators(source);
    let held = catalog.lineups().get(&source).and_then(|l| l.held.as_ref()).filter(|_| cause == Cause::Accept);
    Job {
        library: library.clone(),
        source,
        public: held.map_or(known.public, |h| h.public),
        known,
        etag: None,
        last_modified: None,
        limits: Limits::of(catalog.settings()),
        max_entries: caps.max_entries,
        local: catalog.source(source).is_some_and(|s| caps.trusted_sources.contains(&s.name)),
        deadline: Instant::now() + Duration::from_secs(caps.max_seconds.into()),
        cause,
        progress: Default::default(),
    }
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(fault),
        Err(_) => Err(ApiError::new(ErrorCode::Internal, "a bug stopped this; see the daemon's log")),
    }
}

/// The plan of the held text, or with `fresh` of a new download.
pub async fn plan(
    library: &Library,
    fetcher: &Fetcher,
    id: SourceId,
    caps: &Import,
    fresh: bool,
) -> Result<LineupPlan, ApiError> {
    let source = playlist(&library.catalog(), id)?;
    let job = job(library, id, caps, Cause::Refresh);
    if fresh {
        let body = refresh::download(fetcher, &source, caps).await.map_err(fault)?;
        let max = u64::from(caps.max_playlist_mib) << 20;
        return aside(move || job.plan(&|| body.reader(max), false)).await;
    }
    if !kept::exists(library.dir(), id, Slot::Held) {
        return Err(ApiError::new(ErrorCode::NotFound, format!("nothing of {} is held back", source.name))
            .with_hint("fetch=true (--fetch) downloads the playlist now and plans that"));
    }
    let own = library.clone();
    aside(move || job.plan(&|| kept::open(own.dir(), id, Slot::Held), true)).await
}

/// Applies the held text.
pub async fn accept(library: &Library, id: SourceId, caps: &Import) -> Result<LineupDone, ApiError> {
    let source = playlist(&library.catalog(), id)?;
    if !kept::exists(library.dir(), id, Slot::Held) {
        return Err(ApiError::new(ErrorCode::Conflict, format!("nothing of {} is held back", source.name))
            .with_hint("refresh the source; what is held back then can be accepted"));
    }
    apply(library, source, caps, Cause::Accept, Slot::Held).await
}

/// Runs the present rules over the applied text.
pub async fn reapply(library: &Library, id: SourceId, caps: &Import) -> Result<LineupDone, ApiError> {
    let source = playlist(&library.catalog(), id)?;
    apply(library, source, caps, Cause::Rules, Slot::Applied).await
}

async fn apply(
    library: &Library,
    source: std::sync::Arc<Source>,
    caps: &Import,
    cause: Cause,
    slot: Slot,
) -> Result<LineupDone, ApiError> {
    let began = Instant::now();
    let (id, job) = (source.id, job(library, source.id, caps, cause));
    let (dir, name) = (library.dir().to_owned(), source.name.clone());
    let report = aside(move || job.apply(&source, &|| kept::open(&dir, id, slot))).await?;
    let report = RefreshReport { millis: began.elapsed().as_millis().min(u32::MAX.into()) as u32, ..report };
    tracing::info!(source = %name, added = report.added, changed = report.changed, retired = report.retired,
        excluded = report.excluded, ?cause, "playlist applied");
    library.record_refresh(id, report.clone(), None).await?;
    let generation = library.catalog().lineups().get(&id).map_or(0, |l| l.generation);
    Ok(LineupDone { source: id, generation, report })
}

/// Playlists that a rule of `source` (none: of all) sees and whose text is there.
pub fn seen_by(library: &Library, source: Option<SourceId>) -> Vec<SourceId> {
    let catalog = library.catalog();
    let lists = catalog.sources().iter().filter(|s| s.kind == SourceKind::Playlist);
    lists
        .map(|s| s.id)
        .filter(|id| source.is_none_or(|s| s == *id) && kept::exists(library.dir(), *id, Slot::Applied))
        .collect()
}

/// Runs rules over the applied texts and tells what they would do. From a thread that may block.
pub fn preview(library: &Library, caps: &Import, ask: &RulePreview) -> Result<PreviewDone, ApiError> {
    let catalog = library.catalog();
    let limit = ask.limit.unwrap_or(5).min(100) as usize;
    let lists: Vec<SourceId> = match ask.source {
        Some(id) => vec![playlist(&catalog, id)?.id],
        None => catalog.sources().iter().filter(|s| s.kind == SourceKind::Playlist).map(|s| s.id).collect(),
    };
    let mut done = PreviewDone::default();
    let mut merged = HashSet::new();
    let deadline = Instant::now() + Duration::from_secs(caps.max_seconds.into());
    // Of all, so that counts of several playlists come together.
    done.rules = all(&catalog, ask)
        .iter()
        .map(|r| PreviewRule { id: r.0, name: r.1.clone(), ..PreviewRule::default() })
        .collect();
    for id in lists {
        let Ok(text) = kept::open(library.dir(), id, Slot::Applied).and_then(pages::listed) else {
            done.missing.push(id);
            continue;
        };
        let rules = all(&catalog, ask);
        let mine: Vec<usize> = (0..rules.len()).filter(|i| rules[*i].2.is_none_or(|s| s == id)).collect();
        let mut book =
            Rulebook::draft(mine.iter().map(|i| (rules[*i].0, rules[*i].1.as_str(), &*rules[*i].3, &rules[*i].4)))?;
        let broken = |e: &dyn std::fmt::Display| fault(format!("the kept text of source {id} cannot be read: {e}"));
        let mut reader = Reader::new(text, caps.max_entries).map_err(|e| broken(&e))?;
        reader.keep_attributes = book.wants_attributes();
        let checks = Checked::read(library, &book);
        while let Some(entry) = reader.next().map_err(|e| broken(&e))? {
            if done.entries.is_multiple_of(1024) && Instant::now() > deadline {
                return Err(fault("took too long (import.max_seconds); choose one source or fewer rules".to_owned()));
            }
            done.entries += 1;
            let (mut made, was) = (row(entry), row(entry));
            let beside = Beside { attributes: &entry.attributes, check: checks.of(entry) };
            let kept = book.run(&mut made, &beside, |step| {
                let shown = &mut done.rules[mine[step.rule]].rows;
                if shown.len() < limit {
                    let after = step.after.map(words).unwrap_or_default();
                    shown.push(PreviewRow { source: id, line: entry.line, before: words(step.before), after });
                }
            });
            if kept {
                done.kept += 1;
                done.changed += u32::from(made != was);
                let alone = made.merge_key.is_empty() || merged.insert(made.merge_key.clone());
                done.channels += u32::from(alone);
            } else {
                done.excluded += 1;
            }
        }
        for (i, (_, _, matched, touched)) in mine.iter().zip(book.counts()) {
            done.rules[*i].matched += matched;
            done.rules[*i].touched += touched;
        }
    }
    Ok(done)
}

type Line = (Option<yagi_api::RuleId>, String, Option<SourceId>, Vec<yagi_api::Condition>, yagi_api::Action);

/// The rules that a preview runs, in their order.
fn all(catalog: &Catalog, ask: &RulePreview) -> Vec<Line> {
    let draft = |d: &yagi_api::RuleDraft| {
        let name = d.name.clone().unwrap_or_else(|| d.then.word().to_owned());
        (None, name, d.source, d.when.clone(), d.then.clone())
    };
    let mut lines: Vec<(u32, Line)> = match &ask.rules {
        Some(drafts) => drafts.iter().map(|d| (0, draft(d))).collect(),
        None => {
            let stored = catalog.rules().iter().filter(|r| r.enabled);
            stored
                .map(|r| (r.position, (Some(r.id), r.name.clone(), r.source, r.when.clone(), r.then.clone())))
                .collect()
        }
    };
    if let Some(add) = &ask.add {
        let at = add.position.map_or(lines.len(), |p| lines.partition_point(|(position, _)| *position < p));
        lines.insert(at, (0, draft(add)));
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

/// An entry as a person recognises it.
fn words(entry: &Entry) -> String {
    let mut out = entry.name.clone();
    if !entry.category.is_empty() {
        out = format!("{out} [{}]", entry.category);
    }
    if let Some((from, to)) = entry.block {
        out = format!("{out} #{from}-{to}");
    }
    if !entry.merge_key.is_empty() {
        out = format!("{out} ={}", entry.merge_key);
    }
    out
}
