//! The poll sequence (RFC 5880 §6.5): how we learn that a change has arrived.

/// Where a poll sequence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Poll {
    Idle,
    Running {
        /// A packet with P has gone out, so an F can be its answer.
        asked: bool,
        /// Something changed after that, which the answer will say nothing about.
        again: bool,
    },
    /// It is over. Until a packet without F comes, another F may belong to it still (§6.8.3).
    Settling {
        again: bool,
    },
}

impl Poll {
    pub(super) const fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Something has changed.
    pub(super) const fn start(&mut self) {
        match self {
            Self::Idle => *self = Self::Running { asked: false, again: false },
            Self::Running { asked, again } => *again = *asked,
            Self::Settling { again } => *again = true,
        }
    }

    /// A packet goes out that carries P if we are polling.
    pub(super) const fn asked(&mut self) {
        if let Self::Running { asked, .. } = self {
            *asked = true;
        }
    }

    /// A packet has come. Says whether the peer knows all changes now.
    pub(super) const fn heard(&mut self, is_final: bool) -> bool {
        match *self {
            Self::Running { asked: true, again } if is_final => {
                *self = Self::Settling { again };
                !again
            }
            Self::Settling { again } if !is_final => {
                *self =
                    if again { Self::Running { asked: false, again: false } } else { Self::Idle };
                false
            }
            Self::Idle | Self::Running { .. } | Self::Settling { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_answers_only_what_was_asked() {
        let mut poll = Poll::Idle;
        assert!(!poll.heard(true));
        poll.start();
        assert!(!poll.heard(true), "nothing was asked yet");
        poll.asked();
        assert!(!poll.heard(false));
        assert!(poll.heard(true));
        assert!(!poll.is_running());
    }

    #[test]
    fn a_change_during_a_poll_is_polled_after_it() {
        let mut poll = Poll::Idle;
        poll.start();
        poll.start();
        poll.asked();
        poll.start();
        assert!(!poll.heard(true), "the answer is about the first change only");
        assert!(!poll.is_running());
        assert!(!poll.heard(true), "a copy of the same answer");
        assert!(!poll.heard(false));
        assert!(poll.is_running());
        poll.asked();
        assert!(poll.heard(true));
        poll.start();
        assert!(!poll.is_running());
        assert!(!poll.heard(false) && poll.is_running());
    }
}
