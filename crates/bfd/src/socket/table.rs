//! The sessions of a driver: by number, by discriminator, by path, by deadline.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use super::config::{Door, PathConfig};
use super::engine::Engine;
use super::os::Transmitter;
use super::speaker::{Number, Wanted};
use crate::Authenticator;

/// A session that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) session: Engine,
    pub(super) signs: Authenticator,
    pub(super) transmitter: Transmitter,
    pub(super) wanted: Arc<Wanted>,
    /// Nobody wants it any more: it says so to its peer until then.
    pub(super) leaves_at: Option<Instant>,
}

impl Running {
    fn deadline(&self) -> Option<Instant> {
        [self.session.deadline(), self.leaves_at].into_iter().flatten().min()
    }
}

/// Who a packet without our discriminator is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Path {
    pub(super) door: Door,
    pub(super) remote: IpAddr,
}

impl Path {
    pub(super) fn of(config: &PathConfig) -> Self {
        Self { door: config.door(), remote: config.remote }
    }
}

#[derive(Debug, Default)]
pub(super) struct Table {
    sessions: BTreeMap<Number, Box<Running>>,
    by_discriminator: HashMap<u32, Number>,
    by_path: BTreeMap<Path, Number>,
    due: BTreeSet<(Instant, Number)>,
}

impl Table {
    /// A discriminator that no session has and nobody can guess, and a seed for what else is random.
    pub(super) fn draw(&self) -> (NonZeroU32, u64) {
        let random = RandomState::new();
        let mut attempt = 0u32;
        loop {
            let seed = random.hash_one(attempt);
            let [a, b, c, d, ..] = seed.to_be_bytes();
            let drawn = NonZeroU32::new(u32::from_be_bytes([a, b, c, d]));
            match drawn.filter(|drawn| !self.by_discriminator.contains_key(&drawn.get())) {
                Some(discriminator) => return (discriminator, random.hash_one(seed)),
                None => attempt = attempt.wrapping_add(1),
            }
        }
    }

    pub(super) fn insert(&mut self, number: Number, running: Running) {
        self.by_discriminator.insert(running.session.discriminator().get(), number);
        self.by_path.insert(Path::of(&running.wanted.config), number);
        if let Some(at) = running.deadline() {
            self.due.insert((at, number));
        }
        self.sessions.insert(number, Box::new(running));
    }

    pub(super) fn remove(&mut self, number: Number) -> Option<Box<Running>> {
        let running = self.sessions.remove(&number)?;
        self.by_discriminator.remove(&running.session.discriminator().get());
        self.by_path.remove(&Path::of(&running.wanted.config));
        if let Some(at) = running.deadline() {
            self.due.remove(&(at, number));
        }
        Some(running)
    }

    /// Changes a session and keeps its deadline in order.
    pub(super) fn with<T>(
        &mut self,
        number: Number,
        change: impl FnOnce(&mut Running) -> T,
    ) -> Option<T> {
        let running = self.sessions.get_mut(&number)?;
        let before = running.deadline();
        let result = change(running);
        let after = running.deadline();
        if before != after {
            if let Some(at) = before {
                self.due.remove(&(at, number));
            }
            if let Some(at) = after {
                self.due.insert((at, number));
            }
        }
        Some(result)
    }

    pub(super) fn get(&self, number: Number) -> Option<&Running> {
        self.sessions.get(&number).map(|running| &**running)
    }

    pub(super) fn numbers(&self) -> Vec<Number> {
        self.sessions.keys().copied().collect()
    }

    pub(super) fn at_path(&self, path: &Path) -> Option<Number> {
        self.by_path.get(path).copied()
    }

    /// The session of a packet (RFC 5880 §6.3): by our discriminator, and where the peer does not know it
    /// by the path. A discriminator counts only on the path that it was given to.
    pub(super) fn find(&self, your_discriminator: u32, path: &Path) -> Option<Number> {
        let at_path = self.at_path(path)?;
        if your_discriminator == 0 {
            return Some(at_path);
        }
        self.by_discriminator.get(&your_discriminator).copied().filter(|number| *number == at_path)
    }

    pub(super) fn uses(&self, door: &Door) -> bool {
        self.sessions.values().any(|running| running.wanted.config.door() == *door)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A session with a deadline that has come.
    pub(super) fn due(&self, now: Instant) -> Option<Number> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, number)| *number)
    }
}
