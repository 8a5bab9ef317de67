//! The order of what is written: the session's own messages before what is queued, and no message
//! within another.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use bgp_wire::frame;
use bytes::Bytes;

use crate::status::Counters;
use crate::writer::{Batch, Gauge};

/// The type of an UPDATE (RFC 4271 §4.1).
const UPDATE: u8 = 2;

/// Pieces and octets of one write, at most.
const PIECES: usize = 64;
const OCTETS: usize = 512 * 1024;

/// What is about to be written, in two lanes. At most one of them is within a message.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    said: VecDeque<(u8, Bytes)>,
    /// Octets of the first of `said` that are written.
    said_at: usize,
    batches: VecDeque<Queued>,
}

#[derive(Debug)]
struct Queued {
    batch: Batch,
    charge: usize,
    /// The range that is being written, and how many of its octets are.
    next: usize,
    at: usize,
    /// Where in that range the message under way ends; `at` between two messages.
    message_end: usize,
}

impl Queued {
    fn range(&self, index: usize) -> Option<Range<usize>> {
        self.batch.ranges.get(index).map(|range| range.start as usize..range.end as usize)
    }

    /// What is left of the message of which the peer has the beginning.
    fn under_way(&self) -> Option<Range<usize>> {
        let start = self.range(self.next)?.start;
        (self.at < self.message_end).then_some(start + self.at..start + self.message_end)
    }

    /// Takes octets off the front, one message at most, and gives those left over. `None` when the
    /// batch is written.
    fn advance(&mut self, written: usize, counters: &Counters) -> Option<usize> {
        let range = self.range(self.next)?;
        let rest = self.batch.arena.get(range.start + self.at..range.end).unwrap_or_default();
        if self.at == self.message_end {
            self.message_end += message_length(rest);
        }
        let left = self.message_end - self.at;
        if written < left {
            self.at += written;
            return Some(0);
        }
        counters.sent.count(UPDATE, 1, 0);
        self.at = self.message_end;
        if self.at == range.len() {
            (self.next, self.at, self.message_end) = (self.next + 1, 0, 0);
        }
        Some(written - left)
    }

    fn is_written(&self) -> bool {
        self.next >= self.batch.ranges.len()
    }
}

/// The length of the message at the start of `octets` by its header (RFC 4271 §4.1). Octets that
/// cannot be a message count as one.
fn message_length(octets: &[u8]) -> usize {
    match *octets {
        [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, high, low, ..] => {
            usize::from(u16::from_be_bytes([high, low])).max(frame::HEADER).min(octets.len())
        }
        _ => octets.len(),
    }
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.said.is_empty() && self.batches.is_empty()
    }

    /// Whether enough is queued for a while.
    pub(crate) fn is_plenty(&self) -> bool {
        self.batches.len() >= PIECES
    }

    /// A message of the session; `kind` is what it counts as.
    pub(crate) fn say(&mut self, kind: u8, octets: Bytes) {
        self.said.push_back((kind, octets));
    }

    pub(crate) fn queue(&mut self, mut batch: Batch, charge: usize, gauge: &Gauge) {
        let end = batch.arena.len();
        batch.ranges.retain(|range| range.start < range.end && range.end as usize <= end);
        if batch.ranges.is_empty() {
            gauge.leave(charge);
        } else {
            self.batches.push_back(Queued { batch, charge, next: 0, at: 0, message_end: 0 });
        }
    }

    fn is_within_a_batch(&self) -> bool {
        self.batches.front().is_some_and(|queued| queued.under_way().is_some())
    }

    /// As much as one write takes, in the order of [`Self::advance`].
    pub(crate) fn pieces(&self) -> Vec<IoSlice<'_>> {
        let mut pieces = Vec::with_capacity(PIECES.min(self.said.len() + self.batches.len() * 4));
        let under_way = self.batches.front().and_then(|first| Some((first, first.under_way()?)));
        if let Some((first, message)) = under_way {
            pieces.extend(piece(&first.batch.arena, message));
        }
        for (index, (_, octets)) in self.said.iter().enumerate() {
            let from = if index == 0 { self.said_at } else { 0 };
            pieces.extend(octets.get(from..).map(IoSlice::new));
        }
        let mut octets = 0;
        for queued in &self.batches {
            // Behind the message under way, if there is one.
            let mut skip = queued.message_end;
            for range in (queued.next..).map_while(|next| queued.range(next)) {
                if pieces.len() >= PIECES || octets >= OCTETS {
                    return pieces;
                }
                octets += range.len();
                pieces.extend(piece(&queued.batch.arena, range.start + skip..range.end));
                skip = 0;
            }
        }
        pieces
    }

    /// Forgets `written` octets from the front.
    pub(crate) fn advance(&mut self, mut written: usize, gauge: &Gauge, counters: &Counters) {
        counters.sent.count(0, 0, written);
        while written > 0 {
            if !self.is_within_a_batch()
                && let Some((kind, octets)) = self.said.front()
            {
                let left = octets.len() - self.said_at;
                if written < left {
                    self.said_at += written;
                    return;
                }
                written -= left;
                counters.sent.count(*kind, 1, 0);
                self.said.pop_front();
                self.said_at = 0;
            } else if let Some(first) = self.batches.front_mut() {
                written = first.advance(written, counters).unwrap_or_default();
                if first.is_written() {
                    gauge.leave(first.charge);
                    self.batches.pop_front();
                }
            } else {
                return;
            }
        }
    }

    /// Drops all but the rest of a message of which the peer has the beginning.
    pub(crate) fn keep_only_what_is_under_way(&mut self) {
        self.said.truncate(usize::from(self.said_at > 0));
        self.batches.truncate(usize::from(self.is_within_a_batch()));
        if let Some(first) = self.batches.front_mut() {
            let end = first.message_end;
            first.batch.ranges.truncate(first.next + 1);
            if let Some(range) = first.batch.ranges.last_mut() {
                range.end = range.start + u32::try_from(end).unwrap_or_default();
            }
        }
    }
}

