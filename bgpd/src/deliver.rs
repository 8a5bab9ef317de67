//! From a session to the shards: divides what it heard, and waits where a shard has no room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bgp_peer::{Deliver, Down, Established, Gone, PeerEvent, Retained, Writer};
use bgp_rib::{Input, PeerIx, ShardMap, Totals};
use bgp_session::DownReason;
use bgp_wire::{AfiSafi, RouteRefresh, Update, Withdrawals};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

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
        /// Where the shards count its routes.
        totals: Totals,
        queue: Writer,
        /// Families of which routes of the session before are still kept.
        stale: Vec<AfiSafi>,
    },
    EndOfRib(AfiSafi),
    /// What the peer sends in this family cannot be read, and is not read any more (RFC 7606 §2).
    Disabled(AfiSafi),
    /// The peer tells routes again, for the first time in its session.
    Refreshing,
    Down(Down),
}

/// Routes and messages that may wait for a shard: what it does in some tens of milliseconds, so that
/// memory holds tables and not what is on its way into them.
const ROOM: u32 = 64 * 1024;

/// The room before each shard.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<[Arc<Semaphore>]>);

impl Room {
    pub(crate) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| Arc::new(Semaphore::new(ROOM as usize))).collect())
    }

    /// Waits for room for `updates`, which they have until the permit is dropped. `None` never comes,
    /// unless the shard does not exist.
    async fn take(&self, shard: usize, updates: &[Update]) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(self.0.get(shard)?);
        let routes = updates.iter().map(|update| {
            let announced: usize = update.announced.iter().map(|(_, routes)| routes.len()).sum();
            let withdrawn: usize = update.withdrawn.iter().map(Withdrawals::len).sum();
            1 + announced + withdrawn
        });
        let weight = u32::try_from(routes.sum::<usize>()).unwrap_or(ROOM).min(ROOM);
        room.acquire_many_owned(weight).await.ok()
    }
}

/// Where the events of one peer go.
pub(crate) struct ToShards {
    pub(crate) peer: PeerIx,
    pub(crate) identity: Identity,
    /// The entry of the topology; the newest counts when a session comes up.
    pub(crate) terms: watch::Receiver<Terms>,
    pub(crate) shards: Arc<[mpsc::Sender<ShardInput>]>,
    pub(crate) room: Room,
    pub(crate) control: mpsc::Sender<SessionEvent>,
    pub(crate) map: ShardMap,
    /// Kept from the session before.
    pub(crate) retained: Option<Kept>,
    /// Answers of the peer to our requests that have begun and not ended (RFC 7313), since when.
    pub(crate) refreshing: Refreshing,
    /// Families of which the control task knows the End-of-RIB: a peer that repeats it all the time
    /// shall not keep the control task busy.
    pub(crate) ended: BTreeSet<AfiSafi>,
    /// Whether both sides of this session mark their answers to requests (RFC 7313).
    pub(crate) marks_refreshes: bool,
    /// Whether the control task has not heard yet that such an answer began in this session.
    pub(crate) first_refresh: bool,
}

/// Routes that outlive a session.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) families: Vec<AfiSafi>,
    /// From then on they are long-lived stale, if they are kept at all (RFC 9494).
    pub(crate) restart_ends: Instant,
}

impl Kept {
    /// Whether routes of a family stay now that the peer is back: not when it has lost its forwarding
    /// state meanwhile (RFC 4724 §4.2, RFC 9494 §4.3).
    fn outlives(&self, session: &Established, family: AfiSafi) -> bool {
        let agreement = &session.agreement;
        if Instant::now() < self.restart_ends {
            return agreement.restart.as_ref().is_some_and(|r| r.forwarding.contains(&family));
        }
        agreement.long_lived.iter().any(|entry| entry.family == family && entry.forwarding)
    }
}

/// When the peer began to tell its routes of a family again, shared with the control task, which does
/// not wait for the end for ever (RFC 7313 §4).
pub(crate) type Refreshing = Arc<Mutex<BTreeMap<AfiSafi, Instant>>>;

impl Deliver for ToShards {
    async fn deliver(&mut self, event: PeerEvent) -> Result<(), Gone> {
        match event {
            PeerEvent::Up(session, writer) => self.up(session, writer).await,
            PeerEvent::Updates(updates) => self.updates(updates).await,
            PeerEvent::Refresh(refresh) => self.refresh(refresh).await,
            PeerEvent::Drained => {
                let peer = self.peer;
                self.all(|| Input::Drained { peer }).await
            }
            PeerEvent::Disabled(family) => self.disabled(family).await,
            PeerEvent::Down(down) => self.down(down).await,
        }
    }
}

impl ToShards {
    async fn up(&mut self, session: Arc<Established>, writer: Writer) -> Result<(), Gone> {
        self.ended.clear();
        self.first_refresh = true;
        let terms = self.terms.borrow_and_update().clone();
        let totals = Totals::default();
        let view = Arc::new(view(&self.identity, &terms, &session, &totals));
        let number = session.epoch;
        for shard in self.shards.iter() {
            let (peer, view, writer) = (self.peer, Arc::clone(&view), writer.clone());
            shard
                .send(ShardInput::Up { peer, session: number, view, writer })
                .await
                .map_err(|_| Gone)?;
        }
        let peer = self.peer;
        let (mut stale, mut lost) = (Vec::new(), Vec::new());
        if let Some(kept) = self.retained.take() {
            (stale, lost) =
                kept.families.iter().partition(|family| kept.outlives(&session, **family));
        }
        for family in lost {
            self.all(|| Input::StaleSweep { peer, family }).await?;
        }
        self.marks_refreshes = session.agreement.enhanced_route_refresh;
        let told = terms;
        self.tell(SessionEventKind::Up { session, told, totals, queue: writer, stale }).await
    }

