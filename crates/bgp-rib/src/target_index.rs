//! Which buckets carry which route target: the other direction of [`crate::interest`].

use bgp_wire::RouteTarget;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::chunked::Chunked;

/// Number of a target in one index.
pub(crate) type TargetIx = u32;

/// One target of a bucket, and where the bucket stands in that target's list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carried {
    pub(crate) target: TargetIx,
    pub(crate) position: u32,
}

#[derive(Debug)]
struct Entry {
    target: RouteTarget,
    buckets: Vec<u32>,
}

/// Buckets by target, of one table.
#[derive(Debug)]
pub(crate) struct TargetIndex {
    numbers: HashMap<RouteTarget, TargetIx, FixedState>,
    entries: Chunked<Entry>,
}

impl TargetIndex {
    pub(crate) fn new(seed: u64) -> Self {
        let numbers = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { numbers, entries: Chunked::new() }
    }

    pub(crate) fn target(&self, ix: TargetIx) -> RouteTarget {
        self.entries.at(ix).target
    }

    /// The buckets that carry a target, in no order.
    pub(crate) fn buckets(&self, target: RouteTarget) -> &[u32] {
        self.numbers.get(&target).map_or(&[], |ix| &self.entries.at(*ix).buckets)
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = RouteTarget> + '_ {
        self.numbers.keys().copied()
    }

    /// Notes that `bucket` carries `target`.
    pub(crate) fn insert(&mut self, target: RouteTarget, bucket: u32) -> Carried {
        let entries = &mut self.entries;
        let ix = *self
            .numbers
            .entry(target)
            .or_insert_with(|| entries.insert(Entry { target, buckets: Vec::new() }));
        let buckets = &mut self.entries.at_mut(ix).buckets;
        let position = u32::try_from(buckets.len()).unwrap_or(u32::MAX);
        buckets.push(bucket);
        Carried { target: ix, position }
    }

    /// Undoes [`TargetIndex::insert`]. Returns the bucket that has taken over the position, if any.
    pub(crate) fn remove(&mut self, carried: Carried) -> Option<u32> {
        let entry = self.entries.at_mut(carried.target);
        entry.buckets.swap_remove(carried.position as usize);
        let moved = entry.buckets.get(carried.position as usize).copied();
        if entry.buckets.is_empty() {
            let target = entry.target;
            entry.buckets = Vec::new();
            self.numbers.remove(&target);
            self.entries.remove(carried.target);
        }
        moved
    }
}
