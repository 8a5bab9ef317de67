//! Questions about a shard, and plain owned answers.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bgp_wire::{AfiSafi, Label, NextHop, PathAttributes, PathId, RouteDistinguisher, RouteTarget};
use ipnet::IpNet;

use crate::peer::PeerIx;

/// A question. Answers of several shards are put side by side by the caller.
#[derive(Debug, Clone)]
pub enum Query {
    /// Best and other paths of a family, a page at a time.
    Routes(RoutesQuery),
    /// One destination by the text form of its key.
    Destination { family: AfiSafi, key: String },
    /// What a peer is told, a page at a time.
    Advertised { peer: PeerIx, page: RoutesQuery },
    /// Every route target known here: who asks for it, how much carries it.
    Targets,
    /// Counters of one peer.
    Peer(PeerIx),
    /// Routes that were not taken, of every peer.
    Rejected,
    /// Sizes of the tables.
    Summary,
}

/// Which destinations, and how many of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutesQuery {
    pub family: AfiSafi,
    pub filter: RouteFilter,
    /// [`RoutesAnswer::next`] of the page before; `None` for the first.
    pub after: Option<u32>,
    /// Most destinations in the answer. A page may be shorter, even empty, and yet have a next
    /// one: one question looks at a bounded number of destinations.
    pub limit: usize,
}

/// All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteFilter {
    /// Destinations inside this prefix.
    pub prefix: Option<IpNet>,
    pub rd: Option<RouteDistinguisher>,
    /// Of the best path.
    pub target: Option<RouteTarget>,
    /// Destinations that have a path from this peer.
    pub from: Option<PeerIx>,
}

/// The answer to the [`Query`] of the same name.
#[derive(Debug, Clone)]
pub enum Answer {
    Routes(RoutesAnswer),
    /// `None`: there is no such destination in this shard.
    Destination(Option<RouteInfo>),
    Targets(Vec<TargetInfo>),
    Peer(Option<PeerInfo>),
    Rejected(Vec<(PeerIx, crate::policy::Reject, u64)>),
    Summary(Vec<FamilyInfo>),
    /// The text is not a key of that family, or there is no table for the family.
    NoSuchKey,
}

#[derive(Debug, Clone, Default)]
pub struct RoutesAnswer {
    pub routes: Vec<RouteInfo>,
    /// Where to go on; `None` at the end.
    pub next: Option<u32>,
}

/// One destination.
#[derive(Debug, Clone)]
pub struct RouteInfo {
    pub family: AfiSafi,
    pub key: String,
    /// Best first, each the best of those that follow.
    pub paths: Vec<PathInfo>,
}

/// One path of a destination.
#[derive(Debug, Clone)]
pub struct PathInfo {
    /// Who sent it; [`PeerIx::LOCAL`] for our own.
    pub from: PeerIx,
    pub from_address: IpAddr,
    /// As received; in [`Query::Advertised`] as sent.
    pub path_id: PathId,
    pub next_hop: NextHop,
    /// As received, with the local preference that counts, and without an ORIGINATOR_ID that names
    /// the sender; in [`Query::Advertised`] as sent.
    pub attributes: Arc<PathAttributes>,
    /// The first label field: MPLS label or VNI, as the encapsulation says.
    pub label: Option<Label>,
    /// All that stands beside the key, as text; empty where there is nothing.
    pub data: String,
    pub best: bool,
    /// As good as the best one but for the tie-breaks from the router id on: traffic may be spread
    /// over all that say so.
    pub multipath: bool,
    /// The first step at which it differs from the best path; of the best path, from the next one.
    /// `None` when it is alone.
    pub step: Option<crate::decision::Step>,
    /// Kept from before a restart of the sender (RFC 4724).
    pub stale: bool,
}

/// One route target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetInfo {
    pub target: RouteTarget,
    /// Peers that asked for exactly this target, ascending.
    pub asked_by: Vec<PeerIx>,
    /// Destinations whose best path carries it, by family.
    pub best: Vec<(AfiSafi, u32)>,
}

/// Counters of one peer in this shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    pub router_id: Ipv4Addr,
    pub up: bool,
    /// Its queue is full.
    pub blocked: bool,
    pub families: Vec<PeerFamilyInfo>,
    pub rejected: Vec<(crate::policy::Reject, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerFamilyInfo {
    pub family: AfiSafi,
    /// Paths it has announced.
    pub received: u32,
    /// Of these, the best of their destination.
    pub best: u32,
    /// Of these, kept from before its restart.
    pub stale: u32,
    /// Destinations it is or will be told. Of a peer that is told several paths: paths; in a big table
    /// those that may go to it, however many of them it takes.
    pub advertised: u32,
    /// Destinations of which something is still to be said to it.
    pub owed: u32,
}

/// Size of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyInfo {
    pub family: AfiSafi,
    pub destinations: u32,
    pub paths: u32,
    /// Attribute sets.
    pub buckets: u32,
    /// Destinations with something unsaid, to anyone.
    pub owed: u32,
}
