//! The deadlines of the control task.

use std::collections::BTreeMap;
use std::time::Instant;

use bgp_rib::PeerIx;

/// What falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// No End-of-RIB for memberships has come: the peer is told routes by what it said so far.
    Memberships,
    /// What is still stale of the peer goes.
    Stale,
    /// What is long-lived stale of the peer goes.
    LongLived,
    /// An answer to our request for routes that has begun shall have ended.
    Refresh,
    /// A session that was too busy to hear that it ends is told again.
    Unsaid,
    /// A peer from a prefix that has not come back is forgotten.
    Forget,
}

/// Deadlines in order of time, one of each sort for a peer: a peer that comes and goes all day costs
/// no more than one that stays. Each belongs to a state of a peer (`epoch`); later it is void.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<(Instant, u64), (PeerIx, u64, Timer)>,
    running: BTreeMap<(PeerIx, Timer), (Instant, u64)>,
    next: u64,
}

impl Timers {
    /// Starts a timer of a peer, in the place of the one of that sort that runs already.
    pub(crate) fn set(&mut self, at: Instant, peer: PeerIx, epoch: u64, timer: Timer) {
        self.next += 1;
        let key = (at, self.next);
        if let Some(before) = self.running.insert((peer, timer), key) {
            self.due.remove(&before);
        }
        self.due.insert(key, (peer, epoch, timer));
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// The next one that is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(PeerIx, u64, Timer)> {
        let first = self.due.first_entry().filter(|first| first.key().0 <= now)?;
        let due @ (peer, _, timer) = first.remove();
        self.running.remove(&(peer, timer));
        Some(due)
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

    #[test]
    fn a_peer_that_flaps_has_one_timer_of_a_sort() {
        let (start, mut timers) = (Instant::now(), Timers::default());
        let at = |secs| start + Duration::from_secs(secs);
        for epoch in 0..1000 {
            timers.set(at(5000 - epoch), PeerIx(1), epoch, Timer::Stale);
        }
        timers.set(at(9000), PeerIx(1), 1000, Timer::Forget);
        assert_eq!((timers.due.len(), timers.running.len()), (2, 2));
        assert_eq!(timers.take(at(5000)), Some((PeerIx(1), 999, Timer::Stale)));
        assert_eq!(timers.take(at(9000)), Some((PeerIx(1), 1000, Timer::Forget)));
        assert!(timers.due.is_empty() && timers.running.is_empty());
    }
}
