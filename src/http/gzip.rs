//! Compression of answers as they go, for those who ask for it.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use hyper::header::{self, HeaderMap};

const PIECE: usize = 32 << 10;

/// Whether the client says that it reads gzip.
pub fn accepts(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|coding| coding.split_once(';').map_or((coding.trim(), ""), |(c, q)| (c.trim(), q.trim())))
        .any(|(coding, q)| coding.eq_ignore_ascii_case("gzip") && !matches!(q, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
}

/// The pieces, compressed as they are taken.
pub fn pack(pieces: impl Iterator<Item = Bytes> + Send + 'static) -> impl Iterator<Item = Bytes> + Send + 'static {
    Pack { pieces, encoder: Some(GzEncoder::new(Vec::with_capacity(PIECE), Compression::fast())) }
}

struct Pack<I> {
    pieces: I,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl<I: Iterator<Item = Bytes>> Iterator for Pack<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut taken = 0;
        while let Some(encoder) = &mut self.encoder {
            match self.pieces.next() {
                Some(piece) => {
                    // Writing to a Vec cannot fail.
                    let _ = encoder.write_all(&piece);
                    taken += 1;
                    // What packs well must not keep its thread for long.
                    let ready = encoder.get_ref().len();
                    if ready >= PIECE / 2 || (taken >= 8 && ready > 0) {
                        return Some(std::mem::take(encoder.get_mut()).into());
                    }
                }
                None => return self.encoder.take()?.finish().ok().map(Bytes::from),
            }
        }
        None
    }
}

/// Unpacks what [`pack`] made, as it is taken.
pub fn unpack(packed: Bytes) -> impl Iterator<Item = Bytes> + Send + 'static {
    let mut reader = GzDecoder::new(std::io::Cursor::new(packed));
    std::iter::from_fn(move || {
        let mut piece = vec![0; PIECE];
        let mut filled = 0;
        while filled < PIECE {
            match reader.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) => {
                    tracing::error!(error = %e, "a prepared answer cannot be unpacked");
                    break;
                }
            }
        }
        piece.truncate(filled);
        (filled > 0).then(|| piece.into())
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_sent_only_to_those_that_ask() {
        let asks = |v: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(v));
            accepts(&headers)
        };
        assert!(asks("deflate, gzip, br") && asks("GZIP;q=0.5"));
        assert!(!asks("identity") && !asks("gzip;q=0") && !accepts(&HeaderMap::new()));
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let pieces: Vec<Bytes> = (0..40u8).map(|n| vec![n; 10_000].into()).collect();
        let whole = pieces.concat();
        let packed = pack(pieces.into_iter()).collect::<Vec<_>>().concat();
        assert!(packed.len() < whole.len() / 10);
        assert_eq!(unpack(packed.into()).collect::<Vec<_>>().concat(), whole);
    }
}
