//! The binary: reads the arguments, then runs a verb or opens the terminal interface.

use std::process::ExitCode;

use clap::Parser;
use yagi::{
    cli::{
        self,
        args::Cli,
        output::{Out, complain},
    },
    client::{Client, Fault},
    socket::Surroundings,
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
        None => 2,
    };
    ExitCode::from(code)
}
