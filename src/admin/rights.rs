//! What an edit means for those who are watching.
//!
//! Owns the comparison of running streams and clients with the line-up. Must not enter: edits, streams' insides. Invariant:
//! derived anew from the snapshot each time; a client that may not watch (any more) is asked to end, others never are.

use yagi_api::{ChannelId, UserId, UserStatus};

use crate::{app::App, clock::epoch_now, library::Catalog};

/// Ends what the present line-up no longer allows. A channel that its playlist merely dropped goes on for those who watch it.
pub fn enforce(app: &App) {
    let catalog = app.library.catalog();
    let now = epoch_now();
    for row in app.seats.rows() {
        if row.user.is_some_and(|user| !may_go_on(&catalog, user, row.channel, now)) {
            app.seats.kick(row.id);
        }
    }
    let mut off: Vec<ChannelId> = app.streams.rows().iter().filter_map(|s| s.channel).collect();
    off.retain(|id| catalog.channel(*id).is_none_or(|c| !c.enabled));
    off.dedup();
    for channel in off {
        app.streams.stop_channel(channel);
    }
}

fn may_go_on(catalog: &Catalog, user: UserId, channel: Option<ChannelId>, now: i64) -> bool {
    let Some(viewer) = catalog.viewer_by_id(user) else { return false };
    viewer.status(now) == UserStatus::Active
        && channel.is_none_or(|id| catalog.channel(id).is_some_and(|c| c.enabled && viewer.sees(c.category)))
}

#[cfg(test)]
mod tests {
    use yagi_api::CategoryId;

    use super::*;
    use crate::library::sample::channel;

    #[test]
    fn only_what_the_line_up_forbids_ends() {
        let (off, kept) = (channel(1, "Off", ""), channel(2, "Kept", ""));
        let channels = [
            yagi_api::Channel { enabled: false, ..off },
            yagi_api::Channel { retired_at: Some(1), ..kept },
            yagi_api::Channel { category: CategoryId(2), ..channel(3, "Sport", "") },
        ];
        let catalog = Catalog::sample_with(&channels, &[("all", "x"), ("news", "x")], |name| {
            (name == "news").then(|| vec![CategoryId(1)])
        });
        let may = |user, channel: u32| may_go_on(&catalog, UserId(user), Some(ChannelId(channel)), 0);
        assert!(!may(1, 1), "disabled");
        assert!(may(1, 2), "retired only");
        assert!(may(1, 3) && !may(2, 3), "not of this viewer's categories");
        assert!(!may(1, 9) && !may(9, 2), "gone");
        assert!(may_go_on(&catalog, UserId(2), None, 0), "content that is no channel");
    }
}
