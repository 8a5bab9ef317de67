//! One round of a flush: what is owed is read from the table, sorted by attribute set and receivers,
//! and encoded once for all peers of a group.

use std::sync::Arc;

use bgp_wire::PathId;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::arena::Runs;
use crate::chunked::NONE;
use crate::family::TableFamily;
use crate::group::Ourselves;
use crate::peer::PeerIx;
use crate::peer_set::{PeerSet, SetIx};
use crate::registry::World;
use crate::rewriting::Rewriting;
use crate::shard::Pace;
use crate::table::Table;

/// Routes that are told the same peers with the same attributes.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// `NONE`: withdrawn.
    bucket: u32,
    to: SetIx,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    slot: u32,
    pub(crate) destination: u32,
    /// In a slot of withdrawals `NONE`, or the number of a path (see [`crate::many`]).
    pub(crate) path: u32,
}

/// Of the peers `to`, those that are due the routes of `bucket`, and the others. `NONE` is nobody.
#[derive(Debug, Clone, Copy)]
struct Divided {
    bucket: u32,
    to: SetIx,
    due: SetIx,
    not_due: SetIx,
}

/// Numbers of groups, each with some of its peers.
type ByGroup = Vec<(u32, Arc<[PeerIx]>)>;

/// What one round says, kept until it is known who has taken it.
#[derive(Debug, Default)]
pub(crate) struct Round {
    items: Vec<Item>,
    slots: Vec<Slot>,
    /// Slots by bucket and receivers.
    numbers: HashMap<(u32, SetIx), u32, FixedState>,
    /// Destinations taken out of their lists.
    taken: Vec<u32>,
    /// How the receivers of the last bucket divide.
    last: Option<Divided>,
    /// The same by the audience of buckets, of which there are few.
    divisions: HashMap<(SetIx, SetIx), (SetIx, SetIx), FixedState>,
    /// Members of each group of the last receivers.
    by_group: Option<(SetIx, ByGroup)>,
    /// Encoded attributes.
    attributes: Vec<u8>,
    pub(crate) runs: Runs,
}

impl Round {
    fn clear(&mut self) {
        self.items.clear();
        self.slots.clear();
        self.numbers.clear();
        self.taken.clear();
        self.last = None;
        self.divisions.clear();
        self.by_group = None;
    }

    pub(crate) fn add(&mut self, bucket: u32, to: SetIx, destination: u32, path: u32) {
        let slot = match self.items.last() {
            Some(Item { slot, .. })
                if self.slots[*slot as usize].bucket == bucket
                    && self.slots[*slot as usize].to == to =>
            {
                *slot
            }
            _ => *self.numbers.entry((bucket, to)).or_insert_with(|| {
                self.slots.push(Slot { bucket, to });
                u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
            }),
        };
        self.items.push(Item { slot, destination, path });
    }
}

/// The set `ix` cut in two: peers that take something now, and the others. `NONE` is nobody.
fn split_ready<F: TableFamily>(table: &mut Table<F>, world: &World, ix: SetIx) -> (SetIx, SetIx) {
    let sets = &mut table.owing.sets;
    let set = &sets.at(ix).set;
    if set.is_empty() {
        return (NONE, NONE);
    }
    if !world.any_blocked() || set.iter().all(|peer| world.is_ready(peer)) {
        return (ix, NONE);
    }
    let ready = set.filter(|peer| world.is_ready(peer));
    if ready.is_empty() {
        return (NONE, ix);
    }
    let rest = set.filter(|peer| !world.is_ready(peer));
    (sets.intern(ready), sets.intern(rest))
}

/// Routes as a peer is told of them that has other names for targets.
fn rewritten<'a, F: TableFamily>(
    routes: &[Item],
    look_up: impl Fn(&Item) -> (PathId, &'a F::Key),
    rewriting: &Rewriting,
) -> Vec<(PathId, F::Key)>
where
    F::Key: 'a,
{
    let all = routes.iter().map(look_up);
    all.flat_map(|(id, key)| rewriting.told.keys::<F>(key).into_iter().map(move |key| (id, key)))
        .collect()
}

