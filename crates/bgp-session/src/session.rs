//! The life of one connection (RFC 4271 §8), from TCP up to the end.
//!
//! Connecting, retrying and choosing between two connections are the driver's: it has the sockets.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_wire::notification::{cease, fsm_error};
use bgp_wire::{Message, Negotiated, Notification, RouteRefresh, Update};

use crate::cease::Cease;
use crate::config::{HoldTime, SessionConfig};
use crate::down::DownReason;
use crate::jitter::Jitter;
use crate::negotiate::{self, Agreement, SHORTEST_KEEPALIVE};

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

/// A session whose OPEN was accepted.
#[derive(Debug)]
struct Live {
    agreement: Arc<Agreement>,
    hold: Option<Instant>,
    keepalive: Option<Instant>,
    jitter: Jitter,
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

impl Live {
    fn new(agreement: Agreement, now: Instant, jitter: Jitter) -> Self {
        let live = Self { agreement: Arc::new(agreement), hold: None, keepalive: None, jitter };
        live.owes_keepalive(now).keepalive_sent(now)
    }

    /// Even a peer that may be silent for ever owes us its first KEEPALIVE.
    fn owes_keepalive(mut self, now: Instant) -> Self {
        self.hold = Some(now + self.agreement.hold_time.silence().unwrap_or(OPEN_WAIT));
        self
    }

    /// Sends no KEEPALIVE until BFD is up, which may take the hold time, or else `longest`.
    fn awaiting(mut self, now: Instant, longest: Option<Duration>) -> Self {
        let wait = self.agreement.hold_time.silence().or(longest);
        (self.keepalive, self.hold) = (None, wait.map(|wait| now + wait));
        self
    }

