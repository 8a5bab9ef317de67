//! Cursors over buckets, for peers to whom routes are new that are not new to the table.
//!
//! A walk owes its peer what is already there, some buckets at a time; what changes meanwhile is
//! owed to the peer anyway, since it counts as interested from the start. So a walk may meet a route
//! twice, or a bucket whose number means another one by now: both only repeat what is true.

use std::collections::BTreeSet;

use crate::bucket::BucketIx;
use crate::chunked::NONE;
use crate::family::TableFamily;
use crate::interest::Wanted;
use crate::peer::{PeerIx, PeerView};
use crate::policy;
use crate::registry::World;
use crate::table::{Path, Table};

/// What one peer has still to be shown of one table.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) peer: PeerIx,
    /// Buckets from here on were made since the walk was last started: what is in them was owed to the
    /// peer when it came.
    end: BucketIx,
    /// Next bucket of a walk over all.
    all: Option<BucketIx>,
    /// A set, so that a peer that joins and leaves all the time while it is blocked costs no memory.
    wanted: BTreeSet<Wanted>,
    /// Buckets of the wanted target that is being walked, last first.
    current: Vec<BucketIx>,
}

/// The next step of a walk.
pub(crate) enum Step {
    Visit(BucketIx),
    /// List the buckets of this and give them to [`Walk::go_through`].
    Open(Wanted),
    Done,
}

impl Walk {
    fn new(peer: PeerIx) -> Self {
        Self { peer, end: 0, all: None, wanted: BTreeSet::new(), current: Vec::new() }
    }

    pub(crate) fn step(&mut self) -> Step {
        if let Some(bucket) = self.current.pop() {
            return Step::Visit(bucket);
        }
        if let Some(next) = self.all {
            if next < self.end {
                self.all = Some(next + 1);
                return Step::Visit(next);
            }
            self.all = None;
        }
        self.wanted.pop_first().map_or(Step::Done, Step::Open)
    }

    pub(crate) fn go_through(&mut self, mut buckets: Vec<BucketIx>) {
        buckets.retain(|bucket| *bucket < self.end);
        self.current = buckets;
    }
}

/// The walks of one table.
#[derive(Debug, Default)]
pub(crate) struct Walks {
    pub(crate) list: Vec<Walk>,
}

impl Walks {
    /// Shows `peer` what it wants of the buckets below `end`. What it is being shown already goes on,
    /// from the start for all. The peer has to count as interested before.
    pub(crate) fn start(
        &mut self,
        peer: PeerIx,
        wanted: impl Iterator<Item = Wanted>,
        end: BucketIx,
    ) {
        let known = self.list.iter().position(|walk| walk.peer == peer);
        let at = known.unwrap_or_else(|| {
            self.list.push(Walk::new(peer));
            self.list.len() - 1
        });
        let walk = &mut self.list[at];
        walk.end = end;
        for wanted in wanted {
            if wanted == Wanted::All {
                walk.all = Some(0);
            } else {
                walk.wanted.insert(wanted);
            }
        }
    }

    pub(crate) fn stop(&mut self, peer: PeerIx) {
        self.list.retain(|walk| walk.peer != peer);
    }

    pub(crate) fn has(&self, peer: PeerIx) -> bool {
        self.list.iter().any(|walk| walk.peer == peer)
    }
}

impl<F: TableFamily> Table<F> {
    /// Shows a peer what it wants of what is there now; it counts as interested already.
    pub(crate) fn start_walk(&mut self, peer: PeerIx, wanted: &[Wanted]) {
        self.walks.start(peer, wanted.iter().copied(), self.buckets.end());
    }

    /// Shows a peer all that it is due.
    pub(crate) fn show_all(&mut self, world: &World, peer: PeerIx) {
        if Self::CHOSEN_PER_PEER {
            for destination in self.all() {
                if self.told(world, destination, peer).is_some() {
                    self.owe(destination, peer);
                }
            }
        } else if F::AFI_SAFI.has_targets() {
            let wanted: Vec<Wanted> = world.interest.of(peer).collect();
            self.start_walk(peer, &wanted);
        } else {
            self.start_walk(peer, &[Wanted::All]);
        }
    }

