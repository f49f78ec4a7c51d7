//! Verbs about playlists and guides.
//!
//! Owns their tables and the making of absolute paths: the daemon does not know the client's directory.
//! Invariant: a refresh that was waited for and failed is a failure of the verb.

use hyper::Method;
use yagi_api::{RefreshReport, RefreshState, Source, SourceDraft, SourceKind, SourcePatch, paths};

use super::{
    args::{Kind, SourceVerb},
    output::{Out, json, yes_no},
};
use crate::{
    client::{Client, Fault},
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
        SourceVerb::Add { url, kind, name, interval, wait } => {
            let draft = SourceDraft {
                url: location(&url)?,
                kind: kind.map(|k| match k {
                    Kind::Playlist => SourceKind::Playlist,
                    Kind::Guide => SourceKind::Guide,
                }),
                name,
                interval_s: interval.as_deref().map(seconds).transpose()?,
                enabled: None,
            };
            let row: Source =
                client.post(&format!("{}{}", paths::SOURCES, if wait { "?wait=true" } else { "" }), &draft).await?;
            out.object(&counted(&row), || facts(&row))?;
            if wait { failure(&row) } else { out.say("fetching; yagi sources list shows how it goes") }
        }
        SourceVerb::Edit { source, name, url, interval, enabled, disabled } => {
            let row = find(client, &source).await?;
            let patch = SourcePatch {
                version: Some(row.version),
                name,
                url: url.as_deref().map(location).transpose()?,
                enabled: enabled.then_some(true).or(disabled.then_some(false)),
                interval_s: interval.as_deref().map(seconds).transpose()?,
            };
            let row: Source = client.patch(&path(&row), &patch).await?;
            out.object(&row, || facts(&row))
        }
        SourceVerb::Refresh { sources, wait } => {
            let rows = if sources.is_empty() { all(client).await? } else { pick(client, &sources).await? };
            let mut done: Vec<Source> = Vec::new();
            for row in &rows {
                let wait = if wait { "?wait=true" } else { "" };
                let (_, body) =
                    client.call(Method::POST, &format!("{}/refresh{wait}", path(row)), Some(b"{}".to_vec())).await?;
                // The answer of a queued refresh need not carry the row.
                let row = serde_json::from_slice::<Source>(&body).unwrap_or_else(|_| row.clone());
                out.say(format!("{}: {}", printable(&row.name, 60), outcome(&row, !wait.is_empty())))?;
                done.push(row);
            }
            if out.json {
                // One source was named: its row, as the API answers it.
                if sources.len() == 1 { json(&done[0])? } else { json(&done)? }
            }
            if wait { done.iter().try_for_each(failure) } else { Ok(()) }
        }
        SourceVerb::Rm { sources } => {
            let rows = pick(client, &sources).await?;
            let names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
            out.confirm(&format!("delete {} and what came from it?", names.join(", ")))?;
            for row in &rows {
                client.delete(&path(row)).await?;
                out.say(format!("deleted {}", printable(&row.name, 60)))?;
            }
            if out.json { json(&serde_json::json!({"deleted": names})) } else { Ok(()) }
        }
    }
}

fn path(row: &Source) -> String {
    format!("{}/{}", paths::SOURCES, row.id)
}

async fn all(client: &Client) -> Result<Vec<Source>, Fault> {
    client.all(paths::SOURCES, "").await
}

async fn pick(client: &Client, words: &[String]) -> Result<Vec<Source>, Fault> {
    let rows = all(client).await?;
    words
        .iter()
        .map(|word| {
            // A name may look like a number; the id wins.
            let hit = rows.iter().find(|r| r.id.to_string() == *word).or_else(|| rows.iter().find(|r| r.name == *word));
            hit.cloned().ok_or_else(|| Fault::own(3, format!("there is no source {word}")))
        })
        .collect()
}

async fn find(client: &Client, word: &str) -> Result<Source, Fault> {
    if word.bytes().all(|b| b.is_ascii_digit()) {
        return client.get(&format!("{}/{word}", paths::SOURCES)).await;
    }
    let mut rows = pick(client, &[word.to_owned()]).await?;
    Ok(rows.swap_remove(0))
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
    if let Some(last) = &row.last {
        facts.push(("refreshed", when::ago(Some(last.at), now)));
        facts.push(("result", report(last)));
        facts.extend(last.notes.iter().map(|note| ("note", note.clone())));
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

/// A URL as it is; a file as an absolute path.
///
/// # Errors
/// When the working directory is gone.
pub fn location(text: &str) -> Result<String, Fault> {
    if text.contains("://") {
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
        assert!(location("list.m3u").unwrap().starts_with('/'));
    }
}
