//! HLS as one continuous stream: the playlist is reloaded, its segments are read in order.
//!
//! Owns which segment comes next, when the playlist is asked again, and the pace. Must not enter: packets, viewers.
//! Invariants: every segment is given at most once and in order; where one is missing, or the playlist says so, a seam
//! stands; every request goes through the outbound policy; playlists, segments and keys are bounded; nothing runs but
//! while [`Hls::next`] is awaited, and all sockets close with the value.

mod crypt;
pub mod playlist;
mod segment;

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{Piece, Status, UpstreamError, dial, http_ts, outbound::Outbound};
use crate::secret::hide;
use playlist::{Media, Playlist, Segment, Variant};
use segment::Reader;

/// Bytes of a playlist.
pub const MAX_LIST: usize = 1 << 20;
/// Where in a live playlist a viewer begins: so many segments before its end (RFC 8216, 6.3.3).
const BEHIND: usize = 3;
/// Failures in a row, of playlists or of segments, that end the stream.
const MAX_FAILURES: u32 = 3;
/// Time for one playlist.
const LIST_LIMIT: Duration = Duration::from_secs(10);
/// A playlist without a new segment for so many target durations is dead.
const STALL: u32 = 4;
const STALL_AT_LEAST: Duration = Duration::from_secs(12);
/// Nesting of master playlists.
const MAX_DEPTH: u32 = 3;
/// The newest segment is spread over this part of its duration.
const SPREAD: f64 = 0.8;

/// A playlist as it came.
pub(super) struct List {
    pub text: Vec<u8>,
    /// What answered.
    pub ask: dial::Ask,
}

/// Whether a text is a playlist of HLS, rather than a list of channels.
pub(super) fn is_hls(text: &[u8]) -> bool {
    const MARKS: [&[u8]; 3] = [b"#EXT-X-TARGETDURATION", b"#EXT-X-STREAM-INF", b"#EXT-X-MEDIA-SEQUENCE"];
    MARKS.iter().any(|mark| memchr::memmem::find(text, mark).is_some())
}

type Work = Pin<Box<dyn Future<Output = UpstreamError> + Send>>;

/// A running stream.
pub(super) struct Hls {
    work: Work,
    pieces: mpsc::Receiver<Piece>,
    first: Option<Piece>,
    /// Why there is no more, once the work is done.
    end: Option<UpstreamError>,
}

impl Hls {
    /// Reads until the first bytes are there. `whole`: from its beginning and as fast as it is taken, whether it goes on or not.
    pub(super) async fn start(
        list: List,
        outbound: Arc<Outbound>,
        status: Status,
        deadline: Instant,
        whole: bool,
    ) -> Result<Self, UpstreamError> {
        let (list, variant) = descend(list, &outbound, deadline).await?;
        let first = read(&list)?;
        let Playlist::Media(media) = first else {
            return Err(UpstreamError::NotMedia("HLS master playlists lead to each other without an end".to_owned()));
        };
        let (give, pieces) = mpsc::channel(1);
        let follower = Follower {
            reader: Reader::new(list.ask.clone(), outbound.clone(), give),
            ask: list.ask,
            outbound,
            status,
            variant,
            whole,
            next: None,
            skipped: 0,
        };
        let mut hls = Self { work: Box::pin(follower.follow(media)), pieces, first: None, end: None };
        hls.first = Some(
            timeout_at(deadline, hls.next())
                .await
                .map_err(|_| UpstreamError::Timeout("waiting for the first HLS segment"))??,
        );
        Ok(hls)
    }

    /// Cancel-safe: what is under way stays so until the next call.
    pub(super) async fn next(&mut self) -> Result<Piece, UpstreamError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        if self.end.is_none() {
            tokio::select! {
                biased;
                Some(piece) = self.pieces.recv() => return Ok(piece),
                error = &mut self.work => self.end = Some(error),
            }
        }
        // What was given last is still to be taken.
        self.pieces.try_recv().map_err(|_| self.end.clone().unwrap_or(UpstreamError::Ended))
    }
}

fn read(list: &List) -> Result<Playlist, UpstreamError> {
    playlist::read(&list.text).map_err(|why| UpstreamError::NotMedia(hide(&why, list.ask.url.as_str())))
}

/// From a master playlist to the media playlist of the chosen variant, which is told in words.
async fn descend(mut list: List, outbound: &Outbound, deadline: Instant) -> Result<(List, String), UpstreamError> {
    let mut words = String::new();
    for _ in 0..MAX_DEPTH {
        let Playlist::Master(variants) = read(&list)? else { break };
        let Some(chosen) = playlist::choose(&variants, outbound.hls_max_bits_per_s) else { break };
        words = name(chosen);
        if chosen.silent {
            tracing::warn!(variant = words, "the sound of this HLS stream has a playlist of its own and is left out");
        }
        list = load(list.ask.to(&chosen.uri)?, outbound, deadline).await?;
    }
    Ok((list, words))
}

