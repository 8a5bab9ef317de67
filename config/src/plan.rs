//! What an edited topology changes, and what each change costs, before anything changes.

mod details;
mod peer;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use self::details::Details;
use crate::{
    Cloud, Connection, ControlNode, Filter, Gateway, Group, Neighbor, Network, Nodes, PeerOptions,
    PeerSpec, Topology,
};

/// One difference between two topologies. Its `Display` is one line: `+` for what is new, `~` for
/// what is different, `-` for what is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Added(Part),
    Removed(Part),
    /// `details` has one text for each key that differs, as `asn 64512 -> 64514`.
    Changed {
        part: Part,
        details: Vec<String>,
    },
    /// A control node of both topologies has a new entry in its peer table.
    PeerAdded {
        control_node: String,
        peer: Box<PeerSpec>,
    },
    PeerRemoved {
        control_node: String,
        peer: Box<PeerSpec>,
    },
    PeerChanged {
        control_node: String,
        old: Box<PeerSpec>,
        new: Box<PeerSpec>,
        effect: Effect,
        details: Vec<String>,
    },
}

/// A table of the topology, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Federation(String),
    Cloud(String),
    ControlNode(String),
    Network(String),
    Connection(String),
    Gateway(String),
    Neighbor(String),
    Group(String),
    Filter(String),
}

/// What a change of a peer costs, cheapest first: of several, the `max` is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The session goes on; what is told to the peer follows.
    Keep,
    /// The session goes on; the peer is asked for its routes again (RFC 2918).
    Refresh,
    /// The session ends and comes up anew.
    Reset,
}

/// All that makes `new` different from `old`: tables first, then the peers of each control node
/// that is in both. Empty when they are equal.
pub fn plan(old: &Topology, new: &Topology) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut federation = Details::default();
    federation.value("name", &old.federation.name, &new.federation.name);
    federation.option(
        "target-range",
        old.federation.target_range.as_ref(),
        new.federation.target_range.as_ref(),
    );
    changes.extend(changed(Part::Federation(new.federation.name.clone()), federation));

    compare(&old.clouds, &new.clouds, Part::Cloud, cloud, &mut changes);
    let control_nodes = |topology: &Topology| -> BTreeMap<String, ControlNode> {
        topology.control_nodes().map(|(_, node)| (node.name.clone(), node.clone())).collect()
    };
    let (old_nodes, new_nodes) = (control_nodes(old), control_nodes(new));
    compare(&old_nodes, &new_nodes, Part::ControlNode, control_node, &mut changes);
    compare(&old.networks, &new.networks, Part::Network, network, &mut changes);
    compare(&old.connections, &new.connections, Part::Connection, connection, &mut changes);
    compare(&old.gateways, &new.gateways, Part::Gateway, gateway, &mut changes);
    compare(&old.neighbors, &new.neighbors, Part::Neighbor, neighbor, &mut changes);
    compare(&old.groups, &new.groups, Part::Group, group, &mut changes);
    compare(&old.filters, &new.filters, Part::Filter, filter, &mut changes);
    for (name, node) in &new_nodes {
        if let Some(before) = old_nodes.get(name) {
            peer::compare(old, before, new, node, &mut changes);
        }
    }
    changes
}

impl Change {
    /// The control node whose peer table this is about; `None` when it is about a table of the file.
    pub fn control_node(&self) -> Option<&str> {
        match self {
            Self::Added(_) | Self::Removed(_) | Self::Changed { .. } => None,
            Self::PeerAdded { control_node, .. }
            | Self::PeerRemoved { control_node, .. }
            | Self::PeerChanged { control_node, .. } => Some(control_node),
        }
    }
}

fn changed(part: Part, details: Details) -> Option<Change> {
    let details = details.into_texts();
    (!details.is_empty()).then_some(Change::Changed { part, details })
}

/// Compares what stands behind equal names.
fn compare<T>(
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    part: fn(String) -> Part,
    details: fn(&T, &T) -> Details,
    changes: &mut Vec<Change>,
) {
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    changes.extend(gone.map(|name| Change::Removed(part(name.clone()))));
    for (name, now) in new {
        match old.get(name) {
            None => changes.push(Change::Added(part(name.clone()))),
            Some(before) => changes.extend(changed(part(name.clone()), details(before, now))),
        }
    }
}

