//! Downloads of playlists and guides, from the web or a local file, into an anonymous temporary file.
//!
//! Searches of AceStream engines are downloads too. Owns the caps on bytes and time, conditional requests, and the completeness of a body. Must not enter: what the text
//! means. Invariants: a body that was cut short is an error, never a short list; no error text carries a credential.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use hyper::{HeaderMap, header};
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, timeout_at},
};

use super::{
    Spool, UpstreamError, dial,
    outbound::{Outbound, Reach},
    search,
};
use crate::{config::Config, progress::Progress, secret::redact};

/// Silence after which a download is given up before its time is over.
const STALL: Duration = Duration::from_secs(30);

/// What the last download said about its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Bytes over the wire.
    pub bytes: u64,
    /// For everything.
    pub time: Duration,
}

#[derive(Debug)]
pub struct Fetched {
    pub not_modified: bool,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// Empty if not modified.
    pub body: Spool,
    /// How far what it names may lead.
    pub reach: Reach,
}

/// Why there is no download. The texts continue "The source …".
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("cannot be used: {0}")]
    Refused(String),
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("answered with status {0}")]
    Status(u16),
    #[error("took too long: {0}")]
    Timeout(String),
    #[error("is larger than {0} bytes; raise import.max_download_mib if that is right")]
    TooLarge(u64),
    #[error("ended too early: {0}")]
    Truncated(String),
    #[error("cannot be read: {0}")]
    File(String),
    #[error("cannot be kept: {0}")]
    Spool(io::Error),
    #[error("was cancelled")]
    Cancelled,
}

impl From<UpstreamError> for FetchError {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::Timeout(what) => Self::Timeout(what.to_owned()),
            UpstreamError::Refused(why) => Self::Refused(why),
            UpstreamError::Unreachable(why) => Self::Unreachable(why),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    outbound: Arc<Outbound>,
    spool_dir: Arc<RwLock<PathBuf>>,
    progress: Progress,
    engines: Arc<[url::Url]>,
}

impl Fetcher {
    pub fn new(config: &Config) -> Self {
        Self::with(Arc::new(Outbound::new(config)), super::searched(config))
    }

    pub(super) fn with(outbound: Arc<Outbound>, engines: Arc<[url::Url]>) -> Self {
        let spool_dir = Arc::new(RwLock::new(std::env::temp_dir()));
        Self { outbound, spool_dir, progress: Progress::default(), engines }
    }

    /// The same, telling how far each download is; ends when it is cancelled.
    #[must_use]
    pub fn watched(&self, progress: Progress) -> Self {
        Self { progress, ..self.clone() }
    }

    /// What the work around a download tells its own steps by.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Keeps downloads here from now on (an existing directory); until then in the system's directory for temporary files.
    pub fn spool_in(&self, dir: PathBuf) {
        *self.spool_dir.write().unwrap_or_else(PoisonError::into_inner) = dir;
    }

    /// Downloads a URL, reads an absolute path or asks the engines, as somebody typed it.
    ///
    /// # Errors
    /// Says what failed; never a credential.
    pub async fn fetch(&self, location: &str, conditions: &Conditions, caps: Caps) -> Result<Fetched, FetchError> {
        self.fetch_found(location, &[], Reach::Anywhere, conditions, caps).await
    }

