//! How a session is doing, for those who look at it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use super::engine::Engine;
use crate::{Diag, State};

/// A snapshot of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    /// Why the state is what it is.
    pub diag: Diag,
    /// When `state` was entered.
    pub since: SystemTime,
    /// What the peer said last; `None` when it was not heard for the detection time.
    pub remote: Option<RemoteStatus>,
    /// Time between two packets of ours, before jitter.
    pub transmit_interval: Duration,
    /// How long the peer may be silent; `None` while it is not heard.
    pub detection_time: Option<Duration>,
    /// How often it came up.
    pub ups: u64,
    /// How often it was up and then down, other than by an operator of either side. Counted, because
    /// a session that is down for a moment only would not be seen in `state`.
    pub failures: u64,
    /// By what the peer said last, its session outlives its control plane.
    pub peer_is_independent: bool,
    /// Why nothing can be sent or received.
    pub fault: Option<String>,
}

/// What the peer said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteStatus {
    pub state: State,
    pub diag: Diag,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            state: State::Down,
            diag: Diag::NONE,
            since: SystemTime::now(),
            remote: None,
            transmit_interval: Duration::ZERO,
            detection_time: None,
            ups: 0,
            failures: 0,
            peer_is_independent: false,
            fault: None,
        }
    }

    /// Takes over how the session is now; says whether that is news.
    pub(super) fn follow(&mut self, session: &Engine) -> bool {
        let remote =
            session.remote().map(|remote| RemoteStatus { state: remote.state, diag: remote.diag });
        let new = (session.state(), session.diag(), remote);
        let timing = (session.transmit_interval(), session.detection_time());
        if (self.state, self.diag, self.remote) == new
            && (self.transmit_interval, self.detection_time) == timing
            && self.fault.is_none()
        {
            return false;
        }
        if self.state != session.state() {
            self.since = SystemTime::now();
            self.ups += u64::from(session.state() == State::Up);
        }
        (self.state, self.diag, self.remote) = new;
        if let Some(is_independent) = session.is_independent() {
            self.peer_is_independent = is_independent;
        }
        (self.transmit_interval, self.detection_time) = timing;
        self.fault = None;
        true
    }
}

/// Packets of a session since it was started.
#[derive(Debug, Default)]
pub struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    not_sent: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Packets that the system did not take, as when there is no route.
    pub fn not_sent(&self) -> u64 {
        self.not_sent.load(Relaxed)
    }

    /// Packets that were not signed as they should be (RFC 5880 §6.7).
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(super) fn count_received(&self) {
        self.received.fetch_add(1, Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn count_sent(&self, was_sent: bool) {
        let counter = if was_sent { &self.sent } else { &self.not_sent };
        counter.fetch_add(1, Relaxed);
    }
}

/// Packets that belong to no session, since the start.
#[derive(Debug, Default)]
pub struct Drops {
    malformed: AtomicU64,
    far: AtomicU64,
    unknown: AtomicU64,
}

impl Drops {
    /// What RFC 5880 §6.8.6 says is to be dropped whoever it is for.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Relaxed)
    }

    /// Came over a router, where the peer is on the link (RFC 5881 §5).
    pub fn far(&self) -> u64 {
        self.far.load(Relaxed)
    }

    /// For a discriminator or from an address that no session has.
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Relaxed)
    }

    pub(super) fn count_malformed(&self) {
        self.malformed.fetch_add(1, Relaxed);
    }

    pub(super) fn count_far(&self) {
        self.far.fetch_add(1, Relaxed);
    }

    pub(super) fn count_unknown(&self) {
        self.unknown.fetch_add(1, Relaxed);
    }
}
