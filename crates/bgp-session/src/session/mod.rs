//! The life of one connection (RFC 4271 §8), from TCP up to the end.
//!
//! Connecting, retrying and choosing between two connections are the driver's: it has the sockets.

mod live;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_wire::notification::{cease, fsm_error};
use bgp_wire::{Message, Negotiated, Notification, RouteRefresh, Update};

use crate::cease::Cease;
use crate::config::{HoldTime, SessionConfig};
use crate::down::DownReason;
use crate::jitter::Jitter;
use crate::negotiate::{self, Agreement};
use live::Live;

/// How long to wait for the peer's OPEN ("a large value", RFC 4271 §8.2.2).
const OPEN_WAIT: Duration = Duration::from_mins(4);

/// Before an OPEN was accepted there is nothing to read by.
static NOTHING: Negotiated = Negotiated::nothing();

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// As [`Input::Tick`], but we have not been reading: silence proves nothing.
    Busy,
    /// We end it. The text is for the operator of the peer (RFC 9003).
    Cease(Cease, String),
    /// The peer closed or reset the connection, or it broke.
    Closed,
    /// The TCP connection stands.
    Connected,
    /// BFD is not up, and did not fail: there may never have been any.
    PathAway,
    /// The path to the peer is down, as seen by BFD or the link.
    PathDown,
    /// BFD is up, or an operator has switched it off: nothing has to be waited for.
    PathUp,
    /// Octets that cannot be read and end the session; what the peer is told about them.
    Malformed(Notification),
    Message(Message),
    /// A message of this type that was not read because it cannot come now: an UPDATE or a ROUTE-REFRESH
    /// before a session is up, an OPEN after that.
    Untimely(u8),
    /// The peer has another connection, and that is its session now.
    Replaced,
    /// This process restarts: close without a NOTIFICATION, so that the peer keeps our routes, if it has
    /// said that it would.
    Restart,
    /// The peer has read nothing for the send hold time (RFC 9687).
    SendHoldExpired,
    /// The instant given by [`Session::deadline`] has come.
    Tick,
}

/// What the driver must do, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Deliver(Update),
    /// The last action of a session: after what was sent before, close the connection.
    Down(DownReason),
    /// The peer asks for our routes, or marks the beginning or the end of its own (RFC 7313).
    Refresh(RouteRefresh),
    Send(Message),
    Up(Arc<Agreement>),
}

/// Where a session stands, for those who look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    Idle,
    /// The connection stands, and the peer's OPEN is waited for before ours is sent.
    Connect,
    OpenSent,
    OpenConfirm,
    Established,
}

/// One connection's state machine.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    jitter: Jitter,
    /// By the last word about it.
    path_is_up: bool,
    phase: Phase,
}

/// What is known only in a state lives only in that state.
#[derive(Debug)]
enum Phase {
    Idle,
    /// `DelayOpen`: our OPEN goes out then, or behind the peer's.
    Delayed {
        open: Instant,
    },
    OpenSent {
        hold: Instant,
    },
    /// The peer's OPEN was accepted, and our KEEPALIVE waits for BFD
    /// (draft-ietf-idr-bgp-bfd-strict-mode).
    PathPending {
        live: Live,
        /// The peer has seen BFD up already.
        is_confirmed: bool,
    },
    OpenConfirm(Live),
    Established(Live),
}

impl Session {
    /// A session whose KEEPALIVEs come evenly.
    pub fn new(config: impl Into<Arc<SessionConfig>>) -> Self {
        Self { config: config.into(), jitter: Jitter(0), path_is_up: false, phase: Phase::Idle }
    }

    /// The session with times between its KEEPALIVEs of three quarters to the whole (RFC 4271 §10), by
    /// a random number of the driver's.
    #[must_use]
    pub fn with_jitter(self, seed: u64) -> Self {
        Self { jitter: Jitter(seed), ..self }
    }

