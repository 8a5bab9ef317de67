//! When the initial convergence of this daemon is over (RFC 4724 §4.1).
//!
//! A peer that kept our routes over our restart drops what we have not told again as soon as we say
//! End-of-RIB. So End-of-RIB waits until those who keep state over our restart have told us theirs,
//! or until the ceiling. Where nobody can have kept anything it waits for nobody.

use std::time::{Duration, Instant};

/// Silence of the sessions that counts as "nobody else is coming".
const QUIET: Duration = Duration::from_secs(3);

/// How long a configured peer may take to come up before it is not waited for: long enough for our fourth
/// attempt to connect, 11 s after the start at the latest. GoBGP refuses all before it, as it takes nobody
/// for 5 s after a loss, more when it has many routes to mark as stale.
const MISSING: Duration = Duration::from_secs(12);

/// How long nodes may take to find us again: they are not known by name, and those that have lost all
/// their control nodes drop each other's routes by our first End-of-RIB. Longer than the longest wait
/// between two of their attempts and an attempt that gets no answer, together.
const RECONNECT: Duration = Duration::from_secs(9);

/// Whether this daemon has run before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    First,
    /// Peers may have kept our routes.
    Restarted,
}

/// As [`RECONNECT`], in a first life: the machine was up, and refused each attempt at once, so that only the
/// wait between two of them counts.
const RECONNECT_AT_FIRST: Duration = Duration::from_secs(5);

/// Whatever happens, convergence ends after this long.
const CEILING: Duration = Duration::from_mins(1);

/// Where one peer stands, as far as convergence cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Configured, and no session is up.
    Missing,
    /// It has told all it has, or restarts itself and waits for us (R bit), or keeps nothing.
    Complete,
    /// It still owes an End-of-RIB.
    Telling,
}

/// Waits for the first full view.
#[derive(Debug)]
pub(crate) struct Convergence {
    life: Life,
    started: Instant,
    last_event: Instant,
    /// End-of-RIB may go out.
    released: bool,
    over: bool,
}

impl Convergence {
    pub(crate) const fn new(life: Life, now: Instant) -> Self {
        Self { life, started: now, last_event: now, released: false, over: false }
    }

    /// Whether our OPEN says that we have restarted (R bit, RFC 4724 §3).
    pub(crate) fn is_restarting(&self) -> bool {
        self.life == Life::Restarted && !self.over
    }

    /// A session came up or went.
    pub(crate) const fn event(&mut self, now: Instant) {
        self.last_event = now;
    }

    /// All have told all they have, or have had their time.
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    /// `true` once: when End-of-RIB may go out. `nodes`: whether any may connect at all.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        nodes: bool,
        peers: impl Iterator<Item = Standing>,
    ) -> bool {
        if self.over {
            return false;
        }
        let running = now.duration_since(self.started);
        let nodes_are_back = !nodes || running >= RECONNECT;
        let waited_for = |standing| match standing {
            Standing::Complete => false,
            Standing::Telling => true,
            Standing::Missing => running < MISSING,
        };
        let quiet = now.duration_since(self.last_event) >= QUIET && nodes_are_back;
        let mut peers = peers;
        self.over = running >= CEILING || (quiet && !peers.any(waited_for));
        // Nodes go on forwarding when all their control nodes are gone, whatever took those.
        let may_at_first = !nodes || running >= RECONNECT_AT_FIRST;
        let may = self.over || (self.life == Life::First && may_at_first);
        may && !std::mem::replace(&mut self.released, may)
    }

    /// When to check again, if nothing happens before.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        (!self.over).then(|| now + Duration::from_millis(500))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_when_all_have_told_all_and_it_is_quiet() {
        use Standing::{Complete, Missing, Telling};
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        // (seconds, where the peers stand, over?)
        let cases: [(u64, &[Standing], bool); 6] = [
            (2, &[Complete], false),
            (3, &[Complete], true),
            (11, &[Complete, Missing], false),
            (12, &[Complete, Missing], true),
            (59, &[Complete, Telling], false),
            (60, &[Complete, Telling], true),
        ];
        for (secs, peers, over) in cases {
            let mut convergence = Convergence::new(Life::Restarted, start);
            assert_eq!(
                convergence.check(at(secs), false, peers.iter().copied()),
                over,
                "{secs} {peers:?}"
            );
        }
    }

    #[test]
    fn nodes_have_the_time_to_find_us_again() {
        let start = Instant::now();
        let mut convergence = Convergence::new(Life::Restarted, start);
        let mut is_over_at = |secs| {
            let now = start + Duration::from_secs(secs);
            convergence.check(now, true, [Standing::Complete].into_iter())
        };
        assert!(!is_over_at(8));
        assert!(is_over_at(9));
    }

    #[test]
    fn a_first_life_waits_for_nobody_but_nodes() {
        let start = Instant::now();
        for (nodes, secs) in [(false, 0), (true, 5)] {
            let mut convergence = Convergence::new(Life::First, start);
            assert!(!convergence.is_restarting());
            assert!(Convergence::new(Life::Restarted, start).is_restarting());
            let mut may_after = |ms| {
                let now = start + Duration::from_millis(ms);
                convergence.check(now, nodes, [Standing::Telling, Standing::Missing].into_iter())
            };
            assert!(secs == 0 || !may_after(secs * 1000 - 1));
            assert!(may_after(secs * 1000));
            assert!(!may_after(secs * 1000 + 1), "it says so once");
            assert!(!convergence.is_over());
        }
    }

    #[test]
    fn says_so_once() {
        let start = Instant::now();
        let mut convergence = Convergence::new(Life::Restarted, start);
        let later = start + CEILING;
        assert!(convergence.check(later, true, [].into_iter()));
        assert!(!convergence.check(later, true, [].into_iter()));
        assert_eq!(convergence.deadline(later), None);
    }
}
