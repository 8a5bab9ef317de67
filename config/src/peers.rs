//! Who a control node peers with.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use crate::{
    AfiSafi, Cloud, ControlNode, Gateway, HoldTime, Neighbor, PeerAs, PeerOptions, Remote,
    RouteTarget, Topology, topology::OVERLAY_FAMILIES,
};

/// One entry of a control node's peer table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSpec {
    /// A control node, gateway or neighbor by its name; nodes by `CLOUD-nodes`.
    pub name: String,
    pub role: PeerRole,
    pub remote: Remote,
    /// Of our cloud; a peer that has the option `local_as` sees that.
    pub local_asn: u32,
    pub peer_asn: PeerAs,
    pub families: Vec<AfiSafi>,
    pub hold_time: HoldTime,
    /// In seconds: what we announce.
    pub graceful_restart_time: u16,
    /// Routes of one family that are taken from it at most.
    pub max_prefixes: Option<u32>,
    /// All the rest. What has a field above is `None` here.
    pub options: PeerOptions,
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
    /// Whatever else: an entry of its own, or so many at a time from prefixes.
    Neighbor { client: bool, max_peers: Option<u32> },
}

/// What a gateway takes part in (the policy that RFC 8212 asks for).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayTargets {
    /// Its routes are taken when they carry one of these.
    pub import: BTreeSet<RouteTarget>,
    /// It is told routes that carry one of these.
    pub export: BTreeSet<RouteTarget>,
}

impl PeerRole {
    /// In a word, for logs and the API.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sibling => "sibling",
            Self::Federated { .. } => "federated",
            Self::Gateway(_) => "gateway",
            Self::Nodes { .. } => "node",
            Self::Neighbor { client: false, .. } => "neighbor",
            Self::Neighbor { client: true, .. } => "client",
        }
    }

    /// Sessions from the prefixes of the entry at a time.
    pub const fn limit(&self) -> Option<u32> {
        match self {
            Self::Nodes { max_nodes: limit } | Self::Neighbor { max_peers: limit, .. } => *limit,
            Self::Sibling | Self::Federated { .. } | Self::Gateway(_) => None,
        }
    }
}

impl PeerSpec {
    /// Whether the session is eBGP.
    pub fn is_external(&self) -> bool {
        self.peer_asn.only() != Some(self.local_asn)
    }

    /// Whether it is to have no session.
    pub fn is_shut_down(&self) -> bool {
        self.options.shutdown == Some(true)
    }

    /// Whether it is a client of our route reflector.
    pub const fn is_client(&self) -> bool {
        matches!(self.role, PeerRole::Nodes { .. } | PeerRole::Neighbor { client: true, .. })
    }

    /// Whether a connection from this address may be this peer.
    pub fn accepts(&self, from: IpAddr) -> bool {
        self.remote.matches(from).is_some()
    }

    /// Whether preference travels as MED between it and us: over the border of our federation's
    /// clouds as in Contrail, elsewhere where it was asked for.
    pub fn has_preference_as_med(&self) -> bool {
        let is_border = matches!(self.role, PeerRole::Federated { .. } | PeerRole::Gateway(_));
        self.options.preference_as_med.unwrap_or(is_border) && self.is_external()
    }
}

impl Topology {
    /// Everyone whom a control node peers with: first control nodes, then gateways, then neighbors,
    /// then its nodes. Empty for a control node that is not of this topology.
    pub fn peers_of(&self, node: &ControlNode) -> Vec<PeerSpec> {
        let Some((home, me)) = self.control_node(&node.name) else { return Vec::new() };
        let control_nodes = self
            .control_nodes()
            .filter(|(_, other)| other.name != me.name)
            .map(|(cloud, other)| control_node_peer(home, cloud, other));
        let gateways = self.gateways_of(&home.name).map(|g| self.gateway_peer(home, g));
        let neighbors = self.neighbors_of(home, me).map(|n| neighbor_peer(home, n));
        let nodes = (!home.nodes.prefixes.is_empty()).then(|| nodes_peer(home));
        control_nodes.chain(gateways).chain(neighbors).chain(nodes).collect()
    }

