//! Identifiers. All are SQLite rowids or process-wide counters, below 2^31 because Xtream clients read them as int32.

use std::{fmt, num::ParseIntError, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    };
}

id!(/// A channel; the `stream_id` of Xtream. Never reused, never renumbered by a refresh.
    ChannelId, u32);
id!(/// A category; the `category_id` of Xtream.
    CategoryId, u32);
id!(/// A viewer's account.
    UserId, u32);
id!(/// A playlist or guide that is fetched on a schedule.
    SourceId, u32);
id!(/// A rule that entries of playlists pass.
    RuleId, u32);
id!(/// One connection that holds a seat; unique while the daemon runs.
    ClientId, u64);
