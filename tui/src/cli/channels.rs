//! Verbs about channels.
//!
//! Owns their tables and the finding of a row by id or exact name. Invariant: an edit carries the version that was
//! read, so that two administrators do not overwrite each other unseen.

use serde_json::json;
use yagi_api::{
    Category, Channel, ChannelDetail, ChannelDraft, ChannelFacts, ChannelPatch, ChannelRow, ChannelSource, GuideMatch,
    Locator, Programme, StreamState, paths,
};

use super::{
    args::{ChannelFields, ChannelVerb, Export, Pick, Select},
    bulk::{self, Chosen},
    output::{Format, Out, yes_no},
};
use crate::{
    client::{self, Client, Fault, encode},
    screens::reading::checked,
    sheet::Sheet,
    text::{masked, printable},
    when,
};

pub(super) async fn run(client: &Client, out: Out, verb: ChannelVerb) -> Result<(), Fault> {
    match verb {
        ChannelVerb::List { pick, limit, offset } => list(client, out, &pick, limit, offset).await,
        ChannelVerb::Show { channel } => {
            let row = find(client, &channel).await?;
            show(client, out, &row).await
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
            show(client, out, &row).await
        }
        ChannelVerb::Edit { channel: Some(word), filter: _, dry_run, name, sources, fields, enabled } => {
            let row = find(client, &word).await?;
            let patch = edit(&row, name, &sources, fields, enabled)?;
            if patch == (ChannelPatch { version: patch.version, ..ChannelPatch::default() }) {
                return sheet(client, out, vec![row], dry_run).await;
            }
            if dry_run {
                let version = row.version;
                let mut fields = serde_json::to_value(&patch).unwrap_or_default();
                // The operation has it beside the fields; absent ones are no part of a patch.
                if let Some(fields) = fields.as_object_mut() {
                    fields.retain(|key, value| key != "version" && !value.is_null());
                }
                let operation =
                    json!({"op": "update", "noun": "channels", "id": row.id, "version": version, "row": fields});
                return bulk::applied(out, &bulk::apply(client, &[operation], true).await?);
            }
            let row: Channel = client.patch(&path(&row), &patch).await?;
            show(client, out, &row).await
        }
        ChannelVerb::Edit { channel: None, filter, dry_run, name, sources, fields, enabled } => {
            let patch = edit(&NOBODY, name, &sources, fields, enabled)?;
            if patch != (ChannelPatch { version: patch.version, ..ChannelPatch::default() }) {
                return Err(Fault::Own {
                    exit: 2,
                    message: "these flags are for one channel".into(),
                    hint: Some(
                        "many: yagi channels on|off|move --filter TERMS, or edit --filter TERMS in $EDITOR".into(),
                    ),
                });
            }
            let query = format!("q={}", encode(filter.as_deref().unwrap_or_default()));
            let rows = client.some(paths::CHANNELS, &query, 0, MAX_EDIT + 1).await?;
            if rows.len() > MAX_EDIT as usize {
                return Err(Fault::own(2, format!("more than {MAX_EDIT} channels: narrow them by --filter")));
            }
            sheet(client, out, rows, dry_run).await
        }
        ChannelVerb::On { which, dry_run } => set(client, out, &which, json!({"enabled": true}), dry_run).await,
        ChannelVerb::Off { which, dry_run } => set(client, out, &which, json!({"enabled": false}), dry_run).await,
        ChannelVerb::Move { which, category: Some(category), number: None, dry_run } => {
            set(client, out, &which, json!({ "category": category }), dry_run).await
        }
        ChannelVerb::Move { category: Some(_), number: Some(_), .. } => {
            Err(Fault::own(2, "either --category or --number"))
        }
        ChannelVerb::Move { which, category: None, number, dry_run } => {
            let chosen = chosen(client, &which).await?;
            bulk::run(client, out, paths::CHANNELS, &chosen, json!({"renumber_from": number.unwrap_or(1)}), dry_run)
                .await
        }
        ChannelVerb::Renumber { which, from, dry_run } => {
            let chosen = chosen(client, &which).await?;
            bulk::run(client, out, paths::CHANNELS, &chosen, json!({ "renumber_from": from }), dry_run).await
        }
        ChannelVerb::Rm { which, dry_run } if dry_run || which.filter.is_some() => {
            let chosen = chosen(client, &which).await?;
            bulk::run(client, out, paths::CHANNELS, &chosen, json!({"delete": true}), dry_run).await
        }
        ChannelVerb::Rm { which, .. } => {
            let rows = pick(client, &which.rows).await?;
            let names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
            out.confirm(&format!("delete {}?", names.join(", ")))?;
            match rows.as_slice() {
                [row] => client.delete(&path(row)).await?,
                rows => {
                    let ids: Vec<u32> = rows.iter().map(|r| r.id.0).collect();
                    let body = json!({"ids": ids, "delete": true});
                    client.post::<yagi_api::Applied>(&format!("{}{}", paths::CHANNELS, paths::BULK), &body).await?;
                }
            }
            names.iter().try_for_each(|name| out.say(format!("deleted {}", printable(name, 80))))?;
            out.done("deleted", &names)
        }
        ChannelVerb::Export { filter, form } => export(client, &filter.join(" "), form).await,
    }
}

