//! The one text in a zip archive: found in its directory, read as a stream.
//!
//! Owns the choice of the member and the layout of archives (also of those with 64-bit sizes). Must not enter: what the text means, caps on
//! it. Invariants: memory is bounded by [`MAX_DIRECTORY`], whatever the archive says of itself; a member whose size or check
//! sum is not what the directory says ends in an error, never in a shorter text.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use super::spool::At;

/// A member's head, and the mark of an archive that holds none.
pub const MAGIC: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
const MAX_DIRECTORY: u64 = 1 << 20;
/// The end record, its longest comment, and the pointer to its 64-bit form before it.
const TAIL: u64 = 22 + 65_535 + 20;
const BUFFER: usize = 64 << 10;
/// What guides and playlists are called, packed once more or not: a later one goes before an earlier one.
const TEXTS: [&[&str]; 3] = [&[".txt"], &[".m3u", ".m3u8"], &[".xml", ".xmltv"]];

#[derive(Debug)]
struct Member {
    name: String,
    encrypted: bool,
    method: u16,
    crc: u32,
    packed: u64,
    unpacked: u64,
    head_at: u64,
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("is a zip archive that cannot be used: {}", what.into()))
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    let two = bytes.get(at..).and_then(|b| b.first_chunk::<2>()).ok_or_else(|| wrong("it is cut off"))?;
    Ok(u16::from_le_bytes(*two))
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = bytes.get(at..).and_then(|b| b.first_chunk::<4>()).ok_or_else(|| wrong("it is cut off"))?;
    Ok(u32::from_le_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> io::Result<u64> {
    Ok(u64::from(u32_at(bytes, at)?) | u64::from(u32_at(bytes, at + 4)?) << 32)
}

/// Opens the text of the archive: the largest guide, else the largest playlist, else the largest text, else the largest member. One that says itself that it is
/// larger than `max` is refused before anything is unpacked.
pub fn open(file: &Arc<File>, len: u64, max: u64) -> io::Result<Box<dyn Read + Send>> {
    let members = directory(file, len)?;
    let rank = |m: &Member| {
        let name = m.name.to_ascii_lowercase();
        let stem = [".gz", ".xz", ".zst"].iter().fold(name.as_str(), |name, end| name.trim_end_matches(end));
        TEXTS.iter().rposition(|ends| ends.iter().any(|end| stem.ends_with(end)))
    };
    let chosen = members.into_iter().max_by_key(|m| (rank(m), m.unpacked)).ok_or_else(|| wrong("it is empty"))?;
    if chosen.encrypted {
        return Err(wrong("it is encrypted"));
    }
    if chosen.unpacked > max {
        return Err(super::spool::too_large(max));
    }
    let mut head = [0; 30];
    file.read_exact_at(&mut head, chosen.head_at).map_err(|_| wrong("it is cut off"))?;
    if !head.starts_with(MAGIC[0]) {
        return Err(wrong("its directory points nowhere"));
    }
    let at = chosen.head_at + 30 + u64::from(u16_at(&head, 26)?) + u64::from(u16_at(&head, 28)?);
    let end = at.checked_add(chosen.packed).filter(|end| *end <= len).ok_or_else(|| wrong("it is cut off"))?;
    let packed = BufReader::with_capacity(BUFFER, At { file: Arc::clone(file), at, end });
    let inner: Box<dyn Read + Send> = match chosen.method {
        0 => Box::new(packed),
        8 => Box::new(flate2::bufread::DeflateDecoder::new(packed)),
        other => return Err(wrong(format!("{:?} is packed by method {other}; expected deflate", chosen.name))),
    };
    Ok(Box::new(Checked { inner, crc: flate2::Crc::new(), expected: (chosen.crc, chosen.unpacked), came: 0 }))
}

/// All members but directories.
fn directory(file: &File, len: u64) -> io::Result<Vec<Member>> {
    let from = len.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(len - from).unwrap_or_default()];
    file.read_exact_at(&mut tail, from)?;
    let end = memchr::memmem::rfind(&tail, MAGIC[1]).ok_or_else(|| wrong("its directory is missing; it is cut off"))?;
    let (mut size, mut at) = (u64::from(u32_at(&tail, end + 12)?), u64::from(u32_at(&tail, end + 16)?));
    if (size == u64::from(u32::MAX) || at == u64::from(u32::MAX))
        && end >= 20
        && tail[end - 20..].starts_with(b"PK\x06\x07")
    {
        let mut wide = [0; 56];
        file.read_exact_at(&mut wide, u64_at(&tail, end - 12)?).map_err(|_| wrong("it is cut off"))?;
        (size, at) = (u64_at(&wide, 40)?, u64_at(&wide, 48)?);
    }
    if size > MAX_DIRECTORY {
        return Err(wrong("it has too many members"));
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, at).map_err(|_| wrong("it is cut off"))?;
    let mut members = Vec::new();
    let mut rest = &bytes[..];
    while rest.starts_with(b"PK\x01\x02") {
        let lengths = [u16_at(rest, 28)?, u16_at(rest, 30)?, u16_at(rest, 32)?].map(usize::from);
        let fields = rest.get(46..46 + lengths[0] + lengths[1]).ok_or_else(|| wrong("it is cut off"))?;
        let (name, extra) = fields.split_at(lengths[0]);
        let mut member = Member {
            name: String::from_utf8_lossy(name).into_owned(),
            encrypted: u16_at(rest, 8)? & 1 != 0,
            method: u16_at(rest, 10)?,
            crc: u32_at(rest, 16)?,
            packed: u32_at(rest, 20)?.into(),
            unpacked: u32_at(rest, 24)?.into(),
            head_at: u32_at(rest, 42)?.into(),
        };
        widen(&mut member, extra)?;
        rest = rest.get(46 + lengths.iter().sum::<usize>()..).ok_or_else(|| wrong("it is cut off"))?;
        if !member.name.ends_with('/') {
            members.push(member);
        }
    }
    Ok(members)
}

