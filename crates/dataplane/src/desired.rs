//! The state of a node's data plane, wanted or found.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::fib::Fib;
use crate::filter::{Filter, FilterId};
use crate::mac::Mac;
use crate::nat::Translation;
use crate::port::{Port, PortId, VrfId};
use crate::range::PortRange;
use crate::tunnel::{MplsLabel, Vni};

/// Everything that a node forwards by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    pub node: NodeConfig,
    pub vrfs: BTreeMap<VrfId, Vrf>,
    pub filters: BTreeMap<FilterId, Filter>,
    pub ports: BTreeMap<PortId, Port>,
    pub fib: Fib,
    /// By the VRF that the address is in.
    pub translations: BTreeMap<(VrfId, IpAddr), Translation>,
}

/// One VRF.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vrf {
    /// Name of its network; for people only.
    pub name: String,
    /// Packets that arrive in a tunnel with this label are looked up here.
    pub label: MplsLabel,
    /// So are those that arrive in VXLAN with this VNI, for the node's router's MAC.
    pub vni: Option<Vni>,
}

/// What the underlay knows this node by, and what it does for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct NodeConfig {
    /// Source of tunnels over IPv4, and where they end. `None`: no tunnel is accepted.
    pub tunnel_v4: Option<Ipv4Addr>,
    /// The same over IPv6.
    pub tunnel_v6: Option<Ipv6Addr>,
    /// What frames inside VXLAN are sent to; it stands in our EVPN routes (RFC 9135 §6.1).
    pub router_mac: Mac,
    /// Names of the underlay's interfaces; with several, the kernel's routes choose.
    pub uplinks: Vec<String>,
    /// Source ports of connections that leave with the node's own address.
    pub masquerade_ports: Option<PortRange>,
    /// Who may ask whether this node is alive (BFD echo, UDP port 3785).
    pub probers: BTreeSet<IpAddr>,
    /// One of so many packets of workloads is reported; 0: none.
    pub sample_one_in: u32,
}

impl NodeConfig {
    /// The tunnel address of the version of `remote`.
    pub fn tunnel_address(&self, remote: IpAddr) -> Option<IpAddr> {
        match remote {
            IpAddr::V4(_) => self.tunnel_v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.tunnel_v6.map(IpAddr::V6),
        }
    }
}
