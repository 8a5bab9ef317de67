//! What an accepted OPEN leaves: the agreement, and when each side has to be heard.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_wire::{Message, RouteRefresh};

use super::{Action, OPEN_WAIT};
use crate::jitter::Jitter;
use crate::negotiate::{Agreement, SHORTEST_KEEPALIVE};

/// A session whose OPEN was accepted.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) agreement: Arc<Agreement>,
    pub(super) hold: Option<Instant>,
    pub(super) keepalive: Option<Instant>,
    jitter: Jitter,
}

impl Live {
    pub(super) fn new(agreement: Agreement, now: Instant, jitter: Jitter) -> Self {
        let live = Self { agreement: Arc::new(agreement), hold: None, keepalive: None, jitter };
        live.owes_keepalive(now).keepalive_sent(now)
    }

    /// Even a peer that may be silent for ever owes us its first KEEPALIVE.
    pub(super) fn owes_keepalive(mut self, now: Instant) -> Self {
        self.hold = Some(now + self.agreement.hold_time.silence().unwrap_or(OPEN_WAIT));
        self
    }

    /// Sends no KEEPALIVE until BFD is up, which may take the hold time, or else `longest`.
    pub(super) fn awaiting(mut self, now: Instant, longest: Option<Duration>) -> Self {
        let wait = self.agreement.hold_time.silence().or(longest);
        (self.keepalive, self.hold) = (None, wait.map(|wait| now + wait));
        self
    }

    pub(super) fn keepalive_sent(mut self, now: Instant) -> Self {
        let every = self.agreement.keepalive;
        self.keepalive = every.map(|every| now + self.jitter.apply(every, SHORTEST_KEEPALIVE));
        self
    }

    /// The peer lives: its hold time starts anew.
    pub(super) fn heard(mut self, now: Instant) -> Self {
        self.hold = self.agreement.hold_time.silence().map(|hold| now + hold);
        self
    }

    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.hold.is_some_and(|hold| hold <= now)
    }

    /// Sends the KEEPALIVE that is due, if one is.
    pub(super) fn ticked(self, now: Instant, out: &mut Vec<Action>) -> Self {
        if self.keepalive.is_some_and(|due| due <= now) {
            out.push(Action::Send(Message::Keepalive));
            return self.keepalive_sent(now);
        }
        self
    }

    pub(super) fn understands(&self, refresh: RouteRefresh) -> bool {
        let subtypes = if self.agreement.enhanced_route_refresh { 0..=2 } else { 0..=0 };
        subtypes.contains(&refresh.subtype)
            && self.agreement.negotiated.families.contains(&refresh.family)
    }
}
