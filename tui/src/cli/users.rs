//! Verbs about viewers' accounts.
//!
//! Owns their tables and the reading of `--expires` and `--categories`. Invariant: a password is printed only where
//! it was asked for (`add`, `passwd`, `url`), and read only from standard input.

use yagi_api::{NewUser, User, UserDraft, UserPatch, UserUrls, paths, text::user_name_fault};

use super::{
    args::{UrlArgs, UserFields, UserVerb},
    output::{Out, json, line_out, yes_no},
};
use crate::{
    client::{Client, Fault, encode},
    when,
};

pub(super) async fn run(client: &Client, out: Out, verb: UserVerb) -> Result<(), Fault> {
    match verb {
        UserVerb::List { filter } => list(client, out, &filter.join(" ")).await,
        UserVerb::Show { name } => {
            let user: User = client.get(&path(&name)).await?;
            out.object(&user, || facts(&user))
        }
        UserVerb::Add { name, fields } => {
            if let Some(fault) = user_name_fault(&name) {
                return Err(Fault::own(4, format!("name: {fault}")));
            }
            let draft = UserDraft {
                name,
                password: None,
                enabled: fields.disabled.then_some(false),
                expires_at: expires(&fields)?.flatten(),
                trial: fields.trial.unwrap_or(false),
                max_connections: fields.max_connections,
                formats: fields.formats.clone(),
                categories: categories(&fields).flatten(),
                note: fields.note.unwrap_or_default(),
            };
            credentials(out, &client.post::<NewUser>(paths::USERS, &draft).await?)
        }
        UserVerb::Edit { name, rename, fields, enabled } => {
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
                categories: categories(&fields),
                note: fields.note,
            };
            if patch == UserPatch::default() {
                return Err(Fault::own(2, "nothing to change was given"));
            }
            let user: User = client.patch(&path(&name), &patch).await?;
            out.object(&user, || facts(&user))
        }
        UserVerb::Passwd { name, password_stdin: false } => credentials(
            out,
            &client.post::<NewUser>(&format!("{}/password", path(&name)), &serde_json::json!({})).await?,
        ),
        UserVerb::Passwd { name, password_stdin: true } => {
            let password = super::standard_input(4096)?.trim_end_matches(['\r', '\n']).to_owned();
            if let Some(fault) = yagi_api::text::credential_fault(&password) {
                return Err(Fault::own(4, format!("password: {fault}")));
            }
            let patch = UserPatch { password: Some(password), ..UserPatch::default() };
            let user: User = client.patch(&path(&name), &patch).await?;
            out.object(&user, || facts(&user))
        }
        UserVerb::Rm { names } => {
            out.confirm(&format!("delete {}?", names.join(", ")))?;
            for name in &names {
                client.delete(&path(name)).await?;
                out.say(format!("deleted {name}"))?;
            }
            if out.json { json(&serde_json::json!({"deleted": names})) } else { Ok(()) }
        }
    }
}

fn path(name: &str) -> String {
    format!("{}/{}", paths::USERS, encode(name))
}

async fn list(client: &Client, out: Out, filter: &str) -> Result<(), Fault> {
    let query = if filter.is_empty() { String::new() } else { format!("q={}", encode(filter)) };
    let rows: Vec<User> = client.all(paths::USERS, &query).await?;
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
            u.categories.as_ref().map_or_else(|| "all".into(), |c| c.join(", ")),
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
        ("categories", user.categories.as_ref().map_or_else(|| "all".into(), |c| c.join(", "))),
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

fn categories(fields: &UserFields) -> Option<Option<Vec<String>>> {
    fields.categories.as_deref().map(split_categories)
}

/// `A, B` → those names; `all` → all.
#[must_use]
pub fn split_categories(text: &str) -> Option<Vec<String>> {
    if text.trim().eq_ignore_ascii_case("all") {
        return None;
    }
    Some(text.split(',').map(str::trim).filter(|c| !c.is_empty()).map(str::to_owned).collect())
}

pub(super) async fn url(client: &Client, out: Out, ask: &UrlArgs) -> Result<(), Fault> {
    let base = ask.base.as_ref().map_or_else(String::new, |b| format!("?base={}", encode(b)));
    let urls: UserUrls = client.get(&format!("{}/urls{base}", path(&ask.name))).await?;
    if out.json {
        return json(&urls);
    }
    if ask.m3u {
        return line_out(&urls.playlist);
    }
    if ask.epg {
        return line_out(&urls.guide);
    }
    if ask.stream {
        return match &urls.stream {
            Some(stream) => line_out(stream),
            None => Err(Fault::own(3, format!("{} sees no channel", ask.name))),
        };
    }
    if ask.xtream {
        return out.object(&urls, || {
            vec![("server", urls.server.clone()), ("user", urls.name.clone()), ("password", urls.password.clone())]
        });
    }
    out.object(&urls, || {
        vec![
            ("playlist", urls.playlist.clone()),
            ("guide", urls.guide.clone()),
            ("server", urls.server.clone()),
            ("user", urls.name.clone()),
            ("password", urls.password.clone()),
            ("stream", urls.stream.clone().unwrap_or_else(|| "-".into())),
        ]
    })
}
