//! The order of what is written: the session's own messages before what is queued, and no message
//! within another.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bgp_wire::Messages;
use bytes::Bytes;

use crate::queue::Queue;
use crate::status::Counters;

/// The type of an OPEN (RFC 4271 §4.1).
const OPEN: u8 = 1;

/// The type of an UPDATE (RFC 4271 §4.1).
pub(crate) const UPDATE: u8 = 2;

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
    messages: Arc<Messages>,
    charge: usize,
    /// The run that is being written, how many of its octets are, and how many of its messages.
    next: usize,
    at: usize,
    counted: usize,
}

impl Queued {
    /// What is left of the message of which the peer has the beginning.
    fn under_way(&self) -> Option<&[u8]> {
        let run = self.messages.run(self.next)?;
        run.octets.get(self.at..run.end_of_message(self.at)).filter(|rest| !rest.is_empty())
    }

    /// Takes octets off the front and gives those left over; the run under way at most, or, where the
    /// session has something to say, the message. `None` when the batch is written.
    fn advance(&mut self, written: usize, stop: bool, counters: &Counters) -> Option<usize> {
        let run = self.messages.run(self.next)?;
        let mut end = run.octets.len();
        if stop && self.at > 0 {
            end = run.end_of_message(self.at);
        }
        let took = written.min(end - self.at);
        self.at += took;
        let ended = run.ended_by(self.at);
        counters.sent.count(UPDATE, (ended - self.counted) as u64, 0);
        self.counted = ended;
        if self.at == run.octets.len() {
            (self.next, self.at, self.counted) = (self.next + 1, 0, 0);
        }
        Some(written - took)
    }

    fn is_written(&self) -> bool {
        self.messages.run(self.next).is_none()
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

    /// Messages of which the peer has the first `written` octets already.
    pub(crate) fn queue(
        &mut self,
        messages: Arc<Messages>,
        charge: usize,
        mut written: usize,
        queue: &Queue,
        counters: &Counters,
    ) {
        let mut queued = Queued { messages, charge, next: 0, at: 0, counted: 0 };
        counters.sent.count(0, 0, written);
        while written > 0 {
            written = queued.advance(written, false, counters).unwrap_or_default();
        }
        if queued.is_written() {
            queue.leave(charge);
        } else {
            self.batches.push_back(queued);
        }
    }

    fn is_within_a_batch(&self) -> bool {
        self.batches.front().is_some_and(|queued| queued.under_way().is_some())
    }

    /// As much as one write takes, in the order of [`Self::advance`].
    pub(crate) fn pieces(&self) -> Vec<IoSlice<'_>> {
        let mut pieces = Vec::with_capacity(PIECES.min(self.said.len() + self.batches.len() * 4));
        let under_way = match self.batches.front() {
            // With nothing to come between, the message need not be told apart.
            Some(first) if !self.said.is_empty() => first.under_way(),
            _ => None,
        };
        let mut skip = under_way.map_or(0, <[u8]>::len);
        pieces.extend(under_way.map(IoSlice::new));
        for (index, (_, octets)) in self.said.iter().enumerate() {
            let from = if index == 0 { self.said_at } else { 0 };
            pieces.extend(octets.get(from..).map(IoSlice::new));
        }
        let mut octets = 0;
        for queued in &self.batches {
            skip += queued.at;
            for run in (queued.next..).map_while(|next| queued.messages.run(next)) {
                if pieces.len() >= PIECES || octets >= OCTETS {
                    return pieces;
                }
                let rest = run.octets.get(skip..).unwrap_or_default();
                octets += rest.len();
                pieces.extend((!rest.is_empty()).then_some(IoSlice::new(rest)));
                skip = 0;
            }
        }
        pieces
    }

