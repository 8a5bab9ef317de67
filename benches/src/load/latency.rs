//! When each route was last withdrawn and announced, for a receiver to tell how long that took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Times of sending by route, in nanoseconds after `start`; 0 is never.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) start: Instant,
    withdrawn: Vec<AtomicU64>,
    announced: Vec<AtomicU64>,
}

/// What happened to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Announced,
    Withdrawn,
}

impl Sent {
    pub(crate) fn new(start: Instant, routes: u32) -> Self {
        let never = || (0..routes).map(|_| AtomicU64::new(0)).collect();
        Self { start, withdrawn: never(), announced: never() }
    }

    pub(crate) fn mark(&self, route: u32, event: Event) {
        if let Some(slot) = self.slot(route, event) {
            slot.store(self.now().max(1), Ordering::Relaxed);
        }
    }

    /// Microseconds since it was sent, if it was.
    pub(crate) fn age(&self, now: u64, route: u32, event: Event) -> Option<u32> {
        match self.slot(route, event)?.load(Ordering::Relaxed) {
            0 => None,
            sent => Some(u32::try_from(now.saturating_sub(sent) / 1_000).unwrap_or(u32::MAX)),
        }
    }

    /// Nanoseconds after the start.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn slot(&self, route: u32, event: Event) -> Option<&AtomicU64> {
        let times = match event {
            Event::Announced => &self.announced,
            Event::Withdrawn => &self.withdrawn,
        };
        times.get(route as usize)
    }
}

/// The value below which `part` of the sorted values are; 0 of none.
pub(crate) fn quantile(sorted: &[u32], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list of less than 2^32"
    )]
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().map_or(0.0, f64::from)
}