    /// The neighbors that peer with this control node, by name.
    fn neighbors_of<'a>(
        &'a self,
        home: &'a Cloud,
        me: &'a ControlNode,
    ) -> impl Iterator<Item = &'a Neighbor> {
        self.neighbors.values().filter(|neighbor| neighbor.peers_with(&home.name, &me.name))
    }

    /// The AS numbers of the clouds other than this one: what a route that came over another cloud
    /// has in its path.
    pub fn other_ases(&self, home: &Cloud) -> BTreeSet<u32> {
        self.clouds.values().map(|cloud| cloud.asn).filter(|asn| *asn != home.asn).collect()
    }

    fn gateway_peer(&self, home: &Cloud, gateway: &Gateway) -> PeerSpec {
        let networks = || gateway.networks.iter().filter_map(|name| self.networks.get(name));
        let mut options = gateway.options.clone();
        let restart_time = options.graceful_restart_time.take();
        PeerSpec {
            name: gateway.name.clone(),
            role: PeerRole::Gateway(GatewayTargets {
                import: networks().flat_map(|n| n.import_targets.iter().copied()).collect(),
                export: networks().flat_map(|n| self.export_targets(n)).collect(),
            }),
            remote: Remote::Address(SocketAddr::new(gateway.address, gateway.port)),
            local_asn: home.asn,
            peer_asn: PeerAs::Is(gateway.asn),
            families: gateway.families.clone(),
            hold_time: gateway.hold_time,
            graceful_restart_time: restart_time.unwrap_or(home.graceful_restart_time),
            max_prefixes: gateway.max_prefixes,
            options,
        }
    }
}

impl Neighbor {
    /// Whether this control node of this cloud has a session with it.
    pub fn peers_with(&self, cloud: &str, control_node: &str) -> bool {
        self.clouds.iter().any(|name| name == cloud)
            || self.control_nodes.iter().any(|name| name == control_node)
    }
}

fn control_node_peer(home: &Cloud, cloud: &Cloud, other: &ControlNode) -> PeerSpec {
    let role = if cloud.name == home.name {
        PeerRole::Sibling
    } else {
        PeerRole::Federated { cloud: cloud.name.clone() }
    };
    let mut options = home.peers.get(&cloud.name).cloned().unwrap_or_default();
    let restart_time = options.graceful_restart_time.take();
    PeerSpec {
        name: other.name.clone(),
        role,
        remote: Remote::Address(SocketAddr::new(other.address, other.port)),
        local_asn: home.asn,
        peer_asn: PeerAs::Is(cloud.asn),
        families: options.families.take().unwrap_or_else(|| OVERLAY_FAMILIES.to_vec()),
        hold_time: options.hold_time.take().unwrap_or(home.hold_time),
        graceful_restart_time: restart_time.unwrap_or(home.graceful_restart_time),
        max_prefixes: options.max_prefixes.take(),
        options,
    }
}

fn neighbor_peer(home: &Cloud, neighbor: &Neighbor) -> PeerSpec {
    let restart_time = neighbor.graceful_restart_time;
    PeerSpec {
        name: neighbor.name.clone(),
        role: PeerRole::Neighbor { client: neighbor.client, max_peers: neighbor.max_peers },
        remote: neighbor.remote.clone(),
        local_asn: home.asn,
        peer_asn: neighbor.asn.clone(),
        families: neighbor.families.clone(),
        hold_time: neighbor.hold_time,
        graceful_restart_time: restart_time.unwrap_or(home.graceful_restart_time),
        max_prefixes: neighbor.max_prefixes,
        options: neighbor.options.clone(),
    }
}

fn nodes_peer(home: &Cloud) -> PeerSpec {
    PeerSpec {
        name: format!("{}-nodes", home.name),
        role: PeerRole::Nodes { max_nodes: home.nodes.limits.max_nodes },
        remote: Remote::Prefixes(home.nodes.prefixes.clone()),
        local_asn: home.asn,
        peer_asn: PeerAs::Is(home.asn),
        families: home.nodes.families.clone(),
        hold_time: home.hold_time,
        graceful_restart_time: home.graceful_restart_time,
        max_prefixes: home.nodes.limits.max_prefixes,
        options: home.nodes.options.clone(),
    }
}