    /// Takes each walk of a peer that is not blocked further, by about `routes` routes.
    pub(crate) fn advance_walks(&mut self, world: &World, routes: usize) {
        let mut list = std::mem::take(&mut self.walks.list);
        list.retain_mut(|walk| !world.is_ready(walk.peer) || self.advance(world, walk, routes));
        self.walks.list = list;
    }

    /// `false` at the end of the walk.
    fn advance(&mut self, world: &World, walk: &mut Walk, routes: usize) -> bool {
        let mut left = routes;
        while left > 0 {
            match walk.step() {
                Step::Done => return false,
                Step::Open(wanted) => walk.go_through(self.buckets_wanted(wanted)),
                Step::Visit(bucket) => {
                    // An empty bucket costs something too.
                    let met = 1 + self.show(world, bucket, walk.peer);
                    left = left.saturating_sub(met);
                }
            }
        }
        true
    }

    /// Owes a peer the routes of a bucket, if it is due them. Returns how many there are.
    fn show(&mut self, world: &World, bucket: BucketIx, peer: PeerIx) -> usize {
        // The walk may be older than the table: an emptied one has no such number any more.
        let is_there = bucket < self.buckets.end() && self.buckets.at(bucket).len > 0;
        if !is_there || !self.is_due(world, bucket, peer) {
            return 0;
        }
        self.owe_best_of(bucket, peer)
    }

    /// Interest of a peer is gone: it is owed the withdrawal of what it is not due any more. At
    /// once and not by a walk, since a route that moves out of the bucket meanwhile would be missed.
    pub(crate) fn retract(&mut self, world: &World, peer: PeerIx, wanted: Wanted) {
        for bucket in self.buckets_wanted(wanted) {
            let carries = self.buckets.at(bucket).len > 0;
            if carries && !self.is_due(world, bucket, peer) {
                self.owe_best_of(bucket, peer);
            }
        }
    }

    /// Policy towards a peer is another one: it is owed what it may be told and might not before, and
    /// the other way round. At once, as in [`Self::retract`]. Memberships, which one shard tells, are
    /// left out.
    pub(crate) fn owe_what_may_go_differently(
        &mut self,
        world: &World,
        peer: PeerIx,
        before: &PeerView,
    ) {
        let Some(now) = world.up(peer).filter(|_| !Self::CHOSEN_PER_PEER) else { return };
        for bucket in 0..self.buckets.end() {
            let known = self.buckets.at(bucket);
            let may_go = |view| policy::may_go(&world.config, F::AFI_SAFI, known, peer, view);
            if known.len > 0 && may_go(before) != may_go(&now.view) {
                self.owe_best_of(bucket, peer);
            }
        }
    }

    fn owe_best_of(&mut self, bucket: BucketIx, peer: PeerIx) -> usize {
        let several = self.many.limit(peer).is_some();
        let set = self.owing.sets.one(peer);
        let (mut met, mut path) = (0, self.buckets.at(bucket).head);
        while path != NONE {
            let Path { destination, next_in_bucket, .. } = *self.paths.at(path);
            if several {
                self.owe_all_of(destination, peer);
            } else if self.destinations.at(destination).head == path {
                self.owing.add(&mut self.destinations, destination, set);
            }
            met += 1;
            path = next_in_bucket;
        }
        met
    }

    /// The buckets that carry what is wanted.
    fn buckets_wanted(&self, wanted: Wanted) -> Vec<BucketIx> {
        match wanted {
            Wanted::Exact(target) => self.buckets.targets.buckets(target).to_vec(),
            Wanted::All => (0..self.buckets.end()).collect(),
            Wanted::Prefix { .. } => self
                .buckets
                .targets
                .targets()
                .filter(|target| wanted.matches(*target))
                .flat_map(|target| self.buckets.targets.buckets(target))
                .copied()
                .collect(),
        }
    }
}
