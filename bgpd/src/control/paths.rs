//! Paths that are watched beside the sessions, and what their loss means.

use std::time::{Duration, Instant};

use arcus_config::PeerRole;
use bgp_rib::PeerIx;
use tracing::warn;

use super::Control;
use crate::paths::{Path, PathNews, wanted};

/// How soon a session is told again that its path is lost, when it was too busy to hear it.
const AGAIN: Duration = Duration::from_millis(100);

impl Control {
    /// Makes what is watched of a peer's path follow its entry.
    pub(super) fn watch_path(&mut self, peer: PeerIx) {
        let identity = self.running.identity();
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let spec = entry.spec();
        let key = self.running.secrets().path(&spec);
        // A node is watched from its first session on; before, nothing depends on it.
        let is_known = entry.session.is_some() || entry.path.is_some();
        let is_watchable = is_known || !matches!(spec.role, PeerRole::Nodes { .. });
        let wanted = wanted(&identity, &spec, entry.address, key).filter(|_| is_watchable);
        let is_watched = match (&mut entry.path, &wanted) {
            (Some(path), Some(wanted)) => path.follow(wanted),
            (None, None) => true,
            _ => false,
        };
        if !is_watched {
            // The old one ends first: of two on one path only one runs.
            entry.path = None;
            entry.path = wanted.map(|wanted| self.outboxes.paths.watch(peer, wanted));
            // What was known of the old one says nothing of the new one.
            let address = entry.address;
            self.path_news(PathNews { peer, address, now: Path::Away });
        }
    }

    /// The session over a path that is lost ends, and nothing of it is kept. One that waits for the path
    /// comes up when that is.
    pub(super) fn path_news(&mut self, news: PathNews) {
        let Some(entry) = self.peers.get_mut(news.peer) else { return };
        if entry.address != news.address {
            return;
        }
        let told = match news.now {
            Path::Up => entry.peer.path_up(),
            Path::Away => entry.peer.path_away(),
            Path::Lost { is_independent } => return self.path_lost(news, is_independent),
        };
        if told.is_err() {
            self.outboxes.paths.tell_again(news, AGAIN);
        }
    }

    fn path_lost(&mut self, news: PathNews, is_independent: bool) {
        let Some(entry) = self.peers.get_mut(news.peer) else { return };
        warn!(peer = %entry.address, "path lost, session ends");
        entry.lost_in = entry.session.is_some().then_some(entry.epoch);
        if entry.peer.path_down().is_err() {
            self.outboxes.paths.tell_again(news, AGAIN);
        }
        // Its BGP may just restart, and its BFD with it; what it forwards may not have noticed.
        if is_independent && entry.session.is_none() && !entry.stale.is_empty() {
            self.keep_nothing(news.peer, Instant::now());
        }
    }

    /// What is kept of a peer that is away goes, and is the last choice of nobody (RFC 9494) either.
    pub(super) fn keep_nothing(&mut self, peer: PeerIx, now: Instant) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.long_lived.clear();
            self.restart_is_over(peer, now);
        }
    }
}
