//! Lists without a view of their own: addresses that are refused, rules, line-ups, jobs, engines, the trail.
//!
//! Owns what their rows say and what Enter does with one. Must not enter: fetching. Invariant: what cannot be taken back, or hits
//! viewers, asks first.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use yagi_api::{Block, ChangeRow, EngineRow, Job, Lineup, Rule, paths};

use crate::{
    cli::{jobs::work, noun_word, report},
    client::{encode, row},
    model::{Choose, Mode, Model, Pick, View},
    msg::{Aside, Change, Verb},
    text::printable,
    when,
};

type Items = Vec<(String, Pick)>;

/// Shows what was fetched.
pub fn show(model: &mut Model, aside: Aside, found: Value) {
    let now = model.now;
    let (title, items) = match aside {
        Aside::Blocks => ("Refused addresses: Enter lets one in again", rows(found, |b| block(b, now))),
        Aside::Rules => ("Rules: Enter switches one on or off", rows(found, rule)),
        Aside::Lineup => {
            let all = rows::<Lineup, _>(found, lineup).map(|all| all.into_iter().flatten().collect());
            ("Line-ups: Enter accepts, or goes back", all)
        }
        Aside::Jobs => ("Jobs: Enter cancels one", rows(found, |j| job(j, now))),
        Aside::Engines => ("Engines", rows(found, engine)),
        Aside::Changes => ("Changes: Enter takes a step back", rows(found, step)),
    };
    match items {
        Ok(items) if items.is_empty() => model.say(format!("there are no {} now", aside.word())),
        Ok(items) => model.mode = Mode::Choose(Box::new(Choose { title: title.into(), items, at: 0 })),
        Err(e) => model.complain(format!("the daemon's {} were not understood: {e}", aside.word())),
    }
}

fn rows<T: DeserializeOwned, R>(found: Value, row: impl Fn(T) -> R) -> Result<Vec<R>, serde_json::Error> {
    Ok(serde_json::from_value::<Vec<T>>(found)?.into_iter().map(row).collect())
}

fn block(b: Block, now: i64) -> (String, Pick) {
    let path = format!("{}/{}", paths::BLOCKS, encode(&b.ip));
    let mut change = Change::new(Verb::Delete, path, View::Clients, format!("{} is let in again", b.ip)).for_good();
    // It takes nothing away from anybody.
    change.destructive = false;
    let left = when::span((b.until - now).max(0));
    let why = if b.reason.is_empty() { String::new() } else { format!(": {}", b.reason) };
    (format!("{}  {left} left, {} refused, by {}{why}", b.ip, b.refused, b.actor), Pick::Send(change))
}

fn rule(r: Rule) -> (String, Pick) {
    let (state, next) = if r.enabled { ("on ", "off") } else { ("off", "on") };
    let path = format!("{}/{}", paths::RULES, r.id);
    let change = Change::new(Verb::Patch, path, View::Channels, format!("rule {} is {next} and runs now", r.name))
        .body(json!({"enabled": !r.enabled, "version": r.version}));
    let of = r.source.map_or_else(|| "all playlists".to_owned(), |s| format!("playlist {s}"));
    (format!("{state} {:>4}  {}: {} in {of}", r.position, r.name, r.then.word()), Pick::Send(change))
}

fn lineup(l: Lineup) -> Items {
    let path = |verb: &str| format!("{}/{verb}", row(paths::LINEUP, l.source));
    let mut items = Items::new();
    if let Some(held) = &l.held {
        let change = Change::new(Verb::Post, path("accept"), View::Channels, format!("{}: accepted", l.name))
            .body(json!({}))
            .for_good();
        let lines = vec![
            held.reason.clone(),
            "yagi lineup plan tells what it would change.".to_owned(),
            "u does not take a refresh back: a generation in this list does.".to_owned(),
        ];
        let pick = Pick::Ask(format!("Apply the list of {} that is held back?", printable(&l.name, 40)), lines, change);
        items.push((format!("{}: HELD BACK, {}", l.name, held.reason), pick));
    }
    for g in &l.generations {
        let text = format!(
            "{} {}: {}, {} channels, +{} ~{} -{}, {}",
            l.name,
            g.number,
            g.cause,
            g.listed,
            g.added,
            g.changed,
            g.retired,
            when::minute(g.at)
        );
        if g.number == l.generation {
            items.push((format!("{text}  (present)"), Pick::Nothing));
            continue;
        }
        let said = format!("{}: back to generation {}", l.name, g.number);
        let change = Change::new(Verb::Post, path("rollback"), View::Channels, said).body(json!({"to": g.number}));
        let title = format!("Go back to generation {} of {}?", g.number, printable(&l.name, 40));
        let lines = vec![
            "Ids, numbers, names and addresses become what they were.".to_owned(),
            "Fields that were edited by hand stay.".to_owned(),
            "It is a generation itself; u takes it back until the next refresh.".to_owned(),
        ];
        items.push((text, Pick::Ask(title, lines, change)));
    }
    items
}

fn job(j: Job, now: i64) -> (String, Pick) {
    let what = match &j.report {
        Some(r) => format!("{}: {}", j.name, report(r)),
        None => work(&j, now),
    };
    let text = format!("{:>4} {:9} {what}", j.id, j.state.word());
    if j.state.is_over() {
        return (text, Pick::Nothing);
    }
    let path = format!("{}/{}", paths::JOBS, j.id);
    let change = Change::new(Verb::Delete, path, View::Sources, format!("job {} is cancelled", j.id)).for_good();
    let (title, lines) = match j.source {
        Some(_) => ("refresh of ", "What it has not applied yet is dropped; the next refresh begins anew."),
        None => ("", "What was found so far stays."),
    };
    (text, Pick::Ask(format!("Cancel the {title}{}?", printable(&j.name, 40)), vec![lines.to_owned()], change))
}

fn engine(e: EngineRow) -> (String, Pick) {
    let most = if e.capacity == 0 { String::new() } else { format!(" of {}", e.capacity) };
    let error = e.last_error.map_or(String::new(), |e| format!(", last error: {e}"));
    (format!("{} {}  {} sessions{most}{error}", e.name, e.state.word(), e.sessions), Pick::Nothing)
}

fn step(c: ChangeRow) -> (String, Pick) {
    let note = match (c.undone_by, c.undo_of, c.undoable) {
        (Some(by), ..) => format!(" (undone by {by})"),
        (_, Some(of), _) => format!(" (undo of {of})"),
        (_, _, false) => " (for good)".to_owned(),
        _ => String::new(),
    };
    let noun = noun_word(c.noun);
    let text = format!("{:>4} {} {}: {noun} {}{note}: {}", c.id, when::minute(c.at), c.actor, c.name, c.summary);
    if !c.undoable {
        return (text, Pick::Nothing);
    }
    let change = Change::new(Verb::Post, paths::UNDO, View::Channels, format!("step {} undone", c.id))
        .body(json!({"id": c.id}))
        .for_good();
    let lines = vec![printable(&c.summary, 66).into_owned(), "All or nothing; C-r makes it again.".to_owned()];
    (text, Pick::Ask(format!("Take back step {} by {}?", c.id, printable(&c.actor, 20)), lines, change))
}
