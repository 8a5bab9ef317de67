//! A slab that grows by chunks: what is in it never moves, and growing never copies.

/// Values per chunk.
const CHUNK: usize = 1 << BITS;
const BITS: u32 = 12;

/// No index.
pub(crate) const NONE: u32 = u32::MAX;

/// Values by `u32` index. A removed value stays in its place until the place is used again, so a
/// caller that holds the index of something removed reads old data: who removes also unlinks. When
/// the last value is removed all places are gone, and an index from before is above
/// [`Chunked::end`].
#[derive(Debug)]
pub(crate) struct Chunked<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
    len: u32,
}

impl<T> Chunked<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), len: 0 }
    }

    /// Values in it.
    pub(crate) fn len(&self) -> u32 {
        self.len - u32::try_from(self.free.len()).unwrap_or(u32::MAX)
    }

    /// One above the highest index ever used.
    pub(crate) fn end(&self) -> u32 {
        self.len
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(ix) = self.free.pop() {
            *self.at_mut(ix) = value;
            return ix;
        }
        let ix = self.len;
        assert!(ix < NONE, "a shard holds at most 2^32 - 1 of anything");
        if ix as usize & (CHUNK - 1) == 0 {
            // The first chunk grows as needed, so that an empty table is small.
            let room = if ix == 0 { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(value);
        }
        self.len += 1;
        ix
    }

    /// Makes the place of `ix` free for another value.
    pub(crate) fn remove(&mut self, ix: u32) {
        debug_assert!(self.free.len() > 64 || !self.free.contains(&ix), "removed twice");
        self.free.push(ix);
        if self.free.len() == self.len as usize {
            *self = Self::new();
        }
    }

    pub(crate) fn at(&self, ix: u32) -> &T {
        &self.chunks[(ix >> BITS) as usize][ix as usize & (CHUNK - 1)]
    }

    pub(crate) fn at_mut(&mut self, ix: u32) -> &mut T {
        &mut self.chunks[(ix >> BITS) as usize][ix as usize & (CHUNK - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_values_stay_where_they_are() {
        let mut slab = Chunked::new();
        let all: Vec<u32> = (0..10_000u32).map(|n| slab.insert(n)).collect();
        assert_eq!(all, (0..10_000).collect::<Vec<_>>());
        slab.remove(4_096);
        slab.remove(7);
        assert_eq!(slab.len(), 9_998);
        assert_eq!((slab.insert(1), slab.insert(2), slab.insert(3)), (7, 4_096, 10_000));
        assert_eq!((*slab.at(7), *slab.at(4_096), *slab.at(9_999)), (1, 2, 9_999));
    }

    #[test]
    fn an_emptied_slab_gives_its_memory_back() {
        let mut slab = Chunked::new();
        let all: Vec<u32> = (0..10_000u32).map(|n| slab.insert(n)).collect();
        for ix in all {
            slab.remove(ix);
        }
        assert_eq!((slab.len(), slab.end(), slab.chunks.len()), (0, 0, 0));
    }
}