    /// Takes one input and appends what the driver must do, in order. Never blocks, reads no clock.
    pub fn step(&mut self, now: Instant, input: Input, out: &mut Vec<Action>) {
        self.note_path(&input);
        self.phase = match (mem::replace(&mut self.phase, Phase::Idle), input) {
            (Phase::Idle, Input::Connected) => match self.config.delay_open {
                Some(delay) => Phase::Delayed { open: now + delay },
                None => self.open(now, out),
            },
            (Phase::Idle, _) => Phase::Idle,
            (Phase::Delayed { open }, Input::Busy | Input::Tick) if now < open => {
                Phase::Delayed { open }
            }
            (Phase::Delayed { .. }, Input::Busy | Input::Tick) => self.open(now, out),
            (
                phase @ (Phase::Delayed { .. } | Phase::OpenSent { .. }),
                Input::Message(Message::Open(open)),
            ) => match negotiate::accept(&self.config, open) {
                Ok(agreement) => self.confirm(&phase, agreement, now, out),
                Err(why) => fault(why, out),
            },
            (
                Phase::PathPending { live, is_confirmed },
                input @ (Input::PathUp
                | Input::Busy
                | Input::Tick
                | Input::Message(Message::Keepalive)),
            ) => pending(live, is_confirmed, now, &input, out),
            // Without strict mode BGP does not wait for BFD, and what was no session does not end by it.
            (Phase::OpenConfirm(live), Input::PathDown) if !live.agreement.bfd_strict => {
                Phase::OpenConfirm(live)
            }
            (phase @ (Phase::Delayed { .. } | Phase::OpenSent { .. }), Input::PathDown)
            | (phase, Input::PathUp | Input::PathAway) => phase,
            (Phase::OpenConfirm(live), Input::Message(Message::Keepalive)) => {
                out.push(Action::Up(Arc::clone(&live.agreement)));
                Phase::Established(live.heard(now))
            }
            (Phase::Established(live), Input::Message(Message::Keepalive)) => {
                Phase::Established(live.heard(now))
            }
            (Phase::Established(live), Input::Message(Message::Update(update))) => {
                out.push(Action::Deliver(update));
                Phase::Established(live.heard(now))
            }
            (Phase::Established(live), Input::Message(Message::RouteRefresh(refresh))) => {
                // RFC 2918 §4 and RFC 7313 §5: what we did not agree on is ignored.
                if live.understands(refresh) {
                    out.push(Action::Refresh(refresh));
                }
                Phase::Established(live.heard(now))
            }
            (Phase::Established(live), Input::Busy) => {
                Phase::Established(live.heard(now).ticked(now, out))
            }
            (Phase::OpenSent { hold }, Input::Busy | Input::Tick) if now < hold => {
                Phase::OpenSent { hold }
            }
            (Phase::OpenConfirm(live), Input::Busy | Input::Tick) if !live.is_silent(now) => {
                Phase::OpenConfirm(live.ticked(now, out))
            }
            (Phase::Established(live), Input::Tick) if !live.is_silent(now) => {
                Phase::Established(live.ticked(now, out))
            }
            (_, Input::Busy | Input::Tick) => {
                say(Notification::hold_timer_expired(), out);
                down(DownReason::HoldTimerExpired, out)
            }
            (_, Input::SendHoldExpired) => {
                // RFC 9687 §3: the peer will hardly read it, but it may.
                say(Notification::send_hold_timer_expired(), out);
                down(DownReason::SendHoldTimerExpired, out)
            }
            (_, Input::Closed) => down(DownReason::Closed, out),
            (phase, Input::Restart) => {
                // RFC 4271 §8.2.2: a peer that keeps nothing is told.
                if !phase.restarts() {
                    say(Cease::AdministrativeShutdown.notification(""), out);
                }
                down(DownReason::Restarting, out)
            }
            (_, Input::Replaced) => down(DownReason::Replaced, out),
            (_, Input::PathDown) => path_down(out),
            (phase, Input::Cease(why, text)) => {
                say(phase.farewell(why, &text), out);
                down(DownReason::Ceased(why), out)
            }
            (_, Input::Message(Message::Notification(why))) => down(DownReason::Received(why), out),
            // RFC 7313 §5: only to those who have agreed on marks is one of the wrong length a fault.
            (Phase::Established(live), Input::Malformed(why))
                if why.code == Notification::ROUTE_REFRESH_ERROR
                    && !live.agreement.enhanced_route_refresh =>
            {
                Phase::Established(live.heard(now))
            }
            (_, Input::Malformed(why)) => fault(why, out),
            (phase, Input::Untimely(kind)) => {
                fault(Notification::unexpected(phase.fsm_subcode(), kind), out)
            }
            (phase, Input::Message(message)) => {
                fault(Notification::unexpected(phase.fsm_subcode(), message.kind()), out)
            }
            (phase, Input::Connected) => fault(Notification::fsm_error(phase.fsm_subcode()), out),
        };
    }

    fn open(&self, now: Instant, out: &mut Vec<Action>) -> Phase {
        out.push(Action::Send(Message::Open(negotiate::open(&self.config))));
        Phase::OpenSent { hold: now + OPEN_WAIT }
    }

    fn note_path(&mut self, input: &Input) {
        match input {
            Input::PathUp => self.path_is_up = true,
            Input::PathAway | Input::PathDown => self.path_is_up = false,
            _ => {}
        }
    }

