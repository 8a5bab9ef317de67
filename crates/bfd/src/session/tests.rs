use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::virtual_link::{Event, Link, config, millis, timing};
use super::{Action, Input, Role, Session, SessionConfig};
use crate::{ControlPacket, Diag, State, Timing};

const ALWAYS: fn(usize, u64) -> bool = |_, _| true;
const NEVER: fn(usize, u64) -> bool = |_, _| false;

#[expect(clippy::disallowed_methods, reason = "an `Instant` can only be made from a clock")]
pub(super) fn start() -> Instant {
    Instant::now()
}

/// A peer played by hand, with 50 ms and three times.
fn packet(state: State) -> ControlPacket {
    ControlPacket {
        state,
        multiplier: 3,
        my_discriminator: 2,
        your_discriminator: 1,
        desired_min_tx: 50_000,
        required_min_rx: 50_000,
        ..ControlPacket::default()
    }
}

fn step(session: &mut Session, now: Instant, input: Input) -> Vec<Action> {
    let mut actions = Vec::new();
    session.step(now, input, &mut actions);
    actions
}

/// A session that is up with the peer played by hand, and has polled it.
fn up(config: SessionConfig) -> (Instant, Session) {
    let now = start();
    let mut session = Session::new(now, config);
    step(&mut session, now, Input::Tick);
    for packet in [
        packet(State::Down),
        packet(State::Init),
        ControlPacket { r#final: true, ..packet(State::Up) },
        packet(State::Up),
    ] {
        step(&mut session, now, Input::Packet(packet));
    }
    assert_eq!(session.state(), State::Up);
    (now, session)
}

/// RFC 5880 §6.8.6: from each state, what each received state makes of it.
#[test]
fn states_follow_the_table() {
    use State::{AdminDown, Down, Init, Up};
    let into = |state| {
        let now = start();
        let mut session = Session::new(now, config(1, timing(300, 3)));
        match state {
            AdminDown => drop(step(&mut session, now, Input::Disable)),
            Down => {}
            Init => drop(step(&mut session, now, Input::Packet(packet(Down)))),
            Up => drop(step(&mut session, now, Input::Packet(packet(Init)))),
        }
        assert_eq!(session.state(), state);
        (now, session)
    };
    for (from, [admin_down, down, init, up]) in [
        (AdminDown, [AdminDown, AdminDown, AdminDown, AdminDown]),
        (Down, [Down, Init, Up, Down]),
        (Init, [Down, Init, Up, Up]),
        (Up, [Down, Down, Up, Up]),
    ] {
        for (received, want) in [(AdminDown, admin_down), (Down, down), (Init, init), (Up, up)] {
            let (now, mut session) = into(from);
            let actions = step(&mut session, now, Input::Packet(packet(received)));
            assert_eq!(session.state(), want, "{from} hears {received}");
            assert_eq!(
                actions.contains(&Action::Left(from)),
                want != from,
                "{from} hears {received}"
            );
            if from == Up && want == Down {
                assert_eq!(session.diag(), Diag::NEIGHBOR_SIGNALED_DOWN);
            }
        }
    }
}

#[test]
fn two_are_up_within_one_exchange_and_send_by_the_slower_wish() {
    let mut link = Link::new([config(1, timing(50, 3)), config(2, timing(300, 5))]);
    link.run(millis(10), ALWAYS);
    assert_eq!(link.states(), [State::Up, State::Up]);
    link.run(Duration::from_secs(10), ALWAYS);
    for session in &link.sessions {
        assert_eq!(session.transmit_interval(), millis(300));
    }
    assert_eq!(link.sessions[0].detection_time(), Some(millis(1500)));
    assert_eq!(link.sessions[1].detection_time(), Some(millis(900)));
    assert!(
        link.sent_by(0).iter().any(|(_, packet)| packet.poll),
        "the end of the slow start is polled"
    );
    let (_, last) = link.sent_by(0).last().copied().unwrap();
    assert!(!last.poll && last.desired_min_tx == 50_000 && last.your_discriminator == 2);
}

#[test]
fn a_session_that_nobody_answers_sends_once_a_second() {
    let mut link = Link::new([config(1, timing(50, 3)), config(2, timing(50, 3))]);
    link.run(Duration::from_secs(100), NEVER);
    let sent = link.sent_by(0);
    for pair in sent.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!(gap >= millis(750) && gap <= millis(1000), "{gap:?}");
    }
    assert!(sent.iter().all(|(_, packet)| packet.desired_min_tx == 1_000_000 && !packet.poll));
}

