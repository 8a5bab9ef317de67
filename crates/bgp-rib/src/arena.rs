//! Encoded messages of one flush, shared by all peers that are due them.

use std::ops::Range;
use std::sync::Arc;

use bgp_wire::{AfiSafi, Messages};
use bytes::Bytes;

use crate::chunked::NONE;
use crate::peer::PeerIx;

/// What one peer is told by one flush. Cheap to clone: peers that are told the same share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// `None`: nothing but marks.
    pub messages: Option<Arc<Messages>>,
    /// Of a batch that has them they are all there is.
    pub marks: Vec<Mark>,
}

/// A place in what one shard says to a peer. The octets are the writer's, which hears all shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// This shard has said all it had in this family (RFC 4724); written once every shard has.
    EndOfRib(AfiSafi),
    /// What follows answers a request of the peer (RFC 7313 §4); written before the first shard's.
    RefreshBegin(AfiSafi),
    /// The answer is complete; written once every shard has said so.
    RefreshEnd(AfiSafi),
}

impl Batch {
    /// Octets of the messages.
    pub fn octets(&self) -> usize {
        self.messages.as_ref().map_or(0, |messages| messages.octets())
    }

    pub fn is_empty(&self) -> bool {
        self.octets() == 0 && self.marks.is_empty()
    }

    /// The messages, those that touch each other together.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.messages.iter().flat_map(|messages| messages.slices())
    }
}

/// The queue of the peer has no room, and nothing of the batch was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The queues of the peers' writers.
pub trait Sink {
    /// Takes the whole batch or nothing, and never waits.
    ///
    /// A sink that says `Full` owes the shard an [`crate::Input::Drained`] when there is room. The
    /// shard tries once more after the first `Full`, so a sink may arm its wake-up in the first
    /// call without losing a drain that happens in between. A queue of a session that has ended
    /// takes and forgets.
    ///
    /// # Errors
    /// [`Full`] when there is no room.
    fn push(&mut self, peer: PeerIx, batch: &Batch) -> Result<(), Full>;
}

/// Encoded messages of one round, and who is due which. Kept from round to round for its room.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) arena: Vec<u8>,
    /// Where each message of the arena ends.
    ends: Vec<u32>,
    /// Messages by number.
    list: Vec<(Arc<[PeerIx]>, Range<u32>)>,
    /// The first has nothing.
    classes: Vec<Class>,
    /// By peer number; `NONE` of those that are due nothing.
    class_of: Vec<u32>,
    due: Vec<PeerIx>,
}

/// Peers that are due the same.
#[derive(Debug)]
struct Class {
    /// They are due what that class is, and `run` behind it.
    before: u32,
    run: Range<u32>,
    /// The class that grew out of this one last, and by which entry of the list.
    grown: (usize, u32),
}

impl Runs {
    /// A message ends here.
    pub(crate) fn end_message(&mut self) {
        self.ends.push(number(self.arena.len()));
    }

    /// How many messages there are.
    pub(crate) fn count(&self) -> u32 {
        number(self.ends.len())
    }

    /// The messages since there were `start` are for `peers`.
    pub(crate) fn add(&mut self, peers: &Arc<[PeerIx]>, start: u32) {
        let end = self.count();
        if start == end {
            return;
        }
        match self.list.last_mut() {
            // Messages for the same peers become one run, so that handing out costs per peer and
            // not per message and peer.
            Some((last, range)) if Arc::ptr_eq(last, peers) && range.end == start => {
                range.end = end;
            }
            _ => self.list.push((Arc::clone(peers), start..end)),
        }
    }

    /// Gives each peer what it is due, peer by peer, and is empty then.
    pub(crate) fn hand_out(&mut self, mut give: impl FnMut(PeerIx, &Batch)) {
        if !self.list.is_empty() {
            self.classify();
            let (arena, ends) = self.take_octets();
            let class_of = &self.class_of;
            self.due.sort_unstable_by_key(|peer| (class_of[peer.at()], *peer));
            for same in self.due.chunk_by(|a, b| class_of[a.at()] == class_of[b.at()]) {
                let runs = self.runs_of(class_of[same[0].at()]);
                let messages = Messages::new(arena.clone(), Arc::clone(&ends), runs);
                let messages = Some(Arc::new(messages.apart_if_small()));
                let batch = Batch { messages, marks: Vec::new() };
                for peer in same {
                    give(*peer, &batch);
                }
            }
        }
        self.clear();
    }

