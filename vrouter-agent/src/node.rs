//! Who this agent is.

use std::net::Ipv4Addr;

use bgp_wire::RouteDistinguisher;
use dataplane::VrfId;

/// The node that the agent runs on. Does not change while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What the socket and log lines call it.
    pub name: String,
    /// A cloud of the topology.
    pub cloud: String,
    /// Where BGP connects from, where tunnels end, and the upper part of route distinguishers.
    pub address: Ipv4Addr,
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
        // `VrfId` ends at 4095.
        RouteDistinguisher::ipv4(self.address, u16::try_from(vrf.0).unwrap_or(u16::MAX))
    }
}