impl<F: TableFamily> Table<F> {
    /// Takes destinations out of what is owed to peers that are not blocked, and encodes what is to be
    /// said of them.
    pub(crate) fn pack(&mut self, world: &World, round: &mut Round, pace: Pace) {
        round.clear();
        self.take_owed(world, round, pace.round);
        if !round.items.is_sorted_by_key(|item| item.slot) {
            round.items.sort_by_key(|item| item.slot);
        }
        let mut runs = std::mem::take(&mut round.runs);
        let mut items = std::mem::take(&mut round.items);
        let mut done = 0;
        for routes in items.chunk_by(|a, b| a.slot == b.slot) {
            let at_once = self.at_once(round.slots[routes[0].slot as usize].bucket);
            for routes in routes.chunks(at_once) {
                if runs.arena.len() < pace.arena {
                    self.encode(world, round, routes, &mut runs);
                    done += routes.len();
                }
            }
        }
        // What did not fit into the arena stays owed.
        for item in items.drain(done..) {
            let Slot { bucket, to } = round.slots[item.slot as usize];
            self.owe_again(bucket, &item, to);
        }
        (round.items, round.runs) = (items, runs);
    }

    /// Routes of a bucket that are encoded before it is looked again whether the arena is full.
    /// Messages with long attributes hold few routes each.
    fn at_once(&self, bucket: u32) -> usize {
        const LONG: usize = 1_024;
        if bucket != NONE && self.buckets.at(bucket).weight() > LONG { 64 } else { 4_096 }
    }

    /// Peers in `failed` have not taken what the round said: they are owed it again.
    pub(crate) fn settle_round(&mut self, round: &Round, failed: &[PeerIx]) {
        if !failed.is_empty() {
            for routes in round.items.chunk_by(|a, b| a.slot == b.slot) {
                let Slot { bucket, to } = round.slots[routes[0].slot as usize];
                let again = self.owing.sets.at(to).set.filter(|peer| failed.contains(&peer));
                if again.is_empty() {
                    continue;
                }
                let again = self.owing.sets.intern(again);
                for item in routes {
                    self.owe_again(bucket, item, again);
                }
            }
        }
        for destination in &round.taken {
            self.free_if_unused(*destination);
        }
        if self.owing.sets.len() > self.tidy_above {
            self.owing.sets.tidy();
            self.tidy_above = 2 * self.owing.sets.len() + 64;
        }
    }

    /// Peers that have been told all there was, and have not been told that they have.
    pub(crate) fn complete(&self, world: &World) -> Vec<PeerIx> {
        let said =
            |peer: &PeerIx| world.is_ready(*peer) && !self.walks.has(*peer) && !self.owes(*peer);
        self.end_of_rib_due.iter().copied().filter(said).collect()
    }

    /// Peers that have been shown all they asked for, and have not been told that they have.
    pub(crate) fn answered(&self, world: &World) -> Vec<PeerIx> {
        let said =
            |peer: &PeerIx| world.is_ready(*peer) && !self.walks.has(*peer) && !self.owes(*peer);
        self.answers.under_way().filter(said).collect()
    }

