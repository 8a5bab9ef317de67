//! Sets of peers, and the same set only once.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::chunked::{Chunked, NONE};
use crate::peer::PeerIx;

/// Up to this many peers are a sorted list, more are bits.
const SPARSE: usize = 16;

/// A set of peers. Equal sets have equal representations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PeerSet {
    /// Ascending.
    Sparse(Vec<PeerIx>),
    /// 64 peers a word; the last word is not 0.
    Bits { words: Vec<u64>, len: usize },
}

impl Default for PeerSet {
    fn default() -> Self {
        Self::Sparse(Vec::new())
    }
}

impl PeerSet {
    pub(crate) fn one(peer: PeerIx) -> Self {
        Self::Sparse(vec![peer])
    }

    /// From an ascending list without repetitions.
    pub(crate) fn from_sorted(peers: Vec<PeerIx>) -> Self {
        debug_assert!(peers.is_sorted_by(|a, b| a < b));
        match peers.last() {
            Some(last) if peers.len() > SPARSE => {
                let mut words = vec![0; last.at() / 64 + 1];
                for peer in &peers {
                    words[peer.at() / 64] |= 1 << (peer.0 % 64);
                }
                Self::Bits { words, len: peers.len() }
            }
            _ => Self::Sparse(peers),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Sparse(peers) => peers.len(),
            Self::Bits { len, .. } => *len,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn contains(&self, peer: PeerIx) -> bool {
        match self {
            Self::Sparse(peers) => peers.binary_search(&peer).is_ok(),
            Self::Bits { words, .. } => {
                words.get(peer.at() / 64).is_some_and(|word| word >> (peer.0 % 64) & 1 == 1)
            }
        }
    }

    /// Ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = PeerIx> + '_ {
        let (sparse, words): (&[PeerIx], &[u64]) = match self {
            Self::Sparse(peers) => (peers, &[]),
            Self::Bits { words, .. } => (&[], words),
        };
        let bits = words.iter().zip(0u16..).flat_map(|(word, nth)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = u16::try_from(rest.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
                rest &= rest - 1;
                Some(PeerIx(nth * 64 + bit))
            })
        });
        sparse.iter().copied().chain(bits)
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut all: Vec<PeerIx> = self.iter().chain(other.iter()).collect();
        all.sort_unstable();
        all.dedup();
        Self::from_sorted(all)
    }

    pub(crate) fn filter(&self, keep: impl Fn(PeerIx) -> bool) -> Self {
        Self::from_sorted(self.iter().filter(|peer| keep(*peer)).collect())
    }
}

/// Number of an interned set.
pub(crate) type SetIx = u32;

/// A set, and the list of destinations that are owed to exactly its peers.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) set: PeerSet,
    /// Users other than the list.
    refs: u32,
    /// Ends of the list, and its length (see [`crate::owing`]).
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) len: u32,
    /// In the list of sets whose list may be non-empty.
    pub(crate) active: bool,
}

/// Interned sets.
#[derive(Debug)]
pub(crate) struct PeerSets {
    hasher: FixedState,
    entries: Chunked<Entry>,
    index: HashTable<SetIx>,
    /// The last union made: churn asks for the same one again and again.
    last_union: Option<(SetIx, SetIx, SetIx)>,
    /// The last single peer: a walk asks for it for each destination.
    last_one: Option<(PeerIx, SetIx)>,
}

