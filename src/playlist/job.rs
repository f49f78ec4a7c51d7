//! One text of a playlist on its way to channels: surveyed, weighed, planned or applied.
//!
//! Owns the two readings, the thresholds and the order of changes. Must not enter: downloads, schedules, SQL. Invariant: nothing is
//! changed before the whole text was read without a fault and weighed; memory holds keys and one batch, not the list.

use std::{
    collections::HashMap,
    io::{self, BufRead, Read},
    time::Instant,
};

use ring::digest::{Context, SHA256};
use yagi_api::{ApiError, ChannelId, Held, LineupPlan, RefreshReport, RuleId, Settings, Source, SourceId};

use super::{
    identity,
    kept::{self, Slot},
    m3u::{Entry, ReadError, Reader, Summary},
    pages,
};
use crate::{
    clock::epoch_now,
    library::{
        Library, Validators,
        merge::{self, BATCH, Keys, Known, Place},
        rulebook::{Beside, Rulebook},
    },
    progress::Progress,
    secret::redact,
};

/// Part of the digest of a content: another reader may see more in the same text.
const READER_VERSION: u8 = 3;
const MAX_NOTES: usize = 20;
/// Below so many channels a share says nothing of renames and growth.
const FEW: usize = 20;

/// Opens the unpacked text at its start, each time.
pub type Open<'a> = dyn Fn() -> io::Result<Box<dyn BufRead + Send>> + 'a;

/// What a text may change without being held back, in percent of the channels that are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub min: u32,
    pub max_renamed: u32,
    pub max_added: u32,
}

impl Limits {
    pub fn of(settings: &Settings) -> Self {
        Self {
            min: settings.refresh_min_percent,
            max_renamed: settings.refresh_max_renamed_percent,
            max_added: settings.refresh_max_added_percent,
        }
    }
}

/// Why the text is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Refresh,
    /// Somebody looked at it: no threshold holds it.
    Accept,
    /// Rules changed: the text is the old one.
    Rules,
}

/// A text and what its application needs. Lives on a blocking thread.
pub struct Job {
    pub library: Library,
    pub source: SourceId,
    pub known: Validators,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// The text came through a public host.
    pub public: bool,
    pub limits: Limits,
    pub max_entries: u32,
    /// The source is trusted with `udp:`, `file:` and `exec:`.
    pub local: bool,
    pub deadline: Instant,
    pub cause: Cause,
    pub progress: Progress,
}

/// What the first reading found.
struct Survey {
    summary: Summary,
    digest: Vec<u8>,
    plan: merge::Plan,
    /// Entries that rules left.
    kept: usize,
    excluded: u32,
    renamed: usize,
    added: usize,
    /// The channels are made of this very text already.
    unchanged: bool,
}

impl Job {
    fn survey(&self, open: &Open<'_>) -> Result<Survey, String> {
        let mut entries: Vec<(Keys, u32)> = Vec::new();
        let (summary, digest, _) = self.read(open, |keys, number, _| {
            entries.push((keys, number));
            Ok(())
        })?;
        let rows = self.library.known(self.source).map_err(told)?;
        let listed = rows.iter().filter(|r| !r.retired).count();
        let plan = merge::plan(&rows, &entries);
        Ok(Survey {
            unchanged: self.known.digest.as_ref() == Some(&digest) && listed > 0,
            excluded: summary.entries - entries.len() as u32,
            renamed: renamed(&plan.places, &rows, &entries),
            added: plan.places.iter().filter(|p| **p == Place::New).count(),
            kept: entries.len(),
            summary,
            digest,
            plan,
        })
    }

