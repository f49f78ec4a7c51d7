//! One refresh of one playlist, from the download to the report.
//!
//! Owns the download and what is told of its outcome; [`super::job`] reads and applies. Must not enter: schedules, SQL. Invariant:
//! whatever goes wrong, the line-up stays as it was and the report says why.

use std::time::{Duration, Instant};

use yagi_api::{RefreshReport, Source};

use super::job::{Cause, Job, Limits, unchanged};
use crate::{
    aside,
    clock::epoch_now,
    config::Import,
    library::Library,
    secret::hide,
    upstream::{Caps, Conditions, Fetcher, Reach, Spool},
};

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
            RefreshReport { at: epoch_now(), ok: false, error: Some(error), seen, millis, ..RefreshReport::default() }
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

/// The text of the playlist, whatever the server said of changes.
pub(super) async fn download(fetcher: &Fetcher, source: &Source, caps: &Import) -> Result<Spool, String> {
    let download =
        Caps { bytes: u64::from(caps.max_download_mib) << 20, time: Duration::from_secs(caps.max_seconds.into()) };
    let fetched = fetcher.fetch(&source.url, &Conditions::default(), download).await;
    fetched.map(|f| f.body).map_err(|e| hide(&format!("the playlist {e}"), &source.url))
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
        public: fetched.reach == Reach::Public,
        limits: Limits::of(catalog.settings()),
        max_entries: caps.max_entries,
        local: caps.trusted_sources.contains(&source.name),
        deadline,
        cause: Cause::Refresh,
        progress: fetcher.progress().clone(),
    };
    let max_unpacked = u64::from(caps.max_playlist_mib) << 20;
    let body = fetched.body;
    let previous = source.clone();
    aside::run(move || job.apply(&previous, &|| body.reader(max_unpacked)))
        .await
        .ok_or_else(|| "a bug stopped the refresh; see the daemon's log".to_owned())?
}
