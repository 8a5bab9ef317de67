//! What a topology says. A value of these types that came out of [`crate::read`] has been checked.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use crate::RouteTarget;
use ipnet::IpNet;

use crate::{
    AfiSafi, Encapsulation, Filter, Group, HoldTime, Neighbor, PeerOptions, PortRange, StaticRoute,
    TargetRange,
};

/// A federation of clouds: who is in it, and which networks reach which.
///
/// Two are equal when they say the same, whatever their files look like.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Topology {
    pub federation: Federation,
    pub clouds: BTreeMap<String, Cloud>,
    pub networks: BTreeMap<String, Network>,
    pub connections: BTreeMap<String, Connection>,
    pub gateways: BTreeMap<String, Gateway>,
    pub neighbors: BTreeMap<String, Neighbor>,
    pub groups: BTreeMap<String, Group>,
    pub filters: BTreeMap<String, Filter>,
}

/// `[federation]`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Federation {
    pub name: String,
    /// From here `arcus allocate` takes the targets that connections leave out.
    pub target_range: Option<TargetRange>,
}

/// `[cloud.NAME]`: one AS with its control nodes and its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cloud {
    pub name: String,
    /// 1 to 4294967294, but not 23456 (RFC 6793) and not 65535 (RFC 7300).
    pub asn: u32,
    /// How its nodes send, most preferred first; never empty. They accept every encapsulation.
    pub encapsulations: Vec<Encapsulation>,
    /// Never empty.
    pub control_nodes: BTreeMap<String, ControlNode>,
    pub nodes: Nodes,
    /// Of its control nodes towards each other and towards nodes and other clouds.
    pub hold_time: HoldTime,
    /// Seconds that a peer keeps our routes while we restart: 0 to 4095 (RFC 4724 section 3).
    pub graceful_restart_time: u16,
    /// Addresses that this cloud may give to workloads; empty when it says nothing. Those of two
    /// clouds never overlap, so a network may be stretched over both. Sorted.
    pub allocation_ranges: Vec<IpNet>,
    /// Whether its control nodes pass on to their clients what they hear from other clients.
    pub client_to_client: bool,
    pub decision: Decision,
    /// Whether its nodes put the groups of a port on its routes. `false`.
    pub announce_groups: bool,
    /// How its control nodes deal with those of a cloud, by its name; their own among them.
    pub peers: BTreeMap<String, PeerOptions>,
}

/// `[cloud.NAME.decision]`: how control nodes choose among paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the file")]
pub struct Decision {
    /// MED counts between paths of different neighbouring ASes, too. `false`.
    pub always_compare_med: bool,
    /// A route without MED counts as the worst, not as the best (RFC 4451 section 2.2). `false`.
    pub missing_med_is_worst: bool,
    /// The accumulated metric counts, behind `LOCAL_PREF` (RFC 7311). `true`.
    pub aigp: bool,
    /// Only routes whose next hop the kernel of the control node reaches count, the nearer first. `false`.
    pub track_next_hops: bool,
}

impl Default for Decision {
    fn default() -> Self {
        Self {
            always_compare_med: false,
            missing_med_is_worst: false,
            aigp: true,
            track_next_hops: false,
        }
    }
}

/// `[cloud.NAME.control-node.NAME]`: one route reflector.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ControlNode {
    pub name: String,
    /// Where it listens, and where it connects from.
    pub address: IpAddr,
    /// TCP port that it listens on.
    pub port: u16,
    pub router_id: Ipv4Addr,
    /// RFC 4456; unlike that of every other control node of the same AS, unless the cloud has one
    /// for all of them.
    pub cluster_id: Ipv4Addr,
}

/// What control nodes speak among themselves and, unless told otherwise, with their nodes. No
/// unicast: routes of the underlay have no business in a federation. Sorted.
pub(crate) const OVERLAY_FAMILIES: [AfiSafi; 4] =
    [AfiSafi::VPNV4, AfiSafi::RTC, AfiSafi::VPNV6, AfiSafi::EVPN];