    /// A request for our routes, or a mark around the peer's answer to one of ours.
    async fn refresh(&mut self, refresh: RouteRefresh) -> Result<(), Gone> {
        let (peer, family) = (self.peer, refresh.family);
        let begin = match refresh.subtype {
            RouteRefresh::REQUEST => {
                return self.all(|| Input::RouteRefresh { peer, family }).await;
            }
            RouteRefresh::BEGIN => true,
            RouteRefresh::END => false,
            _ => return Ok(()),
        };
        if !self.marks_refreshes {
            return Ok(());
        }
        {
            let mut refreshing = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
            match begin {
                true => drop(refreshing.insert(family, Instant::now())),
                false if refreshing.remove(&family).is_some() => {}
                // It ends what has not begun, or took too long.
                false => return Ok(()),
            }
        }
        self.all(|| Input::RefreshMark { peer, family, begin }).await?;
        if begin && std::mem::take(&mut self.first_refresh) {
            self.tell(SessionEventKind::Refreshing).await?;
        }
        Ok(())
    }

    async fn updates(&mut self, updates: Vec<Update>) -> Result<(), Gone> {
        let ends: Vec<_> = updates.iter().filter_map(|update| update.end_of_rib).collect();
        if self.shards.len() == 1 {
            self.send_updates(0, updates).await?;
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
                    self.send_updates(shard, updates).await?;
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

    /// Takes away what the peer has announced in a family, also in the session before: nothing of it is
    /// told again.
    async fn disabled(&mut self, family: AfiSafi) -> Result<(), Gone> {
        let peer = self.peer;
        for begin in [true, false] {
            self.all(|| Input::RefreshMark { peer, family, begin }).await?;
        }
        self.refreshing.lock().unwrap_or_else(PoisonError::into_inner).remove(&family);
        self.tell(SessionEventKind::Disabled(family)).await
    }

    async fn down(&mut self, mut down: Down) -> Result<(), Gone> {
        // The daemon goes, and all sessions with it. Those that go last must not hear of the routes of
        // those that went first: their peers keep what they have over our restart.
        if down.reason == DownReason::Restarting {
            return Ok(());
        }
        if let Some(retained) = &mut down.retained {
            self.bound(retained);
        }
        let peer = self.peer;
        self.retained = down.retained.as_ref().map(|retained| Kept {
            families: retained.families.clone(),
            restart_ends: Instant::now() + retained.restart_time,
        });
        self.refreshing.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let retained = down.retained.as_ref().map(|r| r.families.clone()).unwrap_or_default();
        self.all(|| Input::PeerDown { peer, retained: retained.clone() }).await?;
        self.tell(SessionEventKind::Down(down)).await
    }

    /// A peer keeps nothing longer here than the topology permits, whatever it asks for.
    fn bound(&self, retained: &mut Retained) {
        let terms = self.terms.borrow();
        let seconds = |time: u32| Duration::from_secs(time.into());
        let options = &terms.spec.options;
        if let Some(longest) = options.max_restart_time {
            retained.restart_time = retained.restart_time.min(seconds(longest.into()));
        }
        let longest = seconds(options.long_lived_time.unwrap_or_default());
        retained.long_lived.retain(|_| !longest.is_zero());
        for (_, time) in &mut retained.long_lived {
            *time = longest.min(*time);
        }
    }

    /// Waits until the shard has worked off enough of what it has.
    async fn send_updates(&self, shard: usize, updates: Vec<Update>) -> Result<(), Gone> {
        let peer = self.peer;
        let Some(inbox) = self.shards.get(shard) else { return Ok(()) };
        let room = self.room.take(shard, &updates).await.ok_or(Gone)?;
        inbox.send(ShardInput::Updates { peer, updates, room }).await.map_err(|_| Gone)
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use arcus_config::PeerRole;

    use super::*;
    use crate::peering::Others;
    use crate::peering::tests::spec;

    #[tokio::test]
    async fn the_end_of_the_daemon_takes_no_routes_from_the_tables() {
        let us = Ipv4Addr::new(192, 0, 2, 9);
        let identity =
            Identity { asn: 64_512, address: us.into(), router_id: us, cluster_id: us, shards: 1 };
        let (shard, mut inputs) = mpsc::channel(4);
        let (control, mut events) = mpsc::channel(4);
        let others = Others { peers: Vec::new(), ases: BTreeSet::new() };
        let (_terms, newest) =
            watch::channel(Terms::new(Arc::new(spec(PeerRole::Sibling)), &others));
        let mut deliver = ToShards {
            peer: PeerIx(7),
            identity,
            terms: newest,
            shards: Arc::new([shard]),
            room: Room::new(1),
            control,
            map: ShardMap::new(1),
            retained: None,
            refreshing: Refreshing::default(),
            ended: BTreeSet::new(),
            marks_refreshes: false,
            first_refresh: true,
        };
        for (reason, tells) in [(DownReason::Closed, true), (DownReason::Restarting, false)] {
            let down = Down { reason, retained: None };
            deliver.deliver(PeerEvent::Down(down)).await.expect("somebody listens");
            assert_eq!((inputs.try_recv().is_ok(), events.try_recv().is_ok()), (tells, tells));
        }
    }
}