    /// Applies the text, or holds it back and says so in the report.
    pub fn apply(self, previous: &Source, open: &Open<'_>) -> Result<RefreshReport, String> {
        let lock = self.library.import_lock(self.source);
        let _alone = lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.progress.step("reading", "entries", None);
        let survey = self.survey(open)?;
        let validators = Validators {
            etag: self.etag.clone(),
            last_modified: self.last_modified.clone(),
            digest: Some(survey.digest.clone()),
            public: self.public,
        };
        if survey.unchanged {
            self.let_go();
            if self.cause == Cause::Refresh && self.known != validators {
                self.library.confirm(self.source, validators).map_err(told)?;
            }
            let report = unchanged(previous);
            return Ok(RefreshReport { seen: survey.summary.entries, skipped: survey.summary.skipped, ..report });
        }
        if let Some(reason) = self.suspicion(&survey).filter(|_| self.cause == Cause::Refresh) {
            return Ok(self.hold(open, previous, reason));
        }
        let Survey { summary, digest, plan, excluded, .. } = survey;
        let cause = match self.cause {
            Cause::Refresh => "refresh",
            Cause::Accept => "accept",
            Cause::Rules => "rules",
        };
        self.progress.step("applying", "entries", Some(summary.entries.into()));
        let mut import = self.library.import(self.source, plan.wanted, cause);
        let mut places = plan.places.iter().copied();
        let mut batch = Vec::with_capacity(BATCH.min(plan.places.len()));
        let (_, second, rules) = self.read(open, |_, _, row| {
            batch.push((places.next().unwrap_or_default(), row()));
            if batch.len() == BATCH {
                import.apply(std::mem::take(&mut batch)).map_err(told)?;
            }
            Ok(())
        })?;
        if second != digest {
            return Err("the file changed while it was read; refresh again".to_owned());
        }
        import.apply(batch).map_err(told)?;
        let report = RefreshReport {
            at: epoch_now(),
            ok: true,
            seen: summary.entries,
            skipped: summary.skipped,
            notes: notes(&summary),
            excluded,
            rules,
            ..RefreshReport::default()
        };
        let report = import.finish(plan.gone, report, validators).map_err(told)?;
        kept::remove(self.library.dir(), self.source, Slot::Held);
        if self.cause != Cause::Rules {
            self.keep(open, Slot::Applied);
        }
        Ok(report)
    }

    /// What applying it would change, row by row.
    pub fn plan(&self, open: &Open<'_>, held: bool) -> Result<LineupPlan, String> {
        let survey = self.survey(open)?;
        let mut plan = LineupPlan {
            source: self.source,
            held,
            reason: self.suspicion(&survey),
            before: survey.plan.listed as u32,
            after: survey.kept as u32,
            excluded: survey.excluded,
            ..LineupPlan::default()
        };
        let mut places = survey.plan.places.iter().copied();
        let mut batch = Vec::new();
        self.read(open, |_, _, row| {
            batch.push((places.next().unwrap_or_default(), row()));
            if batch.len() == BATCH {
                self.library.compare(std::mem::take(&mut batch), &mut plan).map_err(told)?;
            }
            Ok(())
        })?;
        self.library.compare(batch, &mut plan).map_err(told)?;
        self.library.compare_gone(&survey.plan.gone, &mut plan);
        Ok(plan)
    }

    /// Which threshold the text passes, if any.
    fn suspicion(&self, survey: &Survey) -> Option<String> {
        let Survey { plan, kept, renamed, added, summary, .. } = survey;
        let (listed, stay) = (plan.listed, plan.listed - plan.gone.len());
        let Limits { min, max_renamed, max_added } = self.limits;
        let over = |part: usize, percent: u32| part * 100 > listed * percent as usize;
        let (what, setting) = if kept * 100 < listed * min as usize {
            let left = if survey.excluded > 0 { " after the rules" } else { "" };
            let seen = if survey.excluded > 0 { *kept } else { summary.entries as usize };
            (
                format!("lists only {seen} channels{left} where {listed} were"),
                format!("refresh_min_percent ({min} now)"),
            )
        } else if stay * 100 < listed * min as usize {
            (
                format!("has other channels: of {listed} only {stay} are in it"),
                format!("refresh_min_percent ({min} now)"),
            )
        } else if listed >= FEW && over(*renamed, max_renamed) {
            (
                format!("has other names for {renamed} of {listed} channels"),
                format!("refresh_max_renamed_percent ({max_renamed} now)"),
            )
        } else if listed >= FEW && max_added > 0 && over(*added, max_added) {
            (
                format!("has {added} new channels beside {listed}"),
                format!("refresh_max_added_percent ({max_added} now)"),
            )
        } else {
            return None;
        };
        Some(format!(
            "{what}: held back, nothing was changed; look at it with `yagi lineup plan`, and if it is right, accept it (`yagi lineup \
             accept`) or change the setting {setting}"
        ))
    }

