//! When to try a connection again: soon after the first failure, later after many.

use std::time::Duration;

use crate::jitter::shortened;

/// The first wait, before jitter, where nothing else is asked for. A control node that comes back waits
/// for those that look for it every four seconds before it says End-of-RIB.
pub const BASE: Duration = Duration::from_secs(1);

/// How often the wait doubles.
const DOUBLINGS: u32 = 2;

/// Waits of 1, 2, 4, 4 .. times a base. Starts again at the beginning after a success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait. `jitter` is a random number that takes up to a quarter off it (RFC 4271 §10), so
    /// that peers that failed together do not come back together.
    pub fn failed(&mut self, base: Duration, jitter: u8) -> Duration {
        let full = base.saturating_mul(1 << self.failures.min(DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        shortened(full, jitter)
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
        let waits: Vec<_> = (0..5).map(|_| backoff.failed(BASE, 0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 4, 4]);
        backoff.succeeded();
        assert_eq!(backoff.failed(BASE, 0).as_secs(), 1);
        assert_eq!(backoff.failed(BASE * 30, 0).as_secs(), 60);
    }

    #[test]
    fn jitter_takes_off_a_quarter_at_most() {
        assert_eq!(Backoff { failures: 2 }.failed(BASE, 255), Duration::from_secs(3));
        let longest = Backoff { failures: u32::MAX }.failed(Duration::MAX, 255);
        assert!(longest > Duration::ZERO, "the longest there is overflows nothing");
    }
}
