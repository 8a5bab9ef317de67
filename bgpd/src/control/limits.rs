//! What shards say of a peer, and ends of sessions that we decide on.

use std::time::{Duration, Instant};

use arcus_config::PeerSpec;
use bgp_peer::Then;
use bgp_rib::{Input, Output, PeerIx};
use bgp_session::cease::Cease;
use tracing::warn;

use super::{Control, Ending};
use crate::shard_thread::ShardInput;
use crate::timers::Timer;

/// How long a peer stays down that has announced more than it may, unless its entry says.
const LIMIT_IDLE: Duration = Duration::from_mins(5);

/// How soon a session is told again that it ends, when it was too busy to hear it.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a peer stays down that has announced more than it may.
pub(super) fn idle_after_limit(spec: &PeerSpec) -> Duration {
    let seconds = spec.options.max_prefixes_restart;
    seconds.map_or(LIMIT_IDLE, |seconds| Duration::from_secs(seconds.into()))
}

impl Control {
    pub(super) fn shard_output(&mut self, output: &Output) {
        match *output {
            Output::Gone { peer } => self.peers.gone(peer),
            Output::LimitExceeded { peer, family, limit } => {
                let Some(entry) = self.peers.get_mut(peer) else { return };
                let idle = idle_after_limit(&entry.spec());
                warn!(
                    peer = %entry.address,
                    %family,
                    limit,
                    idle_seconds = idle.as_secs(),
                    "prefix limit exceeded, session ends"
                );
                let why = Cease::PrefixLimit { family, limit };
                self.end(peer, Ending { why, text: "", then: Then::Wait(idle) });
            }
            Output::LimitSuspected { peer, family } => {
                self.lanes.send_all(|| ShardInput::Rib(Input::CheckLimit { peer, family }));
            }
            Output::NextHopWanted { next_hop, wanted } => {
                self.outboxes.next_hops.want(next_hop, wanted);
            }
            Output::LimitNear { peer, family, routes, limit } => {
                let Some(entry) = self.peers.get_mut(peer) else { return };
                entry.limit_warnings += 1;
                warn!(peer = %entry.address, %family, routes, limit, "prefix limit is near");
            }
            Output::RefreshWanted { peer, family } => {
                if let Some(entry) = self.peers.get_mut(peer)
                    && entry.peer.refresh(family).is_err()
                {
                    warn!(peer = %entry.address, %family, "the session is busy and was not asked");
                }
            }
        }
    }

    /// Has a peer that was shut down connect again.
    pub(super) fn start(&mut self, peer: PeerIx) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        entry.unsaid = None;
        if entry.peer.start().is_err() {
            warn!(peer = %entry.address, "the session is busy and was not started; reload again");
        }
    }

    /// Ends the session of a peer, now or as soon as the peer can hear it.
    pub(super) fn end(&mut self, peer: PeerIx, ending: Ending) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let Ending { why, text, then } = ending;
        if entry.peer.cease(why, text, then).is_ok() {
            entry.unsaid = None;
            return;
        }
        entry.unsaid = Some(ending);
        let epoch = entry.epoch;
        self.timers.set(Instant::now() + AGAIN, peer, epoch, Timer::Unsaid);
    }
}
