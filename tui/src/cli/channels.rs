//! Verbs about channels and categories.
//!
//! Owns their tables and the finding of a row by id or exact name. Invariant: an edit carries the version that was
//! read, so that two administrators do not overwrite each other unseen.

use yagi_api::{
    Category, CategoryDraft, CategoryPatch, Channel, ChannelDraft, ChannelPatch, ChannelSource, Locator, paths,
};

use super::{
    args::{CategoryVerb, ChannelFields, ChannelVerb},
    output::{Out, json, yes_no},
};
use crate::{
    client::{Client, Fault, encode},
    text::{masked, printable},
    when,
};

pub(super) async fn run(client: &Client, out: Out, verb: ChannelVerb) -> Result<(), Fault> {
    match verb {
        ChannelVerb::List { filter, sort, limit, offset } => {
            list(client, out, &filter.join(" "), &sort, limit, offset).await
        }
        ChannelVerb::Show { channel } => {
            let row = find(client, &channel).await?;
            out.object(&row, || facts(&row))
        }
        ChannelVerb::Add { name, sources, fields } => {
            let draft = ChannelDraft {
                name,
                sources: read_sources(&sources, &fields.headers)?,
                number: fields.number,
                category: fields.category,
                logo: fields.logo.unwrap_or_default(),
                guide_id: fields.guide_id.unwrap_or_default(),
                enabled: fields.disabled.then_some(false),
                radio: fields.radio,
            };
            let row: Channel = client.post(paths::CHANNELS, &draft).await?;
            out.object(&row, || facts(&row))
        }
        ChannelVerb::Edit { channel, name, sources, fields, enabled } => {
            let row = find(client, &channel).await?;
            let patch = edit(&row, name, &sources, fields, enabled)?;
            let row: Channel = client.patch(&path(&row), &patch).await?;
            out.object(&row, || facts(&row))
        }
        ChannelVerb::Rm { channels } => {
            let mut rows = Vec::new();
            for word in &channels {
                rows.push(find(client, word).await?);
            }
            let names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
            out.confirm(&format!("delete {}?", names.join(", ")))?;
            for row in &rows {
                client.delete(&path(row)).await?;
                out.say(format!("deleted {}", printable(&row.name, 80)))?;
            }
            if out.json { json(&serde_json::json!({"deleted": names})) } else { Ok(()) }
        }
    }
}

fn path(row: &Channel) -> String {
    format!("{}/{}", paths::CHANNELS, row.id)
}

fn edit(
    row: &Channel,
    name: Option<String>,
    sources: &[String],
    fields: ChannelFields,
    enabled: bool,
) -> Result<ChannelPatch, Fault> {
    let sources = match (sources.is_empty(), fields.headers.is_empty()) {
        (true, true) => None,
        // Headers alone: for the sources there are.
        (true, false) => {
            let headers = read_headers(&fields.headers)?;
            Some(row.sources.iter().map(|s| ChannelSource { url: s.url.clone(), headers: headers.clone() }).collect())
        }
        (false, _) => Some(read_sources(sources, &fields.headers)?),
    };
    Ok(ChannelPatch {
        version: Some(row.version),
        number: fields.number,
        name,
        category: fields.category,
        logo: fields.logo,
        guide_id: fields.guide_id,
        sources,
        enabled: enabled.then_some(true).or(fields.disabled.then_some(false)),
        radio: fields.radio.then_some(true),
    })
}

/// The channel of that id or exact name.
pub(super) async fn find(client: &Client, word: &str) -> Result<Channel, Fault> {
    if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
        return client.get(&format!("{}/{word}", paths::CHANNELS)).await;
    }
    // The daemon narrows the list by words; the exact name is looked for here.
    let rows: Vec<Channel> = client.all(paths::CHANNELS, &format!("q={}", encode(&terms(word)))).await?;
    let mut hits = rows.into_iter().filter(|c| c.name == word);
    match (hits.next(), hits.count()) {
        (None, _) => Err(Fault::Own {
            exit: 3,
            message: format!("there is no channel {word}"),
            hint: Some("give its id or exact name; yagi channels list WORD finds it".into()),
        }),
        (Some(row), 0) => Ok(row),
        (Some(_), more) => Err(Fault::own(4, format!("{} channels are called {word}: give the id", more + 1))),
    }
}

/// Plain words only: `!` and `:` have a meaning in a filter.
fn terms(name: &str) -> String {
    let words = name.split_whitespace().filter(|w| !w.starts_with('!') && !w.contains([':', '~', '"']));
    words.collect::<Vec<_>>().join(" ")
}