fn name(variant: &Variant) -> String {
    let size = if variant.size.is_empty() { String::new() } else { format!("{} ", variant.size) };
    let sound = if variant.silent { " without sound" } else { "" };
    format!("{size}{:.1} Mbit/s{sound}", variant.bandwidth as f64 / 1e6)
}

async fn load(ask: dial::Ask, outbound: &Outbound, deadline: Instant) -> Result<List, UpstreamError> {
    let mut response = ask.send(outbound, deadline).await?;
    http_ts::check_status(response.status)?;
    let text = response.body.read(MAX_LIST, deadline).await?;
    if text.len() > MAX_LIST {
        return Err(UpstreamError::NotMedia("the HLS playlist is longer than 1 MiB".to_owned()));
    }
    if !is_hls(&text) {
        let what = http_ts::name_it(&response.headers, &text[..text.len().min(1024)]);
        return Err(UpstreamError::NotMedia(hide(
            &format!("instead of an HLS playlist {what}"),
            response.asked.url.as_str(),
        )));
    }
    Ok(List { text, ask: response.asked })
}

/// Goes from segment to segment.
struct Follower {
    ask: dial::Ask,
    outbound: Arc<Outbound>,
    reader: Reader,
    status: Status,
    variant: String,
    whole: bool,
    /// The number of the segment that is wanted next.
    next: Option<u64>,
    /// Segments that could not be had.
    skipped: u64,
}

/// What a reloaded playlist has for us.
#[derive(Debug, PartialEq)]
enum Ahead {
    /// From this index on.
    From(usize),
    /// So many segments are gone; from this index on.
    Lost(u64, usize),
    /// The numbering began anew; from this index on.
    Restarted(usize),
    Nothing,
}

/// Finds the wanted segment. A playlist that ends before it is an older one from another cache, unless it lies far back.
fn ahead(media: &Media, next: Option<u64>, whole: bool) -> Ahead {
    let (Some(first), Some(last)) = (media.segments.first(), media.segments.last()) else { return Ahead::Nothing };
    let start = if media.ended || whole { 0 } else { media.segments.len().saturating_sub(BEHIND) };
    match next {
        None => Ahead::From(start),
        Some(next) if next < first.number => Ahead::Lost(first.number - next, 0),
        Some(next) if next <= last.number => {
            Ahead::From(usize::try_from(next - first.number).unwrap_or(0).min(media.segments.len() - 1))
        }
        Some(next) if next - last.number > media.segments.len() as u64 + 2 => Ahead::Restarted(start),
        Some(_) => Ahead::Nothing,
    }
}

impl Follower {
    async fn follow(mut self, mut media: Media) -> UpstreamError {
        let mut loaded = Instant::now();
        let mut last_new = loaded;
        let mut failures = 0;
        loop {
            let from = match ahead(&media, self.next, self.whole) {
                Ahead::From(from) => Some(from),
                Ahead::Lost(n, from) => {
                    self.skipped += n;
                    self.reader.seam();
                    Some(from)
                }
                Ahead::Restarted(from) => {
                    self.reader.seam();
                    Some(from)
                }
                Ahead::Nothing => None,
            };
            let is_new = from.is_some();
            if let Some(from) = from
                && let Err(error) = self.play(&media, from).await
            {
                return error;
            }
            if media.ended {
                return UpstreamError::Ended;
            }
            if is_new {
                last_new = Instant::now();
            } else if last_new.elapsed() >= STALL_AT_LEAST.max(media.target * STALL) {
                return UpstreamError::Timeout("the HLS playlist gets no new segments");
            }
            // A playlist that had nothing new is asked for again sooner (RFC 8216, 6.3.4).
            sleep_until(loaded + if is_new { media.target } else { media.target / 2 }).await;
            loaded = Instant::now();
            match load(self.ask.clone(), &self.outbound, loaded + LIST_LIMIT).await.and_then(|list| read(&list)) {
                Ok(Playlist::Media(fresh)) => {
                    media = fresh;
                    failures = 0;
                }
                Ok(Playlist::Master(_)) => {
                    return UpstreamError::NotMedia("an HLS media playlist became a master playlist".to_owned());
                }
                Err(error) => {
                    failures += 1;
                    tracing::debug!(%error, failures, "an HLS playlist could not be reloaded");
                    if failures >= MAX_FAILURES {
                        return error;
                    }
                    media.segments.clear();
                    sleep(Duration::from_millis(300)).await;
                }
            }
        }
    }

