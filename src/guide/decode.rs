//! Guide bytes as bounded UTF-8.
//!
//! Owns the encoding (byte order mark, declaration, else UTF-8 or what the beginning looks like; broken bytes become U+FFFD), the line counter, the
//! longest token and the deadline. Must not enter: XML. Invariant: whoever reads through it holds at most
//! [`MAX_TOKEN`] bytes of one token and never reads past the deadline.

use std::{
    io::{self, BufRead, Read},
    time::Instant,
};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::charset;

/// Bytes of one tag, text, comment or DOCTYPE.
pub const MAX_TOKEN: usize = 1 << 20;
const CHUNK: usize = 32 << 10;

pub struct Text<R> {
    inner: R,
    decoder: Option<Decoder>,
    prefix: Vec<u8>,
    out: Box<[u8]>,
    pos: usize,
    len: usize,
    ended: bool,
    line: u64,
    token: usize,
    deadline: Instant,
}

impl<R: BufRead> Text<R> {
    pub fn new(inner: R, deadline: Instant) -> Self {
        Self {
            inner,
            decoder: None,
            prefix: Vec::new(),
            out: vec![0; CHUNK].into_boxed_slice(),
            pos: 0,
            len: 0,
            ended: false,
            line: 1,
            token: 0,
            deadline,
        }
    }

    /// The line that is being read, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Tells that a token ended: the next one has all its room again.
    pub fn next_token(&mut self) {
        self.token = 0;
    }

    fn refill(&mut self) -> io::Result<()> {
        if Instant::now() > self.deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "took longer than import.max_seconds allows"));
        }
        (self.pos, self.len) = (0, 0);
        if self.decoder.is_none() {
            let mut head = Vec::new();
            self.inner.by_ref().take(charset::SAMPLE as u64).read_to_end(&mut head)?;
            let (encoding, mark) = detect(&head);
            self.decoder = Some(encoding.new_decoder_without_bom_handling());
            head.drain(..mark);
            self.prefix = head;
        }
        let Some(decoder) = self.decoder.as_mut() else { return Ok(()) };
        while self.len == 0 && !self.ended {
            if self.prefix.is_empty() {
                let chunk = match self.inner.fill_buf() {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    other => other?,
                };
                let last = chunk.is_empty();
                let (_, read, written, _) = decoder.decode_to_utf8(chunk, &mut self.out, last);
                self.inner.consume(read);
                (self.len, self.ended) = (written, last);
            } else {
                let (_, read, written, _) = decoder.decode_to_utf8(&self.prefix, &mut self.out, false);
                self.prefix.drain(..read);
                self.len = written;
            }
        }
        Ok(())
    }
}

/// The encoding and the length of its byte order mark.
fn detect(head: &[u8]) -> (&'static Encoding, usize) {
    if let Some(found) = Encoding::for_bom(head) {
        return found;
    }
    if head.starts_with(b"<\0?\0") {
        return (UTF_16LE, 0);
    }
    if head.starts_with(b"\0<\0?") {
        return (UTF_16BE, 0);
    }
    let declared = head.starts_with(b"<?xml").then(|| {
        let end = memchr::memmem::find(head, b"?>").unwrap_or(head.len());
        let at = memchr::memmem::find(&head[..end], b"encoding")?;
        let mut parts = head[at..end].splitn(3, |b| matches!(b, b'"' | b'\''));
        Encoding::for_label(parts.nth(1)?)
    });
    // A declaration that can be read byte by byte is not UTF-16, whatever it says.
    let encoding = declared.flatten().filter(|e| *e != UTF_16LE && *e != UTF_16BE);
    (encoding.or_else(|| charset::guess(head)).unwrap_or(UTF_8), 0)
}

impl<R: BufRead> Read for Text<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Text<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.token > MAX_TOKEN {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "one tag or text is longer than 1 MiB"));
        }
        if self.pos == self.len {
            self.refill()?;
        }
        Ok(&self.out[self.pos..self.len])
    }

    fn consume(&mut self, n: usize) {
        let n = n.min(self.len - self.pos);
        self.line += memchr::memchr_iter(b'\n', &self.out[self.pos..self.pos + n]).count() as u64;
        self.pos += n;
        self.token += n;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(bytes: &[u8]) -> (String, u64) {
        let mut text = Text::new(bytes, Instant::now() + Duration::from_secs(60));
        let mut out = String::new();
        text.read_to_string(&mut out).unwrap();
        (out, text.line())
    }

    #[test]
    fn encodings_of_the_wild() {
        assert_eq!(read("é\nb\n".as_bytes()), ("é\nb\n".to_owned(), 3));
        assert_eq!(read(b"\xef\xbb\xbfx").0, "x");
        assert_eq!(read(b"<?xml version='1.0' encoding='ISO-8859-1'?>\xe9").0.chars().last(), Some('é'));
        assert_eq!(read(b"<?xml encoding=\"utf-16\"?>ok").0, "<?xml encoding=\"utf-16\"?>ok");
        assert_eq!(read(b"a\xffb").0, "a\u{fffd}b");
        // "Новости" in windows-1251, which nobody declared; declared as UTF-8 it is broken.
        assert_eq!(read(b"<tv>\xcd\xee\xe2\xee\xf1\xf2\xe8</tv>").0, "<tv>Новости</tv>");
        assert!(read(b"<?xml encoding='utf-8'?>\xcd\xee\xe2\xee\xf1\xf2\xe8").0.contains('\u{fffd}'));
        let wide: Vec<u8> = "\u{feff}<tv>é</tv>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read(&wide).0, "<tv>é</tv>");
        let bare: Vec<u8> = "<?xml?>é".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(read(&bare).0, "<?xml?>é");
        assert_eq!(read(b"").0, "");
    }

    #[test]
    fn one_endless_token_and_a_deadline_end_the_reading() {
        let mut text = Text::new(io::BufReader::new(io::repeat(b'x')), Instant::now() + Duration::from_secs(60));
        let mut sink = Vec::new();
        let error = text.read_to_end(&mut sink).unwrap_err();
        assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
        assert!(sink.len() <= MAX_TOKEN + CHUNK);
        let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(Text::new(&b"x"[..], past).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
