//! Wiring: the order in which the rooms start and stop.
//!
//! Owns the process's tasks, signals and the words of the first start. Must not enter: decisions of any room. Invariant: every
//! task that is started here is ended here, in the reverse order, within [`GRACE`].

use std::{
    fmt::Write as _,
    io::IsTerminal as _,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use yagi_api::{Event, NewUser, Noun};

use crate::{
    admin,
    app::App,
    archive::Archive,
    auth::Auth,
    blocks::Blocks,
    check::Checker,
    config::{self, Loaded},
    events::Events,
    guide::Guide,
    hdhr::discovery,
    hls::Hls,
    http::{Base, Packs, serve, tls::Certificate},
    library::Library,
    lists,
    logos::Logos,
    logs::Logs,
    metrics::Metrics,
    refresh::Refresher,
    routes::{self, Routes},
    seats::Seats,
    seen::Seen,
    stream::Streams,
    systemd, tuner,
    upstream::Upstreams,
};

/// How long streams and engine sessions may take to end.
const GRACE: Duration = Duration::from_secs(4);
/// The demo viewer's name.
const DEMO_USER: &str = "demo";

/// A running daemon.
pub struct Daemon {
    pub app: Arc<App>,
    /// Where players connect; the real ports.
    pub addresses: Vec<SocketAddr>,
    /// The same over TLS.
    pub tls_addresses: Vec<SocketAddr>,
    /// The viewer that the very first start made.
    pub first_viewer: Option<NewUser>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    _socket: admin::socket::Held,
}

impl Daemon {
    /// Starts everything; when it returns, players and administrators are served.
    ///
    /// # Errors
    /// When the state directory, the database, a listener or the admin socket cannot be had; says what to do.
    pub async fn start(loaded: Loaded, logs: Logs, events: Events) -> anyhow::Result<Self> {
        Self::start_on(Vec::new(), loaded, logs, events).await
    }

    /// The same on listeners that were bound already, in place of the configured ones.
    async fn start_on(
        given: Vec<std::net::TcpListener>,
        loaded: Loaded,
        logs: Logs,
        events: Events,
    ) -> anyhow::Result<Self> {
        let config = &loaded.config;
        raise_file_limit();
        let listeners: Vec<TcpListener> = if given.is_empty() {
            config.server.listen.iter().map(|a| listen(*a)).collect::<Result<_, _>>()?
        } else {
            given.into_iter().map(serve::adopt).collect::<Result<_, _>>().context("a socket of the service manager")?
        };
        let figures = match config.metrics.listen.parse() {
            Ok(address) => Some(listen(address).context("the key metrics.listen")?),
            Err(_) => None,
        };
        let addresses: Vec<SocketAddr> = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let secure: Vec<TcpListener> = config.server.tls_listen.iter().map(|a| listen(*a)).collect::<Result<_, _>>()?;
        let tls_addresses: Vec<SocketAddr> = secure.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let certificate = if secure.is_empty() {
            None
        } else {
            Some(Certificate::load(&config.server.tls_cert, &config.server.tls_key)?)
        };
        let acceptor = certificate.as_ref().map(Certificate::acceptor).transpose().context("TLS")?;
        let (socket, held) = admin::socket::bind(&config.paths.socket, &config.admin.group)?;
        let opened = Library::open(&config.paths.state_dir, events.clone())
            .with_context(|| format!("the database in {}", config.paths.state_dir.display()))?;
        let library = opened.library;
        let first_viewer = if opened.fresh && config.demo.enabled {
            Some(library.create_demo().await.map_err(|e| anyhow!("the test-card channel could not be made: {e}"))?)
        } else {
            None
        };
        let guide = Guide::open(&config.paths.state_dir).context("the guide's directory")?;
        guide.retain(&library.catalog());
        let upstreams = Upstreams::new(config);
        upstreams.own_listeners([&addresses[..], &tls_addresses].concat());
        let spool = config.paths.state_dir.join("tmp");
        std::fs::create_dir_all(&spool).with_context(|| format!("the directory {}", spool.display()))?;
        let fetcher = upstreams.fetcher();
        fetcher.spool_in(spool);
        let logos = Logos::open(&config.paths.state_dir, fetcher.clone()).context("the directory of logos")?;
        let checks = upstreams.clone();
        let streams = Streams::start(upstreams.clone(), &config.stream, library.catalog().settings().clone())
            .context("the pump threads")?;
        let (stop, stopping) = watch::channel(false);
        let refresher = Refresher::start(
            library.clone(),
            guide.clone(),
            fetcher.clone(),
            &config.import,
            events.clone(),
            stopping.clone(),
        );
        let (seats, jobs) = (Seats::default(), refresher.jobs().clone());
        let checker = Checker::start(library.clone(), streams.clone(), seats.clone(), checks, jobs, stopping.clone());
        let (addressing, open_networks, roles) = admin::derived(config);
        let token = admin::token(&config.admin).context("the key admin.token_file")?;
        let desk = admin_listener(&config.admin)?;
        let app = Arc::new(App {
            addressing: ArcSwap::from_pointee(addressing),
            roles: ArcSwap::from_pointee(roles),
            token,
            addresses: addresses.clone(),
            tls_addresses: tls_addresses.clone(),
            own: Base::own(&addresses, &tls_addresses),
            packs: Packs::default(),
            guides: Packs::of(lists::GUIDES),
            tuner_networks: config.hdhr.networks.iter().filter_map(|n| n.parse().ok()).collect(),
            certificate,
            watchers: admin::Watchers::default(),
            load: admin::Load::default(),
            open_networks: ArcSwap::from_pointee(open_networks),
            auth: Auth::new(config.server.login_tries),
            seats,
            seen: Seen::default(),
            blocks: Blocks::default(),
            boot_id: boot_id()?,
            started: Instant::now(),
            config: ArcSwap::from_pointee(loaded),
            library,
            guide,
            streams,
            archive: Archive::new(upstreams.clone(), fetcher.clone()),
            upstreams,
            hls: Hls::new().map_err(|e| anyhow!("no randomness: {e}"))?,
            refresher,
            fetcher,
            logos,
            checker,
            events,
            logs,
        });
        let plain = listeners.into_iter().map(|l| (l, None));
        let secure = secure.into_iter().map(|l| (l, acceptor.clone()));
        let mut tasks = serve_all(&app, plain.chain(secure).collect(), socket, desk, &stopping);
        if let Some(listener) = figures {
            tasks.extend(serve_figures(&app, listener, &stopping));
        }
        Ok(Self { app, addresses, tls_addresses, first_viewer, stop, tasks, _socket: held })
    }

    /// Ends everything: no new clients, viewers by FIN, engine sessions stopped, the database closed.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.stop.send_replace(true);
        self.app.streams.shutdown(GRACE).await;
        for task in self.tasks {
            if tokio::time::timeout(GRACE, task).await.is_err() {
                tracing::warn!("a task did not end in time");
            }
        }
        self.app.library.close().await;
    }

    /// What a person needs to know after the start: addresses, and on the very first start the first viewer's links.
    pub fn welcome(&self) -> String {
        let mut out = String::new();
        let server = self.app.own.to_string();
        let config = self.app.config.load();
        let socket = config.config.paths.socket.display();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "yagid {} serves players at {server}", env!("CARGO_PKG_VERSION"));
        if let Some(viewer) = &self.first_viewer {
            let (name, password) = (&viewer.user.name, &viewer.password);
            let login = format!("username={name}&password={password}");
            let _ = writeln!(out, "\n  Playlist   {server}/get.php?{login}&type=m3u_plus&output=ts");
            let _ = writeln!(out, "  Guide      {server}/xmltv.php?{login}");
            let _ = writeln!(out, "  Xtream     server {server}   user {name}   password {password}");
            if let Some(channel) = self.app.library.catalog().channels().first() {
                let _ = writeln!(out, "  Stream     {server}/live/{name}/{password}/{}.ts", channel.id);
            }
            let mut addresses = self.addresses.iter().chain(&self.tls_addresses);
            if addresses.next().is_some_and(|a| a.ip().is_unspecified()) {
                let _ = writeln!(out, "\n  From another machine, put this machine's address in place of 127.0.0.1.");
            }
        } else {
            let _ = writeln!(out, "  Links of a viewer:  yagi --socket {socket} url NAME");
        }
        let _ = writeln!(
            out,
            "  Terminal   yagi --socket {socket}        (from the source tree: cargo run --release -p yagi -- --socket {socket})"
        );
        out
    }
}

