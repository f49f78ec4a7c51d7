//! The binary: reads the arguments, then runs a verb or opens the terminal interface.

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Parser;
use yagi::{
    app,
    cli::{
        self,
        args::{Cli, Look, ThemeName},
        output::{Out, complain},
    },
    client::{Client, Fault},
    socket::Surroundings,
    theme::Theme,
};

fn main() -> ExitCode {
    let args = Cli::parse();
    let client = Client::new(Surroundings::of_process(args.socket).find());
    // One thread: the client waits for the socket or for keys, nothing else.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            complain(&Fault::own(1, format!("cannot start: {e}")));
            return ExitCode::from(1);
        }
    };
    let code = match args.verb {
        Some(verb) => runtime.block_on(cli::run(&client, verb, Out { json: args.json, yes: args.yes })),
        None if args.json => {
            complain(&Fault::own(2, "--json needs a verb, such as: yagi status --json"));
            2
        }
        None => open(&runtime, client, &args.look),
    };
    ExitCode::from(code)
}

/// The terminal interface.
fn open(runtime: &tokio::runtime::Runtime, client: Client, look: &Look) -> u8 {
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
    let unicode = locale.is_some_and(|l| l.to_lowercase().replace('-', "").contains("utf8"));
    let linux = std::env::var("TERM").is_ok_and(|t| t == "linux");
    let mono = look.theme.map_or_else(|| set("NO_COLOR"), |t| t == ThemeName::Mono);
    let theme = Theme { mono, ascii: look.ascii || !unicode || linux };
    match runtime.block_on(app::run(client, theme, look.read_only)) {
        Ok(()) => 0,
        Err(e) => {
            complain(&Fault::own(1, format!("the terminal cannot be used: {e}")));
            1
        }
    }
}
