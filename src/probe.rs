//! A look at a URL before it becomes a source.
//!
//! Owns telling playlists from guides by their content. Must not enter: rows, schedules. Invariant: it fetches under the rules
//! and caps of a refresh, in less time, and changes nothing.

use std::{
    collections::HashMap,
    io::BufRead as _,
    time::{Duration, Instant},
};

use yagi_api::{Probe, ProbeGroup, SourceKind, text::clean};

use crate::{
    config::Import,
    guide, playlist,
    secret::hide,
    upstream::{Caps, Conditions, Fetcher, Spool},
};

/// Who asks waits for the answer.
const LONGEST: Duration = Duration::from_secs(60);
const GROUPS: usize = 100;
/// Groups that are counted one by one.
const COUNTED: usize = 20_000;
const SAMPLE: usize = 10;

/// What is at `url`, which is valid as a source's.
pub async fn look(fetcher: &Fetcher, caps: &Import, url: &str) -> Probe {
    let began = Instant::now();
    let time = LONGEST.min(Duration::from_secs(caps.max_seconds.into()));
    let wire = Caps { bytes: u64::from(caps.max_download_mib) << 20, time };
    let mut probe = match fetcher.fetch(url, &Conditions::default(), wire).await {
        Err(e) => failed(format!("the source {e}")),
        Ok(fetched) => {
            let (body, caps) = (fetched.body, caps.clone());
            let read = move || read(&body, &caps, began + time);
            tokio::task::spawn_blocking(read)
                .await
                .unwrap_or_else(|_| failed("a bug stopped the look at it; see the daemon's log".to_owned()))
        }
    };
    probe.error = probe.error.map(|e| clean(&hide(&e, url), 512).into_owned());
    probe.millis = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
    probe
}

fn failed(why: String) -> Probe {
    Probe { error: Some(why), ..Probe::default() }
}

fn read(body: &Spool, caps: &Import, deadline: Instant) -> Probe {
    let bytes = body.len();
    let told = if body.is_empty() {
        Err("it is empty".to_owned())
    } else {
        is_xml(body).and_then(|xml| match xml {
            // A page with links begins like a guide.
            true => guide(body, caps, deadline).or_else(|why| playlist(body, caps, deadline).map_err(|_| why)),
            false => playlist(body, caps, deadline),
        })
    };
    let mut probe = told.unwrap_or_else(failed);
    probe.bytes = bytes;
    probe
}

/// By the first character that says anything, in any encoding of the wild.
fn is_xml(body: &Spool) -> Result<bool, String> {
    let mut reader = body.reader(1 << 20).map_err(|e| format!("it cannot be read: {e}"))?;
    let head = reader.fill_buf().map_err(|e| format!("it cannot be read: {e}"))?;
    let skip = |b: &&u8| b.is_ascii_whitespace() || matches!(**b, 0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff);
    Ok(head.iter().find(|b| !skip(b)) == Some(&b'<'))
}

fn guide(body: &Spool, caps: &Import, deadline: Instant) -> Result<Probe, String> {
    let reader = body.reader(u64::from(caps.max_guide_mib) << 20).map_err(|e| format!("it cannot be read: {e}"))?;
    let found = guide::count(reader, deadline, SAMPLE)?;
    Ok(Probe {
        ok: true,
        kind: Some(SourceKind::Guide),
        guide_channels: found.channels,
        programmes: found.programmes,
        skipped: found.skipped,
        notes: found.notes,
        sample: found.sample,
        ..Probe::default()
    })
}

fn playlist(body: &Spool, caps: &Import, deadline: Instant) -> Result<Probe, String> {
    let reader = body.reader(u64::from(caps.max_playlist_mib) << 20).map_err(|e| format!("it cannot be read: {e}"))?;
    let reader = playlist::pages::listed(reader).and_then(|text| playlist::m3u::Reader::new(text, caps.max_entries));
    let mut reader = reader.map_err(|e| format!("it cannot be read: {e}"))?;
    let (mut groups, mut sample) = (HashMap::<String, u32>::new(), Vec::new());
    let mut count = 0_u32;
    while let Some(entry) = reader.next().map_err(|e| format!("the playlist {e}"))? {
        if let Some(n) = groups.get_mut(&entry.group) {
            *n += 1;
        } else if groups.len() < COUNTED {
            groups.insert(entry.group.clone(), 1);
        }
        if sample.len() < SAMPLE {
            sample.push(entry.name.clone());
        }
        count += 1;
        if count.is_multiple_of(1024) && Instant::now() > deadline {
            return Err("took too long to read".to_owned());
        }
    }
    let summary = std::mem::take(&mut reader.summary);
    let group_total = u32::try_from(groups.len()).unwrap_or(u32::MAX);
    let mut groups: Vec<ProbeGroup> =
        groups.into_iter().map(|(name, channels)| ProbeGroup { name, channels }).collect();
    groups.sort_by(|a, b| b.channels.cmp(&a.channels).then_with(|| a.name.cmp(&b.name)));
    groups.truncate(GROUPS);
    Ok(Probe {
        ok: true,
        kind: Some(SourceKind::Playlist),
        entries: summary.entries,
        skipped: summary.skipped,
        groups,
        group_total,
        guide_urls: summary.guides,
        notes: summary.notes.iter().map(ToString::to_string).collect(),
        sample,
        ..Probe::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8]) -> Probe {
        read(&Spool::of(text).unwrap(), &Import::default(), Instant::now() + LONGEST)
    }

    #[test]
    fn kinds_are_told_by_the_content() {
        let list = b"#EXTM3U url-tvg=\"http://h/guide.xml\"\n#EXTINF:-1 group-title=\"News\",A\nhttp://h/1\n\
            #EXTINF:-1 group-title=\"News\",B\nhttp://h/2\n#EXTINF:-1 group-title=\"Sport\",C\nhttp://h/3\n";
        let found = of(list);
        assert_eq!((found.ok, found.kind, found.entries), (true, Some(SourceKind::Playlist), 3), "{found:?}");
        assert_eq!(found.groups[0], ProbeGroup { name: "News".into(), channels: 2 });
        assert_eq!((found.group_total, found.guide_urls.as_slice()), (2, &["http://h/guide.xml".to_owned()][..]));
        assert_eq!(found.sample, ["A", "B", "C"]);
        let xml = b"\xef\xbb\xbf<tv><channel id=\"a\"><display-name>A</display-name></channel>\
            <programme start=\"20260101000000 +0000\" channel=\"a\"><title>x</title></programme></tv>";
        let found = of(xml);
        assert_eq!((found.kind, found.guide_channels, found.programmes), (Some(SourceKind::Guide), 1, 1), "{found:?}");
        assert_eq!(found.sample, ["A"]);
        let page = format!("<html><body><a href=\"acestream://{}\">One</a></body></html>", "a1".repeat(20));
        let found = of(page.as_bytes());
        assert_eq!(
            (found.kind, found.entries, found.sample.as_slice()),
            (Some(SourceKind::Playlist), 1, &["One".to_owned()][..])
        );
    }

    #[test]
    fn what_is_neither_is_told_in_words() {
        for (text, expected) in [
            (&b""[..], "empty"),
            (b"<!DOCTYPE html><html><body>login</body></html>", "html"),
            (b"{\"error\":\"no\"}", "playlist"),
            (b"<tv><programme", "ended"),
        ] {
            let found = of(text);
            let error = found.error.unwrap_or_default();
            assert!(!found.ok && found.kind.is_none() && !error.is_empty(), "{error}");
            assert!(error.to_lowercase().contains(expected) || expected == "ended", "{error}");
        }
    }
}
