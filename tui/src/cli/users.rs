//! Verbs about viewers' accounts.
//!
//! Owns their tables, the flags of an account and the reading of `--expires`, `--categories` and `--category`. Invariant: a
//! password is printed only where it was asked for (`add`, `passwd`, `url`), and read only from standard input.

use clap::Args;
use serde_json::json;
use yagi_api::{NewUser, OutputFormat, PlayerFamily, User, UserDraft, UserPatch, paths, text::user_name_fault};

use super::{
    args::{Pick, Select, UserVerb},
    bulk::{self, Chosen},
    output::{Out, yes_no},
};
use crate::{
    client::{Client, Fault, encode},
    names,
    sheet::Sheet,
    text::printable,
    when,
};

/// Flags of what an account may do.
#[derive(Clone, Debug, Args)]
pub struct UserFields {
    /// Simultaneous streams; 0: no limit
    #[arg(long, value_name = "N")]
    pub max_connections: Option<u32>,
    /// YYYY-MM-DD (from the start of that day), an RFC 3339 time, +30d or never
    #[arg(long, value_name = "DATE")]
    pub expires: Option<String>,
    #[arg(long)]
    pub disabled: bool,
    /// Formats of streams it may ask for, separated by commas: ts, m3u8
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = format)]
    pub formats: Option<Vec<OutputFormat>>,
    /// How answers are spelled for its players: auto, standard, smarters, xui
    #[arg(long, value_name = "FAMILY", value_parser = player)]
    pub player: Option<PlayerFamily>,
    /// Mark it as a trial account
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub trial: Option<bool>,
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Names of the categories it may see, separated by commas (one that has a comma in quotes); "all" for all
    #[arg(long, value_name = "A,B")]
    pub categories: Option<String>,
    /// One category it may see, by its name as it is; may be given again
    #[arg(long, value_name = "NAME")]
    pub category: Vec<String>,
}

fn player(text: &str) -> Result<PlayerFamily, String> {
    PlayerFamily::ALL
        .into_iter()
        .find(|family| family.word() == text)
        .ok_or_else(|| format!("expected {}", PlayerFamily::ALL.map(PlayerFamily::word).join(", ")))
}

fn format(word: &str) -> Result<OutputFormat, String> {
    OutputFormat::ALL.into_iter().find(|f| f.word() == word).ok_or_else(|| "expected ts or m3u8".to_owned())
}

pub(super) async fn run(client: &Client, out: Out, verb: UserVerb) -> Result<(), Fault> {
    match verb {
        UserVerb::List { pick } => list(client, out, &pick).await,
        UserVerb::Show { name } => {
            let user: User = client.get(&path(&name)).await?;
            out.object(&user, || facts(&user))
        }
        UserVerb::Add { name, password_stdin, fields } => {
            if let Some(fault) = user_name_fault(&name) {
                return Err(Fault::own(4, format!("name: {fault}")));
            }
            let draft = UserDraft {
                name,
                password: if password_stdin { Some(read_password()?) } else { None },
                enabled: fields.disabled.then_some(false),
                expires_at: expires(&fields)?.flatten(),
                trial: fields.trial.unwrap_or(false),
                max_connections: fields.max_connections,
                formats: fields.formats.clone(),
                player: fields.player.unwrap_or_default(),
                categories: categories(&fields).flatten(),
                note: fields.note.unwrap_or_default(),
            };
            credentials(out, &client.post::<NewUser>(paths::USERS, &draft).await?)
        }
        UserVerb::Edit { name, filter, dry_run, rename, fields, enabled } => {
            if let Some(fault) = rename.as_deref().and_then(user_name_fault) {
                return Err(Fault::own(4, format!("name: {fault}")));
            }
            let patch = UserPatch {
                version: None,
                name: rename,
                password: None,
                enabled: enabled.then_some(true).or(fields.disabled.then_some(false)),
                expires_at: expires(&fields)?,
                trial: fields.trial,
                max_connections: fields.max_connections,
                formats: fields.formats.clone(),
                player: fields.player,
                categories: categories(&fields),
                note: fields.note,
            };
            let flags = patch != UserPatch::default();
            match name {
                Some(name) if flags && dry_run => {
                    let user: User = client.get(&path(&name)).await?;
                    let mut fields = serde_json::to_value(&patch).unwrap_or_default();
                    if let Some(fields) = fields.as_object_mut() {
                        // A null that clears is one of these two.
                        fields.retain(|key, value| {
                            matches!(key.as_str(), "expires_at" | "categories") || !value.is_null()
                        });
                    }
                    let operation = json!({"op": "update", "noun": "users", "id": user.id, "row": fields});
                    bulk::applied(out, &bulk::apply(client, &[operation], true).await?)
                }
                Some(name) if flags => {
                    let user: User = client.patch(&path(&name), &patch).await?;
                    out.object(&user, || facts(&user))
                }
                None if flags => Err(Fault::own(2, "these flags are for one user: name it")),
                Some(name) => {
                    let user: User = client.get(&path(&name)).await?;
                    super::edit::run(client, out, &Sheet::users(&[user]), dry_run).await
                }
                None => {
                    let query = format!("q={}", encode(filter.as_deref().unwrap_or_default()));
                    let rows: Vec<User> = client.all(paths::USERS, &query).await?;
                    super::edit::run(client, out, &Sheet::users(&rows), dry_run).await
                }
            }
        }
        UserVerb::Passwd { name, password_stdin } => {
            out.confirm(&format!("give {name} a new password? the old links stop working and its streams end"))?;
            if !password_stdin {
                let new: NewUser = client.post(&format!("{}/password", path(&name)), &json!({})).await?;
                return credentials(out, &new);
            }
            let patch = UserPatch { password: Some(read_password()?), ..UserPatch::default() };
            let user: User = client.patch(&path(&name), &patch).await?;
            out.object(&user, || facts(&user))
        }
        UserVerb::On { which, dry_run } => {
            let chosen = chosen(client, &which).await?;
            bulk::run(client, out, paths::USERS, &chosen, json!({"set": {"enabled": true}}), dry_run).await
        }
        UserVerb::Off { which, dry_run } => {
            let chosen = chosen(client, &which).await?;
            bulk::run(client, out, paths::USERS, &chosen, json!({"set": {"enabled": false}}), dry_run).await
        }
        UserVerb::Extend { which, by, dry_run } => {
            let chosen = chosen(client, &which).await?;
            bulk::run(client, out, paths::USERS, &chosen, extension(&by)?, dry_run).await
        }
        UserVerb::Rm { which, dry_run } if dry_run || which.filter.is_some() => {
            let chosen = chosen(client, &which).await?;
            bulk::run(client, out, paths::USERS, &chosen, json!({"delete": true}), dry_run).await
        }
        UserVerb::Rm { which, .. } => {
            let names = which.rows;
            out.confirm(&format!("delete {}?", names.join(", ")))?;
            for name in &names {
                client.delete(&path(name)).await?;
                out.say(format!("deleted {}", printable(name, 80)))?;
            }
            out.done("deleted", &names)
        }
    }
}

