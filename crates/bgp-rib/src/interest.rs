//! Who asked for which route target (RFC 4684), as an index.
//!
//! What a peer wants is the union of all its memberships, whatever origin AS they name and whether
//! or not they are the best path of theirs. Only attached peers are in the index: those that are up
//! and whose first memberships are complete.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;

use bgp_wire::{RouteTarget, RtMembership};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::peer::{InterestMode, PeerIx};

/// What a membership asks for, its origin AS left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Wanted {
    /// The default target, or no target named at all.
    All,
    /// The first `bits` of a target; others are 0.
    Prefix {
        bits: u8,
        value: u64,
    },
    Exact(RouteTarget),
}

impl Wanted {
    pub(crate) fn of(membership: RtMembership) -> Self {
        if let Some(target) = membership.exact_target() {
            return Self::Exact(target);
        }
        match membership.length().saturating_sub(32) {
            0 => Self::All,
            bits => {
                let value = u64::from_be_bytes(membership.target_octets());
                Self::Prefix { bits, value: value & (u64::MAX << (64 - u32::from(bits))) }
            }
        }
    }

    pub(crate) fn matches(self, target: RouteTarget) -> bool {
        match self {
            Self::All => true,
            Self::Exact(exact) => exact == target,
            Self::Prefix { bits, value } => {
                (value ^ u64::from_be_bytes(target.octets())).leading_zeros() >= u32::from(bits)
            }
        }
    }
}

/// How the interest of an attached peer has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) joined: Vec<Wanted>,
    pub(crate) left: Vec<Wanted>,
}

impl Delta {
    pub(crate) fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty()
    }
}

/// What is known of one peer.
#[derive(Debug, Default)]
struct PeerInterest {
    /// How many of its memberships ask for the same.
    memberships: HashMap<Wanted, u32, FixedState>,
    /// What counts, by its mode; only while attached.
    effective: Option<BTreeSet<Wanted>>,
}

impl PeerInterest {
    fn asks_for(&self, target: RouteTarget) -> bool {
        self.memberships.contains_key(&Wanted::Exact(target))
            || self
                .memberships
                .keys()
                .any(|wanted| !matches!(wanted, Wanted::Exact(_)) && wanted.matches(target))
    }

    fn counts(&self, mode: &InterestMode) -> BTreeSet<Wanted> {
        match mode {
            InterestMode::Everything => BTreeSet::from([Wanted::All]),
            InterestMode::FromRtc => self.memberships.keys().copied().collect(),
            InterestMode::Configured(targets) => {
                targets.iter().map(|target| Wanted::Exact(*target)).collect()
            }
            InterestMode::Both(targets) => targets
                .iter()
                .filter(|target| self.asks_for(**target))
                .map(|target| Wanted::Exact(*target))
                .collect(),
        }
    }
}

/// The index, and what it is made from.
#[derive(Debug)]
pub(crate) struct Interest {
    peers: Vec<PeerInterest>,
    exact: HashMap<RouteTarget, Vec<PeerIx>, FixedState>,
    /// Few, since nobody but a network engineer with a plan sends them.
    prefixes: Vec<(Wanted, PeerIx)>,
    all: Vec<PeerIx>,
}

