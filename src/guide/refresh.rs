//! One refresh of a guide source: download, build, swap, report.
//!
//! Owns what is refused as a whole and how it is told. Must not enter: schedules, XMLTV's shape. Invariants: whatever goes
//! wrong, the old generation stays and is served; reading runs on a blocking thread; no report carries a credential.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    time::{Duration, Instant, SystemTime},
};

use yagi_api::{RefreshReport, Source};

use super::{
    Guide,
    build::{self, Window},
    file::Facts,
    xmltv::{Counts, Refusal},
};
use crate::{
    aside,
    config::Import,
    library::{Library, Validators},
    progress::Progress,
    secret::hide,
    upstream::{Caps, Conditions, Fetcher, Spool},
};

/// A document with fewer programmes than this share of the last one is held back, in percent.
const LEAST_PERCENT: u64 = 20;
const MIB: u64 = 1 << 20;

/// Refreshes `source` and keeps the report in the library.
pub async fn run(guide: &Guide, library: &Library, fetcher: &Fetcher, source: &Source, caps: &Import) -> RefreshReport {
    let began = Instant::now();
    let mut report = RefreshReport::default();
    let validators = match attempt(guide, library, fetcher, source, caps, &mut report).await {
        Ok(validators) => {
            report.ok = true;
            validators
        }
        Err(reason) => {
            // What came may repeat what was asked with.
            report.error = Some(hide(&reason, &source.url));
            None
        }
    };
    report.at = now();
    report.millis = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
    match &report.error {
        Some(error) => tracing::warn!(source = %source.name, error, "the guide was not refreshed; the old one stays"),
        None => tracing::info!(
            source = %source.name,
            programmes = report.seen,
            channels = report.added,
            skipped = report.skipped,
            millis = report.millis,
            unchanged = report.unchanged,
            "guide refreshed"
        ),
    }
    if let Err(e) = library.record_refresh(source.id, report.clone(), validators).await {
        tracing::warn!(source = %source.name, error = %e, "the result of the refresh could not be kept");
    }
    // A source may have been deleted while its guide was read.
    guide.retain(&library.catalog());
    report
}

async fn attempt(
    guide: &Guide,
    library: &Library,
    fetcher: &Fetcher,
    source: &Source,
    caps: &Import,
    report: &mut RefreshReport,
) -> Result<Option<Validators>, String> {
    let time = Duration::from_secs(caps.max_seconds.into());
    let deadline = Instant::now() + time;
    let catalog = library.catalog();
    let old = guide.of_source(source.id);
    let place = place(&source.url);
    // The window moves: a document that reaches beyond it gives more later, although it has not changed.
    let settled = old.as_ref().is_some_and(|g| {
        let read = (&g.facts.zone, g.facts.shift_min) == (&source.options.zone, source.options.shift_min);
        g.facts.place == place && !g.facts.clipped && read
    });
    let seen = catalog.validators(source.id);
    let conditions =
        if settled { Conditions { etag: seen.etag, last_modified: seen.last_modified } } else { Conditions::default() };
    let wire = Caps { bytes: u64::from(caps.max_download_mib) * MIB, time };
    let fetched = fetcher.fetch(&source.url, &conditions, wire).await.map_err(|e| format!("the guide {e}"))?;
    if fetched.not_modified {
        report.unchanged = true;
        if let Some(old) = old {
            (report.seen, report.added) = (old.facts.seen, old.channels.len() as u32);
        }
        return Ok(None);
    }
    let settings = catalog.settings();
    let now = now();
    let window = Window {
        from: now - i64::from(settings.guide_past_h) * 3600,
        until: now + i64::from(settings.guide_future_d) * 86_400,
    };
    let (zone, shift_min) = (source.options.zone.clone(), source.options.shift_min);
    let facts = Facts { source: source.id.0, place, built_at: now, zone, shift_min, ..Facts::default() };
    let (guide, max) = (guide.clone(), u64::from(caps.max_guide_mib) * MIB);
    let (body, progress) = (fetched.body, fetcher.progress().clone());
    progress.step("reading", "bytes", None);
    let apply = move || apply(&guide, &body, max, deadline, window, facts, &progress);
    let (counts, channels) = aside::run(apply)
        .await
        .ok_or_else(|| "a bug stopped the reading of the guide; see the daemon's log".to_owned())??;
    report.seen = counts.programmes;
    report.skipped = counts.skipped;
    report.notes = counts.notes;
    report.added = channels;
    Ok(Some(Validators { etag: fetched.etag, last_modified: fetched.last_modified, ..Validators::default() }))
}

