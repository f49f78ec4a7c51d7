//! Channels with one merge key as one channel.
//!
//! Owns who leads and in what order the sources stand. Must not enter: keys (rules give them), SQL. Invariant: derived for each
//! snapshot from stored rows and never stored, so that it ends with its cause; the leader's id and number do not depend on which
//! of its members are listed just now.

use std::{collections::HashMap, sync::Arc};

use yagi_api::{Channel, Quality, SourceId};

use super::rules::MAX_SOURCES;

/// The channels as viewers see them: leaders with the sources of their group, the others hidden behind them.
pub fn merged(mut channels: Box<[Arc<Channel>]>, priority: impl Fn(SourceId) -> u32) -> Box<[Arc<Channel>]> {
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, channel) in channels.iter().enumerate() {
        if !channel.merge_key.is_empty() && channel.enabled {
            groups.entry(channel.merge_key.clone()).or_default().push(index);
        }
    }
    for mut group in groups.into_values().filter(|g| g.len() > 1) {
        // The oldest row leads, also while its own playlist does not list it: favourites and recordings know its id.
        group.sort_unstable_by_key(|i| channels[*i].id);
        let leader = group[0];
        let mut listed: Vec<usize> = group.iter().copied().filter(|i| channels[*i].retired_at.is_none()).collect();
        if listed.is_empty() {
            continue;
        }
        listed.sort_by_key(|i| {
            let c = &channels[*i];
            (std::cmp::Reverse(Quality::of(&c.name).rank()), c.origin.map_or(0, &priority), c.id)
        });
        let mut sources = Vec::new();
        for source in listed.iter().flat_map(|i| &channels[*i].sources) {
            if sources.len() < MAX_SOURCES && !sources.contains(source) {
                sources.push(source.clone());
            }
        }
        let id = channels[leader].id;
        channels[leader] = Arc::new(Channel { sources, retired_at: None, ..(*channels[leader]).clone() });
        for other in &group[1..] {
            channels[*other] = Arc::new(Channel { merged_into: Some(id), ..(*channels[*other]).clone() });
        }
    }
    channels
}

#[cfg(test)]
mod tests {
    use yagi_api::ChannelSource;

    use super::*;
    use crate::library::sample;

    fn row(id: u32, name: &str, key: &str, origin: u32) -> Channel {
        Channel {
            merge_key: key.into(),
            origin: Some(SourceId(origin)),
            sources: vec![ChannelSource { url: format!("http://h/{id}"), headers: Vec::new() }],
            ..sample::channel(id, name, "")
        }
    }

    fn all(rows: Vec<Channel>) -> Box<[Arc<Channel>]> {
        // Playlist 9 goes before the others.
        merged(rows.into_iter().map(Arc::new).collect(), |s| if s.0 == 9 { 1 } else { 100 })
    }

    fn urls(c: &Channel) -> Vec<&str> {
        c.sources.iter().map(|s| s.url.rsplit('/').next().unwrap()).collect()
    }

    #[test]
    fn one_channel_with_the_best_picture_first() {
        let rows = all(vec![row(1, "A", "a", 1), row(2, "A FHD", "a", 2), row(3, "A FHD", "a", 9), row(4, "B", "", 1)]);
        assert_eq!(urls(&rows[0]), ["3", "2", "1"]);
        assert_eq!(rows.iter().map(|c| c.is_listed()).collect::<Vec<_>>(), [true, false, false, true]);
        assert_eq!(rows[1].merged_into, Some(rows[0].id));
    }

    #[test]
    fn the_leader_stays_when_its_own_playlist_drops_it() {
        let gone = Channel { retired_at: Some(5), ..row(1, "A", "a", 1) };
        let rows = all(vec![gone.clone(), row(2, "A", "a", 2)]);
        assert!(rows[0].is_listed() && !rows[1].is_listed());
        assert_eq!(urls(&rows[0]), ["2"]);
        // Nobody lists it: it is gone as a whole.
        let rows = all(vec![gone.clone(), Channel { retired_at: Some(5), ..row(2, "A", "a", 2) }]);
        assert!(rows.iter().all(|c| !c.is_listed()));
        // A disabled one leaves the group.
        let rows = all(vec![Channel { enabled: false, ..row(1, "A", "a", 1) }, row(2, "A", "a", 2)]);
        assert!(!rows[0].is_listed() && rows[1].is_listed());
    }
}
