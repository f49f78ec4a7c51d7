//! The words of the command line.
//!
//! Owns what clap reads and says in its help. Must not enter: what the verbs do.
//! Invariant: passwords are never arguments (others could read them in `ps`).

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, parser::ValueSource};

pub use super::nouns::{
    CategoryVerb, ChannelFields, ChannelVerb, Export, GuideVerb, Kind, SettingVerb, SourceVerb, UrlArgs, UserVerb,
};
use super::{
    blocks::BlockVerb,
    jobs::JobVerb,
    lineup::{LineupVerb, RuleVerb},
    output::Format,
};

/// The terminal client of yagid. Without a verb it opens the terminal interface.
#[derive(Debug, Parser)]
#[command(name = "yagi", version, about, max_term_width = 100, after_help = EXITS, disable_help_subcommand = true)]
pub struct Cli {
    /// The daemon's admin socket [default: $XDG_RUNTIME_DIR/yagid/admin.sock if it exists, else /run/yagid/admin.sock]
    #[arg(long, global = true, env = "YAGI_SOCKET", hide_env_values = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The daemon's TCP listener instead, such as http://127.0.0.1:9466; needs a token
    #[arg(
        long,
        global = true,
        env = "YAGI_HOST",
        hide_env_values = true,
        value_name = "URL",
        conflicts_with = "socket"
    )]
    pub host: Option<String>,
    /// File that holds the token for --host [default: $YAGI_TOKEN]
    #[arg(long, global = true, env = "YAGI_TOKEN_FILE", hide_env_values = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How rows are printed
    #[arg(short = 'o', long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,
    /// The same as --output json
    #[arg(long, global = true, conflicts_with = "output")]
    pub json: bool,
    /// No heading above tables and CSV
    #[arg(long, global = true)]
    pub no_headers: bool,
    /// Of lists: go on printing, whenever something changes (one JSON object a line when not on a terminal)
    #[arg(long, short, global = true)]
    pub watch: bool,
    /// Do not ask before destructive verbs
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
    /// Refuse every change, of verbs and in the terminal interface
    #[arg(long, global = true)]
    pub read_only: bool,
    #[command(flatten)]
    pub look: Look,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

impl Cli {
    /// The command line behind `yagi ssh HOST`: flags before it hold for it too, where it says nothing else.
    ///
    /// # Errors
    /// As clap's; help and version are errors to it.
    pub fn within(outer: &Self, words: impl IntoIterator<Item = String>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(std::iter::once("yagi".to_owned()).chain(words))?;
        let mut args = Self::from_arg_matches(&matches)?;
        if !args.json && matches.value_source("output") != Some(ValueSource::CommandLine) {
            (args.output, args.json) = (outer.output, outer.json);
        }
        args.no_headers |= outer.no_headers;
        args.yes |= outer.yes;
        args.watch |= outer.watch;
        args.read_only |= outer.read_only;
        args.look.ascii |= outer.look.ascii;
        args.look.mouse |= outer.look.mouse;
        args.look.theme = args.look.theme.or(outer.look.theme);
        Ok(args)
    }
}

