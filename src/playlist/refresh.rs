//! One refresh of one playlist, from the download to the report.
//!
//! Owns the order: fetch, read it all once (is it a list, is it whole, is it long enough, is it new), plan, read it again and
//! apply in bounded transactions. Must not enter: schedules, SQL. Invariant: nothing is changed before the whole text was read
//! without a fault; memory holds keys and one batch, not the list.

use std::{
    io::{self, BufRead, Read},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ring::digest::{Context, SHA256};
use yagi_api::{ApiError, RefreshReport, Source, SourceId};

use super::{
    identity,
    m3u::{Entry, ReadError, Reader, Summary},
};
use crate::{
    config::Import,
    library::{
        Library, Validators,
        merge::{self, BATCH, Keys},
    },
    secret::{hide, redact},
    upstream::{Caps, Conditions, Fetcher},
};

/// Part of the digest of a content: another reader may see more in the same text.
const READER_VERSION: u8 = 2;
const MAX_NOTES: usize = 20;

/// Fetches and applies; keeps the report with the source. Every failure leaves the line-up as it was and is told in the report.
pub async fn run(library: &Library, fetcher: &Fetcher, source: &Source, caps: &Import) -> RefreshReport {
    let began = Instant::now();
    let deadline = began + Duration::from_secs(caps.max_seconds.into());
    let outcome = attempt(library, fetcher, source, caps, deadline).await;
    let millis = began.elapsed().as_millis().min(u32::MAX.into()) as u32;
    let report = match outcome {
        Ok(report) => RefreshReport { millis, ..report },
        Err(error) => {
            // What came may repeat what was asked with.
            let error = hide(&error, &source.url);
            let seen = library.catalog().source(source.id).and_then(|s| s.last.as_ref()).map_or(0, |r| r.seen);
            RefreshReport { at: now(), ok: false, error: Some(error), seen, millis, ..RefreshReport::default() }
        }
    };
    match &report.error {
        None => {
            tracing::info!(source = %source.name, seen = report.seen, added = report.added, changed = report.changed,
            retired = report.retired, skipped = report.skipped, unchanged = report.unchanged, millis, "playlist refreshed")
        }
        Some(error) => {
            tracing::warn!(source = %source.name, error, "playlist not refreshed; its channels stay as they are")
        }
    }
    if let Err(error) = library.record_refresh(source.id, report.clone(), None).await {
        tracing::warn!(source = %source.name, %error, "the result of a refresh was not kept");
    }
    report
}

async fn attempt(
    library: &Library,
    fetcher: &Fetcher,
    source: &Source,
    caps: &Import,
    deadline: Instant,
) -> Result<RefreshReport, String> {
    let catalog = library.catalog();
    let known = catalog.validators(source.id);
    let conditions = Conditions { etag: known.etag.clone(), last_modified: known.last_modified.clone() };
    let download = Caps {
        bytes: u64::from(caps.max_download_mib) << 20,
        time: deadline.saturating_duration_since(Instant::now()),
    };
    let fetched = fetcher.fetch(&source.url, &conditions, download).await.map_err(|e| format!("the playlist {e}"))?;
    if fetched.not_modified {
        return Ok(unchanged(source));
    }
    let job = Job {
        library: library.clone(),
        source: source.id,
        known,
        etag: fetched.etag,
        last_modified: fetched.last_modified,
        min_percent: catalog.settings().refresh_min_percent,
        max_entries: caps.max_entries,
        local: caps.trusted_sources.contains(&source.name),
        deadline,
    };
    let max_unpacked = u64::from(caps.max_playlist_mib) << 20;
    let body = fetched.body;
    let previous = source.clone();
    tokio::task::spawn_blocking(move || job.apply(&previous, || body.reader(max_unpacked)))
        .await
        .map_err(|_| "a bug stopped the refresh; see the daemon's log".to_owned())?
}

fn unchanged(source: &Source) -> RefreshReport {
    let seen = source.last.as_ref().map_or(0, |r| r.seen);
    RefreshReport { at: now(), ok: true, unchanged: true, seen, ..RefreshReport::default() }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
}

/// A downloaded playlist and what its application needs. Lives on a blocking thread.
pub(crate) struct Job {
    pub library: Library,
    pub source: SourceId,
    pub known: Validators,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub min_percent: u32,
    pub max_entries: u32,
    /// The source is trusted with `udp:`, `file:` and `exec:`.
    pub local: bool,
    pub deadline: Instant,
}

impl Job {
    /// `open` gives the unpacked text from its start, each time.
    pub(crate) fn apply(
        self,
        previous: &Source,
        open: impl Fn() -> io::Result<Box<dyn BufRead + Send>>,
    ) -> Result<RefreshReport, String> {
        let mut entries: Vec<(Keys, u32)> = Vec::new();
        let (summary, digest) = self.read(&open, |entry| {
            entries.push((keys(entry), entry.number));
            Ok(())
        })?;
        let validators = Validators {
            etag: self.etag.clone(),
            last_modified: self.last_modified.clone(),
            digest: Some(digest.clone()),
        };
        let rows = self.library.known(self.source).map_err(told)?;
        let listed = rows.iter().filter(|r| !r.retired).count();
        if self.known.digest.as_ref() == Some(&digest) && listed > 0 {
            return Ok(RefreshReport { seen: summary.entries, skipped: summary.skipped, ..unchanged(previous) });
        }
        let plan = merge::plan(&rows, &entries);
        drop((rows, entries));
        if (summary.entries as usize) * 100 < listed * self.min_percent as usize {
            return Err(format!(
                "lists only {} channels where {listed} were: held back, nothing was changed; if that is right, lower the setting \
                 refresh_min_percent ({} now) and refresh again",
                summary.entries, self.min_percent
            ));
        }
        let mut import = self.library.import(self.source, plan.wanted);
        let mut places = plan.places.iter().copied();
        let mut batch = Vec::with_capacity(BATCH.min(plan.places.len()));
        let (_, second) = self.read(&open, |entry| {
            batch.push((places.next().unwrap_or_default(), row(entry)));
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
            at: now(),
            ok: true,
            seen: summary.entries,
            skipped: summary.skipped,
            notes: notes(&summary),
            ..RefreshReport::default()
        };
        import.finish(plan.gone, report, validators).map_err(told)
    }

    /// Reads the whole text; gives what was beside the entries and the digest of the bytes.
    fn read(
        &self,
        open: impl Fn() -> io::Result<Box<dyn BufRead + Send>>,
        mut each: impl FnMut(&Entry) -> Result<(), String>,
    ) -> Result<(Summary, Vec<u8>), String> {
        let fault = |e: ReadError| format!("the playlist {e}");
        let (digest, result) = std::sync::mpsc::sync_channel(1);
        let input = open().map_err(|e| fault(e.into()))?;
        let mut context = Context::new(&SHA256);
        context.update(&[READER_VERSION, self.local.into()]);
        let input = Digested { input, context: Some(context), digest };
        let mut reader =
            Reader::new(Box::new(input), self.max_entries).map_err(|e| fault(e.into()))?.trusting(self.local);
        let mut count = 0u32;
        while let Some(entry) = reader.next().map_err(fault)? {
            each(entry)?;
            count += 1;
            if count.is_multiple_of(1024) && Instant::now() > self.deadline {
                return Err("took too long to read and apply (import.max_seconds); nothing more was changed".to_owned());
            }
        }
        let digest = result.try_recv().unwrap_or_default();
        Ok((std::mem::take(&mut reader.summary), digest))
    }
}

fn keys(entry: &Entry) -> Keys {
    let url = entry.sources.first().map_or("", |s| s.url.as_str());
    identity::keys(&entry.guide_id, &entry.name, url)
}

fn row(entry: &Entry) -> merge::Entry {
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
    }
}

fn notes(summary: &Summary) -> Vec<String> {
    let guides = summary.guides.iter().map(|url| format!("the playlist names a guide: {}", redact(url)));
    summary.notes.iter().map(ToString::to_string).chain(guides).take(MAX_NOTES).collect()
}

fn told(error: ApiError) -> String {
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
