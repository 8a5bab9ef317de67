//! Two sessions and a link between them, in virtual time.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::{Action, Input, Role, Session, SessionConfig};
use crate::{ControlPacket, State, Timing};

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn timing(interval: u64, multiplier: u8) -> Timing {
    Timing::new(millis(interval), multiplier).unwrap()
}

pub(super) fn config(discriminator: u32, timing: Timing) -> SessionConfig {
    SessionConfig {
        discriminator: NonZeroU32::new(discriminator).unwrap(),
        role: Role::Active,
        timing,
        seed: discriminator.into(),
    }
}

/// What one of the two did, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: Instant,
    /// 0 or 1.
    pub(super) who: usize,
    pub(super) action: Action,
}

pub(super) struct Link {
    pub(super) now: Instant,
    pub(super) sessions: [Session; 2],
    /// One way; in order, but for what is lost.
    pub(super) delay: Duration,
    pub(super) events: Vec<Event>,
    underway: BTreeMap<(Instant, u64), (usize, ControlPacket)>,
    sent: u64,
}

impl Link {
    pub(super) fn new(sessions: [SessionConfig; 2]) -> Self {
        let now = super::tests::start();
        Self {
            now,
            sessions: sessions.map(|config| Session::new(now, config)),
            delay: millis(1),
            events: Vec::new(),
            underway: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Two that are up, and have polled each other.
    pub(super) fn up(one: Timing, other: Timing) -> Self {
        let mut link = Self::new([config(1, one), config(2, other)]);
        link.run(Duration::from_mins(1), |_, _| true);
        assert_eq!(link.states(), [State::Up, State::Up]);
        link.events.clear();
        link
    }

    pub(super) fn states(&self) -> [State; 2] {
        self.sessions.each_ref().map(Session::state)
    }

    pub(super) fn step(
        &mut self,
        who: usize,
        input: Input,
        arrives: &mut impl FnMut(usize, u64) -> bool,
    ) {
        let mut actions = Vec::new();
        self.sessions[who].step(self.now, input, &mut actions);
        for action in actions {
            self.events.push(Event { at: self.now, who, action });
            if let Action::Send(packet) = action {
                self.sent += 1;
                if arrives(who, self.sent) {
                    // What goes over the link is octets.
                    let packet = ControlPacket::decode(&packet.encode()).unwrap();
                    self.underway.insert((self.now + self.delay, self.sent), (1 - who, packet));
                }
            }
        }
    }

    /// Lets time pass. `arrives` says of a packet (whose, which) whether the link carries it.
    pub(super) fn run(&mut self, time: Duration, mut arrives: impl FnMut(usize, u64) -> bool) {
        let end = self.now + time;
        loop {
            let arrival = self.underway.keys().next().map(|(at, _)| *at);
            let timers = self.sessions.each_ref().map(Session::deadline);
            let next = timers.into_iter().chain([arrival]).flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            assert!(next >= self.now || arrival != Some(next), "a packet of the past");
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, (to, packet)) = self.underway.pop_first().unwrap();
                self.step(to, Input::Packet(packet), &mut arrives);
            } else {
                let who = usize::from(timers[0] != Some(next));
                let before = self.events.len();
                self.step(who, Input::Tick, &mut arrives);
                let is_later = self.sessions[who].deadline().is_none_or(|at| at > self.now);
                assert!(
                    is_later || self.events.len() > before,
                    "a tick that does nothing comes again"
                );
            }
        }
        self.now = end;
    }

    /// What `who` has sent, and when.
    pub(super) fn sent_by(&self, who: usize) -> Vec<(Instant, ControlPacket)> {
        let of = |event: &Event| match event.action {
            Action::Send(packet) if event.who == who => Some((event.at, packet)),
            Action::Send(_) | Action::Left(_) => None,
        };
        self.events.iter().filter_map(of).collect()
    }
}
