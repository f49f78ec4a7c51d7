//! The words of the command line about rows: channels, categories, users, sources, guide, settings.
//!
//! Owns their verbs and flags. Must not enter: what the verbs do. Invariant: a verb that deletes or changes many rows
//! takes ids, exact names or `--filter`.

use clap::{Args, Subcommand, ValueEnum};

use super::{
    args::{Pick, Select},
    users::UserFields,
};

#[derive(Clone, Debug, Subcommand)]
pub enum ChannelVerb {
    /// All channels, or those that match
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        pick: Pick,
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
    /// Change a channel; without a flag, or for many by --filter, in $EDITOR as a table
    Edit {
        /// All channels when absent
        #[arg(value_name = "ID|NAME")]
        channel: Option<String>,
        /// Edit all channels that match these terms in $EDITOR
        #[arg(long, value_name = "TERMS", conflicts_with = "channel")]
        filter: Option<String>,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
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
    /// Show channels to viewers
    On {
        #[command(flatten)]
        which: Select,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Hide channels from viewers
    Off {
        #[command(flatten)]
        which: Select,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Put channels into a category, or behind a number
    Move {
        #[command(flatten)]
        which: Select,
        /// The category; made if there is none of that name
        #[arg(long, value_name = "NAME", required_unless_present = "number")]
        category: Option<String>,
        /// The first one gets this number, the others follow; whoever has them moves up
        #[arg(long, value_name = "N")]
        number: Option<u32>,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Number channels anew, in their present order
    Renumber {
        #[command(flatten)]
        which: Select,
        /// The first number
        #[arg(long, default_value_t = 1, value_name = "N")]
        from: u32,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete channels
    #[command(visible_alias = "delete")]
    Rm {
        #[command(flatten)]
        which: Select,
        /// Tell what would be deleted
        #[arg(long)]
        dry_run: bool,
    },
    /// Write channels as a playlist or as the table that `edit` uses
    Export {
        /// Terms that must all match
        filter: Vec<String>,
        /// As what: the playlist holds the sources' own addresses
        #[arg(long = "as", value_enum, default_value_t)]
        form: Export,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Export {
    #[default]
    M3u,
    Tsv,
}

#[derive(Clone, Debug, Args)]
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

impl Default for ChannelVerb {
    fn default() -> Self {
        Self::List { pick: Pick::default(), limit: None, offset: 0 }
    }
}

#[derive(Clone, Debug, Default, Subcommand)]
pub enum CategoryVerb {
    /// All categories
    #[default]
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
    /// Put categories in this order, before all others
    Order {
        #[arg(required = true, value_name = "ID|NAME")]
        categories: Vec<String>,
    },
    /// Move the channels of some categories into another and delete them
    Merge {
        #[arg(required = true, value_name = "ID|NAME")]
        categories: Vec<String>,
        #[arg(long, value_name = "ID|NAME")]
        into: String,
    },
    /// Delete a category
    #[command(visible_alias = "delete")]
    Rm {
        #[arg(value_name = "ID|NAME")]
        category: String,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub enum UserVerb {
    /// All users, or those that match
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        pick: Pick,
    },
    /// One user
    Show { name: String },
    /// A new user; the password is generated and printed
    Add {
        name: String,
        /// Read the password from standard input instead
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        fields: UserFields,
    },
    /// Change a user; without a flag, or for many by --filter, in $EDITOR as a table
    Edit {
        /// All users when absent
        name: Option<String>,
        /// Edit all users that match these terms in $EDITOR
        #[arg(long, value_name = "TERMS", conflicts_with = "name")]
        filter: Option<String>,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
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
    /// Let users watch
    On {
        #[command(flatten)]
        which: Select,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep users out, without deleting them
    Off {
        #[command(flatten)]
        which: Select,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Let accounts last longer
    Extend {
        #[command(flatten)]
        which: Select,
        /// How much longer, from the present end or from now if that is past: 30d, 4w; or a date, or never
        #[arg(long, default_value = "30d", value_name = "TIME")]
        by: String,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete users
    #[command(visible_alias = "delete")]
    Rm {
        #[command(flatten)]
        which: Select,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
    },
}

impl Default for UserVerb {
    fn default() -> Self {
        Self::List { pick: Pick::default() }
    }
}

#[derive(Clone, Debug, Args)]
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
    /// Only the short link of the playlist, which shows no password
    #[arg(long, group = "which")]
    pub short: bool,
    /// Only the address of the HDHomeRun tuner for Plex, Jellyfin and Emby
    #[arg(long, group = "which")]
    pub hdhr: bool,
    /// Everything there is (the default)
    #[arg(long, group = "which")]
    pub all: bool,
    /// Of this channel instead of the first that the viewer sees: id or name
    #[arg(long, value_name = "ID|NAME")]
    pub channel: Option<String>,
    /// Draw a QR code too (of the playlist, or of what was asked for)
    #[arg(long)]
    pub qr: bool,
    /// Copy it to the terminal's clipboard too (the playlist, or what was asked for)
    #[arg(long)]
    pub copy: bool,
    /// Address that the player reaches the daemon by
    #[arg(long, value_name = "URL")]
    pub base: Option<String>,
}

#[derive(Clone, Debug, Default, Subcommand)]
pub enum SourceVerb {
    /// All sources
    #[default]
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
        /// Upstreams that its channels may have at once; 0: no limit
        #[arg(long, value_name = "N")]
        max_upstreams: Option<u32>,
        /// Wait for the first refresh
        #[arg(long)]
        wait: bool,
        /// Look at it and tell what it is, but add nothing
        #[arg(long)]
        dry_run: bool,
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
        /// Upstreams that its channels may have at once; 0: no limit
        #[arg(long, value_name = "N")]
        max_upstreams: Option<u32>,
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
        /// Fetch and compare, and tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// What the last refresh changed
    Diff {
        #[arg(value_name = "ID|NAME")]
        source: String,
    },
    /// Look at a URL: what it is and how much is in it
    Probe {
        #[arg(value_name = "URL|FILE")]
        url: String,
    },
    /// Delete sources
    #[command(visible_alias = "delete")]
    Rm {
        #[arg(required = true, value_name = "ID|NAME")]
        sources: Vec<String>,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    Playlist,
    Guide,
}

#[derive(Clone, Debug, Default, Subcommand)]
pub enum SettingVerb {
    /// All settings with their origin
    #[default]
    #[command(visible_alias = "ls")]
    List,
    /// One value
    Get { key: String },
    /// Back to the default
    Reset { key: String },
    /// Change a setting of the database
    Set {
        key: String,
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
}

#[derive(Clone, Debug, Default, Subcommand)]
pub enum GuideVerb {
    /// How much there is
    #[default]
    Status,
    /// Fetch all guides again
    Refresh {
        /// Wait for the end
        #[arg(long)]
        wait: bool,
    },
    /// Channels without programmes, with suggestions
    Unmatched { filter: Vec<String> },
    /// Give channels the guide's channels that are suggested for them, or one channel the one that is named
    Match {
        #[arg(value_name = "CHANNEL")]
        channel: Option<String>,
        #[arg(value_name = "GUIDE ID", requires = "channel")]
        guide_id: Option<String>,
        /// Tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// The programmes of a channel
    Show {
        #[arg(value_name = "CHANNEL")]
        channel: String,
    },
}