/// `[cloud.NAME.nodes]`: who may connect as a vrouter-agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nodes {
    /// Empty when the cloud has no nodes yet. Sorted.
    pub prefixes: Vec<IpNet>,
    /// What their sessions carry. Never empty, sorted.
    pub families: Vec<AfiSafi>,
    pub limits: NodeLimits,
    /// Source ports of connections that leave a node with its own address. 61000-65535.
    pub masquerade_ports: PortRange,
    /// Seconds that a node forwards by what it was told when all control nodes are gone; `None`: for
    /// ever.
    pub headless_time: Option<u32>,
    pub flow_export: Option<FlowExport>,
    /// All the rest. What has a field above is `None` here.
    pub options: PeerOptions,
}

/// `flow-export = { .. }`: a sample of the packets of workloads, as IPFIX over UDP (RFC 7011).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowExport {
    pub collector: SocketAddr,
    /// 1000.
    pub sample_one_in: u32,
}

impl std::fmt::Display for FlowExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "one in {} to {}", self.sample_one_in, self.collector)
    }
}

impl Nodes {
    /// Above what a kernel takes for its own connections (32768-60999).
    const MASQUERADE_PORTS: PortRange = match PortRange::new(61_000, 65_535) {
        Some(range) => range,
        None => unreachable!(),
    };
}

impl Default for Nodes {
    /// No nodes.
    fn default() -> Self {
        Self {
            prefixes: Vec::new(),
            families: OVERLAY_FAMILIES.to_vec(),
            limits: NodeLimits::default(),
            masquerade_ports: Self::MASQUERADE_PORTS,
            headless_time: None,
            flow_export: None,
            options: PeerOptions::default(),
        }
    }
}

/// How much there may be of something; `None` is no limit, or that of
/// [`NodeScale`](crate::NodeScale).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct NodeLimits {
    /// Sessions from `prefixes` at a time.
    pub max_nodes: Option<u32>,
    /// Routes of one node and family.
    pub max_prefixes: Option<u32>,
    /// Ports on one node.
    pub max_ports: Option<u32>,
    /// Routes in the tables of one node.
    pub max_routes: Option<u32>,
}

/// `[network.NAME]`: a virtual network; where it has ports, each node has a VRF for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Network {
    pub name: String,
    /// Clouds that may have ports in it; never empty, sorted.
    pub clouds: Vec<String>,
    /// Where its ports have their addresses. Sorted.
    pub subnets: Vec<IpNet>,
    /// Where its service addresses are. Sorted.
    pub service_subnets: Vec<IpNet>,
    /// As written; [`Topology::import_targets`] adds those of connections. Sorted.
    pub import_targets: Vec<RouteTarget>,
    /// As written; see [`Topology::export_targets`]. Sorted.
    pub export_targets: Vec<RouteTarget>,
    /// 1 to 16777215; `None`: it is not offered over VXLAN.
    pub vni: Option<u32>,
    /// Of its ports that have none of their own.
    pub filter: Option<String>,
    /// Of its ports that have none of their own. Sorted.
    pub groups: Vec<String>,
    /// Sorted.
    pub static_routes: Vec<StaticRoute>,
    /// Announced, with a discard behind them, by nodes with a port or route inside. Sorted.
    pub aggregates: Vec<IpNet>,
    /// Connections that it has no route for leave with the address of the node. `false`.
    pub masquerade: bool,
    /// The node itself may open connections to its ports. `false`.
    pub host_access: bool,
    /// Each port has an MPLS label of its own, else all have that of the VRF. `false`.
    pub port_labels: bool,
}

/// Which part of a network an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubnetKind {
    /// An address of a port.
    Port,
    /// An address that nodes with a ready endpoint originate.
    Service,
}

/// `[connection.NAME]`: the ports of `from` may use the services of `to`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Connection {
    pub name: String,
    pub from: String,
    pub to: String,
    /// On the service addresses of `to`, imported by `from`.
    pub service_target: RouteTarget,
    /// On the ports of `from`, imported by `to`.
    pub return_target: RouteTarget,
    /// Ports of `to` may not open connections to ports of `from`. `false`.
    pub one_way: bool,
}

