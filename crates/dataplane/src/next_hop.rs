//! Where a packet may go, and groups of such places.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::port::{PortId, VrfId};
use crate::tunnel::Tunnel;

/// One member of a group.
///
/// The order of the variants puts what stays on this node first; a packet that came out of a tunnel
/// may only be given to those.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextHop {
    /// The packet is dropped, and counted.
    Discard,
    /// To a workload of this node.
    Port(PortId),
    /// To this node's [`Translation`](crate::nat::Translation) of that address in that VRF.
    Translate { vrf: VrfId, address: Ipv4Addr },
    /// To another node.
    Tunnel(Tunnel),
}

impl NextHop {
    /// Whether the packet leaves this node.
    pub const fn is_remote(&self) -> bool {
        matches!(self, Self::Tunnel(_))
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discard => f.write_str("discard"),
            Self::Port(port) => write!(f, "port {port}"),
            Self::Translate { vrf, address } => write!(f, "translate {address} in vrf {vrf}"),
            Self::Tunnel(Tunnel { remote, encapsulation, label }) => {
                write!(f, "{encapsulation} {remote} label {label}")
            }
        }
    }
}

/// The next hops of one route: sorted, without repetition, 1..=16. Equal sets are equal groups.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NextHopGroup(Vec<NextHop>);

impl NextHopGroup {
    /// Most members of a group; of more, the first in order are taken, so that every node takes the
    /// same.
    pub const MAX: usize = 16;

    /// `None` when there is no next hop at all.
    pub fn new(members: impl IntoIterator<Item = NextHop>) -> Option<Self> {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        members.truncate(Self::MAX);
        (!members.is_empty()).then_some(Self(members))
    }

    pub fn members(&self) -> &[NextHop] {
        &self.0
    }
}

impl From<NextHop> for NextHopGroup {
    fn from(only: NextHop) -> Self {
        Self(vec![only])
    }
}

impl fmt::Display for NextHopGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, member) in self.0.iter().enumerate() {
            write!(f, "{}{member}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::{Encapsulation, MplsLabel};

    fn tunnel(last: u8) -> NextHop {
        NextHop::Tunnel(Tunnel {
            remote: Ipv4Addr::new(192, 0, 2, last),
            encapsulation: Encapsulation::MplsOverGre,
            label: MplsLabel::MIN,
        })
    }

    #[test]
    fn equal_sets_are_equal_groups() {
        let one = NextHopGroup::new([tunnel(2), NextHop::Port("a".into()), tunnel(1), tunnel(2)]);
        let other = NextHopGroup::new([NextHop::Port("a".into()), tunnel(1), tunnel(2)]);
        assert_eq!(one, other);
        assert_eq!(one.unwrap().members()[0], NextHop::Port("a".into()), "what is local is first");
    }

    #[test]
    fn no_next_hop_is_no_group() {
        assert_eq!(NextHopGroup::new([]), None);
    }

    #[test]
    fn of_too_many_the_first_are_taken() {
        let group = NextHopGroup::new((0..40).rev().map(tunnel)).unwrap();
        assert_eq!(group.members(), (0..16).map(tunnel).collect::<Vec<_>>());
    }
}
