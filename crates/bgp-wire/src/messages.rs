//! Encoded messages in memory that the queues of many peers share.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::frame;

/// Some of the messages of an arena: those that certain peers are due.
///
/// Messages have numbers, so that whoever writes them to a socket knows without a look at the octets
/// how many there are, and where each ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Messages {
    /// Whole messages, back to back.
    arena: Bytes,
    /// Where each of them ends, ascending.
    ends: Arc<[u32]>,
    /// Those meant, by number: ascending, not touching each other, none empty.
    runs: Vec<Range<u32>>,
    octets: usize,
}

impl Messages {
    /// The messages `runs`, by number, of an arena with these `ends`. What does not exist is left out.
    pub fn new(arena: Bytes, ends: Arc<[u32]>, mut runs: Vec<Range<u32>>) -> Self {
        let exists = |run: &Range<u32>| {
            run.start < run.end
                && run.end as usize <= ends.len()
                && end_of(&ends, run.end - 1) <= arena.len()
        };
        runs.retain(exists);
        let octets = runs.iter().map(|run| octets_of(&ends, run).len()).sum();
        Self { arena, ends, runs, octets }
    }

    /// All messages in `arena`, by their headers (RFC 4271 §4.1). Octets that cannot be a message count
    /// as one.
    pub fn all(arena: Bytes) -> Self {
        let mut ends = Vec::new();
        let mut at = 0;
        while let Some(rest) = arena.get(at..).filter(|rest| !rest.is_empty()) {
            at += match *rest {
                [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, high, low, ..] => {
                    usize::from(u16::from_be_bytes([high, low])).max(frame::HEADER).min(rest.len())
                }
                _ => rest.len(),
            };
            ends.extend(u32::try_from(at));
        }
        let runs = u32::try_from(ends.len()).map(|count| 0..count).into_iter().collect();
        Self::new(arena, ends.into(), runs)
    }

    /// Octets of the messages meant.
    pub const fn octets(&self) -> usize {
        self.octets
    }

    /// Octets of the arena, messages for others included.
    pub const fn arena_octets(&self) -> usize {
        self.arena.len()
    }

    /// How many messages are meant.
    pub fn count(&self) -> usize {
        self.runs.iter().map(ExactSizeIterator::len).sum()
    }

    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The messages meant, those that touch each other together.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        (0..).map_while(|nth| self.run(nth)).map(|run| run.octets)
    }

    /// The `nth` of the stretches of messages that lie back to back.
    pub fn run(&self, nth: usize) -> Option<Run<'_>> {
        let numbers = self.runs.get(nth)?;
        let at = octets_of(&self.ends, numbers);
        let ends = self.ends.get(numbers.start as usize..numbers.end as usize)?;
        Some(Run { octets: self.arena.get(at.clone())?, start: at.start, ends })
    }

    /// The same messages in octets of their own, where they are a small part of their arena: in the
    /// queue of a slow peer they would else keep all of it alive.
    #[must_use]
    pub fn apart_if_small(self) -> Self {
        const SHARE: usize = 4;
        if self.octets.saturating_mul(SHARE) > self.arena.len() {
            return self;
        }
        let mut arena = Vec::with_capacity(self.octets);
        let mut ends = Vec::with_capacity(self.count());
        for run in (0..).map_while(|nth| self.run(nth)) {
            let start = arena.len();
            arena.extend_from_slice(run.octets);
            let moved = run.ends.iter().map(|end| *end as usize - run.start + start);
            ends.extend(moved.flat_map(u32::try_from));
        }
        let runs = u32::try_from(ends.len()).map(|count| 0..count).into_iter().collect();
        Self::new(arena.into(), ends.into(), runs)
    }
}

/// Messages that lie back to back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<'a> {
    pub octets: &'a [u8],
    /// Where `octets` begin in the arena.
    start: usize,
    /// In the arena.
    ends: &'a [u32],
}

impl Run<'_> {
    /// How many messages end at or before the octet `at` of this run.
    pub fn ended_by(&self, at: usize) -> usize {
        if at >= self.octets.len() {
            return self.ends.len();
        }
        self.ends.partition_point(|end| *end as usize <= self.start + at)
    }

    /// Where the message ends that has the octet `at` of this run; `at` itself between two messages.
    pub fn end_of_message(&self, at: usize) -> usize {
        let begun = |end: &u32| (*end as usize) < self.start + at;
        let end = self.ends.get(self.ends.partition_point(begun));
        if at == 0 { 0 } else { end.map_or(at, |end| *end as usize - self.start) }
    }
}

fn end_of(ends: &[u32], number: u32) -> usize {
    ends.get(number as usize).map_or(usize::MAX, |end| *end as usize)
}

fn octets_of(ends: &[u32], run: &Range<u32>) -> Range<usize> {
    let start = run.start.checked_sub(1).map_or(0, |before| end_of(ends, before));
    start..end_of(ends, run.end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of `19 + extra` octets.
    fn message(extra: u8) -> Vec<u8> {
        let mut octets = [&[0xff; 16][..], &[0, 19 + extra, 2]].concat();
        octets.resize(usize::from(19 + extra), extra);
        octets
    }

    fn arena() -> Bytes {
        [message(0), message(1), message(2), message(3)].concat().into()
    }

    #[test]
    fn messages_are_found_by_their_headers() {
        let all = Messages::all(arena());
        assert_eq!((all.count(), all.octets()), (4, 82));
        assert_eq!(*all.ends, [19, 39, 60, 82]);
        for octets in [vec![], vec![0; 30], vec![0xff; 30], vec![0; 5], vec![0; 19 + 18]] {
            let all = Messages::all(octets.clone().into());
            assert_eq!(all.slices().collect::<Vec<_>>().concat(), octets);
        }
    }

    #[test]
    fn what_does_not_exist_is_not_meant() {
        let ends: Arc<[u32]> = [19, 39, 60, 90].into();
        let some = Messages::new(arena(), ends, vec![0..0, 0..1, 2..3, 2..4, 3..9]);
        assert_eq!((some.count(), some.octets()), (2, 19 + 21));
    }

    #[test]
    fn a_run_knows_its_messages() {
        let ends: Arc<[u32]> = [19, 39, 60, 82].into();
        let some = Messages::new(arena(), ends, vec![0..1, 2..4]);
        let run = some.run(1).unwrap();
        assert_eq!(run.octets, [message(2), message(3)].concat());
        for (at, ended, end) in [(0, 0, 0), (1, 0, 21), (20, 0, 21), (21, 1, 21), (22, 1, 43)] {
            assert_eq!((run.ended_by(at), run.end_of_message(at)), (ended, end), "{at}");
        }
        assert_eq!((run.ended_by(43), run.end_of_message(43)), (2, 43));
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one run of messages is what is meant")]
    fn a_small_part_leaves_the_arena() {
        let ends: Arc<[u32]> = [19, 39, 60, 82].into();
        let part = |runs| Messages::new(arena(), Arc::clone(&ends), runs);
        assert_eq!(part(vec![1..3]).apart_if_small().arena_octets(), 82);
        let apart = part(vec![1..2]).apart_if_small();
        assert_eq!((apart.arena_octets(), apart.count()), (20, 1));
        assert_eq!(apart.slices().collect::<Vec<_>>(), [message(1)]);
    }
}
