//! Numbers by the hash of what they stand for.
//!
//! Half of the hash is kept beside each number: the table grows without a look at what the numbers
//! stand for, which would be a cache line from main memory for each of them.

use hashbrown::HashTable;

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    ix: u32,
}

/// A hash as [`Index`] keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(u32);

impl Hash {
    pub(crate) const fn of(hash: u64) -> Self {
        let [a, b, c, d, ..] = hash.to_be_bytes();
        Self(u32::from_be_bytes([a, b, c, d]))
    }

    /// The table picks a place by the low bits and tells neighbours apart by the high ones.
    const fn spread(self) -> u64 {
        (self.0 as u64) << 32 | self.0 as u64
    }
}

/// Numbers by hash.
#[derive(Debug, Default)]
pub(crate) struct Index {
    table: HashTable<Entry>,
}

impl Index {
    /// The number with this hash for which `is_it` says so.
    pub(crate) fn find(&self, hash: Hash, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let same = |entry: &Entry| entry.hash == hash.0 && is_it(entry.ix);
        self.table.find(hash.spread(), same).map(|entry| entry.ix)
    }

    /// Adds a number that is not there yet.
    pub(crate) fn insert(&mut self, hash: Hash, ix: u32) {
        let entry = Entry { hash: hash.0, ix };
        self.table.insert_unique(hash.spread(), entry, |entry| Hash(entry.hash).spread());
    }

    /// Whether the number was there.
    pub(crate) fn remove(&mut self, hash: Hash, ix: u32) -> bool {
        let Ok(found) = self.table.find_entry(hash.spread(), |entry| entry.ix == ix) else {
            return false;
        };
        found.remove();
        true
    }

    /// In no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.table.iter().map(|entry| entry.ix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_hash_after_the_table_has_grown() {
        let hash = |ix: u32| Hash::of(u64::from(ix % 1_000).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut index = Index::default();
        (0..10_000).for_each(|ix| index.insert(hash(ix), ix));
        assert!((0..10_000).all(|ix| index.find(hash(ix), |other| other == ix) == Some(ix)));
        assert_eq!(index.find(hash(7), |_| false), None);
        assert!(index.remove(hash(7), 7) && !index.remove(hash(7), 7));
        assert_eq!(index.iter().count(), 9_999);
        assert_eq!(index.find(hash(7), |other| other == 1_007), Some(1_007));
    }
}
