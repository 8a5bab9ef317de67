//! Routes of a peer that is gone, restarting, or back (RFC 4724 §4.2).

use std::sync::Arc;

use crate::bucket::{Bucket, BucketIx, Said};
use crate::chunked::NONE;
use crate::family::TableFamily;
use crate::peer::{PeerIx, PeerView};
use crate::policy;
use crate::registry::World;
use crate::table::Table;

impl<F: TableFamily> Table<F> {
    /// Removes all that a peer has announced. Walks its buckets, never the table.
    pub(crate) fn remove_all(&mut self, world: &World, peer: PeerIx) {
        loop {
            let bucket = self.sender(peer).buckets;
            if bucket == NONE {
                return;
            }
            let path = self.buckets.at(bucket).head;
            self.remove(world, path);
        }
    }

    /// Keeps what a peer has announced until it says it again. What is stale already, from a
    /// restart before this one, goes.
    pub(crate) fn retain(&mut self, world: &World, peer: PeerIx) {
        self.sweep(world, peer);
        let buckets: Vec<u32> = self.buckets_of(peer).collect();
        for bucket in buckets {
            let mut path = self.buckets.at(bucket).head;
            while path != NONE {
                let known = self.paths.at_mut(path);
                known.stale = true;
                path = known.next_in_bucket;
            }
        }
        let sender = self.sender_mut(peer);
        sender.stale = sender.paths;
    }

    /// Removes what is still stale.
    pub(crate) fn sweep(&mut self, world: &World, peer: PeerIx) {
        if self.sender(peer).stale == 0 {
            return;
        }
        let stale: Vec<u32> = self
            .buckets_of(peer)
            .flat_map(|bucket| self.paths_in(bucket))
            .filter(|path| self.paths.at(*path).stale)
            .collect();
        for path in stale {
            self.remove(world, path);
        }
    }

    /// Removes what the import policy of a peer does not let pass any more, and takes targets off what
    /// it lets pass without them.
    pub(crate) fn enforce_import(&mut self, world: &World, peer: PeerIx, view: &PeerView) {
        let refused: Vec<u32> = self
            .buckets_of(peer)
            .filter(|bucket| !policy::permits(view, self.buckets.targets_of(*bucket)))
            .flat_map(|bucket| self.paths_in(bucket))
            .collect();
        for path in refused {
            self.remove(world, path);
        }
        for bucket in self.buckets_of(peer).collect::<Vec<_>>() {
            let known = self.buckets.at(bucket);
            let before = &known.attributes;
            let attributes = policy::without_foreign_targets(view, F::AFI_SAFI, Arc::clone(before));
            if !Arc::ptr_eq(&attributes, before) {
                let Bucket { source, next_hop, rank, .. } = *known;
                let said = Said { peer, source, next_hop, attributes, rank };
                self.move_all(world, bucket, said);
            }
        }
    }

    /// Gives all routes of a bucket other attributes; stale ones stay so.
    fn move_all(&mut self, world: &World, from: BucketIx, said: Said) {
        let peer = said.peer;
        let to = self.bucket(said);
        for ix in self.paths_in(from).collect::<Vec<_>>() {
            let path = self.paths.at(ix);
            let (stale, path_id, data) = (path.stale, path.id, path.data.clone());
            self.announce_path(world, to, path.destination, path_id, data);
            if stale {
                self.paths.at_mut(ix).stale = true;
                self.sender_mut(peer).stale += 1;
            }
        }
    }
}