    fn hold(&self, open: &Open<'_>, previous: &Source, reason: String) -> RefreshReport {
        let kept = self.keep(open, Slot::Held);
        let held = Held { at: epoch_now(), reason: reason.clone(), kept, public: self.public };
        if let Err(error) = self.library.set_held(self.source, Some(held)) {
            tracing::warn!(source = %previous.name, %error, "that a playlist is held back could not be kept");
        }
        let seen = previous.last.as_ref().map_or(0, |r| r.seen);
        RefreshReport { at: epoch_now(), held: true, error: Some(reason), seen, ..RefreshReport::default() }
    }

    /// What was held back is over: the server sends the applied text again.
    fn let_go(&self) {
        kept::remove(self.library.dir(), self.source, Slot::Held);
        if let Err(error) = self.library.set_held(self.source, None) {
            tracing::warn!(source = %self.source, %error, "that a playlist is no longer held back could not be kept");
        }
    }

    fn keep(&self, open: &Open<'_>, slot: Slot) -> bool {
        let saved = open().and_then(|text| kept::save(self.library.dir(), self.source, slot, text));
        if let Err(error) = &saved {
            tracing::warn!(source = %self.source, %error, "the text of a playlist could not be kept");
        }
        saved.is_ok()
    }

    /// Reads the whole text and gives what rules leave of it: keys, wanted number, and the row when it is asked for. Returns what
    /// was beside the entries, the digest of bytes and rules, and what each rule touched.
    #[expect(clippy::type_complexity, reason = "the row is made only for those who ask")]
    fn read(
        &self,
        open: &Open<'_>,
        mut each: impl FnMut(Keys, u32, &mut dyn FnMut() -> merge::Entry) -> Result<(), String>,
    ) -> Result<(Summary, Vec<u8>, Vec<(RuleId, u32)>), String> {
        let fault = |e: ReadError| format!("the playlist {e}");
        let catalog = self.library.catalog();
        let mut rules = Rulebook::of(catalog.rules(), self.source).map_err(told)?;
        let checks = Checked::read(&self.library, &rules);
        let (digest, result) = std::sync::mpsc::sync_channel(1);
        let input = open().and_then(pages::listed).map_err(|e| fault(e.into()))?;
        let mut context = Context::new(&SHA256);
        context.update(&[READER_VERSION, self.local.into()]);
        for rule in catalog.rules().iter().filter(|r| r.enabled && r.source.is_none_or(|s| s == self.source)) {
            context.update(&serde_json::to_vec(&(&rule.when, &rule.then)).unwrap_or_default());
        }
        let input = Digested { input, context: Some(context), digest };
        let mut reader =
            Reader::new(Box::new(input), self.max_entries).map_err(|e| fault(e.into()))?.trusting(self.local);
        reader.keep_attributes = rules.wants_attributes();
        let mut count = 0u32;
        while let Some(entry) = reader.next().map_err(fault)? {
            count += 1;
            self.progress.add(1);
            if count.is_multiple_of(256) && self.progress.is_cancelled() {
                return Err("was cancelled; what it had changed by then stays".to_owned());
            }
            if count.is_multiple_of(1024) && Instant::now() > self.deadline {
                return Err("took too long to read and apply (import.max_seconds); nothing more was changed".to_owned());
            }
            if rules.is_empty() {
                each(keys(entry), entry.number, &mut || row(entry))?;
                continue;
            }
            let mut made = row(entry);
            let beside = Beside { attributes: &entry.attributes, check: checks.of(entry) };
            if rules.run(&mut made, &beside, |_| ()) {
                each(made.keys, made.number, &mut || made.clone())?;
            }
        }
        let digest = result.try_recv().unwrap_or_default();
        let touched = rules.counts().filter_map(|(id, _, _, touched)| Some((id?, touched))).collect();
        Ok((std::mem::take(&mut reader.summary), digest, touched))
    }
}

