//! The encoding of a text that does not name it and is not UTF-8.
//!
//! Must not enter: what the text means. Invariants: only a sample at the beginning is looked at, so the cost is bounded and the same bytes
//! always give the same answer; UTF-8 with a few broken bytes stays UTF-8.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::Encoding;

/// Bytes of a beginning that are worth looking at.
pub const SAMPLE: usize = 16 << 10;
/// Fewer bytes say nothing.
const FEW: usize = 4;

/// What the lines of `sample` that are not UTF-8 are written in; none when they say too little.
pub fn guess(sample: &[u8]) -> Option<&'static Encoding> {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let (mut foreign, mut proper) = (0, 0);
    for line in sample.split_inclusive(|b| *b == b'\n') {
        let mut broken = 0;
        for chunk in line.utf8_chunks() {
            proper += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
            broken += chunk.invalid().len();
        }
        if broken > 0 {
            detector.feed(line, false);
        }
        foreign += broken;
    }
    (foreign >= FEW && foreign > proper).then(|| detector.guess(None, Utf8Detection::Deny))
}

#[cfg(test)]
mod tests {
    use encoding_rs::{GBK, KOI8_R, SHIFT_JIS, WINDOWS_1250, WINDOWS_1251, WINDOWS_1253};

    use super::*;

    fn list(names: &[&str]) -> String {
        names.iter().map(|n| format!("#EXTINF:-1 group-title=\"TV\",{n}\nhttp://h/1\n")).collect()
    }

    #[test]
    fn lists_of_the_world_are_told_by_their_letters() {
        for (encoding, names) in [
            (WINDOWS_1251, &["Россия 24", "Первый канал", "НТВ"][..]),
            (WINDOWS_1251, &["Новости"]),
            (KOI8_R, &["Россия 24", "Первый канал", "Культура и наука"]),
            (WINDOWS_1253, &["ΕΡΤ Ειδήσεις", "Ελληνική τηλεόραση"]),
            (WINDOWS_1250, &["Česká televize", "Příroda a zvířata", "Žluťoučký kůň", "Šlágr"]),
            (SHIFT_JIS, &["日本放送協会総合テレビ", "ニュース速報"]),
            (GBK, &["中央电视台综合频道", "新闻联播"]),
        ] {
            let bytes = encoding.encode(&list(names)).0.into_owned();
            let found = guess(&bytes).unwrap();
            assert_eq!(found.decode(&bytes).0, list(names), "{} as {}", encoding.name(), found.name());
        }
    }

    #[test]
    fn western_lists_stay_western_and_broken_utf_8_stays_utf_8() {
        let western = encoding_rs::WINDOWS_1252.encode(&list(&["Télé française", "Fußball", "España"])).0.into_owned();
        assert_eq!(guess(&western).unwrap(), encoding_rs::WINDOWS_1252);
        assert_eq!(guess(list(&["Россия 24", "Télé"]).as_bytes()), None);
        assert_eq!(guess(b"caf\xe9"), None);
        let mut broken = list(&["Первый канал", "Россия 24"]).into_bytes();
        broken.extend_from_slice(b"a\xff\xfe\xff\xfe\xffb");
        assert_eq!(guess(&broken), None);
        assert_eq!(guess(b""), None);
    }
}
