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
        ("silence", up_and(vec![(90, Input::Tick)]), hold.clone(), Some(Notification::new(4, 0))),
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
    let said = Notification { code: 6, subcode: 9, data: Bytes::from_static(b"\x06\x02\x03bye") };
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
