//! Verbs about playlists and guides.
//!
//! Owns their tables and the making of absolute paths: the daemon does not know the client's directory.
//! Invariant: a refresh that was waited for and failed is a failure of the verb.

use hyper::Method;
use serde_json::json;
use yagi_api::{
    Probe, ProbeRequest, RefreshReport, RefreshState, Source, SourceDiff, SourceDraft, SourceKind, SourcePatch, paths,
};

use super::{
    args::{Kind, SourceVerb},
    bulk::{self, Chosen},
    jobs, lineup,
    output::{Out, yes_no},
};
use crate::{
    client::{self, Client, Fault, encode},
    text::{masked, printable},
    when,
};

pub(super) async fn run(client: &Client, out: Out, verb: SourceVerb) -> Result<(), Fault> {
    match verb {
        SourceVerb::List => list(client, out).await,
        SourceVerb::Show { source } => {
            let row = find(client, &source).await?;
            out.object(&row, || facts(&row))
        }
        SourceVerb::Add { url, dry_run: true, .. } | SourceVerb::Probe { url } => probe(client, out, &url).await,
        SourceVerb::Add { url, kind, name, interval, max_upstreams, wait, dry_run: false } => {
            let draft = SourceDraft {
                url: location(&url)?,
                kind: kind.map(|k| match k {
                    Kind::Playlist => SourceKind::Playlist,
                    Kind::Guide => SourceKind::Guide,
                }),
                name,
                interval_s: interval.as_deref().map(seconds).transpose()?,
                enabled: None,
                max_upstreams,
                ..SourceDraft::default()
            };
            let at = format!("{}{}", paths::SOURCES, if wait { "?wait=true" } else { "" });
            // Whose name is not known yet: the newest.
            let row: Source = jobs::beside(client, |job| job.source.is_some(), client.post(&at, &draft)).await?;
            out.object(&counted(&row), || facts(&row))?;
            if wait { failure(&row) } else { out.say("fetching; yagi sources list shows how it goes") }
        }
        SourceVerb::Edit { source, name, url, interval, max_upstreams, enabled, disabled } => {
            let row = find(client, &source).await?;
            let patch = SourcePatch {
                version: Some(row.version),
                name,
                url: url.as_deref().map(location).transpose()?,
                enabled: enabled.then_some(true).or(disabled.then_some(false)),
                interval_s: interval.as_deref().map(seconds).transpose()?,
                max_upstreams,
                ..SourcePatch::default()
            };
            let row: Source = client.patch(&path(&row), &patch).await?;
            out.object(&row, || facts(&row))
        }
        SourceVerb::Refresh { sources, wait: _, dry_run: true } => {
            let rows = if sources.is_empty() { all(client).await? } else { pick(client, &sources).await? };
            for row in &rows {
                out.say(printable(&row.name, 60))?;
                match row.kind {
                    SourceKind::Playlist => lineup::plan(client, out, &format!("id:{}", row.id), true).await?,
                    // A guide is taken as it is. Lists hide the login of an address.
                    SourceKind::Guide => probe(client, out, &client.get::<Source>(&path(row)).await?.url).await?,
                }
            }
            Ok(())
        }
        SourceVerb::Refresh { sources, wait, dry_run: false } => {
            let rows = if sources.is_empty() { all(client).await? } else { pick(client, &sources).await? };
            refresh(client, out, &rows, wait, sources.len() == 1).await
        }
        SourceVerb::Diff { source } => {
            let row = find(client, &source).await?;
            let diff: SourceDiff = client.get(&format!("{}/diff", path(&row))).await?;
            if !out.is_table() {
                return out.object(&diff, Vec::new);
            }
            show(out, &diff)
        }
        SourceVerb::Rm { sources, dry_run } => {
            let rows = pick(client, &sources).await?;
            if dry_run {
                let chosen = Chosen::Ids(rows.iter().map(|r| r.id.0).collect());
                return bulk::run(client, out, paths::SOURCES, &chosen, json!({"delete": true}), true).await;
            }
            let names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
            out.confirm(&format!("delete {} and what came from it?", names.join(", ")))?;
            for row in &rows {
                client.delete(&path(row)).await?;
                out.say(format!("deleted {}", printable(&row.name, 60)))?;
            }
            out.done("deleted", &names)
        }
    }
}

/// Every guide, waited for.
pub(super) async fn refresh_guides(client: &Client, out: Out) -> Result<(), Fault> {
    let rows: Vec<Source> =
        all(client).await?.into_iter().filter(|s| s.kind == SourceKind::Guide && s.enabled).collect();
    refresh(client, out, &rows, true, false).await
}

