//! The table of one family: destinations, their paths, and who is told of them.

use std::hash::BuildHasher as _;
use std::num::NonZeroU8;

use bgp_wire::{AfiSafi, PathId, Route, RtMembership, VpnKey, VpnLabels};
use foldhash::fast::FixedState;
use ipnet::Ipv4Net;

use crate::answers::Answers;
use crate::bucket::{BucketIx, Buckets, Said};
use crate::chunked::{Chunked, NONE};
use crate::decision::{self, Candidate};
use crate::family::TableFamily;
use crate::group::UpdateGroup;
use crate::index::{Hash, Index};
use crate::many::Many;
use crate::owing::{Link, Links, Owing};
use crate::peer::PeerIx;
use crate::peer_set::{PeerSet, SetIx};
use crate::policy;
use crate::registry::World;
use crate::walk::Walks;

/// One key, and a list of paths of which the first is the best.
#[derive(Debug)]
pub(crate) struct Destination<K> {
    pub(crate) key: K,
    pub(crate) head: u32,
    pub(crate) link: Link,
}

/// One path; its sender is its bucket's.
#[derive(Debug)]
pub(crate) struct Path<D> {
    pub(crate) destination: u32,
    pub(crate) bucket: BucketIx,
    /// Of the destination.
    pub(crate) next: u32,
    prev_in_bucket: u32,
    pub(crate) next_in_bucket: u32,
    pub(crate) id: PathId,
    pub(crate) data: D,
    /// From before a restart of the sender, and not said again yet.
    pub(crate) stale: bool,
}

// Of these two there is one per route: see the budget in the architecture.
const _: () = assert!(size_of::<Destination<VpnKey<Ipv4Net>>>() == 32);
const _: () = assert!(size_of::<Path<VpnLabels>>() == 32);

impl<K> Links for Chunked<Destination<K>> {
    fn link(&mut self, destination: u32) -> &mut Link {
        &mut self.at_mut(destination).link
    }
}

/// What a table knows of a peer that announces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender {
    pub(crate) buckets: BucketIx,
    pub(crate) paths: u32,
    pub(crate) stale: u32,
    /// Of `paths`, what all shards together know of.
    pub(crate) counted: u32,
}

impl Sender {
    const NEW: Self = Self { buckets: NONE, paths: 0, stale: 0, counted: 0 };
}

/// A membership path has come (`true`) or gone.
pub(crate) type MembershipChange = (PeerIx, RtMembership, bool);

/// All routes of one family in one shard.
#[derive(Debug)]
pub(crate) struct Table<F: TableFamily> {
    hasher: FixedState,
    pub(crate) destinations: Chunked<Destination<F::Key>>,
    index: Index,
    /// Kept for its room.
    looked_up: Vec<(Hash, u32)>,
    pub(crate) paths: Chunked<Path<F::Data>>,
    pub(crate) buckets: Buckets,
    pub(crate) owing: Owing,
    senders: Vec<Sender>,
    /// What we originate.
    local: Sender,
    /// Peers with a session that speak the family, ascending, and by peer number their group.
    pub(crate) members: Vec<PeerIx>,
    groups: Vec<UpdateGroup>,
    group_of: Vec<u32>,
    pub(crate) walks: Walks,
    pub(crate) many: Many,
    pub(crate) end_of_rib_due: Vec<PeerIx>,
    pub(crate) answers: Answers,
    /// Membership paths that came or went and that the interest has not heard of.
    pub(crate) membership_changes: Vec<MembershipChange>,
    candidates: Vec<Candidate>,
    /// Unused sets of peers are dropped when there are more sets than this.
    pub(crate) tidy_above: u32,
}

impl<F: TableFamily> Table<F> {
    pub(crate) fn new(seed: u64) -> Self {
        let seed = crate::interest::derived_seed(
            seed,
            u64::from(F::AFI_SAFI.afi.0) << 8 | u64::from(F::AFI_SAFI.safi.0),
        );
        Self {
            hasher: FixedState::with_seed(seed),
            destinations: Chunked::new(),
            index: Index::default(),
            looked_up: Vec::new(),
            paths: Chunked::new(),
            buckets: Buckets::new(seed, F::AFI_SAFI),
            owing: Owing::new(seed),
            senders: Vec::new(),
            local: Sender::NEW,
            members: Vec::new(),
            groups: Vec::new(),
            group_of: Vec::new(),
            walks: Walks::default(),
            many: Many::new(seed),
            end_of_rib_due: Vec::new(),
            answers: Answers::default(),
            membership_changes: Vec::new(),
            candidates: Vec::new(),
            tidy_above: 64,
        }
    }

