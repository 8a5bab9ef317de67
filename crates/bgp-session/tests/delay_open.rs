//! `DelayOpen` and the jitter of KEEPALIVEs (RFC 4271 §8.1.1, §8.2.2, §10), in time that is passed in.

#![allow(clippy::panic, clippy::unwrap_used, reason = "this is a test")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bgp_session::cease::Cease;
use bgp_session::{Action, DownReason, HoldTime, Input, Session, SessionConfig, State, negotiate};
use bgp_wire::{Message, Notification};

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const DELAY: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "an `Instant` can only be made from a clock")]
fn start() -> Instant {
    Instant::now()
}

fn ours() -> SessionConfig {
    SessionConfig { delay_open: Some(DELAY), ..SessionConfig::internal(64_512, US) }
}

fn open(asn: u32) -> Input {
    Input::Message(Message::Open(negotiate::open(&SessionConfig::internal(asn, PEER))))
}

/// What a session asks for, shortened to a letter each: O, K, N of messages, U up, D down.
fn letters(out: &[Action]) -> String {
    out.iter()
        .map(|action| match action {
            Action::Send(Message::Open(_)) => 'O',
            Action::Send(Message::Keepalive) => 'K',
            Action::Send(Message::Notification(_)) => 'N',
            Action::Up(_) => 'U',
            Action::Down(_) => 'D',
            _ => '?',
        })
        .collect()
}

/// What happens, seconds and inputs behind the connection, what is sent, the state.
type Case = (&'static str, Vec<(u64, Input)>, &'static str, State);

#[test]
fn our_open_waits_for_the_peers_or_for_its_time() {
    let keepalive = || Input::Message(Message::Keepalive);
    let cases: Vec<Case> = vec![
        ("nothing yet", vec![(9, Input::Tick)], "", State::Connect),
        ("§8.2.2 event 12, the timer", vec![(10, Input::Tick)], "O", State::OpenSent),
        ("nobody read meanwhile", vec![(10, Input::Busy)], "O", State::OpenSent),
        ("event 20, the peer's OPEN", vec![(3, open(64_512))], "OK", State::OpenConfirm),
        ("and its KEEPALIVE", vec![(3, open(64_512)), (3, keepalive())], "OKU", State::Established),
        ("event 22, an OPEN that is refused", vec![(3, open(1))], "ND", State::Idle),
        ("event 26, a KEEPALIVE", vec![(3, keepalive())], "ND", State::Idle),
        ("event 27, an UPDATE", vec![(3, Input::Untimely(2))], "ND", State::Idle),
        ("event 18, the connection fails", vec![(3, Input::Closed)], "D", State::Idle),
        (
            "event 2, we stop",
            vec![(3, Input::Cease(Cease::AdministrativeReset, String::new()))],
            "ND",
            State::Idle,
        ),
        (
            "event 25, a NOTIFICATION",
            vec![(3, Input::Message(Message::Notification(Notification::new(6, 4))))],
            "D",
            State::Idle,
        ),
    ];
    for (name, script, sent, state) in cases {
        let start = start();
        let mut session = Session::new(ours());
        let mut out = Vec::new();
        session.step(start, Input::Connected, &mut out);
        assert_eq!((session.state(), session.deadline()), (State::Connect, Some(start + DELAY)));
        for (at, input) in script {
            session.step(start + Duration::from_secs(at), input, &mut out);
        }
        assert_eq!((letters(&out).as_str(), session.state()), (sent, state), "{name}");
    }
}

#[test]
fn a_message_before_any_open_is_an_error_of_no_named_state() {
    let mut session = Session::new(ours());
    let mut out = Vec::new();
    session.step(start(), Input::Connected, &mut out);
    session.step(start(), Input::Untimely(2), &mut out);
    let Some(Action::Down(DownReason::Sent(why))) = out.last() else { panic!("{out:?}") };
    assert_eq!((why.code, why.subcode), (5, 0), "RFC 6608 has no subcode for Connect");
}

#[test]
fn keepalives_come_at_three_quarters_to_the_whole_of_their_time() {
    let (mut now, hold_time) = (start(), HoldTime::try_from(120).unwrap());
    let config = SessionConfig { hold_time, ..SessionConfig::internal(64_512, US) };
    let peer = SessionConfig { hold_time, ..SessionConfig::internal(64_512, PEER) };
    let mut session = Session::new(config).with_jitter(0x1234_5678_9abc_def0);
    let mut out = Vec::new();
    session.step(now, Input::Connected, &mut out);
    session.step(now, Input::Message(Message::Open(negotiate::open(&peer))), &mut out);
    let mut times = Vec::new();
    for _ in 0..50 {
        session.step(now, Input::Message(Message::Keepalive), &mut out);
        out.clear();
        let due = session.deadline().unwrap();
        times.push(due - now);
        now = due;
        session.step(now, Input::Tick, &mut out);
        assert_eq!(letters(&out), "K");
    }
    let (shortest, longest) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(
        *shortest >= Duration::from_secs(30) && *longest <= Duration::from_secs(40),
        "{times:?}"
    );
    assert!(*longest > *shortest + Duration::from_secs(5), "{times:?}");
}