impl Interest {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            peers: Vec::new(),
            exact: HashMap::with_hasher(FixedState::with_seed(seed)),
            prefixes: Vec::new(),
            all: Vec::new(),
        }
    }

    /// A peer has said that it wants something; once for each of its paths.
    pub(crate) fn add(&mut self, peer: PeerIx, wanted: Wanted, mode: &InterestMode) -> Delta {
        let count = self.peer_mut(peer).memberships.entry(wanted).or_insert(0);
        *count += 1;
        if *count > 1 { Delta::default() } else { self.changed(peer, wanted, mode) }
    }

    /// One path of it is gone.
    pub(crate) fn remove(&mut self, peer: PeerIx, wanted: Wanted, mode: &InterestMode) -> Delta {
        let memberships = &mut self.peer_mut(peer).memberships;
        let Some(count) = memberships.get_mut(&wanted) else { return Delta::default() };
        *count -= 1;
        if *count > 0 {
            return Delta::default();
        }
        memberships.remove(&wanted);
        self.changed(peer, wanted, mode)
    }

    /// Puts a peer into the index, or changes its mode there.
    pub(crate) fn attach(&mut self, peer: PeerIx, mode: &InterestMode) -> Delta {
        let counts = self.peer_mut(peer).counts(mode);
        let before = self.peer_mut(peer).effective.get_or_insert_default();
        let delta = Delta {
            joined: counts.difference(before).copied().collect(),
            left: before.difference(&counts).copied().collect(),
        };
        self.apply(peer, &delta);
        delta
    }

    /// Takes a peer out of the index; its memberships stay known.
    pub(crate) fn detach(&mut self, peer: PeerIx) {
        let Some(effective) = self.peer_mut(peer).effective.take() else { return };
        for wanted in effective {
            self.leave(peer, wanted);
        }
    }

    pub(crate) fn is_attached(&self, peer: PeerIx) -> bool {
        self.peers.get(peer.at()).is_some_and(|known| known.effective.is_some())
    }

    /// What an attached peer wants.
    pub(crate) fn of(&self, peer: PeerIx) -> impl Iterator<Item = Wanted> + '_ {
        self.peers
            .get(peer.at())
            .and_then(|known| known.effective.as_ref())
            .into_iter()
            .flatten()
            .copied()
    }

    /// Whether an attached peer wants a route with these targets. A route without targets is
    /// wanted by those who want all.
    pub(crate) fn wants(&self, peer: PeerIx, targets: impl Iterator<Item = RouteTarget>) -> bool {
        let Some(effective) = self.peers.get(peer.at()).and_then(|known| known.effective.as_ref())
        else {
            return false;
        };
        if effective.contains(&Wanted::All) {
            return true;
        }
        let has_prefixes = self.prefixes.iter().any(|(_, owner)| *owner == peer);
        targets.into_iter().any(|target| {
            effective.contains(&Wanted::Exact(target))
                || has_prefixes
                    && self
                        .prefixes
                        .iter()
                        .any(|(wanted, owner)| *owner == peer && wanted.matches(target))
        })
    }

    /// Appends the peers that want routes with these targets; unordered, with repetitions.
    pub(crate) fn gather(
        &self,
        targets: impl Iterator<Item = RouteTarget>,
        into: &mut Vec<PeerIx>,
    ) {
        into.extend_from_slice(&self.all);
        for target in targets {
            if let Some(peers) = self.exact.get(&target) {
                into.extend_from_slice(peers);
            }
            into.extend(
                self.prefixes
                    .iter()
                    .filter(|(wanted, _)| wanted.matches(target))
                    .map(|(_, peer)| *peer),
            );
        }
    }

    /// Peers that ask for exactly this target, ascending.
    pub(crate) fn exactly(&self, target: RouteTarget) -> &[PeerIx] {
        self.exact.get(&target).map_or(&[], Vec::as_slice)
    }

    /// Targets that somebody asks for exactly.
    pub(crate) fn targets(&self) -> impl Iterator<Item = RouteTarget> + '_ {
        self.exact.keys().copied()
    }

    /// A membership of the peer has come or gone: what follows for what counts.
    fn changed(&mut self, peer: PeerIx, wanted: Wanted, mode: &InterestMode) -> Delta {
        let known = self.peer_mut(peer);
        let Some(effective) = &known.effective else { return Delta::default() };
        let mut delta = Delta::default();
        let mut settle = |wanted: Wanted, counts: bool| match (effective.contains(&wanted), counts)
        {
            (false, true) => delta.joined.push(wanted),
            (true, false) => delta.left.push(wanted),
            _ => {}
        };
        match mode {
            InterestMode::Everything | InterestMode::Configured(_) => {}
            InterestMode::FromRtc => settle(wanted, known.memberships.contains_key(&wanted)),
            InterestMode::Both(targets) => match wanted {
                Wanted::Exact(target) if !targets.contains(&target) => {}
                Wanted::Exact(target) => settle(wanted, known.asks_for(target)),
                _ => targets
                    .iter()
                    .filter(|target| wanted.matches(**target))
                    .for_each(|target| settle(Wanted::Exact(*target), known.asks_for(*target))),
            },
        }
        self.apply(peer, &delta);
        delta
    }

    fn apply(&mut self, peer: PeerIx, delta: &Delta) {
        for wanted in &delta.left {
            self.leave(peer, *wanted);
        }
        for wanted in &delta.joined {
            self.join(peer, *wanted);
        }
        if let Some(effective) = &mut self.peer_mut(peer).effective {
            for wanted in &delta.left {
                effective.remove(wanted);
            }
            effective.extend(delta.joined.iter().copied());
        }
    }

    fn join(&mut self, peer: PeerIx, wanted: Wanted) {
        match wanted {
            Wanted::All => insert_sorted(&mut self.all, peer),
            Wanted::Exact(target) => insert_sorted(self.exact.entry(target).or_default(), peer),
            Wanted::Prefix { .. } => self.prefixes.push((wanted, peer)),
        }
    }

    fn leave(&mut self, peer: PeerIx, wanted: Wanted) {
        match wanted {
            Wanted::All => self.all.retain(|other| *other != peer),
            Wanted::Prefix { .. } => self.prefixes.retain(|entry| *entry != (wanted, peer)),
            Wanted::Exact(target) => {
                if let Some(peers) = self.exact.get_mut(&target) {
                    remove_sorted(peers, peer);
                    if peers.is_empty() {
                        self.exact.remove(&target);
                    }
                }
            }
        }
    }

    fn peer_mut(&mut self, peer: PeerIx) -> &mut PeerInterest {
        if self.peers.len() <= peer.at() {
            self.peers.resize_with(peer.at() + 1, PeerInterest::default);
        }
        &mut self.peers[peer.at()]
    }
}

