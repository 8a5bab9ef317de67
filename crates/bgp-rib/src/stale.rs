//! Routes of a peer that is gone, restarting, or back (RFC 4724 §4.2).

use std::sync::Arc;

use bgp_wire::community::Community;

use crate::bucket::{Bucket, Said};
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
    /// restart before this one, goes, but for what is long-lived (RFC 9494 §4.2).
    pub(crate) fn retain(&mut self, world: &World, peer: PeerIx) {
        self.sweep_if(world, peer, |bucket| !bucket.rank.worth.is_long_lived_stale());
        self.mark_stale(peer);
    }

    /// From now on all that a peer has announced is stale until it says it again.
    pub(crate) fn mark_stale(&mut self, peer: PeerIx) {
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
        self.sweep_if(world, peer, |_| true);
    }

    fn sweep_if(&mut self, world: &World, peer: PeerIx, goes: fn(&Bucket) -> bool) {
        if self.sender(peer).stale == 0 {
            return;
        }
        let stale: Vec<u32> = self
            .buckets_of(peer)
            .filter(|bucket| goes(self.buckets.at(*bucket)))
            .flat_map(|bucket| self.paths_in(bucket))
            .filter(|path| self.paths.at(*path).stale)
            .collect();
        for path in stale {
            self.remove(world, path);
        }
    }

    /// What is still stale is from now on long-lived stale (RFC 9494 §4.2, §4.3).
    pub(crate) fn make_long_lived(&mut self, world: &World, peer: PeerIx) {
        if self.sender(peer).stale == 0 {
            return;
        }
        for from in self.buckets_of(peer).collect::<Vec<_>>() {
            let stale: Vec<u32> =
                self.paths_in(from).filter(|path| self.paths.at(*path).stale).collect();
            let bucket = self.buckets.at(from);
            if bucket.attributes.communities.contains(&Community::NO_LLGR) {
                for path in stale {
                    self.remove(world, path);
                }
                continue;
            }
            if stale.is_empty() || bucket.rank.worth.is_long_lived_stale() {
                continue;
            }
            let Bucket { source, next_hop, rank, .. } = *bucket;
            let mut attributes = Arc::clone(&bucket.attributes);
            Arc::make_mut(&mut attributes).communities.push(Community::LLGR_STALE);
            let mut rank = rank;
            rank.worth.set_long_lived_stale();
            self.move_paths(world, stale, Said { peer, source, next_hop, attributes, rank });
        }
    }

    /// Removes what the import policy of a peer does not let pass any more, and takes targets off what
    /// it lets pass without them.
    pub(crate) fn enforce_import(&mut self, world: &World, peer: PeerIx, view: &PeerView) {
        let is_refused = |bucket: u32| {
            policy::is_transit(view, &self.buckets.at(bucket).attributes)
                || F::AFI_SAFI.has_targets()
                    && !policy::permits(view, self.buckets.targets_of(bucket))
        };
        let refused: Vec<u32> = self
            .buckets_of(peer)
            .filter(|bucket| is_refused(*bucket))
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
                let paths = self.paths_in(bucket).collect();
                self.move_paths(world, paths, said);
            }
        }
    }

    /// Gives paths of one sender other attributes; stale ones stay so.
    fn move_paths(&mut self, world: &World, paths: Vec<u32>, said: Said) {
        let peer = said.peer;
        let to = self.bucket(said);
        for ix in paths {
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
