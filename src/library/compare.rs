//! What an import would change, without changing it.
//!
//! Owns the words of a plan's rows. Must not enter: texts, thresholds. Invariant: fields that an administrator edited count as
//! unchanged, because an import leaves them alone.

use yagi_api::{ChannelId, LineupPlan, PlanChange, PlanRow};

use super::{
    Answer, Library,
    channels::edited,
    edit::Edit,
    merge::{Entry, Place},
};

/// Rows that a plan shows.
const MAX_ROWS: usize = 1000;

impl Library {
    /// Adds what these entries would change. From a thread that may block.
    pub fn compare(&self, entries: Vec<(Place, Entry)>, plan: &mut LineupPlan) -> Answer<()> {
        // On the writer's thread, because it knows which fields were edited.
        let rows: Vec<PlanRow> = self.write_blocking("plan", move |edit| {
            Ok(entries.into_iter().filter_map(|(place, entry)| compare(edit, place, entry)).collect())
        })?;
        rows.into_iter().for_each(|row| count(plan, row));
        Ok(())
    }

    /// Adds the channels that would be retired.
    pub fn compare_gone(&self, gone: &[ChannelId], plan: &mut LineupPlan) {
        let catalog = self.catalog();
        for channel in gone.iter().filter_map(|id| catalog.channel(*id)) {
            let row = PlanRow {
                changes: vec![PlanChange::Removed],
                id: Some(channel.id),
                number: Some(channel.number),
                before: channel.name.clone(),
                after: String::new(),
                group_before: catalog.category_name(channel).to_owned(),
                group_after: String::new(),
            };
            count(plan, row);
        }
    }
}

fn count(plan: &mut LineupPlan, row: PlanRow) {
    for change in &row.changes {
        let counter = match change {
            PlanChange::Added => &mut plan.added,
            PlanChange::Removed => &mut plan.removed,
            PlanChange::Moved => &mut plan.moved,
            PlanChange::Renamed => &mut plan.renamed,
            PlanChange::Resourced => &mut plan.resourced,
            PlanChange::Touched => &mut plan.touched,
        };
        *counter += 1;
    }
    if plan.rows.len() < MAX_ROWS {
        plan.rows.push(row);
    }
}

fn compare(edit: &Edit<'_>, place: Place, entry: Entry) -> Option<PlanRow> {
    let group_after = if entry.category.is_empty() { "Uncategorised".to_owned() } else { entry.category.clone() };
    let (Place::Same(id) | Place::Moved(id)) = place else {
        return Some(PlanRow {
            changes: vec![PlanChange::Added],
            id: None,
            number: (entry.number > 0).then_some(entry.number),
            before: String::new(),
            after: entry.name,
            group_before: String::new(),
            group_after,
        });
    };
    let row = edit.state().channel(id)?;
    let (old, keeps) = (&row.channel, |bit: u16| row.edited & bit != 0);
    let group_before = edit.state().categories.get(&old.category).map(|c| c.name.clone()).unwrap_or_default();
    // "Uncategorised" may be called otherwise by now.
    let regrouped = !keeps(edited::CATEGORY)
        && group_before != group_after
        && !(entry.category.is_empty() && old.category == crate::store::categories::UNCATEGORISED);
    let renumbered = !keeps(edited::NUMBER) && entry.block.is_some_and(|(from, to)| !(from..=to).contains(&old.number));
    let renamed = !keeps(edited::NAME) && old.name != entry.name;
    let resourced = !keeps(edited::SOURCES) && old.sources != entry.sources;
    let touched = (!keeps(edited::LOGO) && old.logo != entry.logo)
        || (!keeps(edited::GUIDE_ID) && old.guide_id != entry.guide_id)
        || (!keeps(edited::RADIO) && old.radio != entry.radio)
        || (!keeps(edited::SHIFT) && old.guide_shift_min != entry.shift_min)
        || old.catchup != entry.catchup
        || old.merge_key != entry.merge_key;
    let changes: Vec<PlanChange> = [
        (old.retired_at.is_some(), PlanChange::Added),
        (renamed, PlanChange::Renamed),
        (regrouped || renumbered, PlanChange::Moved),
        (resourced, PlanChange::Resourced),
        (touched, PlanChange::Touched),
    ]
    .into_iter()
    .filter_map(|(is, change)| is.then_some(change))
    .collect();
    if changes.is_empty() {
        return None;
    }
    Some(PlanRow {
        changes,
        id: Some(id),
        number: Some(old.number),
        before: old.name.clone(),
        after: if keeps(edited::NAME) { old.name.clone() } else { entry.name },
        group_after: if keeps(edited::CATEGORY) { group_before.clone() } else { group_after },
        group_before,
    })
}
