//! One shard: inputs in, batches and events out.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bgp_wire::{AfiSafi, Update};

use crate::arena::Sink;
use crate::peer::{PeerIx, PeerView};
use crate::query::{Answer, Query};

/// What a shard is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardConfig {
    /// Number of this shard, below `shards`. Shard 0 also reflects memberships.
    pub shard: u16,
    pub shards: u16,
    pub local_as: u32,
    pub router_id: Ipv4Addr,
    pub cluster_id: Ipv4Addr,
    /// Against peers that choose keys to make hashing slow; random in a daemon, fixed in a replay.
    pub hash_seed: u64,
}

/// All that can happen to a shard. Equal inputs in equal order give equal outputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A session is established. Of a peer that went down with retained families, the same number.
    PeerUp { peer: PeerIx, view: Arc<PeerView> },
    /// What a peer said, split by [`crate::ShardMap`]. An `end_of_rib` in one of them counts as
    /// [`Input::EndOfRib`].
    Updates { peer: PeerIx, updates: Vec<Update> },
    /// The peer has said all it had in this family (RFC 4724): what is still stale goes. Of RTC: its
    /// interest is complete, and it is told routes.
    EndOfRib { peer: PeerIx, family: AfiSafi },
    /// No End-of-RIB of RTC has come in time: go on with the interest known so far.
    RtcTimeout { peer: PeerIx },
    /// The peer wants all of a family again (RFC 2918).
    RouteRefresh { peer: PeerIx, family: AfiSafi },
    /// The queue of the peer, full before, has room.
    Drained { peer: PeerIx },
    /// The session has ended. Routes of `retained` families stay as stale ones (RFC 4724 §4.2), the
    /// others go.
    PeerDown { peer: PeerIx, retained: Vec<AfiSafi> },
    /// Time is up for what is still stale of this peer and family.
    StaleSweep { peer: PeerIx, family: AfiSafi },
    /// Nothing more will come of this peer: forget it. Answered by [`Output::Gone`].
    PeerGone { peer: PeerIx },
    /// Policy, interest or limits are different now. The peer is told what is new to it and is
    /// withdrawn what is gone. Kind, router id, addresses and what was negotiated stay as they are.
    PeerChanged { peer: PeerIx, view: Arc<PeerView> },
}

/// What the control task should know. Taken by [`Shard::take_outputs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// This shard holds nothing of the peer any more; its number may be used again.
    Gone { peer: PeerIx },
    /// More routes than [`PeerView::limits`] allows. Said once per session and family.
    LimitExceeded { peer: PeerIx, family: AfiSafi, limit: u32 },
    /// The import policy of the peer lets pass what was refused before, so it should be asked for
    /// its routes again (RFC 2918).
    RefreshWanted { peer: PeerIx, family: AfiSafi },
}

/// One shard of the tables.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    outputs: Vec<Output>,
}

impl Shard {
    pub fn new(config: ShardConfig) -> Self {
        Self { config, outputs: Vec::new() }
    }

    pub fn config(&self) -> &ShardConfig {
        &self.config
    }

    /// Takes one input. Inputs about a peer that is not up are ignored, but for `PeerGone`.
    pub fn handle(&mut self, input: Input) {
        drop(input);
    }

    /// Encodes and hands out what is owed to peers that are not blocked. Does a bounded amount of
    /// work: see [`Shard::has_work`].
    pub fn flush(&mut self, _sink: &mut impl Sink) {}

    /// Whether another [`Shard::flush`] would get further without another input.
    pub fn has_work(&self) -> bool {
        false
    }

    /// Events since the last call, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    pub fn query(&self, _query: &Query) -> Answer {
        Answer::NoSuchKey
    }
}
