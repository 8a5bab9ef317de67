//! Who a daemon is to the control node.

use std::net::Ipv4Addr;

use super::{ASN, CONTROL_NODE, Life};

/// What the daemon under test is in the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `[gateway]`: eBGP, limited to the targets of one network.
    Gateway,
    /// One of `nodes`: iBGP, a client of the reflector.
    Node,
    /// A second control node of the cloud: iBGP, no client.
    ControlNode,
    /// The control node of another cloud: eBGP, next hops unchanged.
    FarControlNode,
    /// `[neighbor]`: iBGP, no client, and itself a reflector for a client that we never see.
    Reflector,
}

impl Role {
    pub const ALL: [Self; 5] =
        [Self::Gateway, Self::Node, Self::ControlNode, Self::FarControlNode, Self::Reflector];

    /// Where the daemon itself originates and listens.
    pub const ENDS: [Self; 4] =
        [Self::Gateway, Self::Node, Self::ControlNode, Self::FarControlNode];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Node => "node",
            Self::ControlNode => "control node",
            Self::FarControlNode => "control node of another cloud",
            Self::Reflector => "reflector",
        }
    }

    /// Of another AS.
    pub const fn is_external(self) -> bool {
        matches!(self, Self::Gateway | Self::FarControlNode)
    }

    /// The others speak of the overlay only.
    pub const fn has_unicast(self) -> bool {
        matches!(self, Self::Gateway | Self::Reflector)
    }
}

/// A daemon other than the control node.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub name: &'static str,
    pub role: Role,
    pub address: Ipv4Addr,
    pub asn: u32,
    pub life: Life,
    /// Whom it speaks with: the control node, or the reflector that it is a client of.
    pub upstream: Ipv4Addr,
    /// The client of a reflector.
    pub client: Option<Ipv4Addr>,
    /// How many routes it has of its own from the start; see [`super::own_route`].
    pub own_routes: u32,
}

impl Member {
    /// The daemon under test.
    pub const fn under_test(role: Role, life: Life) -> Self {
        let (name, last, asn) = match role {
            Role::Gateway => ("gateway", [2, 1], 65101),
            Role::Node => ("node", [1, 1], ASN),
            Role::ControlNode => ("ctl-2", [0, 12], ASN),
            Role::FarControlNode => ("far-ctl", [4, 1], 64513),
            Role::Reflector => ("reflector", [3, 1], ASN),
        };
        let member = Self::new(name, role, last, asn, life);
        match role {
            Role::Reflector => Self { client: Some(Self::behind(&member).address), ..member },
            _ => member,
        }
    }

    /// The client of a reflector.
    pub const fn behind(reflector: &Self) -> Self {
        let member = Self::new("behind", Role::Reflector, [3, 9], ASN, reflector.life);
        Self { upstream: reflector.address, ..member }
    }

    pub(super) const fn new(
        name: &'static str,
        role: Role,
        last: [u8; 2],
        asn: u32,
        life: Life,
    ) -> Self {
        let address = Ipv4Addr::new(10, 0, last[0], last[1]);
        Self { name, role, address, asn, life, upstream: CONTROL_NODE, client: None, own_routes: 0 }
    }
}
