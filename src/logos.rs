//! Channels' logos, fetched once and served by the daemon, so that players behind TLS see them and providers do not see players.
//!
//! Owns the cache on disk, its caps and the telling of pictures by their bytes. Must not enter: routes, the line-up. Invariant: only
//! PNG, JPEG, GIF and WebP leave (an SVG can carry scripts); only addresses that the line-up holds are fetched, under the outbound
//! policy; the directory stays below its cap.

use std::{
    collections::HashMap,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::{
    library::logo_tag,
    upstream::{Caps, Conditions, Fetcher, Reach},
};

const MAX_BYTES: u64 = 1 << 20;
const MAX_CACHE: u64 = 256 << 20;
const FETCH_TIME: Duration = Duration::from_secs(15);
/// After this a logo is fetched again when somebody asks.
const FRESH: Duration = Duration::from_secs(7 * 86_400);
/// How long an address that gave no picture is left alone.
const SULK: Duration = Duration::from_secs(600);
const MAX_SULKING: usize = 10_000;
const AT_ONCE: usize = 4;

/// A picture and its media type.
pub struct Logo {
    pub media: &'static str,
    pub bytes: Bytes,
}

/// Handle to the cache; cheap to clone.
#[derive(Clone)]
pub struct Logos(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    fetcher: Fetcher,
    places: Semaphore,
    failed: Mutex<HashMap<String, Instant>>,
}

impl Logos {
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(state_dir: &Path, fetcher: Fetcher) -> io::Result<Self> {
        let dir = state_dir.join("logos");
        fs::create_dir_all(&dir)?;
        Ok(Self(Arc::new(Shared { dir, fetcher, places: Semaphore::new(AT_ONCE), failed: Mutex::default() })))
    }

    /// From the cache, or fetched now; none when there is no picture to be had. `found`: nobody typed the address, and it came
    /// through a public host.
    pub async fn get(&self, url: &str, found: bool) -> Option<Logo> {
        let tag = logo_tag(url);
        let path = self.0.dir.join(&tag);
        let (kept, fresh) = self.kept(path.clone()).await;
        if fresh || (kept.is_some() && self.sulks(&tag)) {
            return kept;
        }
        if kept.is_none() && self.sulks(&tag) {
            return None;
        }
        let Ok(_place) = self.0.places.acquire().await else { return kept };
        // Who waited may find that another has fetched it.
        let (again, fresh) = self.kept(path.clone()).await;
        if fresh {
            return again;
        }
        match self.fetch(url, Reach::found(found), path).await {
            Ok(logo) => Some(logo),
            Err(why) => {
                tracing::debug!(url = %crate::secret::redact(url), why, "a logo was not fetched");
                self.sulk(tag);
                again.or(kept)
            }
        }
    }

    async fn kept(&self, path: PathBuf) -> (Option<Logo>, bool) {
        let read = tokio::task::spawn_blocking(move || {
            let bytes = fs::read(&path).ok()?;
            let age = path.metadata().and_then(|m| m.modified()).ok()?.elapsed().unwrap_or_default();
            Some((Logo { media: media(&bytes)?, bytes: bytes.into() }, age < FRESH))
        });
        match read.await.ok().flatten() {
            Some((logo, fresh)) => (Some(logo), fresh),
            None => (None, false),
        }
    }

    async fn fetch(&self, url: &str, reach: Reach, path: PathBuf) -> Result<Logo, String> {
        let caps = Caps { bytes: MAX_BYTES, time: FETCH_TIME };
        // Only the web: a logo never names a file of this machine.
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err("is no address of the web".to_owned());
        }
        let fetched = self.0.fetcher.fetch_found(url, &[], reach, &Conditions::default(), caps).await;
        let fetched = fetched.map_err(|e| e.to_string())?;
        let dir = self.0.dir.clone();
        let done = tokio::task::spawn_blocking(move || -> Result<Logo, String> {
            let mut bytes = Vec::new();
            let mut body = fetched.body.reader(MAX_BYTES).map_err(|e| e.to_string())?;
            body.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
            let media = media(&bytes).ok_or("is no PNG, JPEG, GIF or WebP")?;
            // A cache that cannot be written serves all the same.
            if let Err(error) = keep(&dir, &path, &bytes) {
                tracing::warn!(%error, "a logo was not kept");
            }
            Ok(Logo { media, bytes: bytes.into() })
        });
        done.await.map_err(|e| e.to_string())?
    }

    fn sulks(&self, tag: &str) -> bool {
        let failed = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(tag).is_some_and(|since| since.elapsed() < SULK)
    }

    fn sulk(&self, tag: String) {
        let mut failed = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= MAX_SULKING {
            failed.retain(|_, since| since.elapsed() < SULK);
            if failed.len() >= MAX_SULKING {
                failed.clear();
            }
        }
        failed.insert(tag, Instant::now());
    }
}

/// By the first bytes, whatever the server said.
fn media(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// Writes it aside, gives it its name, and makes room when the cache is full.
fn keep(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".part-").tempfile_in(dir)?;
    io::Write::write_all(&mut file, bytes)?;
    file.persist(path).map_err(|e| e.error)?;
    prune(dir, MAX_CACHE)
}

/// Removes the oldest until a tenth of the cap is free again, once the cap is passed.
fn prune(dir: &Path, cap: u64) -> io::Result<()> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // One that vanished meanwhile takes no room.
        let Ok(meta) = entry.metadata() else { continue };
        all.push((meta.modified()?, meta.len(), entry.path()));
    }
    let mut total: u64 = all.iter().map(|(_, len, _)| len).sum();
    if total <= cap {
        return Ok(());
    }
    all.sort();
    for (_, len, path) in all {
        if total <= cap - cap / 10 {
            break;
        }
        fs::remove_file(path)?;
        total -= len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_told_by_their_bytes() {
        assert_eq!(media(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
        assert_eq!(media(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(media(b"RIFF....WEBPVP8 "), Some("image/webp"));
        for bad in [&b"<svg onload='x()'/>"[..], b"<html>", b"", b"RIFF....WAVE", b"GIF8"] {
            assert_eq!(media(bad), None);
        }
    }

    #[test]
    fn the_cache_stays_below_its_cap() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..20 {
            fs::write(dir.path().join(i.to_string()), vec![0; 100]).unwrap();
        }
        prune(dir.path(), 1000).unwrap();
        let left: u64 = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(left, 900);
    }
}
