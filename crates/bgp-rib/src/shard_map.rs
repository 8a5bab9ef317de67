//! Which shard a route belongs to.

use std::sync::Arc;

use bgp_wire::{NextHop, PathAttributes, Route, Update, Withdrawal, for_each_family};

use crate::family::TableFamily;

/// Divides routes among shards so that an UPDATE mostly stays whole: VPN and EVPN by route
/// distinguisher, unicast by its first 16 bits. Memberships go to every shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardMap {
    shards: u16,
}

impl ShardMap {
    /// # Panics
    /// When `shards` is 0.
    pub const fn new(shards: u16) -> Self {
        assert!(shards > 0, "there is at least one shard");
        Self { shards }
    }

    pub const fn shards(self) -> u16 {
        self.shards
    }

    /// The shard of a key; `None` for families that every shard gets.
    pub(crate) fn of<F: TableFamily>(self, key: &F::Key) -> Option<u16> {
        let spread = F::spread(key)?;
        // Multiplying spreads neighbouring numbers; the upper half of the product is the shard.
        let mixed = spread.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        u16::try_from((mixed * u64::from(self.shards)) >> 32).ok()
    }

    /// Calls `deliver(shard, update)` for each shard that has part in `update`. An UPDATE of which
    /// all routes belong to one shard is passed on as it is; parts share the attributes.
    pub fn split(self, update: Update, mut deliver: impl FnMut(u16, Update)) {
        if self.shards == 1 {
            return deliver(0, update);
        }
        match self.only_shard(&update) {
            Whole::One(shard) => return deliver(shard, update),
            Whole::All => {
                for shard in 1..self.shards {
                    deliver(shard, update.clone());
                }
                return deliver(0, update);
            }
            Whole::Several => {}
        }
        let mut parts: Vec<Option<Update>> = vec![None; usize::from(self.shards)];
        let Update { withdrawn, announced, attributes, end_of_rib: _, faults: _ } = update;
        for list in withdrawn {
            for_each_family!(Withdrawals, list, list => self.split_withdrawn(list, &attributes, &mut parts));
        }
        for (next_hop, list) in announced {
            for_each_family!(Routes, list, list => self.split_announced(next_hop, list, &attributes, &mut parts));
        }
        for (shard, part) in (0..self.shards).zip(parts) {
            if let Some(part) = part {
                deliver(shard, part);
            }
        }
    }

    fn only_shard(self, update: &Update) -> Whole {
        let mut found = None;
        let mut take = |shard: Option<u16>| match (shard, found) {
            (shard, None) => {
                found = Some(shard);
                true
            }
            (shard, Some(before)) => shard == before,
        };
        let withdrawn = update.withdrawn.iter().all(|list| {
            for_each_family!(Withdrawals, list, list => list.iter().all(|route| take(self.of_withdrawal(route))))
        });
        let announced = update.announced.iter().all(|(_, list)| {
            for_each_family!(Routes, list, list => list.iter().all(|route| take(self.of_route(route))))
        });
        match (withdrawn && announced, found) {
            // End-of-RIB, or no routes at all, concerns every shard.
            (true, None | Some(None)) => Whole::All,
            (true, Some(Some(shard))) => Whole::One(shard),
            (false, _) => Whole::Several,
        }
    }

    fn of_route<F: TableFamily>(self, route: &Route<F>) -> Option<u16> {
        self.of::<F>(&route.key)
    }

    fn of_withdrawal<F: TableFamily>(self, route: &Withdrawal<F>) -> Option<u16> {
        self.of::<F>(&route.key)
    }

    fn split_withdrawn<F: TableFamily>(
        self,
        list: Vec<Withdrawal<F>>,
        attributes: &Arc<PathAttributes>,
        parts: &mut [Option<Update>],
    ) {
        for (shard, list) in self.divide(list, |route| self.of_withdrawal(route)) {
            part_of(parts, shard, attributes).withdrawn.push(F::into_withdrawals(list));
        }
    }

    fn split_announced<F: TableFamily>(
        self,
        next_hop: NextHop,
        list: Vec<Route<F>>,
        attributes: &Arc<PathAttributes>,
        parts: &mut [Option<Update>],
    ) {
        for (shard, list) in self.divide(list, |route| self.of_route(route)) {
            part_of(parts, shard, attributes).announced.push((next_hop, F::into_routes(list)));
        }
    }

    /// Lists by shard, in order; what every shard gets is copied.
    fn divide<T: Clone>(
        self,
        list: Vec<T>,
        shard_of: impl Fn(&T) -> Option<u16>,
    ) -> Vec<(usize, Vec<T>)> {
        let mut lists: Vec<(usize, Vec<T>)> =
            (0..usize::from(self.shards)).map(|shard| (shard, Vec::new())).collect();
        for item in list {
            match shard_of(&item) {
                Some(shard) => lists[usize::from(shard)].1.push(item),
                None => lists.iter_mut().for_each(|(_, list)| list.push(item.clone())),
            }
        }
        lists.retain(|(_, list)| !list.is_empty());
        lists
    }
}

/// Where an UPDATE goes.
enum Whole {
    One(u16),
    All,
    Several,
}

fn part_of<'a>(
    parts: &'a mut [Option<Update>],
    shard: usize,
    attributes: &Arc<PathAttributes>,
) -> &'a mut Update {
    parts[shard].get_or_insert_with(|| Update {
        withdrawn: Vec::new(),
        announced: Vec::new(),
        attributes: Arc::clone(attributes),
        end_of_rib: None,
        faults: Vec::new(),
    })
}
