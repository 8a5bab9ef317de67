//! The peers of this control node: numbers, handles, and where each stands.

use std::collections::hash_map;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcus_config::PeerSpec;
use bgp_peer::{Established, Peer, Then, Writer};
use bgp_rib::{PeerIx, Totals};
use bgp_session::cease::Cease;
use bgp_wire::AfiSafi;
use tokio::sync::watch;

use crate::deliver::Refreshing;
use crate::paths::WatchedPath;
use crate::peering::Terms;

/// One peer, configured or accepted from a prefix.
pub(crate) struct Entry {
    pub(crate) address: IpAddr,
    /// The newest entry of the topology, for the next session.
    pub(crate) terms: watch::Sender<Terms>,
    pub(crate) peer: Peer,
    /// Accepted from a prefix: forgotten when it has been away for long.
    pub(crate) dynamic: bool,
    /// The session that is up.
    pub(crate) session: Option<Arc<Established>>,
    /// What waits for that session's connection.
    pub(crate) queue: Option<Writer>,
    /// Where the shards count the routes of that session.
    pub(crate) totals: Totals,
    /// The entry by which the shards know it.
    pub(crate) told: Option<Terms>,
    /// Counts ups and downs: a timer of an earlier state is void.
    pub(crate) epoch: u64,
    /// Families whose routes are kept from the session before.
    pub(crate) stale: Vec<AfiSafi>,
    /// Of these, when those may stay longer that are long-lived (RFC 9494): the end of their restart
    /// time makes them so, and then they have this long.
    pub(crate) long_lived: BTreeMap<AfiSafi, LongLived>,
    /// Answers of the peer to our requests that have begun and not ended.
    pub(crate) refreshing: Refreshing,
    /// Families whose End-of-RIB has come in this session.
    pub(crate) ended: BTreeSet<AfiSafi>,
    /// Families that are not read any more in this session, since they could not be (RFC 7606 §2).
    pub(crate) disabled: BTreeSet<AfiSafi>,
    pub(crate) flaps: u64,
    /// How often it came near a prefix limit.
    pub(crate) limit_warnings: u64,
    pub(crate) last_seen: Instant,
    /// Sent away until then: it may not come back under another number before.
    pub(crate) away_until: Instant,
    /// How its session is to end, when it was too busy to be told.
    pub(crate) unsaid: Option<Ending>,
    /// Where its path is watched.
    pub(crate) path: Option<WatchedPath>,
    /// The epoch in which its path was lost under a session that was up.
    pub(crate) lost_in: Option<u64>,
}

/// How much longer routes of one family are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LongLived {
    /// So long after the restart time.
    For(Duration),
    /// They are long-lived stale now.
    Until(Instant),
}

impl LongLived {
    /// Whether their time runs.
    pub(crate) const fn has_begun(self) -> bool {
        matches!(self, Self::Until(_))
    }

    /// When it ends, if it does not begin later than `now`.
    pub(crate) fn until(self, now: Instant) -> Instant {
        match self {
            Self::For(time) => now + time,
            Self::Until(end) => end,
        }
    }
}

/// How we end a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) why: Cease,
    /// For the operator of the peer (RFC 9003).
    pub(crate) text: &'static str,
    pub(crate) then: Then,
}

impl Ending {
    /// The topology says that the peer is to have no session.
    pub(crate) const fn shutdown() -> Self {
        Self {
            why: Cease::AdministrativeShutdown,
            text: "shut down in the topology",
            then: Then::StayDown,
        }
    }
}

/// All peers by number, and numbers by address.
#[derive(Default)]
pub(crate) struct PeerTable {
    entries: BTreeMap<PeerIx, Entry>,
    by_address: HashMap<IpAddr, PeerIx>,
    /// Numbers that some shard still knows, with the number of shards that do.
    leaving: BTreeMap<PeerIx, u16>,
}

impl PeerTable {
    /// The lowest number that nobody has; `None` when 65,535 peers are known.
    pub(crate) fn free_number(&self) -> Option<PeerIx> {
        (0..PeerIx::LOCAL.0)
            .map(PeerIx)
            .find(|peer| !self.entries.contains_key(peer) && !self.leaving.contains_key(peer))
    }

    pub(crate) fn insert(&mut self, number: PeerIx, entry: Entry) {
        self.by_address.insert(entry.address, number);
        self.entries.insert(number, entry);
    }

    /// Takes a peer out. Its number is free when each of `shards` has said [`PeerTable::gone`].
    pub(crate) fn remove(&mut self, number: PeerIx, shards: u16) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        // Somebody else may have the address by now.
        if let hash_map::Entry::Occupied(at) = self.by_address.entry(entry.address)
            && *at.get() == number
        {
            at.remove();
        }
        self.leaving.insert(number, shards);
        Some(entry)
    }

    pub(crate) fn gone(&mut self, number: PeerIx) {
        if let Some(shards) = self.leaving.get_mut(&number) {
            *shards = shards.saturating_sub(1);
            if *shards == 0 {
                self.leaving.remove(&number);
            }
        }
    }

    /// The number of the peer at an address.
    pub(crate) fn number_at(&self, address: IpAddr) -> Option<PeerIx> {
        self.by_address.get(&address).copied()
    }

    pub(crate) fn at(&self, address: IpAddr) -> Option<&Entry> {
        self.entries.get(self.by_address.get(&address)?)
    }

    pub(crate) fn get_mut(&mut self, number: PeerIx) -> Option<&mut Entry> {
        self.entries.get_mut(&number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerIx, &Entry)> {
        self.entries.iter().map(|(number, entry)| (*number, entry))
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.entries.into_values()
    }
}

impl Entry {
    /// Whether nothing depends on our remembering it: no session, no route kept, not sent away.
    pub(crate) fn may_be_forgotten(&self) -> bool {
        self.session.is_none() && self.stale.is_empty() && self.away_until <= Instant::now()
    }

    /// Whether routes of it are kept beyond its restart time.
    pub(crate) fn is_long_lived(&self) -> bool {
        self.session.is_none() && self.long_lived.values().any(|kept| kept.has_begun())
    }

    pub(crate) fn spec(&self) -> Arc<PeerSpec> {
        Arc::clone(&self.terms.borrow().spec)
    }
}
