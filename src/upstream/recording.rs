//! A recording at a provider: fetched for one viewer, as fast as that viewer takes it.
//!
//! Owns how much of it there is, as the provider says. Must not enter: which recording, viewers. Invariant: it is an upstream like any
//! other: a place of the account, the outbound rules, media or nothing.

use tokio::time::Instant;
use yagi_api::Locator;

use super::{Claim, Feed, Inner, Status, UpstreamError, Upstreams, hls, http_ts, watched};
use crate::secret::redact;

pub use http_ts::Extent;

pub struct Recording {
    pub feed: Feed,
    pub extent: Extent,
}

impl Upstreams {
    /// Opens one and waits for its first bytes. `range`: first byte and number of bytes (none: all that follow).
    ///
    /// # Errors
    /// As of any upstream; also for addresses that are none of the web.
    pub async fn recording(
        &self,
        url: &str,
        headers: &[(String, String)],
        claim: &Claim,
        range: Option<(u64, Option<u64>)>,
    ) -> Result<Recording, UpstreamError> {
        // The same spelling as of channels' addresses, so that labels look alike.
        let url = match Locator::parse(url) {
            Ok(Locator::Http(url)) => url,
            _ => return Err(UpstreamError::Refused(format!("{} is no address of an archive", redact(url)))),
        };
        // Of a list the numbers of bytes mean nothing.
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let range = range.filter(|_| !path.ends_with(".m3u8"));
        let permit = self.slots.take(claim).await?;
        let request = http_ts::Request::new(&url, headers, claim.reach, &self.outbound)?.of_range(range);
        let opening = async {
            let deadline: Instant = request.deadline();
            Ok(match request.open(&self.outbound, deadline).await? {
                http_ts::Answer::Media(body) => {
                    let extent = body.extent().clone();
                    (Inner::Http(body), extent)
                }
                http_ts::Answer::Hls(list) => {
                    let list = hls::Hls::start(*list, self.outbound.clone(), Status::default(), deadline, true).await?;
                    (Inner::Hls(list), Extent::default())
                }
            })
        };
        let (inner, extent) = watched(permit.as_ref(), opening).await?;
        Ok(Recording { feed: Feed { inner, label: redact(&url), permit }, extent })
    }
}
