//! `/api/reload`, `/api/backup`, `/api/jobs` and `/api/guide/refresh`: the daemon's own upkeep.
//!
//! Owns what of a configuration applies while the daemon runs. Must not enter: reading it. Invariant: a configuration with a
//! fault changes nothing, and every fault is told.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use yagi_api::{
    ApiError, Backup, BackupRequest, ErrorCode, ItemError, Job, Page, Reload, ReloadedKey, SourceKind, text::clean,
};

use super::{
    Answer, Ask, Roles, aside, done, input, ok,
    query::{self, Cell, Column},
    settings::without_login,
};
use crate::{
    app::App,
    config::{self, Config},
    http::{Addressing, Network},
};

/// What other rooms are given of a configuration, read from it.
pub fn derived(config: &Config) -> (Addressing, Vec<Network>, Roles) {
    let networks = |list: &[String]| list.iter().filter_map(|n| n.parse().ok()).collect();
    let addressing = Addressing {
        public: config.server.public_url.parse().ok(),
        trusted: networks(&config.server.trusted_proxies),
        believed: config.server.proxy_headers,
    };
    (addressing, networks(&config.ace.open_networks), Roles::from(&config.admin))
}

/// Reads the configuration again and applies what can be applied.
///
/// # Errors
/// Every fault of it; the old one stays in force.
pub fn reload(app: &App) -> Result<Reload, ApiError> {
    let old = app.config.load_full();
    // Variables that are not UTF-8 cannot be ours.
    let env = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let new = config::reload(&old, env).map_err(refused)?;
    let changed = config::differences(&old, &new);
    let new = config::in_force(&old, &new);
    let (addressing, open_networks, roles) = derived(&new.config);
    if old.config.log.filter != new.config.log.filter {
        app.logs.set_filter(&new.config.log.filter).map_err(|e| ApiError::invalid("log.filter", e.to_string()))?;
    }
    app.addressing.store(Arc::new(addressing));
    app.open_networks.store(Arc::new(open_networks));
    app.roles.store(Arc::new(roles));
    app.auth.set_tries(new.config.server.login_tries);
    app.refresher.set_caps(&new.config.import);
    let file = new.file.as_ref().map(|f| f.display().to_string());
    app.config.store(Arc::new(new));
    reload_certificate(app);
    let shown =
        |key: ReloadedKey| ReloadedKey { before: without_login(key.before), after: without_login(key.after), ..key };
    let changed: Vec<ReloadedKey> = changed.into_iter().map(shown).collect();
    for key in &changed {
        tracing::info!(key = key.key, applied = key.applied, "the configuration changed");
    }
    Ok(Reload { file, changed })
}

/// Reads certificate and key anew: for new connections, running ones are not touched.
pub fn reload_certificate(app: &App) {
    let Some(certificate) = &app.certificate else { return };
    let loaded = app.config.load();
    let server = &loaded.config.server;
    match certificate.reload(&server.tls_cert, &server.tls_key) {
        Ok(()) => tracing::info!(file = %server.tls_cert.display(), "certificate read anew"),
        Err(e) => tracing::error!(error = %e, "the new certificate is of no use; the old one stays"),
    }
}

fn refused(faults: Vec<config::Fault>) -> ApiError {
    let told = |fault: &config::Fault| ItemError {
        index: None,
        code: ErrorCode::Invalid,
        message: clean(&fault.to_string(), 512).into_owned(),
        field: (!fault.key.is_empty()).then(|| clean(&fault.key, 64).into_owned()),
    };
    let errors: Vec<ItemError> = faults.iter().take(100).map(told).collect();
    let first = errors.first().map_or_else(String::new, |e| e.message.clone());
    let more = if faults.len() > 1 { format!(" (and {} more)", faults.len() - 1) } else { String::new() };
    let field = errors.first().and_then(|e| e.field.clone());
    ApiError { field, errors, ..ApiError::new(ErrorCode::Invalid, format!("{first}{more}; nothing was changed")) }
}

pub async fn reload_now(ask: Ask<'_>) -> Answer {
    tracing::info!(actor = ask.actor, "reload asked for");
    let app = Arc::clone(ask.app);
    ok(&aside(move || reload(&app)).await??)
}