    /// The same for a location that may have been found elsewhere, with these headers of its own.
    ///
    /// # Errors
    /// Says what failed; never a credential.
    pub async fn fetch_found(
        &self,
        location: &str,
        headers: &[(String, String)],
        reach: Reach,
        conditions: &Conditions,
        caps: Caps,
    ) -> Result<Fetched, FetchError> {
        if Path::new(location).is_absolute() {
            let (path, conditions) = (PathBuf::from(location), conditions.clone());
            let read = tokio::task::spawn_blocking(move || read_file(&path, &conditions, caps));
            return read.await.unwrap_or_else(|e| Err(FetchError::File(e.to_string())));
        }
        if let Some((words, category)) = yagi_api::rules::search(location) {
            return self.search((&words, &category), caps).await;
        }
        if !location.contains("://") {
            return Err(FetchError::Refused("expected http://…, https://…, an absolute path or search:…".to_owned()));
        }
        let deadline = Instant::now() + caps.time;
        self.progress.step("downloading", "bytes", None);
        tokio::select! {
            done = timeout_at(deadline, self.download(location, headers, reach, conditions, caps, deadline)) => {
                done.map_err(|_| FetchError::Timeout(format!("not finished after {} s", caps.time.as_secs())))?
            }
            () = self.progress.cancelled() => Err(FetchError::Cancelled),
        }
    }

    /// What anybody may have put into the network is as foreign as a public host's.
    async fn search(&self, query: (&str, &str), caps: Caps) -> Result<Fetched, FetchError> {
        let deadline = Instant::now() + caps.time;
        self.progress.step("searching", "bytes", None);
        let found = tokio::select! {
            found = search::run(&self.outbound, &self.engines, query, deadline, &self.progress) => found?,
            () = self.progress.cancelled() => return Err(FetchError::Cancelled),
        };
        if found == b"[]" {
            return Err(FetchError::Refused("the engine found nothing".to_owned()));
        }
        let body = Spool::of(&found).map_err(FetchError::Spool)?;
        Ok(Fetched { not_modified: false, etag: None, last_modified: None, body, reach: Reach::Public })
    }

    async fn download(
        &self,
        url: &str,
        own: &[(String, String)],
        reach: Reach,
        conditions: &Conditions,
        caps: Caps,
        deadline: Instant,
    ) -> Result<Fetched, FetchError> {
        let mut headers = vec![("Accept-Encoding".to_owned(), "gzip".to_owned())];
        headers.extend_from_slice(own);
        headers.extend(conditions.etag.clone().map(|e| ("If-None-Match".to_owned(), e)));
        headers.extend(conditions.last_modified.clone().map(|d| ("If-Modified-Since".to_owned(), d)));
        let ask = dial::Ask::new(url)?.with_headers(&headers)?.reaching(reach);
        let mut response = ask.send(&self.outbound, deadline.min(Instant::now() + STALL)).await?;
        let conditional = conditions.etag.is_some() || conditions.last_modified.is_some();
        match response.status.as_u16() {
            200 => {}
            304 if conditional => {
                let body = Spool::of(&[]).map_err(FetchError::Spool)?;
                let Conditions { etag, last_modified } = conditions.clone();
                return Ok(Fetched { not_modified: true, etag, last_modified, body, reach: response.asked.reach });
            }
            other => return Err(FetchError::Status(other)),
        }
        check_coding(&response.headers)?;
        let promised = word(&response.headers, header::CONTENT_LENGTH).and_then(|n| n.parse::<u64>().ok());
        if promised.is_some_and(|n| n > caps.bytes) {
            return Err(FetchError::TooLarge(caps.bytes));
        }
        self.progress.step("downloading", "bytes", promised);
        let body = self.keep(&mut response.body, caps.bytes).await?;
        Ok(Fetched {
            not_modified: false,
            etag: word(&response.headers, header::ETAG),
            last_modified: word(&response.headers, header::LAST_MODIFIED),
            body,
            reach: response.asked.reach,
        })
    }

