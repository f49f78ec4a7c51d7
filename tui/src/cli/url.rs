//! `yagi url`: what a viewer's player is given, as text, QR code or on the clipboard.
//!
//! Must not enter: how addresses are made (the daemon knows its own). Invariant: what is drawn or copied is the address that is
//! printed.

use std::io::IsTerminal;

use serde_json::Value;
use yagi_api::UserUrls;

use super::{
    args::UrlArgs,
    output::{Out, line_out},
    users::path,
};
use crate::client::{Client, Fault, encode};

pub(super) async fn run(client: &Client, out: Out, ask: &UrlArgs) -> Result<(), Fault> {
    let mut query = ask.base.as_ref().map_or_else(String::new, |b| format!("?base={}", encode(b)));
    if let Some(channel) = &ask.channel {
        let row = super::channels::find(client, channel).await?;
        query += &format!("{}channel={}", if query.is_empty() { '?' } else { '&' }, row.id);
    }
    // As the daemon answers it: a newer one may tell more than we know of.
    let all: Value = client.get(&format!("{}/urls{query}", path(&ask.name))).await?;
    let urls: UserUrls = serde_json::from_value(all.clone()).map_err(|e| Fault::Answer(e.to_string()))?;
    let (address, single) = chosen(ask, &urls, &all)?;
    if !out.is_table() {
        out.object(&all, Vec::new)?;
    } else if ask.xtream {
        out.object(&urls, || {
            vec![("server", urls.server.clone()), ("user", urls.name.clone()), ("password", urls.password.clone())]
        })?;
    } else if single {
        line_out(&address)?;
    } else {
        out.object(&urls, || facts(&urls, &all))?;
    }
    if ask.qr {
        draw(out, &address)?;
    }
    if ask.copy {
        crate::cli::clipboard::copy(&address)?;
        if std::io::stderr().is_terminal() {
            eprintln!("copied");
        }
    }
    Ok(())
}

/// The address that was asked for, and whether it is all that was.
fn chosen(ask: &UrlArgs, urls: &UserUrls, all: &Value) -> Result<(String, bool), Fault> {
    let extra = |key: &str, what: &str| {
        all[key]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Fault::own(3, format!("this daemon gives {} no {what}", ask.name)))
    };
    if ask.short {
        return Ok((extra("short", "short link")?, true));
    }
    if ask.hdhr {
        return Ok((extra("hdhr", "HDHomeRun address")?, true));
    }
    if ask.stream || ask.channel.is_some() && !ask.m3u && !ask.epg && !ask.xtream && !ask.all {
        let stream = urls.stream.clone().ok_or_else(|| Fault::own(3, format!("{} sees no channel", ask.name)))?;
        return Ok((stream, true));
    }
    if ask.epg {
        return Ok((urls.guide.clone(), true));
    }
    if ask.xtream {
        return Ok((urls.player_api.clone(), true));
    }
    Ok((urls.playlist.clone(), ask.m3u))
}

fn facts(urls: &UserUrls, all: &Value) -> Vec<(&'static str, String)> {
    let mut facts = vec![("playlist", urls.playlist.clone())];
    facts.extend(all["short"].as_str().map(|u| ("short", u.to_owned())));
    facts.extend(all["short_guide"].as_str().map(|u| ("short guide", u.to_owned())));
    facts.extend([
        ("guide", urls.guide.clone()),
        ("server", urls.server.clone()),
        ("user", urls.name.clone()),
        ("password", urls.password.clone()),
        ("stream", urls.stream.clone().unwrap_or_else(|| "-".into())),
    ]);
    facts.extend(all["hdhr"].as_str().map(|u| ("hdhomerun", u.to_owned())));
    facts.extend(urls.notes.iter().map(|note| ("note", note.clone())));
    facts
}

/// Dark on light whatever the terminal's colours are; without colours where nobody interprets them.
fn draw(out: Out, address: &str) -> Result<(), Fault> {
    let lines = crate::widgets::qr::lines(address, (usize::MAX, usize::MAX))
        .ok_or_else(|| Fault::own(4, "the address is too long for a QR code"))?;
    let colour = std::io::stdout().is_terminal();
    for line in lines {
        let text: String = line.spans.iter().map(|s| s.content.as_ref()).collect();
        let line = if colour { format!("\u{1b}[38;2;0;0;0;48;2;255;255;255m{text}\u{1b}[0m") } else { text };
        if out.is_table() { line_out(&line)? } else { eprintln!("{line}") }
    }
    Ok(())
}
