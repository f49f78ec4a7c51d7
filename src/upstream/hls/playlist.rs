//! What an HLS playlist says, in the few words that the reader needs.
//!
//! Owns the reading by `m3u8-rs` and what that crate leaves open: keys and maps hold until the next one, byte ranges
//! continue, foreign tags do no harm. Must not enter: sockets, clocks. Invariant: no text makes it panic, and what it
//! gives is bounded by the text.

use std::time::Duration;

use m3u8_rs::{AlternativeMediaType, KeyMethod, MediaSegment};

/// Segments of a playlist that are looked at: the newest ones.
const MAX_SEGMENTS: usize = 20_000;
/// Longest duration that is believed of a segment.
const MAX_SECONDS: f32 = 3600.0;
/// Tags that matter. A broken one of another kind would end the reading of all that follows.
const TAGS: &[&str] = &[
    "#EXTM3U",
    "#EXTINF:",
    "#EXT-X-VERSION:",
    "#EXT-X-TARGETDURATION:",
    "#EXT-X-MEDIA-SEQUENCE:",
    "#EXT-X-BYTERANGE:",
    "#EXT-X-KEY:",
    "#EXT-X-MAP:",
    "#EXT-X-STREAM-INF:",
    "#EXT-X-MEDIA:",
];

#[derive(Clone, Debug, PartialEq)]
pub enum Playlist {
    Master(Vec<Variant>),
    Media(Media),
}

/// One rendition of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    pub uri: String,
    pub bandwidth: u64,
    /// `1280x720`, or empty.
    pub size: String,
    /// Its sound is in a playlist of its own.
    pub silent: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    pub target: Duration,
    /// No more segments will come.
    pub ended: bool,
    /// Numbered without a gap.
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub number: u64,
    pub uri: String,
    pub duration: Duration,
    /// First byte and length.
    pub range: Option<(u64, u64)>,
    pub discontinuity: bool,
    pub key: Option<Key>,
}

/// AES-128 of a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub uri: String,
    pub iv: [u8; 16],
}

/// Reads a playlist.
///
/// # Errors
/// Says in words for the operator why it cannot be played.
pub fn read(bytes: &[u8]) -> Result<Playlist, String> {
    let text = String::from_utf8_lossy(bytes);
    let text = reduced(text.strip_prefix('\u{feff}').unwrap_or(&text));
    match m3u8_rs::parse_playlist_res(text.as_bytes()) {
        Ok(m3u8_rs::Playlist::MasterPlaylist(list)) => master(list),
        Ok(m3u8_rs::Playlist::MediaPlaylist(list)) => media(list),
        Err(_) => Err("the HLS playlist cannot be read".to_owned()),
    }
}

