//! The state of a node's data plane, wanted or found.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::fib::Fib;
use crate::nat::Translation;
use crate::port::{Port, PortId, VrfId};
use crate::tunnel::MplsLabel;

/// Everything that a node forwards by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    pub node: NodeConfig,
    pub vrfs: BTreeMap<VrfId, Vrf>,
    pub ports: BTreeMap<PortId, Port>,
    pub fib: Fib,
    /// By the VRF that the address is in.
    pub translations: BTreeMap<(VrfId, Ipv4Addr), Translation>,
}

/// One VRF.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vrf {
    /// Name of its network; for people only.
    pub name: String,
    /// Packets that arrive in a tunnel with this label are looked up here.
    pub label: MplsLabel,
}

/// What the underlay knows this node by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeConfig {
    /// Source of tunnels, and where they end. Unspecified: no tunnel is accepted.
    pub tunnel_address: Ipv4Addr,
    /// Names of the underlay's interfaces.
    pub uplinks: Vec<String>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self { tunnel_address: Ipv4Addr::UNSPECIFIED, uplinks: Vec::new() }
    }
}
