//! The words of the command line.
//!
//! Owns what clap reads and says in its help. Must not enter: what the verbs do.
//! Invariant: passwords are never arguments (others could read them in `ps`).

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use yagi_api::OutputFormat;

/// The terminal client of yagid. Without a verb it opens the terminal interface.
#[derive(Debug, Parser)]
#[command(name = "yagi", version, about, max_term_width = 100, after_help = EXITS, disable_help_subcommand = true)]
pub struct Cli {
    /// The daemon's admin socket [default: $XDG_RUNTIME_DIR/yagid/admin.sock if it exists, else /run/yagid/admin.sock]
    #[arg(long, global = true, env = "YAGI_SOCKET", hide_env_values = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Print the rows of the API as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Do not ask before destructive verbs
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
    #[command(flatten)]
    pub look: Look,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Of the terminal interface.
#[derive(Clone, Debug, Default, Args)]
pub struct Look {
    /// Terminal interface: draw with ASCII only
    #[arg(long)]
    pub ascii: bool,
    /// Terminal interface: ansi (16 colours) or mono
    #[arg(long, value_enum)]
    pub theme: Option<ThemeName>,
    /// Terminal interface: refuse every change
    #[arg(long)]
    pub read_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ThemeName {
    Ansi,
    Mono,
}

const EXITS: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 invalid or conflict, \
                     5 daemon unreachable, 6 permission denied.";

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The daemon in one look
    Status,
    /// What is streamed now
    Streams {
        /// Print again every second (with --json: one line each second)
        #[arg(long, short)]
        watch: bool,
    },
    /// Who watches now
    Clients {
        /// Only those of this stream
        #[arg(long, value_name = "ID")]
        stream: Option<u64>,
    },
    /// Cut clients: by id, or all of a viewer or address
    Kick {
        #[arg(required = true, value_name = "ID|NAME|IP")]
        who: Vec<String>,
    },
    /// Stop streams: by id, or by the channel's name
    Stop {
        #[arg(required = true, value_name = "ID|NAME")]
        which: Vec<String>,
    },
    /// Channels
    #[command(subcommand, visible_alias = "channel")]
    Channels(ChannelVerb),
    /// Categories
    #[command(subcommand, visible_alias = "category")]
    Categories(CategoryVerb),
    /// Viewers' accounts
    #[command(subcommand, visible_alias = "user")]
    Users(UserVerb),
    /// What a viewer's player is given
    Url(UrlArgs),
    /// Playlists and guides that are fetched on a schedule
    #[command(subcommand, visible_alias = "source")]
    Sources(SourceVerb),
    /// The programme guide: its state, or the programmes of a channel
    Guide {
        #[arg(value_name = "CHANNEL")]
        channel: Option<String>,
    },
    /// Settings
    #[command(subcommand, visible_alias = "setting")]
    Settings(SettingVerb),
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
    },
    /// What happens, one JSON object a line
    Events,
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
    /// Print a completion script
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Subcommand)]
pub enum ChannelVerb {
    /// All channels, or those that match
    #[command(visible_alias = "ls")]
    List {
        /// Terms that must all match: text, !text, field:text
        filter: Vec<String>,
        /// A field's name, descending with a leading -
        #[arg(long, default_value = "", allow_hyphen_values = true)]
        sort: String,
        /// At most so many rows
        #[arg(long)]
        limit: Option<u32>,
        #[arg(long, default_value_t = 0)]
        offset: u32,
    },
    /// One channel
    Show {
        #[arg(value_name = "ID|NAME")]
        channel: String,
    },
    /// A new channel
    Add {
        name: String,
        /// Where the picture comes from, best first: http(s)://…, acestream://ID, testcard:
        #[arg(required = true, value_name = "URL")]
        sources: Vec<String>,
        #[command(flatten)]
        fields: ChannelFields,
    },
    /// Change a channel
    Edit {
        #[arg(value_name = "ID|NAME")]
        channel: String,
        #[arg(long)]
        name: Option<String>,
        /// Replaces the sources; may be given several times
        #[arg(long = "source", value_name = "URL")]
        sources: Vec<String>,
        #[command(flatten)]
        fields: ChannelFields,
        /// Show it to viewers
        #[arg(long, conflicts_with = "disabled")]
        enabled: bool,
    },
    /// Delete channels
    #[command(visible_alias = "delete")]
    Rm {
        #[arg(required = true, value_name = "ID|NAME")]
        channels: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct ChannelFields {
    /// Number on the remote control [default: the next free one]
    #[arg(long)]
    pub number: Option<u32>,
    /// Made if there is none of that name
    #[arg(long)]
    pub category: Option<String>,
    #[arg(long, value_name = "URL")]
    pub logo: Option<String>,
    /// The guide's id of the channel (tvg-id)
    #[arg(long, value_name = "ID")]
    pub guide_id: Option<String>,
    /// A request header for HTTP sources: "Name: value"; may be given several times
    #[arg(long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// Hide it from viewers
    #[arg(long)]
    pub disabled: bool,
    #[arg(long)]
    pub radio: bool,
}

#[derive(Debug, Subcommand)]
pub enum CategoryVerb {
    /// All categories
    #[command(visible_alias = "ls")]
    List,
    /// A new category
    Add {
        name: String,
        #[arg(long)]
        position: Option<u32>,
    },
    /// Change a category
    Edit {
        #[arg(value_name = "ID|NAME")]
        category: String,
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        position: Option<u32>,
    },
    /// Delete a category
    #[command(visible_alias = "delete")]
    Rm {
        #[arg(value_name = "ID|NAME")]
        category: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// All users, or those that match
    #[command(visible_alias = "ls")]
    List { filter: Vec<String> },
    /// One user
    Show { name: String },
    /// A new user; the password is generated and printed
    Add {
        name: String,
        #[command(flatten)]
        fields: UserFields,
    },
    /// Change a user
    Edit {
        name: String,
        /// A new name
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        #[command(flatten)]
        fields: UserFields,
        #[arg(long, conflicts_with = "disabled")]
        enabled: bool,
    },
    /// Give a user a new password
    Passwd {
        name: String,
        /// Read it from standard input [default: generated]
        #[arg(long)]
        password_stdin: bool,
    },
    /// Delete users
    #[command(visible_alias = "delete")]
    Rm {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Reads one output format.
fn format(word: &str) -> Result<OutputFormat, String> {
    OutputFormat::ALL.into_iter().find(|f| f.word() == word).ok_or_else(|| "expected ts or m3u8".to_owned())
}

#[derive(Debug, Args)]
pub struct UserFields {
    /// Simultaneous streams; 0: no limit
    #[arg(long, value_name = "N")]
    pub max_connections: Option<u32>,
    /// YYYY-MM-DD (from the start of that day), an RFC 3339 time, +30d or never
    #[arg(long, value_name = "DATE")]
    pub expires: Option<String>,
    #[arg(long)]
    pub disabled: bool,
    /// Formats of streams it may ask for, separated by commas: ts, m3u8
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = format)]
    pub formats: Option<Vec<OutputFormat>>,
    /// Mark it as a trial account
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub trial: Option<bool>,
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Names of the categories it may see, separated by commas; "all" for all
    #[arg(long, value_name = "A,B")]
    pub categories: Option<String>,
}

#[derive(Debug, Args)]
pub struct UrlArgs {
    pub name: String,
    /// Only the playlist's URL
    #[arg(long, group = "which")]
    pub m3u: bool,
    /// Only server, user name and password
    #[arg(long, group = "which")]
    pub xtream: bool,
    /// Only the guide's URL
    #[arg(long, group = "which")]
    pub epg: bool,
    /// Only the URL of a first stream
    #[arg(long, group = "which")]
    pub stream: bool,
    /// Address that the player reaches the daemon by
    #[arg(long, value_name = "URL")]
    pub base: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum SourceVerb {
    /// All sources
    #[command(visible_alias = "ls")]
    List,
    /// One source with its last report
    Show {
        #[arg(value_name = "ID|NAME")]
        source: String,
    },
    /// Add a playlist or guide
    Add {
        #[arg(value_name = "URL|FILE")]
        url: String,
        /// [default: guessed from the content]
        #[arg(long, value_enum)]
        kind: Option<Kind>,
        #[arg(long)]
        name: Option<String>,
        /// Between refreshes: 0 (by hand), or a number with s, m, h or d
        #[arg(long, value_name = "TIME")]
        interval: Option<String>,
        /// Wait for the first refresh
        #[arg(long)]
        wait: bool,
    },
    /// Change a source
    Edit {
        #[arg(value_name = "ID|NAME")]
        source: String,
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        url: Option<String>,
        #[arg(long, value_name = "TIME")]
        interval: Option<String>,
        #[arg(long)]
        enabled: bool,
        #[arg(long, conflicts_with = "enabled")]
        disabled: bool,
    },
    /// Fetch again now
    Refresh {
        /// All when absent
        #[arg(value_name = "ID|NAME")]
        sources: Vec<String>,
        /// Wait for the end
        #[arg(long)]
        wait: bool,
    },
    /// Delete sources
    #[command(visible_alias = "delete")]
    Rm {
        #[arg(required = true, value_name = "ID|NAME")]
        sources: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    Playlist,
    Guide,
}

#[derive(Debug, Subcommand)]
pub enum SettingVerb {
    /// All settings with their origin
    #[command(visible_alias = "ls")]
    List,
    /// One value
    Get { key: String },
    /// Change a setting of the database
    Set {
        key: String,
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
}
