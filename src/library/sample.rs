//! Snapshots for the unit tests of rooms that only read them.
//!
//! Must not enter: the store. Invariant: built by the same function as real ones.

use std::sync::Arc;

use yagi_api::{Category, CategoryId, Channel, ChannelId, ChannelSource, OutputFormat, User, UserId};

use super::{Catalog, Viewer, catalog::Parts};
use crate::secret::Secret;

/// A channel in category 1 and its number as id.
pub(crate) fn channel(id: u32, name: &str, guide_id: &str) -> Channel {
    Channel {
        id: ChannelId(id),
        version: 1,
        number: id,
        name: name.to_owned(),
        category: CategoryId(1),
        logo: String::new(),
        guide_id: guide_id.to_owned(),
        sources: vec![ChannelSource { url: "http://origin.example/1.ts".to_owned(), headers: Vec::new() }],
        enabled: true,
        radio: false,
        catchup: None,
        added_at: 1_767_225_600,
        origin: None,
        retired_at: None,
        merge_key: String::new(),
        merged_into: None,
        guide_shift_min: 0,
    }
}

impl Catalog {
    /// Categories "News" (1) and "Sport" (2); viewers with ids from 1, who see everything.
    pub(crate) fn sample(channels: &[Channel], viewers: &[(&str, &str)]) -> Self {
        Self::sample_with(channels, viewers, |_| None)
    }

    /// The same; `allowed` tells which categories a viewer sees.
    pub(crate) fn sample_with(
        channels: &[Channel],
        viewers: &[(&str, &str)],
        allowed: impl Fn(&str) -> Option<Vec<CategoryId>>,
    ) -> Self {
        let category = |id: u32, name: &str| Category {
            id: CategoryId(id),
            version: 1,
            name: name.to_owned(),
            position: id,
            channels: 0,
        };
        let viewer = |id: u32, name: &str, password: &str| Viewer {
            user: User {
                id: UserId(id),
                version: 1,
                name: name.to_owned(),
                enabled: true,
                expires_at: None,
                trial: false,
                max_connections: 1,
                formats: OutputFormat::ALL.to_vec(),
                categories: allowed(name).map(|ids| ids.iter().map(|c| format!("category {c}")).collect()),
                note: String::new(),
                player: yagi_api::PlayerFamily::Auto,
                created_at: 1_767_225_600,
                active: 0,
                last_seen: None,
                last_agent: String::new(),
                last_ip: String::new(),
            },
            password: Secret::new(password),
            token: Some(Secret::new(format!("token-of-{name}"))),
            allowed: allowed(name).map(Into::into),
        };
        Self::build(Parts {
            rev: 1,
            edition: 1,
            edited_at: 1_767_225_600,
            channels: channels.iter().cloned().map(Arc::new).collect(),
            categories: vec![category(1, "News"), category(2, "Sport")],
            viewers: (1..)
                .zip(viewers)
                .map(|(id, (name, password))| (UserId(id), Arc::new(viewer(id, name, password))))
                .collect(),
            sources: Box::default(),
            validators: Default::default(),
            settings: Arc::default(),
            set_keys: Arc::default(),
            rules: Box::default(),
            lineups: Arc::default(),
            taught: Box::default(),
            by_hand: Default::default(),
        })
    }
}
