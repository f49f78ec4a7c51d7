//! A download at rest: an anonymous file that is read back unpacked.
//!
//! Owns the unpacking (gzip, xz, zstd, zip by their magic bytes, one nested layer) and its cap. Must not enter: the network.
//! Invariant: a reader never gives more bytes than it was told, however small the file that unpacks to them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use super::zip;

const BUFFER: usize = 64 * 1024;
/// What unpacking may take; an xz or zstd file can ask for gigabytes.
const MAX_XZ_MEMORY: u64 = 128 << 20;
const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// The body of a download. It vanishes with the last reader.
#[derive(Clone, Debug)]
pub struct Spool {
    file: Arc<File>,
    len: u64,
}

impl Spool {
    pub(super) fn new(file: File, len: u64) -> Self {
        Self { file: Arc::new(file), len }
    }

    /// A spool of these bytes, for tests of readers.
    ///
    /// # Errors
    /// If no temporary file can be made.
    pub fn of(bytes: &[u8]) -> io::Result<Self> {
        let file = tempfile::tempfile()?;
        file.write_all_at(bytes, 0)?;
        Ok(Self::new(file, bytes.len() as u64))
    }

    /// Bytes as they came.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads from the start, unpacked; a text of more than `max_unpacked` bytes ends in an error that says so.
    ///
    /// # Errors
    /// If the file cannot be read or is packed more than twice.
    pub fn reader(&self, max_unpacked: u64) -> io::Result<Box<dyn BufRead + Send>> {
        let raw = At { file: Arc::clone(&self.file), at: 0, end: self.len };
        let mut reader: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(BUFFER, raw));
        let zipped = zip::MAGIC.iter().any(|magic| reader.fill_buf().is_ok_and(|head| head.starts_with(magic)));
        if zipped {
            let inner = zip::open(&self.file, self.len, max_unpacked)?;
            reader =
                Box::new(BufReader::with_capacity(BUFFER, Capped { inner, left: max_unpacked, max: max_unpacked }));
        }
        for _ in usize::from(zipped)..2 {
            reader = match Packing::of(reader.fill_buf()?) {
                None => break,
                Some(packing) => Box::new(BufReader::with_capacity(BUFFER, packing.unpack(reader, max_unpacked)?)),
            };
        }
        if Packing::of(reader.fill_buf()?).is_some() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "is packed more than twice; unpack it once"));
        }
        Ok(Box::new(BufReader::with_capacity(BUFFER, Capped { inner: reader, left: max_unpacked, max: max_unpacked })))
    }
}

#[derive(Clone, Copy)]
enum Packing {
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(&[0x1f, 0x8b, 8]) {
            Some(Self::Gzip)
        } else if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
            Some(Self::Xz)
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    fn unpack(self, packed: Box<dyn BufRead + Send>, max: u64) -> io::Result<Capped<Box<dyn Read + Send>>> {
        let inner: Box<dyn Read + Send> = match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(MAX_XZ_MEMORY, liblzma::stream::CONCATENATED)
                    .map_err(io::Error::other)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        };
        Ok(Capped { inner, left: max, max })
    }
}

/// Reads the shared file without its shared position.
pub(super) struct At {
    pub file: Arc<File>,
    pub at: u64,
    pub end: u64,
}

impl Read for At {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buf.len());
        let n = self.file.read_at(&mut buf[..room], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

pub(super) fn too_large(max: u64) -> io::Error {
    let words = format!("is larger than {max} bytes after unpacking; raise the import cap if that is right");
    io::Error::new(io::ErrorKind::FileTooLarge, words)
}

struct Capped<R> {
    inner: R,
    left: u64,
    max: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            // At the cap exactly, the end of the text is still fine.
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(too_large(self.max)),
            };
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.inner.read(&mut buf[..room])?;
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn read(bytes: &[u8], max: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Spool::of(bytes)?.reader(max)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_packing_reads_as_its_text() {
        let text = b"#EXTM3U\n".repeat(1000);
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&text).unwrap();
        for packed in [
            text.clone(),
            gzip(&text),
            gzip(&gzip(&text)),
            [gzip(&text[..800]), gzip(&text[800..])].concat(),
            xz.finish().unwrap(),
            zstd::encode_all(&text[..], 1).unwrap(),
        ] {
            assert_eq!(read(&packed, 1 << 20).unwrap(), text);
        }
        assert!(read(&[], 10).unwrap().is_empty());
        assert!(read(&gzip(&gzip(&gzip(&text))), 1 << 20).is_err());
    }

    #[test]
    fn the_cap_holds_and_says_so() {
        let text = vec![b'x'; 100_000];
        assert_eq!(read(&text, 100_000).unwrap().len(), 100_000);
        for packed in [text.clone(), gzip(&text), gzip(&gzip(&text)), zstd::encode_all(&text[..], 1).unwrap()] {
            let error = read(&packed, 99_999).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            assert!(error.to_string().contains("99999 bytes"), "{error}");
        }
    }

    #[test]
    fn a_cut_archive_is_an_error() {
        let packed = gzip(&b"abcdefgh".repeat(10_000));
        assert!(read(&packed[..packed.len() - 9], 1 << 20).is_err());
    }
}
