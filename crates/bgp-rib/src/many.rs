//! Peers that are told several paths of a destination (RFC 7911).
//!
//! What such a peer is told is a function too: the best paths that may go to it, so many of them. But a
//! withdrawal has to name its path, so each path that was told to anyone has a number, which is its own
//! among the paths of its destination and stays as long as the path. What is owed is owed by number;
//! what exactly is said of a number is read from the table when it is packed.
//!
//! All of this is empty, and costs nothing, while there is no such peer: what is on the path of every
//! route is out of line.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;

use bgp_wire::PathId;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::bucket::BucketIx;
use crate::chunked::NONE;
use crate::decision::{self, Candidate};
use crate::family::TableFamily;
use crate::peer::PeerIx;
use crate::peer_set::{PeerSet, SetIx};
use crate::registry::World;
use crate::round::{Item, Round};
use crate::table::Table;

/// The peers of one table that are told several paths, and what that takes.
#[derive(Debug)]
pub(crate) struct Many {
    /// How many paths each is told at most, ascending by peer.
    peers: Vec<(PeerIx, NonZeroU8)>,
    /// Paths by number less one, by destination; `NONE` where a number is free.
    numbers: HashMap<u32, Vec<u32>, FixedState>,
    /// The numbers that are owed, of an owed destination; all, where there is no entry.
    owed: BTreeMap<(u32, PeerIx), BTreeSet<u32>>,
    /// What they are told of destinations that are about to change.
    before: BTreeMap<u32, Box<[Told]>>,
}

/// The paths that one peer is told, with the attributes they have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    peer: PeerIx,
    paths: Vec<(u32, BucketIx)>,
}