#[test]
fn a_cut_is_seen_after_the_detection_time_to_the_microsecond() {
    for (interval, multiplier) in [(300, 3), (50, 3), (10, 1), (1000, 2)] {
        let mut link = Link::up(timing(interval, multiplier), timing(interval, multiplier));
        // What is underway arrives still.
        link.run(millis(1), NEVER);
        let heard = link.sessions.each_ref().map(|session| session.remote().unwrap().heard);
        let detection = millis(interval) * multiplier.into();
        link.run(detection, NEVER);
        for (who, heard) in heard.into_iter().enumerate() {
            let left_up = |e: &&_| matches!(e, Event { who: w, action: Action::Left(State::Up), .. } if *w == who);
            let down = link.events.iter().find(left_up).unwrap();
            assert_eq!(down.at, heard + detection);
            assert_eq!(link.sessions[who].diag(), Diag::DETECTION_TIME_EXPIRED);
            assert!(link.sessions[who].remote().is_none());
        }
    }
}

#[test]
fn a_session_that_went_down_says_so_at_once_and_to_nobody_in_particular() {
    let (now, mut session) = up(config(1, timing(50, 3)));
    let at = now + millis(150);
    let actions = step(&mut session, at, Input::Tick);
    let [Action::Left(State::Up), Action::Send(packet)] = actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((packet.state, packet.diag), (State::Down, Diag::DETECTION_TIME_EXPIRED));
    assert_eq!((packet.your_discriminator, packet.desired_min_tx), (0, 1_000_000));
}

#[test]
fn when_one_direction_fails_the_other_side_is_told() {
    let mut link = Link::up(timing(100, 3), timing(100, 3));
    link.run(millis(400), |who, _| who == 1);
    let left: Vec<_> = link.events.iter().filter(|e| e.action == Action::Left(State::Up)).collect();
    let [first, second] = left[..] else { panic!("{left:?}") };
    assert_eq!((first.who, second.who, second.at), (1, 0, first.at + link.delay));
    assert_eq!(link.sessions[1].diag(), Diag::DETECTION_TIME_EXPIRED);
    assert_eq!(link.sessions[0].diag(), Diag::NEIGHBOR_SIGNALED_DOWN);
}

#[test]
fn an_operator_holds_a_session_down_and_the_peer_knows_that_it_was_one() {
    let mut link = Link::up(timing(100, 3), timing(100, 3));
    link.step(0, Input::Disable, &mut |_, _| true);
    link.run(Duration::from_secs(20), ALWAYS);
    assert_eq!(link.states(), [State::AdminDown, State::Down]);
    assert_eq!(link.sessions[1].remote().unwrap().state, State::AdminDown);
    assert_eq!(link.sessions[1].remote().unwrap().diag, Diag::ADMINISTRATIVELY_DOWN);
    link.step(0, Input::Enable, &mut |_, _| true);
    link.run(Duration::from_secs(2), ALWAYS);
    assert_eq!(link.states(), [State::Up, State::Up]);
}

#[test]
fn a_passive_session_is_silent_until_it_is_spoken_to() {
    let passive = |number| SessionConfig { role: Role::Passive, ..config(number, timing(100, 3)) };
    let mut link = Link::new([passive(1), passive(2)]);
    link.run(Duration::from_secs(20), ALWAYS);
    assert_eq!(link.events, []);
    assert_eq!(link.sessions[0].deadline(), None);

    let mut link = Link::new([passive(1), config(2, timing(100, 3))]);
    link.run(Duration::from_secs(2), ALWAYS);
    assert_eq!(link.states(), [State::Up, State::Up]);
    link.run(Duration::from_secs(2), NEVER);
    link.events.clear();
    link.run(Duration::from_secs(20), NEVER);
    assert!(link.sent_by(0).is_empty() && !link.sent_by(1).is_empty());
    link.run(Duration::from_secs(2), ALWAYS);
    assert_eq!(link.states(), [State::Up, State::Up]);
}

