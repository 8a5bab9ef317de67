//! The law of a session's life: whatever comes in whatever order, it has one shape. Used by a test and by
//! a fuzz target.
//!
//! A script is octets: the first two say who we are, then come steps, each an octet that says what happens
//! and what it needs.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bgp_session::cease::Cease;
use bgp_session::{Action, DownReason, HoldTime, Input, Session, SessionConfig, State, negotiate};
use bgp_wire::capability::{AddPath, GracefulRestart, LongLived, Role};
use bgp_wire::{Afi, AfiSafi, Message, frame};

/// Plays the script, and says how many sessions came up.
///
/// # Panics
/// If the law is broken.
pub(crate) fn check(script: &[u8]) -> usize {
    let mut script = Script(script);
    let ours = config(script.octet(), 1);
    let choice = script.octet();
    let mut theirs = config(choice, 2);
    if choice & 1 == 1 {
        theirs.local_asn = ours.peer_asn;
    }
    let mut life = Life {
        now: start(),
        session: Session::new(ours),
        carried: Vec::new(),
        is_open: false,
        is_up: false,
        ups: 0,
        lives: 0,
        downs: 0,
    };
    life.input(Input::Connected);
    while !script.0.is_empty() {
        life.play(&mut script, &theirs);
    }
    life.input(Input::Closed);
    assert!(!life.is_open && life.downs == life.lives, "every life has an end");
    life.ups
}

/// Reads what a step needs; zero where the script has ended.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn octet(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn octets(&mut self) -> Vec<u8> {
        let length = usize::from(u16::from_be_bytes([self.octet(), self.octet()]));
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }
}

struct Life {
    now: Instant,
    session: Session,
    /// The beginning of a message.
    carried: Vec<u8>,
    is_open: bool,
    is_up: bool,
    ups: usize,
    lives: usize,
    downs: usize,
}

impl Life {
    fn play(&mut self, script: &mut Script<'_>, theirs: &SessionConfig) {
        match script.octet() % 16 {
            0 => self.input(Input::Connected),
            1 => self.input(Input::Closed),
            2 => self.input(Input::Untimely(2)),
            3 => self.input(Input::Restart),
            4 => self.input(Input::Replaced),
            5 => self.input(Input::PathDown),
            6 => self.input(Input::SendHoldExpired),
            7 => self.cease(script),
            8 => {
                // A driver wakes at the deadline, or later.
                self.now = self.now.max(self.session.deadline().unwrap_or(self.now));
                self.input(Input::Tick);
            }
            9 => {
                self.now += Duration::from_secs(script.octet().into());
                self.input(Input::Tick);
            }
            10 => {
                self.now += Duration::from_secs(script.octet().into());
                self.input(Input::Busy);
            }
            11 => self.now += Duration::from_millis(script.octet().into()),
            12 => self.say(&Message::Open(negotiate::open(theirs))),
            13 => self.say(&Message::Keepalive),
            14 => {
                // A message with a right header.
                let (kind, body) = (script.octet(), script.octets());
                let length = u16::try_from(frame::HEADER + body.len()).unwrap_or(u16::MAX);
                let message = [&[0xff; 16][..], &length.to_be_bytes(), &[kind], &body].concat();
                self.hear(&message);
            }
            _ => {
                let octets = script.octets();
                self.hear(&octets);
            }
        }
    }

    fn cease(&mut self, script: &mut Script<'_>) {
        let all = [
            Cease::PrefixLimit { family: AfiSafi::VPNV4, limit: 7 },
            Cease::AdministrativeShutdown,
            Cease::Deconfigured,
            Cease::AdministrativeReset,
            Cease::ConnectionRejected,
            Cease::ConfigurationChange,
            Cease::Collision,
            Cease::OutOfResources,
        ];
        let why = all[usize::from(script.octet()) % all.len()];
        let text = String::from_utf8_lossy(&script.octets()).into_owned();
        self.input(Input::Cease(why, text));
    }

    fn say(&mut self, message: &Message) {
        let mut octets = Vec::new();
        message.encode(self.session.negotiated(), &mut octets);
        self.hear(&octets);
    }

    /// Octets arrive, cut wherever: what the driver does with them.
    fn hear(&mut self, octets: &[u8]) {
        self.carried.extend(octets);
        while self.is_open {
            let negotiated = self.session.negotiated();
            let input = match frame::length(&self.carried, negotiated.max_message()) {
                Ok(Some(length)) if self.carried.len() >= length => {
                    let message: Vec<_> = self.carried.drain(..length).collect();
                    let is_up = self.session.state() == State::Established;
                    let kind = message[frame::HEADER - 1];
                    if (is_up && kind == 1) || (!is_up && matches!(kind, 2 | 5)) {
                        Input::Untimely(kind)
                    } else {
                        match Message::decode(&message, negotiated) {
                            Ok(message) => Input::Message(message),
                            Err(error) => Input::Malformed(error.notification_for(&message)),
                        }
                    }
                }
                Ok(_) => return,
                Err(error) => Input::Malformed(error.notification_for(&self.carried)),
            };
            self.input(input);
        }
    }

