//! Encoded messages of one flush, shared by all peers that are due them.

use std::ops::Range;
use std::sync::Arc;

use bgp_wire::AfiSafi;
use bytes::Bytes;

use crate::peer::PeerIx;

/// What one peer is told by one flush: whole messages in an arena that other peers share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Messages, back to back; only those in `ranges` are for this peer.
    pub arena: Bytes,
    /// Ascending, not touching each other; each covers whole messages.
    pub ranges: Vec<Range<u32>>,
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
    /// Octets in `ranges`.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(Range::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.marks.is_empty()
    }

    /// A batch that is a small part of its arena gets octets of its own: in the queue of a slow
    /// peer it would else keep the whole arena alive.
    fn apart_if_small(self) -> Self {
        const SHARE: usize = 4;
        let len = self.len();
        if self.ranges.is_empty() || len.saturating_mul(SHARE) > self.arena.len() {
            return self;
        }
        let mut octets = Vec::with_capacity(len);
        self.slices().for_each(|slice| octets.extend_from_slice(&slice));
        let end = u32::try_from(len).expect("a part of an arena is smaller than it");
        let ranges = std::iter::once(0..end).collect();
        Self { arena: octets.into(), ranges, marks: self.marks }
    }

    /// The messages of this peer, one slice per range.
    pub fn slices(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.ranges.iter().map(|range| self.arena.slice(range.start as usize..range.end as usize))
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
    fn push(&mut self, peer: PeerIx, batch: Batch) -> Result<(), Full>;
}

/// Encoded messages of one round, and who is due which.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) arena: Vec<u8>,
    list: Vec<(Arc<[PeerIx]>, Range<u32>)>,
}

impl Runs {
    /// What was appended to the arena since `start` is for `peers`.
    pub(crate) fn add(&mut self, peers: &Arc<[PeerIx]>, start: usize) {
        let offset = |at: usize| u32::try_from(at).expect("a round is far smaller than 4 GiB");
        let (start, end) = (offset(start), offset(self.arena.len()));
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

    /// One batch for each peer that is due something.
    pub(crate) fn batches(self) -> impl Iterator<Item = (PeerIx, Batch)> {
        let mut by_peer: Vec<(PeerIx, Vec<Range<u32>>)> = Vec::new();
        let mut place: Vec<Option<usize>> = Vec::new();
        for (peers, range) in &self.list {
            for peer in peers.iter() {
                if place.len() <= peer.at() {
                    place.resize(peer.at() + 1, None);
                }
                let at = *place[peer.at()].get_or_insert_with(|| {
                    by_peer.push((*peer, Vec::new()));
                    by_peer.len() - 1
                });
                let ranges = &mut by_peer[at].1;
                match ranges.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => ranges.push(range.clone()),
                }
            }
        }
        let arena = Bytes::from(self.arena);
        by_peer.into_iter().map(move |(peer, ranges)| {
            let batch = Batch { arena: arena.clone(), ranges, marks: Vec::new() };
            (peer, batch.apart_if_small())
        })
    }
}
