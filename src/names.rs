//! Which guide channel a channel's name means.
//!
//! Owns the two spellings that names are compared by. Must not enter: the line-up, the guide. Invariant: an empty result
//! means "compares with nothing".

use icu_normalizer::DecomposingNormalizerBorrowed;

/// Words that tell how a channel is sent, not which it is.
const QUALITY: &[&str] =
    &["sd", "hd", "fhd", "uhd", "4k", "8k", "hdr", "hevc", "h264", "h265", "1080p", "1080i", "720p", "raw"];

/// Case, accents and punctuation away, words parted by one blank: `"Das Erste (HD)"` is `"das erste hd"`.
pub fn fold(name: &str) -> String {
    // What is ASCII is decomposed already.
    if name.is_ascii() {
        folded(name.chars())
    } else {
        folded(DecomposingNormalizerBorrowed::new_nfkd().normalize_iter(name.chars()))
    }
}

fn folded(chars: impl Iterator<Item = char>) -> String {
    let mut out = String::with_capacity(chars.size_hint().0);
    let mut gap = false;
    let mut put = |text: &str, gap: &mut bool| {
        if std::mem::take(gap) && !out.is_empty() {
            out.push(' ');
        }
        out.push_str(text);
    };
    for c in chars {
        match c {
            // Combining marks, and quotes within a word.
            '\u{300}'..='\u{36f}' | '\'' | '\u{2019}' => {}
            '+' => put("plus", &mut gap),
            '&' => {
                gap = true;
                put("and", &mut gap);
                gap = true;
            }
            'ß' | 'ẞ' => put("ss", &mut gap),
            'æ' | 'Æ' => put("ae", &mut gap),
            'œ' | 'Œ' => put("oe", &mut gap),
            'ø' | 'Ø' => put("o", &mut gap),
            'ł' | 'Ł' => put("l", &mut gap),
            'đ' | 'Đ' | 'ð' | 'Ð' => put("d", &mut gap),
            'ı' => put("i", &mut gap),
            c if c.is_alphanumeric() => {
                for low in c.to_lowercase().filter(|c| !matches!(c, '\u{300}'..='\u{36f}')) {
                    put(low.encode_utf8(&mut [0; 4]), &mut gap);
                }
            }
            _ => gap = true,
        }
    }
    out
}

/// [`fold`]ed without words of picture quality: `"das erste"`. A name made of nothing else keeps them.
pub fn plain(folded: &str) -> String {
    let kept: Vec<&str> = folded.split(' ').filter(|w| !QUALITY.contains(w)).collect();
    if kept.is_empty() { folded.to_owned() } else { kept.join(" ") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_channel_under_many_names() {
        for name in ["Das Erste HD", "das erste", "DAS ERSTE (FHD)", "Das  Erste [UHD] 4K", "das-erste.hd", "Dás Ersté"]
        {
            assert_eq!(plain(&fold(name)), "das erste", "{name}");
        }
        assert_eq!(fold("Łódź & Ærø ß"), "lodz and aero ss");
        assert_eq!(fold("Canal+"), "canalplus");
        assert_eq!(fold("L'Équipe"), "lequipe");
        assert_eq!(fold("ＢＢＣ　One"), "bbc one");
        assert_eq!(fold("Первый канал"), "первыи канал");
        assert_eq!(plain("hd"), "hd");
        assert_eq!(fold(" -- "), "");
        assert_ne!(plain(&fold("BBC One")), plain(&fold("BBC Two")));
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(name in "\\PC{0,40}") {
            let once = fold(&name);
            prop_assert_eq!(plain(&plain(&once)), plain(&once));
            prop_assert!(!once.starts_with(' ') && !once.ends_with(' ') && !once.contains("  "));
        }
    }
}
