//! `yagid`: reads the command line and starts what it asks for.

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::{CommandFactory as _, Parser as _};
use yagid::{
    admin,
    cli::{Cli, Common, Verb},
    config::{self, Fault, Loaded},
    daemon, http, moving, offline, platform, store,
    upstream::exec,
};

/// Exit code for a configuration or request that is invalid, as in the client.
const INVALID: u8 = 4;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|word| word == exec::GUARD) {
        eprintln!("{}", exec::guard(args));
        return ExitCode::from(127);
    }
    platform::use_one_arena();
    exec::guard_with("/proc/self/exe".into());
    let cli = Cli::parse();
    let done = match cli.verb.unwrap_or(Verb::Run(cli.common)) {
        Verb::Run(common) => load(common).and_then(|loaded| daemon::run(loaded).map_err(failed)),
        Verb::CheckConfig { common, json } => check(common, json),
        Verb::Openapi => {
            println!("{:#}", admin::document());
            Ok(())
        }
        Verb::Init { common, write_config } => load(common).and_then(|loaded| {
            let config = write_config.then(|| loaded.file.clone().or_else(|| config::default_file(env()))).flatten();
            offline(offline::init(&loaded, config.as_deref())).map(say)
        }),
        Verb::Import { source, env, passwords, dry_run, common, .. } if offline::is_database(&source) => load(common)
            .and_then(|loaded| {
                let (env, passwords) = (env.as_deref(), passwords.as_deref());
                let request = moving::Request { database: source.as_ref(), env, passwords, dry_run };
                moving::run(&loaded.config.paths.state_dir, &request).map(say).map_err(failed)
            }),
        Verb::Import { env, passwords, .. } if env.is_some() || passwords.is_some() => {
            eprintln!("error: --env and --passwords go with the replaced system's database, and this is none");
            Err(ExitCode::from(USAGE))
        }
        Verb::Import { source, kind, dry_run, common, json, .. } => {
            load(common).and_then(|loaded| import(&loaded, &source, kind.map(Into::into), dry_run, json))
        }
        Verb::Backup { path, common } => load(common)
            .and_then(|loaded| store::backup(&loaded.config.paths.state_dir, &path).map_err(|e| failed(e.into()))),
        Verb::Restore { path, common } => {
            load(common).and_then(|loaded| offline(offline::restore(&loaded, &path)).map(say))
        }
        Verb::Healthcheck(common) => load(common).and_then(|loaded| healthcheck(&loaded).map_err(failed)),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "yagid", &mut script);
            say(String::from_utf8_lossy(&script));
            Ok(())
        }
        Verb::Man { dir } => std::fs::create_dir_all(&dir)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), &dir))
            .map_err(|e| failed(anyhow::anyhow!("{}: {e}", dir.display()))),
    };
    done.map_or_else(|code| code, |()| ExitCode::SUCCESS)
}

/// On standard output; a reader that went away (`| head`) is no failure.
fn say(text: impl AsRef<str>) {
    let _ = std::io::stdout().write_all(text.as_ref().as_bytes());
}

/// Runs work that needs a runtime.
fn offline<T>(work: impl Future<Output = anyhow::Result<T>>) -> Result<T, ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| failed(e.into()))?;
    let done = runtime.block_on(work).map_err(failed);
    runtime.shutdown_timeout(Duration::from_millis(500));
    done
}

fn import(
    loaded: &Loaded,
    url: &str,
    kind: Option<yagi_api::SourceKind>,
    dry_run: bool,
    json: bool,
) -> Result<(), ExitCode> {
    let report = if dry_run {
        offline(offline::try_import(loaded, url, kind))?
    } else {
        offline(offline::import(loaded, url, kind))?
    };
    if json {
        say(format!("{}\n", serde_json::to_string(&report).map_err(|e| failed(e.into()))?));
    } else if report.ok {
        let would = if dry_run { "would be: " } else { "" };
        say(format!(
            "{would}{} seen, {} added, {} changed, {} skipped\n",
            report.seen, report.added, report.changed, report.skipped
        ));
        report.notes.iter().for_each(|note| say(format!("  {}\n", yagi_api::text::clean(note, 400))));
    }
    match report.error {
        Some(error) if !report.ok => Err(failed(anyhow::anyhow!("{error}"))),
        _ => Ok(()),
    }
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
    let loaded = config::load(&common.into(), env()).and_then(|loaded| {
        let faults = offline::trial(&loaded.config);
        if faults.is_empty() { Ok(loaded) } else { Err(faults) }
    });
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
    let server = &loaded.config.server;
    let status = match (server.listen.first(), server.tls_listen.first()) {
        (Some(plain), _) => http::knock::plain(*plain),
        (None, Some(tls)) => http::knock::tls(*tls),
        (None, None) => anyhow::bail!("there is no listener"),
    }?;
    anyhow::ensure!(status == "200", "the daemon answered {status:?}");
    Ok(())
}
