//! What a datagram carries, and the order of RTP: a header is read, packets are put in sequence.
//!
//! Owns the reading of RTP headers and the reorder window. Must not enter: sockets, clocks (times are arguments). Invariants:
//! no datagram makes it panic; what is given is in order and never twice; the window holds at most [`WINDOW`] packets, and
//! none longer than [`PATIENCE`].

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

/// Packets that wait for a missing one.
const WINDOW: usize = 128;
/// How long they wait.
pub const PATIENCE: Duration = Duration::from_millis(60);
/// A sequence number so far from the expected one is another stream's, or the sender began anew.
const FAR: u16 = 3000;
const SYNC: u8 = 0x47;
const PACKET: usize = 188;

/// A datagram, looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// Whole packets without a header.
    Plain,
    Rtp {
        sequence: u16,
        sender: u32,
        /// Where in the datagram the packets are.
        from: usize,
        to: usize,
    },
    /// Something else: another codec, FEC, RTCP.
    Foreign,
}

/// Tells what a datagram is.
pub fn look(bytes: &[u8]) -> Datagram {
    if is_packets(bytes) {
        return Datagram::Plain;
    }
    header(bytes).unwrap_or(Datagram::Foreign)
}

fn is_packets(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.len().is_multiple_of(PACKET) && bytes.iter().step_by(PACKET).all(|b| *b == SYNC)
}

/// RFC 3550, 5.1.
fn header(bytes: &[u8]) -> Option<Datagram> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    // RTCP has types of its own on the next port, which some senders mix in.
    if first >> 6 != 2 || (200..=207).contains(&second) {
        return None;
    }
    let mut from = 12 + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let words = bytes.get(from + 2..from + 4)?;
        from += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    let padding = if first & 0x20 != 0 { usize::from(*bytes.last()?).max(1) } else { 0 };
    let to = bytes.len().checked_sub(padding)?;
    if !is_packets(bytes.get(from..to)?) {
        return None;
    }
    let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
    let sender = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    Some(Datagram::Rtp { sequence, sender, from, to })
}

/// What happened to the packets of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub lost: u64,
    pub reordered: u64,
    pub doubled: u64,
    /// Times that the sender began anew.
    pub restarts: u64,
}

/// Puts packets in the order of their sequence numbers.
#[derive(Default)]
pub struct Order {
    /// The number that is given next, and who sends.
    next: Option<(u16, u32)>,
    /// By distance from `next`; the first place is always empty.
    held: VecDeque<Option<(Bytes, Instant)>>,
    pub tally: Tally,
}

impl Order {
    /// Takes a packet; gives everything that is in order now.
    pub fn push(&mut self, sequence: u16, sender: u32, payload: Bytes, now: Instant, give: &mut impl FnMut(Bytes)) {
        let expected = match self.next {
            Some((next, from)) if from == sender => next,
            Some(_) => {
                self.restart(give);
                sequence
            }
            None => sequence,
        };
        let ahead = sequence.wrapping_sub(expected);
        let behind = expected.wrapping_sub(sequence);
        if (FAR..=u16::MAX - FAR).contains(&ahead) {
            self.restart(give);
            return self.pass(sequence, sender, payload, give);
        }
        if ahead == 0 {
            return self.pass(sequence, sender, payload, give);
        }
        self.next = Some((expected, sender));
        if behind <= FAR {
            // Either given already or given up.
            self.tally.doubled += 1;
            return;
        }
        let at = usize::from(ahead);
        if self.held.len() <= at {
            self.held.resize(at + 1, None);
        }
        if self.held[at].is_some() {
            self.tally.doubled += 1;
        } else {
            self.held[at] = Some((payload, now));
        }
        while self.held.len() > WINDOW {
            self.give_up(give);
        }
    }