fn cloud(old: &Cloud, new: &Cloud) -> Details {
    let mut details = Details::default();
    details.value("asn", &old.asn, &new.asn);
    details.order("encapsulations", &old.encapsulations, &new.encapsulations);
    details.value("hold-time", &old.hold_time, &new.hold_time);
    details.value("graceful-restart-time", &old.graceful_restart_time, &new.graceful_restart_time);
    details.set("allocation-ranges", &old.allocation_ranges, &new.allocation_ranges);
    nodes(&mut details, &old.nodes, &new.nodes);
    details.value("announce-groups", &old.announce_groups, &new.announce_groups);
    details.value("client-to-client", &old.client_to_client, &new.client_to_client);
    let (before, now) = (&old.decision, &new.decision);
    let key = |key: &str| format!("decision.{key}");
    details.value(&key("always-compare-med"), &before.always_compare_med, &now.always_compare_med);
    details.value(
        &key("missing-med-is-worst"),
        &before.missing_med_is_worst,
        &now.missing_med_is_worst,
    );
    details.value(&key("aigp"), &before.aigp, &now.aigp);
    details.value(&key("track-next-hops"), &before.track_next_hops, &now.track_next_hops);
    let clouds: BTreeSet<&String> = old.peers.keys().chain(new.peers.keys()).collect();
    let nothing = PeerOptions::default();
    for cloud in clouds {
        let of = |peers: &BTreeMap<String, PeerOptions>| peers.get(cloud).cloned();
        let (before, now) = (of(&old.peers), of(&new.peers));
        let (before, now) = (before.as_ref().unwrap_or(&nothing), now.as_ref().unwrap_or(&nothing));
        details.options(&format!("peer.{cloud}."), before, now);
    }
    details
}

fn nodes(details: &mut Details, old: &Nodes, new: &Nodes) {
    details.set("nodes.prefixes", &old.prefixes, &new.prefixes);
    details.set("nodes.families", &old.families, &new.families);
    let (before, now) = (old.limits, new.limits);
    details.option("nodes.max-nodes", before.max_nodes.as_ref(), now.max_nodes.as_ref());
    details.option("nodes.max-prefixes", before.max_prefixes.as_ref(), now.max_prefixes.as_ref());
    details.option("nodes.max-ports", before.max_ports.as_ref(), now.max_ports.as_ref());
    details.option("nodes.max-routes", before.max_routes.as_ref(), now.max_routes.as_ref());
    details.value("nodes.masquerade-ports", &old.masquerade_ports, &new.masquerade_ports);
    details.option("nodes.headless-time", old.headless_time.as_ref(), new.headless_time.as_ref());
    details.option("nodes.flow-export", old.flow_export.as_ref(), new.flow_export.as_ref());
    details.options("nodes.", &old.options, &new.options);
}

fn control_node(old: &ControlNode, new: &ControlNode) -> Details {
    let mut details = Details::default();
    details.value("address", &old.address, &new.address);
    details.value("port", &old.port, &new.port);
    details.value("router-id", &old.router_id, &new.router_id);
    details.value("cluster-id", &old.cluster_id, &new.cluster_id);
    details
}

fn network(old: &Network, new: &Network) -> Details {
    let mut details = Details::default();
    details.set("clouds", &old.clouds, &new.clouds);
    details.set("subnets", &old.subnets, &new.subnets);
    details.set("service-subnets", &old.service_subnets, &new.service_subnets);
    details.set("import-targets", &old.import_targets, &new.import_targets);
    details.set("export-targets", &old.export_targets, &new.export_targets);
    details.option("vni", old.vni.as_ref(), new.vni.as_ref());
    details.option("filter", old.filter.as_ref(), new.filter.as_ref());
    details.set("groups", &old.groups, &new.groups);
    details.set("static-routes", &old.static_routes, &new.static_routes);
    details.set("aggregates", &old.aggregates, &new.aggregates);
    details.value("masquerade", &old.masquerade, &new.masquerade);
    details.value("host-access", &old.host_access, &new.host_access);
    details.value("port-labels", &old.port_labels, &new.port_labels);
    details
}

fn group(old: &Group, new: &Group) -> Details {
    let mut details = Details::default();
    details.value("id", &old.id, &new.id);
    details
}