/// Runs the daemon until SIGTERM or SIGINT; a second signal ends it at once.
///
/// # Errors
/// When it cannot start.
pub fn run(loaded: Loaded) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(8).enable_all().build()?;
    let events = Events::default();
    let logs = Logs::install(&loaded.config.log, events.clone()).context("the log")?;
    let log = logs.clone();
    let ended = runtime.block_on(async move {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let mut hup = signal(SignalKind::hangup())?;
        let given = systemd::listeners().context("a socket of the service manager")?;
        let daemon = Daemon::start_on(given, loaded, logs, events).await?;
        greet(&daemon);
        systemd::ready(&summary(&daemon.app));
        let watch = tokio::spawn(report(daemon.app.clone()));
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hup.recv() => {
                    systemd::reloading();
                    match admin::reload(&daemon.app) {
                        Ok(done) => tracing::info!(keys = done.changed.len(), "SIGHUP: the configuration was read again"),
                        Err(error) => {
                            tracing::error!(%error, "SIGHUP: the configuration stays as it was");
                            admin::reload_certificate(&daemon.app);
                        }
                    }
                    systemd::ready(&summary(&daemon.app));
                }
            }
        }
        watch.abort();
        systemd::stopping();
        tokio::select! {
            () = daemon.stop() => {}
            _ = term.recv() => tracing::warn!("a second signal: ending at once"),
            _ = int.recv() => tracing::warn!("a second signal: ending at once"),
        }
        Ok(())
    });
    // A refresh that reads on a blocking thread must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(500));
    log.flush(Duration::from_secs(1));
    ended
}

