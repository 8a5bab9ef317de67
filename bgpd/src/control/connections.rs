//! Connections that others open: who they are, and whether there is room for them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcus_config::{PeerSpec, Remote};
use bgp_peer::{Incoming, PeerState};
use tracing::{info, warn};

use super::Control;
use crate::peer_table::Entry;
use crate::timers::Timer;

/// How long a peer from a prefix is remembered when it is away and nothing of it is kept.
pub(super) const FORGET: Duration = Duration::from_mins(2);

/// How long a peer that has just connected counts as there before its session says so.
const ARRIVING: Duration = Duration::from_secs(5);

/// How many peers of an entry are remembered while they are away, for each that may be there.
const REMEMBERED: usize = 2;

impl Control {
    pub(super) fn connection(&mut self, incoming: Incoming) {
        let remote = incoming.remote();
        if !self.may_connect(remote) {
            return incoming.refuse();
        }
        if let Some(entry) = self.peers.at(remote)
            && entry.peer.accept(incoming).is_err()
        {
            warn!(peer = %remote, "connection dropped, the session is busy");
        }
    }

    /// Whether the peer at this address may have a session; makes it a peer if it is none yet.
    fn may_connect(&mut self, remote: IpAddr) -> bool {
        match self.peers.at(remote) {
            Some(entry) if !entry.dynamic || is_there(entry) => true,
            // It comes back, and somebody else may have its place.
            Some(entry) => {
                let spec = entry.spec();
                self.has_room(&spec, remote)
            }
            None => self.accept(remote),
        }
    }

    /// Makes a peer for whoever connects from a prefix of the topology.
    fn accept(&mut self, remote: IpAddr) -> bool {
        let Some(spec) = self.by_prefix(remote) else {
            info!(peer = %remote, "connection refused, nobody of the topology has this address");
            return false;
        };
        if spec.is_shut_down() {
            info!(peer = %remote, name = %spec.name, "connection refused, it is shut down");
            return false;
        }
        if !self.has_room(&spec, remote) {
            return false;
        }
        let Some(number) = self.add(spec, remote, true) else { return false };
        self.timers.set(Instant::now() + FORGET, number, 0, Timer::Forget);
        true
    }

    /// The entry whose longest prefix holds an address.
    pub(super) fn by_prefix(&self, address: IpAddr) -> Option<Arc<PeerSpec>> {
        let all = self.running.others().peers.iter();
        all.filter(|spec| matches!(spec.remote, Remote::Prefixes(_)))
            .filter_map(|spec| Some((spec.remote.matches(address)?, spec)))
            .max_by_key(|(length, _)| *length)
            .map(|(_, spec)| Arc::clone(spec))
    }

    /// Whether one more peer of this entry may be there.
    fn has_room(&mut self, spec: &PeerSpec, remote: IpAddr) -> bool {
        let Some(limit) = spec.role.limit() else { return true };
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let same = || self.peers.iter().filter(|(_, e)| e.dynamic && e.spec().name == spec.name);
        let there = same().filter(|(_, e)| e.address != remote && is_there(e)).count();
        if there >= most {
            warn!(peer = %remote, name = %spec.name, limit, "connection refused, it has its most peers");
            return false;
        }
        // Those that are away are remembered, but not without bound: addresses cost nothing.
        if same().count() > most.saturating_mul(REMEMBERED) {
            let away = same().filter(|(_, e)| e.address != remote && e.may_be_forgotten());
            let Some((number, _)) = away.min_by_key(|(_, e)| e.last_seen) else {
                warn!(peer = %remote, name = %spec.name, limit, "connection refused, it has its most peers");
                return false;
            };
            self.remove(number);
        }
        true
    }
}

/// Whether it has a connection, or has just opened one.
fn is_there(entry: &Entry) -> bool {
    let has_connection = matches!(
        entry.peer.status().state,
        // A peer from a prefix is never connected to: with `delay-open` its own connection is in this state.
        PeerState::Connect | PeerState::OpenSent | PeerState::OpenConfirm | PeerState::Established
    );
    let is_new = entry.epoch == 0 && entry.last_seen.elapsed() < ARRIVING;
    has_connection || entry.session.is_some() || is_new
}
