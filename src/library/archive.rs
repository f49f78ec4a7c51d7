//! Which channels have an archive at their provider, and the address of it as a template.
//!
//! Owns the rules by which an address follows from what a playlist says (`catchup`, `catchup-source`) and from the channel's own address.
//! Must not enter: times (`archive` fills them in), sockets. Invariant: what is told to players of a channel's archive and
//! what is fetched for them is decided here alone.

use std::borrow::Cow;

use yagi_api::{Catchup, Channel, ChannelSource};

use super::{Catalog, Provenance};

/// Days of an archive whose playlist names none: what is usual.
const USUAL_DAYS: u16 = 7;

/// A channel's archive.
#[derive(Clone, Debug)]
pub struct Archived<'a> {
    pub days: u16,
    /// With placeholders for times, as players know them: `{utc}`, `{duration:60}`, `{Y}`, …
    pub template: String,
    /// The live address that it belongs to, and its headers.
    pub source: &'a ChannelSource,
    pub provenance: Provenance,
}

impl Catalog {
    /// The archive of a channel, or of one whose addresses it shows as its own.
    pub fn archive<'a>(&'a self, channel: &'a Channel) -> Option<Archived<'a>> {
        let (owner, catchup, source) = self.archiver(channel)?;
        let template = template(catchup, &source.url)?;
        // Of the one whose archive it is: another may have the same address by another way.
        let mut provenance = self.provenance_of(owner);
        // Nobody typed the address of an archive, whoever typed that of the stream.
        provenance.found |= matches!(template, Cow::Borrowed(_)) && self.is_found_through(provenance.account);
        Some(Archived { days: days(catchup), template: template.into_owned(), source, provenance })
    }

    /// Days that the channel's archive reaches back; 0: there is none.
    pub fn archive_days(&self, channel: &Channel) -> u16 {
        self.archiver(channel).map_or(0, |(_, catchup, _)| days(catchup))
    }

    fn archiver<'a>(&'a self, channel: &'a Channel) -> Option<(&'a Channel, &'a Catchup, &'a ChannelSource)> {
        let of = |owner: &'a Channel, source: &'a ChannelSource| {
            let catchup = owner.catchup.as_ref().filter(|catchup| template(catchup, &source.url).is_some())?;
            Some((owner, catchup, source))
        };
        let mut members = self.members(channel).peekable();
        if members.peek().is_none() {
            return of(channel, channel.sources.first()?);
        }
        // A leader shows the addresses of all: its own are those that no other has. If it is not listed itself there are none.
        let foreign = |s: &ChannelSource| self.members(channel).any(|m| m.sources.contains(s));
        let own = channel.sources.iter().find(|s| !foreign(s)).and_then(|source| of(channel, source));
        own.or_else(|| {
            let mut listed = members.filter(|m| m.retired_at.is_none());
            listed.find_map(|m| of(m, m.sources.iter().find(|s| channel.sources.contains(s))?))
        })
    }
}

fn days(catchup: &Catchup) -> u16 {
    if catchup.days == 0 { USUAL_DAYS } else { catchup.days }
}

/// The address of the archive of a stream at `live`; none: it cannot be had by what the playlist says.
fn template<'a>(catchup: &'a Catchup, live: &str) -> Option<Cow<'a, str>> {
    let source = catchup.source.trim();
    let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    // The identity of a recording is told by guides, for what is no stream of time.
    if source.contains("{catchup-id}") {
        return None;
    }
    if web(source) {
        return Some(source.into());
    }
    if !web(live) {
        return None;
    }
    let made = match catchup.mode.as_str() {
        "append" | "default" | "vod" if !source.is_empty() => appended(live, source),
        "default" | "append" | "vod" | "xc" => timeshift(live)?,
        "shift" | "timeshift" => appended(live, if source.is_empty() { "?utc={utc}&lutc={lutc}" } else { source }),
        "flussonic" | "flussonic-hls" | "flussonic-ts" | "fs" if !source.is_empty() => appended(live, source),
        "flussonic" | "flussonic-hls" | "flussonic-ts" | "fs" => flussonic(live)?,
        _ => return None,
    };
    Some(made.into())
}

/// Where the address has a query already, the other's goes on with it.
fn appended(live: &str, more: &str) -> String {
    match (live.contains('?'), more.strip_prefix('?')) {
        (true, Some(more)) => format!("{live}&{more}"),
        _ => format!("{live}{more}"),
    }
}

/// The parts of a live address of Xtream panels: `http://HOST[/PREFIX][/live]/USER/PASSWORD/ID[.EXTENSION]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panel<'a> {
    /// Scheme, host, port, and what a proxy may have put before.
    pub base: &'a str,
    pub user: &'a str,
    pub password: &'a str,
    pub id: &'a str,
}

/// Reads such an address.
pub fn panel(live: &str) -> Option<Panel<'_>> {
    if live.contains(['?', '#']) {
        return None;
    }
    let host = live.find("://")? + 3;
    let mut parts = live[host..].rsplitn(4, '/');
    let (file, password, user, front) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let front = front.strip_suffix("/live").unwrap_or(front);
    let id = file.split('.').next()?;
    let is_panel = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) && !user.is_empty() && !password.is_empty();
    (is_panel && !front.is_empty()).then(|| Panel { base: &live[..host + front.len()], user, password, id })
}

fn timeshift(live: &str) -> Option<String> {
    let Panel { base, user, password, id } = panel(live)?;
    Some(format!("{base}/timeshift/{user}/{password}/{{duration:60}}/{{Y}}-{{m}}-{{d}}:{{H}}-{{M}}/{id}.ts"))
}