async fn list(
    client: &Client,
    out: Out,
    filter: &str,
    sort: &str,
    limit: Option<u32>,
    offset: u32,
) -> Result<(), Fault> {
    let query = format!("q={}&sort={}", encode(filter), encode(sort));
    let rows: Vec<Channel> = client.some(paths::CHANNELS, &query, offset, limit.unwrap_or(u32::MAX)).await?;
    let groups: Vec<Category> = if out.json { Vec::new() } else { client.all(paths::CATEGORIES, "").await? };
    let columns = [
        ("ID", true),
        ("NO", true),
        ("NAME", false),
        ("CATEGORY", false),
        ("GUIDE ID", false),
        ("STATE", false),
        ("SOURCE", false),
    ];
    out.rows(&rows, &columns, |c: &Channel| {
        vec![
            c.id.to_string(),
            c.number.to_string(),
            c.name.clone(),
            groups.iter().find(|g| g.id == c.category).map_or_else(|| c.category.to_string(), |g| g.name.clone()),
            c.guide_id.clone(),
            state_word(c).into(),
            source_word(c),
        ]
    })
}

/// `on`, `off`, `gone`.
#[must_use]
pub fn state_word(channel: &Channel) -> &'static str {
    match (channel.retired_at, channel.enabled) {
        (Some(_), _) => "gone",
        (None, true) => "on",
        (None, false) => "off",
    }
}

/// The kind of the first source and how many more there are.
#[must_use]
pub fn source_word(channel: &Channel) -> String {
    let kind = channel.sources.first().map_or("-", |s| Locator::parse(&s.url).map_or("?", |l| l.kind()));
    match channel.sources.len() {
        0 | 1 => kind.into(),
        n => format!("{kind} +{}", n - 1),
    }
}

fn facts(row: &Channel) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("id", row.id.to_string()),
        ("number", row.number.to_string()),
        ("name", row.name.clone()),
        ("category", row.category.to_string()),
        ("guide id", row.guide_id.clone()),
        ("logo", row.logo.clone()),
        ("state", state_word(row).into()),
        ("radio", yes_no(row.radio)),
        ("added", when::minute(row.added_at)),
    ];
    for source in &row.sources {
        facts.push(("source", masked(&source.url)));
        facts.extend(source.headers.iter().map(|(k, v)| ("  header", format!("{k}: {v}"))));
    }
    facts
}

fn read_sources(urls: &[String], headers: &[String]) -> Result<Vec<ChannelSource>, Fault> {
    let headers = read_headers(headers)?;
    urls.iter()
        .map(|url| {
            let locator = Locator::parse(url).map_err(|why| Fault::own(4, format!("sources: `{url}` {why}")))?;
            let headers = if matches!(locator, Locator::Http(_)) { headers.clone() } else { Vec::new() };
            Ok(ChannelSource { url: locator.to_string(), headers })
        })
        .collect()
}

fn read_headers(headers: &[String]) -> Result<Vec<(String, String)>, Fault> {
    headers
        .iter()
        .map(|header| {
            let (name, value) = header
                .split_once(':')
                .ok_or_else(|| Fault::own(2, format!("header: `{header}` has no colon: expected \"Name: value\"")))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

pub(super) async fn categories(client: &Client, out: Out, verb: CategoryVerb) -> Result<(), Fault> {
    let all = || async { client.all::<Category>(paths::CATEGORIES, "").await };
    let find = |rows: &[Category], word: &str| {
        let hit = rows.iter().find(|c| c.name == word).or_else(|| rows.iter().find(|c| c.id.to_string() == word));
        hit.cloned().ok_or_else(|| Fault::own(3, format!("there is no category {word}")))
    };
    let facts =
        |c: &Category| vec![("id", c.id.to_string()), ("name", c.name.clone()), ("position", c.position.to_string())];
    match verb {
        CategoryVerb::List => {
            let columns = [("ID", true), ("POSITION", true), ("NAME", false), ("CHANNELS", true)];
            out.rows(&all().await?, &columns, |c: &Category| {
                vec![c.id.to_string(), c.position.to_string(), c.name.clone(), c.channels.to_string()]
            })
        }
        CategoryVerb::Add { name, position } => {
            let row: Category = client.post(paths::CATEGORIES, &CategoryDraft { name, position }).await?;
            out.object(&row, || facts(&row))
        }
        CategoryVerb::Edit { category, name, position } => {
            let row = find(&all().await?, &category)?;
            let patch = CategoryPatch { version: Some(row.version), name, position };
            let row: Category = client.patch(&format!("{}/{}", paths::CATEGORIES, row.id), &patch).await?;
            out.object(&row, || facts(&row))
        }
        CategoryVerb::Rm { category } => {
            let row = find(&all().await?, &category)?;
            out.confirm(&format!("delete the category {}?", row.name))?;
            client.delete(&format!("{}/{}", paths::CATEGORIES, row.id)).await?;
            out.say(format!("deleted {}", printable(&row.name, 80)))?;
            if out.json { json(&serde_json::json!({"deleted": [row.name]})) } else { Ok(()) }
        }
    }
}