async fn refresh(client: &Client, out: Out, rows: &[Source], wait: bool, single: bool) -> Result<(), Fault> {
    let mut done: Vec<Source> = Vec::new();
    for row in rows {
        let query = if wait { "?wait=true" } else { "" };
        let at = format!("{}/refresh{query}", path(row));
        let answer = client.call(Method::POST, &at, Some(b"{}".to_vec()));
        let (_, body) = jobs::beside(client, |job| job.source == Some(row.id), answer).await?;
        // The answer of a queued refresh need not carry the row.
        let row = serde_json::from_slice::<Source>(&body).unwrap_or_else(|_| row.clone());
        out.say(format!("{}: {}", printable(&row.name, 60), outcome(&row, wait)))?;
        done.push(row);
    }
    match done.as_slice() {
        _ if out.is_table() => {}
        // One source was named: its row, as the API answers it.
        [row] if single => out.object(row, Vec::new)?,
        rows => out.rows(rows, &[], |_| Vec::new())?,
    }
    if wait { done.iter().try_for_each(failure) } else { Ok(()) }
}

async fn probe(client: &Client, out: Out, url: &str) -> Result<(), Fault> {
    let found: Probe = client.post(paths::PROBE, &ProbeRequest { url: location(url)? }).await?;
    out.object(&found, || {
        let mut facts = vec![
            ("kind", found.kind.map_or("unknown", SourceKind::word).to_owned()),
            ("name", printable(&found.name, 60).into_owned()),
            ("size", when::bytes(found.bytes)),
        ];
        match found.kind {
            Some(SourceKind::Guide) => {
                facts.push(("channels", found.guide_channels.to_string()));
                facts.push(("programmes", found.programmes.to_string()));
            }
            _ => {
                facts.push(("channels", format!("{} in {} groups", found.entries, found.group_total)));
                facts.extend(
                    found
                        .groups
                        .iter()
                        .take(10)
                        .map(|g| ("  group", format!("{} ({})", printable(&g.name, 60), g.channels))),
                );
                facts.extend(found.guide_urls.iter().map(|url| ("guide", masked(url))));
            }
        }
        facts.extend(found.sample.iter().map(|name| ("  such as", printable(name, 60).into_owned())));
        if found.skipped > 0 {
            facts.push(("passed over", found.skipped.to_string()));
        }
        facts.extend(found.notes.iter().map(|note| ("note", printable(note, 200).into_owned())));
        facts.extend(found.exists.map(|id| ("there already", format!("source {id}"))));
        facts
    })?;
    if found.ok { Ok(()) } else { Err(Fault::own(1, found.error.unwrap_or_else(|| "it cannot be read".into()))) }
}

/// `+` came, `~` changed, `-` went.
fn show(out: Out, diff: &SourceDiff) -> Result<(), Fault> {
    let Some(at) = diff.at else { return out.say("no refresh has changed anything yet") };
    out.say(format!(
        "{}: {} added, {} changed, {} retired",
        when::minute(at),
        diff.added_total,
        diff.changed_total,
        diff.retired_total
    ))?;
    for (sign, rows) in [('+', &diff.added), ('~', &diff.changed), ('-', &diff.retired)] {
        for row in rows {
            let fields = if row.fields.is_empty() { String::new() } else { format!(": {}", row.fields.join(", ")) };
            out.say(format!("{sign} {}{}", printable(&row.name, 80), printable(&fields, 80)))?;
        }
    }
    let shown = diff.added.len() + diff.changed.len() + diff.retired.len();
    let left = ((diff.added_total + diff.changed_total + diff.retired_total) as usize).saturating_sub(shown);
    if left > 0 { out.say(format!("… and {left} more")) } else { Ok(()) }
}

fn path(row: &Source) -> String {
    client::row(paths::SOURCES, row.id)
}

async fn all(client: &Client) -> Result<Vec<Source>, Fault> {
    client.all(paths::SOURCES, "").await
}

async fn pick(client: &Client, words: &[String]) -> Result<Vec<Source>, Fault> {
    let rows = all(client).await?;
    words
        .iter()
        .map(|word| {
            let hit = super::named(&rows, word, |r| (r.id.0.into(), &r.name));
            hit.cloned().ok_or_else(|| Fault::own(3, format!("there is no source {word}")))
        })
        .collect()
}

async fn find(client: &Client, word: &str) -> Result<Source, Fault> {
    client.get(&format!("{}/{}", paths::SOURCES, encode(word))).await
}

async fn list(client: &Client, out: Out) -> Result<(), Fault> {
    let rows = all(client).await?;
    let now = when::now();
    let columns = [
        ("ID", true),
        ("NAME", false),
        ("KIND", false),
        ("ON", false),
        ("STATE", false),
        ("REFRESHED", false),
        ("RESULT", false),
        ("URL", false),
    ];
    out.rows(&rows, &columns, |s: &Source| {
        vec![
            s.id.to_string(),
            s.name.clone(),
            s.kind.word().into(),
            yes_no(s.enabled),
            state_word(s.state).into(),
            when::ago(s.last.as_ref().map(|l| l.at), now),
            s.last.as_ref().map_or_else(|| "-".into(), report),
            masked(&s.url),
        ]
    })
}

