//! When to try a connection again: soon after the first failure, later after many.

use std::time::Duration;

/// Longest wait, before jitter. A control node that comes back waits for those that look for it so
/// often before it says End-of-RIB.
const MAX: Duration = Duration::from_secs(4);

/// Waits of 1, 2, 4, 4 .. seconds. Starts again at the beginning after a success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait. `jitter` is a random number that takes up to a quarter off it (RFC 4271 §10), so
    /// that peers that failed together do not come back together.
    pub fn failed(&mut self, jitter: u8) -> Duration {
        let full = Duration::from_secs(1 << self.failures.min(2)).min(MAX);
        self.failures = self.failures.saturating_add(1);
        full.saturating_sub(full / 4 * u32::from(jitter) / u32::from(u8::MAX))
    }

    /// A session was up: the next failure is the first.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_four_seconds_and_start_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..5).map(|_| backoff.failed(0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 4, 4]);
        backoff.succeeded();
        assert_eq!(backoff.failed(0).as_secs(), 1);
    }

    #[test]
    fn jitter_takes_off_a_quarter_at_most() {
        assert_eq!(Backoff { failures: 2 }.failed(255), Duration::from_secs(3));
        assert_eq!(Backoff { failures: u32::MAX }.failed(255), MAX * 3 / 4);
    }
}
