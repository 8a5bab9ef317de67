//! Who this agent is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bgp_wire::RouteDistinguisher;
use dataplane::{Mac, VrfId};

/// The node that the agent runs on. Does not change while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What the socket and log lines call it.
    pub name: String,
    /// A cloud of the topology.
    pub cloud: String,
    /// Where BGP connects from, where tunnels end, and the next hop of its routes.
    pub address: IpAddr,
    /// Where tunnels over IPv6 end, too, where `address` is IPv4.
    pub address6: Option<Ipv6Addr>,
    /// Its BGP identifier, and the upper part of route distinguishers; unique in the federation.
    pub router_id: Ipv4Addr,
    /// MTU of the underlay, in octets of IP.
    pub uplink_mtu: u16,
    /// MTU of the interfaces that workloads get, in octets of IP.
    pub port_mtu: u16,
    /// Names of the underlay's interfaces.
    pub uplinks: Vec<String>,
}

impl Node {
    /// The distinguisher of one of this node's VRFs: unique in the federation, so that a reflector
    /// passes on the routes of every node that has an address (RFC 4364 §4.2, type 1).
    pub fn route_distinguisher(&self, vrf: VrfId) -> RouteDistinguisher {
        // `VrfId` ends at 4096.
        RouteDistinguisher::ipv4(self.router_id, u16::try_from(vrf.0).unwrap_or(u16::MAX))
    }

    pub const fn tunnel_v4(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        }
    }

    pub const fn tunnel_v6(&self) -> Option<Ipv6Addr> {
        match self.address {
            IpAddr::V6(v6) => Some(v6),
            IpAddr::V4(_) => self.address6,
        }
    }

    pub fn tunnel_ends(&self) -> Vec<IpAddr> {
        std::iter::once(self.address).chain(self.address6.map(IpAddr::V6)).collect()
    }

    /// Whether tunnels to this address end here.
    pub fn has(&self, address: IpAddr) -> bool {
        self.address == address || self.address6.map(IpAddr::V6) == Some(address)
    }

    /// What frames inside VXLAN are sent to: locally administered, and the same after a restart.
    pub fn router_mac(&self) -> Mac {
        match self.address {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                Mac([0x02, 0x5e, a, b, c, d])
            }
            IpAddr::V6(v6) => hashed_mac(v6),
        }
    }
}

/// The identifier of a node that has none: its IPv4 address, or a number made from its IPv6 address.
/// Two such numbers are equal by chance once in four thousand million pairs; `--router-id` helps.
pub fn default_router_id(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = hash(v6).to_be_bytes();
            // As an address it is one of a host.
            Ipv4Addr::new(a % 223 + 1, b, c, d)
        }
    }
}

/// A locally administered MAC address made from an address that does not fit into one.
pub fn hashed_mac(address: Ipv6Addr) -> Mac {
    let [.., a, b, c, d, e] = hash(address).to_be_bytes();
    Mac([0x06, a, b, c, d, e])
}

/// FNV-1a: the same on every machine and in every version, which `std`'s is not.
fn hash(address: Ipv6Addr) -> u64 {
    let hash = address.octets().into_iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_ipv6_has_an_identifier_and_a_mac_of_its_own() {
        let ids: std::collections::BTreeSet<_> = (0..1000u16)
            .map(|n| default_router_id(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into()))
            .collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| (1..=223).contains(&id.octets()[0])));
        let mac = hashed_mac("2001:db8::1".parse().unwrap());
        assert_eq!(mac.0[0] & 3, 2, "locally administered, of one host");
        assert_ne!(mac, hashed_mac("2001:db8::2".parse().unwrap()));
        assert_eq!(default_router_id([192, 0, 2, 1].into()), Ipv4Addr::new(192, 0, 2, 1));
    }
}
