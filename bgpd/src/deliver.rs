//! From a session to the shards: divides what it heard, and waits where a shard has no room.

use std::collections::BTreeSet;
use std::sync::Arc;

use bgp_peer::{Deliver, Down, Established, Gone, PeerEvent, Writer};
use bgp_rib::{Input, PeerIx, ShardMap};
use bgp_wire::{AfiSafi, RouteRefresh, Update};
use tokio::sync::{mpsc, watch};

use crate::peering::{Identity, Terms, view};
use crate::shard_thread::ShardInput;

/// What the control task hears of a session.
#[derive(Debug)]
pub(crate) struct SessionEvent {
    pub(crate) peer: PeerIx,
    pub(crate) kind: SessionEventKind,
}

#[derive(Debug)]
pub(crate) enum SessionEventKind {
    /// Up, and the shards were told by the entry `told`.
    Up {
        session: Arc<Established>,
        told: Terms,
        queue: Writer,
    },
    EndOfRib(AfiSafi),
    Down(Down),
}

/// Where the events of one peer go.
pub(crate) struct ToShards {
    pub(crate) peer: PeerIx,
    pub(crate) identity: Identity,
    /// The entry of the topology; the newest counts when a session comes up.
    pub(crate) terms: watch::Receiver<Terms>,
    pub(crate) shards: Arc<[mpsc::Sender<ShardInput>]>,
    pub(crate) control: mpsc::Sender<SessionEvent>,
    pub(crate) map: ShardMap,
    /// Families kept from the session before.
    pub(crate) retained: Vec<AfiSafi>,
    /// Families of which the control task knows the End-of-RIB: a peer that repeats it all the time
    /// shall not keep the control task busy.
    pub(crate) ended: BTreeSet<AfiSafi>,
}

impl Deliver for ToShards {
    async fn deliver(&mut self, event: PeerEvent) -> Result<(), Gone> {
        match event {
            PeerEvent::Up(session, writer) => self.up(session, writer).await,
            PeerEvent::Updates(updates) => self.updates(updates).await,
            PeerEvent::Refresh(refresh) if refresh.subtype == RouteRefresh::REQUEST => {
                let (peer, family) = (self.peer, refresh.family);
                self.all(|| Input::RouteRefresh { peer, family }).await
            }
            PeerEvent::Refresh(refresh) => {
                let (peer, family) = (self.peer, refresh.family);
                let begin = refresh.subtype == RouteRefresh::BEGIN;
                self.all(|| Input::RefreshMark { peer, family, begin }).await
            }
            PeerEvent::Drained => {
                let peer = self.peer;
                self.all(|| Input::Drained { peer }).await
            }
            PeerEvent::Down(down) => self.down(down).await,
        }
    }
}

impl ToShards {
    async fn up(&mut self, session: Arc<Established>, writer: Writer) -> Result<(), Gone> {
        self.ended.clear();
        let terms = self.terms.borrow_and_update().clone();
        let view = Arc::new(view(&self.identity, &terms, &session));
        let number = session.epoch;
        for shard in self.shards.iter() {
            let (peer, view, writer) = (self.peer, Arc::clone(&view), writer.clone());
            shard
                .send(ShardInput::Up { peer, session: number, view, writer })
                .await
                .map_err(|_| Gone)?;
        }
        // RFC 4724 §4.2: a family whose forwarding state the peer has lost is not kept any longer.
        let forwarding = session.agreement.restart.as_ref().map_or(&[][..], |r| &r.forwarding);
        let peer = self.peer;
        for family in std::mem::take(&mut self.retained) {
            if !forwarding.contains(&family) {
                self.all(|| Input::StaleSweep { peer, family }).await?;
            }
        }
        self.tell(SessionEventKind::Up { session, told: terms, queue: writer }).await
    }

    async fn updates(&mut self, updates: Vec<Update>) -> Result<(), Gone> {
        let peer = self.peer;
        let ends: Vec<_> = updates.iter().filter_map(|update| update.end_of_rib).collect();
        if self.shards.len() == 1 {
            self.send(0, Input::Updates { peer, updates }).await?;
        } else {
            let mut parts: Vec<Vec<Update>> = vec![Vec::new(); self.shards.len()];
            for update in updates {
                self.map.split(update, |shard, part| {
                    if let Some(parts) = parts.get_mut(usize::from(shard)) {
                        parts.push(part);
                    }
                });
            }
            for (shard, updates) in parts.into_iter().enumerate() {
                if !updates.is_empty() {
                    self.send(shard, Input::Updates { peer, updates }).await?;
                }
            }
        }
        for family in
            ends.into_iter().filter(|family| self.ended.insert(*family)).collect::<Vec<_>>()
        {
            self.tell(SessionEventKind::EndOfRib(family)).await?;
        }
        Ok(())
    }

    async fn down(&mut self, down: Down) -> Result<(), Gone> {
        let peer = self.peer;
        self.retained = down.retained.as_ref().map(|r| r.families.clone()).unwrap_or_default();
        let retained = self.retained.clone();
        self.all(|| Input::PeerDown { peer, retained: retained.clone() }).await?;
        self.tell(SessionEventKind::Down(down)).await
    }

    async fn all(&self, input: impl Fn() -> Input) -> Result<(), Gone> {
        for shard in 0..self.shards.len() {
            self.send(shard, input()).await?;
        }
        Ok(())
    }

    async fn send(&self, shard: usize, input: Input) -> Result<(), Gone> {
        let Some(shard) = self.shards.get(shard) else { return Ok(()) };
        shard.send(ShardInput::Rib(input)).await.map_err(|_| Gone)
    }

    async fn tell(&self, kind: SessionEventKind) -> Result<(), Gone> {
        self.control.send(SessionEvent { peer: self.peer, kind }).await.map_err(|_| Gone)
    }
}