/// `[gateway.NAME]`: a router that is not ours, and what it may see.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gateway {
    pub name: String,
    /// Clouds whose control nodes peer with it; never empty, sorted.
    pub clouds: Vec<String>,
    pub address: IpAddr,
    /// TCP port that it listens on.
    pub port: u16,
    /// Unlike that of each of its clouds.
    pub asn: u32,
    /// Never empty, sorted.
    pub families: Vec<AfiSafi>,
    /// Networks whose routes it gets and may add to; sorted.
    pub networks: Vec<String>,
    /// Next hops of its routes: where tunnels to it end. Sorted.
    pub tunnel_addresses: Vec<IpAddr>,
    /// For its routes that name none, most preferred first; never empty.
    pub encapsulations: Vec<Encapsulation>,
    pub hold_time: HoldTime,
    /// Routes of one family that are taken from it at most.
    pub max_prefixes: Option<u32>,
    /// All the rest. What has a field above is `None` here.
    pub options: PeerOptions,
}

impl Topology {
    /// The control node of this name, and its cloud.
    pub fn control_node(&self, name: &str) -> Option<(&Cloud, &ControlNode)> {
        self.clouds
            .values()
            .find_map(|cloud| cloud.control_nodes.get(name).map(|node| (cloud, node)))
    }

    /// Every control node with its cloud, by cloud and name.
    pub fn control_nodes(&self) -> impl Iterator<Item = (&Cloud, &ControlNode)> {
        self.clouds
            .values()
            .flat_map(|cloud| cloud.control_nodes.values().map(move |node| (cloud, node)))
    }

    /// The networks that may have ports in this cloud, by name.
    pub fn networks_of(&self, cloud: &str) -> impl Iterator<Item = &Network> {
        self.networks.values().filter(move |network| network.is_in(cloud))
    }

    /// The gateways that peer with this cloud, by name.
    pub fn gateways_of(&self, cloud: &str) -> impl Iterator<Item = &Gateway> {
        self.gateways.values().filter(move |gateway| gateway.clouds.iter().any(|c| c == cloud))
    }

    /// The networks that an address belongs to, by name. They are several when a network is
    /// described in halves under one target, or when separate networks use the same addresses.
    pub fn owners_of(&self, address: IpAddr) -> impl Iterator<Item = (&Network, SubnetKind)> {
        self.networks
            .values()
            .filter_map(move |network| network.holds(address).map(|kind| (network, kind)))
    }

    /// What to use for a route that offers no encapsulation and has this next hop: `None` when no
    /// gateway has this tunnel address.
    pub fn gateway_encapsulation(&self, tunnel_address: IpAddr) -> Option<&[Encapsulation]> {
        self.gateways
            .values()
            .find(|gateway| gateway.tunnel_addresses.contains(&tunnel_address))
            .map(|gateway| gateway.encapsulations.as_slice())
    }
}

impl Cloud {
    /// Whether this cloud may give `address` to a workload: always, unless it has ranges.
    pub fn may_allocate(&self, address: IpAddr) -> bool {
        self.allocation_ranges.is_empty()
            || self.allocation_ranges.iter().any(|range| range.contains(&address))
    }

    /// Whether a vrouter-agent may connect from this address.
    pub fn has_node(&self, address: IpAddr) -> bool {
        self.nodes.prefixes.iter().any(|prefix| prefix.contains(&address))
    }
}

impl Network {
    /// Whether it may have ports in this cloud.
    pub fn is_in(&self, cloud: &str) -> bool {
        self.clouds.iter().any(|c| c == cloud)
    }

    /// Its subnets and its service subnets.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        self.subnets.iter().chain(&self.service_subnets).copied()
    }

    /// Which part of the network an address belongs to, if any.
    pub fn holds(&self, address: IpAddr) -> Option<SubnetKind> {
        let within = |subnets: &[IpNet]| subnets.iter().any(|subnet| subnet.contains(&address));
        if within(&self.subnets) {
            Some(SubnetKind::Port)
        } else if within(&self.service_subnets) {
            Some(SubnetKind::Service)
        } else {
            None
        }
    }
}
