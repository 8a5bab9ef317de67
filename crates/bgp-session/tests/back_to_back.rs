//! Two sessions talk to each other through a wire with a delay, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bgp_session::cease::Cease;
use bgp_session::{Action, DownReason, HoldTime, Input, Session, SessionConfig, State};
use bgp_wire::Message;

/// One side, what it was told to do, and whether its messages reach the other.
struct Side {
    session: Session,
    log: Vec<Action>,
    is_mute: bool,
}

/// Both sides and what is on the wire between them.
struct World {
    now: Instant,
    delay: Duration,
    sides: [Side; 2],
    /// (arrival, order, to whom); the message itself waits in `in_flight`.
    arrivals: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    in_flight: [VecDeque<Input>; 2],
    order: u64,
}

#[expect(clippy::disallowed_methods, reason = "an `Instant` can only be made from a clock")]
fn start() -> Instant {
    Instant::now()
}

impl World {
    fn new(hold: [u16; 2]) -> Self {
        let side = |last: u8, hold: u16| {
            let hold_time = HoldTime::try_from(hold).expect("a hold time");
            let config = SessionConfig::internal(64512, Ipv4Addr::new(10, 0, 0, last));
            let session = Session::new(SessionConfig { hold_time, ..config });
            Side { session, log: Vec::new(), is_mute: false }
        };
        let mut world = Self {
            now: start(),
            delay: Duration::from_millis(40),
            sides: [side(1, hold[0]), side(2, hold[1])],
            arrivals: BinaryHeap::new(),
            in_flight: [VecDeque::new(), VecDeque::new()],
            order: 0,
        };
        world.input(0, Input::Connected);
        world.input(1, Input::Connected);
        world
    }

    fn input(&mut self, to: usize, input: Input) {
        let mut actions = Vec::new();
        let other = 1 - to;
        let side = &mut self.sides[to];
        side.session.step(self.now, input, &mut actions);
        for action in &actions {
            let on_wire = match action {
                Action::Send(message) => Input::Message(message.clone()),
                Action::Down(_) => Input::Closed,
                _ => continue,
            };
            if !self.sides[to].is_mute {
                self.order += 1;
                self.arrivals.push(Reverse((self.now + self.delay, self.order, other)));
                self.in_flight[other].push_back(on_wire);
            }
        }
        self.sides[to].log.extend(actions);
    }

    /// Lets time pass, event by event.
    fn run(&mut self, how_long: Duration) {
        let end = self.now + how_long;
        loop {
            let deadline = |side: usize| self.sides[side].session.deadline().map(|at| (at, side));
            let tick = [deadline(0), deadline(1)].into_iter().flatten().min();
            let arrival = self.arrivals.peek().map(|Reverse((at, _, to))| (*at, *to));
            match (arrival, tick) {
                (Some((at, to)), tick) if at <= end && tick.is_none_or(|(due, _)| at <= due) => {
                    self.now = at;
                    self.arrivals.pop();
                    let input = self.in_flight[to].pop_front().expect("as many as arrivals");
                    self.input(to, input);
                }
                (_, Some((due, side))) if due <= end => {
                    self.now = due;
                    self.input(side, Input::Tick);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn states(&self) -> [State; 2] {
        [self.sides[0].session.state(), self.sides[1].session.state()]
    }

    fn ended(&self, side: usize) -> Option<&DownReason> {
        self.sides[side].log.iter().find_map(|action| match action {
            Action::Down(reason) => Some(reason),
            _ => None,
        })
    }

    fn keepalives(&self, side: usize) -> usize {
        let is_keepalive = |a: &&Action| matches!(a, Action::Send(Message::Keepalive));
        self.sides[side].log.iter().filter(is_keepalive).count()
    }
}

#[test]
fn two_sessions_come_up_and_stay_up() {
    let mut world = World::new([90, 30]);
    world.run(Duration::from_millis(100));
    assert_eq!(world.states(), [State::Established; 2]);
    world.run(Duration::from_hours(24));
    assert_eq!(world.states(), [State::Established; 2]);
    // The smaller hold time counts on both sides: one KEEPALIVE for the OPEN, then one every 10 s.
    for side in [0, 1] {
        assert_eq!(world.keepalives(side), 1 + 8640, "side {side}");
    }
}

#[test]
fn without_a_hold_time_both_are_silent_and_stay_up() {
    let mut world = World::new([90, 0]);
    world.run(Duration::from_hours(24));
    assert_eq!(world.states(), [State::Established; 2]);
    assert_eq!((world.keepalives(0), world.keepalives(1)), (1, 1));
}

#[test]
fn one_that_falls_silent_is_given_up_after_its_hold_time() {
    let mut world = World::new([9, 9]);
    world.run(Duration::from_secs(100));
    world.sides[1].is_mute = true;
    world.run(Duration::from_secs(9) + Duration::from_millis(100));
    assert_eq!(world.ended(0), Some(&DownReason::HoldTimerExpired));
    let Some(DownReason::Received(told)) = world.ended(1) else {
        panic!("the silent side was not told: {:?}", world.ended(1));
    };
    assert_eq!((told.code, told.subcode), (4, 0));
}

#[test]
fn both_know_why_it_ended() {
    let mut world = World::new([90, 90]);
    world.run(Duration::from_secs(1));
    world.input(0, Input::Cease(Cease::AdministrativeReset, "new policy".into()));
    world.run(Duration::from_secs(1));
    assert_eq!(world.ended(0), Some(&DownReason::Ceased(Cease::AdministrativeReset)));
    let Some(DownReason::Received(told)) = world.ended(1) else {
        panic!("not told: {:?}", world.ended(1));
    };
    assert_eq!(*told, Cease::AdministrativeReset.notification("new policy"));
}