    /// Memberships are chosen per receiver (RFC 4684 §3.2), all else is one choice for all.
    pub(crate) const CHOSEN_PER_PEER: bool =
        F::AFI_SAFI.afi.0 == AfiSafi::RTC.afi.0 && F::AFI_SAFI.safi.0 == AfiSafi::RTC.safi.0;

    pub(crate) fn sender(&self, peer: PeerIx) -> Sender {
        match peer {
            PeerIx::LOCAL => self.local,
            peer => self.senders.get(peer.at()).copied().unwrap_or(Sender::NEW),
        }
    }

    pub(crate) fn sender_mut(&mut self, peer: PeerIx) -> &mut Sender {
        if peer == PeerIx::LOCAL {
            return &mut self.local;
        }
        if self.senders.len() <= peer.at() {
            self.senders.resize(peer.at() + 1, Sender::NEW);
        }
        &mut self.senders[peer.at()]
    }

    pub(crate) fn group_ix(&self, peer: PeerIx) -> Option<u32> {
        self.group_of.get(peer.at()).copied().filter(|group| *group != NONE)
    }

    pub(crate) fn group(&self, ix: u32) -> &UpdateGroup {
        &self.groups[ix as usize]
    }

    /// A peer is told this family from now on; what, is said by walks. Whether it is told several paths,
    /// and then `limit` at most, is settled the first time.
    pub(crate) fn join(&mut self, peer: PeerIx, mut group: UpdateGroup, limit: Option<NonZeroU8>) {
        if self.group_ix(peer).is_some() {
            group.many = self.many.limit(peer).is_some();
        }
        if group.many {
            self.many.join(peer, limit.unwrap_or(NonZeroU8::MIN));
        }
        let known = self.groups.iter().position(|other| *other == group);
        let ix = known.unwrap_or_else(|| {
            self.groups.push(group);
            self.groups.len() - 1
        });
        if self.group_of.len() <= peer.at() {
            self.group_of.resize(peer.at() + 1, NONE);
        }
        self.group_of[peer.at()] = u32::try_from(ix).unwrap_or(NONE);
        if let Err(at) = self.members.binary_search(&peer) {
            self.members.insert(at, peer);
        }
    }

    /// A peer is told nothing any more.
    pub(crate) fn leave(&mut self, peer: PeerIx) {
        let Ok(at) = self.members.binary_search(&peer) else { return };
        self.members.remove(at);
        self.group_of[peer.at()] = NONE;
        self.owing.sets.forget(peer);
        self.walks.stop(peer);
        self.end_of_rib_due.retain(|other| *other != peer);
        self.answers.forget(peer);
        self.many.leave(peer);
        if self.members.is_empty() {
            self.groups.clear();
        }
    }

    /// The bucket of what a peer says; its attributes are as sent inside.
    pub(crate) fn bucket(&mut self, said: Said) -> BucketIx {
        let peer = said.peer;
        let mut head = self.sender(peer).buckets;
        let ix = self.buckets.intern(said, &mut head);
        self.sender_mut(peer).buckets = head;
        ix
    }

    /// Takes in announced routes.
    pub(crate) fn announce(&mut self, world: &World, bucket: BucketIx, routes: Vec<Route<F>>) {
        // All are looked up first: their places lie all over the memory, and nothing that comes between
        // keeps the processor from fetching several at a time.
        let mut looked_up = std::mem::take(&mut self.looked_up);
        looked_up.extend(routes.iter().map(|route| (self.hash(&route.key), NONE)));
        for ((hash, found), route) in looked_up.iter_mut().zip(&routes) {
            *found = self.look_up(*hash, &route.key).unwrap_or(NONE);
        }
        for ((hash, found), route) in looked_up.drain(..).zip(routes) {
            let Route { path_id, key, data } = route;
            // No announcement frees a destination; but one may be the second of a new key.
            let destination = if found == NONE { self.destination(hash, key) } else { found };
            self.announce_path(world, bucket, destination, path_id, data);
        }
        self.looked_up = looked_up;
    }