#[must_use]
pub fn state_word(state: RefreshState) -> &'static str {
    match state {
        RefreshState::Idle => "idle",
        RefreshState::Queued => "queued",
        RefreshState::Running => "running",
    }
}

/// A report in one line.
#[must_use]
pub fn report(last: &RefreshReport) -> String {
    match &last.error {
        Some(error) => format!("failed: {error}"),
        None if !last.ok => "failed".into(),
        None if last.unchanged => "unchanged".into(),
        None => format!(
            "{} seen, {} added, {} changed, {} retired, {} skipped in {} ms",
            last.seen, last.added, last.changed, last.retired, last.skipped, last.millis
        ),
    }
}

fn outcome(row: &Source, waited: bool) -> String {
    if waited { row.last.as_ref().map_or_else(|| "no report".into(), report) } else { "queued".into() }
}

fn failure(row: &Source) -> Result<(), Fault> {
    match &row.last {
        Some(last) if last.ok => Ok(()),
        Some(last) => Err(Fault::Own {
            exit: 1,
            message: format!("{}: {}", row.name, last.error.as_deref().unwrap_or("the refresh failed")),
            hint: Some(format!("the source is kept; yagi sources refresh {} --wait tries again", row.id)),
        }),
        None => Err(Fault::own(1, format!("{}: the refresh left no report", row.name))),
    }
}

fn facts(row: &Source) -> Vec<(&'static str, String)> {
    let now = when::now();
    let mut facts = vec![
        ("id", row.id.to_string()),
        ("name", row.name.clone()),
        ("kind", row.kind.word().into()),
        ("url", masked(&row.url)),
        ("enabled", yes_no(row.enabled)),
        ("interval", interval(row.interval_s)),
        ("state", state_word(row.state).into()),
    ];
    if row.max_upstreams > 0 {
        facts.push(("upstreams", format!("{} of {} at once", row.upstreams, row.max_upstreams)));
    }
    if let Some(last) = &row.last {
        facts.push(("refreshed", when::ago(Some(last.at), now)));
        facts.push(("result", report(last)));
        facts.extend(last.notes.iter().map(|note| ("note", printable(note, 200).into_owned())));
    }
    facts
}

/// `12 h`, `by hand`.
#[must_use]
pub fn interval(seconds: u32) -> String {
    if seconds == 0 { "by hand".into() } else { when::span(i64::from(seconds)) }
}

/// The row with the counts of its last refresh beside its own fields, so that a script finds them at the top.
fn counted(row: &Source) -> serde_json::Value {
    let mut value = serde_json::to_value(row).unwrap_or_default();
    if let (Some(fields), Some(last)) = (value.as_object_mut(), &row.last) {
        let counts = [
            ("seen", last.seen),
            ("added", last.added),
            ("changed", last.changed),
            ("retired", last.retired),
            ("skipped", last.skipped),
        ];
        fields.extend(counts.map(|(name, n)| (name.to_owned(), n.into())));
    }
    value
}

/// A URL and a search as they are; a file as an absolute path.
///
/// # Errors
/// When the working directory is gone.
pub fn location(text: &str) -> Result<String, Fault> {
    if text.contains("://") || yagi_api::rules::search(text).is_some() {
        return Ok(text.to_owned());
    }
    let path = std::path::Path::new(text);
    let absolute = path.canonicalize().or_else(|_| std::path::absolute(path));
    absolute
        .ok()
        .and_then(|p| p.to_str().map(str::to_owned))
        .ok_or_else(|| Fault::own(4, format!("url: `{text}` is neither a URL nor a path that can be made absolute")))
}

/// `90`, `90s`, `15m`, `12h`, `7d`.
///
/// # Errors
/// Says what was expected.
pub fn seconds(text: &str) -> Result<u32, Fault> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].trim() {
        "" | "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    };
    digits
        .trim_end()
        .parse::<u32>()
        .ok()
        .zip(unit)
        .and_then(|(n, unit)| n.checked_mul(unit))
        .ok_or_else(|| Fault::own(4, format!("interval: `{text}` is no time: expected 0, 90s, 15m, 12h or 7d")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_places() {
        assert_eq!(seconds("12h"), Ok(43_200));
        assert_eq!(seconds("0"), Ok(0));
        assert!(seconds("12x").is_err() && seconds("").is_err() && seconds("99999999d").is_err());
        assert_eq!(location("http://h/x"), Ok("http://h/x".into()));
        assert_eq!(location("search:sky sport"), Ok("search:sky sport".into()));
        assert!(location("list.m3u").unwrap().starts_with('/'));
    }
}
