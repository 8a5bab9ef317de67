use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A network's forwarding table on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vrf {
    /// The node's own number of it, which is also in its route distinguisher.
    pub id: u32,
    /// The network it belongs to.
    pub name: String,
    pub rd: String,
    /// What other nodes put on packets for it.
    pub label: u32,
    /// What other nodes put on VXLAN packets for it; `None`: it is not offered over VXLAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<u32>,
    pub import_targets: Vec<String>,
    pub export_targets: Vec<String>,
    /// How many prefixes it holds.
    pub routes: u64,
    /// How many of them are of IPv6.
    #[serde(default)]
    pub ipv6_routes: u64,
}

/// A VRF with its whole table, as `arcus vrf NAME -o json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VrfTable {
    #[serde(flatten)]
    pub vrf: Vrf,
    pub table: Vec<VrfRoute>,
}

/// A prefix in a VRF and where its packets go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VrfRoute {
    #[schemars(with = "String")]
    pub prefix: IpNet,
    /// Flows are spread over all of them.
    pub next_hops: Vec<VrfNextHop>,
    /// BGP neighbors it came from; empty if it is this node's own.
    pub from: Vec<IpAddr>,
    /// Groups of who is behind it: names, or numbers that the topology file does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Whether the data plane has it.
    pub programmed: bool,
    /// Left by an earlier run of the agent, and kept until the control nodes have told everything.
    #[serde(default, skip_serializing_if = "is_false")]
    pub kept: bool,
    /// Why packets cannot take it: `no-common-encapsulation`, or what the data plane says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// One of the places that a route leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VrfNextHop {
    pub kind: VrfNextHopKind,
    /// A port, a service's backend port, the other end of a tunnel; empty for a discard and for the
    /// underlay.
    pub to: String,
    /// Of an MPLS tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<u32>,
    /// Of a VXLAN tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<u32>,
    /// Spelt as in the topology file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encapsulation: Option<String>,
    /// Its share of the flows, in proportion to those of the others; `None` where all are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// What is done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VrfNextHopKind {
    /// To a port of this node.
    Local,
    /// To a port of this node that answers for a service address.
    Service,
    /// To a port of this node that is reached under a floating address.
    Floating,
    /// To another node or a gateway.
    Tunnel,
    /// Into the underlay, from the node's own address.
    Masquerade,
    /// Dropped and counted.
    Discard,
}
