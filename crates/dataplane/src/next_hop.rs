//! Where a packet may go, and groups of such places.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::port::{PortId, VrfId};
use crate::tunnel::Tunnel;

/// Where a packet goes.
///
/// The order of the variants puts what stays on this node first; a packet that came out of a tunnel
/// may only be given to those.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextHop {
    /// The packet is dropped, and counted.
    Discard,
    /// To a workload of this node: its own address, or a prefix behind it.
    Port(PortId),
    /// To this node's [`Translation`](crate::nat::Translation) of that address in that VRF.
    Translate { vrf: VrfId, address: IpAddr },
    /// To another node.
    Tunnel(Tunnel),
    /// Into the underlay, from this node's own address.
    Masquerade,
}

impl NextHop {
    /// Whether the packet leaves this node.
    pub const fn is_remote(&self) -> bool {
        matches!(self, Self::Tunnel(_) | Self::Masquerade)
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discard => f.write_str("discard"),
            Self::Port(port) => write!(f, "port {port}"),
            Self::Translate { vrf, address } => write!(f, "translate {address} in vrf {vrf}"),
            Self::Tunnel(tunnel) => tunnel.fmt(f),
            Self::Masquerade => f.write_str("masquerade"),
        }
    }
}

/// One member of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    pub hop: NextHop,
    /// Its share of the flows, in proportion to the others' weights; at least 1.
    pub weight: u16,
}

/// By what flows are spread over the members of a group.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// Addresses, protocol and ports.
    #[default]
    Flow,
    /// The source address alone: all connections of a client go the same way (session affinity).
    Source,
}

/// The next hops of one route: sorted, without repetition, 1..=64. Equal sets are equal groups.
/// Shared: a clone is another reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NextHopGroup(Arc<Inner>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
struct Inner {
    members: Vec<Member>,
    spread: Spread,
}

impl NextHopGroup {
    /// Most members of a group; of more, the first in order are taken, so that every node takes the
    /// same.
    pub const MAX: usize = 64;

    /// With equal shares. `None` when there is no next hop at all.
    pub fn new(hops: impl IntoIterator<Item = NextHop>) -> Option<Self> {
        Self::weighted(hops.into_iter().map(|hop| (hop, 1)), Spread::Flow)
    }

    /// With shares in proportion to the weights; one of 0 counts as 1. Weights that say the same are
    /// the same. Of a next hop that comes twice the greater weight counts.
    pub fn weighted(
        hops: impl IntoIterator<Item = (NextHop, u64)>,
        spread: Spread,
    ) -> Option<Self> {
        let mut hops: Vec<_> = hops.into_iter().map(|(hop, weight)| (hop, weight.max(1))).collect();
        hops.sort_unstable_by(|(a, of_a), (b, of_b)| a.cmp(b).then(of_b.cmp(of_a)));
        hops.dedup_by(|(later, _), (first, _)| later == first);
        hops.truncate(Self::MAX);
        let most = hops.iter().map(|(_, weight)| *weight).max()?;
        let divisor = hops.iter().fold(0, |divisor, (_, weight)| gcd(*weight, divisor));
        // Too great a ratio is rounded; nobody gets nothing.
        let scale = |weight: u64| {
            let weight = weight / divisor;
            let most = most / divisor;
            let fits = if most > u64::from(u16::MAX) {
                u128::from(weight) * u128::from(u16::MAX) / u128::from(most)
            } else {
                u128::from(weight)
            };
            u16::try_from(fits).unwrap_or(u16::MAX).max(1)
        };
        let members =
            hops.into_iter().map(|(hop, weight)| Member { hop, weight: scale(weight) }).collect();
        Some(Self(Arc::new(Inner { members, spread })))
    }

    pub fn members(&self) -> &[Member] {
        &self.0.members
    }

    pub fn spread(&self) -> Spread {
        self.0.spread
    }

    /// The next hops without their weights.
    pub fn hops(&self) -> impl Iterator<Item = &NextHop> {
        self.0.members.iter().map(|member| &member.hop)
    }

    /// Whether it has this next hop.
    pub fn has(&self, hop: &NextHop) -> bool {
        self.hops().any(|one| one == hop)
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl From<NextHop> for NextHopGroup {
    fn from(hop: NextHop) -> Self {
        let members = vec![Member { hop, weight: 1 }];
        Self(Arc::new(Inner { members, spread: Spread::Flow }))
    }
}

impl fmt::Display for NextHopGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Member { hop, weight }) in self.members().iter().enumerate() {
            write!(f, "{}{hop}", if i == 0 { "" } else { ", " })?;
            if *weight != 1 {
                write!(f, " weight {weight}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::{MplsLabel, TunnelHeader};

    fn tunnel(last: u8) -> NextHop {
        NextHop::Tunnel(Tunnel {
            remote: IpAddr::from([192, 0, 2, last]),
            header: TunnelHeader::MplsOverGre { label: MplsLabel::MIN },
        })
    }

    fn weights(group: &NextHopGroup) -> Vec<u16> {
        group.members().iter().map(|member| member.weight).collect()
    }

    #[test]
    fn equal_sets_are_equal_groups() {
        let one = NextHopGroup::new([tunnel(2), NextHop::Port("a".into()), tunnel(1), tunnel(2)]);
        let other = NextHopGroup::new([NextHop::Port("a".into()), tunnel(1), tunnel(2)]);
        assert_eq!(one, other);
        let first = one.unwrap().members()[0].hop.clone();
        assert_eq!(first, NextHop::Port("a".into()), "what is local is first");
    }

    #[test]
    fn no_next_hop_is_no_group() {
        assert_eq!(NextHopGroup::new([]), None);
    }

    #[test]
    fn of_too_many_the_first_are_taken() {
        let group = NextHopGroup::new((0..100).rev().map(tunnel)).unwrap();
        let hops: Vec<_> = group.hops().cloned().collect();
        assert_eq!(hops, (0..64).map(tunnel).collect::<Vec<_>>());
    }

    #[test]
    fn weights_that_say_the_same_are_the_same() {
        let group = |a, b| NextHopGroup::weighted([(tunnel(1), a), (tunnel(2), b)], Spread::Flow);
        assert_eq!(group(10, 30), group(1, 3));
        assert_eq!(weights(&group(10, 30).unwrap()), [1, 3]);
        assert_eq!(weights(&group(7, 7).unwrap()), [1, 1]);
        assert_eq!(weights(&group(1, u64::MAX).unwrap()), [1, u16::MAX]);
        assert_eq!(weights(&group(0, 2).unwrap()), [1, 2], "nobody gets nothing");
    }
}