/// What checks found, by address; empty unless a rule asks for it.
#[derive(Default)]
pub(super) struct Checked(HashMap<u64, Box<str>>);

impl Checked {
    pub(super) fn read(library: &Library, rules: &Rulebook) -> Self {
        if !rules.wants_checks() {
            return Self::default();
        }
        Self(library.checks().iter().map(|(key, check)| (*key, check.words().into())).collect())
    }

    /// Of an entry's first address.
    pub(super) fn of(&self, entry: &Entry) -> &str {
        let url = entry.sources.first().filter(|_| !self.0.is_empty());
        url.and_then(|s| self.0.get(&identity::address(&s.url))).map_or("", |words| words)
    }
}

/// Listed rows whose entry has another name or guide id, but the same path.
fn renamed(places: &[Place], rows: &[Known], entries: &[(Keys, u32)]) -> usize {
    let names: std::collections::HashMap<ChannelId, u64> =
        rows.iter().filter(|r| !r.retired).map(|r| (r.id, r.keys.name)).collect();
    let pairs = places.iter().zip(entries);
    pairs.filter(|(p, e)| matches!(p, Place::Moved(id) if names.get(id).is_some_and(|n| *n != e.0.name))).count()
}

pub(super) fn unchanged(source: &Source) -> RefreshReport {
    let seen = source.last.as_ref().map_or(0, |r| r.seen);
    RefreshReport { at: epoch_now(), ok: true, unchanged: true, seen, ..RefreshReport::default() }
}

fn keys(entry: &Entry) -> Keys {
    let url = entry.sources.first().map_or("", |s| s.url.as_str());
    identity::keys(&entry.guide_id, &entry.name, url)
}

pub(super) fn row(entry: &Entry) -> merge::Entry {
    merge::Entry {
        name: entry.name.clone(),
        category: entry.group.clone(),
        logo: entry.logo.clone(),
        guide_id: entry.guide_id.clone(),
        number: entry.number,
        sources: entry.sources.clone(),
        radio: entry.radio,
        catchup: entry.catchup.clone(),
        keys: keys(entry),
        block: None,
        merge_key: String::new(),
        shift_min: entry.shift_min,
    }
}

fn notes(summary: &Summary) -> Vec<String> {
    let guides = summary.guides.iter().map(|url| format!("the playlist names a guide: {}", redact(url)));
    summary.notes.iter().map(ToString::to_string).chain(guides).take(MAX_NOTES).collect()
}

pub(super) fn told(error: ApiError) -> String {
    format!("not applied: {error}")
}

/// Digests what is read, and gives the digest at the end of the text.
struct Digested {
    input: Box<dyn BufRead + Send>,
    context: Option<Context>,
    digest: std::sync::mpsc::SyncSender<Vec<u8>>,
}

impl BufRead for Digested {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let chunk = self.input.fill_buf()?;
        if chunk.is_empty()
            && let Some(context) = self.context.take()
        {
            // The reader of the other end may have given up.
            let _ = self.digest.send(context.finish().as_ref().to_vec());
        }
        Ok(chunk)
    }

    fn consume(&mut self, n: usize) {
        if let (Some(context), Ok(chunk)) = (&mut self.context, self.input.fill_buf()) {
            context.update(&chunk[..n.min(chunk.len())]);
        }
        self.input.consume(n);
    }
}

impl Read for Digested {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}
