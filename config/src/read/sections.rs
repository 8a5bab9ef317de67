//! The tables of a topology, each to its type.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;

use super::{DraftConnection, filters, networks, peers};
use crate::{
    Cloud, ConfigError, ControlNode, Decision, Encapsulation, Federation, Filter, FlowExport,
    Group, HoldTime, Network, NodeLimits, Nodes, PeerOptions,
    options::{Bounded, sorted},
    table::Table,
    value::{Asn, Limit, Port, RestartTime},
};

const BGP_PORT: u16 = 179;

/// In seconds, as most daemons have it.
const GRACEFUL_RESTART_TIME: u16 = 120;

const SAMPLE_ONE_IN: u32 = 1000;

/// What the files read so far say.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) federation: Option<Federation>,
    pub(super) clouds: BTreeMap<String, Cloud>,
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) connections: BTreeMap<String, DraftConnection>,
    pub(super) gateways: BTreeMap<String, peers::DraftGateway>,
    pub(super) neighbors: BTreeMap<String, peers::DraftNeighbor>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) filters: BTreeMap<String, Filter>,
    pub(super) templates: BTreeMap<String, PeerOptions>,
    /// What `[cloud.NAME.peer.CLOUD]` says, by both names.
    pub(super) cloud_peers: BTreeMap<(String, String), peers::Templated>,
}

/// Reads the tables of one file, all but `include`.
pub(super) fn read(root: &mut Table<'_>, parts: &mut Parts) -> Result<(), ConfigError> {
    root.only(&[
        "include",
        "federation",
        "cloud",
        "network",
        "connection",
        "gateway",
        "neighbor",
        "template",
        "group",
        "filter",
    ])?;
    if let Some(table) = root.table("federation")? {
        parts.federation = Some(federation(table)?);
    }
    for (name, table) in root.named("cloud")? {
        let cloud = cloud(name.clone(), table, &mut parts.cloud_peers)?;
        parts.clouds.insert(name, cloud);
    }
    for (name, table) in root.named("network")? {
        parts.networks.insert(name.clone(), networks::network(name, table)?);
    }
    for (name, table) in root.named("connection")? {
        parts.connections.insert(name, networks::connection(table)?);
    }
    for (name, table) in root.named("gateway")? {
        parts.gateways.insert(name, peers::gateway(table)?);
    }
    for (name, table) in root.named("neighbor")? {
        let neighbor = peers::neighbor(&name, table)?;
        parts.neighbors.insert(name, neighbor);
    }
    for (name, table) in root.named("template")? {
        parts.templates.insert(name, peers::template(table)?);
    }
    for (name, table) in root.named("group")? {
        parts.groups.insert(name.clone(), filters::group(name, table)?);
    }
    for (name, table) in root.named("filter")? {
        parts.filters.insert(name.clone(), filters::filter(name, table)?);
    }
    Ok(())
}

fn federation(mut table: Table<'_>) -> Result<Federation, ConfigError> {
    table.only(&["name", "target-range"])?;
    let name: String = table.required("name", "\"leonardo\"")?;
    crate::name::check(&name).map_err(|message| table.error("name", message))?;
    let federation = Federation { name, target_range: table.optional("target-range")? };
    Ok(federation)
}

fn cloud(
    name: String,
    mut table: Table<'_>,
    cloud_peers: &mut BTreeMap<(String, String), peers::Templated>,
) -> Result<Cloud, ConfigError> {
    table.only(&[
        "asn",
        "cluster-id",
        "client-to-client",
        "decision",
        "peer",
        "encapsulations",
        "hold-time",
        "graceful-restart-time",
        "allocation-ranges",
        "control-node",
        "nodes",
        "announce-groups",
    ])?;
    let Asn(asn) = table.required("asn", "64512")?;
    let encapsulations = table
        .list("encapsulations", "[\"mpls-over-gre\"]")?
        .unwrap_or(Encapsulation::DEFAULT.to_vec());
    let hold_time = table.optional("hold-time")?.unwrap_or(HoldTime::DEFAULT);
    let restart_time = table.optional("graceful-restart-time")?;
    let allocation_ranges =
        table.list("allocation-ranges", "[\"10.0.100.0/25\"]")?.unwrap_or_default();
    let cluster_id = table.optional("cluster-id")?;
    let client_to_client = table.optional("client-to-client")?.unwrap_or(true);
    let announce_groups = table.optional("announce-groups")?.unwrap_or(false);
    let decision = table.table("decision")?.map(decision).transpose()?.unwrap_or_default();
    for (other, inner) in table.named("peer")? {
        cloud_peers.insert((name.clone(), other), peers::control_nodes(inner)?);
    }
    let mut control_nodes = BTreeMap::new();
    for (name, inner) in table.named("control-node")? {
        control_nodes.insert(name.clone(), control_node(name, inner, cluster_id)?);
    }
    if control_nodes.is_empty() {
        let message = format!(
            "cloud `{name}` has no control node; write [cloud.{name}.control-node.{name}-ctl-1] \
             and under it address = \"10.1.0.11\""
        );
        return Err(table.error("control-node", message));
    }
    let nodes = table.table("nodes")?.map(nodes).transpose()?.unwrap_or_default();
    Ok(Cloud {
        name,
        asn,
        encapsulations,
        control_nodes,
        nodes,
        hold_time,
        graceful_restart_time: restart_time.map_or(GRACEFUL_RESTART_TIME, |RestartTime(s)| s),
        allocation_ranges: sorted(allocation_ranges),
        client_to_client,
        decision,
        announce_groups,
        peers: BTreeMap::new(),
    })
}

