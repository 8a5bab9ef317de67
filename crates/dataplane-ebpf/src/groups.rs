//! Next hops and groups of them, each kept once however many routes point at it.
//!
//! A route to one place alone points at its next hop, and costs no group: where every workload has a
//! label of its own there are as many next hops as routes. Knows numbers and what is to be written for
//! them; the maps are somebody else's.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;

use dataplane::{NextHop, NextHopGroup, Spread};

use crate::layout::ONE_HOP;

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

/// The groups that routes use, and the next hops that routes and groups use.
#[derive(Debug)]
pub(crate) struct Groups {
    sets: Numbered<NextHopGroup>,
    hops: Numbered<NextHop>,
    members: HashMap<u32, Vec<u32>>,
}

type NewHops = Vec<(u32, NextHop)>;

/// What a route points at, and what has to be written before it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Acquired {
    /// Number of a group, or of a next hop with [`ONE_HOP`].
    pub(crate) target: u32,
    pub(crate) new_hops: NewHops,
    /// The group that is to be written, and numbers of its members' next hops.
    pub(crate) new_group: Option<(u32, Vec<u32>)>,
}

/// All numbers are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Groups,
    NextHops,
}

impl Groups {
    pub(crate) fn new(groups: u32, next_hops: u32) -> Self {
        Self {
            sets: Numbered::new(groups),
            hops: Numbered::new(next_hops.min(ONE_HOP)),
            members: HashMap::new(),
        }
    }

    /// One more route goes there.
    pub(crate) fn acquire(&mut self, to: &NextHopGroup) -> Result<Acquired, Full> {
        if let Some(hop) = only(to) {
            let (number, new) = self.hops.acquire(hop).ok_or(Full::NextHops)?;
            let new_hops = if new { vec![(number, hop.clone())] } else { Vec::new() };
            return Ok(Acquired { target: number | ONE_HOP, new_hops, new_group: None });
        }
        let (number, new) = self.sets.acquire(to).ok_or(Full::Groups)?;
        if !new {
            return Ok(Acquired { target: number, new_hops: Vec::new(), new_group: None });
        }
        let Some((members, new_hops)) = self.acquire_hops(to) else {
            drop(self.sets.release(number));
            return Err(Full::NextHops);
        };
        self.members.insert(number, members.clone());
        Ok(Acquired { target: number, new_hops, new_group: Some((number, members)) })
    }

    /// One route less goes there.
    pub(crate) fn release(&mut self, target: u32) {
        if target & ONE_HOP != 0 {
            drop(self.hops.release(target & !ONE_HOP));
        } else if self.sets.release(target).is_some() {
            for hop in self.members.remove(&target).unwrap_or_default() {
                drop(self.hops.release(hop));
            }
        }
    }