    /// Gives all segments from this index on.
    async fn play(&mut self, media: &Media, from: usize) -> Result<(), UpstreamError> {
        for (i, segment) in media.segments.iter().enumerate().skip(from) {
            self.next = Some(segment.number.saturating_add(1));
            self.say(segment);
            if segment.discontinuity {
                self.reader.seam();
            }
            // What a viewer can be behind is given at once; the newest segment takes its time, so that who joins meanwhile
            // does not run dry before the next one. A recording has no newest: it is given in its own time.
            let newest = i + 1 == media.segments.len();
            let over = match (media.ended, newest) {
                _ if self.whole => Duration::ZERO,
                (false, true) => segment.duration.min(media.target * 2).mul_f64(SPREAD),
                (true, _) if i >= from + BEHIND - 1 => segment.duration,
                _ => Duration::ZERO,
            };
            match self.reader.give(segment, over).await {
                Ok(()) => {}
                Err(error) => {
                    self.skipped += 1;
                    tracing::warn!(segment = segment.number, %error, "an HLS segment is left out");
                    self.reader.seam();
                    if self.reader.failures >= MAX_FAILURES {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn say(&self, segment: &Segment) {
        let variant = if self.variant.is_empty() { String::new() } else { format!("{}, ", self.variant) };
        let skipped = if self.skipped == 0 { String::new() } else { format!(", {} left out", self.skipped) };
        self.status.set(format!("HLS {variant}segment {}{skipped}", segment.number));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn media(first: u64, count: u64) -> Media {
        let segment = |number| Segment {
            number,
            uri: format!("{number}.ts"),
            duration: Duration::from_secs(4),
            range: None,
            discontinuity: false,
            key: None,
        };
        let segments = (first..first.saturating_add(count)).map(segment).collect();
        Media { target: Duration::from_secs(4), ended: false, segments }
    }

    #[test]
    fn the_wanted_segment_is_found() {
        assert_eq!(ahead(&media(10, 6), None, false), Ahead::From(3));
        assert_eq!(ahead(&media(10, 6), None, true), Ahead::From(0));
        assert_eq!(ahead(&media(10, 2), None, false), Ahead::From(0));
        assert_eq!(ahead(&Media { ended: true, ..media(10, 6) }, None, false), Ahead::From(0));
        assert_eq!(ahead(&media(10, 6), Some(15), false), Ahead::From(5));
        assert_eq!(ahead(&media(10, 6), Some(16), false), Ahead::Nothing);
        assert_eq!(ahead(&media(10, 6), Some(18), false), Ahead::Nothing, "an older copy");
        assert_eq!(ahead(&media(10, 6), Some(7), false), Ahead::Lost(3, 0));
        assert_eq!(ahead(&media(0, 6), Some(400), false), Ahead::Restarted(3));
        assert_eq!(ahead(&media(0, 0), Some(4), false), Ahead::Nothing);
    }

    /// A playlist that has ended: what came last is given before its end is told.
    #[tokio::test]
    async fn the_last_piece_comes_before_the_end() {
        let (give, pieces) = mpsc::channel(1);
        let work = Box::pin(async move {
            give.send(Piece::Seam).await.unwrap();
            give.send(Piece::Bytes("last".into())).await.unwrap();
            UpstreamError::Ended
        });
        let mut hls = Hls { work, pieces, first: None, end: None };
        assert!(matches!(hls.next().await, Ok(Piece::Seam)));
        assert!(matches!(hls.next().await, Ok(Piece::Bytes(bytes)) if bytes == "last"));
        for _ in 0..2 {
            assert!(matches!(hls.next().await, Err(UpstreamError::Ended)));
        }
    }

    proptest! {
        #[test]
        fn what_is_given_is_in_the_list_and_wanted(first in 0u64..50, count in 0u64..20, next in 0u64..100) {
            let list = media(first, count);
            match ahead(&list, Some(next), false) {
                Ahead::From(i) => prop_assert_eq!(list.segments[i].number, next),
                Ahead::Lost(n, i) => prop_assert_eq!(list.segments[i].number, next + n),
                Ahead::Restarted(i) => prop_assert!(list.segments[i].number < next),
                Ahead::Nothing => prop_assert!(list.segments.iter().all(|s| s.number < next)),
            }
        }
    }

    #[test]
    fn a_list_of_channels_is_no_hls() {
        assert!(is_hls(b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n"));
        assert!(!is_hls(b"#EXTM3U\n#EXTINF:-1,One\nhttp://h/1\n"));
    }
}
