use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{EchoConfig, EchoSession};
use crate::{Action, ControlPacket, Diag, Input, State, Timing};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn timing(interval: u64, multiplier: u8) -> Timing {
    Timing::new(millis(interval), multiplier).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "an `Instant` can only be made from a clock")]
fn start() -> Instant {
    Instant::now()
}

/// A session and the way to a peer and back, in virtual time.
struct Lab {
    now: Instant,
    session: EchoSession,
    /// There and back.
    round_trip: Duration,
    underway: BTreeMap<(Instant, usize), ControlPacket>,
    sent: Vec<(Instant, ControlPacket)>,
    changes: Vec<(Instant, State)>,
}

impl Lab {
    fn new(timing: Timing) -> Self {
        let (now, discriminator) = (start(), NonZeroU32::new(7).unwrap());
        Self {
            now,
            session: EchoSession::new(now, EchoConfig { discriminator, timing, seed: 3 }),
            round_trip: millis(1),
            underway: BTreeMap::new(),
            sent: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// A session that is up, and has been for a while.
    fn up(timing: Timing) -> Self {
        let mut lab = Self::new(timing);
        lab.run(Duration::from_secs(20), |_| true);
        assert_eq!(lab.session.state(), State::Up);
        (lab.sent, lab.changes) = (Vec::new(), Vec::new());
        lab
    }

    fn step(&mut self, input: Input, comes_back: &mut impl FnMut(usize) -> bool) {
        let mut actions = Vec::new();
        self.session.step(self.now, input, &mut actions);
        for action in actions {
            match action {
                Action::Left(_) => self.changes.push((self.now, self.session.state())),
                Action::Send(packet) => {
                    let packet = ControlPacket::decode(&packet.encode()).unwrap();
                    self.sent.push((self.now, packet));
                    if comes_back(self.sent.len()) {
                        let at = (self.now + self.round_trip, self.sent.len());
                        self.underway.insert(at, packet);
                    }
                }
            }
        }
    }

    /// Lets time pass. `comes_back` says of the n-th packet whether the peer sends it back.
    fn run(&mut self, time: Duration, mut comes_back: impl FnMut(usize) -> bool) {
        let end = self.now + time;
        loop {
            let echo = self.underway.keys().next().map(|(at, _)| *at);
            let next = [self.session.deadline(), echo].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if echo == Some(next) {
                let (_, packet) = self.underway.pop_first().unwrap();
                self.step(Input::Packet(packet), &mut comes_back);
            } else {
                self.step(Input::Tick, &mut comes_back);
                assert!(
                    self.session.deadline().is_none_or(|at| at > self.now),
                    "a tick for nothing"
                );
            }
        }
        self.now = end;
    }
}

#[test]
fn three_echoes_in_a_row_bring_it_up_and_it_was_slow_until_then() {
    let mut lab = Lab::new(timing(300, 3));
    // The second one is lost, so the first proves nothing.
    lab.run(Duration::from_secs(10), |number| number != 2);
    let (up, state) = lab.changes[0];
    assert_eq!((lab.changes.len(), state), (1, State::Up));
    assert_eq!(up, lab.sent[4].0 + millis(1), "the echo of the fifth");
    for pair in lab.sent[..5].windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!(gap >= millis(750) && gap <= millis(1000), "{gap:?}");
    }
    for pair in lab.sent[5..].windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!(gap >= millis(225) && gap <= millis(300), "{gap:?}");
    }
    assert!(lab.sent[5].0 - up <= millis(300), "it hastens at once");
}

#[test]
fn a_peer_that_never_answers_changes_nothing() {
    let mut lab = Lab::new(timing(50, 3));
    lab.run(Duration::from_mins(10), |_| false);
    assert_eq!((lab.session.state(), lab.session.diag()), (State::Down, Diag::NONE));
    assert!(lab.changes.is_empty() && lab.sent.len() < 45, "{}", lab.sent.len());
    assert!(lab.session.underway.len() < 6, "what will not come back is forgotten");
}

#[test]
fn a_peer_that_answers_late_is_found_when_it_is_asked_next() {
    let mut lab = Lab::new(timing(300, 3));
    lab.run(Duration::from_mins(10), |_| false);
    let (asked, answers) = (lab.sent.len(), lab.now);
    lab.run(Duration::from_mins(1), |_| true);
    let [(up, State::Up)] = lab.changes[..] else { unreachable!("{:?}", lab.changes) };
    let first = lab.sent[asked].0;
    assert!(first - answers <= Duration::from_secs(32), "{:?}", first - answers);
    assert!(up - first <= millis(2010), "and then at the usual pace: {:?}", up - first);
}