/// Rows that an editor is given at once; the API takes 50,000 operations.
const MAX_EDIT: u32 = 50_000;

/// Stands for the row when flags are only looked at.
const NOBODY: Channel = Channel {
    id: yagi_api::ChannelId(0),
    version: 0,
    number: 0,
    name: String::new(),
    category: yagi_api::CategoryId(0),
    logo: String::new(),
    guide_id: String::new(),
    sources: Vec::new(),
    enabled: false,
    radio: false,
    catchup: None,
    added_at: 0,
    origin: None,
    retired_at: None,
    merge_key: String::new(),
    merged_into: None,
    guide_shift_min: 0,
};

async fn sheet(client: &Client, out: Out, rows: Vec<Channel>, dry_run: bool) -> Result<(), Fault> {
    let groups: Vec<Category> = client.all(paths::CATEGORIES, "").await?;
    super::edit::run(client, out, &Sheet::channels(&rows, &groups), dry_run).await
}

async fn set(client: &Client, out: Out, which: &Select, set: serde_json::Value, dry_run: bool) -> Result<(), Fault> {
    let chosen = chosen(client, which).await?;
    bulk::run(client, out, paths::CHANNELS, &chosen, json!({ "set": set }), dry_run).await
}

async fn chosen(client: &Client, which: &Select) -> Result<Chosen, Fault> {
    Ok(match which.filter()? {
        Some(filter) => Chosen::Filter(filter),
        None => Chosen::Ids(pick(client, &which.rows).await?.iter().map(|r| r.id.0).collect()),
    })
}

async fn pick(client: &Client, words: &[String]) -> Result<Vec<Channel>, Fault> {
    let mut rows = Vec::new();
    for word in words {
        rows.push(find(client, word).await?);
    }
    Ok(rows)
}

async fn export(client: &Client, filter: &str, form: Export) -> Result<(), Fault> {
    let rows: Vec<Channel> = client.all(paths::CHANNELS, &format!("q={}", encode(filter))).await?;
    let groups: Vec<Category> = client.all(paths::CATEGORIES, "").await?;
    let text = match form {
        Export::Tsv => Sheet::channels(&rows, &groups).text(),
        Export::M3u => super::export::m3u(&rows, &groups),
    };
    super::output::whole(&super::output::json_line(&text))
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
        guide_shift_min: None,
    })
}

/// The channel of that id or exact name.
pub(super) async fn find(client: &Client, word: &str) -> Result<Channel, Fault> {
    let id = word.strip_prefix("id:").unwrap_or(word);
    if !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) {
        return client.get(&client::row(paths::CHANNELS, id)).await;
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

async fn list(client: &Client, out: Out, pick: &Pick, limit: Option<u32>, offset: u32) -> Result<(), Fault> {
    // Who wants ids only need not wait for what is not stored.
    let facts = if out.format == Format::Ids { "" } else { "&facts=true" };
    let query = format!("{}{facts}", pick.query());
    let rows: Vec<ChannelRow> = client.some(paths::CHANNELS, &query, offset, limit.unwrap_or(u32::MAX)).await?;
    let groups: Vec<Category> = if out.is_table() { client.all(paths::CATEGORIES, "").await? } else { Vec::new() };
    let columns = [
        ("ID", true),
        ("NO", true),
        ("NAME", false),
        ("CATEGORY", false),
        ("EPG", false),
        ("GUIDE ID", false),
        ("STATE", false),
        ("SOURCE", false),
        ("NOW", false),
    ];
    let now = when::now();
    out.rows(&rows, &columns, |row: &ChannelRow| {
        let c = &row.channel;
        let facts = row.facts.as_ref();
        vec![
            c.id.to_string(),
            c.number.to_string(),
            c.name.clone(),
            group(&groups, c),
            facts.map_or("-", guide_word).into(),
            facts.and_then(|f| f.matched_id.clone()).unwrap_or_else(|| c.guide_id.clone()),
            state_word(row, now),
            source_word(c),
            facts.and_then(|f| f.now.as_ref()).map_or_else(String::new, |p| p.title.clone()),
        ]
    })
}

/// How a channel finds its programmes: `match` by an id, `guess` by its name, or `none`.
#[must_use]
pub fn guide_word(facts: &ChannelFacts) -> &'static str {
    match facts.how {
        GuideMatch::None => "none",
        GuideMatch::Learned | GuideMatch::Name => "guess",
        GuideMatch::Id | GuideMatch::Testcard => "match",
    }
}

