//! The tables of a topology, each to its type.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;

use super::{DraftConnection, peers};
use crate::{
    Cloud, ConfigError, ControlNode, Decision, Encapsulation, Federation, HoldTime, Network,
    NodeLimits, Nodes, PeerOptions, RouteTarget,
    options::sorted,
    table::Table,
    value::{Asn, Limit, Port, RestartTime},
};

const BGP_PORT: u16 = 179;

/// In seconds, as most daemons have it.
const GRACEFUL_RESTART_TIME: u16 = 120;

/// What the files read so far say.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) federation: Option<Federation>,
    pub(super) clouds: BTreeMap<String, Cloud>,
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) connections: BTreeMap<String, DraftConnection>,
    pub(super) gateways: BTreeMap<String, peers::DraftGateway>,
    pub(super) neighbors: BTreeMap<String, peers::DraftNeighbor>,
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
    ])?;
    if let Some(table) = root.table("federation")? {
        parts.federation = Some(federation(table)?);
    }
    for (name, table) in root.named("cloud")? {
        let cloud = cloud(name.clone(), table, &mut parts.cloud_peers)?;
        parts.clouds.insert(name, cloud);
    }
    for (name, table) in root.named("network")? {
        parts.networks.insert(name.clone(), network(name, table)?);
    }
    for (name, table) in root.named("connection")? {
        parts.connections.insert(name, connection(table)?);
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
    ])?;
    let Asn(asn) = table.required("asn", "64512")?;
    let encapsulations =
        table.list("encapsulations", "[\"mpls-over-gre\"]")?.unwrap_or(Encapsulation::ALL.to_vec());
    let hold_time = table.optional("hold-time")?.unwrap_or(HoldTime::DEFAULT);
    let restart_time = table.optional("graceful-restart-time")?;
    let allocation_ranges =
        table.list("allocation-ranges", "[\"10.0.100.0/25\"]")?.unwrap_or_default();
    let cluster_id = table.optional("cluster-id")?;
    let client_to_client = table.optional("client-to-client")?.unwrap_or(true);
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
    table.only(&[&["prefixes", "max-nodes"], &peers::FOR_NODES[..]].concat())?;
    let prefixes: Vec<IpNet> = table.required_list("prefixes", "[\"10.1.1.0/24\"]")?;
    let max_nodes = table.optional("max-nodes")?.map(|Limit(limit)| limit);
    let mut options = PeerOptions::read(&mut table)?;
    Ok(Nodes {
        prefixes: sorted(prefixes),
        families: options.families.take().unwrap_or_else(|| Nodes::default().families),
        limits: NodeLimits { max_nodes, max_prefixes: options.max_prefixes.take() },
        options,
    })
}

fn network(name: String, mut table: Table<'_>) -> Result<Network, ConfigError> {
    table.only(&[
        "clouds",
        "subnets",
        "service-subnets",
        "route-targets",
        "import-targets",
        "export-targets",
    ])?;
    let clouds = sorted(table.required_list("clouds", "[\"openstack\"]")?);
    let subnets: Option<Vec<IpNet>> = table.list("subnets", "[\"10.0.100.0/24\"]")?;
    let service_subnets: Option<Vec<IpNet>> =
        table.list("service-subnets", "[\"10.254.98.0/24\"]")?;
    if subnets.is_none() && service_subnets.is_none() {
        let message = format!(
            "network `{name}` has no addresses; write subnets = [\"10.0.100.0/24\"] or \
             service-subnets"
        );
        return Err(table.error("subnets", message));
    }
    let both: Option<Vec<RouteTarget>> = table.list("route-targets", "[\"64512:100\"]")?;
    let import: Option<Vec<RouteTarget>> = table.list("import-targets", "[\"64512:100\"]")?;
    let export: Option<Vec<RouteTarget>> = table.list("export-targets", "[\"64512:100\"]")?;
    let (import_targets, export_targets) = match (both, import, export) {
        (Some(both), None, None) => (both.clone(), both),
        (None, None, None) => {
            let message = format!(
                "network `{name}` has no route targets; write route-targets = [\"64512:100\"], or \
                 import-targets and export-targets"
            );
            return Err(table.error("route-targets", message));
        }
        (None, import, export) => (import.unwrap_or_default(), export.unwrap_or_default()),
        (Some(_), _, _) => {
            let message = "`route-targets` means import and export; write either it, or \
                           import-targets and export-targets";
            return Err(table.error("route-targets", message));
        }
    };
    Ok(Network {
        name,
        clouds,
        subnets: sorted(subnets.unwrap_or_default()),
        service_subnets: sorted(service_subnets.unwrap_or_default()),
        import_targets: sorted(import_targets),
        export_targets: sorted(export_targets),
    })
}

fn connection(mut table: Table<'_>) -> Result<DraftConnection, ConfigError> {
    table.only(&["from", "to", "service-target", "return-target"])?;
    let connection = DraftConnection {
        from: table.required("from", "\"nginx\"")?,
        to: table.required("to", "\"leonardo\"")?,
        service_target: table.optional("service-target")?,
        return_target: table.optional("return-target")?,
    };
    Ok(connection)
}
