//! Encoded messages of one flush, shared by all peers that are due them.

use std::ops::Range;

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
    /// Families whose End-of-RIB this shard is ready for, after the messages above. The octets of
    /// the marker are the writer's, once every shard has said so.
    pub end_of_rib: Vec<AfiSafi>,
}

impl Batch {
    /// Octets in `ranges`.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(Range::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.end_of_rib.is_empty()
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

/// Where the octets of one round are gathered.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    pub(crate) octets: Vec<u8>,
}