async fn chosen(client: &Client, which: &Select) -> Result<Chosen, Fault> {
    if let Some(filter) = which.filter()? {
        return Ok(Chosen::Filter(filter));
    }
    let mut ids = Vec::new();
    for name in &which.rows {
        ids.push(client.get::<User>(&path(name)).await?.id.0);
    }
    Ok(Chosen::Ids(ids))
}

/// `30d` behind the present end, or a date that becomes the end.
fn extension(by: &str) -> Result<serde_json::Value, Fault> {
    let days = by.trim().trim_start_matches('+');
    let count = |unit: char, each: u32| days.strip_suffix(unit)?.parse::<u32>().ok()?.checked_mul(each);
    if let Some(days) = count('d', 1).or_else(|| count('w', 7)) {
        return Ok(json!({ "extend_days": days }));
    }
    let at =
        when::expiry(by, when::now()).map_err(|e| Fault::own(4, format!("by: {e}, or 30d behind the present end")))?;
    Ok(json!({"set": {"expires_at": at}}))
}

fn read_password() -> Result<String, Fault> {
    let password = super::standard_input(4096)?.trim_end_matches(['\r', '\n']).to_owned();
    match yagi_api::text::credential_fault(&password) {
        Some(fault) => Err(Fault::own(4, format!("password: {fault}"))),
        None => Ok(password),
    }
}

pub(super) fn path(name: &str) -> String {
    format!("{}/{}", paths::USERS, encode(name))
}

async fn list(client: &Client, out: Out, pick: &Pick) -> Result<(), Fault> {
    let rows: Vec<User> = client.all(paths::USERS, &pick.query()).await?;
    let now = when::now();
    let columns = [
        ("ID", true),
        ("NAME", false),
        ("STATUS", false),
        ("EXPIRES", false),
        ("STREAMS", true),
        ("CATEGORIES", false),
        ("NOTE", false),
    ];
    out.rows(&rows, &columns, |u: &User| {
        vec![
            u.id.to_string(),
            u.name.clone(),
            u.status(now).word().into(),
            when::expires(u.expires_at, now),
            format!("{}/{}", u.active, limit(u.max_connections)),
            u.categories.as_ref().map_or_else(|| "all".into(), |c| names::join(c, ',')),
            u.note.clone(),
        ]
    })
}

fn limit(max: u32) -> String {
    if max == 0 { "no limit".into() } else { max.to_string() }
}

fn facts(user: &User) -> Vec<(&'static str, String)> {
    let now = when::now();
    vec![
        ("id", user.id.to_string()),
        ("name", user.name.clone()),
        ("status", user.status(now).word().into()),
        ("expires", when::expires(user.expires_at, now)),
        ("trial", yes_no(user.trial)),
        ("streams", format!("{} of {}", user.active, limit(user.max_connections))),
        ("categories", user.categories.as_ref().map_or_else(|| "all".into(), |c| names::join(c, ','))),
        ("note", user.note.clone()),
        ("created", when::minute(user.created_at)),
    ]
}

fn credentials(out: Out, new: &NewUser) -> Result<(), Fault> {
    out.object(new, || vec![("name", new.user.name.clone()), ("password", new.password.clone())])?;
    out.say(format!("\nFor players: yagi url {}", new.user.name))
}

fn expires(fields: &UserFields) -> Result<Option<Option<i64>>, Fault> {
    let read = |text: &String| when::expiry(text, when::now()).map_err(|e| Fault::own(4, format!("expires: {e}")));
    fields.expires.as_ref().map(read).transpose()
}

/// `--categories` and each `--category`; none: nothing was said of them.
fn categories(fields: &UserFields) -> Option<Option<Vec<String>>> {
    let listed = fields.categories.as_deref().map(|text| names::split(text, ','));
    if fields.category.is_empty() {
        return listed;
    }
    let mut all = listed.flatten().unwrap_or_default();
    all.extend(fields.category.iter().cloned());
    Some(Some(all))
}
