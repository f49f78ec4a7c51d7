//! Verbs that work on the state directory while no daemon runs: init, import, restore; and the trial of a configuration.
//!
//! Owns what they say. Must not enter: how rows are made or read (the rooms do it). Invariant: each takes the lock of the state
//! directory first, so none works beside a running daemon.

use std::{fmt::Write as _, io, path::Path};

use anyhow::{Context as _, anyhow, bail};
use tokio::sync::watch;
use yagi_api::{RefreshReport, SourceDraft, SourceKind, SourcePatch};

use crate::{
    admin,
    config::{Config, Fault, Loaded},
    events::Events,
    guide::Guide,
    http::serve,
    library::{Library, Opened},
    refresh::Refresher,
    store,
    upstream::Upstreams,
};

/// Who made the changes.
const ACTOR: &str = "yagid";
/// The shipped configuration: every key with its default.
const EXAMPLE: &str = include_str!("../config/yagid.toml");

fn open(loaded: &Loaded) -> anyhow::Result<Opened> {
    let dir = &loaded.config.paths.state_dir;
    Library::open(dir, Events::default()).with_context(|| format!("the database in {}", dir.display()))
}

/// Makes the database and what a first start makes; says what is there now.
///
/// # Errors
/// When the state directory cannot be had.
pub async fn init(loaded: &Loaded, write_config: Option<&Path>) -> anyhow::Result<String> {
    let mut said = String::new();
    if let Some(path) = write_config {
        let made = match path.parent() {
            Some(dir) => std::fs::create_dir_all(dir),
            None => Ok(()),
        };
        match made.and_then(|()| std::fs::OpenOptions::new().write(true).create_new(true).open(path)) {
            Ok(mut file) => {
                io::Write::write_all(&mut file, EXAMPLE.as_bytes())?;
                writeln!(said, "wrote {}", path.display())?;
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => writeln!(said, "kept {}", path.display())?,
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        }
    }
    let Opened { library, fresh } = open(loaded)?;
    let dir = loaded.config.paths.state_dir.display();
    if fresh && loaded.config.demo.enabled {
        let viewer = library.create_demo().await.map_err(|e| anyhow!("{e}"))?;
        writeln!(said, "made the database in {dir}")?;
        writeln!(said, "first viewer: {} with the password {}", viewer.user.name, viewer.password)?;
    } else if fresh {
        writeln!(said, "made the database in {dir}")?;
    } else {
        let catalog = library.catalog();
        let (channels, viewers) = (catalog.channels().len(), catalog.viewers().len());
        writeln!(said, "the database in {dir} is there already: {channels} channels, {viewers} viewers")?;
    }
    library.close().await;
    Ok(said)
}

/// Makes a source and reads it once. A source of that URL that is there already is read again.
///
/// # Errors
/// When the source cannot be made, or the database not be had.
pub async fn import(loaded: &Loaded, url: &str, kind: Option<SourceKind>) -> anyhow::Result<RefreshReport> {
    let config = &loaded.config;
    let url = if url.contains("://") { url.to_owned() } else { absolute(url)? };
    let library = open(loaded)?.library;
    let there = library.catalog().sources().iter().find(|s| s.url == url).cloned();
    let source = match there {
        Some(source) => source,
        None => {
            let draft = SourceDraft { url, kind, enabled: Some(false), ..SourceDraft::default() };
            library.create_source(ACTOR, draft).await.map_err(|e| anyhow!("{e}"))?
        }
    };
    let guide = Guide::open(&config.paths.state_dir).context("the guide's directory")?;
    let fetcher = Upstreams::new(config).fetcher();
    let spool = config.paths.state_dir.join("tmp");
    std::fs::create_dir_all(&spool).with_context(|| spool.display().to_string())?;
    fetcher.spool_in(spool);
    let (_stop, stopping) = watch::channel(false);
    let refresher = Refresher::start(library.clone(), guide, fetcher, &config.import, Events::default(), stopping);
    let report = refresher.queue_and_wait(source.id).await;
    if report.ok && !source.enabled {
        // Only now on schedule: until here nothing else may have read it.
        let patch = SourcePatch { enabled: Some(true), ..SourcePatch::default() };
        library.update_source(ACTOR, source.id, patch).await.map_err(|e| anyhow!("{e}"))?;
    }
    library.close().await;
    Ok(report)
}

/// The import into a database that is thrown away.
///
/// # Errors
/// As of [`import`].
pub async fn try_import(loaded: &Loaded, url: &str, kind: Option<SourceKind>) -> anyhow::Result<RefreshReport> {
    let dir = tempfile::tempdir().context("a temporary directory")?;
    let mut trial = loaded.clone();
    trial.config.paths.state_dir = dir.path().join("state");
    import(&trial, url, kind).await
}

/// Whether it is a file of SQLite.
pub fn is_database(path: &str) -> bool {
    let mut head = [0; 16];
    let read = std::fs::File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut head));
    read.is_ok() && head == *b"SQLite format 3\0"
}

