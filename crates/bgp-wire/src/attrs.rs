//! Path attributes of one route, apart from next hop and NLRI.

use std::net::Ipv4Addr;

use bytes::Bytes;

use crate::as_path::AsPath;
use crate::community::{Community, ExtendedCommunity, LargeCommunity, TunnelType};
use crate::route_target::RouteTarget;

/// ORIGIN (RFC 4271 §4.3), best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Origin {
    #[default]
    Igp,
    Egp,
    Incomplete,
}

/// AGGREGATOR (RFC 4271 §5.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Aggregator {
    pub asn: u32,
    pub id: Ipv4Addr,
}

/// An attribute we do not read: kept octet for octet. Unknown non-transitive ones are dropped when
/// reading, unknown transitive ones get the partial bit (RFC 4271 §5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawAttribute {
    /// As they stand on the wire, without the extended length bit.
    pub flags: u8,
    pub code: u8,
    pub value: Bytes,
}

/// The attributes of a route, without next hop and NLRI (these stand in [`crate::Update`]).
///
/// Lists are in wire order, since order is the sender's. Equal values encode to equal octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PathAttributes {
    pub origin: Origin,
    pub as_path: AsPath,
    pub med: Option<u32>,
    pub local_pref: Option<u32>,
    pub atomic_aggregate: bool,
    pub aggregator: Option<Aggregator>,
    pub communities: Vec<Community>,
    /// RFC 4456.
    pub originator_id: Option<Ipv4Addr>,
    /// RFC 4456, nearest cluster first.
    pub cluster_list: Vec<Ipv4Addr>,
    pub extended_communities: Vec<ExtendedCommunity>,
    pub large_communities: Vec<LargeCommunity>,
    /// All others, ascending by code: PMSI tunnel (22), tunnel encapsulation (23), unknown ones.
    pub others: Vec<RawAttribute>,
}

impl PathAttributes {
    /// The route targets among the extended communities, in wire order.
    pub fn route_targets(&self) -> impl Iterator<Item = RouteTarget> + '_ {
        self.extended_communities.iter().filter_map(|community| community.as_route_target())
    }

    /// The tunnel types offered by encapsulation communities, in wire order.
    pub fn encapsulations(&self) -> impl Iterator<Item = TunnelType> + '_ {
        self.extended_communities.iter().filter_map(|community| community.as_encapsulation())
    }
}