    async fn keep(&self, body: &mut dial::Body, max: u64) -> Result<Spool, FetchError> {
        let dir = self.spool_dir.read().unwrap_or_else(PoisonError::into_inner).clone();
        let file = tempfile::tempfile_in(&dir).or_else(|_| tempfile::tempfile()).map_err(FetchError::Spool)?;
        let mut file = tokio::fs::File::from_std(file);
        let mut len = 0u64;
        loop {
            let piece = tokio::time::timeout(STALL, body.next())
                .await
                .map_err(|_| FetchError::Timeout(format!("silent for {} s after {len} bytes", STALL.as_secs())))?
                // hyper knows when a body ends before its length or its last chunk.
                .map_err(|e| FetchError::Truncated(format!("after {len} bytes: {e}")))?;
            let Some(piece) = piece else { break };
            len += piece.len() as u64;
            self.progress.add(piece.len() as u64);
            if len > max {
                return Err(FetchError::TooLarge(max));
            }
            file.write_all(&piece).await.map_err(FetchError::Spool)?;
        }
        file.flush().await.map_err(FetchError::Spool)?;
        Ok(Spool::new(file.into_std().await, len))
    }
}

/// A header that is kept and sent back: printable and short, or not at all.
fn word(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty() && v.len() <= 512).map(str::to_owned)
}

/// Packed bodies are told by their magic bytes; of codings only those are understood that have some.
fn check_coding(headers: &HeaderMap) -> Result<(), FetchError> {
    match word(headers, header::CONTENT_ENCODING).map(|c| c.to_ascii_lowercase()).as_deref() {
        None | Some("identity" | "gzip" | "x-gzip" | "xz" | "zstd" | "none") => Ok(()),
        Some(other) => Err(FetchError::Refused(format!("it is encoded as {other:?}; gzip was asked for"))),
    }
}

fn read_file(path: &Path, conditions: &Conditions, caps: Caps) -> Result<Fetched, FetchError> {
    let shown = redact(&path.to_string_lossy());
    let wrong = |e: io::Error| FetchError::File(format!("{shown}: {e}"));
    // Without O_NONBLOCK the opening of a pipe would wait for its writer.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file: File = OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(wrong)?;
    let meta = file.metadata().map_err(wrong)?;
    if !meta.is_file() {
        return Err(FetchError::File(format!("{shown} is not a regular file")));
    }
    if meta.len() > caps.bytes {
        return Err(FetchError::TooLarge(caps.bytes));
    }
    let etag = Some(version(&meta));
    if etag == conditions.etag {
        let body = Spool::of(&[]).map_err(FetchError::Spool)?;
        return Ok(Fetched { not_modified: true, etag, last_modified: None, body, reach: Reach::Anywhere });
    }
    let body = Spool::new(file, meta.len());
    Ok(Fetched { not_modified: false, etag, last_modified: None, body, reach: Reach::Anywhere })
}

fn version(meta: &Metadata) -> String {
    format!("file-{:x}-{:x}-{:x}.{:x}", meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const CAPS: Caps = Caps { bytes: 1000, time: Duration::from_secs(5) };

    #[tokio::test]
    async fn local_files_are_read_when_regular_and_changed() {
        let fetcher = Fetcher::new(&Config::default());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.m3u");
        std::fs::write(&path, "#EXTM3U\n").unwrap();
        let location = path.to_str().unwrap();
        let first = fetcher.fetch(location, &Conditions::default(), CAPS).await.unwrap();
        let mut text = String::new();
        first.body.reader(100).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "#EXTM3U\n");
        let known = Conditions { etag: first.etag, last_modified: None };
        assert!(fetcher.fetch(location, &known, CAPS).await.unwrap().not_modified);
        std::fs::write(&path, "x".repeat(1001)).unwrap();
        assert!(matches!(fetcher.fetch(location, &known, CAPS).await, Err(FetchError::TooLarge(1000))));
        for bad in [dir.path().to_str().unwrap(), "/dev/zero", "/no/such/file"] {
            assert!(matches!(fetcher.fetch(bad, &known, CAPS).await, Err(FetchError::File(_))), "{bad}");
        }
        for bad in ["file:///etc/passwd", "relative.m3u", "ftp://h/x", ""] {
            assert!(matches!(fetcher.fetch(bad, &known, CAPS).await, Err(FetchError::Refused(_))), "{bad}");
        }
    }
}