/// Reads a download and puts it in the place of the source's old generation; the counts and the channels it has.
fn apply(
    guide: &Guide,
    body: &Spool,
    max_unpacked: u64,
    deadline: Instant,
    window: Window,
    facts: Facts,
    progress: &Progress,
) -> Result<(Counts, u32), String> {
    if body.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let old = guide.of_source(yagi_api::SourceId(facts.source));
    let enough = |new: &Facts| match &old {
        // Nothing is lost when all that the old one has is over.
        Some(old) if old.facts.place == new.place && old.facts.until > new.built_at => {
            let (seen, before) = (u64::from(new.seen), u64::from(old.facts.seen));
            if seen * 100 < before * LEAST_PERCENT {
                return Err(format!(
                    "the file has {seen} programmes where the last one had {before}: it is held back as broken; if it is \
                     right, delete the source and add it again"
                ));
            }
            Ok(())
        }
        _ => Ok(()),
    };
    let input = body.reader(max_unpacked).map_err(|e| told(e.into()))?;
    let input = progress.reading(input);
    let (generation, counts) = build::build(&guide.0.dir, input, deadline, window, facts, enough)
        .map_err(|e| yagi_api::text::clean(&told(e), 512).into_owned())?;
    let channels = generation.channels.len() as u32;
    guide.publish(generation);
    Ok((counts, channels))
}

/// A refusal as a sentence.
fn told(refusal: Refusal) -> String {
    match refusal {
        Refusal::Io(e) => match e.kind() {
            io::ErrorKind::InvalidData => e.to_string(),
            io::ErrorKind::FileTooLarge | io::ErrorKind::TimedOut => format!("the guide {e}"),
            _ => format!("the guide cannot be read or kept: {e}"),
        },
        document => document.to_string(),
    }
}

