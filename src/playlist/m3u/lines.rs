//! Bytes into lines of text.
//!
//! Owns line ends (LF, CRLF, lone CR), encodings (UTF-8, UTF-16 by mark or look; lines that are neither in what a sample of them looks
//! like, else in windows-1252) and the cap on a line's length. Must not enter: what lines mean. Invariant: memory is bounded by the cap, whatever comes.

use std::io::{self, BufRead, Read};

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::charset;

/// Longer lines are cut here and marked.
pub const MAX_LINE: usize = 64 * 1024;

pub struct Lines {
    input: Box<dyn BufRead + Send>,
    text: String,
    number: u32,
    cut: bool,
    after_cr: bool,
    /// Lines that were not UTF-8.
    pub recoded: u32,
    /// What such lines are written in.
    legacy: Option<&'static Encoding>,
}

impl Lines {
    pub fn new(mut input: Box<dyn BufRead + Send>) -> io::Result<Self> {
        let head = input.fill_buf()?;
        let wide = match head {
            [0xff, 0xfe, ..] | [b'#' | b'h', 0, ..] => Some(UTF_16LE),
            [0xfe, 0xff, ..] | [0, b'#' | b'h', ..] => Some(UTF_16BE),
            _ => None,
        };
        if let Some(encoding) = wide {
            let decoder = encoding.new_decoder_with_bom_removal();
            input = Box::new(Transcoded { input, decoder, out: String::with_capacity(32 * 1024), at: 0, ended: false });
        }
        let mut sample = Vec::new();
        if let Err(error) = input.by_ref().take(charset::SAMPLE as u64).read_to_end(&mut sample) {
            // What came before is read all the same.
            input = Box::new(io::BufReader::with_capacity(1, Late(Some(error))));
        }
        let legacy = charset::guess(&sample);
        let input = Box::new(io::Cursor::new(sample).chain(input));
        Ok(Self { input, text: String::new(), number: 0, cut: false, after_cr: false, recoded: 0, legacy })
    }

    /// The line that was read last, without its end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// From 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// It was longer than [`MAX_LINE`].
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Reads the next line; false at the end.
    pub fn advance(&mut self) -> io::Result<bool> {
        let mut line = std::mem::take(&mut self.text).into_bytes();
        line.clear();
        self.cut = false;
        let mut any = false;
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if chunk.is_empty() {
                break;
            }
            if std::mem::take(&mut self.after_cr) && chunk[0] == b'\n' {
                self.input.consume(1);
                continue;
            }
            any = true;
            let end = memchr::memchr2(b'\n', b'\r', chunk);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = MAX_LINE - line.len();
            self.cut |= part.len() > room;
            line.extend_from_slice(&part[..part.len().min(room)]);
            self.after_cr = end.is_some_and(|i| chunk[i] == b'\r');
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        if any {
            self.number = self.number.saturating_add(1);
        }
        self.text = match String::from_utf8(line) {
            Ok(text) => text,
            // A cut may have split the last character.
            Err(e) if self.cut => String::from_utf8_lossy(e.as_bytes()).into_owned(),
            Err(e) => {
                self.recoded += 1;
                self.legacy = self.legacy.or_else(|| charset::guess(e.as_bytes()));
                self.legacy.unwrap_or(WINDOWS_1252).decode_without_bom_handling(e.as_bytes()).0.into_owned()
            }
        };
        if self.number == 1 && self.text.starts_with('\u{feff}') {
            self.text.remove(0);
        }
        Ok(any)
    }
}

/// A failure of the transport, in its place.
struct Late(Option<io::Error>);

impl Read for Late {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// UTF-16 as UTF-8.
struct Transcoded {
    input: Box<dyn BufRead + Send>,
    decoder: Decoder,
    out: String,
    at: usize,
    ended: bool,
}

impl BufRead for Transcoded {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.out.len() && !self.ended {
            self.out.clear();
            self.at = 0;
            let chunk = self.input.fill_buf()?;
            let last = chunk.is_empty();
            let (result, read, _) = self.decoder.decode_to_string(chunk, &mut self.out, last);
            self.input.consume(read);
            self.ended = last && result == CoderResult::InputEmpty;
        }
        Ok(&self.out.as_bytes()[self.at..])
    }

    fn consume(&mut self, n: usize) {
        self.at = (self.at + n).min(self.out.len());
    }
}

impl Read for Transcoded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn lines(bytes: &[u8], capacity: usize) -> Vec<String> {
        let input = BufReader::with_capacity(capacity, io::Cursor::new(bytes.to_vec()));
        let mut lines = Lines::new(Box::new(input)).unwrap();
        let mut out = Vec::new();
        while lines.advance().unwrap() {
            out.push(lines.text().to_owned());
        }
        out
    }

    #[test]
    fn every_line_end_ends_one_line() {
        for capacity in [2, 3, 4, 64] {
            assert_eq!(lines(b"a\nb\r\nc\rd\r\n\r\ne", capacity), ["a", "b", "c", "d", "", "e"]);
        }
        assert!(lines(b"", 8).is_empty());
    }

    #[test]
    fn encodings_are_told_apart() {
        assert_eq!(lines(b"\xef\xbb\xbf#EXTM3U\n", 64), ["#EXTM3U"]);
        assert_eq!(lines(b"caf\xe9 \x80\ncaf\xc3\xa9", 64), ["caf\u{e9} \u{20ac}", "caf\u{e9}"]);
        // "Новости" in windows-1251, beside a line of UTF-8.
        assert_eq!(lines(b"\xcd\xee\xe2\xee\xf1\xf2\xe8\ncaf\xc3\xa9", 64), ["Новости", "café"]);
        let wide = |big: bool, mark: bool| -> Vec<u8> {
            let text = format!("{}#EXTM3U\r\n\u{1f600}\u{e9}", if mark { "\u{feff}" } else { "" });
            text.encode_utf16().flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
        };
        for (big, mark) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(lines(&wide(big, mark), 5), ["#EXTM3U", "\u{1f600}\u{e9}"], "{big} {mark}");
        }
    }

    #[test]
    fn a_line_without_end_costs_no_more_than_the_cap() {
        let long = [vec![b'x'; MAX_LINE * 3], b"\nnext".to_vec()].concat();
        let mut lines = Lines::new(Box::new(io::Cursor::new(long))).unwrap();
        assert!(lines.advance().unwrap());
        assert!(lines.is_cut() && lines.text().len() == MAX_LINE);
        assert!(lines.advance().unwrap());
        assert_eq!((lines.text(), lines.is_cut(), lines.number()), ("next", false, 2));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_alike_in_any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..300), capacity in 2usize..40) {
            prop_assert_eq!(lines(&bytes, capacity), lines(&bytes, 4096));
        }
    }
}
