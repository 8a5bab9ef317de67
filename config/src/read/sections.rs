//! The tables of a topology, each to its type.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::DraftConnection;
use crate::{
    AfiSafi, Cloud, ConfigError, ControlNode, Encapsulation, Federation, Gateway, HoldTime,
    Network, NodeLimits, Nodes, RouteTarget,
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
    pub(super) gateways: BTreeMap<String, Gateway>,
}

/// Reads the tables of one file, all but `include`.
pub(super) fn read(root: &mut Table<'_>, parts: &mut Parts) -> Result<(), ConfigError> {
    root.only(&["include", "federation", "cloud", "network", "connection", "gateway"])?;
    if let Some(table) = root.table("federation")? {
        parts.federation = Some(federation(table)?);
    }
    for (name, table) in root.named("cloud")? {
        parts.clouds.insert(name.clone(), cloud(name, table)?);
    }
    for (name, table) in root.named("network")? {
        parts.networks.insert(name.clone(), network(name, table)?);
    }
    for (name, table) in root.named("connection")? {
        parts.connections.insert(name, connection(table)?);
    }
    for (name, table) in root.named("gateway")? {
        parts.gateways.insert(name.clone(), gateway(name, table)?);
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

fn cloud(name: String, mut table: Table<'_>) -> Result<Cloud, ConfigError> {
    table.only(&[
        "asn",
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
    let mut control_nodes = BTreeMap::new();
    for (name, inner) in table.named("control-node")? {
        control_nodes.insert(name.clone(), control_node(name, inner)?);
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
    })
}

fn control_node(name: String, mut table: Table<'_>) -> Result<ControlNode, ConfigError> {
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
    let cluster_id = table.optional("cluster-id")?.unwrap_or(router_id);
    Ok(ControlNode { name, address, port, router_id, cluster_id })
}

fn nodes(mut table: Table<'_>) -> Result<Nodes, ConfigError> {
    table.only(&["prefixes", "families", "max-nodes", "max-prefixes"])?;
    let prefixes: Vec<IpNet> = table.required_list("prefixes", "[\"10.1.1.0/24\"]")?;
    let limits = NodeLimits {
        max_nodes: table.optional("max-nodes")?.map(|Limit(limit)| limit),
        max_prefixes: table.optional("max-prefixes")?.map(|Limit(limit)| limit),
    };
    let families = table.list("families", "[\"vpnv4\", \"rtc\"]")?;
    let families = families.map_or_else(|| Nodes::default().families, sorted);
    Ok(Nodes { prefixes: sorted(prefixes), families, limits })
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

fn gateway(name: String, mut table: Table<'_>) -> Result<Gateway, ConfigError> {
    table.only(&[
        "clouds",
        "address",
        "port",
        "asn",
        "families",
        "networks",
        "tunnel-addresses",
        "encapsulations",
        "hold-time",
        "max-prefixes",
    ])?;
    let clouds = sorted(table.required_list("clouds", "[\"kubernetes\"]")?);
    let address: IpAddr = table.required("address", "\"10.2.0.1\"")?;
    let Asn(asn) = table.required("asn", "64999")?;
    let gateway = Gateway {
        name,
        clouds,
        address,
        port: table.optional("port")?.map_or(BGP_PORT, |Port(port)| port),
        asn,
        families: sorted(table.list("families", "[\"vpnv4\"]")?.unwrap_or(vec![AfiSafi::VPNV4])),
        networks: sorted(table.required_list("networks", "[\"public\"]")?),
        tunnel_addresses: sorted(
            table.list("tunnel-addresses", "[\"10.2.0.1\"]")?.unwrap_or(vec![address]),
        ),
        encapsulations: table
            .list("encapsulations", "[\"mpls-over-gre\"]")?
            .unwrap_or(vec![Encapsulation::MplsOverGre]),
        hold_time: table.optional("hold-time")?.unwrap_or(HoldTime::DEFAULT),
        max_prefixes: table.optional("max-prefixes")?.map(|Limit(limit)| limit),
    };
    Ok(gateway)
}

/// The order in the file means nothing here, so a reordered list is no change.
fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list
}