    /// Takes in one announced route of a destination that there is.
    pub(crate) fn announce_path(
        &mut self,
        world: &World,
        bucket: BucketIx,
        destination: u32,
        path_id: PathId,
        data: F::Data,
    ) {
        let peer = self.buckets.at(bucket).peer;
        let Some(ix) = self.path_of(destination, peer, path_id) else {
            let before = self.before(world, destination);
            let ix = self.paths.insert(Path {
                destination,
                bucket,
                next: NONE,
                prev_in_bucket: NONE,
                next_in_bucket: NONE,
                id: path_id,
                data,
                stale: false,
            });
            self.link_to_bucket(ix, bucket);
            self.link_to_destination(ix, destination);
            self.sender_mut(peer).paths += 1;
            if let Some(membership) = F::membership(&self.destinations.at(destination).key) {
                self.membership_changes.push((peer, membership, true));
            }
            return self.settle(world, destination, &before, ix);
        };
        let path = self.paths.at_mut(ix);
        let (was_stale, old) = (path.stale, path.bucket);
        path.stale = false;
        if was_stale {
            self.sender_mut(peer).stale -= 1;
        }
        let path = self.paths.at(ix);
        if old == bucket && path.data == data {
            return;
        }
        let before = self.before(world, destination);
        self.paths.at_mut(ix).data = data;
        if old != bucket {
            self.unlink_from_bucket(ix);
            self.link_to_bucket(ix, bucket);
        }
        self.settle(world, destination, &before, ix);
        self.release(old);
    }

    /// Takes in one withdrawn route; one that was never announced is nothing.
    pub(crate) fn withdraw(&mut self, world: &World, peer: PeerIx, path_id: PathId, key: &F::Key) {
        let path = self.find(key).and_then(|destination| self.path_of(destination, peer, path_id));
        if let Some(path) = path {
            self.remove(world, path);
        }
    }

    /// Removes a path, and tells those who were told it.
    pub(crate) fn remove(&mut self, world: &World, ix: u32) {
        let Path { destination, bucket, next, stale, .. } = *self.paths.at(ix);
        let peer = self.buckets.at(bucket).peer;
        let before = self.before(world, destination);
        let mut at = self.destinations.at(destination).head;
        if at == ix {
            self.destinations.at_mut(destination).head = next;
        } else {
            while self.paths.at(at).next != ix {
                at = self.paths.at(at).next;
            }
            self.paths.at_mut(at).next = next;
        }
        self.unlink_from_bucket(ix);
        let sender = self.sender_mut(peer);
        sender.paths -= 1;
        sender.stale -= u32::from(stale);
        if let Some(membership) = F::membership(&self.destinations.at(destination).key) {
            self.membership_changes.push((peer, membership, false));
        }
        self.settle(world, destination, &before, ix);
        if !self.many.is_empty() {
            self.many.release(destination, ix);
        }
        self.paths.remove(ix);
        self.release(bucket);
        self.free_if_unused(destination);
    }

    /// Whether `peer` is told the routes of `bucket`, were they the best.
    pub(crate) fn is_due(&self, world: &World, bucket: BucketIx, peer: PeerIx) -> bool {
        let known = self.buckets.at(bucket);
        self.group_ix(peer).is_some()
            && world
                .up(peer)
                .is_some_and(|to| policy::may_go(&world.config, F::AFI_SAFI, known, peer, &to.view))
            && (!F::AFI_SAFI.has_targets()
                || world.interest.wants(peer, self.buckets.targets_of(bucket)))
    }

    /// `AdjRibOut` as a function: the path of a destination that `peer` is told.
    pub(crate) fn told(&self, world: &World, destination: u32, peer: PeerIx) -> Option<u32> {
        if Self::CHOSEN_PER_PEER {
            return self.told_membership(world, destination, peer);
        }
        let head = self.destinations.at(destination).head;
        (head != NONE && self.is_due(world, self.paths.at(head).bucket, peer)).then_some(head)
    }

    /// The peers that are told the routes of `bucket`, as [`Table::is_due`] says it of each, but for those
    /// that are told several paths.
    pub(crate) fn audience(&mut self, world: &World, bucket: BucketIx) -> SetIx {
        let known = self.buckets.at(bucket);
        if known.audience_epoch == world.epoch {
            return known.audience;
        }
        let mut peers = Vec::new();
        if F::AFI_SAFI.has_targets() {
            world.interest.gather(self.buckets.targets_of(bucket), &mut peers);
            if !peers.is_sorted_by(|a, b| a < b) {
                peers.sort_unstable();
                peers.dedup();
            }
        } else {
            peers.extend_from_slice(&self.members);
        }
        peers.retain(|peer| {
            self.group_ix(*peer).is_some()
                && self.many.limit(*peer).is_none()
                && world.up(*peer).is_some_and(|to| {
                    policy::may_go(&world.config, F::AFI_SAFI, known, *peer, &to.view)
                })
        });
        let audience = self.owing.sets.intern(PeerSet::from_sorted(peers));
        self.owing.sets.hold(audience);
        let known = self.buckets.at_mut(bucket);
        let old = std::mem::replace(&mut known.audience, audience);
        known.audience_epoch = world.epoch;
        self.owing.sets.release(old);
        audience
    }