    /// Divides peers into classes that are due the same, in time for each entry of the list and peer.
    fn classify(&mut self) {
        self.classes.push(Class { before: NONE, run: 0..0, grown: (usize::MAX, NONE) });
        for (entry, (peers, run)) in self.list.iter().enumerate() {
            for peer in peers.iter() {
                if self.class_of.len() <= peer.at() {
                    self.class_of.resize(peer.at() + 1, NONE);
                }
                let mut before = self.class_of[peer.at()];
                if before == NONE {
                    self.due.push(*peer);
                    before = 0;
                }
                let next = number(self.classes.len());
                let grown = &mut self.classes[before as usize].grown;
                if grown.0 != entry {
                    *grown = (entry, next);
                }
                let class = grown.1;
                if class == next {
                    let grown = (usize::MAX, NONE);
                    self.classes.push(Class { before, run: run.clone(), grown });
                }
                self.class_of[peer.at()] = class;
            }
        }
    }

    /// All that a class is due, ascending.
    fn runs_of(&self, class: u32) -> Vec<Range<u32>> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        let mut at = &self.classes[class as usize];
        while at.before != NONE {
            match runs.last_mut() {
                Some(after) if after.start == at.run.end => after.start = at.run.start,
                _ => runs.push(at.run.clone()),
            }
            at = &self.classes[at.before as usize];
        }
        runs.reverse();
        runs
    }

    /// The arena, and where its messages end. A small one is copied: its room is used again.
    fn take_octets(&mut self) -> (Bytes, Arc<[u32]>) {
        const SMALL: usize = 256 * 1_024;
        let ends = self.ends.as_slice().into();
        if self.arena.len() > SMALL {
            return (std::mem::take(&mut self.arena).into(), ends);
        }
        (Bytes::copy_from_slice(&self.arena), ends)
    }

    fn clear(&mut self) {
        self.arena.clear();
        self.ends.clear();
        self.list.clear();
        self.classes.clear();
        for peer in self.due.drain(..) {
            self.class_of[peer.at()] = NONE;
        }
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a round is far smaller than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each peer with the marks of its messages, from `(peers, marks)` in order.
    fn handed_out(said: &[(&[u16], &str)]) -> Vec<(u16, String)> {
        let mut runs = Runs::default();
        for (peers, marks) in said {
            let peers: Arc<[PeerIx]> = peers.iter().map(|peer| PeerIx(*peer)).collect();
            let start = runs.count();
            for mark in marks.bytes() {
                runs.arena.push(mark);
                runs.end_message();
            }
            runs.add(&peers, start);
        }
        let mut given = Vec::new();
        runs.hand_out(|peer, batch| {
            let octets = batch.slices().collect::<Vec<_>>().concat();
            given.push((peer.0, String::from_utf8(octets).unwrap()));
        });
        assert!(runs.arena.is_empty() && runs.class_of.iter().all(|class| *class == NONE));
        given.sort();
        given
    }

    #[test]
    fn each_peer_gets_what_it_is_due_in_order() {
        let said: &[(&[u16], &str)] =
            &[(&[1, 2, 3], "ab"), (&[2], "c"), (&[1, 3], "d"), (&[4], ""), (&[2, 3, 5], "ef")];
        let expected = [(1, "abd"), (2, "abcef"), (3, "abdef"), (5, "ef")];
        assert_eq!(handed_out(said), expected.map(|(peer, marks)| (peer, marks.to_owned())));
    }

    #[test]
    fn peers_that_are_due_the_same_share_it() {
        let mut runs = Runs::default();
        for (peers, mark) in [([1, 2], 7), ([3, 4], 8), ([1, 2], 9)] {
            let peers: Arc<[PeerIx]> = peers.into_iter().map(PeerIx).collect();
            let start = runs.count();
            runs.arena.push(mark);
            runs.end_message();
            runs.add(&peers, start);
        }
        let mut given = Vec::new();
        runs.hand_out(|_, batch| given.extend(batch.messages.clone()));
        assert_eq!(given.len(), 4);
        assert!(Arc::ptr_eq(&given[0], &given[1]) && Arc::ptr_eq(&given[2], &given[3]));
    }
}
