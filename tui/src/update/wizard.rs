//! From nothing to a playlist link: an address, a look at what is there, a viewer.

use crossterm::event::{Event as TermEvent, KeyCode, KeyEvent};
use serde_json::json;
use tui_input::{Input, backend::crossterm::EventHandler as _};
use yagi_api::{Probe, paths, rules, text::user_name_fault};

use crate::{
    model::{Mode, Model, Step, View, Wizard},
    msg::{Ask, Change, Effect, Then, Verb},
};

pub fn key(model: &mut Model, key: KeyEvent, mut wizard: Box<Wizard>, effects: &mut Vec<Effect>) {
    match key.code {
        KeyCode::Esc if wizard.step == Step::Found => wizard.step = Step::Address,
        KeyCode::Esc => return,
        _ if wizard.waits => {}
        KeyCode::Enter => {
            let enter = match wizard.step {
                Step::Address => address(&wizard),
                Step::Found => Ok(add(&wizard)),
                Step::User => user(&wizard),
            };
            match (model.write_fault(), enter) {
                (Some(fault), _) => wizard.fault = Some(fault.into()),
                (None, Err(why)) => wizard.fault = Some(why),
                (None, Ok(asked)) => {
                    wizard.fault = None;
                    wizard.waits = true;
                    effects.extend(asked);
                }
            }
        }
        KeyCode::Char(' ') if wizard.step == Step::Found => wizard.guides = !wizard.guides,
        _ if wizard.step == Step::Found => {}
        _ => {
            wizard.input.handle_event(&TermEvent::Key(key));
            wizard.fault = None;
        }
    }
    model.mode = Mode::Wizard(wizard);
}

fn address(wizard: &Wizard) -> Result<Vec<Effect>, String> {
    let url = rules::place(wizard.input.value()).map_err(|e| e.message)?;
    Ok(vec![Effect::Fetch(Ask::Probe(url.to_owned()))])
}

fn add(wizard: &Wizard) -> Vec<Effect> {
    let url = wizard.input.value().trim();
    let name = wizard.probe.as_ref().map_or("", |p| p.name.as_str());
    let said = if name.is_empty() { "the source was added".to_owned() } else { format!("{name} was added") };
    let kind = wizard.probe.as_ref().and_then(|p| p.kind);
    let new = |url: &str, said: String| {
        Change::new(Verb::Post, paths::SOURCES, View::Sources, said).body(json!({"url": url}))
    };
    let mut first = new(url, said).then(Then::Wizard);
    if let (Some(body), Some(kind)) = (&mut first.body, kind) {
        body["kind"] = json!(kind);
    }
    let mut effects = vec![Effect::Send(first)];
    if wizard.guides {
        let guides = wizard.probe.iter().flat_map(|p| &p.guide_urls);
        effects.extend(guides.map(|url| {
            let mut guide = new(url, "its guide was added".into());
            if let Some(body) = &mut guide.body {
                body["kind"] = json!("guide");
            }
            Effect::Send(guide)
        }));
    }
    effects
}

fn user(wizard: &Wizard) -> Result<Vec<Effect>, String> {
    let name = wizard.input.value().trim();
    match user_name_fault(name) {
        Some(why) => Err(format!("a name {why}")),
        None => {
            let new = Change::new(Verb::Post, paths::USERS, View::Users, format!("{name} was added"));
            Ok(vec![Effect::Send(new.body(json!({"name": name})).then(Then::FormAndUrls))])
        }
    }
}

/// Whether an answer is to the address that is waited for: a wizard that was left may have asked for another.
fn awaits(wizard: &Wizard, url: &str) -> bool {
    wizard.waits && wizard.step == Step::Address && rules::place(wizard.input.value()).is_ok_and(|asked| asked == url)
}

/// What is at the address.
pub fn probed(model: &mut Model, url: &str, probe: Probe) {
    let Mode::Wizard(wizard) = &mut model.mode else { return };
    if !awaits(wizard, url) {
        return;
    }
    wizard.waits = false;
    match &probe.error {
        Some(error) if !probe.ok => wizard.fault = Some(error.clone()),
        _ if probe.exists.is_some() => wizard.fault = Some("there is a source with this address already".into()),
        _ => {
            wizard.step = Step::Found;
            wizard.probe = Some(probe);
        }
    }
}

/// The source is there.
pub fn added(model: &mut Model) {
    let Mode::Wizard(wizard) = &mut model.mode else { return };
    wizard.waits = false;
    if wizard.whole {
        wizard.step = Step::User;
        wizard.input = Input::new("tv".into());
    } else {
        model.mode = Mode::Browse;
        super::browse::go(model, View::Sources);
    }
}

/// The address could not be asked about.
pub fn unprobed(model: &mut Model, url: &str, why: String) {
    if matches!(&model.mode, Mode::Wizard(wizard) if awaits(wizard, url)) {
        failed(model, why);
    }
}

/// What was asked was refused: what was typed stays.
pub fn failed(model: &mut Model, why: String) {
    if let Mode::Wizard(wizard) = &mut model.mode {
        wizard.waits = false;
        wizard.fault = Some(why);
    }
}
