//! Control nodes: sessions that come and go, and what is kept of what they told (RFC 4724).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp_wire::update::Form;
use bgp_wire::{AfiSafi, RouteRefresh, RouteTarget, Update};

use super::Core;
use crate::originate::{Chunk, Outbox};
use crate::route_key::RouteKey;

/// How long a control node that is back may take to tell everything again before what it does not
/// mention is dropped, unless its End-of-RIB says so earlier.
const RESYNC: Duration = Duration::from_mins(2);

/// A session that is established, as far as the core must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionUp {
    /// How octets of UPDATEs of each negotiated family are written.
    pub forms: BTreeMap<AfiSafi, Form>,
    pub details: SessionDetails,
}

/// What of a session is only shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionDetails {
    pub router_id: Option<std::net::Ipv4Addr>,
    /// Seconds.
    pub hold_time: Option<u16>,
    pub families: Vec<AfiSafi>,
    pub capabilities: Vec<String>,
    /// Seconds that the peer asks us to keep its routes for; `None` without graceful restart.
    pub restart_time: Option<u16>,
}

/// What a session is like now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    Down,
    Up,
}

/// Routes of a session that has ended, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    /// For the time that it asked for, or until it has told everything again.
    Until(Instant),
    /// Until somebody else knows better: nobody is there, and packets go on.
    Headless {
        until: Option<Instant>,
    },
}

/// One control node.
#[derive(Debug)]
pub struct Peer {
    pub name: String,
    pub asn: u32,
    session: Option<Session>,
    kept: Kept,
    /// When the state became what it is.
    pub since: Instant,
    pub flaps: u64,
    pub last_down_reason: Option<String>,
}

#[derive(Debug)]
struct Session {
    outbox: Outbox,
    details: SessionDetails,
    /// The writer is full; it says when it is not.
    blocked: bool,
    /// Families whose End-of-RIB has come.
    finished: BTreeSet<AfiSafi>,
}

impl Session {
    fn has_told_all(&self) -> bool {
        let mut families = self.outbox.families().filter(|family| *family != AfiSafi::RTC);
        families.all(|family| self.finished.contains(&family))
    }
}

impl Peer {
    pub(super) const fn new(now: Instant, name: String, asn: u32) -> Self {
        Self {
            name,
            asn,
            session: None,
            kept: Kept::Nothing,
            since: now,
            flaps: 0,
            last_down_reason: None,
        }
    }

    pub const fn state(&self) -> PeerState {
        if self.session.is_some() { PeerState::Up } else { PeerState::Down }
    }

    /// While a session is up.
    pub fn details(&self) -> Option<&SessionDetails> {
        self.session.as_ref().map(|session| &session.details)
    }

    /// Whether its End-of-RIB of this family has come.
    pub fn has_finished(&self, family: AfiSafi) -> bool {
        self.session.as_ref().is_some_and(|session| session.finished.contains(&family))
    }

    /// Whether it has told all routes that it has.
    fn has_told_all(&self) -> bool {
        self.session.as_ref().is_some_and(Session::has_told_all)
    }

    /// Routes and memberships that it is still to be told.
    pub fn owed(&self) -> usize {
        self.session.as_ref().map_or(0, |session| session.outbox.owed())
    }

    pub(super) fn owe(
        &mut self,
        routes: impl Iterator<Item = RouteKey>,
        memberships: impl Iterator<Item = RouteTarget>,
    ) {
        if let Some(session) = &mut self.session {
            session.outbox.owe_routes(routes);
            session.outbox.owe_memberships(memberships);
        }
    }

    pub(super) fn release_end_of_rib(&mut self) {
        if let Some(session) = &mut self.session {
            session.outbox.release_end_of_rib();
        }
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self.kept {
            Kept::Until(at) => Some(at),
            Kept::Headless { until } => until,
            Kept::Nothing => None,
        }
    }
}

impl Core {
    pub fn peers(&self) -> impl Iterator<Item = (IpAddr, &Peer)> {
        self.peers.iter().map(|(address, peer)| (*address, peer))
    }

    /// A session is established: it is owed everything.
    pub fn peer_up(&mut self, now: Instant, address: IpAddr, up: SessionUp) {
        let announced = &self.announced;
        let Some(peer) = self.peers.get_mut(&address) else { return };
        let mut outbox = Outbox::new(up.forms, announced);
        if self.done > 0 {
            outbox.release_end_of_rib();
        }
        peer.session = Some(Session {
            outbox,
            details: up.details,
            blocked: false,
            finished: BTreeSet::new(),
        });
        peer.since = now;
        // Whatever its forwarding bits say: a reflector forwards no packets, so its restart says
        // nothing about where packets can go. What it does not tell again goes with End-of-RIB.
        self.import.mark_stale(address);
        if let Some(peer) = self.peers.get_mut(&address) {
            peer.kept = Kept::Until(now + RESYNC);
        }
    }