    /// Until when the missing packet is waited for.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.iter().flatten().map(|(_, since)| *since).min().map(|since| since + PATIENCE)
    }

    /// Gives what has waited long enough.
    pub fn expire(&mut self, now: Instant, give: &mut impl FnMut(Bytes)) {
        while self.deadline().is_some_and(|due| due <= now) {
            self.give_up(give);
        }
    }

    /// The next packet in order, and those that waited for it.
    fn pass(&mut self, sequence: u16, sender: u32, payload: Bytes, give: &mut impl FnMut(Bytes)) {
        give(payload);
        let mut next = sequence.wrapping_add(1);
        self.held.pop_front();
        while let Some(Some(_)) = self.held.front() {
            if let Some(Some((payload, _))) = self.held.pop_front() {
                give(payload);
                self.tally.reordered += 1;
                next = next.wrapping_add(1);
            }
        }
        self.next = Some((next, sender));
    }

    /// The missing packets before the first that is held are lost.
    fn give_up(&mut self, give: &mut impl FnMut(Bytes)) {
        let Some((next, sender)) = self.next else { return };
        let Some(gap) = self.held.iter().position(Option::is_some) else { return self.held.clear() };
        self.tally.lost += gap as u64;
        let first = next.wrapping_add(u16::try_from(gap).unwrap_or(0));
        self.held.drain(..gap);
        if let Some(Some((payload, _))) = self.held.front_mut().map(Option::take) {
            self.pass(first, sender, payload, give);
        }
    }

    fn restart(&mut self, give: &mut impl FnMut(Bytes)) {
        while !self.held.is_empty() {
            self.give_up(give);
        }
        self.next = None;
        self.tally.restarts += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packets(n: usize) -> Vec<u8> {
        let mut out = vec![0xaa; n * PACKET];
        out.iter_mut().step_by(PACKET).for_each(|b| *b = SYNC);
        out
    }

    fn rtp(first: u8, more: &[u8], payload: &[u8], padding: &[u8]) -> Vec<u8> {
        [&[first, 33, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 9], more, payload, padding].concat()
    }

    #[test]
    fn headers_of_every_shape_are_read() {
        let payload = packets(7);
        assert_eq!(look(&payload), Datagram::Plain);
        let of = |from, to| Datagram::Rtp { sequence: 0x1234, sender: 9, from, to };
        let end = payload.len();
        assert_eq!(look(&rtp(0x80, &[], &payload, &[])), of(12, 12 + end));
        assert_eq!(look(&rtp(0x82, &[0; 8], &payload, &[])), of(20, 20 + end), "contributing sources");
        assert_eq!(look(&rtp(0x90, &[0, 0, 0, 1, 5, 5, 5, 5], &payload, &[])), of(20, 20 + end), "an extension");
        assert_eq!(look(&rtp(0xa0, &[], &payload, &[0, 0, 0, 4])), of(12, 12 + end), "padding");
        for foreign in [
            rtp(0x40, &[], &payload, &[]),
            rtp(0x80, &[], &payload[1..], &[]),
            rtp(0x80, &[], &[], &[]),
            rtp(0x90, &[0, 0, 0xff, 0xff], &payload, &[]),
            rtp(0xa0, &[], &payload, &[255]),
            vec![0x80, 200, 0, 1],
            vec![],
        ] {
            assert_eq!(look(&foreign), Datagram::Foreign);
        }
    }

    /// Runs numbers through the window; what came out, by number.
    fn run(numbers: &[u16]) -> (Vec<u16>, Tally) {
        let (mut order, mut out, now) = (Order::default(), Vec::new(), Instant::now());
        let mut give = |b: Bytes| out.push(u16::from_be_bytes([b[0], b[1]]));
        for n in numbers {
            order.push(*n, 1, Bytes::copy_from_slice(&n.to_be_bytes()), now, &mut give);
        }
        order.expire(now + PATIENCE, &mut give);
        assert_eq!(order.deadline(), None);
        (out, order.tally)
    }

    #[test]
    fn disorder_and_doubling_are_repaired_and_loss_is_counted() {
        let tally = |lost, reordered, doubled, restarts| Tally { lost, reordered, doubled, restarts };
        assert_eq!(run(&[65534, 0, 65535, 1]), (vec![65534, 65535, 0, 1], tally(0, 1, 0, 0)));
        assert_eq!(run(&[5, 5, 7, 6, 7, 8]), (vec![5, 6, 7, 8], tally(0, 1, 2, 0)));
        assert_eq!(run(&[1, 2, 5, 6, 4]), (vec![1, 2, 4, 5, 6], tally(1, 2, 0, 0)));
        assert_eq!(run(&[1, 3, 20_000, 20_001]), (vec![1, 3, 20_000, 20_001], tally(1, 0, 0, 1)));
        assert_eq!(run(&[10, 9, 8, 11]), (vec![10, 11], tally(0, 0, 2, 0)), "what is before the first is too late");
    }

    #[test]
    fn the_window_is_bounded_and_a_new_sender_is_a_new_stream() {
        let (mut order, now) = (Order::default(), Instant::now());
        let mut given = 0;
        for n in (0..1000u16).filter(|n| *n != 1) {
            order.push(n, 1, Bytes::new(), now, &mut |_| given += 1);
            assert!(order.held.len() <= WINDOW);
        }
        assert_eq!((given, order.tally.lost), (999, 1));
        order.push(1001, 1, Bytes::new(), now, &mut |_| given += 1);
        order.push(7, 2, Bytes::new(), now, &mut |_| given += 1);
        order.push(8, 2, Bytes::new(), now, &mut |_| given += 1);
        assert_eq!((given, order.tally.restarts, order.tally.lost), (1002, 1, 2));
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), cut in 0usize..40) {
            look(&bytes);
            let whole = rtp(bytes.first().copied().unwrap_or(0x80), &bytes, &packets(2), &bytes);
            if let Datagram::Rtp { from, to, .. } = look(&whole[..whole.len() - cut]) {
                prop_assert!(from < to && to <= whole.len());
            }
        }

        /// A shuffle within the window, with doubles, is undone whatever the first number is.
        #[test]
        fn a_shuffle_within_the_window_is_undone(
            first in any::<u16>(), shifts in proptest::collection::vec(0u16..20, 1..300), doubles in any::<bool>()
        ) {
            let mut numbers: Vec<u16> = (0..shifts.len() as u16).collect();
            numbers.sort_by_key(|i| if *i == 0 { 0 } else { *i + shifts[usize::from(*i)] });
            let mut sent: Vec<u16> = numbers.iter().map(|n| first.wrapping_add(*n)).collect();
            if doubles {
                sent = sent.iter().flat_map(|n| [*n, *n]).collect();
            }
            let (out, tally) = run(&sent);
            let expected: Vec<u16> = (0..shifts.len() as u16).map(|n| first.wrapping_add(n)).collect();
            prop_assert_eq!(out, expected);
            prop_assert_eq!((tally.lost, tally.restarts), (0, 0));
        }

        #[test]
        fn any_numbers_come_out_once_and_forward(numbers in proptest::collection::vec(0u16..400, 0..200)) {
            let (out, tally) = run(&numbers);
            prop_assert!(out.windows(2).all(|w| w[0] < w[1]));
            prop_assert_eq!(out.len() + tally.doubled as usize, numbers.len());
        }
    }
}
