//! The life of one connection (RFC 4271 §8), from TCP up to the end.
//!
//! Connecting, retrying and choosing between two connections are the driver's: it has the sockets.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_wire::{Message, Negotiated, Notification, RouteRefresh, Update, WireError};

use crate::cease::{self, Cease};
use crate::config::SessionConfig;
use crate::down::DownReason;
use crate::negotiate::{self, Agreement};

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
    /// The path to the peer is down.
    PathDown,
    /// Octets that cannot be read and end the session.
    Malformed(WireError),
    Message(Message),
    /// A message that was not read because it cannot come before a session is up: an UPDATE or a
    /// ROUTE-REFRESH.
    Premature,
    /// The peer has another connection, and that is its session now.
    Replaced,
    /// This process restarts: close without a NOTIFICATION, so that the peer keeps our routes.
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
    OpenSent,
    OpenConfirm,
    Established,
}

/// One connection's state machine.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    phase: Phase,
}

/// What is known only in a state lives only in that state.
#[derive(Debug)]
enum Phase {
    Idle,
    OpenSent { hold: Instant },
    OpenConfirm(Live),
    Established(Live),
}

/// A session whose OPEN was accepted.
#[derive(Debug)]
struct Live {
    agreement: Arc<Agreement>,
    hold: Option<Instant>,
    keepalive: Option<Instant>,
}

impl Session {
    pub const fn new(config: SessionConfig) -> Self {
        Self { config, phase: Phase::Idle }
    }

    /// Takes one input and appends what the driver must do, in order. Never blocks, reads no clock.
    pub fn step(&mut self, now: Instant, input: Input, out: &mut Vec<Action>) {
        self.phase = match (mem::replace(&mut self.phase, Phase::Idle), input) {
            (Phase::Idle, Input::Connected) => {
                out.push(Action::Send(Message::Open(negotiate::open(&self.config))));
                Phase::OpenSent { hold: now + OPEN_WAIT }
            }
            (Phase::Idle, _) => Phase::Idle,
            (Phase::OpenSent { .. }, Input::Message(Message::Open(open))) => {
                match negotiate::accept(&self.config, open) {
                    Ok(agreement) => {
                        out.push(Action::Send(Message::Keepalive));
                        Phase::OpenConfirm(Live::new(agreement, now))
                    }
                    Err(why) => fault(why, out),
                }
            }
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
            (Phase::OpenConfirm(live), Input::Busy) => {
                Phase::OpenConfirm(live.heard(now).ticked(now, out))
            }
            (Phase::Established(live), Input::Busy) => {
                Phase::Established(live.heard(now).ticked(now, out))
            }
            (Phase::OpenSent { hold }, Input::Busy | Input::Tick) if now < hold => {
                Phase::OpenSent { hold }
            }
            (Phase::OpenConfirm(live), Input::Tick) if !live.is_silent(now) => {
                Phase::OpenConfirm(live.ticked(now, out))
            }
            (Phase::Established(live), Input::Tick) if !live.is_silent(now) => {
                Phase::Established(live.ticked(now, out))
            }
            (_, Input::Busy | Input::Tick) => {
                say(cease::hold_timer_expired(), out);
                down(DownReason::HoldTimerExpired, out)
            }
            (_, Input::SendHoldExpired) => {
                // RFC 9687 §3: the peer will hardly read it, but it may.
                say(cease::send_hold_timer_expired(), out);
                down(DownReason::SendHoldTimerExpired, out)
            }
            (_, Input::Closed) => down(DownReason::Closed, out),
            (_, Input::Restart) => down(DownReason::Restarting, out),
            (_, Input::Replaced) => down(DownReason::Replaced, out),
            (_, Input::PathDown) => down(DownReason::PathDown, out),
            (phase, Input::Cease(why, text)) => {
                say(phase.farewell(why, &text), out);
                down(DownReason::Ceased(why), out)
            }
            (_, Input::Message(Message::Notification(why))) => down(DownReason::Received(why), out),
            (_, Input::Malformed(error)) => fault(error.notification(), out),
            (phase, Input::Connected | Input::Premature | Input::Message(_)) => {
                fault(cease::fsm_error(phase.fsm_subcode()), out)
            }
        };
    }

    /// When to call [`Session::step`] with [`Input::Tick`], if nothing else comes before.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle => None,
            Phase::OpenSent { hold } => Some(*hold),
            Phase::OpenConfirm(live) | Phase::Established(live) => {
                live.hold.into_iter().chain(live.keepalive).min()
            }
        }
    }

    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Idle => State::Idle,
            Phase::OpenSent { .. } => State::OpenSent,
            Phase::OpenConfirm(_) => State::OpenConfirm,
            Phase::Established(_) => State::Established,
        }
    }

    /// What the OPENs agreed on, once the peer's was accepted.
    pub const fn agreement(&self) -> Option<&Arc<Agreement>> {
        match &self.phase {
            Phase::Idle | Phase::OpenSent { .. } => None,
            Phase::OpenConfirm(live) | Phase::Established(live) => Some(&live.agreement),
        }
    }

    /// What to read the peer's messages by.
    pub fn negotiated(&self) -> &Negotiated {
        self.agreement().map_or(&NOTHING, |agreement| &agreement.negotiated)
    }

    pub const fn config(&self) -> &SessionConfig {
        &self.config
    }
}

impl Phase {
    /// RFC 6608 §3.
    const fn fsm_subcode(&self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::OpenSent { .. } => 1,
            Self::OpenConfirm(_) => 2,
            Self::Established(_) => 3,
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

impl Live {
    fn new(agreement: Agreement, now: Instant) -> Self {
        let keepalive = agreement.hold_time.keepalive().map(|every| now + every);
        Self { agreement: Arc::new(agreement), hold: None, keepalive }.heard(now)
    }

    /// The peer lives: its hold time starts anew.
    fn heard(mut self, now: Instant) -> Self {
        self.hold = self.agreement.hold_time.silence().map(|hold| now + hold);
        self
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.hold.is_some_and(|hold| hold <= now)
    }

    /// Sends the KEEPALIVE that is due, if one is.
    fn ticked(mut self, now: Instant, out: &mut Vec<Action>) -> Self {
        if self.keepalive.is_some_and(|due| due <= now) {
            out.push(Action::Send(Message::Keepalive));
            self.keepalive = self.agreement.hold_time.keepalive().map(|every| now + every);
        }
        self
    }

    fn understands(&self, refresh: RouteRefresh) -> bool {
        let subtypes = if self.agreement.enhanced_route_refresh { 0..=2 } else { 0..=0 };
        subtypes.contains(&refresh.subtype)
            && self.agreement.negotiated.families.contains(&refresh.family)
    }
}

/// The peer made a mistake: tell it, and end.
fn fault(why: Notification, out: &mut Vec<Action>) -> Phase {
    say(why.clone(), out);
    down(DownReason::Sent(why), out)
}

fn say(why: Notification, out: &mut Vec<Action>) {
    out.push(Action::Send(Message::Notification(why)));
}

fn down(reason: DownReason, out: &mut Vec<Action>) -> Phase {
    out.push(Action::Down(reason));
    Phase::Idle
}
