//! Paths that are watched beside the sessions, and what their loss means.

use std::time::{Duration, Instant};

use bgp_rib::PeerIx;
use tracing::warn;

use super::Control;
use crate::paths::{PathLost, wanted};

/// How soon a session is told again that its path is lost, when it was too busy to hear it.
const AGAIN: Duration = Duration::from_millis(100);

impl Control {
    /// Makes what is watched of a peer's path follow its entry.
    pub(super) fn watch_path(&mut self, peer: PeerIx) {
        let identity = self.running.identity();
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let wanted = wanted(&identity, &entry.spec(), entry.address);
        let is_watched = match (&mut entry.path, &wanted) {
            (Some(path), Some(wanted)) => path.follow(wanted),
            (None, None) => true,
            _ => false,
        };
        if !is_watched {
            // The old one ends first: of two on one path only one runs.
            entry.path = None;
            entry.path = wanted.map(|wanted| self.outboxes.paths.watch(peer, wanted));
        }
    }

    /// The session over a path that is lost ends, and nothing of it is kept.
    pub(super) fn path_lost(&mut self, lost: PathLost) {
        let Some(entry) = self.peers.get_mut(lost.peer) else { return };
        if entry.address != lost.address {
            return;
        }
        warn!(peer = %entry.address, "path lost, session ends");
        if entry.peer.path_down().is_err() {
            self.outboxes.paths.tell_again(lost, AGAIN);
        }
        // Its BGP may just restart, and its BFD with it; what it forwards may not have noticed.
        if lost.is_independent && entry.session.is_none() && !entry.stale.is_empty() {
            // Nor are they the last choice of anybody (RFC 9494).
            entry.long_lived.clear();
            self.restart_is_over(lost.peer, Instant::now());
        }
    }
}
