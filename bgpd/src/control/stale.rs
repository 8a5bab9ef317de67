//! Routes that outlive their session, and how long (RFC 4724, RFC 9494); routes that are told again and
//! not told to the end (RFC 7313).

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use bgp_peer::Retained;
use bgp_rib::{Input, PeerIx};
use bgp_wire::AfiSafi;
use tracing::info;

use super::Control;
use super::sessions::END_OF_RIB_WAIT;
use crate::peer_table::{Entry, LongLived};
use crate::shard_thread::ShardInput;
use crate::timers::Timer;

impl Entry {
    /// Notes what is kept of a session that has ended. How long the last of it may be kept.
    pub(super) fn keep(&mut self, retained: Option<&Retained>) -> Option<Duration> {
        self.stale = retained.map(|retained| retained.families.clone()).unwrap_or_default();
        let long_lived = retained.map(|retained| &retained.long_lived[..]).unwrap_or_default();
        let before = std::mem::take(&mut self.long_lived);
        let begun = |family: &AfiSafi| before.get(family).copied().filter(|kept| kept.has_begun());
        self.long_lived = long_lived
            .iter()
            .map(|(family, time)| (*family, begun(family).unwrap_or(LongLived::For(*time))))
            .collect();
        let longest = long_lived.iter().map(|(_, time)| *time).max().unwrap_or_default();
        retained.map(|retained| retained.restart_time + longest)
    }
}

impl Control {
    /// The peer has not come back in its restart time, or came and has not told again what is still
    /// stale.
    pub(super) fn restart_is_over(&mut self, peer: PeerIx, now: Instant) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let is_away = entry.session.is_none();
        let mut stay = Vec::new();
        for family in std::mem::take(&mut entry.stale) {
            match entry.long_lived.get_mut(&family) {
                Some(long_lived) if is_away => {
                    let until = long_lived.until(now);
                    *long_lived = LongLived::Until(until);
                    info!(
                        peer = %entry.address,
                        %family,
                        kept_seconds = until.saturating_duration_since(now).as_secs(),
                        "routes kept over a restart are the last choice now"
                    );
                    stay.push(family);
                    self.lanes.send_all(|| ShardInput::Rib(Input::LongLived { peer, family }));
                }
                _ => {
                    info!(peer = %entry.address, %family, "routes kept over a restart go");
                    let sweep = || ShardInput::Rib(Input::StaleSweep { peer, family });
                    self.lanes.send_all(sweep);
                }
            }
        }
        entry.stale = stay;
        self.await_long_lived(peer);
    }

    /// The time of routes that are long-lived stale is over.
    pub(super) fn long_lived_is_over(&mut self, peer: PeerIx, now: Instant) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let is_over = |kept: &LongLived| matches!(kept, LongLived::Until(end) if *end <= now);
        let over: Vec<AfiSafi> = entry
            .long_lived
            .extract_if(.., |_, kept| is_over(kept))
            .map(|(family, _)| family)
            .collect();
        entry.stale.retain(|family| !over.contains(family));
        for family in over {
            info!(peer = %entry.address, %family, "routes kept over a restart go");
            self.lanes.send_all(|| ShardInput::Rib(Input::StaleSweep { peer, family }));
        }
        self.await_long_lived(peer);
    }

    pub(super) fn await_long_lived(&mut self, peer: PeerIx) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let ends = entry.long_lived.values().filter_map(|kept| match kept {
            LongLived::Until(end) => Some(*end),
            LongLived::For(_) => None,
        });
        if let Some(first) = ends.min() {
            let epoch = entry.epoch;
            self.timers.set(first, peer, epoch, Timer::LongLived);
        }
    }

    /// Looks for answers to our requests that have begun long ago: what the peer has not told again by
    /// now goes, as if it had marked the end. Looks again as long as the session is up.
    pub(super) fn refresh_is_late(&mut self, peer: PeerIx, now: Instant) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let late: Vec<AfiSafi> = {
            let mut begun = entry.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
            let is_late = |since: &Instant| now.duration_since(*since) >= END_OF_RIB_WAIT;
            begun.extract_if(.., |_, since| is_late(since)).map(|(family, _)| family).collect()
        };
        for family in late {
            info!(peer = %entry.address, %family, "routes that were not told again go");
            let begin = false;
            self.lanes.send_all(|| ShardInput::Rib(Input::RefreshMark { peer, family, begin }));
        }
        let epoch = entry.epoch;
        self.timers.set(now + END_OF_RIB_WAIT, peer, epoch, Timer::Refresh);
    }
}
