//! Groups of next hops, each kept once however many routes point at it.
//!
//! Knows numbers and what is to be written for them; the maps are somebody else's.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;

use dataplane::{NextHop, NextHopGroup};

/// Values with numbers from 1 on, each kept while somebody uses it.
#[derive(Debug)]
pub(crate) struct Numbered<T> {
    by_value: HashMap<T, u32>,
    by_number: BTreeMap<u32, (T, u32)>,
    /// Numbers never used begin here.
    next: u32,
    /// The longest free is used first: a program may still be reading what the number stood for.
    free: VecDeque<u32>,
    limit: u32,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    /// Numbers 1 to `limit` - 1.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            by_value: HashMap::new(),
            by_number: BTreeMap::new(),
            next: 1,
            free: VecDeque::new(),
            limit,
        }
    }

    /// The number of `value`, used once more, and whether it is a new one. `None`: all are in use.
    pub(crate) fn acquire(&mut self, value: &T) -> Option<(u32, bool)> {
        if let Some(number) = self.by_value.get(value) {
            if let Some((_, users)) = self.by_number.get_mut(number) {
                *users += 1;
            }
            return Some((*number, false));
        }
        let number = if self.next < self.limit {
            self.next += 1;
            self.next - 1
        } else {
            self.free.pop_front()?
        };
        self.by_value.insert(value.clone(), number);
        self.by_number.insert(number, (value.clone(), 1));
        Some((number, true))
    }

    /// One user less. Returns the value that nobody uses any more.
    pub(crate) fn release(&mut self, number: u32) -> Option<T> {
        let (_, users) = self.by_number.get_mut(&number)?;
        *users -= 1;
        if *users > 0 {
            return None;
        }
        let (value, _) = self.by_number.remove(&number)?;
        // A run that was cut short may have left two numbers for one value.
        if self.by_value.get(&value) == Some(&number) {
            self.by_value.remove(&value);
        }
        self.free.push_back(number);
        Some(value)
    }

    /// Takes over a number that was found in use.
    pub(crate) fn adopt(&mut self, number: u32, value: T) {
        let entry = self.by_number.entry(number).or_insert_with(|| (value.clone(), 0));
        entry.1 += 1;
        self.by_value.entry(value).or_insert(number);
    }

    /// Ends a series of `adopt`: what was not found is free.
    pub(crate) fn adopted(&mut self) {
        self.next = self.by_number.keys().next_back().map_or(1, |last| last + 1);
        let used: BTreeSet<u32> = self.by_number.keys().copied().collect();
        self.free = (1..self.next).filter(|number| !used.contains(number)).collect();
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.by_number.get(&number).map(|(value, _)| value)
    }
}

/// The groups that routes use, and the next hops that groups use.
#[derive(Debug)]
pub(crate) struct Groups {
    sets: Numbered<NextHopGroup>,
    hops: Numbered<NextHop>,
    members: HashMap<u32, Vec<u32>>,
}

type NewHops = Vec<(u32, NextHop)>;

/// A group's number, and what has to be written before a route may point at it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Acquired {
    pub(crate) group: u32,
    pub(crate) new_hops: NewHops,
    /// Numbers of the members' next hops; `None`: the group is written already.
    pub(crate) new_group: Option<Vec<u32>>,
}

impl Groups {
    pub(crate) fn new(groups: u32, next_hops: u32) -> Self {
        Self {
            sets: Numbered::new(groups),
            hops: Numbered::new(next_hops),
            members: HashMap::new(),
        }
    }

    /// One more route uses `group`. `None`: there is no room.
    pub(crate) fn acquire(&mut self, group: &NextHopGroup) -> Option<Acquired> {
        let (number, new) = self.sets.acquire(group)?;
        if !new {
            return Some(Acquired { group: number, new_hops: Vec::new(), new_group: None });
        }
        let Some((members, new_hops)) = self.acquire_hops(group) else {
            drop(self.sets.release(number));
            return None;
        };
        self.members.insert(number, members.clone());
        Some(Acquired { group: number, new_hops, new_group: Some(members) })
    }

    /// One route less uses the group.
    pub(crate) fn release(&mut self, group: u32) {
        if self.sets.release(group).is_some() {
            for hop in self.members.remove(&group).unwrap_or_default() {
                drop(self.hops.release(hop));
            }
        }
    }

    /// Turns a group that `users` routes use into another one at the same number, if those are all
    /// that use it and the other is not there yet. One write then moves all of them.
    pub(crate) fn rename(&mut self, from: u32, to: &NextHopGroup, users: u32) -> Option<Acquired> {
        let (_, all) = self.sets.by_number.get(&from)?;
        if *all != users || self.sets.by_value.contains_key(to) {
            return None;
        }
        let (members, new_hops) = self.acquire_hops(to)?;
        if let Some((value, _)) = self.sets.by_number.get_mut(&from) {
            let was = std::mem::replace(value, to.clone());
            if self.sets.by_value.get(&was) == Some(&from) {
                self.sets.by_value.remove(&was);
            }
            self.sets.by_value.insert(to.clone(), from);
        }
        for hop in self.members.insert(from, members.clone()).unwrap_or_default() {
            drop(self.hops.release(hop));
        }
        Some(Acquired { group: from, new_hops, new_group: Some(members) })
    }