    fn input(&mut self, input: Input) {
        let is_clock = matches!(input, Input::Tick | Input::Busy);
        let mut out = Vec::new();
        self.session.step(self.now, input, &mut out);
        for (index, action) in out.iter().enumerate() {
            match action {
                Action::Send(message) => {
                    if matches!(message, Message::Open(_)) {
                        assert!(!self.is_open, "one OPEN in a life");
                        (self.is_open, self.lives) = (true, self.lives + 1);
                        self.carried.clear();
                    }
                    assert!(self.is_open, "nothing is said outside of a life");
                    self.can_be_read(message);
                }
                Action::Up(agreement) => {
                    assert!(self.is_open && !self.is_up, "up once in a life");
                    assert!(!agreement.negotiated.families.is_empty());
                    assert!(agreement.keepalive.is_none_or(|every| every.as_secs() >= 1));
                    (self.is_up, self.ups) = (true, self.ups + 1);
                }
                Action::Deliver(_) | Action::Refresh(_) => {
                    assert!(self.is_up, "only a session that is up hands over");
                }
                Action::Down(reason) => {
                    assert!(self.is_open && index + 1 == out.len(), "the end is the last action");
                    // A NOTIFICATION that is said is the last word.
                    let last_word = index.checked_sub(1).map(|before| &out[before]);
                    if let DownReason::Sent(told) = reason {
                        let said = Action::Send(Message::Notification(told.clone()));
                        assert_eq!(last_word, Some(&said));
                    }
                    (self.is_open, self.is_up, self.downs) = (false, false, self.downs + 1);
                }
            }
        }
        assert_eq!(self.session.state() == State::Established, self.is_up);
        assert_eq!(self.session.state() == State::Idle, !self.is_open);
        assert!(self.is_open || self.session.deadline().is_none());
        if is_clock {
            let is_ahead = |deadline| deadline > self.now;
            assert!(self.session.deadline().is_none_or(is_ahead), "no deadline is left behind");
        }
    }

    /// The other side can read what we say.
    fn can_be_read(&self, message: &Message) {
        let mut octets = Vec::new();
        message.encode(self.session.negotiated(), &mut octets);
        let again = Message::decode(&octets, self.session.negotiated());
        match message {
            // What has no room in its message is cut.
            Message::Notification(_) => assert!(matches!(again, Ok(Message::Notification(_)))),
            _ => assert_eq!(again.as_ref(), Ok(message)),
        }
    }
}

/// One of 256 speakers.
fn config(choice: u8, id: u8) -> SessionConfig {
    let bit = |index: u8| choice >> index & 1 == 1;
    let families = vec![AfiSafi::VPNV4, AfiSafi::RTC, AfiSafi::IPV4_UNICAST];
    let restart = GracefulRestart {
        restarted: bit(2),
        notification: bit(3),
        restart_time: 120,
        families: families.iter().map(|family| (*family, bit(4))).collect(),
    };
    let peer_asn = if bit(0) { 65_001 } else { 4_200_000_000 };
    let peer = families.iter().map(|family| LongLived {
        family: *family,
        forwarding: bit(4),
        stale_time: 3600,
    });
    SessionConfig {
        hold_time: HoldTime::try_from(if bit(5) { 0 } else { 9 }).unwrap_or_default(),
        keepalive: bit(4).then_some(Duration::from_secs(1)),
        add_path: if bit(3) {
            vec![AddPath { family: AfiSafi::VPNV4, receive: true, send: true }]
        } else {
            Vec::new()
        },
        extended_next_hop: vec![(AfiSafi::VPNV4, Afi::IPV6)],
        four_octet_as: bit(6),
        route_refresh: bit(7),
        enhanced_route_refresh: bit(7),
        extended_messages: bit(6),
        role: bit(7).then_some(Role::Peer),
        role_strict: bit(5),
        long_lived: peer.collect(),
        restart: bit(1).then_some(restart),
        host_name: bit(6).then(|| "ctl.lab".to_owned()),
        software_version: bit(6).then(|| "arcus".to_owned()),
        families,
        ..SessionConfig::external(65_001, Ipv4Addr::new(10, 0, 0, id), peer_asn)
    }
}

#[expect(clippy::disallowed_methods, reason = "an `Instant` can only be made from a clock")]
fn start() -> Instant {
    Instant::now()
}