    /// From now on `destination` is owed to `peer`.
    pub(crate) fn owe(&mut self, destination: u32, peer: PeerIx) {
        let set = self.owing.sets.one(peer);
        self.owing.add(&mut self.destinations, destination, set);
    }

    pub(crate) fn find(&self, key: &F::Key) -> Option<u32> {
        self.look_up(self.hash(key), key)
    }

    /// The paths of a destination, best first.
    pub(crate) fn paths_of(&self, destination: u32) -> impl Iterator<Item = u32> + '_ {
        self.list(self.destinations.at(destination).head, |path| path.next)
    }

    /// The paths that have the attributes of a bucket.
    pub(crate) fn paths_in(&self, bucket: BucketIx) -> impl Iterator<Item = u32> + '_ {
        self.list(self.buckets.at(bucket).head, |path| path.next_in_bucket)
    }

    /// The buckets of a sender.
    pub(crate) fn buckets_of(&self, peer: PeerIx) -> impl Iterator<Item = BucketIx> + '_ {
        let first = self.sender(peer).buckets;
        std::iter::successors((first != NONE).then_some(first), |ix| {
            Some(self.buckets.next_of_sender(*ix)).filter(|next| *next != NONE)
        })
    }

    pub(crate) fn candidate(&self, world: &World, path: u32) -> Candidate {
        let path = self.paths.at(path);
        let bucket = self.buckets.at(path.bucket);
        let unspecified = std::net::Ipv4Addr::UNSPECIFIED.into();
        let address = world.peer(bucket.peer).map_or(unspecified, |peer| peer.view.address);
        Candidate { rank: bucket.rank, address, path_id: path.id }
    }

    /// Gives back the place of a destination without paths about which nobody has to be told.
    pub(crate) fn free_if_unused(&mut self, destination: u32) {
        if destination >= self.destinations.end() {
            return;
        }
        let Destination { key, head, link } = self.destinations.at(destination);
        if *head != NONE || link.set != NONE {
            return;
        }
        let hash = self.hash(key);
        if self.index.remove(hash, destination) {
            self.destinations.remove(destination);
            if !self.many.is_empty() {
                self.many.forget(destination);
            }
        }
    }

    /// Every destination, those without paths included.
    pub(crate) fn all(&self) -> Vec<u32> {
        self.index.iter().collect()
    }

    fn list<'a>(
        &'a self,
        first: u32,
        next: impl Fn(&Path<F::Data>) -> u32 + 'a,
    ) -> impl Iterator<Item = u32> + 'a {
        std::iter::successors((first != NONE).then_some(first), move |ix| {
            Some(next(self.paths.at(*ix))).filter(|next| *next != NONE)
        })
    }

    fn hash(&self, key: &F::Key) -> Hash {
        Hash::of(self.hasher.hash_one(key))
    }

    fn look_up(&self, hash: Hash, key: &F::Key) -> Option<u32> {
        self.index.find(hash, |ix| self.destinations.at(ix).key == *key)
    }

    fn destination(&mut self, hash: Hash, key: F::Key) -> u32 {
        if let Some(ix) = self.look_up(hash, &key) {
            return ix;
        }
        let ix = self.destinations.insert(Destination { key, head: NONE, link: Link::LOOSE });
        self.index.insert(hash, ix);
        ix
    }

    fn path_of(&self, destination: u32, peer: PeerIx, path_id: PathId) -> Option<u32> {
        self.paths_of(destination).find(|ix| {
            let path = self.paths.at(*ix);
            path.id == path_id && self.buckets.at(path.bucket).peer == peer
        })
    }

    /// What was told of a destination, before something about it changes.
    pub(crate) fn before(&mut self, world: &World, destination: u32) -> Before {
        if Self::CHOSEN_PER_PEER {
            return Before::PerPeer(self.choices(world, destination));
        }
        let head = self.destinations.at(destination).head;
        let bucket = if head == NONE { NONE } else { self.paths.at(head).bucket };
        if !self.many.is_empty() {
            self.remember_many(world, destination);
        }
        Before::Best { path: head, bucket }
    }

    /// Something about a destination has changed: decides anew, and owes it to all to whom that
    /// makes a difference. `touched` is the path that is new, different or gone.
    pub(crate) fn settle(
        &mut self,
        world: &World,
        destination: u32,
        before: &Before,
        touched: u32,
    ) {
        self.decide(world, destination);
        match before {
            Before::Best { path, bucket } => {
                if !self.many.is_empty() {
                    self.settle_many(world, destination, touched);
                }
                let head = self.destinations.at(destination).head;
                let now = if head == NONE { NONE } else { self.paths.at(head).bucket };
                if head == *path && now == *bucket && head != touched {
                    return;
                }
                if now != *bucket {
                    self.count_best(*bucket, |best| best - 1);
                    self.count_best(now, |best| best + 1);
                }
                for bucket in [*bucket, if now == *bucket { NONE } else { now }] {
                    if bucket != NONE {
                        let audience = self.audience(world, bucket);
                        self.owing.add(&mut self.destinations, destination, audience);
                    }
                }
            }
            Before::PerPeer(before) => {
                let after = self.choices(world, destination);
                let differs = |(then, now): &(&_, &_)| then != now;
                let peers: Vec<PeerIx> =
                    before.iter().zip(&after).filter(differs).map(|(then, _)| then.peer).collect();
                for peer in peers {
                    self.owe(destination, peer);
                }
            }
        }
    }

    fn count_best(&mut self, bucket: BucketIx, count: impl Fn(u32) -> u32) {
        if bucket != NONE {
            let known = self.buckets.at_mut(bucket);
            known.best = count(known.best);
        }
    }

    /// Puts the best path first.
    fn decide(&mut self, world: &World, destination: u32) {
        let head = self.destinations.at(destination).head;
        if head == NONE || self.paths.at(head).next == NONE {
            return;
        }
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.extend(self.paths_of(destination).map(|path| self.candidate(world, path)));
        let best = decision::best(&candidates).unwrap_or(0);
        candidates.clear();
        self.candidates = candidates;
        if best == 0 {
            return;
        }
        let before = self.paths_of(destination).nth(best - 1).unwrap_or(head);
        let path = self.paths.at(before).next;
        self.paths.at_mut(before).next = self.paths.at(path).next;
        self.paths.at_mut(path).next = head;
        self.destinations.at_mut(destination).head = path;
    }

    fn link_to_destination(&mut self, ix: u32, destination: u32) {
        // Behind the best, which stays first until it is beaten.
        let head = self.destinations.at(destination).head;
        if head == NONE {
            self.destinations.at_mut(destination).head = ix;
        } else {
            self.paths.at_mut(ix).next = self.paths.at(head).next;
            self.paths.at_mut(head).next = ix;
        }
    }

    fn link_to_bucket(&mut self, ix: u32, bucket: BucketIx) {
        let known = self.buckets.at_mut(bucket);
        let head = std::mem::replace(&mut known.head, ix);
        known.len += 1;
        let path = self.paths.at_mut(ix);
        path.bucket = bucket;
        path.prev_in_bucket = NONE;
        path.next_in_bucket = head;
        if head != NONE {
            self.paths.at_mut(head).prev_in_bucket = ix;
        }
    }

    fn unlink_from_bucket(&mut self, ix: u32) {
        let Path { bucket, prev_in_bucket: prev, next_in_bucket: next, .. } = *self.paths.at(ix);
        let known = self.buckets.at_mut(bucket);
        known.len -= 1;
        if prev == NONE {
            known.head = next;
        } else {
            self.paths.at_mut(prev).next_in_bucket = next;
        }
        if next != NONE {
            self.paths.at_mut(next).prev_in_bucket = prev;
        }
    }

    /// Gives back a bucket that has no routes.
    pub(crate) fn release(&mut self, bucket: BucketIx) {
        let known = self.buckets.at(bucket);
        if known.len > 0 {
            return;
        }
        let peer = known.peer;
        let mut head = self.sender(peer).buckets;
        let audience = self.buckets.remove(bucket, &mut head);
        self.sender_mut(peer).buckets = head;
        self.owing.sets.release(audience);
    }
}

/// See [`Table::before`].
pub(crate) enum Before {
    /// What those are told that are told several paths is remembered apart.
    Best {
        path: u32,
        bucket: BucketIx,
    },
    PerPeer(Vec<crate::memberships::Choice>),
}
