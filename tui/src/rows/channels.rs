//! Channels.

use serde_json::json;

use super::{bulk, delete, live::choose_copy, prompt, toggle};
use crate::{
    form::Form,
    keys::Action,
    model::{Mode, Model, Pane, PromptKind, View},
    msg::{Ask, Effect},
};

pub fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    if action == Action::New {
        let category = model.only_category.clone().unwrap_or_default();
        let mut form = Form::channel(None, &category);
        form.fields.iter_mut().find(|f| f.key == "category").into_iter().for_each(|f| f.before.clear());
        model.mode = Mode::Form(Box::new(form));
        return;
    }
    if action == Action::Enter && model.pane == Pane::Side {
        model.pane = Pane::List;
        return;
    }
    let Some(row) = model.selected_channel().cloned() else { return };
    match action {
        Action::Enter => effects.push(Effect::Fetch(Ask::Detail(row.id.0))),
        // Fetched again: lists may hide the credentials of its addresses.
        Action::Edit => effects.push(Effect::Fetch(Ask::Edit(View::Channels, row.id.0))),
        Action::Toggle => toggle(model, &row.name, row.enabled, row.id.0, row.version, effects),
        Action::Move => prompt(model, PromptKind::Move, ""),
        Action::Renumber => prompt(model, PromptKind::Renumber, row.number.to_string()),
        Action::Delete => delete(model, &row.name, "its stream stops; u brings it back"),
        Action::Copy => effects
            .extend(row.sources.first().map(|s| Effect::Copy { what: "the address".into(), text: s.url.clone() })),
        Action::CopyOther => {
            let url = row.sources.first().map(|s| s.url.clone()).unwrap_or_default();
            let texts = vec![
                ("address", url),
                ("name", row.name.clone()),
                ("guide id", row.guide_id.clone()),
                ("id", row.id.to_string()),
                ("row as JSON", json!(row).to_string()),
            ];
            choose_copy(model, texts);
        }
        _ => {}
    }
}

/// Moves the marked channels, or the selected one, to a category.
pub fn move_to(model: &Model, category: &str) -> Option<Effect> {
    let count = model.marked().max(1);
    let said = format!("{count} moved to {category}");
    Some(Effect::Send(bulk(View::Channels, &model.target()?, &json!({"set": {"category": category}}), said)))
}

/// New numbers from one on.
pub fn renumber(model: &Model, from: u32) -> Option<Effect> {
    let count = model.marked().max(1);
    let said = format!("{count} renumbered from {from}");
    Some(Effect::Send(bulk(View::Channels, &model.target()?, &json!({"renumber_from": from}), said)))
}