fn absolute(path: &str) -> anyhow::Result<String> {
    let found = std::fs::canonicalize(path).with_context(|| format!("the file {path}"))?;
    found.into_os_string().into_string().map_err(|_| anyhow!("the path of {path} is not UTF-8"))
}

/// Puts a backup in the place of the database, and looks whether it can be used.
///
/// # Errors
/// When the daemon runs, the file is no whole database of ours, or the passwords do not open.
pub async fn restore(loaded: &Loaded, from: &Path) -> anyhow::Result<String> {
    let dir = &loaded.config.paths.state_dir;
    let kept = store::restore(dir, from)?;
    let opened = Library::open(dir, Events::default());
    let mut said = format!("restored {} from {}\n", dir.join("yagid.db").display(), from.display());
    if let Some(kept) = &kept {
        writeln!(said, "what was there is {}", kept.display())?;
    }
    match opened {
        Ok(Opened { library, .. }) => {
            let catalog = library.catalog();
            let (channels, viewers) = (catalog.channels().len(), catalog.viewers().len());
            writeln!(said, "it holds {channels} channels and {viewers} viewers")?;
            library.close().await;
            Ok(said)
        }
        Err(e) => bail!("{said}but it cannot be used: {e}"),
    }
}

/// What a configuration asks for and cannot be had here. Nothing is left behind.
pub fn trial(config: &Config) -> Vec<Fault> {
    let fault = |key: &str, message: String| Fault { place: "trial".to_owned(), key: key.to_owned(), message };
    let mut faults = Vec::new();
    // A daemon that runs holds the addresses that it should hold.
    let runs = std::os::unix::net::UnixStream::connect(&config.paths.socket).is_ok();
    if !runs {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let entered = runtime.as_ref().map(tokio::runtime::Runtime::enter);
        if entered.is_ok() {
            let metrics = config.metrics.listen.parse().ok().map(|a| ("metrics.listen", a));
            let public = config.server.listen.iter().map(|a| ("server.listen", *a));
            for (key, address) in public.chain(metrics) {
                if let Err(e) = serve::bind(address) {
                    faults.push(fault(key, format!("cannot listen on {address}: {e}")));
                }
            }
        }
    }
    let state = &config.paths.state_dir;
    if let Err(why) = writable(state) {
        faults.push(fault("paths.state_dir", why));
    }
    match config.paths.socket.parent() {
        Some(dir) if config.paths.socket.is_absolute() => {
            if let Err(why) = writable(dir) {
                faults.push(fault("paths.socket", why));
            }
        }
        _ => faults.push(fault("paths.socket", "expected an absolute path".to_owned())),
    }
    if let Err(e) = admin::socket::fits(&config.paths.socket) {
        faults.push(fault("paths.socket", e.to_string()));
    }
    faults
}

/// Whether files can be made there; of a directory that is to be made, in the nearest one above it.
fn writable(dir: &Path) -> Result<(), String> {
    let mut there = dir;
    while !there.exists() {
        there = there.parent().ok_or_else(|| format!("{} cannot be made", dir.display()))?;
    }
    if !there.is_dir() {
        return Err(format!("{} is not a directory", there.display()));
    }
    let probe = tempfile::Builder::new().prefix(".yagid-").tempfile_in(there);
    probe.map(drop).map_err(|e| format!("{} cannot be written: {e}", there.display()))
}