fn insert_sorted(peers: &mut Vec<PeerIx>, peer: PeerIx) {
    if let Err(at) = peers.binary_search(&peer) {
        peers.insert(at, peer);
    }
}

fn remove_sorted(peers: &mut Vec<PeerIx>, peer: PeerIx) {
    if let Ok(at) = peers.binary_search(&peer) {
        peers.remove(at);
    }
}

/// A seed for one of several hash tables of a shard.
pub(crate) fn derived_seed(seed: u64, salt: u64) -> u64 {
    FixedState::with_seed(seed).hash_one(salt)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn target(number: u32) -> RouteTarget {
        RouteTarget::as2(64_512, number)
    }

    fn exact(number: u32) -> Wanted {
        Wanted::Exact(target(number))
    }

    fn who(interest: &Interest, number: u32) -> Vec<u16> {
        let mut peers = Vec::new();
        interest.gather([target(number)].into_iter(), &mut peers);
        peers.iter().map(|peer| peer.0).collect()
    }

    #[test]
    fn two_memberships_for_one_target_are_left_only_when_both_are_gone() {
        let mut interest = Interest::new(0);
        let (peer, mode) = (PeerIx(3), InterestMode::FromRtc);
        let first = Wanted::of(RtMembership::exact(1, target(7)));
        let second = Wanted::of(RtMembership::exact(2, target(7)));
        interest.attach(peer, &mode);
        assert_eq!(interest.add(peer, first, &mode).joined, [exact(7)]);
        assert!(interest.add(peer, second, &mode).is_empty());
        assert!(interest.remove(peer, first, &mode).is_empty());
        assert_eq!(who(&interest, 7), [3]);
        assert_eq!(interest.remove(peer, second, &mode).left, [exact(7)]);
        assert_eq!(who(&interest, 7), [0; 0]);
    }

    #[test]
    fn part_of_a_target_asks_for_all_that_begin_with_it() {
        let mut interest = Interest::new(0);
        let mode = InterestMode::FromRtc;
        let half = RtMembership::new(32 + 48, 1, target(0x1_0000).octets()).unwrap();
        interest.attach(PeerIx(1), &mode);
        interest.add(PeerIx(1), Wanted::of(half), &mode);
        assert_eq!((who(&interest, 0x1_0005), who(&interest, 5)), (vec![1], vec![]));
        assert!(interest.wants(PeerIx(1), [target(0x1_ffff)].into_iter()));
        assert!(!interest.wants(PeerIx(1), std::iter::empty()));
    }

    #[test]
    fn configured_targets_are_cut_by_memberships_where_both_count() {
        let mut interest = Interest::new(0);
        let mode = InterestMode::Both(Arc::new(BTreeSet::from([target(1), target(2)])));
        let peer = PeerIx(0);
        interest.add(peer, exact(1), &mode);
        assert_eq!(interest.attach(peer, &mode).joined, [exact(1)]);
        assert!(interest.add(peer, exact(9), &mode).is_empty(), "not configured");
        assert_eq!(interest.add(peer, Wanted::All, &mode).joined, [exact(2)]);
        assert!(interest.remove(peer, exact(1), &mode).is_empty(), "the default still asks for it");
        assert_eq!(interest.remove(peer, Wanted::All, &mode).left, [exact(1), exact(2)]);
    }

    #[test]
    fn what_a_detached_peer_says_counts_once_it_is_attached() {
        let mut interest = Interest::new(0);
        let mode = InterestMode::FromRtc;
        assert!(interest.add(PeerIx(2), exact(5), &mode).is_empty());
        assert_eq!(who(&interest, 5), [0; 0]);
        assert_eq!(interest.attach(PeerIx(2), &mode).joined, [exact(5)]);
        interest.detach(PeerIx(2));
        assert_eq!(who(&interest, 5), [0; 0]);
        assert_eq!(interest.attach(PeerIx(2), &mode).joined, [exact(5)]);
    }
}
