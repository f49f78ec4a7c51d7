//! Verbs about settings.

use serde_json::Value;
use yagi_api::{LogFilter, Setting, SettingsPatch, paths};

use super::{args::SettingVerb, output::Out};
use crate::{
    client::{Client, Fault},
    text::printable,
};

pub(super) async fn run(client: &Client, out: Out, verb: SettingVerb) -> Result<(), Fault> {
    let columns = [("KEY", false), ("VALUE", false), ("ORIGIN", false), ("APPLIES", false), ("WHAT", false)];
    let cells = |s: &Setting| {
        vec![
            s.key.clone(),
            plain(&s.value),
            s.origin.clone(),
            if s.applies_now { "now" } else { "restart" }.into(),
            s.help.clone(),
        ]
    };
    match verb {
        SettingVerb::List => out.rows(&client.get::<Vec<Setting>>(paths::SETTINGS).await?, &columns, cells),
        SettingVerb::Get { key } => {
            let rows: Vec<Setting> = client.get(paths::SETTINGS).await?;
            let row = find(&rows, &key)?;
            if out.is_table() {
                super::output::line_out(&printable(&plain(&row.value), 4000))
            } else {
                out.object(row, Vec::new)
            }
        }
        SettingVerb::Set { key, value } => {
            // `5`, `true` are what they look like; `skip` and `"skip"` are both the word.
            let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
            set(client, out, key, value).await
        }
        SettingVerb::Reset { key } => set(client, out, key, Value::Null).await,
    }
}

async fn set(client: &Client, out: Out, key: String, value: Value) -> Result<(), Fault> {
    if key == "log.filter" && !value.is_null() {
        let filter = LogFilter { filter: plain(&value), configured: String::new() };
        let now: LogFilter = client.put(paths::LOG_FILTER, &filter).await?;
        return if out.is_table() {
            out.say(format!("log.filter = {} (until the next start or reload)", now.filter))
        } else {
            out.object(&now, Vec::new)
        };
    }
    let rows: Vec<Setting> = client.patch(paths::SETTINGS, &SettingsPatch::from_iter([(key.clone(), value)])).await?;
    let row = find(&rows, &key)?;
    if !out.is_table() {
        return out.object(row, Vec::new);
    }
    let when = if row.applies_now { "" } else { " (after a restart)" };
    out.say(format!("{} = {}{when}", row.key, printable(&plain(&row.value), 400)))
}

fn find<'a>(rows: &'a [Setting], key: &str) -> Result<&'a Setting, Fault> {
    rows.iter().find(|s| s.key == key).ok_or_else(|| Fault::Own {
        exit: 3,
        message: format!("there is no setting {key}"),
        hint: Some("yagi settings list".into()),
    })
}

/// A value without the quotes of JSON.
#[must_use]
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}