/// Of the terminal interface.
#[derive(Clone, Debug, Default, Args)]
pub struct Look {
    /// Terminal interface: draw with ASCII only
    #[arg(long)]
    pub ascii: bool,
    /// Terminal interface: ansi (16 colours), mono, dark or light (256 colours)
    #[arg(long, value_enum)]
    pub theme: Option<ThemeName>,
    /// Terminal interface: the mouse selects, sorts and scrolls
    #[arg(long)]
    pub mouse: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ThemeName {
    Ansi,
    Mono,
    Dark,
    Light,
}

const EXITS: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 invalid or conflict, \
                     5 daemon unreachable, 6 permission denied.";

#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// The daemon in one look
    Status,
    /// What is streamed now
    #[command(visible_alias = "stream", args_conflicts_with_subcommands = true)]
    Streams {
        #[command(subcommand)]
        verb: Option<StreamVerb>,
        #[command(flatten)]
        pick: Pick,
    },
    /// Who watches now
    Clients {
        #[command(flatten)]
        pick: Pick,
        /// Only those of this stream
        #[arg(long, value_name = "ID")]
        stream: Option<u64>,
    },
    /// Cut clients: by id, or all of a viewer or address
    Kick {
        #[arg(required_unless_present = "filter", value_name = "ID|NAME|IP")]
        who: Vec<String>,
        /// All clients that match these terms
        #[arg(long, value_name = "TERMS")]
        filter: Option<String>,
        /// And keep their address away for this long
        #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "10m", require_equals = true)]
        block: Option<String>,
    },
    /// Addresses that are refused on every public path
    #[command(visible_alias = "block")]
    Blocks(Noun<BlockVerb>),
    /// Stop streams: by id, or by the channel's name
    Stop {
        #[arg(required_unless_present = "filter", value_name = "ID|NAME")]
        which: Vec<String>,
        /// All streams that match these terms
        #[arg(long, value_name = "TERMS")]
        filter: Option<String>,
    },
    /// Channels; without a verb their list, as of every noun
    #[command(visible_alias = "channel")]
    Channels(Noun<ChannelVerb>),
    /// Categories
    #[command(visible_alias = "category")]
    Categories(Noun<CategoryVerb>),
    /// Viewers' accounts
    #[command(visible_alias = "user")]
    Users(Noun<UserVerb>),
    /// What a viewer's player is given
    Url(UrlArgs),
    /// Playlists and guides that are fetched on a schedule
    #[command(visible_alias = "source")]
    Sources(Noun<SourceVerb>),
    /// Refreshes that wait, run, or ended a while ago
    #[command(visible_alias = "job")]
    Jobs(Noun<JobVerb>),
    /// The AceStream engines
    Engines,
    /// What refreshes made of playlists' channels: plan, accept, roll back
    Lineup(Noun<LineupVerb>),
    /// Rules that playlists' entries pass on their way to channels
    #[command(visible_alias = "rule")]
    Rules(Noun<RuleVerb>),
    /// Where a channel and its programmes come from, and why
    Explain {
        /// Id or name of the channel
        channel: String,
    },
    /// Check whether channels' pictures come, and what they are
    Check {
        /// Only channels that match these terms
        filter: Vec<String>,
        /// Every address of a channel, not only the first
        #[arg(long, conflicts_with = "list")]
        all: bool,
        /// Wait for the end, telling how far it is
        #[arg(long, conflicts_with = "list")]
        wait: bool,
        /// Show what was found
        #[arg(long, short)]
        list: bool,
        /// Forget the checks that wait
        #[arg(long, conflicts_with_all = ["list", "wait", "all"])]
        cancel: bool,
    },
    /// The programme guide: its state, its channels, and what belongs to what
    Epg(Noun<GuideVerb>),
    /// The programme guide: its state, or the programmes of a channel
    Guide {
        #[arg(value_name = "CHANNEL")]
        channel: Option<String>,
    },
    /// Settings
    #[command(visible_alias = "setting")]
    Settings(Noun<SettingVerb>),
    /// The daemon's log
    Logs {
        /// Go on printing
        #[arg(long, short)]
        follow: bool,
        /// How many lines
        #[arg(short, default_value_t = 200)]
        n: u32,
        /// This and worse
        #[arg(long, value_parser = ["error", "warn", "info", "debug", "trace"])]
        level: Option<String>,
        /// Not older than: 90s, 15m, 2h, 1d, or an RFC 3339 time
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only lines with this text
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
    },
    /// What happens, one JSON object a line
    Events {
        /// Only these, separated by commas: tick, change, log, job, heartbeat; or of channels, categories, users, sources,
        /// settings, guide, rules, lineup, blocks
        #[arg(long, value_delimiter = ',', value_name = "A,B")]
        topics: Vec<String>,
    },
    /// Read the daemon's configuration file again; what needs a restart is told
    Reload,
    /// A copy of the database, made by the daemon on its machine
    Backup {
        /// Where; a directory of the daemon's machine or a new file [default: the state directory's backups]
        path: Option<PathBuf>,
    },
    /// Who changed what, newest first
    Changes {
        filter: Vec<String>,
        #[arg(long, short, default_value_t = 50)]
        n: u32,
    },
    /// Take back a change
    Undo {
        /// [default: your last one]
        id: Option<u64>,
        /// Tell what would be taken back
        #[arg(long)]
        dry_run: bool,
    },
    /// Make a change again that was taken back
    Redo {
        /// [default: your last undo]
        id: Option<u64>,
    },
    /// Any request of the API; prints the answer as it is
    Api {
        /// GET, POST, PATCH or DELETE
        method: String,
        /// Such as /api/status
        path: String,
        /// JSON to send, or - to read it from standard input
        #[arg(short = 'd', long, value_name = "JSON")]
        data: Option<String>,
    },
    /// The same program here, for the daemon of another machine: yagi ssh tv1 [VERB …]
    Ssh {
        /// HOST, USER@HOST or ssh://USER@HOST:PORT; yagi must be installed there
        host: String,
        /// A verb with its arguments; none: the terminal interface
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "VERB")]
        args: Vec<String>,
    },
    /// The far end of `yagi ssh`: the socket on standard input and output
    ProxyStdio,
    /// Print a completion script; it asks the daemon for names of channels, users and so on
    Completions {
        shell: clap_complete::Shell,
        /// One that knows the words of the command line alone
        #[arg(long = "static")]
        fixed: bool,
    },
    /// Write man pages
    Man {
        /// A directory
        dir: PathBuf,
    },
}