    fn confirm(
        &self,
        phase: &Phase,
        agreement: Agreement,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> Phase {
        if matches!(phase, Phase::Delayed { .. }) {
            self.open(now, out);
        }
        let live = Live::new(agreement, now, self.jitter);
        if live.agreement.bfd_strict && !self.path_is_up {
            let live = live.awaiting(now, self.config.bfd_strict);
            return Phase::PathPending { live, is_confirmed: false };
        }
        out.push(Action::Send(Message::Keepalive));
        Phase::OpenConfirm(live)
    }

    /// When to call [`Session::step`] with [`Input::Tick`], if nothing else comes before.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Delayed { open } => Some(*open),
            Phase::OpenSent { hold } => Some(*hold),
            Phase::PathPending { live, .. }
            | Phase::OpenConfirm(live)
            | Phase::Established(live) => live.hold.into_iter().chain(live.keepalive).min(),
        }
    }

    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Idle => State::Idle,
            Phase::Delayed { .. } => State::Connect,
            Phase::OpenSent { .. } | Phase::PathPending { .. } => State::OpenSent,
            Phase::OpenConfirm(_) => State::OpenConfirm,
            Phase::Established(_) => State::Established,
        }
    }

    /// What the OPENs agreed on, once the peer's was accepted.
    pub const fn agreement(&self) -> Option<&Arc<Agreement>> {
        match &self.phase {
            Phase::Idle | Phase::Delayed { .. } | Phase::OpenSent { .. } => None,
            Phase::PathPending { live, .. }
            | Phase::OpenConfirm(live)
            | Phase::Established(live) => Some(&live.agreement),
        }
    }

    /// What to read the peer's messages by.
    pub fn negotiated(&self) -> &Negotiated {
        self.agreement().map_or(&NOTHING, |agreement| &agreement.negotiated)
    }

    pub fn config(&self) -> &SessionConfig {
        &self.config
    }
}

impl Phase {
    /// RFC 6608 §3.
    const fn fsm_subcode(&self) -> u8 {
        match self {
            Self::Idle | Self::Delayed { .. } => 0,
            Self::OpenSent { .. } | Self::PathPending { .. } => fsm_error::OPEN_SENT,
            Self::OpenConfirm(_) => fsm_error::OPEN_CONFIRM,
            Self::Established(_) => fsm_error::ESTABLISHED,
        }
    }

    /// Whether graceful restart was agreed on.
    fn restarts(&self) -> bool {
        match self {
            Self::Idle | Self::Delayed { .. } | Self::OpenSent { .. } => false,
            Self::PathPending { live, .. } | Self::OpenConfirm(live) | Self::Established(live) => {
                live.agreement.restart.is_some()
            }
        }
    }

    /// Where a NOTIFICATION would keep our routes, one that must not is a Hard Reset (RFC 8538 §3).
    fn farewell(&self, why: Cease, text: &str) -> Notification {
        match self {
            Self::Established(live)
                if live.agreement.restart.as_ref().is_some_and(|r| r.notification) =>
            {
                why.notification_that_ends(text)
            }
            _ => why.notification(text),
        }
    }
}

/// Our KEEPALIVE waits for BFD (draft-ietf-idr-bgp-bfd-strict-mode).
fn pending(
    live: Live,
    is_confirmed: bool,
    now: Instant,
    input: &Input,
    out: &mut Vec<Action>,
) -> Phase {
    match input {
        Input::PathUp => {
            out.push(Action::Send(Message::Keepalive));
            let live = live.heard(now).keepalive_sent(now);
            if !is_confirmed {
                return Phase::OpenConfirm(live.owes_keepalive(now));
            }
            out.push(Action::Up(Arc::clone(&live.agreement)));
            Phase::Established(live)
        }
        Input::Message(_) => Phase::PathPending { live, is_confirmed: true },
        _ if !live.is_silent(now) => Phase::PathPending { live, is_confirmed },
        _ if live.agreement.hold_time == HoldTime::OFF => path_down(out),
        _ => {
            say(Notification::hold_timer_expired(), out);
            down(DownReason::HoldTimerExpired, out)
        }
    }
}

/// The peer made a mistake: tell it, and end.
fn fault(why: Notification, out: &mut Vec<Action>) -> Phase {
    say(why.clone(), out);
    down(DownReason::Sent(why), out)
}

/// RFC 9384 §3: one direction of the path may still work.
fn path_down(out: &mut Vec<Action>) -> Phase {
    say(Notification::cease(cease::BFD_DOWN), out);
    down(DownReason::PathDown, out)
}

fn say(why: Notification, out: &mut Vec<Action>) {
    out.push(Action::Send(Message::Notification(why)));
}

fn down(reason: DownReason, out: &mut Vec<Action>) -> Phase {
    out.push(Action::Down(reason));
    Phase::Idle
}
