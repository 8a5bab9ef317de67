//! What is still to be said, and to whom. Latest state only: what exactly is said is read from the
//! table when it is packed.
//!
//! Destinations that are owed to the same peers are in one list, threaded through the destinations
//! themselves. Peers that cannot take anything now are passed over a list at a time, so a slow peer
//! costs the others nothing, and what it is owed costs no memory.

use crate::chunked::NONE;
use crate::peer_set::{PeerSets, SetIx};

/// The place of a destination in a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// The peers it is owed to; `NONE` when to nobody.
    pub(crate) set: SetIx,
    prev: u32,
    next: u32,
}

impl Link {
    pub(crate) const LOOSE: Self = Self { set: NONE, prev: NONE, next: NONE };
}

/// Where the links are: the destinations of a table.
pub(crate) trait Links {
    fn link(&mut self, destination: u32) -> &mut Link;
}

/// Lists of owed destinations by set of peers.
#[derive(Debug)]
pub(crate) struct Owing {
    pub(crate) sets: PeerSets,
    /// Sets whose list is, or was a moment ago, non-empty.
    active: Vec<SetIx>,
    /// Destinations in all lists.
    len: u32,
}

impl Owing {
    pub(crate) fn new(seed: u64) -> Self {
        Self { sets: PeerSets::new(seed), active: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// From now on `destination` is owed to the peers of `set` too.
    pub(crate) fn add(&mut self, links: &mut impl Links, destination: u32, set: SetIx) {
        let owed = links.link(destination).set;
        if owed == set {
            return;
        }
        if owed == NONE {
            if !self.sets.at(set).set.is_empty() {
                self.append(links, destination, set);
            }
            return;
        }
        let both = self.sets.union(owed, set);
        if both != owed {
            self.take_out(links, destination);
            self.append(links, destination, both);
        }
    }

    /// The destination is owed to nobody any more.
    pub(crate) fn take_out(&mut self, links: &mut impl Links, destination: u32) {
        let Link { set, prev, next } = std::mem::replace(links.link(destination), Link::LOOSE);
        if set == NONE {
            return;
        }
        match prev {
            NONE => self.sets.at_mut(set).head = next,
            prev => links.link(prev).next = next,
        }
        match next {
            NONE => self.sets.at_mut(set).tail = prev,
            next => links.link(next).prev = prev,
        }
        self.sets.at_mut(set).len -= 1;
        self.len -= 1;
    }

    fn append(&mut self, links: &mut impl Links, destination: u32, set: SetIx) {
        let entry = self.sets.at_mut(set);
        let last = entry.tail;
        entry.tail = destination;
        entry.len += 1;
        if last == NONE {
            entry.head = destination;
        }
        if !entry.active {
            entry.active = true;
            self.active.push(set);
        }
        *links.link(destination) = Link { set, prev: last, next: NONE };
        if last != NONE {
            links.link(last).next = destination;
        }
        self.len += 1;
    }

    /// The sets with a non-empty list, oldest first.
    pub(crate) fn active(&mut self) -> Vec<SetIx> {
        let sets = &mut self.sets;
        self.active.retain(|ix| {
            let entry = sets.at_mut(*ix);
            entry.active = entry.len > 0;
            entry.active
        });
        self.active.clone()
    }

    /// As [`Owing::active`], when nothing may change.
    pub(crate) fn each_active(&self) -> impl Iterator<Item = SetIx> + '_ {
        self.active.iter().copied().filter(|ix| self.sets.at(*ix).len > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::PeerIx;
    use crate::peer_set::PeerSet;

    struct Table(Vec<Link>);

    impl Links for Table {
        fn link(&mut self, destination: u32) -> &mut Link {
            &mut self.0[destination as usize]
        }
    }

    fn list(owing: &Owing, table: &Table, set: SetIx) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = owing.sets.at(set).head;
        while at != NONE {
            found.push(at);
            at = table.0[at as usize].next;
        }
        assert_eq!(found.len(), owing.sets.at(set).len as usize);
        found
    }

    #[test]
    fn a_destination_is_in_the_list_of_all_that_it_is_owed_to() {
        let mut table = Table(vec![Link::LOOSE; 4]);
        let mut owing = Owing::new(0);
        let (a, b) = (owing.sets.one(PeerIx(1)), owing.sets.one(PeerIx(2)));
        (0..4).for_each(|destination| owing.add(&mut table, destination, a));
        assert_eq!(list(&owing, &table, a), [0, 1, 2, 3]);
        owing.add(&mut table, 1, b);
        owing.add(&mut table, 3, b);
        owing.add(&mut table, 3, a);
        let both = owing.sets.intern(PeerSet::from_sorted(vec![PeerIx(1), PeerIx(2)]));
        assert_eq!((list(&owing, &table, a), list(&owing, &table, both)), (vec![0, 2], vec![1, 3]));
        owing.take_out(&mut table, 0);
        owing.take_out(&mut table, 3);
        assert_eq!((list(&owing, &table, a), list(&owing, &table, both)), (vec![2], vec![1]));
        assert_eq!(owing.len(), 2);
        assert_eq!(owing.active(), [a, both]);
    }
}
