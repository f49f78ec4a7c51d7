//! The daemon's command line.
//!
//! Owns verbs and flags. Must not enter: what they do. Invariant: no secret is ever an argument.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Flags;

/// A headless IPTV daemon: one upstream fetch for any number of players.
#[derive(Debug, Parser)]
#[command(name = "yagid", version, about, args_conflicts_with_subcommands = true, after_help = EXITS)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub common: Common,
}

const EXITS: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 4 invalid configuration or file.";

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the daemon (the default).
    Run(Common),
    /// Tell what configuration is in force, or everything that is wrong with it: faults, and what cannot be had here.
    CheckConfig {
        #[command(flatten)]
        common: Common,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the admin API as an OpenAPI document.
    Openapi,
    /// Make the database, with the test card and a first viewer, and print the viewer's password.
    Init {
        #[command(flatten)]
        common: Common,
        /// Also write a configuration file that lists every key, if there is none.
        #[arg(long)]
        write_config: bool,
    },
    /// Read a playlist or guide into the database, or take in the replaced system's SQLite file (channels with their ids, categories,
    /// users, sources, settings). The daemon must not run meanwhile.
    Import {
        /// A URL or a file of a playlist or guide, which becomes a source that is fetched on schedule; or the old database.
        source: String,
        /// What it is; told by its address when absent.
        #[arg(long, value_enum)]
        kind: Option<Kind>,
        /// Of the replaced system: the old environment file.
        #[arg(long, value_name = "FILE")]
        env: Option<PathBuf>,
        /// Of the replaced system: passwords for users, as lines of name,password; others get new ones.
        #[arg(long, value_name = "CSV")]
        passwords: Option<PathBuf>,
        /// Tell what would be taken in and change nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        common: Common,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy the database into a new file, while the daemon runs or not.
    Backup {
        /// The file to make; it must not exist.
        path: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Put a copy in the place of the database, while the daemon does not run; what was there is kept beside it.
    Restore {
        /// A file that `backup` made.
        path: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Ask the running daemon whether it is well; for containers and monitors.
    Healthcheck(Common),
    /// Print a completion script.
    Completions { shell: clap_complete::Shell },
    /// Write man pages.
    Man {
        /// A directory.
        dir: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Playlist,
    Guide,
}

impl From<Kind> for yagi_api::SourceKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Playlist => Self::Playlist,
            Kind::Guide => Self::Guide,
        }
    }
}

#[derive(Clone, Debug, Default, Args)]
pub struct Common {
    /// Configuration file; it must exist.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the database and the guide.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The admin socket.
    #[arg(long, value_name = "SOCKET")]
    pub socket: Option<PathBuf>,
    /// Where players connect; may be given more than once.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Vec<String>,
    /// No test-card channel and no first viewer.
    #[arg(long)]
    pub no_demo: bool,
}

impl From<Common> for Flags {
    fn from(c: Common) -> Self {
        Self { config: c.config, state_dir: c.state_dir, socket: c.socket, listen: c.listen, no_demo: c.no_demo }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_run_is_the_default() {
        Cli::command().debug_assert();
        let bare = Cli::parse_from(["yagid", "--listen", "127.0.0.1:0", "--no-demo"]);
        assert!(bare.verb.is_none() && bare.common.no_demo);
        let run = Cli::parse_from(["yagid", "run", "--state-dir", "/x"]);
        assert!(matches!(run.verb, Some(Verb::Run(c)) if c.state_dir == Some("/x".into())));
    }
}
