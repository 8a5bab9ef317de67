//! Next hops that the kernel reaches, and at what cost (RFC 4271 §9.1.2.1, §9.1.2.2 e).
//!
//! Looked at only where [`crate::DecisionOptions::track_next_hops`] says so. A shard asks for each next
//! hop that it meets, and takes its routes as unusable until it is answered.

use std::net::IpAddr;

use bgp_wire::NextHop;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::chunked::NONE;
use crate::decision::UNREACHABLE;
use crate::family::TableFamily;
use crate::registry::World;
use crate::shard::Output;
use crate::table::Table;

/// Next hops that somebody has used, by address.
#[derive(Debug)]
pub(crate) struct NextHops {
    costs: HashMap<IpAddr, u32, FixedState>,
    asked: Vec<Output>,
    /// Those that nobody uses any more are forgotten when there are more than this.
    tidy_above: usize,
}

impl NextHops {
    pub(crate) fn new(seed: u64) -> Self {
        let costs = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { costs, asked: Vec::new(), tidy_above: 1_024 }
    }

    /// What it costs to reach a next hop; one that is new is asked for.
    pub(crate) fn cost(&mut self, next_hop: NextHop) -> u32 {
        let Some(address) = next_hop.address() else { return UNREACHABLE };
        *self.costs.entry(address).or_insert_with(|| {
            self.asked.push(Output::NextHopWanted { next_hop: address, wanted: true });
            UNREACHABLE
        })
    }

    /// Takes an answer. Whether it is news.
    pub(crate) fn answer(&mut self, address: IpAddr, cost: u32) -> bool {
        match self.costs.get_mut(&address) {
            Some(known) if *known != cost => {
                *known = cost;
                true
            }
            _ => false,
        }
    }

    /// What was asked for or is not wanted any more since the last call.
    pub(crate) fn take_asked(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.asked)
    }

    /// Whether it is time for [`NextHops::keep_only`].
    pub(crate) fn is_untidy(&self) -> bool {
        self.costs.len() > self.tidy_above
    }

    /// Forgets those that are not used.
    pub(crate) fn keep_only(&mut self, is_used: impl Fn(&IpAddr) -> bool) {
        let asked = &mut self.asked;
        self.costs.retain(|address, _| {
            let keep = is_used(address);
            if !keep {
                asked.push(Output::NextHopWanted { next_hop: *address, wanted: false });
            }
            keep
        });
        self.tidy_above = 2 * self.costs.len() + 1_024;
    }
}

impl<F: TableFamily> Table<F> {
    /// A next hop is reached at another cost now, or not any more.
    pub(crate) fn next_hop_changed(&mut self, world: &World, next_hop: IpAddr, cost: u32) {
        if Self::CHOSEN_PER_PEER {
            return;
        }
        for bucket in 0..self.buckets.end() {
            let known = self.buckets.at(bucket);
            let is_meant = known.len > 0 && known.next_hop.address() == Some(next_hop);
            if is_meant && known.rank.cost() != cost {
                self.set_cost(world, bucket, cost);
            }
        }
    }

    fn set_cost(&mut self, world: &World, bucket: u32, cost: u32) {
        let mut destinations: Vec<u32> =
            self.paths_in(bucket).map(|path| self.paths.at(path).destination).collect();
        destinations.sort_unstable();
        destinations.dedup();
        let before: Vec<_> = destinations
            .into_iter()
            .map(|destination| (destination, self.before(world, destination)))
            .collect();
        let told = self.audience(world, bucket);
        self.owing.sets.hold(told);
        let known = self.buckets.at_mut(bucket);
        known.rank.set_cost(cost);
        // Of no epoch: who is told follows from the cost, too.
        known.audience_epoch = 0;
        for (destination, before) in before {
            let head = self.destinations.at(destination).head;
            let was_best = head != NONE && self.paths.at(head).bucket == bucket;
            if was_best {
                self.owing.add(&mut self.destinations, destination, told);
            }
            self.settle(world, destination, &before, if was_best { head } else { NONE });
        }
        self.owing.sets.release(told);
    }

    /// Adds the next hops of all routes to `used`.
    pub(crate) fn next_hops(&self, used: &mut hashbrown::HashSet<IpAddr>) {
        let buckets = (0..self.buckets.end()).map(|bucket| self.buckets.at(bucket));
        used.extend(buckets.filter(|known| known.len > 0).filter_map(|b| b.next_hop.address()));
    }
}