#[test]
fn a_dead_peer_is_missed_the_detection_time_after_its_last_echo() {
    for (interval, multiplier) in [(300, 3), (50, 3), (10, 255), (300, 2), (1000, 5)] {
        let mut lab = Lab::up(timing(interval, multiplier));
        let (heard, _) = lab.session.heard.unwrap();
        let detection = millis(interval) * u32::from(multiplier);
        assert_eq!(lab.session.detection_time(), Some(detection));
        lab.run(detection * 2, |_| false);
        let want = [(heard + detection, State::Down)];
        assert_eq!(lab.changes, want, "{interval} ms x {multiplier}");
        assert_eq!(lab.session.diag(), Diag::ECHO_FAILED);
        lab.run(Duration::from_secs(4), |_| true);
        assert_eq!(lab.session.state(), State::Up, "and found again");
    }
}

#[test]
fn as_many_may_be_lost_in_a_row_as_the_multiplier_says_less_one() {
    let mut lab = Lab::up(timing(300, 3));
    lab.run(Duration::from_mins(1), |number| number % 3 == 0);
    assert_eq!(lab.changes, []);
}

#[test]
fn a_way_longer_than_the_detection_time_is_none_that_is_lost() {
    let mut lab = Lab::up(timing(10, 3));
    lab.run(millis(20), |_| true);
    lab.round_trip = millis(20);
    lab.run(Duration::from_secs(5), |_| true);
    assert_eq!(lab.changes, []);
    let mut far = Lab::new(timing(10, 3));
    far.round_trip = millis(400);
    far.run(Duration::from_mins(1), |_| true);
    assert_eq!(far.changes.len(), 1, "{:?}", far.changes);
}

#[test]
fn who_was_stopped_asks_again_before_it_takes_the_peer_for_dead() {
    let mut lab = Lab::up(timing(300, 3));
    lab.run(millis(10), |_| true);
    // No clock, no packet: the whole system slept.
    lab.now += Duration::from_secs(5);
    lab.underway.clear();
    let woken = lab.now;
    lab.run(Duration::from_secs(5), |_| true);
    assert_eq!(lab.changes, []);
    lab.now += Duration::from_secs(5);
    let slept = lab.now - woken;
    lab.run(Duration::from_secs(5), |_| false);
    let [(at, State::Down)] = lab.changes[..] else { unreachable!("{:?}", lab.changes) };
    assert!(at <= woken + slept + millis(900), "a dead one is missed all the same");
}

#[test]
fn what_is_not_ours_proves_nothing() {
    let mut lab = Lab::up(timing(300, 3));
    let (_, last) = {
        lab.run(millis(600), |_| true);
        *lab.sent.last().unwrap()
    };
    lab.run(millis(100), |_| false);
    let heard = lab.session.heard;
    let strange = [
        last,
        ControlPacket { your_discriminator: last.your_discriminator ^ 1, ..last },
        ControlPacket { my_discriminator: 8, ..last },
    ];
    for packet in strange {
        assert!(!lab.session.awaits(&packet), "{packet:?}");
        lab.step(Input::Packet(packet), &mut |_| false);
        assert_eq!(lab.session.heard, heard, "{packet:?}");
    }
}

#[test]
fn a_session_that_is_held_down_is_silent_and_comes_back() {
    let mut lab = Lab::up(timing(300, 3));
    lab.step(Input::Disable, &mut |_| true);
    lab.underway.clear();
    lab.run(Duration::from_mins(1), |_| true);
    assert_eq!((lab.session.state(), lab.sent.len()), (State::AdminDown, 0));
    lab.step(Input::Enable, &mut |_| true);
    lab.run(Duration::from_secs(4), |_| true);
    let states: Vec<_> = lab.changes.iter().map(|(_, state)| *state).collect();
    assert_eq!(states, [State::AdminDown, State::Down, State::Up]);
}

#[test]
fn another_timing_counts_at_once() {
    let mut lab = Lab::up(timing(10_000, 3));
    lab.step(Input::Timing(timing(50, 3)), &mut |_| true);
    let before = lab.sent.len();
    lab.run(Duration::from_secs(1), |_| true);
    assert!(lab.sent.len() - before >= 19, "{}", lab.sent.len() - before);
    assert_eq!(lab.session.detection_time(), Some(millis(150)));
    assert_eq!(lab.changes, []);
}

proptest! {
    /// Whatever is lost and however long the way is: it is down only when nothing came back for the
    /// detection time, and the clock is served.
    #[test]
    fn up_while_something_comes_back(
        lost in prop::collection::vec(any::<bool>(), 200),
        round_trip in 0u64..500,
        multiplier in 2u8..6,
    ) {
        let mut lab = Lab::new(timing(100, multiplier));
        lab.round_trip = millis(round_trip);
        let mut echoes = Vec::new();
        for _ in 0..600 {
            let before = lab.session.heard;
            lab.run(millis(25), |number| !lost[number % lost.len()]);
            if lab.session.heard != before {
                echoes.extend(lab.session.heard.map(|(heard, _)| heard));
            }
        }
        for (at, state) in &lab.changes {
            if *state == State::Down {
                // What comes back at that very moment was sent in it: the way may take no time.
                let silent = echoes.iter().filter(|heard| *heard < at).max();
                let silent = silent.map(|heard| *at - *heard);
                prop_assert!(silent.is_none_or(|t| t + millis(25) >= millis(100) * u32::from(multiplier)));
            }
        }
    }
}