    fn keepalive_sent(mut self, now: Instant) -> Self {
        let every = self.agreement.keepalive;
        self.keepalive = every.map(|every| now + self.jitter.apply(every, SHORTEST_KEEPALIVE));
        self
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
    fn ticked(self, now: Instant, out: &mut Vec<Action>) -> Self {
        if self.keepalive.is_some_and(|due| due <= now) {
            out.push(Action::Send(Message::Keepalive));
            return self.keepalive_sent(now);
        }
        self
    }

    fn understands(&self, refresh: RouteRefresh) -> bool {
        let subtypes = if self.agreement.enhanced_route_refresh { 0..=2 } else { 0..=0 };
        subtypes.contains(&refresh.subtype)
            && self.agreement.negotiated.families.contains(&refresh.family)
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bgp_wire::capability::GracefulRestart;
    use bgp_wire::{AfiSafi, Open, WireError};
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    #[expect(clippy::disallowed_methods, reason = "an `Instant` can only be made from a clock")]
    fn start() -> Instant {
        Instant::now()
    }

    fn peers_open(change: fn(&mut SessionConfig)) -> Input {
        let mut config = SessionConfig::internal(64512, PEER);
        change(&mut config);
        Input::Message(Message::Open(negotiate::open(&config)))
    }

    fn good_open() -> Input {
        peers_open(|_| {})
    }

    fn keepalive() -> Input {
        Input::Message(Message::Keepalive)
    }

    fn update() -> Update {
        Update {
            withdrawn: Vec::new(),
            announced: Vec::new(),
            attributes: Arc::default(),
            end_of_rib: Some(AfiSafi::VPNV4),
            faults: Vec::new(),
        }
    }

    /// Runs a session through `(seconds since start, input)` and returns all it asked for.
    fn play(config: SessionConfig, script: Vec<(u64, Input)>) -> (Session, Vec<Action>) {
        let start = start();
        let mut session = Session::new(config);
        let mut out = Vec::new();
        for (at, input) in script {
            session.step(start + Duration::from_secs(at), input, &mut out);
        }
        (session, out)
    }

    fn ours() -> SessionConfig {
        SessionConfig::internal(64512, US)
    }

    fn up_and(more: Vec<(u64, Input)>) -> Vec<(u64, Input)> {
        let up = [(0, Input::Connected), (0, good_open()), (0, keepalive())];
        up.into_iter().chain(more).collect()
    }

    /// draft-ietf-idr-bgp-bfd-strict-mode: what is between the OPENs and what comes of it.
    #[test]
    fn a_strict_session_comes_up_when_bfd_is_and_else_it_ends() {
        use DownReason::{HoldTimerExpired, PathDown};
        type Change = fn(&mut SessionConfig);
        let strict = |config: &mut SessionConfig| {
            config.bfd_strict = Some(Duration::from_secs(5));
        };
        let timeless = |config: &mut SessionConfig| {
            config.bfd_strict = Some(Duration::from_secs(5));
            config.hold_time = HoldTime::OFF;
        };
        let tick = |at| (at, Input::Tick);
        let up = |at| (at, Input::PathUp);
        // (what happens, theirs, ours, inputs, state, KEEPALIVEs of ours, why it ended)
        #[expect(clippy::type_complexity, reason = "a table")]
        let cases: Vec<(
            &str,
            Change,
            Change,
            Vec<(u64, Input)>,
            State,
            usize,
            Option<DownReason>,
        )> = vec![
            ("nothing", strict, strict, vec![tick(29), tick(89)], State::OpenSent, 0, None),
            ("BFD", strict, strict, vec![up(7)], State::OpenConfirm, 1, None),
            (
                "and the peer's word",
                strict,
                strict,
                vec![up(7), (7, keepalive())],
                State::Established,
                1,
                None,
            ),
            (
                "that came first",
                strict,
                strict,
                vec![(6, keepalive()), up(7)],
                State::Established,
                1,
                None,
            ),
            (
                "too late",
                strict,
                strict,
                vec![(6, keepalive()), tick(90)],
                State::Idle,
                0,
                Some(HoldTimerExpired),
            ),
            ("no hold time", timeless, strict, vec![tick(4)], State::OpenSent, 0, None),
            ("that is over", timeless, strict, vec![tick(5)], State::Idle, 0, Some(PathDown)),
            (
                "up and lost",
                strict,
                strict,
                vec![up(1), (2, Input::PathDown)],
                State::Idle,
                1,
                Some(PathDown),
            ),
            (
                "away again",
                strict,
                strict,
                vec![(1, Input::PathAway), tick(2)],
                State::OpenSent,
                0,
                None,
            ),
            ("only ours", |_| {}, strict, vec![(0, keepalive())], State::Established, 1, None),
            ("only theirs", strict, |_| {}, vec![(0, keepalive())], State::Established, 1, None),
            ("not strict", |_| {}, |_| {}, vec![(0, Input::PathDown)], State::OpenConfirm, 1, None),
        ];
        for (name, theirs, ours_is, inputs, state, keepalives, reason) in cases {
            let mut config = ours();
            ours_is(&mut config);
            let opened = vec![(0, Input::Connected), (0, peers_open(theirs))];
            let (session, out) = play(config, opened.into_iter().chain(inputs).collect());
            assert_eq!(session.state(), state, "{name}");
            let sent = out.iter().filter(|a| **a == Action::Send(Message::Keepalive)).count();
            assert_eq!(sent, keepalives, "{name}");
            let down = out.iter().find_map(|action| match action {
                Action::Down(reason) => Some(reason.clone()),
                _ => None,
            });
            assert_eq!(down, reason, "{name}");
        }
        let mut config = ours();
        strict(&mut config);
        let script = [Input::Connected, Input::PathUp, peers_open(strict), keepalive()];
        let (session, _) = play(config, script.into_iter().map(|input| (0, input)).collect());
        assert_eq!(session.state(), State::Established, "over a path that was up before");
    }

    fn bad_length() -> WireError {
        let header = [&[0xff; 16][..], &[0, 18, 4]].concat();
        bgp_wire::frame::length(&header, 4096).unwrap_err()
    }

    #[test]
    fn a_session_comes_up_after_open_and_keepalive() {
        let (session, out) = play(ours(), up_and(vec![]));
        assert_eq!(session.state(), State::Established);
        assert!(matches!(
            &out[..],
            [
                Action::Send(Message::Open(Open { router_id: US, .. })),
                Action::Send(Message::Keepalive),
                Action::Up(agreement),
            ] if agreement.peer.router_id == PEER
        ));
    }

    type Case = (&'static str, Vec<(u64, Input)>, DownReason, Option<Notification>);

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn how_sessions_end() {
        let sent = |code, subcode| DownReason::Sent(Notification::new(code, subcode));
        let hold = DownReason::HoldTimerExpired;
        let reset = || Notification::new(6, 4);
        let connected = |more: Vec<(u64, Input)>| {
            std::iter::once((0, Input::Connected)).chain(more).collect::<Vec<_>>()
        };
        // (what happens, script, the reason, the NOTIFICATION that is sent)
        let cases: Vec<Case> = vec![
            (
                "another AS",
                connected(vec![(0, peers_open(|c| c.local_asn = 65000))]),
                sent(2, 2),
                Some(Notification::new(2, 2)),
            ),
            (
                "our own identifier",
                connected(vec![(0, peers_open(|c| c.local_id = US))]),
                sent(2, 3),
                Some(Notification::new(2, 3)),
            ),
            (
                "no OPEN",
                connected(vec![(239, Input::Tick), (240, Input::Tick)]),
                hold.clone(),
                Some(Notification::new(4, 0)),
            ),
            (
                "no KEEPALIVE after the OPEN",
                connected(vec![(0, good_open()), (30, Input::Tick), (90, Input::Tick)]),
                hold.clone(),
                Some(Notification::new(4, 0)),
            ),
            (
                "silence",
                up_and(vec![(90, Input::Tick)]),
                hold.clone(),
                Some(Notification::new(4, 0)),
            ),
            (
                "silence after a sign of life",
                up_and(vec![(60, keepalive()), (149, Input::Tick), (150, Input::Tick)]),
                hold.clone(),
                Some(Notification::new(4, 0)),
            ),
            (
                "silence after we were busy",
                up_and(vec![(89, Input::Busy), (178, Input::Tick), (179, Input::Tick)]),
                hold,
                Some(Notification::new(4, 0)),
            ),
            (
                "KEEPALIVE before OPEN",
                connected(vec![(0, keepalive())]),
                DownReason::Sent(Notification::unexpected(1, 4)),
                Some(Notification::unexpected(1, 4)),
            ),
            (
                "UPDATE before KEEPALIVE",
                connected(vec![(0, good_open()), (0, Input::Untimely(2))]),
                DownReason::Sent(Notification::unexpected(2, 2)),
                Some(Notification::unexpected(2, 2)),
            ),
            (
                "second OPEN",
                up_and(vec![(1, Input::Untimely(1))]),
                DownReason::Sent(Notification::unexpected(3, 1)),
                Some(Notification::unexpected(3, 1)),
            ),
            (
                "NOTIFICATION",
                up_and(vec![(1, Input::Message(Message::Notification(reset())))]),
                DownReason::Received(reset()),
                None,
            ),
            (
                "octets that cannot be read",
                up_and(vec![(1, Input::Malformed(bad_length().notification()))]),
                DownReason::Sent(bad_length().notification()),
                Some(bad_length().notification()),
            ),
            ("hang-up", up_and(vec![(1, Input::Closed)]), DownReason::Closed, None),
            (
                "our restart",
                up_and(vec![(1, Input::Restart)]),
                DownReason::Restarting,
                Some(Notification::new(6, 2)),
            ),
            ("replaced", up_and(vec![(1, Input::Replaced)]), DownReason::Replaced, None),
            (
                "path down",
                up_and(vec![(1, Input::PathDown)]),
                DownReason::PathDown,
                Some(Notification::new(6, 10)),
            ),
            (
                "a peer that reads nothing",
                up_and(vec![(1, Input::SendHoldExpired)]),
                DownReason::SendHoldTimerExpired,
                Some(Notification::new(8, 0)),
            ),
            (
                "we end it",
                up_and(vec![(1, Input::Cease(Cease::Deconfigured, String::new()))]),
                DownReason::Ceased(Cease::Deconfigured),
                Some(Notification::new(6, 3)),
            ),
        ];
        for (name, script, reason, told) in cases {
            let (session, out) = play(ours(), script);
            assert_eq!(out.last(), Some(&Action::Down(reason)), "{name}");
            let said = out.iter().find_map(|action| match action {
                Action::Send(Message::Notification(said)) => Some(said.clone()),
                _ => None,
            });
            assert_eq!(said, told, "{name}");
            assert_eq!((session.state(), session.deadline()), (State::Idle, None), "{name}");
        }
    }

    #[test]
    fn keepalives_go_every_third_of_the_smaller_hold_time() {
        let config = SessionConfig { hold_time: HoldTime::try_from(9).unwrap(), ..ours() };
        let ticks = (1..=9).flat_map(|at| [(at, keepalive()), (at, Input::Tick)]).collect();
        let (session, out) = play(config, up_and(ticks));
        assert_eq!(session.state(), State::Established);
        let sent = out.iter().filter(|a| matches!(a, Action::Send(Message::Keepalive))).count();
        assert_eq!(sent, 1 + 3, "one for the OPEN, then at 3, 6 and 9 seconds");
    }

    #[test]
    fn without_a_hold_time_there_is_no_deadline() {
        let config = SessionConfig { hold_time: HoldTime::OFF, ..ours() };
        let (session, _) = play(config, up_and(vec![(1_000_000, Input::Tick)]));
        assert_eq!((session.state(), session.deadline()), (State::Established, None));
    }

    #[test]
    fn a_peer_that_sent_its_open_and_no_hold_time_is_not_awaited_for_ever() {
        let config = SessionConfig { hold_time: HoldTime::OFF, ..ours() };
        let (session, _) = play(config, vec![(0, Input::Connected), (0, good_open())]);
        assert!(session.deadline().is_some());
    }

    #[test]
    fn updates_are_handed_over_and_prove_life() {
        let said = Input::Message(Message::Update(update()));
        let (session, out) = play(ours(), up_and(vec![(80, said), (100, Input::Tick)]));
        assert_eq!(session.state(), State::Established);
        assert!(out.contains(&Action::Deliver(update())));
    }

    #[test]
    fn a_refresh_counts_only_where_it_was_agreed_on() {
        let refresh = |family, subtype| RouteRefresh { family, subtype };
        // (what the peer sends, whether it is handed over)
        for (sent, counts) in [
            (refresh(AfiSafi::VPNV4, 0), true),
            (refresh(AfiSafi::VPNV4, 1), true),
            (refresh(AfiSafi::RTC, 2), true),
            (refresh(AfiSafi::VPNV4, 3), false),
            (refresh(AfiSafi::EVPN, 0), false),
        ] {
            let input = Input::Message(Message::RouteRefresh(sent));
            let config = SessionConfig { enhanced_route_refresh: true, ..ours() };
            let open = peers_open(|config| config.enhanced_route_refresh = true);
            let up = vec![(0, Input::Connected), (0, open), (0, keepalive()), (1, input)];
            let (session, out) = play(config, up);
            assert_eq!(session.state(), State::Established, "{sent:?}");
            assert_eq!(out.contains(&Action::Refresh(sent)), counts, "{sent:?}");
        }
    }

    #[test]
    fn a_farewell_for_good_is_a_hard_reset_where_a_plain_one_would_keep_routes() {
        let mut config = ours();
        with_n_bit(&mut config);
        let script = vec![
            (0, Input::Connected),
            (0, peers_open(with_n_bit)),
            (0, keepalive()),
            (1, Input::Cease(Cease::AdministrativeShutdown, "bye".into())),
        ];
        let (_, out) = play(config, script);
        let said =
            Notification { code: 6, subcode: 9, data: Bytes::from_static(b"\x06\x02\x03bye") };
        assert!(out.contains(&Action::Send(Message::Notification(said))));
    }

    fn with_n_bit(config: &mut SessionConfig) {
        config.restart = Some(GracefulRestart { notification: true, ..GracefulRestart::default() });
    }

    #[test]
    fn a_restart_is_silent_where_the_peer_keeps_our_routes() {
        let mut config = ours();
        with_n_bit(&mut config);
        let script = vec![
            (0, Input::Connected),
            (0, peers_open(with_n_bit)),
            (0, keepalive()),
            (1, Input::Restart),
        ];
        let (_, out) = play(config, script);
        assert_eq!(out.last(), Some(&Action::Down(DownReason::Restarting)));
        assert!(!out.iter().any(|a| matches!(a, Action::Send(Message::Notification(_)))));
    }

    /// RFC 7313 §5: the error is one between speakers that have agreed on marks.
    #[test]
    fn a_mark_of_the_wrong_length_is_ignored_where_none_were_agreed_on() {
        let wrong = || Input::Malformed(Notification::new(Notification::ROUTE_REFRESH_ERROR, 1));
        let (session, _) = play(ours(), up_and(vec![(1, wrong())]));
        assert_eq!(session.state(), State::Established);
        let marks = |config: &mut SessionConfig| config.enhanced_route_refresh = true;
        let mut config = ours();
        marks(&mut config);
        let script =
            vec![(0, Input::Connected), (0, peers_open(marks)), (0, keepalive()), (1, wrong())];
        assert_eq!(play(config, script).0.state(), State::Idle);
    }

    fn any_input() -> impl Strategy<Value = Input> {
        prop_oneof![
            Just(()).prop_map(|()| Input::Connected),
            Just(()).prop_map(|()| good_open()),
            Just(()).prop_map(|()| peers_open(|c| c.local_asn = 1)),
            Just(()).prop_map(|()| keepalive()),
            Just(()).prop_map(|()| Input::Message(Message::Update(update()))),
            Just(()).prop_map(|()| Input::Tick),
            Just(()).prop_map(|()| Input::Busy),
            Just(()).prop_map(|()| Input::Closed),
            Just(()).prop_map(|()| Input::PathUp),
            Just(()).prop_map(|()| Input::PathAway),
            Just(()).prop_map(|()| peers_open(|c| c.bfd_strict = Some(Duration::from_secs(5)))),
            Just(()).prop_map(|()| Input::Untimely(2)),
            Just(()).prop_map(|()| Input::Cease(Cease::Collision, String::new())),
        ]
    }

    proptest! {
        /// Whatever comes in whatever order: up only once per life, down exactly at its end, routes only
        /// in between, and no deadline that has passed is left behind.
        #[test]
        fn a_life_has_one_shape(script in prop::collection::vec((0u64..60, any_input()), 0..40)) {
            let mut now = start();
            let config = SessionConfig { bfd_strict: Some(Duration::from_secs(5)), ..ours() };
            let mut session = Session::new(config);
            let (mut lives, mut is_up) = (false, false);
            for (wait, input) in script {
                now += Duration::from_secs(wait);
                let is_clock = matches!(input, Input::Tick | Input::Busy);
                let mut out = Vec::new();
                session.step(now, input, &mut out);
                for (index, action) in out.iter().enumerate() {
                    match action {
                        Action::Send(Message::Open(_)) => {
                            prop_assert!(!lives);
                            lives = true;
                        }
                        Action::Send(_) => prop_assert!(lives),
                        Action::Up(_) => {
                            prop_assert!(lives && !is_up);
                            is_up = true;
                        }
                        Action::Deliver(_) | Action::Refresh(_) => prop_assert!(is_up),
                        Action::Down(_) => {
                            prop_assert!(lives && index + 1 == out.len());
                            (lives, is_up) = (false, false);
                        }
                    }
                }
                prop_assert_eq!(session.state() == State::Established, is_up);
                prop_assert_eq!(session.state() == State::Idle, !lives);
                if is_clock {
                    prop_assert!(session.deadline().is_none_or(|deadline| deadline > now));
                }
            }
        }
    }
}
