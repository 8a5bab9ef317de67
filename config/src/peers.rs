//! Who a control node peers with.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use crate::RouteTarget;
use ipnet::IpNet;

use crate::{AfiSafi, Cloud, ControlNode, Gateway, HoldTime, Topology, topology::OVERLAY_FAMILIES};

/// One entry of a control node's peer table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSpec {
    /// A control node or gateway by its name; nodes by `CLOUD-nodes`.
    pub name: String,
    pub role: PeerRole,
    pub remote: Remote,
    pub local_asn: u32,
    pub peer_asn: u32,
    pub families: Vec<AfiSafi>,
    pub hold_time: HoldTime,
    /// In seconds: what we announce.
    pub graceful_restart_time: u16,
    /// Routes of one family that are taken from it at most.
    pub max_prefixes: Option<u32>,
}

/// What a peer is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerRole {
    /// A control node of our cloud: iBGP, not a client (RFC 4456).
    Sibling,
    /// A control node of another cloud: eBGP over several hops, next hops unchanged.
    Federated { cloud: String },
    /// A router of someone else: eBGP over several hops, limited to these targets.
    Gateway(GatewayTargets),
    /// The nodes of our cloud: iBGP clients, at most so many at a time.
    Nodes { max_nodes: Option<u32> },
}

/// What a gateway takes part in (the policy that RFC 8212 asks for).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayTargets {
    /// Its routes are taken when they carry one of these.
    pub import: BTreeSet<RouteTarget>,
    /// It is told routes that carry one of these.
    pub export: BTreeSet<RouteTarget>,
}

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// We connect to it, and it may connect to us from this address.
    Address(SocketAddr),
    /// It connects to us, from within one of these.
    Prefixes(Vec<IpNet>),
}

impl PeerRole {
    /// In a word, for logs and the API.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sibling => "sibling",
            Self::Federated { .. } => "federated",
            Self::Gateway(_) => "gateway",
            Self::Nodes { .. } => "node",
        }
    }
}

impl PeerSpec {
    /// Whether the session is eBGP.
    pub const fn is_external(&self) -> bool {
        self.local_asn != self.peer_asn
    }

    /// Whether it is a client of our route reflector.
    pub const fn is_client(&self) -> bool {
        matches!(self.role, PeerRole::Nodes { .. })
    }

    /// Whether a connection from this address may be this peer.
    pub fn accepts(&self, from: IpAddr) -> bool {
        match &self.remote {
            Remote::Address(address) => address.ip() == from,
            Remote::Prefixes(prefixes) => prefixes.iter().any(|prefix| prefix.contains(&from)),
        }
    }
}

impl Topology {
    /// Everyone whom a control node peers with: first control nodes, then gateways, then its
    /// nodes. Empty for a control node that is not of this topology.
    pub fn peers_of(&self, node: &ControlNode) -> Vec<PeerSpec> {
        let Some((home, me)) = self.control_node(&node.name) else { return Vec::new() };
        let control_nodes = self
            .control_nodes()
            .filter(|(_, other)| other.name != me.name)
            .map(|(cloud, other)| control_node_peer(home, cloud, other));
        let gateways = self.gateways_of(&home.name).map(|g| self.gateway_peer(home, g));
        let nodes = (!home.nodes.prefixes.is_empty()).then(|| nodes_peer(home));
        control_nodes.chain(gateways).chain(nodes).collect()
    }

    fn gateway_peer(&self, home: &Cloud, gateway: &Gateway) -> PeerSpec {
        let networks = || gateway.networks.iter().filter_map(|name| self.networks.get(name));
        PeerSpec {
            name: gateway.name.clone(),
            role: PeerRole::Gateway(GatewayTargets {
                import: networks().flat_map(|n| n.import_targets.iter().copied()).collect(),
                export: networks().flat_map(|n| self.export_targets(n)).collect(),
            }),
            remote: Remote::Address(SocketAddr::new(gateway.address, gateway.port)),
            local_asn: home.asn,
            peer_asn: gateway.asn,
            families: gateway.families.clone(),
            hold_time: gateway.hold_time,
            graceful_restart_time: home.graceful_restart_time,
            max_prefixes: gateway.max_prefixes,
        }
    }
}

fn control_node_peer(home: &Cloud, cloud: &Cloud, other: &ControlNode) -> PeerSpec {
    let role = if cloud.name == home.name {
        PeerRole::Sibling
    } else {
        PeerRole::Federated { cloud: cloud.name.clone() }
    };
    PeerSpec {
        name: other.name.clone(),
        role,
        remote: Remote::Address(SocketAddr::new(other.address, other.port)),
        local_asn: home.asn,
        peer_asn: cloud.asn,
        families: OVERLAY_FAMILIES.to_vec(),
        hold_time: home.hold_time,
        graceful_restart_time: home.graceful_restart_time,
        max_prefixes: None,
    }
}

fn nodes_peer(home: &Cloud) -> PeerSpec {
    PeerSpec {
        name: format!("{}-nodes", home.name),
        role: PeerRole::Nodes { max_nodes: home.nodes.limits.max_nodes },
        remote: Remote::Prefixes(home.nodes.prefixes.clone()),
        local_asn: home.asn,
        peer_asn: home.asn,
        families: home.nodes.families.clone(),
        hold_time: home.hold_time,
        graceful_restart_time: home.graceful_restart_time,
        max_prefixes: home.nodes.limits.max_prefixes,
    }
}
