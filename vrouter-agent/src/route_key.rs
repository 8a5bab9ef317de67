//! What tells one BGP route of a node from another.

use std::fmt;

use bgp_wire::nlri::{EvpnKey, MacAddress, VpnKey};
use bgp_wire::{AfiSafi, RouteDistinguisher};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How a route was told: what a VPN route and an EVPN route to one prefix differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// VPN-IPv4 or VPN-IPv6.
    Vpn,
    /// EVPN type 5 (RFC 9136 §3.1), with its Ethernet tag.
    Prefix { tag: u32 },
    /// EVPN type 2 with an address (RFC 9135 §4): a route to a host.
    Host { tag: u32, mac: MacAddress },
}

impl RouteKind {
    pub const fn is_evpn(self) -> bool {
        !matches!(self, Self::Vpn)
    }
}

/// One route to a prefix, of any family that leads into VRFs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    pub kind: RouteKind,
    pub rd: RouteDistinguisher,
    pub net: IpNet,
}

impl RouteKey {
    pub const fn vpn(rd: RouteDistinguisher, net: IpNet) -> Self {
        Self { kind: RouteKind::Vpn, rd, net }
    }

    /// The type 5 route to the same prefix.
    #[must_use]
    pub const fn as_type_5(self) -> Self {
        Self { kind: RouteKind::Prefix { tag: 0 }, ..self }
    }

    pub const fn family(&self) -> AfiSafi {
        match (self.kind, self.net) {
            (RouteKind::Vpn, IpNet::V4(_)) => AfiSafi::VPNV4,
            (RouteKind::Vpn, IpNet::V6(_)) => AfiSafi::VPNV6,
            (RouteKind::Prefix { .. } | RouteKind::Host { .. }, _) => AfiSafi::EVPN,
        }
    }

    /// `None` for EVPN routes that are about no IP address.
    pub fn of_evpn(key: &EvpnKey) -> Option<Self> {
        match *key {
            EvpnKey::IpPrefix { rd, tag, net } => {
                Some(Self { kind: RouteKind::Prefix { tag }, rd, net })
            }
            EvpnKey::MacIp { rd, tag, mac, ip: Some(ip) } => {
                Some(Self { kind: RouteKind::Host { tag, mac }, rd, net: IpNet::from(ip) })
            }
            _ => None,
        }
    }

    /// As EVPN writes it; a VPN route becomes one of type 5.
    pub(crate) fn to_evpn(self) -> EvpnKey {
        let Self { kind, rd, net } = self;
        match kind {
            RouteKind::Vpn => EvpnKey::IpPrefix { rd, tag: 0, net },
            RouteKind::Prefix { tag } => EvpnKey::IpPrefix { rd, tag, net },
            RouteKind::Host { tag, mac } => EvpnKey::MacIp { rd, tag, mac, ip: Some(net.addr()) },
        }
    }
}

impl From<VpnKey<Ipv4Net>> for RouteKey {
    fn from(key: VpnKey<Ipv4Net>) -> Self {
        Self::vpn(key.rd, IpNet::V4(key.net))
    }
}

impl From<VpnKey<Ipv6Net>> for RouteKey {
    fn from(key: VpnKey<Ipv6Net>) -> Self {
        Self::vpn(key.rd, IpNet::V6(key.net))
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RouteKind::Vpn => write!(f, "{}:{}", self.rd, self.net),
            _ => self.to_evpn().fmt(f),
        }
    }
}