impl PeerSets {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            entries: Chunked::new(),
            index: HashTable::new(),
            last_union: None,
            last_one: None,
        }
    }

    pub(crate) fn at(&self, ix: SetIx) -> &Entry {
        self.entries.at(ix)
    }

    pub(crate) fn at_mut(&mut self, ix: SetIx) -> &mut Entry {
        self.entries.at_mut(ix)
    }

    /// The number of `set`. Not kept alive by that: see [`PeerSets::hold`] and [`PeerSets::tidy`].
    pub(crate) fn intern(&mut self, set: PeerSet) -> SetIx {
        let hash = self.hasher.hash_one(&set);
        let entries = &self.entries;
        if let Some(ix) = self.index.find(hash, |ix| entries.at(*ix).set == set) {
            return *ix;
        }
        let ix = self.entries.insert(Entry {
            set,
            refs: 0,
            head: NONE,
            tail: NONE,
            len: 0,
            active: false,
        });
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hash, ix, |ix| hasher.hash_one(&entries.at(*ix).set));
        ix
    }

    pub(crate) fn one(&mut self, peer: PeerIx) -> SetIx {
        match self.last_one {
            Some((last, ix)) if last == peer => ix,
            _ => {
                let ix = self.intern(PeerSet::one(peer));
                self.last_one = Some((peer, ix));
                ix
            }
        }
    }

    pub(crate) fn union(&mut self, a: SetIx, b: SetIx) -> SetIx {
        if a == b {
            return a;
        }
        match self.last_union {
            Some((x, y, ix)) if (x, y) == (a, b) => ix,
            _ => {
                let both = self.at(a).set.union(&self.at(b).set);
                let ix = self.intern(both);
                self.last_union = Some((a, b, ix));
                ix
            }
        }
    }

    pub(crate) fn hold(&mut self, ix: SetIx) {
        self.at_mut(ix).refs += 1;
    }

    pub(crate) fn release(&mut self, ix: SetIx) {
        if ix != NONE {
            self.at_mut(ix).refs -= 1;
        }
    }

    /// Takes a peer out of every set. Costs per set, never per destination; two sets may be equal
    /// afterwards, which is harmless.
    pub(crate) fn forget(&mut self, peer: PeerIx) {
        self.last_union = None;
        self.last_one = None;
        for ix in self.numbers() {
            if !self.at(ix).set.contains(peer) {
                continue;
            }
            self.unindex(ix);
            let entry = self.entries.at_mut(ix);
            entry.set = entry.set.filter(|other| other != peer);
            let hash = self.hasher.hash_one(&self.entries.at(ix).set);
            let (entries, hasher) = (&self.entries, &self.hasher);
            let set = &entries.at(ix).set;
            if self.index.find(hash, |other| entries.at(*other).set == *set).is_none() {
                self.index.insert_unique(hash, ix, |ix| hasher.hash_one(&entries.at(*ix).set));
            }
        }
    }

    /// Drops sets that nobody uses. Numbers that are neither held nor of a non-empty list are void
    /// afterwards.
    pub(crate) fn tidy(&mut self) {
        self.last_union = None;
        self.last_one = None;
        for ix in self.numbers() {
            let entry = self.at(ix);
            if entry.refs == 0 && entry.len == 0 && !entry.active {
                self.unindex(ix);
                self.entries.at_mut(ix).set = PeerSet::default();
                self.entries.at_mut(ix).refs = NONE;
                self.entries.remove(ix);
            }
        }
    }

    /// Sets there are, used or not.
    pub(crate) fn len(&self) -> u32 {
        self.entries.len()
    }

    /// Numbers of all sets. Free places have `refs` at its highest.
    fn numbers(&self) -> Vec<SetIx> {
        (0..self.entries.end()).filter(|ix| self.at(*ix).refs != NONE).collect()
    }

    fn unindex(&mut self, ix: SetIx) {
        let hash = self.hasher.hash_one(&self.at(ix).set);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == ix) {
            found.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    use super::*;

    fn set(peers: &BTreeSet<u16>) -> PeerSet {
        PeerSet::from_sorted(peers.iter().map(|peer| PeerIx(*peer)).collect())
    }

    /// Few and many, on both sides of the line between lists and bits.
    fn any_set() -> impl Strategy<Value = BTreeSet<u16>> {
        prop_oneof![
            proptest::collection::btree_set(0u16..70, 0..6),
            proptest::collection::btree_set(0u16..300, 12..60),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(a in any_set(), b in any_set(), probe in 0u16..300) {
            let (x, y) = (set(&a), set(&b));
            prop_assert_eq!(x.iter().map(|p| p.0).collect::<BTreeSet<_>>(), a.clone());
            prop_assert_eq!(x.union(&y), set(&a.union(&b).copied().collect()));
            prop_assert_eq!(x.contains(PeerIx(probe)), a.contains(&probe));
            prop_assert_eq!(x.filter(|p| !b.contains(&p.0)), set(&a.difference(&b).copied().collect()));
            prop_assert_eq!(x.len(), a.len());
        }
    }

    #[test]
    fn a_forgotten_peer_is_in_no_set() {
        let mut sets = PeerSets::new(1);
        let both = sets.intern(PeerSet::from_sorted(vec![PeerIx(1), PeerIx(2)]));
        let two = sets.intern(PeerSet::one(PeerIx(2)));
        sets.hold(both);
        sets.forget(PeerIx(1));
        assert_eq!(sets.at(both).set, PeerSet::one(PeerIx(2)));
        assert_eq!(sets.intern(PeerSet::one(PeerIx(2))), two, "the older equal set is found");
        sets.tidy();
        assert_eq!(sets.len(), 1, "only what is held stays");
    }
}