/// How often the service manager is told the figures.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// How long the database may take for its word that it is well; a large import makes others wait.
const HEARTBEAT: Duration = Duration::from_secs(20);

fn summary(app: &App) -> String {
    format!("{} streams, {} clients", app.streams.rows().len(), app.seats.len())
}

/// Tells the service manager how things are, and that they are well as long as the database answers: a daemon that hangs is
/// started anew.
async fn report(app: Arc<App>) {
    let watchdog = systemd::watchdog().map(|limit| limit / 3);
    let mut beat = tokio::time::interval(watchdog.unwrap_or(STATUS_EVERY).min(STATUS_EVERY));
    loop {
        beat.tick().await;
        systemd::status(&summary(&app));
        if watchdog.is_some() {
            match tokio::time::timeout(HEARTBEAT, app.library.answers()).await {
                Ok(true) => systemd::alive(),
                _ => tracing::error!("the database does not answer: the watchdog is not fed"),
            }
        }
    }
}

fn serve_figures(app: &Arc<App>, listener: TcpListener, stopping: &watch::Receiver<bool>) -> [JoinHandle<()>; 2] {
    let metrics = Metrics::new(app);
    let limits = serve::Limits {
        connections: 16,
        header_timeout: Duration::from_secs(10),
        body_bytes: 1 << 10,
        body_timeout: Duration::from_secs(5),
    };
    let handler: serve::Handler = {
        let (app, metrics) = (app.clone(), metrics.clone());
        Arc::new(move |request| {
            let (app, metrics) = (app.clone(), metrics.clone());
            Box::pin(async move { metrics.handle(&app, &request) })
        })
    };
    match listener.local_addr() {
        Ok(address) => tracing::info!(%address, "metrics are served"),
        Err(error) => tracing::warn!(%error, "the address of the metrics is unknown"),
    }
    [
        tokio::spawn(serve::serve_tcp(listener, limits, handler, stopping.clone(), None)),
        tokio::spawn(metrics.follow(app.clone(), stopping.clone())),
    ]
}

/// Prints the welcome where a person or a script reads it; a journal keeps no passwords.
fn greet(daemon: &Daemon) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stdout().is_terminal();
    if journal {
        tracing::info!(addresses = ?daemon.addresses, tls = ?daemon.tls_addresses, "serving; links of the first viewer: yagi url {DEMO_USER}");
    } else {
        // A closed stdout is no reason to stop.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), daemon.welcome().as_bytes());
    }
}

fn serve_all(
    app: &Arc<App>,
    listeners: Vec<(TcpListener, Option<TlsAcceptor>)>,
    socket: tokio::net::UnixListener,
    desk: Option<TcpListener>,
    stopping: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let loaded = app.config.load_full();
    let config = &loaded.config.server;
    let public = serve::Limits {
        connections: config.max_connections as usize,
        header_timeout: Duration::from_secs(config.header_timeout_s.into()),
        body_bytes: 64 << 10,
        body_timeout: Duration::from_secs(10),
    };
    let routes = Arc::new(Routes::default());
    let players: serve::Handler = {
        let app = app.clone();
        Arc::new(move |request| {
            let (app, routes) = (app.clone(), routes.clone());
            Box::pin(async move { routes::handle(&app, &routes, request).await })
        })
    };
    let admins: serve::Handler = {
        let app = app.clone();
        Arc::new(move |request| {
            let app = app.clone();
            Box::pin(async move { admin::handle(&app, request).await })
        })
    };
    let private = serve::Limits { connections: 512, body_bytes: 8 << 20, ..public };
    let mut tasks: Vec<JoinHandle<()>> = listeners
        .into_iter()
        .map(|(l, tls)| tokio::spawn(serve::serve_tcp(l, public, players.clone(), stopping.clone(), tls)))
        .collect();
    if let Some(desk) = desk {
        let few = serve::Limits { connections: 64, ..private };
        tasks.push(tokio::spawn(serve::serve_tcp(desk, few, admins.clone(), stopping.clone(), None)));
    }
    tasks.push(tokio::spawn(serve::serve_unix(socket, private, admins, stopping.clone())));
    limit_accounts(app);
    tasks.push(tokio::spawn(app.hls.clone().run(stopping.clone())));
    tasks.push(tokio::spawn(follow_settings(app.clone(), stopping.clone())));
    tasks.push(tokio::spawn(keep_seen(app.clone(), stopping.clone())));
    tasks.push(tokio::spawn(lists::keep_ready(app.clone(), stopping.clone())));
    tasks.extend(announce_tuner(app, stopping));
    tasks
}

