//! The deadlines of the control task.

use std::collections::BTreeMap;
use std::time::Instant;

use bgp_rib::PeerIx;

/// What falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// No End-of-RIB for memberships has come: the peer is told routes by what it said so far.
    Memberships,
    /// What is still stale of the peer goes.
    Stale,
    /// A peer from a prefix that has not come back is forgotten.
    Forget,
}

/// Deadlines in order of time. Each belongs to a state of a peer (`epoch`); later it is void.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<(Instant, u64), (PeerIx, u64, Timer)>,
    next: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, peer: PeerIx, epoch: u64, timer: Timer) {
        self.next += 1;
        self.due.insert((at, self.next), (peer, epoch, timer));
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// The next one that is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(PeerIx, u64, Timer)> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn come_in_order_of_time() {
        let (start, mut timers) = (Instant::now(), Timers::default());
        let at = |secs| start + Duration::from_secs(secs);
        timers.set(at(30), PeerIx(1), 1, Timer::Memberships);
        timers.set(at(10), PeerIx(2), 1, Timer::Stale);
        timers.set(at(10), PeerIx(3), 1, Timer::Forget);
        assert_eq!(timers.deadline(), Some(at(10)));
        assert_eq!(timers.take(at(9)), None);
        assert_eq!(timers.take(at(10)), Some((PeerIx(2), 1, Timer::Stale)));
        assert_eq!(timers.take(at(10)), Some((PeerIx(3), 1, Timer::Forget)));
        assert_eq!(timers.take(at(10)), None);
    }
}