    /// Numbers of all members, and the members that are new; all of them or none.
    fn acquire_hops(&mut self, group: &NextHopGroup) -> Option<(Vec<u32>, NewHops)> {
        let (mut numbers, mut new_hops) = (Vec::new(), Vec::new());
        for hop in group.hops() {
            let Some((number, new)) = self.hops.acquire(hop) else {
                for number in numbers {
                    drop(self.hops.release(number));
                }
                return None;
            };
            numbers.push(number);
            if new {
                new_hops.push((number, hop.clone()));
            }
        }
        Some((numbers, new_hops))
    }

    pub(crate) fn get(&self, group: u32) -> Option<&NextHopGroup> {
        self.sets.get(group)
    }

    /// The number of a next hop, if some group uses it.
    pub(crate) fn hop(&self, hop: &NextHop) -> Option<u32> {
        self.hops.by_value.get(hop).copied()
    }

    /// A route that uses `group` was found; `hops` are the numbers of its members' next hops, in order.
    pub(crate) fn adopt(&mut self, group: u32, value: &NextHopGroup, hops: &[u32]) {
        self.sets.adopt(group, value.clone());
        if !self.members.contains_key(&group) {
            for (number, hop) in hops.iter().zip(value.hops()) {
                self.hops.adopt(*number, hop.clone());
            }
            self.members.insert(group, hops.to_vec());
        }
    }

    /// Ends a series of `adopt`.
    pub(crate) fn adopted(&mut self) {
        self.sets.adopted();
        self.hops.adopted();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(ports: &[&str]) -> NextHopGroup {
        NextHopGroup::new(ports.iter().map(|port| NextHop::Port((*port).into()))).unwrap()
    }

    #[test]
    fn equal_groups_are_written_once() {
        let mut groups = Groups::new(10, 10);
        let first = groups.acquire(&group(&["a", "b"])).unwrap();
        assert_eq!((first.group, first.new_hops.len()), (1, 2));
        assert_eq!(first.new_group, Some(vec![1, 2]));
        let again = groups.acquire(&group(&["b", "a"])).unwrap();
        assert_eq!(again, Acquired { group: 1, new_hops: vec![], new_group: None });
        let other = groups.acquire(&group(&["b", "c"])).unwrap();
        assert_eq!(other.new_hops, [(3, NextHop::Port("c".into()))]);
        assert_eq!(other.new_group, Some(vec![2, 3]));
    }

    #[test]
    fn a_number_is_free_when_its_last_user_is_gone_and_is_used_again_last() {
        let mut groups = Groups::new(4, 10);
        let a = groups.acquire(&group(&["a"])).unwrap().group;
        groups.acquire(&group(&["a"])).unwrap();
        groups.release(a);
        assert_eq!(groups.get(a), Some(&group(&["a"])));
        groups.release(a);
        assert_eq!(groups.get(a), None);
        assert_eq!(groups.hop(&NextHop::Port("a".into())), None);
        let numbers: Vec<u32> =
            ["b", "c", "d"].map(|port| groups.acquire(&group(&[port])).unwrap().group).into();
        assert_eq!(numbers, [2, 3, 1]);
        assert_eq!(groups.acquire(&group(&["e"])), None, "all are in use");
    }

    #[test]
    fn without_room_for_its_next_hops_a_group_takes_nothing() {
        let mut groups = Groups::new(10, 3);
        assert_eq!(groups.acquire(&group(&["a", "b", "c"])), None);
        assert!(groups.acquire(&group(&["a", "b"])).is_some());
    }

    #[test]
    fn a_group_that_all_its_routes_leave_together_is_renamed() {
        let mut groups = Groups::new(10, 10);
        let number = groups.acquire(&group(&["a", "b"])).unwrap().group;
        groups.acquire(&group(&["a", "b"])).unwrap();
        assert_eq!(groups.rename(number, &group(&["a", "c"]), 1), None, "one route stays");
        let renamed = groups.rename(number, &group(&["a", "c"]), 2).unwrap();
        assert_eq!((renamed.group, renamed.new_group), (number, Some(vec![1, 3])));
        assert_eq!(groups.hop(&NextHop::Port("b".into())), None);
        assert_eq!(groups.get(number), Some(&group(&["a", "c"])));
        let again = groups.acquire(&group(&["a", "c"])).unwrap();
        assert_eq!((again.group, again.new_group), (number, None));
    }

    #[test]
    fn what_is_adopted_is_what_was() {
        let mut groups = Groups::new(10, 10);
        groups.adopt(3, &group(&["a", "b"]), &[4, 2]);
        groups.adopt(3, &group(&["a", "b"]), &[4, 2]);
        groups.adopted();
        assert_eq!(groups.acquire(&group(&["a", "b"])).unwrap().group, 3);
        let next = groups.acquire(&group(&["c"])).unwrap();
        assert_eq!((next.group, next.new_hops[0].0), (4, 5));
        for _ in 0..3 {
            groups.release(3);
        }
        assert_eq!(groups.get(3), None);
    }
}