    /// A session has ended. `keep` is how long the peer's routes are to be kept, if at all.
    pub fn peer_down(
        &mut self,
        now: Instant,
        address: IpAddr,
        reason: String,
        keep: Option<Duration>,
    ) {
        let Some(peer) = self.peers.get_mut(&address) else { return };
        if peer.session.take().is_some() {
            peer.flaps += 1;
            peer.since = now;
        }
        peer.last_down_reason = Some(reason);
        self.import.mark_stale(address);
        let kept = match keep {
            Some(time) => Kept::Until(now + time),
            None => self.without(now, address),
        };
        if let Some(peer) = self.peers.get_mut(&address) {
            peer.kept = kept;
        }
        self.settle();
    }

    /// A peer says something of routes.
    pub fn update(&mut self, address: IpAddr, update: &Update) {
        if self.peers.get(&address).is_none_or(|peer| peer.session.is_none()) {
            return;
        }
        self.import.update(address, update, &self.node);
        if let Some(family) = update.end_of_rib {
            self.end_of_rib(address, family);
        }
    }

    /// A peer wants our routes again (RFC 2918 §4).
    pub fn refresh(&mut self, address: IpAddr, refresh: RouteRefresh) {
        // Marks of an answer (RFC 7313) are of no use: what it tells replaces what it told.
        if refresh.subtype != RouteRefresh::REQUEST {
            return;
        }
        let Some(peer) = self.peers.get_mut(&address) else { return };
        match refresh.family {
            AfiSafi::RTC => {
                peer.owe(std::iter::empty(), self.announced.memberships.iter().copied());
            }
            family => {
                let keys = self.announced.routes.keys().filter(|key| key.family() == family);
                peer.owe(keys.copied(), std::iter::empty());
            }
        }
    }

    /// The next messages for a peer; `None` when nothing is owed or its writer is full. What could
    /// not be written comes back with [`Core::blocked`].
    pub fn next_chunk(&mut self, address: IpAddr) -> Option<Chunk> {
        let session = self.peers.get_mut(&address)?.session.as_mut()?;
        if session.blocked {
            return None;
        }
        session.outbox.take(&self.announced, &self.speaker)
    }

    /// A chunk did not fit into the writer's queue.
    pub fn blocked(&mut self, address: IpAddr, chunk: Chunk) {
        if let Some(session) = self.peers.get_mut(&address).and_then(|peer| peer.session.as_mut()) {
            session.outbox.give_back(chunk);
            session.blocked = true;
        }
    }

    /// The writer's queue, which had been full, is empty.
    pub fn drained(&mut self, address: IpAddr) {
        if let Some(session) = self.peers.get_mut(&address).and_then(|peer| peer.session.as_mut()) {
            session.blocked = false;
        }
    }

    pub(super) fn has_session(&self) -> bool {
        self.peers.values().any(|peer| peer.session.is_some())
    }

    pub(super) fn all_have_finished(&self) -> bool {
        let mut sessions = self.peers.values().filter_map(|peer| peer.session.as_ref());
        sessions.all(Session::has_told_all)
    }

    pub(super) fn tick_peers(&mut self, now: Instant) {
        let due: Vec<IpAddr> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.deadline().is_some_and(|at| at <= now))
            .map(|(address, _)| *address)
            .collect();
        for address in due {
            let Some(peer) = self.peers.get(&address) else { continue };
            let is_over = matches!(peer.kept, Kept::Headless { .. });
            let kept = if peer.session.is_some() || is_over {
                self.import.drop_stale(address, None);
                Kept::Nothing
            } else {
                self.without(now, address)
            };
            if let Some(peer) = self.peers.get_mut(&address) {
                peer.kept = kept;
            }
        }
    }

    fn end_of_rib(&mut self, address: IpAddr, family: AfiSafi) {
        let session = self.peers.get_mut(&address).and_then(|peer| peer.session.as_mut());
        let Some(session) = session else { return };
        session.finished.insert(family);
        self.import.drop_stale(address, Some(family));
        if !self.peers.get(&address).is_some_and(Peer::has_told_all) {
            return;
        }
        let others: Vec<IpAddr> = self
            .peers
            .iter_mut()
            .filter_map(|(other, peer)| {
                let over = *other == address || matches!(peer.kept, Kept::Headless { .. });
                over.then(|| {
                    peer.kept = Kept::Nothing;
                    *other
                })
            })
            .collect();
        for other in others {
            self.import.drop_stale(other, None);
        }
    }

    /// Drops what a peer told that is not coming back in time, if somebody else is there who knows
    /// all. With nobody there, packets go on as before.
    fn without(&mut self, now: Instant, address: IpAddr) -> Kept {
        let somebody =
            self.peers.iter().any(|(other, peer)| *other != address && peer.has_told_all());
        if somebody {
            self.import.drop_stale(address, None);
            return Kept::Nothing;
        }
        let cloud = self.topology.clouds.get(&self.node.cloud);
        let time = cloud.and_then(|cloud| cloud.nodes.headless_time);
        Kept::Headless { until: time.map(|s| now + Duration::from_secs(u64::from(s))) }
    }
}
