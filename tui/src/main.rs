//! The binary: reads the arguments, then runs a verb or opens the terminal interface.

use std::{io::IsTerminal as _, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, parser::ValueSource};
use yagi::{
    app,
    cli::{
        self,
        args::{Cli, Look, ThemeName, Verb},
        output::complain,
    },
    client::{Client, Fault, Target},
    config::Config,
    far::Far,
    theme::Palette,
};

fn main() -> ExitCode {
    cli::complete::answer();
    let matches = Cli::command().get_matches();
    // The variable tells of a socket of this machine, also to `yagi ssh`.
    let named = matches.value_source("socket") == Some(ValueSource::CommandLine);
    let args = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    // One thread: the client waits for the socket or for keys, nothing else.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            complain(&Fault::own(1, format!("cannot start: {e}")));
            return ExitCode::from(1);
        }
    };
    let code = start(&runtime, args, named).unwrap_or_else(|fault| {
        complain(&fault);
        fault.exit_code()
    });
    // A thread that reads standard input cannot be ended; it must not hold us.
    runtime.shutdown_background();
    ExitCode::from(code)
}

fn start(runtime: &tokio::runtime::Runtime, mut args: Cli, named: bool) -> Result<u8, Fault> {
    let client = match args.verb.take() {
        Some(Verb::Ssh { host, args: rest }) => {
            let far = Far::new(host, args.socket.clone().filter(|_| named))?;
            args = Cli::within(&args, rest).unwrap_or_else(|e| e.exit());
            Client::at(Target::Ssh(far))
        }
        verb => {
            args.verb = verb;
            cli::client(&args)?
        }
    };
    let client = client.read_only(args.read_only);
    if args.read_only && matches!(args.verb, Some(Verb::ProxyStdio)) {
        return Err(Fault::own(2, "--read-only: proxy-stdio passes on whatever comes; say it before ssh instead"));
    }
    let out = args.out();
    match args.verb {
        Some(verb) => Ok(runtime.block_on(cli::run(&client, verb, out, args.watch))),
        None if !out.is_table() => Err(Fault::own(2, "--json and --output need a verb, such as: yagi status --json")),
        None => {
            if client.socket().is_none() {
                // Asks for passwords and tells what is wrong while the terminal is still ours.
                runtime.block_on(client.get::<yagi_api::Hello>(yagi_api::paths::HELLO))?;
            }
            Ok(open(runtime, client, &args.look, args.read_only))
        }
    }
}

/// The terminal interface.
fn open(runtime: &tokio::runtime::Runtime, client: Client, look: &Look, read_only: bool) -> u8 {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    if !std::io::stdout().is_terminal()
        || !std::io::stdin().is_terminal()
        || std::env::var("TERM").is_ok_and(|t| t == "dumb")
    {
        complain(&Fault::own(2, "the terminal interface needs a terminal; for scripts there are verbs: yagi --help"));
        return 2;
    }
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|n| std::env::var(n).ok()).find(|v| !v.is_empty());
    let unicode = locale.as_ref().is_some_and(|l| l.to_lowercase().replace('-', "").contains("utf8"));
    // There lines and blocks are often two cells wide.
    let wide = locale.is_some_and(|l| ["zh", "ja", "ko"].iter().any(|word| l.starts_with(word)));
    let linux = std::env::var("TERM").is_ok_and(|t| t == "linux");
    let config = Config::load();
    let palette = match look.theme {
        Some(ThemeName::Ansi) => Palette::Ansi,
        Some(ThemeName::Mono) => Palette::Mono,
        Some(ThemeName::Dark) => Palette::Dark,
        Some(ThemeName::Light) => Palette::Light,
        None => config.palette.unwrap_or(if set("NO_COLOR") { Palette::Mono } else { Palette::Ansi }),
    };
    let ascii = look.ascii || config.ascii.unwrap_or(!unicode || linux);
    let theme = config.theme(palette, ascii).with_plain_lines(wide);
    let mouse = look.mouse || config.mouse;
    let opening = app::Opening { theme, config, read_only, mouse };
    match runtime.block_on(app::run(client, opening)) {
        Ok(()) => 0,
        Err(e) => {
            complain(&Fault::own(1, format!("the terminal cannot be used: {e}")));
            1
        }
    }
}
