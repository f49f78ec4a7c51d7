//! The bytes of one stream: one contiguous buffer under absolute offsets.
//!
//! Owns the memory that every viewer of a stream is served from. Must not enter: packets' meaning, viewers. Invariant: offsets
//! only grow, and each multiple of 188 is the first byte of a packet.

use std::io;

use memmap2::MmapMut;

use super::ts::PACKET;

pub struct Ring {
    /// A mapping of its own: it costs nothing before it is written, and all of it goes back to the system with the stream.
    buf: MmapMut,
    /// Offset behind the newest byte.
    head: u64,
}

impl Ring {
    /// A ring of at most `bytes`, rounded down to whole packets.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let packets = (bytes / PACKET).max(64);
        Ok(Self { buf: MmapMut::map_anon(packets * PACKET)?, head: 0 })
    }

    pub fn head(&self) -> u64 {
        self.head
    }

    /// Offset of the oldest byte that is still there.
    pub fn tail(&self) -> u64 {
        self.head.saturating_sub(self.buf.len() as u64)
    }

    /// Appends whole packets over the oldest ones. More than the ring holds keeps the newest.
    pub fn push(&mut self, packets: &[u8]) {
        debug_assert!(packets.len().is_multiple_of(PACKET));
        let skipped = packets.len().saturating_sub(self.buf.len());
        self.head += skipped as u64;
        let packets = &packets[skipped..];
        let at = self.index(self.head);
        let (now, wrapped) = packets.split_at(packets.len().min(self.buf.len() - at));
        self.buf[at..at + now.len()].copy_from_slice(now);
        self.buf[..wrapped.len()].copy_from_slice(wrapped);
        self.head += packets.len() as u64;
    }

    /// The bytes from `from` to the head, in two pieces where the buffer's end lies between them. `from` must not lie
    /// before the tail.
    pub fn since(&self, from: u64) -> (&[u8], &[u8]) {
        debug_assert!(from >= self.tail() && from <= self.head);
        let len = usize::try_from(self.head.saturating_sub(from)).unwrap_or(0).min(self.buf.len());
        let at = self.index(from);
        let first = len.min(self.buf.len() - at);
        (&self.buf[at..at + first], &self.buf[..len - first])
    }

    /// The packet at `offset`, if it is still there.
    pub fn packet(&self, offset: u64) -> Option<&[u8]> {
        (offset >= self.tail() && offset + PACKET as u64 <= self.head).then(|| {
            let at = self.index(offset);
            &self.buf[at..at + PACKET]
        })
    }

    fn index(&self, offset: u64) -> usize {
        usize::try_from(offset % self.buf.len() as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_pushed_is_read_back(pushes in proptest::collection::vec(0usize..100, 1..40)) {
            let mut ring = Ring::new(64 * PACKET).unwrap();
            let mut all = Vec::new();
            for (i, n) in pushes.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..n * PACKET).map(|b| (b + i) as u8).collect();
                ring.push(&bytes);
                all.extend_from_slice(&bytes);
                prop_assert_eq!(ring.head(), all.len() as u64);
                for from in [ring.tail(), (ring.tail() + ring.head()) / 2, ring.head()] {
                    let (a, b) = ring.since(from);
                    prop_assert_eq!([a, b].concat(), &all[from as usize..]);
                }
                if ring.head() > 0 {
                    let last = ring.head() - PACKET as u64;
                    prop_assert_eq!(ring.packet(last), Some(&all[last as usize..]));
                }
                prop_assert_eq!(ring.packet(ring.head()), None);
            }
        }
    }
}