fn decision(mut table: Table<'_>) -> Result<Decision, ConfigError> {
    table.only(&["always-compare-med", "missing-med-is-worst", "aigp", "track-next-hops"])?;
    let default = Decision::default();
    Ok(Decision {
        always_compare_med: table
            .optional("always-compare-med")?
            .unwrap_or(default.always_compare_med),
        missing_med_is_worst: table
            .optional("missing-med-is-worst")?
            .unwrap_or(default.missing_med_is_worst),
        aigp: table.optional("aigp")?.unwrap_or(default.aigp),
        track_next_hops: table.optional("track-next-hops")?.unwrap_or(default.track_next_hops),
    })
}

/// `shared` is the cluster id of the cloud, for control nodes that have none of their own.
fn control_node(
    name: String,
    mut table: Table<'_>,
    shared: Option<Ipv4Addr>,
) -> Result<ControlNode, ConfigError> {
    table.only(&["address", "port", "router-id", "cluster-id"])?;
    let address: IpAddr = table.required("address", "\"10.1.0.11\"")?;
    let port = table.optional("port")?.map_or(BGP_PORT, |Port(port)| port);
    let router_id = match (table.optional("router-id")?, address) {
        (Some(id), _) | (None, IpAddr::V4(id)) => id,
        (None, IpAddr::V6(_)) => {
            let message = "a router id is an IPv4 address, so it cannot be taken from this \
                           address; write router-id = \"10.1.0.11\"";
            return Err(table.error("address", message));
        }
    };
    let cluster_id = table.optional("cluster-id")?.or(shared).unwrap_or(router_id);
    Ok(ControlNode { name, address, port, router_id, cluster_id })
}

fn nodes(mut table: Table<'_>) -> Result<Nodes, ConfigError> {
    let own = [
        "prefixes",
        "max-nodes",
        "max-ports",
        "max-routes",
        "masquerade-ports",
        "headless-time",
        "flow-export",
    ];
    table.only(&[&own, &peers::FOR_NODES[..]].concat())?;
    let prefixes: Vec<IpNet> = table.required_list("prefixes", "[\"10.1.1.0/24\"]")?;
    let max_nodes = table.optional("max-nodes")?.map(|Limit(limit)| limit);
    let max_ports = table.optional::<Bounded<1, 65_536>>("max-ports")?;
    let max_routes = table.optional::<Bounded<1, 16_777_216>>("max-routes")?;
    let masquerade_ports = table.optional("masquerade-ports")?;
    let headless_time = table.optional::<Bounded<1, { u32::MAX }>>("headless-time")?;
    let flow_export = table.table("flow-export")?.map(flow_export).transpose()?;
    let mut options = PeerOptions::read(&mut table)?;
    let default = Nodes::default();
    Ok(Nodes {
        prefixes: sorted(prefixes),
        families: options.families.take().unwrap_or(default.families),
        limits: NodeLimits {
            max_nodes,
            max_prefixes: options.max_prefixes.take(),
            max_ports: max_ports.map(Into::into),
            max_routes: max_routes.map(Into::into),
        },
        masquerade_ports: masquerade_ports.unwrap_or(default.masquerade_ports),
        headless_time: headless_time.map(Into::into),
        flow_export,
        options,
    })
}

fn flow_export(mut table: Table<'_>) -> Result<FlowExport, ConfigError> {
    table.only(&["collector", "sample-one-in"])?;
    let collector = table.required("collector", "\"10.0.0.9:4739\"")?;
    let sample_one_in = table.optional::<Bounded<1, { u32::MAX }>>("sample-one-in")?;
    Ok(FlowExport { collector, sample_one_in: sample_one_in.map_or(SAMPLE_ONE_IN, Into::into) })
}
