//! Streams and clients: what runs now.

use serde_json::json;
use yagi_api::paths;

use super::{ask, names};
use crate::{
    keys::Action,
    model::{Choose, Mode, Model, Pick, View},
    msg::{Ask, Change, Effect, Verb},
    text::{count, printable},
};

/// Seconds that an address is blocked for.
const BLOCK_S: u32 = 600;

pub fn stream(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    let Some(row) = model.selected_stream().cloned() else { return };
    match action {
        Action::Enter => {
            model.narrow_to_stream(Some((row.id, row.name)));
            model.trail.push(View::Streams);
            model.view = View::Clients;
            model.lists[View::Clients.index()].selected = 0;
        }
        Action::Edit => match row.channel {
            Some(id) => effects.push(Effect::Fetch(Ask::Edit(View::Channels, id.0))),
            None => model.complain("this stream belongs to no channel"),
        },
        Action::Copy => effects.push(Effect::Copy { what: "the source".into(), text: row.source }),
        Action::CopyOther => choose_copy(
            model,
            vec![
                ("name", row.name.clone()),
                ("source", row.source.clone()),
                ("id", row.id.to_string()),
                ("row as JSON", json!(row).to_string()),
            ],
        ),
        Action::Failover => effects.push(Effect::Send(failover(&row))),
        Action::Urls => match row.channel {
            Some(id) => effects.push(Effect::Fetch(Ask::Viewers(id.0))),
            None => model.complain("this stream belongs to no channel"),
        },
        Action::Stop => {
            let marks = model.list().marks.clone();
            let rows: Vec<_> = if marks.is_empty() {
                vec![row]
            } else {
                model.streams.iter().filter(|s| marks.contains(&s.id)).cloned().collect()
            };
            let clients: u32 = rows.iter().map(|s| s.clients).sum();
            let stop = |s: &yagi_api::StreamRow| {
                Change::new(
                    Verb::Delete,
                    format!("{}/{}", paths::STREAMS, s.id),
                    View::Streams,
                    format!("{} stopped", s.name),
                )
            };
            let changes: Vec<Change> = rows.iter().map(stop).collect();
            let lines = if marks.is_empty() {
                vec![cut(&rows[0].name, clients)]
            } else {
                let mut lines = names(model);
                lines.push(format!("{} cut", count(clients, "client")));
                lines
            };
            let title =
                if rows.len() == 1 { "Stop the stream?".into() } else { format!("Stop {} streams?", rows.len()) };
            ask(model, title, lines, changes, rows.len());
        }
        _ => {}
    }
}

/// What a stop does, for the question.
pub fn cut(name: &str, clients: u32) -> String {
    format!("{}: {} cut", printable(name, 60), count(clients, "client"))
}

/// To the next source; the viewers stay.
pub fn failover(row: &yagi_api::StreamRow) -> Change {
    let path = format!("{}/{}/failover", paths::STREAMS, row.id);
    Change::new(Verb::Post, path, View::Streams, format!("{} moves to its next source", row.name)).body(json!({}))
}

pub fn client(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    let Some(row) = model.selected_client().cloned() else { return };
    match action {
        Action::Enter => model.mode = Mode::Detail { scroll: 0 },
        Action::Edit => match row.user {
            Some(id) => effects.push(Effect::Fetch(Ask::Edit(View::Users, id.0))),
            None => model.complain("this client has no account"),
        },
        Action::Copy => effects.push(Effect::Copy { what: "the address".into(), text: row.ip }),
        Action::CopyOther => choose_copy(
            model,
            vec![
                ("ip", row.ip.clone()),
                ("user", row.name.clone()),
                ("agent", row.agent.clone()),
                ("row as JSON", json!(row).to_string()),
            ],
        ),
        Action::Stop | Action::Block => {
            let marks = model.list().marks.clone();
            let rows: Vec<_> = if marks.is_empty() {
                vec![row]
            } else {
                model.clients.iter().filter(|c| marks.contains(&c.id.0)).cloned().collect()
            };
            let blocks = action == Action::Block;
            let (title, lines, changes) = kick(&rows, blocks);
            ask(model, title, lines, changes, rows.len());
        }
        _ => {}
    }
}

/// Kicks clients, or blocks their addresses too: title, what is hit, changes.
pub fn kick(rows: &[yagi_api::ClientRow], blocks: bool) -> (String, Vec<String>, Vec<Change>) {
    let change = |c: &yagi_api::ClientRow| {
        let path = format!("{}/{}", paths::CLIENTS, c.id);
        if blocks {
            let said = format!("{} kicked, {} blocked for 10 minutes", c.name, c.ip);
            Change::new(Verb::Post, format!("{path}/block"), View::Clients, said).body(json!({"seconds": BLOCK_S}))
        } else {
            Change::new(Verb::Delete, path, View::Clients, format!("{} kicked", c.name))
        }
    };
    const SHOWN: usize = 8;
    let line = |c: &yagi_api::ClientRow| {
        format!("{} on {} from {}", printable(&c.name, 24), printable(&c.channel_name, 24), printable(&c.ip, 40))
    };
    let mut lines: Vec<String> = rows.iter().take(SHOWN).map(line).collect();
    if rows.len() > SHOWN {
        lines.push(format!("and {} more", rows.len() - SHOWN));
    }
    if blocks {
        lines.push("These addresses are refused for 10 minutes.".into());
    }
    let what = if rows.len() == 1 { "the client".to_owned() } else { format!("{} clients", rows.len()) };
    let title = if blocks { format!("Kick {what} and block?") } else { format!("Kick {what}?") };
    (title, lines, rows.iter().map(change).collect())
}

/// Lets one of several texts be copied.
pub fn choose_copy(model: &mut Model, texts: Vec<(&str, String)>) {
    let items = texts
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(label, text)| {
            (format!("{label}: {}", crate::text::masked(&text)), Pick::Copy { what: format!("the {label}"), text })
        })
        .collect();
    model.mode = Mode::Choose(Box::new(Choose { title: "Copy".into(), items, at: 0 }));
}