/// Digest of where a guide comes from, which may carry a password.
fn place(url: &str) -> u64 {
    let mut hash = DefaultHasher::new();
    url.hash(&mut hash);
    hash.finish()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::{guide::time, library::sample::channel};

    const NOW: i64 = 1_767_268_800;

    fn document(programmes: i64) -> String {
        let one = |n: i64| {
            let mut start = Vec::new();
            time::xmltv(&mut start, NOW + n * 600);
            let start = String::from_utf8(start).unwrap();
            format!("<programme start=\"{start}\" channel=\"a\"><title>{n} of {programmes}</title></programme>")
        };
        format!("<tv>{}</tv>", (0..programmes).map(one).collect::<String>())
    }

    fn put(guide: &Guide, bytes: &[u8], place: u64, now: i64) -> Result<(u32, u32), String> {
        let window = Window { from: now - 86_400, until: now + 8 * 86_400 };
        let facts = Facts { source: 1, place, built_at: now, ..Facts::default() };
        let deadline = Instant::now() + Duration::from_secs(60);
        apply(guide, &Spool::of(bytes).unwrap(), 1 << 20, deadline, window, facts, &Progress::default())
            .map(|(c, n)| (c.programmes, n))
    }

    fn kept(guide: &Guide) -> usize {
        guide.programmes(&channel(1, "", "a"), NOW, i64::MIN, i64::MAX, 9999).unwrap().len()
    }

    #[test]
    fn a_guide_that_shrinks_too_much_is_held_back() {
        let dir = tempfile::tempdir().unwrap();
        let guide = Guide::open(dir.path()).unwrap();
        assert_eq!(put(&guide, document(100).as_bytes(), 1, NOW), Ok((100, 1)));
        let told = put(&guide, document(19).as_bytes(), 1, NOW).unwrap_err();
        assert!(told.contains("19 programmes where the last one had 100"), "{told}");
        assert_eq!(kept(&guide), 100);
        assert_eq!(put(&guide, document(20).as_bytes(), 1, NOW), Ok((20, 1)));
        // Another address may be of another size, and an old guide that is over protects nothing.
        assert_eq!(put(&guide, document(2).as_bytes(), 2, NOW), Ok((2, 1)));
        assert_eq!(put(&guide, document(100).as_bytes(), 2, NOW), Ok((100, 1)));
        assert!(put(&guide, document(5).as_bytes(), 2, NOW).is_err());
        let late = NOW + 2 * 86_400;
        let text = document(400).replace(">3", "></title><title>");
        assert!(put(&guide, text.as_bytes(), 2, late).is_ok());
    }

    #[test]
    fn whatever_is_no_guide_is_told_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let guide = Guide::open(dir.path()).unwrap();
        put(&guide, document(10).as_bytes(), 1, NOW).unwrap();
        let gzip = |text: &str| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(text.as_bytes()).unwrap();
            out.finish().unwrap()
        };
        let packed = gzip(&document(12));
        let bomb = gzip(&format!("<tv>{}</tv>", " <x/>".repeat(1 << 19)));
        for (bytes, expected) in [
            (&b""[..], "empty"),
            (b"<!DOCTYPE html><html></html>", "root element is <html>"),
            (b"#EXTM3U\n#EXTINF:-1,A\nhttp://h/1\n", "text outside"),
            (&packed[..packed.len() - 12], ""),
            (&bomb, "larger than 1048576 bytes"),
        ] {
            let told = put(&guide, bytes, 1, NOW).unwrap_err();
            assert!(told.contains(expected), "{told}");
            assert_eq!(kept(&guide), 10);
        }
        assert_eq!(put(&guide, &packed, 1, NOW), Ok((12, 1)));
    }

    #[tokio::test]
    async fn a_refresh_from_the_address_to_the_players() {
        use yagi_api::{SourceDraft, SourceKind};

        use crate::{config::Config, events::Events};

        let dir = tempfile::tempdir().unwrap();
        let library = Library::open(&dir.path().join("state"), Events::default()).unwrap().library;
        let guide = Guide::open(dir.path()).unwrap();
        let (fetcher, caps) = (Fetcher::new(&Config::default()), Import::default());
        let file = dir.path().join("guide.xml");
        let url = file.to_str().unwrap().to_owned();
        let draft = SourceDraft { url, kind: Some(SourceKind::Guide), interval_s: Some(0), ..SourceDraft::default() };
        let source = library.create_source("test", draft).await.unwrap();
        let refresh = async || run(&guide, &library, &fetcher, &source, &caps).await;

        let missing = refresh().await;
        assert!(!missing.ok && missing.error.is_some(), "{missing:?}");
        let mut start = Vec::new();
        time::xmltv(&mut start, now());
        let start = String::from_utf8(start).unwrap();
        let entry = format!("<programme start=\"{start}\" channel=\"a\"><title>x</title></programme>");
        std::fs::write(&file, format!("<tv>{entry}<programme/></tv>")).unwrap();
        let good = refresh().await;
        assert!(good.ok && !good.unchanged, "{good:?}");
        assert_eq!((good.seen, good.added, good.skipped, good.notes.len()), (1, 1, 1, 1));
        let again = refresh().await;
        assert!(again.ok && again.unchanged, "{again:?}");
        assert_eq!((again.seen, again.added), (1, 1));
        std::fs::write(&file, "<tv>").unwrap();
        let broken = refresh().await;
        assert!(broken.error.as_deref().is_some_and(|e| e.contains("cut off")), "{broken:?}");
        assert_eq!(guide.programmes(&channel(1, "", "a"), now(), i64::MIN, i64::MAX, 9).unwrap().len(), 1);
        assert_eq!(library.catalog().source(source.id).unwrap().last, Some(broken));

        library.delete_source("test", source.id).await.unwrap();
        guide.retain(&library.catalog());
        assert_eq!(guide.status(&library.catalog()).programmes, 0);
        library.close().await;
    }
}