/// `live 3`, `gone 2d`, `off`, `dead`, `on`: what matters most to viewers.
#[must_use]
pub fn state_word(row: &ChannelRow, now: i64) -> String {
    let facts = row.facts.as_ref();
    // One that lingers for nobody says nothing of the channel.
    let stream = facts.and_then(|f| f.stream.filter(|s| *s != StreamState::Lingering).map(|s| (s, f.clients)));
    match (stream, row.channel.retired_at) {
        (Some((StreamState::Live, clients)), _) => format!("live {clients}"),
        (Some((state, clients)), _) => format!("{} {clients}", state.word()),
        (None, Some(at)) => format!("gone {}", when::short_span(now - at)),
        (None, None) if !row.channel.enabled => "off".to_owned(),
        (None, None) if facts.is_some_and(ChannelFacts::is_dead) => "dead".to_owned(),
        (None, None) => "on".to_owned(),
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

async fn show(client: &Client, out: Out, row: &Channel) -> Result<(), Fault> {
    if !out.is_table() {
        return out.object(row, Vec::new);
    }
    let detail: ChannelDetail = client.get(&format!("{}/detail", path(row))).await?;
    out.object(row, || facts(row, &detail))
}

/// The name of a channel's category.
fn group(groups: &[Category], row: &Channel) -> String {
    groups.iter().find(|g| g.id == row.category).map_or_else(|| row.category.to_string(), |g| g.name.clone())
}

fn facts(row: &Channel, detail: &ChannelDetail) -> Vec<(&'static str, String)> {
    let now = when::now();
    let first = detail.addresses.first().and_then(|a| a.check.clone());
    let facts = ChannelFacts {
        how: detail.guide.how,
        stream: detail.stream.as_ref().map(|s| s.state),
        clients: detail.stream.as_ref().map_or(0, |s| s.clients),
        last_ok_at: detail.last_ok_at.max(first.as_ref().filter(|c| c.alive).map(|c| c.at)),
        check: first,
        ..ChannelFacts::default()
    };
    let guide = match (guide_word(&facts), &detail.guide.matched_id) {
        ("guess", Some(id)) => format!("{id} (guessed {:.2})", detail.guide.score),
        (word, Some(id)) => format!("{id} ({word})"),
        (word, None) => word.to_owned(),
    };
    let programme = |p: &Programme| format!("{}-{} {}", when::hour(p.start), when::hour(p.stop), p.title);
    let last_ok = facts.last_ok_at;
    let mut facts = vec![
        ("id", row.id.to_string()),
        ("number", row.number.to_string()),
        ("name", row.name.clone()),
        ("category", detail.category_name.clone()),
        ("guide id", row.guide_id.clone()),
        ("guide", guide),
        ("now", detail.now.as_ref().map_or_else(String::new, programme)),
        ("next", detail.next.as_ref().map_or_else(String::new, programme)),
        ("logo", row.logo.clone()),
        ("state", state_word(&ChannelRow { channel: row.clone(), facts: Some(facts) }, now)),
        ("last ok", last_ok.map_or_else(String::new, |at| when::ago(Some(at), now))),
        ("radio", yes_no(row.radio)),
        ("added", when::minute(row.added_at)),
    ];
    if let Some(u) = &row.catchup {
        facts.push(("catch-up", format!("{} days ({})", u.days, u.mode)));
    }
    for (at, source) in row.sources.iter().enumerate() {
        facts.push(("source", masked(&source.url)));
        facts.extend(source.headers.iter().map(|(k, v)| ("  header", format!("{k}: {v}"))));
        let known = detail.addresses.get(at).and_then(|a| a.check.as_ref());
        facts.extend(known.map(|check| ("  checked", checked(check, now))));
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
