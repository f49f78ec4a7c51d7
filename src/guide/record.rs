//! One programme as bytes of a generation file.
//!
//! Owns the layout: six texts, each a little-endian u16 length and UTF-8. Times are not in it: they stand in the file's
//! table, where a missing stop is mended. Invariant: any bytes decode to a programme or to an error, never to a panic.

use std::io;

use yagi_api::Programme;

/// The longest record: six texts of the reader's caps fit.
pub const MAX: usize = 4 * (4096 + 2) + 2 * 1100;

/// Appends the texts.
pub fn encode(out: &mut Vec<u8>, p: &Programme) {
    for text in [&p.title, &p.subtitle, &p.description, &p.category, &p.icon, &p.lang] {
        let text = &text[..text.floor_char_boundary(text.len().min(MAX / 4))];
        out.extend_from_slice(&(text.len() as u16).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

/// Reads the texts at the start of `bytes`.
pub fn decode(mut bytes: &[u8]) -> io::Result<Programme> {
    let mut text = || -> Option<String> {
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
        bytes = rest;
        std::str::from_utf8(text).ok().map(str::to_owned)
    };
    let mut texts = || {
        Some(Programme {
            title: text()?,
            subtitle: text()?,
            description: text()?,
            category: text()?,
            icon: text()?,
            lang: text()?,
            ..Programme::default()
        })
    };
    texts().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a record of the guide's file is damaged"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_come_back(title in "\\PC{1,40}", description in "\\PC{0,200}", icon in "[a-z]{0,20}") {
            let p = Programme { title, description, icon, ..Programme::default() };
            let mut out = Vec::new();
            encode(&mut out, &p);
            prop_assert!(out.len() <= MAX);
            prop_assert_eq!(&decode(&out).unwrap(), &p);
            prop_assert!(decode(&out[..out.len() - 1]).is_err());
        }

        #[test]
        fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }
    }
}
