//! A search of the AceStream engines as one document: `search:sky sport category:sport`.
//!
//! Owns the paging and what is kept of each result. Must not enter: lists (the reader of pages makes one of it). Invariants: at most
//! [`MAX_PAGES`] pages of [`MAX_PAGE`] bytes are asked for, at most [`MAX_RESULTS`] results are kept, and none twice; the same results in
//! another order are the same document.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;
use yagi_api::text::clean;

use super::{UpstreamError, dial, engine::below, outbound::Outbound};
use crate::progress::Progress;

const MAX_PAGES: usize = 50;
const MAX_PAGE: usize = 2 << 20;
const MAX_RESULTS: usize = 20_000;
/// Results that one page is asked for; engines give at most so many.
const PER_PAGE: &str = "200";
const MAX_TEXT: usize = 512;
/// For one page.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sorted, so that its order does not depend on the engine's.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    name: String,
    category: String,
    infohash: String,
    logo: String,
}

/// Asks the first of the engines that answers; a JSON list of what it found.
pub(super) async fn run(
    outbound: &Outbound,
    engines: &[Url],
    (words, category): (&str, &str),
    deadline: Instant,
    progress: &Progress,
) -> Result<Vec<u8>, UpstreamError> {
    let mut fault = UpstreamError::NoEngine("none is configured".to_owned());
    for engine in engines {
        let mut found = Vec::new();
        match pages(outbound, engine, (words, category), deadline, progress, &mut found).await {
            Ok(()) => {
                found.sort_unstable();
                let list: Vec<Value> = found
                    .into_iter()
                    .map(|f| json!({"name": f.name, "category": f.category, "infohash": f.infohash, "logo": f.logo}))
                    .collect();
                return Ok(Value::from(list).to_string().into_bytes());
            }
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

async fn pages(
    outbound: &Outbound,
    engine: &Url,
    (words, category): (&str, &str),
    deadline: Instant,
    progress: &Progress,
    found: &mut Vec<Found>,
) -> Result<(), UpstreamError> {
    let mut seen = HashSet::new();
    for page in 0..MAX_PAGES {
        let mut url = below(engine, "search");
        url.query_pairs_mut().append_pair("query", words);
        if !category.is_empty() {
            url.query_pairs_mut().append_pair("category", category);
        }
        url.query_pairs_mut().append_pair("page", &page.to_string()).append_pair("page_size", PER_PAGE);
        let limit = deadline.min(Instant::now() + PATIENCE);
        let mut ask = dial::Ask::new(url.as_str())?;
        ask.only = Some(engine.clone());
        let mut answer = ask.send(outbound, limit).await?;
        let body = answer.body.read(MAX_PAGE, limit).await?;
        progress.add(body.len() as u64);
        let (results, total) = read(answer.status.as_u16(), &body)?;
        let before = found.len();
        for result in results {
            if found.len() < MAX_RESULTS && seen.insert(result.infohash.clone()) {
                found.push(result);
            }
        }
        // An engine that does not know pages gives the same one for ever.
        if found.len() == before || found.len() >= MAX_RESULTS || total.is_some_and(|n| found.len() as u64 >= n) {
            return Ok(());
        }
    }
    Ok(())
}

/// The results of one page, and how many the engine says that there are.
fn read(status: u16, body: &[u8]) -> Result<(Vec<Found>, Option<u64>), UpstreamError> {
    let said = |text: &str| UpstreamError::Engine(clean(text, 200).into_owned());
    if body.len() > MAX_PAGE {
        return Err(said("a page of results larger than 2 MiB"));
    }
    let answer: Value = serde_json::from_slice(body)
        .map_err(|_| said(&format!("status {status}, {}", String::from_utf8_lossy(&body[..body.len().min(200)]))))?;
    match answer.get("error") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => return Err(said(text)),
        Some(other) => return Err(said(&other.to_string())),
    }
    let result = answer.get("result").or_else(|| answer.get("response")).unwrap_or(&answer);
    let groups = result.get("results").unwrap_or(result).as_array();
    let groups = groups.ok_or_else(|| said(&format!("status {status} without results")))?;
    let mut found = Vec::new();
    for group in groups {
        let items = group.get("items").and_then(Value::as_array).map_or(std::slice::from_ref(group), Vec::as_slice);
        found.extend(items.iter().filter_map(|item| one(group, item)));
    }
    Ok((found, result.get("total").and_then(Value::as_u64)))
}

fn one(group: &Value, item: &Value) -> Option<Found> {
    let text = |value: &Value, key: &str| -> Option<String> {
        let text = value.get(key)?;
        let text = text.as_str().or_else(|| text.get(0)?.as_str())?;
        Some(clean(text.trim(), MAX_TEXT).into_owned()).filter(|t| !t.is_empty())
    };
    let infohash = text(item, "infohash")?.to_ascii_lowercase();
    if infohash.len() != 40 || !infohash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let icon = |value: &Value| text(value.get("icons")?.get(0)?, "url").or_else(|| text(value, "icon"));
    let logo = icon(item).or_else(|| icon(group)).filter(|l| l.starts_with("http://") || l.starts_with("https://"));
    Some(Found {
        name: text(item, "name").or_else(|| text(group, "name")).unwrap_or_default(),
        category: text(item, "categories").or_else(|| text(group, "categories")).unwrap_or_default(),
        infohash,
        logo: logo.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_with_their_groups_names_and_icons() {
        let (a, b) = ("A".repeat(40), "b".repeat(40));
        let body = format!(
            r#"{{"result":{{"total":7,"results":[{{"name":"Sky","icons":[{{"type":0,"url":"http://l/s.png"}}],"items":[
               {{"infohash":"{a}","categories":["sport","movies"],"name":"Sky 1"}},{{"infohash":"{b}"}},{{"infohash":"no"}}]}}]}},"error":null}}"#
        );
        let (found, total) = read(200, body.as_bytes()).unwrap();
        let told: Vec<_> = found.iter().map(|f| (&*f.name, &*f.category, f.infohash.len(), &*f.logo)).collect();
        assert_eq!(told, [("Sky 1", "sport", 40, "http://l/s.png"), ("Sky", "", 40, "http://l/s.png")]);
        assert_eq!((found[0].infohash.as_str(), total), (&*"a".repeat(40), Some(7)));
    }

    #[test]
    fn what_is_no_result_is_told_in_the_engines_words() {
        for (body, words) in [
            (&b"<html>busy"[..], "<html>busy"),
            (b"{\"error\":\"no token\"}", "no token"),
            (b"{\"result\":{}}", "without results"),
            (b"7", "without results"),
        ] {
            let error = read(200, body).err().unwrap().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