    /// Makes a group that `users` routes point at another one, if those are all that use it and the other
    /// is not there yet. One write then moves all of them. Never a next hop: a packet that passes while
    /// it is written could leave with the label of one and the address of the other.
    pub(crate) fn rename(&mut self, from: u32, to: &NextHopGroup, users: u32) -> Option<Acquired> {
        if from & ONE_HOP != 0 || only(to).is_some() {
            return None;
        }
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
        Some(Acquired { target: from, new_hops, new_group: Some((from, members)) })
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

    /// Whether a route that points there goes to `to`.
    pub(crate) fn leads_to(&self, target: u32, to: &NextHopGroup) -> bool {
        if target & ONE_HOP != 0 {
            return only(to).is_some_and(|hop| self.hops.get(target & !ONE_HOP) == Some(hop));
        }
        self.sets.get(target) == Some(to)
    }

    /// Where a route that points there goes.
    pub(crate) fn get(&self, target: u32) -> Option<NextHopGroup> {
        if target & ONE_HOP != 0 {
            return self.hops.get(target & !ONE_HOP).cloned().map(NextHopGroup::from);
        }
        self.sets.get(target).cloned()
    }

    /// All that are in use, by their numbers.
    pub(crate) fn next_hops(&self) -> impl Iterator<Item = (u32, &NextHop)> {
        self.hops.by_number.iter().map(|(number, (hop, _))| (*number, hop))
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = (u32, &NextHopGroup)> {
        self.sets.by_number.iter().map(|(number, (group, _))| (*number, group))
    }

    /// Whether some route or group uses the next hop.
    pub(crate) fn has_hop(&self, hop: &NextHop) -> bool {
        self.hops.by_value.contains_key(hop)
    }

    /// A route that points at `target` was found; `hops` are the numbers of the members' next hops, in
    /// order.
    pub(crate) fn adopt(&mut self, target: u32, value: &NextHopGroup, hops: &[u32]) {
        if target & ONE_HOP == 0 {
            self.sets.adopt(target, value.clone());
            if self.members.contains_key(&target) {
                return;
            }
            self.members.insert(target, hops.to_vec());
        }
        for (number, hop) in hops.iter().zip(value.hops()) {
            self.hops.adopt(*number, hop.clone());
        }
    }

    /// Ends a series of `adopt`.
    pub(crate) fn adopted(&mut self) {
        self.sets.adopted();
        self.hops.adopted();
    }
}

/// The next hop that stands for all of the group. One that spreads by source says so in a group of its
/// own, so that it is found again.
fn only(to: &NextHopGroup) -> Option<&NextHop> {
    match to.members() {
        [only] if to.spread() == Spread::Flow => Some(&only.hop),
        _ => None,
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
        assert_eq!((first.target, first.new_hops.len()), (1, 2));
        assert_eq!(first.new_group, Some((1, vec![1, 2])));
        let again = groups.acquire(&group(&["b", "a"])).unwrap();
        assert_eq!(again, Acquired { target: 1, new_hops: vec![], new_group: None });
        let other = groups.acquire(&group(&["b", "c"])).unwrap();
        assert_eq!(other.new_hops, [(3, NextHop::Port("c".into()))]);
        assert_eq!(other.new_group, Some((2, vec![2, 3])));
    }

    #[test]
    fn one_next_hop_needs_no_group() {
        let mut groups = Groups::new(1, 10);
        let a = groups.acquire(&group(&["a"])).unwrap();
        assert_eq!((a.target, a.new_group), (1 | ONE_HOP, None));
        assert_eq!(a.new_hops, [(1, NextHop::Port("a".into()))]);
        assert!(groups.leads_to(a.target, &group(&["a"])));
        assert!(!groups.leads_to(a.target, &group(&["b"])));
        assert_eq!(groups.get(a.target), Some(group(&["a"])));
        assert_eq!(groups.acquire(&group(&["a", "b"])), Err(Full::Groups));
        let to_a = [(NextHop::Port("a".into()), 1)];
        let by_source = NextHopGroup::weighted(to_a, Spread::Source).unwrap();
        assert_eq!(groups.acquire(&by_source), Err(Full::Groups), "that is said in a group");
    }

    #[test]
    fn a_number_is_free_when_its_last_user_is_gone_and_is_used_again_last() {
        let mut groups = Groups::new(10, 4);
        let a = groups.acquire(&group(&["a"])).unwrap().target;
        groups.acquire(&group(&["a"])).unwrap();
        groups.release(a);
        assert_eq!(groups.get(a), Some(group(&["a"])));
        groups.release(a);
        assert_eq!(groups.get(a), None);
        assert!(!groups.has_hop(&NextHop::Port("a".into())));
        let numbers: Vec<u32> =
            ["b", "c", "d"].map(|port| groups.acquire(&group(&[port])).unwrap().target).into();
        assert_eq!(numbers, [2 | ONE_HOP, 3 | ONE_HOP, 1 | ONE_HOP]);
        assert_eq!(groups.acquire(&group(&["e"])), Err(Full::NextHops), "all are in use");
    }

    #[test]
    fn without_room_for_its_next_hops_a_group_takes_nothing() {
        let mut groups = Groups::new(10, 3);
        assert_eq!(groups.acquire(&group(&["a", "b", "c"])), Err(Full::NextHops));
        assert!(groups.acquire(&group(&["a", "b"])).is_ok());
    }

    #[test]
    fn a_group_that_all_its_routes_leave_together_is_renamed() {
        let mut groups = Groups::new(10, 10);
        let number = groups.acquire(&group(&["a", "b"])).unwrap().target;
        groups.acquire(&group(&["a", "b"])).unwrap();
        assert_eq!(groups.rename(number, &group(&["a", "c"]), 1), None, "one route stays");
        assert_eq!(groups.rename(number, &group(&["a"]), 2), None, "that is no group");
        let renamed = groups.rename(number, &group(&["a", "c"]), 2).unwrap();
        assert_eq!((renamed.target, renamed.new_group), (number, Some((number, vec![1, 3]))));
        assert!(!groups.has_hop(&NextHop::Port("b".into())));
        assert_eq!(groups.get(number), Some(group(&["a", "c"])));
        let again = groups.acquire(&group(&["a", "c"])).unwrap();
        assert_eq!((again.target, again.new_group), (number, None));
    }

    #[test]
    fn a_next_hop_is_never_written_over_while_routes_lead_to_it() {
        let mut groups = Groups::new(10, 10);
        let number = groups.acquire(&group(&["a"])).unwrap().target;
        assert_eq!(groups.rename(number, &group(&["c"]), 1), None);
        assert_eq!(groups.rename(number, &group(&["c", "d"]), 1), None);
    }

    #[test]
    fn what_is_adopted_is_what_was() {
        let mut groups = Groups::new(10, 10);
        groups.adopt(3, &group(&["a", "b"]), &[4, 2]);
        groups.adopt(3, &group(&["a", "b"]), &[4, 2]);
        groups.adopt(4 | ONE_HOP, &group(&["a"]), &[4]);
        groups.adopted();
        assert_eq!(groups.acquire(&group(&["a", "b"])).unwrap().target, 3);
        assert_eq!(groups.acquire(&group(&["a"])).unwrap().target, 4 | ONE_HOP);
        let next = groups.acquire(&group(&["c", "d"])).unwrap();
        assert_eq!((next.target, next.new_hops[0].0), (4, 5));
        for _ in 0..3 {
            groups.release(3);
        }
        assert_eq!(groups.get(3), None);
        assert!(groups.has_hop(&NextHop::Port("a".into())), "two routes go there");
    }
}
