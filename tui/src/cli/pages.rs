//! What is generated from the words of the command line: completion scripts and man pages.
//!
//! Must not enter: the words. Invariant: every verb has a page.

use std::{io, path::Path};

use clap::CommandFactory;

use super::{args::Cli, output::Out};
use crate::client::Fault;

/// The command line without what only programs say.
fn command() -> clap::Command {
    Cli::command().mut_subcommand("proxy-stdio", |c| c.hide(true))
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<(), Fault> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "yagi", &mut script);
    super::output::whole(&String::from_utf8_lossy(&script))
}

pub(super) fn man(out: Out, dir: &Path) -> Result<(), Fault> {
    let failed = |e: io::Error| Fault::own(1, format!("{}: {e}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(command(), dir).map_err(failed)?;
    out.say(format!("the man pages are in {}", dir.display()))
}