/// The lines that matter, in a spelling that the reader takes: line feeds, whole seconds, no blanks around.
fn reduced(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(1 << 20) + 1);
    for line in text.split(['\n', '\r']).map(str::trim).filter(|l| !l.is_empty()) {
        if let Some(seconds) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            let seconds: f64 = seconds.trim().parse().unwrap_or(10.0);
            out.push_str(&format!("#EXT-X-TARGETDURATION:{}\n", seconds.clamp(1.0, 3600.0).ceil()));
        } else if let Some(info) = line.strip_prefix("#EXTINF:") {
            // Some leave the comma out, some write titles that are no titles.
            let seconds = info.split(',').next().unwrap_or_default().trim();
            let seconds: f32 = seconds.parse().ok().filter(|s: &f32| s.is_finite() && *s >= 0.0).unwrap_or(0.0);
            out.push_str(&format!("#EXTINF:{},\n", seconds.min(MAX_SECONDS)));
        } else if line.starts_with("#EXT-X-KEY:METHOD=NONE") {
            // m3u8-rs 6.0.1 wants an IV where there is nothing to decrypt.
            out.push_str("#EXT-X-KEY:METHOD=NONE,IV=0x0\n");
        } else if matches!(line, "#EXT-X-DISCONTINUITY" | "#EXT-X-ENDLIST")
            || !line.starts_with('#')
            || TAGS.iter().any(|tag| line.starts_with(tag))
        {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn master(list: m3u8_rs::MasterPlaylist) -> Result<Playlist, String> {
    let apart: Vec<String> = list
        .alternatives
        .into_iter()
        .filter(|m| m.media_type == AlternativeMediaType::Audio && m.uri.is_some())
        .map(|m| m.group_id)
        .collect();
    let variants: Vec<Variant> = list
        .variants
        .into_iter()
        .filter(|v| !v.is_i_frame && !v.uri.is_empty())
        .map(|v| Variant {
            silent: v.audio.as_ref().is_some_and(|group| apart.contains(group)),
            size: v.resolution.map(|r| r.to_string()).unwrap_or_default(),
            bandwidth: v.bandwidth,
            uri: v.uri,
        })
        .collect();
    if variants.is_empty() {
        Err("the HLS playlist names no variant".to_owned())
    } else {
        Ok(Playlist::Master(variants))
    }
}

/// The best variant up to `most` bits per second (0: any), those with their sound before the others.
pub fn choose(variants: &[Variant], most: u64) -> Option<&Variant> {
    let fits = |v: &&Variant| most == 0 || v.bandwidth <= most;
    let best = |silent: bool| {
        // Among equals the first one, as the playlist's author ordered them.
        variants.iter().rev().filter(|v| v.silent == silent).filter(fits).max_by_key(|v| v.bandwidth)
    };
    best(false).or_else(|| best(true)).or_else(|| variants.iter().min_by_key(|v| (v.silent, v.bandwidth)))
}

fn media(list: m3u8_rs::MediaPlaylist) -> Result<Playlist, String> {
    let skip = list.segments.len().saturating_sub(MAX_SEGMENTS);
    let mut key: Option<m3u8_rs::Key> = None;
    let mut end = (String::new(), 0);
    let mut segments = Vec::with_capacity(list.segments.len() - skip);
    for (i, mut segment) in list.segments.into_iter().enumerate() {
        if segment.map.is_some() {
            return Err(
                "this HLS stream is fragmented MP4 (EXT-X-MAP); only MPEG-TS segments can be relayed".to_owned()
            );
        }
        key = segment.key.take().or(key);
        let number = list.media_sequence.saturating_add(i as u64);
        let range = range_of(&segment, &mut end);
        if i >= skip {
            segments.push(Segment {
                number,
                duration: Duration::from_secs_f32(segment.duration.clamp(0.0, MAX_SECONDS)),
                range,
                discontinuity: segment.discontinuity,
                key: key.as_ref().map(|k| key_of(k, number)).transpose()?.flatten(),
                uri: segment.uri,
            });
        }
    }
    let target = Duration::from_secs(list.target_duration.clamp(1, 3600));
    Ok(Playlist::Media(Media { target, ended: list.end_list, segments }))
}

/// A range without an offset begins where the last one of the same resource ended.
fn range_of(segment: &MediaSegment, end: &mut (String, u64)) -> Option<(u64, u64)> {
    let range = segment.byte_range.as_ref()?;
    let from = range.offset.unwrap_or(if end.0 == segment.uri { end.1 } else { 0 });
    *end = (segment.uri.clone(), from.saturating_add(range.length));
    Some((from, range.length))
}

fn key_of(key: &m3u8_rs::Key, number: u64) -> Result<Option<Key>, String> {
    let identity = key.keyformat.as_deref().is_none_or(|f| f.eq_ignore_ascii_case("identity"));
    match (&key.method, &key.uri) {
        (KeyMethod::None, _) => Ok(None),
        (KeyMethod::AES128, Some(uri)) if identity => {
            let iv = match key.iv.as_deref() {
                Some(text) => iv_of(text).ok_or("the IV of an HLS key is not 128 bits in hexadecimal")?,
                None => u128::from(number).to_be_bytes(),
            };
            Ok(Some(Key { uri: uri.clone(), iv }))
        }
        (KeyMethod::AES128, None) => Err("an HLS key has no URI".to_owned()),
        (method, _) => {
            Err(format!("this HLS stream is protected ({method}); only AES-128 with a plain key can be read"))
        }
    }
}

fn iv_of(text: &str) -> Option<[u8; 16]> {
    let digits = text.trim_matches('"').strip_prefix("0x").or_else(|| text.trim_matches('"').strip_prefix("0X"))?;
    let fine = (1..=32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    fine.then(|| u128::from_str_radix(digits, 16).ok()).flatten().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn media(text: &str) -> Media {
        match read(text.as_bytes()) {
            Ok(Playlist::Media(media)) => media,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_ranges_and_discontinuities_are_followed() {
        let list = media(
            "\u{feff}#EXTM3U\r\n#EXT-X-VERSION:4\r\n#EXT-X-TARGETDURATION:5.5\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n\
             #EXT-X-PROGRAM-DATE-TIME:nonsense\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\r\n#EXTINF:4,a,b\r\n\
             #EXT-X-BYTERANGE:100@50\r\nall.ts\r\n#EXTINF:4\r\n#EXT-X-BYTERANGE:30\r\nall.ts\r\n\
             #EXT-X-DISCONTINUITY\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"k2\",IV=0x0F\r\n#EXTINF:3.25,\r\n# note\r\nb.ts\r\n\
             #EXT-X-KEY:METHOD=NONE\r\n#EXTINF:1,\r\nc.ts?a=%20b\r\n#EXT-X-ENDLIST\r\n",
        );
        let key = |uri: &str, iv: u128| Some(Key { uri: uri.to_owned(), iv: iv.to_be_bytes() });
        let rows: Vec<_> =
            list.segments.iter().map(|s| (s.number, s.uri.as_str(), s.range, s.discontinuity, s.key.clone())).collect();
        assert_eq!(
            rows,
            [
                (7, "all.ts", Some((50, 100)), false, key("k1", 7)),
                (8, "all.ts", Some((150, 30)), false, key("k1", 8)),
                (9, "b.ts", None, true, key("k2", 15)),
                (10, "c.ts?a=%20b", None, false, None),
            ]
        );
        assert_eq!((list.target, list.ended), (Duration::from_secs(6), true));
        assert_eq!(list.segments[2].duration, Duration::from_millis(3250));
    }

    #[test]
    fn the_best_variant_that_fits_is_chosen() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",URI=\"a.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=9000000,AUDIO=\"a\"\nhuge.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360\nlow.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280x720,CODECS=\"avc1.4d401f,mp4a.40.2\"\nhigh.m3u8\n\
            #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=99999999,URI=\"i.m3u8\"\n";
        let Ok(Playlist::Master(variants)) = read(text.as_bytes()) else { panic!() };
        let chosen = |most| choose(&variants, most).unwrap().uri.as_str();
        assert_eq!((chosen(0), chosen(1_000_000), chosen(1)), ("high.m3u8", "low.m3u8", "low.m3u8"));
        assert_eq!(choose(&variants, 0).unwrap().size, "1280x720");
        assert!(choose(&[], 0).is_none());
    }

    #[test]
    fn what_cannot_be_relayed_says_why() {
        for (text, word) in [
            ("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:4,\na.m4s\n", "fragmented MP4"),
            (
                "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n#EXTINF:4,\na.ts\n",
                "protected",
            ),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0xZZ\n#EXTINF:4,\na.ts\n", "IV"),
            ("#EXTINF:4,\na.ts\n", "cannot be read"),
        ] {
            let said = read(text.as_bytes()).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = read(&[b"#EXTM3U\n", &bytes[..]].concat());
        }

        #[test]
        fn no_lines_make_it_panic(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just("#EXTINF:".to_owned()), Just("#EXTINF:4,".to_owned()), Just("a.ts".to_owned()),
                    Just("#EXT-X-DISCONTINUITY".to_owned()), Just("#EXT-X-ENDLIST".to_owned()),
                    "#EXTINF:[-0-9.e]{0,40},?", "#EXT-X-TARGETDURATION:\\PC{0,22}", "#EXT-X-MEDIA-SEQUENCE:[-0-9]{0,25}",
                    "#EXT-X-BYTERANGE:[0-9]{0,22}@?[0-9]{0,22}", "#EXT-X-(KEY|MAP|MEDIA|STREAM-INF):\\PC{0,30}",
                    "#EXT-X-KEY:METHOD=(AES-128|NONE|X),URI=\"k\",IV=\\PC{0,8}",
                    "#EXT-X-STREAM-INF:BANDWIDTH=[0-9]{0,25},RESOLUTION=\\PC{0,8}", "\\PC{0,30}",
                ],
                0..40,
            )
        ) {
            let text = format!("#EXTM3U\n{}\n", lines.join("\n"));
            match read(text.as_bytes()) {
                Ok(Playlist::Media(media)) => {
                    prop_assert!(media.segments.len() <= lines.len());
                    prop_assert!(media.segments.windows(2).all(|w| w[1].number >= w[0].number));
                    prop_assert!((1..=3600).contains(&media.target.as_secs()));
                }
                Ok(Playlist::Master(variants)) => prop_assert!(choose(&variants, 1).is_some()),
                Err(_) => {}
            }
        }
    }
}
