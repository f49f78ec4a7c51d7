//! Catch-up: what was on, fetched from the provider's archive for one viewer.
//!
//! Owns the way from a channel's template to an open recording: the provider's zone, its spellings, the headers that may go there.
//! Must not enter: logins, seats, replies. Invariants: no address of a provider leaves this room but to that provider; what was asked
//! for in our zone is asked for in the provider's.

pub mod asked;
pub mod fill;
mod zone;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use jiff::tz::TimeZone;
use url::Url;

pub use self::asked::{Asked, Wrong};
use self::{fill::Part, zone::Zones};
use crate::{
    library::archive::{Archived, Panel, panel},
    upstream::{Claim, Fetcher, Purpose, Reach, Recording, UpstreamError, Upstreams},
};

/// Handle; cheap to clone.
#[derive(Clone)]
pub struct Archive(Arc<Shared>);

struct Shared {
    upstreams: Upstreams,
    fetcher: Fetcher,
    zones: Zones,
    out_bytes: AtomicU64,
}

/// What of an archive is wanted, and for whom.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub archived: Archived<'a>,
    /// The zone that an administrator gave the playlist; empty: what its panel says, else UTC.
    pub zone: &'a str,
    pub asked: Asked,
    /// For those who want the account's place.
    pub holder: String,
    /// First byte and number of bytes.
    pub range: Option<(u64, Option<u64>)>,
    pub now: i64,
}

impl Archive {
    pub fn new(upstreams: Upstreams, fetcher: Fetcher) -> Self {
        Self(Arc::new(Shared { upstreams, fetcher, zones: Zones::default(), out_bytes: AtomicU64::new(0) }))
    }

    /// Opens the recording and waits for its first bytes.
    ///
    /// # Errors
    /// What the last of the provider's spellings led to.
    pub async fn open(&self, wanted: &Wanted<'_>) -> Result<Recording, UpstreamError> {
        let Wanted { archived, zone, asked, holder, range, now } = wanted;
        let reach = Reach::found(archived.provenance.found);
        let zone = self.zone(archived, zone, reach).await;
        let part = Part { start: asked.start, seconds: asked.seconds, now: *now, zone };
        let account = archived.provenance.account;
        let claim = Claim { account, holder: holder.clone(), purpose: Purpose::Viewer, reach, ..Claim::default() };
        let mut failed = UpstreamError::NotFound;
        for template in spellings(archived) {
            let url = fill::fill(&template, &part);
            let headers = headers(archived, &url);
            match self.0.upstreams.recording(&url, &headers, &claim, *range).await {
                Ok(recording) => return Ok(recording),
                // Panels know one of the two, and some fail over the other.
                Err(e) if may_be_spelling(&e) => failed = e,
                Err(e) => return Err(e),
            }
        }
        Err(failed)
    }

    async fn zone(&self, archived: &Archived<'_>, given: &str, reach: Reach) -> TimeZone {
        if !fill::names_dates(&archived.template) {
            return TimeZone::UTC;
        }
        if let Ok(zone) = TimeZone::get(given.trim_start_matches('!')) {
            return zone;
        }
        match panel(&archived.source.url) {
            Some(panel) => {
                let headers = headers(archived, &archived.source.url);
                self.0.zones.of(panel, &headers, reach, &self.0.fetcher).await
            }
            None => TimeZone::UTC,
        }
    }

    /// Whether the account has a place for one more.
    pub fn has_place(&self, wanted: &Wanted<'_>) -> bool {
        wanted.archived.provenance.account.is_none_or(|account| self.0.upstreams.has_place(account))
    }

    /// Bytes that viewers have been given.
    pub fn out_bytes(&self) -> u64 {
        self.0.out_bytes.load(Relaxed)
    }

    pub fn sent(&self, bytes: u64) {
        self.0.out_bytes.fetch_add(bytes, Relaxed);
    }
}

/// Addresses to be tried, in this order.
fn spellings(archived: &Archived<'_>) -> Vec<String> {
    let mut all = vec![archived.template.clone()];
    if let Some(Panel { base, user, password, id }) = panel(&archived.source.url)
        && archived.template.starts_with(&format!("{base}/timeshift/"))
    {
        all.push(format!(
            "{base}/streaming/timeshift.php?username={user}&password={password}&stream={id}\
             &start={{Y}}-{{m}}-{{d}}:{{H}}-{{M}}&duration={{duration:60}}"
        ));
    }
    all
}

fn may_be_spelling(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::NotFound | UpstreamError::NotMedia(_) | UpstreamError::Ended => true,
        UpstreamError::Status(status) => !matches!(status, 401 | 403 | 416 | 429),
        _ => false,
    }
}

/// What is sent along with the live stream's request is meant for its server alone, but for the player's name.
fn headers(archived: &Archived<'_>, url: &str) -> Vec<(String, String)> {
    let origin = |url: &str| Url::parse(url).map(|u| u.origin());
    let same = matches!((origin(url), origin(&archived.source.url)), (Ok(a), Ok(b)) if a == b);
    let all = archived.source.headers.iter();
    all.filter(|(name, _)| same || name.eq_ignore_ascii_case("user-agent")).cloned().collect()
}

#[cfg(test)]
mod tests {
    use yagi_api::ChannelSource;

    use super::*;
    use crate::library::Provenance;

    #[test]
    fn a_panel_is_asked_in_both_of_its_spellings_and_others_hear_no_secret() {
        let source = ChannelSource {
            url: "http://p.example:80/live/u/secret/7.ts".into(),
            headers: [("User-Agent", "Box"), ("Cookie", "c")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
        };
        let archived = |template: &str| Archived {
            days: 1,
            template: template.into(),
            source: &source,
            provenance: Provenance { account: None, found: false },
        };
        let own = archived("http://p.example:80/timeshift/u/secret/{duration:60}/{Y}-{m}-{d}:{H}-{M}/7.ts");
        let all = spellings(&own);
        assert_eq!(all.len(), 2);
        assert!(all[1].starts_with("http://p.example:80/streaming/timeshift.php?username=u&password=secret&stream=7&"));
        assert_eq!(headers(&own, "http://p.example/x").len(), 2);
        let other = archived("http://cdn.example/{utc}");
        assert_eq!(spellings(&other), ["http://cdn.example/{utc}"]);
        assert_eq!(headers(&other, "http://cdn.example/1"), [("User-Agent".to_owned(), "Box".to_owned())]);
        let retried = [UpstreamError::NotFound, UpstreamError::Status(500), UpstreamError::Status(403)]
            .map(|e| may_be_spelling(&e));
        assert_eq!(retried, [true, true, false]);
    }
}