/// `…/mpegts` and `…/NAME.m3u8` of Flussonic.
fn flussonic(live: &str) -> Option<String> {
    let (path, query) = live.split_once('?').map_or((live, ""), |(path, _)| (path, &live[path.len()..]));
    let (front, file) = path.rsplit_once('/')?;
    if !front.contains("://") || front.ends_with('/') {
        return None;
    }
    if file == "mpegts" {
        return Some(format!("{front}/timeshift_abs-{{utc}}.ts{query}"));
    }
    let name = file.strip_suffix(".m3u8")?;
    let name = if name == "index" { "archive" } else { name };
    Some(format!("{front}/{name}-{{utc}}-{{duration}}.m3u8{query}"))
}

/// What a playlist means that says how many days there are, and not how to get them.
pub fn usual_mode(live: &str) -> &'static str {
    if panel(live).is_some() { "xc" } else { "shift" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::sample;

    #[test]
    fn addresses_follow_the_rules_that_players_know() {
        let xc = "http://h:80/timeshift/u/p/{duration:60}/{Y}-{m}-{d}:{H}-{M}/77.ts";
        for (mode, source, live, made) in [
            ("default", "http://a/{utc}", "udp://@239.0.0.1:5", Some("http://a/{utc}")),
            ("default", "?at=${start}", "http://h/1.ts", Some("http://h/1.ts?at=${start}")),
            ("default", "", "http://h:80/live/u/p/77.m3u8", Some(xc)),
            ("default", "", "http://h/1.ts", None),
            ("append", "?at=${start}", "http://h/1.ts?token=t", Some("http://h/1.ts?token=t&at=${start}")),
            ("append", "&at=${start}", "http://h/1.ts?token=t", Some("http://h/1.ts?token=t&at=${start}")),
            ("shift", "", "http://h/1.ts", Some("http://h/1.ts?utc={utc}&lutc={lutc}")),
            ("timeshift", "", "http://h/1.ts?a=b", Some("http://h/1.ts?a=b&utc={utc}&lutc={lutc}")),
            ("shift", "", "acestream://0123", None),
            ("xc", "", "http://h:80/u/p/77", Some(xc)),
            ("xc", "", "http://h:80/live/u/p/77.ts", Some(xc)),
            ("xc", "", "http://h:80/live/u/p/news.ts", None),
            ("xc", "", "http://h:80/77.ts", None),
            ("xc", "http://h/own/{utc}", "http://h:80/u/p/77", Some("http://h/own/{utc}")),
            ("flussonic", "", "http://h/151/mpegts?token=t", Some("http://h/151/timeshift_abs-{utc}.ts?token=t")),
            ("fs", "", "http://h/a/325/index.m3u8", Some("http://h/a/325/archive-{utc}-{duration}.m3u8")),
            ("flussonic", "", "http://h/325/mono.m3u8?t=s", Some("http://h/325/mono-{utc}-{duration}.m3u8?t=s")),
            ("flussonic", "", "http://h", None),
            ("vod", "http://a/{catchup-id}", "http://h/1.ts", None),
            ("stalker", "", "http://h/1.ts", None),
        ] {
            let catchup = Catchup { mode: mode.into(), days: 1, source: source.into() };
            assert_eq!(template(&catchup, live).as_deref(), made, "{mode} {source} {live}");
        }
        assert_eq!(panel("http://h/iptv/live/u/p/7.ts").map(|p| p.base), Some("http://h/iptv"));
        assert_eq!((usual_mode("http://h/u/p/7"), usual_mode("http://h/7.ts")), ("xc", "shift"));
    }

    #[test]
    fn a_leader_has_the_archive_of_whom_it_shows() {
        let row = |id: u32, key: &str, days: u16| Channel {
            merge_key: key.into(),
            sources: vec![ChannelSource { url: format!("http://h/{id}.ts"), headers: Vec::new() }],
            catchup: (days > 0).then(|| Catchup { mode: "shift".into(), days, source: String::new() }),
            ..sample::channel(id, &format!("A {id}"), "")
        };
        let catalog = |rows: Vec<Channel>| {
            let rows = rows.into_iter().map(std::sync::Arc::new).collect();
            let rows: Vec<_> = super::super::merging::merged(rows, |_| 1).iter().map(|c| (**c).clone()).collect();
            Catalog::sample(&rows, &[])
        };
        let found = |catalog: &Catalog| {
            let leader = &catalog.channels()[0];
            (catalog.archive_days(leader), catalog.archive(leader).map(|a| a.source.url.clone()))
        };
        assert_eq!(found(&catalog(vec![row(1, "", 0)])), (0, None));
        assert_eq!(found(&catalog(vec![row(1, "", 3)])), (3, Some("http://h/1.ts".into())));
        assert_eq!(found(&catalog(vec![row(1, "k", 0), row(2, "k", 5)])), (5, Some("http://h/2.ts".into())));
        assert_eq!(found(&catalog(vec![row(1, "k", 3), row(2, "k", 5)])), (3, Some("http://h/1.ts".into())));
        // What cannot be had hides nothing that can.
        let deaf = ChannelSource { url: "acestream://0123".into(), headers: Vec::new() };
        let deaf = Channel { sources: vec![deaf], ..row(1, "k", 3) };
        assert_eq!(found(&catalog(vec![deaf, row(2, "k", 5)])), (5, Some("http://h/2.ts".into())));
        // Its playlist does not list it any more: its own address is not shown, and its archive neither.
        let gone = Channel { retired_at: Some(1), ..row(1, "k", 3) };
        assert_eq!(found(&catalog(vec![gone, row(2, "k", 5)])), (5, Some("http://h/2.ts".into())));
    }
}
