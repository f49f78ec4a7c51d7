//! What is generated from the words of the command line: completion scripts and man pages.
//!
//! Must not enter: the words. Invariant: every verb has a page.

use std::{io, path::Path};

use super::{complete::command, output::Out};
use crate::client::Fault;

/// Scripts that ask this program for what fits, names of rows among it; or one that knows the words alone.
pub(super) fn completions(shell: clap_complete::Shell, fixed: bool) -> Result<(), Fault> {
    let mut script = Vec::new();
    let name = shell.to_string();
    let shells = clap_complete::env::Shells::builtins();
    match shells.completer(&name).filter(|_| !fixed) {
        Some(asking) => asking
            .write_registration("COMPLETE", "yagi", "yagi", "yagi", &mut script)
            .map_err(|e| Fault::own(1, format!("the script: {e}")))?,
        None => clap_complete::generate(shell, &mut command(), "yagi", &mut script),
    }
    super::output::whole(&String::from_utf8_lossy(&script))
}

pub(super) fn man(out: Out, dir: &Path) -> Result<(), Fault> {
    let failed = |e: io::Error| Fault::own(1, format!("{}: {e}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(command(), dir).map_err(failed)?;
    out.say(format!("the man pages are in {}", dir.display()))
}