/// A noun: with one of its verbs, or its list.
#[derive(Clone, Debug, Args)]
pub struct Noun<V: Subcommand> {
    #[command(subcommand)]
    pub verb: Option<V>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum StreamVerb {
    /// Move a stream to its next source; its viewers stay
    Failover {
        /// The stream's id, or the channel's name
        #[arg(value_name = "ID|NAME")]
        stream: String,
        /// To this source of the channel's list, from 1 on
        #[arg(long, value_name = "N")]
        to: Option<u32>,
    },
}

/// Which rows, and in which order.
#[derive(Clone, Debug, Default, Args)]
pub struct Pick {
    /// Terms that must all match: text, !text, field:text, field:>=5
    pub filter: Vec<String>,
    /// A field's name, descending with a leading -
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub sort: String,
}

impl Pick {
    /// The encoded query of a list.
    #[must_use]
    pub fn query(&self) -> String {
        let encode = crate::client::encode;
        format!("q={}&sort={}", encode(&self.filter.join(" ")), encode(&self.sort))
    }
}

/// Which rows a change is about.
#[derive(Clone, Debug, Args)]
pub struct Select {
    #[arg(required_unless_present = "filter", value_name = "ID|NAME")]
    pub rows: Vec<String>,
    /// All rows that match these terms
    #[arg(long, value_name = "TERMS", conflicts_with = "rows")]
    pub filter: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_before_ssh_hold_behind_it() {
        let outer = ["yagi", "--read-only", "-o", "csv", "--no-headers", "--theme", "mono", "--mouse", "ssh", "tv1"];
        let outer = Cli::parse_from(outer);
        let within = |words: &[&str]| Cli::within(&outer, words.iter().map(|w| (*w).to_owned())).unwrap();
        let args = within(&["users"]);
        assert!(args.read_only && args.no_headers && args.look.mouse && args.output == Format::Csv);
        assert_eq!(args.look.theme, Some(ThemeName::Mono));
        let args = within(&["users", "-o", "table"]);
        assert!(args.output == Format::Table && !args.json, "what is said behind it counts");
        assert!(within(&["--json", "status"]).json);
    }
}
