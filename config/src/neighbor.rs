//! `[neighbor.NAME]`: a peer that is neither node, control node nor gateway.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;

use crate::{AfiSafi, AsnRange, HoldTime, PeerOptions};

/// A BGP speaker of any sort, by its address or by the prefixes that it connects from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Neighbor {
    pub name: String,
    /// Every control node of these clouds peers with it; sorted.
    pub clouds: Vec<String>,
    /// These peer with it, too; sorted. One of both lists is empty.
    pub control_nodes: Vec<String>,
    pub remote: Remote,
    pub asn: PeerAs,
    /// Whether it is a client of our route reflector: iBGP (RFC 4456).
    pub client: bool,
    /// Never empty, sorted.
    pub families: Vec<AfiSafi>,
    pub hold_time: HoldTime,
    /// Seconds; `None` is that of the cloud.
    pub graceful_restart_time: Option<u16>,
    /// Sessions from `remote` prefixes at a time; `None` is no limit.
    pub max_peers: Option<u32>,
    /// Routes of one family that are taken from it at most.
    pub max_prefixes: Option<u32>,
    /// All the rest. What has a field above is `None` here.
    pub options: PeerOptions,
}

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Remote {
    /// We connect to it, and it may connect to us from this address.
    Address(SocketAddr),
    /// It connects to us, from within one of these.
    Prefixes(Vec<IpNet>),
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Prefixes(prefixes) => {
                let texts: Vec<String> = prefixes.iter().map(IpNet::to_string).collect();
                f.pad(&texts.join(" "))
            }
        }
    }
}

impl Remote {
    /// Whether a connection from this address may be it, and how exactly it is meant: the length
    /// of the longest prefix, or the whole address.
    pub fn matches(&self, from: IpAddr) -> Option<u8> {
        match self {
            Self::Address(address) => (address.ip() == from).then_some(u8::MAX),
            Self::Prefixes(prefixes) => {
                prefixes.iter().filter(|prefix| prefix.contains(&from)).map(IpNet::prefix_len).max()
            }
        }
    }
}

/// The AS that a peer must be of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerAs {
    Is(u32),
    /// One of these, but not our own. Sorted, never empty.
    In(Vec<AsnRange>),
}

impl PeerAs {
    /// The one it must be, if there is one only.
    pub const fn only(&self) -> Option<u32> {
        match self {
            Self::Is(asn) => Some(*asn),
            Self::In(_) => None,
        }
    }

    pub fn contains(&self, asn: u32) -> bool {
        match self {
            Self::Is(only) => *only == asn,
            Self::In(ranges) => ranges.iter().any(|range| range.contains(asn)),
        }
    }
}

impl fmt::Display for PeerAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(asn) => asn.fmt(f),
            Self::In(ranges) => {
                let texts: Vec<String> = ranges.iter().map(AsnRange::to_string).collect();
                f.pad(&texts.join(" "))
            }
        }
    }
}