/// The network tuner's discovery, when a viewer is named for it. Without it the tuner is used by its address.
fn announce_tuner(app: &Arc<App>, stopping: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    if app.config.load().config.hdhr.announce.is_empty() {
        return Vec::new();
    }
    let mut tasks = Vec::new();
    for (port, ssdp) in [(discovery::PORT, false), (discovery::SSDP_PORT, true)] {
        let (networks, device, stopping) = (app.tuner_networks.clone(), tuner::announced(app), stopping.clone());
        match discovery::bind(([0, 0, 0, 0], port).into(), ssdp) {
            Ok(socket) if ssdp => tasks.push(tokio::spawn(discovery::announce(socket, networks, device, stopping))),
            Ok(socket) => tasks.push(tokio::spawn(discovery::answer(socket, networks, device, stopping))),
            Err(e) => {
                tracing::warn!(port, error = %e, "the network tuner cannot be found by itself; its address works: yagi url NAME")
            }
        }
    }
    tasks
}

/// The limits of the providers' accounts, as the sources have them.
fn limit_accounts(app: &App) {
    let catalog = app.library.catalog();
    let limited = catalog.sources().iter().filter(|s| s.max_upstreams > 0);
    app.upstreams.limit_accounts(limited.map(|s| (s.id, s.name.clone(), s.max_upstreams)));
}

/// Settings and limits apply to running streams as soon as they are committed.
async fn follow_settings(app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    let mut events = app.events.subscribe();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = async { stopping.wait_for(|s| *s).await.is_ok() } => return,
        };
        match event {
            Ok(event) if !matches!(&*event, Event::Change { noun: Noun::Settings | Noun::Sources, .. }) => {}
            // A gap may have held one: applying what is in force twice does no harm.
            Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {
                app.streams.configure(app.library.catalog().settings().clone());
                limit_accounts(&app);
            }
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Writes the last logins once a minute, and at the end: never one by one.
async fn keep_seen(app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    let mut ended = false;
    while !ended {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
            _ = async { stopping.wait_for(|s| *s).await.is_ok() } => ended = true,
        }
        let fresh = app.seen.fresh();
        if fresh.is_empty() {
            continue;
        }
        let rows = fresh.into_iter().map(|(user, last)| (user, last.at, last.agent, last.ip.to_string())).collect();
        if let Err(error) = app.library.record_seen(rows).await {
            tracing::warn!(%error, "the last logins could not be kept");
        }
    }
}

/// The admin API over TCP, when the configuration wants it.
fn admin_listener(config: &config::Admin) -> anyhow::Result<Option<TcpListener>> {
    if config.listen.is_empty() {
        return Ok(None);
    }
    let address: SocketAddr = config.listen.parse().context("the key admin.listen")?;
    if !address.ip().is_loopback() && !config.allow_plaintext {
        return Err(anyhow!(
            "admin.listen is {address}, which others can reach, and without TLS the token travels in clear text: listen on \
             127.0.0.1 behind a TLS proxy or an ssh tunnel, or set admin.allow_plaintext"
        ));
    }
    let listener = listen(address).context("the key admin.listen")?;
    tracing::info!(address = %listener.local_addr()?, "the admin API is served over TCP too");
    Ok(Some(listener))
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    serve::bind(address).map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => anyhow!(
            "port {port} is taken: see by whom with  ss -ltnp 'sport = :{port}'  or choose another with --listen ADDR:PORT or the key server.listen",
            port = address.port()
        ),
        std::io::ErrorKind::PermissionDenied => {
            anyhow!("port {} needs a privilege (CAP_NET_BIND_SERVICE); choose one above 1023 with --listen or the key server.listen", address.port())
        }
        _ => anyhow!("cannot listen on {address}: {e}; see the key server.listen"),
    })
}

/// A viewer is a descriptor: take all that the system allows.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(error = %e, "the limit of open files could not be raised");
    }
}

fn boot_id() -> anyhow::Result<String> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|e| anyhow!("no randomness: {e}"))?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}
