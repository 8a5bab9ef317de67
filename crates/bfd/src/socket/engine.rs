//! Either sort of session, as the driver sees it.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::config::{Mode, PathConfig};
use crate::{Action, Diag, EchoConfig, EchoSession, Input, Remote, Session, SessionConfig, State};

#[derive(Debug)]
pub(super) enum Engine {
    /// Both sides say that they are there.
    Control(Box<Session>),
    /// The peer sends back what it gets.
    Echo(EchoSession),
}

/// Calls the same function of either.
macro_rules! either {
    ($engine:expr, $session:ident => $call:expr) => {
        match $engine {
            Engine::Control($session) => $call,
            Engine::Echo($session) => $call,
        }
    };
}

impl Engine {
    pub(super) fn new(
        now: Instant,
        config: &PathConfig,
        discriminator: NonZeroU32,
        seed: u64,
    ) -> Self {
        let (role, timing) = (config.role, config.timing);
        match config.mode {
            Mode::SingleHop | Mode::MultiHop => {
                let config = SessionConfig { discriminator, role, timing, seed };
                Self::Control(Box::new(Session::new(now, config)))
            }
            Mode::Echo => {
                Self::Echo(EchoSession::new(now, EchoConfig { discriminator, timing, seed }))
            }
        }
    }

    pub(super) const fn state(&self) -> State {
        either!(self, session => session.state())
    }

    pub(super) const fn diag(&self) -> Diag {
        either!(self, session => session.diag())
    }

    pub(super) const fn discriminator(&self) -> NonZeroU32 {
        either!(self, session => session.discriminator())
    }

    pub(super) fn transmit_interval(&self) -> Duration {
        either!(self, session => session.transmit_interval())
    }

    pub(super) fn detection_time(&self) -> Option<Duration> {
        either!(self, session => session.detection_time())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        either!(self, session => session.deadline())
    }

    pub(super) fn step(&mut self, now: Instant, input: Input, out: &mut Vec<Action>) {
        either!(self, session => session.step(now, input, out));
    }

    /// The peer, while it has been heard; who only sends back says nothing of its own.
    pub(super) const fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Control(session) => session.remote(),
            Self::Echo(_) => None,
        }
    }

    /// Whether the peer's session outlives its control plane, where it has said so. What sends back our
    /// packets is what forwards those of others.
    pub(super) fn is_independent(&self) -> Option<bool> {
        match self {
            Self::Control(session) => session.remote().map(|remote| remote.independent),
            Self::Echo(_) => Some(true),
        }
    }
}
