//! Random shortening of times, so that speakers that began together do not go on together (RFC 4271 §10).

use std::time::Duration;

/// A time of which up to a quarter is taken off: nothing of it with 0, a quarter with 255.
pub(crate) fn shortened(full: Duration, by: u8) -> Duration {
    full.saturating_sub((full / 4).saturating_mul(by.into()) / u32::from(u8::MAX))
}

/// A row of random numbers from a seed that the driver gives; of seed 0 they are all 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jitter(pub(crate) u64);

impl Jitter {
    /// The next time, at least `shortest`.
    pub(crate) fn apply(&mut self, full: Duration, shortest: Duration) -> Duration {
        // xorshift64: nobody guesses against us here.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let [by, ..] = self.0.to_be_bytes();
        shortened(full, by).max(shortest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spread_over_the_last_quarter() {
        let full = Duration::from_secs(40);
        let mut jitter = Jitter(0x9e37_79b9_7f4a_7c15);
        let times: Vec<_> = (0..1000).map(|_| jitter.apply(full, Duration::ZERO)).collect();
        assert!(times.iter().all(|time| (full * 3 / 4..=full).contains(time)));
        for quarter in 0..4 {
            let from = full * 3 / 4 + full / 16 * quarter;
            let here = times.iter().filter(|time| (from..=from + full / 16).contains(time)).count();
            assert!((150..350).contains(&here), "{here} from {from:?} on");
        }
    }

    #[test]
    fn no_time_is_shorter_than_it_may_be() {
        let mut jitter = Jitter(7);
        let second = Duration::from_secs(1);
        for _ in 0..100 {
            assert_eq!(jitter.apply(second, second), second);
        }
        assert_eq!(Jitter(0).apply(second, Duration::ZERO), second, "without a seed");
    }
}
