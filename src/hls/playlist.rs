//! The text of a live media playlist (RFC 8216).
//!
//! Owns its lines. Must not enter: sessions, segments' bytes. Invariants: numbers and target duration come from the stream, so
//! all viewers read the same list; every address is relative, so that it is right behind any proxy and prefix.
//! `EXT-X-PROGRAM-DATE-TIME` is when a segment came to us: when its pictures were taken is not known here.

use std::fmt::Write as _;

use crate::stream::Reel;

pub const MEDIA_TYPE: &str = "application/vnd.apple.mpegurl";

/// The list, with `place` before each segment's name: empty, or a path that ends with a slash.
pub fn write(reel: &Reel, place: &str) -> String {
    let listed = reel.listed();
    let mut out = String::with_capacity(160 + listed.len() * (96 + place.len()));
    let (number, breaks) = listed.first().map_or((0, 0), |s| (s.number, s.breaks));
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{number}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{breaks}\n",
        reel.target_s
    );
    for segment in listed {
        if segment.is_break {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let at = jiff::Timestamp::from_microsecond(i64::try_from(segment.date_us).unwrap_or(0)).unwrap_or_default();
        let _ = write!(
            out,
            "#EXT-X-PROGRAM-DATE-TIME:{}\n#EXTINF:{:.3},\n{place}{}.ts\n",
            at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"),
            segment.duration.as_secs_f64(),
            segment.number
        );
    }
    out
}