/// Copies the database into a new file of the daemon's machine.
pub async fn backup(ask: Ask<'_>) -> Answer {
    let wanted: BackupRequest = input::body(ask.request)?;
    let state = ask.app.config.load().config.paths.state_dir.clone();
    let path = match &wanted.path {
        Some(text) => {
            let path = PathBuf::from(text);
            if !path.is_absolute() || text.contains('\0') {
                return Err(ApiError::invalid("path", "expected an absolute path of a file that does not exist"));
            }
            path
        }
        None => {
            let now = jiff::Timestamp::now().to_string().replace([':', '-'], "");
            state.join("backups").join(format!("yagid-{now}.db"))
        }
    };
    let own = wanted.path.is_none();
    let (library, began) = (ask.app.library.clone(), Instant::now());
    let shown = path.display().to_string();
    let bytes = aside(move || copy(&library, &state, &path, own)).await??;
    let millis = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
    tracing::info!(actor = ask.actor, path = shown, bytes, millis, "database backed up");
    ok(&Backup { path: shown, bytes, millis })
}

fn copy(library: &crate::library::Library, state: &Path, path: &Path, own: bool) -> Result<u64, ApiError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = |e: String| ApiError { field: Some("path".to_owned()), ..ApiError::new(ErrorCode::Unavailable, e) };
    if let (true, Some(dir)) = (own, path.parent()) {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|e| failed(format!("cannot make {}: {e}", dir.display())))?;
    }
    if path.symlink_metadata().is_ok() {
        let error = format!("{} is there already", path.display());
        return Err(ApiError { field: Some("path".to_owned()), ..ApiError::new(ErrorCode::Conflict, error) });
    }
    library.back_up(state, path).map_err(|e| failed(e.to_string()))?;
    std::fs::metadata(path).map(|m| m.len()).map_err(|e| failed(e.to_string()))
}

const JOBS: &[Column<Job>] = &[
    Column { names: &["name"], searched: true, cell: |_, j| Cell::text(&j.name) },
    Column { names: &["actor"], searched: true, cell: |_, j| Cell::text(&j.actor) },
    Column { names: &["state"], searched: false, cell: |_, j| Cell::text(j.state.word()) },
    Column { names: &["step"], searched: false, cell: |_, j| Cell::text(&j.step) },
    Column { names: &["source"], searched: false, cell: |_, j| Cell::some(j.source.map(|s| s.0)) },
    Column { names: &["started_at"], searched: false, cell: |_, j| Cell::Number(j.started_at) },
    Column { names: &["elapsed_ms"], searched: false, cell: |_, j| Cell::big(j.elapsed_ms) },
    Column { names: &["id"], searched: false, cell: |_, j| Cell::big(j.id) },
];

pub fn jobs(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &[])?;
    let rows = ask.app.refresher.jobs().rows();
    ok(&query::page::<Job, Job>(&ask.app.library.catalog(), JOBS, &rows, &query)?)
}

fn job(ask: &Ask<'_>) -> Result<Job, ApiError> {
    let id: u64 = input::id("job", &ask.id)?;
    ask.app.refresher.jobs().one(id).ok_or_else(|| input::missing("job", &ask.id))
}

pub fn show_job(ask: &Ask<'_>) -> Answer {
    ok(&job(ask)?)
}

pub fn cancel_job(ask: &Ask<'_>) -> Answer {
    let job = job(ask)?;
    if !ask.app.refresher.jobs().cancel(job.id, &ask.actor) {
        return Err(ApiError::new(ErrorCode::Conflict, format!("job {} is over: {}", job.id, job.state.word())));
    }
    tracing::info!(actor = ask.actor, job = job.id, source = job.name, "cancelled by an administrator");
    done()
}

/// Queues every enabled guide.
pub fn refresh_guides(ask: &Ask<'_>) -> Answer {
    let catalog = ask.app.library.catalog();
    let guides = catalog.sources().iter().filter(|s| s.kind == SourceKind::Guide && s.enabled);
    let numbers: Vec<u64> = guides.map(|s| ask.app.refresher.request(s.id, &ask.actor)).collect();
    let rows: Vec<Job> = numbers.into_iter().filter_map(|n| ask.app.refresher.jobs().one(n)).collect();
    ok(&Page { rev: catalog.rev, total: u32::try_from(rows.len()).unwrap_or(u32::MAX), rows })
}