    /// Whether nobody is owed anything, blocked peers included.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.owing.len() == 0
            && self.walks.list.is_empty()
            && self.end_of_rib_due.is_empty()
            && self.answers.is_empty()
    }

    /// Whether there is something that a peer could be told now.
    pub(crate) fn has_work(&self, world: &World) -> bool {
        self.walks.list.iter().any(|walk| world.is_ready(walk.peer))
            || self.answers.asked().iter().any(|peer| world.is_ready(*peer))
            || self.owing.each_active().any(|ix| {
                let set = &self.owing.sets.at(ix).set;
                set.is_empty() || set.iter().any(|peer| world.is_ready(peer))
            })
    }

    fn owes(&self, peer: PeerIx) -> bool {
        self.owing.each_active().any(|ix| self.owing.sets.at(ix).set.contains(peer))
    }

    /// Destinations that are owed to a peer.
    pub(crate) fn owed_to(&self, peer: PeerIx) -> u32 {
        self.owing
            .each_active()
            .map(|ix| self.owing.sets.at(ix))
            .filter(|entry| entry.set.contains(peer))
            .map(|entry| entry.len)
            .sum()
    }

    fn take_owed(&mut self, world: &World, round: &mut Round, limit: usize) {
        for ix in self.owing.active() {
            let (ready, rest) = split_ready(self, world, ix);
            if ready == NONE && rest != NONE {
                continue;
            }
            loop {
                if round.taken.len() >= limit {
                    return;
                }
                let destination = self.owing.sets.at(ix).head;
                if destination == NONE {
                    break;
                }
                self.owing.take_out(&mut self.destinations, destination);
                round.taken.push(destination);
                if rest != NONE {
                    self.owing.add(&mut self.destinations, destination, rest);
                }
                if ready != NONE {
                    self.sort_in(world, round, destination, ready);
                }
            }
        }
    }

    /// Finds out what is to be said of a destination, to each of the peers `to`.
    fn sort_in(&mut self, world: &World, round: &mut Round, destination: u32, to: SetIx) {
        if Self::CHOSEN_PER_PEER {
            return self.sort_in_memberships(world, round, destination, to);
        }
        let to = if self.many.is_empty() {
            to
        } else {
            self.sort_in_many(world, round, destination, to)
        };
        if to == NONE {
            return;
        }
        let head = self.destinations.at(destination).head;
        if head == NONE {
            return round.add(NONE, to, destination, NONE);
        }
        let bucket = self.paths.at(head).bucket;
        let divided = match round.last {
            Some(last) if (last.bucket, last.to) == (bucket, to) => last,
            _ => {
                let (due, not_due) = self.divide(world, round, bucket, to);
                *round.last.insert(Divided { bucket, to, due, not_due })
            }
        };
        let Divided { due, not_due, .. } = divided;
        if due != NONE {
            round.add(bucket, due, destination, head);
        }
        if not_due != NONE {
            round.add(NONE, not_due, destination, NONE);
        }
    }

    /// Those of `to` that are due the routes of `bucket`, and the others.
    fn divide(
        &mut self,
        world: &World,
        round: &mut Round,
        bucket: u32,
        to: SetIx,
    ) -> (SetIx, SetIx) {
        /// Up to this many peers are asked one by one; for more, all are found out at once.
        const FEW: usize = 8;
        let known = self.buckets.at(bucket);
        let fresh = known.audience_epoch == world.epoch;
        if !fresh && self.owing.sets.at(to).set.len() <= FEW {
            let due = self.owing.sets.at(to).set.filter(|peer| self.is_due(world, bucket, peer));
            return self.cut(to, due);
        }
        let audience = self.audience(world, bucket);
        if audience == to {
            return (to, NONE);
        }
        if let Some(known) = round.divisions.get(&(audience, to)) {
            return *known;
        }
        let sets = &self.owing.sets;
        let among = &sets.at(audience).set;
        let due = sets.at(to).set.filter(|peer| among.contains(peer));
        let divided = self.cut(to, due);
        round.divisions.insert((audience, to), divided);
        divided
    }

    /// A part of a set, and what is left of it.
    fn cut(&mut self, to: SetIx, part: PeerSet) -> (SetIx, SetIx) {
        let set = &self.owing.sets.at(to).set;
        if part.len() == set.len() {
            return (to, NONE);
        }
        if part.is_empty() {
            return (NONE, to);
        }
        let rest = set.filter(|peer| !part.contains(peer));
        (self.owing.sets.intern(part), self.owing.sets.intern(rest))
    }

    fn sort_in_memberships(
        &mut self,
        world: &World,
        round: &mut Round,
        destination: u32,
        to: SetIx,
    ) {
        let mut told: Vec<(u32, PeerIx)> = self
            .owing
            .sets
            .at(to)
            .set
            .iter()
            .map(|peer| (self.told(world, destination, peer).unwrap_or(NONE), peer))
            .collect();
        told.sort_unstable();
        for same in told.chunk_by(|a, b| a.0 == b.0) {
            let path = same[0].0;
            let peers = same.iter().map(|(_, peer)| *peer).collect();
            let to = self.owing.sets.intern(PeerSet::from_sorted(peers));
            let bucket = if path == NONE { NONE } else { self.paths.at(path).bucket };
            round.add(bucket, to, destination, path);
        }
    }

    /// Encodes the routes of one slot, for each group of its receivers.
    fn encode(&self, world: &World, round: &mut Round, routes: &[Item], runs: &mut Runs) {
        let Slot { bucket, to } = round.slots[routes[0].slot as usize];
        if round.by_group.as_ref().is_none_or(|(last, _)| *last != to) {
            round.by_group = Some((to, self.by_group(to)));
        }
        let Some((_, groups)) = &round.by_group else { return };
        let config = &world.config;
        let ourselves = Ourselves {
            asn: config.local_as,
            router_id: config.router_id,
            tracks_next_hops: config.decision.track_next_hops,
        };
        let key = |item: &Item| &self.destinations.at(item.destination).key;
        for (group, peers) in groups {
            let group = self.group(*group);
            let start = runs.count();
            if bucket == NONE {
                let fixed = group.path_id();
                let look_up =
                    |item: &Item| (fixed.unwrap_or_else(|| self.number_of(NONE, item)), key(item));
                match &group.rewriting {
                    None => group.pack_unreach::<F, _>(routes, look_up, runs),
                    Some(both) => {
                        let all = rewritten::<F>(routes, look_up, both);
                        let all: Vec<_> = all.iter().map(|(id, key)| (*id, key)).collect();
                        group.pack_unreach::<F, _>(&all, |(id, key)| (*id, *key), runs);
                    }
                }
            } else {
                let (known, attributes) = (self.buckets.at(bucket), &mut round.attributes);
                let next_hop = group.write_attributes(known, ourselves, F::AFI_SAFI, attributes);
                let fixed = group.path_id();
                let look_up = |item: &Item| {
                    let id = fixed.unwrap_or_else(|| self.number_of(bucket, item));
                    (id, key(item), &self.paths.at(item.path).data)
                };
                match &group.rewriting {
                    None => group.pack_reach::<F, _>(attributes, next_hop, routes, look_up, runs),
                    Some(both) => {
                        // Memberships have nothing beside their keys.
                        let data = &self.paths.at(routes[0].path).data;
                        let keys = |item: &Item| (look_up(item).0, look_up(item).1);
                        let all = rewritten::<F>(routes, keys, both);
                        let all: Vec<_> = all.iter().map(|(id, key)| (*id, key)).collect();
                        let look_up = |(id, key): &(PathId, _)| (*id, *key, data);
                        group.pack_reach::<F, _>(attributes, next_hop, &all, look_up, runs);
                    }
                }
            }
            runs.add(peers, start);
        }
    }

    /// A set of peers by group.
    fn by_group(&self, to: SetIx) -> ByGroup {
        let mut peers: Vec<(u32, PeerIx)> = self
            .owing
            .sets
            .at(to)
            .set
            .iter()
            .filter_map(|peer| Some((self.group_ix(peer)?, peer)))
            .collect();
        peers.sort_unstable();
        peers
            .chunk_by(|a, b| a.0 == b.0)
            .map(|same| (same[0].0, same.iter().map(|(_, peer)| *peer).collect()))
            .collect()
    }
}