fn filter(old: &Filter, new: &Filter) -> Details {
    let mut details = Details::default();
    details.value("default-in", &old.default_in, &new.default_in);
    details.value("default-out", &old.default_out, &new.default_out);
    let texts = |filter: &Filter| -> Vec<String> {
        filter.rules.iter().map(|rule| format!("({rule})")).collect()
    };
    let (before, now) = (texts(old), texts(new));
    details.set("rules", &before, &now);
    // The same rules in another order may decide otherwise.
    let order = |filter: &Filter, others: &[String]| -> Vec<String> {
        let kept = filter.rules.iter().filter(|rule| others.contains(&format!("({rule})")));
        kept.map(|rule| rule.name.clone()).collect()
    };
    details.order("order of rules", &order(old, &now), &order(new, &before));
    details
}

fn connection(old: &Connection, new: &Connection) -> Details {
    let mut details = Details::default();
    details.value("from", &old.from, &new.from);
    details.value("to", &old.to, &new.to);
    details.value("service-target", &old.service_target, &new.service_target);
    details.value("return-target", &old.return_target, &new.return_target);
    details.value("one-way", &old.one_way, &new.one_way);
    details
}

fn gateway(old: &Gateway, new: &Gateway) -> Details {
    let mut details = Details::default();
    details.set("clouds", &old.clouds, &new.clouds);
    details.value("address", &old.address, &new.address);
    details.value("port", &old.port, &new.port);
    details.value("asn", &old.asn, &new.asn);
    details.set("families", &old.families, &new.families);
    details.set("networks", &old.networks, &new.networks);
    details.set("tunnel-addresses", &old.tunnel_addresses, &new.tunnel_addresses);
    details.order("encapsulations", &old.encapsulations, &new.encapsulations);
    details.value("hold-time", &old.hold_time, &new.hold_time);
    details.option("max-prefixes", old.max_prefixes.as_ref(), new.max_prefixes.as_ref());
    details.options("", &old.options, &new.options);
    details
}

fn neighbor(old: &Neighbor, new: &Neighbor) -> Details {
    let mut details = Details::default();
    details.set("clouds", &old.clouds, &new.clouds);
    details.set("control-nodes", &old.control_nodes, &new.control_nodes);
    details.value("at", &old.remote, &new.remote);
    details.value("asn", &old.asn, &new.asn);
    details.value("client", &old.client, &new.client);
    details.set("families", &old.families, &new.families);
    details.value("hold-time", &old.hold_time, &new.hold_time);
    details.option(
        "graceful-restart-time",
        old.graceful_restart_time.as_ref(),
        new.graceful_restart_time.as_ref(),
    );
    details.option("max-peers", old.max_peers.as_ref(), new.max_peers.as_ref());
    details.option("max-prefixes", old.max_prefixes.as_ref(), new.max_prefixes.as_ref());
    details.options("", &old.options, &new.options);
    details
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Federation(name) => write!(f, "federation {name}"),
            Self::Cloud(name) => write!(f, "cloud {name}"),
            Self::ControlNode(name) => write!(f, "control node {name}"),
            Self::Network(name) => write!(f, "network {name}"),
            Self::Connection(name) => write!(f, "connection {name}"),
            Self::Gateway(name) => write!(f, "gateway {name}"),
            Self::Neighbor(name) => write!(f, "neighbor {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Filter(name) => write!(f, "filter {name}"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keep => "the session stays",
            Self::Refresh => "the session stays, its routes are asked for again",
            Self::Reset => "the session is reset",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(part) => write!(f, "+ {part}"),
            Self::Removed(part) => write!(f, "- {part}"),
            Self::Changed { part, details } => write!(f, "~ {part}: {}", details.join(", ")),
            Self::PeerAdded { control_node, peer } => {
                write!(f, "+ peer {} of {control_node}: AS {}", peer.name, peer.peer_asn)
            }
            Self::PeerRemoved { control_node, peer } => {
                write!(f, "- peer {} of {control_node}: its routes go", peer.name)
            }
            Self::PeerChanged { control_node, new, effect, details, .. } => {
                let details = details.join(", ");
                write!(f, "~ peer {} of {control_node}: {details}; {effect}", new.name)
            }
        }
    }
}