fn piece(arena: &Bytes, run: Range<usize>) -> Option<IoSlice<'_>> {
    (!run.is_empty()).then(|| arena.get(run)).flatten().map(IoSlice::new)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::writer::Writer;

    /// A message of 20 octets: its header and one that tells it apart.
    fn message(mark: u8) -> Vec<u8> {
        [&[b'.'; 16][..], &[0, 20, 2, mark]].concat()
    }

    /// Two messages of the session, and a batch of three: `a`, and behind a gap `b` and `c`.
    fn outgoing() -> (Outgoing, Arc<Gauge>, Counters) {
        let (_, _, gauge) = Writer::new(1000);
        let mut out = Outgoing::default();
        let arena = [message(b'a'), vec![b'-'; 2], message(b'b'), message(b'c')].concat().into();
        out.queue(Batch { arena, ranges: vec![0..20, 22..62] }, 0, &gauge);
        for said in [b'K', b'R'] {
            out.say(4, message(said).into());
        }
        (out, gauge, Counters::default())
    }

    /// Each piece by its length and the marks of the messages that end in it.
    fn pieces(out: &Outgoing) -> Vec<(usize, String)> {
        let marks = |piece: &IoSlice<'_>| {
            piece
                .iter()
                .filter(|octet| octet.is_ascii_alphabetic())
                .map(|o| char::from(*o))
                .collect()
        };
        out.pieces().iter().map(|piece| (piece.len(), marks(piece))).collect()
    }

    fn expected(pieces: &[(usize, &str)]) -> Vec<(usize, String)> {
        pieces.iter().map(|(length, marks)| (*length, (*marks).to_owned())).collect()
    }

    #[test]
    fn the_session_speaks_first_and_a_range_is_one_piece() {
        let (out, _, _) = outgoing();
        assert_eq!(pieces(&out), expected(&[(20, "K"), (20, "R"), (20, "a"), (40, "bc")]));
    }

    #[test]
    fn no_message_is_cut_by_another() {
        let (mut out, gauge, counters) = outgoing();
        out.advance(15, &gauge, &counters);
        assert_eq!(pieces(&out), expected(&[(5, "K"), (20, "R"), (20, "a"), (40, "bc")]));
        out.advance(5 + 20 + 20 + 7, &gauge, &counters);
        assert_eq!(pieces(&out), expected(&[(13, "b"), (20, "c")]));
        out.say(4, message(b'L').into());
        assert_eq!(pieces(&out), expected(&[(13, "b"), (20, "L"), (20, "c")]));
        out.advance(13 + 20, &gauge, &counters);
        assert_eq!(pieces(&out), expected(&[(20, "c")]));
        assert_eq!((counters.sent().update, counters.sent().keepalive), (2, 3));
        assert_eq!(counters.sent().octets, 15 + 52 + 33);
        out.advance(20, &gauge, &counters);
        assert!(out.is_empty());
    }

    #[test]
    fn a_goodbye_ends_the_message_that_is_under_way_and_drops_the_rest() {
        for (written, left) in [
            (0, None),
            (1, Some((19, "K"))),
            (20, None),
            (39, Some((1, "R"))),
            (42, Some((18, "a"))),
            (60, None),
            (61, Some((19, "b"))),
            (80, None),
            (99, Some((1, "c"))),
        ] {
            let (mut out, gauge, counters) = outgoing();
            out.advance(written, &gauge, &counters);
            out.keep_only_what_is_under_way();
            assert_eq!(pieces(&out), expected(left.as_slice()), "after {written} octets");
            assert_eq!(out.is_empty(), left.is_none(), "after {written} octets");
            out.advance(left.map_or(0, |(length, _)| length), &gauge, &counters);
            assert!(out.is_empty(), "after {written} octets");
        }
    }

    #[test]
    fn what_lies_outside_of_the_arena_is_not_sent() {
        let (_, _, gauge) = Writer::new(1000);
        let mut out = Outgoing::default();
        let ranges = vec![2..4, 1..1, 3..u32::MAX, 0..2];
        out.queue(Batch { arena: Bytes::from_static(b"abc"), ranges }, 0, &gauge);
        assert_eq!(pieces(&out), expected(&[(2, "ab")]));
    }

    #[test]
    fn octets_that_are_no_message_are_written_all_the_same() {
        let (_, _, gauge) = Writer::new(1000);
        let counters = Counters::default();
        for octets in [vec![0; 30], vec![0xff; 30], vec![0; 5], vec![0; 19 + 18]] {
            let end = u32::try_from(octets.len()).unwrap();
            let mut out = Outgoing::default();
            let ranges = std::iter::once(0..end).collect();
            out.queue(Batch { arena: octets.into(), ranges }, 0, &gauge);
            (0..end).for_each(|_| out.advance(1, &gauge, &counters));
            assert!(out.is_empty());
        }
    }
}