#[test]
fn a_poll_is_answered_at_once_in_any_state_but_admin_down() {
    for state in [State::Down, State::Init, State::Up] {
        let (now, mut session) = up(config(1, timing(50, 3)));
        let poll = ControlPacket { poll: true, ..packet(state) };
        let actions = step(&mut session, now, Input::Packet(poll));
        let sent: Vec<_> = actions.iter().filter(|a| matches!(a, Action::Send(_))).collect();
        let [Action::Send(answer)] = sent[..] else { panic!("{state}: {actions:?}") };
        assert!(answer.r#final && !answer.poll);
        assert_eq!(answer.state, session.state(), "the answer tells the new state");
    }
    let (now, mut session) = up(config(1, timing(50, 3)));
    step(&mut session, now, Input::Disable);
    let poll = ControlPacket { poll: true, ..packet(State::Up) };
    assert_eq!(step(&mut session, now, Input::Packet(poll)), []);
}

#[test]
fn other_timing_is_polled_and_the_session_stays_up() {
    let mut link = Link::up(timing(50, 3), timing(50, 3));
    for interval in [400, 20] {
        link.step(0, Input::Timing(timing(interval, 3)), &mut |_, _| true);
        link.step(1, Input::Timing(timing(interval, 3)), &mut |_, _| true);
        link.run(Duration::from_secs(5), ALWAYS);
        assert_eq!(link.sessions[0].transmit_interval(), millis(interval));
        assert_eq!(link.sessions[1].detection_time(), Some(millis(interval) * 3));
    }
    assert!(!link.events.iter().any(|event| matches!(event.action, Action::Left(_))));
    assert!(link.sent_by(0).iter().any(|(_, packet)| packet.poll));
    assert!(link.sent_by(0).iter().all(|(_, packet)| !(packet.poll && packet.r#final)));
}

#[test]
fn we_go_on_at_the_old_pace_until_the_peer_knows_of_a_slower_one() {
    let (now, mut session) = up(config(1, timing(50, 3)));
    step(&mut session, now, Input::Timing(timing(500, 3)));
    assert_eq!(session.transmit_interval(), millis(50));
    assert_eq!(session.detection_time(), Some(millis(1500)));
    let at = session.deadline().unwrap();
    let asked = step(&mut session, at, Input::Tick);
    let [Action::Send(ControlPacket { poll: true, desired_min_tx: 500_000, .. })] = asked[..]
    else {
        panic!("{asked:?}")
    };
    let answer = ControlPacket { r#final: true, ..packet(State::Up) };
    step(&mut session, at, Input::Packet(answer));
    assert_eq!(session.transmit_interval(), millis(500));
}

#[test]
fn a_peer_in_demand_mode_is_not_sent_to_but_when_polled() {
    let (now, mut session) = up(config(1, timing(50, 3)));
    let quiet = |r#final| ControlPacket { demand: true, r#final, ..packet(State::Up) };
    step(&mut session, now, Input::Packet(quiet(false)));
    let silent_at = now + millis(150);
    assert_eq!(session.deadline(), Some(silent_at), "only its silence is waited for");
    step(&mut session, now, Input::Timing(timing(60, 3)));
    let at = session.deadline().unwrap();
    assert!(at < silent_at, "a change is told");
    let asked = step(&mut session, at, Input::Tick);
    assert!(matches!(asked[..], [Action::Send(ControlPacket { poll: true, .. })]), "{asked:?}");
    step(&mut session, at, Input::Packet(quiet(true)));
    assert_eq!(session.deadline(), Some(at + millis(180)));
}

#[test]
fn a_peer_that_can_take_nothing_gets_nothing_but_answers() {
    let (now, mut session) = up(config(1, timing(50, 3)));
    let full = ControlPacket { required_min_rx: 0, ..packet(State::Up) };
    step(&mut session, now, Input::Packet(full));
    assert_eq!(session.deadline(), Some(now + millis(150)));
    let answered = step(&mut session, now, Input::Packet(ControlPacket { poll: true, ..full }));
    assert!(matches!(answered[..], [Action::Send(ControlPacket { r#final: true, .. })]));
}

#[test]
fn a_peer_that_can_take_more_is_sent_to_at_once() {
    let (now, mut session) = up(config(1, timing(50, 3)));
    let slow = ControlPacket { required_min_rx: 10_000_000, ..packet(State::Up) };
    step(&mut session, now, Input::Packet(slow));
    assert!(session.next.unwrap().0 > now + millis(7000));
    let at = now + millis(100);
    step(&mut session, at, Input::Packet(packet(State::Up)));
    assert_eq!(session.next.unwrap().0, at + session.next.unwrap().0.duration_since(at));
    assert!(session.next.unwrap().0 <= at + millis(50));
}

#[test]
fn lateness_does_not_add_up() {
    let (start, mut session) = up(config(1, timing(1000, 3)));
    let slow = ControlPacket { desired_min_tx: 60_000_000, ..packet(State::Up) };
    step(&mut session, start, Input::Packet(slow));
    let mut sent = 0;
    let mut now = session.deadline().unwrap();
    while now < start + Duration::from_secs(100) {
        let actions = step(&mut session, now, Input::Tick);
        sent += actions.iter().filter(|action| matches!(action, Action::Send(_))).count();
        // Whoever drives it is 30 ms late each time.
        now = session.deadline().unwrap() + millis(30);
    }
    // 114 at 875 ms on average; 110 if each delay counted.
    assert!(sent >= 112, "{sent}");
}

#[test]
fn who_was_away_for_long_does_not_make_up_for_it() {
    let (start, mut session) = up(config(1, timing(1000, 3)));
    let patient = ControlPacket { desired_min_tx: 60_000_000, ..packet(State::Up) };
    step(&mut session, start, Input::Packet(patient));
    let now = start + Duration::from_secs(10);
    assert_eq!(step(&mut session, now, Input::Tick).len(), 1);
    assert_eq!(session.deadline(), Some(now + millis(750)));
}

fn any_timing() -> impl Strategy<Value = Timing> {
    (prop_oneof![10u64..100, 100u64..2000], 1u8..6).prop_map(|(i, m)| timing(i, m))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is lost, a session is up only with a peer that was heard within the detection time; a link
    /// that loses nothing any more brings both up and they stay up.
    #[test]
    fn two_always_find_each_other_again(
        one in any_timing(), other in any_timing(), delay in 0u64..20,
        losses in proptest::collection::vec(any::<bool>(), 1..200),
        changes in proptest::collection::vec((0usize..2, any_timing()), 0..4),
    ) {
        let mut link = Link::new([config(1, one), config(2, other)]);
        link.delay = millis(delay) / 10;
        let lost = |_: usize, number: u64| losses[usize::try_from(number).unwrap() % losses.len()];
        link.run(Duration::from_secs(20), lost);
        for (who, timing) in changes {
            link.step(who, Input::Timing(timing), &mut |who, number| lost(who, number));
            link.run(Duration::from_secs(3), lost);
        }
        for session in &link.sessions {
            if session.state() == State::Up {
                let remote = session.remote().expect("who is up has heard somebody");
                prop_assert!(link.now - remote.heard <= session.detection_time().unwrap());
            }
        }
        // The longest silence that may still be waited for, and the slow start after it.
        link.run(Duration::from_secs(20), ALWAYS);
        prop_assert_eq!(link.states(), [State::Up, State::Up]);
        link.events.clear();
        link.run(Duration::from_secs(20), ALWAYS);
        prop_assert!(!link.events.iter().any(|event| matches!(event.action, Action::Left(_))));
        let [one, other] = &link.sessions;
        prop_assert_eq!(one.transmit_interval(), other.transmit_interval());
    }

    /// Fewer packets lost in a row than the multiplier never end a session.
    #[test]
    fn losses_below_the_multiplier_are_survived(
        interval in 10u64..1000, multiplier in 2u8..6, seed in any::<u64>(),
    ) {
        let mut link = Link::up(timing(interval, multiplier), timing(interval, multiplier));
        let mut in_a_row = [0; 2];
        let mut random = seed | 1;
        link.run(millis(interval) * 200, |who, _| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // The last of the interval is for the way over the link.
            let lost = random.is_multiple_of(2) && in_a_row[who] + 2 <= u32::from(multiplier);
            in_a_row[who] = if lost { in_a_row[who] + 1 } else { 0 };
            !lost
        });
        prop_assert!(!link.events.iter().any(|event| matches!(event.action, Action::Left(_))));
    }

    /// Periodic packets are 75 to 100 % of the interval apart, 75 to 90 % where one loss ends the session.
    #[test]
    fn packets_come_at_the_agreed_pace(interval in 10u64..1000, multiplier in 1u8..4) {
        let mut link = Link::up(timing(interval, multiplier), timing(interval, multiplier));
        link.run(millis(interval) * 100, ALWAYS);
        let interval = millis(interval);
        let most = if multiplier == 1 { interval / 10 * 9 } else { interval };
        for who in [0, 1] {
            let sent = link.sent_by(who);
            prop_assert!(sent.len() >= 98);
            for pair in sent.windows(2) {
                let gap = pair[1].0 - pair[0].0;
                prop_assert!(gap >= interval / 4 * 3 && gap <= most, "{:?} of {:?}", gap, interval);
            }
        }
    }
}
