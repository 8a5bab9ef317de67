//! The peers of a shard, and all that reading a table needs to know about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bgp_wire::{AfiSafi, RtMembership};

use crate::interest::Interest;
use crate::peer::{InterestMode, MembershipsOut, PeerIx, PeerView};
use crate::policy::Reject;
use crate::reach::NextHops;
use crate::rewriting::Rewriting;
use crate::shard::ShardConfig;

/// A peer that is up, or whose routes are kept while it restarts.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) view: Arc<PeerView>,
    pub(crate) up: bool,
    pub(crate) blocked: bool,
    pub(crate) rejected: BTreeMap<Reject, u64>,
    /// Of memberships; as it was when the session came up.
    pub(crate) rewriting: Option<Arc<Rewriting>>,
}

impl Peer {
    /// How its interest is made. A mode that counts memberships means nothing to a peer that
    /// cannot send any.
    pub(crate) fn mode(&self) -> InterestMode {
        if self.view.speaks(AfiSafi::RTC) {
            return self.view.interest.clone();
        }
        match &self.view.interest {
            InterestMode::FromRtc => InterestMode::Everything,
            InterestMode::Both(targets) => InterestMode::Configured(Arc::clone(targets)),
            other => other.clone(),
        }
    }
}

/// What tables read and never change.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: ShardConfig,
    peers: Vec<Option<Peer>>,
    pub(crate) interest: Interest,
    /// Goes up whenever it may have changed who is told what.
    pub(crate) epoch: u64,
    blocked: usize,
    /// Peers that are up and are told memberships of others, ascending: few beside many agents.
    listeners: Vec<PeerIx>,
    /// How many peers we originate a membership to.
    pub(crate) originated: BTreeMap<RtMembership, u32>,
    pub(crate) next_hops: NextHops,
}

impl World {
    pub(crate) fn new(config: ShardConfig) -> Self {
        let interest = Interest::new(config.hash_seed);
        let (peers, originated) = (Vec::new(), BTreeMap::new());
        // Buckets start with epoch 0, which is never current.
        let next_hops = NextHops::new(config.hash_seed);
        let listeners = Vec::new();
        Self { config, peers, interest, epoch: 1, blocked: 0, listeners, originated, next_hops }
    }

    /// Every peer that is up, or whose routes are kept.
    pub(crate) fn known(&self) -> impl Iterator<Item = (PeerIx, &Peer)> {
        let numbered = (0..).map(PeerIx).zip(&self.peers);
        numbered.filter_map(|(number, peer)| Some((number, peer.as_ref()?)))
    }

    pub(crate) fn peer(&self, peer: PeerIx) -> Option<&Peer> {
        self.peers.get(peer.at())?.as_ref()
    }

    pub(crate) fn peer_mut(&mut self, peer: PeerIx) -> Option<&mut Peer> {
        self.peers.get_mut(peer.at())?.as_mut()
    }

    /// A peer with a session.
    pub(crate) fn up(&self, peer: PeerIx) -> Option<&Peer> {
        self.peer(peer).filter(|known| known.up)
    }

    /// How memberships of a peer and to it are rewritten, if that is what the family has.
    pub(crate) fn rewriting(&self, ix: PeerIx, family: AfiSafi) -> Option<&Arc<Rewriting>> {
        if family == AfiSafi::RTC { self.peer(ix)?.rewriting.as_ref() } else { None }
    }

    pub(crate) fn insert(&mut self, ix: PeerIx, peer: Peer) {
        self.remove(ix);
        if self.peers.len() <= ix.at() {
            self.peers.resize_with(ix.at() + 1, || None);
        }
        self.peers[ix.at()] = Some(peer);
        self.epoch += 1;
    }

    pub(crate) fn remove(&mut self, ix: PeerIx) -> Option<Peer> {
        self.unblock(ix);
        self.epoch += 1;
        self.peers.get_mut(ix.at())?.take()
    }

    pub(crate) fn listeners(&self) -> &[PeerIx] {
        &self.listeners
    }

    /// Looks again whether a peer is told memberships of others.
    pub(crate) fn note_listener(&mut self, ix: PeerIx) {
        let listens = self.up(ix).is_some_and(|peer| {
            peer.view.speaks(AfiSafi::RTC) && peer.view.memberships == MembershipsOut::Reflected
        });
        match (self.listeners.binary_search(&ix), listens) {
            (Err(at), true) => self.listeners.insert(at, ix),
            (Ok(at), false) => {
                self.listeners.remove(at);
            }
            _ => {}
        }
    }

    pub(crate) fn block(&mut self, ix: PeerIx) {
        if let Some(peer) = self.peer_mut(ix)
            && !peer.blocked
        {
            peer.blocked = true;
            self.blocked += 1;
        }
    }

    pub(crate) fn unblock(&mut self, ix: PeerIx) {
        if let Some(peer) = self.peer_mut(ix)
            && peer.blocked
        {
            peer.blocked = false;
            self.blocked -= 1;
        }
    }

    pub(crate) fn any_blocked(&self) -> bool {
        self.blocked > 0
    }

    /// Up, and its queue takes something.
    pub(crate) fn is_ready(&self, ix: PeerIx) -> bool {
        self.up(ix).is_some_and(|peer| !peer.blocked)
    }
}
