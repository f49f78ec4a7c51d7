//! `yagid`: reads the command line and starts what it asks for.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use clap::Parser as _;
use yagid::{
    cli::{Cli, Common, Verb},
    config::{self, Fault, Loaded},
    daemon, http, moving, store,
    upstream::exec,
};

/// Exit code for a configuration or request that is invalid, as in the client.
const INVALID: u8 = 4;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|word| word == exec::GUARD) {
        eprintln!("{}", exec::guard(args));
        return ExitCode::from(127);
    }
    exec::guard_with("/proc/self/exe".into());
    let cli = Cli::parse();
    let done = match cli.verb.unwrap_or(Verb::Run(cli.common)) {
        Verb::Run(common) => load(common).and_then(|loaded| daemon::run(loaded).map_err(failed)),
        Verb::CheckConfig { common, json } => check(common, json),
        Verb::Healthcheck(common) => load(common).and_then(|loaded| healthcheck(&loaded).map_err(failed)),
        Verb::Import { database, env, passwords, dry_run, common } => load(common).and_then(|loaded| {
            let (env, passwords) = (env.as_deref(), passwords.as_deref());
            let request = moving::Request { database: &database, env, passwords, dry_run };
            let report = moving::run(&loaded.config.paths.state_dir, &request).map_err(failed)?;
            print!("{report}");
            Ok(())
        }),
        Verb::Backup { path, common } => load(common)
            .and_then(|loaded| store::backup(&loaded.config.paths.state_dir, &path).map_err(|e| failed(e.into()))),
    };
    done.map_or_else(|code| code, |()| ExitCode::SUCCESS)
}

fn failed(error: anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn env() -> impl Iterator<Item = (String, String)> {
    // Variables that are not UTF-8 cannot be ours.
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
}

fn load(common: Common) -> Result<Loaded, ExitCode> {
    config::load(&common.into(), env()).map_err(|faults| {
        report(&faults);
        ExitCode::from(INVALID)
    })
}

fn report(faults: &[Fault]) {
    for fault in faults {
        eprintln!("error: {fault}");
    }
    eprintln!("hint: config/yagid.toml of the source, or /usr/share/doc/yagid, lists every key with its default");
}

fn check(common: Common, json: bool) -> Result<(), ExitCode> {
    let loaded = config::load(&common.into(), env());
    if json {
        let shown = match &loaded {
            Ok(loaded) => serde_json::json!({"ok": true, "file": loaded.file, "keys": loaded.rows()}),
            Err(faults) => serde_json::json!({"ok": false, "faults": faults}),
        };
        println!("{shown:#}");
        return loaded.map(drop).map_err(|_| ExitCode::from(INVALID));
    }
    match loaded {
        Ok(loaded) => {
            match &loaded.file {
                Some(file) => println!("# {}", file.display()),
                None => println!("# no file: defaults, environment and flags"),
            }
            for row in loaded.rows() {
                println!("{:32} {:40} # {}", row.key, row.value.to_string(), row.origin);
            }
            Ok(())
        }
        Err(faults) => {
            report(&faults);
            Err(ExitCode::from(INVALID))
        }
    }
}

/// `GET /health` on the first listener.
fn healthcheck(loaded: &Loaded) -> anyhow::Result<()> {
    let listen = loaded.config.server.listen[0];
    let ip = if listen.ip().is_unspecified() { std::net::Ipv4Addr::LOCALHOST.into() } else { listen.ip() };
    let limit = Duration::from_secs(3);
    let mut socket = TcpStream::connect_timeout(&SocketAddr::new(ip, listen.port()), limit)?;
    socket.set_read_timeout(Some(limit))?;
    let host = http::base::bracketed(ip);
    write!(socket, "GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    socket.read_exact(&mut head)?;
    anyhow::ensure!(head.ends_with(b"200"), "the daemon answered {:?}", String::from_utf8_lossy(&head));
    Ok(())
}