    /// Forgets `written` octets from the front.
    pub(crate) fn advance(&mut self, mut written: usize, queue: &Queue, counters: &Counters) {
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
                let stop = !self.said.is_empty();
                written = first.advance(written, stop, counters).unwrap_or_default();
                if first.is_written() {
                    queue.leave(first.charge);
                    self.batches.pop_front();
                }
            } else {
                return;
            }
        }
    }

    /// Drops all but the rest of a message of which the peer has the beginning, and our OPEN: a peer
    /// whose own was refused at once shall see whom it was refused by.
    pub(crate) fn keep_only_what_is_under_way(&mut self) {
        let mut begun = usize::from(self.said_at > 0);
        self.said.retain(|(kind, _)| std::mem::take(&mut begun) > 0 || *kind == OPEN);
        self.batches.truncate(usize::from(self.is_within_a_batch()));
        if let Some(first) = self.batches.front_mut()
            && let Some(rest) = first.under_way()
        {
            let rest = Bytes::copy_from_slice(rest);
            // It counts as one of the session's: nothing else is left to be ordered.
            self.said.push_front((UPDATE, rest));
            self.batches.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of 20 octets: its header and one that tells it apart.
    fn message(mark: u8) -> Vec<u8> {
        [&[b'.'; 16][..], &[0, 20, 2, mark]].concat()
    }

    /// Two messages of the session, and a batch of three: `a`, and behind a gap `b` and `c`.
    fn outgoing() -> (Outgoing, Queue, Counters) {
        let queue = Queue::new(1000);
        let (mut out, counters) = (Outgoing::default(), Counters::default());
        let arena = [b'a', b'-', b'b', b'c'].map(message).concat().into();
        let ends = [20, 40, 60, 80].into();
        let runs = vec![0..1, 2..4];
        out.queue(Arc::new(Messages::new(arena, ends, runs)), 0, 0, &queue, &counters);
        for said in [b'K', b'R'] {
            out.say(4, message(said).into());
        }
        (out, queue, counters)
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
        let (mut out, queue, counters) = outgoing();
        out.advance(15, &queue, &counters);
        assert_eq!(pieces(&out), expected(&[(5, "K"), (20, "R"), (20, "a"), (40, "bc")]));
        out.advance(5 + 20 + 20 + 7, &queue, &counters);
        assert_eq!(pieces(&out), expected(&[(33, "bc")]));
        out.say(4, message(b'L').into());
        assert_eq!(pieces(&out), expected(&[(13, "b"), (20, "L"), (20, "c")]));
        out.advance(13 + 20, &queue, &counters);
        assert_eq!(pieces(&out), expected(&[(20, "c")]));
        assert_eq!((counters.sent().update, counters.sent().keepalive), (2, 3));
        assert_eq!(counters.sent().octets, 15 + 52 + 33);
        out.advance(20, &queue, &counters);
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
            let (mut out, queue, counters) = outgoing();
            out.advance(written, &queue, &counters);
            out.keep_only_what_is_under_way();
            assert_eq!(pieces(&out), expected(left.as_slice()), "after {written} octets");
            assert_eq!(out.is_empty(), left.is_none(), "after {written} octets");
            out.advance(left.map_or(0, |(length, _)| length), &queue, &counters);
            assert!(out.is_empty(), "after {written} octets");
        }
    }

    #[test]
    fn our_open_goes_out_before_a_goodbye() {
        let mut out = Outgoing::default();
        out.say(OPEN, message(b'O').into());
        out.say(4, message(b'K').into());
        out.keep_only_what_is_under_way();
        assert_eq!(pieces(&out), expected(&[(20, "O")]));
    }

    #[test]
    fn a_batch_that_others_have_begun_is_gone_on_with() {
        let (queue, counters) = (Queue::new(1000), Counters::default());
        let mut out = Outgoing::default();
        out.say(4, message(b'K').into());
        let messages = Messages::all([b'a', b'b'].map(message).concat().into());
        out.queue(Arc::new(messages), 0, 33, &queue, &counters);
        assert_eq!((counters.sent().update, counters.sent().octets), (1, 33));
        assert_eq!(pieces(&out), expected(&[(7, "b"), (20, "K")]));
        out.keep_only_what_is_under_way();
        assert_eq!(pieces(&out), expected(&[(7, "b")]));
    }

    #[test]
    fn octets_that_are_no_message_are_written_all_the_same() {
        let queue = Queue::new(1000);
        let counters = Counters::default();
        for octets in [vec![0; 30], vec![0xff; 30], vec![0; 5], vec![0; 19 + 18]] {
            let count = octets.len();
            let mut out = Outgoing::default();
            out.queue(Arc::new(Messages::all(octets.into())), 0, 0, &queue, &counters);
            (0..count).for_each(|_| out.advance(1, &queue, &counters));
            assert!(out.is_empty());
        }
    }
}