impl Many {
    pub(crate) fn new(seed: u64) -> Self {
        let numbers = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { peers: Vec::new(), numbers, owed: BTreeMap::new(), before: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// How many paths a peer is told at most; `None` of one that is told the best.
    pub(crate) fn limit(&self, peer: PeerIx) -> Option<NonZeroU8> {
        let at = self.peers.binary_search_by_key(&peer, |(peer, _)| *peer).ok()?;
        Some(self.peers[at].1)
    }

    pub(crate) fn join(&mut self, peer: PeerIx, limit: NonZeroU8) {
        match self.peers.binary_search_by_key(&peer, |(peer, _)| *peer) {
            Ok(at) => self.peers[at].1 = limit,
            Err(at) => self.peers.insert(at, (peer, limit)),
        }
    }

    pub(crate) fn leave(&mut self, peer: PeerIx) {
        self.peers.retain(|(other, _)| *other != peer);
        self.owed.retain(|(_, other), _| *other != peer);
        if self.peers.is_empty() {
            self.numbers = HashMap::with_hasher(self.numbers.hasher().clone());
        }
    }

    /// The number of a path.
    pub(crate) fn number(&self, destination: u32, path: u32) -> Option<PathId> {
        let paths = self.numbers.get(&destination)?;
        let at = paths.iter().position(|other| *other == path)?;
        u32::try_from(at + 1).ok().map(PathId)
    }

    /// The number of a path, which gets one if it has none.
    fn assign(&mut self, destination: u32, path: u32) -> u32 {
        let paths = self.numbers.entry(destination).or_default();
        let known = paths.iter().position(|other| *other == path);
        let at = known.or_else(|| paths.iter().position(|other| *other == NONE));
        let at = at.unwrap_or_else(|| {
            paths.push(NONE);
            paths.len() - 1
        });
        paths[at] = path;
        u32::try_from(at + 1).unwrap_or(u32::MAX)
    }

    /// A path is gone. Its number may be another's from now on: to those that are owed it, the number
    /// means what it means when they are told.
    pub(crate) fn release(&mut self, destination: u32, path: u32) {
        if let Some(paths) = self.numbers.get_mut(&destination)
            && let Some(place) = paths.iter_mut().find(|other| **other == path)
        {
            *place = NONE;
        }
    }

    /// A destination is gone, and nobody has to be told.
    pub(crate) fn forget(&mut self, destination: u32) {
        self.numbers.remove(&destination);
    }
}

impl<F: TableFamily> Table<F> {
    /// A destination is about to change: see [`Self::settle_many`].
    #[cold]
    #[inline(never)]
    pub(crate) fn remember_many(&mut self, world: &World, destination: u32) {
        let told = self.told_many(world, destination);
        self.many.before.insert(destination, told);
    }

    /// What each peer that is told several paths is told of a destination now.
    fn told_many(&self, world: &World, destination: u32) -> Box<[Told]> {
        let told = |(peer, _): &(PeerIx, _)| Told { peer: *peer, paths: Vec::new() };
        let mut all: Box<[Told]> = self.many.peers.iter().map(told).collect();
        self.choose_many(world, destination, &mut all);
        all
    }

    /// The paths that one peer, which is told several, is told of a destination.
    pub(crate) fn told_several(
        &self,
        world: &World,
        destination: u32,
        peer: PeerIx,
    ) -> Vec<(u32, BucketIx)> {
        let mut one = [Told { peer, paths: Vec::new() }];
        self.choose_many(world, destination, &mut one);
        let [told] = one;
        told.paths
    }

    /// Goes through the paths, the best of those left at a time, until every peer has as many as it may
    /// have.
    fn choose_many(&self, world: &World, destination: u32, all: &mut [Told]) {
        let mut paths: Vec<u32> = self.paths_of(destination).collect();
        let mut candidates: Vec<Candidate> =
            paths.iter().map(|path| self.candidate(world, *path)).collect();
        let limit = |peer| self.many.limit(peer).map_or(0, |limit| usize::from(limit.get()));
        while let Some(best) = decision::best(&candidates) {
            candidates.swap_remove(best);
            let path = paths.swap_remove(best);
            let bucket = self.paths.at(path).bucket;
            let mut wants_more = false;
            for told in &mut *all {
                if told.paths.len() < limit(told.peer) && self.is_due(world, bucket, told.peer) {
                    told.paths.push((path, bucket));
                }
                wants_more |= told.paths.len() < limit(told.peer);
            }
            if !wants_more {
                return;
            }
        }
    }

    /// Something about a destination has changed: owes the difference. `touched` is the path that is
    /// new, different or gone.
    #[cold]
    #[inline(never)]
    pub(crate) fn settle_many(&mut self, world: &World, destination: u32, touched: u32) {
        let before = self.many.before.remove(&destination).unwrap_or_default();
        let after = self.told_many(world, destination);
        for (then, now) in before.iter().zip(&after) {
            let gone = |(path, _): &&(u32, _)| !now.paths.iter().any(|(other, _)| other == path);
            for (path, _) in then.paths.iter().filter(gone) {
                // One that has no number was never said.
                if let Some(PathId(number)) = self.many.number(destination, *path) {
                    self.owe_number(destination, now.peer, number);
                }
            }
            for told in &now.paths {
                let number = self.many.assign(destination, told.0);
                if told.0 == touched || !then.paths.contains(told) {
                    self.owe_number(destination, now.peer, number);
                }
            }
        }
    }

    /// Owes a peer that is told several paths all of a destination.
    pub(crate) fn owe_all_of(&mut self, destination: u32, peer: PeerIx) {
        self.many.owed.remove(&(destination, peer));
        let set = self.owing.sets.one(peer);
        self.owing.add(&mut self.destinations, destination, set);
    }

    /// Owes a peer every number there is: what it is told at most is different now.
    pub(crate) fn owe_all_numbers(&mut self, peer: PeerIx) {
        if self.many.limit(peer).is_none() {
            return;
        }
        let destinations: Vec<u32> = self.many.numbers.keys().copied().collect();
        for destination in destinations {
            self.owe_all_of(destination, peer);
        }
    }

    fn owe_number(&mut self, destination: u32, peer: PeerIx, number: u32) {
        if let Some(owed) = self.many.owed.get_mut(&(destination, peer)) {
            owed.insert(number);
            return;
        }
        let set = self.destinations.at(destination).link.set;
        if set != NONE && self.owing.sets.at(set).set.contains(peer) {
            // All of it is owed.
            return;
        }
        self.many.owed.insert((destination, peer), BTreeSet::from([number]));
        let set = self.owing.sets.one(peer);
        self.owing.add(&mut self.destinations, destination, set);
    }

    /// What was taken out to be said, and was not, is owed again to `to`.
    pub(crate) fn owe_again(&mut self, bucket: BucketIx, item: &Item, to: SetIx) {
        // Those told one path and those told several are never in the same set here.
        let first = self.owing.sets.at(to).set.iter().next();
        if first.is_none_or(|peer| self.many.limit(peer).is_none()) {
            return self.owing.add(&mut self.destinations, item.destination, to);
        }
        let number = self.number_of(bucket, item).0;
        for peer in self.owing.sets.at(to).set.iter().collect::<Vec<_>>() {
            self.owe_number(item.destination, peer, number);
        }
    }

    /// The number by which a peer that is told several paths is told of an item.
    pub(crate) fn number_of(&self, bucket: BucketIx, item: &Item) -> PathId {
        if bucket == NONE {
            return PathId(item.path);
        }
        self.many.number(item.destination, item.path).unwrap_or(PathId(0))
    }

    /// Finds out what is to be said of a destination to those of `to` that are told several paths.
    /// Returns the others.
    #[cold]
    #[inline(never)]
    pub(crate) fn sort_in_many(
        &mut self,
        world: &World,
        round: &mut Round,
        destination: u32,
        to: SetIx,
    ) -> SetIx {
        let set = &self.owing.sets.at(to).set;
        let peers: Vec<PeerIx> =
            set.iter().filter(|peer| self.many.limit(*peer).is_some()).collect();
        if peers.is_empty() {
            return to;
        }
        let rest = set.filter(|peer| self.many.limit(peer).is_none());
        let mut all: Vec<Told> =
            peers.iter().map(|peer| Told { peer: *peer, paths: Vec::new() }).collect();
        self.choose_many(world, destination, &mut all);
        // By path (`NONE`: withdrawn) and number.
        let mut said: Vec<(u32, u32, PeerIx)> = Vec::new();
        for Told { peer, paths } in all {
            for (path, _) in &paths {
                self.many.assign(destination, *path);
            }
            let numbers = self.many.numbers.get(&destination).map_or(&[][..], Vec::as_slice);
            let owed = self.many.owed.remove(&(destination, peer));
            let owed = owed.unwrap_or_else(|| (1..).take(numbers.len()).collect());
            said.extend(owed.into_iter().map(|number| {
                let path = numbers.get(number as usize - 1).copied().unwrap_or(NONE);
                let is_told = paths.iter().any(|(told, _)| *told == path);
                (if is_told { path } else { NONE }, number, peer)
            }));
        }
        said.sort_unstable();
        for same in said.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (path, number, _) = same[0];
            let peers = same.iter().map(|(_, _, peer)| *peer).collect();
            let to = self.owing.sets.intern(PeerSet::from_sorted(peers));
            if path == NONE {
                round.add(NONE, to, destination, number);
            } else {
                round.add(self.paths.at(path).bucket, to, destination, path);
            }
        }
        if rest.is_empty() { NONE } else { self.owing.sets.intern(rest) }
    }
}
