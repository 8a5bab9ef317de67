//! How a peer is doing, for those who look at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use bgp_session::{DownReason, State};
use bgp_wire::ErrorAction;

use crate::event::Established;

/// The states of RFC 4271 §8.2.2, as a whole peer has them: the furthest of its connections counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerState {
    /// Stopped, or waiting before the next attempt.
    Idle,
    /// Waiting for the peer to connect.
    Active,
    /// Connecting.
    Connect,
    OpenSent,
    OpenConfirm,
    Established,
}

impl PeerState {
    /// As it is named in the API and in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Connect => "connect",
            Self::OpenSent => "open-sent",
            Self::OpenConfirm => "open-confirm",
            Self::Established => "established",
        }
    }
}

impl From<State> for PeerState {
    fn from(state: State) -> Self {
        match state {
            State::Idle => Self::Idle,
            State::Connect => Self::Connect,
            State::OpenSent => Self::OpenSent,
            State::OpenConfirm => Self::OpenConfirm,
            State::Established => Self::Established,
        }
    }
}

/// A snapshot of a peer.
#[derive(Debug, Clone)]
pub struct Status {
    pub state: PeerState,
    /// When `state` was entered.
    pub since: SystemTime,
    /// The session that is up.
    pub established: Option<Arc<Established>>,
    /// Why the last session or attempt ended, and when.
    pub last_down: Option<(DownReason, SystemTime)>,
    /// Sessions that came up.
    pub sessions: u64,
    /// Attempts that failed since a session was up.
    pub failures: u32,
}

impl Status {
    pub(crate) fn new() -> Self {
        Self {
            state: PeerState::Idle,
            since: SystemTime::now(),
            established: None,
            last_down: None,
            sessions: 0,
            failures: 0,
        }
    }
}

/// Messages of one direction, by type, and their octets.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    kinds: [AtomicU64; 6],
    octets: AtomicU64,
}

impl Direction {
    /// Counts `number` messages of the type (RFC 4271 §4.1).
    pub(crate) fn count(&self, kind: u8, number: u64, octets: usize) {
        if let Some(counter) = self.kinds.get(usize::from(kind)) {
            counter.fetch_add(number, Relaxed);
        }
        self.octets.fetch_add(octets as u64, Relaxed);
    }

    fn counts(&self) -> Counts {
        let [_, open, update, notification, keepalive, route_refresh] =
            self.kinds.each_ref().map(|counter| counter.load(Relaxed));
        let octets = self.octets.load(Relaxed);
        Counts { open, update, notification, keepalive, route_refresh, octets }
    }
}

/// What has gone over the wire since the peer was spawned, over all its sessions.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) received: Direction,
    pub(crate) sent: Direction,
    /// UPDATEs with faults that RFC 7606 lets pass.
    pub(crate) faulty: AtomicU64,
    /// Faults, by what was made of them.
    discards: AtomicU64,
    withdrawals: AtomicU64,
    disables: AtomicU64,
    resets: AtomicU64,
}

impl Counters {
    pub fn received(&self) -> Counts {
        self.received.counts()
    }

    pub fn sent(&self) -> Counts {
        self.sent.counts()
    }

    pub(crate) fn react(&self, action: ErrorAction) {
        let counter = match action {
            ErrorAction::AttributeDiscard => &self.discards,
            ErrorAction::TreatAsWithdraw => &self.withdrawals,
            ErrorAction::AfiSafiDisable => &self.disables,
            ErrorAction::SessionReset => &self.resets,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// What was made of the faults of UPDATEs.
    pub fn reactions(&self) -> Reactions {
        Reactions {
            attribute_discard: self.discards.load(Relaxed),
            treat_as_withdraw: self.withdrawals.load(Relaxed),
            afi_safi_disable: self.disables.load(Relaxed),
            session_reset: self.resets.load(Relaxed),
        }
    }

    /// UPDATEs that had faults and did not end the session (RFC 7606).
    pub fn faulty_updates(&self) -> u64 {
        self.faulty.load(Relaxed)
    }
}

/// Faults of UPDATEs by what was made of them (RFC 7606 §2); one UPDATE may have several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reactions {
    pub attribute_discard: u64,
    pub treat_as_withdraw: u64,
    pub afi_safi_disable: u64,
    pub session_reset: u64,
}

/// Messages by type, and octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub open: u64,
    pub update: u64,
    pub notification: u64,
    pub keepalive: u64,
    pub route_refresh: u64,
    /// Of all messages, headers included.
    pub octets: u64,
}
