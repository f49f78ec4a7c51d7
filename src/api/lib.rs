//! The vocabulary that the daemon and its clients share.
//!
//! Serde types of the admin API, its paths, and the validation that both sides run. These types *are* the
//! domain types: the store reads rows into them, the line-up holds them, the terminal shows them.
//! Must not enter: I/O, clocks, secrets of viewers (only replies that are asked for one carry it).
//! Invariant: nothing here depends on another crate of this workspace.

pub mod access;
pub mod bulk;
pub mod category;
pub mod change;
pub mod channel;
pub mod check;
pub mod engine;
pub mod error;
pub mod event;
pub mod guide;
pub mod health;
pub mod ids;
pub mod job;
pub mod lineup;
pub mod locator;
pub mod page;
pub mod paths;
pub mod probe;
pub mod quality;
pub mod rule;
pub mod rules;
pub mod settings;
pub mod source;
pub mod status;
pub mod stream;
pub mod text;
pub mod user;

pub use access::{Block, BlockDraft, ClientBlock, Role};
pub use bulk::{
    Applied, Apply, CategoryBulk, ChannelBulk, ChannelSet, ItemError, NewPassword, Op, Operation, SourceBulk,
    SourceSet, UserBulk, UserSet,
};
pub use category::{Category, CategoryDraft, CategoryMerge, CategoryOrder, CategoryPatch};
pub use change::{ChangeItem, ChangeRow, FieldChange, UndoRequest};
pub use channel::{
    Catchup, Channel, ChannelDetail, ChannelDraft, ChannelFacts, ChannelPatch, ChannelRow, ChannelSource,
};
pub use check::{AddressCheck, Check, CheckRequest, CheckRow, Checks};
pub use engine::{EngineRow, EngineState};
pub use error::{ApiError, ErrorBody, ErrorCode};
pub use event::{Change, Event, LogRecord, Noun};
pub use guide::{Explain, ExplainGuide, GuideAccept, GuideChannel, GuideMatch, GuideStatus, Programme, Suggestion};
pub use health::{FailoverRequest, Fault, PidHealth, StreamHealth, Switch};
pub use ids::{CategoryId, ChannelId, ClientId, RuleId, SourceId, UserId};
pub use job::{Job, JobState};
pub use lineup::{Generation, Held, Lineup, LineupDone, LineupPlan, PlanChange, PlanRow, Rollback};
pub use locator::{Command, Datagrams, Locator};
pub use page::{Page, Query};
pub use probe::{DiffRow, Probe, ProbeGroup, ProbeRequest, SourceDiff};
pub use quality::Quality;
pub use rule::{Action, Condition, PreviewDone, PreviewRow, PreviewRule, Rule, RuleDraft, RulePatch, RulePreview};
pub use settings::{LagPolicy, LimitPolicy, LogoPolicy, Setting, Settings, SettingsPatch};
pub use source::{RefreshReport, RefreshState, Source, SourceDraft, SourceKind, SourceOptions, SourcePatch};
pub use status::{Backup, BackupRequest, Hello, LogFilter, Reload, ReloadedKey, Status};
pub use stream::{ClientRow, ClientState, StreamRow, StreamState};
pub use user::{NewUser, OutputFormat, PlayerFamily, User, UserDraft, UserExtend, UserPatch, UserStatus, UserUrls};
