//! What a channel's name tells of its picture.

/// Words of quality, read out of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// Lines of the picture: 4320, 2160, 1080, 720 or 576; 0: the name says nothing.
    pub lines: u16,
    pub hevc: bool,
    pub hdr: bool,
}

/// Each word and what it means: lines of the picture (0: none), HEVC, HDR.
const WORDS: &[(&str, Quality)] = &[
    ("8k", lines(4320)),
    ("4320p", lines(4320)),
    ("4k", lines(2160)),
    ("uhd", lines(2160)),
    ("2160p", lines(2160)),
    ("ultrahd", lines(2160)),
    ("fhd", lines(1080)),
    ("fullhd", lines(1080)),
    ("1080p", lines(1080)),
    ("1080i", lines(1080)),
    ("1080", lines(1080)),
    ("hd", lines(720)),
    ("hq", lines(720)),
    ("720p", lines(720)),
    ("720", lines(720)),
    ("sd", lines(576)),
    ("576p", lines(576)),
    ("480p", lines(576)),
    ("lq", lines(576)),
    ("hevc", Quality { lines: 0, hevc: true, hdr: false }),
    ("h265", Quality { lines: 0, hevc: true, hdr: false }),
    ("x265", Quality { lines: 0, hevc: true, hdr: false }),
    ("hdr", Quality { lines: 0, hevc: false, hdr: true }),
    ("hdr10", Quality { lines: 0, hevc: false, hdr: true }),
];

const fn lines(lines: u16) -> Quality {
    Quality { lines, hevc: false, hdr: false }
}

impl Quality {
    /// Reads `"Sky Sport UHD [HEVC]"`; a name that begins with such a word is not read at it (`"4K Movies"` is a name).
    #[must_use]
    pub fn of(name: &str) -> Self {
        let mut out = Self::default();
        let mut first = true;
        // "H.265" is one word.
        let parts = name.split(|c: char| !(c.is_alphanumeric() || c == '.')).flat_map(|w| {
            let whole = ["h.265", "h.264", "x.265"].iter().any(|k| w.eq_ignore_ascii_case(k));
            w.split(move |c| c == '.' && !whole)
        });
        for word in parts.filter(|w| !w.is_empty()) {
            if std::mem::take(&mut first) || word.len() > 7 {
                continue;
            }
            let word: String = superscript(word).filter(|c| *c != '.').collect();
            if let Some((_, q)) = WORDS.iter().find(|(w, _)| w.eq_ignore_ascii_case(&word)) {
                out.lines = out.lines.max(q.lines);
                out.hevc |= q.hevc;
                out.hdr |= q.hdr;
            }
        }
        out
    }

    /// `4k`, `fhd`, `hd`, `sd`, or nothing.
    #[must_use]
    pub fn picture(self) -> &'static str {
        match self.lines {
            4320 => "8k",
            2160 => "4k",
            1080 => "fhd",
            720 => "hd",
            576 => "sd",
            _ => "",
        }
    }

    /// `fhd hevc hdr`.
    #[must_use]
    pub fn words(self) -> String {
        let all = [self.picture(), if self.hevc { "hevc" } else { "" }, if self.hdr { "hdr" } else { "" }];
        all.iter().filter(|w| !w.is_empty()).copied().collect::<Vec<_>>().join(" ")
    }

    /// The better picture is the greater; of equal ones HDR, then HEVC. A name without a word lies between SD and HD.
    #[must_use]
    pub fn rank(self) -> (u16, bool, bool) {
        (if self.lines == 0 { 600 } else { self.lines }, self.hdr, self.hevc)
    }
}

/// Providers write `ᴴᴰ`, `ᵁᴴᴰ` and `⁴ᴷ`.
fn superscript(word: &str) -> impl Iterator<Item = char> {
    word.chars().map(|c| match c {
        'ᴴ' => 'h',
        'ᴰ' => 'd',
        'ᵁ' => 'u',
        'ᶠ' => 'f',
        'ᴷ' => 'k',
        'ᵂ' => 'w',
        'ˢ' => 's',
        '⁴' => '4',
        '⁸' => '8',
        c => c,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_quality_are_read_out_of_names() {
        for (name, words) in [
            ("Das Erste HD", "hd"),
            ("Sky Sport UHD [HEVC]", "4k hevc"),
            ("IT: Rai 1 FHD", "fhd"),
            ("Rai 1 (1080p) H.265 HDR", "fhd hevc hdr"),
            ("Rai.1.HD", "hd"),
            ("Canale 5 ᴴᴰ", "hd"),
            ("Canale 5 ⁴ᴷ", "4k"),
            ("News SD", "sd"),
            ("4K Movies", ""),
            ("HD", ""),
            ("Shades", ""),
            ("", ""),
        ] {
            assert_eq!(Quality::of(name).words(), words, "{name}");
        }
        assert!(Quality::of("A HD").rank() > Quality::of("A").rank());
        assert!(Quality::of("A").rank() > Quality::of("A SD").rank());
    }
}