/// Takes the 64-bit sizes that stand in the extra field where the 32-bit ones are full.
fn widen(member: &mut Member, mut extra: &[u8]) -> io::Result<()> {
    while extra.len() >= 4 {
        let (kind, size) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let field = extra.get(4..4 + size).unwrap_or_default();
        if kind == 1 {
            let mut at = 0;
            for value in [&mut member.unpacked, &mut member.packed, &mut member.head_at] {
                if *value == u64::from(u32::MAX) {
                    *value = u64_at(field, at)?;
                    at += 8;
                }
            }
        }
        extra = extra.get(4 + size..).unwrap_or_default();
    }
    Ok(())
}

/// Compares what came with what the directory promised.
struct Checked {
    inner: Box<dyn Read + Send>,
    crc: flate2::Crc,
    expected: (u32, u64),
    came: u64,
}

impl Read for Checked {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.crc.update(&buf[..n]);
        self.came += n as u64;
        if n == 0 && !buf.is_empty() && (self.crc.sum(), self.came) != self.expected {
            return Err(wrong("its text is not what its directory says"));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::upstream::Spool;

    struct Item<'a>(&'a str, &'a [u8], u16);

    /// An archive as zippers write it; `claim` changes what is said of a member's size.
    fn archive(items: &[Item<'_>], claim: impl Fn(u32) -> u32) -> Vec<u8> {
        let (mut out, mut dir) = (Vec::new(), Vec::new());
        for Item(name, text, method) in items {
            let mut crc = flate2::Crc::new();
            crc.update(text);
            let packed = if *method == 8 {
                let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
                deflate.write_all(text).unwrap();
                deflate.finish().unwrap()
            } else {
                text.to_vec()
            };
            let mut shared = Vec::new();
            shared.extend_from_slice(&[20, 0, 0, 0]);
            shared.extend_from_slice(&method.to_le_bytes());
            shared.extend_from_slice(&[0; 4]);
            for number in [crc.sum(), packed.len() as u32, claim(text.len() as u32), name.len() as u32] {
                shared.extend_from_slice(&number.to_le_bytes());
            }
            dir.extend_from_slice(b"PK\x01\x02\x14\0");
            dir.extend_from_slice(&shared);
            dir.extend_from_slice(&[0; 10]);
            dir.extend_from_slice(&(out.len() as u32).to_le_bytes());
            dir.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"PK\x03\x04");
            out.extend_from_slice(&shared);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&packed);
        }
        let (at, count) = (out.len() as u32, items.len() as u16);
        out.extend_from_slice(&dir);
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        out.extend_from_slice(&[count.to_le_bytes(), count.to_le_bytes()].concat());
        out.extend_from_slice(&(dir.len() as u32).to_le_bytes());
        out.extend_from_slice(&at.to_le_bytes());
        out.extend_from_slice(b"\x05\0hello");
        out
    }

    fn read(bytes: &[u8], max: u64) -> io::Result<String> {
        let mut out = String::new();
        Spool::of(bytes)?.reader(max)?.read_to_string(&mut out)?;
        Ok(out)
    }

    #[test]
    fn the_largest_text_of_an_archive_is_read() {
        let guide = "<tv>é</tv>".repeat(500);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(guide.as_bytes()).unwrap();
        let gz = gz.finish().unwrap();
        let picture = vec![7; 90_000];
        for method in [0, 8] {
            let items = [
                Item("read me.txt", &picture, method),
                Item("data/", b"", 0),
                Item("data/logo.png", &picture, method),
                Item("data/Guide.XML", guide.as_bytes(), method),
            ];
            assert_eq!(read(&archive(&items, |n| n), 1 << 20).unwrap(), guide);
            assert_eq!(read(&archive(&[Item("epg.xml.gz", &gz, method)], |n| n), 1 << 20).unwrap(), guide);
        }
    }

    #[test]
    fn caps_hold_and_lies_are_told() {
        let bomb = vec![b' '; 5_000_000];
        let honest = archive(&[Item("a.xml", &bomb, 8)], |n| n);
        assert!(honest.len() < 60_000, "{}", honest.len());
        let error = read(&honest, 1_000_000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("1000000 bytes"), "{error}");
        // It says that it is small: the cap holds while it is unpacked, and below the cap the lie is seen at the end.
        let lying = archive(&[Item("a.xml", &bomb, 8)], |_| 10);
        assert_eq!(read(&lying, 1_000_000).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read(&lying, 9_000_000).unwrap_err().to_string().contains("not what its directory says"));
        let cut = &honest[..honest.len() - 40];
        assert!(read(cut, 9_000_000).unwrap_err().to_string().contains("cut off"));
        assert!(read(&archive(&[], |n| n), 10).unwrap_err().to_string().contains("empty"));
        assert!(read(&archive(&[Item("a", b"x", 14)], |n| n), 10).unwrap_err().to_string().contains("method 14"));
    }

    proptest! {
        #[test]
        fn a_damaged_archive_never_panics(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
            let mut bytes = archive(&[Item("a.xml", b"<tv></tv>", 8), Item("b.m3u", &[b'x'; 100], 0)], |n| n);
            let len = bytes.len();
            bytes[at % len] = byte;
            bytes.truncate(len - cut % len);
            if let Ok(text) = read(&bytes, 1 << 16) {
                prop_assert!(text.len() <= 1 << 16);
            }
        }
    }
}
