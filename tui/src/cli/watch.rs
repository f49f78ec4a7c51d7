//! `--watch`: a list that is printed again whenever something in it changed.
//!
//! Owns which verbs can be watched and what stirs them. Must not enter: tables. Invariant: it ends with an error when the daemon
//! goes, so that a script notices.

use std::time::Duration;

use yagi_api::{Event, Noun};

use super::{
    args::{CategoryVerb, ChannelVerb, GuideVerb, SettingVerb, SourceVerb, UserVerb, Verb},
    blocks::BlockVerb,
    jobs::JobVerb,
    lineup::{LineupVerb, RuleVerb},
    output::Out,
};
use crate::{
    client::{Client, Fault},
    when,
};

/// Changes come in bursts: one print for all of them.
const BURST: Duration = Duration::from_millis(300);

/// Prints a list, and again after each change, until somebody ends it.
pub(super) async fn run(client: &Client, verb: Verb, out: Out) -> Result<(), Fault> {
    let Some(stirs) = stirs(&verb) else {
        return Err(Fault::own(2, "--watch is for verbs that list or show: streams, channels, users, jobs, ..."));
    };
    let (mut events, out) = (client.events().await?, out.for_watch());
    loop {
        out.say(when::clock(when::now()))?;
        super::once(client, verb.clone(), out).await?;
        out.say("")?;
        let mut event = events.next().await?;
        while !stirs.by(&event) {
            event = events.next().await?;
        }
        if !matches!(event, Event::Tick { .. }) {
            tokio::time::sleep(BURST).await;
        }
    }
}

/// What makes a list another.
struct Stirs {
    /// The figures of each second.
    ticks: bool,
    jobs: bool,
    nouns: &'static [Noun],
}

impl Stirs {
    fn by(&self, event: &Event) -> bool {
        match event {
            Event::Tick { .. } => self.ticks,
            Event::Job { .. } => self.jobs,
            Event::Change { noun, .. } => self.nouns.contains(noun),
            Event::Resync => true,
            _ => false,
        }
    }
}

fn stirs(verb: &Verb) -> Option<Stirs> {
    let figures = Stirs { ticks: true, jobs: false, nouns: &[] };
    let changes = |nouns| Stirs { ticks: false, jobs: false, nouns };
    let work = |nouns| Stirs { ticks: false, jobs: true, nouns };
    const ALL: &[Noun] =
        &[Noun::Channels, Noun::Categories, Noun::Users, Noun::Sources, Noun::Settings, Noun::Rules, Noun::Lineup];
    Some(match verb {
        Verb::Status | Verb::Streams { verb: None, .. } | Verb::Clients { .. } | Verb::Engines => figures,
        Verb::Channels(noun) => match &noun.verb {
            None | Some(ChannelVerb::List { .. } | ChannelVerb::Show { .. }) => {
                work(&[Noun::Channels, Noun::Categories, Noun::Guide])
            }
            Some(_) => return None,
        },
        Verb::Categories(noun) => match &noun.verb {
            None | Some(CategoryVerb::List) => changes(&[Noun::Channels, Noun::Categories]),
            Some(_) => return None,
        },
        // Who watches is a figure.
        Verb::Users(noun) => match &noun.verb {
            None | Some(UserVerb::List { .. } | UserVerb::Show { .. }) => figures,
            Some(_) => return None,
        },
        Verb::Sources(noun) => match &noun.verb {
            None | Some(SourceVerb::List | SourceVerb::Show { .. }) => work(&[Noun::Sources]),
            Some(_) => return None,
        },
        Verb::Jobs(noun) => match &noun.verb {
            None | Some(JobVerb::List) => work(&[]),
            Some(_) => return None,
        },
        Verb::Blocks(noun) => match &noun.verb {
            None | Some(BlockVerb::List) => changes(&[Noun::Blocks]),
            Some(_) => return None,
        },
        Verb::Lineup(noun) => match &noun.verb {
            None | Some(LineupVerb::List) => changes(&[Noun::Lineup, Noun::Sources]),
            Some(_) => return None,
        },
        Verb::Rules(noun) => match &noun.verb {
            None | Some(RuleVerb::List) => changes(&[Noun::Rules]),
            Some(_) => return None,
        },
        Verb::Settings(noun) => match &noun.verb {
            None | Some(SettingVerb::List | SettingVerb::Get { .. }) => changes(&[Noun::Settings]),
            Some(_) => return None,
        },
        Verb::Epg(noun) => match &noun.verb {
            None | Some(GuideVerb::Status | GuideVerb::Unmatched { .. } | GuideVerb::Show { .. }) => {
                changes(&[Noun::Guide, Noun::Channels])
            }
            Some(_) => return None,
        },
        Verb::Guide { .. } => changes(&[Noun::Guide, Noun::Channels]),
        Verb::Check { list: true, .. } => work(&[]),
        Verb::Changes { .. } => changes(ALL),
        _ => return None,
    })
}
