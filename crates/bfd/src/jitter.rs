//! How much earlier than agreed a packet goes out, and what else is random in one.

use std::num::NonZeroU32;
use std::time::Duration;

/// A sequence that needs to be uneven, not secret: two systems on one link must not send in step.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `interval` less 0 to 25 %, and where a single lost packet ends the session less 10 to 25 %
    /// (RFC 5880 §6.8.7).
    pub(crate) fn apply(&mut self, interval: Duration, multiplier: u8) -> Duration {
        let (least, most) = if multiplier == 1 { (75, 90) } else { (75, 100) };
        let (least, most) = (interval * least / 100, interval * most / 100);
        least + most.saturating_sub(least) * u32::from(self.next()) / u32::from(u16::MAX)
    }

    /// A number that no other packet of late had.
    pub(crate) fn number(&mut self) -> NonZeroU32 {
        let [a, b] = self.next().to_be_bytes();
        let [c, d] = self.next().to_be_bytes();
        NonZeroU32::new(u32::from_be_bytes([a, b, c, d])).unwrap_or(NonZeroU32::MIN)
    }

    /// `SplitMix64`, of which the upper bits are the best.
    fn next(&mut self) -> u16 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [.., low, high] = (mixed ^ (mixed >> 31)).to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_spread_over_the_whole_range_that_is_allowed() {
        for (multiplier, least, most) in [(3, 75, 100), (1, 75, 90)] {
            let mut jitter = Jitter::new(7);
            let drawn: Vec<_> =
                (0..10_000).map(|_| jitter.apply(Duration::from_millis(100), multiplier)).collect();
            let (min, max) = (*drawn.iter().min().unwrap(), *drawn.iter().max().unwrap());
            let range = Duration::from_millis(least)..=Duration::from_millis(most);
            assert!(range.contains(&min) && range.contains(&max), "{min:?} to {max:?}");
            let near = Duration::from_micros(100);
            assert!(min < *range.start() + near && max + near > *range.end(), "{min:?} to {max:?}");
        }
    }

    #[test]
    fn the_longest_interval_does_not_overflow() {
        let longest = Duration::from_micros(u32::MAX.into());
        let drawn = Jitter::new(1).apply(longest, 1);
        assert!(drawn >= longest / 4 * 3 && drawn <= longest / 10 * 9 + Duration::from_micros(1));
    }
}
