//! The intervals we ask for, and those that are in force meanwhile (RFC 5880 §6.8.3).

use std::time::Duration;

use crate::{State, Timing};

/// Who is not up sends no more often than this.
const SLOW: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(super) struct Intervals {
    desired_min_tx: Duration,
    required_min_rx: Duration,
    /// We send by this until the peer knows that we will send less often.
    held_tx: Option<Duration>,
    /// We expect no more than this until the peer knows that it may send more often.
    held_rx: Option<Duration>,
}

impl Intervals {
    pub(super) fn new(state: State, timing: Timing) -> Self {
        Self {
            desired_min_tx: desired(state, timing),
            required_min_rx: timing.interval(),
            held_tx: None,
            held_rx: None,
        }
    }

    /// What our packets say.
    pub(super) const fn desired_min_tx(&self) -> Duration {
        self.desired_min_tx
    }

    /// What our packets say.
    pub(super) const fn required_min_rx(&self) -> Duration {
        self.required_min_rx
    }

    /// What we send by.
    pub(super) fn transmit(&self) -> Duration {
        self.held_tx.unwrap_or(self.desired_min_tx)
    }

    /// What silence is measured by.
    pub(super) fn receive(&self) -> Duration {
        self.held_rx.unwrap_or(self.required_min_rx)
    }

    /// Asks for what `timing` says; says whether that is something else than before.
    pub(super) fn set(&mut self, state: State, timing: Timing) -> bool {
        let new = Self::new(state, timing);
        let is_other = (new.desired_min_tx, new.required_min_rx)
            != (self.desired_min_tx, self.required_min_rx);
        let held = |before, is_held| (state == State::Up && is_held).then_some(before);
        *self = Self {
            held_tx: held(self.transmit(), new.desired_min_tx > self.transmit()),
            held_rx: held(self.receive(), new.required_min_rx < self.receive()),
            ..new
        };
        is_other
    }

    /// The peer knows all of it, or is gone.
    pub(super) const fn release(&mut self) {
        (self.held_tx, self.held_rx) = (None, None);
    }
}

fn desired(state: State, timing: Timing) -> Duration {
    if state == State::Up { timing.interval() } else { timing.interval().max(SLOW) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(millis: u64) -> Timing {
        Timing::new(Duration::from_millis(millis), 3).unwrap()
    }

    #[test]
    fn who_is_not_up_sends_once_a_second_at_most() {
        for state in [State::AdminDown, State::Down, State::Init] {
            assert_eq!(Intervals::new(state, timing(50)).transmit(), SLOW);
            assert_eq!(Intervals::new(state, timing(2000)).transmit(), SLOW * 2);
        }
        assert_eq!(Intervals::new(State::Up, timing(50)).transmit(), Duration::from_millis(50));
    }

    #[test]
    fn more_haste_counts_at_once_for_sending_and_after_the_poll_for_receiving() {
        let mut intervals = Intervals::new(State::Up, timing(300));
        assert!(intervals.set(State::Up, timing(50)));
        assert_eq!(intervals.transmit(), Duration::from_millis(50));
        assert_eq!(intervals.receive(), Duration::from_millis(300));
        intervals.release();
        assert_eq!(intervals.receive(), Duration::from_millis(50));
    }

    #[test]
    fn less_haste_counts_at_once_for_receiving_and_after_the_poll_for_sending() {
        let mut intervals = Intervals::new(State::Up, timing(50));
        assert!(intervals.set(State::Up, timing(300)));
        assert!(intervals.set(State::Up, timing(400)));
        assert!(!intervals.set(State::Up, timing(400)));
        assert_eq!(intervals.transmit(), Duration::from_millis(50));
        assert_eq!(intervals.receive(), Duration::from_millis(400));
        intervals.release();
        assert_eq!(intervals.transmit(), Duration::from_millis(400));
    }

    #[test]
    fn nothing_is_held_for_a_peer_that_is_not_up() {
        let mut intervals = Intervals::new(State::Up, timing(50));
        assert!(intervals.set(State::Down, timing(50)));
        assert_eq!(intervals.transmit(), SLOW);
    }
}
